//! What a sender asks of this host's counters, and how often they are read for it.

use crate::proto::time::Instant;
use core::time::Duration;

/// They are read so often at most: a sender asks once for each silence, which lasts three times as long at least
/// ([`super::membership::SILENCE`]), and reading a few files costs a small part of that.
const LEAST: Duration = Duration::from_millis(100);

/// Whether the counters are to be read.
#[derive(Debug, Default)]
pub(super) struct Asked {
    due: bool,
    last: Option<Instant>,
}

impl Asked {
    /// The sender asks; too soon is not at all.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.last.is_none_or(|last| now.since(last) >= LEAST) {
            (self.due, self.last) = (true, Some(now));
        }
    }

    /// Whether they are to be read now; told once.
    pub(super) fn take(&mut self) -> bool {
        core::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_without_end_is_answered_now_and_then() {
        let mut asked = Asked::default();
        let mut answers = 0;
        for ms in 0..1000 {
            asked.ask(Instant::ZERO + Duration::from_millis(ms));
            asked.ask(Instant::ZERO + Duration::from_millis(ms));
            answers += u32::from(asked.take());
            assert!(!asked.take());
        }
        assert_eq!(answers, 10);
    }
}
