//! Whether a member is there. One that owes an answer and is silent is waited for by nobody; one that stays away is
//! lost, and may return as long as the session lasts: neither is a failure.

use super::Member;
use crate::error::{Lost, Reason, Unreachable};
use crate::proto::send::log::GroupLog;
use crate::proto::time::Instant;
use crate::stats::{Mode, ModeReason};
use core::time::Duration;

/// An answer is waited for so long at most, unless one takes longer by its own time-out: for so long the others, and
/// the group's window, may stand still for one that is gone.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// Time-outs that are waited for, up to that: one may be that of a lost answer.
pub(crate) const PATIENCE_TIMEOUTS: u32 = 2;
/// One of which it is said that nobody is there is lost after so long a silence, not at once: anybody may say so (RFC
/// 5927, 4), and a daemon that is just being restarted is back within a second or two.
pub(crate) const SAID: Duration = Duration::from_secs(2);

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Here,
    /// It owes an answer, and nobody waits for it.
    Silent,
    /// It is sought by SYNs, and may return.
    Lost,
}

/// What moves it from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something sealed came from it.
    Heard,
    /// An answer is due for too long.
    Silence,
    /// It has been silent for too long.
    Absence,
}

/// Every step there is.
pub(crate) const STEPS: &[(State, Sign, State)] = &[
    (State::Here, Sign::Silence, State::Silent),
    (State::Silent, Sign::Heard, State::Here),
    (State::Silent, Sign::Absence, State::Lost),
    (State::Lost, Sign::Heard, State::Here),
];

fn next(state: State, sign: Sign) -> Option<State> {
    STEPS.iter().find(|(from, on, _)| *from == state && *on == sign).map(|(.., to)| *to)
}

/// Who says that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// An ICMP message about a datagram to it.
    Unreachable(Unreachable),
    /// A reply in its name: it knows nothing of the session.
    Unknown,
}

impl Word {
    /// Whether it comes from the host itself: what routers say may be over in a moment.
    fn counts(self) -> bool {
        matches!(self, Self::Unknown | Self::Unreachable(Unreachable::Port(_)))
    }
}

/// Whether it is there, and what is known of that.
#[derive(Debug, Default)]
pub(super) struct Presence {
    state: State,
    /// When it came back last.
    since: Instant,
    /// Since when nothing had been heard of it when it was found to be silent last.
    away: Instant,
    /// What was said since it was last heard.
    said: Option<(Word, Instant)>,
}

/// What that is judged by: what it is, and since when it is silent; since when it owes an answer.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    state: State,
    silent: Instant,
    owes: Option<Instant>,
    patience: Duration,
    /// It is lost then, if it is silent until then.
    lost_at: Instant,
}

impl Evidence {
    /// When its silence moves it to another state, and by which sign.
    fn due(&self) -> Option<(Instant, Sign)> {
        match self.state {
            State::Here => {
                self.owes.map(|owes| (owes.max(self.silent) + self.patience, Sign::Silence))
            }
            State::Silent => Some((self.lost_at, Sign::Absence)),
            State::Lost => None,
        }
    }
}

impl Member {
    /// It is not silent: others may wait for it.
    pub(crate) fn is_here(&self) -> bool {
        self.presence.state == State::Here
    }

    /// It was taken to be gone, and has not come back.
    pub(crate) fn is_lost(&self) -> bool {
        self.presence.state == State::Lost
    }

    /// It follows the group and is there: the group goes on for it.
    pub(crate) fn leads(&self) -> bool {
        self.is_multicast() && self.is_here()
    }

    /// It follows the group, which does not go on for it: it is silent.
    pub(crate) fn is_missed(&self) -> bool {
        self.is_multicast() && !self.is_here()
    }

    /// For how long an answer of it is waited for.
    pub(crate) fn patience(&self) -> Duration {
        let one = self.path().rtt.rto() + self.ack_delay();
        (one * PATIENCE_TIMEOUTS).min(PATIENCE_MAX.max(one))
    }

    /// Since when nothing has been heard of it, the time left out in which this host slept.
    pub(crate) fn silent_since(&self) -> Instant {
        self.conn.silent_since()
    }

    fn evidence(&self, log: Option<&GroupLog>, idle: Duration) -> Evidence {
        let by_group = self.board.oldest_out().and_then(|pn| log?.get(pn)).map(|entry| entry.at);
        let owes = self.conn.tx().asked_at().into_iter().chain(by_group).min();
        let silent = self.silent_since();
        // Who has forgotten the session is asked first whether it begins again.
        let borne = self.conn.bears_until().min(silent + idle * crate::proto::conn::BORNE);
        let word = match self.presence.said {
            Some((Word::Unknown, at)) => Some(at.max(silent) + SAID),
            Some((word, _)) if word.counts() => Some(silent + SAID),
            _ => None,
        };
        let lost_at = word.unwrap_or(silent + idle).min(silent + idle).max(borne);
        Evidence {
            state: self.presence.state,
            silent,
            owes: owes.filter(|_| self.conn.is_proven()),
            patience: self.patience(),
            lost_at,
        }
    }

