//! Whether a follower is slower than the others could go. A suspect still follows the group, which does not wait for
//! it meanwhile: what comes of that decides.

use super::Member;
use crate::config;
use crate::error::Reason;
use crate::proto::channel::verdict::KEEPS_UP;
use crate::proto::time::Instant;
use crate::stats::Mode;
use core::time::Duration;

/// One that was acquitted is no suspect for so long, each time after twice as long: chance makes suspects of equals.
const ACQUITTED: Duration = Duration::from_millis(500);
/// One that was evicted is tried again after so long at the earliest, each time after twice as long: one eviction and
/// return in it.
pub(crate) const AWAY: Duration = Duration::from_secs(10);
/// But at least so often.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(60);

/// Then it is looked so often whether it may keep up.
const LOOK: Duration = Duration::from_secs(1);
/// Below this share of loss a line is not full.
const UNLOSSY: f64 = 0.001;

/// What is known of that.
#[derive(Debug, Default)]
pub(crate) struct Slow {
    /// The group does not wait for it.
    suspect: bool,
    /// No suspect before.
    not_before: Instant,
    /// How often it was acquitted since it was last evicted, and evicted.
    acquitted: u32,
    evicted: u32,
    /// What it took, and what the group carried, in bytes a second, when it was last evicted; and when it may return.
    found: Option<(f64, f64)>,
    returns_at: Option<Instant>,
    /// It is back, or about to be, and has not been watched since.
    returned: bool,
    /// Bytes that had arrived at the mark.
    marked: u64,
    /// For how long the group has waited for it, looked at now and then.
    waited: Duration,
    /// When its way by the group last showed congestion.
    congested: Option<Instant>,
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(AWAY_MAX)
}

impl Slow {
    /// The group does not wait for it, as it may be slow.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// What it took, and what the group carried, in bytes a second, when it was evicted.
    pub(crate) fn found(&self) -> Option<(f64, f64)> {
        self.found
    }

    /// For how long the group has waited for it.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// When it is to be looked whether one that was evicted may be tried again.
    pub(super) fn returns_at(&self) -> Option<Instant> {
        self.returns_at
    }
}

impl Member {
    /// Follows the group, which waits for it: its window and its edge bound it.
    pub(crate) fn binds(&self) -> bool {
        self.leads() && !self.slow.suspect
    }

    /// Whether it is slower than the others could go.
    pub(crate) fn slow(&self) -> &Slow {
        &self.slow
    }

    /// Whether it may be suspected.
    pub(crate) fn may_be_suspect(&self, now: Instant) -> bool {
        self.binds() && now >= self.slow.not_before
    }

    /// The group has waited for it for so long, as it seems.
    pub(crate) fn is_waited_for_by_group(&mut self, passed: Duration) {
        self.slow.waited += passed;
    }

    /// Its way by the group shows congestion.
    pub(crate) fn has_seen_congestion(&mut self, now: Instant) {
        self.slow.congested = Some(now);
    }

    /// Whether it has done so within this time.
    pub(crate) fn saw_congestion(&self, now: Instant, within: Duration) -> bool {
        self.slow.congested.is_some_and(|at| now.since(at) <= within)
    }

    /// The group goes on without waiting for it.
    pub(crate) fn suspect(&mut self) {
        self.slow.suspect = true;
        self.mark();
    }

    /// What arrives is counted from here on.
    pub(crate) fn mark(&mut self) {
        self.slow.marked = self.need.arrived();
        self.board.mark();
    }

    /// Whether it follows again after it was evicted, told once; and bytes a second that it took then. It is a suspect:
    /// should it still be slow, the others are not to lose by that.
    pub(crate) fn has_returned(&mut self) -> Option<f64> {
        if !self.binds() || !core::mem::take(&mut self.slow.returned) {
            return None;
        }
        self.suspect();
        Some(self.slow.found.unwrap_or_default().0)
    }

    /// Bytes that have arrived since the mark, by whichever way.
    pub(crate) fn arrived_since_mark(&self) -> u64 {
        self.need.arrived().saturating_sub(self.slow.marked)
    }

    /// It is not slow: the group waits for it again, with the window that it has shown to take.
    pub(crate) fn acquit(&mut self, now: Instant, window: u64) {
        self.slow.suspect = false;
        self.slow.not_before = now + doubled(ACQUITTED, self.slow.acquitted);
        self.slow.acquitted += 1;
        self.board.path.congestion.raise_to(window);
    }

    /// It is: so many bytes a second arrived there, of so many that the group carried.
    pub(crate) fn convict(&mut self, now: Instant, own: f64, group: f64) {
        self.slow.found = Some((own, group));
        self.stay_away(now);
    }

    /// Why it is dropped, if it was found to take less than what is wanted of each.
    pub(crate) fn too_slow(&self, slow: config::Slow) -> Option<Reason> {
        let (config::Slow::Drop { below }, Some((own, _))) = (slow, self.slow.found) else {
            return None;
        };
        #[expect(clippy::cast_sign_loss, reason = "no rate is negative")]
        let own = (own * 8.0) as u64;
        (own < below).then_some(Reason::TooSlow { own, below })
    }

    /// It has left the group, and is not tried again for a while.
    pub(super) fn stay_away(&mut self, now: Instant) {
        self.retry_at = None;
        self.slow.returns_at = Some(now + doubled(AWAY, self.slow.evicted));
        self.slow.evicted += 1;
        self.slow.acquitted = 0;
    }

    /// Whether it was evicted, and is to be tried again now; told once. `others` is the round trip of those who follow.
    pub(super) fn returns(&mut self, now: Instant, others: Option<Duration>) -> bool {
        if self.mode != Mode::Unicast || self.slow.returns_at.is_none_or(|at| at > now) {
            return false;
        }
        let returns = self.may_keep_up(others.unwrap_or_default());
        self.slow.returns_at = (!returns).then(|| now + LOOK);
        self.slow.returned = returns;
        returns
    }

    /// Whether what it gets alone shows that it may keep up with the group: its window is as wide, or does not tell, as
    /// its line is not full: it gets little beside the group. What waits in a queue that the group has made at the
    /// sender (`others`) says nothing of that.
    fn may_keep_up(&self, others: Duration) -> bool {
        let (path, (_, group)) = (self.conn.path(), self.slow.found.unwrap_or_default());
        let (Some(srtt), Some(least)) = (path.rtt.smoothed(), path.rtt.least()) else {
            return false;
        };
        let wide = path.congestion.window() as f64 / srtt.as_secs_f64() >= group * KEEPS_UP;
        wide || self.conn.tx().loss() < UNLOSSY && srtt < least.max(others) * 2
    }

    /// It goes another way than the group from here on, or follows that: nothing speaks against it.
    pub(super) fn clear_suspicion(&mut self) {
        self.slow.suspect = false;
    }
}
