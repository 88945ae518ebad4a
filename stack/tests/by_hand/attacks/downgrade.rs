//! Nothing is talked down: not to another suite, not to another version.

use super::{
    CID, LEN, SECOND, Sort, addr, by_keys, by_secret, give, group_source, net, reply, tapped,
};
use crate::hand::{App, DELAY, outcome, straight};
use core::time::Duration;
use tcpxm::config::SessionConfig;
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::held::Held;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{ListenTrust, SenderTrust};
use tcpxm::wire::{Reply, Said, VERSION};

const CONNECT: Duration = Duration::from_secs(2);

fn config() -> SessionConfig {
    SessionConfig { connect_timeout: CONNECT, ..group_source(LEN) }
}

fn trusts() -> [(SenderTrust, ListenTrust); 3] {
    [(SenderTrust::Plaintext, ListenTrust::Plaintext), by_keys(), by_secret("s")]
}

#[test]
fn an_end_takes_part_in_no_suite_but_its_own() {
    let mut answered = 0;
    for (s, (sender, _)) in trusts().into_iter().enumerate() {
        for (l, (_, listen)) in trusts().into_iter().enumerate() {
            let (tap, path) = tapped();
            let mut net = net(1, &listen, path);
            let mut app = App::with(&mut net, config(), LEN, sender.clone());
            assert!(app.finish(&mut net, CONNECT * 2));
            if s == l {
                assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
                answered += 1;
                continue;
            }
            let never = Reason::NeverAnswered(CONNECT);
            assert_eq!(outcome(&net, &app, 0), Some(Err(never)), "{s} to {l}");
            assert!(tap.borrow().iter().all(|(n, _)| *n == 1), "{s} to {l}: it was answered");
            assert_eq!(net.nodes[1].endpoint.held().receivers, 0);
        }
    }
    assert_eq!(answered, 3);
}

/// A sender's SYN for this trust.
fn syn(trust: &(SenderTrust, ListenTrust)) -> Vec<u8> {
    let (tap, path) = tapped();
    let mut net = net(1, &trust.1, path);
    App::with(&mut net, config(), LEN, trust.0.clone());
    net.pump();
    let syn = tap.borrow()[0].1.clone();
    assert_eq!(Sort::of(&syn), Sort::Syn);
    syn.bytes
}

#[test]
fn a_syn_of_another_version_is_told_ours_and_begins_nothing() {
    let trust = by_keys();
    let syn = syn(&trust);
    for version in (0..8).filter(|version| *version != VERSION) {
        let mut net = net(1, &trust.1, straight());
        let mut other = syn.clone();
        other[0] = other[0] & 0x1f | version << 5;
        assert!(give(&mut net, 1, addr(0), &other).is_empty(), "its MAC does not fit");
        FrameKey::open().sign_syn(&mut other);
        let [reply] = &give(&mut net, 1, addr(0), &other)[..] else { panic!("no reply") };
        let cid = u64::from_be_bytes(syn[CID].try_into().unwrap());
        let said = Reply { version: VERSION, cid, said: Said::OtherVersion };
        assert_eq!(Reply::parse(&reply.bytes), Some(Ok(said)));
        assert!(FrameKey::open().is_answer(&reply.bytes, other.last_chunk().unwrap()));
        assert!(reply.bytes.len() <= 48 && reply.to == addr(0));
        assert_eq!(net.nodes[1].endpoint.held(), Held::default());
    }
}

#[test]
fn with_a_secret_a_strangers_syn_of_another_version_is_not_answered() {
    let trust = by_secret("s");
    let syn = syn(&trust);
    for version in 0..8 {
        let mut net = net(1, &trust.1, straight());
        let mut other = syn.clone();
        other[0] = other[0] & 0x1f | version << 5;
        if version == VERSION {
            assert_eq!(give(&mut net, 1, addr(0), &other).len(), 1, "the true one is answered");
            continue;
        }
        assert!(give(&mut net, 1, addr(0), &other).is_empty(), "as it was signed for another");
        FrameKey::open().sign_syn(&mut other);
        assert!(give(&mut net, 1, addr(0), &other).is_empty(), "as anybody signs");
    }
}

/// Who comes when the listener's owner has gone keeps it from nothing.
#[test]
fn a_listener_that_closes_begins_nothing() {
    let trust = by_keys();
    let syn = syn(&trust);
    let mut net = net(1, &trust.1, straight());
    net.nodes[1].endpoint.close_listener("it rains");
    let [refusal] = &give(&mut net, 1, addr(0), &syn)[..] else { panic!("no reply") };
    let cid = u64::from_be_bytes(syn[CID].try_into().unwrap());
    let said = Reply::new(cid, Said::Refused("it rains"));
    assert_eq!(Reply::parse(&refusal.bytes), Some(Ok(said)));
    assert_eq!(net.nodes[1].endpoint.held(), Held::default());
    assert!(!net.nodes[1].endpoint.lingers());
}

/// Whose answer was lost gets it again, and is told by the session.
#[test]
fn a_listener_that_closes_lets_those_it_has_answered_go_on() {
    let trust = by_keys();
    let syn = syn(&trust);
    let mut net = net(1, &trust.1, straight());
    let [answer] = &give(&mut net, 1, addr(0), &syn)[..] else { panic!("no answer") };
    net.nodes[1].endpoint.close_listener("it rains");
    let [again] = &give(&mut net, 1, addr(0), &syn)[..] else { panic!("no answer") };
    assert_eq!((Sort::of(again), &again.bytes), (Sort::SynAck, &answer.bytes));
}

/// What comes of a session that is replied to by a host of this version, which signs as everybody can.
fn replied(trust: &(SenderTrust, ListenTrust), version: u8) -> Option<Result<(), Reason>> {
    let (tap, path) = tapped();
    let mut net = net(1, &trust.1, path);
    net.nodes[1].dead = true;
    let mut app = App::with(&mut net, config(), LEN, trust.0.clone());
    net.pump();
    let syn = tap.borrow()[0].1.clone();
    let tag = syn.bytes.last_chunk().unwrap();
    net.fly(0, DELAY, reply(&syn, version, Said::OtherVersion, tag));
    assert!(app.finish(&mut net, CONNECT + SECOND));
    outcome(&net, &app, 0)
}

#[test]
fn who_speaks_another_version_is_named_and_what_to_do() {
    for (theirs, what) in [(0, "needed there"), (2, "needed here"), (7, "needed here")] {
        let Some(Err(reason)) = replied(&by_keys(), theirs) else { panic!("no failure") };
        assert_eq!(reason, Reason::Version { theirs, ours: VERSION });
        let text = reason.to_string();
        assert!(text.contains(&format!("version {theirs}")) && text.contains(what), "{text}");
    }
    let never = Some(Err(Reason::NeverAnswered(CONNECT)));
    assert_eq!(replied(&by_keys(), VERSION), never, "that is no other version");
    assert_eq!(replied(&by_secret("s"), 2), never, "with a secret only who holds it is believed");
}
