//! A channel: one group that a session sends to, and everything that belongs to that. A member
//! follows one channel or none; what a channel needs to know of its members it asks them.
//!
//! [`cursor`] says where it stands, [`plan`] what it carries next, [`emit`] sends that, [`rate`] says
//! how fast, [`limiting`] by whose windows, [`segment`] in pieces of what length; [`settle`] takes
//! what comes back, [`judge`] judges by it, [`waited`] whom it waits for, [`eviction`] who makes it
//! slow, by what that is [`worth`] and by a [`verdict`], [`repair`] decides what is repeated,
//! [`ack_rate`] says how often each member answers; [`trial`] tries the group before anybody follows
//! it; [`keys`] has what seals it.

pub(crate) mod ack_rate;
pub(crate) mod cursor;
pub(crate) mod emit;
pub(crate) mod eviction;
pub(crate) mod judge;
pub(crate) mod keys;
pub(crate) mod limiting;
pub(crate) mod plan;
pub(crate) mod rate;
pub(crate) mod repair;
pub(crate) mod segment;
pub(crate) mod settle;
pub(crate) mod trial;
pub(crate) mod union;
pub(crate) mod verdict;
mod waited;
pub(crate) mod worth;

use super::member::{GroupView, Member};
use super::rng::Rng;
use super::send::congestion::bbr::Bbr;
use super::send::log::{GroupLog, LIMIT};
use super::send::pace::Pacer;
use super::time::Instant;
use crate::config::{Algorithm, Group, GroupWindow, SessionConfig};
use crate::seal::Suite;
use crate::wire::{PAYLOAD_SHORT, Record};
use core::time::Duration;
use cursor::Cursor;
use eviction::Eviction;
use keys::ChannelKeys;
use repair::RepairQueue;
use std::net::SocketAddr;
use trial::Trial;
use waited::Waited;

/// The members are told after so many packets, a quarter of what a receiver takes unheard of …
const TELL_EVERY: u64 = crate::proto::recv::group::AHEAD / 4;
/// … and when packets were sent since, after so long.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// Which of a session's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelId(pub(crate) usize);

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    group: Group,
    /// Connection id of its datagrams.
    cid: u64,
    keys: ChannelKeys,
    /// How far its members were told that its packet numbers have come, and when.
    told: (u64, Instant),
    log: GroupLog,
    cursor: Cursor,
    repairs: RepairQueue,
    /// What is repeated has the next turn, before what is new: neither waits for all of the other.
    repair_turn: bool,
    trial: Trial,
    /// Who makes it slow.
    eviction: Eviction,
    /// Whom it waits for.
    waited: Waited,
    pacer: Pacer,
    /// Whose windows bound it.
    rule: GroupWindow,
    /// The one machine that sets its rate, if the algorithm is BBR.
    bbr: Option<Bbr>,
    /// Payload of a full segment, in bytes.
    segment: u64,
}

impl Channel {
    /// `full`: payload of the segments that BBR begins with, in bytes; so many members may follow.
    pub(crate) fn new(
        (now, suite): (Instant, Suite),
        group: Group,
        config: &SessionConfig,
        members: usize,
        full: u64,
        rng: &mut Rng,
    ) -> Self {
        let keys = ChannelKeys::new(now, suite, rng);
        let cid = rng.u64();
        let bbr = config.algorithm == Algorithm::Bbr;
        Self {
            group,
            cid,
            keys,
            told: (0, now),
            log: GroupLog::default(),
            cursor: Cursor::default(),
            repairs: RepairQueue::default(),
            repair_turn: true,
            trial: Trial::default(),
            eviction: Eviction::default(),
            waited: Waited::default(),
            pacer: Pacer::default(),
            rule: config.group_window,
            bbr: bbr.then(|| Bbr::for_group(members, full, rng.u64())),
            segment: PAYLOAD_SHORT as u64,
        }
    }

    /// The group, as receivers join it.
    pub(crate) fn group(&self) -> Group {
        self.group
    }

    /// It is this group from now on. Its keys and packet numbers go on.
    pub(crate) fn announce(&mut self, group: Group) {
        self.group = group;
    }

