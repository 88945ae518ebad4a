//! Somebody on the way passes on from an address of his choice what the ends say to each other, before it arrives by
//! itself: as if an end were there now.

use super::{
    Attacker, LEN, SECOND, Sort, addr, by_keys, by_secret, group_source, net, patience, play,
    secret,
};
use crate::hand::{App, DELAY, Net, Node, Packet, outcome};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use tcpxm::config::SessionConfig;
use tcpxm::error::Reason;
use tcpxm::proto::event::MemberId;
use tcpxm::trust::{ListenTrust, SenderSecrets, SenderTrust};

/// Where the ends seem to be; as a node it is the last, and takes no part.
fn elsewhere() -> SocketAddr {
    "10.9.9.9:1".parse().unwrap()
}

/// Bytes that seemed to come from there, and that were sent there.
type Bytes = Rc<[Cell<usize>; 2]>;

/// Passes on what is sealed, both ways; of what goes to the false address does what `answer` says.
fn passing_on(
    trust: &ListenTrust,
    attacker: &Attacker,
    answer: impl Fn(&Packet) -> Vec<(usize, Packet)> + 'static,
) -> (Net, Bytes) {
    let bytes = Bytes::default();
    let (plan, seen) = (attacker.clone(), Rc::clone(&bytes));
    let mut net = net(1, trust, Box::new(|_, _, _| Vec::new()));
    net.path = Box::new(move |_, n, packet: Packet| {
        let add = |way: usize| seen[way].set(seen[way].get() + packet.bytes.len());
        if packet.to == elsewhere() {
            add(1);
            for (n, packet) in answer(&packet) {
                plan.send(n, DELAY / 2, packet);
            }
            return Vec::new();
        }
        if matches!(Sort::of(&packet), Sort::Data | Sort::Control) {
            add(0);
            plan.send(n, DELAY / 2, Packet { from: elsewhere(), ..packet.clone() });
        }
        vec![(DELAY, packet)]
    });
    (net, bytes)
}

fn begin(net: &mut Net, trust: SenderTrust) -> App {
    let app = App::with(net, group_source(LEN), LEN, trust);
    let mut node = Node::new(elsewhere(), super::end(9, 0, &ListenTrust::Loopback).1);
    node.dead = true;
    net.nodes.push(node);
    app
}

/// Nobody is there: the ends ask, and stay where they are; nobody gets more than was passed on.
#[test]
fn an_address_that_does_not_answer_is_not_sent_to() {
    for trust in [by_secret("s"), by_keys()] {
        let attacker = Attacker::default();
        let (mut net, bytes) = passing_on(&trust.1, &attacker, |_| Vec::new());
        let mut app = begin(&mut net, trust.0.clone());
        play(&mut net, &mut app, patience(&trust, 1), &attacker, "passed on");
        let member = MemberId { session: app.session, index: 0 };
        assert_eq!(net.nodes[0].endpoint.report(net.now, member).unwrap().addr, addr(1));
        let [passed, sent] = [0, 1].map(|way| bytes[way].get());
        assert!(sent > 0 && sent <= passed / 10, "{sent} bytes sent there, {passed} passed on");
    }
}

/// He brings the ends what is said to him: all goes by him, and arrives.
#[test]
fn who_relays_both_ways_is_one_more_router() {
    for trust in [by_secret("s"), by_keys()] {
        let attacker = Attacker::default();
        let relay = |packet: &Packet| {
            let n = usize::from(packet.from == addr(0));
            vec![(n, Packet { from: elsewhere(), to: addr(n), ..packet.clone() })]
        };
        let (mut net, _) = passing_on(&trust.1, &attacker, relay);
        let mut app = begin(&mut net, trust.0.clone());
        play(&mut net, &mut app, patience(&trust, 1) + SECOND * 5, &attacker, "relayed");
    }
}

/// Each host has a secret of its own. One of them relays what goes to another, so that this seems to be where it is; then
/// it lets nothing more pass, and answers by itself when the other is sought there.
#[test]
fn who_has_relayed_a_host_does_not_take_its_place() {
    let of = [(addr(1), secret("a")), (elsewhere(), secret("b"))].into();
    let secrets = SenderSecrets { of, others: secret("o") };
    let attacker = Attacker::default();
    let (plan, mut passed) = (attacker.clone(), 0);
    let mut net = net(1, &ListenTrust::Secret(vec![secret("a")]), Box::new(|_, _, _| Vec::new()));
    net.path = Box::new(move |_, n, packet: Packet| {
        let is_sealed = matches!(Sort::of(&packet), Sort::Data | Sort::Control);
        passed += u32::from(is_sealed);
        let relays = passed < 60;
        if packet.to == elsewhere() && relays {
            let n = usize::from(packet.from == addr(0));
            plan.send(n, DELAY / 2, Packet { from: elsewhere(), to: addr(n), ..packet });
            return Vec::new();
        }
        if is_sealed && relays {
            plan.send(n, DELAY / 2, Packet { from: elsewhere(), ..packet.clone() });
        }
        let is_stopped = !relays && (packet.from == addr(1) || packet.to == addr(1));
        if is_stopped { Vec::new() } else { vec![(DELAY, packet)] }
    });
    let config = SessionConfig { wait_lost: SECOND * 20, ..group_source(100 * LEN) };
    let mut app = App::with(&mut net, config, 100 * LEN, SenderTrust::Secrets(secrets));
    let impostor = super::end(9, 0, &ListenTrust::Secret(vec![secret("b")])).1;
    net.nodes.push(Node::new(elsewhere(), impostor));
    attacker.enter(&mut net);
    net.run(SECOND * 60, |net| {
        app.serve(net);
        !app.done(net)
    });
    assert_eq!(net.nodes[2].endpoint.accept(), None, "it was taken for the other");
    let why = outcome(&net, &app, 0);
    assert!(matches!(why, Some(Err(Reason::Lost { .. }))), "{why:?}");
}
