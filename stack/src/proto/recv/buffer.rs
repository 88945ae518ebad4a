//! The bytes between the network and the application, with their flow control.

use super::ordered::Ordered;
use super::unordered::Unordered;
use crate::config::Delivery;
use core::ops::Range;

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is here, all of it, and may be acknowledged.
    Stored {
        /// Bytes not seen before; 0 for a pure duplicate.
        fresh: u64,
    },
    /// Nothing of it was taken (no room, in order beyond the edge, beyond the end, or so many holes that
    /// another one costs too much): it must not be acknowledged.
    Refused,
}

/// Receive buffer of one session; memory comes with the bytes, one copy in, one copy out.
#[derive(Debug)]
pub(crate) enum RecvBuffer {
    /// The stream in order, as TCP does.
    Ordered(Ordered),
    /// Segments as they come, each byte once.
    Unordered(Unordered),
}

impl RecvBuffer {
    /// An empty buffer of `capacity` bytes for a stream that begins at offset 0.
    pub(crate) fn new(delivery: Delivery, capacity: usize) -> Self {
        match delivery {
            Delivery::Ordered => Self::Ordered(Ordered::new(capacity)),
            Delivery::Unordered => Self::Unordered(Unordered::new(capacity)),
        }
    }

    /// One for ordered delivery that overwrites what was read: keys are among it.
    pub(crate) fn wiped(capacity: usize) -> Self {
        Self::Ordered(Ordered::wiped(capacity))
    }

    /// Takes the bytes that stand at `offset` of the stream. Where they overlap what is here
    /// already, the first ones stay, whatever the new ones are.
    pub(crate) fn accept(&mut self, offset: u64, bytes: &[u8]) -> Accepted {
        match self {
            Self::Ordered(b) => b.accept(offset, bytes),
            Self::Unordered(b) => b.accept(offset, bytes),
        }
    }

    /// First byte not yet received in order.
    pub(crate) fn next(&self) -> u64 {
        match self {
            Self::Ordered(b) => b.next(),
            Self::Unordered(b) => b.next(),
        }
    }

    /// First byte that the sender may not send: the absolute flow-control edge, which never goes
    /// back. Ordered: what was read plus the capacity. Unordered: the highest byte received plus
    /// the free room, so that a hole filled later may find none.
    pub(crate) fn edge(&self) -> u64 {
        match self {
            Self::Ordered(b) => b.edge(),
            Self::Unordered(b) => b.edge(),
        }
    }

    /// Makes room for `capacity` bytes in all, if that is more than there is; what is here stays.
    pub(crate) fn grow(&mut self, capacity: usize) {
        match self {
            Self::Ordered(b) => b.grow(capacity),
            Self::Unordered(b) => b.grow(capacity),
        }
    }

    /// Copies out what comes next: its offset and length, at least 1; `None` if there is nothing,
    /// or `buf` is empty.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Option<(u64, usize)> {
        match self {
            Self::Ordered(b) => b.read(buf),
            Self::Unordered(b) => b.read(buf),
        }
    }

    /// Whether [`Self::read`] has something.
    pub(crate) fn readable(&self) -> bool {
        match self {
            Self::Ordered(b) => b.readable(),
            Self::Unordered(b) => b.readable(),
        }
    }

    /// A FIN says that the stream has `len` bytes; false if that contradicts what was received or
    /// an earlier FIN, and then nothing changes.
    pub(crate) fn set_end(&mut self, len: u64) -> bool {
        match self {
            Self::Ordered(b) => b.set_end(len),
            Self::Unordered(b) => b.set_end(len),
        }
    }

    /// Length of the stream, once it is known.
    pub(crate) fn end(&self) -> Option<u64> {
        match self {
            Self::Ordered(b) => b.end(),
            Self::Unordered(b) => b.end(),
        }
    }

    /// [`Self::edge`], with no more than so many bytes on their way to here.
    pub(crate) fn edge_within(&mut self, credit: u64) -> u64 {
        match self {
            Self::Ordered(b) => b.edge_within(credit),
            Self::Unordered(b) => b.edge_within(credit),
        }
    }

    /// The application holds a range, not beyond the end: it counts as received, and is never handed
    /// out. For unordered delivery.
    pub(crate) fn have(&mut self, range: Range<u64>) {
        match self {
            Self::Ordered(_) => {}
            Self::Unordered(b) => b.have(range),
        }
    }

    /// The application lacks a range after all: what was received of it is given, and will be handed
    /// out when it comes again. For unordered delivery.
    pub(crate) fn take_back(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        match self {
            Self::Ordered(_) => Vec::new(),
            Self::Unordered(b) => b.take_back(range),
        }
    }

    /// Memory that it takes beside the bytes themselves.
    #[cfg(test)]
    pub(super) fn overhead(&self) -> usize {
        match self {
            Self::Ordered(b) => b.overhead(),
            Self::Unordered(b) => b.overhead(),
        }
    }

    /// Whether all bytes up to the end have arrived.
    pub(crate) fn complete(&self) -> bool {
        self.end() == Some(self.next())
    }

    /// Whether they have all been read as well.
    pub(crate) fn drained(&self) -> bool {
        self.complete() && !self.readable()
    }
}

