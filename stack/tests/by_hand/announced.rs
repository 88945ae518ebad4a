//! A group that is announced anew: whoever joined the one before leaves it and joins this one, and nothing is lost.

use crate::hand::{App, DELAY, Net, Packet, group, outcome, source};
use core::time::Duration;
use std::net::SocketAddr;
use tcpxm::config::{Delivery, Group};
use tcpxm::proto::event::MemberId;
use tcpxm::proto::time::Instant;
use tcpxm::stats::Mode;

const LEN: u64 = 8 << 20;
const LIMIT: Duration = Duration::from_secs(60);

fn other() -> Group {
    Group { addr: "239.255.1.3:8737".parse().unwrap(), source: None }
}

/// Loses one of twenty, by a number of a small generator (Marsaglia's xorshift).
fn lossy(mut dice: u64) -> impl FnMut(Instant, usize, Packet) -> Vec<(Duration, Packet)> {
    move |_, _, packet| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        if dice.is_multiple_of(20) { Vec::new() } else { vec![(DELAY, packet)] }
    }
}

fn app(net: &mut Net) -> App {
    let mut config = source(LEN, Delivery::Unordered, Some(group()));
    config.rate = Some(20_000_000); // some seconds
    App::new(net, config, LEN)
}

/// All have everything, most of it by the group, and have joined these.
fn assert_moved(net: &Net, app: &App, joins: &[SocketAddr], seed: u64) {
    for index in 0..net.nodes.len() - 1 {
        assert_eq!(outcome(net, app, index), Some(Ok(())), "seed {seed}");
        assert_eq!(net.nodes[index + 1].joins, joins, "seed {seed}");
        let member = MemberId { session: app.session, index };
        let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
        assert_eq!(report.mode, Mode::Multicast, "seed {seed}: {report:#?}");
        assert!(report.arrived.multicast > LEN / 2, "seed {seed}: {report:#?}");
    }
}

/// In the middle of a copy, on lossy ways.
#[test]
fn all_join_the_new_one() {
    for seed in 1..=8 {
        let mut net = Net::new(3, 7, Box::new(lossy(seed)));
        let mut app = app(&mut net);
        let until = net.now + Duration::from_secs(1);
        assert!(net.run(LIMIT, |net| {
            app.serve(net);
            net.now < until
        }));
        net.nodes[0].endpoint.move_group(app.session, other(), None);
        assert!(app.finish(&mut net, LIMIT), "seed {seed}");
        assert_moved(&net, &app, &[group().addr, other().addr], seed);
    }
}

/// Its SYN told of the one before.
#[test]
fn who_answers_later_is_told_as_well() {
    const LATE: usize = 3;
    let mut begin = None;
    let late = move |now: Instant, n, packet: Packet| {
        let since = *begin.get_or_insert(now);
        let lost = n == LATE && now < since + Duration::from_millis(1200);
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(3, 7, Box::new(late));
    let mut app = app(&mut net);
    assert!(net.run(LIMIT, |net| {
        app.serve(net);
        net.nodes[0].begun == 0
    }));
    let answered = net.nodes[0].endpoint.answered(app.session);
    assert_eq!(answered, [net.nodes[1].addr, net.nodes[2].addr]);
    net.nodes[0].endpoint.move_group(app.session, other(), None);
    assert!(app.finish(&mut net, LIMIT));
    assert_moved(&net, &app, &[group().addr, other().addr], 0);
    assert_eq!(net.nodes[0].begun, 2, "where the late one is counts as well");
}
