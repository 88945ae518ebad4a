//! Why a member is not on the group, for its report.

use super::Member;
use super::mode::Cause;
use super::ways::Rates;
use crate::proto::time::Instant;
use crate::stats::{Hearing, Mode, ModeReason, Transition};

/// An acknowledgement says that a receiver cannot join; its own words come by themselves.
const NO_WORDS: &str = "it has not said why";
/// What is told of one that is lost, or comes back, while it is served by unicast anyway.
const LOST: &str = "lost";
const FOUND: &str = "is there again";

impl Member {
    /// Notes what a cause says about the group and this member, before its judgement begins anew. A
    /// trial that ends without one leaves what an earlier one found.
    pub(super) fn note_reason(&mut self, cause: Cause) {
        let reason = match cause {
            Cause::HearsLittle => ModeReason::HearsLittle(self.hearing()),
            Cause::TimedOut => ModeReason::TimedOut,
            Cause::Slow => self.slow_reason(),
            Cause::Slower => self.slower(),
            Cause::Silent => ModeReason::Silent,
            Cause::NoKey => ModeReason::NoKey,
            Cause::CannotJoin => ModeReason::CannotJoin(NO_WORDS.to_owned()),
            Cause::Ended if self.off_group.is_some() => return,
            Cause::Ended if !self.conn.has_keys() => ModeReason::NotServed,
            Cause::Ended if self.mode == Mode::Trial => ModeReason::Unclear(self.hearing()),
            Cause::Hears | Cause::Retry | Cause::Ended => return,
        };
        self.off_group = Some(reason);
    }

    fn slow_reason(&self) -> ModeReason {
        #[expect(clippy::cast_sign_loss, reason = "no rate is negative")]
        let bits = |bytes: f64| (bytes * 8.0) as u64;
        let (own, group) = self.slow.found().unwrap_or_default();
        ModeReason::Slow { own: bits(own), group: bits(group) }
    }

    fn slower(&self) -> ModeReason {
        let found = self.ways.found();
        #[expect(clippy::cast_sign_loss, reason = "no rate is negative")]
        let bits = |bytes: f64| (bytes * 8.0) as u64;
        let of = |rate: fn(Rates) -> f64| found.map_or(0, |rates| bits(rate(rates)));
        ModeReason::Slower { group: of(|rates| rates.group), unicast: of(|rates| rates.unicast) }
    }

    fn hearing(&self) -> Hearing {
        let (of, share) = self.board.hearing();
        #[expect(clippy::cast_sign_loss, reason = "a share of a count")]
        let heard = (f64::from(of) * share).round() as u32;
        Hearing { heard, of, lost: None }
    }

    /// Its changes of mode, with what has become known since of why it cannot join, or has not heard the group last.
    pub(crate) fn transitions(&self) -> Vec<Transition> {
        let mut all = self.history.transitions().to_vec();
        let says = |change: &&mut Transition| match (change.mode, &change.reason) {
            (Mode::Gone, _) | (Mode::Unicast, None | Some(ModeReason::Lost { .. })) => false,
            (Mode::Trial | Mode::Multicast | Mode::Unicast, _) => true,
        };
        let last = all.iter_mut().rev().find(says);
        if let Some(Transition { mode: Mode::Unicast, reason: Some(reason), .. }) = last {
            *reason = self.in_its_words(reason);
        }
        all
    }

    /// Why the group does not serve it at present, as far as that is known: while it is lost nothing else counts.
    pub(super) fn off_group(&self, began: Instant) -> Option<ModeReason> {
        let lost = self.lost_since(began).map(|since| ModeReason::Lost { since });
        lost.or_else(|| self.off_group.clone())
    }

    /// It is lost: where its mode stays as it is, that is told by itself.
    pub(crate) fn note_lost(&mut self, now: Instant, began: Instant) {
        if self.mode == Mode::Unicast {
            let why = (LOST, self.off_group(began));
            self.history.moved(now.since(began), (self.mode, self.mode), why);
        }
    }

    /// It was lost, and is there again: as which, stands before.
    pub(crate) fn note_found(&mut self, now: Instant, began: Instant) {
        self.history.moved(now.since(began), (self.mode, self.mode), (FOUND, None));
    }

    /// With what the member says itself.
    fn in_its_words(&self, reason: &ModeReason) -> ModeReason {
        match reason {
            ModeReason::CannotJoin(unsaid) => {
                ModeReason::CannotJoin(self.cannot_join.as_ref().unwrap_or(unsaid).clone())
            }
            other => {
                let explained = self.explained(other);
                self.on_its_line(&explained).unwrap_or(explained)
            }
        }
    }

    /// With what has become known since of what it did not hear.
    fn explained(&self, reason: &ModeReason) -> ModeReason {
        let explained = |hearing: Hearing| Hearing { lost: self.lost(), ..hearing };
        match reason {
            ModeReason::HearsLittle(hearing) => ModeReason::HearsLittle(explained(*hearing)),
            ModeReason::Unclear(hearing) => ModeReason::Unclear(explained(*hearing)),
            other => other.clone(),
        }
    }

    /// Why it is not on the group, or was not at its end; `None` if it is. `shared`: whether a second
    /// member could ever be served by the group with it.
    pub(crate) fn mode_reason(&self, began: Instant, shared: bool) -> Option<ModeReason> {
        match &self.off_group(began) {
            _ if self.history.mode(self.mode) == Mode::Multicast => None,
            None | Some(ModeReason::Unclear(Hearing { of: 0, .. }))
                if !shared && self.channel.is_some() && self.conn.has_keys() =>
            {
                Some(ModeReason::Alone)
            }
            Some(reason) => Some(self.in_its_words(reason)),
            None if !self.conn.has_keys() => Some(ModeReason::NotServed),
            None if self.channel.is_some() => Some(ModeReason::Unclear(self.hearing())),
            None => Some(ModeReason::NoGroup),
        }
    }
}
