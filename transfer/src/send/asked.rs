//! Blocks of which members want the values alone: they hold the bytes already, as they think.

use core::ops::Range;
use std::collections::BTreeMap;

/// Ranges of blocks that are kept, at most: a receiver asks for what it holds of files that were broken off, or that
/// stood under other names.
const KEPT: usize = 1 << 16;

/// What is still to be read for its value: the ends of ranges by their beginnings, apart from each other. Many members
/// ask for the same.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<u64, u64>);

impl Asked {
    /// Takes what a member has asked for, below `end`, as far as there is room.
    pub(super) fn add(&mut self, ranges: impl Iterator<Item = Range<u64>>, end: u64) {
        for range in ranges {
            self.insert(range.start, range.end.min(end));
        }
    }

    fn insert(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        while let Some((&first, &last)) = self.0.range(..=end).next_back()
            && last >= start
        {
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        if self.0.len() < KEPT {
            self.0.insert(start, end);
        }
    }

    /// Whether nothing is to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next block.
    pub(super) fn next(&mut self) -> Option<u64> {
        let (block, end) = self.0.pop_first()?;
        if block + 1 < end {
            self.0.insert(block + 1, end);
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_one_by_one_and_none_beyond_the_end() {
        let mut asked = Asked::default();
        asked.add([3..5, 9..u64::MAX, 7..7, 20..30].into_iter(), 11);
        let blocks: Vec<u64> = std::iter::from_fn(|| asked.next()).collect();
        assert_eq!(blocks, [3, 4, 9, 10]);
        assert!(asked.is_empty());
        asked.add((0..1 << 20).map(|n| 2 * n..2 * n + 1), u64::MAX);
        assert_eq!(std::iter::from_fn(|| asked.next()).count(), KEPT);
    }

    #[test]
    fn what_many_ask_for_is_read_once() {
        let mut asked = Asked::default();
        for _ in 0..100 {
            asked.add((0..1 << 12).map(|n| 3 * n..3 * n + 2), u64::MAX);
        }
        asked.add([4..12, 20..21].into_iter(), u64::MAX);
        assert_eq!(asked.0.len(), (1 << 12) - 4);
        let blocks: Vec<u64> = std::iter::from_fn(|| asked.next()).take(14).collect();
        assert_eq!(blocks, [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]);
    }
}
