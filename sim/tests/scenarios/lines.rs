//! Lines that do other things than lose datagrams one by one.

use sim::{registry, verify};
use tcpxm::config::Algorithm;

#[test]
fn reordering_costs_no_byte() {
    verify("reordering", |outcome| assert_eq!(outcome.traffic.lost, 0));
}

#[test]
fn duplicates_are_counted_and_not_delivered() {
    verify("duplication", |outcome| {
        // of more than 5,900 × 4 passages (one up, three down) 1,180 are duplicated in the mean;
        // 100 or fewer with at most exp(−(1080²) / (2 × 1180)) < 10⁻²¹⁴ (Chernoff); and none of
        // the 295 of one receiver with 0.95^5900 < 10⁻¹³¹
        assert!(outcome.traffic.duplicated > 100, "{:?}", outcome.traffic);
        let duplicate = |r: &sim::ReceiverOutcome| r.arrived.map_or(0, |a| a.duplicate);
        assert!(outcome.receivers.iter().all(|r| duplicate(r) > 0));
    });
}

#[test]
fn jitter_is_borne() {
    verify("jitter", |outcome| assert_eq!(outcome.traffic.lost, 0));
}

#[test]
fn bursts_of_loss_are_repaired() {
    // 3 × 23,600 segments, a burst begins at each with 0.0005: none at all with e^−35 < 10⁻¹⁵
    verify("burst-loss", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

#[test]
fn a_short_path_gets_short_datagrams() {
    for name in ["short-path", "narrow-receivers", "narrow-one-of-group", "narrow-group"] {
        verify(name, |outcome| {
            // 28 bytes of IP and UDP and 52 of our own; a few short ones at first, and the repairs.
            let least = (8 << 20) / (1400 - 28 - 52);
            let sent = outcome.sent.datagrams;
            assert!((least..least * 6 / 5).contains(&sent), "{sent} datagrams of {least}");
        });
    }
}

#[test]
fn the_others_have_long_datagrams_when_one_has_a_narrow_way() {
    verify("narrow-one", |outcome| {
        let len = 8 << 20;
        let least = len / (1280 - 80) + 2 * len / (1500 - 80);
        let sent = outcome.sent.datagrams;
        assert!((least..least * 21 / 20).contains(&sent), "{sent} datagrams of {least}");
    });
}

#[test]
fn a_way_that_becomes_narrow_holds_nothing_up() {
    verify("narrowing", |_| ());
    verify("narrowing-unicast", |_| ());
}

#[test]
fn long_frames_are_used_where_they_pass() {
    verify("jumbo", |outcome| {
        let least = (32 << 20) / (9000 - 80);
        let sent = outcome.sent.datagrams;
        assert!((least..least * 5 / 4).contains(&sent), "{sent} datagrams of {least}");
    });
}

#[test]
fn everything_at_once_is_borne() {
    verify("everything-at-once", |outcome| {
        // of 5,900 segments all pass with 0.995^5900 < 10⁻¹², none is doubled with 0.99^5900
        assert!(outcome.traffic.lost > 0 && outcome.traffic.duplicated > 0);
    });
}

#[test]
fn repairs_that_wait_long_are_not_forgotten() {
    // 3 × 23,600 segments at 0.1 %: none is lost with e^−70
    verify("unequal-paths", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

#[test]
fn a_narrow_way_back_from_twelve_does_not_slow_the_way_out() {
    for name in ["satellite", "satellite-bbr"] {
        verify(name, |outcome| {
            let line = 1_250_000.0 * 1420.0 / 1538.0;
            let rates = outcome.receivers.iter().map(|r| r.steady_rate(24 << 20) / line);
            let least = rates.fold(1.0, f64::min);
            assert!(least > 0.9, "{name}: {least:.3} of the line");
        });
    }
}

/// What is marked need not be dropped: the sender is told all the same, and nothing is repaired.
#[test]
fn a_queue_that_marks_loses_less_than_one_that_drops() {
    let mut lost = Vec::new();
    for (name, marks) in [("marking-queue", true), ("dropping-queue", false)] {
        verify(name, |outcome| {
            let traffic = outcome.traffic;
            assert_eq!(traffic.marked > 0, marks, "{traffic:?}");
            lost.push((traffic.early_dropped + traffic.tail_dropped, outcome.sent.repaired_bytes));
        });
    }
    let [(marked_lost, marked_again), (dropped_lost, dropped_again)] = lost[..] else {
        panic!("two ran: {lost:?}")
    };
    // What is not the session's data does not say that it can be marked, and is dropped even here.
    assert!(marked_lost * 4 < dropped_lost, "{lost:?}");
    assert!(marked_again == 0 && dropped_again > 0, "{lost:?}");
}

/// A narrow way back fills with acknowledgements, whose delay BBR would take for a slow line.
#[test]
fn bbr_lives_with_a_narrow_way_back_as_cubic_does() {
    for name in [
        "thin-return-1",
        "thin-return-2",
        "thin-return-4",
        "thin-return-far-1",
        "thin-return-far-2",
        "thin-return-far-4",
        "thin-return-shared",
    ] {
        let scenario = registry::find(name).expect("it has that name").scenario;
        let cubic = scenario.session(|s| s.algorithm = Algorithm::Cubic).run();
        let bound = cubic.completed.expect("by CUBIC it completes").mul_f64(1.3);
        verify(name, |outcome| {
            let took = outcome.completed.expect("verified");
            assert!(took <= bound, "{name}: {took:?}, {bound:?} allowed");
        });
    }
}
