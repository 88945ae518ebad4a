//! The application's side of receiving sessions.

use super::Endpoint;
use super::listen::Listener;
use crate::config::Delivery;
use crate::error::{DeclareError, Reason};
use crate::proto::event::{ControlRead, ReadOutcome, ReceiverId, Stranger};
use crate::proto::recv::group::GroupRx;
use crate::proto::recv::session::Receiving;
use crate::proto::time::Instant;
use crate::seal::Binding;
use crate::stats::{Arrived, Crowded, Foreign, Sent};
use crate::trust::{ListenTrust, PublicKey};
use core::ops::Range;
use core::time::Duration;
use std::net::SocketAddr;

impl Endpoint {
    /// The oldest established session that was not accepted yet.
    pub fn accept(&mut self) -> Option<ReceiverId> {
        self.incoming.pop_front()
    }

    /// The sender's address; `None` for an unknown receiver.
    pub fn peer(&self, receiver: ReceiverId) -> Option<SocketAddr> {
        self.receivers.get(&receiver).map(|r| r.conn.names().peer)
    }

    /// The key that the sender has shown; `None` without one, and for an unknown receiver.
    pub fn peer_key(&self, receiver: ReceiverId) -> Option<PublicKey> {
        self.receivers.get(&receiver).and_then(|r| r.pass().key())
    }

    /// What tells the association with the sender from all others; `None` for an unknown receiver.
    pub fn binding(&self, receiver: ReceiverId) -> Option<Binding> {
        self.receivers.get(&receiver).and_then(|r| r.conn.binding())
    }

    /// From now on others may send. Sessions of those who may not any more end.
    pub fn set_trust(&mut self, now: Instant, trust: ListenTrust) {
        self.now = now;
        let Self { listener, receivers, .. } = self;
        let Some(listener) = listener else { return };
        listener.set_trust(trust);
        for receiver in receivers.values_mut() {
            if let Err(why) = listener.admit(receiver.pass()) {
                receiver.revoke(&why);
            }
        }
    }

    /// Somebody who came and may not send here, in the order in which they came.
    pub fn next_stranger(&mut self) -> Option<Stranger> {
        self.stranger_told = false;
        self.listener.as_mut()?.next_stranger()
    }

    /// SYNs for which there was no place.
    pub fn crowded(&self) -> Crowded {
        self.listener.as_ref().map_or_else(Crowded::default, Listener::crowded)
    }

    /// Ordered or unordered, as the sender said.
    pub fn delivery(&self, receiver: ReceiverId) -> Delivery {
        self.receivers.get(&receiver).map_or(Delivery::Ordered, |r| r.delivery)
    }

    /// Reads data: in order, or whatever arrived, as the session's delivery says. What arrived
    /// before an error can still be read after it.
    pub fn read(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        buf: &mut [u8],
    ) -> Result<ReadOutcome, Reason> {
        self.get(now, receiver)?.read(buf)
    }

    /// The application holds these ranges of the stream, in bytes: they are not sent, nor handed out.
    pub fn have(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        ranges: &[Range<u64>],
    ) -> Result<(), DeclareError> {
        self.get(now, receiver).map_err(DeclareError::Over)?.have(ranges)
    }

    /// The application lacks these ranges, as far as it neither holds nor received them: in a session
    /// that asks for declarations nothing is sent that was not declared to be lacking.
    pub fn lack(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        ranges: &[Range<u64>],
    ) -> Result<(), DeclareError> {
        self.get(now, receiver).map_err(DeclareError::Over)?.lack(ranges)
    }

    /// The application lacks a range after all that it holds or received: it is sent, and handed out,
    /// again.
    pub fn again(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        range: Range<u64>,
    ) -> Result<(), DeclareError> {
        self.get(now, receiver).map_err(DeclareError::Over)?.again(range)
    }

    /// Whether the sender asks what the application holds.
    pub fn declares(&self, receiver: ReceiverId) -> bool {
        self.receivers.get(&receiver).is_some_and(|r| r.declares)
    }

    /// Writes to the private stream back to the sender; gives the number of bytes taken.
    pub fn control_write(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        bytes: &[u8],
    ) -> Result<usize, Reason> {
        self.get(now, receiver)?.control_write(bytes)
    }

    /// Reads from the sender's private stream.
    pub fn control_read(
        &mut self,
        now: Instant,
        receiver: ReceiverId,
        buf: &mut [u8],
    ) -> Result<ControlRead, Reason> {
        self.get(now, receiver)?.control_read(buf)
    }

    /// How the session's bytes arrived.
    pub fn arrived(&self, receiver: ReceiverId) -> Arrived {
        self.receivers.get(&receiver).map_or_else(Arrived::default, |r| r.arrived)
    }

    /// What came to the session's group from elsewhere than its sender.
    pub fn foreign(&self, receiver: ReceiverId) -> Foreign {
        let group = self.receivers.get(&receiver).and_then(|r| r.group.as_ref());
        group.map_or_else(Foreign::default, GroupRx::foreign)
    }

    /// What went back to the sender: datagrams only, no stream bytes.
    pub fn receiver_sent(&self, receiver: ReceiverId) -> Sent {
        self.receivers.get(&receiver).map_or_else(Sent::default, |r| r.sent)
    }

    /// Gives the verdict (`Err` says why the bytes could not be used) and closes in good order.
    /// Before the end of the stream it is always a failure, and ends the session for this receiver.
    pub fn close(&mut self, now: Instant, receiver: ReceiverId, verdict: Result<(), String>) {
        if let Ok(receiver) = self.get(now, receiver) {
            receiver.close(verdict);
        }
    }

    /// Why a receiving session is over before its end: the sender's reason, the network's, or what
    /// this side said when it closed early. `None` while it goes on, and after a good end.
    pub fn over(&self, receiver: ReceiverId) -> Option<Reason> {
        self.receivers.get(&receiver).and_then(Receiving::over)
    }

    /// For how long nothing has come from a session's sender; `None` once it is over.
    pub fn silence(&self, now: Instant, receiver: ReceiverId) -> Option<Duration> {
        let receiving = self.receivers.get(&receiver).filter(|r| r.over().is_none())?;
        Some(now.since(receiving.last_heard()))
    }

    /// Asks a session's sender for a sign of life: if it is there, [`Self::silence`] ends within a round trip.
    pub fn ping(&mut self, now: Instant, receiver: ReceiverId) {
        if let Ok(receiver) = self.get(now, receiver) {
            receiver.ping();
        }
    }

    /// Whether the sender has acknowledged the verdict, or cannot any more (then with the reason).
    pub fn closed(&self, receiver: ReceiverId) -> Option<Result<(), Reason>> {
        self.receivers.get(&receiver).map_or(Some(Err(unknown())), Receiving::closed)
    }

    /// Gives a receiver up; it is freed when its last datagrams are out. Before it is closed, this
    /// ends the session for this receiver.
    pub fn release(&mut self, now: Instant, receiver: ReceiverId) {
        self.incoming.retain(|id| *id != receiver);
        if let Ok(r) = self.get(now, receiver) {
            r.close(Err("the receiving application gave up".to_owned()));
            r.released = true;
        }
        self.reap(now);
    }

    fn get(&mut self, now: Instant, receiver: ReceiverId) -> Result<&mut Receiving, Reason> {
        self.now = now;
        self.receivers.get_mut(&receiver).ok_or_else(unknown)
    }
}

fn unknown() -> Reason {
    Reason::Cancelled("no such receiver".to_owned())
}
