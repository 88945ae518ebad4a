//! Bytes are on their way to a member and none is acknowledged, though it answers: they do not get
//! there, or it refuses them.
//!
//! A receiver of unordered bytes may refuse such as lie below the edge that it told: an edge never goes
//! back, and what fills a hole, or comes again because it was taken back, takes room that was promised.
//! To the sender that looks like a path that swallows data. The two are told apart by a probe: padding,
//! in a datagram of the kind and the length of those that are not acknowledged, which needs no room. If
//! it is acknowledged, the way carries what is sent, and only the receiver's window is at fault: that is
//! no failure, as long as it answers (RFC 9293, 3.8.6.1).

use crate::proto::conn::BORNE;
use crate::proto::time::Instant;
use core::time::Duration;

/// The way is tried after half of the time that a stall may last, and again after further eighths: four
/// times, since a probe may be lost.
const FIRST: u32 = 2;
const FURTHER: u32 = 8;

/// A stall.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    since: Option<Instant>,
    /// When the way is tried next.
    tries_at: Option<Instant>,
    /// A probe is to be sent.
    due: bool,
}

impl Stall {
    /// Bytes arrive there, or would.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// When [`Self::lasts`] or [`Self::tries`] has something to do next.
    pub(crate) fn deadline(&self, idle: Duration, borne_until: Instant) -> Option<Instant> {
        self.since.map(|since| {
            let end = (since + idle).max(borne_until.min(since + idle * BORNE));
            self.tries_at.map_or(end, |at| at.min(end))
        })
    }

    /// Bytes are on their way that are not acknowledged: whether that has lasted for `idle`, or longer where it
    /// is borne. `served`: when any left last.
    pub(crate) fn lasts(
        &mut self,
        now: Instant,
        (served, borne_until): (Instant, Instant),
        idle: Duration,
    ) -> bool {
        let limit = if now < borne_until { idle * BORNE } else { idle };
        let over = self.since.is_some_and(|since| now.since(since) >= limit);
        // Bytes that waited for their turn here, for a rate or a source, are not its fault.
        let asked = now.since(served) < idle / 2;
        if self.since.is_none() || over && !asked {
            *self = Self { since: Some(now), tries_at: Some(now + idle / FIRST), due: false };
        }
        over && asked
    }

    /// Looks whether it is time to try the way to one that was last heard then.
    pub(crate) fn tries(&mut self, now: Instant, heard: Instant, idle: Duration) {
        if self.tries_at.is_none_or(|at| at > now) {
            return;
        }
        self.tries_at = Some(now + idle / FURTHER);
        // One that is silent is asked for a sign of life, four times within `idle`, and else for nothing.
        self.due = now.since(heard) < idle / FURTHER * 3;
    }

    /// Whether a probe of the way is to be sent; told once.
    pub(crate) fn take_due(&mut self) -> bool {
        core::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_something_else_is_borne_twice_as_long_and_no_longer() {
        let idle = Duration::from_secs(10);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        for (borne_until, ends) in [(0, 10), (14, 14), (60, 20)] {
            let mut stall = Stall::default();
            assert!(!stall.lasts(at(0), (at(0), at(borne_until)), idle));
            stall.tries_at = None;
            assert_eq!(stall.deadline(idle, at(borne_until)), Some(at(ends)));
            let end = (1..30).find(|now| stall.lasts(at(*now), (at(*now), at(borne_until)), idle));
            assert_eq!(end, Some(ends));
        }
    }
}
