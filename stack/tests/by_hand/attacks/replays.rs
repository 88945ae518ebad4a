//! True datagrams where they do not belong: repeated, in another order, cut, lengthened, sent back to where
//! they came from, or from another address.

use super::{Attacker, LEN, Sort, addr, by_keys, by_secret, group_source, net, patience, play};
use crate::hand::{App, DELAY, Packet, outcome, source, straight};
use crate::hostile::Dice;
use crate::seeds;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use tcpxm::config::{Delivery, SessionConfig};
use tcpxm::proto::event::{MemberId, Stranger};

/// What is done with a copy of each datagram, beside the true one.
type Trick = fn(&mut Dice, usize, &Packet) -> Option<(usize, Packet)>;

fn node_of(packet: &Packet) -> usize {
    (0..3).find(|n| addr(*n) == packet.from).unwrap()
}

const TRICKS: [(&str, Trick); 7] = [
    ("repeated", |_, n, packet| Some((n, packet.clone()))),
    ("cut", |dice, n, packet| {
        let mut cut = packet.clone();
        cut.bytes.truncate(dice.roll(packet.bytes.len() as u64) as usize);
        Some((n, cut))
    }),
    ("cut by its tag", |_, n, packet| {
        let mut cut = packet.clone();
        cut.bytes.truncate(packet.bytes.len() - 16);
        Some((n, cut))
    }),
    ("lengthened", |dice, n, packet| {
        let mut longer = packet.clone();
        longer.bytes.resize(packet.bytes.len() + 1 + dice.roll(64) as usize, 0);
        Some((n, longer))
    }),
    ("sent back", |_, _, packet| {
        let (to, from) =
            (packet.from, if packet.to.ip().is_multicast() { addr(1) } else { packet.to });
        Some((node_of(packet), Packet { to, from, bytes: packet.bytes.clone() }))
    }),
    ("sent to the other receiver", |_, n, packet| {
        let other = [0, 2, 1][n];
        Some((other, Packet { to: addr(other), ..packet.clone() }))
    }),
    ("of another kind", |dice, n, packet| {
        let mut other = packet.clone();
        other.bytes[0] = packet.bytes[0] & !7 | dice.roll(4) as u8;
        Some((n, other))
    }),
];

#[test]
fn copies_of_what_is_true_where_they_do_not_belong() {
    for trust in [by_secret("s"), by_keys()] {
        let limit = patience(&trust, 2);
        for (name, trick) in TRICKS {
            let attacker = Attacker::default();
            let (plan, mut dice) = (attacker.clone(), Dice(5));
            let met = Rc::new(RefCell::new(BTreeSet::new()));
            let seen = met.clone();
            let path = move |_, n, packet: Packet| {
                seen.borrow_mut().insert(Sort::of(&packet));
                // Before the true one, beside it, and long after it.
                for delay in [DELAY / 2, DELAY * 3 / 2, DELAY * 40] {
                    if let Some((to, copy)) = trick(&mut dice, n, &packet) {
                        plan.send(to, delay, copy);
                    }
                }
                vec![(DELAY, packet)]
            };
            let mut net = net(2, &trust.1, Box::new(path));
            let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
            play(&mut net, &mut app, limit, &attacker, name);
            assert!(Sort::USUAL.iter().all(|sort| met.borrow().contains(sort)), "{name}");
            for n in 1..3 {
                let endpoint = &mut net.nodes[n].endpoint;
                assert_eq!(endpoint.accept(), None, "{name}: a second session");
                // What comes again is found out by its number: its bytes are not even looked at.
                let arrived = endpoint.arrived(app.ids[n - 1].unwrap());
                assert!(arrived.duplicate < LEN / 4, "{name}: {arrived:?}");
            }
        }
    }
}

