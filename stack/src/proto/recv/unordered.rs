//! Unordered delivery: a queue of segments as they came, each byte of the stream once.

use super::buffer::{Accepted, MAX_HOLES, end_agrees};
use crate::proto::ranges::RangeSet;
use crate::wire::MAX_OFFSET;
use core::fmt;
use core::ops::Range;
use smoltcp::storage::RingBuffer;
use std::collections::VecDeque;

/// A queue of any size holds at least [`MAX_HOLES`] entries; a large one holds one per so many
/// bytes, fewer than any full segment has, so that only tiny segments meet the limit.
const BYTES_PER_ENTRY: usize = 1024;

/// With ranges held ahead, the edge is looked for once in so many parts of the queue.
const LOOKS: u64 = 16;

/// Bytes that stand together, in the stream and in the queue.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    len: usize,
}

/// Receive buffer that hands segments out as they came.
pub(crate) struct Unordered {
    /// The bytes of all entries, one after the other.
    queue: RingBuffer<'static, u8>,
    entries: VecDeque<Entry>,
    max_entries: usize,
    /// All that is here or was, and all that the application holds.
    received: RangeSet,
    /// One beyond the highest byte that has arrived.
    highest: u64,
    edge: u64,
    /// Where the edge was looked for last, beyond held ranges: the highest byte and the room then.
    looked: Option<u64>,
    /// Pieces when something was last said to be held: they are not the network's doing.
    held_pieces: usize,
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
            queue: RingBuffer::new(vec![0; capacity]),
            entries: VecDeque::new(),
            max_entries: MAX_HOLES.max(capacity / BYTES_PER_ENTRY),
            received: RangeSet::new(),
            highest: 0,
            edge: capacity as u64,
            looked: None,
            held_pieces: 0,
            end: None,
        }
    }

    pub(super) fn accept(&mut self, offset: u64, bytes: &[u8]) -> Accepted {
        let Some(end) = offset.checked_add(bytes.len() as u64) else { return Accepted::Refused };
        let range = offset..end;
        let tail = self.entries.back().map(|last| last.offset + last.len as u64);
        let (mut fresh, mut entries) = (0, self.entries.len());
        for gap in self.received.gaps(range.clone()) {
            fresh += gap.end - gap.start;
            entries += usize::from(tail != Some(gap.start));
        }
        if fresh == 0 {
            self.reach(end);
            return Accepted::Stored { fresh };
        }
        // Beyond the edge as well: the edge says how much a sender may have on its way to this
        // receiver, but the group may be far ahead of what it has been sent alone.
        if end > MAX_OFFSET
            || self.end.is_some_and(|fin| end > fin)
            || fresh > self.queue.window() as u64
            || entries > self.max_entries
            || !self.fits(offset, end)
        {
            return Accepted::Refused;
        }
        for gap in self.received.gaps(range.clone()) {
            let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            let written = self.queue.enqueue_slice(part);
            debug_assert_eq!(written, part.len());
            match self.entries.back_mut() {
                Some(last) if last.offset + last.len as u64 == gap.start => last.len += part.len(),
                _ => self.entries.push_back(Entry { offset: gap.start, len: part.len() }),
            }
        }
        self.received.insert(range);
        self.reach(end);
        Accepted::Stored { fresh }
    }

    /// Bytes up to `end` have arrived, maybe not for the first time.
    fn reach(&mut self, end: u64) {
        self.highest = self.highest.max(end);
        self.advance_edge();
    }

    pub(super) fn have(&mut self, range: Range<u64>) {
        self.received.insert(range);
        self.held_pieces = self.received.len();
        self.looked = None;
        self.advance_edge();
    }

    pub(super) fn take_back(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let had: Vec<_> = self.received.overlap(range.clone()).collect();
        self.received.remove(range);
        had
    }

    /// Whether the pieces stay within their limit. The last place is kept for the segment that
    /// comes next in order, else pieces beyond a hole at the very beginning could lock it out.
    fn fits(&self, offset: u64, end: u64) -> bool {
        self.received.len() + 1 < MAX_HOLES + self.held_pieces
            || self.received.joins(&(offset..end))
            || offset <= self.next()
    }

    pub(super) fn next(&self) -> u64 {
        self.received.first().filter(|p| p.start == 0).map_or(0, |p| p.end)
    }

    pub(super) fn edge(&self) -> u64 {
        self.edge
    }

    pub(super) fn grow(&mut self, capacity: usize) {
        if capacity <= self.queue.capacity() {
            return;
        }
        let mut all = vec![0; self.queue.len()];
        let mut moved = self.queue.dequeue_slice(&mut all);
        let mut larger = RingBuffer::new(vec![0; capacity]);
        moved -= larger.enqueue_slice(&all);
        debug_assert_eq!(moved, 0);
        self.queue = larger;
        self.max_entries = MAX_HOLES.max(capacity / BYTES_PER_ENTRY);
        self.advance_edge();
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Option<(u64, usize)> {
        let entry = self.entries.front_mut()?;
        let offset = entry.offset;
        let n = entry.len.min(buf.len());
        let n = self.queue.dequeue_slice(&mut buf[..n]);
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
        let plain = self.highest.saturating_add(room);
        if self.received.last().is_none_or(|last| last.end <= self.highest) {
            self.edge = self.edge.max(plain);
            return;
        }
        // Looked for again when it has moved by a part of the queue: a look takes a step a range.
        let step = self.queue.capacity() as u64 / LOOKS;
        if self.looked.is_none_or(|looked| plain >= looked.saturating_add(step)) {
            self.looked = Some(plain);
            self.edge = self.edge.max(self.lacking(room));
        }
    }

    /// The offset behind so many bytes that lack beyond the highest one that has arrived.
    pub(super) fn lacking(&self, mut room: u64) -> u64 {
        for gap in self.received.gaps(self.highest..MAX_OFFSET) {
            if gap.end - gap.start >= room {
                return gap.start + room;
            }
            room -= gap.end - gap.start;
        }
        MAX_OFFSET // no more than can be said is missing
    }
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

    #[test]
    fn entries_are_limited() {
        let mut buffer = Unordered::new(1 << 20);
        let top = 2 * MAX_HOLES as u64;
        // Downwards no two are neighbours in the queue, though they are one piece of the stream.
        let stored = (0..top).rev().filter(|&at| buffer.accept(at, b"x") != Accepted::Refused);
        assert_eq!(stored.count(), MAX_HOLES);
        assert_eq!(buffer.entries.len(), MAX_HOLES);
        assert!(buffer.read(&mut [0; 1]).is_some());
        assert_eq!(buffer.accept(0, b"x"), Accepted::Stored { fresh: 1 });
    }
}
