//! The sender's control block for one receiver: its need, the evidence it is judged by, its timers and
//! its outcome. It follows a channel or none.

pub(crate) mod attempts;
pub(crate) mod begin;
pub(crate) mod candidates;
mod flooded;
pub(crate) mod history;
mod inquiry;
pub(crate) mod lag;
mod late;
pub(crate) mod mode;
pub(crate) mod need;
pub(crate) mod plan;
pub(crate) mod presence;
pub(crate) mod question;
mod reason;
pub(crate) mod retry;
pub(crate) mod setback;
pub(crate) mod slow;
mod stall;
pub(crate) mod thinning;
pub(crate) mod timers;
mod told;
pub(crate) mod watch;
pub(crate) mod ways;
pub(crate) mod window;

use super::channel::ChannelId;
use super::conn::Conn;
use super::conn::ack::{AckPolicy, DEFAULT_DELAY};
use super::send::log::GroupLog;
use super::send::pace::Pacer;
use super::send::path::Path;
use super::send::scoreboard::Scoreboard;
use super::send::space::News;
use super::time::Instant;
use crate::error::Reason;
use crate::stats::{Arrived, Mode, ModeReason};
use crate::trust::PublicKey;
use crate::wire::{Ack, GroupStatus, PAYLOAD_SHORT};
use attempts::Attempts;
use core::ops::Range;
use core::time::Duration;
use flooded::Flooded;
use history::History;
use mode::Cause;
use need::{Need, Proof, Way};
use presence::Presence;
use question::Doubt;
use setback::Setback;
use slow::Slow;
use stall::Stall;
use std::net::SocketAddr;
use thinning::Thinning;
use told::Told;
use watch::Watch;
use ways::Ways;
use window::Window;

/// One receiver.
#[derive(Debug)]
pub(crate) struct Member {
    addr: SocketAddr,
    /// When it began, at first or again.
    began: Instant,
    /// When it answered, at first or again.
    answered: Instant,
    /// How often its host was restarted within the session.
    restarts: u32,
    conn: Conn,
    /// The channel that it follows, or may follow, if the session has one for it.
    channel: Option<ChannelId>,
    mode: Mode,
    need: Need,
    /// It has come to the group late: that stood here then.
    late: Option<u64>,
    window: Window,
    /// How it hears the group.
    board: Scoreboard,
    /// While it follows the group: its window bounds the group's, and it reports at its pace.
    limits: bool,
    /// Of what it gets by unicast.
    pacer: Pacer,
    group_status: GroupStatus,
    /// The newest unicast packet that a report named, so that reports are taken in order.
    last_report: u64,
    /// Bytes are on their way to it and none arrives.
    stall: Stall,
    /// When bytes last left for it, by whichever way.
    served: Instant,
    /// Option 51, as last reported.
    heard_percent: u8,
    /// How it was told to acknowledge.
    ack_policy: AckPolicy,
    thinning: Thinning,
    watch: Watch,
    presence: Presence,
    ways: Ways,
    slow: Slow,
    flooded: Flooded,
    retry_at: Option<Instant>,
    retry_after: Duration,
    probe_after: Duration,
    probed_at: Instant,
    /// What came instead of an answer.
    setback: Setback,
    /// Where else it may be, until it has answered.
    attempts: Attempts,
    /// When its SYN was last sent again, since it is said to have forgotten that.
    asked_at: Option<Instant>,
    /// Whether it has forgotten the session.
    doubt: Doubt,
    /// The key that it has shown.
    key: Option<PublicKey>,
    told: Told,
    /// Why it could not join the group.
    cannot_join: Option<String>,
    /// Why it was last taken off the group, or not put on it.
    off_group: Option<ModeReason>,
    history: History,
}

