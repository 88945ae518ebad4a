//! A session's datagrams: first what each association owes, then trains of data segments.

use super::Session;
use super::plan::Target;
use crate::config::Algorithm;
use crate::proto::channel::{Channel, ChannelId};
use crate::proto::event::Transmit;
use crate::proto::member::Member;
use crate::proto::member::plan::Step;
use crate::proto::send::pace::{MAX_TRAIN, Pacer};
use crate::proto::send::store::NotAtHand;
use crate::proto::time::Instant;
use crate::wire::OVERHEAD;
use std::net::SocketAddr;

/// A packet that may be marked instead of dropped (RFC 3168, 5).
const ECT_0: u8 = 0b10;

/// Whose turn it is to send.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The channels', before the members'.
    groups: bool,
    /// The member that is looked at first, for data and for control.
    member: usize,
    control: usize,
}

impl Default for Turn {
    fn default() -> Self {
        Self { groups: true, member: 0, control: 0 }
    }
}

impl Turn {
    /// Whether the channels come before the members.
    pub(super) fn is_groups(&self) -> bool {
        self.groups
    }

    /// The member that comes first.
    pub(super) fn member(&self) -> usize {
        self.member
    }

    /// A train has gone to this target, of so many members.
    fn taken(&mut self, target: Target, members: usize) {
        self.groups = matches!(target, Target::Member(_));
        if let Target::Member(index) = target {
            self.member = (index + 1) % members;
        }
    }
}

