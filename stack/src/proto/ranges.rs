//! Sets of stream offsets or packet numbers, kept as ranges.

mod pieces;

use core::iter::once;
use core::ops::Range;
use pieces::{Pieces, Place};

/// A set of `u64` as sorted, disjoint, non-adjacent half-open ranges, its *pieces*.
///
/// Made for sets that change at their ends: appending and taking from the front cost O(1) moves,
/// and every query is a binary search. A change in the middle moves no more than a chunk of the
/// pieces, so that a set may have hundreds of thousands. An empty or inverted range is a no-op
/// wherever one is given. `u64::MAX` itself cannot be a member, since ranges are half-open.
#[derive(Debug, Clone, Default)]
pub(crate) struct RangeSet {
    pieces: Pieces,
    /// Sum of the pieces' lengths, kept up to date because it is asked for per segment.
    total: u64,
}

impl PartialEq for RangeSet {
    fn eq(&self, other: &Self) -> bool {
        self.pieces.iter().eq(other.pieces.iter())
    }
}

impl Eq for RangeSet {}

impl RangeSet {
    /// The empty set; it allocates nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The set of one range.
    pub(crate) fn from_range(range: Range<u64>) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }

    /// Adds a range; what it overlaps or touches becomes one piece with it.
    pub(crate) fn insert(&mut self, Range { start, end }: Range<u64>) {
        if start >= end {
            return;
        }
        match self.pieces.last_mut() {
            // The usual case, data in order: the last piece grows, without a search.
            Some(last) if last.start <= start && start <= last.end => {
                if end > last.end {
                    self.total += end - last.end;
                    last.end = end;
                }
                return;
            }
            Some(last) if start <= last.end => {}
            _ => {
                self.pieces.push(start..end);
                self.total += end - start;
                return;
            }
        }
        let low = self.pieces.find(|p| p.end < start);
        let (mut merged, mut held, mut high) = (start..end, 0, low);
        while let Some(piece) = self.pieces.get(high)
            && piece.start <= end
        {
            merged = merged.start.min(piece.start)..merged.end.max(piece.end);
            held += piece.end - piece.start;
            high = self.pieces.next(high);
        }
        self.total += merged.end - merged.start - held;
        match self.pieces.get_mut(low) {
            Some(first) if high != low => {
                *first = merged;
                let behind = self.pieces.next(low);
                if behind != high {
                    self.pieces.cut(behind, high);
                }
            }
            _ => self.pieces.insert(low, merged),
        }
    }

    /// Takes a range out; a piece that reaches beyond it on both sides becomes two.
    pub(crate) fn remove(&mut self, Range { start, end }: Range<u64>) {
        let mut low = self.place_from(start);
        let Some(first) = self.pieces.get_mut(low) else { return };
        if start >= end || first.start >= end {
            return; // as mostly: sets of what is lost or owed are asked for every segment
        }
        if first.start < start {
            let first_end = core::mem::replace(&mut first.end, start);
            self.total -= first_end.min(end) - start;
            low = self.pieces.next(low);
            if first_end > end {
                return self.pieces.insert(low, end..first_end);
            }
        }
        let mut high = low;
        while let Some(piece) = self.pieces.get_mut(high)
            && piece.start < end
        {
            self.total -= piece.end.min(end) - piece.start;
            if piece.end > end {
                piece.start = end;
                break;
            }
            high = self.pieces.next(high);
        }
        if low != high {
            self.pieces.cut(low, high);
        }
    }

    /// Takes the first piece out.
    pub(crate) fn pop_first(&mut self) -> Option<Range<u64>> {
        let first = self.pieces.pop_first()?;
        self.total -= first.end - first.start;
        Some(first)
    }

    /// Whether the set has this member.
    pub(crate) fn contains(&self, value: u64) -> bool {
        self.first_from(value).is_some_and(|p| p.start == value)
    }

    /// Whether any of the range is in the set; false for an empty range.
    pub(crate) fn intersects(&self, range: &Range<u64>) -> bool {
        range.start < range.end && self.first_from(range.start).is_some_and(|p| p.start < range.end)
    }

    /// Whether inserting this range would join a piece rather than make a new one.
    pub(crate) fn joins(&self, range: &Range<u64>) -> bool {
        let at = self.pieces.find(|p| p.end < range.start);
        range.start < range.end && self.pieces.get(at).is_some_and(|p| p.start <= range.end)
    }

    /// The lowest piece.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.pieces.first().cloned()
    }

    /// The highest piece.
    pub(crate) fn last(&self) -> Option<Range<u64>> {
        self.pieces.last().cloned()
    }

    /// The first piece at or after `from`, cut to start there if it begins before.
    pub(crate) fn first_from(&self, from: u64) -> Option<Range<u64>> {
        let at = self.place_from(from);
        self.pieces.get(at).map(|p| p.start.max(from)..p.end)
    }

    /// The parts of the range that are not in the set, in order.
    pub(crate) fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let (mut at, end) = (range.start, range.end);
        self.overlap(range).chain(once(end..end)).filter_map(move |piece| {
            let gap = at..piece.start;
            at = piece.end;
            (gap.start < gap.end).then_some(gap)
        })
    }

    /// The parts of the range that are in the set, in order.
    pub(crate) fn overlap(
        &self,
        Range { start, end }: Range<u64>,
    ) -> impl Iterator<Item = Range<u64>> {
        // An empty range lies in no piece, wherever it is.
        let from = self.place_from(start);
        let touched = self.pieces.iter_from(from).take_while(move |p| p.start < end);
        touched
            .map(move |p| p.start.max(start)..p.end.min(end))
            .filter(|part| part.start < part.end)
    }

    /// All pieces, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + ExactSizeIterator {
        self.pieces.iter().cloned()
    }

    /// Number of pieces.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether the set has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.len() == 0
    }

    /// Number of members.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Memory that the pieces take, in bytes, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.bytes()
    }

    /// The first piece that reaches beyond `value`.
    fn place_from(&self, value: u64) -> Place {
        match self.pieces.last() {
            Some(last) if value < last.end => self.pieces.find(|p| p.end <= value),
            _ => self.pieces.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: usize = 96;
    /// Room for pieces of many chunks.
    const WIDE: u64 = 30 * pieces::CHUNK as u64;

    fn runs(bits: &[bool], from: usize, to: usize, value: bool) -> Vec<Range<u64>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        for (i, _) in bits.iter().enumerate().take(to).skip(from).filter(|(_, b)| **b == value) {
            let i = i as u64;
            match out.last_mut() {
                Some(last) if last.end == i => last.end = i + 1,
                _ => out.push(i..i + 1),
            }
        }
        out
    }

    fn check(set: &RangeSet, bits: &[bool], a: usize, b: usize) {
        let pieces = runs(bits, 0, bits.len(), true);
        assert_eq!(set.iter().collect::<Vec<_>>(), pieces);
        assert_eq!((set.first(), set.last()), (pieces.first().cloned(), pieces.last().cloned()));
        assert_eq!((set.len(), set.is_empty()), (pieces.len(), pieces.is_empty()));
        assert_eq!(set.total(), bits.iter().filter(|b| **b).count() as u64);
        let asked = a as u64..b as u64;
        assert_eq!(set.overlap(asked.clone()).collect::<Vec<_>>(), runs(bits, a, b, true));
        assert_eq!(set.gaps(asked.clone()).collect::<Vec<_>>(), runs(bits, a, b, false));
        let inside = if a < b { &bits[a..b] } else { &[] };
        assert_eq!(set.intersects(&asked), inside.iter().any(|b| *b));
        assert_eq!(set.contains(a as u64), bits.get(a).copied().unwrap_or(false));
        let rest = runs(bits, a, bits.len(), true);
        assert_eq!(set.first_from(a as u64), rest.first().cloned());
        let mut with = set.clone();
        with.insert(asked.clone());
        assert_eq!(set.joins(&asked), a < b && with.len() <= set.len());
    }

    proptest! {
        #[test]
        fn behaves_like_a_bitmap(
            ops in prop::collection::vec((any::<bool>(), 0..=SPAN, 0..=SPAN, any::<bool>()), 1..60),
            asked in (0..=SPAN, 0..=SPAN),
        ) {
            let (mut set, mut bits) = (RangeSet::new(), vec![false; SPAN]);
            for (add, a, b, short) in ops {
                let b = if short { (a + b % 5).min(SPAN) } else { b };
                if add {
                    set.insert(a as u64..b as u64);
                } else {
                    set.remove(a as u64..b as u64);
                }
                if a < b {
                    bits[a..b].fill(add);
                }
                check(&set, &bits, asked.0, asked.1);
            }
            if let Some(first) = set.pop_first() {
                bits[..first.end as usize].fill(false);
                check(&set, &bits, asked.0, asked.1);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// As above, with pieces for many chunks: runs of short ranges, upwards, downwards or
        /// scattered, with longer ones among them.
        #[test]
        fn behaves_like_a_bitmap_when_it_is_large(
            runs in prop::collection::vec(
                (0..4_u8, 0..3_u8, 0..WIDE, 1..WIDE, 1..5_u64, 2..7_u64), 1..25,
            ),
            asked in (0..WIDE, 0..WIDE),
        ) {
            let (mut set, mut bits) = (RangeSet::new(), vec![false; WIDE as usize]);
            for (what, order, from, count, len, step) in runs {
                // One in four takes one long range; the others many.
                let (count, len) = if what == 0 { (1, count / 4) } else { (count / step, len) };
                for i in 0..count {
                    let i = match order {
                        0 => i,
                        1 => count - 1 - i,
                        _ => i * 7919 % count,
                    };
                    let start = (from + i * step) % WIDE;
                    let end = (start + len).min(WIDE);
                    if what == 1 || (what == 0 && order == 0) {
                        set.remove(start..end);
                    } else {
                        set.insert(start..end);
                    }
                    bits[start as usize..end as usize].fill(what > 1 || (what == 0 && order > 0));
                }
                set.pieces.check();
                check(&set, &bits, asked.0 as usize, asked.1 as usize);
            }
            prop_assert!(set.iter().rev().eq(set.iter().collect::<Vec<_>>().into_iter().rev()));
            while let Some(first) = set.pop_first() {
                bits[..first.end as usize].fill(false);
                if set.len() % 97 == 0 {
                    set.pieces.check();
                    check(&set, &bits, asked.0 as usize, asked.1 as usize);
                }
            }
        }
    }

    /// A queue of pieces that moves along, longer than a chunk: after the first round it has all
    /// that it needs.
    #[test]
    fn memory_follows_the_number_of_pieces() {
        let mut set = RangeSet::new();
        for i in 0..1_000_000_u64 {
            set.insert(3 * i..3 * i + 1);
            if i >= 1000 {
                set.pop_first();
            }
            assert!(set.bytes() <= 40 << 10, "{} bytes", set.bytes());
        }
        // Ten thousand in random order: less than twice what the bare ranges take.
        let (mut set, mut state) = (RangeSet::new(), 1_u64);
        while set.len() < 10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = state >> 44 << 20;
            set.insert(at + 1..at + (1 << 20));
        }
        set.pieces.check();
        assert!(set.bytes() < 2 * 16 * 10_000, "{} bytes", set.bytes());
        set.remove(0..u64::MAX);
        assert!(set.bytes() < 32 << 10, "{} bytes", set.bytes());
    }

    #[test]
    fn works_at_the_end_of_the_number_space() {
        let mut set = RangeSet::from_range(0..u64::MAX);
        assert_eq!(set.total(), u64::MAX);
        set.remove(5..u64::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..5, u64::MAX - 1..u64::MAX]);
        assert!(!set.contains(u64::MAX));
        assert_eq!(set.first_from(u64::MAX), None);
        assert!(set.gaps(0..u64::MAX).eq(core::iter::once(5..u64::MAX - 1)));
    }
}
