//! What two or more lack: the group carries that and nothing else. What one lacks goes to it alone.

use crate::wire::{IPV4_LEN, OVERHEAD, UDP_LEN};
use core::ops::Range;

/// What takes no more bytes than the headers of a datagram is cheaper sent to each alone, with what
/// lies next to it, than in a datagram of its own.
const LITTLE: u64 = (IPV4_LEN + UDP_LEN + OVERHEAD) as u64;

/// The first range at or after `from` of which two or more lack every byte. `lacks(at)` gives, for
/// each who counts, the first range at or after `at` that it lacks.
pub(crate) fn shared_from<I>(from: u64, lacks: impl Fn(u64) -> I) -> Option<Range<u64>>
where
    I: Iterator<Item = Range<u64>>,
{
    let mut at = from;
    loop {
        let (first, second) = two_lowest(lacks(at));
        let (first, second) = (first?, second?);
        if first.end > second.start {
            return Some(second.start..first.end.min(second.end));
        }
        at = second.start; // what lies before is lacked by one at most
    }
}

/// A search for what two or more lack that takes no more than so many steps: members may lack a
/// hundred thousand pieces each.
pub(crate) struct Search<F> {
    pub(crate) lacks: F,
    pub(crate) steps: usize,
}

/// What a [`Search`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Two or more lack each of these bytes, if not the same two all of them.
    Run(Range<u64>),
    /// Nothing that is worth a datagram to the group up to there; what lies behind is yet to be looked
    /// at.
    Nothing(u64),
}

impl<F, I> Search<F>
where
    F: Fn(u64) -> I,
    I: Iterator<Item = Range<u64>>,
{
    /// The first run at or after `from` that is worth a datagram to the group, as long as `whole` if
    /// there is as much. Where the pieces that two lack meet they are one run: one that lacks scattered
    /// bytes is not to make everybody's segments short.
    pub(crate) fn next_run(&mut self, from: u64, whole: u64) -> Found {
        let mut at = from;
        loop {
            let mut run = match self.next_piece(at) {
                Found::Run(piece) => piece,
                nothing @ Found::Nothing(_) => return nothing,
            };
            self.extend(&mut run, whole);
            if run.end - run.start > LITTLE || self.is_own_of_two(&run, from) {
                return Found::Run(run);
            }
            at = run.end;
        }
    }

    /// The first range at or after `from` of which two or more lack every byte.
    fn next_piece(&mut self, from: u64) -> Found {
        let mut at = from;
        while self.steps > 0 {
            self.steps -= 1;
            let (Some(first), Some(second)) = two_lowest((self.lacks)(at)) else {
                return Found::Nothing(u64::MAX);
            };
            if first.end > second.start {
                return Found::Run(second.start..first.end.min(second.end));
            }
            at = second.start; // what lies before is lacked by one at most
        }
        Found::Nothing(at)
    }

    fn extend(&mut self, run: &mut Range<u64>, whole: u64) {
        while run.end - run.start < whole
            && let Found::Run(piece) = self.next_piece(run.end)
            && piece.start == run.end
        {
            run.end = piece.end;
        }
    }

    /// Whether two or more lack a run and nothing next to it. A short one that but one lacks so goes to
    /// that one alone; to whoever lacks what lies next to it, with that. What lies before `from` is on its
    /// way already.
    fn is_own_of_two(&self, run: &Range<u64>, from: u64) -> bool {
        let before = run.start.saturating_sub(1).max(from);
        let inside = |piece: &Range<u64>| piece.start >= run.start && piece.end <= run.end;
        (self.lacks)(before).filter(inside).take(2).count() == 2
    }
}

