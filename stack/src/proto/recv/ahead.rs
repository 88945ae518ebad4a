//! How far ahead a number of lacking bytes reaches, where ranges ahead of what has arrived are held.

use crate::proto::ranges::RangeSet;
use crate::wire::MAX_OFFSET;
use core::ops::Range;

/// A place beyond the highest byte that has arrived, and how many bytes lack before it. It moves on and
/// is told what changes behind it, so that each held piece is stepped over once, however many there are.
#[derive(Debug)]
pub(super) struct Ahead {
    /// One beyond the highest byte that has arrived.
    highest: u64,
    at: u64,
    /// Bytes that lack from `highest` to `at`.
    lacking: u64,
}

impl Ahead {
    pub(super) fn new(highest: u64) -> Self {
        Self { highest, at: highest, lacking: 0 }
    }

    /// The place, moved on until so many bytes lack before it, or to the end of all offsets. It does not
    /// go back.
    pub(super) fn reach(&mut self, bytes: u64, held: &RangeSet) -> u64 {
        while self.lacking < bytes && self.at < MAX_OFFSET {
            let piece = held.first_from(self.at).unwrap_or(MAX_OFFSET..MAX_OFFSET);
            if piece.start == self.at {
                self.at = piece.end;
                continue;
            }
            let step = (piece.start - self.at).min(bytes - self.lacking);
            self.at += step;
            self.lacking += step;
        }
        self.at
    }

    /// More bytes lack before it than so many.
    pub(super) fn exceeds(&self, bytes: u64) -> bool {
        self.lacking > bytes
    }

    /// Bytes up to `end` have arrived; `held` is without them yet. What lacks before them is no longer
    /// ahead.
    pub(super) fn pass(&mut self, end: u64, held: &RangeSet) {
        if end >= self.at {
            *self = Self::new(end);
        } else if end > self.highest {
            self.lacking -= gaps(held, self.highest..end);
            self.highest = end;
        }
    }

    /// A range is held; `held` is without it yet.
    pub(super) fn fill(&mut self, range: &Range<u64>, held: &RangeSet) {
        self.lacking -= gaps(held, self.behind(range));
    }

    /// A range is held no longer; `held` is still with it.
    pub(super) fn open(&mut self, range: &Range<u64>, held: &RangeSet) {
        self.lacking += held.overlap(self.behind(range)).map(|r| r.end - r.start).sum::<u64>();
    }

    /// The part of a range that lies before the place.
    fn behind(&self, range: &Range<u64>) -> Range<u64> {
        range.start.max(self.highest)..range.end.min(self.at)
    }
}

fn gaps(held: &RangeSet, range: Range<u64>) -> u64 {
    held.gaps(range).map(|gap| gap.end - gap.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a look at every piece gives.
    fn by_hand(held: &RangeSet, highest: u64, mut bytes: u64) -> u64 {
        for gap in held.gaps(highest..MAX_OFFSET) {
            if gap.end - gap.start >= bytes {
                return gap.start + bytes;
            }
            bytes -= gap.end - gap.start;
        }
        MAX_OFFSET
    }

    proptest! {
        #[test]
        fn is_where_a_look_at_every_piece_leads(
            ops in prop::collection::vec((0..4_u8, 0..400_u64, 1..60_u64), 1..80),
            room in 1..100_u64,
        ) {
            let (mut held, mut highest) = (RangeSet::new(), 0);
            let mut ahead = Ahead::new(0);
            let mut reached = 0;
            for (what, start, len) in ops {
                let range = start..start + len;
                match what {
                    0 => {
                        ahead.fill(&range, &held);
                        held.insert(range);
                    }
                    1 => {
                        ahead.open(&range, &held);
                        held.remove(range);
                    }
                    2 => {
                        ahead.pass(range.end, &held);
                        highest = range.end.max(highest);
                        held.insert(range);
                    }
                    _ => {}
                }
                let wanted = by_hand(&held, highest, room);
                if ahead.exceeds(room) {
                    prop_assert!(wanted <= reached);
                    ahead = Ahead::new(highest);
                }
                reached = ahead.reach(room, &held);
                prop_assert_eq!(reached, wanted);
            }
        }
    }
}
