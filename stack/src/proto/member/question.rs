//! Whether a member has forgotten the session. Somebody says so, who need not be the member; that only starts
//! a question. A SYN with other ids goes beside the standing association, which goes on unchanged. That is
//! given up only if the path was seen to work twice, by an answer to one SYN and later by an answer to another,
//! and if a PING under its keys stayed unanswered from the first answer until some time after the second.
//! Two SYNs, since of one the answer can be kept and repeated by whoever sees it.

use super::Member;
use crate::error::Reason;
use crate::proto::event::Arrival;
use crate::proto::time::Instant;
use crate::wire::{Features, Header, Reply};
use core::time::Duration;

/// Between the end of a question and the next: whoever says without end that a member has forgotten the
/// session causes no more than a few SYNs a second.
const PAUSE: Duration = Duration::from_secs(1);
/// Time-outs within which a question's SYN is answered: if it is not, the path does not work, and the
/// question ends with nothing learned.
const ANSWERED_WITHIN: u32 = 2;
/// Time-outs from an answer to the end of a question, at most: a wait, an answer to the second SYN, a wait.
const ENDS_WITHIN: u32 = 1 + ANSWERED_WITHIN + 1;

/// What is thought of a member that is said to have forgotten the session.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Since when the question is due that it raises.
    said: Option<Instant>,
    /// The question that is being asked.
    question: Option<Question>,
    /// There is no other before this.
    not_before: Option<Instant>,
    /// Why the last question was answered by nobody who could begin again: another key, another version, no
    /// place.
    stranger: Option<Reason>,
}

/// A question.
#[derive(Debug)]
struct Question {
    /// What takes the member's place if it has forgotten the session.
    fresh: Box<Member>,
    stage: Stage,
    /// When the stage ends.
    until: Instant,
}

/// How far a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first SYN waits for its answer.
    First,
    /// It was answered; something under the old keys is waited for.
    Waits,
    /// The second SYN waits for its answer.
    Second,
    /// It was answered, with this; something under the old keys is waited for once more.
    Last(Features),
    /// The member has not forgotten the session, or nothing could be learned.
    Over,
}

impl Question {
    fn cid(&self) -> u64 {
        self.fresh.conn.names().local_cid
    }

    fn waits_for_answer(&self) -> bool {
        matches!(self.stage, Stage::First | Stage::Second)
    }
}

impl Member {
    /// It is said to have forgotten the session: that is to be asked, unless it just was.
    pub(super) fn doubt(&mut self, now: Instant) {
        let doubt = &mut self.doubt;
        if doubt.question.is_none() && doubt.not_before.is_none_or(|at| at <= now) {
            doubt.said.get_or_insert(now);
        }
    }

    /// Something sealed came under its keys: it has not forgotten the session.
    pub(super) fn believe(&mut self, now: Instant) {
        let doubt = &mut self.doubt;
        doubt.said = None;
        if let Some(question) = &mut doubt.question {
            (question.stage, question.until) = (Stage::Over, now);
        }
        if doubt.stranger.is_some() {
            doubt.stranger = None;
        }
    }

    /// When one that is lost is to be asked next, if it is not being asked.
    pub(super) fn asks_again_at(&self) -> Option<Instant> {
        let asking = self.doubt.question.is_some() || self.doubt.said.is_some();
        (!asking).then(|| self.doubt.not_before.unwrap_or(Instant::ZERO))
    }

    /// When the question has something to do next.
    pub(super) fn question_deadline(&self) -> Option<Instant> {
        let Some(question) = &self.doubt.question else { return self.doubt.said };
        let repeats =
            question.fresh.conn.opening_deadline().filter(|_| question.waits_for_answer());
        Some(repeats.map_or(question.until, |at| at.min(question.until)))
    }

    /// Whether another SYN is to be sent to learn whether it has forgotten the session.
    pub(crate) fn wants_syn(&self, now: Instant) -> bool {
        self.is_served()
            && match &self.doubt.question {
                None => self.doubt.said.is_some(),
                Some(question) => question.stage == Stage::Waits && question.until <= now,
            }
    }

