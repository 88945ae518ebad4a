//! Where the group stands in the sequence: over the union of what two or more of those who hear it
//! lack. What only one lacks goes to it alone when the cursor passes it, what none lacks to nobody.

use super::Channel;
use super::union::{self, Found, Search};
use crate::proto::member::Member;
use crate::proto::send::store::Store;
use crate::proto::time::Instant;
use core::ops::Range;

/// Where nothing ahead is lacked by two, one that follows is handed what it alone lacks piece by
/// piece, so many bytes at a time: should another come to lack the rest, the group carries that.
const HAND: u64 = 1 << 20;

/// A run of pieces is made so many segments long, if there is as much: of these one may be short.
const RUN: u64 = 64;
/// What two lack is looked for in so many steps at a time, each of which asks every member once.
const STEPS: usize = 64;

/// The cursor.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// The next byte that the group will carry: all before it has been carried, handed over, or is
    /// lacked by nobody.
    at: u64,
    /// The next bytes that two or more lack, at the cursor or beyond it. If it is empty there are none up
    /// to its place.
    run: Range<u64>,
    /// Somebody's need, or who counts, has changed.
    stale: bool,
    /// When the first of those who are waited for is not waited for any more.
    until: Option<Instant>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { at: 0, run: 0..0, stale: true, until: None }
    }
}

impl Cursor {
    /// The next byte that the group will carry.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// What the group may carry next: bytes that two or more lack.
    pub(crate) fn run(&self) -> Range<u64> {
        if self.run.start <= self.at {
            self.at..self.run.end.max(self.at)
        } else {
            self.at..self.at
        }
    }

    /// So many bytes of that, at most, up to `end`.
    pub(crate) fn next(&self, bytes: u64, end: u64) -> Range<u64> {
        let run = self.run();
        run.start..run.end.min(end).min(run.start.saturating_add(bytes)).max(run.start)
    }

    /// The group has carried everything up to there.
    pub(crate) fn carried(&mut self, to: u64) {
        self.at = to;
    }

    /// Everybody has what lies below: it need not be carried, and cannot any more.
    pub(crate) fn pass(&mut self, base: u64) {
        self.at = self.at.max(base);
    }

    /// Somebody's need below `offset`, and maybe beyond the cursor, has changed.
    pub(crate) fn touch(&mut self, offset: u64) {
        self.stale |= offset > self.at;
    }

    /// Who counts, or how, has changed.
    pub(crate) fn reconsider(&mut self) {
        self.stale = true;
    }

    fn is_spent(&self, now: Instant) -> bool {
        self.stale || self.run.end <= self.at || self.until.is_some_and(|until| until <= now)
    }
}

impl Channel {
    /// Moves the cursor to what the group is to carry next.
    pub(crate) fn lead(&mut self, now: Instant, members: &mut [Member], store: &Store) {
        if members.iter().any(Member::is_multicast) {
            self.lead_followers(now, members, store);
        } else if self.trial.allowance() > 0 {
            // What is yet to be declared, or to exist, is not passed: nobody in trial goes back for it.
            let most = self.barrier(now, members).unwrap_or(u64::MAX).min(store.end());
            let at = self.trial_place(members, store);
            self.cursor.at =
                if at > self.cursor.at { at.min(most.max(self.cursor.at)) } else { at };
            self.find_run(now, members);
            if self.cursor.run.start < store.end() {
                self.cursor.at = self.cursor.run.start;
            }
        }
    }

    fn lead_followers(&mut self, now: Instant, members: &mut [Member], store: &Store) {
        if self.cursor.is_spent(now) {
            self.find_run(now, members);
        }
        let (at, end) = (self.cursor.at, store.end());
        let Range { start, end: run_end } = self.cursor.run;
        let next = if start < run_end.min(end) {
            start
        } else if at < end {
            self.hand_from(now, members, end).min(start.max(at))
        } else {
            at
        };
        if next > at {
            for m in members.iter_mut().filter(|m| m.is_multicast()) {
                m.need_mut().hand(at..next);
            }
            self.cursor.at = next;
        }
    }