impl Member {
    /// A member that may follow this channel, if the session has one for it; whether it is asked
    /// what it holds (`declares`).
    pub(crate) fn new(
        began: Instant,
        (addr, conn): (SocketAddr, Conn),
        board: Scoreboard,
        channel: Option<ChannelId>,
        declares: bool,
    ) -> Self {
        let mode = if channel.is_some() { Mode::Trial } else { Mode::Unicast };
        Self {
            addr,
            began,
            answered: began,
            restarts: 0,
            conn,
            channel,
            mode,
            need: Need::new(declares),
            late: None,
            window: Window::default(),
            board,
            limits: false,
            pacer: Pacer::default(),
            group_status: GroupStatus::None,
            last_report: 0,
            stall: Stall::default(),
            served: Instant::ZERO,
            heard_percent: 0,
            ack_policy: AckPolicy::default(),
            thinning: Thinning::default(),
            watch: Watch::default(),
            presence: Presence::default(),
            ways: Ways::default(),
            slow: Slow::default(),
            flooded: Flooded::default(),
            retry_at: None,
            retry_after: mode::RETRY_FIRST,
            probe_after: Duration::ZERO,
            probed_at: Instant::ZERO,
            setback: Setback::default(),
            attempts: Attempts::default(),
            asked_at: None,
            doubt: Doubt::default(),
            key: None,
            told: Told::default(),
            cannot_join: None,
            off_group: None,
            history: History::new(mode),
        }
    }

    // What it is.

    /// The channel that it follows, or may follow.
    pub(crate) fn channel(&self) -> Option<ChannelId> {
        self.channel
    }

    /// The address that is connected to; of several, before one has answered, the first.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How its data travels.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Its association.
    pub(crate) fn conn(&self) -> &Conn {
        &self.conn
    }

    /// Its association.
    pub(crate) fn conn_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// What it has, lacks, and is owed.
    pub(crate) fn need(&self) -> &Need {
        &self.need
    }

    /// What it has, lacks, and is owed.
    pub(crate) fn need_mut(&mut self) -> &mut Need {
        &mut self.need
    }

    /// How it hears the group.
    pub(crate) fn board(&self) -> &Scoreboard {
        &self.board
    }

    /// How it hears the group.
    pub(crate) fn board_mut(&mut self) -> &mut Scoreboard {
        &mut self.board
    }

    /// The way to it through the group.
    pub(crate) fn group_path(&self) -> &Path {
        &self.board.path
    }

    /// The way to it through the group.
    pub(crate) fn group_path_mut(&mut self) -> &mut Path {
        &mut self.board.path
    }

    /// The way to it alone.
    pub(crate) fn path(&self) -> &Path {
        self.conn.path()
    }

    /// The way to it alone.
    pub(crate) fn path_mut(&mut self) -> &mut Path {
        self.conn.path_mut()
    }

    /// Its receive window.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Its outcome, and how its data travelled.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Its outcome, once it has one.
    pub(crate) fn outcome(&self) -> Option<&Result<(), Reason>> {
        self.history.outcome()
    }

    /// It gave its verdict, and counted what arrived there so.
    pub(crate) fn on_verdict(&mut self, arrived: Arrived) {
        self.history.told(arrived);
        self.conn.close();
    }

    /// Absolute flow-control edge of the data.
    pub(crate) fn edge(&self) -> u64 {
        self.window.edge()
    }

    /// Whether it is in the group, as it says.
    pub(crate) fn group_status(&self) -> GroupStatus {
        self.group_status
    }

    /// Option 51, as last reported.
    pub(crate) fn heard_percent(&self) -> u8 {
        self.heard_percent
    }

    /// How it was told to acknowledge.
    pub(crate) fn ack_policy(&self) -> AckPolicy {
        self.ack_policy
    }

    /// How much more seldom than its window asks for.
    pub(crate) fn thinning(&self) -> Thinning {
        self.thinning
    }

