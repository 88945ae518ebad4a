//! When to acknowledge: after so many packets, a gap at once but not too often, else within a bounded
//! delay (RFC 9293, 3.8.6.3; RFC 5681, 4.2). The sender says how many and how long, since it knows
//! its window and how many others answer as well: thousands of ACKs would drown its own downlink.

use crate::proto::time::Instant;
use core::time::Duration;

/// The longest an acknowledgement waits before the sender has said anything. RFC 9293 (3.8.6.3)
/// allows 500 ms.
pub(crate) const DEFAULT_DELAY: Duration = Duration::from_millis(5);
/// RFC 5681 (4.2): at least every second full-sized segment, until the sender says otherwise.
const DEFAULT_EVERY: u32 = 2;
/// A gap is told at once, but no more often than this; at a larger delay than four times this, no
/// more often than half the delay (an eighth of the round trip, as the sender sets delays).
const GAP_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// What a sender may ask for is cut to this: half of what RFC 9293 (3.8.6.3) allows.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_millis(250);

/// Who is to acknowledge so many packets at once is one of many that report in rounds: gaps and marks
/// wait for the round, lest hundreds tell of the same one at once.
const ROUND: u32 = 1024;

/// How often to acknowledge. Packets that arrive together are counted together, so a train costs
/// one ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckPolicy {
    pub(crate) every: u32,
    pub(crate) delay: Duration,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self { every: DEFAULT_EVERY, delay: DEFAULT_DELAY }
    }
}

/// How soon a packet wants to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// As the policy says.
    Usual,
    /// It opened or filled a gap.
    Gap,
    /// The first of several that arrived marked (RFC 3168).
    Mark,
    /// A ping, a FIN, or data with PSH.
    AtOnce,
}

/// What is owed to the peer.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    policy: AckPolicy,
    /// Random: where in a round this end reports.
    phase: u32,
    pending: u32,
    at: Option<Instant>,
    due: bool,
    last_sent: Instant,
}

impl Acks {
    /// Takes the sender's policy. `phase` is random: receivers that count the same packets of a
    /// group would all acknowledge the same ones, so each begins somewhere else in its count, and
    /// in its wait.
    pub(crate) fn set_policy(&mut self, now: Instant, every: u32, delay: Duration, phase: u32) {
        let (every, delay) = (every.max(1), delay.min(LONGEST_DELAY));
        self.due |= self.pending >= every;
        if every != self.policy.every
            && let Some(at) = self.at
        {
            self.pending = phase % every;
            let phased = now + delay.mul_f64(f64::from(phase) / f64::from(u32::MAX));
            self.at = Some(if delay > self.policy.delay { phased } else { at.min(phased) });
        }
        self.policy = AckPolicy { every, delay };
        self.phase = phase;
    }

    /// A packet that wants an answer arrived.
    pub(crate) fn on_packet(&mut self, now: Instant, urgency: Urgency) {
        self.pending += 1;
        let mut at = now + self.policy.delay;
        if self.is_round() {
            at = self.round_after(now);
        }
        if urgency == Urgency::Gap && !self.is_round() {
            at = at.min(self.last_sent + GAP_INTERVAL_MIN.max(self.policy.delay / 2));
        }
        let at = self.at.map_or(at, |earlier| earlier.min(at));
        self.at = Some(at);
        let at_once = match urgency {
            Urgency::AtOnce => true,
            Urgency::Mark => !self.is_round(),
            Urgency::Gap | Urgency::Usual => false,
        };
        self.due |= at_once || self.pending >= self.policy.every || at <= now;
    }

    fn is_round(&self) -> bool {
        self.policy.every >= ROUND
    }

    /// The next of the moments at which this end reports: they lie a delay apart, and where they lie
    /// is random, so that many do not report together after a pause either.
    fn round_after(&self, now: Instant) -> Instant {
        let delay = self.policy.delay.as_nanos().max(1) as u64;
        let offset = ((u128::from(delay) * u128::from(self.phase)) >> 32) as u64;
        let into = now.as_nanos().wrapping_sub(offset) % delay;
        now + Duration::from_nanos(delay - into)
    }

    /// Something changed that the peer should know without being asked (a window that opened).
    pub(crate) fn demand(&mut self) {
        self.due = true;
    }

