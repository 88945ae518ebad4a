//! A window that losses cut: CUBIC (RFC 9438) or Reno (RFC 5681).
//!
//! What the two share stands here: slow start (`hystart` ends it), the way down after a loss
//! (`prr`), timeouts, the floor, pacing, and taking a reduction back. Windows are bytes.

use super::Shown;
use super::cubic::Cubic;
use super::hystart::{CONSERVATIVE, HyStart};
use super::prr::Prr;
use super::reno::Reno;
use crate::proto::time::Instant;
use core::time::Duration;

/// Initial window: so many segments, or bytes if the segments are long (RFC 6928, 2).
const INITIAL_SEGMENTS: u64 = 10;
/// See [`INITIAL_SEGMENTS`].
const INITIAL_BYTES: u64 = 14_600;
/// No loss shrinks the window below so many segments (RFC 5681, 3.1, equation 4).
const FLOOR_SEGMENTS: u64 = 2;
/// Window after a timeout, in segments: the loss window (RFC 5681, 3.1).
const LOSS_SEGMENTS: u64 = 1;
/// A window is spread over less than a round trip, so that pacing never is what limits: by so much
/// while it doubles, and after that, as common kernels have it (`tcp_pacing_ss_ratio` and
/// `tcp_pacing_ca_ratio` of ip-sysctl).
const PACING_SLOW_START: f64 = 2.0;
/// See [`PACING_SLOW_START`].
const PACING_AVOIDANCE: f64 = 1.2;

/// State of one path.
#[derive(Debug, Clone)]
pub(crate) struct LossBased {
    window: u64,
    /// Slow start ends here: `ssthresh` of RFC 5681.
    threshold: u64,
    mss: u64,
    rule: Rule,
    /// The first slow start, while it lasts.
    hystart: Option<HyStart>,
    /// The way down to the threshold after a loss, while it lasts.
    recovery: Option<Prr>,
    /// The state before the last reduction, until it is taken back.
    before: Option<Before>,
    /// When bytes last left.
    last_sent: Instant,
}

/// RFC 6928, 2: min (10*MSS, max (2*MSS, 14600)).
pub(super) fn initial(mss: u64) -> u64 {
    mss.saturating_mul(INITIAL_SEGMENTS).min(mss.saturating_mul(FLOOR_SEGMENTS).max(INITIAL_BYTES))
}

/// What congestion avoidance does, and by how much a loss cuts.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Reno(Reno),
    Cubic(Cubic),
}

#[derive(Debug, Clone, Copy)]
struct Before {
    window: u64,
    threshold: u64,
    rule: Rule,
    hystart: Option<HyStart>,
}

impl LossBased {
    /// The state of a new path that follows CUBIC's rule, in slow start at the initial window;
    /// `mss` in payload bytes.
    pub(crate) fn cubic(mss: u64) -> Self {
        Self::new(Rule::Cubic(Cubic::default()), mss.max(1))
    }

    /// The same with Reno's rule.
    pub(crate) fn reno(mss: u64) -> Self {
        Self::new(Rule::Reno(Reno::default()), mss.max(1))
    }

    /// The same rule on a new path.
    pub(crate) fn anew(&self) -> Self {
        match self.rule {
            Rule::Cubic(_) => Self::cubic(self.mss),
            Rule::Reno(_) => Self::reno(self.mss),
        }
    }

