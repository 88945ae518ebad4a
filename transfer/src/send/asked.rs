//! Blocks of which members want the values alone: they hold the bytes already, as they think.

use core::ops::Range;
use std::collections::VecDeque;

/// Ranges of blocks that are kept, at most: a receiver asks for what it holds of files that were broken off.
const KEPT: usize = 1 << 16;

/// What is still to be read for its value.
#[derive(Debug, Default)]
pub(super) struct Asked(VecDeque<Range<u64>>);

impl Asked {
    /// Takes what a member has asked for, below `end`, as far as there is room.
    pub(super) fn add(&mut self, ranges: impl Iterator<Item = Range<u64>>, end: u64) {
        let inside = ranges.map(|range| range.start..range.end.min(end));
        let room = KEPT.saturating_sub(self.0.len());
        self.0.extend(inside.filter(|range| range.start < range.end).take(room));
    }

    /// Whether nothing is to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next block.
    pub(super) fn next(&mut self) -> Option<u64> {
        let first = self.0.front_mut()?;
        let block = first.start;
        first.start += 1;
        if first.is_empty() {
            self.0.pop_front();
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
        asked.add((0..1 << 20).map(|n| n..n + 1), u64::MAX);
        assert_eq!(std::iter::from_fn(|| asked.next()).count(), KEPT);
    }
}
