//! Where a file holds data.
//!
//! What the system says of holes is a hint in steps of its blocks: a hole within them is data that reads as
//! zeros, and a file that was read may say that it holds more than before (lseek(2), `SEEK_DATA`).

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, retry_on_intr};
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// Extents that are told of a file, at most: some 16 KiB. The rest are merged over the smallest holes.
const MOST: usize = 1024;

/// Where an open file of this length holds data; `None`: everywhere, as far as one can know.
pub(crate) fn data(file: BorrowedFd<'_>, len: u64) -> Option<Vec<Range<u64>>> {
    let seek = |to| retry_on_intr(|| seek(file, to));
    let mut extents = Extents::new(MOST);
    let mut at = 0;
    while at < len {
        let start = match seek(SeekFrom::Data(at)) {
            Ok(start) if start >= at => start,
            // There is only a hole until its end.
            Err(Errno::NXIO) => break,
            // Not every file system can tell.
            _ => return None,
        };
        if start >= len {
            break;
        }
        match seek(SeekFrom::Hole(start)) {
            Ok(end) if end > start => extents.push(start..end.min(len)),
            // It was cut short between the two calls, which its reader will notice.
            Err(Errno::NXIO) => break,
            _ => return None,
        }
        at = extents.end();
    }
    let list = extents.finish();
    (list != [0..len]).then_some(list)
}

/// A list of extents that is never longer than twice what it is to be.
///
/// A hole that is given up on the way has as many larger ones before or beside it as are kept at the end: it
/// would have been given up then as well.
#[derive(Debug)]
struct Extents {
    list: Vec<Range<u64>>,
    most: usize,
}

impl Extents {
    /// At most so many, and at least one.
    fn new(most: usize) -> Self {
        Self { list: Vec::new(), most: most.max(1) }
    }

    /// Adds one that begins no earlier than the last one.
    fn push(&mut self, extent: Range<u64>) {
        match self.list.last_mut() {
            Some(last) if last.end >= extent.start => last.end = last.end.max(extent.end),
            _ => self.list.push(extent),
        }
        if self.list.len() >= 2 * self.most {
            merge(&mut self.list, self.most);
        }
    }

    fn end(&self) -> u64 {
        self.list.last().map_or(0, |last| last.end)
    }

    fn finish(mut self) -> Vec<Range<u64>> {
        merge(&mut self.list, self.most);
        self.list
    }
}

/// Leaves at most so many extents, which hold all the others: those between the largest holes, of equal ones
/// the first.
fn merge(list: &mut Vec<Range<u64>>, most: usize) {
    if list.len() <= most {
        return;
    }
    let size = |list: &[Range<u64>], hole: usize| list[hole + 1].start - list[hole].end;
    let mut holes: Vec<usize> = (0..list.len() - 1).collect();
    let kept = most - 1;
    holes.select_nth_unstable_by_key(kept, |&hole| (std::cmp::Reverse(size(list, hole)), hole));
    holes.truncate(kept);
    holes.sort_unstable();
    let ends = holes.iter().map(|&hole| list[hole].end).chain(list.last().map(|last| last.end));
    let starts = list.first().map(|first| first.start).into_iter();
    let starts = starts.chain(holes.iter().map(|&hole| list[hole + 1].start));
    *list = starts.zip(ends).map(|(start, end)| start..end).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extents(steps: &[(u64, u64)]) -> Vec<Range<u64>> {
        let mut at = 0;
        let extent = |&(hole, len): &(u64, u64)| {
            let start = at + hole;
            at = start + len;
            start..at
        };
        steps.iter().map(extent).collect()
    }

    fn holes(list: &[Range<u64>]) -> Vec<u64> {
        list.windows(2).map(|pair| pair[1].start - pair[0].end).collect()
    }

    proptest! {
        #[test]
        fn the_fewer_extents_hold_all_data_between_the_largest_holes(
            steps in prop::collection::vec((0..9_u64, 1..9_u64), 0..80),
            most in 1..20_usize,
        ) {
            let all = extents(&steps);
            let mut few = Extents::new(most);
            for extent in &all {
                few.push(extent.clone());
                prop_assert!(few.list.len() < 2 * most.max(1));
            }
            let few = few.finish();
            prop_assert!(few.len() <= most);
            prop_assert!(few.windows(2).all(|pair| pair[0].end < pair[1].start), "{few:?}");
            prop_assert!(few.iter().all(|extent| extent.start < extent.end));
            for extent in &all {
                let holds = |few: &Range<u64>| few.start <= extent.start && extent.end <= few.end;
                prop_assert_eq!(few.iter().filter(|f| holds(f)).count(), 1, "{:?}", extent);
            }
            prop_assert_eq!(few.first().map(|f| f.start), all.first().map(|f| f.start));
            prop_assert_eq!(few.last().map(|f| f.end), all.last().map(|f| f.end));
            // No larger choice of holes exists.
            let (mut best, mut kept) = (holes(&all), holes(&few));
            best.retain(|hole| *hole > 0);
            best.sort_unstable();
            kept.sort_unstable();
            let best = &best[best.len().saturating_sub(most - 1)..];
            prop_assert_eq!(&kept[..], best);
        }
    }

    #[test]
    fn few_extents_stay_as_they_are() {
        let all = extents(&[(4, 2), (1, 1), (7, 3)]);
        let mut same = Extents::new(3);
        all.iter().cloned().for_each(|extent| same.push(extent));
        assert_eq!(same.finish(), all);
        assert_eq!(Extents::new(3).finish(), []);
    }
}
