//! One association: a sender and one receiver, either end. One handshake, one set of keys, one
//! unicast packet number space each way, and two TCP conversations: data and control.
//!
//! What both ends share stands here; what a sender does with it stands in `proto::session`, what a
//! receiver does in `proto::recv::session`.

pub(crate) mod ack;
pub(crate) mod control;
pub(crate) mod emit;
mod fin;
pub(crate) mod handshake;
pub(crate) mod ids;
pub(crate) mod incoming;
pub(crate) mod life;
pub(crate) mod migration;
pub(crate) mod state;
pub(crate) mod syn;

use super::member::presence::SAID;
use super::recv::pns::PnTracker;
use super::send::path::Path;
use super::send::space::{Content, Fired, News, SendSpace};
use super::time::Instant;
use crate::config::Algorithm;
use crate::error::Reason;
use crate::seal::{Binding, Keys, Suite};
use crate::wire::COOKIE_LEN;
use crate::wire::{Ack, PAYLOAD_SHORT, Record, Seq};
use ack::{AckPolicy, Acks};
use control::{Control, Notice};
use core::time::Duration;
use fin::Fin;
use handshake::Opening;
use life::Life;
use migration::{Migration, NetPath};
use state::{Input, State};
use std::net::{IpAddr, SocketAddr};

/// Once everything is over, datagrams are still answered for so many probe time-outs, lest the
/// peer's last FIN stays unacknowledged (in place of RFC 9293's 2 MSL: connection ids are never
/// used again, so no late segment can be mistaken).
const LINGER_PTO: u32 = 3;
/// Who is asked something else, and answers, is borne for so many times as long as others: what answers may be
/// somebody who only wants to be waited for.
pub(crate) const BORNE: u32 = 2;
/// An end that is not agreed upon within this is broken off, however long the peer would be waited for before.
const CLOSING: Duration = Duration::from_secs(10);
/// A quiet association is asked for a sign of life four times within the idle time-out, …
const KEEPALIVES: u32 = 4;
/// … and so often at least: a sender takes who is silent for 10 s to be lost, for 2 s if its host says that nobody
/// listens ([`SAID`]), and hears by this where a NAT lets its receiver answer from now.
const KEEPALIVE_MAX: Duration = Duration::from_secs(1);
const _: () = assert!(KEEPALIVE_MAX.as_millis() * 2 <= SAID.as_millis());

/// How long an association is quiet before it is asked for a sign of life, and between two times.
fn keepalive(idle_timeout: Duration) -> Duration {
    (idle_timeout / KEEPALIVES).min(KEEPALIVE_MAX)
}

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// Addresses and names of an association, settled by its handshake.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) peer: SocketAddr,
    /// By which address the peer is trusted, wherever it has moved since.
    pub(crate) trusted_as: SocketAddr,
    /// The address of ours that was addressed.
    pub(crate) local: Option<IpAddr>,
    pub(crate) ifindex: u32,
    /// Our inner port.
    pub(crate) port: u16,
    pub(crate) local_cid: u64,
    pub(crate) remote_cid: u64,
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
}

impl Names {
    /// The same, with a peer that is reached by this way.
    pub(crate) fn moved(self, way: NetPath) -> Self {
        let NetPath { peer, local, ifindex } = way;
        Self { peer, local, ifindex, ..self }
    }
}

/// One end of an association.
#[derive(Debug)]
pub(crate) struct Conn {
    role: Role,
    names: Names,
    data_state: State,
    control_state: State,
    life: Life,
    tx: SendSpace,
    rx: PnTracker,
    control: Control,
    acks: Acks,
    data_fin: Fin,
    control_fin: Fin,
    ping_due: bool,
    abort_due: Option<String>,
    /// Why this side aborted: said again whenever the peer shows that it does not know.
    aborted: Option<String>,
    last_heard: Instant,
    /// This host slept until then, and could hear nothing.
    excused: Instant,
    /// Its silence does not end it, once it is proven: whoever has it looks for that.
    endures: bool,
    /// It is not taken to be silent before: its host is asked something else, and answers.
    bears_until: Instant,
    migration: Migration,
    idle_timeout: Duration,
    keepalive_at: Instant,
    linger_until: Option<Instant>,
    /// Since when the end is being agreed upon.
    closing: Option<Instant>,
}

impl Conn {
    /// The initiator's end, whose SYN is this.
    pub(crate) fn connect(
        names: Names,
        opening: Opening,
        algorithm: Algorithm,
        idle_timeout: Duration,
        now: Instant,
    ) -> Self {
        let life = Life::initiator(opening);
        let mut conn = Self::new(Role::Initiator, names, life, (algorithm, idle_timeout), now);
        conn.step(Input::Connect);
        conn
    }

