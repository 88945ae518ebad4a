//! BBR (draft-ietf-ccwg-bbr-04, BBR version 3): goes by the rate at which data arrive and by the
//! least round trip, not by losses.
//!
//! One machine drives one path, or all paths of a group at once: a group has one rate, so it is
//! probed as one. What differs stands in the members' [`Model`]s; the one that has carried least
//! limits the rate, and its rounds are the group's.
//!
//! Left out of the draft: ECN (data say that they cannot be marked), idle restarts (trains are paced
//! anyway), and the filter for ACK aggregation, in place of which the window has room for what one
//! acknowledgement covers.

mod model;

use super::loss_based::initial;
use super::{Shown, bytes};
use crate::proto::time::Instant;
use core::time::Duration;
use model::{BETA, Model, Signs};

/// Pacing and window gains in Startup: 4 ln 2 and 2 (`BBRStartupPacingGain`).
const STARTUP: (f64, f64) = (2.77, 2.0);
/// Pacing gain in Drain (`BBRDrainPacingGain`).
const DRAIN: (f64, f64) = (0.5, 2.0);
const DOWN: (f64, f64) = (0.9, 2.0);
const CRUISE: (f64, f64) = (1.0, 2.0);
const REFILL: (f64, f64) = (1.0, 2.0);
const UP: (f64, f64) = (1.25, 2.25);
/// Window in `ProbeRTT`, in products of rate and round trip (`BBRProbeRTTCwndGain`).
const PROBE_RTT: (f64, f64) = (1.0, 0.5);
/// Paced a little below the rate, so that queues drain (`BBRPacingMarginPercent`).
const MARGIN: f64 = 0.99;
/// Startup is over when the rate has not grown by a quarter for three rounds
/// (`BBRStartupFullBwThresh`, `BBRStartupFullBwCnt`).
const FULL: (f64, u32) = (1.25, 3);
/// While it cruises, so much of the bound is left to others (`BBRHeadroom`).
const HEADROOM: f64 = 0.15;
/// Window at least, in segments (`BBRMinPipeCwnd`).
const LEAST_SEGMENTS: u64 = 4;
/// `ProbeRTT` every five seconds, unless a round trip as short was seen, for 200 ms
/// (`ProbeRTTInterval`, `ProbeRTTDuration`).
const PROBE_RTT_EVERY: Duration = Duration::from_secs(5);
const PROBE_RTT_LASTS: Duration = Duration::from_millis(200);
/// A round trip counts as short as the least if it is longer by this part at most, or by the time of
/// [`LEAST_SEGMENTS`]: whoever cruises below the rate sees it all the time, and needs no probe (5.3.4.2:
/// where the queue was empty anyway, the estimate is fresh without one).
const AS_SHORT: u32 = 32;
/// Bandwidth is probed after two to three seconds (`BBRPickProbeWait`) …
const PROBE_WAIT: Duration = Duration::from_secs(2);
/// … or after as many rounds as Reno would take to win one window, at most so many.
const PROBE_ROUNDS: u32 = 63;
/// Room beyond the product: three trains, of which one is being sent, one is on its way and one is
/// being acknowledged (`BBRQuantizationBudget`). A train is so many segments, and so long, at most.
const TRAINS: f64 = 3.0;
const TRAIN: u64 = 32;
const TRAIN_TIME: Duration = Duration::from_millis(1);
/// Part of the window that one acknowledgement may cover, as the sender sets it.
const ACK_PART: f64 = 1.0 / 8.0;

