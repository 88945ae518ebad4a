//! Congestion avoidance of CUBIC (RFC 9438), in bytes instead of segments.

use super::bytes;
use crate::proto::time::Instant;
use core::time::Duration;

/// Multiplicative decrease factor (RFC 9438, 4.6).
const BETA: f64 = 0.7;
/// Aggressiveness of the curve, in segments per cubed second (RFC 9438, 5).
const C: f64 = 0.4;
/// Additive increase of the Reno-friendly estimate, in segments per round trip, while it is below
/// the window of the last reduction: 3 (1 - beta) / (1 + beta) (RFC 9438, 4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The window is at most multiplied by this per round trip (RFC 9438, 4.2).
const STEP: f64 = 1.5;

/// State of congestion avoidance; windows in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cubic {
    /// When this congestion avoidance stage began, `None` outside of one; moved on by time in
    /// which the window was not used.
    epoch: Option<Instant>,
    /// The last ACK that was counted.
    last: Instant,
    /// Seconds from `epoch` until the curve is back at `w_max` (K).
    k: f64,
    /// Where the curve is flat (`W_max`).
    w_max: f64,
    /// What Reno would have by now (`W_est`).
    w_est: f64,
    /// Window before the last reduction (`cwnd_prior`).
    prior: f64,
    /// The window with its fraction of a byte: near the plateau many ACKs are worth less than one.
    exact: f64,
}

impl Cubic {
    /// The window after `acked` more bytes, at least `window`.
    pub(super) fn grow(
        &mut self,
        now: Instant,
        acked: u64,
        srtt: Duration,
        window: u64,
        mss: u64,
    ) -> u64 {
        let (mss, acked) = (mss as f64, acked as f64);
        let cwnd = if bytes(self.exact) == window { self.exact } else { window as f64 };
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin(now, cwnd),
        };
        self.last = now;
        let t = (now - epoch).as_secs_f64();
        let alpha = if self.w_est < self.prior { ALPHA } else { 1.0 };
        self.w_est += alpha * mss * acked / cwnd; // RFC 9438, 4.3, figure 4
        let next = if self.curve(t, mss) < self.w_est {
            self.w_est.max(cwnd) // the Reno-friendly region, 4.3
        } else {
            // RFC 9438, 4.4 and 4.5: towards the curve one round trip ahead
            let target = self.curve(t + srtt.as_secs_f64(), mss).max(cwnd).min(STEP * cwnd);
            cwnd + (target - cwnd) * acked / cwnd
        };
        self.exact = next;
        bytes(next).max(window)
    }

    /// Lets time pass in which the window was not used up: the curve stands still (RFC 9438, 5.8).
    pub(super) fn hold(&mut self, now: Instant) {
        if let Some(epoch) = &mut self.epoch {
            *epoch += now - self.last;
        }
        self.last = now;
    }

    /// What is left of `window` after a loss.
    pub(super) fn lose(&mut self, now: Instant, window: u64, mss: u64) -> u64 {
        let cwnd = window as f64;
        // RFC 9438, 4.7, fast convergence: one that did not get back to where it was makes room
        self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
        self.prior = cwnd;
        self.w_est = cwnd * BETA;
        self.k = ((self.w_max - self.w_est) / (C * mss as f64)).cbrt(); // RFC 9438, 4.2, figure 2
        self.epoch = Some(now);
        self.last = now;
        part(window)
    }

    /// The threshold after a timeout with so many bytes in flight: RFC 9438, 4.8 puts beta where
    /// RFC 5681, 3.1, equation 4 has one half.
    pub(super) fn time_out(&mut self, flight: u64) -> u64 {
        self.epoch = None;
        part(flight)
    }

    /// The window was set from outside: the next stage begins there.
    pub(super) fn restart(&mut self) {
        self.epoch = None;
    }

    /// A stage that did not begin with a loss starts where it stands, on the way up (RFC 9438,
    /// 4.8 and 4.10: K = 0, `W_max` = the window).
    fn begin(&mut self, now: Instant, cwnd: f64) -> Instant {
        self.epoch = Some(now);
        self.k = 0.0;
        self.w_max = cwnd;
        self.w_est = cwnd;
        self.prior = cwnd;
        now
    }

    /// `W_cubic` at `t` seconds (RFC 9438, 4.2, figure 1).
    fn curve(&self, t: f64, mss: f64) -> f64 {
        C * mss * (t - self.k).powi(3) + self.w_max
    }
}

