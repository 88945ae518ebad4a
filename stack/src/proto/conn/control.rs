//! The control conversation: one private byte stream each way, cut into records.
//!
//! Both ends' engines talk through it (group key, JOINED, verdict), and so do the applications:
//! their bytes travel in APP records under a credit of their own, so that an application that does
//! not read never holds back the engine's records.

use crate::config::Group;
use crate::error::Reason;
use crate::proto::event::ControlRead;
use crate::proto::ranges::RangeSet;
use crate::proto::recv::buffer::{Accepted, RecvBuffer};
use crate::proto::ring::Ring;
use crate::stats::Counters;
use crate::wire::record::{HEAD, INITIAL_CREDIT, MAX_BODY, Parsed};
use crate::wire::{Record, WireError};
use core::ops::Range;
use std::collections::VecDeque;
use std::net::IpAddr;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of one direction that may wait for their acknowledgement.
const OUT_LIMIT: usize = 256 << 10;
/// Of these, what APP records leave free for the engine's own records.
const ENGINE_RESERVE: usize = 16 << 10;
/// Receive buffer of the record stream. Records are taken out as they complete, so it only has to
/// hold what arrives out of order.
const IN_LIMIT: usize = 256 << 10;

/// Bytes that are decoded at once.
const CHUNK: usize = 4096;
/// Most that stands in [`Control::partial`]: a record short of a byte, and the next bytes.
const PARTIAL: usize = HEAD + MAX_BODY + CHUNK;

/// Bytes of the record stream that may be sent before the peer has told its edge.
const INITIAL_EDGE: u64 = 64 << 10;

/// A record of the peer's engine, for the owner to act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    GroupKey {
        id: u8,
        key: Zeroizing<[u8; 32]>,
        overlap_ms: u32,
    },
    Joined,
    CannotJoin(String),
    Leave,
    AckPolicy {
        every: u16,
        delay_us: u32,
    },
    Verdict {
        ok: bool,
        arrived: crate::stats::Arrived,
        reason: String,
    },
    /// Ranges that the peer holds, per record.
    Have(Vec<Range<u64>>),
    /// Ranges that the peer lacks, as far as it has not acknowledged or declared them.
    Lack(Vec<Range<u64>>),
    /// Ranges that the peer lacks, whatever it acknowledged or declared of them before.
    Again(Vec<Range<u64>>),
    /// The group is another one now, or is sent from elsewhere.
    Join {
        group: Group,
        from: Option<IpAddr>,
    },
    Count,
    Counted(Counters),
}

