//! What the engine asks the system for, and what the system says of the interfaces that groups are joined on.

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
                }
                self.shared.ask(|engine, now| engine.handle_join(now, receiver, result));
            }
            Action::Refresh { receiver } => {
                let result = self.groups.refresh(receiver);
                tracing::debug!(?receiver, ?result, "the membership is reported again");
            }
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

    /// From the first join on: without a group nothing depends on links. Where the system does not let them be heard
    /// of, memberships are reported by the time alone.
    fn watch_links(&mut self) {
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
        for news in news {
            tracing::debug!(?news, "of the interfaces");
            match news {
                News::Back { ifindex } => self.tell_link(ifindex),
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
    }

    fn tell_link(&self, ifindex: u32) {
        for receiver in self.groups.on(ifindex) {
            self.shared.ask(|engine, now| engine.handle_link(now, receiver));
        }
    }
}
