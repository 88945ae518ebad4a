//! Streams, IPv6, sessions without a group.

use core::time::Duration;
use sim::verify;
use tcpxm::error::Reason;
use tcpxm::stats::Mode;

#[test]
fn a_stream_arrives_in_order() {
    verify("stream", |outcome| assert!(outcome.receivers.iter().all(|r| r.intact)));
}

#[test]
fn a_stream_arrives_in_order_in_spite_of_loss() {
    // at 1 % all of 5,900 segments pass with 0.99^5900 < 10⁻²⁵, as below
    verify("stream-lossy", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

#[test]
fn a_slow_reader_holds_a_stream_back_and_nothing_is_lost_for_it() {
    verify("stream-slow-reader", |outcome| {
        // 8 MiB at 4 MiB/s, less the buffer that the last bytes are read from
        let drained = outcome.receivers[1].drained.expect("verified");
        assert!(drained > Duration::from_millis(1900), "it read everything in {drained:?}");
    });
}

#[test]
fn a_stream_may_go_on_without_a_slow_reader() {
    verify("stream-drops-slow-reader", |outcome| {
        let report = &outcome.receivers[1].report;
        let Some(Err(Reason::TooSlow { own, below: 50_000_000 })) = report.outcome else {
            panic!("{report:?}");
        };
        assert!((30_000_000..40_000_000).contains(&own), "it reads 4 MiB/s: {own}");
        // 32 MiB at 100 Mbit/s take 2.9 s, and 8 s at its pace.
        for other in [0, 2] {
            let drained = outcome.receivers[other].drained.expect("verified");
            assert!(drained < Duration::from_millis(4500), "{drained:?}");
        }
    });
}

#[test]
fn ipv6_is_like_ipv4() {
    verify("ipv6", |outcome| {
        assert!(outcome.receivers.iter().all(|r| r.report.addr.is_ipv6()));
    });
}

#[test]
fn ipv6_loss_is_repaired() {
    verify("ipv6-lossy", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

#[test]
fn without_a_group_all_are_served_by_unicast() {
    verify("no-group", |outcome| {
        assert_eq!(outcome.sent.group_bytes, 0);
        assert!(outcome.receivers.iter().all(|r| r.report.mode == Mode::Unicast));
    });
}

#[test]
fn the_published_rule_promotes_later_but_promotes() {
    verify("published-rule", |outcome| {
        for r in &outcome.receivers {
            assert_eq!(r.report.mode, Mode::Multicast);
            // Some of them had come through the group before.
            let by_unicast = r.report.arrived.unicast + r.report.arrived.duplicate;
            assert!(by_unicast >= 75 << 10, "{:?}", r.report);
        }
    });
}

#[test]
fn reno_repairs_as_well() {
    verify("reno", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}
