//! A sending session: one byte sequence, one control block per receiver, all linked (TCP-XM slides
//! 11, 12 and 21). It is members, a store and channels: one packet to a channel's group counts for
//! every member that follows it.
//!
//! [`plan`] decides whose turn it is, purely, by what [`uplink`] leaves to unicast, which is much where the line has
//! room to [`spare`]; [`transmit`] sends; [`settle`] takes what comes back; [`begin`] begins and ends members,
//! [`renew`] lets one begin again, [`late`] lets others come; [`held`] frees the ring of a stream; [`declare`] takes what they say of
//! what they hold; [`timers`] wakes.

pub(crate) mod ahead;
pub(crate) mod announce;
pub(crate) mod begin;
pub(crate) mod declare;
mod held;
mod late;
mod lost;
pub(crate) mod plan;
pub(crate) mod renew;
pub(crate) mod settle;
pub(crate) mod size;
mod spare;
pub(crate) mod tell;
pub(crate) mod timers;
pub(crate) mod transmit;
mod uplink;

use super::channel::emit::Carrier;
use super::channel::{Channel, ChannelId};
use super::conn::handshake::{Opening, blank_names};
use super::conn::ids::Ids;
use super::conn::syn::Syn;
use super::conn::{Conn, Names};
use super::event::SessionState;
use super::member::Member;
use super::member::attempts::Attempt;
use super::member::candidates::Candidates;
use super::send::mtu::PathMtu;
use super::send::pace::Pace;
use super::send::scoreboard::Scoreboard;
use super::send::space::INITIAL_RTO;
use super::send::store::Store;
use super::time::Instant;
use crate::config::{Algorithm, Content, Delivery, SessionConfig};
use crate::error::{ConfigError, EndError, Reason};
use crate::stats::{MemberReport, ModeReason, Sent};
use crate::trust::{NoiseKey, PublicKey, SenderTrust};
use crate::wire::{Descriptor, Features, MAX_OFFSET, PAYLOAD_SHORT, PAYLOAD_V4, PAYLOAD_V6, Seq};
use core::ops::Range;
use plan::Target;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use transmit::Turn;
use uplink::Uplink;

/// Receivers of one session, at most: above this relays are the better tool (TCP-XM is for a
/// moderate number of known receivers, slide 2).
pub(crate) const MAX_MEMBERS: usize = 1024;