/// Both directions of one control conversation.
#[derive(Debug)]
pub(crate) struct Control {
    /// Unacknowledged bytes; the first stands at stream offset `out_base`.
    out: Ring,
    out_base: u64,
    /// First byte never sent.
    out_next: u64,
    out_acked: RangeSet,
    out_lost: RangeSet,
    /// The peer's flow-control edge.
    out_edge: u64,
    app_sent: u64,
    app_credit: u64,
    buffer: RecvBuffer,
    /// The record that is not yet complete.
    partial: Zeroizing<Vec<u8>>,
    app_in: VecDeque<u8>,
    app_read: u64,
    credit_given: u64,
    peer_closed: bool,
    fresh_app: bool,
    /// Our FIN stands behind what has been put in.
    closed: bool,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            out: Ring::wiped(OUT_LIMIT),
            out_base: 0,
            out_next: 0,
            out_acked: RangeSet::new(),
            out_lost: RangeSet::new(),
            out_edge: INITIAL_EDGE,
            app_sent: 0,
            app_credit: INITIAL_CREDIT,
            buffer: RecvBuffer::wiped(IN_LIMIT),
            partial: Zeroizing::new(Vec::new()),
            app_in: VecDeque::new(),
            app_read: 0,
            credit_given: INITIAL_CREDIT,
            peer_closed: false,
            fresh_app: false,
            closed: false,
        }
    }

    // ---- outgoing ----

    /// Nothing more is put in.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Appends one of the engine's records. They are few and small; the reserve is theirs.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        if self.closed {
            return;
        }
        let mut bytes = Zeroizing::new(vec![0; record.emit_len()]);
        record.emit(&mut bytes);
        self.out.grow(self.out.len() + bytes.len());
        self.out.push(&bytes);
    }

    /// Whether the peer has acknowledged so little of what was put in that no more is to be: whoever asks again and
    /// again, and acknowledges nothing, is not answered for ever.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= OUT_LIMIT
    }

    /// How long the body of a record may be that the application causes, with what it says of its
    /// bytes: it shares the room with those.
    pub(crate) fn record_room(&self) -> usize {
        let ring = (OUT_LIMIT - ENGINE_RESERVE).saturating_sub(self.out.len() + HEAD);
        if self.closed { 0 } else { ring.min(MAX_BODY) }
    }

    /// How many of the application's bytes can be taken now.
    pub(crate) fn app_room(&self) -> usize {
        let ring = (OUT_LIMIT - ENGINE_RESERVE).saturating_sub(self.out.len() + HEAD);
        let credit = self.app_credit.saturating_sub(self.app_sent);
        ring.min(usize::try_from(credit).unwrap_or(usize::MAX))
    }

    /// Takes as many of the application's bytes as there is room and credit for.
    pub(crate) fn app_write(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let n = self.app_room().min(MAX_BODY).min(bytes.len() - taken);
            if n == 0 {
                break;
            }
            self.push(&Record::App(&bytes[taken..taken + n]));
            self.app_sent += n as u64;
            taken += n;
        }
        taken
    }

    /// The stream offset behind the last byte put in.
    pub(crate) fn out_end(&self) -> u64 {
        self.out_base + self.out.len() as u64
    }

    /// The stream offset up to which the peer has acknowledged everything.
    pub(crate) fn acked_to(&self) -> u64 {
        self.out_base
    }

    /// Whether every byte put in has been sent at least once and none is lost.
    pub(crate) fn all_sent(&self) -> bool {
        self.out_next == self.out_end() && self.out_lost.is_empty()
    }

    /// Whether [`Self::take`] has something to give.
    pub(crate) fn has_next(&self) -> bool {
        !self.out_lost.is_empty() || self.out_next < self.out_end().min(self.out_edge)
    }

    /// Takes the peer's report: what it has in order, and its edge.
    pub(crate) fn on_report(&mut self, next: u64, edge: u64) {
        self.out_edge = self.out_edge.max(edge);
        // An acknowledgement of bytes never sent is ignored (RFC 9293, 3.10.7.4).
        if next > self.out_base && next <= self.out_next {
            self.on_acked(0..next);
        }
    }

    /// The next bytes to send, at most `max` of them: lost ones first. They count as sent.
    pub(crate) fn take(&mut self, max: usize) -> Option<Range<u64>> {
        let max = max as u64;
        let range = if let Some(lost) = self.out_lost.first() {
            let range = lost.start..lost.end.min(lost.start + max);
            self.out_lost.remove(range.clone());
            range
        } else {
            let limit = self.out_end().min(self.out_edge);
            let range = self.out_next..limit.min(self.out_next + max).max(self.out_next);
            self.out_next = range.end;
            range
        };
        (!range.is_empty()).then_some(range)
    }

    /// Copies bytes that [`Self::take`] gave. None of them is acknowledged yet.
    pub(crate) fn copy(&self, range: &Range<u64>, to: &mut [u8]) {
        // A datagram may carry none, and its empty range stands anywhere.
        if !to.is_empty() {
            self.out.copy((range.start - self.out_base) as usize, to);
        }
    }

    pub(crate) fn on_acked(&mut self, range: Range<u64>) {
        self.out_lost.remove(range.clone());
        self.out_acked.insert(range);
        // Room in a ring that was full is news to a writer, as credit is.
        self.fresh_app |= self.out.len() + HEAD >= OUT_LIMIT - ENGINE_RESERVE;
        if let Some(first) = self.out_acked.first()
            && first.start <= self.out_base
        {
            self.out.skip((first.end - self.out_base) as usize);
            self.out_base = first.end;
        }
    }

    pub(crate) fn on_lost(&mut self, range: Range<u64>) {
        for gap in self.out_acked.gaps(range) {
            self.out_lost.insert(gap);
        }
    }

    /// Whether the peer acknowledged every byte.
    pub(crate) fn all_acked(&self) -> bool {
        self.out.is_empty()
    }

    // ---- incoming ----

    /// Takes bytes of the record stream; `false` if they cannot be kept and so must not be
    /// acknowledged.
    pub(crate) fn accept(&mut self, offset: u64, bytes: &[u8]) -> bool {
        bytes.is_empty() || matches!(self.buffer.accept(offset, bytes), Accepted::Stored { .. })
    }

    /// The peer's FIN stands behind so many bytes.
    pub(crate) fn set_end(&mut self, len: u64) -> bool {
        self.buffer.set_end(len)
    }

    /// First byte of the record stream not received in order, and the flow-control edge.
    pub(crate) fn window(&self) -> (u64, u64) {
        (self.buffer.next(), self.buffer.edge())
    }

    /// Decodes what has become complete; the engine's records go to `notices`.
    pub(crate) fn decode(&mut self, notices: &mut Vec<Notice>) -> Result<(), WireError> {
        while self.buffer.readable() {
            let mut chunk = Zeroizing::new([0; CHUNK]);
            let Some((_, n)) = self.buffer.read(&mut *chunk) else { break };
            // All at once: a vector that grows leaves copies behind, of a key maybe.
            let held = self.partial.len();
            debug_assert!(held + n <= PARTIAL);
            self.partial.reserve_exact(PARTIAL.saturating_sub(held));
            self.partial.extend_from_slice(&chunk[..n]);
            let mut used = 0;
            loop {
                match Record::parse(&self.partial[used..])? {
                    Parsed::Incomplete => break,
                    Parsed::Unknown { consumed } => used += consumed,
                    Parsed::Record { record, consumed } => {
                        used += consumed;
                        take_record(
                            &record,
                            &mut self.app_in,
                            &mut self.app_credit,
                            self.credit_given - self.app_read,
                            &mut self.fresh_app,
                            notices,
                        )?;
                    }
                }
            }
            let rest = self.partial.len() - used;
            self.partial.copy_within(used.., 0);
            self.partial[rest..].zeroize();
            self.partial.truncate(rest);
        }
        if self.buffer.drained() {
            self.peer_closed = true;
        }
        Ok(())
    }

    /// Reads the application's bytes. Gives credit back in steps of half the window (the
    /// silly-window rule of RFC 9293, 3.8.6.2.2).
    pub(crate) fn app_read(&mut self, buf: &mut [u8]) -> ControlRead {
        let n = self.app_in.len().min(buf.len());
        if n == 0 {
            let end = self.peer_closed && self.app_in.is_empty();
            return if end { ControlRead::End } else { ControlRead::Empty };
        }
        for (to, from) in buf.iter_mut().zip(self.app_in.drain(..n)) {
            *to = from;
        }
        self.app_read += n as u64;
        let credit = self.app_read + INITIAL_CREDIT;
        if credit - self.credit_given >= INITIAL_CREDIT / 2 && !self.peer_closed {
            self.credit_given = credit;
            self.push(&Record::Credit(credit));
        }
        ControlRead::Data(n)
    }

    /// Whether application bytes, or credit for them, arrived since this was asked last.
    pub(crate) fn take_fresh(&mut self) -> bool {
        core::mem::take(&mut self.fresh_app)
    }

    /// Whether the peer's FIN and everything before it has arrived.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Why the peer's record stream ended the association.
    pub(crate) fn violation(_: WireError) -> Reason {
        Reason::Protocol("a control record is malformed")
    }
}

