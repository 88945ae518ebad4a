//! The bytes that a session sends, whichever way they come.

use super::source::Source;
use crate::error::EndError;
use crate::wire::MAX_OFFSET;
use core::fmt;
use core::ops::Range;
use smoltcp::storage::RingBuffer;
use std::sync::Arc;

/// Not all of a range can be read now: a source is yet to supply it, or a ring has given it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAtHand;

/// The bytes of a session, to be read once per segment and again for each repair.
#[derive(Debug)]
pub(crate) struct Store {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ring(Ring),
    Source(Source),
}

impl Store {
    /// A stream, written once, of which the last `capacity` bytes at most are held; allocated
    /// here and now.
    pub(crate) fn ring(capacity: usize) -> Self {
        Self { kind: Kind::Ring(Ring { held: RingBuffer::new(vec![0; capacity]), base: 0 }) }
    }

    /// A source of `len` bytes, if that is known, asked for block by block and as often as it takes.
    /// `declares`: what is read ahead of it, [`Self::read_ahead`] says.
    pub(crate) fn source(len: Option<u64>, declares: bool) -> Self {
        Self { kind: Kind::Source(Source::new(len, declares)) }
    }

    /// Whether this is a source rather than a ring.
    pub(crate) fn is_source(&self) -> bool {
        matches!(self.kind, Kind::Source(_))
    }

    /// Whether the end of all bytes is known: of a ring, it may be now, if nothing more is written.
    pub(crate) fn is_ended(&self) -> bool {
        match &self.kind {
            Kind::Ring(_) => true,
            Kind::Source(source) => source.is_ended(),
        }
    }

    /// The length of a source becomes known.
    pub(crate) fn set_end(&mut self, len: u64) -> Result<(), EndError> {
        match &mut self.kind {
            Kind::Ring(_) => Err(EndError::Stream),
            Kind::Source(source) => source.set_end(len),
        }
    }

    /// More of a source is known to exist.
    pub(crate) fn grow(&mut self, to: u64) -> Result<(), EndError> {
        match &mut self.kind {
            Kind::Ring(_) => Err(EndError::Stream),
            Kind::Source(source) => source.grow(to),
        }
    }

    /// One beyond the last byte there is: written so far, or the source's length; while that is not
    /// known, how far it exists, or else what a session can carry at most.
    pub(crate) fn end(&self) -> u64 {
        match &self.kind {
            Kind::Ring(ring) => ring.end(),
            Kind::Source(source) => source.len(),
        }
    }

    /// One beyond the last byte that there can come to be: until the end is known, what a session can carry.
    pub(crate) fn most(&self) -> u64 {
        if self.is_ended() { self.end() } else { MAX_OFFSET }
    }

    /// Bytes that a ring can hold.
    pub(crate) fn capacity(&self) -> Option<u64> {
        match &self.kind {
            Kind::Ring(ring) => Some(ring.held.capacity() as u64),
            Kind::Source(_) => None,
        }
    }

    /// First byte that can be read; of a source, 0.
    pub(crate) fn base(&self) -> u64 {
        match &self.kind {
            Kind::Ring(ring) => ring.base,
            Kind::Source(_) => 0,
        }
    }

