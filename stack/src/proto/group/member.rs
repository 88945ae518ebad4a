//! The sender's control block for one receiver: what it still needs, and how it is served.

use super::mode::{self, Cause};
use super::need::{Need, Proof};
use crate::config::SessionConfig;
use crate::error::Reason;
use crate::proto::conn::Conn;
use crate::proto::conn::ack::AckPolicy;
use crate::proto::conn::handshake::Opening;
use crate::proto::send::log::GroupLog;
use crate::proto::send::pace::Pacer;
use crate::proto::send::scoreboard::Scoreboard;
use crate::proto::time::Instant;
use crate::stats::{Arrived, Mode, Transition};
use crate::wire::{GroupStatus, PAYLOAD_SHORT};
use core::ops::Range;
use core::time::Duration;
use std::net::SocketAddr;

/// Changes of mode kept for the report.
const MAX_TRANSITIONS: usize = 64;
/// Unanswered probes of the group space space out up to this.
const PROBE_MAX: Duration = Duration::from_millis(500);

/// Unanswered probes of a closed window space out up to this (RFC 9293, 3.8.6.1, sets no bound;
/// RFC 6298, 2.5, has a minute for all timers).
const PERSIST_MAX: Duration = Duration::from_mins(1);

/// A closed window is asked about: when next, and how long after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Persist {
    pub(crate) at: Instant,
    after: Duration,
}

/// A look at a member speaks for no more time than this: twice what lies between two.
const LOOK_MAX: Duration = Duration::from_millis(100);
/// A rate is measured over so long, as between two looks …
const RATE_OVER: Duration = Duration::from_millis(50);
/// … and the best is forgotten by this part with each: by half in nine seconds.
const FORGET: f64 = 1.0 / 256.0;

/// Since when a trouble lasts.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) deaf: Option<Instant>,
    /// How long its window has held the group, less what it has not since, and when that was looked
    /// at last.
    pub(crate) closed: Duration,
    looked: Instant,
    /// At how many bytes a second data arrived there lately, and at best.
    pub(crate) rate: f64,
    pub(crate) best: f64,
    /// When its bytes were counted for that, and how many there were.
    counted: (Instant, u64),
    pub(crate) period: Instant,
    /// Loss over the last whole period.
    pub(crate) last_loss: f64,
}

impl Watch {
    /// So many bytes have arrived there.
    pub(crate) fn measure(&mut self, now: Instant, total: u64) {
        let (since, before) = self.counted;
        let passed = now.since(since);
        if passed < RATE_OVER {
            return;
        }
        self.counted = (now, total);
        self.rate = total.saturating_sub(before) as f64 / passed.as_secs_f64();
        self.best = self.rate.max(self.best * (1.0 - FORGET));
    }

    /// The window holds the group now, or it does not: for how long it has. A window that opens now
    /// and then, by a trickle, is closed if it is so for more than half of the time.
    pub(crate) fn hold(&mut self, now: Instant, holds: bool) -> Duration {
        let passed = now.since(core::mem::replace(&mut self.looked, now)).min(LOOK_MAX);
        self.closed = if holds { self.closed + passed } else { self.closed.saturating_sub(passed) };
        self.closed
    }
}

