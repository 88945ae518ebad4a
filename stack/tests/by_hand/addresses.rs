//! Receivers that have several addresses: which of them are tried, when, and what is made of the answers.

use crate::hand::{App, DELAY, HANDSHAKE, Net, Packet, group, outcome, source, straight};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tcpxm::config::{Delivery, EndpointConfig, SessionConfig};
use tcpxm::error::{ConfigError, Reason, Unreachable};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::MemberId;
use tcpxm::proto::time::Instant;
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, Secret, SenderKeys, SenderTrust};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const LEN: u64 = 300_000;
const NO_IPV6: Unreachable = Unreachable::NoFamily { v6: true };

/// SYNs by when they were sent, since the beginning, and where they went.
type Syns = Rc<RefCell<Vec<(Duration, SocketAddr)>>>;

fn dead(n: u8) -> SocketAddr {
    ([10, 9, 9, n], 8737).into()
}

fn config() -> SessionConfig {
    source(LEN, Delivery::Unordered, Some(group()))
}

/// A session to one receiver at one of these addresses.
fn to_one(net: &mut Net, addrs: Vec<SocketAddr>) -> App {
    App::to_any(net, config(), LEN, SenderTrust::Loopback, &[addrs])
}

fn taken(net: &Net, app: &App, index: usize) -> SocketAddr {
    let member = MemberId { session: app.session, index };
    net.nodes[0].endpoint.report(net.now, member).unwrap().addr
}

/// Sessions that a receiver has been offered beside the one that the application took.
fn further_sessions(net: &mut Net, n: usize) -> bool {
    net.nodes[n].endpoint.accept().is_some()
}

/// A machine of two addresses.
fn two_homed(path: crate::hand::Path) -> (Net, [SocketAddr; 2]) {
    let mut net = Net::new(1, 0, path);
    let other = ([10, 0, 1, 2], 8737).into();
    net.nodes[1].other = Some(other);
    let addr = net.nodes[1].addr;
    (net, [addr, other])
}

#[test]
fn a_dead_first_address_costs_a_quarter_of_a_second() {
    let mut net = Net::new(2, 0, straight());
    let begin = net.now;
    let [a, b] = [net.nodes[1].addr, net.nodes[2].addr];
    let peers = [vec![dead(1), a], vec![b, dead(2)]];
    let mut app = App::to_any(&mut net, config(), LEN, SenderTrust::Loopback, &peers);
    assert!(app.finish(&mut net, SECOND * 5));
    for (index, addr) in [(0, a), (1, b)] {
        assert_eq!(outcome(&net, &app, index), Some(Ok(())));
        assert_eq!(taken(&net, &app, index), addr);
    }
    assert!(net.now.since(begin) < MS * 500, "{:?}", net.now.since(begin));
}

#[test]
fn all_that_are_dead_are_tried_in_their_order_until_the_time_is_over() {
    let syns = Syns::default();
    let mut net = Net::new(1, 0, straight());
    let begin = net.now;
    // Of a dead address nothing is delivered, so its SYNs are seen at a node that does nothing.
    let seen = Rc::clone(&syns);
    net.path = Box::new(move |now: Instant, _, packet: Packet| {
        seen.borrow_mut().push((now.since(begin), packet.to));
        Vec::new()
    });
    net.nodes[1].other = Some(dead(2));
    let addrs = vec![dead(1), net.nodes[1].addr, dead(2)];
    let mut app = to_one(&mut net, addrs.clone());
    assert!(app.finish(&mut net, SECOND * 11));
    let why = Reason::NeverAnswered(SessionConfig::default().connect_timeout);
    assert_eq!(outcome(&net, &app, 0), Some(Err(why)));
    let first = |addr| syns.borrow().iter().find(|(_, to)| *to == addr).map(|(at, _)| *at);
    assert_eq!(first(addrs[1]), Some(MS * 250));
    assert_eq!(first(addrs[2]), Some(MS * 500));
    // Each is repeated by itself.
    assert!(syns.borrow().iter().filter(|(_, to)| *to == addrs[2]).count() >= 3);
}