/// Without a group: each datagram of a member's own comes again and again, and is found out by its number.
#[test]
fn a_members_own_datagrams_that_are_repeated_are_not_looked_at() {
    let trust = by_secret("s");
    let attacker = Attacker::default();
    let plan = attacker.clone();
    let path = move |_, n, packet: Packet| {
        for delay in [DELAY, DELAY * 2, DELAY * 40] {
            plan.send(n, delay, packet.clone());
        }
        vec![(DELAY, packet)]
    };
    let mut net = net(2, &trust.1, Box::new(path));
    let config = source(LEN, Delivery::Unordered, None);
    let mut app = App::with(&mut net, config, LEN, trust.0.clone());
    play(&mut net, &mut app, patience(&trust, 2), &attacker, "repeated");
    for n in 0..2 {
        let arrived = net.nodes[n + 1].endpoint.arrived(app.ids[n].unwrap());
        assert_eq!((arrived.unicast, arrived.duplicate), (LEN, 0));
    }
}

/// A whole session comes once more, when it is over and forgotten, and in the next one between the same ends.
#[test]
fn a_session_that_is_over_comes_once_more() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2);
    let (tap, path) = super::tapped();
    let mut net = net(2, &trust.1, path);
    let mut first = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    play(&mut net, &mut first, limit, &Attacker::default(), "the first");
    net.nodes[0].endpoint.forget(net.now, first.session);
    for n in 0..2 {
        net.nodes[n + 1].endpoint.release(net.now, first.ids[n].unwrap());
    }
    assert!(net.run(limit, |net| net.nodes.iter().any(|n| n.endpoint.lingers())));
    net.path = straight();
    let old = tap.borrow().clone();
    let attacker = Attacker::default();
    for (n, packet) in &old {
        attacker.send(*n, DELAY, packet.clone());
    }
    let mut second = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    play(&mut net, &mut second, limit, &attacker, "the second");
    for n in 1..3 {
        assert_eq!(net.nodes[n].endpoint.accept(), None, "the first began again");
    }
}

#[test]
fn in_another_order() {
    seeds::each("in_another_order", 0..20, |seed| {
        let trust = by_secret("s");
        let mut dice = Dice(seed);
        let path = move |_, _, packet| {
            let late = if dice.roll(4) == 0 { dice.roll(12) as u32 } else { 0 };
            vec![(DELAY * (1 + late), packet)]
        };
        let mut net = net(2, &trust.1, Box::new(path));
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        let limit = patience(&trust, 2) * 2; // a handshake may take twelve times as long as well
        play(&mut net, &mut app, limit, &Attacker::default(), "reordered");
    });
}

/// Longer than a sender that moves its group takes to be heard.
const LASTS: Duration = Duration::from_secs(3);

/// The group's datagrams from other addresses: they are not taken, though they are true, and it is told.
#[test]
fn what_comes_to_the_group_from_elsewhere_is_not_the_senders() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2) * 2 + 4 * LASTS; // by unicast it is sent to each, and to the group
    let elsewhere = "10.9.9.9:8737".parse().unwrap();
    // Beside the true ones they change nothing; without those they count as nothing.
    for alone in [false, true] {
        let path = move |_, n: usize, packet: Packet| {
            if n == 0 || Sort::of(&packet) != Sort::Group {
                return vec![(DELAY, packet)];
            }
            let moved = (DELAY / 2, Packet { from: elsewhere, ..packet.clone() });
            if alone { vec![moved] } else { vec![moved, (DELAY, packet)] }
        };
        let mut net = net(2, &trust.1, Box::new(path));
        let config = SessionConfig { rate: Some(LEN * 8 / LASTS.as_secs()), ..group_source(LEN) };
        let mut app = App::with(&mut net, config, LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &Attacker::default(), "from elsewhere");
        for index in 0..2 {
            assert_eq!(outcome(&net, &app, index), Some(Ok(())));
            let member = MemberId { session: app.session, index };
            let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
            assert_eq!(report.arrived.multicast == 0, alone, "{report:?}");
            let told = net.nodes[index + 1].endpoint.next_stranger();
            assert_eq!(told, Some(Stranger::Group { from: elsewhere }));
        }
    }
}
