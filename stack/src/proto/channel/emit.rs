//! A channel's datagrams: segments of the stream, and probes of its path.

use super::Channel;
use crate::proto::conn::emit::{assemble, assemble_probe};
use crate::proto::member::Member;
use crate::proto::member::plan::Step;
use crate::proto::send::store::{NotAtHand, Store};
use crate::proto::time::Instant;
use crate::wire::{Encap, Header, Kind, Options, Segment, Seq, offset_high};

/// What all datagrams of a session have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carrier {
    /// One initial sequence number for all members: a group segment has but one sequence field.
    pub(crate) iss: Seq,
    /// Our inner port.
    pub(crate) port: u16,
}

impl Channel {
    /// Writes a segment, and notes for every member that it is on its way.
    pub(crate) fn emit(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        step: &Step,
        carrier: Carrier,
        (members, store): (&mut [Member], &mut Store),
    ) -> Result<(), NotAtHand> {
        let range = step.range.clone();
        let bytes = range.end - range.start;
        let pn = self.log.next_pn();
        let header = self.header(carrier, pn, range.start, step.repair);
        let read = |to: &mut [u8]| store.read(range.start, to);
        assemble(buf, header, &[], bytes as usize, read, |datagram, head| {
            self.keys.key().seal(pn, datagram, head);
        })?;
        self.log.push(now, range.clone());
        for m in members.iter_mut().filter(|m| !m.is_gone()) {
            m.on_carried(now, pn, &range, step.repair);
        }
        self.repair_turn = !step.repair;
        if step.repair {
            self.repairs.sent(range.end);
        } else {
            self.cursor.carried(range.end);
            self.trial.on_group_segment();
        }
        Ok(())
    }

    /// Writes a probe of the group's path, as long as a segment with `payload` bytes; its length.
    pub(crate) fn emit_probe(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        payload: u64,
        carrier: Carrier,
        members: &mut [Member],
    ) -> usize {
        let pn = self.log.push_probe(now, payload);
        for m in members.iter_mut().filter(|m| !m.is_gone()) {
            m.on_group_probe(now, pn, payload);
        }
        let header = self.header(carrier, pn, self.cursor.at(), false);
        assemble_probe(buf, header, payload, |datagram, head| {
            self.keys.key().seal(pn, datagram, head);
        })
    }

    fn header(&self, carrier: Carrier, pn: u64, offset: u64, repair: bool) -> Header {
        Header {
            encap: Encap {
                kind: Kind::Group,
                tlvs: false,
                repair,
                key_id: self.keys.id(),
                offset_high: offset_high(offset),
                cid: self.cid,
                pn: pn as u32,
            },
            segment: Segment {
                src_port: carrier.port,
                dst_port: self.group.addr.port(),
                seq: Seq::of_offset(carrier.iss, offset),
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
}
