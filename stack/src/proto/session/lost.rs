//! Members that are silent, or lost, and come back: nobody waits for them meanwhile, and the session ends when
//! only lost ones are left. What this host has slept speaks against nobody.

use super::Session;
use crate::proto::member::Member;
use crate::proto::member::mode::Cause;
use crate::proto::member::presence::State;
use crate::proto::time::Instant;
use core::time::Duration;

/// A timer that fires so late does so since this host slept, or stood still (a signal, a suspended machine): longer
/// than a busy scheduler holds a process up.
const SLEPT: Duration = Duration::from_millis(500);

impl Session {
    /// If this host has slept until now, what was not heard meanwhile speaks against nobody.
    pub(super) fn wake(&mut self, now: Instant) {
        let before = core::mem::replace(&mut self.ran, now);
        // Timers that are due in time are by far the most, and to look for the first of all takes a while.
        if now.since(before) < SLEPT {
            return;
        }
        if self.deadline(now).is_some_and(|at| now.since(at.max(before)) >= SLEPT) {
            self.members.iter_mut().for_each(|m| m.excuse(now));
            self.only_lost_since = self.only_lost_since.map(|_| now);
        }
    }

    /// Looks whether a member is silent, or lost.
    pub(super) fn look_for(&mut self, now: Instant, index: usize) {
        let idle = self.config.idle_timeout;
        let Self { members, channels, .. } = self;
        let log = members[index].channel().map(|id| channels[id.0].log());
        match members[index].look_for(now, log, idle) {
            Some(State::Silent) => self.regroup(index),
            Some(State::Lost) if self.store.is_source() => self.lose(now, index),
            // A ring cannot go on without it, nor wait for it.
            Some(State::Lost) => self.end_lost_member(now, index),
            _ => {}
        }
    }

    /// One is lost, and is sought from now on. Who was alone before has no other mode by that, and is told of as well.
    fn lose(&mut self, now: Instant, index: usize) {
        self.members[index].note_lost(now, self.began);
        self.change(now, index, Cause::Silent);
    }

    /// Takes silent ones off the group once it is shown that others are there: what most miss at once is an outage,
    /// after which the group repairs what they have missed, and goes on with all.
    pub(super) fn part(&mut self, now: Instant) {
        let all = self.members.iter().filter(|m| m.is_served() && m.may_follow());
        if all.clone().filter(|m| !m.is_here()).count() * 2 > all.count() {
            return;
        }
        for index in 0..self.members.len() {
            let m = &self.members[index];
            if !m.is_here() && m.may_follow() && self.are_others_there(now, index) {
                self.change(now, index, Cause::Silent);
            }
        }
    }

    fn are_others_there(&self, now: Instant, index: usize) -> bool {
        let (m, patience) = (&self.members[index], self.members[index].patience());
        let since = m.silent_since() + patience;
        self.members.iter().any(|other| {
            let is_there = other.is_served() && other.may_follow();
            is_there && other.is_here_for(now, patience) && other.conn().last_heard() >= since
        })
    }

    /// Something sealed came from a member: if it was silent, it is there again.
    pub(super) fn on_return(&mut self, now: Instant, index: usize) {
        let was_lost = self.members[index].is_lost();
        if !self.members[index].comes_back(now, self.config.idle_timeout) {
            return;
        }
        if was_lost {
            self.members[index].note_found(now, self.began);
        }
        // Others that were silent may be there again as well.
        self.members.iter_mut().filter(|m| m.is_served() && !m.is_here()).for_each(|m| {
            m.conn_mut().ping();
        });
        self.regroup(index);
        self.changed = true;
    }

    /// Whether there are lost members, and everybody else has an outcome, or has not answered in time.
    fn is_only_lost(&self, now: Instant) -> bool {
        let open = self.members.iter().filter(|m| m.outcome().is_none());
        let mut open = open.filter(|m| !self.is_only_asked(now, m)).peekable();
        open.peek().is_some() && open.all(Member::is_lost)
    }

    /// When the session ends without those that are lost, if nobody else is left.
    pub(super) fn gives_up_at(&self, now: Instant) -> Option<Instant> {
        let since = || self.only_lost_since.unwrap_or(now);
        self.is_only_lost(now).then(|| since() + self.config.wait_lost)
    }

    /// Ends it for those that are lost, if it is time.
    pub(super) fn give_up_lost(&mut self, now: Instant) {
        if !self.is_only_lost(now) {
            self.only_lost_since = None;
            return;
        }
        let since = *self.only_lost_since.get_or_insert(now);
        if now < since + self.config.wait_lost {
            return;
        }
        for index in 0..self.members.len() {
            if self.members[index].is_lost() && self.members[index].outcome().is_none() {
                self.end_lost_member(now, index); // with the last of them those end that are asked on
            }
        }
    }

    fn end_lost_member(&mut self, now: Instant, index: usize) {
        let reason = self.members[index].loss(now, self.began);
        self.members[index].conn_mut().abort("it heard nothing from this host for too long"); // should it still be there
        self.end_member(now, index, Err(reason));
    }
}
