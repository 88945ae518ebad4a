//! What a member's mode is judged by: how it hears the group, loses of it, answers, and reads.

use super::{Channel, ChannelId};
use crate::config::Promotion;
use crate::proto::member::Member;
use crate::proto::member::mode::{self, Cause, Evidence, Losses};
use crate::proto::member::ways::Rates;
use crate::proto::send::scoreboard::{JUDGED, Outcomes};
use crate::proto::time::Instant;
use crate::stats::Mode;
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
/// The group's packets in a period of losses, at least: of so many, 7 % lost against none are no chance
/// ([`mode::DEVIATIONS`]), and enough were meant for everybody though some are repeated for a few.
pub(crate) const PERIOD_PACKETS: u64 = 4 * JUDGED as u64;

/// The channel's packets come in periods, over which its members' losses are compared: all count the same
/// packets, so that a queue which overflows to everybody speaks against nobody.
#[derive(Debug)]
pub(super) struct Period {
    began: Instant,
    /// When the one before began.
    before: Instant,
    /// Its first packet.
    first: u64,
    lasts: Duration,
}

impl Period {
    /// The first one.
    pub(super) fn begin(now: Instant) -> Self {
        Self { began: now, before: now, first: 0, lasts: PERIOD_MIN / 2 }
    }
}

impl Channel {
    /// Begins another period if the present one has lasted and carried enough. What the one before it
    /// has come to is known then: half the time that a judgement takes has passed since it ended.
    pub(crate) fn turn(&mut self, now: Instant, id: ChannelId, members: &mut [Member]) {
        let next = self.log.next_pn();
        if now.since(self.period.began) < self.period.lasts
            || next - self.period.first < PERIOD_PACKETS
        {
            return;
        }
        let longest = members.iter().filter(|m| m.is_multicast()).map(period).max();
        let lasts = longest.unwrap_or(PERIOD_MIN) / 2;
        let Period { began, before, .. } = self.period;
        self.period = Period { began: now, before: began, first: next, lasts };
        for m in members.iter_mut().filter(|m| m.channel() == Some(id)) {
            m.board_mut().begin_period();
            m.watch_mut().end_period(before);
        }
    }

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
        let losses = losses(members, index);
        let others = found_slower(now, members);
        let m = &mut members[index];
        m.measure(now);
        let (blocked, has_room) =
            (self.blocks(members, index, end), self.room(members, index, end));
        let m = &mut members[index];
        let period = period(m);
        let hearing = m.board().hearing();
        let deaf_for = m.watch_mut().deaf(now, mode::is_deaf(hearing));
        m.inquire(deaf_for, hearing);
        let closed_for = m.watch_mut().hold(now, blocked);
        let arrived = m.need().arrived();
        let is_slower = match m.mode() {
            Mode::Trial => m.ways_mut().is_slower_at_first(others),
            Mode::Multicast => m.ways_mut().is_slower(now, arrived, others),
            Mode::Unicast | Mode::Gone => false,
        };
        let lost_before = losses.is_some_and(|l| m.watch_mut().loses(l.is_own()));
        let oldest = m.board().oldest_out().and_then(|pn| self.log.get(pn));
        let heard = m.conn().last_heard();
        let silent_for = oldest.map_or(Duration::ZERO, |entry| now.since(entry.at.max(heard)));
        mode::judge(&Evidence {
            mode: m.mode(),
            hearing,
            unicast_loss: m.conn().tx().loss(),
            deaf_for,
            losses,
            lost_before,
            timed_out: m.conn().tx().often_timed_out(now),
            closed_for,
            is_slower,
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
    /// wait for it: who follows the group, or is tried and has room.
    fn room(&self, members: &[Member], index: usize, end: u64) -> bool {
        let reaches = |m: &Member| self.reaches(m, self.segment, end);
        let waits = |m: &Member| m.is_multicast() || m.is_tried() && reaches(m);
        reaches(&members[index]) || !members.iter().enumerate().any(|(n, m)| n != index && waits(m))
    }
}

/// What those found who have just left the group since it is the slower way, if they are half of all it could serve:
/// the others would go at its pace.
fn found_slower(now: Instant, members: &[Member]) -> Option<Rates> {
    let mut found = members.iter().filter_map(|m| m.ways().speaks(now)).peekable();
    let first = found.peek().copied()?;
    let all = members.iter().filter(|m| m.is_served()).count();
    (found.count() * 2 >= all).then_some(first)
}

/// The published rule (TCP-XM slides 16 and 17).
fn is_promoted_as_published(m: &Member) -> bool {
    m.is_tried() && m.need().sent() >= PUBLISHED_BYTES && m.heard_percent() >= PUBLISHED_PERCENT
}

/// Losses of the last period of which all is known, once; those in a silence are none of its way's.
fn losses(members: &mut [Member], index: usize) -> Option<Losses> {
    let began = members[index].watch_mut().take_due()?;
    if members[index].was_silent(began) {
        return None;
    }
    let known = members[index].board().known();
    let others = median_loss(members, index)?;
    (known.total() >= JUDGED).then(|| Losses { own: known.loss(), others, packets: known.total() })
}

/// The least time for a judgement of this member.
fn period(m: &Member) -> Duration {
    (m.group_path().rtt.smoothed().unwrap_or_default() * PERIOD_RTTS).max(PERIOD_MIN)
}

/// Median loss of the other multicast members over the same packets, if there are any.
fn median_loss(members: &[Member], index: usize) -> Option<f64> {
    let mut losses: Vec<f64> = members
        .iter()
        .enumerate()
        .filter(|(n, m)| *n != index && m.is_multicast())
        .map(|(_, m)| m.board().known())
        .filter(|known| known.total() >= JUDGED)
        .map(Outcomes::loss)
        .collect();
    if losses.is_empty() {
        return None;
    }
    let middle = losses.len() / 2;
    Some(*losses.select_nth_unstable_by(middle, f64::total_cmp).1)
}
