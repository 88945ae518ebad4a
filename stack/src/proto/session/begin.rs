//! How members begin and end: the SYN-ACK, the start rule, records on control, FIN and verdict.

use super::Session;
use super::settle::Told;
use crate::error::{Reason, Unreachable};
use crate::proto::conn::control::Notice;
use crate::proto::conn::incoming::{AnswerKind, Incoming};
use crate::proto::conn::migration::NetPath;
use crate::proto::event::Arrival;
use crate::proto::member::Member;
use crate::proto::member::mode::Cause;
use crate::proto::member::presence::Word;
use crate::proto::member::setback::Surety;
use crate::proto::time::Instant;
use crate::seal::frame::NO_TAG;
use crate::wire::{Features, Header, Kind, Reply};
use std::net::{IpAddr, SocketAddr};

impl Session {
    /// Takes a SYN-ACK for a member.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        index: usize,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) {
        let m = &mut self.members[index];
        if m.on_question_answered(now, arrival, header, datagram) {
            return;
        }
        let Some(answer) = m.on_syn_ack(now, arrival, header, datagram) else { return };
        if let AnswerKind::Again(news) = answer.kind {
            self.settle(now, index, Told::Alone(news));
            if !answer.features.contains(Features::GROUPS) {
                self.change(now, index, Cause::CannotJoin);
            }
            return;
        }
        self.begin(now, index, answer.features);
    }

    /// A member has just been established.
    pub(super) fn begin(&mut self, now: Instant, index: usize, features: Features) {
        let end = self.store.end();
        self.members[index].need_mut().begin_to_wait(now, self.config.declare_wait, end);
        self.first_answer.get_or_insert(now);
        self.admit(now, index, features);
    }

    /// It is told what there is, if it does not come too late.
    fn admit(&mut self, now: Instant, index: usize, features: Features) {
        if self.store.base() > 0 {
            if self.members[index].restarts() > 0 {
                return self.end_forgotten(now, index);
            }
            self.members[index].conn_mut().drop_dead(); // without the third message there is none
            self.end_member(now, index, Err(Reason::TooLate));
            return;
        }
        let joins = features.contains(Features::XM) && features.contains(Features::GROUPS);
        let Self { members, channels, .. } = self;
        match members[index].channel().map(|id| &channels[id.0]) {
            Some(channel) if joins => {
                members[index].joins();
                channel.tell_keys(&mut members[index]);
                self.tell_move(index);
            }
            Some(_) => {
                self.members[index].cannot_join("it takes no groups".to_owned());
                self.change(now, index, Cause::CannotJoin);
            }
            None => self.tune_acks(index), // as whoever follows a group is told when it begins to
        }
        self.begin_untold = true; // who answers late counts as well
        self.try_start(now);
        self.changed = true;
    }

    /// The start rule: when all have answered or failed, or some time after the first did.
    pub(crate) fn try_start(&mut self, now: Instant) {
        if self.started {
            return;
        }
        let answered = self.members.iter().filter(|m| m.is_served()).count();
        let least = self.config.least_answers;
        let all = !self.members.iter().any(|m| self.is_awaited(now, m));
        let waited = self.first_answer.is_some_and(|at| now >= at + self.config.start_wait);
        if answered > 0 && answered < least && !self.members.iter().any(Member::is_opening) {
            self.abort(now, &format!("{answered} have answered, at least {least} are wanted"));
        } else if answered >= least.max(1) && (all || waited || least > 0) {
            self.started = true;
            let Self { members, channels, .. } = self;
            for channel in channels {
                channel.start(now, members);
            }
            self.changed = true;
        }
    }

    /// A reply to a member's SYN, from where it should come.
    pub(crate) fn on_reply(
        &mut self,
        now: Instant,
        index: usize,
        from: SocketAddr,
        (reply, bytes): (&Reply<'_>, &[u8]),
    ) {
        let m = &mut self.members[index];
        if m.addr() != from || !m.on_question_replied(now, reply, bytes) {
            m.on_replied(now, from, reply, bytes);
        }
    }

    /// Somebody says that a receiver does not know this id of its own any more. With a secret its MAC shows
    /// that it is a friend who says so; else anybody on the way may.
    pub(crate) fn on_unknown(
        &mut self,
        now: Instant,
        from: SocketAddr,
        (cid, bytes): (u64, &[u8]),
    ) {
        let found = |m: &Member| m.addr() == from && m.conn().names().remote_cid == cid;
        let Some(index) = self.members.iter().position(found) else { return };
        let trusted_as = self.members[index].conn().names().trusted_as;
        if self.trust.frame(trusted_as).is_answer(bytes, &NO_TAG) {
            self.members[index].is_said_gone(now, Word::Unknown);
            self.members[index].on_unknown(now);
        } else {
            self.forged += 1;
        }
    }

    /// Replies that came in a member's name and were not made by who holds the same secret.
    pub(crate) fn forged(&self) -> u64 {
        self.forged
    }

    /// An ICMP message about a datagram to this address: ends a member that has not answered yet
    /// when it has come often enough, unless the application would rather wait. Later it only makes a silence the
    /// shorter after which a member is lost, since anybody may send one (RFC 5927, 4 and 5).
    pub(crate) fn on_unreachable(&mut self, now: Instant, to: SocketAddr, why: Unreachable) {
        let ends = self.config.give_up_refused;
        for m in self.members.iter_mut().filter(|m| m.addr() == to) {
            m.is_said_gone(now, Word::Unreachable(why));
        }
        let surety = if ends { Surety::Counts } else { Surety::Waits };
        self.on_not_sent(now, (to, why), surety);
    }

    /// This host cannot send to this address: ends a member that has no other, and has not answered yet.
    pub(crate) fn on_unsendable(&mut self, now: Instant, to: SocketAddr, why: Unreachable) {
        self.on_not_sent(now, (to, why), Surety::Certain);
    }

    fn on_not_sent(&mut self, now: Instant, (to, why): (SocketAddr, Unreachable), surety: Surety) {
        let Some(index) = self.members.iter().position(|m| m.is_sought_at(to)) else { return };
        let m = &mut self.members[index];
        m.on_unreachable(now, (to, why), surety);
        if m.fails_at().is_some_and(|at| at <= now) {
            let reason = m.give_up(self.config.connect_timeout);
            self.end_member(now, index, Err(reason));
            self.try_start(now);
        }
    }

    /// This host has those addresses only that `has` says.
    pub(crate) fn keep_addresses(&mut self, has: impl Fn(IpAddr) -> bool) {
        for m in &mut self.members {
            m.conn_mut().keep_addresses(&has);
        }
    }

    /// Takes a datagram to a member's association: from where it came and whether it was marked, its
    /// header, and all of it.
    pub(crate) fn on_unicast(
        &mut self,
        now: Instant,
        index: usize,
        (arrival, ce): (&Arrival, bool),
        cut: (Header, usize),
        (datagram, token): (&mut [u8], impl FnOnce() -> u64),
    ) {
        self.wake(now); // what has waited here is read before the timers fire
        let Some(m) = self.members.get_mut(index) else { return };
        let way = NetPath { local: None, ifindex: 0, ..arrival.into() }; // by which it leaves is the system's choice
        let conn = m.conn_mut();
        let Some(incoming) = conn.open(arrival.from, cut, datagram) else { return };
        if let Some(way) = conn.came_by(now, way, &incoming, token) {
            let news = m.migrate(now, way);
            self.settle(now, index, Told::Alone(news));
        }
        self.on_datagram(now, index, &incoming, ce);
    }

    /// Takes an opened unicast datagram of a member.
    fn on_datagram(&mut self, now: Instant, index: usize, incoming: &Incoming<'_>, ce: bool) {
        let conn = self.members[index].conn_mut();
        if incoming.header.segment.rst {
            let why = incoming.abort.unwrap_or("no reason given").to_owned();
            conn.on_reset();
            self.end_member(now, index, Err(Reason::Aborted(why)));
            return;
        }
        if conn.refuse_aborted() {
            return;
        }
        if incoming.header.encap.kind == Kind::Control {
            if !conn.accept_control(incoming) {
                return;
            }
        } else if incoming.header.segment.fin {
            conn.on_data_fin();
        }
        conn.book(now, incoming, ce);
        self.members[index].has_heard(now, incoming.header.segment.options.heard);
        self.on_return(now, index);
        if let Some(ack) = &incoming.ack {
            self.on_ack(now, index, ack);
        }
        self.on_control(now, index);
        self.members[index].conn_mut().settle(now);
    }

    fn on_control(&mut self, now: Instant, index: usize) {
        let mut notices = Vec::new();
        let conn = self.members[index].conn_mut();
        let decoded = conn.decode(&mut notices);
        self.changed |= conn.take_control_news();
        for notice in notices {
            self.on_notice(now, index, notice);
        }
        if let Err(reason) = decoded {
            self.end_member(now, index, Err(reason));
        }
    }

    pub(super) fn on_notice(&mut self, now: Instant, index: usize, notice: Notice) {
        if self.members[index].outcome().is_some() {
            // What has been reported of it stays. It may still say that it is done, and so are we.
            if let Notice::Verdict { .. } = notice {
                self.members[index].conn_mut().close();
            }
            return;
        }
        match notice {
            Notice::Joined => {
                self.members[index].has_joined();
                self.reconsider(index);
            }
            // It is said of a group that is another one now; its words count if it cannot join this one either.
            Notice::CannotJoin(why) if !self.members[index].knows_group() => {
                self.members[index].has_said(why);
            }
            Notice::CannotJoin(why) => {
                self.members[index].cannot_join(why);
                self.change(now, index, Cause::CannotJoin);
            }
            Notice::Verdict { ok, arrived, reason } => {
                let fin = self.fin();
                let need = self.members[index].need();
                let whole = fin.is_some_and(|end| need.is_met_by(arrived.total(), end));
                self.members[index].on_verdict(arrived);
                let outcome = match (ok, whole) {
                    (true, true) => Ok(()),
                    (true, false) => Err(Reason::Protocol("success before the end")),
                    (false, true) => Err(Reason::Verdict(reason)),
                    (false, false) => Err(Reason::Aborted(reason)),
                };
                self.end_member(now, index, outcome);
            }
            Notice::Counted(counters) => {
                self.members[index].has_counted(counters);
                self.changed = true;
            }
            // A receiver has no key to give, nobody to send away or to a group, no say in our ACKs, and nothing to ask.
            Notice::GroupKey { .. }
            | Notice::Leave
            | Notice::Join { .. }
            | Notice::AckPolicy { .. }
            | Notice::Count => {}
            Notice::Have(ranges) => self.on_have(now, index, ranges),
            Notice::Lack(ranges) => self.on_lack(now, index, ranges),
            Notice::Again(ranges) => self.on_again(now, index, ranges),
        }
    }

    /// The application has written everything.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        for m in &mut self.members {
            m.conn_mut().close_data();
        }
    }

    /// Ends the session at once for every member that has no outcome.
    pub(crate) fn abort(&mut self, now: Instant, why: &str) {
        for index in 0..self.members.len() {
            self.drop_member(now, index, why);
        }
    }

    /// Ends the session at once for one member, unless it has its outcome.
    pub(crate) fn drop_member(&mut self, now: Instant, index: usize, why: &str) {
        if self.members[index].outcome().is_none() {
            self.members[index].conn_mut().abort(why);
            self.end_member(now, index, Err(Reason::Cancelled(why.to_owned())));
        }
    }

    /// The same by this side's own judgement, which the member is told.
    pub(super) fn drop_for(&mut self, now: Instant, index: usize, reason: Reason) {
        self.members[index].conn_mut().abort(&reason.to_string());
        self.end_member(now, index, Err(reason));
    }

    /// Ends the session at once for one member, and shuts it out: what goes to its group from now on is
    /// sealed with a key that it is not told, as soon as the others have that.
    pub(crate) fn exclude(&mut self, now: Instant, index: usize, why: &str) {
        self.drop_member(now, index, why);
        if let Some(id) = self.members[index].channel() {
            self.channels[id.0].replace_key();
        }
    }

    /// Whether nothing more will be sent or answered.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.members.iter().all(|m| m.is_quiet(now))
    }
}
