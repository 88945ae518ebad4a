//! Packet numbers seen in one packet number space: what ACKs report, and what is a duplicate.

use crate::proto::ranges::RangeSet;
use crate::proto::time::Instant;
use crate::wire::PnMap;

/// Ranges of packet numbers remembered at most: two and a gap each, so a duplicate is known for one within
/// 4096 numbers and more, even where every other packet is lost.
pub(crate) const MAX_REMEMBERED: usize = 2048;

/// What recording a packet told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// It opened a hole below it, or filled one: worth an ACK at once (RFC 9000, 13.2.1). A
    /// packet that elicits no ACK never says so itself; a hole that it opens is told by the next
    /// one that does, so that ACKs are not answered by ACKs.
    pub(crate) gap: bool,
    /// It is the first that arrived marked after one that was not: the sender is to know at once
    /// (RFC 9000, 13.2.1).
    pub(crate) marked: bool,
}

/// The packets of one space, as far as they are remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct PnTracker {
    seen: RangeSet,
    /// Everything below was forgotten and counts as seen.
    floor: u64,
    /// The first packet that is expected, if that is known.
    start: Option<u64>,
    largest: Option<u64>,
    largest_at: Instant,
    ce: u32,
    /// The last packet was marked.
    marked: bool,
    /// A packet that elicits no ACK opened or filled a hole, and none that does came since.
    owed: bool,
}

impl PnTracker {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether this number was not seen yet; false also for what is older than what is remembered,
    /// and for `u64::MAX`, which no packet may have.
    pub(crate) fn is_new(&self, pn: u64) -> bool {
        if self.largest.is_none_or(|largest| pn > largest) {
            return pn >= self.floor && pn < u64::MAX;
        }
        pn >= self.floor && !self.seen.contains(pn)
    }

    /// Records a packet that arrived at `now`, with its CE mark (RFC 3168), and whether it elicits
    /// an ACK. One that is not new changes nothing.
    pub(crate) fn record(&mut self, now: Instant, pn: u64, ce: bool, eliciting: bool) -> Recorded {
        if !self.is_new(pn) {
            return Recorded { gap: false, marked: false };
        }
        let next = self.largest.map(|l| l + 1).max(self.start);
        self.owed |= next.is_some_and(|next| pn != next);
        let gap = eliciting && core::mem::take(&mut self.owed);
        let marked = !core::mem::replace(&mut self.marked, ce) && ce;
        self.ce = self.ce.saturating_add(u32::from(ce));
        if self.largest.is_none_or(|largest| pn > largest) {
            self.largest = Some(pn);
            self.largest_at = now;
        }
        self.seen.insert(pn..pn + 1);
        if self.seen.len() > MAX_REMEMBERED
            && let Some(oldest) = self.seen.pop_first()
        {
            self.floor = oldest.end;
        }
        Recorded { gap, marked }
    }

