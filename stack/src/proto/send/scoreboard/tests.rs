use super::{GroupNews, JUDGED, ONE_TRAIN, Scoreboard};
use crate::config::Algorithm;
use crate::proto::send::log::GroupLog;
use crate::proto::time::Instant;
use crate::wire::{RangeList, SpaceAck};
use core::time::Duration;

const MSS: u64 = 1000;

struct Bench {
    log: GroupLog,
    board: Scoreboard,
    /// What it told last.
    news: GroupNews,
}

impl Bench {
    fn new() -> Self {
        let rto = Duration::from_millis(250);
        let board = Scoreboard::new(Algorithm::Reno, MSS, rto, 0);
        Self { log: GroupLog::default(), board, news: GroupNews::default() }
    }

    fn send(&mut self, ms: u64, addressed: bool) -> u64 {
        let start = self.log.next_pn() * MSS;
        let pn = self.log.push(at(ms), start..start + MSS);
        self.board.on_sent(at(ms), pn, MSS, addressed);
        pn
    }

    fn ack(&mut self, ms: u64, ranges: &[(u64, u64)]) {
        let ack = SpaceAck {
            largest: ranges[0].1,
            delay_us: 0,
            ce: 0,
            ranges: RangeList::Listed(ranges),
        };
        self.news = self.board.on_ack(at(ms), &ack, &self.log, None);
    }

    fn find_silent(&mut self, now: u64, asked: u64) {
        self.news = self.board.find_silent(at(now), at(asked), Duration::ZERO, &self.log);
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1 + ms * 1_000_000)
}

#[test]
fn what_is_reported_is_heard_and_what_lies_far_below_is_missed() {
    let mut bench = Bench::new();
    for _ in 0..8 {
        bench.send(0, true);
    }
    bench.ack(10, &[(3, 5), (0, 1)]);
    assert_eq!(bench.news.heard, [3, 4, 5, 0, 1]);
    assert_eq!(bench.news.missed, [2]);
    assert_eq!(bench.board.flight(), 2 * MSS);
    assert_eq!(bench.board.oldest_out(), Some(6));
    assert_eq!(bench.board.path.rtt.smoothed(), Some(Duration::from_millis(10)));
}

#[test]
fn what_was_not_meant_for_it_counts_when_heard_and_is_never_missed() {
    let mut bench = Bench::new();
    for n in 0..8 {
        bench.send(0, n % 2 == 0);
    }
    bench.ack(10, &[(6, 7), (0, 0)]);
    assert_eq!(bench.news.heard, [6, 7, 0]);
    assert_eq!(bench.news.missed, [2, 4], "only what was addressed");
    assert_eq!(bench.board.flight(), 0);
    assert_eq!(bench.board.hearing().0, 4, "judged by what was addressed");
}

#[test]
fn an_answer_to_a_later_question_shows_a_dead_group() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.send(0, true);
    }
    bench.send(50, true);
    bench.find_silent(260, 52);
    assert_eq!(bench.news.missed, [0, 1, 2, 3], "the last may still be on its way");
    assert_eq!(bench.board.flight(), MSS);
    bench.find_silent(310, 70);
    assert_eq!(bench.news.missed, [4]);
    assert!(!bench.board.waits());
}

#[test]
fn packets_missed_one_after_the_other_speak_for_themselves() {
    let mut bench = Bench::new();
    let heard = u64::from(JUDGED) * 3 / 4;
    for n in 0..heard {
        bench.send(n, true);
    }
    bench.ack(200, &[(0, heard - 1)]);
    for missed in 1..=ONE_TRAIN + 1 {
        let at = 2000 * u64::from(missed);
        bench.send(at, true);
        bench.find_silent(at + 1900, at + 1000);
        let (of, share) = bench.board.hearing();
        let tells = missed > ONE_TRAIN;
        let known = (heard as u32 + missed).min(JUDGED);
        let expected = if tells { missed } else { known };
        assert_eq!((of, share == 0.0), (expected, tells), "{missed} missed");
    }
    let pn = bench.send(100_000, true);
    bench.ack(100_010, &[(pn, pn)]);
    assert!(bench.board.hearing().1 > 0.7, "heard again");
}

#[test]
fn what_came_before_the_way_had_grown_is_not_held_against_it() {
    let mut bench = Bench::new();
    for n in 0..64 {
        bench.send(n, true);
    }
    bench.find_silent(1000, 1000);
    assert_eq!(bench.board.hearing(), (64, 0.0), "deaf as long as nothing is heard");
    let heard: Vec<u64> = (0..8).map(|n| bench.send(2000 + n, true)).collect();
    bench.ack(2010, &[(heard[4], heard[4])]);
    assert_eq!(bench.board.hearing(), (1, 1.0), "and hears from here on");
    bench.ack(2011, &[(heard[6], heard[7]), (heard[4], heard[4])]);
    bench.find_silent(9000, 9000);
    assert_eq!(bench.board.hearing(), (4, 0.75), "what is missed after it counts");
}

#[test]
fn hearing_is_judged_over_the_last_packets_only() {
    let mut bench = Bench::new();
    let first = bench.send(0, true);
    bench.ack(1, &[(first, first)]);
    for n in 0..u64::from(JUDGED) {
        bench.send(n, true);
    }
    bench.find_silent(1000, 1000);
    assert_eq!(bench.board.hearing(), (JUDGED, 0.0));
    for n in 0..u64::from(JUDGED) / 2 {
        let pn = bench.send(2000 + n, true);
        bench.ack(2001 + n, &[(pn, pn)]);
    }
    assert_eq!(bench.board.hearing(), (JUDGED, 0.5));
    bench.board.reset_judgement();
    assert_eq!(bench.board.hearing().0, 0);
}