fn take_record(
    record: &Record<'_>,
    app_in: &mut VecDeque<u8>,
    app_credit: &mut u64,
    app_window: u64,
    fresh: &mut bool,
    notices: &mut Vec<Notice>,
) -> Result<(), WireError> {
    match record {
        Record::App(bytes) => {
            if (app_in.len() + bytes.len()) as u64 > app_window {
                return Err(WireError::Malformed("more application bytes than credit"));
            }
            app_in.extend(*bytes);
            *fresh = true;
        }
        Record::Credit(credit) if *credit > *app_credit => {
            *app_credit = *credit;
            *fresh = true; // who waits for room must look
        }
        Record::Credit(_) => {}
        Record::GroupKey { id, key, overlap_ms } => {
            let key = Zeroizing::new(*key);
            notices.push(Notice::GroupKey { id: *id, key, overlap_ms: *overlap_ms });
        }
        Record::Joined => notices.push(Notice::Joined),
        Record::CannotJoin(why) => notices.push(Notice::CannotJoin((*why).to_owned())),
        Record::Leave => notices.push(Notice::Leave),
        Record::AckPolicy { every, delay_us } => {
            notices.push(Notice::AckPolicy { every: *every, delay_us: *delay_us });
        }
        Record::Verdict { ok, arrived, reason } => notices.push(Notice::Verdict {
            ok: *ok,
            arrived: *arrived,
            reason: (*reason).to_owned(),
        }),
        Record::Have(list) => notices.push(Notice::Have(list.iter().collect())),
        Record::Lack(list) => notices.push(Notice::Lack(list.iter().collect())),
        Record::Again(list) => notices.push(Notice::Again(list.iter().collect())),
        Record::Join { group, from } => notices.push(Notice::Join { group: *group, from: *from }),
        Record::Count => notices.push(Notice::Count),
        Record::Counted(counters) => notices.push(Notice::Counted(*counters)),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