    /// The largest number seen.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.largest
    }

    /// When the largest arrived, for the ACK delay; the origin before the first packet.
    pub(crate) fn largest_at(&self) -> Instant {
        self.largest_at
    }

    /// Writes the remembered ranges, newest first, as inclusive (low, high); gives how many were
    /// written, at most `out.len()`.
    pub(crate) fn ranges(&self, out: &mut [(u64, u64)]) -> usize {
        let mut written = 0;
        for (place, piece) in out.iter_mut().zip(self.seen.iter().rev()) {
            *place = (piece.start, piece.end - 1);
            written += 1;
        }
        written
    }

    /// How many ranges reach above `pn`.
    pub(crate) fn ranges_above(&self, pn: u64) -> usize {
        self.seen.overlap(pn + 1..u64::MAX).count()
    }

    /// What was seen of the newest numbers, as bits.
    pub(crate) fn map<'a>(&self, bits: &'a mut [u8]) -> PnMap<'a> {
        let end = self.largest.map_or(0, |largest| largest + 1);
        let first = end.saturating_sub(bits.len() as u64 * 8);
        for piece in self.seen.overlap(first..end) {
            for n in piece.start - first..piece.end - first {
                bits[(n / 8) as usize] |= 1 << (n % 8);
            }
        }
        PnMap { first, bits }
    }

    /// Packets that arrived marked CE; saturates.
    pub(crate) fn ce(&self) -> u32 {
        self.ce
    }

    /// The first packet will be `pn`: if another comes first there is a gap.
    pub(crate) fn start_at(&mut self, pn: u64) {
        self.start = Some(pn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RangeList;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    proptest! {
        #[test]
        fn bits_and_ranges_say_the_same(pns in prop::collection::btree_set(0..9000u64, 1..400)) {
            let mut tracker = PnTracker::new();
            for pn in &pns {
                tracker.record(at(0), *pn, false, true);
            }
            let mut bits = [0; 768];
            let map = tracker.map(&mut bits);
            let told: Vec<_> = RangeList::Map(map).iter().flat_map(|(low, high)| low..=high).collect();
            let first = (pns.last().unwrap() + 1).saturating_sub(768 * 8);
            let told: BTreeSet<u64> = told.into_iter().collect();
            prop_assert_eq!(told, pns.range(first..).copied().collect::<BTreeSet<u64>>());
        }

        #[test]
        fn agrees_with_a_plain_set(pns in prop::collection::vec((0..200u64, any::<bool>()), 1..150)) {
            let (mut tracker, mut model) = (PnTracker::new(), BTreeSet::new());
            let mut ce = 0;
            for (i, &(pn, marked)) in pns.iter().enumerate() {
                let next = model.last().map_or(pn, |l| l + 1);
                prop_assert_eq!(tracker.is_new(pn), !model.contains(&pn));
                let fresh = model.insert(pn);
                let recorded = tracker.record(at(i as u64), pn, marked, true);
                prop_assert_eq!(recorded.gap, fresh && pn != next);
                ce += u32::from(fresh && marked);
                if fresh && model.last() == Some(&pn) {
                    prop_assert_eq!(tracker.largest_at(), at(i as u64));
                }
                prop_assert_eq!(tracker.largest(), model.last().copied());
            }
            prop_assert_eq!(tracker.ce(), ce);
            let mut out = [(0, 0); 256];
            let n = tracker.ranges(&mut out);
            let listed: Vec<_> = out[..n].iter().rev().flat_map(|&(a, b)| a..=b).collect();
            prop_assert_eq!(listed, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn forgets_the_oldest_ranges_only() {
        let mut tracker = PnTracker::new();
        for i in 0..2 * MAX_REMEMBERED as u64 {
            tracker.record(at(i), 2 * i, false, true);
        }
        let mut out = vec![(0, 0); 2 * MAX_REMEMBERED];
        assert_eq!(tracker.ranges(&mut out), MAX_REMEMBERED);
        assert!(!tracker.is_new(1) && !tracker.is_new(2 * MAX_REMEMBERED as u64 - 3));
        assert!(tracker.is_new(2 * MAX_REMEMBERED as u64 + 1));
    }

    #[test]
    fn reports_the_newest_ranges_that_fit() {
        let mut tracker = PnTracker::new();
        for pn in [1, 2, 5, 9, 8] {
            tracker.record(at(0), pn, false, true);
        }
        let mut out = [(0, 0); 2];
        assert_eq!(tracker.ranges(&mut out), 2);
        assert_eq!(out, [(8, 9), (5, 5)]);
    }

    #[test]
    fn a_first_packet_that_is_not_the_expected_one_leaves_a_gap() {
        let mut tracker = PnTracker::new();
        tracker.start_at(10);
        assert!(tracker.record(at(0), 13, false, true).gap);
        assert!(!tracker.record(at(0), 14, false, true).gap);
        let mut tracker = PnTracker::new();
        assert!(!tracker.record(at(0), 13, false, true).gap, "nothing else was expected");
    }

    #[test]
    fn a_hole_is_told_by_the_next_packet_that_elicits_an_ack() {
        let mut tracker = PnTracker::new();
        assert!(!tracker.record(at(0), 0, false, true).gap);
        assert!(!tracker.record(at(0), 2, false, false).gap);
        assert!(tracker.record(at(0), 3, false, true).gap);
        assert!(!tracker.record(at(0), 4, false, true).gap);
        assert!(!tracker.record(at(0), 4, false, true).gap, "a duplicate");
        assert!(tracker.record(at(0), 1, false, true).gap);
    }

    #[test]
    fn survives_the_end_of_the_number_space() {
        let mut tracker = PnTracker::new();
        tracker.record(at(0), 0, false, true);
        tracker.record(at(0), u64::MAX, false, true);
        assert_eq!(tracker.largest(), Some(0));
        tracker.record(at(0), u64::MAX - 1, false, true);
        assert!(!tracker.is_new(u64::MAX));
    }
}