/// One receiver.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) addr: SocketAddr,
    pub(crate) conn: Conn,
    pub(crate) opening: Option<Opening>,
    /// The opening that was answered, until the answer is proven: the responder may have forgotten
    /// it by the time our proof is there.
    pub(crate) unproven: Option<Opening>,
    pub(crate) mode: Mode,
    /// The mode it had before it was gone.
    pub(crate) last_mode: Mode,
    /// What it has, lacks, and is owed.
    pub(crate) need: Need,
    /// Absolute flow-control edge of the data.
    pub(crate) edge: u64,
    /// The most room that it has shown beyond what it was sent: as large as its buffer.
    pub(crate) widest: u64,
    pub(crate) board: Scoreboard,
    /// While it follows the group: its window bounds the group's, and it reports at its pace.
    pub(crate) limits: bool,
    /// Of what it gets by unicast.
    pub(crate) pacer: Pacer,
    pub(crate) group_status: GroupStatus,
    /// The newest unicast packet that a report named, so that reports are taken in order.
    pub(crate) last_report: u64,
    /// Its window is closed, and nothing is on its way that would be answered.
    pub(crate) persist: Option<Persist>,
    /// Since when bytes are on their way to it and none arrives.
    pub(crate) stalled: Option<Instant>,
    /// When bytes last left for it, by whichever way.
    pub(crate) served: Instant,
    /// Option 51, as last reported.
    pub(crate) heard_percent: u8,
    /// How it was told to acknowledge.
    pub(crate) ack_policy: AckPolicy,
    pub(crate) watch: Watch,
    pub(crate) retry_at: Option<Instant>,
    retry_after: Duration,
    probe_after: Duration,
    probed_at: Instant,
    /// Why it may never answer, by what came instead of an answer and is not proven: an unsealed
    /// refusal, or an ICMP message.
    pub(crate) hint: Option<Reason>,
    /// ICMP messages among them.
    pub(crate) unreachable: u32,
    /// Why it could not join the group.
    pub(crate) cannot_join: Option<String>,
    pub(crate) outcome: Option<Result<(), Reason>>,
    pub(crate) arrived: Arrived,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) transitions: Vec<Transition>,
}

impl Member {
    pub(crate) fn new(
        addr: SocketAddr,
        conn: Conn,
        opening: Opening,
        config: &SessionConfig,
        board: Scoreboard,
    ) -> Self {
        let mode = if config.group.is_some() { Mode::Trial } else { Mode::Unicast };
        Self {
            addr,
            conn,
            opening: Some(opening),
            unproven: None,
            mode,
            last_mode: mode,
            need: Need::new(config.declares),
            edge: 0,
            widest: 0,
            board,
            limits: false,
            pacer: Pacer::default(),
            group_status: GroupStatus::None,
            last_report: 0,
            persist: None,
            stalled: None,
            served: Instant::ZERO,
            heard_percent: 0,
            ack_policy: AckPolicy::default(),
            watch: Watch::default(),
            retry_at: None,
            retry_after: mode::RETRY_FIRST,
            probe_after: Duration::ZERO,
            probed_at: Instant::ZERO,
            hint: None,
            unreachable: 0,
            cannot_join: None,
            outcome: None,
            arrived: Arrived::default(),
            ended_at: None,
            transitions: Vec::new(),
        }
    }

    /// Established and not finished: to be served.
    pub(crate) fn is_served(&self) -> bool {
        self.mode != Mode::Gone && self.opening.is_none() && self.conn.keys.is_some()
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.mode == Mode::Multicast
    }

    /// Payload of a full segment to it alone. Its tail is probed with a short one: that long ones
    /// vanish may be why nothing is heard.
    pub(crate) fn segment(&self) -> u64 {
        if self.conn.tx.probes_tail() {
            PAYLOAD_SHORT as u64
        } else {
            self.conn.tx.path.mtu.segment()
        }
    }

    /// Follows the group, and bounds its window.
    pub(crate) fn is_limiting(&self) -> bool {
        self.is_multicast() && self.limits
    }

    /// In trial, and in the group.
    pub(crate) fn is_tried(&self) -> bool {
        self.mode == Mode::Trial && self.group_status == GroupStatus::Joined
    }

    /// Bytes arrived there, by whichever way.
    pub(crate) fn on_acked(&mut self, range: Range<u64>, proof: Proof) {
        self.need.acked(range, proof);
        self.stalled = None;
    }

