//! When a member that is served by unicast is tried by the group again.

use super::mode::{self, BOOTS, Cause, RETRY_FIRST};
use super::{GroupView, Member};
use crate::proto::time::Instant;
use crate::stats::{Mode, ModeReason};
use crate::wire::GroupStatus;
use core::time::Duration;

impl Member {
    /// It is demoted for this: when it is tried again, if at all.
    pub(super) fn next_retry(
        &mut self,
        now: Instant,
        view: &GroupView<'_>,
        cause: Cause,
    ) -> Option<Instant> {
        let boots = view.v6 && now.since(self.answered) < BOOTS;
        let (after, next) = mode::retry(self.retry_after, cause, boots)?;
        self.retry_after = next;
        Some(now + after)
    }

    /// The group is another one, of which what was wrong with the one before says nothing: it is tried at the next
    /// look, unless unicast was the faster way.
    pub(super) fn begin_to_retry(&mut self) {
        let slower = matches!(self.off_group, Some(ModeReason::Slower { .. }));
        if self.mode == Mode::Unicast && !slower {
            (self.retry_at, self.retry_after) = (Some(Instant::ZERO), RETRY_FIRST);
        }
    }

    /// Whether it leaves the group with this step: where its line, or the air, is the narrow one, what the group brings
    /// there is at the cost of what it gets alone. Who hears nothing stays, and may hear something.
    pub(super) fn is_to_leave(&self, cause: Cause) -> bool {
        let narrow = match cause {
            Cause::Slow | Cause::Slower => true,
            Cause::HearsLittle => self.board.hearing().1 > 0.0,
            _ => false,
        };
        narrow && self.group_status == GroupStatus::Joined
    }

    /// Whether it may be time to try the group again: then [`Self::retries`] says.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        let due = [self.retry_at, self.ways.looks_at(), self.slow.returns_at()];
        self.mode == Mode::Unicast && due.into_iter().flatten().any(|at| at <= now)
    }

    /// Whether it is time to try the group again; told once.
    pub(crate) fn retries(&mut self, now: Instant, others: Option<Followed>) -> bool {
        if self.mode != Mode::Unicast || !self.is_here() {
            return false;
        }
        let rate = others.map(|others| others.rate);
        let wrong = self.ways.was_wrong(now, self.need.arrived(), rate);
        let due = wrong || self.retry_at.is_some_and(|at| at <= now);
        let due = due || self.returns(now, others.map(|others| others.rtt));
        if due {
            self.retry_at = None;
        }
        due
    }
}

/// What the group is at present to those who follow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Followed {
    /// Bytes a second that it brings, at most.
    rate: f64,
    /// The least of their round trips, with the queue that they all share.
    rtt: Duration,
}

impl Followed {
    /// `None`: nobody follows.
    pub(crate) fn by(members: &[Member]) -> Option<Self> {
        let following = || members.iter().filter(|m| m.binds());
        let rtt = following().filter_map(|m| m.group_path().rtt.smoothed()).min()?;
        let rate = following().map(|m| m.watch().rate()).fold(0.0, f64::max);
        Some(Self { rate, rtt })
    }
}
