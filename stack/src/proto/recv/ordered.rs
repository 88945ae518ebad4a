//! Ordered delivery: a ring in which segments wait at their place until what is before them came.

use super::buffer::{Accepted, end_agrees};
use super::limits;
use crate::proto::ranges::RangeSet;
use core::fmt;
use smoltcp::storage::RingBuffer;
use zeroize::Zeroize;

/// Receive buffer that hands the stream out in order.
pub(crate) struct Ordered {
    /// Allocated: in order and not yet read. Unallocated: the rest of the window, in which
    /// segments beyond a hole stand already.
    ring: RingBuffer<'static, u8>,
    /// Stream offset of the first byte not yet read.
    read_at: u64,
    /// Received beyond the first hole; never touches `next`.
    beyond: RangeSet,
    end: Option<u64>,
    /// What was read, and all of it in the end, is overwritten: it carries keys.
    wiped: bool,
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered")
            .field("read_at", &self.read_at)
            .field("next", &self.next())
            .field("beyond", &self.beyond)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Ordered {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ring: RingBuffer::new(vec![0; capacity]),
            read_at: 0,
            beyond: RangeSet::new(),
            end: None,
            wiped: false,
        }
    }

    /// One for bytes that are not to be found in memory once they were read.
    pub(super) fn wiped(capacity: usize) -> Self {
        let mut buffer = Self::new(capacity);
        buffer.wiped = true;
        buffer
    }

    /// Overwrites so many bytes from the first that was not read, whether or not there is a hole among them.
    fn wipe(&mut self, bytes: usize) {
        self.ring.enqueue_unallocated(bytes.saturating_sub(self.ring.len()));
        // Two pieces, where the ring wraps.
        while !self.ring.is_empty() {
            self.ring.dequeue_many(usize::MAX).zeroize();
        }
    }

    pub(super) fn accept(&mut self, offset: u64, bytes: &[u8]) -> Accepted {
        let Some(end) = offset.checked_add(bytes.len() as u64) else { return Accepted::Refused };
        let next = self.next();
        if bytes.is_empty() || end <= next {
            return Accepted::Stored { fresh: 0 };
        }
        if end > self.edge() || self.end.is_some_and(|fin| end > fin) {
            return Accepted::Refused;
        }
        let from = offset.max(next);
        if !limits::admits(&self.beyond, 0, &(from..end), next) {
            return Accepted::Refused;
        }
        let mut fresh = 0;
        for gap in self.beyond.gaps(from..end) {
            let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            // Inside the edge there is room for all of it.
            let written = self.ring.write_unallocated((gap.start - next) as usize, part);
            debug_assert_eq!(written, part.len());
            fresh += part.len() as u64;
        }
        if from > next {
            self.beyond.insert(from..end);
        } else {
            // The hole closes as far as this reaches, or the piece that it reaches into.
            let reach =
                self.beyond.first_from(end).filter(|p| p.start == end).map_or(end, |p| p.end);
            self.beyond.remove(next..reach);
            self.ring.enqueue_unallocated((reach - next) as usize);
        }
        Accepted::Stored { fresh }
    }

    pub(super) fn next(&self) -> u64 {
        self.read_at + self.ring.len() as u64
    }

    pub(super) fn edge(&self) -> u64 {
        self.read_at.saturating_add(self.ring.capacity() as u64)
    }

    /// The edge where no more than so many bytes may be on their way.
    pub(super) fn edge_within(&self, credit: u64) -> u64 {
        self.edge().min(self.highest().saturating_add(credit))
    }

    /// One beyond the highest byte that has arrived.
    fn highest(&self) -> u64 {
        self.beyond.last().map_or(self.next(), |p| p.end)
    }

    pub(super) fn grow(&mut self, capacity: usize) {
        if capacity <= self.ring.capacity() {
            return;
        }
        // All of it moves, also what waits in the window beyond holes, each byte to its place.
        let (held, window) = (self.ring.len(), self.ring.window());
        self.ring.enqueue_unallocated(window);
        let mut all = vec![0; held + window];
        let mut moved = self.ring.dequeue_slice(&mut all);
        let mut larger = RingBuffer::new(vec![0; capacity]);
        moved -= larger.enqueue_slice(&all[..held]);
        moved -= larger.write_unallocated(0, &all[held..]);
        debug_assert_eq!(moved, 0);
        if self.wiped {
            all.zeroize();
            self.wipe(held + window);
        }
        self.ring = larger;
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Option<(u64, usize)> {
        let (offset, mut n) = (self.read_at, 0);
        if self.wiped {
            // Two pieces, where the ring wraps.
            while n < buf.len() && !self.ring.is_empty() {
                let piece = self.ring.dequeue_many(buf.len() - n);
                buf[n..n + piece.len()].copy_from_slice(piece);
                n += piece.len();
                piece.zeroize();
            }
        } else {
            n = self.ring.dequeue_slice(buf);
        }
        self.read_at += n as u64;
        (n > 0).then_some((offset, n))
    }

    pub(super) fn readable(&self) -> bool {
        !self.ring.is_empty()
    }

    pub(super) fn set_end(&mut self, len: u64) -> bool {
        let agrees = end_agrees(self.end, self.highest(), len);
        if agrees {
            self.end = Some(len);
        }
        agrees
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    #[cfg(test)]
    pub(super) fn overhead(&self) -> usize {
        self.beyond.bytes()
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        if self.wiped {
            // What was read is gone already, and memory beyond was never touched.
            self.wipe((self.highest() - self.read_at) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of the ring's memory.
    fn memory(buffer: &mut Ordered) -> Vec<u8> {
        let (held, window) = (buffer.ring.len(), buffer.ring.window());
        let mut all = vec![0; held + window];
        buffer.ring.enqueue_unallocated(window);
        assert_eq!(buffer.ring.read_allocated(0, &mut all), all.len());
        all
    }

    #[test]
    fn what_was_read_is_not_kept_where_it_carries_keys() {
        for (new, kept) in [(Ordered::new as fn(usize) -> _, true), (Ordered::wiped, false)] {
            let (mut buffer, mut buf) = (new(8), [0; 8]);
            // It wraps, and a later segment comes first.
            for round in 0..3 {
                let at = round * 5;
                buffer.accept(at + 3, b"de");
                buffer.accept(at, b"abc");
                assert_eq!(buffer.read(&mut buf[..2]), Some((at, 2)));
                assert_eq!(buffer.read(&mut buf), Some((at + 2, 3)));
                assert_eq!(&buf[..3], b"cde");
            }
            buffer.grow(12);
            assert_eq!(memory(&mut buffer).iter().any(|&byte| byte != 0), kept);
        }
        // In the end also what nobody has read, and what waited beyond a hole.
        let mut buffer = Ordered::wiped(8);
        buffer.accept(0, b"ab");
        buffer.accept(5, b"fg");
        buffer.wipe(7);
        assert_eq!(memory(&mut buffer), [0; 8]);
    }

    #[test]
    fn waits_for_the_hole_and_wraps() {
        let mut buffer = Ordered::new(8);
        let mut buf = [0; 8];
        for round in 0..20u64 {
            let at = round * 5;
            assert_eq!(buffer.accept(at + 2, b"cde"), Accepted::Stored { fresh: 3 });
            assert_eq!((buffer.next(), buffer.readable()), (at, false));
            assert_eq!(buffer.accept(at, b"ab"), Accepted::Stored { fresh: 2 });
            assert_eq!(buffer.next(), at + 5);
            assert_eq!(buffer.edge(), at + 8);
            assert_eq!(buffer.read(&mut buf), Some((at, 5)));
            assert_eq!(&buf[..5], b"abcde");
        }
    }

    #[test]
    fn a_segment_over_the_edge_is_refused_whole() {
        let mut buffer = Ordered::new(8);
        assert_eq!(buffer.accept(4, b"efghi"), Accepted::Refused);
        assert_eq!(buffer.accept(0, b"abcdefgh"), Accepted::Stored { fresh: 8 });
        assert_eq!(buffer.accept(8, b"i"), Accepted::Refused);
        assert_eq!(buffer.read(&mut [0; 1]), Some((0, 1)));
        assert_eq!(buffer.accept(8, b"i"), Accepted::Stored { fresh: 1 });
    }
}
