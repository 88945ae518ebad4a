//! Lines that do other things than lose datagrams one by one.

use sim::verify;

#[test]
fn reordering_costs_no_byte() {
    verify("reordering", |outcome| assert_eq!(outcome.traffic.lost, 0));
}

#[test]
fn duplicates_are_counted_and_not_delivered() {
    verify("duplication", |outcome| {
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
    verify("burst-loss", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

#[test]
fn a_short_path_gets_short_datagrams() {
    verify("short-path", |outcome| {
        // 1200-byte datagrams with 52 bytes of headers
        let least = (8 << 20) / (1200 - 52);
        assert!(outcome.sent.datagrams >= least, "{} datagrams", outcome.sent.datagrams);
    });
}

#[test]
fn everything_at_once_is_borne() {
    verify("everything-at-once", |outcome| {
        assert!(outcome.traffic.lost > 0 && outcome.traffic.duplicated > 0);
    });
}

#[test]
fn repairs_that_wait_long_are_not_forgotten() {
    verify("unequal-paths", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}
