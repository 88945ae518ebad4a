//! How long the group waits for what a member is yet to declare.
//!
//! It stands still for it for `declare_wait` (1 s) at first. What of that was spent comes back at an eighth of the time
//! that passes, as soon as the member has declared what the group has come to: so a member that always needs a moment
//! is waited for each time, and one that is slower than the others costs them an eighth of the time at most.

use super::Need;
use crate::proto::time::Instant;
use core::time::Duration;

/// Of the time that passes, one part in so many comes back.
const REGAINED: u32 = 8;

/// The patience that the group has with one member.
#[derive(Debug, Default)]
pub(super) struct Wait {
    /// Most that there can be.
    most: Duration,
    /// What there was when the group last began to wait, or went on.
    left: Duration,
    /// When that was.
    at: Option<Instant>,
    /// The group waits, or has gone on without it.
    waits: bool,
    /// The end of what exists, and is to be declared.
    end: u64,
}

impl Wait {
    fn begin(&mut self, now: Instant) {
        if self.waits {
            return;
        }
        let regained = self.at.map_or(self.most, |at| now.since(at) / REGAINED);
        self.left = self.most.min(self.left.saturating_add(regained));
        (self.at, self.waits) = (Some(now), true);
    }

    fn end(&mut self, now: Instant) {
        if !self.waits {
            return;
        }
        let spent = self.at.map_or(Duration::ZERO, |at| now.since(at));
        self.left = self.left.saturating_sub(spent);
        (self.at, self.waits) = (Some(now), false);
    }

    fn until(&self) -> Option<Instant> {
        self.at.filter(|_| self.waits).map(|at| at + self.left)
    }
}

impl Need {
    /// From its first answer on it is waited for, so long at most; it is to declare what lies below `end`.
    pub(crate) fn begin_to_wait(&mut self, now: Instant, most: Duration, end: u64) {
        self.wait = Wait { most, end, ..Wait::default() };
        self.wait.begin(now);
    }

    /// The bytes from `old` to `end` have come to exist. Whoever has declared all before is waited for anew.
    pub(crate) fn grown(&mut self, now: Instant, old: u64, end: u64) {
        self.wait.end = old;
        if self.first_undeclared(0).is_none() {
            self.wait.end(now);
        }
        self.wait.end = end;
    }

    /// The group stands still for it.
    pub(crate) fn holds_up(&mut self, now: Instant) {
        self.wait.begin(now);
    }

    /// It has declared something, and the group stands at `cursor`.
    pub(crate) fn has_declared(&mut self, now: Instant, cursor: u64) {
        if self.first_undeclared(0).is_none_or(|at| at > cursor) {
            self.wait.end(now);
        }
    }

    /// Until when the group stands still for it, if it does.
    pub(crate) fn waits_until(&self) -> Option<Instant> {
        self.wait.until().filter(|_| self.first_undeclared(0).is_some())
    }

    /// The first undeclared byte at or after `from` that the group does not pass.
    pub(crate) fn awaited_from(&self, now: Instant, from: u64) -> Option<u64> {
        if self.wait.until().is_some_and(|until| until <= now) {
            return None;
        }
        self.first_undeclared(from)
    }

    fn first_undeclared(&self, from: u64) -> Option<u64> {
        let first = self.undeclared.first_from(from).map(|piece| piece.start);
        first.filter(|start| *start < self.wait.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1 + ms * 1_000_000)
    }

    #[test]
    fn what_was_spent_comes_back_little_by_little() {
        let mut need = Need::new(true);
        need.begin_to_wait(at(0), Duration::from_secs(1), 100);
        need.lack(0..10, None);
        need.has_declared(at(600), 0);
        assert_eq!((need.waits_until(), need.awaited_from(at(5000), 0)), (None, Some(10)));
        need.holds_up(at(600));
        assert_eq!(need.waits_until(), Some(at(1000)), "of the second that is left");
        need.holds_up(at(900));
        assert_eq!(need.waits_until(), Some(at(1000)), "it stood still already");
        assert_eq!(
            (need.awaited_from(at(999), 0), need.awaited_from(at(1000), 0)),
            (Some(10), None)
        );
        // It is behind until it has declared what the group has come to.
        need.lack(10..20, None);
        need.has_declared(at(1400), 50);
        assert_eq!(need.awaited_from(at(1400), 50), None);
        need.lack(20..60, None);
        need.has_declared(at(1400), 50);
        assert_eq!(need.awaited_from(at(1400), 50), Some(60));
        need.holds_up(at(2200));
        assert_eq!(need.waits_until(), Some(at(2300)));
        need.lack(60..100, None);
        assert_eq!(need.waits_until(), None, "there is nothing to wait for");
    }

    #[test]
    fn more_of_a_source_is_waited_for_unless_it_is_behind() {
        let mut need = Need::new(true);
        need.begin_to_wait(at(0), Duration::from_secs(1), u64::MAX);
        need.grown(at(3000), 0, 10);
        assert_eq!(need.awaited_from(at(3000), 0), Some(0), "there was nothing before");
        need.holds_up(at(90_000));
        need.grown(at(92_000), 10, 20);
        assert_eq!(need.awaited_from(at(92_000), 0), None);
    }
}
