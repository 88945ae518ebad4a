//! Repairs of what the group carried: wait a moment for who else missed it, then send it to the
//! group if two or more did, else to the one.

use super::member::Member;
use crate::proto::send::log::GroupLog;
use crate::proto::time::Instant;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// Waiting repairs, at most; what comes on top goes by unicast without waiting.
const LIMIT: usize = 1 << 14;
/// Members' reports of one loss are spread by their ACK rhythm at least.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// A spread of round trips larger than this is not waited for.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// A lost group packet. Its range is kept here: the log may have forgotten the packet when its time
/// comes, since for every member it is settled.
#[derive(Debug, Clone)]
struct Waiting {
    at: Instant,
    pn: u64,
    range: Range<u64>,
}

/// Lost group packets, in the order in which their wait ends.
#[derive(Debug, Default)]
pub(crate) struct RepairQueue {
    waiting: VecDeque<Waiting>,
    /// To be sent to the group.
    pub(crate) ready: VecDeque<Range<u64>>,
}

impl RepairQueue {
    /// A member reported `pn` as missed. `false`: the queue is full, serve it alone.
    pub(crate) fn on_missed(
        &mut self,
        now: Instant,
        pn: u64,
        wait: Duration,
        log: &mut GroupLog,
    ) -> bool {
        let Some(entry) = log.get_mut(pn) else { return false };
        if entry.queued {
            return true;
        }
        if self.waiting.len() >= LIMIT {
            return false;
        }
        entry.queued = true;
        // Kept in order though the wait may have become shorter meanwhile.
        let at = self.waiting.back().map_or(now + wait, |last| last.at.max(now + wait));
        self.waiting.push_back(Waiting { at, pn, range: entry.range.clone() });
        true
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|w| w.at)
    }

    /// Forgets what nobody lacks any more: it came late, or who lacked it is served alone now.
    pub(crate) fn prune(&mut self, members: &[Member]) {
        while let Some(front) = self.ready.front_mut() {
            let lacking = members.iter().filter_map(|m| m.missing.overlap(front.clone()).next());
            if let Some(start) = lacking.map(|r| r.start).min() {
                front.start = start;
                return;
            }
            self.ready.pop_front();
        }
    }

    /// Decides every repair whose wait is over.
    pub(crate) fn settle(&mut self, now: Instant, log: &mut GroupLog, members: &mut [Member]) {
        while self.waiting.front().is_some_and(|w| w.at <= now) {
            let Some(Waiting { pn, range, .. }) = self.waiting.pop_front() else { return };
            if let Some(entry) = log.get_mut(pn) {
                entry.queued = false;
            }
            let mut lacking = members.iter_mut().filter(|m| m.missing.intersects(&range));
            let Some(first) = lacking.next() else { continue };
            if lacking.next().is_some() {
                self.ready.push_back(range);
            } else {
                serve_alone(first, range);
            }
        }
    }
}

/// Moves what a member misses of a range to what it gets by unicast.
pub(crate) fn serve_alone(member: &mut Member, range: Range<u64>) {
    let pieces: Vec<_> = member.missing.overlap(range.clone()).collect();
    for piece in pieces {
        member.todo.insert(piece);
    }
    member.missing.remove(range);
}

/// How long to wait for other members' reports of the same loss: the spread of their round trips
/// and a part of one for their ACKs' rhythm; where most report in rounds, a round.
pub(crate) fn wait(members: &[Member]) -> Duration {
    let mut least = Duration::MAX;
    let (mut most, mut round) = (Duration::ZERO, Duration::ZERO);
    for m in members.iter().filter(|m| m.is_multicast()) {
        if let Some(rtt) = m.board.path.rtt.smoothed() {
            least = least.min(rtt);
            most = most.max(rtt);
        }
        if !m.limits {
            round = round.max(m.ack_policy.delay);
        }
    }
    (most.saturating_sub(least) + most / 4).clamp(MIN_WAIT, MAX_WAIT).max(round)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, RepairQueue};
    use crate::proto::send::log::{self, GroupLog};
    use crate::proto::time::Instant;
    use core::time::Duration;

    #[test]
    fn a_full_queue_sends_its_callers_away() {
        let (mut log, mut queue) = (GroupLog::default(), RepairQueue::default());
        let now = Instant::ZERO;
        for n in 0..=LIMIT as u64 {
            log.push(now, n..n + 1);
        }
        for pn in 0..LIMIT as u64 {
            assert!(queue.on_missed(now, pn, Duration::ZERO, &mut log));
        }
        assert!(queue.on_missed(now, 7, Duration::ZERO, &mut log), "waits already");
        assert!(!queue.on_missed(now, LIMIT as u64, Duration::ZERO, &mut log));
        queue.settle(now, &mut log, &mut []);
        assert!(queue.on_missed(now, LIMIT as u64, Duration::ZERO, &mut log));
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