    /// Appends to a ring what fits, and gives how much that was; 0 for a source.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        match &mut self.kind {
            Kind::Ring(ring) => {
                // No segment can say an offset beyond.
                let most = MAX_OFFSET.saturating_sub(ring.end()).min(bytes.len() as u64);
                ring.held.enqueue_slice(&bytes[..most as usize])
            }
            Kind::Source(_) => 0,
        }
    }

    /// Bytes below `upto` are not needed any more: a ring drops them, a source ignores it.
    pub(crate) fn release(&mut self, upto: u64) {
        if let Kind::Ring(ring) = &mut self.kind {
            let n = upto.min(ring.end()).saturating_sub(ring.base);
            ring.held.dequeue_allocated(n as usize);
            ring.base += n;
        }
    }

    /// Fills `out` with the bytes at `offset`, if all of them can be had now; else `out` is
    /// unspecified, and a source wants the blocks that are missing. In any case it wants the blocks
    /// after the last one read, but for one of which [`Self::read_ahead`] says which.
    pub(crate) fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), NotAtHand> {
        match &mut self.kind {
            Kind::Ring(ring) => ring.read(offset, out),
            Kind::Source(source) => source.read(offset, out),
        }
    }

    /// Whether a whole range can be read now.
    pub(crate) fn has(&self, range: &Range<u64>) -> bool {
        match &self.kind {
            Kind::Ring(ring) => range.start >= ring.base && range.end <= ring.end(),
            Kind::Source(source) => source.has(range),
        }
    }

    /// Wants what is missing of a range, so that [`Self::read`] will find it.
    pub(crate) fn want(&mut self, range: &Range<u64>) {
        if let Kind::Source(source) = &mut self.kind {
            source.want(range);
        }
    }

    /// The last block that was read since this was asked, of a source of which what is read ahead is said.
    pub(crate) fn take_passed(&mut self) -> Option<u64> {
        match &mut self.kind {
            Kind::Ring(_) => None,
            Kind::Source(source) => source.take_passed(),
        }
    }

    /// Wants the next blocks after one that was read of which any is needed; `needed(at)` gives the first
    /// byte at or after `at` that is. `false`: there was no room for all of them.
    pub(crate) fn read_ahead(&mut self, block: u64, needed: impl Fn(u64) -> Option<u64>) -> bool {
        match &mut self.kind {
            Kind::Ring(_) => true,
            Kind::Source(source) => source.read_ahead(block, needed),
        }
    }

    /// The next block that a source wants: of 1 MiB, aligned, but for the last one.
    /// Each is given once, until it was supplied and has left the cache again.
    pub(crate) fn next_need(&mut self) -> Option<Range<u64>> {
        match &mut self.kind {
            Kind::Ring(_) => None,
            Kind::Source(source) => source.next_need(),
        }
    }

    /// Whether [`Self::next_need`] has one.
    pub(crate) fn has_need(&self) -> bool {
        match &self.kind {
            Kind::Ring(_) => false,
            Kind::Source(source) => source.has_need(),
        }
    }

    /// Takes a block that was asked for; false, and then nothing changes, if `offset` and length
    /// are not those of a block that [`Self::next_need`] gave and still waits for.
    pub(crate) fn supply(&mut self, offset: u64, bytes: Arc<[u8]>) -> bool {
        match &mut self.kind {
            Kind::Ring(_) => false,
            Kind::Source(source) => source.supply(offset, bytes),
        }
    }
}

/// The tail of a stream.
struct Ring {
    held: RingBuffer<'static, u8>,
    /// Stream offset of the first byte held.
    base: u64,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("held", &(self.base..self.end())).finish_non_exhaustive()
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.base + self.held.len() as u64
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), NotAtHand> {
        let inside = offset >= self.base
            && offset.checked_add(out.len() as u64).is_some_and(|end| end <= self.end());
        if inside && self.held.read_allocated((offset - self.base) as usize, out) == out.len() {
            Ok(())
        } else {
            Err(NotAtHand)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ring_holds_what_was_written_and_not_released(
            capacity in 0..64usize,
            ops in prop::collection::vec((0..3u8, 0..80u64, 0..40usize), 1..100),
        ) {
            let (mut store, mut model, mut base) = (Store::ring(capacity), Vec::new(), 0u64);
            for (op, at, n) in ops {
                let end = model.len() as u64;
                match op {
                    0 => {
                        let bytes: Vec<u8> = (end..end + n as u64).map(|o| (o * 7) as u8).collect();
                        let fits = n.min(capacity - (end - base) as usize);
                        prop_assert_eq!(store.write(&bytes), fits);
                        model.extend_from_slice(&bytes[..fits]);
                    }
                    1 => {
                        let upto = base + at % 16;
                        store.release(upto);
                        base = upto.min(end).max(base);
                    }
                    _ => {
                        let mut out = vec![0; n];
                        let at = (base + at).saturating_sub(10);
                        let inside = at >= base && at + n as u64 <= end;
                        prop_assert_eq!(store.read(at, &mut out).is_ok(), inside);
                        if inside {
                            prop_assert_eq!(&out[..], &model[at as usize..][..n]);
                        }
                    }
                }
                prop_assert_eq!((store.base(), store.end()), (base, model.len() as u64));
            }
        }
    }

    #[test]
    fn each_kind_answers_for_itself_only() {
        let mut ring = Store::ring(10);
        assert!(!ring.is_source() && !ring.has_need() && ring.next_need().is_none());
        assert!(!ring.supply(0, Arc::from([0])));
        assert_eq!(ring.read(u64::MAX, &mut [0; 4]), Err(NotAtHand));
        assert_eq!(ring.set_end(4), Err(EndError::Stream));
        ring.release(u64::MAX);
        assert_eq!((ring.base(), ring.end()), (0, 0));
        let mut source = Store::source(Some(10), false);
        assert!(source.is_source());
        assert_eq!(source.write(b"abc"), 0);
        source.release(5);
        assert_eq!((source.base(), source.end()), (0, 10));
        assert!(source.read(2, &mut [0; 4]).is_err() && source.has_need());
        assert_eq!(source.next_need(), Some(0..10));
        assert!(source.supply(0, Arc::from(*b"abcdefghij")));
        let mut out = [0; 4];
        assert_eq!(source.read(2, &mut out), Ok(()));
        assert_eq!(&out, b"cdef");
    }
}
