//! How a member begins: its SYN, the answer to that, and what may come instead.

use super::Member;
use crate::error::Reason;
use crate::proto::conn::emit::Report;
use crate::proto::conn::handshake::{Opening, parse_hello};
use crate::proto::conn::state::Input;
use crate::proto::event::Arrival;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{Features, GroupStatus, Header, Seq};

/// Each SYN that nobody takes gives one ICMP message: with three, 750 ms after the first SYN, it is
/// neither chance nor a daemon that is just being restarted.
const UNREACHABLE: u32 = 3;

/// What a SYN-ACK came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) features: Features,
    /// It was answered before: the receiver had forgotten that.
    pub(crate) again: bool,
}

impl Member {
    /// Takes a SYN-ACK; `None` if it is none to our SYN, or says nothing new.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &Header,
        payload: &[u8],
    ) -> Option<Answer> {
        let opening = self.opening.as_ref().or(self.unproven.as_ref())?;
        let hello = parse_hello(header, payload)?;
        // RFC 9293, 3.10.7.3: in SYN-SENT only the acknowledgement of our very SYN counts.
        let ours = Seq::of_offset(self.conn.names.iss, 0);
        if header.segment.ack != Some(ours) || arrival.from != self.addr {
            return None;
        }
        let again = self.opening.is_none();
        if again && hello.cid == self.conn.names.remote_cid {
            self.conn.repeat_third();
            return None;
        }
        let opened = opening.on_answer(now, &hello)?;
        self.conn.names.remote_cid = hello.cid;
        self.conn.names.irs = hello.seq;
        self.conn.names.local = arrival.to;
        self.conn.names.ifindex = arrival.ifindex;
        self.conn.answered(now, opened.keys, opened.third);
        self.window.begin(hello.edge.unwrap_or(0));
        if !again {
            self.unproven = self.opening.take();
            self.conn.step(Input::SynAck);
            if let Some(rtt) = opened.rtt {
                self.conn.tx.path.rtt.sample(rtt);
                self.board.path.rtt.sample(rtt);
            }
            self.watch.begin_period(now);
            tracing::debug!(to = %self.addr, rtt = ?opened.rtt, "has answered");
        }
        Some(Answer { features: hello.descriptor.features, again })
    }

    /// It may join the group that it has been told of.
    pub(crate) fn joins(&mut self) {
        self.group_status = GroupStatus::Joining;
    }

    /// It says that it has joined the group.
    pub(crate) fn has_joined(&mut self) {
        self.group_status = GroupStatus::Joined;
    }

    /// It says why it cannot join the group.
    pub(crate) fn cannot_join(&mut self, why: String) {
        self.group_status = GroupStatus::Cannot;
        self.cannot_join = Some(why);
    }

    /// An unsealed refusal: a hint for the report, never fatal alone.
    pub(crate) fn on_refusal(&mut self, why: &str) {
        if self.opening.is_some() {
            self.hint = Some(Reason::Refused(why.to_owned()));
        }
    }

    /// An ICMP message about its address: what it says, if it has not answered and this has come often
    /// enough to believe it.
    pub(crate) fn on_unreachable(&mut self, why: &str) -> Option<Reason> {
        if self.opening.is_none() || self.outcome().is_some() {
            return None;
        }
        let reason = Reason::Unreachable(why.to_owned());
        self.unreachable += 1;
        self.hint = Some(reason.clone());
        (self.unreachable >= UNREACHABLE).then_some(reason)
    }

    /// It has not answered for as long as it may: why it fails.
    pub(crate) fn give_up(&mut self, never: Reason) -> Reason {
        self.conn.drop_dead();
        self.hint.take().unwrap_or(never)
    }

    /// Its SYN is sent again: its answer was never proven.
    pub(crate) fn begin_again(&mut self) {
        if let Some(opening) = self.unproven.as_mut() {
            opening.begin_again();
        }
    }

    /// When its SYN is to be repeated, while it has not answered.
    pub(crate) fn opening_deadline(&self) -> Option<Instant> {
        self.opening.as_ref().map(Opening::deadline)
    }

    /// Its next datagram of control, if it is owed one; `end`: where the data FIN stands, once it may
    /// be sent.
    pub(crate) fn emit_control(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        end: Option<u64>,
    ) -> Option<usize> {
        let conn = &mut self.conn;
        if let Some(opening) = &mut self.opening {
            opening.emit(now, buf)
        } else if conn.wants_control() || conn.is_open() && end.is_some() {
            conn.emit_control(now, buf, &Report::default(), end)
        } else {
            self.unproven.as_mut().and_then(|opening| opening.emit_again(buf))
        }
    }

    /// Something sealed came from it: it holds the keys, and `heard` is option 51, if it says that.
    pub(crate) fn is_proven(&mut self, heard: Option<u8>) {
        self.unproven = None;
        self.heard_percent = heard.unwrap_or(self.heard_percent);
    }

    /// Whether nothing more will be sent to it, or answered.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.mode == Mode::Gone && (self.conn.keys.is_none() || self.conn.is_gone(now))
    }
}
