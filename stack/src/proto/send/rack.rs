//! Loss by time (RACK, RFC 8985), told by packet number: a packet is lost when one sent enough
//! later has arrived.
//!
//! Packet numbers are never used twice, so a retransmission is never mistaken for its original,
//! and the order of numbers is the order of sending. What is left of RACK is its heart: how long
//! to wait for what was overtaken.

use super::rtt::Rtt;
use crate::proto::time::Instant;
use core::time::Duration;

/// As long as no reordering was seen, an arrival so many numbers later settles it: RFC 8985 (6.2)
/// counts three arrivals, RFC 9002 (6.1.1) the distance, as here.
pub(crate) const DUP_THRESH: u64 = 3;
/// The reordering window grows with each loss that was none, up to so many quarters of a round
/// trip; the round trip itself bounds it before (RFC 8985, 6.2, step 4).
const MAX_MULT: u32 = 20;
/// … and falls back to one quarter after so many recoveries without one (RFC 8985, 6.2, step 4).
const PERSIST: u32 = 16;

/// What is to be done about a packet that was overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is lost.
    Lost,
    /// It may still come until then.
    Until(Instant),
}

/// State of one path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rack {
    /// The most recently sent packet that has arrived.
    newest: Option<u64>,
    /// Its round trip, ACK delay included (`RACK.rtt`).
    rtt: Duration,
    reordered: bool,
    mult: u32,
    persist: u32,
    /// When the oldest overtaken packet will count as lost.
    pub(crate) deadline: Option<Instant>,
}

impl Rack {
    pub(crate) fn new() -> Self {
        let (rtt, mult) = (Duration::ZERO, 1);
        Self { newest: None, rtt, reordered: false, mult, persist: 0, deadline: None }
    }

    /// The most recently sent packet that has arrived.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// A packet has arrived: the newest one's round trip is what older ones are measured by (RFC
    /// 8985, 6.2, step 2).
    pub(crate) fn on_acked(&mut self, now: Instant, pn: u64, sent: Instant) {
        if self.newest.is_none_or(|newest| pn > newest) {
            self.newest = Some(pn);
            self.rtt = now.since(sent);
        }
    }

    /// A packet below one that an earlier report named has arrived: it was overtaken but not given
    /// up, so the path reorders (RFC 8985, 6.2, step 3).
    pub(crate) fn on_reordered(&mut self) {
        self.reordered = true;
    }

    /// Packets that counted as lost have arrived: wait longer. Once a round trip (RFC 8985, 6.2,
    /// step 4; there it is a D-SACK that says so), or one burst that was late would count for many.
    pub(crate) fn on_spurious(&mut self) {
        self.reordered = true;
        self.mult = (self.mult + 1).min(MAX_MULT);
        self.persist = PERSIST;
    }

    /// A recovery has ended.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.mult = 1;
        }
    }

    /// How long to wait for a packet that `above` later ones have overtaken.
    fn window(&self, rtt: &Rtt, in_recovery: bool, above: u64) -> Duration {
        if !self.reordered && (in_recovery || above >= DUP_THRESH) {
            return Duration::ZERO;
        }
        let Some((least, smoothed)) = rtt.least().zip(rtt.smoothed()) else {
            return Duration::ZERO;
        };
        (least * self.mult / 4).min(smoothed)
    }

    /// Whether a packet below the newest one that arrived is lost by now.
    pub(crate) fn judge(
        &self,
        now: Instant,
        rtt: &Rtt,
        in_recovery: bool,
        pn: u64,
        sent: Instant,
    ) -> Verdict {
        let above = self.newest.map_or(0, |newest| newest.saturating_sub(pn));
        let at = sent + self.rtt + self.window(rtt, in_recovery, above);
        if at <= now { Verdict::Lost } else { Verdict::Until(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn path() -> (Rack, Rtt) {
        let mut rtt = Rtt::new(Duration::from_millis(250));
        rtt.sample(Duration::from_millis(40));
        (Rack::new(), rtt)
    }

    #[test]
    fn without_reordering_three_later_arrivals_settle_it() {
        let (mut rack, rtt) = path();
        rack.on_acked(at(41), 2, at(1));
        let wait = Verdict::Until(at(50)); // a quarter of the round trip
        assert_eq!(rack.judge(at(41), &rtt, false, 0, at(0)), wait);
        assert_eq!(rack.judge(at(50), &rtt, false, 0, at(0)), Verdict::Lost);
        assert_eq!(rack.judge(at(41), &rtt, true, 0, at(0)), Verdict::Lost, "in recovery");
        rack.on_acked(at(41), 3, at(1));
        assert_eq!(rack.judge(at(41), &rtt, false, 0, at(0)), Verdict::Lost);
    }

    #[test]
    fn reordering_makes_it_wait_and_false_losses_longer() {
        let (mut rack, rtt) = path();
        rack.on_acked(at(41), 100, at(1));
        rack.on_reordered();
        assert_eq!(rack.judge(at(41), &rtt, true, 0, at(0)), Verdict::Until(at(50)));
        rack.on_spurious();
        assert_eq!(rack.judge(at(41), &rtt, true, 0, at(0)), Verdict::Until(at(60)));
        for _ in 0..100 {
            rack.on_spurious();
        }
        assert_eq!(
            rack.judge(at(41), &rtt, true, 0, at(0)),
            Verdict::Until(at(80)),
            "one round trip"
        );
        for _ in 0..PERSIST {
            rack.on_recovered();
        }
        assert_eq!(rack.judge(at(41), &rtt, true, 0, at(0)), Verdict::Until(at(50)));
    }

    #[test]
    fn what_was_sent_together_with_the_newest_is_no_older() {
        let (mut rack, rtt) = path();
        rack.on_acked(at(40), 1, at(0));
        assert_eq!(rack.judge(at(40), &rtt, true, 0, at(0)), Verdict::Lost);
        assert_eq!(rack.newest(), Some(1));
    }
}