/// Both addresses are of one machine, and the first answers after the second has been tried as well.
#[test]
fn one_machine_gets_one_session_whichever_answer_comes_first() {
    for (slow, fast) in [(0, 1), (1, 0)] {
        let (mut net, addrs) = two_homed(straight());
        let late = addrs[slow];
        net.path = Box::new(move |_, n, packet: Packet| {
            // The way there and back by the one address takes 400 ms in all.
            let is_late = if n == 0 { packet.from == late } else { packet.to == late };
            vec![(if is_late { MS * 200 } else { DELAY }, packet)]
        });
        let mut app = to_one(&mut net, addrs.to_vec());
        assert!(app.finish(&mut net, SECOND * 5));
        assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
        assert_eq!(taken(&net, &app, 0), addrs[fast], "slow is {late}");
        // The late answer comes, and nothing follows it.
        net.run(SECOND * 3, |_| true);
        assert_eq!(app.got[0], LEN);
        assert!(!further_sessions(&mut net, 1), "it got a second session");
    }
}

#[test]
fn an_address_that_answers_at_once_is_the_only_one_that_is_tried() {
    let syns = Syns::default();
    let seen = Rc::clone(&syns);
    let (mut net, addrs) = two_homed(Box::new(move |now: Instant, n, packet: Packet| {
        if n == 1 && packet.kind() == HANDSHAKE {
            seen.borrow_mut().push((now.since(Instant::ZERO), packet.to));
        }
        vec![(DELAY, packet)]
    }));
    let mut app = to_one(&mut net, addrs.to_vec());
    assert!(app.finish(&mut net, SECOND * 5));
    net.run(SECOND, |_| true);
    assert!(syns.borrow().iter().all(|(_, to)| *to == addrs[0]), "{syns:?}");
}

#[test]
fn one_that_cannot_be_reached_lets_the_next_be_tried_at_once() {
    for certain in [false, true] {
        let mut net = Net::new(1, 0, straight());
        let (begin, live) = (net.now, net.nodes[1].addr);
        let mut app = to_one(&mut net, vec![dead(1), dead(2), live]);
        net.pump();
        for addr in [dead(1), dead(2)] {
            let now = net.now;
            if certain {
                net.nodes[0].endpoint.handle_unsendable(now, addr, NO_IPV6);
            } else {
                net.nodes[0].endpoint.handle_unreachable(now, addr, Unreachable::Host);
            }
            net.step();
        }
        assert!(app.finish(&mut net, SECOND * 5));
        assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
        assert_eq!(taken(&net, &app, 0), live);
        assert!(net.now.since(begin) < MS * 250, "{:?}", net.now.since(begin));
    }
}

#[test]
fn what_this_host_cannot_send_to_fails_at_once_and_alone() {
    let mut net = Net::new(1, 0, straight());
    let (begin, live) = (net.now, net.nodes[1].addr);
    let peers = [vec![live], vec![dead(1)], vec![dead(2), dead(3)]];
    let config = SessionConfig { give_up_refused: false, ..config() };
    let mut app = App::to_any(&mut net, config, LEN, SenderTrust::Loopback, &peers);
    for _ in 0..4 {
        net.pump();
        for addr in [dead(1), dead(2), dead(3)] {
            net.nodes[0].endpoint.handle_unsendable(net.now, addr, NO_IPV6);
        }
        net.step();
    }
    assert_eq!(outcome(&net, &app, 1), Some(Err(Reason::Unreachable(NO_IPV6))));
    let both = "10.9.9.2: this host has no IPv6; 10.9.9.3: this host has no IPv6";
    assert_eq!(outcome(&net, &app, 2), Some(Err(Reason::NoAddress(both.to_owned()))));
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert!(net.now.since(begin) < MS * 250, "{:?}", net.now.since(begin));
}

