//! Attacks on the beginning of a session by somebody who sees it: repeated from elsewhere, altered and signed
//! anew where everybody can sign, answered by somebody else.

use super::{
    Attacker, LEN, SECOND, Sort, addr, by_keys, by_secret, end, group_source, identity, net,
    patience, play, reply,
};
use crate::hand::{App, DELAY, Net, Node, Packet};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tcpxm::config::SessionConfig;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{ListenKeys, ListenTrust, SenderKeys, SenderTrust};
use tcpxm::wire::Said;

/// Where the attacker is; as a node it is the last.
fn elsewhere() -> SocketAddr {
    "10.9.9.9:1".parse().unwrap()
}

/// Adds the attacker's node, which takes no part by itself.
fn add_attacker(net: &mut Net) {
    let endpoint = end(9, 0, &ListenTrust::Loopback).1;
    let mut node = Node::new(elsewhere(), endpoint);
    node.dead = true;
    net.nodes.push(node);
}

/// A SYN is repeated from elsewhere, before or after it has arrived, and the answer to that is brought to the
/// sender as if it came from where it should: at once, and at every later time.
#[test]
fn a_syn_that_is_repeated_from_elsewhere_gives_nothing_to_attack_with() {
    for trust in [by_secret("s"), by_keys()] {
        let limit = patience(&trust, 2);
        for early in [DELAY / 2, DELAY * 3 / 2, DELAY * 3] {
            let attacker = Attacker::default();
            let plan = attacker.clone();
            let mut net = net(2, &trust.1, Box::new(|_, _, _| Vec::new()));
            net.path = Box::new(move |_, n, packet: Packet| {
                if n == 1 && Sort::of(&packet) == Sort::Syn {
                    plan.send(n, early, Packet { from: elsewhere(), ..packet.clone() });
                }
                if packet.to == elsewhere() {
                    for later in [0, 1, 2, 4, 8, 20, 100, 1000] {
                        let forged = Packet { to: addr(0), ..packet.clone() };
                        plan.send(0, DELAY * later / 2, forged);
                    }
                    return Vec::new();
                }
                vec![(DELAY, packet)]
            });
            let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
            add_attacker(&mut net);
            play(&mut net, &mut app, limit, &attacker, &format!("repeated after {early:?}"));
            assert_eq!(net.nodes[1].endpoint.accept(), None, "a second session");
        }
    }
}

/// The repetition from elsewhere comes first: of everything that a sender says until its receiver could know
/// better.
#[test]
fn a_handshake_that_is_repeated_from_elsewhere_and_comes_first_is_found_out() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2);
    for sorts in [&[Sort::Syn][..], &[Sort::Third], &[Sort::Syn, Sort::Third, Sort::Data]] {
        let attacker = Attacker::default();
        let (plan, mut data) = (attacker.clone(), 0);
        let mut net = net(
            2,
            &trust.1,
            Box::new(move |_, n, packet| {
                let sort = Sort::of(&packet);
                data += u32::from(sort == Sort::Data);
                if n == 1 && sorts.contains(&sort) && data < 20 {
                    plan.send(n, DELAY / 2, Packet { from: elsewhere(), ..packet.clone() });
                }
                vec![(DELAY, packet)]
            }),
        );
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &attacker, &format!("{sorts:?}"));
    }
}

/// Without a secret everybody can sign a SYN: an altered one arrives before the true one.
#[test]
fn a_syn_that_is_altered_and_signed_anew_takes_nobodys_place() {
    let trust = by_keys();
    let limit = patience(&trust, 1);
    // Both headers, the TLVs and the message, and some of the padding.
    for at in (0..200).step_by(3) {
        let attacker = Attacker::default();
        let plan = attacker.clone();
        let mut net = net(
            1,
            &trust.1,
            Box::new(move |_, n, packet| {
                if Sort::of(&packet) == Sort::Syn {
                    let mut forged = packet.clone();
                    forged.bytes[at] ^= 1 << (at % 8);
                    FrameKey::open().sign_syn(&mut forged.bytes);
                    plan.send(n, DELAY / 2, forged);
                }
                vec![(DELAY, packet)]
            }),
        );
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &attacker, &format!("byte {at}"));
    }
}

/// Without a secret everybody who sees a SYN can reply to it.
#[test]
fn replies_that_anybody_can_sign_are_hints() {
    let trust = by_keys();
    let limit = patience(&trust, 1);
    let said =
        [Said::Refused("go away"), Said::Cookie(&[7; 16]), Said::OtherVersion, Said::Unknown];
    for said in said {
        for version in [0, 1, 2] {
            let attacker = Attacker::default();
            let plan = attacker.clone();
            let mut budget = 200;
            let mut net = net(
                1,
                &trust.1,
                Box::new(move |_, _, packet| {
                    if Sort::of(&packet) == Sort::Syn && budget > 0 {
                        budget -= 1;
                        let tag = packet.bytes.last_chunk().unwrap();
                        for delay in [DELAY / 2, DELAY * 2, DELAY * 20] {
                            plan.send(0, delay, reply(&packet, version, said, tag));
                        }
                    }
                    vec![(DELAY, packet)]
                }),
            );
            let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
            play(&mut net, &mut app, limit, &attacker, &format!("{said:?} of {version}"));
        }
    }
}

/// Somebody with a key of his own answers before the receiver that is known does.
#[test]
fn an_impostors_answer_that_comes_first_is_not_the_last() {
    let known = [(addr(1), identity(2).public())].into_iter().collect();
    let keys = SenderKeys { identity: identity(1), known, strict: true };
    let trust = (SenderTrust::Keys(keys), by_keys().1);
    let limit = patience(&trust, 1);
    let attacker = Attacker::default();
    let plan = attacker.clone();
    let mut answers = 0;
    let (impostor, count) = (2, std::rc::Rc::new(std::cell::Cell::new(0)));
    let seen = count.clone();
    let mut net = net(1, &trust.1, Box::new(|_, _, _| Vec::new()));
    net.path = Box::new(move |_, n, mut packet: Packet| {
        if n == 1 {
            plan.send(impostor, DELAY / 8, packet.clone());
        }
        if packet.from == elsewhere() {
            packet.from = addr(1);
            answers += 1;
            seen.set(answers);
            return vec![(DELAY / 8, packet)];
        }
        vec![(DELAY, packet)]
    });
    let config = SessionConfig { connect_timeout: SECOND * 5, ..group_source(LEN) };
    let mut app = App::with(&mut net, config, LEN, trust.0.clone());
    let listen = ListenTrust::Keys(ListenKeys {
        identity: identity(66),
        authorized: [identity(1).public()].into(),
        refused: BTreeMap::new(),
    });
    add_attacker(&mut net);
    net.nodes[impostor].endpoint = end(3, 0, &listen).1;
    net.nodes[impostor].dead = false;
    play(&mut net, &mut app, limit, &attacker, "an impostor");
    assert!(count.get() > 0, "the impostor answered");
}
