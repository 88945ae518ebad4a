//! What to send next, to whom, and why: pure functions of the session's state.

use super::Session;
use super::member::Member;
use super::need::Owed;
use crate::proto::time::Instant;
use crate::stats::Mode;
use core::ops::Range;

/// Where a train goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Group,
    Member(usize),
}

/// One data segment to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) range: Range<u64>,
    /// Sent before, to the same receivers.
    pub(crate) repair: bool,
    /// It is the last for now: to be acknowledged at once (PSH).
    pub(crate) push: bool,
}

/// Whose turn it is, if anybody has something to send: the group and the members take turns, so
/// that neither starves, and each is bounded by its own window.
pub(crate) fn choose(s: &Session, now: Instant) -> Option<Target> {
    if !s.started {
        return None;
    }
    let group = || {
        let permitted = s.group_pacer.permits(now) && group_step(s).is_some();
        permitted.then_some(Target::Group)
    };
    let member = || {
        let n = s.members.len();
        (0..n)
            .map(|k| (s.member_turn + k) % n)
            .find(|&i| s.members[i].pacer.permits(now) && member_step(s, now, i).is_some())
            .map(Target::Member)
    };
    if s.group_turn { group().or_else(member) } else { member().or_else(group) }
}

/// When the next train may leave that nothing but its pace holds back.
pub(crate) fn paced_until(s: &Session, now: Instant) -> Option<Instant> {
    if !s.started {
        return None;
    }
    let group =
        (!s.group_pacer.permits(now) && group_step(s).is_some()).then(|| s.group_pacer.next());
    let held = |(i, m): (usize, &Member)| {
        let held = !m.pacer.permits(now) && member_step(s, now, i).is_some();
        held.then(|| m.pacer.next())
    };
    s.members.iter().enumerate().filter_map(held).chain(group).min()
}

/// Bytes per second at which a target is sent to; `None`: at once.
pub(crate) fn pacing_rate(s: &Session, target: Target) -> Option<f64> {
    match target {
        // The trial's first burst leaves at once; its trains as what goes by unicast beside them, or
        // they would find a full queue where the others find room.
        Target::Group if !s.members.iter().any(Member::is_multicast) => {
            if s.trial.is_bursting() {
                return None;
            }
            let tried = s.members.iter().filter(|m| m.is_tried());
            tried.filter_map(|m| m.conn.tx.path.pacing_rate()).min_by(f64::total_cmp)
        }
        Target::Group => {
            let following = || s.members.iter().filter(|m| m.is_limiting());
            let Some(bbr) = &s.group_bbr else {
                return following()
                    .filter_map(|m| m.board.path.pacing_rate())
                    .min_by(f64::total_cmp);
            };
            let srtt = following().filter_map(|m| m.board.path.rtt.smoothed()).max()?;
            Some(bbr.pacing_rate(srtt))
        }
        Target::Member(index) => s.members[index].conn.tx.path.pacing_rate(),
    }
}

/// Payload of a target's full segments, in bytes.
pub(crate) fn segment(s: &Session, target: Target) -> u64 {
    match target {
        Target::Group => s.segment,
        Target::Member(index) => s.members[index].segment(),
    }
}

/// The next segment for a target, or `None` if its window, its credit or the data says wait.
pub(crate) fn step(s: &Session, now: Instant, target: Target) -> Option<Step> {
    match target {
        Target::Group => group_step(s),
        Target::Member(index) => member_step(s, now, index),
    }
}

/// A member's congestion window for what the group carries, in bytes: its own, or its part of what
/// the group's one machine says.
fn window(s: &Session, index: usize) -> u64 {
    match &s.group_bbr {
        Some(bbr) => bbr.window(index),
        None => s.members[index].board.path.congestion.window(),
    }
}

/// The group window: the least congestion window of those who bound it, in bytes.
pub(crate) fn group_window(s: &Session) -> Option<u64> {
    let limiting = (0..s.members.len()).filter(|&index| s.members[index].is_limiting());
    limiting.map(|index| window(s, index)).min()
}

/// Whether a member's window has room for so many more bytes of what the group carries.
fn has_room(s: &Session, index: usize, bytes: u64) -> bool {
    s.members[index].board.path.has_room(bytes, window(s, index))
}

