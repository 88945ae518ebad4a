//! Unordered delivery: a queue of segments as they came, each byte of the stream once.

use super::ahead::Ahead;
use super::buffer::{Accepted, end_agrees};
use super::limits;
use crate::proto::ranges::RangeSet;
use crate::proto::ring::Ring;
use crate::wire::MAX_OFFSET;
use core::fmt;
use core::ops::Range;
use std::collections::VecDeque;

/// Bytes that stand together, in the stream and in the queue.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    len: usize,
}

impl Entry {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

/// Receive buffer that hands segments out as they came.
pub(crate) struct Unordered {
    /// The bytes of all entries, one after the other.
    queue: Ring,
    entries: VecDeque<Entry>,
    /// All that is here or was, and all that the application holds.
    received: RangeSet,
    /// One beyond the highest byte that has arrived.
    highest: u64,
    edge: u64,
    /// With ranges held beyond that: how far the free room reaches, and how far a credit does.
    room: Option<Ahead>,
    credit: Option<Ahead>,
    /// Memory that pieces take because of what the application said: not the network's doing.
    own: usize,
    end: Option<u64>,
}

impl fmt::Debug for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered")
            .field("entries", &self.entries)
            .field("received", &self.received)
            .field("edge", &self.edge)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Unordered {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            queue: Ring::new(capacity),
            entries: VecDeque::new(),
            received: RangeSet::new(),
            highest: 0,
            edge: capacity as u64,
            room: None,
            credit: None,
            own: 0,
            end: None,
        }
    }

    pub(super) fn accept(&mut self, offset: u64, bytes: &[u8]) -> Accepted {
        let Some(end) = offset.checked_add(bytes.len() as u64) else { return Accepted::Refused };
        let range = offset..end;
        // As mostly: nothing of it, nor beyond it, is here.
        let is_next = self.received.last().is_none_or(|last| last.end <= offset);
        let tail = self.entries.back().map(Entry::end);
        let (mut fresh, mut entries) = (0, self.entries.len());
        if is_next {
            fresh = end - offset;
            entries += usize::from(tail != Some(offset));
        } else {
            for gap in self.received.gaps(range.clone()) {
                fresh += gap.end - gap.start;
                entries += usize::from(tail != Some(gap.start));
            }
        }
        if fresh == 0 {
            self.pass(end);
            self.advance_edge();
            return Accepted::Stored { fresh };
        }
        // Beyond the edge as well: the edge says how much a sender may have on its way to this
        // receiver, but the group may be far ahead of what it has been sent alone.
        if end > MAX_OFFSET
            || self.end.is_some_and(|fin| end > fin)
            || fresh > self.queue.window() as u64
            || !self.admits(&range, entries)
        {
            return Accepted::Refused;
        }
        if is_next {
            put(&mut self.queue, &mut self.entries, offset, bytes);
        } else {
            for gap in self.received.gaps(range.clone()) {
                let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
                put(&mut self.queue, &mut self.entries, gap.start, part);
            }
        }
        self.pass(end);
        self.received.insert(range);
        if self.own > 0 {
            self.own = self.own.min(self.received.bytes());
        }
        self.advance_edge();
        Accepted::Stored { fresh }
    }

    /// Whether there is memory for it: for the pieces, and for so many entries in all.
    fn admits(&self, range: &Range<u64>, entries: usize) -> bool {
        let (capacity, next) = (self.queue.capacity(), self.next());
        let places = |lowest| limits::places(capacity, size_of::<Entry>(), lowest);
        let has_place = entries <= places(false)
            || (entries <= places(true) && limits::is_lowest(&self.received, range.start, next));
        has_place && limits::admits(&self.received, self.own, range, next)
    }

    /// Bytes up to `end` have arrived, maybe not for the first time.
    fn pass(&mut self, end: u64) {
        for ahead in self.room.iter_mut().chain(&mut self.credit) {
            ahead.pass(end, &self.received);
        }
        self.highest = self.highest.max(end);
    }

    pub(super) fn have(&mut self, range: Range<u64>) {
        for ahead in self.room.iter_mut().chain(&mut self.credit) {
            ahead.fill(&range, &self.received);
        }
        self.say(|received| received.insert(range));
        self.advance_edge();
    }

    pub(super) fn take_back(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        for ahead in self.room.iter_mut().chain(&mut self.credit) {
            ahead.open(&range, &self.received);
        }
        let had: Vec<_> = self.received.overlap(range.clone()).collect();
        self.say(|received| received.remove(range));
        had
    }

    /// The application says what it holds, or does not.
    fn say(&mut self, change: impl FnOnce(&mut RangeSet)) {
        let before = self.received.bytes();
        change(&mut self.received);
        let after = self.received.bytes();
        self.own = (self.own + after.saturating_sub(before)).min(after);
    }

    pub(super) fn next(&self) -> u64 {
        self.received.first().filter(|p| p.start == 0).map_or(0, |p| p.end)
    }

    pub(super) fn edge(&self) -> u64 {
        self.edge
    }

    pub(super) fn grow(&mut self, capacity: usize) {
        self.queue.grow(capacity);
        self.advance_edge();
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Option<(u64, usize)> {
        let entry = self.entries.front_mut()?;
        let offset = entry.offset;
        let n = entry.len.min(buf.len());
        let n = self.queue.take(&mut buf[..n]);
        entry.offset += n as u64;
        entry.len -= n;
        if entry.len == 0 {
            self.entries.pop_front();
        }
        self.advance_edge();
        (n > 0).then_some((offset, n))
    }

    pub(super) fn readable(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn set_end(&mut self, len: u64) -> bool {
        let agrees = end_agrees(self.end, self.highest, len);
        if agrees {
            self.end = Some(len);
            self.received.remove(len..u64::MAX); // held of something longer
            (self.room, self.credit) = (None, None);
        }
        agrees
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// A hole that was filled took room that the edge had promised already: it stays where it is until
    /// as much was read. What is held costs no room: the edge lies behind as many lacking bytes as there
    /// is room for.
    fn advance_edge(&mut self) {
        let room = self.queue.window() as u64;
        self.edge = self.edge.max(behind(room, self.highest, &self.received, &mut self.room));
    }

    /// The edge where no more than so many bytes may be on their way.
    pub(super) fn edge_within(&mut self, credit: u64) -> u64 {
        if self.credit.as_ref().is_some_and(|ahead| ahead.exceeds(credit)) {
            self.credit = None; // it has shrunk
        }
        self.edge.min(behind(credit, self.highest, &self.received, &mut self.credit))
    }

    /// Memory that it takes beside the bytes themselves.
    #[cfg(test)]
    pub(super) fn overhead(&self) -> usize {
        self.received.bytes() + self.entries.capacity() * size_of::<Entry>()
    }
}

/// Queues bytes of the stream, for which there is room.
fn put(queue: &mut Ring, entries: &mut VecDeque<Entry>, offset: u64, bytes: &[u8]) {
    queue.push(bytes);
    match entries.back_mut() {
        Some(last) if last.end() == offset => last.len += bytes.len(),
        _ => entries.push_back(Entry { offset, len: bytes.len() }),
    }
}

/// The offset behind so many bytes that lack beyond the highest one that has arrived. Mostly nothing is
/// held beyond that; else `ahead` keeps the place.
fn behind(bytes: u64, highest: u64, received: &RangeSet, ahead: &mut Option<Ahead>) -> u64 {
    if received.last().is_none_or(|last| last.end <= highest) {
        *ahead = None;
        return highest.saturating_add(bytes);
    }
    ahead.get_or_insert_with(|| Ahead::new(highest)).reach(bytes, received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_as_queued_and_merges_neighbours() {
        let mut buffer = Unordered::new(100);
        buffer.accept(10, b"kl");
        buffer.accept(12, b"mn");
        buffer.accept(0, b"ab");
        buffer.accept(2, b"cd");
        let mut buf = [0; 100];
        assert_eq!(buffer.read(&mut buf[..3]), Some((10, 3)));
        assert_eq!(&buf[..3], b"klm");
        assert_eq!(buffer.read(&mut buf), Some((13, 1)));
        assert_eq!(buffer.read(&mut buf), Some((0, 4)));
        assert_eq!(&buf[..4], b"abcd");
        assert_eq!(buffer.read(&mut buf), None);
    }

    #[test]
    fn a_full_queue_refuses_a_hole_until_it_is_read() {
        let mut buffer = Unordered::new(10);
        assert_eq!(buffer.accept(4, b"efghij"), Accepted::Stored { fresh: 6 });
        assert_eq!(buffer.edge(), 14, "no room is kept for holes");
        let mut buf = [0; 4];
        assert_eq!(buffer.read(&mut buf), Some((4, 4)));
        assert_eq!(buffer.edge(), 18);
        assert_eq!(buffer.accept(10, b"klmnopqr"), Accepted::Stored { fresh: 8 });
        assert_eq!(buffer.accept(0, b"abcd"), Accepted::Refused);
        assert_eq!(buffer.accept(4, b"efgh"), Accepted::Stored { fresh: 0 });
        assert_eq!(buffer.read(&mut buf), Some((8, 4)));
        assert_eq!(buffer.accept(0, b"abcd"), Accepted::Stored { fresh: 4 });
        assert_eq!((buffer.next(), buffer.edge()), (18, 22));
    }
}
