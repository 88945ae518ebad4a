//! Round-trip time of one path, and the retransmission timeout that follows from it (RFC 6298).

use core::time::Duration;

/// Lower bound of the RTO. RFC 6298 (2.4) asks for 1 s; 200 ms is what common kernels use. The ACK
/// delay, up to 250 ms where members report in rounds, is added to the time-out by whoever knows it
/// (`SendSpace::rto`), so that the reason for a whole second does not apply.
pub(crate) const RTO_FLOOR: Duration = Duration::from_millis(200);
/// Upper bound of the RTO: RFC 6298 (2.5), at least 60 s.
pub(crate) const RTO_CAP: Duration = Duration::from_mins(1);
/// Granularity of the timers, G of RFC 6298; the value of RFC 9002, 6.1.2.
const GRANULARITY: u64 = 1_000_000;
/// No path is shorter, whatever a peer says of its delay: rates are divided by it.
const SHORTEST: Duration = Duration::from_micros(1);
/// Samples of one period of the least round trip: with eight ACKs a window, some sixty round trips.
const LEAST_SAMPLES: u32 = 512;

/// Estimator of one path. Feed it with samples of datagrams that were sent once (RFC 6298, 3);
/// packet numbers, which never repeat, give only such.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtt {
    initial: Duration,
    /// Nanoseconds, like all below.
    smoothed: Option<u64>,
    variation: u64,
    /// What it may be, before the first sample.
    supposed: Option<u64>,
    /// The least of this period, and of the one before: together they look back over one to two
    /// periods of [`LEAST_SAMPLES`] samples.
    least: [u64; 2],
    samples: u32,
}

impl Rtt {
    /// An estimator without samples, whose RTO is `initial_rto` within the bounds.
    pub(crate) fn new(initial_rto: Duration) -> Self {
        let initial = initial_rto.clamp(RTO_FLOOR, RTO_CAP);
        let (smoothed, supposed) = (None, None);
        Self { initial, smoothed, variation: 0, supposed, least: [u64::MAX; 2], samples: 0 }
    }

