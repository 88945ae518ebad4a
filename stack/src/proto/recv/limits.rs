//! What a session's reassembly may cost in memory, beside the bytes themselves: a stated number of
//! bytes, whatever its sender does. At the limit what fills holes is still taken, from the lowest on.

use crate::proto::ranges::RangeSet;
use core::ops::Range;

/// Memory for the pieces of the stream that have arrived apart from each other. A piece takes 16 bytes
/// where many stand together and 64 at worst, so this is some hundred thousand of them: more than one
/// lost segment in two of the largest buffer makes.
const PIECES: usize = 5 << 20;
/// More of it, for pieces in the lowest hole: what is repaired there comes in no order either.
const LOWEST: usize = 512 << 10;
/// Memory for the queue of segments that are handed out as they came.
const QUEUE: usize = 2 << 20;
/// Of the places in that queue, one in so many is kept for what lies in the lowest hole.
const KEPT: usize = 16;
/// A queue of more bytes than that memory is enough for has one place per so many: fewer than any
/// full segment has, so that only tiny segments meet the limit.
const BYTES_PER_PLACE: usize = 1024;

/// Whether a segment may be taken, though that may make one piece more. `own`: memory that pieces take
/// because of what the application said; `next`: the first byte not yet received in order.
#[inline]
pub(super) fn admits(pieces: &RangeSet, own: usize, segment: &Range<u64>, next: u64) -> bool {
    let spent = pieces.bytes().saturating_sub(own);
    spent < PIECES
        || segment.start <= next
        || pieces.joins(segment)
        || (spent < PIECES + LOWEST && is_lowest(pieces, segment.start, next))
}

/// How many entries of so many bytes a queue may have. `lowest`: the segment lies in the lowest hole.
pub(super) fn places(capacity: usize, entry: usize, lowest: bool) -> usize {
    let all = (QUEUE / entry).max(capacity / BYTES_PER_PLACE);
    if lowest { all } else { all - all / KEPT }
}

/// Whether an offset lies in the lowest hole, which begins at `next`.
pub(super) fn is_lowest(pieces: &RangeSet, offset: u64, next: u64) -> bool {
    pieces.first_from(next).is_none_or(|piece| offset < piece.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Delivery;
    use crate::proto::recv::buffer::{Accepted, RecvBuffer};

    const KINDS: [Delivery; 2] = [Delivery::Ordered, Delivery::Unordered];
    /// What all of it comes to: PIECES, LOWEST and QUEUE, and a chunk more.
    const ALL: usize = 8 << 20;
    /// Bytes of the stream that the worst sender sends, each alone.
    const LEN: u64 = 2 << 20;

    /// So many numbers in no order, each once: a power of two.
    fn scattered(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |n| n.wrapping_mul(0x9e37_79b9) % count)
    }

    fn accept(buffer: &mut RecvBuffer, at: u64, bytes: &[u8]) -> bool {
        let taken = matches!(buffer.accept(at, bytes), Accepted::Stored { .. });
        assert!(buffer.overhead() <= ALL, "{} bytes", buffer.overhead());
        taken
    }

    fn drain(buffer: &mut RecvBuffer) {
        while buffer.read(&mut [0; 4096]).is_some() {}
    }

    #[test]
    fn one_block_in_a_hundred_of_a_million_costs_a_mebibyte_at_most() {
        const BLOCK: u64 = 32;
        const BLOCKS: u64 = 1 << 20;
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, (BLOCK * BLOCKS) as usize);
            for at in scattered(BLOCKS).filter(|n| n % 100 == 7) {
                assert!(accept(&mut buffer, at * BLOCK, &[0; BLOCK as usize]));
                assert!(buffer.overhead() <= 1 << 20, "{kind:?}: {} bytes", buffer.overhead());
            }
        }
    }

    /// Every other byte, in no order, then the rest from the first to the last.
    #[test]
    fn the_worst_sender_costs_what_is_stated_and_the_lowest_holes_still_fill() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, LEN as usize);
            let mut refused = 0;
            for n in scattered(LEN / 2).filter(|n| *n > 5) {
                refused += usize::from(!accept(&mut buffer, 2 * n + 1, b"x"));
                if kind == Delivery::Unordered {
                    drain(&mut buffer);
                }
            }
            assert!(refused > 0 && buffer.overhead() >= PIECES, "{kind:?}: it met no limit");
            assert!(accept(&mut buffer, 8, b"x"), "{kind:?}: within the lowest hole");
            for at in 0..LEN {
                assert!(accept(&mut buffer, at, b"x"), "{kind:?}: {at}");
                drain(&mut buffer);
            }
            assert_eq!(buffer.next(), LEN);
        }
    }

    /// From the last byte to the first: each is in the lowest hole.
    #[test]
    fn what_comes_next_finds_memory_though_the_lowest_hole_is_full_of_pieces() {
        for kind in KINDS {
            let mut buffer = RecvBuffer::new(kind, LEN as usize);
            let mut least = LEN;
            for at in (1..LEN / 2).rev().map(|n| 2 * n) {
                if accept(&mut buffer, at, b"x") {
                    least = at;
                }
                if kind == Delivery::Unordered {
                    drain(&mut buffer);
                }
            }
            assert!(least > 2, "{kind:?}: it met no limit");
            for at in 0..LEN {
                assert!(accept(&mut buffer, at, b"x"), "{kind:?}: {at}");
                drain(&mut buffer);
            }
        }
    }

    #[test]
    fn a_queue_that_nobody_reads_keeps_places_for_the_lowest_hole() {
        let mut buffer = RecvBuffer::new(Delivery::Unordered, LEN as usize);
        // The first pieces leave a hole of many bytes at the start; more than it has places follow.
        let low = LEN / 2;
        let taken = (0..LEN / 4).filter(|n| accept(&mut buffer, low + 2 * n, b"x")).count();
        let some = places(LEN as usize, 16, false);
        assert_eq!(taken, some);
        let kept = (1..LEN / 8).filter(|n| accept(&mut buffer, low - 2 * n, b"x")).count();
        assert_eq!(kept, places(LEN as usize, 16, true) - some);
        assert!(buffer.read(&mut [0; 1]).is_some());
        assert!(accept(&mut buffer, 0, b"x"));
    }

    #[test]
    fn what_the_application_holds_takes_nothing_from_what_arrives() {
        let mut buffer = RecvBuffer::new(Delivery::Unordered, LEN as usize);
        let held = 1_000_000;
        (0..held).for_each(|n| buffer.have(100 * n..100 * n + 50));
        let own = buffer.overhead();
        assert!(own > 2 * PIECES);
        let mut arrived = 0;
        for n in (0..held).rev() {
            let taken = matches!(buffer.accept(100 * n + 70, b"x"), Accepted::Stored { .. });
            arrived += u64::from(taken);
            drain(&mut buffer);
        }
        assert!(arrived > 100_000, "{arrived}");
        assert!(buffer.overhead() < own + ALL, "{} bytes", buffer.overhead());
        // Held pieces that have grown together give no room to others.
        buffer.have(0..100 * held);
        assert!(buffer.overhead() < 1 << 20);
        for n in scattered(LEN) {
            buffer.accept(100 * held + 10 * n, b"x");
            drain(&mut buffer);
        }
        assert!(buffer.overhead() < ALL, "{} bytes", buffer.overhead());
    }
}
