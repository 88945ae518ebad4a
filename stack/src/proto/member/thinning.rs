//! How much more seldom than its window asks for a member acknowledges, where its way back is narrow.

use super::Member;
use crate::proto::conn::ack::AckPolicy;
use crate::proto::time::Instant;
use core::time::Duration;

/// By BBR no more than a product of rate and round trip waits on the way to a member. Who takes more
/// than three least round trips has a queue on the way back, of acknowledgements: as long as that does
/// not drain it is asked for fewer (RFC 5690 does so when they are lost), for more again below two.
/// CUBIC's window grows with such a queue, and by that alone fewer are asked for.
const QUEUED: u32 = 3;
const CLEAR: u32 = 2;
/// Up to this a round trip may consist of trains and the time that a host takes.
const SHORT: Duration = Duration::from_millis(20);
/// The factors of a step up and down. One takes two round trips: after the first an acknowledgement
/// that was asked for anew has passed the queue, after the second it shows.
const STEP: (f64, f64) = (2.0, 0.95);
const STEP_RTTS: u32 = 2;
/// So many times less often at the most: with one of eight a window left, it is one a window.
const MOST: f64 = 8.0;
/// And no delay is made longer than this: of 64 kbit/s ten ACKs a second take a third.
const LONGEST: Duration = Duration::from_millis(100);

/// The factor, and when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Thinning {
    factor: f64,
    next: Instant,
    /// The round trip then: a queue that drains needs no other step.
    before: Duration,
}

impl Default for Thinning {
    fn default() -> Self {
        Self { factor: 1.0, next: Instant::ZERO, before: Duration::ZERO }
    }
}

impl Thinning {
    /// Takes what the path shows, once a step.
    pub(crate) fn watch(&mut self, now: Instant, srtt: Duration, least: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + srtt * STEP_RTTS;
        let before = core::mem::replace(&mut self.before, srtt);
        if srtt > (least * QUEUED).max(SHORT) && srtt >= before {
            self.factor = (self.factor * STEP.0).min(MOST);
        } else if srtt < (least * CLEAR).max(SHORT) {
            self.factor = (self.factor * STEP.1).max(1.0);
        }
    }

    /// Whether fewer are asked for than the window wants.
    pub(crate) fn is_thin(self) -> bool {
        self.factor > 1.0
    }

    /// What is asked for where the window wants `policy`.
    #[expect(clippy::cast_sign_loss, reason = "both factors are one at least")]
    pub(crate) fn apply(self, policy: AckPolicy) -> AckPolicy {
        let every = (f64::from(policy.every) * self.factor) as u32;
        let delay = policy.delay.mul_f64(self.factor).min(LONGEST.max(policy.delay));
        AckPolicy { every, delay }
    }
}

impl Member {
    /// Looks whether its acknowledgements queue on their way.
    pub(crate) fn thin_acks(&mut self, now: Instant) {
        let path = if self.is_multicast() { &self.board.path } else { self.conn.path() };
        if let (Some(srtt), Some(least)) = (path.rtt.smoothed(), path.rtt.least()) {
            self.thinning.watch(now, srtt, least);
        }
    }

    /// For how long its acknowledgements are held back, if that is longer than its window asks for; else
    /// zero. What is sent meanwhile needs room there.
    pub(crate) fn hold_acks(&mut self) -> Duration {
        let thin = self.thinning.is_thin();
        let held = if thin { self.ack_policy.delay } else { Duration::ZERO };
        self.conn.path_mut().congestion.expect_acks(held);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::{AckPolicy, LONGEST, STEP_RTTS, Thinning};
    use core::time::Duration;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const POLICY: AckPolicy = AckPolicy { every: 4, delay: ms(5) };

    /// Looks so many times at a path that takes `srtt`, in milliseconds, and `least` without a queue.
    fn look(thinning: &mut Thinning, times: usize, srtt: u64, least: u64) -> AckPolicy {
        for _ in 0..times {
            let now = thinning.next + ms(srtt) * STEP_RTTS;
            thinning.watch(now, ms(srtt), ms(least));
        }
        thinning.apply(POLICY)
    }

    #[test]
    fn a_queue_on_the_way_back_makes_acknowledgements_seldom_until_it_drains() {
        let mut thinning = Thinning::default();
        assert_eq!(look(&mut thinning, 1, 59, 20), POLICY, "a product may wait on the way there");
        assert_eq!(look(&mut thinning, 1, 61, 20), AckPolicy { every: 8, delay: ms(10) });
        assert_eq!(look(&mut thinning, 1, 100, 20), AckPolicy { every: 16, delay: ms(20) });
        assert_eq!(look(&mut thinning, 1, 99, 20).every, 16, "it drains");
        assert_eq!(look(&mut thinning, 1, 39, 20).every, 15, "it has drained");
        assert_eq!(look(&mut thinning, 100, 20, 20), POLICY);
        assert!(!thinning.is_thin());
    }

    #[test]
    fn it_has_bounds_and_a_short_round_trip_says_nothing() {
        let mut thinning = Thinning::default();
        assert_eq!(look(&mut thinning, 9, 19, 1), POLICY);
        assert_eq!(look(&mut thinning, 9, 1000, 20), AckPolicy { every: 32, delay: ms(40) });
        let slow = |millis| AckPolicy { every: 4, delay: ms(millis) };
        assert_eq!(thinning.apply(slow(25)).delay, LONGEST);
        assert_eq!(thinning.apply(slow(150)).delay, ms(150), "nor is one made shorter");
    }
}
