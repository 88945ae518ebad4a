//! What two or more lack: the group carries that and nothing else. What one lacks goes to it alone.

use core::ops::Range;

/// The first range at or after `from` of which `quorum`, one or two, or more lack every byte; `lacks` as
/// for [`shared_from`].
pub(crate) fn lacked_from<I>(
    quorum: usize,
    from: u64,
    lacks: impl Fn(u64) -> I,
) -> Option<Range<u64>>
where
    I: Iterator<Item = Range<u64>>,
{
    if quorum > 1 { shared_from(from, lacks) } else { two_lowest(lacks(from)).0 }
}

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
    use super::shared_from;
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
}
