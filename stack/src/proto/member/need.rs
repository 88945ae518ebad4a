//! What one member has, lacks, is being sent, and is owed again: the one place where that stands.
//!
//! Each byte of the session is in one state for a member:
//!
//! | state | set | left when |
//! |---|---|---|
//! | has | `has` | it takes it back (AGAIN) |
//! | undeclared | `undeclared` | it says that it has it (HAVE) or lacks it (LACK) |
//! | to be sent alone, for the first time | `unsent` | sent by unicast; the group takes over |
//! | to be sent alone, again | `again` | sent by unicast; the group takes over |
//! | owed after the group passed it | `shared` | the group repeats it; it is decided that it goes alone |
//! | ahead, or on its way | none of these | acknowledged, or lost |
//!
//! Where the group's cursor stands is the group's to know: bytes at or beyond it are the group's to
//! carry for a member that follows it, those on their way are told lost by whoever sent them.

mod ahead;
pub(crate) mod coarse;
mod wait;

use crate::proto::ranges::RangeSet;
use core::iter::once;
use core::ops::Range;
use std::collections::VecDeque;
use wait::Wait;

/// The way a packet took to a member: each has packet numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To it alone.
    Unicast,
    /// Through the group.
    Group,
}

/// What shows that bytes have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The packet of this number was reported.
    Packet(Way, u64),
    /// A report of unknown age: a cumulative acknowledgement, or a packet long settled.
    Old,
}

/// Takings back that are told apart, at most; of more the two oldest count as one.
const MOST_BATCHES: usize = 32;

/// What a member took back at one time. A packet sent before is no proof that it has come anew: its
/// report may have been on the way when the member said so.
#[derive(Debug)]
struct TakenBack {
    ranges: RangeSet,
    /// The first packets sent since, by unicast and by the group.
    unicast: u64,
    group: u64,
}

impl TakenBack {
    fn is_outdated(&self, proof: Proof) -> bool {
        match proof {
            Proof::Packet(Way::Unicast, pn) => pn < self.unicast,
            Proof::Packet(Way::Group, pn) => pn < self.group,
            Proof::Old => true,
        }
    }
}

/// What is to be sent to a member alone next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Up to the next byte that is not owed.
    pub(crate) range: Range<u64>,
    /// Its first byte was sent to it before.
    pub(crate) repair: bool,
}

/// The need of one member.
#[derive(Debug)]
pub(crate) struct Need {
    has: RangeSet,
    undeclared: RangeSet,
    /// Both of them in one set, while anything is undeclared: pieces of the two lie side by side by the
    /// hundred thousand, and are asked for behind them.
    spared: Option<RangeSet>,
    unsent: RangeSet,
    again: RangeSet,
    shared: RangeSet,
    /// Oldest first; none that has all come anew.
    taken_back: VecDeque<TakenBack>,
    /// Bytes that it declared to have.
    declared: u64,
    /// Bytes that it has, and that are sent all the same, since they were in too many pieces.
    forgotten: u64,
    /// It has said something of what it holds or lacks.
    spoken: bool,
    /// Bytes that it had and took back.
    retracted: u64,
    /// How the group waits for what is undeclared.
    wait: Wait,
    /// End of the highest byte sent to it by unicast.
    high: u64,
    /// Bytes sent to it by unicast; of them, those sent for the first time.
    sent: u64,
    first_sent: u64,
}

impl Need {
    /// Lacks everything; or has declared nothing yet, if it is asked to.
    pub(crate) fn new(declares: bool) -> Self {
        let all = RangeSet::from_range(0..u64::MAX);
        let spared = declares.then(|| all.clone());
        let (undeclared, unsent) =
            if declares { (all, RangeSet::new()) } else { (RangeSet::new(), all) };
        Self {
            has: RangeSet::new(),
            undeclared,
            spared,
            unsent,
            again: RangeSet::new(),
            shared: RangeSet::new(),
            taken_back: VecDeque::new(),
            declared: 0,
            forgotten: 0,
            spoken: false,
            retracted: 0,
            wait: Wait::default(),
            high: 0,
            sent: 0,
            first_sent: 0,
        }
    }

    // What it says.

