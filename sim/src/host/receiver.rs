//! The receiving application: accepts one session, reads and checks every byte, gives its verdict.

use super::coverage::Coverage;
use crate::content;
use crate::holding::Declares;
use crate::scenario::{self, Scenario};
use core::ops::Range;
use core::time::Duration;
use tcpxm::config::Delivery;
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{ReadOutcome, ReceiverId};
use tcpxm::proto::time::Instant;
use tcpxm::stats::Arrived;

/// Bytes asked for in one read.
const READ: usize = 64 << 10;
/// Bytes that a slow reader takes at once.
const SLOW_READ: usize = 16 << 10;

/// Percentages of the stream whose arrival is noted: between them the session is neither at its
/// beginning nor at its end.
pub(crate) const MARKS: [u64; 2] = [40, 90];

/// A receiving application.
#[derive(Debug)]
pub(crate) struct Receiver {
    seed: u64,
    bytes: u64,
    delivery: Delivery,
    /// Bytes per second, `None` for as fast as they come.
    reads: Option<u64>,
    /// It reads nothing from the one time to the other.
    rests: Option<(Duration, Duration)>,
    next_read: Instant,
    /// It wanted to read before `next_read`.
    waits: bool,
    buf: Vec<u8>,
    session: Option<ReceiverId>,
    coverage: Coverage,
    declares: Declares,
    /// What it says later, and when.
    later: Option<(Instant, Vec<Range<u64>>, Range<u64>)>,
    end: ReceiverEnd,
}

/// What a receiving application has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceiverEnd {
    pub(crate) verified: u64,
    pub(crate) intact: bool,
    pub(crate) complaint: Option<String>,
    pub(crate) reached: Option<Instant>,
    pub(crate) begun: Option<Instant>,
    pub(crate) drained: Option<Instant>,
    /// The longest time in which nothing was read, and when something was last.
    pub(crate) stall: Duration,
    pub(crate) last_read: Option<Instant>,
    pub(crate) marks: [Option<Instant>; 2],
    pub(crate) closed: Option<Result<(), Reason>>,
    pub(crate) arrived: Option<Arrived>,
}

impl Receiver {
    pub(crate) fn new(scenario: &Scenario, plan: &scenario::Receiver) -> Self {
        let scenario::Receiver { reads, rests, declares, .. } = *plan;
        Self {
            seed: scenario.seed,
            bytes: scenario.bytes,
            delivery: scenario.session.delivery,
            reads,
            rests,
            next_read: Instant::ZERO,
            waits: false,
            buf: vec![0; if reads.is_some() { SLOW_READ } else { READ }],
            session: None,
            coverage: Coverage::default(),
            declares,
            later: None,
            end: ReceiverEnd::default(),
        }
    }

    /// A datagram has reached its host: the first is a SYN.
    pub(crate) fn reached(&mut self, now: Instant) {
        self.end.reached.get_or_insert(now);
    }

    /// Takes the session that waits. A second one is wrong: there is one sender with one session.
    pub(crate) fn accept(&mut self, now: Instant, engine: &mut Endpoint) {
        while let Some(id) = engine.accept() {
            if self.session.is_some() {
                self.complain(|| "a second session came in".to_owned());
                engine.release(now, id);
                continue;
            }
            let delivery = engine.delivery(id);
            if delivery != self.delivery {
                self.complain(|| format!("{delivery:?} delivery was announced"));
            }
            self.session = Some(id);
            self.end.begun = Some(now);
            self.declare(now, engine, id);
            self.look(now, engine, id);
        }
    }

    /// Says what it holds, and that it lacks the rest: at once, or in two halves.
    fn declare(&mut self, now: Instant, engine: &mut Endpoint, id: ReceiverId) {
        let held = self.declares.holding.ranges(self.bytes);
        let Some(late) = self.declares.late else {
            return self.say(now, engine, id, &held, 0..u64::MAX);
        };
        let half = self.bytes / 2;
        let (first, second): (Vec<_>, Vec<_>) = held.into_iter().partition(|r| r.start < half);
        let half = first.last().map_or(half, |range| range.end.max(half));
        self.say(now, engine, id, &first, 0..half);
        self.later = Some((now + late, second, half..u64::MAX));
    }

    fn say(
        &mut self,
        now: Instant,
        engine: &mut Endpoint,
        id: ReceiverId,
        held: &[Range<u64>],
        of: Range<u64>,
    ) {
        if !engine.declares(id) {
            return;
        }
        // What has come through the group before it was said to be held has come for nothing.
        for range in held {
            self.coverage.add(range.clone());
        }
        let said = engine.have(now, id, held).and_then(|()| engine.lack(now, id, &[of]));
        if let Err(error) = said {
            self.complain(|| format!("a declaration was refused: {error}"));
        }
    }