/// One sending session.
#[derive(Debug)]
pub(crate) struct Session {
    config: SessionConfig,
    trust: Arc<SenderTrust>,
    /// Of the endpoint.
    key: NoiseKey,
    members: Vec<Member>,
    store: Store,
    channels: Vec<Channel>,
    pace: Pace,
    /// What unicast may take from the groups.
    uplink: Uplink,
    /// Data may be marked on the way instead of dropped.
    ecn: bool,
    /// When the next train may leave that nothing but its pace holds back.
    paced_until: Option<Instant>,
    carrier: Carrier,
    descriptor: Descriptor,
    began: Instant,
    first_answer: Option<Instant>,
    started: bool,
    finishing: bool,
    forgotten: bool,
    turn: Turn,
    sent: Sent,
    next_check: Instant,
    /// For whom a stream's ring is held.
    held: Option<held::Held>,
    /// When its timers fired last.
    ran: Instant,
    /// Since when only lost members are left.
    only_lost_since: Option<Instant>,
    /// For whom, and after which block, all that is to be read ahead of a source has been asked for; since
    /// then nobody has declared anything, or taken another way.
    read_ahead_of: Option<(Target, u64)>,
    /// How far the source exists was said at least once.
    grown: bool,
    /// The application should look.
    changed: bool,
    /// It was given a group, and has one receiver only.
    alone: bool,
    /// Members that have begun again, which the application has not asked about; each once.
    renewed: VecDeque<usize>,
    renewal_told: bool,
    /// Replies in a member's name that were not from who holds the secret, all dropped.
    forged: u64,
    /// The driver was not told yet that sending has begun.
    begin_untold: bool,
    /// The group was announced anew: the SYNs before told of another one.
    moved: bool,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        mut config: SessionConfig,
        (trust, key): (SenderTrust, NoiseKey),
        peers: &[Vec<SocketAddr>],
        port: u16,
        ids: &mut Ids<'_>,
    ) -> Result<Self, ConfigError> {
        let first = check(&config, peers)?;
        // What one lacks goes to it alone, so a session of one has no use for a group.
        let lone = peers.len() == 1 && !config.late_join;
        let alone = config.group.take_if(|_| lone).is_some();
        let store = match config.content {
            Content::Stream { ring } => Store::ring(ring),
            Content::Source { len } => Store::source(len, config.declares),
        };
        let v4 = peers.iter().flatten().all(SocketAddr::is_ipv4);
        let segment = if v4 { PAYLOAD_V4 } else { PAYLOAD_V6 };
        let seal = (now, trust.credentials(&key, first).suite());
        let mut channel =
            |group| Channel::new(seal, group, &config, peers.len(), segment as u64, ids.rng);
        let channels: Vec<Channel> = config.group.map(&mut channel).into_iter().collect();
        let mut session = Self {
            descriptor: describe(&config, segment, channels.first()),
            trust: Arc::new(trust),
            key,
            members: Vec::with_capacity(peers.len()),
            store,
            pace: Pace::new(config.rate),
            uplink: Uplink::new(config.unicast_share),
            // BBR does not go by marks, so it does not ask for any (RFC 3168, 6.1).
            ecn: config.algorithm != Algorithm::Bbr,
            paced_until: None,
            carrier: Carrier { iss: Seq(ids.rng.u32()), port },
            began: now,
            first_answer: None,
            started: false,
            finishing: false,
            forgotten: false,
            turn: Turn::default(),
            sent: Sent::default(),
            next_check: now,
            held: None,
            ran: now,
            only_lost_since: None,
            read_ahead_of: None,
            grown: false,
            changed: false,
            alone,
            renewed: VecDeque::new(),
            renewal_told: false,
            forged: 0,
            begin_untold: true,
            moved: false,
            channels,
            config,
        };
        for addrs in peers {
            let mut member = session.new_member(now, (addrs[0], addrs[0]), None, ids);
            member.may_be_at(Candidates::behind_first(now, addrs, session.config.connect_timeout));
            session.members.push(member);
        }
        Ok(session)
    }

    /// A member that begins now; `shown` is the key that it showed when it began before, if it did.
    fn new_member(
        &self,
        now: Instant,
        (peer, trusted_as): (SocketAddr, SocketAddr),
        shown: Option<PublicKey>,
        ids: &mut Ids<'_>,
    ) -> Member {
        let (names, opening) = self.new_syn(now, (peer, trusted_as), ids);
        let opening = opening.expecting(shown);
        let (algorithm, idle) = (self.config.algorithm, self.config.idle_timeout);
        let mut conn = Conn::connect(names, opening, algorithm, idle, now);
        conn.path_mut().mtu = self.new_mtu(peer);
        if self.store.is_source() {
            conn.endure();
        }
        conn.path_mut().congestion.seed(ids.rng.u64());
        let channel = self.channels.first().map(|_| ChannelId(0));
        Member::new(now, (peer, conn), self.new_board(), channel, self.config.declares)
    }

    /// A SYN to another address of a member that has not answered.
    fn new_attempt(&self, now: Instant, peer: SocketAddr, ids: &mut Ids<'_>) -> Attempt {
        let (names, opening) = self.new_syn(now, (peer, peer), ids);
        Attempt::new(Syn::new(names, opening), self.new_mtu(peer))
    }

    fn new_syn(
        &self,
        now: Instant,
        (peer, trusted_as): (SocketAddr, SocketAddr),
        ids: &mut Ids<'_>,
    ) -> (Names, Opening) {
        let has = |id| self.members.iter().any(|m| m.conn().names().local_cid == id);
        let blank = blank_names(peer, self.carrier.port, ids.draw(has), self.carrier.iss);
        let names = Names { trusted_as, ..blank };
        let random = ids.rng.bytes32();
        let opening = Opening::new(now, &names, &self.descriptor, (&self.trust, &self.key, random));
        (names, opening)
    }

    fn new_mtu(&self, peer: SocketAddr) -> PathMtu {
        PathMtu::unicast(peer.is_ipv6(), self.longest_segment(peer.is_ipv6()))
    }

    /// What is known of how a member hears the group that has heard nothing of it yet.
    fn new_board(&self) -> Scoreboard {
        let channel = self.channels.first();
        let segment = channel.map_or(PAYLOAD_SHORT as u64, Channel::segment);
        let next = channel.map_or(0, Channel::next_pn);
        let mut board = Scoreboard::new(self.config.algorithm, segment, INITIAL_RTO, next);
        let v6 = channel.is_some_and(|channel| channel.addr().is_ipv6());
        board.path.mtu = PathMtu::group(v6, self.longest_segment(v6));
        board
    }

    pub(crate) fn state(&self) -> SessionState {
        if self.members.iter().all(|m| m.outcome().is_some()) {
            SessionState::Done
        } else if !self.started {
            SessionState::Connecting
        } else if self.finishing {
            SessionState::Finishing
        } else {
            SessionState::Sending
        }
    }

    /// Whether nothing of a source will be needed any more: every member has all of it, or has its
    /// outcome.
    pub(crate) fn is_satisfied(&self) -> bool {
        let end = self.store.end();
        // One that has everything may still take some of it back, until it has given its verdict; whoever
        // finishes a source only when it has been read does not wait for that.
        self.members.iter().all(|m| {
            let met = || m.is_served() && self.store.is_source() && m.need().is_met(end);
            m.outcome().is_some() || !self.finishing && met()
        })
    }

    /// Where the FIN stands, once the application has written everything.
    pub(crate) fn fin(&self) -> Option<u64> {
        (self.finishing && self.store.is_ended()).then(|| self.store.end())
    }

    /// More of the source is known to exist.
    pub(crate) fn grow(&mut self, now: Instant, to: u64) -> Result<(), EndError> {
        // Before it is said for the first time nothing was to be declared.
        let old = if self.grown { self.store.end() } else { 0 };
        self.store.grow(to)?;
        self.grown = true;
        for m in &mut self.members {
            m.need_mut().grown(now, old, to);
        }
        for index in 0..self.members.len() {
            self.reconsider(index);
        }
        self.changed = true;
        Ok(())
    }

    /// The length of the source becomes known.
    pub(crate) fn set_end(&mut self, len: u64) -> Result<(), EndError> {
        self.store.set_end(len)?;
        for m in &mut self.members {
            m.need_mut().cut(len);
        }
        for channel in &mut self.channels {
            channel.cut(len);
        }
        self.changed = true;
        Ok(())
    }

    pub(crate) fn report(&self, now: Instant, index: usize) -> MemberReport {
        let m = &self.members[index];
        let history = m.history();
        let until = history.ended_at().unwrap_or(now);
        let is_shared = self.channel_of(index).is_some_and(Channel::is_shared);
        MemberReport {
            key: m.key(),
            addr: m.addr(),
            outcome: m.outcome().cloned(),
            mode: history.mode(m.mode()),
            mode_reason: match m.mode_reason(self.began, is_shared) {
                Some(ModeReason::NoGroup) if self.alone => Some(ModeReason::Alone),
                reason => reason,
            },
            arrived: history.arrived(),
            acked: m.need().held(),
            undeclared: m.need().undeclared_below(self.store.end()),
            duration: until.since(self.began),
            restarts: m.restarts(),
            lost: m.lost_since(self.began),
            waited_percent: self.channel_of(index).and_then(|channel| channel.waited_percent(m)),
            transitions: m.transitions(),
        }
    }

    /// Where a member's channel stands; 0 if it has none.
    fn at(&self, index: usize) -> u64 {
        self.channel_of(index).map_or(0, Channel::at)
    }

    /// The channel that a member follows, or may follow.
    fn channel_of(&self, index: usize) -> Option<&Channel> {
        self.members[index].channel().map(|id| &self.channels[id.0])
    }

    // What the endpoint asks, and passes on from the application.

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// A member, if there is one at this place.
    pub(crate) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// A member, if there is one at this place.
    pub(crate) fn member_mut(&mut self, index: usize) -> Option<&mut Member> {
        self.members.get_mut(index)
    }

    /// What it sent.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Whether the application should look; told once.
    pub(crate) fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// The application has given it up.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Whether the application has given it up.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Appends to a stream; bytes taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.finishing { 0 } else { self.store.write(bytes) }
    }

    /// The next block that a source is to supply.
    pub(crate) fn next_need(&mut self) -> Option<Range<u64>> {
        self.store.next_need()
    }

    /// Takes such a block.
    pub(crate) fn supply(&mut self, offset: u64, bytes: Arc<[u8]>) {
        self.store.supply(offset, bytes);
    }

    /// Ends a member. Other members are not concerned.
    pub(crate) fn end_member(&mut self, now: Instant, index: usize, outcome: Result<(), Reason>) {
        self.end_one(now, index, outcome);
        self.end_unanswered(now);
    }

    fn end_one(&mut self, now: Instant, index: usize, outcome: Result<(), Reason>) {
        let Self { members, channels, began, .. } = self;
        let view = members[index].channel().map(|id| channels[id.0].view());
        members[index].end(now, *began, outcome, view.as_ref());
        self.regroup(index);
        self.release();
        self.changed = true;
    }

    /// Lets the ring give up what every member has.
    pub(crate) fn release(&mut self) {
        if self.store.is_source() {
            return;
        }
        let served = self.members.iter().filter(|m| m.is_served());
        if let Some(least) = served.map(|m| m.need().contiguous()).min()
            && least > self.store.base()
        {
            self.store.release(least);
            // What everybody has the group need not carry, and cannot any more.
            let base = self.store.base();
            self.channels.iter_mut().for_each(|channel| channel.pass(base));
            self.changed = true;
        }
    }
}

