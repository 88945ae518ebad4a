//! One association: a sender and one receiver, either end. One handshake, one set of keys, one
//! unicast packet number space each way, and two TCP conversations: data and control.
//!
//! What both ends share stands here; what a sender does with it stands in `proto::session`, what a
//! receiver does in `proto::recv::session`.

pub(crate) mod ack;
pub(crate) mod control;
pub(crate) mod emit;
pub(crate) mod handshake;
pub(crate) mod incoming;
pub(crate) mod state;

use super::recv::pns::PnTracker;
use super::send::space::{Content, Fired, News, SendSpace};
use super::time::Instant;
use crate::config::Algorithm;
use crate::error::Reason;
use crate::seal::Keys;
use crate::wire::{PAYLOAD_SHORT, Seq};
use ack::Acks;
use control::{Control, Notice};
use core::time::Duration;
use state::{Input, State};
use std::net::{IpAddr, SocketAddr};

/// Once everything is over, datagrams are still answered for so many probe time-outs, lest the
/// peer's last FIN stays unacknowledged (in place of RFC 9293's 2 MSL: connection ids are never
/// used again, so no late segment can be mistaken).
const LINGER_PTO: u32 = 3;
/// A quiet association is asked for a sign of life four times within the idle time-out.
const KEEPALIVES: u32 = 4;

/// The third handshake message, and its length.
pub(crate) type Third = ([u8; crate::seal::MAX_MESSAGE], usize);

/// Our FIN in one conversation.
#[derive(Debug, Default)]
pub(crate) struct Fin {
    pub(crate) wanted: bool,
    flying: bool,
    acked: bool,
}

impl Fin {
    pub(crate) fn due(&self) -> bool {
        self.wanted && !self.flying && !self.acked
    }
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

/// One end of an association.
#[derive(Debug)]
pub(crate) struct Conn {
    role: Role,
    pub(crate) names: Names,
    pub(crate) data: State,
    control_state: State,
    pub(crate) keys: Option<Keys>,
    /// The peer has shown that it holds the keys.
    proven: bool,
    pub(crate) tx: SendSpace,
    rx: PnTracker,
    pub(crate) control: Control,
    pub(crate) acks: Acks,
    pub(crate) data_fin: Fin,
    control_fin: Fin,
    /// The third handshake message, repeated with each flight until the peer is proven.
    third: Option<Third>,
    third_due: bool,
    /// The present flight has been led by it.
    third_led: bool,
    ping_due: bool,
    abort_due: Option<String>,
    /// Why this side aborted: said again whenever the peer shows that it does not know.
    aborted: Option<String>,
    last_heard: Instant,
    idle_timeout: Duration,
    keepalive_at: Instant,
    linger_until: Option<Instant>,
    /// Since when the end is being agreed upon.
    closing: Option<Instant>,
}

impl Conn {
    pub(crate) fn new(
        role: Role,
        names: Names,
        algorithm: Algorithm,
        idle_timeout: Duration,
        now: Instant,
    ) -> Self {
        let mut rx = PnTracker::new();
        rx.start_at(0); // so that a lost first packet shows
        let mut conn = Self {
            role,
            names,
            data: State::Closed,
            control_state: State::Closed,
            keys: None,
            proven: false,
            tx: SendSpace::new(algorithm, PAYLOAD_SHORT as u64),
            rx,
            control: Control::new(),
            acks: Acks::default(),
            data_fin: Fin::default(),
            control_fin: Fin::default(),
            third: None,
            third_due: false,
            third_led: false,
            ping_due: false,
            abort_due: None,
            aborted: None,
            last_heard: now,
            idle_timeout,
            keepalive_at: now + idle_timeout / KEEPALIVES,
            linger_until: None,
            closing: None,
        };
        let open = match role {
            Role::Initiator => Input::Connect,
            Role::Responder => Input::Syn,
        };
        conn.step(open);
        conn
    }

    /// Our SYN was answered: the keys are here, and the third message, which proves them, is due.
    pub(crate) fn answered(&mut self, now: Instant, keys: Keys, third: Third) {
        self.keys = Some(keys);
        self.third = Some(third);
        self.third_due = true;
        self.last_heard = now;
    }

