//! Whose congestion windows bound the group's: everybody's, up to a number of members that can all
//! report often; else those who would come off worst, as pgmcc elects its acker (Rizzo 2000).
//! Losses that members have independently of each other make the least of many windows smaller than
//! any of them by itself; one that is followed stays its own size.

use super::{Channel, ack_rate};
use crate::config::GroupWindow;
use crate::proto::member::Member;
use core::time::Duration;

/// Up to so many members all report at the group's pace, whether or not all bound its window.
pub(super) const REPORTERS: usize = 200;
/// Of more than that so many do, and bound the window.
const REPRESENTATIVES: usize = 16;
/// Who is elected stays so until another's expected throughput is below this part of its own (pgmcc,
/// 3.4).
const HYSTERESIS: f64 = 0.75;
/// A member without losses is taken to lose one packet of so many: then round trips decide.
const LEAST_LOSS: f64 = 1.0 / 4096.0;

/// What a member would get by itself, in proportion (the square-root law: Mathis, Semke, Mahdavi,
/// Ott 1997).
pub(crate) fn expected(rtt: Duration, loss: f64) -> f64 {
    1.0 / (rtt.as_secs_f64().max(1e-6) * loss.max(LEAST_LOSS).sqrt())
}

/// How many of so many members bound the group's window.
fn seats(rule: GroupWindow, members: usize) -> usize {
    match rule {
        GroupWindow::Acker => 1,
        GroupWindow::Least if members <= REPORTERS => members,
        GroupWindow::Least => REPRESENTATIVES,
    }
}

/// Elects the `seats` candidates with the least throughput: (throughput, whether it is in office).
pub(crate) fn elect(candidates: &[(f64, bool)], seats: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let rank = |&(throughput, office): &(f64, bool)| {
        if office { throughput * HYSTERESIS } else { throughput }
    };
    order.sort_by(|a, b| rank(&candidates[*a]).total_cmp(&rank(&candidates[*b])));
    let mut elected = vec![false; candidates.len()];
    order.iter().take(seats).for_each(|index| elected[*index] = true);
    elected
}

impl Channel {
    /// Elects anew whose windows bound the group's.
    pub(crate) fn elect(&mut self, members: &mut [Member]) {
        let following = members.iter().filter(|m| m.binds()).count();
        let seats = seats(self.rule, following);
        if seats >= following {
            (0..members.len()).for_each(|index| self.seat(members, index, true));
            return;
        }
        let following: Vec<usize> =
            (0..members.len()).filter(|index| members[*index].binds()).collect();
        let candidate = |index: &usize| {
            let m = &members[*index];
            (expected(m.group_path().rtt.expected(), m.board().loss()), m.is_limiting())
        };
        let elected = elect(&following.iter().map(candidate).collect::<Vec<_>>(), seats);
        // The newly elected first: the group is never without one.
        for limits in [true, false] {
            let these = following.iter().zip(&elected).filter(|(_, seat)| **seat == limits);
            these.for_each(|(index, _)| self.seat(members, *index, limits));
        }
    }

    fn seat(&mut self, members: &mut [Member], index: usize, limits: bool) {
        if members[index].seat(limits) {
            self.count(index, members[index].is_limiting());
            ack_rate::tune(Some(self), members, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{elect, expected, seats};
    use crate::config::GroupWindow;
    use core::time::Duration;

    #[test]
    fn everybody_counts_up_to_two_hundred() {
        assert_eq!(seats(GroupWindow::Least, 200), 200);
        assert_eq!(seats(GroupWindow::Least, 201), 16);
        assert_eq!(seats(GroupWindow::Acker, 3), 1);
    }

    #[test]
    fn the_worst_is_elected_and_stays_until_another_is_clearly_worse() {
        assert_eq!(elect(&[(5.0, false), (3.0, false), (4.0, false)], 1), [false, true, false]);
        assert_eq!(elect(&[(5.0, false), (3.0, true), (2.5, false)], 1), [false, true, false]);
        assert_eq!(elect(&[(5.0, false), (3.0, true), (2.2, false)], 1), [false, false, true]);
        assert_eq!(elect(&[(1.0, false), (1.0, false), (1.0, true)], 2), [true, false, true]);
    }

    #[test]
    fn loss_and_round_trip_lower_what_is_expected() {
        let ms = Duration::from_millis;
        assert!(expected(ms(20), 0.01) < expected(ms(20), 0.001));
        assert!(expected(ms(40), 0.01) < expected(ms(20), 0.01));
        assert!(expected(ms(40), 0.0) < expected(ms(20), 0.0));
        assert!(expected(Duration::ZERO, 0.0).is_finite());
    }
}
