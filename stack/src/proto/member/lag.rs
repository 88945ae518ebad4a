//! Whether a member lags behind the group: it hears nothing of what is sent. It is told so, for its membership may have
//! been forgotten, which it can do something about (`recv::membership`).

use crate::proto::recv::membership::{LAG, SILENCE};
use crate::proto::time::Instant;
use core::time::Duration;

/// How far a member's reports of the group have come.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The number after the highest that it heard, at first after those sent before it joined; and since when.
    next: u64,
    since: Instant,
    told: bool,
    /// When the silences ended that it was told of: the last, and the one before.
    ended: [Option<Instant>; 2],
}

/// One silence in so long is no bad way but a membership that was forgotten: the receiver learns to report it in time
/// (`recv::membership`). What comes again sooner is held against it. As for time-outs ([`super::mode::Cause::TimedOut`]).
pub(crate) const SELDOM: Duration = Duration::from_secs(10);

impl Lag {
    /// It has joined; `next` is the number of the next packet.
    pub(super) fn begin(now: Instant, next: u64) -> Self {
        Self { next, since: now, ..Self::default() }
    }

    /// It reports this number as the highest that it heard.
    pub(super) fn reported(&mut self, now: Instant, pn: u64) {
        if pn >= self.next {
            (self.next, self.since) = (pn + 1, now);
            if core::mem::take(&mut self.told) {
                self.ended = [Some(now), self.ended[0]];
            }
        }
    }

    /// Whether what it lost since then was lost in a silence, and those are seldom.
    pub(super) fn excuses(&self, from: Instant) -> bool {
        let [last, before] = self.ended;
        let (at, before) = if self.told { (Some(self.since), last) } else { (last, before) };
        let lasts = self.told || at.is_some_and(|at| at >= from);
        let seldom = at.zip(before).is_none_or(|(at, before)| at.since(before) >= SELDOM);
        lasts && seldom
    }

    /// When it is to be told, if nothing else comes; `next` is the number of the next packet. Once: it is told of
    /// the newest every second besides.
    pub(super) fn due_at(&self, next: u64) -> Option<Instant> {
        let lags = next.saturating_sub(self.next) >= LAG;
        (lags && !self.told).then(|| self.since + SILENCE)
    }

    /// It was told.
    pub(super) fn told(&mut self) {
        self.told = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn it_is_told_once_for_each_silence() {
        let mut lag = Lag::begin(at(10), 100);
        assert_eq!(lag.due_at(163), None);
        assert_eq!(lag.due_at(164), Some(at(310)), "of what was sent since it joined");
        lag.told();
        assert_eq!(lag.due_at(9999), None);
        lag.reported(at(500), 99);
        assert_eq!(lag.due_at(9999), None, "an old report");
        lag.reported(at(600), 150);
        assert_eq!((lag.due_at(214), lag.due_at(215)), (None, Some(at(900))));
        lag.reported(at(700), 150);
        assert_eq!(lag.due_at(215), Some(at(900)), "nothing new");
    }
    #[test]
    fn one_silence_in_a_while_excuses_what_is_lost_in_it() {
        let mut lag = Lag::begin(at(0), 0);
        assert!(!lag.excuses(at(0)), "there was none");
        lag.told();
        assert!(lag.excuses(at(300)), "it lasts");
        lag.reported(at(400), 100);
        assert!(lag.excuses(at(399)) && lag.excuses(at(400)) && !lag.excuses(at(401)));
        // Another one soon after that is no accident.
        lag.told();
        assert!(!lag.excuses(at(300)));
        lag.reported(at(5000), 200);
        assert!(!lag.excuses(at(300)));
        lag.reported(at(15_000), 300);
        lag.told();
        assert!(lag.excuses(at(15_000)));
    }
}
