//! A sending session: one byte sequence, one control block per receiver, all linked (TCP-XM slides
//! 11, 12 and 21). One packet to the group counts for every member that follows it.
//!
//! [`plan`] decides what to send next and says why, purely; [`transmit`] does it; [`feedback`]
//! takes what comes back; [`lifecycle`] begins and ends members; [`mode`] is the table of modes.

pub(crate) mod ack_rate;
pub(crate) mod cursor;
pub(crate) mod declare;
pub(crate) mod feedback;
pub(crate) mod lifecycle;
pub(crate) mod limiting;
pub(crate) mod member;
pub(crate) mod mode;
pub(crate) mod need;
pub(crate) mod plan;
pub(crate) mod repair;
pub(crate) mod size;
pub(crate) mod timers;
pub(crate) mod transmit;
pub(crate) mod trial;
pub(crate) mod union;

use super::conn::handshake::{Opening, blank_names};
use super::conn::{Conn, Role};
use super::event::SessionState;
use super::rng::Rng;
use super::send::congestion::bbr::Bbr;
use super::send::log::GroupLog;
use super::send::mtu::PathMtu;
use super::send::pace::{Pace, Pacer};
use super::send::scoreboard::Scoreboard;
use super::send::space::INITIAL_RTO;
use super::send::store::Store;
use super::time::Instant;
use crate::config::{Algorithm, Content, Delivery, Group, SessionConfig};
use crate::error::{ConfigError, EndError, Reason};
use crate::seal::SealKey;
use crate::stats::{MemberReport, Mode, Sent};
use crate::wire::{Descriptor, Features, MAX_OFFSET, PAYLOAD_SHORT, PAYLOAD_V4, PAYLOAD_V6, Seq};
use cursor::Cursor;
use member::{GroupView, Member};
use repair::RepairQueue;
use std::net::SocketAddr;
use trial::Trial;

/// Receivers of one session, at most: above this relays are the better tool (TCP-XM is for a
/// moderate number of known receivers, slide 2).
pub(crate) const MAX_MEMBERS: usize = 1024;

/// The group as this session sends to it.
#[derive(Debug)]
pub(crate) struct GroupTx {
    pub(crate) group: Group,
    pub(crate) cid: u64,
    pub(crate) key_id: u8,
    pub(crate) key_bytes: [u8; 32],
    pub(crate) key: SealKey,
}

/// One sending session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: SessionConfig,
    pub(crate) members: Vec<Member>,
    pub(crate) store: Store,
    pub(crate) log: GroupLog,
    pub(crate) repairs: RepairQueue,
    pub(crate) trial: Trial,
    pub(crate) pace: Pace,
    pub(crate) group_pacer: Pacer,
    /// Data may be marked on the way instead of dropped.
    pub(crate) ecn: bool,
    /// The one machine that sets the group's rate, if the algorithm is BBR.
    pub(crate) group_bbr: Option<Bbr>,
    /// When the next train may leave that nothing but its pace holds back.
    pub(crate) paced_until: Option<Instant>,
    pub(crate) group: Option<GroupTx>,
    /// One initial sequence number for all members: a group segment has but one sequence field.
    pub(crate) iss: Seq,
    pub(crate) port: u16,
    pub(crate) descriptor: Descriptor,
    /// Payload bytes of a full segment to the group.
    pub(crate) segment: u64,
    /// Where the group stands in the sequence.
    pub(crate) cursor: Cursor,
    pub(crate) began: Instant,
    pub(crate) first_answer: Option<Instant>,
    pub(crate) started: bool,
    pub(crate) finishing: bool,
    pub(crate) forgotten: bool,
    /// Whether the group or a member has the next turn.
    pub(crate) group_turn: bool,
    pub(crate) member_turn: usize,
    pub(crate) control_cursor: usize,
    pub(crate) sent: Sent,
    pub(crate) next_check: Instant,
    /// The application should look.
    pub(crate) changed: bool,
}

impl Session {
    pub(crate) fn new(
        now: Instant,
        config: SessionConfig,
        peers: &[SocketAddr],
        port: u16,
        rng: &mut Rng,
    ) -> Result<Self, ConfigError> {
        check(&config, peers)?;
        // What one lacks goes to it alone, so a session of one has no use for a group.
        let group = config.group.filter(|_| peers.len() > 1);
        let config = SessionConfig { group, ..config };
        let store = match config.content {
            Content::Stream { ring } => Store::ring(ring),
            Content::Source { len } => Store::source(len),
        };
        let segment = if peers.iter().all(SocketAddr::is_ipv4) { PAYLOAD_V4 } else { PAYLOAD_V6 };
        let group = config.group.map(|group| {
            let key_bytes = rng.bytes32();
            let key = SealKey::from_bytes(&key_bytes);
            GroupTx { group, cid: rng.u64(), key_id: 1, key_bytes, key }
        });
        let group_bbr = (config.algorithm == Algorithm::Bbr && group.is_some())
            .then(|| Bbr::for_group(peers.len(), segment as u64, rng.u64()));
        let mut session = Self {
            descriptor: describe(&config, segment, group.as_ref()),
            members: Vec::with_capacity(peers.len()),
            store,
            log: GroupLog::default(),
            repairs: RepairQueue::default(),
            trial: Trial::default(),
            pace: Pace::new(config.rate),
            group_pacer: Pacer::default(),
            // BBR does not go by marks, so it does not ask for any (RFC 3168, 6.1).
            ecn: config.algorithm != Algorithm::Bbr,
            group_bbr,
            paced_until: None,
            group,
            iss: Seq(rng.u32()),
            port,
            segment: PAYLOAD_SHORT as u64,
            began: now,
            first_answer: None,
            started: false,
            finishing: false,
            forgotten: false,
            group_turn: true,
            cursor: Cursor::default(),
            member_turn: 0,
            control_cursor: 0,
            sent: Sent::default(),
            next_check: now,
            changed: false,
            config,
        };
        for peer in peers {
            let member = session.new_member(now, *peer, rng);
            session.members.push(member);
        }
        Ok(session)
    }

