//! What the group has passed and somebody still lacks: lost on the way, declared late, or taken back.
//! A moment is waited for who else does; the group repeats what two or more lack, the rest goes to
//! each alone. Who lacks what stands in the members' needs; here, when it is decided, and in what
//! order the group repeats.

use super::union;
use crate::proto::member::Member;
use crate::proto::ranges::RangeSet;
use crate::proto::time::Instant;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// Ranges that wait, at most; what comes on top goes by unicast without waiting.
const LIMIT: usize = 1 << 14;
/// Members' reports of one loss are spread by their ACK rhythm at least.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// A spread of round trips larger than this is not waited for.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// The part of a round trip is never longer than an ACK may be delayed (RFC 1122, section 4.2.3.2): who
/// answers late on purpose holds the others' repairs up no longer.
const MAX_RHYTHM: Duration = Duration::from_millis(500);

/// What the group may have to repeat.
#[derive(Debug, Default)]
pub(crate) struct RepairQueue {
    /// In the order in which their wait ends.
    waiting: VecDeque<(Instant, Range<u64>)>,
    /// All of them.
    queued: RangeSet,
    /// To be sent to the group.
    ready: VecDeque<Range<u64>>,
}

impl RepairQueue {
    /// A member lacks a range that the group has passed. `false`: the queue is full, serve it alone.
    pub(crate) fn on_owed(&mut self, now: Instant, range: &Range<u64>, wait: Duration) -> bool {
        if self.queued.gaps(range.clone()).next().is_none() {
            return true;
        }
        if self.waiting.len() >= LIMIT {
            return false;
        }
        self.queued.insert(range.clone());
        // Kept in order though the wait may have become shorter meanwhile.
        let at = self.waiting.back().map_or(now + wait, |(last, _)| (now + wait).max(*last));
        self.waiting.push_back((at, range.clone()));
        true
    }

    /// When the next of those that wait is decided.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// What the group repeats next.
    pub(crate) fn next(&self) -> Option<&Range<u64>> {
        self.ready.front()
    }

    /// The group has repeated it up to `end`.
    pub(crate) fn sent(&mut self, end: u64) {
        if let Some(front) = self.ready.front_mut() {
            front.start = end;
            if front.is_empty() {
                self.ready.pop_front();
            }
        }
    }

    /// Nothing beyond `end` is repeated.
    pub(crate) fn cut(&mut self, end: u64) {
        self.waiting.iter_mut().for_each(|(_, range)| range.end = range.end.min(end));
        self.queued.remove(end..u64::MAX);
        self.ready.iter_mut().for_each(|range| range.end = range.end.min(end));
        self.ready.retain(|range| range.start < range.end);
    }

    /// Keeps what is next to what two or more still lack: meanwhile it may have come late, or one
    /// has left the group.
    pub(crate) fn prune(&mut self, members: &mut [Member]) {
        while let Some(front) = self.ready.pop_front() {
            let shared = first_shared(members, front.clone());
            let alone = front.start..shared.as_ref().map_or(front.end, |run| run.start);
            serve_alone(members, &alone);
            if let Some(run) = shared {
                if run.end < front.end {
                    self.ready.push_front(run.end..front.end);
                }
                self.ready.push_front(run);
                return;
            }
        }
    }

    /// Decides everything whose wait is over. What two lack that one of them has no room for yet waits on.
    pub(crate) fn settle(&mut self, now: Instant, members: &mut [Member]) {
        while let Some((at, _)) = self.waiting.front()
            && *at <= now
            && let Some((_, mut range)) = self.waiting.pop_front()
        {
            self.queued.remove(range.clone());
            while !range.is_empty() {
                let shared = first_shared(members, range.clone());
                let alone = range.start..shared.as_ref().map_or(range.end, |run| run.start);
                serve_alone(members, &alone);
                let Some(run) = shared else { break };
                range.start = run.end;
                let room = room_for(members, &run);
                if run.start < room {
                    self.ready.push_back(run.start..room);
                }
                if room < run.end {
                    self.on_owed(now, &(room..run.end), MAX_WAIT);
                }
            }
        }
    }
}

/// The first part of a range that two or more are owed.
fn first_shared(members: &[Member], range: Range<u64>) -> Option<Range<u64>> {
    let owed = |at: u64| members.iter().filter_map(move |m| m.need().shared_from(at));
    let run = union::shared_from(range.start, owed)?;
    (run.start < range.end).then(|| run.start..run.end.min(range.end))
}

/// How far everybody who is owed any of a range has room for it.
fn room_for(members: &[Member], range: &Range<u64>) -> u64 {
    let owed = members.iter().filter(|m| m.binds() && m.need().shares(range));
    owed.map(Member::edge).min().unwrap_or(range.end).clamp(range.start, range.end)
}

/// Whoever is owed any of a range gets it alone.
fn serve_alone(members: &mut [Member], range: &Range<u64>) {
    if range.is_empty() {
        return;
    }
    for m in members {
        m.need_mut().serve_alone(range.clone());
    }
}

/// How long to wait for other members' reports of the same loss: the spread of their round trips
/// and a part of one for their ACKs' rhythm; where most report in rounds, a round.
pub(crate) fn wait(members: &[Member]) -> Duration {
    let mut least = Duration::MAX;
    let (mut most, mut round) = (Duration::ZERO, Duration::ZERO);
    for m in members.iter().filter(|m| m.binds()) {
        if let Some(rtt) = m.group_path().rtt.smoothed() {
            least = least.min(rtt);
            most = most.max(rtt);
        }
        if !m.is_limiting() {
            round = round.max(m.ack_policy().delay);
        }
    }
    let spread = most.saturating_sub(least).min(MAX_WAIT);
    // Those that were silent are asked as soon as one of them is there again, and may have missed the same.
    let missed = members.iter().filter(|m| m.is_missed());
    let back = missed.map(|m| m.path().rtt.expected() + MIN_WAIT).max().unwrap_or_default();
    (spread + (most / 4).min(MAX_RHYTHM)).max(MIN_WAIT).max(round).max(back)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, RepairQueue};
    use crate::proto::send::log::{self, GroupLog};
    use crate::proto::time::Instant;
    use core::time::Duration;

    #[test]
    fn a_full_queue_sends_its_callers_away() {
        let mut queue = RepairQueue::default();
        let now = Instant::ZERO;
        let range = |n: u64| 2 * n..2 * n + 1;
        for n in 0..LIMIT as u64 {
            assert!(queue.on_owed(now, &range(n), Duration::ZERO));
        }
        assert!(queue.on_owed(now, &range(7), Duration::ZERO), "waits already");
        assert!(!queue.on_owed(now, &range(LIMIT as u64), Duration::ZERO));
        queue.settle(now, &mut []);
        assert!(queue.on_owed(now, &range(LIMIT as u64), Duration::ZERO));
        assert_eq!(queue.next(), None, "nobody lacks any of it");
    }

    #[test]
    fn a_full_log_says_so() {
        let mut log = GroupLog::default();
        for n in 0..log::LIMIT as u64 {
            assert!(!log.is_full());
            log.push(Instant::ZERO, n..n + 1);
        }
        assert!(log.is_full());
        log.trim(log::LIMIT as u64);
        assert!(!log.is_full());
    }
}
