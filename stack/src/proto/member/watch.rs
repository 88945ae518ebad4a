//! What a member is watched for while it is served: troubles, and since when they last.

use super::Member;
use crate::proto::time::Instant;
use core::time::Duration;

/// A look at a member speaks for no more time than this: twice what lies between two.
const LOOK_MAX: Duration = Duration::from_millis(100);
/// A rate is measured over so long at least, as between two looks …
const RATE_OVER: Duration = Duration::from_millis(50);
/// … and the best is forgotten by this part with each: by half in nine seconds.
const FORGET: f64 = 1.0 / 256.0;

/// Since when a trouble lasts.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    deaf: Option<Instant>,
    /// How long its window has held the group, less what it has not since, and when that was looked
    /// at last.
    closed: Duration,
    looked: Instant,
    /// At how many bytes a second data arrived there lately, and at best.
    rate: f64,
    best: f64,
    /// When its bytes were counted for that, and how many there were.
    counted: (Instant, u64),
}

impl Watch {
    /// It is watched from here on; so many bytes have arrived there.
    pub(crate) fn begin(now: Instant, arrived: u64) -> Self {
        Self { looked: now, counted: (now, arrived), ..Self::default() }
    }

    /// So many bytes have arrived there; the rate is measured over that time at least.
    fn measure(&mut self, now: Instant, over: Duration, total: u64) {
        let (since, before) = self.counted;
        let passed = now.since(since);
        if passed < over.max(RATE_OVER) {
            return;
        }
        self.counted = (now, total);
        self.rate = total.saturating_sub(before) as f64 / passed.as_secs_f64();
        self.best = self.rate.max(self.best * (1.0 - FORGET));
    }

    /// Bytes a second that arrived lately.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Bytes a second that arrived at best.
    pub(crate) fn best(&self) -> f64 {
        self.best
    }

    /// The window holds the group now, or it does not: for how long it has. A window that opens now
    /// and then, by a trickle, is closed if it is so for more than half of the time.
    pub(crate) fn hold(&mut self, now: Instant, holds: bool) -> Duration {
        let passed = now.since(core::mem::replace(&mut self.looked, now)).min(LOOK_MAX);
        self.closed = if holds { self.closed + passed } else { self.closed.saturating_sub(passed) };
        self.closed
    }

    /// Its window moves, and that is all that is asked of it.
    pub(crate) fn moves(&mut self) {
        self.closed = Duration::ZERO;
    }

    /// Since when it has heard less than it should.
    pub(crate) fn deaf_since(&self) -> Option<Instant> {
        self.deaf
    }

    /// It hears less than it should, or it does not: for how long it has.
    pub(crate) fn deaf(&mut self, now: Instant, is_deaf: bool) -> Duration {
        if is_deaf {
            now.since(*self.deaf.get_or_insert(now))
        } else {
            self.deaf = None;
            Duration::ZERO
        }
    }
}

impl Member {
    /// What it is watched for.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What it is watched for.
    pub(crate) fn watch_mut(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// Bytes that arrived there lately are measured, over that time at least.
    pub(crate) fn measure(&mut self, now: Instant, over: Duration) {
        self.watch.measure(now, over, self.need.arrived());
    }
}
