//! Ordered delivery: a ring in which segments wait at their place until what is before them came.

use super::buffer::{Accepted, end_agrees};
use super::limits;
use crate::proto::ranges::RangeSet;
use crate::proto::ring::Ring;
use core::fmt;

/// Receive buffer that hands the stream out in order.
pub(crate) struct Ordered {
    /// Queued: in order and not yet read. Behind that stand segments beyond a hole.
    ring: Ring,
    /// Stream offset of the first byte not yet read.
    read_at: u64,
    /// Received beyond the first hole; never touches `next`.
    beyond: RangeSet,
    end: Option<u64>,
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
        Self::of(Ring::new(capacity))
    }

    /// One for bytes that are not to be found in memory once they were read.
    pub(super) fn wiped(capacity: usize) -> Self {
        Self::of(Ring::wiped(capacity))
    }

    fn of(ring: Ring) -> Self {
        Self { ring, read_at: 0, beyond: RangeSet::new(), end: None }
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
            self.ring.put((gap.start - next) as usize, part);
            fresh += part.len() as u64;
        }
        if from > next {
            self.beyond.insert(from..end);
        } else {
            // The hole closes as far as this reaches, or the piece that it reaches into.
            let reach =
                self.beyond.first_from(end).filter(|p| p.start == end).map_or(end, |p| p.end);
            self.beyond.remove(next..reach);
            self.ring.join((reach - next) as usize);
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
        self.ring.grow(capacity);
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Option<(u64, usize)> {
        let (offset, n) = (self.read_at, self.ring.take(buf));
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

#[cfg(test)]
mod tests {
    use super::*;

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