    /// The responder's end: the third message has just proven these keys.
    pub(crate) fn accept(
        names: Names,
        keys: Keys,
        algorithm: Algorithm,
        idle_timeout: Duration,
        now: Instant,
    ) -> Self {
        let life = Life::responder(keys);
        let mut conn = Self::new(Role::Responder, names, life, (algorithm, idle_timeout), now);
        conn.step(Input::Syn);
        conn.step(Input::Proof);
        conn.demand_ack(); // the first sealed datagram tells the initiator that we are there
        conn
    }

    fn new(
        role: Role,
        names: Names,
        life: Life,
        (algorithm, idle_timeout): (Algorithm, Duration),
        now: Instant,
    ) -> Self {
        let mut rx = PnTracker::new();
        rx.start_at(0); // so that a lost first packet shows
        Self {
            role,
            names,
            data_state: State::Closed,
            control_state: State::Closed,
            life,
            tx: SendSpace::new(algorithm, PAYLOAD_SHORT as u64),
            rx,
            control: Control::new(),
            acks: Acks::default(),
            data_fin: Fin::default(),
            control_fin: Fin::default(),
            ping_due: false,
            abort_due: None,
            aborted: None,
            last_heard: now,
            excused: now,
            endures: false,
            migration: Migration::default(),
            idle_timeout,
            bears_until: now,
            keepalive_at: now + keepalive(idle_timeout),
            linger_until: None,
            closing: None,
        }
    }

    // What it is.

    /// Its addresses and names.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// What has been sent to the peer alone.
    pub(crate) fn tx(&self) -> &SendSpace {
        &self.tx
    }

    /// The way to the peer.
    pub(crate) fn path(&self) -> &Path {
        &self.tx.path
    }

    /// The way to the peer.
    pub(crate) fn path_mut(&mut self) -> &mut Path {
        &mut self.tx.path
    }

    /// The control conversation.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// The control conversation.
    pub(crate) fn control_mut(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Whether our SYN still waits for an answer.
    pub(crate) fn is_opening(&self) -> bool {
        self.life.is_opening()
    }

    /// Whether there are keys: our SYN was answered, or this side answered one.
    pub(crate) fn has_keys(&self) -> bool {
        self.life.keys().is_some()
    }

    /// Whether the peer has shown that it holds the keys.
    pub(crate) fn is_proven(&self) -> bool {
        self.life.is_proven()
    }

    /// When the SYN is to be repeated, while nothing has answered it.
    pub(crate) fn opening_deadline(&self) -> Option<Instant> {
        self.life.opening_deadline()
    }

    /// Whether a reply to our SYN comes from someone with the same frame key: if so, whether that proves
    /// anything. `None` as well when our SYN waits for nothing any more.
    pub(crate) fn is_replied(&self, reply: &[u8]) -> Option<bool> {
        self.life.opening()?.is_replied(reply)
    }

    /// Our SYN must bring this cookie.
    pub(crate) fn on_cookie(&mut self, now: Instant, cookie: &[u8; COOKIE_LEN]) {
        self.life.on_cookie(now, cookie);
    }

    /// The suite that seals it, once there are keys.
    pub(crate) fn suite(&self) -> Option<Suite> {
        self.life.keys().map(Keys::suite)
    }

    /// What tells this association from all others, once there are keys. A peer that forgets what it has answered before
    /// it has heard our proof answers otherwise, and it is another association.
    pub(crate) fn binding(&self) -> Option<Binding> {
        self.life.keys().map(Keys::binding)
    }

    /// The SYN is sent again, if its answer was never proven.
    pub(crate) fn begin_again(&mut self) {
        self.life.begin_again();
    }

    /// When something authentic came last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// Since when the peer is silent, as far as this host could hear it.
    pub(crate) fn silent_since(&self) -> Instant {
        self.last_heard.max(self.excused)
    }

    /// This host has slept until now: neither silence nor time-outs of that time speak against the peer.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.excused = now;
        self.tx.excuse(now);
    }

