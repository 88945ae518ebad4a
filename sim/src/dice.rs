//! Randomness: one generator, from which everything in a run is drawn.

use chacha20::ChaCha8Rng;
use core::time::Duration;
use rand_core::{Rng as _, SeedableRng};

/// `ChaCha8`, because its stream is the same on every platform and in every version of the crate.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// A generator; one seed gives one sequence.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Happens with probability `p`. What never or always happens draws nothing.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        if p <= 0.0 {
            return false;
        }
        // 53 random bits: all that the fraction of an f64 can hold
        p >= 1.0 || ((self.0.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// A duration from zero up to, but not including, `limit`.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(((u128::from(self.0.next_u64()) * u128::from(nanos)) >> 64) as u64)
    }

    /// The seed of one engine.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_what_they_say() {
        let mut dice = Dice::new(1);
        let hits = (0..100_000).filter(|_| dice.chance(0.05)).count();
        // n = 100,000, p = 0.05: a binomial is t = 460 or more off with a probability of at most
        // 2 exp(−t² / 2(np(1 − p) + t/3)) < 10⁻⁹ (Bernstein)
        assert!((4_540..5_460).contains(&hits), "{hits} of 100000 at 5 %");
        assert!((0..1000).all(|_| dice.chance(1.0) && !dice.chance(0.0)));
    }

    #[test]
    fn durations_stay_below_their_limit_and_reach_both_ends() {
        let mut dice = Dice::new(2);
        let limit = Duration::from_micros(10);
        let drawn: Vec<_> = (0..10_000).map(|_| dice.below(limit)).collect();
        assert!(drawn.iter().all(|d| *d < limit));
        // each misses its tenth with a probability of 0.9^10000 < 10⁻⁴⁵⁷
        assert!(drawn.iter().any(|d| *d < limit / 10) && drawn.iter().any(|d| *d > limit * 9 / 10));
        assert_eq!(dice.below(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        assert_eq!(Dice::new(3).seed(), Dice::new(3).seed());
        assert_ne!(Dice::new(3).seed(), Dice::new(4).seed());
    }
}