/// Whether a FIN at `len` agrees with an earlier one and with the highest byte received.
pub(super) fn end_agrees(earlier: Option<u64>, highest: u64, len: u64) -> bool {
    earlier.is_none_or(|end| end == len) && highest <= len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Delivery; 2] = [Delivery::Ordered, Delivery::Unordered];

    fn byte(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn segment(start: u64, end: u64) -> Vec<u8> {
        (start..end).map(byte).collect()
    }

    /// What the application has got, and the check that each byte is right and new.
    struct Sink(Vec<bool>);

    impl Sink {
        fn take(&mut self, buffer: &mut RecvBuffer, max: usize) -> bool {
            let mut buf = vec![0; max];
            let Some((offset, n)) = buffer.read(&mut buf) else { return false };
            assert!((1..=max).contains(&n));
            for (at, &b) in (offset..).zip(&buf[..n]) {
                assert_eq!(b, byte(at));
                assert!(!std::mem::replace(&mut self.0[at as usize], true), "{at} twice");
            }
            true
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_once_and_right(
            unordered: bool,
            len in 1..2000u64,
            mut capacity in 1..400usize,
            ops in prop::collection::vec((0..2000u64, 1..300u64, 0..400usize, any::<bool>()), 0..150),
        ) {
            let mut buffer = RecvBuffer::new(KINDS[usize::from(unordered)], capacity);
            let (mut sink, mut here) = (Sink(vec![false; len as usize]), vec![false; len as usize]);
            let mut edge = 0;
            for (at, span, read, near) in ops {
                // Half of them begin near what is wanted, else small buffers refuse nearly all.
                let at = if near { buffer.next().saturating_sub(span / 2) + at % 50 } else { at };
                let (start, end) = (at.min(len - 1), (at.min(len - 1) + span).min(len));
                let seen = &mut here[start as usize..end as usize];
                let fresh = seen.iter().filter(|s| !**s).count() as u64;
                let inside = end <= buffer.edge();
                match buffer.accept(start, &segment(start, end)) {
                    Accepted::Stored { fresh: stored } => {
                        prop_assert_eq!(stored, fresh);
                        prop_assert!(inside || unordered);
                        seen.fill(true);
                    }
                    Accepted::Refused => prop_assert!(!inside || (unordered && fresh > 0)),
                }
                if read > 200 {
                    sink.take(&mut buffer, read);
                } else if read > 190 {
                    capacity += read;
                    buffer.grow(capacity);
                }
                prop_assert_eq!(buffer.next(), here.iter().take_while(|h| **h).count() as u64);
                prop_assert!(buffer.edge() >= edge);
                edge = buffer.edge();
                let held = here.iter().zip(&sink.0).filter(|(h, s)| **h && !**s).count();
                prop_assert!(held <= capacity);
            }
            prop_assert!(buffer.set_end(len));
            prop_assert!(!buffer.set_end(len + 1) && !buffer.set_end(len - 1));
            // A sender that repeats what is missing, and a reader, bring it to the end.
            while !buffer.drained() {
                while sink.take(&mut buffer, 64) {}
                let next = buffer.next();
                let end = (next + capacity.min(7) as u64).min(len).min(buffer.edge());
                prop_assert!(buffer.complete() || end > next, "stuck");
                let got = buffer.accept(next, &segment(next, end));
                prop_assert_ne!(got, Accepted::Refused);
            }
            prop_assert!(sink.0.iter().all(|got| *got));
            prop_assert_eq!(buffer.next(), len);
        }
    }

    #[test]
    fn the_first_bytes_win() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, 100);
            assert_eq!(buffer.accept(2, b"cd"), Accepted::Stored { fresh: 2 });
            assert_eq!(buffer.accept(0, b"uvwxyz"), Accepted::Stored { fresh: 4 });
            assert_eq!(buffer.accept(0, b"YYYYYYY"), Accepted::Stored { fresh: 1 });
            let (mut got, mut buf) = ([0; 7], [0; 10]);
            while let Some((at, n)) = buffer.read(&mut buf) {
                got[at as usize..][..n].copy_from_slice(&buf[..n]);
            }
            assert_eq!(&got, b"uvcdyzY");
        }
    }

    #[test]
    fn the_end_is_kept_to() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, 100);
            buffer.accept(5, b"fgh");
            assert!(!buffer.set_end(7), "8 bytes are known");
            assert!(buffer.set_end(10) && buffer.set_end(10));
            assert_eq!(buffer.end(), Some(10));
            assert_eq!(buffer.accept(8, b"ijk"), Accepted::Refused);
            assert_eq!(buffer.accept(8, b"ij"), Accepted::Stored { fresh: 2 });
            assert!(!buffer.complete());
            buffer.accept(0, b"abcde");
            assert!(buffer.complete() && !buffer.drained());
            while buffer.read(&mut [0; 100]).is_some() {}
            assert!(buffer.drained());
        }
    }

    #[test]
    fn an_empty_stream_is_complete_at_once() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, 0);
            assert_eq!(buffer.accept(0, b"a"), Accepted::Refused);
            assert_eq!(buffer.accept(0, b""), Accepted::Stored { fresh: 0 });
            assert!(buffer.set_end(0) && buffer.drained());
        }
    }

    #[test]
    fn no_offset_overflows() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, 100);
            assert_eq!(buffer.accept(u64::MAX, b"ab"), Accepted::Refused);
            assert_eq!(buffer.accept(u64::MAX - 1, b"a"), Accepted::Refused);
            assert_eq!(buffer.next(), 0);
        }
    }
}