    fn new(rule: Rule, mss: u64) -> Self {
        Self {
            window: initial(mss),
            threshold: u64::MAX, // RFC 5681, 3.1: arbitrarily high
            mss,
            rule,
            hystart: Some(HyStart::new()),
            recovery: None,
            before: None,
            last_sent: Instant::ZERO,
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Whether the window still doubles every round trip.
    pub(crate) fn in_slow_start(&self) -> bool {
        self.recovery.is_none() && self.window < self.threshold
    }

    /// Bytes per second at which a window is spread over a round trip of `srtt`.
    pub(crate) fn pacing_rate(&self, srtt: Duration) -> f64 {
        let gain = if self.in_slow_start() { PACING_SLOW_START } else { PACING_AVOIDANCE };
        gain * self.window as f64 / srtt.as_secs_f64()
    }

    /// So many bytes leave after `flight` others.
    pub(crate) fn on_sent(&mut self, now: Instant, flight: u64, bytes: u64, rto: Duration) {
        if flight == 0 {
            self.hold(now);
            self.restart_after_idle(now.since(self.last_sent), rto);
        }
        self.last_sent = now;
        if let Some(recovery) = &mut self.recovery {
            recovery.on_sent(bytes);
        }
    }

    /// A window that was not used for a time-out says less and less of the path: half for each, down
    /// to the initial one (RFC 5681, 4.1; by halves as RFC 2861, 3.1, with its threshold).
    fn restart_after_idle(&mut self, idle: Duration, rto: Duration) {
        let times = idle.as_nanos() / rto.as_nanos().max(1);
        let least = initial(self.mss).min(self.window);
        if times == 0 || self.window <= least {
            return;
        }
        self.threshold = self.threshold.max(self.window / 4 * 3);
        self.window = (self.window >> times.min(63)).max(least);
    }

    /// Time in which the window is not what limits does not count (RFC 9438, 4.2 and 5.8).
    fn hold(&mut self, now: Instant) {
        if let Rule::Cubic(cubic) = &mut self.rule {
            cubic.hold(now);
        }
    }

    /// The recovery ends where it stands: what was in flight is not waited for any more.
    pub(crate) fn end_recovery(&mut self) {
        if self.recovery.take().is_some() {
            self.window = self.threshold;
        }
    }

    /// Takes what a report has shown.
    pub(crate) fn on_report(&mut self, shown: &Shown) {
        if shown.undone {
            self.undo();
        }
        self.sense_queue(shown);
        if self.recovery.is_some() && (shown.recovered || shown.congested) {
            self.recovery = None;
            self.window = self.threshold;
        }
        if shown.congested {
            self.on_loss(shown.now);
            // RFC 9937 is about windows that are full. One that the group's pace has kept half
            // empty is below its threshold already, and must not hold the group.
            if shown.flight_before > self.threshold {
                self.recovery = Some(Prr::new(shown.flight_before));
            }
        }
        if let Some(recovery) = &mut self.recovery {
            let more = shown.lost > 0;
            self.window =
                recovery.on_ack(shown.acked, more, shown.flight, self.threshold, self.mss);
            return;
        }
        // Growth only while the window is what limits (RFC 9438, 5.8; RFC 7661).
        if shown.acked > 0 && shown.flight_before * 2 >= self.window && !shown.congested {
            self.on_ack(shown.now, shown.acked, shown.srtt, shown.cap);
        } else if shown.acked > 0 {
            self.hold(shown.now);
        }
    }

    /// The first slow start ends when the round trips rise (RFC 9406).
    fn sense_queue(&mut self, shown: &Shown) {
        if !self.in_slow_start() {
            return;
        }
        let Some(hystart) = &mut self.hystart else { return };
        if let Some(rtt) = shown.rtt {
            hystart.sample(rtt);
        }
        if shown.round && hystart.on_round() {
            self.threshold = self.window;
            self.hystart = None;
        }
    }

    /// Counts `acked` newly acknowledged bytes and grows the window, never above `cap`. A window
    /// that is above it already stays as it is, and that time does not count for CUBIC's curve.
    pub(super) fn on_ack(&mut self, now: Instant, acked: u64, srtt: Duration, cap: Option<u64>) {
        let cap = cap.unwrap_or(u64::MAX);
        if self.window >= cap {
            self.hold(now);
            return;
        }
        // No ACK can be for more than was in flight.
        let mut left = acked.min(self.window);
        let mut window = self.window;
        if self.in_slow_start() {
            // Appropriate byte counting (RFC 3465, 2.2) with L unlimited, as RFC 9406, 4.2 has it
            // for senders that pace: here one ACK covers many segments.
            let part =
                if self.hystart.is_some_and(|h| h.is_conservative()) { CONSERVATIVE } else { 1 };
            let step = (left / part).min(self.threshold - window);
            window = window.saturating_add(step);
            left = if part == 1 { left - step } else { 0 };
        }
        if left > 0 {
            window = match &mut self.rule {
                Rule::Reno(reno) => reno.grow(left, window, self.mss),
                Rule::Cubic(cubic) => cubic.grow(now, left, srtt, window, self.mss),
            };
        }
        self.window = window.min(cap);
    }

    /// One congestion event: multiplies the window, its own and not the bytes in flight, since
    /// the group's pace may keep a member's flight far below what its path has shown to carry.
    pub(super) fn on_loss(&mut self, now: Instant) {
        self.save();
        let reduced = match &mut self.rule {
            Rule::Reno(reno) => reno.lose(self.window),
            Rule::Cubic(cubic) => cubic.lose(now, self.window, self.mss),
        };
        self.window = reduced.max(self.floor());
        self.threshold = self.window;
        self.hystart = None;
    }

    /// The retransmission timer fired with `flight` bytes unacknowledged: slow start from one
    /// segment. A timeout of what was sent again after another one holds the threshold (RFC 5681,
    /// 3.1).
    pub(crate) fn on_timeout(&mut self, flight: u64) {
        self.end_recovery();
        self.hystart = None;
        let loss_window = self.mss.saturating_mul(LOSS_SEGMENTS);
        if self.window <= loss_window {
            return;
        }
        self.save();
        let reduced = match &mut self.rule {
            Rule::Reno(reno) => reno.lose(flight), // RFC 5681, 3.1, equation 4
            Rule::Cubic(cubic) => cubic.time_out(flight),
        };
        self.threshold = reduced.max(self.floor());
        self.window = loss_window;
    }

    /// Takes the last reduction back, which turned out to be for nothing: what was lost was only
    /// late. What the window grew to in the meantime is kept if it is more. Does nothing when
    /// there was no reduction, or it was taken back already.
    pub(crate) fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.end_recovery();
            self.window = self.window.max(before.window);
            self.threshold = self.threshold.max(before.threshold);
            self.rule = before.rule;
            self.hystart = before.hystart;
        }
    }

