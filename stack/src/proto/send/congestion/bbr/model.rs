//! What BBR knows of one path: the most that it has carried, the least that it takes, and the
//! bounds that its losses set (draft-ietf-ccwg-bbr, 4.5).

use super::super::Shown;
use crate::proto::time::Instant;
use core::time::Duration;

/// A round whose losses exceed this share is one too many (`BBRLossThresh`).
const LOSS: f64 = 0.02;
/// … if there were so many segments lost at least: as few as three duplicate ACKs would tell.
const LOST_SEGMENTS: u64 = 3;
/// By how much a bound is lowered (`BBRBeta`).
pub(super) const BETA: f64 = 0.7;
/// The least round trip is remembered for so long (`MinRTTFilterLen`).
const LEAST_LASTS: Duration = Duration::from_secs(10);

/// One path.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Whether it counts.
    pub(super) active: bool,
    /// A sample has said what the path carries, and not only what there was to send.
    pub(super) known: bool,
    /// The highest delivery rates of this cycle and of the one before, in bytes per second.
    rates: [f64; 2],
    /// Least round trip, and when it was seen.
    least: Option<(Duration, Instant)>,
    /// Bounds that hold until the next probe (`bw_shortterm`, `inflight_shortterm`) …
    rate_bound: f64,
    flight_bound: f64,
    /// … and that a probe may raise (`inflight_longterm`).
    pub(super) flight_high: f64,
    /// The present round: bytes arrived and lost, the best rate, the most bytes delivered at once.
    arrived: u64,
    lost: u64,
    /// The round before has lost something.
    lost_before: bool,
    best: f64,
    most: f64,
    pub(super) flight: u64,
    pub(super) window: u64,
    /// For how long an acknowledgement is held back beyond what the window asks for.
    pub(super) held: Duration,
    /// Before the last losses, or time-outs in a row.
    before: Option<Before>,
}

/// What losses have changed, should they turn out to be none.
#[derive(Debug, Clone, Copy)]
struct Before {
    window: u64,
    rate_bound: f64,
    flight_bound: f64,
    flight_high: f64,
}

/// What a report means beyond its numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// A round trip of this path has passed.
    pub(super) round: bool,
    /// … and it lost more than is borne.
    pub(super) lossy: bool,
    /// The report's rate says less than the path could carry.
    pub(super) app_limited: bool,
    /// The most that was in flight, or was delivered in one round trip, during the round.
    pub(super) reached: f64,
}

impl Model {
    pub(super) fn new(window: u64) -> Self {
        Self {
            active: true,
            known: false,
            rates: [0.0; 2],
            least: None,
            rate_bound: f64::INFINITY,
            flight_bound: f64::INFINITY,
            flight_high: f64::INFINITY,
            arrived: 0,
            lost: 0,
            lost_before: false,
            best: 0.0,
            most: 0.0,
            flight: 0,
            window,
            held: Duration::ZERO,
            before: None,
        }
    }

    /// The most that it has carried, bytes per second; 0 before the first sample.
    pub(super) fn highest(&self) -> f64 {
        self.rates[0].max(self.rates[1])
    }

    /// What it is taken to carry now.
    pub(super) fn rate(&self) -> f64 {
        self.highest().min(self.rate_bound)
    }

    /// Least round trip.
    pub(super) fn least(&self) -> Option<Duration> {
        self.least.map(|(least, _)| least)
    }