    /// It is asked by the SYN of `fresh`; the id of the SYN before, which counts no more.
    pub(crate) fn question(&mut self, now: Instant, fresh: Self) -> Option<u64> {
        let until = now + self.answers_within() * ANSWERED_WITHIN;
        let before = self.doubt.question.take();
        let stage = if before.is_none() { Stage::First } else { Stage::Second };
        self.doubt.said = None;
        self.doubt.question = Some(Question { fresh: Box::new(fresh), stage, until });
        before.map(|question| question.cid())
    }

    /// How long an answer to something takes at most that is answered at once. Not backed off: that it has
    /// not answered says nothing of the path.
    fn answers_within(&self) -> Duration {
        self.conn.path().rtt.rto()
    }

    /// Ends the question if it is over; the id of its SYN, which counts no more.
    pub(crate) fn end_question(&mut self, now: Instant) -> Option<u64> {
        let served = self.is_served();
        self.doubt.said = self.doubt.said.filter(|_| served);
        let doubt = &mut self.doubt;
        let question = doubt.question.as_mut()?;
        let unanswered = question.waits_for_answer() && question.until <= now;
        if !unanswered && served && question.stage != Stage::Over {
            return None;
        }
        if unanswered {
            doubt.stranger = question.fresh.setback.take_hint().or(doubt.stranger.take());
        }
        doubt.not_before = Some(now + PAUSE);
        doubt.question.take().map(|question| question.cid())
    }

    /// Whether it has forgotten the session: the path works, and it says nothing under the old keys.
    pub(crate) fn has_forgotten(&self, now: Instant) -> bool {
        let last = |question: &Question| matches!(question.stage, Stage::Last(_));
        self.is_served() && self.doubt.question.as_ref().is_some_and(|q| last(q) && q.until <= now)
    }

    /// What takes its place, as it has forgotten the session, and what that can do.
    pub(crate) fn take_fresh(&mut self) -> Option<(Self, Features)> {
        let question = self.doubt.question.take()?;
        let Stage::Last(features) = question.stage else { return None };
        Some((*question.fresh, features))
    }

    /// Who is there instead of it, if somebody is.
    pub(crate) fn take_stranger(&mut self) -> Option<Reason> {
        self.doubt.stranger.take()
    }

    /// The SYN with this id, if it is the question's.
    fn asked_by(&mut self, cid: u64) -> Option<&mut Question> {
        self.doubt.question.as_mut().filter(|question| question.cid() == cid)
    }

    /// Takes a SYN-ACK if it is one to a question's SYN; whether it is.
    pub(crate) fn on_question_answered(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) -> bool {
        let within = self.answers_within();
        let Some(question) = self.asked_by(header.0.encap.cid) else { return false };
        let Some(answer) = question.fresh.on_syn_ack(now, arrival, header, datagram) else {
            return true;
        };
        question.stage = match question.stage {
            Stage::First => Stage::Waits,
            // Another answer to the same SYN: it has forgotten that as well.
            Stage::Second | Stage::Last(_) => Stage::Last(answer.features),
            Stage::Waits | Stage::Over => return true,
        };
        question.until = now + within;
        // It is there: what it is asked is answered before it is given up for its silence.
        self.conn.bear(now + within * ENDS_WITHIN);
        self.conn.ping();
        true
    }

    /// Takes a reply if it is one to a question's SYN; whether it is.
    pub(crate) fn on_question_replied(
        &mut self,
        now: Instant,
        reply: &Reply<'_>,
        bytes: &[u8],
    ) -> bool {
        let Some(question) = self.asked_by(reply.cid) else { return false };
        question.fresh.on_reply(now, reply, bytes);
        true
    }

    /// Writes the question's SYN, if it is due. A PING under the old keys goes with it: what lets the one
    /// pass lets the other.
    pub(super) fn emit_question(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        let question = self.doubt.question.as_mut()?;
        if !question.waits_for_answer() {
            return None;
        }
        let len = question.fresh.conn.emit_syn(now, buf)?;
        self.conn.ping();
        Some(len)
    }
}
