//! How members begin and end: the SYN-ACK, the start rule, records on control, FIN and verdict.

use super::Session;
use super::mode::Cause;
use crate::error::Reason;
use crate::proto::conn::control::Notice;
use crate::proto::conn::handshake::parse_hello;
use crate::proto::conn::incoming::Incoming;
use crate::proto::conn::state::Input;
use crate::proto::event::Arrival;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{Features, GroupStatus, Header, Kind, Record, Seq, TAG_LEN};
use std::net::SocketAddr;

/// Each SYN that nobody takes gives one ICMP message: with three, 750 ms after the first SYN, it is
/// neither chance nor a daemon that is just being restarted.
const UNREACHABLE: u32 = 3;

impl Session {
    /// Takes a SYN-ACK for a member.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        index: usize,
        arrival: &Arrival,
        header: &Header,
        header_len: usize,
        datagram: &[u8],
    ) {
        let iss = self.iss;
        let m = &mut self.members[index];
        let Some(opening) = m.opening.as_ref().or(m.unproven.as_ref()) else { return };
        let payload = &datagram[header_len..datagram.len() - TAG_LEN];
        let Some(hello) = parse_hello(header, payload) else { return };
        // RFC 9293, 3.10.7.3: in SYN-SENT only the acknowledgement of our very SYN counts.
        if header.segment.ack != Some(Seq::of_offset(iss, 0)) || arrival.from != m.addr {
            return;
        }
        let again = m.opening.is_none();
        if again && hello.cid == m.conn.names.remote_cid {
            m.conn.third_due = true; // a repeated answer: ours was lost
            return;
        }
        let Some(opened) = opening.on_answer(now, &hello) else { return };
        m.conn.names.remote_cid = hello.cid;
        m.conn.names.irs = hello.seq;
        m.conn.names.local = arrival.to;
        m.conn.names.ifindex = arrival.ifindex;
        m.conn.keys = Some(opened.keys);
        m.conn.third = Some(opened.third);
        m.conn.third_due = true;
        m.conn.last_heard = now;
        m.edge = hello.edge.unwrap_or(0);
        m.widest = m.edge;
        if again {
            // It had forgotten the answer before. What was sent to that is lost, and will be missed.
            if !hello.descriptor.features.contains(Features::GROUPS) {
                self.change(now, index, Cause::CannotJoin);
            }
            return;
        }
        m.unproven = m.opening.take();
        m.conn.step(Input::SynAck);
        if let Some(rtt) = opened.rtt {
            m.conn.tx.path.rtt.sample(rtt);
            m.board.path.rtt.sample(rtt);
        }
        m.watch.period = now;
        m.need.wait_until(now + self.config.declare_wait);
        self.first_answer.get_or_insert(now);
        self.admit(now, index, hello.descriptor.features);
    }

    /// A member has just been established.
    fn admit(&mut self, now: Instant, index: usize, features: Features) {
        if self.store.base() > 0 {
            // Without the third message no session begins there.
            let conn = &mut self.members[index].conn;
            conn.third = None;
            conn.third_due = false;
            conn.drop_dead();
            self.end_member(now, index, Err(Reason::TooLate));
            return;
        }
        let joins = features.contains(Features::XM) && features.contains(Features::GROUPS);
        match &self.group {
            Some(tx) if joins => {
                let m = &mut self.members[index];
                m.group_status = GroupStatus::Joining;
                m.conn.control.push(&Record::GroupKey { id: tx.key_id, key: tx.key_bytes });
            }
            _ => self.change(now, index, Cause::CannotJoin),
        }
        self.try_start(now);
        self.changed = true;
    }

    /// The start rule: when all have answered or failed, or some time after the first did.
    pub(crate) fn try_start(&mut self, now: Instant) {
        if self.started {
            return;
        }
        let answered = self.members.iter().any(super::member::Member::is_served);
        let all = self.members.iter().all(|m| m.opening.is_none());
        let waited = self.first_answer.is_some_and(|at| now >= at + self.config.start_wait);
        if answered && (all || waited) {
            self.started = true;
            self.trial.start(now, &self.members);
            self.changed = true;
        }
    }

    /// An unsealed refusal: a hint for the report, never fatal alone.
    pub(crate) fn on_refusal(&mut self, index: usize, why: &str) {
        let m = &mut self.members[index];
        if m.opening.is_some() {
            m.hint = Some(Reason::Refused(why.to_owned()));
        }
    }

    /// An ICMP message about a datagram to this address: ends a member that has not answered yet
    /// when it has come often enough. Later it means nothing, since anybody may send one (RFC 5927,
    /// 4 and 5): a receiver that is gone is found by its silence.
    pub(crate) fn on_unreachable(&mut self, now: Instant, to: SocketAddr, why: &str) {
        let Some(index) = self.members.iter().position(|m| m.addr == to) else { return };
        let m = &mut self.members[index];
        if m.opening.is_none() || m.outcome.is_some() {
            return;
        }
        let reason = Reason::Unreachable(why.to_owned());
        m.unreachable += 1;
        m.hint = Some(reason.clone());
        if m.unreachable >= UNREACHABLE {
            m.conn.drop_dead();
            self.end_member(now, index, Err(reason));
            self.try_start(now);
        }
    }

    /// Takes an opened unicast datagram of a member.
    pub(crate) fn on_datagram(
        &mut self,
        now: Instant,
        index: usize,
        incoming: &Incoming<'_>,
        ce: bool,
    ) {
        let m = &mut self.members[index];
        if incoming.header.segment.rst {
            let why = incoming.abort.unwrap_or("no reason given").to_owned();
            m.conn.on_reset();
            self.end_member(now, index, Err(Reason::Aborted(why)));
            return;
        }
        if m.conn.refuse_aborted() {
            return;
        }
        if incoming.header.encap.kind == Kind::Control {
            if !m.conn.accept_control(incoming) {
                return;
            }
        } else if incoming.header.segment.fin {
            m.conn.data.step(Input::Fin);
        }
        if let Some(percent) = incoming.header.segment.options.heard {
            m.heard_percent = percent;
        }
        m.conn.book(now, incoming, ce);
        m.unproven = None;
        if let Some(ack) = &incoming.ack {
            self.on_ack(now, index, ack);
        }
        self.on_control(now, index);
        self.members[index].conn.settle(now);
    }

    fn on_control(&mut self, now: Instant, index: usize) {
        let mut notices = Vec::new();
        let m = &mut self.members[index];
        let decoded = m.conn.decode(&mut notices);
        self.changed |= m.conn.control.take_fresh() || m.conn.control.peer_closed();
        for notice in notices {
            self.on_notice(now, index, notice);
        }
        if let Err(reason) = decoded {
            self.end_member(now, index, Err(reason));
        }
    }

    fn on_notice(&mut self, now: Instant, index: usize, notice: Notice) {
        match notice {
            Notice::Joined => {
                self.members[index].group_status = GroupStatus::Joined;
                self.cursor.reconsider();
            }
            Notice::CannotJoin(why) => {
                let m = &mut self.members[index];
                m.group_status = GroupStatus::Cannot;
                m.cannot_join = Some(why);
                self.change(now, index, Cause::CannotJoin);
            }
            Notice::Verdict { ok, arrived, reason } => {
                let fin = self.fin();
                let need = &self.members[index].need;
                let whole = fin.is_some_and(|end| need.is_met_by(arrived.total(), end));
                let m = &mut self.members[index];
                m.arrived = arrived;
                m.conn.close();
                let outcome = match (ok, whole) {
                    (true, true) => Ok(()),
                    (true, false) => Err(Reason::Protocol("success before the end")),
                    (false, true) => Err(Reason::Verdict(reason)),
                    (false, false) => Err(Reason::Aborted(reason)),
                };
                self.end_member(now, index, outcome);
            }
            // A receiver has no key to give, nobody to send away, and no say in our ACKs.
            Notice::GroupKey { .. } | Notice::Leave | Notice::AckPolicy { .. } => {}
            Notice::Have(ranges) => self.on_have(now, index, ranges),
            Notice::Lack(ranges) => self.on_lack(now, index, ranges),
            Notice::Again(ranges) => self.on_again(now, index, ranges),
        }
    }

    /// The application has written everything.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        for m in &mut self.members {
            m.conn.data_fin.wanted = true;
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
        if self.members[index].outcome.is_none() {
            self.members[index].conn.abort(why);
            self.end_member(now, index, Err(Reason::Cancelled(why.to_owned())));
        }
    }

    /// Whether nothing more will be sent or answered.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.members
            .iter()
            .all(|m| m.mode == Mode::Gone && (m.conn.keys.is_none() || m.conn.is_gone(now)))
    }
}