    /// Not served any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.mode == Mode::Gone
    }

    /// Has not answered yet.
    pub(crate) fn is_opening(&self) -> bool {
        self.conn.is_opening()
    }

    /// In the group's modes: it follows, or may.
    pub(crate) fn may_follow(&self) -> bool {
        matches!(self.mode, Mode::Trial | Mode::Multicast)
    }

    /// Established and not finished: to be served.
    pub(crate) fn is_served(&self) -> bool {
        self.mode != Mode::Gone && self.conn.has_keys()
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.mode == Mode::Multicast
    }

    /// Payload of a full segment to it alone. Its tail is probed with a short one: that long ones
    /// vanish may be why nothing is heard.
    pub(crate) fn segment(&self) -> u64 {
        if self.conn.tx().probes_tail() {
            PAYLOAD_SHORT as u64
        } else {
            self.conn.path().mtu.segment()
        }
    }

    /// Follows the group, and bounds its window.
    pub(crate) fn is_limiting(&self) -> bool {
        self.binds() && self.limits
    }

    /// In trial, and in the group.
    pub(crate) fn is_tried(&self) -> bool {
        self.mode == Mode::Trial && self.group_status == GroupStatus::Joined && self.is_here()
    }

    /// What goes to the group is for it, too: it follows that, or is being tried.
    pub(crate) fn hears(&self) -> bool {
        self.is_multicast() || self.is_tried()
    }

    /// Bytes arrived there, by whichever way.
    pub(crate) fn on_acked(&mut self, range: Range<u64>, proof: Proof) {
        self.need.acked(range, proof);
        self.stall.end();
    }

    /// Whether bytes of the stream have been sent to it that it has not acknowledged, though its
    /// window is open. `end` is that of the bytes there are.
    pub(crate) fn is_owed(&self, end: u64, segment: u64, cursor: u64) -> bool {
        let high = self.need.high();
        let high = if self.is_multicast() { high.max(cursor) } else { high };
        let sent = self.conn.tx().carries_data() || self.board.waits();
        // With a closed window a receiver may have refused them: then it is only slow. A window
        // with room for less than a segment is closed as well.
        let open = self.window.edge() >= high.saturating_add(segment)
            || high >= end && self.window.edge() > end;
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

    /// Whether the group stands still for what it is yet to declare.
    pub(crate) fn is_waited_for(&self, now: Instant) -> bool {
        self.awaited_from(now, 0).is_some() && self.need.waits_until().is_some()
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
        let ahead = |at| self.need.lacks_from(at, true).is_some_and(|range| range.start < end);
        self.need.first_alone().is_none_or(|alone| alone >= end)
            && self.follows(cursor).is_none_or(|at| at >= end || !ahead(at))
    }

    /// It bounds the group's window from here on, or it does not; whether that is new.
    pub(crate) fn seat(&mut self, limits: bool) -> bool {
        core::mem::replace(&mut self.limits, limits) != limits
    }

    /// Tells it how to acknowledge.
    pub(crate) fn tell_policy(&mut self, policy: AckPolicy) {
        self.ack_policy = policy;
        self.board.path.expect_delay(policy.delay);
        self.conn.tell_policy(policy);
    }

    /// The longest its acknowledgement may be delayed, as far as it has been told.
    pub(crate) fn ack_delay(&self) -> Duration {
        self.ack_policy.delay.max(DEFAULT_DELAY)
    }

    /// A segment leaves through the group; `repair`: again.
    pub(crate) fn on_carried(&mut self, now: Instant, pn: u64, range: &Range<u64>, repair: bool) {
        let addressed =
            if repair { self.is_multicast() && self.need.shares(range) } else { self.hears() };
        if addressed {
            self.served = now;
            self.ways.goes_on(now);
        }
        self.board.on_sent(now, pn, range.end - range.start, addressed);
        self.need.carried(range.clone());
    }

    /// A probe of the group's path leaves, as long as a segment with `payload` bytes.
    pub(crate) fn on_group_probe(&mut self, now: Instant, pn: u64, payload: u64) {
        let addressed = self.hears();
        self.board.on_sent(now, pn, 0, addressed);
        if addressed {
            self.board.path.mtu.on_probe(payload);
        }
    }

    /// A segment leaves for it alone.
    pub(crate) fn on_sent_alone(&mut self, now: Instant, range: Range<u64>) {
        self.served = now;
        self.ways.goes_on(now);
        self.ways.flight_goes_on(now);
        self.need.sent_alone(range);
    }

    /// Bytes a second at which it is sent to alone; `None`: at once.
    pub(crate) fn pacing_rate(&self) -> Option<f64> {
        self.conn.path().pacing_rate()
    }

    /// What it gets alone: whether its pace lets a train leave, and when it does next.
    pub(crate) fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// So many bytes of payload have left for it alone at this pace, in bytes a second.
    pub(crate) fn spend(&mut self, now: Instant, rate: f64, bytes: u64) {
        self.pacer.spend(now, rate, bytes);
    }

    /// Takes its report, but for what it says of the group's packets; `at` is where the group stands,
    /// and whether the session's bytes can be read again (`source`).
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        ack: &Ack<'_>,
        at: u64,
        source: bool,
    ) -> Option<News> {
        let sent = self.need.high().max(at);
        if self.window.told(ack.data_edge, sent) && !source {
            // Slow, but its window moves, and a ring waits for it whichever way it is served.
            self.watch.moves();
        }
        let news = self.conn.on_report(now, ack);
        if let Some(space) = ack.unicast.as_ref().filter(|space| space.largest >= self.last_report)
        {
            self.last_report = space.largest;
            // One that was overtaken says nothing new, nor does one of a group that is another one now.
            if self.knows_group() {
                self.group_status = ack.group_status;
            }
        }
        news
    }

    /// Applies what is new of what it was sent alone; the end of the highest bytes that arrived.
    pub(crate) fn settle(&mut self, news: News) -> u64 {
        let mut highest = 0;
        for (pn, content) in &news.acked {
            self.conn.content_acked(content);
            if !content.data.is_empty() {
                self.on_acked(content.data.clone(), Proof::Packet(Way::Unicast, *pn));
                highest = highest.max(content.data.end);
            }
            if content.probe > 0 {
                self.stall.end(); // what is not acknowledged got there, and was refused
            }
        }
        for content in &news.lost {
            self.conn.content_lost(content);
            if !content.data.is_empty() {
                self.need.lost_alone(content.data.clone());
            }
        }
        self.conn.recycle(news);
        highest
    }

    /// Takes the step that `cause` asks for, if it means anything in the present mode.
    pub(crate) fn change(
        &mut self,
        now: Instant,
        began: Instant,
        cause: Cause,
        view: Option<&GroupView<'_>>,
    ) {
        let Some(to) = mode::next(self.mode, cause) else { return };
        let leaves = to == Mode::Unicast && self.is_to_leave(cause);
        self.note_reason(cause);
        if let (Mode::Multicast, Some(view)) = (self.mode, view) {
            self.leave_group_data(view);
        }
        match (to, view) {
            (Mode::Multicast, Some(view)) => self.follow_group(view),
            (Mode::Unicast, Some(view)) => self.retry_at = self.next_retry(now, view, cause),
            _ => {}
        }
        self.limits = false; // whoever joins is elected, or not
        self.clear_suspicion();
        let reason = self.off_group(began).filter(|_| to == Mode::Unicast);
        self.history.moved(now.since(began), (self.mode, to), (cause.text(), reason));
        self.mode = to;
        tracing::debug!(to = %self.addr, mode = to.name(), "{}", cause.text());
        self.board.reset_judgement();
        self.watch = Watch::begin(now, self.need.arrived());
        self.ways.turn(now, self.need.arrived(), cause == Cause::Slower);
        if leaves {
            self.tell_leave(now);
            if cause == Cause::HearsLittle {
                self.stay_away(now);
            }
        }
    }

    /// Not served by the group any more: all it does not have is to be sent by unicast.
    fn leave_group_data(&mut self, view: &GroupView<'_>) {
        self.need.unfollow(view.cursor, self.board.abandon(view.log));
    }

    /// Ends its part of the session, with this outcome unless it has one.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        began: Instant,
        outcome: Result<(), Reason>,
        view: Option<&GroupView<'_>>,
    ) {
        if self.outcome().is_none() {
            tracing::debug!(to = %self.addr, ?outcome, "has its outcome");
        }
        self.history.end(now, outcome);
        self.attempts.clear();
        self.change(now, began, Cause::Ended, view);
        debug_assert!(!self.conn.is_opening(), "whoever ends a member ends its association");
        self.need.end();
    }
}

#[cfg(test)]
impl Member {
    /// Established, in the group, with this edge.
    pub(crate) fn establish(&mut self, keys: crate::seal::Keys, edge: u64) {
        self.conn.establish(keys);
        self.group_status = GroupStatus::Joined;
        self.window.begin(edge);
    }

    pub(crate) fn set_edge(&mut self, edge: u64) {
        self.window.begin(edge);
    }

    pub(crate) fn forget_pace(&mut self) {
        self.pacer = Pacer::default();
    }
}

/// What a member's change of mode depends on in its session.
pub(crate) struct GroupView<'a> {
    pub(crate) log: &'a GroupLog,
    /// The next byte that the group will carry.
    pub(crate) cursor: u64,
    /// It is one of IPv6.
    pub(crate) v6: bool,
}
