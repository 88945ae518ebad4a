//! Joins that the system was asked for and has not answered: a group may be announced anew meanwhile, and only the
//! answer to the last one tells of the group as it is now.

use crate::proto::time::Instant;
use core::time::Duration;

/// A group that is announced anew again and again is joined so often at most: joining takes system calls, and moves
/// switches to listen. A sender has reason to move its group when addresses change, and hosts answer late.
const LEAST: Duration = Duration::from_millis(250);

/// What the system is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// To leave the group.
    Leave,
    /// To leave it, and to join it as it is now.
    Anew,
}

/// Joins of one session's group.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    open: u32,
    /// When the group is to be left and joined, as it was announced anew.
    anew: Option<Instant>,
    /// It is to be left, until it is announced again.
    leave: bool,
    last: Option<Instant>,
}

impl Joins {
    /// The system is asked.
    pub(crate) fn ask(&mut self) {
        self.open += 1;
    }

    /// It has answered, in the order in which it was asked; `true` if that was the last.
    pub(crate) fn answer(&mut self) -> bool {
        self.open = self.open.saturating_sub(1);
        self.open == 0 && self.anew.is_none()
    }

    /// The group was announced anew.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.leave = false;
        let least = self.last.map_or(now, |last| last + LEAST);
        self.anew.get_or_insert(least.max(now));
    }

    /// The sender wants it to be left.
    pub(crate) fn leave(&mut self) {
        (self.anew, self.leave) = (None, true);
    }

    /// When [`Self::take`] is due, but for leaving, which is at once.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.anew
    }

    /// What the system is to do now; told once. Where it joins anew it is to be asked.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Move> {
        if core::mem::take(&mut self.leave) {
            return Some(Move::Leave);
        }
        self.anew.take_if(|at| *at <= now)?;
        self.last = Some(now);
        Some(Move::Anew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn only_the_answer_to_the_last_counts() {
        let mut joins = Joins::default();
        joins.ask();
        assert!(joins.answer());
        joins.ask();
        joins.begin_anew(at(0));
        assert!(!joins.answer(), "it is not yet asked for what was announced");
        joins.ask();
        assert_eq!((joins.take(at(0)), joins.take(at(0))), (Some(Move::Anew), None));
        joins.ask();
        assert!(!joins.answer());
        assert!(joins.answer());
    }

    #[test]
    fn the_last_word_counts_of_leaving_and_joining() {
        let mut joins = Joins::default();
        joins.leave();
        assert_eq!((joins.take(at(0)), joins.take(at(0))), (Some(Move::Leave), None));
        joins.begin_anew(at(0));
        joins.leave();
        assert_eq!((joins.take(at(9)), joins.take(at(9))), (Some(Move::Leave), None));
        joins.leave();
        joins.begin_anew(at(9));
        assert_eq!((joins.take(at(9)), joins.take(at(9))), (Some(Move::Anew), None));
    }

    #[test]
    fn who_announces_without_end_is_followed_now_and_then() {
        let mut joins = Joins::default();
        let mut moves = 0;
        for ms in 0..1000 {
            joins.begin_anew(at(ms));
            assert!(joins.deadline().is_some_and(|due| due <= at(ms) + LEAST));
            moves += u32::from(joins.take(at(ms)).is_some());
        }
        assert_eq!(moves, 4, "and the last is not forgotten: {joins:?}");
        assert!(joins.deadline().is_some());
    }
}