    /// Whether bytes of the stream have been sent to it that it has not acknowledged, though its
    /// window is open. `end` is that of the bytes there are.
    pub(crate) fn is_owed(&self, end: u64, segment: u64, cursor: u64) -> bool {
        let high = self.need.high();
        let high = if self.is_multicast() { high.max(cursor) } else { high };
        let sent = self.conn.tx.carries_data() || self.board.waits();
        // With a closed window a receiver may have refused them: then it is only slow. A window
        // with room for less than a segment is closed as well.
        let open = self.edge >= high.saturating_add(segment) || high >= end && self.edge > end;
        (sent || self.need.is_repeated()) && open
    }

    /// A group packet with these bytes was missed. Whether it is owed any of them for that.
    pub(crate) fn on_group_missed(&mut self, range: Range<u64>) -> bool {
        // Who does not follow is sent everything alone anyway.
        self.is_multicast() && self.need.missed(range)
    }

    /// Where the group stands for it, if it follows that.
    pub(crate) fn follows(&self, cursor: u64) -> Option<u64> {
        self.is_multicast().then_some(cursor)
    }

    /// Undeclared bytes at or after `from` that the group waits for: it may follow that.
    pub(crate) fn awaited_from(&self, now: Instant, from: u64) -> Option<u64> {
        let may_follow = self.is_served() && matches!(self.mode, Mode::Trial | Mode::Multicast);
        if may_follow { self.need.awaited_from(now, from) } else { None }
    }

    /// Whether it lacks nothing of what the group is to carry next.
    pub(crate) fn has_all_of(&self, next: Range<u64>) -> bool {
        let lacks = self.need.lacks_from(next.start, self.is_multicast());
        lacks.is_none_or(|range| range.start >= next.end)
    }

    /// The lowest byte that it is to be sent next, by whichever way.
    fn next_wanted(&self, cursor: u64) -> u64 {
        let alone = self.need.first_alone().unwrap_or(u64::MAX);
        let ahead = self.follows(cursor).and_then(|at| self.need.lacks_from(at, true));
        alone.min(ahead.map_or(u64::MAX, |range| range.start))
    }

    /// Whether everything below `end` has been sent to it that it is known to lack: by the group,
    /// up to its cursor, or alone.
    pub(crate) fn is_sent_below(&self, end: u64, cursor: u64) -> bool {
        self.next_wanted(cursor) >= end
    }

    /// Takes the step that `cause` asks for, if it means anything in the present mode.
    pub(crate) fn change(
        &mut self,
        now: Instant,
        began: Instant,
        cause: Cause,
        view: &GroupView<'_>,
    ) {
        let Some(to) = mode::next(self.mode, cause) else { return };
        if self.mode == Mode::Multicast {
            self.leave_group_data(view);
        }
        match to {
            Mode::Multicast => self.follow_group(view),
            Mode::Unicast => self.retry_at = self.next_retry(now, cause),
            // Until it was promoted it was served by unicast.
            Mode::Gone if self.mode == Mode::Trial => self.last_mode = Mode::Unicast,
            Mode::Gone => self.last_mode = self.mode,
            Mode::Trial => {}
        }
        self.limits = false; // whoever joins is elected, or not
        self.mode = to;
        self.board.reset_judgement();
        self.watch = Watch {
            period: now,
            looked: now,
            counted: (now, self.need.held()),
            ..Watch::default()
        };
        if self.transitions.len() < MAX_TRANSITIONS {
            let at = now.since(began);
            self.transitions.push(Transition { at, mode: to, why: cause.text() });
        }
    }

    /// Served by the group from here on: what lies ahead, and what is on its way, is not to be
    /// sent by unicast.
    fn follow_group(&mut self, view: &GroupView<'_>) {
        self.need.follow(view.cursor, self.board.in_flight(view.log));
    }

    /// Not served by the group any more: all it does not have is to be sent by unicast.
    fn leave_group_data(&mut self, view: &GroupView<'_>) {
        self.need.unfollow(view.cursor, self.board.abandon(view.log));
    }

