//! When a member that is served by unicast is tried by the group again.

use super::mode::{self, BOOTS, Cause, RETRY_FIRST};
use super::{GroupView, Member};
use crate::proto::time::Instant;
use crate::stats::{Mode, ModeReason};
use crate::wire::GroupStatus;

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

    /// Whether it is time to try the group again; told once.
    pub(crate) fn retries(&mut self, now: Instant) -> bool {
        let wrong = self.mode == Mode::Unicast && self.ways.was_wrong(now, self.need.arrived());
        let due = self.mode == Mode::Unicast && self.retry_at.is_some_and(|at| at <= now) || wrong;
        let due = self.is_here() && (due || self.returns(now));
        if due {
            self.retry_at = None;
        }
        due
    }
}
