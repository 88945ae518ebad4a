//! Whom the group waits for: whose window, or edge, is what bounds it. It is looked at now and then, and the time from one
//! look to the next is that member's.

use super::Channel;
use crate::proto::member::Member;
use crate::proto::time::Instant;
use core::time::Duration;

/// A look speaks for no more time than this: twice what lies between two (`session::timers`).
const LOOK_MAX: Duration = Duration::from_millis(100);

/// For how long two or more have followed, and there was something to carry; and when that was looked at last.
#[derive(Debug, Default)]
pub(super) struct Waited {
    all: Duration,
    looked: Option<Instant>,
}

/// What a member lets the group do.
#[derive(Debug, Clone, Copy)]
struct Bound {
    index: usize,
    /// Its edge does not let the next segment go.
    closed: bool,
    /// Bytes a second that its window allows, and whether that is in use: at least half of it is in flight.
    rate: f64,
    in_use: bool,
}

/// Who of those that bound the group is waited for, if anybody is: who has no room for what comes next, or else whose
/// window is used and allows the least, but for what all together may be sent (`most`, in bytes a second).
fn slowest(bounds: &[Bound], most: Option<f64>) -> Option<usize> {
    let least = |a: &&Bound, b: &&Bound| a.rate.total_cmp(&b.rate);
    let closed = bounds.iter().filter(|bound| bound.closed).min_by(least);
    let narrow = || {
        let slowest = bounds.iter().min_by(least)?;
        (slowest.in_use && most.is_none_or(|most| slowest.rate < most)).then_some(slowest)
    };
    closed.or_else(narrow).map(|bound| bound.index)
}

impl Channel {
    /// Looks whom it waits for. `end` is that of the bytes there are, `most` what may be sent in all, in bytes a second.
    pub(crate) fn note_waits(
        &mut self,
        now: Instant,
        members: &mut [Member],
        end: u64,
        most: Option<f64>,
    ) {
        let following = members.iter().filter(|m| m.is_multicast()).count();
        if following < 2 || !self.is_unfinished(end) {
            self.waited.looked = None;
            return;
        }
        let Some(looked) = self.waited.looked.replace(now) else { return };
        let passed = now.since(looked).min(LOOK_MAX);
        self.waited.all += passed;
        let limiting = (0..members.len()).filter(|index| members[*index].is_limiting());
        let bound = |index: usize| {
            let (m, window) = (&members[index], self.window_of(members, index));
            Bound {
                index,
                closed: !self.reaches(m, self.segment, end),
                rate: self.rate_of(members, index),
                in_use: m.group_path().flight() >= window / 2,
            }
        };
        let bounds: Vec<Bound> = limiting.map(bound).collect();
        if let Some(index) = slowest(&bounds, most) {
            members[index].is_waited_for_by_group(passed);
        }
    }

    /// For which share of that time it has waited for this member, in percent; `None`: there was none.
    pub(crate) fn waited_percent(&self, m: &Member) -> Option<u8> {
        let all = self.waited.all.as_nanos();
        let share = (m.slow().waited().as_nanos() * 100 + all / 2).checked_div(all)?;
        Some(share.min(100) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(index: usize, rate: f64) -> Bound {
        Bound { index, closed: false, rate, in_use: true }
    }

    #[test]
    fn the_least_window_in_use_is_waited_for() {
        let all = [bound(0, 3.0), bound(1, 2.0), bound(4, 5.0)];
        assert_eq!(slowest(&all, None), Some(1));
        assert_eq!(slowest(&all, Some(2.5)), Some(1));
        assert_eq!(slowest(&all, Some(2.0)), None, "the session's own rate is what bounds it");
        let unused = [all[0], Bound { in_use: false, ..all[1] }];
        assert_eq!(slowest(&unused, None), None, "there is nothing to send");
        assert_eq!(slowest(&[], None), None);
    }

    #[test]
    fn who_has_no_room_is_waited_for_first() {
        let closed = Bound { closed: true, in_use: false, ..bound(0, 9.0) };
        assert_eq!(slowest(&[closed, bound(1, 2.0)], Some(1.0)), Some(0));
    }
}
