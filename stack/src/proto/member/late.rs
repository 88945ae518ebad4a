//! One that begins to follow the group: whether it has yet to catch up with that.

use super::flooded::Flooded;
use super::{GroupView, Member};

/// Who lacks more than this of what the group has passed when it comes to that has come late: what the group is tried
/// with, and what goes beside that, is less.
const LATE: u64 = 1 << 20;

impl Member {
    /// Served by the group from here on: what lies ahead, and what is on its way, is not to be
    /// sent by unicast.
    pub(super) fn follow_group(&mut self, view: &GroupView<'_>) {
        self.flooded = Flooded::default();
        self.need.follow(view.cursor, self.board.in_flight(view.log));
        self.note_late(view.cursor);
    }

    /// The group waits for it from here on.
    pub(crate) fn note_late(&mut self, cursor: u64) {
        self.late = (self.need.alone_below(cursor) > LATE).then_some(cursor);
    }

    /// What it is sent alone is what the group carries, or has carried, for others. One that has come late and is a
    /// suspect lacks what it has no room for as well.
    pub(crate) fn catches_up(&self) -> bool {
        let lacks = |to: u64| self.need.first_alone().is_some_and(|first| first < to);
        let is_late = |to: u64| self.slow.is_suspect() || lacks(to);
        !self.is_multicast() || self.late.is_some_and(is_late)
    }
}
