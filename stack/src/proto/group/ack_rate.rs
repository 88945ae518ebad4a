//! How often each member is to acknowledge: often enough for its window, seldom enough that the
//! ACKs of many members fit through the sender's downlink.

use super::Session;
use super::plan;
use crate::proto::conn::ack::{AckPolicy, DEFAULT_DELAY};
use crate::wire::Record;
use core::time::Duration;

/// Eight ACKs a window at the least, as with TCP's own thinning (RFC 3449, 5.1 warns of fewer) …
const ACKS_PER_WINDOW: u64 = 8;
/// … every packet at the most: a window of few segments is clocked by every one of its ACKs (RFC
/// 5681, 4.2, asks for every second at least), every 64th at the least.
const EVERY: (u64, u64) = (1, 64);
/// A quarter of a round trip, within these bounds.
const DELAY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

/// The policy for a window of so many bytes.
pub(crate) fn wanted(window: u64, segment: u64, srtt: Duration) -> AckPolicy {
    let every = (window / segment.max(1) / ACKS_PER_WINDOW).clamp(EVERY.0, EVERY.1) as u32;
    AckPolicy { every, delay: (srtt / 4).clamp(DELAY.0, DELAY.1) }
}

/// Whether a policy differs from the one in force by more than a quarter, so that it is worth a
/// control record.
pub(crate) fn differs(a: AckPolicy, b: AckPolicy) -> bool {
    let far = |x: f64, y: f64| (x - y).abs() > y / 4.0;
    far(f64::from(a.every), f64::from(b.every)) || far(a.delay.as_secs_f64(), b.delay.as_secs_f64())
}

impl Session {
    /// Tells a member how to acknowledge, when that has changed.
    pub(crate) fn tune_acks(&mut self, index: usize) {
        let group = plan::group_window(self);
        let m = &mut self.members[index];
        if !m.is_served() || !m.conn.control.all_sent() {
            return;
        }
        let (window, rtt) = match group {
            Some(window) if m.is_multicast() => (window, &m.board.path.rtt),
            _ => (m.conn.tx.path.congestion.window(), &m.conn.tx.path.rtt),
        };
        let Some(srtt) = rtt.smoothed() else { return };
        let policy = wanted(window, self.segment, srtt);
        if differs(policy, m.ack_policy) {
            m.ack_policy = policy;
            let (every, delay_us) = (policy.every as u16, policy.delay.as_micros() as u32);
            m.conn.control.push(&Record::AckPolicy { every, delay_us });
        }
    }
}

impl super::member::Member {
    /// The longest this member's acknowledgement may be delayed, as far as it has been told.
    pub(crate) fn ack_delay(&self) -> Duration {
        self.ack_policy.delay.max(DEFAULT_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::{AckPolicy, differs, wanted};
    use core::time::Duration;

    #[test]
    fn a_policy_follows_the_window_within_bounds() {
        let ms = Duration::from_millis;
        let policy = |every, delay| AckPolicy { every, delay };
        assert_eq!(wanted(10 * 1420, 1420, ms(100)), policy(1, ms(25)));
        assert_eq!(wanted(16 * 1420, 1420, ms(100)), policy(2, ms(25)));
        assert_eq!(wanted(160 * 1420, 1420, ms(20)), policy(20, ms(5)));
        assert_eq!(wanted(1 << 30, 1420, Duration::ZERO), policy(64, ms(1)));
        assert!(!differs(policy(20, ms(5)), policy(16, ms(5))));
        assert!(differs(policy(21, ms(5)), policy(16, ms(5))));
        assert!(differs(policy(16, ms(4)), policy(16, ms(8))));
    }
}
