//! The end of slow start by rising round trips, before a queue overflows: `HyStart++` (RFC 9406).

use core::time::Duration;

/// Bounds of the rise that counts (RFC 9406, 4.3).
const RISE: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(16));
/// Part of the last round's least round trip that the rise must reach (RFC 9406, 4.3).
const RISE_PART: u32 = 8;
/// Samples that a round's minimum needs (RFC 9406, 4.3).
const SAMPLES: u32 = 8;
/// Growth in conservative slow start is divided by this (RFC 9406, 4.3).
pub(super) const CONSERVATIVE: u64 = 4;
/// Rounds of conservative slow start (RFC 9406, 4.3).
const ROUNDS: u32 = 5;

/// Where slow start stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Standard,
    Conservative {
        /// Least round trip of the round in which it began; one below it takes that back.
        baseline: Duration,
        rounds: u32,
    },
}

/// State of one slow start.
#[derive(Debug, Clone, Copy)]
pub(super) struct HyStart {
    phase: Phase,
    last: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
}

impl HyStart {
    pub(super) fn new() -> Self {
        Self { phase: Phase::Standard, last: None, current: None, samples: 0 }
    }

    /// Whether the window is to grow by a part only.
    pub(super) fn is_conservative(&self) -> bool {
        self.phase != Phase::Standard
    }

    /// A round trip has passed; `true` if slow start is over.
    pub(super) fn on_round(&mut self) -> bool {
        self.last = self.current.take().or(self.last);
        self.samples = 0;
        if let Phase::Conservative { rounds, .. } = &mut self.phase {
            *rounds += 1;
            return *rounds >= ROUNDS;
        }
        false
    }

    /// Takes a sample of the round trip.
    pub(super) fn sample(&mut self, rtt: Duration) {
        let current = self.current.map_or(rtt, |least| least.min(rtt));
        self.current = Some(current);
        self.samples += 1;
        if self.samples < SAMPLES {
            return;
        }
        match self.phase {
            Phase::Standard => {
                let Some(last) = self.last else { return };
                let rise = (last / RISE_PART).clamp(RISE.0, RISE.1);
                if current >= last + rise {
                    self.phase = Phase::Conservative { baseline: current, rounds: 0 };
                }
            }
            // The rise was none: back to full speed (RFC 9406, 4.2).
            Phase::Conservative { baseline, .. } if current < baseline => {
                self.phase = Phase::Standard;
            }
            Phase::Conservative { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(h: &mut HyStart, ms: u64) -> bool {
        for _ in 0..SAMPLES {
            h.sample(Duration::from_millis(ms));
        }
        h.on_round()
    }

    #[test]
    fn a_rise_of_an_eighth_slows_and_five_rounds_later_ends() {
        let mut h = HyStart::new();
        assert!(!round(&mut h, 100) && !round(&mut h, 111));
        assert!(!h.is_conservative(), "11 ms are less than an eighth");
        assert!(!round(&mut h, 125));
        assert!(h.is_conservative());
        let ended: Vec<bool> = (0..4).map(|_| round(&mut h, 130)).collect();
        assert_eq!(ended, [false, false, false, true], "the round of the rise counts");
    }

    #[test]
    fn a_rise_that_goes_away_was_none() {
        let mut h = HyStart::new();
        round(&mut h, 100);
        round(&mut h, 130);
        assert!(h.is_conservative());
        round(&mut h, 100);
        assert!(!h.is_conservative());
    }

    #[test]
    fn short_round_trips_need_four_milliseconds_and_few_samples_say_nothing() {
        let mut h = HyStart::new();
        round(&mut h, 1);
        round(&mut h, 4);
        assert!(!h.is_conservative());
        for _ in 1..SAMPLES {
            h.sample(Duration::from_millis(50));
        }
        assert!(!h.is_conservative());
        h.sample(Duration::from_millis(50));
        assert!(h.is_conservative());
    }
}
