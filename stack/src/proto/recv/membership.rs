//! When a receiver reports its membership in the group again: it leaves and joins at once on the same socket,
//! which has the system send a report that nobody asked for, and the group is heard without a gap.
//!
//! A switch that listens to reports (RFC 4541) forgets who does not answer its queries. Where a firewall drops
//! the queries, where nobody asks them, or where they go out on another VLAN, only such reports keep the group
//! coming. After a cable was out IPv4 hosts do not report by themselves either.

use crate::proto::time::Instant;
use core::time::Duration;

/// A membership that nothing disturbs is reported so often: at half of the time after which a switch asks
/// (RFC 3376, 8.2 and RFC 3810, 9.2: 125 s), and a quarter of that after which it forgets (8.4: 260 s).
pub(crate) const PACE_MAX: Duration = Duration::from_secs(60);
/// A pace that was learnt is no quicker.
pub(crate) const PACE_MIN: Duration = Duration::from_secs(1);
/// So many times a membership that was forgotten is to be reported within the time that it took: one report in
/// three may be lost.
const PER_LIFE: u32 = 3;
/// So many quiet periods, and the pace doubles: what made it so quick may be over.
const QUIET_PERIODS: u32 = 10;
/// The group is silent if so many of its packets were sent, as the sender says by unicast, …
pub(crate) const LAG: u64 = 64;
/// … and none came for so long: two such silences fit into the least time after which the sender judges.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);
/// What the sender says may be here before the packets that it speaks of: so long they are waited for.
const GRACE: Duration = Duration::from_millis(50);
/// Or nothing came at all for so long, by whichever way.
pub(crate) const WORDLESS: Duration = Duration::from_secs(3);
/// A report that helps does so within this time: a system repeats it within a second (RFC 3376, 8.11).
const HELPS_WITHIN: Duration = Duration::from_secs(1);
/// The next one for the same silence comes after this, then after twice as long each time, up to
/// [`PACE_MAX`].
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// A link that flaps has a membership reported so often at most.
const LINK_LEAST: Duration = Duration::from_millis(250);

/// How often memberships are reported on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    every: Duration,
    /// Periods without a silence since it changed.
    quiet: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: PACE_MAX, quiet: 0 }
    }
}

impl Pace {
    /// A period is over without a silence.
    fn was_quiet(&mut self) {
        self.quiet += 1;
        if self.quiet >= QUIET_PERIODS {
            *self = Self { every: (self.every * 2).min(PACE_MAX), quiet: 0 };
        }
    }

    /// A membership was forgotten so long after it was reported.
    pub(crate) fn learn(&mut self, life: Duration) {
        *self = Self { every: (life / PER_LIFE).clamp(PACE_MIN, PACE_MAX), quiet: 0 };
    }
}

/// Packets were sent that did not come, and reporting is to help.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// The last report before it, and the last packet heard after that.
    reported: Instant,
    began: Instant,
}

/// A membership, from the join on.
#[derive(Debug)]
pub(crate) struct Membership {
    pace: Pace,
    /// As others here know it.
    known: Pace,
    /// Joined, or joined again.
    reported: Instant,
    /// A packet came from the group; at first when it was joined.
    heard: Instant,
    /// The highest packet number that came, or that had been told of when the membership was last reported.
    floor: Option<u64>,
    /// Since when packets are known to be lacking.
    lags: Option<Instant>,
    /// What it was reported for, if that is not over.
    silence: Option<Silence>,
    /// When it may be reported for a silence again, if it was.
    again: Option<(Instant, Duration)>,
    /// A link came back: when that is to be answered.
    link: Option<Instant>,
    /// When a link was last answered.
    linked: Option<Instant>,
    due: bool,
}

impl Membership {
    /// The system has joined the group.
    pub(crate) fn begin(now: Instant, pace: Pace) -> Self {
        Self {
            pace,
            known: pace,
            reported: now,
            heard: now,
            floor: None,
            lags: None,
            silence: None,
            again: None,
            link: None,
            linked: None,
            due: false,
        }
    }

    /// What it has learnt and others here do not know; told once. Who has learnt nothing has nothing to tell, lest
    /// it undo what others have learnt meanwhile.
    pub(crate) fn learnt(&mut self) -> Option<Pace> {
        let Self { pace, known, .. } = self;
        let is_new = pace.every != known.every;
        *known = *pace;
        is_new.then_some(*pace)
    }

    /// A packet of the group came.
    pub(crate) fn heard(&mut self, now: Instant, pn: u64) {
        self.heard = now;
        self.floor = self.floor.max(Some(pn));
        (self.lags, self.again) = (None, None);
        if let Some(silence) = self.silence.take()
            && now.since(self.reported) <= HELPS_WITHIN
        {
            self.pace.learn(silence.began.since(silence.reported));
        }
    }

    /// The sender says by unicast which packet is the newest.
    pub(crate) fn told(&mut self, now: Instant, newest: u64) {
        let floor = *self.floor.get_or_insert(newest);
        if newest.saturating_sub(floor) >= LAG {
            self.lags.get_or_insert(now);
        }
    }

    /// The interface carries frames again, or has an address that it may use now, or is another one.
    pub(crate) fn link(&mut self, now: Instant) {
        let least = self.linked.map_or(now, |at| at + LINK_LEAST);
        self.link.get_or_insert(least.max(now));
        self.silence = None; // it was the link's
    }

    /// When [`Self::on_timer`] is due; the sender was last heard by unicast at `word`.
    pub(crate) fn deadline(&self, word: Instant) -> Option<Instant> {
        if self.due {
            return None;
        }
        let silent = self.silent_at(word);
        Some((self.reported + self.pace.every).min(silent).min(self.link.unwrap_or(silent)))
    }

    /// When the group counts as silent, and may be reported for that.
    fn silent_at(&self, word: Instant) -> Instant {
        let wordless = self.heard.max(word) + WORDLESS;
        let lagging = self.lagging_at().unwrap_or(wordless);
        let may = self.again.map_or(Instant::ZERO, |(at, _)| at);
        wordless.min(lagging).max(may)
    }

    fn lagging_at(&self) -> Option<Instant> {
        self.lags.map(|since| (self.heard + SILENCE).max(since + GRACE))
    }

    /// Looks whether it is to be reported.
    pub(crate) fn on_timer(&mut self, now: Instant, word: Instant) {
        if self.deadline(word).is_none_or(|at| now < at) {
            return;
        }
        self.due = true;
        if self.link.take_if(|at| *at <= now).is_some() {
            self.linked = Some(now);
        } else if self.silent_at(word) <= now {
            self.try_again(now);
        } else if self.again.is_none() {
            self.pace.was_quiet();
        }
    }

    /// The group is silent. How long a membership lasts is seen only where the sender is heard meanwhile, and the
    /// report before was of use.
    fn try_again(&mut self, now: Instant) {
        let after = self.again.map_or(AGAIN_FIRST, |(_, after)| (after * 2).min(PACE_MAX));
        self.again = Some((now + after, after));
        if self.lagging_at().is_some_and(|at| at <= now) && self.heard > self.reported {
            let silence = Silence { reported: self.reported, began: self.heard };
            self.silence.get_or_insert(silence);
        }
    }

    /// Whether it is to be reported now.
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// It is reported, for whatever reason, when the sender has told of this packet.
    pub(crate) fn report(&mut self, now: Instant, newest: u64) {
        self.reported = now;
        self.due = false;
        self.lags = None;
        self.floor = self.floor.map(|floor| floor.max(newest));
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
