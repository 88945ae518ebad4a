//! A member's receive window for the data, as it told it.

use crate::proto::time::Instant;
use core::time::Duration;

/// Unanswered probes of a closed window space out up to this (RFC 9293, 3.8.6.1, sets no bound;
/// RFC 6298, 2.5, has a minute for all timers).
const PERSIST_MAX: Duration = Duration::from_mins(1);

/// A closed window is asked about: when next, and how long after that.
#[derive(Debug, Clone, Copy)]
struct Persist {
    at: Instant,
    after: Duration,
}

/// The window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Absolute flow-control edge.
    edge: u64,
    /// The most room that it has shown beyond what it was sent: as large as its buffer.
    widest: u64,
    /// It is closed, and nothing is on its way that would be answered.
    persist: Option<Persist>,
}

impl Window {
    /// Absolute flow-control edge.
    pub(crate) fn edge(&self) -> u64 {
        self.edge
    }

    /// The most room that it has shown beyond what was sent.
    pub(crate) fn widest(&self) -> u64 {
        self.widest
    }

    /// As it was told first.
    pub(crate) fn begin(&mut self, edge: u64) {
        (self.edge, self.widest) = (edge, edge);
    }

    /// The edge is told, when everything up to `sent` had been sent; whether it has moved.
    pub(crate) fn told(&mut self, edge: u64, sent: u64) -> bool {
        if edge <= self.edge {
            return false;
        }
        self.edge = edge;
        self.widest = self.widest.max(edge.saturating_sub(sent));
        true
    }

    /// It is shut, and nothing but it holds things back, or it is not: the update that opens it may
    /// be lost, so it is asked about now and then (RFC 9293, 3.8.6.1: the first time after a
    /// retransmission time-out, then ever more seldom).
    pub(crate) fn watch(&mut self, now: Instant, shut: bool, rto: Duration) {
        if !shut {
            self.persist = None;
        } else if self.persist.is_none() {
            self.persist = Some(Persist { at: now + rto, after: rto });
        }
    }

    /// Whether it is time to ask about it.
    pub(crate) fn asks(&mut self, now: Instant) -> bool {
        let Some(persist) = self.persist.as_mut().filter(|persist| persist.at <= now) else {
            return false;
        };
        persist.after = (persist.after * 2).min(PERSIST_MAX);
        persist.at = now + persist.after;
        true
    }

    /// When it is to be asked about next.
    pub(crate) fn asks_at(&self) -> Option<Instant> {
        self.persist.map(|persist| persist.at)
    }
}