    /// The peer repeats its answer: our third message was lost.
    pub(crate) fn repeat_third(&mut self) {
        self.third_due = self.third.is_some();
    }

    /// Ends the association before it began: without the third message there is none.
    pub(crate) fn turn_away(&mut self) {
        self.third = None;
        self.third_due = false;
        self.drop_dead();
    }

    /// Whether the peer has shown that it holds the keys.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// When something authentic came last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// The peer lives, though it has nothing to say to us alone.
    pub(crate) fn lives(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// Whether the peer has everything that was said on control, and the end of it.
    pub(crate) fn is_control_done(&self) -> bool {
        self.control_fin.acked && self.control.all_acked()
    }

    /// Whether the peer is yet to be told that it was aborted here.
    pub(crate) fn owes_abort(&self) -> bool {
        self.abort_due.is_some()
    }

    /// Both conversations take a step of the handshake, or of the end, together.
    pub(crate) fn step(&mut self, input: Input) {
        self.data.step(input);
        self.control_state.step(input);
    }

    /// Established, for as long as bytes may come or go.
    pub(crate) fn is_open(&self) -> bool {
        self.keys.is_some() && (self.control_state != State::Closed || self.data != State::Closed)
    }

    /// Whether both conversations have ended, but for the wait for late repetitions.
    fn is_over(&self) -> bool {
        self.data.is_over() && self.control_state.is_over()
    }

    /// Over for good: nothing will be sent or answered any more.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        self.is_over() && self.abort_due.is_none() && self.linger_until.is_none_or(|at| at <= now)
    }

    /// Asks the peer for an answer with the next datagram.
    pub(crate) fn ping(&mut self) {
        self.ping_due = true;
    }

    /// Ends the association at once and tells the peer why (RST, RFC 9293, 3.10.5).
    pub(crate) fn abort(&mut self, why: &str) {
        if self.keys.is_some() && self.control_state != State::Closed {
            self.abort_due = Some(why.to_owned());
            self.aborted = self.abort_due.clone();
        }
        self.linger_until = None;
        self.step(Input::Abort);
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
        self.step(Input::Abort);
        self.abort_due = None;
        self.linger_until = None;
    }

    /// Closes our side of both conversations, once everything put in has been sent.
    pub(crate) fn close(&mut self) {
        self.control.close();
        self.control_fin.wanted = true;
        self.data_fin.wanted = true;
    }

    /// What one packet carried has arrived.
    pub(crate) fn content_acked(&mut self, content: &Content) {
        if !content.control.is_empty() {
            self.control.on_acked(content.control.clone());
        }
        if content.control_fin {
            self.control_fin.acked = true;
            self.control_state.step(Input::FinAcked);
        }
        if content.data_fin {
            self.data_fin.acked = true;
            self.data.step(Input::FinAcked);
        }
    }

    /// What one packet carried must be sent again.
    pub(crate) fn content_lost(&mut self, content: &Content) {
        if !content.control.is_empty() {
            self.control.on_lost(content.control.clone());
        }
        self.control_fin.flying &= !content.control_fin;
        self.data_fin.flying &= !content.data_fin;
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
        if closed && self.linger_until.is_none() && self.keys.is_some() {
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
                    self.keepalive_at.max(self.last_heard + self.idle_timeout / KEEPALIVES),
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
        let quiet = now.since(self.last_heard);
        let closing = self.control_fin.wanted.then(|| now.since(*self.closing.get_or_insert(now)));
        let quiet_or_closing = closing.map_or(quiet, |c| c.max(quiet));
        if quiet_or_closing >= self.idle_timeout && !self.is_over() {
            return Err(Reason::Silent(self.idle_timeout));
        }
        if quiet >= self.idle_timeout / KEEPALIVES && now >= self.keepalive_at {
            self.keepalive_at = now + self.idle_timeout / KEEPALIVES;
            self.ping_due = true;
        }
        let (fired, news) = self.tx.on_timer(now);
        if matches!(fired, Fired::Probe | Fired::Timeout) {
            self.third_due = self.third.is_some() && !self.proven;
        }
        Ok((fired, news))
    }
}
