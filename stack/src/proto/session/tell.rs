//! What a session tells its members of the group by their own associations: other keys, and how far its
//! packet numbers have come.

use super::Session;
use crate::proto::member::Member;
use crate::proto::member::mode::Cause;
use crate::proto::time::Instant;
use core::time::Duration;

impl Session {
    /// Tells what is due. A member that has not acknowledged a key by the time that it is used is served by
    /// unicast.
    pub(super) fn tell(&mut self, now: Instant) {
        for id in 0..self.channels.len() {
            let Self { members, channels, .. } = self;
            channels[id].tell_newest(now, members);
            let round_trip = members.iter().filter(|m| m.hears()).map(round_trip).max();
            let round_trip = round_trip.unwrap_or_default();
            if let Some(record) = channels[id].make_key(now, round_trip) {
                members.iter_mut().filter(|m| m.is_told_keys()).for_each(|m| m.tell_key(&record));
            }
            if let Some(key) = channels[id].switch_key(now, members) {
                for index in 0..self.members.len() {
                    if self.members[index].is_multicast() && !self.members[index].has_key(key) {
                        self.change(now, index, Cause::NoKey);
                    }
                }
            }
        }
    }
}

fn round_trip(m: &Member) -> Duration {
    m.path().rtt.expected()
}
