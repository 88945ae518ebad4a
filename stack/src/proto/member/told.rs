//! What a member was told of its channel by its own association: the keys, which it acknowledges, and the
//! newest packet, which is said again and again; and what it was asked.

use super::Member;
use super::flooded::Flooded;
use super::inquiry::Inquiry;
use super::lag::Lag;
use crate::proto::conn::emit::Report;
use crate::proto::time::Instant;
use crate::wire::{GroupStatus, Record};

/// What a member was told of its channel.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The newest of the keys, and where that stands in its control conversation.
    key: Option<(u8, u64)>,
    /// Where the newest word of its group stands there, if there was one after the SYN's.
    group: Option<u64>,
    /// That was to leave it.
    left: bool,
    lag: Lag,
    pub(super) inquiry: Inquiry,
}

impl Member {
    /// It is told a key.
    pub(crate) fn tell_key(&mut self, record: &Record<'_>) {
        let Record::GroupKey { id, .. } = record else { return };
        self.conn.control_mut().push(record);
        self.told.key = Some((*id, self.conn.control().out_end()));
    }

    /// It is told of another group than the one that it may have joined.
    pub(crate) fn tell_group(&mut self, record: &Record<'_>) {
        self.conn.control_mut().push(record);
        self.told.group = Some(self.conn.control().out_end());
        self.told.inquiry = Inquiry::default();
        self.cannot_join = None;
        self.begin_to_retry();
        let left = core::mem::take(&mut self.told.left);
        if left || matches!(self.group_status, GroupStatus::Joined | GroupStatus::Cannot) {
            self.group_status = GroupStatus::Joining;
        }
    }

    /// It is told to leave the group, so that its line is free for what it gets alone.
    pub(super) fn tell_leave(&mut self, now: Instant) {
        self.flooded = Flooded::begin(now);
        self.conn.control_mut().push(&Record::Leave);
        self.told.group = Some(self.conn.control().out_end());
        self.told.inquiry = Inquiry::default();
        self.told.left = true;
        self.group_status = GroupStatus::None;
    }

    /// Whether it was told to leave the group, and not yet to join it again.
    pub(crate) fn has_left(&self) -> bool {
        self.told.left
    }

    /// Whether what it says of its group is said of the one that it is now.
    pub(crate) fn knows_group(&self) -> bool {
        self.told.group.is_none_or(|end| self.conn.control().acked_to() >= end)
    }

    /// Whether it has been told of the channel's keys, and is to be told of the next.
    pub(crate) fn is_told_keys(&self) -> bool {
        self.told.key.is_some() && self.is_served()
    }

    /// Whether it has acknowledged the key with this id, the newest there is.
    pub(crate) fn has_key(&self, id: u8) -> bool {
        let acked = self.conn.control().acked_to();
        self.told.key.is_some_and(|(told, end)| told == id && acked >= end)
    }

    /// What rides along on whatever goes to it: the newest packet of its channel, of which `next` is the
    /// number that follows.
    pub(crate) fn report(&self, next: Option<u64>) -> Report<'static> {
        let joined = self.group_status == GroupStatus::Joined;
        let newest = next.filter(|_| joined).and_then(|next| next.checked_sub(1));
        Report { newest, ..Report::default() }
    }

    /// It has joined its channel, of whose packets `next` is the number of the next.
    pub(crate) fn begin_hearing(&mut self, now: Instant, next: u64) {
        self.told.lag = Lag::begin(now, next);
    }

    /// It reports that it heard a packet with this number, and no higher one.
    pub(crate) fn heard_up_to(&mut self, now: Instant, pn: u64) {
        self.told.lag.reported(now, pn);
    }

    /// Whether what it lost since then was lost in a silence, of which there are few.
    pub(crate) fn was_silent(&self, from: Instant) -> bool {
        self.told.lag.excuses(from)
    }

    /// Whether it hears something of the group, this share, after a silence in which it had heard too little: of how
    /// much it hears from now on that says nothing.
    pub(crate) fn hears_again(&self, share: f64) -> bool {
        share > 0.0 && self.watch.deaf_since().is_some_and(|since| self.was_silent(since))
    }

    /// When it is to be told of the newest packet since it reports none of those before.
    pub(super) fn tells_at(&self, next: u64) -> Option<Instant> {
        let hears = self.group_status == GroupStatus::Joined && self.is_served();
        self.told.lag.due_at(next).filter(|_| hears)
    }

    /// Tells it that, if it is time.
    pub(super) fn tell_lag(&mut self, now: Instant, next: u64) {
        if self.tells_at(next).is_some_and(|at| at <= now) {
            self.told.lag.told();
            self.tell_newest();
        }
    }

    /// It is told of the newest packet now, though there be nothing else to say.
    pub(crate) fn tell_newest(&mut self) {
        if self.group_status == GroupStatus::Joined && self.is_served() {
            self.conn.demand_ack();
        }
    }
}
