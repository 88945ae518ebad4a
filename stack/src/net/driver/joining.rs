//! What the engine asks the system for, and what the system says of the interfaces that groups are joined on.

use super::departure::Look;
use super::{Driver, Source};
use crate::net::interface;
use crate::net::netlink::{Links, News};
use crate::proto::event::{Action, ReceiverId};
use mio::Token;
use mio::unix::SourceFd;
use std::net::{IpAddr, SocketAddr};

impl Driver {
    pub(super) fn act(&mut self, action: &Action) {
        match *action {
            Action::Join { receiver, group, source, ifindex } => {
                let ifindex = self.joins.interface.unwrap_or(ifindex);
                let result = self.join(receiver, group, (source, ifindex));
                tracing::debug!(%group, ?source, ifindex, ?result, "join");
                if result.is_ok() {
                    if let Some(at) = self.groups.counted_at(receiver) {
                        self.joined.begin(receiver, &at);
                    }
                    self.watch_links();
                    self.look_at_way_back(receiver, (group, source), ifindex);
                }
                self.shared.ask(|engine, now| engine.handle_join(now, receiver, result));
            }
            Action::Refresh { receiver } => {
                let result = self.groups.refresh(receiver);
                tracing::debug!(?receiver, ?result, "the membership is reported again");
                if let Some(at) = self.groups.counted_at(receiver) {
                    self.joined.goes_on(receiver, &at);
                }
            }
            Action::Begun { session } => self.begun(session),
            Action::Count { receiver, source } => {
                let at = self.groups.counted_at(receiver);
                let since = at.map(|at| self.joined.since(receiver, &at, source));
                let counters = since.unwrap_or_default();
                tracing::debug!(?receiver, ?counters, "the group is not heard");
                self.shared.ask(|engine, now| engine.handle_count(now, receiver, counters));
            }
            Action::Leave { receiver } => self.leave(receiver),
        }
    }

    /// Where the way back to what the group comes from leaves by another interface, a strict reverse-path filter drops
    /// it in silence (RFC 3704, 2.2); systems have one for IPv4. It is told once, until interfaces change.
    fn look_at_way_back(
        &mut self,
        receiver: ReceiverId,
        (group, source): (SocketAddr, Option<IpAddr>),
        ifindex: u32,
    ) {
        let named = |ifindex| {
            interface::name_of(ifindex).unwrap_or_else(|_| format!("interface {ifindex}"))
        };
        let on = named(ifindex);
        let peer = self.shared.ask(|engine, _| engine.peer(receiver));
        let Some(from) = source.or(peer.map(|peer| peer.ip())) else { return };
        let alone = ifindex == 0 || group.is_ipv6() || interface::is_in_vrf(ifindex);
        let back = if alone { None } else { interface::route_to((from, 0).into()).ok().flatten() };
        let Some(by) = back.map(|back| back.ifindex).filter(|by| *by != ifindex) else {
            tracing::info!(%group, on, "joined");
            return;
        };
        if self.ways_back.insert((ifindex, by)) {
            let by = named(by);
            tracing::warn!(
                "the group {group} is joined on {on}, but the way back to {from} leaves by {by}: where the \
                 reverse-path filter is strict (rp_filter=1) nothing of the group is heard there"
            );
        }
    }

    fn join(
        &mut self,
        receiver: ReceiverId,
        group: SocketAddr,
        (source, ifindex): (Option<IpAddr>, u32),
    ) -> Result<(), String> {
        if let Some(only) = self.joins.only.filter(|only| *only != group) {
            return Err(format!("this host joins only {only}"));
        }
        self.sockets.iter().for_each(|socket| socket.share_port(true));
        let joined = self.groups.join(receiver, group, source, ifindex);
        self.sockets.iter().for_each(|socket| socket.share_port(false));
        let opened = joined?.and_then(|place| Some((place, self.groups.socket(&place)?.fd())));
        if let Some((place, fd)) = opened
            && let Err(e) = self.register(fd, Source::Group(place))
        {
            self.groups.leave(receiver);
            return Err(format!("cannot wait for {group}: {e}"));
        }
        Ok(())
    }

    fn leave(&mut self, receiver: ReceiverId) {
        self.joined.end(receiver);
        let Some((place, at)) = self.groups.leave(receiver) else { return };
        let ours = |source: &Source| matches!(source, Source::Group(p) if *p == place);
        self.tokens.retain(|_, source| !ours(source));
        self.readable.retain(|_, source| !ours(source));
        let fd = at.socket.fd();
        if let Err(e) = self.poll.registry().deregister(&mut SourceFd(&fd)) {
            tracing::debug!(group = %place.0, "deregistering: {e}");
        }
    }

    /// From the first join, or the begin of a session, on: without either nothing depends on links. Where the system
    /// does not let them be heard of, memberships are reported by the time alone.
    pub(super) fn watch_links(&mut self) {
        if self.links.is_some() {
            return;
        }
        let opened = Links::open().and_then(|links| {
            self.register(links.fd(), Source::Links)?;
            Ok(links)
        });
        match opened {
            Ok(links) => self.links = Some(links),
            Err(e) => tracing::debug!("hears nothing of interfaces: {e}"),
        }
    }

    /// Tells the engine whose memberships may be forgotten.
    pub(super) fn hear_of_links(&mut self, token: Token) {
        let (news, all) = self.links.as_mut().map_or((Vec::new(), true), Links::read);
        if all {
            self.readable.remove(&token);
        }
        let changed = !news.is_empty();
        for news in news {
            tracing::debug!(?news, "of the interfaces");
            match news {
                News::Back { ifindex } => self.tell_link(ifindex),
                News::Gone => {} // of a receiver's interface it is only news when something comes
                News::Up { ifindex, name } => {
                    self.groups.take_over(&name, ifindex);
                    self.tell_link(ifindex);
                }
                News::Everything => {
                    for (old, name) in self.groups.interfaces() {
                        let ifindex = interface::index_of(&name).unwrap_or(old);
                        self.groups.take_over(&name, ifindex);
                        self.tell_link(ifindex);
                    }
                }
            }
        }
        if changed {
            self.ways_back.clear();
            self.look_at_departure(Look::Changed);
        }
    }

    fn tell_link(&self, ifindex: u32) {
        for receiver in self.groups.on(ifindex) {
            self.shared.ask(|engine, now| engine.handle_link(now, receiver));
        }
    }
}