    /// When its silence is to be looked at.
    pub(super) fn presence_deadline(
        &self,
        log: Option<&GroupLog>,
        idle: Duration,
    ) -> Option<Instant> {
        let due = self.evidence(log, idle).due().map(|(at, _)| at);
        let asks = if self.is_lost() { self.asks_again_at() } else { None };
        due.into_iter().chain(asks).min()
    }

    /// Looks whether it is silent, or lost; what it is then, if that is new. One that is lost is sought.
    pub(crate) fn look_for(
        &mut self,
        now: Instant,
        log: Option<&GroupLog>,
        idle: Duration,
    ) -> Option<State> {
        if self.is_lost() && self.asks_again_at().is_some_and(|at| at <= now) {
            self.doubt(now);
        }
        let (_, sign) = self.evidence(log, idle).due().filter(|(at, _)| *at <= now)?;
        self.presence.state = next(self.presence.state, sign)?;
        if self.presence.state == State::Silent {
            self.presence.away = self.silent_since();
        }
        tracing::debug!(to = %self.addr, state = ?self.presence.state, "{sign:?}");
        Some(self.presence.state)
    }

    /// Something sealed came from it; whether it had been silent.
    pub(crate) fn comes_back(&mut self, now: Instant, idle: Duration) -> bool {
        self.presence.said = None;
        let Some(state) = next(self.presence.state, Sign::Heard) else { return false };
        // What was on its way was on its way to nobody: but who answers now and then, and gets no byte, is stalled.
        if self.is_lost() || now.since(self.presence.away) >= idle / 2 {
            self.stall.end();
        }
        tracing::debug!(to = %self.addr, from = ?self.presence.state, "is there again");
        self.presence.state = state;
        self.presence.since = now;
        self.conn.forgive(now);
        // Of an outage the group is not to blame.
        self.board.excuse(now);
        if self.mode == Mode::Unicast && matches!(self.off_group, Some(ModeReason::Silent)) {
            self.retry_at = Some(now);
        }
        true
    }

    /// Whether it has been there for so long.
    pub(crate) fn is_here_for(&self, now: Instant, least: Duration) -> bool {
        self.is_here() && now.since(self.presence.since) >= least
    }

    /// It is said to be gone: it may be so if it is silent.
    pub(crate) fn is_said_gone(&mut self, now: Instant, word: Word) {
        let settled = self.presence.said.is_some_and(|(said, _)| said.counts() || !word.counts());
        if self.conn.is_proven() && self.outcome().is_none() && !settled {
            self.presence.said = Some((word, now));
        }
    }

    /// This host has slept until now: what it has not heard meanwhile speaks against nobody.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.conn.excuse(now);
        self.board.path.excuse(now);
        self.stall.end();
    }

    /// Why it has failed, as it has not come back.
    pub(crate) fn loss(&mut self, now: Instant, began: Instant) -> Reason {
        if let Some(stranger) = self.take_stranger() {
            return stranger;
        }
        let heard = self.conn.last_heard();
        let why = match self.presence.said {
            Some((Word::Unreachable(why), _)) => Lost::Unreachable(why),
            Some((Word::Unknown, _)) => Lost::Unknown,
            None => Lost::Silent(Duration::from_secs(now.since(heard).as_secs())),
        };
        Reason::Lost { since: heard.since(began), why }
    }

    /// Since when it is lost, if it is.
    pub(crate) fn lost_since(&self, began: Instant) -> Option<Duration> {
        self.is_lost().then(|| self.conn.last_heard().since(began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn evidence(state: State) -> Evidence {
        Evidence {
            state,
            silent: at(1000),
            owes: Some(at(1500)),
            patience: Duration::from_millis(400),
            lost_at: at(11_000),
        }
    }

    #[test]
    fn the_table_is_a_function_and_every_state_can_be_left() {
        for (n, (state, sign, to)) in STEPS.iter().enumerate() {
            assert!(!STEPS[n + 1..].iter().any(|(s, g, _)| s == state && g == sign));
            assert_ne!(state, to);
        }
        for state in [State::Silent, State::Lost] {
            assert_eq!(next(state, Sign::Heard), Some(State::Here));
        }
        assert_eq!(next(State::Here, Sign::Absence), None);
    }

    #[test]
    fn who_owes_nothing_is_not_silent() {
        let here = evidence(State::Here);
        assert_eq!(here.due(), Some((at(1900), Sign::Silence)));
        assert_eq!(Evidence { silent: at(1700), ..here }.due(), Some((at(2100), Sign::Silence)));
        assert_eq!(Evidence { owes: None, ..here }.due(), None);
    }

    #[test]
    fn who_is_silent_is_lost_later_and_then_not_again() {
        let silent = evidence(State::Silent);
        assert_eq!(silent.due(), Some((at(11_000), Sign::Absence)));
        assert_eq!(evidence(State::Lost).due(), None);
    }
}