/// Where the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Phase {
    /// Gains of pacing and window.
    fn gains(self) -> (f64, f64) {
        match self {
            Self::Startup => STARTUP,
            Self::Drain => DRAIN,
            Self::Down => DOWN,
            Self::Cruise => CRUISE,
            Self::Refill => REFILL,
            Self::Up => UP,
            Self::ProbeRtt => PROBE_RTT,
        }
    }

    /// Losses are the price of asking for more.
    fn probes(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// The machine and its paths.
#[derive(Debug, Clone)]
pub(crate) struct Bbr {
    mss: u64,
    phase: Phase,
    since: Instant,
    /// When the last probe ended.
    cycle: Instant,
    models: Vec<Model>,
    /// The path that has carried least of those that are known and count, and its rate: what all
    /// can take. Kept, since every segment asks for it and only reports change it.
    limit: Option<(usize, f64)>,
    /// The best rate of Startup, or of this probe, and rounds without a better one.
    full: (f64, u32),
    /// Startup has found the line's rate.
    filled: bool,
    /// Rounds since the last probe, and how long to wait for the next.
    rounds: u32,
    wait: Duration,
    /// This probe's losses have been judged.
    judged: bool,
    /// A probe's end is to reach the filters with the next round.
    stopping: bool,
    /// `ProbeRTT`: the round trip was as short as the least, and the present probe's end.
    short_at: Option<Instant>,
    shortest: Duration,
    until: Option<Instant>,
    /// State of a small generator: probes of several senders are not to coincide.
    dice: u64,
}

impl Bbr {
    /// A machine for so many paths, each at its initial window.
    pub(crate) fn new(paths: usize, mss: u64, seed: u64) -> Self {
        let mss = mss.max(1);
        Self {
            mss,
            phase: Phase::Startup,
            since: Instant::ZERO,
            cycle: Instant::ZERO,
            models: vec![Model::new(initial(mss)); paths],
            limit: None,
            full: (0.0, 0),
            filled: false,
            rounds: 0,
            wait: PROBE_WAIT,
            judged: true,
            stopping: false,
            short_at: None,
            shortest: Duration::MAX,
            until: None,
            dice: seed | 1,
        }
    }

    /// A machine for the members of a group, none of which follows it yet.
    pub(crate) fn for_group(members: usize, mss: u64, seed: u64) -> Self {
        let mut bbr = Self::new(members, mss, seed);
        bbr.models.iter_mut().for_each(|model| model.active = false);
        bbr
    }

    /// There are so many paths from now on; the new ones do not count yet.
    pub(crate) fn grow(&mut self, paths: usize) {
        let mut fresh = Model::new(initial(self.mss));
        fresh.active = false;
        self.models.resize(paths.max(self.models.len()), fresh);
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.dice = seed | 1;
    }

    pub(crate) fn set_mss(&mut self, mss: u64) {
        self.mss = mss;
    }

    /// One path, of which nothing is known yet.
    pub(crate) fn alone_anew(&self) -> Self {
        Self::new(1, self.mss, self.dice)
    }

    /// The same paths, from Startup on.
    fn anew(&self) -> Self {
        Self { models: self.models.clone(), ..Self::new(0, self.mss, self.dice) }
    }

    /// A path counts, or does not any more. One that begins to count is not known.
    pub(crate) fn set_active(&mut self, path: usize, active: bool) {
        if active && !self.models.iter().any(|model| model.active) {
            *self = self.anew(); // nobody knows what this way carries
        }
        let model = &mut self.models[path];
        if active && !model.active {
            *model = Model::new(model.window);
        }
        model.active = active;
        self.find_limit();
    }

    /// Bytes that may be in flight on a path.
    pub(crate) fn window(&self, path: usize) -> u64 {
        let model = &self.models[path];
        let least = LEAST_SEGMENTS * self.mss;
        let bound = match self.phase {
            Phase::Cruise => model.bound().min(model.flight_high * (1.0 - HEADROOM)),
            Phase::ProbeRtt => self.product(path, PROBE_RTT.1),
            _ => model.bound(),
        };
        bytes((model.window as f64).min(bound.max(least as f64)))
    }

    /// Bytes per second, given a round trip for the time before the first sample.
    pub(crate) fn pacing_rate(&self, srtt: Duration) -> f64 {
        let gain = self.phase.gains().0;
        let rate = self.rate();
        if rate > 0.0 && self.filled {
            return gain * rate * MARGIN;
        }
        // In Startup a small sample slows nothing down (`BBRSetPacingRateWithGain`).
        let window = self.active().map(|(_, m)| m.window).min().unwrap_or(self.mss);
        let window = if rate > 0.0 { window.min(initial(self.mss)) } else { window };
        gain * (rate * MARGIN).max(window as f64 / srtt.as_secs_f64())
    }

    fn active(&self) -> impl Iterator<Item = (usize, &Model)> {
        self.models.iter().enumerate().filter(|(_, m)| m.active)
    }

    /// Must follow every change of what a model knows.
    fn find_limit(&mut self) {
        let least = |counts: fn(&Model) -> bool| {
            let known = self.active().filter(|(_, m)| m.highest() > 0.0 && counts(m));
            known.map(|(path, m)| (path, m.rate())).min_by(|a, b| a.1.total_cmp(&b.1))
        };
        self.limit = least(|m| m.known).or_else(|| least(|_| true));
    }

    fn limiting(&self) -> Option<usize> {
        self.limit.map(|(path, _)| path)
    }

    /// What all can take, bytes per second; 0 before the first sample.
    fn rate(&self) -> f64 {
        self.limit.map_or(0.0, |(_, rate)| rate)
    }

    /// So many products of the common rate and a path's own least round trip, in bytes.
    fn product(&self, path: usize, gain: f64) -> f64 {
        let least = self.models[path].least().unwrap_or_default();
        gain * self.rate() * least.as_secs_f64()
    }

    /// So many products, and no less than what a probe of the round trip leaves in flight: a pipe
    /// shorter than a packet is never empty while anything is sent (`BBRInflight`, 5.6.4.2, without the
    /// room for trains, which would stand as a queue).
    fn inflight(&self, path: usize, gain: f64) -> f64 {
        self.product(path, gain).max((LEAST_SEGMENTS * self.mss) as f64)
    }

    /// By how much a round trip may be longer than the least and still say that no queue stands. Packets
    /// are sent as a whole on every line, so a full one takes longer than the short one that the least may
    /// have come from, and ACKs of several members wait for each other: on a short path that is more than
    /// any part of the round trip. A queue of [`LEAST_SEGMENTS`] is beyond what `ProbeRTT` can drain.
    fn slack(&self) -> Duration {
        let segments = (LEAST_SEGMENTS * self.mss) as f64 / self.rate();
        let segments = Duration::try_from_secs_f64(segments).unwrap_or_default();
        segments.max(self.shortest / AS_SHORT)
    }

    /// Takes what a report has shown of a path.
    pub(crate) fn on_report(&mut self, path: usize, shown: &Shown) {
        if shown.undone {
            self.models[path].undo();
        }
        let probing = self.phase.probes();
        let signs = self.models[path].take(shown, self.mss, probing);
        self.find_limit();
        if !self.models[path].active {
            return;
        }
        let leads = self.limiting().is_none_or(|limiting| limiting == path);
        let round = leads && signs.round;
        self.judge_losses(path, signs, shown.now);
        self.raise_bound(path, shown);
        if round {
            self.on_round(signs, shown.now);
        }
        if leads {
            self.step(path, shown);
            self.probe_rtt(path, shown);
        }
        self.move_window(path, shown.acked);
    }

    /// A round that lost too much ends Startup or a probe (`BBRHandleInflightTooHigh`).
    fn judge_losses(&mut self, path: usize, signs: Signs, now: Instant) {
        if !signs.lossy || signs.app_limited {
            return;
        }
        let target = self.product(path, 1.0);
        match self.phase {
            Phase::Startup => {
                self.models[path].too_high(signs.reached, target);
                self.fill(now);
            }
            Phase::Up | Phase::Refill | Phase::Down if !self.judged => {
                self.judged = true;
                self.models[path].too_high(signs.reached, target * BETA);
                if self.phase == Phase::Up {
                    self.enter_down(now);
                }
            }
            _ => {}
        }
    }

    /// The bound of a path, not only of the one that limits the rate, holds a probe up: it is raised
    /// by what arrives (`BBRProbeInflightLongtermUpward`). As long as nothing is lost, a window
    /// without room for a train is full.
    fn raise_bound(&mut self, path: usize, shown: &Shown) {
        let next = if self.models[path].loses() { self.mss as f64 } else { self.train() };
        let full = shown.flight_before as f64 + next >= self.window(path) as f64;
        if self.phase == Phase::Up && full && self.models[path].flight_high.is_finite() {
            self.models[path].flight_high += shown.acked as f64;
        }
    }

    fn on_round(&mut self, signs: Signs, now: Instant) {
        self.rounds += 1;
        if self.stopping {
            self.stopping = false;
            self.judged = true;
            if !signs.app_limited {
                self.models.iter_mut().for_each(Model::advance);
                self.find_limit();
            }
        }
        let best = self.limiting().map_or(0.0, |path| self.models[path].highest());
        if best >= self.full.0 * FULL.0 || signs.app_limited {
            self.full = (best.max(self.full.0), 0);
        } else {
            self.full.1 += 1;
        }
        match self.phase {
            Phase::Startup if self.full.1 >= FULL.1 => self.fill(now),
            Phase::Refill => {
                self.judged = false;
                self.full = (best, 0);
                self.enter(Phase::Up, now);
            }
            // The probe has found no more: the line is full.
            Phase::Up if self.full.1 >= FULL.1 => self.enter_down(now),
            _ => {}
        }
    }

    fn fill(&mut self, now: Instant) {
        self.filled = true;
        self.enter(Phase::Drain, now);
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }

    fn enter_down(&mut self, now: Instant) {
        self.stopping = true;
        self.rounds = self.roll() as u32 & 1;
        self.wait = PROBE_WAIT + Duration::from_millis(self.roll() % 1000);
        self.cycle = now;
        self.enter(Phase::Down, now);
    }

    /// A number of a xorshift generator (Marsaglia 2003): nothing depends on its quality.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }

    /// What follows from the limiting path's flight, and from time.
    fn step(&mut self, path: usize, shown: &Shown) {
        let (now, flight) = (shown.now, shown.flight as f64);
        let high = self.models[path].flight_high;
        match self.phase {
            Phase::Drain if flight <= self.inflight(path, 1.0) => self.enter_down(now),
            Phase::Down | Phase::Cruise if self.is_time_to_probe(path, now) => {
                self.lift_bounds();
                self.enter(Phase::Refill, now);
            }
            Phase::Down => {
                let room = high * (1.0 - HEADROOM);
                if flight <= room.min(self.inflight(path, 1.0)) {
                    self.enter(Phase::Cruise, now);
                }
            }
            // A queue stands, as long as a quarter of a round trip: that was enough.
            Phase::Up => {
                let least = self.models[path].least().unwrap_or_default();
                if now.since(self.since) > least && flight > self.product(path, UP.0) {
                    self.full.1 = self.full.1.max(1);
                    if self.full.1 >= 2 {
                        self.enter_down(now);
                    }
                }
            }
            _ => {}
        }
    }

    fn lift_bounds(&mut self) {
        self.models.iter_mut().for_each(Model::lift_bounds);
        self.find_limit();
    }

    fn is_time_to_probe(&self, path: usize, now: Instant) -> bool {
        let segments = self.product(path, 1.0) / self.mss as f64;
        let as_reno = f64::from(self.rounds) >= segments.clamp(2.0, f64::from(PROBE_ROUNDS));
        now.since(self.cycle) > self.wait || as_reno
    }

    /// Looks for the least round trip with an empty queue, now and then.
    fn probe_rtt(&mut self, path: usize, shown: &Shown) {
        let now = shown.now;
        if let Some(rtt) = shown.rtt
            && rtt <= self.shortest.saturating_add(self.slack())
        {
            self.shortest = self.shortest.min(rtt);
            self.short_at = Some(now);
        }
        let due = now.since(*self.short_at.get_or_insert(now)) > PROBE_RTT_EVERY;
        if due && self.phase != Phase::ProbeRtt && self.filled {
            self.shortest = Duration::MAX;
            self.until = None;
            self.enter(Phase::ProbeRtt, now);
            return;
        }
        if self.phase != Phase::ProbeRtt {
            return;
        }
        match self.until {
            None if shown.flight as f64 <= self.inflight(path, PROBE_RTT.1) => {
                let round = self.models[path].least().unwrap_or_default();
                self.until = Some(now + PROBE_RTT_LASTS.max(round));
            }
            Some(until) if now >= until => {
                self.short_at = Some(now);
                self.lift_bounds();
                self.enter_down(now);
                self.enter(Phase::Cruise, now);
            }
            _ => {}
        }
    }

    /// One acknowledgement of a path covers what is sent in so long, since the way back is narrow.
    pub(crate) fn expect_acks(&mut self, path: usize, held: Duration) {
        self.models[path].held = held;
    }

    /// Bytes of a train at the common rate: one segment at least.
    fn train(&self) -> f64 {
        let most = (TRAIN * self.mss) as f64;
        (self.rate() * TRAIN_TIME.as_secs_f64()).min(most).max(self.mss as f64)
    }

    fn move_window(&mut self, path: usize, acked: u64) {
        let gain = self.phase.gains().1.max(DOWN.1);
        let product = self.product(path, gain);
        let trains = TRAINS * self.train();
        let held = self.rate() * self.models[path].held.as_secs_f64();
        let most = product + held.max(product * ACK_PART) + trains;
        let known = self.rate() > 0.0;
        let most = if known { bytes(most).max(LEAST_SEGMENTS * self.mss) } else { u64::MAX };
        self.models[path].move_window(acked, most, self.filled && known);
    }

    /// The retransmission timer fired.
    pub(crate) fn on_timeout(&mut self, path: usize) {
        let least = LEAST_SEGMENTS * self.mss;
        self.models[path].on_timeout(least);
    }

    /// It fired for nothing.
    pub(crate) fn undo(&mut self, path: usize) {
        self.models[path].undo();
    }
}

#[cfg(test)]
mod tests;
