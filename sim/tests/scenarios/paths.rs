//! Paths that are hard to tell apart from broken ones.

use core::time::Duration;
use sim::{Outcome, verify};

/// When the last of these receivers had everything.
fn latest(outcome: &Outcome, receivers: core::ops::Range<usize>) -> Duration {
    let all = outcome.receivers[receivers].iter().map(|r| r.drained.expect("it has everything"));
    all.max().expect("there is one")
}

#[test]
fn what_is_only_late_or_answered_slowly_costs_nothing() {
    // 64 MiB take 5.9 s alone.
    for name in ["reordering-far", "back-50-times-slower"] {
        verify(name, |outcome| {
            let took = latest(outcome, 0..4);
            assert!(took < Duration::from_millis(6500), "{name}: {took:?}");
        });
    }
}

#[test]
fn short_interruptions_cost_little_more_than_they_last() {
    verify("interrupted", |outcome| {
        let took = latest(outcome, 0..4);
        assert!(took < Duration::from_millis(9000), "{took:?}");
    });
}

/// It can do what they can, by a window as much wider: they go on without it until that is found, and then with it.
#[test]
fn one_that_is_far_away_does_not_hold_those_that_are_near() {
    verify("near-and-far", |outcome| {
        // 5.9 s alone
        let (near, far) = (latest(outcome, 0..3), latest(outcome, 3..4));
        assert!(near < Duration::from_secs(8) && far < Duration::from_secs(9), "{near:?}, {far:?}");
    });
}

#[test]
fn an_address_that_changes_is_followed_and_costs_nothing() {
    for name in ["rebinding-receiver", "rebinding-sender"] {
        verify(name, |outcome| {
            let took = latest(outcome, 0..4);
            assert!(took < Duration::from_millis(6500), "{name}: {took:?}");
        });
    }
    verify("rebinding-receiver", |outcome| {
        let ports = outcome.receivers.iter().map(|r| r.report.addr.port()).collect::<Vec<_>>();
        assert_eq!(ports, [8737, 8739, 8737, 8737]);
    });
    verify("rebinding-alone", |outcome| {
        let arrived = outcome.receivers[1].arrived.expect("it has a session");
        let came = (arrived.total() + arrived.duplicate) as f64;
        assert!(came <= 1.02 * arrived.total() as f64, "{arrived:?}");
    });
}
