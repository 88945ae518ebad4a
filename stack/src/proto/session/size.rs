//! How long the session's segments are: to each member alone as its path carries, to a group as the
//! shortest way from it does (RFC 8899).

use super::Session;
use super::transmit::{train_to, unicast};
use crate::config::Content;
use crate::proto::event::Transmit;
use crate::proto::member::Member;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{IPV4_LEN, IPV6_LEN, OVERHEAD, UDP_LEN};
use std::net::SocketAddr;

/// A path is worth a probe if so many bytes are still to go there.
const WORTH: u64 = 64 << 10;

impl Session {
    /// Payload of the longest segment that may be tried: a packet of the length that the
    /// application allows, and a part of a ring, which would else hold too few of them.
    pub(super) fn longest_segment(&self, v6: bool) -> u64 {
        let ip = if v6 { IPV6_LEN } else { IPV4_LEN };
        let most = self.config.mtu.saturating_sub(ip + UDP_LEN + OVERHEAD) as u64;
        match self.config.content {
            Content::Stream { ring } => most.min(ring as u64 / 4),
            Content::Source { .. } => most,
        }
    }

    /// What has come back from a member may allow or forbid longer segments.
    pub(super) fn fit(&mut self, index: usize) {
        let path = self.members[index].path_mut();
        path.fit(path.mtu.segment());
        let Self { members, channels, .. } = self;
        if let Some(id) = members[index].channel() {
            channels[id.0].fit(members);
        }
    }

    /// The system refuses datagrams of this length to this address.
    pub(crate) fn on_oversize(&mut self, to: SocketAddr, len: usize) {
        let payload = len.saturating_sub(OVERHEAD) as u64;
        let group = self.channels.iter().any(|channel| channel.addr() == to);
        for index in 0..self.members.len() {
            let m = &mut self.members[index];
            if group {
                m.group_path_mut().mtu.refused(payload);
            } else if m.addr() == to {
                m.path_mut().mtu.refused(payload);
            } else {
                continue;
            }
            self.fit(index);
        }
    }

    /// The next probe of a path, if one is due.
    pub(super) fn poll_probe(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if !self.started {
            return None;
        }
        for index in 0..self.members.len() {
            let m = &mut self.members[index];
            if let Some(payload) = m.wanted_proof().filter(|_| m.is_served()) {
                let len = m.conn_mut().emit_probe(now, buf, payload);
                return Some(unicast(m, len, len, 1));
            }
            if self.is_worth_probing(now, &self.members[index])
                && let Some(payload) = self.members[index].path_mut().mtu.wanted(now)
            {
                let m = &mut self.members[index];
                let len = m.conn_mut().emit_probe(now, buf, payload);
                return Some(unicast(m, len, len, 1));
            }
        }
        (0..self.channels.len()).find_map(|n| self.probe_channel(now, buf, n))
    }

    /// Whether enough goes to a member alone: what is left of the stream, or the repairs that it
    /// has had so far.
    fn is_worth_probing(&self, now: Instant, m: &Member) -> bool {
        if !m.is_served() || !m.conn().is_proven() || m.path().mtu.is_settled() {
            return false;
        }
        if m.is_multicast() {
            return m.need().sent() >= WORTH;
        }
        let channel = m.channel().map(|id| &self.channels[id.0]);
        let held = m.mode() == Mode::Trial && channel.is_some_and(|channel| channel.is_held(now));
        !held && self.is_left(m.need().alone_below(self.store.end()))
    }

    fn is_left(&self, bytes: u64) -> bool {
        let more_to_come = !self.store.is_source() && !self.finishing;
        more_to_come || bytes >= WORTH
    }

    fn probe_channel(&mut self, now: Instant, buf: &mut [u8], n: usize) -> Option<Transmit> {
        let left = self.store.end().saturating_sub(self.channels[n].at());
        if !self.is_left(left) {
            return None;
        }
        let Self { members, channels, carrier, .. } = self;
        let payload = channels[n].wanted_probe(now, members)?;
        let len = channels[n].emit_probe(now, buf, payload, *carrier, members);
        Some(train_to(channels[n].addr(), len, len, 1))
    }
}
