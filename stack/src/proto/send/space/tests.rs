use super::{Content, Fired, INITIAL_RTO, News, PROBE_ACK_DELAY, SendSpace};
use crate::config::Algorithm;
use crate::proto::send::rack::DUP_THRESH;
use crate::proto::time::Instant;
use crate::wire::{RangeList, SpaceAck};
use core::time::Duration;
use proptest::prelude::*;
use std::collections::BTreeMap;

const MSS: u64 = 1000;

/// A space, and what it told last.
struct Bench {
    space: SendSpace,
    news: News,
}

impl Bench {
    fn on_ack(&mut self, now: Instant, ack: &SpaceAck<'_>) {
        self.news = self.space.on_ack(now, ack);
    }

    fn on_timer(&mut self, now: Instant) -> Fired {
        let (fired, news) = self.space.on_timer(now);
        self.news = news;
        fired
    }
}

impl core::ops::Deref for Bench {
    type Target = SendSpace;

    fn deref(&self) -> &SendSpace {
        &self.space
    }
}

impl core::ops::DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut SendSpace {
        &mut self.space
    }
}

fn space() -> Bench {
    Bench { space: SendSpace::new(Algorithm::Cubic, MSS), news: News::default() }
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1 + ms * 1_000_000)
}

fn send(space: &mut Bench, now: Instant) -> u64 {
    let pn = space.next_pn();
    space.on_sent(now, Content { data: pn * MSS..(pn + 1) * MSS, ..Content::default() });
    pn
}

fn ack(space: &mut Bench, now: Instant, ranges: &[(u64, u64)]) {
    let largest = ranges[0].1;
    let ranges = RangeList::Listed(ranges);
    space.on_ack(now, &SpaceAck { largest, delay_us: 0, ce: 0, ranges });
}

#[test]
fn three_later_arrivals_make_a_loss_and_one_cut() {
    let mut space = space();
    for _ in 0..10 {
        send(&mut space, at(0));
    }
    let window = space.path.congestion.window();
    ack(&mut space, at(10), &[(1, DUP_THRESH)]);
    let lost: Vec<_> = space.news.lost.iter().map(|c| c.data.start / MSS).collect();
    assert_eq!(lost, [0]);
    ack(&mut space, at(11), &[(6, 6), (1, DUP_THRESH)]);
    let lost: Vec<_> = space.news.lost.iter().map(|c| c.data.start / MSS).collect();
    assert_eq!(lost, [4, 5], "in recovery nothing is waited for, and each loss is told once");
    assert_eq!(space.flight(), 3 * MSS);
    for pn in 7..10 {
        ack(&mut space, at(12), &[(pn, pn)]);
    }
    let pn = send(&mut space, at(12));
    ack(&mut space, at(22), &[(pn, pn)]);
    let cut = space.path.congestion.window();
    assert!(cut < window && cut > window / 2, "one reduction for one window: {cut} of {window}");
}

#[test]
fn a_loss_that_was_none_is_undone_and_the_next_waits_longer() {
    let mut space = space();
    for _ in 0..10 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(10), &[(1, 6)]);
    assert_eq!(space.news.lost.len(), 1);
    let cut = space.path.congestion.window();
    ack(&mut space, at(12), &[(0, 6)]);
    assert_eq!(space.news.acked.len(), 1);
    assert!(space.path.congestion.window() as f64 > cut as f64 * 1.3, "the cut is taken back");
    // The same distance is not taken for a loss again, until half a round trip has passed.
    for _ in 0..10 {
        send(&mut space, at(20));
    }
    ack(&mut space, at(30), &[(11, 16), (0, 9)]);
    assert!(space.news.lost.is_empty());
    let due = space.deadline().unwrap();
    assert!(due > at(33) && due < at(40), "{due:?}");
    assert_eq!(space.on_timer(due), Fired::Reordering);
    assert_eq!(space.news.lost.len(), 1);
}

/// Of a burst that was only late, all counts once: the window is half a round trip after it, not a
/// whole one.
#[test]
fn many_false_losses_of_one_round_trip_widen_the_window_once() {
    let mut space = space();
    for _ in 0..20 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(40), &[(12, 15)]);
    assert_eq!(space.news.lost.len(), 12);
    for pn in 0..11 {
        ack(&mut space, at(41), &[(12, 15), (pn, pn)]);
    }
    ack(&mut space, at(41), &[(11, 15)]);
    for _ in 0..10 {
        send(&mut space, at(50));
    }
    ack(&mut space, at(90), &[(21, 29), (0, 19)]);
    let due = space.path.reordering_deadline().unwrap();
    assert!(due > at(109) && due <= at(110), "20 ms are half of 40: {due:?}");
}

