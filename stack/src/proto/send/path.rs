//! What one way to a member has shown of itself: its round trips, its reordering, its losses, and
//! the window that follows from them. A member has two: by unicast, and by the group.
//!
//! A report is taken in four steps: [`Path::begin`]; [`Path::acked`] for each packet newly
//! reported; [`Path::reported`], after which [`Path::judge`] says of each older packet whether it
//! is lost, to be told back by [`Path::lost`]; and [`Path::conclude`], which moves the window.

use super::congestion::{Congestion, Shown};
use super::delivery::Delivery;
use super::mtu::PathMtu;
use super::rack::{Rack, Verdict};
use super::rtt::Rtt;
use crate::config::Algorithm;
use crate::proto::time::Instant;
use crate::wire::SpaceAck;
use core::time::Duration;

/// The longest that an acknowledgement is held back by who was told nothing, with some reserve.
const ACK_DELAY: Duration = Duration::from_millis(25);

/// One path.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    /// How long its segments may be.
    pub(crate) mtu: PathMtu,
    /// Payload of a full segment, as the window's owner was told.
    segment: u64,
    rack: Rack,
    /// Measured if the algorithm goes by it.
    delivery: Option<Delivery>,
    flight: u64,
    /// A loss below belongs to a reduction already made (RFC 6675, `RecoveryPoint`).
    recover: u64,
    recovering: bool,
    /// False losses widen the reordering window once a round trip: again when this has arrived.
    widened: u64,
    /// The packet whose loss made the last reduction, and `recover` before it.
    cut_by: Option<u64>,
    recover_before: u64,
    /// The peer was never told to hold an acknowledgement back for longer.
    longest_delay: Duration,
    /// Packets that arrived marked, as last reported.
    marked: u32,
    /// A round trip ends when this packet has arrived.
    round_end: u64,
    /// This host slept until then: reports of what left before may have waited here.
    slept_until: Instant,
    tally: Tally,
}

/// What one report comes to.
#[derive(Debug, Default)]
struct Tally {
    flight_before: u64,
    /// The newest packet that had arrived before.
    arrived: Option<u64>,
    newest: Option<(u64, Instant)>,
    acked: u64,
    lost: u64,
    rtt: Option<Duration>,
    spurious: bool,
    undo: bool,
    congested: bool,
    recovered: bool,
    round: bool,
}

impl Path {
    pub(crate) fn new(algorithm: Algorithm, mss: u64, initial_rto: Duration) -> Self {
        Self {
            rtt: Rtt::new(initial_rto),
            congestion: Congestion::new(algorithm, mss),
            mtu: PathMtu::unsearched(),
            segment: mss,
            rack: Rack::new(),
            delivery: (algorithm == Algorithm::Bbr).then(Delivery::default),
            flight: 0,
            recover: 0,
            recovering: false,
            widened: 0,
            cut_by: None,
            recover_before: 0,
            longest_delay: ACK_DELAY,
            marked: 0,
            round_end: 0,
            slept_until: Instant::ZERO,
            tally: Tally::default(),
        }
    }

