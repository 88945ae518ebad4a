//! Which bytes of a stream have been delivered.

use core::ops::Range;

/// A set of offsets, as sorted, disjoint, non-touching ranges: few, since holes get filled.
#[derive(Debug, Default)]
pub(crate) struct Coverage(Vec<Range<u64>>);

impl Coverage {
    /// Adds a range; gives whether none of it was there before.
    pub(crate) fn add(&mut self, range: Range<u64>) -> bool {
        // the ranges that overlap or touch it
        let first = self.0.partition_point(|r| r.end < range.start);
        let last = self.0.partition_point(|r| r.start <= range.end);
        let touched = &self.0[first..last];
        let new = touched.iter().all(|r| r.end <= range.start || r.start >= range.end);
        let start = touched.first().map_or(range.start, |r| r.start.min(range.start));
        let end = touched.last().map_or(range.end, |r| r.end.max(range.end));
        self.0.splice(first..last, core::iter::once(start..end));
        new
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        let parts = |r: &Range<u64>| {
            [r.start..r.end.min(range.start), r.start.max(range.end)..r.end].into_iter()
        };
        self.0 = self.0.iter().flat_map(parts).filter(|r| r.start < r.end).collect();
    }

    /// Whether it is exactly `0..len`.
    pub(crate) fn is_whole(&self, len: u64) -> bool {
        match self.0.as_slice() {
            [] => len == 0,
            [one] => *one == (0..len),
            _ => false,
        }
    }

    /// End of the part without holes from the beginning.
    pub(crate) fn contiguous(&self) -> u64 {
        self.0.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_a_set_of_bytes() {
        let mut dice = 12345u64;
        let mut below = |n: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (dice >> 33) % n
        };
        for _ in 0..200 {
            let (mut coverage, mut bytes) = (Coverage::default(), [false; 64]);
            for _ in 0..20 {
                let start = below(60);
                let range = start..start + 1 + below(4);
                let places = range.start as usize..range.end as usize;
                let new = !bytes[places.clone()].contains(&true);
                bytes[places].fill(true);
                assert_eq!(coverage.add(range), new);
                let contiguous = bytes.iter().take_while(|b| **b).count() as u64;
                assert_eq!(coverage.contiguous(), contiguous);
                let whole = bytes.iter().filter(|b| **b).count() as u64 == contiguous;
                assert_eq!(coverage.is_whole(contiguous), whole);
                let apart = coverage.0.windows(2).all(|w| w[0].end < w[1].start);
                assert!(apart, "{coverage:?}");
            }
        }
    }
}