#[test]
fn what_was_sent_while_it_was_away_is_not_held_against_the_group() {
    let mut bench = Bench::new();
    let first = bench.send(0, true);
    bench.ack(1, &[(first, first)]);
    for n in 0..u64::from(JUDGED) {
        bench.send(n, true);
    }
    bench.board.excuse(at(5000));
    // What it says first it had said before, in vain: that was no round trip of five seconds.
    bench.ack(5001, &[(0, 9)]);
    assert!(bench.board.path.rtt.smoothed().is_some_and(|rtt| rtt < Duration::from_millis(2)));
    bench.find_silent(5002, 5002);
    assert_eq!((bench.news.missed.len(), bench.board.hearing().0), (JUDGED as usize - 9, 0));
    let next: Vec<u64> = (6000..6040).map(|ms| bench.send(ms, true)).collect();
    bench.ack(6050, &[(next[0], next[39])]);
    assert_eq!(bench.board.hearing(), (40, 1.0));
    // But what it does not hear from then on is.
    (7000..7040).for_each(|ms| {
        bench.send(ms, true);
    });
    bench.find_silent(8000, 8000);
    assert_eq!(bench.board.hearing(), (40, 0.0));
}

#[test]
fn a_mark_counts_packets_sent_after_it_whenever_their_fate_is_known() {
    let mut bench = Bench::new();
    bench.send(0, true);
    bench.board.mark();
    let first: Vec<u64> = (1..9).map(|at| bench.send(at, true)).collect();
    bench.ack(10, &[(0, first[3])]);
    assert_eq!(bench.board.since_mark().0.total(), 4, "and not the one before it");
    let next: Vec<u64> = (11..21).map(|at| bench.send(at, true)).collect();
    bench.ack(2000, &[(next[0], next[9])]);
    let (outcomes, events) = bench.board.since_mark();
    assert_eq!((outcomes.total(), outcomes.heard()), (18, 14), "four were given up");
    assert_eq!(events, 1, "all in one round trip");
    bench.board.mark();
    assert_eq!((bench.board.since_mark().0.total(), bench.board.since_mark().1), (0, 0));
}

#[test]
fn what_is_given_up_is_neither_heard_nor_missed() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.send(0, true);
    }
    bench.ack(5, &[(0, 0)]);
    let ranges: Vec<_> = bench.board.abandon(&bench.log).collect();
    assert_eq!(ranges.len(), 5);
    assert_eq!((bench.board.flight(), bench.board.oldest_out()), (0, None));
    assert_eq!(bench.board.settled(), bench.log.next_pn());
    bench.ack(6, &[(5, 5)]);
    assert_eq!((bench.news.heard.as_slice(), bench.news.missed.len()), (&[5][..], 0));
}

#[test]
fn a_trimmed_log_takes_the_scoreboard_along() {
    let mut bench = Bench::new();
    for _ in 0..5000 {
        let pn = bench.send(0, true);
        bench.ack(1, &[(pn, pn)]);
    }
    let base = bench.log.keep_from(bench.board.settled());
    assert!(base > 4000);
    bench.board.trim(at(1), base, &bench.log);
    bench.log.trim(base);
    bench.ack(2, &[(0, 4999)]);
    assert!(bench.news.heard.is_empty(), "all of it is known");
}

#[test]
fn a_way_from_the_group_that_is_the_longer_one_loses_nothing() {
    let mut bench = Bench::new();
    let mut ms = 0;
    for _ in 0..60 {
        let pn = bench.send(ms, true);
        ms += 60;
        bench.ack(ms, &[(pn, pn)]); // the group's round trip
    }
    for _ in 0..20 {
        let first = bench.send(ms, true);
        bench.send(ms, true);
        // A unicast packet leaves 10 ms later, and is answered after 20 ms.
        bench.find_silent(ms + 30, ms + 10);
        assert!(bench.news.missed.is_empty(), "their round trip is not over");
        ms += 60;
        bench.ack(ms, &[(first, first + 1)]);
        ms += 10;
    }
}

#[test]
fn what_was_missed_and_forgotten_is_known_when_it_arrives() {
    let mut bench = Bench::new();
    for _ in 0..5000 {
        bench.send(0, true);
    }
    bench.ack(40, &[(10, 4999)]);
    assert_eq!(bench.news.missed.len(), 10);
    let base = bench.log.keep_from(bench.board.settled());
    assert!(base > 10);
    bench.board.trim(at(40), base, &bench.log);
    bench.log.trim(base);
    bench.ack(60, &[(0, 4999)]);
    assert_eq!(bench.news.late, (0..10).map(|n| n * MSS..(n + 1) * MSS).collect::<Vec<_>>());
    bench.ack(61, &[(0, 4999)]);
    assert!(bench.news.late.is_empty(), "told once");
    bench.board.trim(at(100_000), base, &bench.log);
}

#[test]
fn an_abandoned_recovery_leaves_a_window() {
    let mut bench = Bench::new();
    for _ in 0..8 {
        bench.send(0, true);
    }
    bench.ack(10, &[(5, 7)]);
    bench.board.abandon(&bench.log).for_each(drop);
    bench.ack(20, &[(5, 7)]);
    assert!(bench.board.path.congestion.window() >= MSS);
}
