//! Senders that ask why their group is not heard here: the driver reads the host's counters, and they are told.

use super::Endpoint;
use crate::proto::event::{Action, ReceiverId};
use crate::proto::time::Instant;
use crate::stats::Counters;

impl Endpoint {
    /// The next receiver whose sender asks.
    pub(super) fn next_count(&mut self) -> Option<Action> {
        self.receivers.iter_mut().find_map(|(id, receiver)| {
            let source = receiver.group.as_mut()?.takes_question()?;
            Some(Action::Count { receiver: *id, source })
        })
    }

    /// The answer to [`Action::Count`].
    pub fn handle_count(&mut self, now: Instant, receiver: ReceiverId, counters: Counters) {
        self.now = now;
        if let Some(receiver) = self.receivers.get_mut(&receiver) {
            receiver.on_counted(counters);
        }
    }
}
