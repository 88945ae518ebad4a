//! How a member begins: its SYN, the answer to that, and what may come instead.

use super::Member;
use crate::error::Reason;
use crate::proto::conn::emit::Report;
use crate::proto::conn::incoming::{Answer, AnswerKind};
use crate::proto::event::Arrival;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{GroupStatus, Header};

/// Each SYN that nobody takes gives one ICMP message: with three, 750 ms after the first SYN, it is
/// neither chance nor a daemon that is just being restarted.
const UNREACHABLE: u32 = 3;

impl Member {
    /// Takes a SYN-ACK; `None` if it is none to our SYN, or says nothing new.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &Header,
        payload: &[u8],
    ) -> Option<Answer> {
        let answer = self.conn.on_syn_ack(now, arrival, header, payload)?;
        self.window.begin(answer.edge);
        if let AnswerKind::First(rtt) = answer.kind {
            if let Some(rtt) = rtt {
                self.board.path.rtt.sample(rtt);
            }
            self.watch.begin_period(now);
            tracing::debug!(to = %self.addr, ?rtt, "has answered");
        }
        Some(answer)
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
        if self.conn.is_opening() {
            self.hint = Some(Reason::Refused(why.to_owned()));
        }
    }

    /// An ICMP message about its address: what it says, if it has not answered and this has come often
    /// enough to believe it.
    pub(crate) fn on_unreachable(&mut self, why: &str) -> Option<Reason> {
        if !self.conn.is_opening() || self.outcome().is_some() {
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

    /// Its next datagram of control, if it is owed one; `end`: where the data FIN stands, once it may
    /// be sent.
    pub(crate) fn emit_control(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        end: Option<u64>,
    ) -> Option<usize> {
        let conn = &mut self.conn;
        if conn.wants_control() || conn.is_open() && end.is_some() {
            conn.emit_control(now, buf, &Report::default(), end)
        } else {
            conn.emit_syn(now, buf)
        }
    }

    /// Something sealed came from it; `heard` is option 51, if it says that.
    pub(crate) fn has_heard(&mut self, heard: Option<u8>) {
        self.heard_percent = heard.unwrap_or(self.heard_percent);
    }

    /// Whether nothing more will be sent to it, or answered.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.mode == Mode::Gone && (!self.conn.has_keys() || self.conn.is_gone(now))
    }
}
