//! How a session begins where something stands in the way: a rate, a host on which nobody listens.

use crate::hand::{self, App, DELAY, HANDSHAKE, Net, Packet, group, source, straight};
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;
use tcpxm::config::{Delivery, SessionConfig};
use tcpxm::error::{Reason, Unreachable};
use tcpxm::proto::event::{Arrival, MemberId};

const SECOND: Duration = Duration::from_secs(1);
const LEN: u64 = 2_000_000;
/// What its host says where nobody listens.
const NOBODY: Unreachable = Unreachable::Port(9);

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
            net.nodes[0].endpoint.handle_unreachable(now, absent, NOBODY);
            answered += 1;
        }
        outcome(net, &app, 1).is_none()
    });
    assert!(known, "after {answered} answers");
    assert_eq!(outcome(&net, &app, 1), Some(Err(Reason::Unreachable(NOBODY))));
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert!(net.now.since(begin) < SECOND * 2);
}

/// The second host refuses for three seconds, then it listens.
#[test]
fn who_is_told_to_wait_waits_for_a_host_that_starts_and_holds_nobody() {
    let mut net = Net::new(2, 0, straight());
    net.nodes[2].dead = true;
    let late = net.nodes[2].addr;
    let begin = net.now;
    let config =
        SessionConfig { give_up_refused: false, ..source(LEN, Delivery::Unordered, Some(group())) };
    let mut app = App::new(&mut net, config, LEN);
    assert!(net.run(SECOND * 4, |net| {
        app.serve(net);
        let now = net.now;
        net.nodes[0].endpoint.handle_unreachable(now, late, NOBODY);
        net.now.since(begin) < SECOND * 3
    }));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())), "held up by the other");
    net.nodes[2].dead = false;
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 1), Some(Ok(())));
}

/// A single report may be late, or forged: the host may yet answer.
#[test]
fn one_unreachable_is_a_hint_and_after_the_handshake_it_is_nothing() {
    let mut net = Net::new(1, 0, straight());
    let peer = net.nodes[1].addr;
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    net.nodes[0].endpoint.handle_unreachable(net.now, peer, NOBODY);
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        app.got[0] == 0
    }));
    for _ in 0..10 {
        net.nodes[0].endpoint.handle_unreachable(net.now, peer, NOBODY);
    }
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}

/// However many there are, they are about one SYN: whoever forges them has to do so for as long as a host may
/// take to be started.
#[test]
fn a_burst_of_unreachables_is_one_hint() {
    let mut net = Net::new(1, 0, straight());
    let peer = net.nodes[1].addr;
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    net.pump();
    for _ in 0..100 {
        net.nodes[0].endpoint.handle_unreachable(net.now, peer, NOBODY);
    }
    assert_eq!(outcome(&net, &app, 0), None);
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
    net.nodes[0].endpoint.handle_unreachable(net.now, peer, Unreachable::Host);
    assert!(app.finish(&mut net, SECOND * 11));
    assert_eq!(outcome(&net, &app, 0), Some(Err(Reason::Unreachable(Unreachable::Host))));
}

/// More SYNs than a listener remembers.
const FLOOD: u16 = 2000;
/// One way, so long that a flood fits between a SYN-ACK and the third message.
const FAR: Duration = Duration::from_millis(100);

/// A session to one receiver, played until that has answered the SYN; and the SYN.
fn answered(seed: u8) -> (Net, App, Packet) {
    let syn = Rc::new(RefCell::new(None));
    let caught = Rc::clone(&syn);
    let path = move |_, n, packet: Packet| {
        if n == 1 && packet.kind() == HANDSHAKE {
            caught.borrow_mut().get_or_insert_with(|| packet.clone());
        }
        vec![(FAR, packet)]
    };
    let mut net = Net::new(1, seed, Box::new(path));
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    let begin = net.now;
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        net.now.since(begin) < FAR
    }));
    net.pump(); // the SYN-ACK is on its way
    let syn = syn.borrow_mut().take().expect("a SYN was sent");
    (net, app, syn)
}

#[test]
fn a_flood_of_syns_between_answer_and_proof_dooms_nothing() {
    let (mut net, mut app, syn) = answered(0);
    for port in 0..FLOOD {
        let from = ([10, 9, 9, 9], 1 + port).into();
        let (to, len) = (Some(syn.to.ip()), syn.bytes.len());
        let arrival = Arrival { from, to, ifindex: 1, ecn: 0, stride: len };
        net.nodes[1].endpoint.handle_datagram(net.now, &arrival, &mut syn.bytes.clone());
    }
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}

#[test]
fn a_receiver_that_starts_anew_between_answer_and_proof_is_reached() {
    let (mut net, mut app, _) = answered(0);
    net.nodes[1].endpoint = hand::endpoint(1, 77).1;
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}

/// The proof arrives, its answers do not: the SYN that comes again is of a session that stands.
#[test]
fn a_proof_that_was_taken_makes_one_session_however_often_the_syn_comes() {
    let begin = Net::new(1, 0, straight()).now;
    let path = move |now: tcpxm::proto::time::Instant, n, packet: Packet| {
        let lost = n == 0 && packet.kind() != HANDSHAKE && now.since(begin) < SECOND * 2;
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(1, 0, Box::new(path));
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    assert!(app.finish(&mut net, SECOND * 8));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert_eq!(net.nodes[1].endpoint.accept(), None, "a second session was begun");
}

/// Of two hosts the first one's SYN is lost, so that its repetition shows no round trip (Karn's rule); so is all that
/// follows the answer at once, the third message among it. The time-out without a round trip is 250 ms.
#[test]
fn a_first_flight_that_is_lost_is_probed_without_a_round_trip() {
    const MS: Duration = Duration::from_millis(1);
    let (begin, first) = {
        let net = Net::new(2, 0, straight());
        (net.now, net.nodes[1].addr)
    };
    let proven = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&proven);
    let path = move |now: tcpxm::proto::time::Instant, n, packet: Packet| {
        let at = now.since(begin);
        let lost = n == 1 && (at < MS * 100 || (at > MS * 250 && at < MS * 255));
        if n == 0 && packet.kind() != HANDSHAKE && packet.from == first {
            seen.borrow_mut().get_or_insert(at);
        }
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(2, 0, Box::new(path));
    let mut app = App::new(&mut net, source(LEN, Delivery::Unordered, Some(group())), LEN);
    assert!(app.finish(&mut net, SECOND * 8));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    let proven = proven.borrow().expect("it has sent something sealed");
    // Two round trips of 1 ms and 25 ms for the acknowledgment (RFC 8985, 7.2).
    assert!(proven > MS * 255 && proven < MS * 300, "{proven:?}");
}
