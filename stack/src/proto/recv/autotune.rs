//! How large the receive buffer has to be: as large as what arrives in a few round trips, so that
//! the window never is what limits a long path (RFC 7323, 2.4, asks for windows of that size;
//! Dynamic Right-Sizing, Fisk and Feng 2001, measures it at the receiver).

use crate::proto::time::Instant;
use core::time::Duration;

/// The buffer holds what arrives in so many round trips: one is in flight, one stands in queues,
/// and a slow start that is not to be held back doubles once more before this is noticed.
const ROUND_TRIPS: usize = 4;

/// The measurement.
#[derive(Debug)]
pub(crate) struct Autotune {
    capacity: usize,
    most: usize,
    since: Instant,
    arrived: usize,
}

impl Autotune {
    /// A buffer of `capacity` bytes, which may grow to `most`.
    pub(crate) fn new(capacity: usize, most: usize) -> Self {
        Self { capacity, most: most.max(capacity), since: Instant::ZERO, arrived: 0 }
    }

    /// Bytes of the buffer at present.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// So many bytes arrived, on a path of this round trip; gives the capacity that the buffer is
    /// to grow to, if it is to grow. At least twofold, since growing copies.
    pub(crate) fn on_data(
        &mut self,
        now: Instant,
        bytes: usize,
        round_trip: Option<Duration>,
    ) -> Option<usize> {
        let round_trip = round_trip?;
        if now.since(self.since) >= round_trip {
            self.since = now;
            self.arrived = 0;
        }
        self.arrived = self.arrived.saturating_add(bytes);
        let wanted = self.arrived.saturating_mul(ROUND_TRIPS);
        if wanted <= self.capacity || self.capacity >= self.most {
            return None;
        }
        self.capacity = wanted.max(self.capacity.saturating_mul(2)).min(self.most);
        Some(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Option<Duration> = Some(Duration::from_millis(100));

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn it_grows_to_four_times_what_a_round_trip_brings_and_no_further() {
        let mut tune = Autotune::new(2000, 100_000);
        assert_eq!(tune.on_data(at(0), 500, RTT), None);
        assert_eq!(tune.on_data(at(50), 1, RTT), Some(4000));
        assert_eq!(tune.on_data(at(60), 9_499, RTT), Some(40_000));
        for ms in 100..10_000 {
            assert_eq!(tune.on_data(at(ms), 100, RTT), None, "the same rate asks for nothing more");
        }
        assert_eq!(tune.on_data(at(20_000), 50_000, RTT), Some(100_000));
        assert_eq!(tune.on_data(at(20_001), 500_000, RTT), None);
        assert_eq!(tune.capacity(), 100_000);
    }

    #[test]
    fn short_round_trips_and_unknown_ones_ask_for_nothing() {
        let mut tune = Autotune::new(2000, 100_000);
        let short = Some(Duration::from_millis(1));
        for ms in 0..1000 {
            assert_eq!(tune.on_data(at(ms), 500, short), None);
            assert_eq!(tune.on_data(at(ms), 5000, None), None);
        }
    }
}
