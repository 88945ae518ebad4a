//! When the next train may leave: a limit on the rate of everything that a session sends, and the
//! pace at which a window is spread over its round trip.
//!
//! Virtual scheduling (ITU-T I.371, the generic cell rate algorithm): each datagram moves the
//! moment from which the next may leave. What was not used in the past is not saved up, so that a
//! pause is not followed by a burst.

use crate::proto::time::Instant;
use core::time::Duration;
use std::net::SocketAddr;

/// Segments of a train, at most: 32 full ones stay below the 64 KiB of one UDP GSO send.
pub(crate) const MAX_TRAIN: usize = 32;

/// A train may run ahead of its time by so much: one datagram per wake would cost more than
/// sending it, and a train of this length is still short to every queue on the way.
const TRAIN_TIME: Duration = Duration::from_micros(500);
/// Data makes up for control that has gone before by so much at most.
const CONTROL_DEBT: Duration = Duration::from_secs(1);
/// Headers of UDP (RFC 768) over IPv4 without options (RFC 791), in bytes; they take their part
/// of the rate.
const HEADERS_V4: usize = 28;
/// Headers of UDP over IPv6 (RFC 8200), in bytes.
const HEADERS_V6: usize = 48;
/// A paced train covers so much time at most: what the kernels' own pacing does (`fq` and TSO
/// autosizing: at most a millisecond at a time).
const PACED_TIME: Duration = Duration::from_millis(1);
/// A wake that comes late is caught up with, by so much at most.
const CATCH_UP: Duration = Duration::from_millis(1);
/// No rate, however small, makes anybody wait longer for the next train.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Bits of a byte times nanoseconds of a second.
const BIT_NANOS: u128 = 8 * 1_000_000_000;

/// The limit, and from when the next datagram may leave.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bits per second; `None`: no limit.
    rate: Option<u64>,
    next: Instant,
    /// From when data may leave whatever control has taken: half of the rate is theirs.
    data_next: Instant,
}

impl Pace {
    /// A limit in bits per second; 0 counts as 1.
    pub(crate) fn new(rate: Option<u64>) -> Self {
        let (next, data_next) = (Instant::ZERO, Instant::ZERO);
        Self { rate: rate.map(|rate| rate.max(1)), next, data_next }
    }

    /// Whether a train may begin.
    pub(crate) fn permits(&self, now: Instant) -> bool {
        self.rate.is_none() || self.next.min(self.data_next) <= now
    }

    /// Datagrams of `bytes` bytes that a train may have, at least one.
    pub(crate) fn train(&self, bytes: usize) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let one = time_of(rate, bytes + HEADERS_V4).max(Duration::from_nanos(1));
        ((TRAIN_TIME.as_nanos() / one.as_nanos()) as usize).max(1)
    }

    /// Datagrams of `bytes` bytes of data together are leaving.
    pub(crate) fn spend(&mut self, now: Instant, to: SocketAddr, bytes: usize, datagrams: usize) {
        let takes = self.time(to, bytes, datagrams);
        self.next = self.next.max(now) + takes;
        self.data_next = now + takes * 2;
    }

    /// A datagram of control is leaving, which is never held back. Others decide how many there
    /// are, by what they ask: they take half of the rate from the data at most, and what is
    /// beyond is forgotten after [`CONTROL_DEBT`].
    pub(crate) fn spend_on_control(&mut self, now: Instant, to: SocketAddr, bytes: usize) {
        let next = self.next.max(now) + self.time(to, bytes, 1);
        self.next = next.min(self.next.max(now + CONTROL_DEBT));
    }

    fn time(&self, to: SocketAddr, bytes: usize, datagrams: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let headers = if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        time_of(rate, bytes + datagrams * headers)
    }

    /// When [`Self::permits`] will hold, if it does not now.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.permits(now)).then_some(self.next.min(self.data_next))
    }
}

/// The pace of one window: the datagrams of each train are spread over the time that they take at
/// the path's own rate, which the caller knows.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    next: Instant,
}