    /// This host has slept until now: the round trips of what left before say nothing of the path.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.slept_until = now;
    }

    /// Bytes in flight.
    pub(crate) fn flight(&self) -> u64 {
        self.flight
    }

    /// The peer is told to hold an acknowledgement back for so long at most.
    pub(crate) fn expect_delay(&mut self, delay: Duration) {
        self.longest_delay = self.longest_delay.max(delay);
    }

    /// The segments have this length from now on.
    pub(crate) fn fit(&mut self, segment: u64) {
        if segment != self.segment {
            self.segment = segment;
            self.congestion.set_mss(segment);
        }
    }

    /// Whether the congestion window has room for so many more bytes.
    pub(crate) fn permits(&self, bytes: u64) -> bool {
        self.has_room(bytes, self.congestion.window())
    }

    /// Whether a window has room for so many more bytes. One packet may always be in flight: the
    /// window was cut when segments were shorter, maybe.
    pub(crate) fn has_room(&self, bytes: u64, window: u64) -> bool {
        self.flight == 0 || self.flight + bytes <= window
    }

    /// Bytes per second at which to spread what the window lets go; `None` before the first round
    /// trip, whose initial window leaves at once (RFC 6928).
    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.rtt.smoothed().map(|srtt| self.congestion.pacing_rate(srtt))
    }

    /// When a packet that was overtaken will count as lost.
    pub(crate) fn reordering_deadline(&self) -> Option<Instant> {
        self.rack.deadline
    }

    /// The newest packet that has arrived: only older ones can have been overtaken.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.rack.newest()
    }

    /// The packet `pn` leaves.
    pub(crate) fn on_sent(&mut self, now: Instant, pn: u64, bytes: u64) {
        if let Some(delivery) = &mut self.delivery {
            delivery.on_sent(now, pn, self.flight);
        }
        self.congestion.on_sent(now, self.flight, bytes, self.rtt.rto());
        self.flight += bytes;
    }

    /// There is room in the window and nothing to send.
    pub(crate) fn app_limited(&mut self) {
        if let Some(delivery) = &mut self.delivery {
            delivery.app_limited(self.flight);
        }
    }

    /// Nothing is in flight any more, nor expected.
    pub(crate) fn abandon(&mut self) {
        self.flight = 0;
        self.recovering = false;
        self.congestion.end_recovery();
        self.mtu.timed_out(0);
        self.delivery = self.delivery.take().map(|_| Delivery::default());
        self.rack.deadline = None;
    }

    /// A report begins, or the reordering timer has fired.
    pub(crate) fn begin(&mut self) {
        self.tally =
            Tally { flight_before: self.flight, arrived: self.rack.newest(), ..Tally::default() };
    }

    /// A packet in flight has arrived.
    pub(crate) fn acked(&mut self, now: Instant, pn: u64, sent: Instant, bytes: u64) {
        self.flight -= bytes;
        if self.tally.arrived.is_some_and(|newest| pn < newest) {
            self.rack.on_reordered();
        }
        self.arrived(now, pn, sent, bytes);
    }

    /// A packet that counted as lost has arrived all the same.
    pub(crate) fn acked_late(&mut self, now: Instant, pn: u64, sent: Instant, bytes: u64) {
        self.tally.spurious = true;
        self.tally.undo |= self.cut_by == Some(pn);
        self.arrived(now, pn, sent, bytes);
    }

    /// A packet that was not meant for this path's end has arrived there.
    pub(crate) fn overheard(&mut self, now: Instant, pn: u64, sent: Instant) {
        self.arrived(now, pn, sent, 0);
    }

    fn arrived(&mut self, now: Instant, pn: u64, sent: Instant, bytes: u64) {
        self.rack.on_acked(now, pn, sent);
        self.tally.acked += bytes;
        self.tally.newest = self.tally.newest.max(Some((pn, sent)));
    }

    /// All packets of a report have been named; `next` is the number of the packet that will be
    /// sent next.
    pub(crate) fn reported(&mut self, now: Instant, ack: &SpaceAck<'_>, next: u64) {
        let SpaceAck { largest, delay_us, ce, .. } = *ack;
        if self.tally.undo {
            // Other losses of the same flight may be real, and then cut, in this very report.
            self.cut_by = None;
            self.recover = self.recover_before;
            self.recovering = false;
        }
        if let Some((pn, sent)) = self.tally.newest
            && pn == largest
            && sent >= self.slept_until
        {
            // No more than it was asked for (RFC 9002, 5.3).
            let delay = Duration::from_micros(u64::from(delay_us)).min(self.longest_delay);
            let rtt = now.since(sent).saturating_sub(delay);
            self.rtt.sample(rtt);
            self.tally.rtt = Some(rtt);
        }
        let newest = self.tally.newest.map(|(pn, _)| pn);
        if self.recovering && newest >= Some(self.recover) {
            self.recovering = false;
            self.tally.recovered = true;
            self.rack.on_recovered();
        }
        // A mark is a sign of congestion as a loss is, once a round trip (RFC 3168, 6.1.2).
        if ce > self.marked && largest >= self.recover {
            self.recover = next;
            self.recovering = true;
            self.cut_by = None;
            self.tally.congested = true;
        }
        self.marked = self.marked.max(ce);
        if self.tally.spurious && largest >= self.widened {
            self.rack.on_spurious();
            self.widened = next;
        }
        if newest >= Some(self.round_end) {
            self.round_end = next;
            self.tally.round = true;
        }
    }

    /// Whether an older packet is lost.
    pub(crate) fn judge(&self, now: Instant, pn: u64, sent: Instant) -> Verdict {
        self.rack.judge(now, &self.rtt, self.recovering, pn, sent)
    }

    /// Until when nothing overtaken has to be judged again.
    pub(crate) fn wait_until(&mut self, deadline: Option<Instant>) {
        self.rack.deadline = deadline;
    }

    /// A packet in flight is lost. Losses of packets without bytes are no sign of congestion.
    pub(crate) fn lost(&mut self, pn: u64, bytes: u64, next: u64) {
        self.flight -= bytes;
        self.tally.lost += bytes;
        if bytes > 0 && pn >= self.recover {
            self.recover_before = core::mem::replace(&mut self.recover, next);
            self.recovering = true;
            self.cut_by = Some(pn);
            self.tally.congested = true;
        }
    }

    /// Everything in flight is lost, as the retransmission timer says; `next` as above.
    pub(crate) fn timed_out(&mut self, next: u64) {
        let flight = self.lose_all(next);
        if flight > 0 {
            self.congestion.on_timeout(flight);
        } else {
            self.congestion.end_recovery();
        }
    }

    /// What was sent before the packet `next` was lost for another reason than the path.
    pub(crate) fn begin_again(&mut self, next: u64) {
        self.lose_all(next);
        self.congestion.begin_again();
    }

    /// All before the packet `next` is lost: the bytes that were in flight.
    fn lose_all(&mut self, next: u64) -> u64 {
        self.rack.deadline = None;
        self.recover = next;
        self.recovering = false;
        self.cut_by = None;
        core::mem::take(&mut self.flight)
    }

    /// The report has been taken: what it comes to, for whoever controls the window, which grows
    /// to `cap` bytes at most.
    pub(crate) fn conclude(&mut self, now: Instant, cap: Option<u64>) -> Shown {
        let tally = core::mem::take(&mut self.tally);
        let least = self.rtt.least().unwrap_or_default();
        let rate = self
            .delivery
            .as_mut()
            .zip(tally.newest)
            .and_then(|(delivery, newest)| delivery.on_acked(now, tally.acked, newest, least));
        Shown {
            now,
            acked: tally.acked,
            lost: tally.lost,
            flight_before: tally.flight_before,
            flight: self.flight,
            rtt: tally.rtt,
            srtt: self.rtt.smoothed().unwrap_or_else(|| self.rtt.expected()),
            congested: tally.congested,
            undone: tally.undo,
            recovered: tally.recovered,
            round: tally.round,
            rate,
            cap,
        }
    }

    /// What a time-out gave up has all arrived: it was only late (RFC 3522 tells it by time
    /// stamps, packet numbers by themselves).
    pub(crate) fn undo_timeout(&mut self) {
        self.congestion.undo();
    }
}
