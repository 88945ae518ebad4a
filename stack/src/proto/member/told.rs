//! What a member was told of its channel by its own association: the keys, which it acknowledges, and the
//! newest packet, which is said again and again.

use super::Member;
use crate::proto::conn::emit::Report;
use crate::wire::{GroupStatus, Record};

impl Member {
    /// It is told a key.
    pub(crate) fn tell_key(&mut self, record: &Record<'_>) {
        let Record::GroupKey { id, .. } = record else { return };
        self.conn.control_mut().push(record);
        self.group_key = Some((*id, self.conn.control().out_end()));
    }

    /// Whether it has been told of the channel's keys, and is to be told of the next.
    pub(crate) fn is_told_keys(&self) -> bool {
        self.group_key.is_some() && self.is_served()
    }

    /// Whether it has acknowledged the key with this id, the newest there is.
    pub(crate) fn has_key(&self, id: u8) -> bool {
        let acked = self.conn.control().acked_to();
        self.group_key.is_some_and(|(told, end)| told == id && acked >= end)
    }

    /// What rides along on whatever goes to it: the newest packet of its channel, of which `next` is the
    /// number that follows.
    pub(crate) fn report(&self, next: Option<u64>) -> Report<'static> {
        let joined = self.group_status == GroupStatus::Joined;
        let newest = next.filter(|_| joined).and_then(|next| next.checked_sub(1));
        Report { newest, ..Report::default() }
    }

    /// It is told of the newest packet now, though there be nothing else to say.
    pub(crate) fn tell_newest(&mut self) {
        if self.group_status == GroupStatus::Joined && self.is_served() {
            self.conn.demand_ack();
        }
    }
}
