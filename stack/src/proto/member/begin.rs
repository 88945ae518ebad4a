//! How a member begins: its SYN, the answer to that, and what may come instead.

use super::Member;
use crate::error::Reason;
use crate::proto::conn::handshake::{NoAnswer, RoundTrip};
use crate::proto::conn::incoming::{Answer, AnswerKind};
use crate::proto::conn::migration::NetPath;
use crate::proto::event::Arrival;
use crate::proto::send::scoreboard::Scoreboard;
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::trust::PublicKey;
use crate::wire::{GroupStatus, Header, Reply, Said, VERSION};
use core::time::Duration;
use std::net::SocketAddr;

/// To a member that is said to have forgotten its SYN that is sent again this often at most.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Why it changes its mode when it begins again.
const RESTARTED: &str = "was restarted, and begins again";

impl Member {
    /// Takes a SYN-ACK; `None` if it is none to one of our SYNs, or says nothing new.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) -> Option<Answer> {
        let answer = if self.conn.names().local_cid == header.0.encap.cid {
            self.on_own_answer(now, arrival, header, datagram)
        } else {
            self.on_other_answer(now, arrival, header, datagram)
        };
        if answer.is_some() {
            self.attempts.clear();
        }
        answer
    }

    /// Takes a SYN-ACK to the SYN of its association.
    pub(super) fn on_own_answer(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) -> Option<Answer> {
        let answer = match self.conn.on_syn_ack(now, arrival, header, datagram) {
            Ok(answer) => answer,
            Err(NoAnswer::Untrusted(reason)) => {
                self.distrust(now, reason);
                return None;
            }
            Err(NoAnswer::Unrelated) => return None,
        };
        self.key = answer.key;
        self.window.begin(answer.edge);
        if let AnswerKind::First(rtt) = answer.kind {
            if let RoundTrip::Sample(rtt) = rtt {
                self.board.path.rtt.sample(rtt);
            }
            self.answered = now;
            tracing::debug!(to = %self.conn.names().peer, ?rtt, "has answered");
        }
        Some(answer)
    }

    /// It may join the group that it has been told of.
    pub(crate) fn joins(&mut self) {
        self.group_status = GroupStatus::Joining;
    }

    /// It says that it has joined the group.
    pub(crate) fn has_joined(&mut self) {
        if self.knows_group() {
            self.group_status = GroupStatus::Joined;
        }
    }

    /// It says why it cannot join the group.
    pub(crate) fn cannot_join(&mut self, why: String) {
        self.group_status = GroupStatus::Cannot;
        self.has_said(why);
    }

    /// Those are its words for that.
    pub(crate) fn has_said(&mut self, why: String) {
        self.cannot_join = Some(why);
    }

    /// Its SYN was answered by somebody who is not who it should be.
    fn distrust(&mut self, now: Instant, reason: Reason) {
        if self.conn.is_opening() {
            self.set_back(now, |setback| setback.distrust(now, reason));
        }
    }

    /// Its SYN was replied to: a hint, unless it comes from who holds the same secret. Whatever it says, an
    /// answer may still come, and counts.
    pub(crate) fn on_reply(&mut self, now: Instant, reply: &Reply<'_>, bytes: &[u8]) {
        let Some(proven) = self.conn.is_replied(bytes) else { return };
        match reply.said {
            Said::Cookie(cookie) => self.conn.on_cookie(now, cookie),
            Said::Refused(why) if self.conn.is_opening() => {
                let reason = Reason::Refused(why.to_owned());
                self.set_back(now, |setback| setback.refused(now, reason, false));
            }
            Said::OtherVersion if self.conn.is_opening() && reply.version != VERSION => {
                let reason = Reason::Version { theirs: reply.version, ours: VERSION };
                self.set_back(now, |setback| setback.refused(now, reason, proven));
            }
            Said::Refused(_) | Said::OtherVersion | Said::Unknown => {}
        }
    }

    /// It is said to know nothing of the session any more, which need not be true. One that has shown that
    /// it holds the keys is asked; one that has not may have forgotten our SYN, which is sent again.
    pub(crate) fn on_unknown(&mut self, now: Instant) {
        if self.outcome().is_some() {
            return;
        }
        if self.conn.is_proven() {
            self.doubt(now);
        } else if self.asked_at.is_none_or(|at| now >= at + ASK_AGAIN) {
            self.asked_at = Some(now);
            self.conn.begin_again();
        }
    }

    /// It takes the place of one that has forgotten the session, and is the same to the application.
    pub(crate) fn succeed(&mut self, now: Instant, began: Instant, before: Self) {
        self.restarts = before.restarts + 1;
        self.history = before.history;
        self.history.moved(now.since(began), (before.mode, self.mode), (RESTARTED, None));
        tracing::debug!(to = %self.addr, times = self.restarts, RESTARTED);
    }

    /// Of the group it hears what comes from here on.
    pub(crate) fn hears_from(&mut self, mut board: Scoreboard) {
        if let Some(rtt) = self.conn.path().rtt.smoothed() {
            board.path.rtt.sample(rtt);
        }
        self.board = board;
    }

    /// How often it has begun again.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// When its SYN was to be sent first.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The key that it has shown.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// Its next datagram of control, if it is owed one. `end`: where the data FIN stands, once it may be
    /// sent; `next`: the number of its channel's next packet, if it has one.
    pub(crate) fn emit_control(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        (end, next): (Option<u64>, Option<u64>),
    ) -> Option<usize> {
        if let Some(len) = self.emit_question(now, buf) {
            return Some(len);
        }
        if self.conn.wants_control() || self.conn.is_open() && end.is_some() {
            let report = self.report(next);
            self.conn.emit_control(now, buf, &report, end)
        } else {
            self.conn.emit_syn(now, buf)
        }
    }

    /// What it is asked, or answered, by another way than the usual one.
    pub(crate) fn emit_aside(
        &mut self,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        self.conn.emit_aside(now, buf).map(|(way, len)| (way.peer, len))
    }

    /// It has another address now: what was sent to the one before is lost.
    pub(crate) fn migrate(&mut self, now: Instant, way: NetPath) -> News {
        tracing::debug!(was = %self.addr, is = %way.peer, "has another address");
        self.addr = way.peer;
        self.conn.migrate(now, way)
    }

    /// Something sealed came from it; `heard` is option 51, if it says that.
    pub(crate) fn has_heard(&mut self, now: Instant, heard: Option<u8>) {
        self.believe(now);
        self.heard_percent = heard.unwrap_or(self.heard_percent);
    }

    /// Whether nothing more will be sent to it, or answered.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.mode == Mode::Gone && (!self.conn.has_keys() || self.conn.is_gone(now))
    }
}