    /// Lifts the window to at least `bytes`.
    pub(crate) fn raise_to(&mut self, bytes: u64) {
        self.end_recovery();
        if bytes > self.window {
            self.window = bytes;
            self.threshold = self.threshold.max(bytes);
            self.restart();
        }
    }

    /// The segments have another length from now on; the window stays, but holds at least one.
    pub(crate) fn set_mss(&mut self, mss: u64) {
        let mss = mss.max(1);
        if mss != self.mss {
            self.mss = mss;
            self.window = self.window.max(mss);
            self.restart();
        }
    }

    fn floor(&self) -> u64 {
        self.mss.saturating_mul(FLOOR_SEGMENTS)
    }

    fn save(&mut self) {
        let Self { window, threshold, rule, hystart, .. } = *self;
        self.before = Some(Before { window, threshold, rule, hystart });
    }

    /// The curve no longer fits the window.
    fn restart(&mut self) {
        if let Rule::Cubic(cubic) = &mut self.rule {
            cubic.restart();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MSS: u64 = 1420;
    const RTT: Duration = Duration::from_millis(100);
    const T0: Instant = Instant::ZERO;

    fn both() -> [LossBased; 2] {
        [LossBased::reno(MSS), LossBased::cubic(MSS)]
    }

    #[test]
    fn initial_window() {
        for (mss, window) in [(1420, 14_200), (1460, 14_600), (1148, 11_480), (9000, 18_000)] {
            assert_eq!(LossBased::cubic(mss).window(), window);
        }
    }

    #[test]
    fn slow_start_doubles_and_stops_at_the_threshold() {
        for mut c in both() {
            let w = c.window();
            c.on_ack(T0, w, RTT, None);
            assert_eq!(c.window(), 2 * w);
            c.on_timeout(100 * MSS);
            let mut rounds = 0;
            while c.in_slow_start() {
                c.on_ack(T0, c.window(), RTT, None);
                rounds += 1;
            }
            assert!((6..=7).contains(&rounds), "{rounds}");
            assert!(c.window() <= 72 * MSS, "{}", c.window());
        }
    }

    #[test]
    fn reductions_and_floors() {
        for (mut c, loss) in both().into_iter().zip([50, 70]) {
            c.raise_to(100 * MSS);
            c.on_loss(T0);
            assert_eq!(c.window(), loss * MSS);
            assert!(!c.in_slow_start());
            for _ in 0..20 {
                c.on_loss(T0);
            }
            assert_eq!(c.window(), 2 * MSS);
            c.raise_to(100 * MSS);
            c.on_timeout(40 * MSS);
            assert_eq!(c.window(), MSS);
            let threshold = c.threshold;
            assert_eq!(threshold, 40 * loss * MSS / 100);
            c.on_timeout(MSS);
            assert_eq!((c.window(), c.threshold), (MSS, threshold), "held");
            c.on_ack(T0, MSS, RTT, None);
            c.on_timeout(MSS);
            assert_eq!(c.threshold, 2 * MSS);
        }
    }

    #[test]
    fn undo_takes_one_reduction_back() {
        for mut c in both() {
            c.raise_to(100 * MSS);
            c.on_loss(T0);
            c.on_loss(T0);
            let (window, threshold) = (c.before.map(|b| b.window), c.before.map(|b| b.threshold));
            c.undo();
            assert_eq!((Some(c.window()), Some(c.threshold)), (window, threshold));
            c.undo();
            assert_eq!(Some(c.window()), window, "only the last one");
            c.on_timeout(10 * MSS);
            c.on_ack(T0, MSS, RTT, None);
            c.undo();
            assert_eq!((Some(c.window()), Some(c.threshold)), (window, threshold));
            c.on_loss(T0);
            c.raise_to(500 * MSS);
            c.undo();
            assert_eq!(c.window(), 500 * MSS);
        }
    }

    fn used(now: Instant, acked: u64, flight: u64) -> Shown {
        Shown {
            now,
            acked,
            lost: 0,
            flight_before: flight,
            flight: flight - acked,
            rtt: Some(RTT),
            srtt: RTT,
            congested: false,
            undone: false,
            recovered: true,
            round: true,
            rate: None,
            cap: None,
        }
    }

    #[test]
    fn time_in_which_the_window_is_not_used_does_not_move_the_curve() {
        let grown = |seconds: u32| {
            let mut c = LossBased::cubic(MSS);
            c.raise_to(100 * MSS);
            c.on_loss(T0);
            let mut now = T0;
            for _ in 0..seconds {
                now += Duration::from_secs(1);
                c.on_report(&used(now, MSS, MSS));
            }
            for _ in 0..10 {
                now += RTT;
                let window = c.window();
                c.on_report(&used(now, window, window));
            }
            c.window()
        };
        assert!(grown(60) < 2 * grown(0), "{} {}", grown(60), grown(0));
    }

    #[test]
    fn an_unused_window_falls_to_the_initial_one() {
        let mut c = LossBased::cubic(MSS);
        c.raise_to(1000 * MSS);
        let rto = Duration::from_millis(200);
        c.on_sent(T0, 0, MSS, rto);
        c.on_sent(T0 + rto / 2, 0, MSS, rto);
        assert_eq!(c.window(), 1000 * MSS);
        c.on_sent(T0 + rto * 3, 0, MSS, rto);
        assert_eq!(c.window(), 250 * MSS);
        c.on_sent(T0 + rto * 300, 0, MSS, rto);
        assert_eq!(c.window(), initial(MSS));
        assert!(c.in_slow_start(), "what was known to pass is soon reached again");
    }

    #[test]
    fn a_loss_taken_back_leaves_the_first_slow_start_as_it_was() {
        let mut c = LossBased::cubic(MSS);
        c.on_loss(T0);
        c.undo();
        assert!(c.in_slow_start() && c.hystart.is_some());
    }

    proptest! {
        #[test]
        fn never_below_a_segment_and_never_grown_over_the_cap(
            cubic: bool,
            ops in prop::collection::vec((0..6u8, any::<u32>(), 0..200u64), 1..200),
        ) {
            let (mut c, mut now) = (if cubic { LossBased::cubic(MSS) } else { LossBased::reno(MSS) }, T0);
            for (op, n, cap) in ops {
                let (n, before) = (u64::from(n), c.window());
                now += Duration::from_nanos(n);
                match op {
                    0 => c.on_loss(now),
                    1 => c.on_timeout(n),
                    2 => c.undo(),
                    _ => {
                        let cap = cap * MSS;
                        c.on_ack(now, n % (1 << 18), RTT, Some(cap));
                        prop_assert!(c.window() >= before);
                        prop_assert!(c.window() <= cap.max(before));
                        prop_assert!(c.window() <= 2 * before + MSS);
                    }
                }
                prop_assert!(c.window() >= MSS);
            }
        }

        #[test]
        fn no_input_panics(a: u64, b: u64, mss: u64, cubic: bool) {
            let mut c = if cubic { LossBased::cubic(mss) } else { LossBased::reno(mss) };
            c.raise_to(a);
            for _ in 0..3 {
                c.on_ack(Instant::from_nanos(b), a, Duration::MAX, None);
                c.on_loss(Instant::from_nanos(a));
                c.on_ack(Instant::from_nanos(b), b, Duration::from_nanos(a), None);
                c.on_timeout(b);
                c.set_mss(b);
                c.undo();
            }
            prop_assert!(c.window() > 0);
        }
    }
}