    /// Looks for the next run. Where there is none, one that is empty stands at the very end, or where it
    /// is to be looked for further, so that it is not looked for again before something has changed.
    fn find_run(&mut self, now: Instant, members: &mut [Member]) {
        self.cursor.run = self.next_run(now, members);
        self.cursor.stale = false;
        if self.cursor.run.start == u64::MAX {
            self.stand_still(now, members);
        }
        let waited = members.iter().filter(|m| m.awaited_from(now, 0).is_some());
        self.cursor.until = waited.filter_map(|m| m.need().waits_until()).min();
    }

    /// What two or more lack, from the cursor on and up to what is still to be declared.
    fn next_run(&self, now: Instant, members: &[Member]) -> Range<u64> {
        let from = self.cursor.at;
        let heard = || members.iter().filter(|m| m.hears());
        let lacks = |at| heard().filter_map(move |m| m.need().lacks_from(at, m.is_multicast()));
        // Where nobody has declared anything, pieces are made of segments already.
        let found = if heard().any(|m| m.need().has_spoken()) {
            Search { lacks, steps: STEPS }.next_run(from, RUN * self.segment)
        } else {
            union::shared_from(from, lacks).map_or(Found::Nothing(u64::MAX), Found::Run)
        };
        let barrier = self.barrier(now, members).unwrap_or(u64::MAX);
        match found {
            Found::Run(run) if run.start < barrier => run.start..run.end.min(barrier),
            Found::Nothing(to) if to < barrier => to..to,
            _ => u64::MAX..u64::MAX,
        }
    }

    /// Nothing is to be carried before what some are yet to declare, if there is any: time runs for them.
    fn stand_still(&self, now: Instant, members: &mut [Member]) {
        let (from, barrier) = (self.cursor.at, self.barrier(now, members));
        let first = |m: &&mut Member| m.awaited_from(now, from) == barrier;
        if barrier.is_some() {
            members.iter_mut().filter(first).for_each(|m| m.need_mut().holds_up(now));
        }
    }

    /// The first byte from the cursor on that somebody who may follow is yet to declare.
    fn barrier(&self, now: Instant, members: &[Member]) -> Option<u64> {
        let from = self.cursor.at;
        members.iter().filter_map(|m| m.awaited_from(now, from)).min()
    }

    /// Nothing ahead is lacked by two: how far what one lacks is handed to it now.
    fn hand_from(&self, now: Instant, members: &[Member], end: u64) -> u64 {
        let at = self.cursor.at;
        let hungry = |m: &&Member| m.is_multicast() && m.need().alone_below(end) < HAND;
        let next = members.iter().filter(hungry).filter_map(|m| {
            let first = m.need().lacks_from(at, true).filter(|range| range.start < end)?;
            Some(first.start.saturating_add(HAND))
        });
        let to = next.min().map_or(at, |to| to.min(end));
        self.barrier(now, members).map_or(to, |barrier| barrier.min(to))
    }

    /// While nobody follows the group it carries what no member in trial has been sent yet. Where
    /// one of them has no room for that, since it is far behind, it carries what that one is sent
    /// next: the others hear it as well, and once they follow they meet there.
    fn trial_place(&self, members: &[Member], store: &Store) -> u64 {
        let at = self.cursor.at;
        let last = first_unsent(members, at);
        let (mut first, mut edge) = (u64::MAX, u64::MAX);
        for m in members.iter().filter(|m| m.is_tried()) {
            (first, edge) = (first.min(m.need().high()), edge.min(m.edge()));
        }
        if first != u64::MAX {
            first = first.max(store.base()); // what lies below is nowhere any more
        }
        if last.saturating_add(self.segment) <= edge || first == u64::MAX {
            last
        } else if (first..edge.saturating_sub(self.segment)).contains(&at) {
            at // on its way from the hindmost to what it has room for
        } else {
            first
        }
    }
}

/// The first byte from `at` on that two or more in trial lack, and that none of those was sent alone.
fn first_unsent(members: &[Member], mut at: u64) -> u64 {
    let tried = || members.iter().filter(|m| m.is_tried());
    let lacks = |at| tried().filter_map(move |m| m.need().lacks_from(at, false));
    while let Some(run) = union::shared_from(at, lacks) {
        let lacking = tried().filter(|m| {
            m.need().lacks_from(run.start, false).is_some_and(|range| range.start == run.start)
        });
        at = run.start;
        match lacking.map(|m| m.need().unsent_from(at)).max() {
            Some(next) if next > at => at = next,
            _ => break,
        }
    }
    at
}
