//! What members say of what they hold: HAVE, LACK and AGAIN. A need that comes after the group has
//! passed is served as a repair is.

use super::Session;
use super::repair;
use crate::error::Reason;
use crate::proto::time::Instant;
use core::ops::Range;

impl Session {
    /// It holds these ranges.
    pub(super) fn on_have(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        let need = &mut self.members[index].need;
        ranges.into_iter().for_each(|range| need.have(range));
        self.declared(now, index);
    }

    /// It lacks these ranges, as far as it has said nothing of them yet.
    pub(super) fn on_lack(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        let m = &mut self.members[index];
        let place = m.follows(self.cursor.at());
        let passed: Vec<_> =
            ranges.into_iter().flat_map(|range| m.need.lack(range, place)).collect();
        self.owe(now, index, passed);
    }

    /// It takes these ranges back: they are served again, if they can be read again.
    pub(super) fn on_again(&mut self, now: Instant, index: usize, ranges: Vec<Range<u64>>) {
        if ranges.iter().any(|range| range.start < self.store.base()) {
            self.members[index].conn.abort("the bytes asked for again are gone");
            return self.end_member(now, index, Err(Reason::CannotRepeat));
        }
        let next = (self.members[index].conn.tx.next_pn(), self.log.next_pn());
        let m = &mut self.members[index];
        let place = m.follows(self.cursor.at());
        let mut passed = Vec::new();
        for range in ranges {
            passed.extend(m.need.lack(range.clone(), place));
            passed.extend(m.need.take_back(range, place, next));
        }
        self.owe(now, index, passed);
    }

    /// A member lacks what the group has passed: a moment is waited for who else does.
    fn owe(&mut self, now: Instant, index: usize, passed: Vec<Range<u64>>) {
        let wait = repair::wait(&self.members);
        for range in passed {
            if !self.repairs.on_owed(now, &range, wait) {
                self.members[index].need.serve_alone(range);
            }
        }
        self.declared(now, index);
    }

    /// A member's need has changed.
    fn declared(&mut self, now: Instant, index: usize) {
        if self.members[index].need.is_excessive() {
            self.members[index].conn.abort("more ranges declared than can be kept");
            self.end_member(
                now,
                index,
                Err(Reason::Protocol("more ranges declared than can be kept")),
            );
        }
        self.cursor.reconsider();
        self.changed = true;
    }
}
