//! A session's datagrams: first what each association owes, then trains of data segments.

use super::member::Member;
use super::plan::{self, Step, Target};
use super::{GroupTx, Session};
use crate::config::Algorithm;
use crate::proto::conn::emit::{Report, assemble};
use crate::proto::event::Transmit;
use crate::proto::send::pace::Pacer;
use crate::proto::send::store::NotAtHand;
use crate::proto::time::Instant;
use crate::wire::{Encap, Header, Kind, OVERHEAD, Options, Segment, Seq, offset_high};
use std::net::SocketAddr;

/// Segments of a train, at most: 32 full ones stay below the 64 KiB of one UDP GSO send.
const MAX_TRAIN: usize = 32;

/// A packet that may be marked instead of dropped (RFC 3168, 5).
const ECT_0: u8 = 0b10;

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
        self.lead_group(now);
        if let Some(range) = plan::wanted(self) {
            self.store.want(&range);
        }
        let target = plan::choose(self, now);
        if target.is_none() {
            self.paced_until = plan::paced_until(self, now);
            self.note_idle(now);
            let (cursor, segment, end) = (self.cursor.at(), self.segment, self.store.end());
            for m in &mut self.members {
                m.watch_window(now, cursor, segment.max(m.segment()), end);
            }
        }
        if let Some(Target::Member(index)) = target
            && let Some(len) = self.members[index].conn.lead_flight(buf)
        {
            let transmit = unicast(&self.members[index], len, len, 1);
            self.pace.spend_on_control(now, transmit.to, transmit.len);
            return Some(self.tally(transmit));
        }
        let transmit = target.and_then(|target| self.train(now, buf, target));
        self.changed |= self.store.has_need();
        let (target, transmit) = (target?, transmit?);
        match target {
            Target::Group => self.group_turn = false,
            Target::Member(index) => {
                self.group_turn = true;
                self.member_turn = (index + 1) % self.members.len();
            }
        }
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
        let group_idle = plan::step(self, now, Target::Group).is_none()
            && plan::group_permits(self, self.segment);
        for index in 0..self.members.len() {
            if group_idle {
                self.members[index].board.path.app_limited();
            }
            let idle = plan::step(self, now, Target::Member(index)).is_none();
            let segment = self.members[index].segment();
            let tx = &mut self.members[index].conn.tx;
            if idle && tx.permits(segment) {
                tx.path.app_limited();
            }
        }
    }

    fn tally(&mut self, transmit: Transmit) -> Transmit {
        self.sent.datagrams += transmit.datagrams as u64;
        self.sent.datagram_bytes += transmit.len as u64;
        transmit
    }

    fn poll_control(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let fin = self.fin();
        let n = self.members.len();
        for k in 0..n {
            let index = (self.control_cursor + k) % n;
            let data_end = self.data_end(index, fin);
            let m = &mut self.members[index];
            let fin_due = data_end.is_some() && m.conn.is_open() && m.conn.data_fin.due();
            let len = if let Some(opening) = &mut m.opening {
                opening.emit(now, buf)
            } else if m.conn.wants_control() || fin_due {
                m.conn.emit_control(now, buf, &Report::default(), data_end)
            } else {
                m.unproven.as_mut().and_then(|opening| opening.emit_again(buf))
            };
            if let Some(len) = len {
                self.control_cursor = index;
                return Some(unicast(m, len, len, 1));
            }
        }
        None
    }

    /// Where a member's data FIN stands, once everything before it has been sent to it.
    fn data_end(&self, index: usize, fin: Option<u64>) -> Option<u64> {
        let m = &self.members[index];
        if m.outcome.is_some() {
            return Some(fin.unwrap_or(m.need.high().max(self.cursor.at())));
        }
        fin.filter(|end| m.is_sent_below(*end, self.cursor.at()))
    }

    /// Segments of one length to a target, as many as may leave at once; `None` if the bytes of the
    /// very first are not at hand.
    fn train(&mut self, now: Instant, buf: &mut [u8], target: Target) -> Option<Transmit> {
        let (mut len, mut datagrams, mut size) = (0, 0, 0);
        let rate = plan::pacing_rate(self, target);
        let segment = plan::segment(self, target);
        let short = rate.map_or(MAX_TRAIN, |rate| Pacer::train(rate, segment));
        let most = MAX_TRAIN.min(self.pace.train(segment as usize + OVERHEAD)).min(short);
        while let Some(step) = plan::step(self, now, target) {
            let full = (step.range.end - step.range.start) as usize + OVERHEAD;
            // A train is datagrams of one length; only the last may be shorter.
            if datagrams == most || len + full > buf.len() || (datagrams > 0 && full > size) {
                break;
            }
            let at = &mut buf[len..];
            let sent = match target {
                Target::Group => self.emit_group(now, at, &step),
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
            let pacer = match target {
                Target::Group => &mut self.group_pacer,
                Target::Member(index) => &mut self.members[index].pacer,
            };
            pacer.spend(now, rate, (len - datagrams * OVERHEAD) as u64);
        }
        let mut transmit = match (target, &self.group) {
            (Target::Member(index), _) => unicast(&self.members[index], len, size, datagrams),
            (Target::Group, Some(tx)) => train_to(tx.group.addr, len, size, datagrams),
            (Target::Group, None) => train_to(self.members[0].addr, len, size, datagrams),
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
        let Self { members, store, sent, .. } = self;
        let m = &mut members[index];
        let range = step.range.clone();
        m.conn.emit_data(now, buf, (range.clone(), step.repair, step.push), |to| {
            store.read(range.start, to)
        })?;
        m.served = now;
        m.need.sent_alone(range.clone());
        sent.unicast_bytes += range.end - range.start;
        if step.repair {
            sent.repaired_bytes += range.end - range.start;
        }
        Ok(())
    }

    fn emit_group(&mut self, now: Instant, buf: &mut [u8], step: &Step) -> Result<(), NotAtHand> {
        let range = step.range.clone();
        let bytes = range.end - range.start;
        let Some(tx) = &self.group else { return Ok(()) };
        let segment =
            GroupSegment { pn: self.log.next_pn(), offset: range.start, repair: step.repair };
        let header = group_header(tx, &segment, self.iss, self.port);
        let store = &mut self.store;
        let read = |to: &mut [u8]| store.read(range.start, to);
        assemble(buf, header, &[], bytes as usize, read, Some((&tx.key, segment.pn)))?;
        let pn = self.log.push(now, range.clone());
        for m in self.members.iter_mut().filter(|m| m.mode != crate::stats::Mode::Gone) {
            let addressed = if step.repair {
                m.is_multicast() && m.need.shares(&range)
            } else {
                m.is_multicast() || m.is_tried()
            };
            if addressed {
                m.served = now;
            }
            m.board.on_sent(now, pn, bytes, addressed);
            m.need.carried(range.clone());
        }
        if step.repair {
            self.repairs.sent(range.end);
        } else {
            self.cursor.carried(range.end);
            self.trial.on_group_segment();
        }
        self.sent.group_bytes += bytes;
        if step.repair {
            self.sent.repaired_bytes += bytes;
        }
        Ok(())
    }
}

/// What makes one datagram to the group differ from the others.
pub(super) struct GroupSegment {
    pub(super) pn: u64,
    pub(super) offset: u64,
    pub(super) repair: bool,
}

pub(super) fn group_header(tx: &GroupTx, segment: &GroupSegment, iss: Seq, port: u16) -> Header {
    let &GroupSegment { pn, offset, repair } = segment;
    Header {
        encap: Encap {
            kind: Kind::Group,
            tlvs: false,
            repair,
            key_id: tx.key_id,
            offset_high: offset_high(offset),
            cid: tx.cid,
            pn: pn as u32,
        },
        segment: Segment {
            src_port: port,
            dst_port: tx.group.addr.port(),
            seq: Seq::of_offset(iss, offset),
            ack: None, // means nothing towards many: each member has its own (slide 12)
            window: 0,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            options: Options::default(),
        },
    }
}

pub(super) fn unicast(m: &Member, len: usize, segment_size: usize, datagrams: usize) -> Transmit {
    Transmit {
        to: m.addr,
        from: m.conn.names.local,
        ifindex: m.conn.names.ifindex,
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
