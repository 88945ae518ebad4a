//! How much may be in flight on one path, and how fast it leaves: by a window that losses cut
//! ([`loss_based`]), or by the rate at which data arrive ([`bbr`]).

pub(crate) mod bbr;
mod cubic;
mod hystart;
pub(crate) mod loss_based;
mod prr;
mod reno;

use super::delivery::RateSample;
use crate::config::Algorithm;
use crate::proto::time::Instant;
use bbr::Bbr;
use core::time::Duration;
use loss_based::LossBased;

/// What a report, or the reordering timer, has shown of a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) now: Instant,
    /// Bytes newly acknowledged, and newly given up for lost.
    pub(crate) acked: u64,
    pub(crate) lost: u64,
    /// Bytes in flight before and after.
    pub(crate) flight_before: u64,
    pub(crate) flight: u64,
    /// A sample of the round trip, if there was one.
    pub(crate) rtt: Option<Duration>,
    pub(crate) srtt: Duration,
    /// The first loss that belongs to no earlier reduction: one round trip's losses are one event.
    pub(crate) congested: bool,
    /// The last reduction was for nothing: what made it has arrived.
    pub(crate) undone: bool,
    /// Something sent after the last reduction has arrived.
    pub(crate) recovered: bool,
    /// Something sent after the last round trip's end has arrived.
    pub(crate) round: bool,
    /// A sample of the delivery rate, if the algorithm goes by it and there was one.
    pub(crate) rate: Option<RateSample>,
    /// The window does not grow beyond this.
    pub(crate) cap: Option<u64>,
}

/// Whole bytes, rounded down.
#[expect(clippy::cast_sign_loss, reason = "`as` saturates: below zero and NaN are 0 bytes")]
fn bytes(exact: f64) -> u64 {
    exact as u64
}

/// Congestion state of one path.
#[derive(Debug)]
pub(crate) enum Congestion {
    /// CUBIC or Reno.
    Loss(Box<LossBased>),
    /// BBR for this path alone.
    Rate(Box<Bbr>),
}

impl Congestion {
    /// The state of a new path; `mss` in payload bytes.
    pub(crate) fn new(algorithm: Algorithm, mss: u64) -> Self {
        match algorithm {
            Algorithm::Reno => Self::Loss(Box::new(LossBased::reno(mss))),
            Algorithm::Cubic => Self::Loss(Box::new(LossBased::cubic(mss))),
            Algorithm::Bbr => Self::Rate(Box::new(Bbr::new(1, mss, 0))),
        }
    }

    /// What is random about the algorithm follows from this.
    pub(crate) fn seed(&mut self, seed: u64) {
        if let Self::Rate(bbr) = self {
            bbr.seed(seed);
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> u64 {
        match self {
            Self::Loss(window) => window.window(),
            Self::Rate(bbr) => bbr.window(0),
        }
    }

    /// Bytes per second at which to send, on a path of this round trip.
    pub(crate) fn pacing_rate(&self, srtt: Duration) -> f64 {
        match self {
            Self::Loss(window) => window.pacing_rate(srtt),
            Self::Rate(bbr) => bbr.pacing_rate(srtt),
        }
    }

    /// So many bytes leave after `flight` others; `rto` is the path's retransmission time-out.
    pub(crate) fn on_sent(&mut self, now: Instant, flight: u64, bytes: u64, rto: Duration) {
        if let Self::Loss(window) = self {
            window.on_sent(now, flight, bytes, rto);
        }
    }

    /// What was in flight is none of this path's business any more, nor its losses.
    pub(crate) fn end_recovery(&mut self) {
        if let Self::Loss(window) = self {
            window.end_recovery();
        }
    }

    /// Takes what a report has shown.
    pub(crate) fn on_report(&mut self, shown: &Shown) {
        match self {
            Self::Loss(window) => window.on_report(shown),
            Self::Rate(bbr) => bbr.on_report(0, shown),
        }
    }

    /// The retransmission timer fired with `flight` bytes unacknowledged.
    pub(crate) fn on_timeout(&mut self, flight: u64) {
        match self {
            Self::Loss(window) => window.on_timeout(flight),
            Self::Rate(bbr) => bbr.on_timeout(0),
        }
    }

    /// Nothing of what was shown so far was the path's doing: it is a new one.
    pub(crate) fn begin_again(&mut self) {
        match self {
            Self::Loss(window) => **window = window.anew(),
            Self::Rate(bbr) => **bbr = bbr.alone_anew(),
        }
    }

    /// The last reduction, or time-out, was for nothing.
    pub(crate) fn undo(&mut self) {
        match self {
            Self::Loss(window) => window.undo(),
            Self::Rate(bbr) => bbr.undo(0),
        }
    }

    /// Acknowledgements come so seldom, since the way back is narrow; zero: as the window asks for.
    pub(crate) fn expect_acks(&mut self, held: Duration) {
        if let Self::Rate(bbr) = self {
            bbr.expect_acks(0, held);
        }
    }

    /// The segments have another length from now on.
    pub(crate) fn set_mss(&mut self, mss: u64) {
        match self {
            Self::Loss(window) => window.set_mss(mss),
            Self::Rate(bbr) => bbr.set_mss(mss),
        }
    }

    /// Lifts the window to at least `bytes`.
    pub(crate) fn raise_to(&mut self, bytes: u64) {
        if let Self::Loss(window) = self {
            window.raise_to(bytes);
        }
    }
}
