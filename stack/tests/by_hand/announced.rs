//! A group that is announced anew: whoever joined the one before leaves it and joins this one, and nothing is lost.

use crate::hand::{App, DELAY, Net, Packet, group, outcome, source, straight};
use core::time::Duration;
use std::net::SocketAddr;
use tcpxm::config::{Delivery, Group};
use tcpxm::proto::event::{MemberId, SessionId};
use tcpxm::proto::time::Instant;
use tcpxm::stats::{MemberReport, Mode, ModeReason};

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

/// Lets time pass until something is so.
fn until(net: &mut Net, app: &mut App, mut done: impl FnMut(&mut Net) -> bool) {
    assert!(net.run(LIMIT, |net| {
        app.serve(net);
        !done(net)
    }));
}

fn report(net: &Net, session: SessionId, index: usize) -> MemberReport {
    net.nodes[0].endpoint.report(net.now, MemberId { session, index }).unwrap()
}

/// All have everything, most of it by the group, and have joined these.
fn assert_moved(net: &Net, app: &App, joins: &[SocketAddr], seed: u64) {
    for index in 0..net.nodes.len() - 1 {
        assert_eq!(outcome(net, app, index), Some(Ok(())), "seed {seed}");
        assert_eq!(net.nodes[index + 1].joins, joins, "seed {seed}");
        let report = report(net, app.session, index);
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
        let later = net.now + Duration::from_secs(1);
        until(&mut net, &mut app, |net| net.now >= later);
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
    until(&mut net, &mut app, |net| net.nodes[0].begun > 0);
    let answered = net.nodes[0].endpoint.answered(app.session);
    assert_eq!(answered, [net.nodes[1].addr, net.nodes[2].addr]);
    net.nodes[0].endpoint.move_group(app.session, other(), None);
    assert!(app.finish(&mut net, LIMIT));
    assert_moved(&net, &app, &[group().addr, other().addr], 0);
    assert_eq!(net.nodes[0].begun, 2, "where the late one is counts as well");
}

/// It has the rest by unicast, and the next one that it can join by that.
#[test]
fn who_cannot_join_the_new_one_is_told_of_the_next() {
    let mut net = Net::new(3, 7, Box::new(lossy(9)));
    net.nodes[2].refuses = Some(other().addr);
    let mut app = app(&mut net);
    let session = app.session;
    until(&mut net, &mut app, |net| report(net, session, 1).mode == Mode::Multicast);
    net.nodes[0].endpoint.move_group(session, other(), None);
    until(&mut net, &mut app, |net| report(net, session, 1).mode == Mode::Unicast);
    let why = report(&net, session, 1).mode_reason.unwrap().to_string();
    assert_eq!(why, format!("it cannot join the group: {} is refused", other().addr));
    until(&mut net, &mut app, |net| net.nodes[1].joins.last() == Some(&other().addr));
    net.nodes[0].endpoint.move_group(session, group(), None);
    assert!(app.finish(&mut net, LIMIT));
    for index in 0..3 {
        assert_eq!(outcome(&net, &app, index), Some(Ok(())));
        let report = report(&net, session, index);
        assert_eq!(report.mode, Mode::Multicast, "{report:#?}");
        assert_eq!(net.nodes[index + 1].joins, [group().addr, other().addr, group().addr]);
    }
}

/// What its system says of a group that is another one by then means nothing.
#[test]
fn a_slow_system_answers_of_the_last_one() {
    let third = Group { addr: "239.255.1.4:8737".parse().unwrap(), source: None };
    let mut net = Net::new(2, 7, straight());
    (net.nodes[1].slow, net.nodes[1].refuses) = (true, Some(other().addr));
    let mut app = app(&mut net);
    until(&mut net, &mut app, |net| {
        let now = net.now;
        net.nodes[1].answer(now)
    });
    for next in [other(), third] {
        net.nodes[0].endpoint.move_group(app.session, next, None);
        until(&mut net, &mut app, |net| net.nodes[1].joins.last() == Some(&next.addr));
    }
    let now = net.now;
    assert!(net.nodes[1].answer(now), "that the one before is refused");
    let later = now + Duration::from_millis(100);
    until(&mut net, &mut app, |net| net.now >= later);
    let reason = report(&net, app.session, 0).mode_reason;
    assert!(!matches!(reason, Some(ModeReason::CannotJoin(_))), "it waits for the last answer");
    let now = net.now;
    assert!(net.nodes[1].answer(now) && !net.nodes[1].answer(now));
    assert!(app.finish(&mut net, LIMIT));
    assert_moved(&net, &app, &[group().addr, other().addr, third.addr], 0);
}