    /// Something changed at the session: data, or its end.
    pub(crate) fn look(&mut self, now: Instant, engine: &mut Endpoint, id: ReceiverId) {
        if self.session != Some(id) || self.finished() {
            return;
        }
        if self.end.drained.is_none() {
            self.drain(now, engine, id);
        }
        if self.end.drained.is_some() && self.end.closed.is_none() {
            self.end.closed = engine.closed(id);
        }
    }

    /// The time for a slow reader's next read has come.
    pub(crate) fn wake(&mut self, now: Instant, engine: &mut Endpoint) {
        if let Some((_, held, of)) = self.later.take_if(|(at, ..)| *at <= now)
            && let Some(id) = self.session
        {
            self.say(now, engine, id, &held, of);
            self.look(now, engine, id);
        }
        if self.waits && self.next_read <= now {
            self.waits = false;
            if let Some(id) = self.session {
                self.look(now, engine, id);
            }
        }
    }

    /// When it wants to be woken.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let read = self.waits.then_some(self.next_read);
        self.later.as_ref().map(|(at, ..)| *at).into_iter().chain(read).min()
    }

    fn drain(&mut self, now: Instant, engine: &mut Endpoint, id: ReceiverId) {
        loop {
            if let Some((from, until)) = self.rests
                && now.since(Instant::ZERO) >= from
            {
                self.next_read = self.next_read.max(Instant::ZERO + until);
            }
            if now < self.next_read {
                self.waits = true;
                return;
            }
            match engine.read(now, id, &mut self.buf) {
                Ok(ReadOutcome::Data { offset, len }) => self.check(now, offset, len),
                Ok(ReadOutcome::Empty) => return,
                Ok(ReadOutcome::End { .. }) if self.take_back(now, engine, id) => {}
                Ok(ReadOutcome::End { len }) => return self.finish(now, engine, id, len),
                Err(reason) => {
                    self.end.closed = Some(Err(reason));
                    return;
                }
            }
        }
    }

    /// Has everything: whether it takes some of it back, which it does once.
    fn take_back(&mut self, now: Instant, engine: &mut Endpoint, id: ReceiverId) -> bool {
        let Some(taken_back) = self.declares.taken_back.take() else { return false };
        for range in taken_back.ranges(self.bytes) {
            self.coverage.remove(&range);
            if let Err(error) = engine.again(now, id, range) {
                self.complain(|| format!("taking back was refused: {error}"));
            }
        }
        true
    }

    /// Checks what a read gave.
    fn check(&mut self, now: Instant, offset: u64, len: usize) {
        if let Some(rate) = self.reads {
            let took = Duration::from_nanos(len as u64 * 1_000_000_000 / rate);
            self.next_read = self.next_read.max(now) + took;
        }
        let expected = self.coverage.contiguous();
        if self.delivery == Delivery::Ordered && offset != expected {
            self.complain(|| format!("read at {offset} instead of {expected}"));
        }
        if len == 0 || len > self.buf.len() {
            return self.complain(|| format!("a read at {offset} gave {len} bytes"));
        }
        if !content::matches(self.seed, offset, &self.buf[..len]) {
            return self.complain(|| format!("wrong bytes in {offset}..{}", offset + len as u64));
        }
        if !self.coverage.add(offset..offset + len as u64) {
            return self.complain(|| format!("{offset}..{} came twice", offset + len as u64));
        }
        self.end.verified += len as u64;
        self.note_read(now);
        for (at, mark) in self.end.marks.iter_mut().zip(MARKS) {
            if at.is_none() && self.end.verified * 100 >= self.bytes * mark {
                *at = Some(now);
            }
        }
    }

    /// Something was read now.
    fn note_read(&mut self, now: Instant) {
        let last = self.end.last_read.replace(now).or(self.end.begun).unwrap_or(now);
        self.end.stall = self.end.stall.max(now.since(last));
    }

    /// Everything has been read: the verdict.
    fn finish(&mut self, now: Instant, engine: &mut Endpoint, id: ReceiverId, len: u64) {
        if len != self.bytes {
            self.complain(|| format!("the stream ended at {len}"));
        }
        self.end.intact = self.coverage.is_whole(self.bytes) && self.end.complaint.is_none();
        self.end.drained = Some(now);
        let verdict = self.end.complaint.clone().map_or(Ok(()), Err);
        engine.close(now, id, verdict);
    }

    fn complain(&mut self, what: impl FnOnce() -> String) {
        self.end.complaint.get_or_insert_with(what);
    }

    /// Whether its session has ended, in good order or not.
    pub(crate) fn finished(&self) -> bool {
        self.end.closed.is_some()
    }

    /// What it has seen; frees the session.
    pub(crate) fn leave(&mut self, now: Instant, engine: &mut Endpoint) -> ReceiverEnd {
        if let Some(id) = self.session.take() {
            self.end.arrived = Some(engine.arrived(id));
            engine.release(now, id);
        }
        self.end.clone()
    }
}