#[test]
fn two_later_arrivals_make_a_loss_a_quarter_of_a_round_trip_later() {
    let mut space = space();
    for _ in 0..4 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(40), &[(1, 2)]);
    assert!(space.news.lost.is_empty());
    assert_eq!(space.deadline(), Some(at(50)));
    assert_eq!(space.on_timer(at(50)), Fired::Reordering);
    assert_eq!(space.news.lost.len(), 1);
}

#[test]
fn a_mark_cuts_the_window_once_a_round_trip_and_loses_nothing() {
    let mut space = space();
    let report = |space: &mut Bench, ms, pn, ce| {
        let ranges = [(0, pn)];
        let ranges = RangeList::Listed(&ranges);
        space.on_ack(at(ms), &SpaceAck { largest: pn, delay_us: 0, ce, ranges });
    };
    for _ in 0..10 {
        send(&mut space, at(0));
    }
    report(&mut space, 10, 3, 0);
    let window = space.path.congestion.window();
    report(&mut space, 11, 5, 1);
    report(&mut space, 12, 9, 4);
    assert!(space.news.lost.is_empty());
    let pn = send(&mut space, at(12));
    report(&mut space, 22, pn, 4);
    let cut = space.path.congestion.window();
    assert!(cut < window && cut > window / 2, "one reduction: {cut} of {window}");
}

#[test]
fn a_lost_tail_is_probed_before_the_timer_gives_everything_up() {
    let mut space = space();
    for _ in 0..4 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(10), &[(0, 1)]);
    let probe = at(10) + Duration::from_millis(20) + PROBE_ACK_DELAY;
    assert_eq!(space.deadline(), Some(probe));
    assert_eq!(space.on_timer(probe), Fired::Probe);
    assert_eq!(space.tail(), Some(3 * MSS..4 * MSS));
    let window = space.path.congestion.window();
    assert!(!space.permits(window));
    space.allow_probe();
    assert!(space.permits(window), "a probe waits for no window");
    space.on_sent(probe, Content { data: 3 * MSS..4 * MSS, ..Content::default() });
    assert!(!space.permits(window), "once");
    assert_eq!(space.deadline(), Some(probe + space.rto()), "and then the time-out");
    // The probe's answer shows what was lost: 3 by time, 2 by time as well.
    ack(&mut space, at(70), &[(4, 4), (0, 1)]);
    assert_eq!(space.news.lost.len(), 2);
    assert!(space.path.congestion.window() < window, "a lost tail is a loss");
}

#[test]
fn a_time_out_for_nothing_is_taken_back_when_all_has_arrived() {
    let mut space = space();
    for _ in 0..8 {
        send(&mut space, at(0));
    }
    let window = space.path.congestion.window();
    let mut now = space.deadline().unwrap();
    while space.on_timer(now) != Fired::Timeout {
        now = space.deadline().unwrap();
    }
    assert_eq!((space.path.congestion.window(), space.flight()), (MSS, 0));
    send(&mut space, now);
    ack(&mut space, now + Duration::from_millis(5), &[(0, 6)]);
    assert!(space.path.congestion.window() < window, "one is still missing");
    ack(&mut space, now + Duration::from_millis(6), &[(0, 7)]);
    assert!(space.path.congestion.window() >= window);
}

#[test]
fn an_ack_of_what_was_never_sent_is_nothing() {
    let mut space = space();
    send(&mut space, at(0));
    ack(&mut space, at(1), &[(0, 1)]);
    assert!(space.news.acked.is_empty());
    assert_eq!(space.flight(), MSS);
}

#[test]
fn the_timer_backs_off_until_something_arrives() {
    let mut space = space();
    send(&mut space, at(0));
    assert_eq!(space.deadline(), Some(at(0) + INITIAL_RTO));
    assert_eq!(space.on_timer(at(1)), Fired::Nothing, "not yet");
    let first = space.deadline().unwrap();
    assert_eq!(space.on_timer(first), Fired::Timeout);
    assert_eq!(space.news.lost.len(), 1);
    assert_eq!(space.deadline(), None, "nothing is out");
    send(&mut space, first);
    assert_eq!(space.deadline(), Some(first + INITIAL_RTO * 2));
    ack(&mut space, first + Duration::from_millis(10), &[(1, 1)]);
    assert!(space.rto() <= INITIAL_RTO);
    assert!(!space.often_timed_out(first));
}

#[test]
fn only_repeated_time_outs_count_as_trouble() {
    let mut space = space();
    let mut now = at(0);
    for n in 0..4 {
        assert!(!space.often_timed_out(now), "after {n}");
        send(&mut space, now);
        now = space.deadline().unwrap();
        assert_eq!(space.on_timer(now), Fired::Timeout);
    }
    assert!(space.often_timed_out(now));
    assert!(!space.often_timed_out(now + Duration::from_secs(11)));
}

