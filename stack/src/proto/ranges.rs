//! Sets of stream offsets or packet numbers, kept as ranges.

use core::iter::once;
use core::ops::Range;
use std::collections::VecDeque;

/// A set of `u64` as sorted, disjoint, non-adjacent half-open ranges, its *pieces*.
///
/// Made for sets that change at their ends: appending and taking from the front cost O(1) moves
/// (a ring holds the pieces), a change in the middle moves the shorter side, and every query is a
/// binary search. An empty or inverted range is a no-op wherever one is given. `u64::MAX` itself
/// cannot be a member, since ranges are half-open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    pieces: VecDeque<Range<u64>>,
    /// Sum of the pieces' lengths, kept up to date because it is asked for per segment.
    total: u64,
}

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
        match self.pieces.back_mut() {
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
                self.pieces.push_back(start..end);
                self.total += end - start;
                return;
            }
        }
        let low = self.pieces.partition_point(|p| p.end < start);
        let high = self.pieces.partition_point(|p| p.start <= end);
        if low == high {
            self.pieces.insert(low, start..end);
            self.total += end - start;
            return;
        }
        let merged = self.pieces[low].start.min(start)..self.pieces[high - 1].end.max(end);
        let held: u64 = self.pieces.range(low..high).map(|p| p.end - p.start).sum();
        self.total += merged.end - merged.start - held;
        self.pieces[low] = merged;
        if high > low + 1 {
            self.pieces.drain(low + 1..high);
        }
    }

    /// Takes a range out; a piece that reaches beyond it on both sides becomes two.
    pub(crate) fn remove(&mut self, Range { start, end }: Range<u64>) {
        let Range { start: mut low, end: mut high } = self.touched(start, end);
        if low == high {
            return;
        }
        let gone: u64 =
            self.pieces.range(low..high).map(|p| p.end.min(end) - p.start.max(start)).sum();
        self.total -= gone;
        let last_end = self.pieces[high - 1].end;
        let (head, tail) = (self.pieces[low].start < start, end < last_end);
        if head && tail && low + 1 == high {
            self.pieces[low].end = start;
            self.pieces.insert(high, end..last_end);
            return;
        }
        if head {
            self.pieces[low].end = start;
            low += 1;
        }
        if tail {
            self.pieces[high - 1].start = end;
            high -= 1;
        }
        if low < high {
            self.pieces.drain(low..high);
        }
    }

    /// Takes the first piece out.
    pub(crate) fn pop_first(&mut self) -> Option<Range<u64>> {
        let first = self.pieces.pop_front()?;
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
        let at = self.pieces.partition_point(|p| p.end < range.start);
        range.start < range.end && self.pieces.get(at).is_some_and(|p| p.start <= range.end)
    }

    /// The lowest piece.
    pub(crate) fn first(&self) -> Option<Range<u64>> {
        self.pieces.front().cloned()
    }

    /// The highest piece.
    pub(crate) fn last(&self) -> Option<Range<u64>> {
        self.pieces.back().cloned()
    }

    /// The first piece at or after `from`, cut to start there if it begins before.
    pub(crate) fn first_from(&self, from: u64) -> Option<Range<u64>> {
        let at = self.pieces.partition_point(|p| p.end <= from);
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
        self.pieces.range(self.touched(start, end)).map(move |p| p.start.max(start)..p.end.min(end))
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
        self.pieces.is_empty()
    }

    /// Number of members.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Memory that the pieces take, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<Range<u64>>()
    }

    /// Indices of the pieces that share a member with `start..end`.
    fn touched(&self, start: u64, end: u64) -> Range<usize> {
        if start >= end {
            return 0..0;
        }
        let low = self.pieces.partition_point(|p| p.end <= start);
        // Most ranges are short beside the gaps and end in the piece they begin in.
        let high = match self.pieces.get(low + 1) {
            Some(second) if second.start < end => self.pieces.partition_point(|p| p.start < end),
            Some(_) => low + usize::from(self.pieces[low].start < end),
            None => low + usize::from(self.pieces.get(low).is_some_and(|p| p.start < end)),
        };
        low..high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: usize = 96;

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
        let pieces = runs(bits, 0, SPAN, true);
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
        let rest = runs(bits, a, SPAN, true);
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