    pub(crate) fn due(&self) -> bool {
        self.due
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        let Self { policy, phase, .. } = *self;
        *self = Self { policy, phase, last_sent: now, ..Self::default() };
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
    use super::{Acks, DEFAULT_DELAY, GAP_INTERVAL_MIN, Urgency};
    use crate::proto::time::Instant;
    use core::time::Duration;

    #[test]
    fn one_waits_two_do_not_and_a_ping_does_not() {
        let t = Instant::from_nanos(1_000_000_000);
        let mut acks = Acks::default();
        acks.on_packet(t, Urgency::Usual);
        assert!(!acks.due());
        assert_eq!(acks.deadline(), Some(t + DEFAULT_DELAY));
        acks.on_timer(t + DEFAULT_DELAY);
        assert!(acks.due());
        acks.sent(t);
        assert!(!acks.due() && acks.deadline().is_none());
        acks.on_packet(t, Urgency::Usual);
        acks.on_packet(t, Urgency::Usual);
        assert!(acks.due());
        acks.sent(t);
        acks.on_packet(t, Urgency::AtOnce);
        assert!(acks.due());
    }

    #[test]
    fn gaps_are_told_at_once_but_not_too_often() {
        let t = Instant::from_nanos(1_000_000_000);
        let mut acks = Acks::default();
        acks.set_policy(t, 64, Duration::from_millis(2), 0);
        acks.on_packet(t, Urgency::Gap);
        assert!(acks.due(), "the first at once");
        acks.sent(t);
        acks.on_packet(t, Urgency::Gap);
        assert!(!acks.due());
        assert_eq!(acks.deadline(), Some(t + GAP_INTERVAL_MIN));
    }

    #[test]
    fn a_phase_moves_the_next_acknowledgement_forward_once() {
        let t = Instant::from_nanos(1_000_000_000);
        let mut acks = Acks::default();
        acks.set_policy(t, 8, Duration::from_millis(5), 0);
        acks.on_packet(t, Urgency::Usual);
        acks.set_policy(t, 10, Duration::from_millis(5), 4_000_000_003);
        let counts: Vec<u32> = (0..2)
            .map(|_| {
                let mut count = 0;
                while !acks.due() {
                    acks.on_packet(t, Urgency::Usual);
                    count += 1;
                }
                acks.sent(t);
                count
            })
            .collect();
        assert_eq!(counts, [7, 10]);
    }

    #[test]
    fn a_quicker_policy_holds_for_what_waits() {
        let t = Instant::from_nanos(1_000_000_000);
        let ms = Duration::from_millis;
        let mut acks = Acks::default();
        acks.set_policy(t, 64, ms(25), 0);
        (0..30).for_each(|_| acks.on_packet(t, Urgency::Usual));
        acks.set_policy(t, 40, ms(1), 4);
        assert!(!acks.due() && acks.deadline() <= Some(t + ms(1)));
        let mut acks = Acks::default();
        acks.set_policy(t, 64, ms(25), 0);
        (0..30).for_each(|_| acks.on_packet(t, Urgency::Usual));
        acks.set_policy(t, 2, ms(1), 4);
        assert!(acks.due());
    }

    #[test]
    fn rounds_are_spread_and_kept() {
        let t = Instant::from_nanos(1_000_000_000);
        let mut acks = Acks::default();
        acks.on_packet(t, Urgency::Usual);
        acks.set_policy(t, 3000, Duration::from_millis(200), u32::MAX / 2);
        assert!(acks.deadline() > Some(t + Duration::from_millis(99)));
        acks.on_packet(t, Urgency::Gap);
        acks.on_packet(t, Urgency::Mark);
        assert!(!acks.due());
        acks.on_packet(t, Urgency::AtOnce);
        assert!(acks.due());
    }

    #[test]
    fn rounds_stay_apart_after_a_pause() {
        let t = Instant::from_nanos(1_000_000_000);
        let deadlines: std::collections::BTreeSet<_> = (0..8)
            .map(|n: u32| {
                let mut acks = Acks::default();
                acks.set_policy(t, 3000, Duration::from_millis(200), n << 29);
                acks.sent(t);
                acks.on_packet(t + Duration::from_secs(1), Urgency::Usual);
                acks.deadline()
            })
            .collect();
        assert_eq!(deadlines.len(), 8);
    }

    #[test]
    fn a_sender_cannot_ask_for_silence() {
        let t = Instant::from_nanos(1_000_000_000);
        let mut acks = Acks::default();
        acks.set_policy(t, u32::MAX, Duration::from_secs(3600), 0);
        acks.on_packet(t, Urgency::Usual);
        assert_eq!(acks.deadline(), Some(t + super::LONGEST_DELAY));
        acks.set_policy(t, 0, Duration::ZERO, 0);
        acks.on_packet(t, Urgency::Usual);
        assert!(acks.due());
    }
}
