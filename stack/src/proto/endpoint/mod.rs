//! The endpoint: everything behind one set of sockets.
//!
//! The contract of a driver, in this order whenever anything happened: every datagram into
//! [`Endpoint::handle_datagram`]; [`Endpoint::handle_timeout`] if the deadline has passed;
//! [`Endpoint::poll_transmit`] until it gives `None`; [`Endpoint::poll_action`] and
//! [`Endpoint::poll_event`] likewise; then sleep until [`Endpoint::poll_timeout`].

use super::event::{
    Action, Arrival, ControlRead, Event, MemberId, ReadOutcome, ReceiverId, SessionId,
    SessionState, Transmit,
};
use super::time::Instant;
use crate::config::{Delivery, EndpointConfig, SessionConfig};
use crate::error::{ConfigError, Reason};
use crate::stats::{Arrived, MemberReport, Sent};
use core::ops::Range;
use std::net::SocketAddr;
use std::sync::Arc;

/// Sans-IO engine for any number of sending and receiving sessions.
#[derive(Debug)]
pub struct Endpoint {}

#[allow(unused_variables, clippy::unused_self, clippy::needless_pass_by_value)]
impl Endpoint {
    /// An endpoint whose every random choice follows from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Self {
        todo!()
    }

    // ---- the network's side ----

    /// Takes one read from a socket: one datagram, or a train of them with `arrival.stride`.
    /// Whatever the bytes are, it does not panic.
    pub fn handle_datagram(&mut self, now: Instant, arrival: &Arrival, bytes: &mut [u8]) {
        todo!()
    }

    /// Fills `buf` with the next train to send; `None` when there is nothing to send now.
    pub fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        todo!()
    }

    /// When to call [`Self::handle_timeout`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Lets every timer that is due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// The next thing the driver must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// The next object that changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// The answer to [`Action::Join`]: joined, or why not.
    pub fn handle_join(&mut self, now: Instant, receiver: ReceiverId, result: Result<(), String>) {
        todo!()
    }

    /// A datagram to `to` was too long for the path (EMSGSIZE): fall back to short ones.
    pub fn handle_oversize(&mut self, now: Instant, to: SocketAddr) {
        todo!()
    }

    // ---- sending sessions ----

    /// Begins a session to `peers`: SYNs go out with the next [`Self::poll_transmit`].
    pub fn connect(
        &mut self,
        now: Instant,
        config: SessionConfig,
        peers: &[SocketAddr],
    ) -> Result<SessionId, ConfigError> {
        todo!()
    }

    /// How far it is.
    pub fn session_state(&self, session: SessionId) -> SessionState {
        todo!()
    }

    /// Appends to a stream session's ring; gives the number of bytes taken, 0 when it is full.
    pub fn write(&mut self, now: Instant, session: SessionId, bytes: &[u8]) -> usize {
        todo!()
    }

    /// A range that a source session wants from [`Self::supply`], each once until it is given up.
    pub fn next_need(&mut self, session: SessionId) -> Option<Range<u64>> {
        todo!()
    }

    /// Answers a need: `bytes` are the needed range, whole.
    pub fn supply(&mut self, now: Instant, session: SessionId, offset: u64, bytes: Arc<[u8]>) {
        todo!()
    }

    /// Nothing more will be written; members are completed, then closed.
    pub fn finish(&mut self, now: Instant, session: SessionId) {
        todo!()
    }

    /// Ends the session now, for every member that has no outcome yet.
    pub fn abort(&mut self, now: Instant, session: SessionId, why: &str) {
        todo!()
    }

    /// Number of members.
    pub fn members(&self, session: SessionId) -> usize {
        todo!()
    }

    /// What became of a member, or how it stands.
    pub fn report(&self, now: Instant, member: MemberId) -> MemberReport {
        todo!()
    }

    /// What the session sent.
    pub fn sent(&self, session: SessionId) -> Sent {
        todo!()
    }

    /// Writes to a member's private stream; gives the number of bytes taken.
    pub fn member_write(
        &mut self,
        now: Instant,
        member: MemberId,
        bytes: &[u8],
    ) -> Result<usize, Reason> {
        todo!()
    }

    /// Reads from a member's private stream.
    pub fn member_read(
        &mut self,
        now: Instant,
        member: MemberId,
        buf: &mut [u8],
    ) -> Result<ControlRead, Reason> {
        todo!()
    }

    /// Frees a session; call it when its state is [`SessionState::Done`], or to abandon it.
    pub fn forget(&mut self, session: SessionId) {
        todo!()
    }

    // ---- receiving sessions ----

    /// The oldest established session that was not accepted yet.
    pub fn accept(&mut self) -> Option<ReceiverId> {
        todo!()
    }

    /// The sender's address.
    pub fn peer(&self, receiver: ReceiverId) -> SocketAddr {
        todo!()
    }

    /// Ordered or unordered, as the sender said.
    pub fn delivery(&self, receiver: ReceiverId) -> Delivery {
        todo!()
    }

    /// Reads data: in order, or whatever arrived, as the session's delivery says.
    pub fn read(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        buf: &mut [u8],
    ) -> Result<ReadOutcome, Reason> {
        todo!()
    }

    /// Writes to the private stream back to the sender; gives the number of bytes taken.
    pub fn control_write(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        bytes: &[u8],
    ) -> Result<usize, Reason> {
        todo!()
    }

    /// Reads from the sender's private stream.
    pub fn control_read(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        buf: &mut [u8],
    ) -> Result<ControlRead, Reason> {
        todo!()
    }

    /// How the session's bytes arrived.
    pub fn arrived(&self, receiver: ReceiverId) -> Arrived {
        todo!()
    }

    /// Gives the verdict (`Err` says why the bytes could not be used) and closes in good order.
    /// Before the end of the stream an `Err` aborts it for this receiver.
    pub fn close(&mut self, now: Instant, receiver: ReceiverId, verdict: Result<(), String>) {
        todo!()
    }

    /// Whether the sender has acknowledged the verdict, or cannot any more (then with the reason).
    pub fn closed(&self, receiver: ReceiverId) -> Option<Result<(), Reason>> {
        todo!()
    }

    /// Frees a receiver. Before it is closed, this aborts it.
    pub fn release(&mut self, now: Instant, receiver: ReceiverId) {
        todo!()
    }
}