    /// The peer is there again: time-outs of its absence speak against no path, and what it repeats is no round trip.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.tx.forgive(now);
    }

    /// Its silence does not end it.
    pub(crate) fn endure(&mut self) {
        self.endures = true;
    }

    /// The peer lives, though it has nothing to say to us alone.
    pub(crate) fn lives(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Whether the peer has everything that was said on control, and the end of it.
    pub(crate) fn is_control_done(&self) -> bool {
        self.control_fin.is_acked() && self.control.all_acked()
    }

    /// Whether the peer is yet to be told that it was aborted here.
    pub(crate) fn owes_abort(&self) -> bool {
        self.abort_due.is_some()
    }

    /// Both conversations take a step of the handshake, or of the end, together.
    fn step(&mut self, input: Input) {
        self.data_state.step(input);
        self.control_state.step(input);
    }

    /// Both conversations, and the handshake, are over at once.
    fn end(&mut self) {
        self.step(Input::Abort);
        self.life.end();
    }

    /// Established, for as long as bytes may come or go.
    pub(crate) fn is_open(&self) -> bool {
        self.has_keys() && (self.control_state != State::Closed || self.data_state != State::Closed)
    }

    /// Whether both conversations have ended, but for the wait for late repetitions.
    fn is_over(&self) -> bool {
        self.data_state.is_over() && self.control_state.is_over()
    }

    /// Over for good: nothing will be sent or answered any more.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        self.is_over() && self.abort_due.is_none() && self.linger_until.is_none_or(|at| at <= now)
    }

    /// Asks the peer for an answer with the next datagram.
    pub(crate) fn ping(&mut self) {
        self.ping_due = true;
    }

    /// Whatever it does not do, it is not given up before; after [`BORNE`] times as long as usual it is.
    pub(crate) fn bears_until(&self) -> Instant {
        self.bears_until
    }

    /// Its silence ends it no sooner than then, within bounds.
    pub(crate) fn bear(&mut self, until: Instant) {
        self.bears_until = until;
    }

    /// Ends the association at once and tells the peer why (RST, RFC 9293, 3.10.5).
    pub(crate) fn abort(&mut self, why: &str) {
        if self.has_keys() && self.control_state != State::Closed {
            self.abort_due = Some(why.to_owned());
            self.aborted = self.abort_due.clone();
        }
        self.linger_until = None;
        self.end();
    }

    /// Whether it was aborted here; then the peer is told again (RFC 9293, 3.10.7.1).
    pub(crate) fn refuse_aborted(&mut self) -> bool {
        if self.aborted.is_some() {
            self.abort_due = self.aborted.clone();
        }
        self.aborted.is_some()
    }

    /// Whether acknowledgements are still given: until the end, and a little longer.
    pub(crate) fn answers(&self) -> bool {
        self.is_open() || self.linger_until.is_some()
    }

    /// Ends the association without a word: the peer is gone.
    pub(crate) fn drop_dead(&mut self) {
        self.end();
        self.abort_due = None;
        self.linger_until = None;
    }

    /// Closes our side of both conversations, once everything put in has been sent.
    pub(crate) fn close(&mut self) {
        self.control.close();
        self.control_fin.want();
        self.data_fin.want();
    }

    /// Closes our side of the data, once everything has been sent.
    pub(crate) fn close_data(&mut self) {
        self.data_fin.want();
    }

    /// Whether our data FIN is to be sent.
    pub(crate) fn is_data_fin_due(&self) -> bool {
        self.data_fin.is_due()
    }

    /// The peer's data FIN arrived, and everything before it.
    pub(crate) fn on_data_fin(&mut self) {
        self.data_state.step(Input::Fin);
    }

    /// The peer is told at once how we stand, unasked.
    pub(crate) fn demand_ack(&mut self) {
        self.acks.demand();
    }

    /// Acknowledges as the peer wants it.
    pub(crate) fn take_policy(&mut self, now: Instant, every: u32, delay: Duration) {
        let phase = self.names.local_cid as u32; // drawn at random
        self.acks.set_policy(now, every, delay, phase);
    }

    /// Tells the peer how to acknowledge.
    pub(crate) fn tell_policy(&mut self, policy: AckPolicy) {
        self.tx.expect_delay(policy.delay);
        let (every, delay_us) = (policy.every as u16, policy.delay.as_micros() as u32);
        self.control.push(&Record::AckPolicy { every, delay_us });
    }

    /// Something is sent that must be answered, whatever the window says (RFC 8985, 7.3).
    pub(crate) fn allow_probe(&mut self) {
        self.tx.allow_probe();
    }

    /// Takes what a report says of control, and of what was sent to the peer alone: that is given
    /// back.
    pub(crate) fn on_report(&mut self, now: Instant, ack: &Ack<'_>) -> Option<News> {
        self.control.on_report(ack.control_next, ack.control_edge);
        Some(self.tx.on_ack(now, ack.unicast.as_ref()?))
    }

    /// The peer is reached by this way.
    pub(crate) fn moved(&mut self, way: NetPath) {
        self.names = self.names.clone().moved(way);
    }

    /// Likewise, and it was reached by another one before: what was sent there is lost, and how much the new one carries
    /// is to be found out (RFC 9000, 9.4).
    pub(crate) fn migrate(&mut self, now: Instant, way: NetPath) -> News {
        if way.peer.ip() != self.names.peer.ip() {
            self.tx.path.mtu.doubt();
        }
        self.moved(way);
        self.demand_ack(); // what was said last may have gone where nobody is
        self.tx.begin_again(now)
    }

    /// Nothing leaves from an address that this host does not have any more.
    pub(crate) fn keep_addresses(&mut self, has: impl Fn(IpAddr) -> bool) {
        if self.names.local.is_some_and(|addr| !has(addr)) {
            (self.names.local, self.names.ifindex) = (None, 0);
        }
    }

    /// What a report has shown is booked: its lists are used again.
    pub(crate) fn recycle(&mut self, news: News) {
        self.tx.recycle(news);
    }

    /// Whether something of the peer's control is new to the application; told once.
    pub(crate) fn take_control_news(&mut self) -> bool {
        self.control.take_fresh() || self.control.peer_closed()
    }

    /// What one packet carried has arrived.
    pub(crate) fn content_acked(&mut self, content: &Content) {
        if !content.control.is_empty() {
            self.control.on_acked(content.control.clone());
        }
        if content.control_fin {
            self.control_fin.on_acked();
            self.control_state.step(Input::FinAcked);
        }
        if content.data_fin {
            self.data_fin.on_acked();
            self.data_state.step(Input::FinAcked);
        }
    }

    /// What one packet carried must be sent again.
    pub(crate) fn content_lost(&mut self, content: &Content) {
        if !content.control.is_empty() {
            self.control.on_lost(content.control.clone());
        }
        if content.control_fin {
            self.control_fin.on_lost();
        }
        if content.data_fin {
            self.data_fin.on_lost();
        }
        // A lost ping needs no repetition by itself, but its question stays unanswered.
        self.ping_due |= content.ping;
    }

    /// Decodes control records; on a violation the association is aborted.
    pub(crate) fn decode(&mut self, notices: &mut Vec<Notice>) -> Result<(), Reason> {
        if let Err(error) = self.control.decode(notices) {
            self.abort("malformed control record");
            return Err(Control::violation(error));
        }
        if self.control.peer_closed() {
            self.control_state.step(Input::Fin);
        }
        Ok(())
    }

    /// Begins to linger once all is over.
    pub(crate) fn settle(&mut self, now: Instant) {
        let closed = self.is_over() && self.aborted.is_none();
        if closed && self.linger_until.is_none() && self.has_keys() {
            let mut linger = self.tx.path.rtt.expected() * LINGER_PTO;
            // A receiver serves on anyway, so it also waits for the sender's repeated FIN; a sender
            // that leaves early costs its receivers nothing but an entry that times out.
            if self.role == Role::Responder {
                linger += self.tx.path.rtt.rto();
            }
            self.linger_until = Some(now + linger);
        }
    }

    /// The next moment at which [`Self::on_timer`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mut at = self.acks.deadline();
        let mut consider = |t: Option<Instant>| {
            if let Some(t) = t
                && at.is_none_or(|a| t < a)
            {
                at = Some(t);
            }
        };
        consider(self.linger_until);
        if self.is_open() {
            consider(self.tx.deadline());
            if !self.is_over() {
                consider(Some(
                    self.keepalive_at.max(self.silent_since() + keepalive(self.idle_timeout)),
                ));
            }
        }
        at
    }

    /// Fires what is due, and gives what is lost by that; an error means that the peer has been
    /// silent for too long.
    pub(crate) fn on_timer(&mut self, now: Instant) -> Result<(Fired, News), Reason> {
        self.acks.on_timer(now);
        if self.linger_until.is_some_and(|at| at <= now) {
            self.step(Input::Quiet);
            self.linger_until = None;
            self.drop_dead();
            return Ok((Fired::Nothing, News::default()));
        }
        if !self.is_open() {
            return Ok((Fired::Nothing, News::default()));
        }
        let quiet = now.since(self.silent_since());
        let closing =
            self.control_fin.is_wanted().then(|| now.since(*self.closing.get_or_insert(now)));
        let endured = self.endures && closing.is_none() && self.is_proven();
        let limit = self.idle_timeout.min(closing.map_or(Duration::MAX, |_| CLOSING));
        let quiet_or_closing = closing.map_or(quiet, |c| c.max(quiet));
        let borne = now < self.bears_until && quiet_or_closing < limit * BORNE;
        if quiet_or_closing >= limit && !borne && !endured && !self.is_over() {
            return Err(Reason::Silent(limit));
        }
        if quiet >= keepalive(self.idle_timeout) && now >= self.keepalive_at {
            self.keepalive_at = now + keepalive(self.idle_timeout);
            self.ping_due = true;
        }
        let (fired, news) = self.tx.on_timer(now);
        if matches!(fired, Fired::Probe | Fired::Timeout) {
            self.life.repeat_third();
        }
        Ok((fired, news))
    }
}

#[cfg(test)]
impl Conn {
    /// The initiator's end, answered and proven.
    pub(crate) fn establish(&mut self, keys: Keys) {
        self.life = Life::Established(keys);
        self.step(Input::SynAck);
    }
}
