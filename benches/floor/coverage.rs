//! Which bytes have come, so that "all of them, each once" is checked and not assumed.

use std::collections::BTreeMap;

/// Disjoint ranges that do not touch, by their begin.
#[derive(Debug, Default)]
pub(crate) struct Coverage(BTreeMap<u64, u64>);

impl Coverage {
    /// Adds a range; `false` if a part of it was there before.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) -> bool {
        if let Some((&begin, &end)) = self.0.range(..to).next_back() {
            if end > from {
                return false;
            }
            if end == from {
                self.0.remove(&begin);
                from = begin;
            }
        }
        if let Some(end) = self.0.remove(&to) {
            to = end;
        }
        self.0.insert(from, to);
        true
    }

    /// Whether everything below `len` is there, and nothing else.
    pub(crate) fn is_whole(&self, len: u64) -> bool {
        self.0.iter().eq([(&0, &len)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_in_any_order() {
        for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 0, 3, 1]] {
            let mut coverage = Coverage::default();
            for piece in order {
                assert!(!coverage.is_whole(40));
                assert!(coverage.add(piece * 10, piece * 10 + 10));
            }
            assert!(coverage.is_whole(40) && !coverage.is_whole(41));
        }
    }

    #[test]
    fn twice_is_seen() {
        let mut coverage = Coverage::default();
        assert!(coverage.add(10, 20));
        for (from, to) in [(10, 20), (5, 11), (19, 25), (12, 13), (0, 40)] {
            assert!(!coverage.add(from, to), "{from}..{to}");
        }
        assert!(coverage.add(20, 30) && coverage.add(0, 10) && coverage.is_whole(30));
    }
}
