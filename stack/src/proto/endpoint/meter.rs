//! How often sources outside of any association are replied to: a fixed number of token buckets, which
//! sources share by their number, so that a flood costs no memory.

use crate::proto::time::Instant;
use core::time::Duration;

/// Buckets. Of a flood from random sources each gets a 1024th; of one from few, the others are not
/// concerned.
const BUCKETS: usize = 1024;
/// Replies that a bucket has at first, and at most: as many as a sender's host causes that opens that many
/// sessions at once.
const BURST: u32 = 64;
/// A bucket gets another reply after so long, 64 in a second.
const REFILL: Duration = Duration::from_micros(15_625);

/// The buckets.
#[derive(Debug)]
pub(crate) struct Meter(Box<[Bucket]>);

/// When it will have all its replies again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

impl Default for Meter {
    fn default() -> Self {
        Self(vec![Bucket { full_at: Instant::ZERO }; BUCKETS].into())
    }
}

impl Meter {
    /// Whether a source with this number may be replied to now; then it counts.
    pub(crate) fn take(&mut self, now: Instant, number: u64) -> bool {
        let bucket = &mut self.0[(number % BUCKETS as u64) as usize];
        let full_at = bucket.full_at.max(now) + REFILL;
        let allowed = full_at.since(now) <= REFILL * BURST;
        if allowed {
            bucket.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_pace_for_each_alone() {
        let mut meter = Meter::default();
        let t = Instant::ZERO + Duration::from_secs(1);
        let taken =
            |meter: &mut Meter, at, number| (0..1000).filter(|_| meter.take(at, number)).count();
        assert_eq!(taken(&mut meter, t, 5), BURST as usize);
        assert_eq!(taken(&mut meter, t, 6), BURST as usize, "another source");
        assert_eq!(taken(&mut meter, t + REFILL * 3, 5), 3);
        assert_eq!(taken(&mut meter, t + Duration::from_secs(60), 5), BURST as usize);
    }
}
