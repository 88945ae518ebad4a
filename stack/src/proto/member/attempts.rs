//! A receiver that has several addresses: a SYN to each, side by side, until one is answered by whom the sender
//! trusts (RFC 8305, 5). All others are dropped then; where they were answered as well, nothing follows the answer,
//! and the other end forgets what it has answered as it does with every handshake that stops in the middle.

use super::Member;
use super::candidates::Candidates;
use super::setback::{Setback, Surety, combined};
use crate::error::{Reason, Unreachable};
use crate::proto::conn::incoming::Answer;
use crate::proto::conn::syn::Syn;
use crate::proto::event::Arrival;
use crate::proto::send::mtu::PathMtu;
use crate::proto::time::Instant;
use crate::wire::{Header, Reply};
use core::time::Duration;
use core::{iter, mem};
use std::net::SocketAddr;

/// A SYN to another address than that of the member's association.
#[derive(Debug)]
pub(crate) struct Attempt {
    syn: Syn,
    /// Of the way to that address.
    mtu: PathMtu,
    setback: Setback,
}

impl Attempt {
    pub(crate) fn new(syn: Syn, mtu: PathMtu) -> Self {
        Self { syn, mtu, setback: Setback::default() }
    }

    pub(crate) fn cid(&self) -> u64 {
        self.syn.names().local_cid
    }

    fn addr(&self) -> SocketAddr {
        self.syn.names().peer
    }
}

/// What is tried, and what is still to be, beside the address of the member's association.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    beside: Vec<Attempt>,
    untried: Candidates,
}

impl Attempts {
    /// One address is settled upon, or none is needed any more.
    pub(super) fn clear(&mut self) {
        self.beside = Vec::new();
        self.untried.clear();
    }

    /// Of what is tried the first that is so.
    fn find(&self, is: impl Fn(&Attempt) -> bool) -> Option<usize> {
        self.beside.iter().position(is)
    }
}

impl Member {
    /// Further addresses that it may be at.
    pub(crate) fn may_be_at(&mut self, untried: Candidates) {
        self.attempts.untried = untried;
    }

    /// When a SYN to another address is due, for the first time or again.
    pub(crate) fn attempts_deadline(&self) -> Option<Instant> {
        let syns = self.attempts.beside.iter().filter_map(|attempt| attempt.syn.deadline());
        syns.chain(self.attempts.untried.deadline()).min()
    }

    /// The address that is to be tried now.
    pub(crate) fn next_address(&mut self, now: Instant) -> Option<SocketAddr> {
        self.attempts.untried.take(now).filter(|_| self.conn.is_opening())
    }

    /// That is tried by this SYN.
    pub(crate) fn try_beside(&mut self, attempt: Attempt) {
        self.attempts.beside.push(attempt);
    }

    /// Writes the SYN to another address that is due, and says which that is.
    pub(crate) fn emit_attempt(
        &mut self,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        let due = |attempt: &Attempt| attempt.syn.deadline().is_some_and(|at| at <= now);
        let index = self.attempts.find(due).filter(|_| self.conn.is_opening())?;
        let to = self.attempts.beside[index].addr();
        self.in_place(index, |m| m.conn.emit_syn(now, buf)).map(|len| (to, len))
    }

    /// Does something as if this attempt were the member's association, which is opening as well.
    fn in_place<R>(&mut self, index: usize, act: impl FnOnce(&mut Self) -> R) -> R {
        self.swap_attempt(index);
        let result = act(self);
        self.swap_attempt(index);
        result
    }

    fn swap_attempt(&mut self, index: usize) {
        let attempt = &mut self.attempts.beside[index];
        self.conn.swap_syn(&mut attempt.syn);
        mem::swap(&mut self.setback, &mut attempt.setback);
    }

    /// Takes a SYN-ACK to the SYN with this id, which is not that of the association: if it is good, the member
    /// is where it came from.
    pub(super) fn on_other_answer(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) -> Option<Answer> {
        let cid = header.0.encap.cid;
        let index = self.attempts.find(|attempt| attempt.cid() == cid)?;
        self.swap_attempt(index);
        let answer = self.on_own_answer(now, arrival, header, datagram);
        if answer.is_none() {
            self.swap_attempt(index);
            return None;
        }
        // The round trip stays, which the answer has just shown.
        self.conn.path_mut().mtu = self.attempts.beside.swap_remove(index).mtu;
        self.addr = self.conn.names().peer;
        answer
    }

    /// A reply to one of its SYNs.
    pub(crate) fn on_replied(
        &mut self,
        now: Instant,
        from: SocketAddr,
        reply: &Reply<'_>,
        bytes: &[u8],
    ) {
        if let Some(index) = self.attempts.find(|attempt| attempt.cid() == reply.cid) {
            if self.attempts.beside[index].addr() == from {
                self.in_place(index, |m| m.on_reply(now, reply, bytes));
            }
        } else if self.addr == from {
            self.on_reply(now, reply, bytes);
        }
    }

    /// Whether it is sought there.
    pub(crate) fn is_sought_at(&self, addr: SocketAddr) -> bool {
        self.addr == addr || self.attempts.find(|attempt| attempt.addr() == addr).is_some()
    }

    /// Nothing gets to one of its addresses, it is said: of interest while it has not answered.
    pub(crate) fn on_unreachable(
        &mut self,
        now: Instant,
        (to, why): (SocketAddr, Unreachable),
        surety: Surety,
    ) {
        if !self.conn.is_opening() || self.outcome().is_some() {
            return;
        }
        let note = |m: &mut Self| {
            let next_syn = m.conn.opening_deadline();
            m.set_back(now, |setback| setback.unreachable(now, why, next_syn, surety));
        };
        match self.attempts.find(|attempt| attempt.addr() == to) {
            Some(index) => self.in_place(index, note),
            None => note(self),
        }
    }

    /// Something came instead of an answer: if it is the first from there, the next address is tried at once
    /// (RFC 8305, 5).
    pub(super) fn set_back(&mut self, now: Instant, note: impl FnOnce(&mut Setback)) {
        if self.setback.is_none() {
            self.attempts.untried.hasten(now);
        }
        note(&mut self.setback);
    }

    /// When it fails for what came instead of an answer: from each of its addresses.
    pub(crate) fn fails_at(&self) -> Option<Instant> {
        if !self.conn.is_opening() || !self.attempts.untried.is_empty() {
            return None;
        }
        let beside = self.attempts.beside.iter().map(|attempt| &attempt.setback);
        let mut all = iter::once(&self.setback).chain(beside);
        all.try_fold(Instant::ZERO, |last, setback| Some(last.max(setback.fails_at()?)))
    }

    /// It has not answered for as long as it may, `waited`: why it fails.
    pub(crate) fn give_up(&mut self, waited: Duration) -> Reason {
        self.conn.drop_dead();
        let own = (self.addr, self.setback.take_hint());
        let beside = mem::take(&mut self.attempts).beside.into_iter();
        let beside = beside.map(|mut attempt| (attempt.addr(), attempt.setback.take_hint()));
        combined(&iter::once(own).chain(beside).collect::<Vec<_>>(), waited)
    }
}