/// The first address, if nothing is wrong.
fn check(config: &SessionConfig, peers: &[Vec<SocketAddr>]) -> Result<SocketAddr, ConfigError> {
    if peers.len() > MAX_MEMBERS {
        return Err(ConfigError::TooManyReceivers(peers.len(), MAX_MEMBERS));
    }
    let Some(first) = peers.first().and_then(|addrs| addrs.first()) else {
        return Err(ConfigError::NoReceiver);
    };
    if peers.iter().any(Vec::is_empty) {
        return Err(ConfigError::NoReceiver);
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = peers.iter().flatten().find(|p| !seen.insert(**p)) {
        return Err(ConfigError::Twice(*twice));
    }
    match config.content {
        Content::Source { len: Some(len) } if len > MAX_OFFSET => Err(ConfigError::TooLong(len)),
        Content::Stream { ring } if ring < PAYLOAD_V4 => Err(ConfigError::SmallBuffer(ring)),
        Content::Stream { .. } if config.declares => Err(ConfigError::Declarations),
        Content::Stream { .. } if config.late_join => Err(ConfigError::LateJoin),
        _ => match config.group {
            Some(group) if !group.addr.ip().is_multicast() => {
                Err(ConfigError::Group(group.addr.ip(), "not a multicast address"))
            }
            _ => Ok(*first),
        },
    }
}

fn describe(config: &SessionConfig, segment: usize, channel: Option<&Channel>) -> Descriptor {
    let mut features = Features::XM;
    if channel.is_some() {
        features = features.with(Features::GROUPS);
    }
    if config.delivery == Delivery::Unordered {
        features = features.with(Features::UNORDERED);
    }
    if config.declares {
        features = features.with(Features::DECLARES);
    }
    if matches!(config.content, Content::Stream { .. }) {
        features = features.with(Features::STREAM);
    }
    Descriptor {
        features,
        first_offset: 0,
        segment_size: segment as u16,
        group_cid: channel.map_or(0, Channel::cid),
        group: channel.map(Channel::group),
        group_from: config.group_from,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_announce;
#[cfg(test)]
mod tests_declared;
#[cfg(test)]
mod tests_replies;