impl Session {
    /// The next train, if there is anything to send now.
    pub(crate) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if let Some(transmit) = self.poll_control(now, buf) {
            self.pace.spend_on_control(now, transmit.to, transmit.len);
            return Some(self.tally(transmit)); // little, and never held back
        }
        if let Some(probe) = self.poll_probe(now, buf) {
            self.pace.spend_on_control(now, probe.to, probe.len);
            return Some(self.tally(probe));
        }
        self.paced_until = None;
        if !self.pace.permits(now) {
            return None;
        }
        self.lead_channels(now);
        if let Some(range) = self.wanted() {
            self.store.want(&range);
        }
        let target = self.choose(now);
        if target.is_none() {
            self.paced_until =
                self.next_paced(now).into_iter().chain(self.uplink.deadline(now)).min();
            self.note_idle(now);
            self.watch_windows(now);
        }
        if let Some(Target::Member(index)) = target
            && let Some(len) = self.members[index].conn_mut().lead_flight(buf)
        {
            let transmit = unicast(&self.members[index], len, len, 1);
            self.pace.spend_on_control(now, transmit.to, transmit.len);
            return Some(self.tally(transmit));
        }
        let transmit = target.and_then(|target| {
            let transmit = self.train(now, buf, target);
            self.read_ahead(target);
            transmit
        });
        self.changed |= self.store.has_need();
        let (target, transmit) = (target?, transmit?);
        self.turn.taken(target, self.members.len());
        let Transmit { to, len, datagrams, .. } = transmit;
        self.pace.spend(now, to, len, datagrams);
        Some(self.tally(transmit))
    }

    /// Where nothing holds the next segment back but that there is none, rates that are measured
    /// from here on say nothing of the path.
    fn note_idle(&mut self, now: Instant) {
        if self.config.algorithm != Algorithm::Bbr {
            return;
        }
        for index in 0..self.members.len() {
            let idle = self.step(now, Target::Member(index)).is_none();
            let channel = self.members[index].channel();
            let group_idle = channel.is_some_and(|id| {
                let channel = &self.channels[id.0];
                self.step(now, Target::Group(id)).is_none()
                    && channel.permits(&self.members, channel.segment())
            });
            let m = &mut self.members[index];
            if group_idle {
                m.group_path_mut().app_limited();
            }
            if idle && m.conn().tx().permits(m.segment()) {
                m.path_mut().app_limited();
            }
        }
    }

    /// Moves the channels' cursors to what they are to carry next.
    pub(super) fn lead_channels(&mut self, now: Instant) {
        let Self { members, channels, store, started, .. } = self;
        for channel in channels.iter_mut().filter(|_| *started) {
            channel.lead(now, members, store);
        }
    }

    /// Nothing can be sent: looks whose window is why.
    fn watch_windows(&mut self, now: Instant) {
        let end = self.store.end();
        let Self { members, channels, .. } = self;
        for m in members {
            let channel = m.channel().map(|id| &channels[id.0]);
            let (at, segment) = channel.map_or((0, 0), |channel| (channel.at(), channel.segment()));
            m.watch_window(now, at, segment.max(m.segment()), end);
        }
    }

    fn tally(&mut self, transmit: Transmit) -> Transmit {
        self.sent.datagrams += transmit.datagrams as u64;
        self.sent.datagram_bytes += transmit.len as u64;
        transmit
    }

    fn poll_control(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let n = self.members.len();
        for k in 0..n {
            let index = (self.turn.control + k) % n;
            let end = if self.members[index].conn().is_data_fin_due() {
                self.data_end(index)
            } else {
                None
            };
            let next = self.channel_of(index).map(Channel::next_pn);
            let m = &mut self.members[index];
            if let Some(len) = m.emit_control(now, buf, (end, next)) {
                self.turn.control = index;
                return Some(unicast(m, len, len, 1));
            }
            let aside = m.emit_aside(now, buf);
            if let Some((to, len)) = aside.or_else(|| m.emit_attempt(now, buf)) {
                return Some(train_to(to, len, len, 1));
            }
        }
        None
    }

    /// Where a member's data FIN stands, once everything before it has been sent to it.
    fn data_end(&self, index: usize) -> Option<u64> {
        let (m, at, fin) = (&self.members[index], self.at(index), self.fin());
        if m.outcome().is_some() {
            return Some(fin.unwrap_or(m.need().high().max(at)));
        }
        fin.filter(|end| m.is_sent_below(*end, at))
    }

    /// Segments of one length to a target, as many as may leave at once; `None` if the bytes of the
    /// very first are not at hand.
    fn train(&mut self, now: Instant, buf: &mut [u8], target: Target) -> Option<Transmit> {
        let (mut len, mut datagrams, mut size) = (0, 0, 0);
        let rate = self.pacing_rate(target);
        let segment = self.segment(target);
        let longest = match target {
            Target::Group(id) => self.channels[id.0].longest_train(),
            Target::Member(_) => MAX_TRAIN,
        };
        let short = rate.map_or(longest, |rate| Pacer::train(rate, segment));
        let most = MAX_TRAIN.min(self.pace.train(segment as usize + OVERHEAD)).min(short);
        while let Some(step) = self.step(now, target) {
            let full = (step.range.end - step.range.start) as usize + OVERHEAD;
            // A train is datagrams of one length; only the last may be shorter.
            if datagrams == most || len + full > buf.len() || (datagrams > 0 && full > size) {
                break;
            }
            let at = &mut buf[len..];
            let sent = match target {
                Target::Group(id) => self.emit_group(now, at, id, &step),
                Target::Member(index) => self.emit_unicast(now, at, index, &step),
            };
            if sent.is_err() {
                break; // it is wanted now, and will be sent once it is here
            }
            len += full;
            datagrams += 1;
            if datagrams == 1 {
                size = full;
            }
            if full < size {
                break;
            }
        }
        if datagrams == 0 {
            return None;
        }
        if let Some(rate) = rate {
            let bytes = (len - datagrams * OVERHEAD) as u64;
            match target {
                Target::Group(id) => self.channels[id.0].spend(now, rate, bytes),
                Target::Member(index) => self.members[index].spend(now, rate, bytes),
            }
        }
        let mut transmit = match target {
            Target::Member(index) => unicast(&self.members[index], len, size, datagrams),
            Target::Group(id) => train_to(self.channels[id.0].addr(), len, size, datagrams),
        };
        transmit.ecn = if self.ecn { ECT_0 } else { 0 };
        Some(transmit)
    }

    fn emit_unicast(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        index: usize,
        step: &Step,
    ) -> Result<(), NotAtHand> {
        let Self { members, channels, store, sent, uplink, .. } = self;
        let m = &mut members[index];
        let range = step.range.clone();
        let bytes = range.end - range.start;
        let read = |to: &mut [u8]| store.read(range.start, to);
        let catches_up = m.catches_up();
        m.conn_mut().emit_data(now, buf, (range.clone(), step.repair, step.push), read)?;
        m.on_sent_alone(now, range);
        if catches_up {
            uplink.alone(now, bytes);
        }
        for channel in channels {
            channel.sent_alone(bytes);
        }
        sent.unicast_bytes += bytes;
        sent.repaired_bytes += if step.repair { bytes } else { 0 };
        Ok(())
    }

    fn emit_group(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        id: ChannelId,
        step: &Step,
    ) -> Result<(), NotAtHand> {
        let Self { members, channels, store, sent, carrier, uplink, .. } = self;
        channels[id.0].emit(now, buf, step, *carrier, (members, store))?;
        let bytes = step.range.end - step.range.start;
        if members.iter().any(Member::is_multicast) {
            uplink.grouped(now, bytes);
        }
        sent.group_bytes += bytes;
        sent.repaired_bytes += if step.repair { bytes } else { 0 };
        Ok(())
    }
}

pub(super) fn unicast(m: &Member, len: usize, segment_size: usize, datagrams: usize) -> Transmit {
    Transmit {
        to: m.addr(),
        from: m.conn().names().local,
        ifindex: m.conn().names().ifindex,
        len,
        segment_size,
        datagrams,
        ecn: 0,
    }
}

pub(super) fn train_to(
    to: SocketAddr,
    len: usize,
    segment_size: usize,
    datagrams: usize,
) -> Transmit {
    Transmit { to, from: None, ifindex: 0, len, segment_size, datagrams, ecn: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So what repairs for single members has half of the trains at most, beside a group that has something to send.
    #[test]
    fn after_each_member_it_is_the_groups_turn() {
        let mut turn = Turn::default();
        for member in [0, 3, 1, 2] {
            assert!(turn.is_groups());
            turn.taken(Target::Group(ChannelId(0)), 4);
            assert!(!turn.is_groups());
            turn.taken(Target::Member(member), 4);
            assert_eq!(turn.member(), (member + 1) % 4);
        }
    }
}