    /// Undeclared bytes below `end`.
    pub(crate) fn undeclared_below(&self, end: u64) -> u64 {
        below(&self.undeclared, end)
    }

    /// It holds these bytes: they were never sent to it, or it does not matter any more.
    pub(crate) fn have(&mut self, range: Range<u64>) {
        self.spoken = true;
        // Also what has been acknowledged: the group carried it there although it was held.
        self.declared = self.declared.saturating_add(range.end - range.start);
        self.taken_back.iter_mut().for_each(|batch| batch.ranges.remove(range.clone()));
        self.settle(range);
    }

    /// It lacks these bytes, if they were undeclared. Of one that follows the group (`cursor`), those
    /// that the group has passed are given back: they are owed as what it missed, and the rest is
    /// the group's to carry. One that does not follow is sent all of them alone.
    pub(crate) fn lack(&mut self, range: Range<u64>, cursor: Option<u64>) -> Vec<Range<u64>> {
        self.spoken = true;
        let fresh: Vec<_> = self.undeclared.overlap(range.clone()).collect();
        self.undeclared.remove(range);
        self.spare_no_more(&fresh);
        if let Some(cursor) = cursor {
            return self.owe(fresh, cursor);
        }
        for piece in fresh {
            self.unsent.insert(piece);
        }
        Vec::new()
    }

    /// It takes bytes back that it had acknowledged or declared; `next` are the numbers of the next
    /// packets by unicast and by the group. What it had of them is owed as by [`Self::lack`].
    pub(crate) fn take_back(
        &mut self,
        range: Range<u64>,
        cursor: Option<u64>,
        next: (u64, u64),
    ) -> Vec<Range<u64>> {
        self.spoken = true;
        let had: Vec<_> = self.has.overlap(range.clone()).collect();
        self.has.remove(range.clone());
        self.spare_no_more(&had);
        let taken = had.iter().map(|r| r.end - r.start).sum::<u64>();
        self.retracted = self.retracted.saturating_add(taken);
        self.note_taken_back(range, next);
        if let Some(cursor) = cursor {
            return self.owe(had, cursor);
        }
        for piece in had {
            self.again.insert(piece);
        }
        Vec::new()
    }

    /// Owes what the group has passed of these ranges, and gives it.
    fn owe(&mut self, ranges: Vec<Range<u64>>, cursor: u64) -> Vec<Range<u64>> {
        let passed = ranges.into_iter().map(|r| r.start..r.end.min(cursor));
        let passed: Vec<_> = passed.filter(|r| r.start < r.end).collect();
        for range in &passed {
            self.shared.insert(range.clone());
        }
        passed
    }

    // What is sent to it, and what becomes of that.

    /// Bytes arrived there.
    pub(crate) fn acked(&mut self, range: Range<u64>, proof: Proof) {
        if self.taken_back.is_empty() {
            return self.settle(range);
        }
        let mut unproven = RangeSet::new();
        for batch in &mut self.taken_back {
            if batch.is_outdated(proof) {
                batch.ranges.overlap(range.clone()).for_each(|piece| unproven.insert(piece));
            } else {
                batch.ranges.remove(range.clone());
            }
        }
        self.taken_back.retain(|batch| !batch.ranges.is_empty());
        for piece in unproven.gaps(range).collect::<Vec<_>>() {
            self.settle(piece);
        }
        if let Proof::Packet(..) = proof {
            // It may have been what was taken back: then nothing else is on its way.
            for piece in unproven.iter() {
                self.lost_alone(piece);
            }
        }
    }

    fn note_taken_back(&mut self, range: Range<u64>, (unicast, group): (u64, u64)) {
        self.taken_back.iter_mut().for_each(|batch| batch.ranges.remove(range.clone()));
        match self.taken_back.back_mut() {
            Some(last) if (last.unicast, last.group) == (unicast, group) => {
                last.ranges.insert(range);
            }
            _ => {
                let ranges = RangeSet::from_range(range);
                self.taken_back.push_back(TakenBack { ranges, unicast, group });
            }
        }
        if self.taken_back.len() > MOST_BATCHES
            && let Some(mut oldest) = self.taken_back.pop_front()
            && let Some(next) = self.taken_back.front_mut()
        {
            if oldest.ranges.len() > next.ranges.len() {
                core::mem::swap(&mut oldest.ranges, &mut next.ranges);
            }
            oldest.ranges.iter().for_each(|piece| next.ranges.insert(piece));
        }
    }

