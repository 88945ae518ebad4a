//! The trial of the group: a burst of the stream once the members have joined, then short trains
//! until somebody is promoted; meanwhile unicast holds back, lest a small file goes N times.

use crate::proto::member::Member;
use crate::proto::member::ways::MEASURED;
use crate::proto::time::Instant;
use crate::wire::GroupStatus;
use core::time::Duration;

/// Full segments of the first burst (design: enough for 32 counted packets twice over).
const BURST: u32 = 64;
/// Segments of each later train.
const TRAIN: u32 = 8;
const TRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// While joins are pending or judged, all members together get at most so many segments by
/// unicast: many members' initial windows at once would overrun a switch's queue …
const HOLD_SEGMENTS: u64 = 128;
/// … (of few, as many as tell how fast unicast to each of them is: more than sixteen it hardly serves faster than the
/// slowest group does) …
const HOLD_MEASURED: (u64, u64) = (16, MEASURED as u64 + 4);
/// … and at most this share of a stream whose length is known …
const HOLD_SHARE: u64 = 20;
/// … but each at least so many.
const HOLD_LEAST: u64 = 2;
const HOLD_TIME: Duration = Duration::from_millis(250);

/// State of the trial; most of it concerns the start of a session.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    hold_until: Option<Instant>,
    /// Fewer than two may follow the group: there is nothing to wait for.
    lone: bool,
    /// Two or more could follow it at some time.
    shared: bool,
    begun: bool,
    bursting: bool,
    left: u32,
    next_train: Option<Instant>,
}

impl Trial {
    /// Sending begins.
    pub(crate) fn start(&mut self, now: Instant, members: &[Member]) {
        self.hold_until = Some(now + (longest_rtt(members) * 4).max(HOLD_TIME));
    }

    /// How many bytes of the stream a member in trial may have been sent by unicast by now, if
    /// that is bounded at all.
    pub(crate) fn hold(
        &self,
        now: Instant,
        segment: u64,
        len: Option<u64>,
        members: usize,
    ) -> Option<u64> {
        if !self.is_held(now) {
            return None;
        }
        let members = (members as u64).max(1);
        let (few, each) = HOLD_MEASURED;
        let measured = if members <= few { each * members } else { 0 };
        let most = HOLD_SEGMENTS.max(measured) * segment;
        let all = len.map_or(u64::MAX, |len| len / HOLD_SHARE).min(most);
        Some((all / members).max(HOLD_LEAST * segment))
    }

    /// Whether two members could ever follow the group.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether unicast holds back.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        !self.lone && self.hold_until.is_some_and(|until| now < until)
    }

    /// Whether what may go to the group is the first burst.
    pub(crate) fn is_bursting(&self) -> bool {
        self.bursting
    }

    /// Segments that may go to the group now though nobody is promoted yet.
    pub(crate) fn allowance(&self) -> u32 {
        self.left
    }

    pub(crate) fn on_group_segment(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Grants the burst or the next train when it is time. With a multicast member the group
    /// carries data anyway, and members in trial are judged by that.
    pub(crate) fn update(&mut self, now: Instant, members: &[Member]) {
        // Who is yet to say what it lacks holds the group, and so unicast: it is not to overtake that.
        if self.hold_until.is_some_and(|until| until <= now + HOLD_TIME)
            && members.iter().any(|m| m.is_waited_for(now))
        {
            self.hold_until = Some(now + HOLD_TIME);
        }
        let lone = members.iter().filter(|m| m.may_follow() && m.is_here()).take(2).count() < 2;
        self.lone = lone;
        self.shared |= !lone;
        let tried = members.iter().filter(|m| m.is_tried()).count();
        // What one alone lacks is not the group's to carry.
        if tried < 2 || members.iter().any(Member::leads) {
            self.left = 0;
            self.next_train = None;
            return;
        }
        let interval = longest_rtt(members).max(TRAIN_INTERVAL);
        let due = match self.next_train {
            // Everyone is to hear the burst: wait for the joins, but not for ever.
            None if !self.begun => {
                let pending =
                    |m: &Member| m.is_served() && m.group_status() == GroupStatus::Joining;
                if members.iter().any(pending) {
                    self.next_train = Some(now + interval);
                    return;
                }
                true
            }
            None => true,
            Some(at) => {
                let all_in = !self.begun
                    && !members
                        .iter()
                        .any(|m| m.is_served() && m.group_status() == GroupStatus::Joining);
                all_in || now >= at
            }
        };
        if due {
            // What is left of a burst whose bytes were not at hand goes on.
            let unfinished = self.bursting && self.left > 0;
            self.bursting = !self.begun || unfinished;
            if !unfinished {
                self.left = if self.begun { TRAIN } else { BURST };
            }
            self.begun = true;
            self.next_train = Some(now + interval);
        }
    }

    /// When [`Self::update`] or the end of the hold matters next.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let hold = self.hold_until.filter(|at| *at > now);
        match (self.next_train.filter(|at| *at > now), hold) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

fn longest_rtt(members: &[Member]) -> Duration {
    members.iter().filter_map(|m| m.path().rtt.smoothed()).max().unwrap_or_default()
}