#[test]
fn a_bare_acknowledgement_is_not_in_flight() {
    let mut space = space();
    space.on_sent(at(0), Content::default());
    assert_eq!((space.flight(), space.deadline()), (0, None));
}

#[derive(Debug, Clone)]
enum Op {
    Send,
    Ack(Vec<bool>),
    Timeout,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Send),
        2 => prop::collection::vec(any::<bool>(), 1..40).prop_map(Op::Ack),
        1 => Just(Op::Timeout),
    ]
}

proptest! {
    /// Whatever is acknowledged in whatever order: every packet is told acknowledged once, lost at
    /// most once and not after its acknowledgement, and the flight is what is neither.
    #[test]
    fn flight_is_what_is_neither_acked_nor_lost(ops in prop::collection::vec(op(), 1..200)) {
        let mut space = space();
        let mut fate: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
        let mut now = at(0);
        for op in ops {
            now += Duration::from_millis(1);
            match op {
                Op::Send => {
                    let pn = send(&mut space, now);
                    fate.insert(pn, (false, false));
                    continue;
                }
                Op::Ack(which) => {
                    let newest = space.next_pn();
                    let mut ranges: Vec<(u64, u64)> = Vec::new();
                    for (pn, _) in (0..newest).rev().zip(which).filter(|(_, heard)| *heard) {
                        match ranges.last_mut() {
                            Some(last) if last.0 == pn + 1 => last.0 = pn,
                            _ => ranges.push((pn, pn)),
                        }
                    }
                    if ranges.is_empty() {
                        continue;
                    }
                    ack(&mut space, now, &ranges);
                }
                Op::Timeout => {
                    let Some(due) = space.deadline() else { continue };
                    now = now.max(due);
                    prop_assert!(space.on_timer(now) != Fired::Nothing);
                }
            }
            for (_, content) in &space.news.acked {
                let entry = fate.get_mut(&(content.data.start / MSS)).unwrap();
                prop_assert!(!core::mem::replace(&mut entry.0, true), "acknowledged twice");
            }
            for content in &space.news.lost {
                let entry = fate.get_mut(&(content.data.start / MSS)).unwrap();
                prop_assert!(!entry.0 && !core::mem::replace(&mut entry.1, true), "lost twice");
            }
            let out = fate.values().filter(|(acked, lost)| !acked && !lost).count() as u64;
            prop_assert_eq!(space.flight(), out * MSS);
            prop_assert_eq!(space.deadline().is_some(), out > 0);
        }
    }
}

fn delayed_ack(space: &mut Bench, now: Instant, pn: u64, delay_us: u32) {
    let ranges = [(pn, pn)];
    let ranges = RangeList::Listed(&ranges);
    space.on_ack(now, &SpaceAck { largest: pn, delay_us, ce: 0, ranges });
}

#[test]
fn a_long_path_waits_for_the_acknowledgement_it_asked_to_be_late() {
    let mut space = space();
    let mut now = at(0);
    space.expect_delay(Duration::from_millis(37)); // an eighth of the round trip
    for n in 0..40 {
        let pn = send(&mut space, now);
        now += Duration::from_millis(337);
        let due = space.deadline().unwrap();
        let fired = if due <= now { space.on_timer(due) } else { Fired::Nothing };
        assert!(n < 10 || fired == Fired::Nothing, "packet {n}: {fired:?}");
        delayed_ack(&mut space, now, pn, 37_000);
    }
    send(&mut space, now);
    let due = space.deadline().unwrap();
    assert_eq!(space.on_timer(due), Fired::Probe, "the probe comes before the time-out");
}

#[test]
fn a_real_loss_after_one_taken_back_still_cuts() {
    let mut space = space();
    for _ in 0..20 {
        send(&mut space, at(0));
    }
    let window = space.path.congestion.window();
    ack(&mut space, at(10), &[(1, 6)]);
    ack(&mut space, at(11), &[(0, 6)]);
    let before = space.path.congestion.window();
    assert!(before >= window, "it was only late");
    ack(&mut space, at(12), &[(17, 19), (0, 6)]);
    let mut now = at(12);
    while let Some(due) = space.path.reordering_deadline() {
        now = due;
        space.on_timer(now);
    }
    let pn = send(&mut space, now);
    ack(&mut space, now + Duration::from_millis(10), &[(pn, pn), (17, 19), (0, 6)]);
    assert!(space.path.congestion.window() < before, "half of the flight was lost");
}

