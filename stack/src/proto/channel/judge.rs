//! What a member's mode is judged by: how it hears the group, loses of it, answers, and reads.

use super::Channel;
use crate::config::Promotion;
use crate::proto::member::Member;
use crate::proto::member::mode::{self, Cause, Evidence, Losses};
use crate::proto::send::scoreboard::JUDGED;
use crate::proto::time::Instant;
use crate::wire::GroupStatus;
use core::time::Duration;

/// TCP-XM slide 16: "typically after 75K unicast data".
pub(crate) const PUBLISHED_BYTES: u64 = 75 << 10;
/// 75 KiB are 54 segments of 1,420 bytes, so of the 128 that option 51 speaks of about 40 % can
/// have been multicast by then (the published threshold is not known; this one gives 75K).
pub(crate) const PUBLISHED_PERCENT: u8 = 40;
/// The least length of a judgement.
pub(crate) const PERIOD_MIN: Duration = Duration::from_millis(500);
/// Whom its own window slows down goes by unicast, on the same line, if the others then gain more than
/// this part of its rate: one part pays for the unicast, a quarter is what it must be worth.
pub(crate) const WORTH: f64 = 1.25;
/// In round trips.
pub(crate) const PERIOD_RTTS: u32 = 10;

impl Channel {
    /// Judges a member that is served: what moves it to another mode, if anything does. `end` is that
    /// of the bytes there are.
    pub(crate) fn judge(
        &self,
        now: Instant,
        members: &mut [Member],
        index: usize,
        end: u64,
        promotion: Promotion,
    ) -> Option<Cause> {
        if members[index].group_status() == GroupStatus::Cannot {
            return Some(Cause::CannotJoin);
        }
        let losses = losses(now, members, index);
        let m = &mut members[index];
        m.measure(now);
        let (blocked, has_room) =
            (self.blocks(members, index, end), self.room(members, index, end));
        let m = &mut members[index];
        let period = period(m);
        let hearing = m.board().hearing();
        let deaf_for = m.watch_mut().deaf(now, mode::is_deaf(hearing));
        let closed_for = m.watch_mut().hold(now, blocked);
        let oldest = m.board().oldest_out().and_then(|pn| self.log.get(pn));
        let heard = m.conn().last_heard();
        let silent_for = oldest.map_or(Duration::ZERO, |entry| now.since(entry.at.max(heard)));
        mode::judge(&Evidence {
            mode: m.mode(),
            hearing,
            unicast_loss: m.conn().tx().loss(),
            deaf_for,
            losses,
            timed_out: m.conn().tx().often_timed_out(now),
            closed_for,
            has_room,
            silent_for,
            patience: (m.path().rtt.rto() + m.ack_delay()) * 2,
            period,
            published: (promotion == Promotion::After75K).then(|| is_promoted_as_published(m)),
        })
    }

    /// Whether this member's window holds the group, while at least half of the others have read what
    /// came, and would gain. Who is as slow as most others is not what holds them.
    fn blocks(&self, members: &[Member], index: usize, end: u64) -> bool {
        let m = &members[index];
        if !m.is_multicast() || !self.is_unfinished(end) || self.reaches(m, self.segment, end) {
            return false;
        }
        let others = || {
            let all = members.iter().enumerate();
            all.filter(|(n, o)| *n != index && o.is_multicast()).map(|(_, o)| o)
        };
        let half = |o: &Member| (o.window().widest() / 2).max(self.segment);
        let free = || others().filter(|o| self.reaches(o, half(o), end));
        let shown = free().map(|o| o.watch().best()).min_by(f64::total_cmp);
        let rate = m.watch().rate();
        let gains = shown.is_some_and(|shown| shown - rate > rate * WORTH);
        gains && free().count() * 2 >= others().count()
    }

    /// Whether a member has room for the group's next segment, if there is anybody who would have to
    /// wait for it.
    fn room(&self, members: &[Member], index: usize, end: u64) -> bool {
        let led = members.iter().any(Member::is_multicast);
        !led || self.reaches(&members[index], self.segment, end)
    }
}

/// The published rule (TCP-XM slides 16 and 17).
fn is_promoted_as_published(m: &Member) -> bool {
    m.is_tried() && m.need().sent() >= PUBLISHED_BYTES && m.heard_percent() >= PUBLISHED_PERCENT
}

/// Loss over the period that has just ended, if one has.
fn losses(now: Instant, members: &mut [Member], index: usize) -> Option<Losses> {
    let m = &members[index];
    let packets = m.board().period().total();
    if m.watch().lasts(now) < period(m) || packets < JUDGED {
        return None;
    }
    let own = m.board().period().loss();
    let others = median_loss(members, index);
    let m = &mut members[index];
    m.watch_mut().end_period(now, own);
    m.board_mut().begin_period();
    others.map(|others| Losses { own, others, packets })
}

/// The least length of a judgement of this member.
fn period(m: &Member) -> Duration {
    (m.group_path().rtt.smoothed().unwrap_or_default() * PERIOD_RTTS).max(PERIOD_MIN)
}

/// Median loss of the other multicast members, if there are any.
fn median_loss(members: &[Member], index: usize) -> Option<f64> {
    let mut losses: Vec<f64> = members
        .iter()
        .enumerate()
        .filter(|(n, m)| *n != index && m.is_multicast())
        .map(|(_, m)| {
            let period = m.board().period();
            if period.total() >= JUDGED { period.loss() } else { m.watch().last_loss() }
        })
        .collect();
    if losses.is_empty() {
        return None;
    }
    let middle = losses.len() / 2;
    Some(*losses.select_nth_unstable_by(middle, f64::total_cmp).1)
}
