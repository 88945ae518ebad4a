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
}

impl Lag {
    /// It has joined; `next` is the number of the next packet.
    pub(super) fn begin(now: Instant, next: u64) -> Self {
        Self { next, since: now, ..Self::default() }
    }

    /// It reports this number as the highest that it heard.
    pub(super) fn reported(&mut self, now: Instant, pn: u64) {
        if pn >= self.next {
            (self.next, self.since) = (pn + 1, now);
            self.told = false;
        }
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
}
