//! A member's timers, but for its association's own.

use super::Member;
use crate::proto::send::log::GroupLog;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::PAYLOAD_SHORT;
use core::ops::Range;
use core::time::Duration;

/// Unanswered probes of the group space space out up to this.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// One that does not answer is sent something this often at least, be it only a PING: when its host is there
/// again it is found within a second, the question whether it has forgotten the session included, which takes
/// two time-outs and 3.5 round trips: up to round trips of 50 ms.
const NUDGE_AFTER: Duration = Duration::from_millis(250);
/// One that is lost is asked so often, by a SYN as well (`member::question`).
const SEEK_AFTER: Duration = Duration::from_secs(1);

impl Member {
    /// When one of them is due next; `log` is its channel's.
    pub(crate) fn deadline(
        &self,
        now: Instant,
        log: Option<&GroupLog>,
        idle: Duration,
    ) -> Option<Instant> {
        let own = [self.conn.deadline(), self.question_deadline()].into_iter().flatten().min();
        if !self.is_served() {
            return own;
        }
        // Of one that is silent nothing of this is looked at.
        let while_here = [
            self.stall.deadline(idle, self.conn.bears_until()),
            self.retry_at,
            self.slow.returns_at().filter(|_| self.mode == Mode::Unicast),
            self.ways.looks_at().filter(|_| self.mode == Mode::Unicast),
        ];
        let timers = [
            own,
            while_here.into_iter().flatten().min().filter(|_| self.is_here()),
            self.presence_deadline(log, idle),
            self.nudges_at(),
            self.window.asks_at(),
            log.and_then(|log| self.probe_at(log)),
            log.and_then(|log| self.tells_at(log.next_pn())),
            self.board.deadline(),
            self.need.waits_until().filter(|at| *at > now),
        ];
        timers.into_iter().flatten().min()
    }

    /// RFC 9293, 3.8.3: data that is not acknowledged at all ends the connection, even if the peer
    /// answers otherwise. A closed window is no such case: nothing is on its way then. Whether that
    /// has lasted as long as it may; `owed`: whether it is so now. While it answers whether it has forgotten the
    /// session it may last.
    pub(crate) fn is_stalled(&mut self, now: Instant, owed: bool, idle: Duration) -> bool {
        if !owed {
            self.stall.end();
            return false;
        }
        let lasts = self.stall.lasts(now, (self.served, self.conn.bears_until()), idle);
        self.stall.tries(now, self.conn.last_heard(), idle);
        lasts && self.is_here()
    }

    /// Payload of the probe that is to be sent, as long as a segment, to learn whether bytes get there
    /// that are not acknowledged; told once.
    pub(crate) fn wanted_proof(&mut self) -> Option<u64> {
        let segment = self.segment();
        self.stall.take_due().then_some(segment)
    }

    /// When it is to be sent something, as it has not answered for a time-out and nothing is on its way to
    /// it but what was sent long ago: the time-outs back off, which says nothing of when it is there again.
    fn nudges_at(&self) -> Option<Instant> {
        let unanswered = self.conn.tx().unanswered_since()?;
        let after = if self.is_lost() { SEEK_AFTER } else { NUDGE_AFTER };
        Some(unanswered + after.max(self.conn.path().rtt.rto()))
    }

    /// Asks it what it is to be asked: whether it is there, about its window, and what it heard of the group.
    pub(crate) fn ask(&mut self, now: Instant, log: Option<&GroupLog>) {
        if self.window.asks(now) || self.nudges_at().is_some_and(|at| at <= now) {
            self.conn.ping();
        }
        if log.and_then(|log| self.probe_at(log)).is_some_and(|at| at <= now) {
            self.probe(now);
        }
        if let Some(log) = log {
            self.tell_lag(now, log.next_pn());
        }
    }

    /// Nothing has been heard for two round trips of what was sent to it by unicast: something is
    /// sent that must be answered, whatever the window says (RFC 8985, 7.3). That is new data if
    /// there is any, else the newest again; a control datagram if there is no data at all.
    pub(crate) fn probe_tail(&mut self, end: u64) {
        let limit = end.min(self.window.edge());
        // What is short waits for what is in flight (RFC 9293, 3.8.6.2.1): it is no probe.
        let whole = |next: Range<u64>| next.end.min(limit) >= next.start + PAYLOAD_SHORT as u64;
        if !self.need.next_alone(PAYLOAD_SHORT as u64).is_some_and(|owed| whole(owed.range)) {
            let Some(tail) = self.conn.tx().tail() else { return self.conn.ping() };
            if !self.need.repeat(tail) {
                return self.conn.ping(); // it came by the other way
            }
        }
        self.conn.allow_probe();
    }

    /// Whether its window, and nothing else, holds back what it is to get next; `cursor` is where
    /// the group goes on if it follows that.
    fn is_shut(&self, cursor: u64, segment: u64, end: u64) -> bool {
        let next = self.next_wanted(cursor);
        let quiet = self.conn.tx().flight() == 0 && !self.board.waits();
        self.is_served()
            && quiet
            && next < end
            && self.window.edge() < end.min(next.saturating_add(segment))
    }

    /// Looks whether its window is shut.
    pub(crate) fn watch_window(&mut self, now: Instant, cursor: u64, segment: u64, end: u64) {
        let shut = self.is_shut(cursor, segment, end);
        let rto = self.conn.path().rtt.rto();
        self.window.watch(now, shut, rto);
    }

    /// When the member must be asked what it heard of the group's packets in flight to it.
    fn probe_at(&self, log: &GroupLog) -> Option<Instant> {
        let oldest = log.get(self.board.oldest_out()?)?;
        let due = oldest.at + self.board.path.rtt.expected() + self.ack_delay();
        Some(due.max(self.probed_at + self.probe_after))
    }

    /// Asks it for a report.
    fn probe(&mut self, now: Instant) {
        self.conn.ping();
        self.probed_at = now;
        let least = self.board.path.rtt.expected() + self.ack_delay();
        self.probe_after = (self.probe_after * 2).clamp(least, PROBE_MAX.max(least));
    }

    /// It told what became of packets that went to the group.
    pub(crate) fn probe_answered(&mut self) {
        self.probe_after = Duration::ZERO;
    }
}