impl Pacer {
    /// Whether a train may begin.
    pub(crate) fn permits(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// When [`Self::permits`] holds again.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Segments of `bytes` bytes that a train may have at `rate` bytes per second, at least one.
    pub(crate) fn train(rate: f64, bytes: u64) -> usize {
        let nanos = bytes.max(1) as f64 / rate * 1e9;
        // `as` saturates: a rate of nothing gives no segment more.
        #[expect(clippy::cast_sign_loss, reason = "neither is negative")]
        let segments = (PACED_TIME.as_nanos() as f64 / nanos) as usize;
        segments.max(1)
    }

    /// So many bytes are leaving at `rate` bytes per second.
    pub(crate) fn spend(&mut self, now: Instant, rate: f64, bytes: u64) {
        let takes = Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(LONGEST_WAIT);
        let late = now.since(self.next).min(CATCH_UP);
        let from = Instant::from_nanos(now.as_nanos() - late.as_nanos() as u64);
        self.next = self.next.max(from) + takes.min(LONGEST_WAIT);
    }
}

/// How long `bytes` bytes take at `rate` bits per second.
fn time_of(rate: u64, bytes: usize) -> Duration {
    let nanos = bytes as u128 * BIT_NANOS / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TO: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8737);

    #[test]
    fn without_a_limit_everything_may_leave() {
        let mut pace = Pace::new(None);
        pace.spend(Instant::ZERO, TO, usize::MAX / 2, 1);
        assert!(pace.permits(Instant::ZERO));
        assert_eq!((pace.deadline(Instant::ZERO), pace.train(1500)), (None, usize::MAX));
    }

    #[test]
    fn a_pause_saves_nothing_up() {
        let mut pace = Pace::new(Some(8_000));
        let late = Instant::ZERO + Duration::from_secs(60);
        pace.spend(late, TO, 972, 1); // 1,000 bytes with headers: a second
        assert_eq!(pace.deadline(late), Some(late + Duration::from_secs(1)));
    }

    #[test]
    fn control_leaves_half_of_the_rate_to_the_data() {
        let mut pace = Pace::new(Some(8_000_000)); // a byte a microsecond
        let (mut now, mut data, mut control) = (Instant::ZERO, 0, 0);
        let end = now + Duration::from_secs(10);
        while now < end {
            pace.spend_on_control(now, TO, 972);
            control += 1000;
            if pace.permits(now) {
                pace.spend(now, TO, 972, 1);
                data += 1000;
            }
            now += Duration::from_micros(500); // control alone takes twice the rate
        }
        assert!((4_500_000..5_500_000).contains(&data), "{data} beside {control}");
        let calm = pace.deadline(now).unwrap_or(now).since(now);
        assert!(calm <= Duration::from_millis(2), "{calm:?}");
    }

    #[test]
    fn trains_are_as_long_as_their_time_allows() {
        let train = |rate| Pace::new(Some(rate)).train(1472);
        assert_eq!([train(1), train(12_000_000), train(120_000_000)], [1, 1, 5]);
    }

    #[test]
    fn a_late_wake_is_caught_up_with_and_a_pause_is_not() {
        let at = |micros: u64| Instant::from_nanos(micros * 1000);
        let mut pacer = Pacer::default();
        pacer.spend(at(10_000), 1e6, 2_000);
        assert_eq!(pacer.next(), at(11_000), "a millisecond is caught up with at the start");
        pacer.spend(at(11_300), 1e6, 2_000);
        assert_eq!(pacer.next(), at(13_000), "300 us late");
        assert!(!pacer.permits(at(12_999)) && pacer.permits(at(13_000)));
        pacer.spend(at(60_000), 1e6, 2_000);
        assert_eq!(pacer.next(), at(61_000), "a long pause counts for a millisecond");
        pacer.spend(at(60_000), 0.0, 2_000);
        assert_eq!(pacer.next(), at(61_000) + LONGEST_WAIT);
        assert_eq!((Pacer::train(1e6, 1000), Pacer::train(1e3, 1000)), (1, 1));
        assert_eq!(Pacer::train(12.5e6, 1420), 8);
    }

    proptest! {
        #[test]
        fn no_time_carries_more_than_the_rate_and_one_train(
            rate in 10_000..1_000_000_000u64,
            sizes in prop::collection::vec(1..1500usize, 1..200),
        ) {
            let mut pace = Pace::new(Some(rate));
            let (mut now, mut bits, mut last) = (Instant::ZERO, 0, 0);
            for size in sizes {
                now = pace.deadline(now).unwrap_or(now);
                let datagrams = pace.train(size).min(32);
                pace.spend(now, TO, size * datagrams, datagrams);
                last = ((size + HEADERS_V4) * datagrams) as u64 * 8;
                bits += last;
            }
            let allowed = rate as f64 * (now - Instant::ZERO).as_secs_f64();
            prop_assert!((bits - last) as f64 <= allowed * 1.001 + 1.0, "{bits} of {allowed}");
        }
    }
}