    /// Where its datagrams go.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.group.addr
    }

    /// Connection id of its datagrams.
    pub(crate) fn cid(&self) -> u64 {
        self.cid
    }

    /// Tells a member its keys.
    pub(crate) fn tell_keys(&self, m: &mut Member) {
        self.keys.records().for_each(|record| m.tell_key(&record));
    }

    /// Somebody who knows the key is to be shut out.
    pub(crate) fn replace_key(&mut self) {
        self.keys.replace();
    }

    /// Makes another key if one is due: the record that tells of it.
    pub(crate) fn make_key(
        &mut self,
        now: Instant,
        round_trip: Duration,
    ) -> Option<Record<'static>> {
        self.keys.make(now, self.log.next_pn(), round_trip)
    }

    /// Uses the key that members were told of, if it is time; then its id is given.
    pub(crate) fn switch_key(&mut self, now: Instant, members: &[Member]) -> Option<u8> {
        if !self.keys.is_coming() {
            return None;
        }
        let newest = self.keys.newest();
        let all = members.iter().filter(|m| m.hears()).all(|m| m.has_key(newest));
        self.keys.switch(now, self.log.next_pn(), all).then_some(newest)
    }

    /// Tells the members how far the packet numbers have come, if it is time: a receiver takes none that is
    /// far ahead of what it knows (`recv::group`).
    pub(crate) fn tell_newest(&mut self, now: Instant, members: &mut [Member]) {
        let next = self.log.next_pn();
        let (told, at) = self.told;
        if next - told >= TELL_EVERY || next > told && now.since(at) >= TELL_AFTER {
            self.told = (next, now);
            members.iter_mut().for_each(Member::tell_newest);
        }
    }

    /// What a member's change of mode depends on.
    pub(crate) fn view(&self) -> GroupView<'_> {
        GroupView { log: &self.log, cursor: self.cursor.at(), v6: self.group.addr.is_ipv6() }
    }

    /// What went to it.
    pub(crate) fn log(&self) -> &GroupLog {
        &self.log
    }

    /// So many bytes leave for a member alone.
    pub(crate) fn sent_alone(&mut self, bytes: u64) {
        self.log.sent_alone(bytes);
    }

    /// The number of the next packet to the group.
    pub(crate) fn next_pn(&self) -> u64 {
        self.log.next_pn()
    }

    /// The next byte that it will carry.
    pub(crate) fn at(&self) -> u64 {
        self.cursor.at()
    }

    /// Payload of a full segment, in bytes.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// Sending begins.
    pub(crate) fn start(&mut self, now: Instant, members: &[Member]) {
        self.trial.start(now, members);
    }

    /// How many bytes of the stream a member in trial may have been sent alone by now, if that is
    /// bounded at all; `len` is the stream's, if known.
    pub(crate) fn hold(&self, now: Instant, len: Option<u64>, members: usize) -> Option<u64> {
        self.trial.hold(now, self.segment, len, members)
    }

    /// Whether unicast to members in trial holds back.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.trial.is_held(now)
    }

    /// Whether two members could ever follow it.
    pub(crate) fn is_shared(&self) -> bool {
        self.trial.is_shared()
    }

    /// Who follows it, or what somebody needs, has changed.
    pub(crate) fn reconsider(&mut self) {
        self.cursor.reconsider();
    }

    /// The stream ends at `end`: nothing beyond is owed to anybody any more.
    pub(crate) fn cut(&mut self, end: u64) {
        self.repairs.cut(end);
    }

    /// Everybody has what lies below.
    pub(crate) fn pass(&mut self, base: u64) {
        self.cursor.pass(base);
    }

    /// Decides the repairs whose wait is over.
    pub(crate) fn settle_repairs(&mut self, now: Instant, members: &mut [Member]) {
        self.repairs.settle(now, members);
    }

    /// What must be up to date before anything is sent.
    pub(crate) fn refresh(&mut self, now: Instant, members: &mut [Member]) {
        self.repairs.settle(now, members);
        self.repairs.prune(members);
        self.trial.update(now, members);
    }

    /// When [`Self::settle_repairs`], and once sending has begun [`Self::refresh`], have something to
    /// do.
    pub(crate) fn deadline(&self, now: Instant, started: bool) -> Option<Instant> {
        let trial = if started { self.trial.deadline(now) } else { None };
        let told = (self.log.next_pn() > self.told.0).then(|| self.told.1 + TELL_AFTER);
        let timers = [self.repairs.deadline(), trial, self.keys.deadline(), told];
        timers.into_iter().flatten().min()
    }

    /// Gives up log entries that every member has settled.
    pub(crate) fn trim(&mut self, now: Instant, members: &mut [Member]) {
        let next = self.log.next_pn();
        for m in members.iter_mut().filter(|m| !m.is_multicast()) {
            if next - m.board().settled() > LIMIT as u64 / 4 {
                m.board_mut().abandon(&self.log).for_each(drop);
            }
        }
        let settled = members.iter().filter(|m| !m.is_gone()).map(|m| m.board().settled()).min();
        let base = self.log.keep_from(settled.unwrap_or(next));
        for m in members.iter_mut().filter(|m| !m.is_gone()) {
            m.board_mut().trim(now, base, &self.log);
        }
        self.log.trim(base);
    }
}
