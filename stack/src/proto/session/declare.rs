//! What members say of what they hold: HAVE, LACK and AGAIN. A need that comes after the group has
//! passed is served as a repair is.

use super::Session;
use crate::error::Reason;
use crate::proto::channel::Channel;
use crate::proto::time::Instant;
use core::ops::Range;

impl Session {
    /// It holds these ranges.
    pub(super) fn on_have(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        let (place, end) = (self.members[index].follows(self.at(index)), self.store.most());
        let need = self.members[index].need_mut();
        for range in ranges {
            // What it holds of something longer is none of this; of a source that grows it may know what is to come.
            if range.start < end {
                need.have(range.start..range.end.min(end));
            }
            need.limit(place);
        }
        self.declared(now, index);
    }

    /// It lacks these ranges, as far as it has said nothing of them yet.
    pub(super) fn on_lack(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        let at = self.at(index);
        let m = &mut self.members[index];
        let place = m.follows(at);
        let mut passed = Vec::new();
        for range in ranges {
            passed.extend(m.need_mut().lack(range, place));
            m.need_mut().limit(place);
        }
        self.owe(now, index, passed);
    }

    /// It takes these ranges back: they are served again, if they can be read again.
    pub(super) fn on_again(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        if ranges.iter().any(|range| range.start < self.store.base()) {
            self.members[index].conn_mut().abort("the bytes asked for again are gone");
            return self.end_member(now, index, Err(Reason::CannotRepeat));
        }
        let (at, by_group) = (self.at(index), self.channel_of(index).map_or(0, Channel::next_pn));
        let m = &mut self.members[index];
        let next = (m.conn().tx().next_pn(), by_group);
        let place = m.follows(at);
        let mut passed = Vec::new();
        for range in ranges {
            passed.extend(m.need_mut().lack(range.clone(), place));
            passed.extend(m.need_mut().take_back(range, place, next));
            m.need_mut().limit(place);
        }
        self.owe(now, index, passed);
    }

    /// A member lacks what the group has passed: a moment is waited for who else does.
    fn owe(&mut self, now: Instant, index: usize, passed: Vec<Range<u64>>) {
        let Self { members, channels, .. } = self;
        if let Some(id) = members[index].channel() {
            channels[id.0].owe(now, members, index, passed);
        }
        self.declared(now, index);
    }

    /// A member's need has changed.
    fn declared(&mut self, now: Instant, index: usize) {
        let at = self.at(index);
        self.members[index].need_mut().has_declared(now, at);
        // Only of one that parts by what it says what is on its way to it just now.
        if self.members[index].need().is_excessive() {
            let why = "more ranges declared than can be kept";
            self.members[index].conn_mut().abort(why);
            self.end_member(now, index, Err(Reason::Protocol(why)));
        }
        self.reconsider(index);
        self.changed = true;
    }
}