/// Whether every member that bounds the group has room for so many more bytes, and the log as well.
pub(crate) fn group_permits(s: &Session, bytes: u64) -> bool {
    let limiting = |index: &usize| s.members[*index].is_limiting();
    !s.log.is_full() && (0..s.members.len()).filter(limiting).all(|index| has_room(s, index, bytes))
}

fn group_step(s: &Session) -> Option<Step> {
    s.group.as_ref()?;
    if let Some(range) = s.repairs.next() {
        let range = range.start..range.end.min(range.start + s.segment);
        let ready = s.store.has(&range) && group_permits(s, range.end - range.start);
        return ready.then_some(Step { range, repair: true, push: false });
    }
    let led = s.members.iter().any(Member::is_multicast);
    if !led && s.trial.allowance() == 0 {
        return None;
    }
    let (run, whole) = (s.cursor.run(), s.cursor.next(s.segment, s.store.end()));
    // Who lacks none of it needs no room for it.
    let edge = s
        .members
        .iter()
        .filter(|m| if led { m.is_multicast() } else { m.is_tried() })
        .filter(|m| m.edge < whole.end && !m.has_all_of(whole.clone()))
        .map(|m| m.edge)
        .min();
    let limit = edge.map_or(whole.end, |edge| edge.min(whole.end));
    // A run that ends here is as good as the end of the stream.
    let flying =
        limit < run.end && s.members.iter().any(|m| m.is_multicast() && m.board.flight() > 0);
    let range = segment_at(s, s.segment, run.start, limit, flying)?;
    let permitted = !led || group_permits(s, range.end - range.start);
    // One group segment would have everybody answer at once.
    (permitted && s.store.has(&range)).then_some(Step { range, repair: false, push: false })
}

fn member_step(s: &Session, now: Instant, index: usize) -> Option<Step> {
    let m = &s.members[index];
    if !m.is_served() {
        return None;
    }
    let Owed { range: first, repair } = m.need.next_alone()?;
    let limit = first.end.min(s.store.end()).min(m.edge);
    let flying = m.conn.tx.carries_data() && first.end > limit;
    let range = segment_at(s, m.segment(), first.start, limit, flying)?;
    let len = range.end - range.start;
    if m.mode == Mode::Trial && !repair {
        let size = s.store.is_source().then(|| s.store.end());
        let hold = s.trial.hold(now, s.segment, size, s.members.len());
        if hold.is_some_and(|most| m.need.first_sent() + len > most) {
            return None;
        }
    }
    if !m.conn.tx.permits(len) || !s.store.has(&range) {
        return None;
    }
    let push = range.end == s.store.end() || range.end == m.edge || m.conn.tx.probes_tail();
    Some(Step { range, repair, push })
}

/// A full segment at `start`, or what there is up to `limit`: a short one only at the end of the
/// stream, or when nothing is in flight (the sender's side of RFC 9293, 3.8.6.2.1).
fn segment_at(
    s: &Session,
    segment: u64,
    start: u64,
    limit: u64,
    flying: bool,
) -> Option<Range<u64>> {
    let end = limit.min(start.saturating_add(segment));
    if end <= start {
        return None;
    }
    let short = end - start < segment;
    let last = s.finishing && end == s.store.end() || s.store.is_source() && end == s.store.end();
    if short && flying && !last {
        return None;
    }
    Some(start..end)
}

/// The first bytes that somebody could be sent but that are not at hand: a source must supply them.
pub(crate) fn wanted(s: &Session) -> Option<Range<u64>> {
    if !s.started || !s.store.is_source() {
        return None;
    }
    let lacks = |start: u64, segment: u64| {
        let range = start..s.store.end().min(start.saturating_add(segment));
        (!range.is_empty() && !s.store.has(&range)).then_some(range)
    };
    let repair = s.repairs.next().and_then(|r| lacks(r.start, s.segment));
    let ahead = || {
        let run = s.cursor.run();
        s.group.as_ref().filter(|_| !run.is_empty()).and_then(|_| lacks(run.start, s.segment))
    };
    let served = || s.members.iter().filter(|m| m.is_served());
    let behind = || served().find_map(|m| lacks(m.need.first_alone()?, m.segment()));
    repair.or_else(ahead).or_else(behind)
}
