//! How a session begins where something stands in the way: a rate, a host on which nobody listens.

use crate::hand::{App, Net, group, source, straight};
use core::time::Duration;
use tcpxm::config::{Delivery, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::event::MemberId;

const SECOND: Duration = Duration::from_secs(1);
const LEN: u64 = 2_000_000;

/// Headers of UDP and IPv4.
const HEADERS: u64 = 28;

#[test]
fn a_rate_is_kept_and_used() {
    for receivers in [1, 3] {
        for rate in [2_000_000, 50_000_000] {
            let mut net = Net::new(receivers, 0, straight());
            let begin = net.now;
            let config = SessionConfig {
                rate: Some(rate),
                ..source(LEN, Delivery::Unordered, Some(group()))
            };
            let mut app = App::new(&mut net, config, LEN);
            assert!(app.finish(&mut net, SECOND * 60));
            let took = net.now.since(begin).as_secs_f64();
            let sent = net.nodes[0].endpoint.sent(app.session);
            let bits = (sent.datagram_bytes + sent.datagrams * HEADERS) * 8;
            let got = bits as f64 / took;
            // A train may leave ahead of its time at the end.
            assert!(got <= rate as f64 * 1.02, "{got} of {rate} bit/s, {receivers} receivers");
            assert!(got >= rate as f64 * 0.85, "{got} of {rate} bit/s, {receivers} receivers");
        }
    }
}

fn outcome(net: &Net, app: &App, index: usize) -> Option<Result<(), Reason>> {
    let member = MemberId { session: app.session, index };
    net.nodes[0].endpoint.report(net.now, member).unwrap().outcome
}

/// The second host answers each SYN with "port unreachable".
#[test]
fn nobody_listens_is_known_within_a_second_and_holds_nobody() {
    let mut net = Net::new(2, 0, straight());
    net.nodes[2].dead = true;
    let absent = net.nodes[2].addr;
    let begin = net.now;
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    let mut syns = 0;
    let mut answered = 0;
    let known = net.run(SECOND, |net| {
        app.serve(net);
        let now = net.now;
        // One answer for each SYN, at 0, 250 and 750 ms.
        if syns < 3 && now.since(begin) >= [0, 250, 750].map(Duration::from_millis)[syns] {
            syns += 1;
            net.nodes[0].endpoint.handle_unreachable(now, absent, "nobody listens there");
            answered += 1;
        }
        outcome(net, &app, 1).is_none()
    });
    assert!(known, "after {answered} answers");
    let why = "nobody listens there".to_owned();
    assert_eq!(outcome(&net, &app, 1), Some(Err(Reason::Unreachable(why))));
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert!(net.now.since(begin) < SECOND * 2);
}

/// A single report may be late, or forged: the host may yet answer.
#[test]
fn one_unreachable_is_a_hint_and_after_the_handshake_it_is_nothing() {
    let mut net = Net::new(1, 0, straight());
    let peer = net.nodes[1].addr;
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    net.nodes[0].endpoint.handle_unreachable(net.now, peer, "nobody listens there");
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        app.got[0] == 0
    }));
    for _ in 0..10 {
        net.nodes[0].endpoint.handle_unreachable(net.now, peer, "nobody listens there");
    }
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}

/// What was heard last explains best why nobody answered.
#[test]
fn a_hint_stands_in_the_reason_when_no_answer_comes() {
    let mut net = Net::new(1, 0, straight());
    net.nodes[1].dead = true;
    let peer = net.nodes[1].addr;
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    net.nodes[0].endpoint.handle_unreachable(net.now, peer, "no route to host");
    assert!(app.finish(&mut net, SECOND * 11));
    let why = "no route to host".to_owned();
    assert_eq!(outcome(&net, &app, 0), Some(Err(Reason::Unreachable(why))));
}