#[test]
fn a_time_out_is_taken_back_by_its_own_victims_only() {
    let mut space = space();
    for _ in 0..20 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(10), &[(5, 14)]);
    assert_eq!(space.news.lost.len(), 5, "by the order of arrival");
    let mut now = at(10);
    while space.on_timer(now) != Fired::Timeout {
        now = space.deadline().unwrap();
    }
    assert_eq!(space.news.lost.len(), 5, "by the time-out");
    ack(&mut space, now + Duration::from_millis(1), &[(0, 14)]);
    assert!(space.path.congestion.window() <= 6 * MSS, "none of the latter has arrived");
    ack(&mut space, now + Duration::from_millis(2), &[(0, 19)]);
    assert!(space.path.congestion.window() > 6 * MSS);
}

#[test]
fn two_time_outs_are_taken_back_when_the_victims_of_both_have_arrived() {
    let mut space = space();
    for _ in 0..10 {
        send(&mut space, at(0));
    }
    let mut now = space.deadline().unwrap();
    assert_eq!(space.on_timer(now), Fired::Timeout);
    send(&mut space, now);
    now = space.deadline().unwrap();
    assert_eq!(space.on_timer(now), Fired::Timeout);
    ack(&mut space, now + Duration::from_millis(1), &[(3, 3)]);
    assert!(space.path.congestion.window() <= 3 * MSS, "one of eleven");
}

#[test]
fn the_backed_off_time_out_has_a_bound() {
    let mut space = space();
    let pn = send(&mut space, at(0));
    ack(&mut space, at(1000), &[(pn, pn)]);
    let mut now = at(1000);
    for _ in 0..10 {
        send(&mut space, now);
        while space.flight() > 0 {
            now = space.deadline().unwrap();
            space.on_timer(now);
        }
    }
    assert!(space.rto() <= Duration::from_secs(60), "{:?}", space.rto());
}

#[test]
fn a_delay_that_was_not_asked_for_is_not_believed() {
    let mut space = space();
    let mut now = at(0);
    for _ in 0..100 {
        let pn = send(&mut space, now);
        now += Duration::from_millis(40);
        delayed_ack(&mut space, now, pn, u32::MAX);
    }
    assert!(space.path.rtt.least() >= Some(Duration::from_millis(15)));
    assert!(space.path.pacing_rate().unwrap().is_finite());
}

#[test]
fn reordering_is_seen_however_much_is_in_flight() {
    for count in [900, 3000] {
        let mut space = space();
        space.path.congestion.raise_to(count * MSS);
        for _ in 0..count {
            send(&mut space, at(0));
        }
        ack(&mut space, at(40), &[(10, count / 2)]);
        assert_eq!(space.news.lost.len(), 10);
        let cut = space.path.congestion.window();
        ack(&mut space, at(41), &[(0, count / 2)]);
        assert_eq!(space.news.acked.len(), 10, "{count} in flight");
        assert!(space.path.congestion.window() > cut, "{count} in flight");
    }
}

/// Full round trips without a loss: the window grows, and as after a loss.
fn assert_grows(space: &mut Bench, mut now: Instant) {
    let window = space.path.congestion.window();
    for _ in 0..400 {
        let first = space.next_pn();
        while space.permits(MSS) {
            send(space, now);
        }
        now += Duration::from_millis(40);
        let last = space.next_pn() - 1;
        ack(space, now, &[(first, last)]);
        assert!(space.path.congestion.window() < 1 << 24, "as after a loss, not as in slow start");
    }
    assert!(space.path.congestion.window() > 2 * window, "it stands at {window}");
}

#[test]
fn a_report_that_takes_a_cut_back_and_shows_a_loss_leaves_a_window_that_grows() {
    let mut space = space();
    space.path.congestion.raise_to(40 * MSS);
    for _ in 0..40 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(40), &[(1, 10)]);
    for _ in 0..10 {
        send(&mut space, at(41));
    }
    // 0 was only late; 11 to 20 are lost.
    ack(&mut space, at(81), &[(21, 49), (0, 10)]);
    let mut now = at(81);
    while let Some(due) = space.path.reordering_deadline() {
        now = due;
        space.on_timer(now);
    }
    assert_grows(&mut space, now);
}

#[test]
fn a_time_out_without_bytes_in_flight_ends_the_recovery() {
    let mut space = space();
    space.path.congestion.raise_to(40 * MSS);
    for _ in 0..40 {
        send(&mut space, at(0));
    }
    ack(&mut space, at(40), &[(4, 39)]);
    let mut now = at(41);
    space.on_sent(now, Content { ping: true, ..Content::default() });
    while space.on_timer(now) != Fired::Timeout {
        now = space.deadline().unwrap();
    }
    assert_grows(&mut space, now);
}
