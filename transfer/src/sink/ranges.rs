//! Which bytes of one block are there.

/// Sorted, disjoint, non-adjacent half-open ranges of offsets within a block.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// Adds `start..end`; overlaps are allowed.
    pub(super) fn add(&mut self, start: u32, end: u32) {
        if start >= end {
            return;
        }
        // Mostly the next piece in order.
        if let Some(last) = self.0.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return;
        }
        let first = self.0.partition_point(|r| r.1 < start);
        let after = self.0.partition_point(|r| r.0 <= end);
        let merged =
            self.0[first..after].iter().fold((start, end), |m, r| (m.0.min(r.0), m.1.max(r.1)));
        self.0.splice(first..after, [merged]);
    }

    /// Whether all of `0..len` is there.
    pub(super) fn covers(&self, len: u32) -> bool {
        self.0.first().is_some_and(|r| r.0 == 0 && r.1 >= len)
    }

    /// The ranges, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.0.iter().map(|r| r.0 as usize..r.1 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_map_of_bytes(
            adds in prop::collection::vec((0..60u32, 0..20u32), 0..40),
        ) {
            let (mut ranges, mut map) = (Ranges::default(), [false; 80]);
            for (start, len) in adds {
                ranges.add(start, start + len);
                map[start as usize..(start + len) as usize].fill(true);
                let mut seen = [false; 80];
                for r in ranges.iter() {
                    prop_assert!(r.start == 0 || !seen[r.start - 1], "adjacent ranges are one");
                    seen[r].fill(true);
                }
                prop_assert_eq!(seen, map);
                for len in 1..80 {
                    prop_assert_eq!(ranges.covers(len as u32), map[..len].iter().all(|&b| b));
                }
            }
        }
    }
}