/// Beta times so many bytes, rounded to the nearest.
fn part(of: u64) -> u64 {
    bytes((of as f64 * BETA).round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::send::congestion::loss_based::LossBased;

    const MSS: u64 = 1420;

    /// Keeps the window used up, with an ACK for every second segment, until `until`.
    fn run(c: &mut LossBased, now: &mut Instant, until: Duration, rtt: Duration, cap: Option<u64>) {
        while now.since(Instant::ZERO) < until {
            *now += rtt.mul_f64(2.0 * MSS as f64 / c.window() as f64);
            c.on_ack(*now, 2 * MSS, rtt, cap);
        }
    }

    /// `W_cubic`, in bytes, written down independently: `peak` and `left` in segments.
    fn expected(t: f64, peak: f64, left: f64) -> f64 {
        let k = ((peak - left) / 0.4).cbrt();
        (0.4 * (t - k).powi(3) + peak) * MSS as f64
    }

    fn assert_near(window: u64, expected: f64) {
        let off = (window as f64 - expected).abs() / expected;
        assert!(off < 0.01, "{window} instead of {expected}");
    }

    fn at_1000_after_loss() -> LossBased {
        let mut c = LossBased::cubic(MSS);
        c.raise_to(1000 * MSS);
        c.on_loss(Instant::ZERO);
        assert_eq!(c.window(), 700 * MSS);
        c
    }

    #[test]
    fn follows_the_curve() {
        for rtt in [20, 50, 100].map(Duration::from_millis) {
            let (mut c, mut now) = (at_1000_after_loss(), Instant::ZERO);
            // The Reno-friendly estimate is above the curve for short round trips, so stay where
            // it is not: it gains at most one segment per round trip.
            for t in [0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 15.0] {
                run(&mut c, &mut now, Duration::from_secs_f64(t), rtt, None);
                let reno = (700.0 + t / rtt.as_secs_f64()) * MSS as f64;
                let cubic = expected(t, 1000.0, 700.0);
                if reno < cubic {
                    assert_near(c.window(), cubic);
                }
            }
            assert!(c.window() > 1000 * MSS, "probes beyond the plateau");
        }
    }

    #[test]
    fn is_at_least_reno_where_round_trips_are_short() {
        let rtt = Duration::from_millis(1);
        let mut c = LossBased::cubic(MSS);
        c.raise_to(20 * MSS);
        c.on_loss(Instant::ZERO);
        let mut now = Instant::ZERO;
        // 14 segments, 0.53 more per round trip up to 20, then 1 more: some 11.3 round trips, then
        // 88 more in the rest of 100.
        run(&mut c, &mut now, Duration::from_millis(100), rtt, None);
        let segments = c.window() / MSS;
        assert!((104..=112).contains(&segments), "{segments}");
    }

    #[test]
    fn gives_way_when_it_did_not_get_back() {
        let mut c = at_1000_after_loss();
        c.on_loss(Instant::ZERO);
        assert_eq!(c.window(), 490 * MSS);
        let mut now = Instant::ZERO;
        let rtt = Duration::from_millis(100);
        run(&mut c, &mut now, Duration::from_secs(4), rtt, None);
        assert_near(c.window(), expected(4.0, 700.0 * 0.85, 490.0));
    }

    #[test]
    fn time_at_the_cap_does_not_count() {
        let (mut c, mut now) = (at_1000_after_loss(), Instant::ZERO);
        let rtt = Duration::from_millis(100);
        run(&mut c, &mut now, Duration::from_secs(2), rtt, None);
        let before = c.window();
        run(&mut c, &mut now, Duration::from_secs(50), rtt, Some(before / 2));
        assert_eq!(c.window(), before);
        run(&mut c, &mut now, Duration::from_secs(52), rtt, None);
        assert_near(c.window(), expected(4.0, 1000.0, 700.0));
    }

    #[test]
    fn after_a_timeout_the_curve_starts_on_its_way_up() {
        let (mut c, mut now) = (at_1000_after_loss(), Instant::ZERO);
        let rtt = Duration::from_millis(100);
        c.on_timeout(700 * MSS);
        while c.in_slow_start() {
            now += rtt;
            c.on_ack(now, c.window(), rtt, None);
        }
        let begin = now.since(Instant::ZERO);
        assert!(c.window() < 500 * MSS, "{}", c.window());
        run(&mut c, &mut now, begin + Duration::from_secs(6), rtt, None);
        assert_near(c.window(), expected(6.0, 490.0, 490.0));
    }
}