/// Whoever answers for the first address does not hold the secret, or makes something up.
#[test]
fn an_answer_of_somebody_else_changes_nothing() {
    let secret = |byte| Arc::new(Secret::from_line(&[byte; 32]).unwrap());
    let of = |n: u8, trust| {
        let listen = (n > 0).then_some(trust);
        let config = EndpointConfig { listen, port: 8737, ..EndpointConfig::default() };
        let addr: SocketAddr = ([10, 0, 0, n + 1], 8737).into();
        (addr, Endpoint::new(config, [n; 32]))
    };
    let forger = ListenTrust::Plaintext;
    let friend = ListenTrust::Secret(vec![secret(b'f')]);
    let ends = [of(0, ListenTrust::Loopback), of(1, forger), of(2, friend)];
    // What the friend answers is seen, and comes from the forger's address as well, before it.
    let stolen = Rc::new(RefCell::new(Vec::new()));
    let mut net = Net::of(ends.into_iter(), straight());
    let [forger, friend] = [net.nodes[1].addr, net.nodes[2].addr];
    let (beside, kept) = (Rc::clone(&net.beside), Rc::clone(&stolen));
    net.path = Box::new(move |_, n, packet: Packet| {
        if n == 0 && packet.from == friend && packet.kind() == HANDSHAKE {
            let copy = Packet { from: forger, ..packet.clone() };
            beside.borrow_mut().push((0, Duration::from_nanos(1), copy));
            kept.borrow_mut().push(packet.to);
        }
        vec![(DELAY, packet)]
    });
    let peers = [vec![forger, friend]];
    let trust = SenderTrust::Secret(secret(b'f'));
    let mut app = App::to_any(&mut net, config(), LEN, trust, &peers);
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert_eq!(taken(&net, &app, 0), friend);
    assert_eq!((app.got[0], app.got[1]), (0, LEN));
    assert!(!stolen.borrow().is_empty());
}

/// The first address has gone over to another host, whose key is not the one that is known of the name.
#[test]
fn an_address_of_another_host_is_passed_over_if_the_key_is_known() {
    let identity = |byte| Arc::new(Identity::generate([byte; 64]));
    let sender = identity(1);
    let of = |n: u8, identity| {
        let authorized = BTreeSet::from([sender.public()]);
        let keys = ListenKeys { identity, authorized, refused: BTreeMap::new() };
        let listen = (n > 0).then_some(ListenTrust::Keys(keys));
        let config = EndpointConfig { listen, port: 8737, ..EndpointConfig::default() };
        (([10, 0, 0, n + 1], 8737).into(), Endpoint::new(config, [n; 32]))
    };
    let ends = [of(0, identity(1)), of(1, identity(2)), of(2, identity(3))];
    let mut net = Net::of(ends.into_iter(), straight());
    let [stale, right] = [net.nodes[1].addr, net.nodes[2].addr];
    let of_name = identity(3).public();
    let known = BTreeMap::from([(stale, of_name), (right, of_name)]);
    let keys = SenderKeys { identity: Arc::clone(&sender), known, strict: false };
    let (begin, peers) = (net.now, [vec![stale, right]]);
    let mut app = App::to_any(&mut net, config(), LEN, SenderTrust::Keys(keys), &peers);
    assert!(app.finish(&mut net, SECOND * 5));
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
    assert_eq!(taken(&net, &app, 0), right);
    assert_eq!((app.got[0], app.got[1]), (0, LEN));
    assert!(net.now.since(begin) < MS * 250, "the next was not tried at once");
}

#[test]
fn an_address_belongs_to_one_receiver_and_each_has_one() {
    let mut net = Net::new(1, 0, straight());
    let (now, sender) = (net.now, &mut net.nodes[0].endpoint);
    let mut begin = |peers: &[Vec<SocketAddr>]| {
        sender.connect_any(now, config(), SenderTrust::Loopback, peers).map(drop)
    };
    let shared = [vec![dead(1), dead(2)], vec![dead(3), dead(2)]];
    assert_eq!(begin(&shared), Err(ConfigError::Twice(dead(2))));
    assert_eq!(begin(&[vec![dead(1)], Vec::new()]), Err(ConfigError::NoReceiver));
    assert_eq!(begin(&[]), Err(ConfigError::NoReceiver));
}

/// What is said to a receiver before it has answered reaches it by whichever address.
#[test]
fn what_is_said_before_the_answer_goes_where_the_answer_came_from() {
    let mut net = Net::new(1, 0, straight());
    let live = net.nodes[1].addr;
    let mut app = to_one(&mut net, vec![dead(1), live]);
    let member = MemberId { session: app.session, index: 0 };
    let now = net.now;
    assert_eq!(net.nodes[0].endpoint.member_write(now, member, b"early"), Ok(5));
    let mut heard = Vec::new();
    assert!(net.run(SECOND * 5, |net| {
        app.serve(net);
        let mut buf = [0; 16];
        if let Some(id) = app.ids[0]
            && let Ok(tcpxm::proto::event::ControlRead::Data(len)) =
                net.nodes[1].endpoint.control_read(net.now, id, &mut buf)
        {
            heard.extend_from_slice(&buf[..len]);
        }
        !app.done(net)
    }));
    assert_eq!(heard, b"early");
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}
