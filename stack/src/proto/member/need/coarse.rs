//! What a member says in more ranges than can be kept is kept more coarsely. Nothing is lost by that: what
//! it holds in small pieces is forgotten, and so sent although it holds it; that comes there as a
//! duplicate.

use super::{Need, RangeSet, TakenBack};
use core::ops::Range;
use std::collections::VecDeque;

/// Ranges kept for one member, at most: 4 MiB where many stand together, four times that at worst, and a
/// third more while some bytes are undeclared. A file of a million blocks, of which one in a hundred is
/// lacking, takes ten thousand.
pub(crate) const MOST_RANGES: usize = 1 << 18;
/// Once there are more, so many are left at most: a look at all of them is then paid for by as many
/// further ones as are missing to the limit.
const KEPT: usize = MOST_RANGES / 4 * 3;

impl Need {
    /// Ranges that are kept of it.
    pub(crate) fn ranges(&self) -> usize {
        let sets = [&self.has, &self.undeclared, &self.unsent, &self.again, &self.shared];
        let taken_back = self.taken_back.iter().map(|batch| batch.ranges.len()).sum::<usize>();
        sets.iter().map(|set| set.len()).sum::<usize>() + taken_back
    }

    /// Whether it has more ranges than are kept, though all that can be forgotten is.
    pub(crate) fn is_excessive(&self) -> bool {
        self.ranges() > MOST_RANGES
    }

    /// Keeps the number of its ranges below the limit; `cursor` as for [`Need::lack`]. What is not to
    /// be sent any more by the group, of what comes to be lacked so, goes to it alone.
    pub(crate) fn limit(&mut self, cursor: Option<u64>) {
        if self.ranges() > MOST_RANGES {
            self.coarsen(cursor, KEPT);
        }
    }

    /// Makes it so many ranges at most, but for those that parts on their way leave.
    pub(super) fn coarsen(&mut self, cursor: Option<u64>, most: usize) {
        self.declare_between(cursor);
        self.owe_alone();
        self.merge_taken_back();
        while self.ranges() > most && self.forget_small(cursor) {
            self.merge_taken_back();
        }
    }

    /// All that is undeclared comes to be lacking, but for the longest range: that is what has not been
    /// spoken of yet, and the rest what was left out between held ranges, or before it.
    fn declare_between(&mut self, cursor: Option<u64>) {
        let Some(longest) = self.undeclared.iter().max_by_key(|piece| piece.end - piece.start)
        else {
            return;
        };
        let all = core::mem::replace(&mut self.undeclared, RangeSet::from_range(longest.clone()));
        for piece in all.iter().filter(|piece| *piece != longest) {
            self.come_to_lack(piece, cursor);
        }
    }

    /// What is to be sent to it alone stands in one set, whatever it was owed for.
    fn owe_alone(&mut self) {
        for set in [&mut self.again, &mut self.shared] {
            for piece in core::mem::take(set).iter() {
                self.unsent.insert(piece);
            }
        }
    }

    /// Of what it has, the shorter half of the pieces is forgotten, but not what it has from the very
    /// start: that may be gone here. Whether there is any.
    fn forget_small(&mut self, cursor: Option<u64>) -> bool {
        let len = |piece: &Range<u64>| piece.end - piece.start;
        let mut lens: Vec<u64> = self.has.iter().filter(|p| p.start > 0).map(|p| len(&p)).collect();
        if lens.is_empty() {
            return false;
        }
        let half = lens.len().div_ceil(2);
        let (shorter, &mut most, _) = lens.select_nth_unstable(half - 1);
        // Of those as long as the longest that is forgotten, as many as make up the half.
        let mut equal = half - shorter.iter().filter(|len| **len < most).count();
        for piece in core::mem::take(&mut self.has).iter() {
            let is_equal = len(&piece) == most && equal > 0;
            if piece.start > 0 && (len(&piece) < most || is_equal) {
                equal -= usize::from(is_equal);
                self.forgotten = self.forgotten.saturating_add(len(&piece));
                self.come_to_lack(piece, cursor);
            } else {
                self.has.insert(piece);
            }
        }
        true
    }

    fn come_to_lack(&mut self, range: Range<u64>, cursor: Option<u64>) {
        self.spare_no_more(core::slice::from_ref(&range));
        let alone = range.end.min(cursor.unwrap_or(u64::MAX));
        self.unsent.insert(range.start..alone);
    }

    /// What it took back at any time counts as taken back at the last: more of the reports that are on
    /// their way prove nothing, that is all. What it has needs no proof.
    fn merge_taken_back(&mut self) {
        let Some(last) = self.taken_back.back() else { return };
        let (unicast, group) = (last.unicast, last.group);
        let sets = || self.taken_back.iter().map(|batch| &batch.ranges);
        let start = sets().filter_map(|set| Some(set.first()?.start)).min().unwrap_or(0);
        let end = sets().filter_map(|set| Some(set.last()?.end)).max().unwrap_or(0);
        let mut ranges = RangeSet::new();
        self.has.gaps(start..end).for_each(|gap| ranges.insert(gap));
        self.taken_back = VecDeque::new();
        if !ranges.is_empty() {
            self.taken_back.push_back(TakenBack { ranges, unicast, group });
        }
    }
}
