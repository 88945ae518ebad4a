//! What a member's mode is judged by: how it hears the group, loses of it, answers, and reads.

use super::Channel;
use super::worth::WORTH;
use crate::config::Promotion;
use crate::proto::member::Member;
use crate::proto::member::mode::{self, Cause, Evidence};
use crate::proto::member::ways::Rates;
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
/// In round trips without a queue, which would make it as long as itself whenever it fills: whom the group does not
/// reach any more gets nothing meanwhile.
pub(crate) const PERIOD_RTTS: u32 = 10;
/// But in round trips as they are at least so many, for what is lost of a full queue to be reported and repaired.
pub(crate) const PERIOD_QUEUED_RTTS: u32 = 4;

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
        let others = found_slower(now, members);
        let m = &mut members[index];
        m.measure(now, self.eviction.measured_over());
        let has_room = self.room(members, index, end);
        let m = &mut members[index];
        let period = period(m);
        let hearing = m.board().hearing();
        let is_deaf = mode::is_deaf(hearing) && !m.hears_again(hearing.1);
        let deaf_for = m.watch_mut().deaf(now, is_deaf);
        m.inquire(deaf_for, hearing);
        let arrived = m.need().arrived();
        let is_slower = match m.mode() {
            Mode::Trial => m.ways_mut().is_slower_at_first(others),
            Mode::Multicast => m.ways_mut().is_slower(now, arrived, others),
            Mode::Unicast | Mode::Gone => false,
        };
        mode::judge(&Evidence {
            mode: m.mode(),
            hearing,
            unicast_loss: m.conn().tx().loss(),
            deaf_for,
            timed_out: m.conn().tx().often_timed_out(now),
            is_slower,
            has_room,
            period,
            published: (promotion == Promotion::After75K).then(|| is_promoted_as_published(m)),
        })
    }

    /// Whose window holds the group, if anybody's does.
    pub(crate) fn blocker(&self, members: &[Member], end: u64) -> Option<usize> {
        (0..members.len()).find(|index| self.blocks(members, *index, end))
    }

    /// Whether this member's window holds the group, while at least half of the others have read what
    /// came, and would gain. Who is as slow as most others is not what holds them.
    pub(super) fn blocks(&self, members: &[Member], index: usize, end: u64) -> bool {
        let m = &members[index];
        if !m.binds() || !self.is_unfinished(end) || self.reaches(m, self.segment, end) {
            return false;
        }
        let others = || {
            let all = members.iter().enumerate();
            all.filter(|(n, o)| *n != index && o.binds()).map(|(_, o)| o)
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
        let waits = |m: &Member| m.binds() || m.is_tried() && reaches(m);
        reaches(&members[index]) || !members.iter().enumerate().any(|(n, m)| n != index && waits(m))
    }
}

/// What those found who have just left the group since it is the slower way, if they are half of all it could serve:
/// the others would go at its pace.
fn found_slower(now: Instant, members: &[Member]) -> Option<Rates> {
    let mut found = members.iter().filter_map(|m| m.ways().speaks(now)).peekable();
    let first = found.peek().copied()?;
    let all = members.iter().filter(|m| m.is_served() && m.is_here()).count();
    (found.count() * 2 >= all).then_some(first)
}

/// The published rule (TCP-XM slides 16 and 17).
fn is_promoted_as_published(m: &Member) -> bool {
    m.is_tried() && m.need().sent() >= PUBLISHED_BYTES && m.heard_percent() >= PUBLISHED_PERCENT
}

/// The least time for a judgement of this member.
fn period(m: &Member) -> Duration {
    let rtt = &m.group_path().rtt;
    let least = rtt.least().unwrap_or_default() * PERIOD_RTTS;
    let queued = rtt.smoothed().unwrap_or_default() * PERIOD_QUEUED_RTTS;
    least.max(queued).max(PERIOD_MIN)
}
