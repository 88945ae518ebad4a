//! Members that are lost, and found again.

use core::time::Duration;
use sim::fault::Fault;
use sim::{Outcome, ReceiverOutcome, registry, verify};
use tcpxm::error::{Lost, Reason};
use tcpxm::stats::{Mode, ModeReason};

const FILE: u64 = 64 << 20;

fn sent(outcome: &Outcome) -> f64 {
    (outcome.sent.group_bytes + outcome.sent.unicast_bytes) as f64 / FILE as f64
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_dead_host_costs_nothing() {
    for name in ["dead-last", "dead-two"] {
        verify(name, |outcome| {
            assert!(sent(outcome) < 1.1, "{name}: {} of the file", sent(outcome));
            let dead = &outcome.receivers[2].report;
            let lost = |why: &Option<_>| {
                matches!(why, Some(Err(Reason::Lost { why: Lost::Silent(_), .. })))
            };
            assert!(lost(&dead.outcome), "{dead:?}");
            // since it was last heard, at its death
            assert!(dead.lost.is_some_and(|at| at < seconds(4.1)), "{dead:?}");
            assert!(outcome.done.is_some_and(|at| at < seconds(14.2)), "{:?}", outcome.done);
        });
    }
}

/// The group brings it to all five, though three were there all the time.
#[test]
fn what_most_have_missed_is_repaired_to_all_of_them_at_once() {
    verify("outage-of-most", |outcome| {
        assert!(sent(outcome) < 1.3, "{} of the file", sent(outcome));
        let by_unicast =
            |r: &sim::ReceiverOutcome| r.arrived.is_some_and(|a| a.unicast > FILE / 100);
        assert!(!outcome.receivers.iter().any(by_unicast), "{outcome}");
        // 12.4 s without the outage, in which a quarter of the file passes three of them
        assert!(outcome.completed.is_some_and(|at| at < seconds(15.5)), "{outcome}");
    });
    // Twice the file, to three of eight.
    verify("dead-most", |outcome| assert!(sent(outcome) < 2.0 * 1.05, "{}", sent(outcome)));
}

/// Three die at four seconds: nothing goes to the group that nobody hears.
#[test]
fn nothing_is_sent_to_nobody() {
    let scenario = registry::find("dead-last").expect("it has that name").scenario;
    let die = |n| (Duration::from_secs(4), Fault::Kill(n));
    let scenario = [die(0), die(1)].into_iter().fold(scenario, |s, (at, fault)| s.at(at, fault));
    let outcome = scenario.run();
    // at 50 Mbit/s, and what was on its way
    assert!(sent(&outcome) < 0.4, "{} of the file", sent(&outcome));
    assert!(outcome.done.is_some_and(|at| at < seconds(14.2)), "{:?}", outcome.done);
}

#[test]
fn one_of_which_its_host_says_that_nobody_listens_is_lost_at_once() {
    verify("nobody-listens", |outcome| {
        let gone = &outcome.receivers[2].report;
        let lost = |why: &Option<_>| {
            matches!(why, Some(Err(Reason::Lost { why: Lost::Unreachable(_), .. })))
        };
        assert!(lost(&gone.outcome), "{gone:?}");
        let late = outcome.done.zip(outcome.completed).map(|(done, all)| done.saturating_sub(all));
        assert!(late.is_some_and(|late| late < seconds(0.1)), "it was waited for: {late:?}");
    });
    let scenario = registry::find("nobody-listens").expect("it has that name").scenario;
    let stop = |n| (Duration::from_secs(2), Fault::Stop(n));
    let all = [stop(0), stop(1), stop(3)].into_iter();
    let outcome = all.fold(scenario, |s, (at, fault)| s.at(at, fault)).run();
    assert!(outcome.done.is_some_and(|at| at < seconds(5.0)), "known in 3 s: {:?}", outcome.done);
}

#[test]
fn after_an_outage_that_all_share_the_group_goes_on() {
    verify("outage-shared", |outcome| {
        let completed = outcome.completed.expect("verified");
        assert!(completed <= seconds(15.0), "{completed:?}, undisturbed 11.7 s");
        for r in &outcome.receivers {
            assert_eq!(r.modes(), [Mode::Multicast, Mode::Gone], "{:?}", r.report.transitions);
            assert!(r.arrived.is_some_and(|arrived| arrived.unicast < 1 << 20), "{:?}", r.arrived);
        }
    });
}

#[test]
fn one_that_was_lost_gets_what_it_lacks_and_nothing_again() {
    verify("outage-of-one", |outcome| {
        let r = &outcome.receivers[1];
        assert_eq!((r.report.restarts, r.report.lost), (0, None));
        let duplicate = r.arrived.map(|arrived| arrived.duplicate).expect("it took part");
        assert!((duplicate as f64) < FILE as f64 * 0.02, "{duplicate}");
        for i in [0, 2] {
            let r = &outcome.receivers[i];
            assert_eq!(r.modes(), [Mode::Multicast, Mode::Gone], "{:?}", r.report.transitions);
            assert!(r.drained.is_some_and(|at| at < seconds(13.3)), "{:?}", r.drained);
        }
    });
}

/// Also what is lost on its way counts: nothing goes to it alone that it has, or that the group has on its way to it.
#[test]
fn to_one_that_catches_up_goes_alone_what_it_lacks() {
    for name in ["outage-of-one", "stopped-and-started", "joins-at-half", "spoiler-recovers"] {
        verify(name, |outcome| {
            let arrived = |r: &ReceiverOutcome| r.arrived.unwrap_or_default().unicast;
            let alone: u64 = outcome.receivers.iter().map(arrived).sum();
            let sent = outcome.sent.unicast_bytes as f64 / alone as f64;
            assert!(sent <= 1.02, "{name}: {sent} of what arrived so");
        });
    }
}

/// What it held when it was started at first it holds still: that goes to nobody.
#[test]
fn one_that_is_started_anew_says_what_it_holds() {
    verify("restart-holding", |outcome| {
        assert_eq!(outcome.receivers[1].report.restarts, 1);
        assert!(outcome.receivers[1].went_through(&[
            Mode::Multicast,
            Mode::Trial,
            Mode::Multicast
        ]));
    });
}

#[test]
fn one_that_is_started_again_late_is_found() {
    verify("stopped-and-started", |outcome| {
        let r = &outcome.receivers[1].report;
        assert_eq!((r.restarts, r.lost), (1, None));
        let again = r.transitions.iter().find(|t| t.why.contains("restarted")).expect("it began");
        // started at 24 s: a ping or a SYN comes within a second, and is answered twice
        assert!(again.at < seconds(26.5), "{:?}", r.transitions);
    });
}

#[test]
fn a_sender_that_stood_still_goes_on() {
    for (name, pause) in [("paused-12", 12.0), ("paused-30", 30.0)] {
        verify(name, |outcome| {
            let completed = outcome.completed.expect("verified");
            assert!(completed < seconds(pause + 13.0), "{name}: {completed:?}");
            for r in &outcome.receivers {
                assert_eq!(r.modes(), [Mode::Multicast, Mode::Gone], "{:?}", r.report.transitions);
            }
        });
    }
}

/// A member that has left the group is looked at now and then, but not while it is away: else its sender would not sleep
/// any more, and time would stand still here.
#[test]
fn one_that_was_evicted_and_dies_is_lost_like_others() {
    verify("evicted-and-dead", |outcome| {
        let report = &outcome.receivers[1].report;
        assert!(matches!(report.outcome, Some(Err(Reason::Lost { .. }))), "{report:?}");
        // It was off the group before, and what became of it is told all the same.
        let last = report.transitions.iter().rfind(|t| t.mode == Mode::Unicast);
        let says_so = |reason: Option<&ModeReason>| matches!(reason, Some(ModeReason::Lost { .. }));
        assert!(says_so(last.and_then(|t| t.reason.as_ref())), "{:?}", report.transitions);
        assert!(says_so(report.mode_reason.as_ref()), "{report:?}");
    });
}

#[test]
fn a_session_lasts_neither_for_the_lost_nor_for_those_that_are_asked_on() {
    verify("late-and-lost", |outcome| {
        let end = |n: usize| &outcome.receivers[n].report.outcome;
        assert!(matches!(end(2), Some(Err(Reason::Lost { .. }))), "{:?}", end(2));
        assert!(matches!(end(3), Some(Err(Reason::NeverAnswered(_)))), "{:?}", end(3));
    });
}

#[test]
fn an_outage_that_is_over_just_in_time_ends_nobody() {
    verify("outage-nearly-lost", |outcome| {
        assert!(outcome.receivers.iter().all(|r| r.report.outcome == Some(Ok(()))));
    });
}