    /// These ranges are neither had nor undeclared any more.
    fn spare_no_more(&mut self, ranges: &[Range<u64>]) {
        if self.undeclared.is_empty() {
            self.spared = None;
        } else if let Some(spared) = &mut self.spared {
            for range in ranges {
                spared.remove(range.clone());
            }
        }
    }

    fn settle(&mut self, range: Range<u64>) {
        if let Some(spared) = &mut self.spared {
            spared.insert(range.clone());
        }
        take(&mut self.undeclared, &range);
        take(&mut self.unsent, &range);
        take(&mut self.again, &range);
        take(&mut self.shared, &range);
        self.has.insert(range);
        self.spare_no_more(&[]);
    }

    /// Bytes leave for it alone.
    pub(crate) fn sent_alone(&mut self, range: Range<u64>) {
        let bytes = range.end - range.start;
        self.sent += bytes;
        let unsent = self.unsent.total();
        take(&mut self.unsent, &range);
        take(&mut self.again, &range);
        self.first_sent += unsent - self.unsent.total();
        self.high = self.high.max(range.end);
    }

    /// The group carries these bytes, again if they were owed.
    pub(crate) fn carried(&mut self, range: Range<u64>) {
        take(&mut self.shared, &range);
    }

    /// Bytes sent to it alone were lost.
    pub(crate) fn lost_alone(&mut self, range: Range<u64>) {
        let Self { has, undeclared, unsent, shared, again, .. } = self;
        fill(again, &[has, undeclared, unsent, shared], range);
    }

    /// What it does not have of a range on its way goes to it alone once more; whether there is any.
    pub(crate) fn repeat(&mut self, range: Range<u64>) -> bool {
        let Self { has, undeclared, unsent, shared, again, .. } = self;
        fill(again, &[has, undeclared, unsent, shared], range)
    }

    /// A group packet with these bytes was missed by one that follows the group. Whether that owes
    /// it any of them.
    pub(crate) fn missed(&mut self, range: Range<u64>) -> bool {
        let Self { has, undeclared, unsent, again, shared, .. } = self;
        fill(shared, &[has, undeclared, unsent, again], range)
    }

    /// What it is owed of a range goes to it alone.
    pub(crate) fn serve_alone(&mut self, range: Range<u64>) {
        while let Some(piece) = self.shared.first_from(range.start)
            && piece.start < range.end
        {
            let piece = piece.start..piece.end.min(range.end);
            self.shared.remove(piece.clone());
            self.again.insert(piece);
        }
    }

    /// The group passes a range that nobody else lacks: what it lacks of it goes to it alone.
    pub(crate) fn hand(&mut self, range: Range<u64>) {
        let Self { has, undeclared, unsent, again, shared, .. } = self;
        fill(unsent, &[has, undeclared, again, shared], range);
    }

    /// It follows the group from here on: what lies ahead of the cursor, and what the group has on
    /// its way to it, is not to be sent alone.
    pub(crate) fn follow(&mut self, cursor: u64, in_flight: impl Iterator<Item = Range<u64>>) {
        for range in in_flight.chain(once(cursor..u64::MAX)) {
            self.unsent.remove(range.clone());
            self.again.remove(range);
        }
    }

    /// It does not follow the group any more: all that it lacks is to be sent alone. `given_up`:
    /// what the group had on its way to it.
    pub(crate) fn unfollow(&mut self, cursor: u64, given_up: impl Iterator<Item = Range<u64>>) {
        let given_up: Vec<_> = given_up.collect();
        for range in given_up {
            self.lost_alone(range);
        }
        let owed = core::mem::take(&mut self.shared);
        for range in owed.iter() {
            self.again.insert(range);
        }
        self.hand(cursor..u64::MAX);
    }

