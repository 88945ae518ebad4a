//! How long the rules may take over one name: those of another are not to cost more than that.

use core::cell::Cell;

/// Steps of about a nanosecond or a few that are left.
#[derive(Debug)]
pub(super) struct Steps(Cell<u64>);

impl Steps {
    /// So many.
    pub(super) fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    /// More than anything takes.
    pub(super) fn endless() -> Self {
        Self::new(u64::MAX)
    }

    /// Takes some; `false` if there are none left.
    pub(super) fn take(&self, steps: u64) -> bool {
        self.0.set(self.0.get().saturating_sub(steps));
        !self.are_used_up()
    }

    pub(super) fn are_used_up(&self) -> bool {
        self.0.get() == 0
    }
}
