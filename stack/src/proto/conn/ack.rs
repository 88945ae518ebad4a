//! When to acknowledge: every second segment, a gap at once, else within a bounded delay
//! (RFC 9293, 3.8.6.3; RFC 5681, 4.2).

use crate::proto::time::Instant;
use core::time::Duration;

/// RFC 5681 (4.2): at least every second full-sized segment. Datagrams that arrive together are
/// counted together, so a train costs one ACK.
const EVERY: u32 = 2;
/// The longest an acknowledgement waits. RFC 9293 (3.8.6.3) allows 500 ms; a sender's timers allow
/// for this much.
pub(crate) const MAX_DELAY: Duration = Duration::from_millis(5);

/// What is owed to the peer.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pending: u32,
    at: Option<Instant>,
    due: bool,
}

impl Acks {
    /// A packet that wants an answer arrived; `at_once` for gaps, pings and FINs.
    pub(crate) fn on_packet(&mut self, now: Instant, at_once: bool) {
        self.pending += 1;
        self.due |= at_once || self.pending >= EVERY;
        self.at.get_or_insert(now + MAX_DELAY);
    }

    /// Something changed that the peer should know without being asked (a window that opened).
    pub(crate) fn demand(&mut self) {
        self.due = true;
    }

    pub(crate) fn due(&self) -> bool {
        self.due
    }

    pub(crate) fn sent(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.due { None } else { self.at }
    }

    pub(crate) fn on_timer(&mut self, now: Instant) {
        self.due |= self.at.is_some_and(|at| at <= now);
    }
}

#[cfg(test)]
mod tests {
    use super::{Acks, MAX_DELAY};
    use crate::proto::time::Instant;

    #[test]
    fn one_waits_two_do_not_a_gap_does_not() {
        let t = Instant::from_nanos(7);
        let mut acks = Acks::default();
        acks.on_packet(t, false);
        assert!(!acks.due());
        assert_eq!(acks.deadline(), Some(t + MAX_DELAY));
        acks.on_timer(t + MAX_DELAY);
        assert!(acks.due());
        acks.sent();
        assert!(!acks.due() && acks.deadline().is_none());
        acks.on_packet(t, false);
        acks.on_packet(t, false);
        assert!(acks.due());
        acks.sent();
        acks.on_packet(t, true);
        assert!(acks.due());
    }
}