    /// The stream ends at `end`: nothing beyond is owed to it, nor asked of it.
    pub(crate) fn cut(&mut self, end: u64) {
        let rest = end..u64::MAX;
        let held = self.has.overlap(rest.clone()).map(|r| r.end - r.start).sum();
        self.declared = self.declared.saturating_sub(held); // of something longer
        let sets = [&self.undeclared, &self.has];
        let beyond: Vec<_> = sets.iter().flat_map(|set| set.overlap(rest.clone())).collect();
        let Self { unsent, again, shared, undeclared, has, .. } = self;
        for set in [unsent, again, shared, undeclared, has] {
            set.remove(rest.clone());
        }
        self.spare_no_more(&beyond);
    }

    /// Its part of the session is over: it is owed nothing.
    pub(crate) fn end(&mut self) {
        for set in [&mut self.unsent, &mut self.again, &mut self.shared, &mut self.undeclared] {
            *set = RangeSet::new();
        }
        self.spared = None;
    }

    // What follows from it.

    /// What is to be sent to it alone next, lowest first; of what is owed in many pieces that touch, a
    /// part of `most` bytes or more.
    pub(crate) fn next_alone(&self, most: u64) -> Option<Owed> {
        let (unsent, again) = (self.unsent.first(), self.again.first());
        if again.is_none() {
            return unsent.map(|range| Owed { range, repair: false });
        }
        let (mut range, repair) = match (unsent, again) {
            (Some(first), Some(other)) if other.start < first.start => (other, true),
            (Some(first), _) => (first, false),
            (None, other) => (other?, true),
        };
        // Neighbours in the two sets are one range.
        while range.end - range.start < most
            && let Some(next) = self.alone_at(range.end)
        {
            range.end = next;
        }
        Some(Owed { range, repair })
    }

    /// End of the piece of what is to be sent to it alone that contains `at`.
    fn alone_at(&self, at: u64) -> Option<u64> {
        let piece = |set: &RangeSet| set.first_from(at).filter(|p| p.start == at).map(|p| p.end);
        piece(&self.unsent).or_else(|| piece(&self.again))
    }

    /// The first range at or after `from` that is to be sent to it alone.
    #[cfg(test)]
    pub(crate) fn alone_from(&self, from: u64) -> Option<Range<u64>> {
        let first = |set: &RangeSet| set.first_from(from);
        let mut found = [first(&self.unsent), first(&self.again)].into_iter().flatten();
        let mut range = found.next().map(|a| {
            found.next().map_or(a.clone(), |b| if a.start < b.start { a.clone() } else { b })
        })?;
        while let Some(next) = self.alone_at(range.end) {
            range.end = next;
        }
        Some(range)
    }

    /// The lowest byte to be sent to it alone.
    pub(crate) fn first_alone(&self) -> Option<u64> {
        let first = |set: &RangeSet| set.first().map(|piece| piece.start);
        first(&self.unsent).into_iter().chain(first(&self.again)).min()
    }

    /// The first byte at or after `from` that was never sent to it alone, of those that it is to be
    /// sent so; `from` if there is none.
    pub(crate) fn unsent_from(&self, from: u64) -> u64 {
        self.unsent.first_from(from).map_or(from, |piece| piece.start)
    }

    /// Whether something sent to it before is to be sent to it alone again.
    pub(crate) fn is_repeated(&self) -> bool {
        !self.again.is_empty()
    }

    /// Bytes to be sent to it alone below `end`.
    pub(crate) fn alone_below(&self, end: u64) -> u64 {
        below(&self.unsent, end) + below(&self.again, end)
    }

    /// The first range at or after `from` that it lacks, as far as is known, and that is not to be
    /// sent to it alone; of one that does not follow the group (`follows`), which is sent everything
    /// alone, that it lacks.
    pub(crate) fn lacks_from(&self, from: u64, follows: bool) -> Option<Range<u64>> {
        let all = [self.spared.as_ref().unwrap_or(&self.has), &self.unsent, &self.again];
        first_outside(if follows { &all } else { &all[..1] }, from)
    }

    /// The first range at or after `from` that it is owed after the group passed it.
    pub(crate) fn shared_from(&self, from: u64) -> Option<Range<u64>> {
        self.shared.first_from(from)
    }

    /// Whether it is owed any of a range after the group passed it.
    pub(crate) fn shares(&self, range: &Range<u64>) -> bool {
        self.shared.intersects(range)
    }

