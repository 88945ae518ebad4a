//! What a channel carries next: a pure function of its state and its members'.

use super::Channel;
use crate::proto::member::Member;
use crate::proto::member::plan::Step;
use crate::proto::member::plan::segment_at;
use crate::proto::send::store::Store;
use core::ops::Range;

impl Channel {
    /// The next segment to the group, or `None` if a window, a member's credit or the data says wait.
    pub(crate) fn step(&self, members: &[Member], store: &Store, finishing: bool) -> Option<Step> {
        let again = || self.step_again(members, store);
        let new = || self.step_new(members, store, finishing);
        if self.repair_turn { again().or_else(new) } else { new().or_else(again) }
    }

    /// The next segment that is repeated.
    fn step_again(&self, members: &[Member], store: &Store) -> Option<Step> {
        let range = self.repairs.next().filter(|_| members.iter().any(Member::leads))?;
        let range = range.start..range.end.min(range.start + self.segment).min(store.end());
        let ready = store.has(&range) && self.permits(members, range.end - range.start);
        (ready && !range.is_empty()).then_some(Step { range, repair: true, push: false })
    }

    /// The next segment that is new.
    fn step_new(&self, members: &[Member], store: &Store, finishing: bool) -> Option<Step> {
        let led = members.iter().any(Member::leads);
        if !led && self.trial.allowance() == 0 {
            return None;
        }
        let (run, whole) = (self.cursor.run(), self.cursor.next(self.segment, store.end()));
        let limit = if led {
            // A ring cannot go on for long without whoever it waits for.
            let waits = if store.is_source() { Member::binds } else { Member::is_multicast };
            edges(members, &whole, waits).min()
        } else if store.is_source() {
            // Who is far behind is not to keep the others from being tried: it hears, and has no use for it.
            edges(members, &whole, Member::is_tried).max()
        } else {
            // Nobody is farther behind than the ring, and in order nothing is taken from beyond an edge.
            edges(members, &whole, Member::is_tried).min()
        };
        let limit = limit.map_or(whole.end, |edge| edge.min(whole.end));
        // A run that ends here is as good as the end of the stream.
        let flying = || members.iter().any(|m| m.is_multicast() && m.board().flight() > 0);
        let flying = limit < run.end && flying();
        let range = segment_at(store, finishing, self.segment, run.start, limit, flying)?;
        let permitted = !led || self.permits(members, range.end - range.start);
        // One group segment would have everybody answer at once.
        (permitted && store.has(&range)).then_some(Step { range, repair: false, push: false })
    }

    /// The first bytes that it could carry: a source must have them at hand.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = u64> {
        let run = self.cursor.run();
        let ahead = (!run.is_empty()).then_some(run.start);
        self.repairs.next().map(|range| range.start).into_iter().chain(ahead)
    }

    /// The first byte at or after `from` that it is to carry for anybody still, or to hand over when it comes
    /// there.
    pub(crate) fn first_needed_from(&self, from: u64, members: &[Member]) -> Option<u64> {
        let at = self.at();
        let heard = members.iter().filter(|m| m.hears());
        heard.filter_map(|m| m.need().first_shared_from(from, at, m.is_multicast())).min()
    }

    /// Whether there is anything that it may carry still, below `end`; a closed window may be why it
    /// does not.
    pub(crate) fn is_unfinished(&self, end: u64) -> bool {
        self.cursor.at() < end
    }

    /// Whether a member's window reaches so many bytes beyond the next one to be carried, or to the
    /// end; who lacks nothing of them needs no room.
    pub(crate) fn reaches(&self, m: &Member, bytes: u64, end: u64) -> bool {
        let next: Range<u64> = self.cursor.next(bytes, end);
        m.edge() >= next.end || m.has_all_of(next)
    }
}

/// How far those who are `counted` have room, who lack any of a range: who lacks none needs none.
fn edges<'a>(
    members: &'a [Member],
    range: &'a Range<u64>,
    counted: impl Fn(&Member) -> bool + 'a,
) -> impl Iterator<Item = u64> + 'a {
    members.iter().filter(move |m| counted(m) && !m.has_all_of(range.clone())).map(Member::edge)
}
