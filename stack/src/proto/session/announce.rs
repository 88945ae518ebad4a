//! A group that is announced anew: another one, or the same from elsewhere. Its keys, its packet numbers and the
//! channel's place in the stream go on; whoever joined it before leaves it and joins this one.

use super::{Session, describe};
use crate::config::Group;
use crate::proto::member::Member;
use crate::wire::Record;
use std::net::IpAddr;

impl Session {
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Whether sending has begun, or has and another member has answered since; told once.
    pub(crate) fn takes_begin(&mut self) -> bool {
        self.started && core::mem::take(&mut self.begin_untold)
    }

    /// The group is this one from now on, sent from there.
    pub(crate) fn move_group(&mut self, group: Group, from: Option<IpAddr>) {
        let Some(channel) = self.channels.first_mut() else { return };
        if channel.group() == group && self.config.group_from == from {
            return;
        }
        channel.announce(group);
        (self.config.group, self.config.group_from) = (Some(group), from);
        let segment = usize::from(self.descriptor.segment_size);
        self.descriptor = describe(&self.config, segment, self.channels.first());
        self.moved = true;
        for index in 0..self.members.len() {
            if self.members[index].is_told_keys() {
                self.tell_move(index);
            }
        }
    }

    /// A member whose SYN may have announced another group is told of the one that it is now.
    pub(super) fn tell_move(&mut self, index: usize) {
        // One that has left joins what the group is when it is told to join again.
        if self.moved && !self.members[index].has_left() {
            self.tell_group(index);
        }
    }

    /// A member is told to join its group, as it is now.
    pub(super) fn tell_group(&mut self, index: usize) {
        let Self { members, channels, config, .. } = self;
        if let Some(channel) = members[index].channel().map(|id| &channels[id.0]) {
            let (group, from) = (channel.group(), config.group_from);
            members[index].tell_group(&Record::Join { group, from });
            self.reconsider(index);
        }
    }
}
