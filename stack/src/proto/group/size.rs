//! How long the session's segments are: to each member alone as its path carries, to the group as
//! the shortest way from it does (RFC 8899, on each path; one group segment has but one length).

use super::Session;
use super::member::Member;
use super::transmit::{GroupSegment, group_header, train_to, unicast};
use crate::config::Content;
use crate::proto::conn::emit::assemble_probe;
use crate::proto::event::Transmit;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{IPV4_LEN, IPV6_LEN, OVERHEAD, PAYLOAD_SHORT, UDP_LEN};
use std::net::SocketAddr;

/// A path is worth a probe if so many bytes are still to go there.
const WORTH: u64 = 64 << 10;
/// Of so many packets to the group a member has heard none: maybe they are too long for it.
const UNHEARD: u32 = 16;

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
        let path = &mut self.members[index].conn.tx.path;
        path.fit(path.mtu.segment());
        let heard = self.members.iter().filter(|m| is_counted(m));
        let shortest = heard.map(|m| m.board.path.mtu.segment()).min();
        let segment = shortest.unwrap_or(PAYLOAD_SHORT as u64);
        if segment == self.segment {
            return;
        }
        self.segment = segment;
        self.members.iter_mut().for_each(|m| m.board.path.fit(segment));
        if let Some(bbr) = &mut self.group_bbr {
            bbr.set_mss(segment);
        }
    }

    /// The system refuses datagrams of this length to this address.
    pub(crate) fn on_oversize(&mut self, to: SocketAddr, len: usize) {
        let payload = len.saturating_sub(OVERHEAD) as u64;
        let group = self.group.as_ref().is_some_and(|tx| tx.group.addr == to);
        for index in 0..self.members.len() {
            let m = &mut self.members[index];
            if group {
                m.board.path.mtu.refused(payload);
            } else if m.addr == to {
                m.conn.tx.path.mtu.refused(payload);
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
            let m = &self.members[index];
            if self.is_worth_probing(now, m)
                && let Some(payload) = self.members[index].conn.tx.path.mtu.wanted(now)
            {
                let m = &mut self.members[index];
                let len = m.conn.emit_probe(now, buf, payload);
                return Some(unicast(m, len, len, 1));
            }
        }
        self.probe_group(now, buf)
    }

    /// Whether enough goes to a member alone: what is left of the stream, or the repairs that it
    /// has had so far.
    fn is_worth_probing(&self, now: Instant, m: &Member) -> bool {
        if !m.is_served() || !m.conn.proven || m.conn.tx.path.mtu.is_settled() {
            return false;
        }
        if m.is_multicast() {
            return m.need.sent() >= WORTH;
        }
        let held = m.mode == Mode::Trial && self.trial.is_held(now);
        !held && self.is_left(m.need.alone_below(self.store.end()))
    }

    fn is_left(&self, bytes: u64) -> bool {
        let more_to_come = !self.store.is_source() && !self.finishing;
        more_to_come || bytes >= WORTH
    }

    /// The length that the member whose segments are the shortest wants to try next: nobody else's
    /// could make the group's longer.
    fn probe_group(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let left = self.store.end().saturating_sub(self.cursor.at());
        if self.group.is_none() || self.log.is_full() || !self.is_left(left) {
            return None;
        }
        let deaf = self.members.iter_mut().find(|m| {
            m.is_tried() && !m.board.path.mtu.is_heard() && m.board.hearing().0 >= UNHEARD
        });
        let payload = deaf.and_then(|m| m.board.path.mtu.wanted(now)).or_else(|| {
            let counted = self.members.iter_mut().filter(|m| is_counted(m));
            let shortest = counted.min_by_key(|m| m.board.path.mtu.segment())?;
            shortest.board.path.mtu.wanted(now)
        })?;
        Some(self.emit_group_probe(now, buf, payload))
    }

    fn emit_group_probe(&mut self, now: Instant, buf: &mut [u8], payload: u64) -> Transmit {
        let pn = self.log.push_probe(now, payload);
        for m in self.members.iter_mut().filter(|m| m.mode != Mode::Gone) {
            let addressed = m.is_multicast() || m.is_tried();
            m.board.on_sent(now, pn, 0, addressed);
            if addressed {
                m.board.path.mtu.on_probe(payload);
            }
        }
        let Some(tx) = &self.group else { return train_to(self.members[0].addr, 0, 0, 0) };
        let segment = GroupSegment { pn, offset: self.cursor.at(), repair: false };
        let header = group_header(tx, &segment, self.iss, self.port);
        let len = assemble_probe(buf, header, payload, Some((&tx.key, pn)));
        train_to(tx.group.addr, len, len, 1)
    }
}

/// Whether a member's way counts for the length of the group's segments: it hears them.
fn is_counted(m: &Member) -> bool {
    (m.is_multicast() || m.is_tried()) && m.board.path.mtu.is_heard()
}
