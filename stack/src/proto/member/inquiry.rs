//! What a member that hears too little of its group is asked: what its own host has counted. That tells packets which
//! a reverse-path filter, a full buffer or an interface dropped there from those that did not get so far.

use super::Member;
use crate::proto::recv::membership::SILENCE;
use crate::proto::send::pace::MAX_TRAIN;
use crate::stats::{Counters, Lost};
use crate::wire::{GroupStatus, Record};
use core::time::Duration;

/// What it was asked, and has answered.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    /// It was asked for the silence that lasts.
    asked: bool,
    /// Packets that it was known to have missed when it was asked last.
    missed: u32,
    /// An answer is to come.
    waits: bool,
    found: Option<Lost>,
}

impl Inquiry {
    /// It has heard too little for so long; of so many packets it is known whether it heard them, and the share that it
    /// did. Whether it is to be asked: once for each silence, after that has lasted as long as its membership takes to
    /// be reported again, which may end it.
    fn is_due(&mut self, deaf_for: Duration, (of, share): (u32, f64)) -> bool {
        if deaf_for < SILENCE {
            self.asked &= !deaf_for.is_zero(); // another one begins
            return false;
        }
        if core::mem::replace(&mut self.asked, true) {
            return false;
        }
        #[expect(clippy::cast_sign_loss, reason = "a share of a count")]
        let missed = (f64::from(of) * (1.0 - share)).round() as u32;
        (self.missed, self.waits, self.found) = (missed, true, None);
        true
    }

    /// Its host has counted so many lately.
    fn answered(&mut self, counters: Counters) {
        if core::mem::take(&mut self.waits) {
            self.found = find(&counters, self.missed);
        }
    }
}

/// What became of packets of which at least `missed` were not heard; `None` where nothing is counted. A count speaks
/// for them if they can be in it, were each of its datagrams the longest train (udp(7), `UDP_SEGMENT`): few drops
/// of something else, such as happen on every network, do not explain a silence. What drops all that it sees comes
/// first.
fn find(counters: &Counters, missed: u32) -> Option<Lost> {
    let Counters { reverse_path, buffer, interface, other_way } = *counters;
    let explains = |count: Option<u64>| {
        count.filter(|n| *n > 0 && n.saturating_mul(MAX_TRAIN as u64) >= u64::from(missed))
    };
    // The filter counts for the whole host: it drops here where the way back leaves elsewhere, or by rules that cannot
    // be seen, and then all that is missing (RFC 3704, 2.2).
    let all = |n: &u64| *n >= u64::from(missed);
    let filtered = explains(reverse_path).filter(|n| other_way || all(n));
    let found = filtered.map(|dropped| Lost::ReversePath { dropped, other_way });
    let found = found.or_else(|| explains(buffer).map(|times| Lost::Buffer { times }));
    // An interface also counts what no protocol here wants (LLDP, say): it must have dropped as much as is missing.
    let dropped = interface.filter(|n| *n > 0 && all(n));
    let found = found.or_else(|| dropped.map(|dropped| Lost::Interface { dropped }));
    let counts = [reverse_path, buffer, interface].iter().any(Option::is_some);
    found.or_else(|| counts.then_some(Lost::Before))
}

impl Member {
    /// It has heard too little for so long, by these outcomes and share heard: it is asked why, if it is time.
    pub(crate) fn inquire(&mut self, deaf_for: Duration, hearing: (u32, f64)) {
        let joined = self.group_status == GroupStatus::Joined;
        if joined && self.told.inquiry.is_due(deaf_for, hearing) {
            self.conn.control_mut().push(&Record::Count);
        }
    }

    /// It says what its host has counted lately.
    pub(crate) fn has_counted(&mut self, counters: Counters) {
        tracing::debug!(to = %self.addr, ?counters, "has counted");
        self.told.inquiry.answered(counters);
    }

    /// What became of packets that it did not hear, as far as it has said.
    pub(super) fn lost(&self) -> Option<Lost> {
        self.told.inquiry.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAF: (u32, f64) = (64, 0.0);

    #[test]
    fn it_is_asked_once_for_each_silence() {
        let mut inquiry = Inquiry::default();
        let mut due = |ms| inquiry.is_due(Duration::from_millis(ms), DEAF);
        assert_eq!([0, 299, 300, 301, 5000].map(&mut due), [false, false, true, false, false]);
        assert_eq!([0, 299, 300, 301].map(due), [false, false, true, false], "another one");
    }

    #[test]
    fn only_what_was_asked_is_an_answer() {
        let mut inquiry = Inquiry::default();
        let full = Counters { buffer: Some(9), ..Counters::default() };
        inquiry.answered(full);
        assert_eq!(inquiry.found, None);
        assert!(inquiry.is_due(SILENCE, DEAF));
        inquiry.answered(full);
        assert_eq!(inquiry.found, Some(Lost::Buffer { times: 9 }));
        inquiry.answered(Counters { reverse_path: Some(9), ..full });
        assert_eq!(inquiry.found, Some(Lost::Buffer { times: 9 }), "said twice");
        assert!(!inquiry.is_due(Duration::ZERO, DEAF) && inquiry.is_due(SILENCE, DEAF));
        assert_eq!(inquiry.found, None, "of this silence nothing is known");
    }

    #[test]
    fn a_count_speaks_for_what_can_be_in_it() {
        let none = Counters { reverse_path: Some(0), buffer: Some(0), ..Counters::default() };
        assert_eq!(find(&none, 64), Some(Lost::Before));
        assert_eq!(find(&Counters::default(), 64), None, "nothing is counted there");
        let way = |n| find(&Counters { reverse_path: Some(n), other_way: true, ..none }, 64);
        assert_eq!(way(1), Some(Lost::Before), "one train has no 64 packets");
        assert_eq!(way(2), Some(Lost::ReversePath { dropped: 2, other_way: true }));
        let way = |n| find(&Counters { reverse_path: Some(n), ..none }, 64);
        assert_eq!(way(63), Some(Lost::Before), "the way back leaves here: it was something else");
        assert_eq!(way(64), Some(Lost::ReversePath { dropped: 64, other_way: false }));
        let interface = Counters { interface: Some(70), ..none };
        assert_eq!(find(&interface, 64), Some(Lost::Interface { dropped: 70 }));
        let both = Counters { buffer: Some(3), ..interface };
        assert_eq!(find(&both, 64), Some(Lost::Buffer { times: 3 }));
        assert_eq!(find(&both, 128), Some(Lost::Before), "70 frames may be of any kind");
    }
}
