//! What goes to members alone beside a group that is served: little, as long as that would take it from the group.
//!
//! What those lack who do not follow goes once for each of them, what the group carries once for all: where both want
//! more than the line carries, the group has nearly all of it. The line is full where congestion shows to most of those
//! who follow at the same time, or where unicast is found to take from the group ([`spare`](super::spare)): then unicast
//! keeps to its share, though the group has nothing to send at the moment. Else it takes what the group leaves.

use super::spare::Spare;
use crate::proto::time::Instant;
use core::time::Duration;

/// A group that has sent nothing for so long leaves its share to others.
const PAUSE: Duration = Duration::from_millis(50);
/// What is left of a share is saved up to so many bytes, as is what was taken on top: two long trains.
const SAVED: f64 = 128.0 * 1024.0;

/// The two shares.
#[derive(Debug)]
pub(super) struct Uplink {
    /// Bytes that unicast may send for each that a group sends.
    ratio: f64,
    credit: f64,
    /// When a group last sent.
    grouped: Option<Instant>,
    spare: Spare,
}

impl Uplink {
    /// Unicast has so many percent of the line.
    pub(super) fn new(percent: u8) -> Self {
        let share = f64::from(percent.min(100)) / 100.0;
        let ratio = share / (1.0 - share).max(f64::MIN_POSITIVE);
        Self { ratio, credit: SAVED, grouped: None, spare: Spare::new() }
    }

    /// A group has sent so many bytes.
    pub(super) fn grouped(&mut self, now: Instant, bytes: u64) {
        if !self.is_shared(now) {
            self.spare.resume(now);
        }
        self.grouped = Some(now);
        self.credit = (self.credit + bytes as f64 * self.ratio).min(SAVED);
        self.spare.on_sent(now, bytes, 0);
    }

    /// So many bytes have gone to one that does not follow, or has come late.
    pub(super) fn alone(&mut self, now: Instant, bytes: u64) {
        if self.is_shared(now) {
            self.credit = (self.credit - bytes as f64).max(-SAVED);
            self.spare.on_sent(now, 0, bytes);
        }
    }

    /// Most of those who follow have seen congestion at the same time.
    pub(super) fn is_full(&mut self, now: Instant) {
        self.spare.keep(now, true);
    }

    /// One leaves that the group was slow for: how fast it is without is to be seen first.
    pub(super) fn leaves(&mut self, now: Instant) {
        self.spare.keep(now, false);
    }

    /// For how long the groups have been quiet, if any was ever served: for no time between two trains.
    pub(super) fn quiet(&self, now: Instant) -> Option<Duration> {
        let quiet = now.since(self.grouped?);
        Some(if quiet < PAUSE { Duration::ZERO } else { quiet })
    }

    /// A group is served, and leaves nothing.
    fn is_shared(&self, now: Instant) -> bool {
        self.grouped.is_some_and(|at| now.since(at) < PAUSE)
    }

    /// Whether unicast has its turn before the group.
    pub(super) fn precedes(&self, now: Instant) -> bool {
        !self.is_shared(now) || self.credit > 0.0
    }

    /// Whether unicast may send at all.
    pub(super) fn permits(&self, now: Instant) -> bool {
        self.precedes(now) || !self.spare.is_kept()
    }

    /// When [`Self::permits`] holds again, though no group sends any more.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.grouped.filter(|_| !self.permits(now)).map(|at| at + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(1) + Duration::from_millis(ms)
    }

    /// Bytes that go each way in a second, of trains of 10 kB that both have ready at any time.
    fn shares(percent: u8, full: bool) -> (u64, u64) {
        let (mut uplink, mut grouped, mut alone) = (Uplink::new(percent), 0, 0);
        uplink.grouped(at(0), 0);
        for ms in 0..1000 {
            if full {
                uplink.is_full(at(ms));
            }
            if uplink.precedes(at(ms)) {
                uplink.alone(at(ms), 10_000);
                alone += 10_000;
            } else {
                uplink.grouped(at(ms), 10_000);
                grouped += 10_000;
            }
        }
        (grouped, alone)
    }

    #[test]
    fn where_both_are_ready_each_has_its_share() {
        for percent in [0, 5, 25] {
            let (grouped, alone) = shares(percent, true);
            let share = alone as f64 / (grouped + alone) as f64;
            let saved = SAVED / 10e6;
            assert!((share - f64::from(percent) / 100.0).abs() < 0.01 + saved, "{share}");
        }
    }

    #[test]
    fn unicast_takes_what_is_left_unless_the_line_is_full() {
        let mut uplink = Uplink::new(5);
        uplink.alone(at(0), 1 << 30);
        assert!(uplink.precedes(at(0)), "there is no group");
        uplink.grouped(at(0), 1);
        uplink.alone(at(1), 1 << 30);
        assert!(!uplink.precedes(at(1)) && uplink.permits(at(1)));
        uplink.is_full(at(1));
        assert!(!uplink.permits(at(1)));
        assert_eq!(uplink.deadline(at(1)), Some(at(50)));
        assert!(uplink.permits(at(50)), "the group pauses");
        for ms in 50..=10_100 {
            uplink.grouped(at(ms), 1);
        }
        assert!(uplink.permits(at(10_100)), "it is tried again");
    }
}