    fn next_retry(&mut self, now: Instant, cause: Cause) -> Option<Instant> {
        if cause == Cause::CannotJoin {
            return None;
        }
        let at = now + self.retry_after;
        self.retry_after = (self.retry_after * 2).min(mode::RETRY_MAX);
        Some(at)
    }

    /// Nothing has been heard for two round trips of what was sent to it by unicast: something is
    /// sent that must be answered, whatever the window says (RFC 8985, 7.3). That is new data if
    /// there is any, else the newest again; a control datagram if there is no data at all.
    pub(crate) fn probe_tail(&mut self, end: u64) {
        let limit = end.min(self.edge);
        // What is short waits for what is in flight (RFC 9293, 3.8.6.2.1): it is no probe.
        let whole = |next: Range<u64>| next.end.min(limit) >= next.start + PAYLOAD_SHORT as u64;
        if !self.need.next_alone().is_some_and(|owed| whole(owed.range)) {
            let Some(tail) = self.conn.tx.tail() else { return self.conn.ping() };
            if !self.need.repeat(tail) {
                return self.conn.ping(); // it came by the other way
            }
        }
        self.conn.tx.allow_probe();
    }

    /// Whether its window, and nothing else, holds back what it is to get next; `cursor` is where
    /// the group goes on if it follows that.
    fn is_shut(&self, cursor: u64, segment: u64, end: u64) -> bool {
        let next = self.next_wanted(cursor);
        let quiet = self.conn.tx.flight() == 0 && !self.board.waits();
        self.is_served() && quiet && next < end && self.edge < end.min(next.saturating_add(segment))
    }

    /// Looks whether its window is shut: the update that opens it may be lost, so it is asked about
    /// now and then (RFC 9293, 3.8.6.1: the first time after a retransmission time-out, then ever
    /// more seldom).
    pub(crate) fn watch_window(&mut self, now: Instant, cursor: u64, segment: u64, end: u64) {
        if !self.is_shut(cursor, segment, end) {
            self.persist = None;
        } else if self.persist.is_none() {
            let after = self.conn.tx.path.rtt.rto();
            self.persist = Some(Persist { at: now + after, after });
        }
    }

    /// Asks about a shut window when it is time to.
    pub(crate) fn probe_window(&mut self, now: Instant) {
        if let Some(persist) = self.persist.as_mut().filter(|persist| persist.at <= now) {
            persist.after = (persist.after * 2).min(PERSIST_MAX);
            persist.at = now + persist.after;
            self.conn.ping();
        }
    }

    /// When the member must be asked what it heard of the group's packets in flight to it.
    pub(crate) fn probe_at(&self, log: &GroupLog) -> Option<Instant> {
        let oldest = log.get(self.board.oldest_out()?)?;
        let due = oldest.at + self.board.path.rtt.expected() + self.ack_delay();
        Some(due.max(self.probed_at + self.probe_after))
    }

    pub(crate) fn probe(&mut self, now: Instant) {
        self.conn.ping();
        self.probed_at = now;
        let least = self.board.path.rtt.expected() + self.ack_delay();
        self.probe_after = (self.probe_after * 2).clamp(least, PROBE_MAX.max(least));
    }

    pub(crate) fn probe_answered(&mut self) {
        self.probe_after = Duration::ZERO;
    }

    /// Ends its part of the session, with this outcome unless it has one.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        began: Instant,
        outcome: Result<(), Reason>,
        view: &GroupView<'_>,
    ) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.ended_at = Some(now);
        }
        self.change(now, began, Cause::Ended, view);
        self.opening = None;
        self.unproven = None;
        self.need.end();
    }
}

/// What a member's change of mode depends on in its session.
pub(crate) struct GroupView<'a> {
    pub(crate) log: &'a GroupLog,
    /// The next byte that the group will carry.
    pub(crate) cursor: u64,
}
