//! Memberships that are reported again: one report counts for all receivers here that have joined the same, and what
//! one has learnt of an interface is known to those who join there later.

use super::Endpoint;
use crate::proto::event::{Action, ReceiverId};
use crate::proto::recv::membership::Pace;
use crate::proto::time::Instant;
use std::collections::BTreeMap;

/// Interfaces that something is remembered of, at most; the oldest index is forgotten first.
const MAX_INTERFACES: usize = 64;

/// How often memberships are reported on each interface, as far as that was learnt.
#[derive(Debug, Default)]
pub(super) struct Paces(BTreeMap<u32, Pace>);

impl Paces {
    /// For who joins on this interface.
    pub(super) fn get(&self, ifindex: u32) -> Pace {
        self.0.get(&ifindex).copied().unwrap_or_default()
    }

    pub(super) fn learn(&mut self, ifindex: u32, pace: Pace) {
        self.0.insert(ifindex, pace);
        if self.0.len() > MAX_INTERFACES {
            self.0.pop_first();
        }
    }
}

impl Endpoint {
    /// The interface on which a receiver has joined its group carries frames again, or has an address that it may
    /// use now, or has taken the place of the one that it had joined on.
    pub fn handle_link(&mut self, now: Instant, receiver: ReceiverId) {
        self.now = now;
        if let Some(group) = self.receivers.get_mut(&receiver).and_then(|r| r.group.as_mut()) {
            group.on_link(now);
            group.on_timer(now, now);
        }
    }

    /// The next membership that is to be reported.
    pub(super) fn next_refresh(&mut self) -> Option<Action> {
        let due = |group: &crate::proto::recv::group::GroupRx| group.is_report_due();
        let mut all = self.receivers.iter_mut();
        let (id, receiver) = all.find(|(_, r)| r.group.as_ref().is_some_and(due))?;
        let (id, ifindex) = (*id, receiver.conn.names().ifindex);
        let group = receiver.group.as_mut()?;
        let joined = group.group();
        if let Some(pace) = group.learnt() {
            self.paces.learn(ifindex, pace);
        }
        for other in self.receivers.values_mut() {
            let same_way = other.conn.names().ifindex == ifindex;
            if let Some(group) = other.group.as_mut().filter(|g| same_way && g.group() == joined) {
                group.report(self.now);
            }
        }
        Some(Action::Refresh { receiver: id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn of_many_interfaces_the_oldest_is_forgotten() {
        let mut paces = Paces::default();
        let mut quick = Pace::default();
        quick.learn(Duration::from_secs(9));
        for ifindex in 1..=MAX_INTERFACES as u32 + 1 {
            paces.learn(ifindex, quick);
        }
        assert_eq!(paces.get(1), Pace::default());
        assert_eq!(paces.get(2), quick);
        assert_eq!(paces.get(MAX_INTERFACES as u32 + 1), quick);
    }
}