    /// Takes one measurement. Anything above [`RTO_CAP`] counts as that.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = nanos(rtt.clamp(SHORTEST, RTO_CAP));
        if self.samples == LEAST_SAMPLES {
            self.least = [u64::MAX, self.least[0]];
            self.samples = 0;
        }
        self.samples += 1;
        self.least[0] = self.least[0].min(rtt);
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt); // RFC 6298 (2.2): SRTT = R
                self.variation = rtt / 2; // RTTVAR = R / 2
            }
            Some(smoothed) => {
                // RFC 6298 (2.3): beta = 1/4, alpha = 1/8, RTTVAR first, with the old SRTT.
                self.variation = (3 * self.variation + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((7 * smoothed + rtt) / 8);
            }
        }
    }

    /// SRTT, `None` before the first sample.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_nanos)
    }

    /// It may be as short as this: what answers a datagram that was sent more than once came so long after the last
    /// of them. That is no sample (RFC 6298, 3), but enough for a probe, which costs a packet if it is too early.
    pub(crate) fn suppose(&mut self, rtt: Duration) {
        self.supposed = Some(nanos(rtt.clamp(SHORTEST, RTO_CAP)));
    }

    /// What a probe goes by: SRTT, or before the first sample what it may be, `None` without either.
    pub(crate) fn probing(&self) -> Option<Duration> {
        self.smoothed.or(self.supposed).map(Duration::from_nanos)
    }

    /// The least of the last samples, some hundreds, `None` before the first: what the path takes
    /// without a queue (RFC 8985, 6.2, step 1, wants a windowed minimum, so that a path that has
    /// become longer is noticed).
    pub(crate) fn least(&self) -> Option<Duration> {
        self.smoothed.map(|_| Duration::from_nanos(self.least[0].min(self.least[1])))
    }

    /// RTTVAR, zero before the first sample.
    pub(crate) fn variation(&self) -> Duration {
        Duration::from_nanos(self.variation)
    }

    /// Retransmission timeout without back-off, within [`RTO_FLOOR`] and [`RTO_CAP`].
    pub(crate) fn rto(&self) -> Duration {
        self.smoothed.map_or(self.initial, |smoothed| {
            // RFC 6298 (2.3): RTO = SRTT + max(G, K * RTTVAR), K = 4
            let rto = smoothed + (4 * self.variation).max(GRANULARITY);
            Duration::from_nanos(rto).clamp(RTO_FLOOR, RTO_CAP)
        })
    }

    /// By when an answer is to be expected: SRTT + 4 RTTVAR, without the floor of the timeout; the
    /// initial RTO before the first sample.
    pub(crate) fn expected(&self) -> Duration {
        self.smoothed.map_or(self.initial, |s| Duration::from_nanos(s + 4 * self.variation))
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn before_any_sample() {
        let rtt = Rtt::new(ms(1000));
        assert_eq!((rtt.rto(), rtt.expected()), (ms(1000), ms(1000)));
        assert_eq!(rtt.smoothed(), None);
        assert_eq!(Rtt::new(ms(1)).rto(), RTO_FLOOR);
    }

    #[test]
    fn what_it_may_be_counts_for_probes_alone_and_until_the_first_sample() {
        let mut rtt = Rtt::new(ms(250));
        assert_eq!(rtt.probing(), None);
        rtt.suppose(ms(3));
        assert_eq!((rtt.probing(), rtt.smoothed(), rtt.least()), (Some(ms(3)), None, None));
        assert_eq!((rtt.rto(), rtt.expected()), (ms(250), ms(250)));
        rtt.sample(ms(40));
        assert_eq!((rtt.probing(), rtt.least()), (Some(ms(40)), Some(ms(40))));
    }

    #[test]
    fn follows_the_formulas() {
        let mut rtt = Rtt::new(ms(1000));
        rtt.sample(ms(160));
        assert_eq!((rtt.smoothed(), rtt.variation()), (Some(ms(160)), ms(80)));
        assert_eq!((rtt.rto(), rtt.expected()), (ms(480), ms(480)));
        rtt.sample(ms(80));
        assert_eq!((rtt.smoothed(), rtt.variation()), (Some(ms(150)), ms(80)));
        rtt.sample(ms(310));
        assert_eq!((rtt.smoothed(), rtt.variation()), (Some(ms(170)), ms(100)));
        assert_eq!(rtt.rto(), ms(570));
    }

    #[test]
    fn the_least_is_forgotten_in_the_end() {
        let mut rtt = Rtt::new(ms(1000));
        assert_eq!(rtt.least(), None);
        rtt.sample(ms(10));
        for _ in 0..LEAST_SAMPLES {
            rtt.sample(ms(50));
        }
        assert_eq!(rtt.least(), Some(ms(10)));
        for _ in 0..LEAST_SAMPLES {
            rtt.sample(ms(50));
        }
        assert_eq!(rtt.least(), Some(ms(50)));
    }

    #[test]
    fn bounds_hold() {
        let mut rtt = Rtt::new(ms(1000));
        for _ in 0..200 {
            rtt.sample(Duration::from_micros(100));
        }
        assert_eq!(rtt.rto(), RTO_FLOOR);
        assert!(rtt.expected() < ms(1), "{:?}", rtt.expected());
        rtt.sample(Duration::MAX);
        assert_eq!(rtt.rto(), RTO_CAP);
    }

    proptest! {
        #[test]
        fn smoothed_stays_within_the_samples(samples in prop::collection::vec(0..u64::MAX, 1..50)) {
            let mut rtt = Rtt::new(ms(1000));
            for &s in &samples {
                rtt.sample(Duration::from_nanos(s));
            }
            let least = Duration::from_nanos(samples.iter().copied().min().unwrap_or(0)).min(RTO_CAP);
            prop_assert!(rtt.smoothed() >= Some(least) && rtt.smoothed() <= Some(RTO_CAP));
            prop_assert!(rtt.rto() >= RTO_FLOOR && rtt.rto() <= RTO_CAP);
            prop_assert!(rtt.expected() >= rtt.smoothed().unwrap_or_default());
        }
    }
}
