//! Whether the line has room to spare for unicast beside a group: tried, since a queue that drops nothing does not show
//! it, and one that is the sender's own shows it to nobody else.
//!
//! Unicast is let go for a while and then kept to its share for a while, in turn. If the group is faster while unicast
//! is kept, by much of what that then lacks, unicast takes from the group, and is kept for longer.

use crate::proto::time::Instant;
use core::time::Duration;

/// Unicast is kept for so long, of which the second half counts: in the first the group takes up what it left …
const KEPT: Duration = Duration::from_millis(500);
/// … and let go for so long at first, each time that it took nothing from the group after twice as long, …
const FREE: Duration = Duration::from_millis(500);
/// … but at most so long: a line that has become full is seen by then.
const FREE_MAX: Duration = Duration::from_secs(4);
/// A line that was full is taken to be so for so long: then unicast may try again.
const FULL: Duration = Duration::from_secs(10);
/// What counts lasts so long at least, or it says nothing.
const COUNTED: Duration = Duration::from_millis(125);
/// A group that loses less than this part of its rate may do so by chance.
const CHANCE: f64 = 0.05;
/// Unicast takes from the group if that loses at least this part of what unicast gains.
const TAKEN: f64 = 0.5;

/// Bytes a second that both have sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rates {
    group: f64,
    alone: f64,
}

/// Whether unicast, where it is let go, takes from the group what that has where unicast is kept.
fn takes(free: Rates, kept: Rates) -> bool {
    let (lost, gained) = (kept.group - free.group, free.alone - kept.alone);
    gained > 0.0 && lost > kept.group * CHANCE && lost > gained * TAKEN
}

/// What is tried at present.
#[derive(Debug)]
pub(super) struct Spare {
    kept: bool,
    began: Instant,
    lasts: Duration,
    /// For how long it is let go the next time.
    next_free: Duration,
    /// Bytes of the group and of unicast when the part that counts began, and when that was.
    counted: Option<(Instant, [u64; 2])>,
    sent: [u64; 2],
    /// What was found the last time that it was let go, or kept.
    before: Option<Rates>,
}

impl Spare {
    pub(super) fn new() -> Self {
        let (began, sent) = (Instant::ZERO, [0, 0]);
        let (lasts, next_free) = (FREE, FREE * 2);
        Self { kept: false, began, lasts, next_free, counted: None, sent, before: None }
    }

    /// Whether unicast is kept to its share.
    pub(super) fn is_kept(&self) -> bool {
        self.kept
    }

    /// The line is seen to be full, or somebody leaves a group that is to be faster without: nothing is known any more.
    pub(super) fn keep(&mut self, now: Instant, is_full: bool) {
        let lasts = if is_full { FULL } else { KEPT };
        // A line that is known to be full stays so for as long as it would have.
        let left = (self.began + self.lasts).since(now);
        self.turn(now, true, if self.kept { lasts.max(left) } else { lasts });
        (self.next_free, self.before) = (FREE, None);
    }

    /// A group begins, or goes on after a pause, in which unicast had all: it is counted anew.
    pub(super) fn resume(&mut self, now: Instant) {
        self.counted = None;
        if self.sent == [0, 0] {
            self.began = now;
        }
    }

    fn turn(&mut self, now: Instant, kept: bool, lasts: Duration) {
        (self.kept, self.began, self.lasts, self.counted) = (kept, now, lasts, None);
    }

    /// So many bytes have left by the group, and by unicast.
    pub(super) fn on_sent(&mut self, now: Instant, group: u64, alone: u64) {
        self.sent[0] += group;
        self.sent[1] += alone;
        let passed = now.since(self.began);
        if passed >= self.lasts {
            self.conclude(now);
        } else if self.counted.is_none() && passed >= self.lasts / 2 {
            self.counted = Some((now, self.sent));
        }
    }

    /// A part is over.
    fn conclude(&mut self, now: Instant) {
        let found = self.counted.filter(|(since, _)| now.since(*since) >= COUNTED);
        let found = found.map(|(since, before)| {
            let seconds = now.since(since).as_secs_f64();
            let rate = |n: usize| (self.sent[n] - before[n]) as f64 / seconds;
            Rates { group: rate(0), alone: rate(1) }
        });
        let before = core::mem::replace(&mut self.before, found);
        let both = before.zip(found);
        let is_full =
            both.is_some_and(
                |(before, now)| {
                    if self.kept { takes(before, now) } else { takes(now, before) }
                },
            );
        if is_full {
            self.next_free = FREE;
            self.turn(now, true, FULL);
        } else if self.kept {
            self.turn(now, false, self.next_free);
            self.next_free = (self.next_free * 2).min(FREE_MAX);
        } else {
            self.turn(now, true, KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often in a minute unicast was kept, in milliseconds, where the group makes so many bytes in one of them,
    /// if unicast takes nothing, and unicast so many, if it is let go; `line` is what both have.
    fn kept(spare: &mut Spare, group: u64, alone: u64, line: u64) -> usize {
        let minute = (1..=60_000).filter(|ms| {
            let now = Instant::ZERO + Duration::from_millis(*ms);
            let alone = if spare.is_kept() { group / 20 } else { alone };
            spare.on_sent(now, group.min(line - alone), alone);
            spare.is_kept()
        });
        minute.count()
    }

    #[test]
    fn unicast_is_let_go_where_the_line_has_room_and_kept_where_it_has_none() {
        let room = kept(&mut Spare::new(), 5000, 2000, 10_000);
        assert!((6_000..8_000).contains(&room), "half a second in four and a half: {room}");
        let shared = kept(&mut Spare::new(), 5000, 2000, 5250);
        assert!(shared > 56_000, "it is tried every ten seconds: {shared}");
        let little = kept(&mut Spare::new(), 5000, 200, 5000);
        assert!(little < 8_000, "it does not want more than its share: {little}");
    }

    #[test]
    fn what_chance_makes_is_not_held_against_it() {
        let rates = |group, alone| Rates { group, alone };
        assert!(takes(rates(60.0, 40.0), rates(95.0, 5.0)));
        assert!(!takes(rates(91.0, 40.0), rates(95.0, 5.0)), "less than a twentieth");
        assert!(!takes(rates(80.0, 40.0), rates(95.0, 5.0)), "unicast gains more");
        assert!(!takes(rates(60.0, 5.0), rates(95.0, 5.0)), "it does not gain");
        assert!(!takes(rates(95.0, 40.0), rates(60.0, 5.0)), "the group has become faster");
    }

    #[test]
    fn a_line_that_is_seen_to_be_full_is_not_tried_for_a_while() {
        let (mut spare, at) = (Spare::new(), |ms| Instant::ZERO + Duration::from_millis(ms));
        spare.on_sent(at(0), 1, 1);
        assert!(!spare.is_kept());
        spare.keep(at(1), true);
        spare.on_sent(at(10_000), 1, 1);
        assert!(spare.is_kept());
        spare.on_sent(at(10_001), 1, 1);
        assert!(!spare.is_kept());
        spare.keep(at(10_002), false);
        spare.on_sent(at(10_501), 1, 1);
        assert!(spare.is_kept());
        spare.on_sent(at(10_502), 1, 1);
        assert!(!spare.is_kept());
    }
}
