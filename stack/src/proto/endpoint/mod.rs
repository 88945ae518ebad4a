//! The endpoint: everything behind one set of sockets.
//!
//! The contract of a driver, in this order whenever anything happened: every datagram into
//! [`Endpoint::handle_datagram`]; [`Endpoint::handle_timeout`] if the deadline has passed;
//! [`Endpoint::poll_transmit`] until it gives `None`; [`Endpoint::poll_action`] and
//! [`Endpoint::poll_event`] likewise; then sleep until [`Endpoint::poll_timeout`].

mod announce;
mod cookie;
mod counting;
pub(crate) mod demux;
mod groups;
mod half_open;
pub mod held;
pub(crate) mod listen;
mod meter;
mod receiving;
mod refresh;
mod sending;

use super::conn::handshake::SynTag;
use super::conn::ids::Ids;
use super::event::{Action, Arrival, Event, ReceiverId, SessionId, SocketLoad, Transmit};
use super::recv::pressure::Pressure;
use super::recv::session::Receiving;
use super::rng::Rng;
use super::session::Session;
use super::session::renew::Renamed;
use super::time::Instant;
use crate::config::EndpointConfig;
use crate::error::Unreachable;
use crate::trust::{CidKey, NoiseKey};
use core::ops::Bound;
use groups::Groups;
use listen::Listener;
use refresh::Paces;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Whose datagrams carry a connection id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Member(SessionId, usize),
    Receiver(ReceiverId),
}

/// Sans-IO engine for any number of sending and receiving sessions.
///
/// Ordered maps throughout: the order in which sessions are served must follow from the inputs
/// alone.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    /// What its handshakes show where no identity is asked for.
    key: NoiseKey,
    rng: Rng,
    now: Instant,
    next_id: u64,
    sessions: BTreeMap<SessionId, Session>,
    receivers: BTreeMap<ReceiverId, Receiving>,
    owners: BTreeMap<u64, Owner>,
    /// Receivers by the SYN that they began with.
    owners_by_syn: BTreeMap<SynTag, ReceiverId>,
    groups: Groups,
    /// If SYNs are answered.
    listener: Option<Listener>,
    /// Why no session begins here any more, if that is so.
    closing: Option<String>,
    /// Established, not yet accepted.
    incoming: VecDeque<ReceiverId>,
    incoming_changed: bool,
    /// That somebody came who may not send here.
    stranger_told: bool,
    /// Joins to be made; at most one per receiver.
    joins: VecDeque<Action>,
    /// How often memberships are reported, for each interface.
    paces: Paces,
    /// On the sockets that the receivers are heard through.
    pressure: Pressure,
    /// Receivers served last in this turn, so that none starves.
    receiver_cursor: u64,
}

impl Endpoint {
    /// An endpoint whose every random choice follows from `seed`.
    pub fn new(mut config: EndpointConfig, seed: [u8; 32]) -> Self {
        let key = NoiseKey::drawn(&seed);
        let mut rng = Rng::new(seed);
        let cids = config.cid_key.clone();
        let cids = cids.unwrap_or_else(|| CidKey::new(rng.bytes32()));
        let listen = config.listen.take();
        let listener = listen.map(|trust| Listener::new(trust, key.clone(), cids, &mut rng));
        Self {
            config,
            key,
            rng,
            now: Instant::ZERO,
            next_id: 0,
            sessions: BTreeMap::new(),
            receivers: BTreeMap::new(),
            owners: BTreeMap::new(),
            owners_by_syn: BTreeMap::new(),
            groups: Groups::default(),
            listener,
            closing: None,
            incoming: VecDeque::new(),
            incoming_changed: false,
            stranger_told: false,
            joins: VecDeque::new(),
            paces: Paces::default(),
            pressure: Pressure::default(),
            receiver_cursor: 0,
        }
    }

    /// Takes one read from a socket: one datagram, or a train of them with `arrival.stride`.
    /// Whatever the bytes are, it does not panic. They are opened in place; control, which may carry keys,
    /// is overwritten.
    pub fn handle_datagram(&mut self, now: Instant, arrival: &Arrival, bytes: &mut [u8]) {
        self.now = now;
        let stride = if arrival.stride == 0 { bytes.len().max(1) } else { arrival.stride };
        for datagram in bytes.chunks_mut(stride) {
            self.dispatch(now, arrival, datagram);
        }
    }

