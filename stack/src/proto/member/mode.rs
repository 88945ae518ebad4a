//! How a member's data travels, as one table (TCP-XM slides 14 and 16: fall forward, fall back).

use crate::stats::{LEAST, Mode};
use core::time::Duration;

/// What moves a member from one mode to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// It hears the group well enough.
    Hears,
    /// It heard less than half of what the group carried.
    HearsLittle,
    /// Three repeated retransmission time-outs within ten seconds.
    TimedOut,
    /// The others could go faster without it, and it does not keep up with them.
    Slow,
    /// Unicast to those that the group serves is faster.
    Slower,
    /// It answers nothing.
    Silent,
    /// It said that it cannot join.
    CannotJoin,
    /// The group's new key is in use, and it has not acknowledged that.
    NoKey,
    /// Time to try the group again.
    Retry,
    /// Its part of the session is over.
    Ended,
}

impl Cause {
    /// In a few words, for reports.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Hears => "hears the group",
            Self::HearsLittle => "hears less than half of the group's packets",
            Self::TimedOut => "three time-outs in ten seconds",
            Self::Slow => "does not keep up with the others",
            Self::Slower => "the group is slower than unicast",
            Self::Silent => "silent",
            Self::CannotJoin => "cannot join the group",
            Self::NoKey => "has not taken the group's new key yet",
            Self::Retry => "tries the group again",
            Self::Ended => "ended",
        }
    }
}

/// Every step there is: from a mode, for a cause, to a mode.
pub(crate) const STEPS: &[(Mode, Cause, Mode)] = {
    use Cause as C;
    use Mode as M;
    &[
        (M::Trial, C::Hears, M::Multicast),
        (M::Trial, C::HearsLittle, M::Unicast),
        (M::Trial, C::Slower, M::Unicast),
        (M::Trial, C::Silent, M::Unicast),
        (M::Trial, C::CannotJoin, M::Unicast),
        (M::Trial, C::Ended, M::Gone),
        (M::Multicast, C::HearsLittle, M::Unicast),
        (M::Multicast, C::TimedOut, M::Unicast),
        (M::Multicast, C::Slow, M::Unicast),
        (M::Multicast, C::Slower, M::Unicast),
        (M::Multicast, C::Silent, M::Unicast),
        (M::Multicast, C::CannotJoin, M::Unicast),
        (M::Multicast, C::NoKey, M::Unicast),
        (M::Multicast, C::Ended, M::Gone),
        (M::Unicast, C::Retry, M::Trial),
        (M::Unicast, C::Ended, M::Gone),
    ]
};

/// The mode that follows, or `None` if the cause means nothing in this mode.
pub(crate) fn next(mode: Mode, cause: Cause) -> Option<Mode> {
    STEPS.iter().find(|(m, c, _)| *m == mode && *c == cause).map(|(_, _, to)| *to)
}

/// A demoted member is tried again after this long, each time after twice as long.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Where the group was the slower way it is tried again after so long, at first: by then unicast has shown what it
/// brings, and a second of the group, which it is judged by, takes a fifth of the time at most.
pub(crate) const RETRY_SLOWER: Duration = Duration::from_secs(4);
/// But at least so often.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(60);

/// A host that has just started may hear no IPv6 group for so long: its address is first looked for at others (RFC
/// 4862, 5.4), and a querier of `MLDv1` spreads the answers over ten seconds (RFC 2710, 7.3).
pub(crate) const BOOTS: Duration = Duration::from_secs(15);

/// After how long who is demoted is tried again, if at all, and after how long the next time; `after` is what the last
/// time said. Of one that may be starting, deafness is not held against the group.
pub(crate) fn retry(after: Duration, cause: Cause, boots: bool) -> Option<(Duration, Duration)> {
    let after = match cause {
        // By themselves, if ever (`member::slow`, `member::presence`).
        Cause::CannotJoin | Cause::Slow | Cause::Silent => return None,
        Cause::Slower => after.max(RETRY_SLOWER),
        _ => after,
    };
    let next =
        if boots && cause == Cause::HearsLittle { after } else { (after * 2).min(RETRY_MAX) };
    Some((after, next))
}

/// What a member is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    pub(crate) mode: Mode,
    /// Outcomes known of the last 128 packets, and the share heard.
    pub(crate) hearing: (u32, f64),
    /// Share of what it gets by unicast that is lost of late: a full line loses both alike.
    pub(crate) unicast_loss: f64,
    /// The share heard has been below one half for so long.
    pub(crate) deaf_for: Duration,
    pub(crate) timed_out: bool,
    /// Unicast is the faster way.
    pub(crate) is_slower: bool,
    /// It has room for what the group carries next.
    pub(crate) has_room: bool,
    /// The least time for a judgement: 10 round trips without a queue, 4 with it, 500 ms at least.
    pub(crate) period: Duration,
    /// After 75 KiB by unicast with option 51 at or above the threshold (the published rule);
    /// `None` when the session goes by its own count.
    pub(crate) published: Option<bool>,
}

/// So much loss that unicast shares is not held against the group, at most: below one half of the
/// packets a member is not reached.
pub(crate) const MOST_SHARED: f64 = 0.4;
/// Packets that a promotion needs, and the share of them that must have been heard, of what arrives
/// by unicast.
pub(crate) const PROMOTE: (u32, f64) = (LEAST, 0.9);
/// Below this share a member does not count as reached.
pub(crate) const DEMOTE_SHARE: f64 = 0.5;

