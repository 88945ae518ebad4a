//! A ring of bytes whose memory comes with the bytes: a session that has got nothing, and the hundreds that
//! wait beside it, cost none.

use core::fmt;
use smoltcp::storage::RingBuffer;
use zeroize::Zeroize;

/// Least memory that is taken at once: a page, as nearly all processors have it.
const LEAST: usize = 4096;

/// Allocated: queued and not yet taken. Unallocated: the rest of the room, in which bytes beyond a hole
/// stand already.
pub(crate) struct Ring {
    held: RingBuffer<'static, u8>,
    /// Bytes that it may hold; [`Self::held`] has memory for as many of them as were needed so far.
    capacity: usize,
    /// What was taken out, and all of it in the end, is overwritten: it carries keys.
    wiped: bool,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("memory", &self.held.capacity())
            .finish_non_exhaustive()
    }
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self::of(capacity, false)
    }

    /// One for bytes that are not to be found in memory once they were taken out.
    pub(crate) fn wiped(capacity: usize) -> Self {
        Self::of(capacity, true)
    }

    fn of(capacity: usize, wiped: bool) -> Self {
        Self { held: RingBuffer::new(Vec::new()), capacity, wiped }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes queued.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes for which there is room.
    pub(crate) fn window(&self) -> usize {
        self.capacity - self.len()
    }

    /// Room for `capacity` bytes in all, if that is more than there is.
    pub(crate) fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Queues bytes, for which there is room. Not together with [`Self::put`]: what stands behind a hole may lose
    /// its place.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.provide(self.len() + bytes.len());
        let written = self.held.enqueue_slice(bytes);
        debug_assert_eq!(written, bytes.len());
    }

    /// Puts bytes behind those queued, with so many between; there is room for both.
    pub(crate) fn put(&mut self, gap: usize, bytes: &[u8]) {
        self.provide(self.len() + gap + bytes.len());
        let written = self.held.write_unallocated(gap, bytes);
        debug_assert_eq!(written, bytes.len());
    }

    /// Queues so many of the bytes that were put behind those queued.
    pub(crate) fn join(&mut self, bytes: usize) {
        self.held.enqueue_unallocated(bytes);
    }

    /// Takes out as many bytes as `buf` has room for and are queued, and gives their number.
    pub(crate) fn take(&mut self, buf: &mut [u8]) -> usize {
        if !self.wiped {
            return self.held.dequeue_slice(buf);
        }
        let mut taken = 0;
        // Two pieces, where the ring wraps.
        while taken < buf.len() && !self.held.is_empty() {
            let piece = self.held.dequeue_many(buf.len() - taken);
            buf[taken..taken + piece.len()].copy_from_slice(piece);
            taken += piece.len();
            piece.zeroize();
        }
        taken
    }

    /// Copies queued bytes, the first of them those behind `at` others.
    pub(crate) fn copy(&self, at: usize, to: &mut [u8]) {
        let mut done = 0;
        // Two pieces, where the ring wraps.
        while done < to.len() {
            let piece = self.held.get_allocated(at + done, to.len() - done);
            if piece.is_empty() {
                debug_assert!(false, "so many are not queued");
                return;
            }
            to[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
    }

    /// Drops so many of the queued bytes, all at most.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 && !self.held.is_empty() {
            let piece = self.held.dequeue_many(left);
            left -= piece.len();
            self.wiped.then(|| piece.zeroize());
        }
    }

    /// Sees to it that there is memory for `bytes`, queued ones and what is put behind them. It doubles, so
    /// that a byte is moved once on average.
    fn provide(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.capacity);
        if bytes <= self.held.capacity() {
            return;
        }
        self.replace(bytes.next_power_of_two().max(LEAST).min(self.capacity));
    }

    /// Goes on in other memory, a larger piece; gives what it had before.
    fn replace(&mut self, memory: usize) -> RingBuffer<'static, u8> {
        let mut larger = RingBuffer::new(vec![0; memory]);
        // Each byte to its place: first what is queued, then all that may stand behind it.
        let mut left = self.held.len();
        while left > 0 {
            let piece = self.held.dequeue_many(left);
            left -= larger.enqueue_slice(piece);
            self.wiped.then(|| piece.zeroize());
        }
        self.held.enqueue_unallocated(self.held.capacity() - larger.len());
        let mut at = 0;
        self.drain(|piece| at += larger.write_unallocated(at, piece));
        core::mem::replace(&mut self.held, larger)
    }

    /// Takes out all that is queued.
    fn drain(&mut self, mut to: impl FnMut(&[u8])) {
        while !self.held.is_empty() {
            let piece = self.held.dequeue_many(usize::MAX);
            to(piece);
            self.wiped.then(|| piece.zeroize());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.wiped {
            // All of its memory: also what nobody has taken, and what stands beyond a hole.
            self.held.enqueue_unallocated(self.held.window());
            self.drain(|_| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// All bytes of its memory.
    fn memory(ring: &mut Ring) -> Vec<u8> {
        let mut all = Vec::new();
        ring.held.enqueue_unallocated(ring.held.window());
        ring.drain(|piece| all.extend_from_slice(piece));
        all
    }

    /// Whether a byte is left in the memory that it moves away from.
    fn leaves_something(ring: &mut Ring) -> bool {
        let mut before = ring.replace(64);
        before.enqueue_unallocated(before.window());
        (0..before.len()).any(|at| before.get_allocated(at, 1) != [0])
    }

    #[test]
    fn memory_comes_with_the_bytes() {
        let mut ring = Ring::new(2 << 20);
        assert_eq!((ring.window(), ring.held.capacity()), (2 << 20, 0));
        ring.push(b"a");
        assert_eq!(ring.held.capacity(), LEAST);
        ring.put(3 * LEAST, b"b");
        assert_eq!(ring.held.capacity(), 4 * LEAST);
        ring.put((2 << 20) - 2, b"c");
        assert_eq!((ring.window(), ring.held.capacity()), ((2 << 20) - 1, 2 << 20));
        ring.grow(3 << 20);
        ring.put((2 << 20) - 1, b"d");
        assert_eq!(ring.held.capacity(), 3 << 20);
    }

    #[test]
    fn what_was_taken_is_not_kept_where_it_carries_keys() {
        for (new, kept) in [(Ring::new as fn(usize) -> _, true), (Ring::wiped, false)] {
            let (mut ring, mut buf) = (new(8), [0; 8]);
            // It wraps, and later bytes come first.
            for _ in 0..3 {
                ring.put(3, b"de");
                ring.put(0, b"abc");
                ring.join(5);
                assert_eq!((ring.take(&mut buf[..2]), ring.take(&mut buf)), (2, 3));
                assert_eq!(&buf[..3], b"cde");
            }
            assert_eq!(memory(&mut ring).iter().any(|&byte| byte != 0), kept);
        }
        for (new, kept) in [(Ring::new as fn(usize) -> _, true), (Ring::wiped, false)] {
            // What was not wanted, as well.
            let mut ring = new(8);
            ring.push(b"abcd");
            ring.skip(4);
            assert_eq!(memory(&mut ring).iter().any(|&byte| byte != 0), kept);
            // And where it moved from, and in the end all of it.
            let mut ring = new(8);
            ring.push(b"abcd");
            ring.skip(3);
            ring.put(2, b"g");
            assert_eq!(leaves_something(&mut ring), kept);
            assert_eq!((ring.len(), ring.held.capacity()), (1, 64));
            let held = memory(&mut ring);
            assert_eq!(&held[..4], b"d\0\0g");
            assert_eq!(held[4..].iter().any(|&byte| byte != 0), kept);
            assert_eq!(memory(&mut ring).iter().any(|&byte| byte != 0), kept);
            // Nor does a second copy stand where it moved to.
            let mut ring = new(2 * LEAST);
            ring.push(&[1; LEAST - 1000]);
            ring.push(&[2; 2000]);
            ring.skip(LEAST + 1000);
            assert_eq!(memory(&mut ring).iter().any(|&byte| byte != 0), kept);
        }
    }

    proptest! {
        /// Beside a queue and the bytes beyond it, whatever its memory is.
        #[test]
        fn bytes_come_out_as_they_were_put(
            wiped: bool,
            ops in prop::collection::vec((0..4u8, 0..9000usize, 1..9000usize), 1..100),
        ) {
            let mut ring = if wiped { Ring::wiped(10_000) } else { Ring::new(10_000) };
            let (mut queued, mut beyond) = (VecDeque::new(), VecDeque::new());
            let mut next = 0u8;
            let mut fresh = |n| -> Vec<u8> {
                std::iter::repeat_with(|| { next = next.wrapping_add(1); next }).take(n).collect()
            };
            for (kind, gap, n) in ops {
                let room = ring.window();
                match kind {
                    0 | 1 if gap <= room => {
                        let bytes = fresh(n.min(room - gap));
                        ring.put(gap, &bytes);
                        beyond.resize(beyond.len().max(gap + bytes.len()), None);
                        beyond.iter_mut().skip(gap).zip(bytes).for_each(|(at, byte)| *at = Some(byte));
                    }
                    2 => {
                        let n = n.min(beyond.len());
                        ring.join(n);
                        queued.extend(beyond.drain(..n));
                    }
                    _ => {
                        let mut all = vec![0; queued.len()];
                        ring.copy(0, &mut all);
                        prop_assert!(all.iter().zip(&queued).all(|(is, put)| put.is_none_or(|put: u8| put == *is)));
                        let skipped = if n % 2 == 0 { queued.len().min(gap / 10) } else { 0 };
                        ring.skip(skipped);
                        queued.drain(..skipped);
                        let mut buf = vec![0; n];
                        let taken = ring.take(&mut buf);
                        prop_assert_eq!(taken, n.min(queued.len()));
                        for (byte, put) in buf.iter().zip(queued.drain(..taken)) {
                            prop_assert!(put.is_none_or(|put: u8| put == *byte));
                        }
                    }
                }
                prop_assert_eq!(ring.len(), queued.len());
            }
        }
    }
}
