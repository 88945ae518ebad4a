//! Whose turn it is: pure functions of the session's state.

use super::Session;
use crate::proto::channel::ChannelId;
use crate::proto::member::plan::Step;
use crate::proto::time::Instant;
use core::ops::Range;

/// Where a train goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Group(ChannelId),
    Member(usize),
}

impl Session {
    /// Whose turn it is, if anybody has something to send: the channels and the members take turns, so
    /// that neither starves, and each is bounded by its own window.
    pub(super) fn choose(&self, now: Instant) -> Option<Target> {
        if !self.started {
            return None;
        }
        let group = || self.groups().find(|target| self.may_send(now, *target));
        let member = |shared: bool| {
            let mut all = self.members_in_turn().filter(|target| shared || self.is_repair(*target));
            all.find(|target| self.may_send(now, *target))
        };
        if self.turn.is_groups() {
            group().or_else(|| member(self.uplink.permits(now)))
        } else {
            member(self.uplink.precedes(now))
                .or_else(group)
                .or_else(|| member(self.uplink.permits(now)))
        }
    }

    /// Whether what goes to a member alone is what the group has just not brought. What the others get, and what those
    /// lack who have come to the group late, has a share of its own.
    pub(super) fn is_repair(&self, target: Target) -> bool {
        let repairs = |index: usize| !self.members[index].catches_up() || !self.store.is_source();
        matches!(target, Target::Member(index) if repairs(index))
    }

    fn may_send(&self, now: Instant, target: Target) -> bool {
        self.is_due(now, target) && self.step(now, target).is_some()
    }

    fn groups(&self) -> impl Iterator<Item = Target> + use<> {
        (0..self.channels.len()).map(|n| Target::Group(ChannelId(n)))
    }

    fn members_in_turn(&self) -> impl Iterator<Item = Target> + use<> {
        let (n, first) = (self.members.len(), self.turn.member());
        (0..n).map(move |k| Target::Member((first + k) % n))
    }

    /// Whether a target's pace lets a train leave.
    fn is_due(&self, now: Instant, target: Target) -> bool {
        match target {
            Target::Group(id) => self.channels[id.0].is_due(now),
            Target::Member(index) => self.members[index].pacer().permits(now),
        }
    }

    /// When the next train may leave that nothing but its pace holds back.
    pub(super) fn next_paced(&self, now: Instant) -> Option<Instant> {
        if !self.started {
            return None;
        }
        let permits = self.uplink.permits(now);
        let shared = |target: &Target| match target {
            Target::Group(_) => true,
            Target::Member(_) => permits || self.is_repair(*target),
        };
        let held = |target: &Target| {
            !self.is_due(now, *target) && shared(target) && self.step(now, *target).is_some()
        };
        let next = |target| match target {
            Target::Group(ChannelId(n)) => self.channels[n].next_due(),
            Target::Member(index) => self.members[index].pacer().next(),
        };
        self.members_in_turn().chain(self.groups()).filter(held).map(next).min()
    }

    /// Bytes a second at which a target is sent to; `None`: at once.
    pub(super) fn pacing_rate(&self, target: Target) -> Option<f64> {
        match target {
            Target::Group(id) => self.channels[id.0].pacing_rate(&self.members),
            Target::Member(index) => self.members[index].pacing_rate(),
        }
    }

    /// Payload of a target's full segments, in bytes.
    pub(super) fn segment(&self, target: Target) -> u64 {
        match target {
            Target::Group(id) => self.channels[id.0].segment(),
            Target::Member(index) => self.members[index].segment(),
        }
    }

    /// The next segment for a target, or `None` if its window, its credit or the data says wait.
    pub(super) fn step(&self, now: Instant, target: Target) -> Option<Step> {
        let (members, store) = (&self.members, &self.store);
        match target {
            Target::Group(id) => self.channels[id.0].step(members, store, self.finishing),
            Target::Member(index) => {
                let hold = || {
                    let len = self.known_len(index);
                    self.channel_of(index)?.hold(now, len, members.len())
                };
                members[index].step(store, self.finishing, hold)
            }
        }
    }

    /// How long a source is for a member, as far as that is known: where members say what they lack it is that.
    fn known_len(&self, index: usize) -> Option<u64> {
        let whole = self.store.is_source().then(|| self.store.end())?;
        let need = self.members[index].need();
        let told = || need.first_sent() + need.alone_below(whole);
        Some(if self.config.declares { told() } else { whole })
    }

    /// The first bytes that somebody could be sent but that are not at hand: a source must supply
    /// them.
    pub(super) fn wanted(&self) -> Option<Range<u64>> {
        if !self.started || !self.store.is_source() {
            return None;
        }
        let lacks = |start: u64, segment: u64| {
            let range = start..self.store.end().min(start.saturating_add(segment));
            (!range.is_empty() && !self.store.has(&range)).then_some(range)
        };
        let group = || {
            self.channels.iter().find_map(|channel| {
                channel.wanted().find_map(|start| lacks(start, channel.segment()))
            })
        };
        let alone = || {
            let mut served = self.members.iter().filter(|m| m.is_served() && m.is_here());
            served.find_map(|m| lacks(m.need().first_alone()?, m.segment()))
        };
        group().or_else(alone)
    }
}
