//! Chance that can be repeated, and clocks that are wrong.

use std::time::{Duration, Instant};

/// `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// From 0 to 1.
    pub(crate) fn part(&mut self) -> f64 {
        self.below(1000) as f64 / 1000.0
    }

    pub(crate) fn up_to(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.part())
    }
}

/// An hour and a half, in milliseconds: two clocks may be three hours apart.
const WRONG: u64 = 90 * 60 * 1000;
/// What a clock that is right shows when everything begins.
const BASE: u64 = 1_800_000_000_000;

/// The wall clock of one host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    begin: Instant,
    ahead: u64,
}

impl Clock {
    pub(crate) fn new(begin: Instant, rng: &mut Rng) -> Self {
        let mut clock = Self { begin, ahead: 0 };
        clock.jump(rng);
        clock
    }

    /// It is set, wrongly.
    pub(crate) fn jump(&mut self, rng: &mut Rng) {
        self.ahead = rng.below(2 * WRONG);
    }

    /// What it shows, in milliseconds since 1970.
    pub(crate) fn unix(&self, now: Instant) -> u64 {
        BASE + millis(now.duration_since(self.begin)) + self.ahead - WRONG
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
