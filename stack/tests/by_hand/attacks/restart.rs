//! A receiver that is started anew in the middle of a session, and somebody who only says so.

use super::{
    Attacker, CID, LEN, SECOND, Sort, addr, by_keys, by_secret, end, group_source, net, patience,
    play,
};
use crate::hand::{App, DELAY, Net, Packet, outcome, straight};
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::{EndpointConfig, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{CidKey, ListenTrust, SenderTrust};
use tcpxm::wire::{Reply, Said};

const LONG: u64 = 20 << 20;

/// A session of which both receivers have something, and that goes on for a while.
fn under_way(trust: &(SenderTrust, ListenTrust)) -> (Net, App) {
    let mut net = net(2, &trust.1, straight());
    // A SYN is not repeated for ever by itself, whether or not anything is said: that is over.
    let connect_timeout = SECOND / 4;
    let config = SessionConfig { rate: Some(40_000_000), connect_timeout, ..group_source(LONG) };
    let begin = net.now;
    let mut app = App::with(&mut net, config, LONG, trust.0.clone());
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        app.got.iter().any(|got| *got < 1 << 20) || net.now.since(begin) < SECOND / 2
    }));
    (net, app)
}

fn run(net: &mut Net, app: &mut App, limit: Duration) -> bool {
    net.run(limit, |net| {
        app.feed(net);
        app.take_at(net, 1);
        outcome(net, app, 0).is_none()
    })
}

#[test]
fn who_was_started_anew_says_so_within_a_second() {
    for trust in [by_secret("s"), by_keys()] {
        let (mut net, mut app) = under_way(&trust);
        net.nodes[1].endpoint = end(1, 77, &trust.1).1;
        assert!(run(&mut net, &mut app, SECOND), "it is not known within a second");
        assert_eq!(outcome(&net, &app, 0), Some(Err(Reason::Forgotten)));
        app.ids[0] = None;
        app.got[0] = 0;
        assert!(app.finish(&mut net, SECOND * 20));
        assert_eq!(outcome(&net, &app, 1), Some(Ok(())), "the other is not concerned");
    }
}

/// Started anew, with another key of connection ids: it says nothing of ids that it does not know.
#[test]
fn without_its_key_of_ids_it_says_nothing_of_them() {
    let trust = by_secret("s");
    let (mut net, mut app) = under_way(&trust);
    let config = EndpointConfig {
        listen: Some(trust.1.clone()),
        cid_key: Some(CidKey::new([55; 32])),
        port: 8737,
        ..EndpointConfig::default()
    };
    net.nodes[1].endpoint = Endpoint::new(config, [77; 32]);
    let replies = Rc::new(Cell::new(0));
    let seen = replies.clone();
    net.path = Box::new(move |_, _, packet| {
        seen.set(seen.get() + u32::from(Sort::of(&packet) == Sort::Reply));
        vec![(DELAY, packet)]
    });
    run(&mut net, &mut app, SECOND * 25);
    assert_eq!(replies.get(), 0, "it replied to an id that it never gave");
    assert!(matches!(outcome(&net, &app, 0), Some(Err(_))), "it is found by its silence");
    assert!(app.finish(&mut net, SECOND * 20));
    assert_eq!(outcome(&net, &app, 1), Some(Ok(())));
}

/// Somebody who sees the ids says all the time that they are not known any more: that is asked, and untrue.
#[test]
fn that_somebody_says_so_changes_nothing() {
    for trust in [by_secret("s"), by_keys()] {
        let limit = patience(&trust, 2);
        let attacker = Attacker::default();
        let (plan, syns) = (attacker.clone(), Rc::new(Cell::new(0)));
        let seen = syns.clone();
        let path = move |_, n, packet: Packet| {
            let sort = Sort::of(&packet);
            seen.set(seen.get() + u32::from(sort == Sort::Syn));
            if n > 0 && !packet.to.ip().is_multicast() {
                let cid = u64::from_be_bytes(packet.bytes[CID].try_into().unwrap());
                let mut bytes = vec![0; Reply::MAX_LEN];
                let len = Reply::new(cid, Said::Unknown).emit(&mut bytes);
                bytes.truncate(len);
                FrameKey::open().sign_answer(&mut bytes, &[0; 16]);
                plan.send(0, DELAY / 2, Packet { to: addr(0), from: packet.to, bytes });
            }
            vec![(DELAY, packet)]
        };
        let mut net = net(2, &trust.1, Box::new(path));
        let begin = net.now;
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &attacker, "said to be unknown");
        // Each receiver is asked every half second at most, whatever is said.
        let asked = 2 * (2 + net.now.since(begin).as_millis() as u32 / 500);
        assert!(syns.get() <= 2 + asked, "{} SYNs", syns.get());
        for n in 1..3 {
            assert_eq!(net.nodes[n].endpoint.accept(), None, "a second session");
        }
    }
}