/// The two ranges that begin lowest; of equal ones, those that reach farthest.
fn two_lowest(
    ranges: impl Iterator<Item = Range<u64>>,
) -> (Option<Range<u64>>, Option<Range<u64>>) {
    let mut lowest: (Option<Range<u64>>, Option<Range<u64>>) = (None, None);
    let rank = |range: &Range<u64>| (range.start, u64::MAX - range.end);
    for range in ranges {
        if lowest.0.as_ref().is_none_or(|first| rank(&range) < rank(first)) {
            lowest.1 = lowest.0.replace(range);
        } else if lowest.1.as_ref().is_none_or(|second| rank(&range) < rank(second)) {
            lowest.1 = Some(range);
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::{Found, LITTLE, Search, shared_from};
    use crate::proto::ranges::RangeSet;
    use proptest::prelude::*;

    const SPAN: u64 = 64;

    proptest! {
        #[test]
        fn is_what_counting_says(
            holes in prop::collection::vec(prop::collection::vec((0..SPAN, 0..20u64), 0..6), 0..6),
            from in 0..SPAN,
        ) {
            let sets: Vec<RangeSet> = holes
                .iter()
                .map(|pieces| {
                    let mut set = RangeSet::new();
                    for (at, len) in pieces {
                        set.insert(*at..(*at + *len).min(SPAN));
                    }
                    set
                })
                .collect();
            let count = |at: u64| sets.iter().filter(|set| set.contains(at)).count();
            let found = shared_from(from, |at| sets.iter().filter_map(move |s| s.first_from(at)));
            let first = (from..SPAN).find(|at| count(*at) >= 2);
            prop_assert_eq!(found.as_ref().map(|range| range.start), first);
            if let Some(range) = found {
                prop_assert!(range.clone().all(|at| count(at) >= 2), "{:?}", range);
            }
        }
    }

    /// A set of `len` bytes every `step`, the first at `at`.
    fn scattered(at: u64, len: u64, step: u64) -> RangeSet {
        let mut set = RangeSet::new();
        (0..10_000).for_each(|n| set.insert(at + n * step..at + n * step + len));
        set
    }

    fn without(set: &RangeSet) -> RangeSet {
        let mut rest = RangeSet::from_range(0..1 << 40);
        set.iter().for_each(|piece| rest.remove(piece));
        rest
    }

    fn next_run(sets: &[&RangeSet], from: u64) -> Found {
        let lacks = |at| sets.iter().filter_map(move |set| set.first_from(at));
        Search { lacks, steps: 100 }.next_run(from, 10_000)
    }

    #[test]
    fn pieces_that_meet_are_one_run() {
        let (all, even) = (RangeSet::from_range(0..1 << 20), scattered(0, 1000, 2000));
        let Found::Run(run) = next_run(&[&all, &even, &without(&even)], 500) else { panic!() };
        assert_eq!(run, 500..10_000 + 1000);
    }

    #[test]
    fn bytes_that_but_one_lacks_end_a_run() {
        let all = RangeSet::from_range(0..1 << 40);
        let held = without(&scattered(999, 1, 1000));
        assert_eq!(next_run(&[&all, &held], 0), Found::Run(0..999));
        assert_eq!(next_run(&[&all, &held], 999), Found::Run(1000..1999));
    }

    #[test]
    fn little_that_one_lacks_by_itself_is_not_the_groups() {
        let all = RangeSet::from_range(0..1 << 40);
        let holes = scattered(1000, LITTLE, 10_000);
        let found = next_run(&[&all, &holes], 0);
        assert!(matches!(found, Found::Nothing(at) if at > 100_000), "{found:?}");
        assert_eq!(next_run(&[&all, &holes, &holes], 0), Found::Run(1000..1000 + LITTLE));
        assert_eq!(next_run(&[&holes, &holes], 0), Found::Run(1000..1000 + LITTLE));
        let larger = scattered(1000, LITTLE + 1, 10_000);
        assert_eq!(next_run(&[&all, &larger], 0), Found::Run(1000..1001 + LITTLE));
    }

    #[test]
    fn a_tail_that_all_lack_is_the_groups() {
        let all = RangeSet::from_range(0..10_000);
        let end = 10_000 - LITTLE / 2;
        assert_eq!(next_run(&[&all, &all, &all], end), Found::Run(end..10_000));
    }

    #[test]
    fn a_search_takes_no_more_steps_than_it_may() {
        let (even, odd) = (scattered(0, 1000, 2000), scattered(1000, 1000, 2000));
        assert_eq!(next_run(&[&even, &odd], 0), Found::Nothing(100_000));
        assert_eq!(next_run(&[&even, &odd], 19_999_000), Found::Nothing(u64::MAX));
    }
}
