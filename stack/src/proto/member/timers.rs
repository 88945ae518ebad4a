//! A member's timers, but for its association's own.

use super::Member;
use crate::proto::send::log::GroupLog;
use crate::proto::time::Instant;
use crate::stats::Mode;
use core::time::Duration;

impl Member {
    /// When one of them is due next; `log` is its channel's.
    pub(crate) fn deadline(
        &self,
        now: Instant,
        log: Option<&GroupLog>,
        idle: Duration,
    ) -> Option<Instant> {
        let own = self.conn.deadline();
        if !self.is_served() {
            return own;
        }
        let timers = [
            own,
            self.stalled.map(|since| since + idle),
            self.retry_at,
            self.window.asks_at(),
            log.and_then(|log| self.probe_at(log)),
            self.board.deadline(),
            self.need.waits_until().filter(|at| *at > now),
        ];
        timers.into_iter().flatten().min()
    }

    /// RFC 9293, 3.8.3: data that is not acknowledged at all ends the connection, even if the peer
    /// answers otherwise. A closed window is no such case: nothing is on its way then. Whether that
    /// has lasted as long as it may; `owed`: whether it is so now.
    pub(crate) fn is_stalled(&mut self, now: Instant, owed: bool, idle: Duration) -> bool {
        if !owed {
            self.stalled = None;
            return false;
        }
        let since = *self.stalled.get_or_insert(now);
        if now.since(since) < idle {
            return false;
        }
        // Bytes that waited for their turn here, for a rate or a source, are not its fault.
        let asked = now.since(self.served) < idle / 2;
        if !asked {
            self.stalled = Some(now);
        }
        asked
    }

    /// Asks it what it is to be asked: about its window, and what it heard of the group.
    pub(crate) fn ask(&mut self, now: Instant, log: Option<&GroupLog>) {
        if self.window.asks(now) {
            self.conn.ping();
        }
        if log.and_then(|log| self.probe_at(log)).is_some_and(|at| at <= now) {
            self.probe(now);
        }
    }

    /// Whether it is time to try the group again; told once.
    pub(crate) fn retries(&mut self, now: Instant) -> bool {
        let due = self.mode == Mode::Unicast && self.retry_at.is_some_and(|at| at <= now);
        if due {
            self.retry_at = None;
        }
        due
    }
}