/// The judgement, as a pure function.
pub(crate) fn judge(e: &Evidence) -> Option<Cause> {
    let (counted, share) = e.hearing;
    match e.mode {
        Mode::Trial => {
            if e.is_slower {
                return Some(Cause::Slower);
            }
            let enough = PROMOTE.1 * (1.0 - e.unicast_loss.min(MOST_SHARED));
            let hears = e.published.unwrap_or(counted >= PROMOTE.0 && share >= enough);
            if hears {
                // Who has no room would hold the group at once.
                e.has_room.then_some(Cause::Hears)
            } else if e.deaf_for >= e.period {
                Some(Cause::HearsLittle) // not earlier: a tree of switches takes time to grow
            } else {
                None
            }
        }
        Mode::Multicast => {
            if e.deaf_for >= e.period {
                Some(Cause::HearsLittle)
            } else if e.timed_out {
                Some(Cause::TimedOut)
            } else if e.is_slower {
                Some(Cause::Slower)
            } else {
                None
            }
        }
        Mode::Unicast | Mode::Gone => None,
    }
}

/// Whether these outcomes say that the member is not reached at present.
pub(crate) fn is_deaf((counted, share): (u32, f64)) -> bool {
    counted >= PROMOTE.0 && share < DEMOTE_SHARE
}

#[cfg(test)]
mod tests {
    use super::{Cause, Evidence, RETRY_FIRST, RETRY_MAX, RETRY_SLOWER, STEPS, judge, next, retry};
    use crate::stats::Mode;
    use core::time::Duration;

    fn evidence(mode: Mode) -> Evidence {
        Evidence {
            mode,
            hearing: (128, 1.0),
            unicast_loss: 0.0,
            deaf_for: Duration::ZERO,
            timed_out: false,
            is_slower: false,
            has_room: true,
            period: Duration::from_millis(500),
            published: None,
        }
    }

    #[test]
    fn the_table_is_a_function_and_gone_is_final() {
        for (n, (m, c, _)) in STEPS.iter().enumerate() {
            assert!(!STEPS[n + 1..].iter().any(|(m2, c2, _)| m == m2 && c == c2));
            assert_ne!(*m, Mode::Gone);
        }
        for mode in [Mode::Trial, Mode::Multicast, Mode::Unicast] {
            assert_eq!(next(mode, Cause::Ended), Some(Mode::Gone));
        }
        assert_eq!(next(Mode::Unicast, Cause::Slow), None);
    }

    #[test]
    fn who_may_be_starting_is_tried_again_and_again() {
        let first = RETRY_FIRST;
        assert_eq!(retry(first, Cause::HearsLittle, true), Some((first, first)));
        assert_eq!(retry(first, Cause::HearsLittle, false), Some((first, first * 2)));
        assert_eq!(retry(first, Cause::TimedOut, true), Some((first, first * 2)));
        assert_eq!(retry(first, Cause::Slow, true), None);
        assert_eq!(retry(first, Cause::Slower, true), Some((RETRY_SLOWER, RETRY_SLOWER * 2)));
        assert_eq!(retry(RETRY_MAX, Cause::TimedOut, false), Some((RETRY_MAX, RETRY_MAX)));
        assert_eq!(retry(first, Cause::Silent, false), None);
        assert_eq!(retry(first, Cause::CannotJoin, true), None);
    }

    #[test]
    fn promotion_needs_nine_of_ten_of_thirty_two() {
        let mut e = evidence(Mode::Trial);
        assert_eq!(judge(&Evidence { hearing: (31, 1.0), ..e }), None);
        assert_eq!(judge(&Evidence { hearing: (32, 0.9), ..e }), Some(Cause::Hears));
        assert_eq!(judge(&Evidence { hearing: (128, 0.89), ..e }), None);
        let full = Evidence { hearing: (128, 0.75), unicast_loss: 0.2, ..e };
        assert_eq!(judge(&full), Some(Cause::Hears), "as well as unicast");
        assert_eq!(judge(&Evidence { hearing: (128, 0.5), unicast_loss: 0.9, ..e }), None);
        let deaf_for = Duration::from_millis(500);
        assert_eq!(judge(&Evidence { hearing: (128, 0.4), ..e }), None);
        assert_eq!(
            judge(&Evidence { hearing: (128, 0.4), deaf_for, ..e }),
            Some(Cause::HearsLittle)
        );
        let far_behind = Evidence { hearing: (128, 1.0), has_room: false, ..e };
        assert_eq!(judge(&far_behind), None, "it would hold the group");
        e.published = Some(false);
        assert_eq!(judge(&e), None);
        e.published = Some(true);
        assert_eq!(judge(&Evidence { hearing: (0, 0.0), ..e }), Some(Cause::Hears));
    }

    #[test]
    fn demotion_needs_a_reason_that_lasts() {
        let e = evidence(Mode::Multicast);
        assert_eq!(judge(&e), None);
        let ms = Duration::from_millis;
        assert_eq!(judge(&Evidence { deaf_for: ms(499), ..e }), None);
        assert_eq!(judge(&Evidence { deaf_for: ms(500), ..e }), Some(Cause::HearsLittle));
        assert_eq!(judge(&Evidence { timed_out: true, ..e }), Some(Cause::TimedOut));
        assert_eq!(judge(&evidence(Mode::Unicast)), None);
    }
}