    /// Whether it has said anything of what it holds or lacks.
    pub(crate) fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Bytes that it has without a hole from the start.
    pub(crate) fn contiguous(&self) -> u64 {
        self.has.first().filter(|r| r.start == 0).map_or(0, |r| r.end)
    }

    /// Whether it has all of a range.
    #[cfg(test)]
    pub(crate) fn has(&self, range: Range<u64>) -> bool {
        self.has.gaps(range).next().is_none()
    }

    /// Whether it has nothing of a range.
    #[cfg(test)]
    pub(crate) fn has_none_of(&self, range: Range<u64>) -> bool {
        !self.has.intersects(&range)
    }

    /// Memory that its sets take, in bytes.
    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        let sets = [&self.has, &self.undeclared, &self.unsent, &self.again, &self.shared];
        let spared = self.spared.iter();
        let batches = self.taken_back.iter().map(|batch| &batch.ranges);
        sets.into_iter().chain(spared).chain(batches).map(RangeSet::bytes).sum()
    }

    /// The first byte that it took back and that nothing proves to have come again.
    pub(crate) fn first_taken_back(&self) -> Option<u64> {
        let firsts = self.taken_back.iter().filter_map(|batch| batch.ranges.first());
        firsts.map(|piece| piece.start).min()
    }

    /// Whether it has everything below `end`.
    pub(crate) fn is_met(&self, end: u64) -> bool {
        self.contiguous() >= end
    }

    /// Whether it has everything below `end` if so many distinct bytes arrived there: with what it
    /// declared, and again what it took back.
    pub(crate) fn is_met_by(&self, arrived: u64, end: u64) -> bool {
        arrived.saturating_add(self.declared) >= end.saturating_add(self.retracted)
    }

    /// End of the highest byte that it has.
    pub(crate) fn held_to(&self) -> u64 {
        self.has.last().map_or(0, |piece| piece.end)
    }

    /// Bytes that have come to it, as far as that is known.
    pub(crate) fn arrived(&self) -> u64 {
        self.has.total().saturating_add(self.forgotten).saturating_sub(self.declared)
    }

    /// Bytes that it has.
    pub(crate) fn held(&self) -> u64 {
        self.has.total()
    }

    /// End of the highest byte sent to it by unicast.
    pub(crate) fn high(&self) -> u64 {
        self.high
    }

    /// Bytes sent to it by unicast, repetitions included.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes sent to it by unicast for the first time.
    pub(crate) fn first_sent(&self) -> u64 {
        self.first_sent
    }
}

/// Takes a range out of a set: mostly none of it is there, since what is acknowledged was sent, and
/// what is sent comes first.
fn take(set: &mut RangeSet, range: &Range<u64>) {
    if set.first().is_some_and(|first| first.start < range.end) {
        set.remove(range.clone());
    }
}

/// Adds to a set the parts of a range that are in none of the others; whether there are any.
fn fill(set: &mut RangeSet, others: &[&RangeSet], range: Range<u64>) -> bool {
    let mut at = range.start;
    while let Some(gap) = first_outside(others, at)
        && gap.start < range.end
    {
        at = gap.end.min(range.end);
        set.insert(gap.start..at);
    }
    at > range.start
}

/// Members of a set below `end`.
fn below(set: &RangeSet, end: u64) -> u64 {
    set.total() - set.overlap(end..u64::MAX).map(|piece| piece.end - piece.start).sum::<u64>()
}

/// The first range at or after `from` that is in none of the sets.
fn first_outside(sets: &[&RangeSet], from: u64) -> Option<Range<u64>> {
    let (mut at, mut end) = (from, u64::MAX);
    let mut n = 0;
    let mut clear = 0; // sets in a row that do not contain `at`
    while clear < sets.len() {
        match sets[n % sets.len()].first_from(at) {
            Some(piece) if piece.start == at => (at, end, clear) = (piece.end, u64::MAX, 0),
            Some(piece) => (end, clear) = (end.min(piece.start), clear + 1),
            None => clear += 1,
        }
        n += 1;
    }
    (at < end).then_some(at..end)
}

#[cfg(test)]
mod tests;
