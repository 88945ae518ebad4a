//! How fast what is sent arrives: samples of the delivery rate (draft-ietf-ccwg-bbr, 4.1: delivery
//! rate samples), for algorithms that go by the rate.
//!
//! A packet's sample needs what had arrived when it left. That changes with reports only, so it is
//! kept once for all packets that leave between two reports.

use crate::proto::time::Instant;
use core::time::Duration;
use std::collections::VecDeque;

/// Marks kept at most: reports within a round trip; beyond, the oldest sample is lost.
const MARKS: usize = 4096;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateSample {
    /// Bytes per second.
    pub(crate) rate: f64,
    /// Bytes that arrived meanwhile.
    pub(crate) delivered: u64,
    /// Nothing better could be expected: there was nothing to send.
    pub(crate) app_limited: bool,
}

/// What had arrived when the packets from `pn` on left.
#[derive(Debug, Clone, Copy)]
struct Mark {
    pn: u64,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    app_limited: bool,
}

/// The measurement of one path.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    delivered: u64,
    delivered_at: Instant,
    /// When the packet left whose arrival was reported last.
    first_sent: Instant,
    /// Samples of packets that leave until more than this has arrived say nothing of the path.
    app_limited_until: Option<u64>,
    marks: VecDeque<Mark>,
    /// Something has arrived since the last mark.
    changed: bool,
}

impl Delivery {
    /// The packet `pn` leaves, while `flight` bytes are out.
    pub(crate) fn on_sent(&mut self, now: Instant, pn: u64, flight: u64) {
        if flight == 0 {
            (self.delivered_at, self.first_sent) = (now, now);
            self.changed = true;
        }
        if self.changed || self.marks.is_empty() {
            self.changed = false;
            if self.marks.len() == MARKS {
                self.marks.pop_front();
            }
            let Self { delivered, delivered_at, first_sent, .. } = *self;
            let app_limited = self.app_limited_until.is_some_and(|until| delivered <= until);
            self.marks.push_back(Mark { pn, delivered, delivered_at, first_sent, app_limited });
        }
    }

    /// So many bytes have been reported as arrived, the newest of them in the packet `pn`, which
    /// left at `sent`. `least` is the path's least round trip: a shorter measurement is none.
    pub(crate) fn on_acked(
        &mut self,
        now: Instant,
        bytes: u64,
        (pn, sent): (u64, Instant),
        least: Duration,
    ) -> Option<RateSample> {
        self.delivered += bytes;
        self.delivered_at = now;
        self.changed = true;
        let before = self.marks.partition_point(|mark| mark.pn <= pn);
        let mark = *self.marks.get(before.checked_sub(1)?)?;
        self.marks.drain(..before - 1);
        self.first_sent = self.first_sent.max(sent);
        let delivered = self.delivered - mark.delivered;
        // Neither faster than it was sent nor than the reports came.
        let took = (sent - mark.first_sent).max(now - mark.delivered_at);
        (took >= least && !took.is_zero()).then(|| RateSample {
            rate: delivered as f64 / took.as_secs_f64(),
            delivered,
            app_limited: mark.app_limited,
        })
    }

    /// There is room in the window and nothing to send: what leaves before everything that is out
    /// now, `flight` bytes, has arrived shows less than the path could carry.
    pub(crate) fn app_limited(&mut self, flight: u64) {
        self.app_limited_until = Some(self.delivered + flight);
        self.changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// A packet of 1,000 bytes a millisecond over a path of 10 ms.
    #[test]
    fn a_steady_stream_shows_its_rate() {
        let mut delivery = Delivery::default();
        let mut samples = Vec::new();
        for ms in 0..100 {
            let arrived = ms.max(10) - 10;
            if ms > 10 {
                let sample = delivery.on_acked(at(ms), 1000, (arrived, at(arrived)), 10 * MS);
                samples.extend(sample);
            }
            delivery.on_sent(at(ms), ms, u64::from(ms > 0));
        }
        assert!(samples.len() > 70);
        let late = &samples[20..];
        assert!(late.iter().all(|s| (s.rate - 1e6).abs() < 1e5), "{late:?}");
        assert!(delivery.marks.len() <= 12);
    }

    #[test]
    fn reports_that_come_together_do_not_show_more_than_was_sent() {
        let mut delivery = Delivery::default();
        for pn in 0..10 {
            delivery.on_sent(at(pn), pn, pn);
        }
        delivery.on_acked(at(20), 1000, (0, at(0)), 10 * MS);
        for pn in 10..20 {
            delivery.on_sent(at(20 + pn - 10), pn, 9);
        }
        // Everything at once: what arrived since packet 19 left was sent over 29 ms.
        let sample = delivery.on_acked(at(40), 19_000, (19, at(29)), 10 * MS).unwrap();
        assert!((sample.rate - 19_000.0 / 0.029).abs() < 1.0, "{sample:?}");
    }

    #[test]
    fn too_short_a_time_is_no_sample_and_nothing_to_send_is_said() {
        let mut delivery = Delivery::default();
        delivery.on_sent(at(0), 0, 0);
        assert_eq!(delivery.on_acked(at(5), 1000, (0, at(0)), 10 * MS), None);
        delivery.app_limited(0);
        delivery.on_sent(at(6), 1, 0);
        assert!(delivery.on_acked(at(16), 1000, (1, at(6)), 10 * MS).unwrap().app_limited);
        delivery.on_sent(at(16), 2, 0);
        assert!(!delivery.on_acked(at(26), 1000, (2, at(16)), 10 * MS).unwrap().app_limited);
    }
}