    /// Fills `buf` with the next train to send; `None` when there is nothing to send now. `buf`
    /// must hold at least one full datagram; a train is never longer than 64 KiB.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.now = now;
        if let Some(reply) = self.listener.as_mut().and_then(Listener::pop_reply) {
            let len = reply.bytes.len();
            buf[..len].copy_from_slice(&reply.bytes);
            return Some(single(reply.to, reply.from, reply.ifindex, len));
        }
        let transmit = self.poll_receivers(now, buf).or_else(|| {
            self.sessions.values_mut().find_map(|session| {
                session.refresh(now);
                session.poll_transmit(now, buf)
            })
        });
        if transmit.is_none() {
            self.reap(now); // the last datagram of some may have been all they waited for
        }
        transmit
    }

    /// The receivers take turns: those after the one served last come first.
    fn poll_receivers(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let last = ReceiverId(self.receiver_cursor);
        let after = (Bound::Excluded(last), Bound::Unbounded);
        for range in [after, (Bound::Unbounded, Bound::Included(last))] {
            for (id, receiver) in self.receivers.range_mut(range) {
                if let Some((way, len)) = receiver.emit_aside(now, buf) {
                    return Some(single(way.peer, way.local, way.ifindex, len));
                }
                if let Some(len) = receiver.emit(now, buf) {
                    self.receiver_cursor = id.0;
                    let names = receiver.conn.names();
                    return Some(single(names.peer, names.local, names.ifindex, len));
                }
            }
        }
        None
    }

    /// When to call [`Self::handle_timeout`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sessions = self.sessions.values().filter_map(|s| s.deadline(self.now));
        let receivers = self.receivers.values().filter_map(Receiving::deadline);
        let half_open = self.listener.as_ref().and_then(Listener::deadline);
        sessions.chain(receivers).chain(self.pressure.deadline()).chain(half_open).min()
    }

    /// Lets every timer that is due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for session in self.sessions.values_mut() {
            session.on_timer(now);
        }
        self.renew(now);
        for receiver in self.receivers.values_mut() {
            receiver.on_timer(now);
        }
        if let Some(listener) = &mut self.listener {
            listener.on_timer(now);
        }
        if self.pressure.on_timer(now) {
            self.share_credit();
        }
        self.reap(now);
    }

    /// Lets members begin again that have forgotten their sessions: they get other connection ids.
    fn renew(&mut self, now: Instant) {
        let Self { sessions, owners, rng, .. } = self;
        for (id, session) in sessions {
            loop {
                let mut ids = Ids { rng, taken: &|id| owners.contains_key(&id) };
                let Some(Renamed { index, was, is }) = session.renew(now, &mut ids) else { break };
                was.map(|was| owners.remove(&was));
                is.map(|is| owners.insert(is, Owner::Member(*id, index)));
            }
        }
    }

    /// A socket still has more than one turn reads. Where that is too much, the peers get less
    /// credit, until it is over.
    pub fn handle_load(&mut self, now: Instant, load: &SocketLoad) {
        self.now = now;
        if self.pressure.on_load(now, load) {
            self.share_credit();
        }
    }

    /// Each session's part of what the sockets can hold, if they are under pressure.
    pub(super) fn share_credit(&mut self) {
        let share = self.pressure.share(self.receivers.len());
        self.receivers.values_mut().for_each(|receiver| receiver.bound_credit(share));
    }

    /// The next thing the driver must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(join) = self.joins.pop_front() {
            return Some(join);
        }
        if let Some(refresh) = self.next_refresh() {
            return Some(refresh);
        }
        if let Some(begun) = self.next_begun() {
            return Some(begun);
        }
        if let Some(leave) = self.next_move() {
            return Some(leave);
        }
        if let Some(count) = self.next_count() {
            return Some(count);
        }
        let (id, receiver) = self.receivers.iter_mut().find(|(_, r)| r.leave_due)?;
        receiver.leave_due = false;
        if let Some(mut group) = receiver.group.take() {
            self.groups.remove(group.cid(), *id);
            if let Some(pace) = group.learnt() {
                self.paces.learn(receiver.conn.names().ifindex, pace);
            }
        }
        let id = *id;
        self.reap(self.now);
        Some(Action::Leave { receiver: id })
    }

    /// The next object that changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.incoming_changed) {
            return Some(Event::Incoming);
        }
        if self.listener.as_ref().is_some_and(Listener::has_stranger) && !self.stranger_told {
            self.stranger_told = true;
            return Some(Event::Stranger);
        }
        let session = self.sessions.iter_mut().find_map(|(id, s)| {
            let renewed = s.take_renewal().then_some(Event::Renewed(*id));
            renewed.or_else(|| s.take_changed().then_some(Event::Session(*id)))
        });
        session.or_else(|| {
            self.receivers
                .iter_mut()
                .find_map(|(id, r)| core::mem::take(&mut r.changed).then_some(Event::Receiver(*id)))
        })
    }

    /// The answer to [`Action::Join`]: joined, or why not.
    pub fn handle_join(&mut self, now: Instant, receiver: ReceiverId, result: Result<(), String>) {
        self.now = now;
        if let Some(receiver) = self.receivers.get_mut(&receiver) {
            let pace = self.paces.get(receiver.conn.names().ifindex);
            receiver.on_join(now, result, pace);
        }
    }

    /// The system refused datagrams of `len` bytes to `to` as too long (EMSGSIZE): they are lost,
    /// and shorter ones follow.
    pub fn handle_oversize(&mut self, now: Instant, to: SocketAddr, len: usize) {
        self.now = now;
        self.sessions.values_mut().for_each(|session| session.on_oversize(to, len));
    }

    /// A datagram to `to` could not be delivered, the system or the network says (ICMP), and why.
    pub fn handle_unreachable(&mut self, now: Instant, to: SocketAddr, why: Unreachable) {
        self.now = now;
        for session in self.sessions.values_mut() {
            session.on_unreachable(now, to, why);
        }
    }

    /// A datagram to `to` was not sent, and none can be: this host cannot send there at all, for this reason.
    pub fn handle_unsendable(&mut self, now: Instant, to: SocketAddr, why: Unreachable) {
        self.now = now;
        for session in self.sessions.values_mut() {
            session.on_unsendable(now, to, why);
        }
    }

    /// No session begins here any more: SYNs are refused with `why`, but those that were answered may go on to
    /// be told.
    pub fn close_listener(&mut self, why: &str) {
        self.closing.get_or_insert_with(|| why.to_owned());
    }

    /// Whether sessions still have datagrams to send or to answer: the driver should go on for as
    /// long as it says so, though the application holds nothing any more.
    pub fn lingers(&self) -> bool {
        self.sessions.values().any(|s| !s.is_quiet(self.now))
            || self.receivers.values().any(|r| r.released)
            // Their senders may take them to be open already, and are told that nobody is here any more once
            // the third message comes.
            || self.listener.as_ref().is_some_and(|listener| listener.half_open() > 0)
    }

    /// Frees what is over and given up by the application.
    fn reap(&mut self, now: Instant) {
        let Self { sessions, receivers, owners, owners_by_syn, groups, .. } = self;
        sessions.retain(|id, s| {
            let keep = !(s.is_forgotten() && s.is_quiet(now));
            if !keep {
                owners.retain(|_, o| !matches!(o, Owner::Member(of, _) if of == id));
            }
            keep
        });
        receivers.retain(|id, r| {
            let over = r.ended.is_some() || r.conn.is_gone(now);
            let keep = !r.released || !over || r.leave_due || r.conn.owes_abort();
            if !keep {
                let names = r.conn.names();
                owners.remove(&names.local_cid);
                owners_by_syn.remove(r.pass().syn());
                if let Some(group) = &r.group {
                    groups.remove(group.cid(), *id);
                }
            }
            keep
        });
    }
}

fn single(to: SocketAddr, from: Option<std::net::IpAddr>, ifindex: u32, len: usize) -> Transmit {
    Transmit { to, from, ifindex, len, segment_size: len, datagrams: 1, ecn: 0 }
}