    /// Takes a report; `probing`: losses now are what probing for more costs, and lower no bound.
    pub(super) fn take(&mut self, shown: &Shown, mss: u64, probing: bool) -> Signs {
        if shown.congested {
            self.save();
        }
        self.flight = shown.flight;
        self.arrived += shown.acked;
        self.lost += shown.lost;
        if let Some(rtt) = shown.rtt {
            let expired = |at: Instant| shown.now.since(at) > LEAST_LASTS;
            if self.least.is_none_or(|(least, at)| rtt <= least || expired(at)) {
                self.least = Some((rtt, shown.now));
            }
        }
        let mut signs = Signs::default();
        if let Some(sample) = shown.rate {
            signs.app_limited = sample.app_limited;
            self.best = self.best.max(sample.rate);
            self.most = self.most.max(sample.delivered as f64);
            self.known |= !sample.app_limited;
            if !sample.app_limited || sample.rate >= self.highest() {
                self.rates[0] = self.rates[0].max(sample.rate);
            }
        }
        if shown.round {
            signs.round = true;
            signs.reached = self.most.max(shown.flight_before as f64);
            signs.lossy = self.is_lossy(mss);
            if signs.lossy && !probing {
                self.lower();
            }
            self.lost_before = self.lost > 0;
            (self.arrived, self.lost, self.best, self.most) = (0, 0, 0.0, 0.0);
        }
        signs
    }

    /// Something of this round or of the one before is lost.
    pub(super) fn loses(&self) -> bool {
        self.lost > 0 || self.lost_before
    }

    /// The draft lowers its bounds after a round with any loss at all. A lone lost packet is no
    /// sign of a full queue, and on a lossy line every round has one: here it takes as many as
    /// would end a probe.
    fn is_lossy(&self, mss: u64) -> bool {
        let segments = (self.lost + self.arrived) as f64 / mss as f64;
        // By more than chance: two standard deviations of a count of so many segments.
        let borne = LOSS * segments + 2.0 * (LOSS * segments).sqrt();
        self.lost >= LOST_SEGMENTS * mss && self.lost as f64 / mss as f64 > borne
    }

    /// After losses outside of a probe (`BBRLossLowerBounds`).
    fn lower(&mut self) {
        let rate = if self.rate_bound.is_finite() { self.rate_bound } else { self.highest() };
        let flight =
            if self.flight_bound.is_finite() { self.flight_bound } else { self.window as f64 };
        self.rate_bound = self.best.max(rate * BETA);
        self.flight_bound = self.most.max(flight * BETA);
    }

    /// A probe begins: the bounds that losses set do not hold for it.
    pub(super) fn lift_bounds(&mut self) {
        self.rate_bound = f64::INFINITY;
        self.flight_bound = f64::INFINITY;
    }

    /// A probe has ended: the rates of the cycle before the last are forgotten.
    pub(super) fn advance(&mut self) {
        // A cycle without a sample says nothing.
        if self.rates[0] > 0.0 {
            self.rates = [0.0, self.rates[0]];
        }
    }

    /// A probe lost too much: so much may be in flight, at most, until a later probe raises it.
    /// `reached` is what was in flight, `target` what must fit.
    pub(super) fn too_high(&mut self, reached: f64, target: f64) {
        self.flight_high = reached.min(self.flight_high).max(target);
    }

    /// Bytes in flight that its bounds allow.
    pub(super) fn bound(&self) -> f64 {
        self.flight_bound.min(self.flight_high)
    }

    /// Moves the window towards `most`, by what has arrived. Until Startup has `filled` the line
    /// it does not shrink: what is known of the rate is less than the truth.
    pub(super) fn move_window(&mut self, acked: u64, most: u64, filled: bool) {
        let grown = self.window.saturating_add(acked);
        if filled {
            self.window = grown.min(most);
        } else if self.window < most {
            self.window = grown;
        }
    }

    pub(super) fn on_timeout(&mut self, least: u64) {
        if self.window > least {
            self.save();
        }
        self.window = least;
        self.flight = 0;
    }

    #[cfg(test)]
    pub(super) fn rate_for_test(&mut self, rate: f64) {
        self.rates = [rate; 2];
    }

    fn save(&mut self) {
        let Self { window, rate_bound, flight_bound, flight_high, .. } = *self;
        self.before = Some(Before { window, rate_bound, flight_bound, flight_high });
    }

    /// The last losses were none (`BBRHandleSpuriousLossDetection`).
    pub(super) fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.window = self.window.max(before.window);
            self.rate_bound = self.rate_bound.max(before.rate_bound);
            self.flight_bound = self.flight_bound.max(before.flight_bound);
            self.flight_high = self.flight_high.max(before.flight_high);
        }
    }
}