    fn new_member(&self, now: Instant, peer: SocketAddr, rng: &mut Rng) -> Member {
        let names = blank_names(peer, self.port, rng.u64(), self.iss);
        let opening = Opening::new(now, &names, &self.descriptor, rng.bytes32());
        let (algorithm, idle) = (self.config.algorithm, self.config.idle_timeout);
        let mut conn = Conn::new(Role::Initiator, names, algorithm, idle, now);
        let v6 = peer.is_ipv6();
        conn.tx.path.mtu = PathMtu::unicast(v6, self.longest_segment(v6));
        conn.tx.path.congestion.seed(rng.u64());
        let mut board = Scoreboard::new(algorithm, self.segment, INITIAL_RTO, self.log.next_pn());
        let v6 = self.group.as_ref().is_some_and(|tx| tx.group.addr.is_ipv6());
        board.path.mtu = PathMtu::group(v6, self.longest_segment(v6));
        Member::new(peer, conn, opening, &self.config, board)
    }

    pub(crate) fn state(&self) -> SessionState {
        if self.members.iter().all(|m| m.outcome.is_some()) {
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
        self.members.iter().all(|m| {
            m.outcome.is_some() || m.is_served() && self.store.is_source() && m.need.is_met(end)
        })
    }

    /// Where the FIN stands, once the application has written everything.
    pub(crate) fn fin(&self) -> Option<u64> {
        (self.finishing && self.store.is_ended()).then(|| self.store.end())
    }

    /// The length of the source becomes known.
    pub(crate) fn set_end(&mut self, len: u64) -> Result<(), EndError> {
        self.changed = true;
        self.store.set_end(len)
    }

    pub(crate) fn report(&self, now: Instant, index: usize) -> MemberReport {
        let m = &self.members[index];
        let until = m.ended_at.unwrap_or(now);
        MemberReport {
            addr: m.addr,
            outcome: m.outcome.clone(),
            mode: if m.mode == Mode::Gone { m.last_mode } else { m.mode },
            arrived: m.arrived,
            acked: m.need.held(),
            duration: until.since(self.began),
            transitions: m.transitions.clone(),
        }
    }

    /// Ends a member. Other members are not concerned.
    pub(crate) fn end_member(&mut self, now: Instant, index: usize, outcome: Result<(), Reason>) {
        let view = GroupView { log: &self.log, cursor: self.cursor.at() };
        self.members[index].end(now, self.began, outcome, &view);
        self.cursor.reconsider();
        self.elect();
        self.follow(index);
        self.release();
        self.changed = true;
    }

    /// Lets the ring give up what every member has.
    pub(crate) fn release(&mut self) {
        if self.store.is_source() {
            return;
        }
        let served = self.members.iter().filter(|m| m.is_served());
        if let Some(least) = served.map(|m| m.need.contiguous()).min()
            && least > self.store.base()
        {
            self.store.release(least);
            // What everybody has the group need not carry, and cannot any more.
            self.cursor.pass(self.store.base());
            self.changed = true;
        }
    }
}

fn check(config: &SessionConfig, peers: &[SocketAddr]) -> Result<(), ConfigError> {
    if peers.is_empty() {
        return Err(ConfigError::NoReceiver);
    }
    if peers.len() > MAX_MEMBERS {
        return Err(ConfigError::TooManyReceivers(peers.len(), MAX_MEMBERS));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = peers.iter().find(|p| !seen.insert(**p)) {
        return Err(ConfigError::Twice(*twice));
    }
    match config.content {
        Content::Source { len: Some(len) } if len > MAX_OFFSET => Err(ConfigError::TooLong(len)),
        Content::Stream { ring } if ring < PAYLOAD_V4 => Err(ConfigError::SmallBuffer(ring)),
        Content::Stream { .. } if config.declares => Err(ConfigError::Declarations),
        _ => match config.group {
            Some(group) if !group.addr.ip().is_multicast() => {
                Err(ConfigError::Group(group.addr.ip(), "not a multicast address"))
            }
            _ => Ok(()),
        },
    }
}

fn describe(config: &SessionConfig, segment: usize, group: Option<&GroupTx>) -> Descriptor {
    let mut features = Features::XM;
    if group.is_some() {
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
        group_cid: group.map_or(0, |g| g.cid),
        group: group.map(|g| g.group),
    }
}

#[cfg(test)]
mod tests;
