//! A receiver that is started anew in the middle of a session, and somebody who only says so.

use super::{
    Attacker, LEN, SECOND, Sort, addr, by_keys, by_secret, end, group_source, identity, net,
    patience, play, reply,
};
use crate::hand::{App, DELAY, Net, Packet, outcome, straight};
use core::time::Duration;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tcpxm::config::{Content, EndpointConfig, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::endpoint::held::Held;
use tcpxm::proto::event::MemberId;
use tcpxm::stats::MemberReport;
use tcpxm::trust::{CidKey, ListenKeys, ListenTrust, SenderTrust};
use tcpxm::wire::{Said, TAG_LEN, VERSION};

const LONG: u64 = 20 << 20;

/// A session of which both receivers have something, and that goes on for a while.
fn under_way(trust: &(SenderTrust, ListenTrust)) -> (Net, App) {
    under_way_to(2, trust)
}

/// One with so many receivers.
fn under_way_to(receivers: usize, trust: &(SenderTrust, ListenTrust)) -> (Net, App) {
    let mut net = net(receivers, &trust.1, straight());
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

/// Starts the first receiver anew: what it had is gone.
fn restart(net: &mut Net, app: &mut App, trust: &ListenTrust, seed: u8) {
    net.nodes[1].endpoint = end(1, seed, trust).1;
    net.nodes[1].joined = false;
    (app.ids[0], app.got[0], app.errors[0]) = (None, 0, None);
}

fn report(net: &Net, app: &App, index: usize) -> MemberReport {
    let member = MemberId { session: app.session, index };
    net.nodes[0].endpoint.report(net.now, member).unwrap()
}

/// Plays on until the first receiver has bytes of a new session, or its outcome.
fn begins_again(net: &mut Net, app: &mut App, limit: Duration) -> bool {
    net.run(limit, |net| {
        app.serve(net);
        app.got[0] == 0 && outcome(net, app, 0).is_none()
    })
}

#[test]
fn who_was_started_anew_begins_again_within_a_second_and_gets_it_all() {
    for trust in [by_secret("s"), by_keys()] {
        let (mut net, mut app) = under_way(&trust);
        let before = net.now;
        restart(&mut net, &mut app, &trust.1, 77);
        assert!(begins_again(&mut net, &mut app, SECOND), "it does not begin within a second");
        assert_eq!(outcome(&net, &app, 0), None);
        assert_eq!(report(&net, &app, 0).restarts, 1);
        let took = net.now.since(before);
        let session = app.session;
        let sender = &mut net.nodes[0].endpoint;
        assert_eq!(sender.next_renewed(session), Some(MemberId { session, index: 0 }));
        assert_eq!(sender.next_renewed(session), None, "it is told once");
        assert!(app.finish(&mut net, SECOND * 20));
        let reports = [0, 1].map(|index| report(&net, &app, index));
        assert!(reports.iter().all(|r| r.outcome == Some(Ok(()))), "{took:?}: {reports:#?}");
        assert_eq!(app.got, [LONG, LONG]);
        // It is told the group's key anew, and hears what the group carries from there on.
        assert!(reports[0].arrived.multicast > LONG / 4, "{reports:#?}");
        assert_eq!(reports[0].arrived.total(), LONG, "counted from its last beginning");
        assert!(reports[0].transitions.iter().any(|t| t.why.contains("restarted")));
        assert_eq!(net.nodes[1].endpoint.accept(), None, "a second session");
        net.nodes[0].endpoint.forget(net.now, session);
        assert!(net.run(SECOND * 30, |net| net.nodes[0].endpoint.lingers()));
        net.step();
        assert_eq!(net.nodes[0].endpoint.held(), Held::default(), "something is kept of it");
    }
}

/// It may happen again, but not for ever: the fifth time it is over, for that one alone.
#[test]
fn who_is_started_anew_again_and_again_is_given_up() {
    let trust = by_secret("s");
    let (mut net, mut app) = under_way(&trust);
    for n in 1..=4 {
        restart(&mut net, &mut app, &trust.1, 77 + n);
        assert!(begins_again(&mut net, &mut app, SECOND), "{n}");
        // Until its keys are proven it would only be sent the same SYN again.
        assert!(net.run(SECOND, |net| {
            app.serve(net);
            app.got[0] < 1 << 18
        }));
        assert_eq!(report(&net, &app, 0).restarts, u32::from(n));
    }
    restart(&mut net, &mut app, &trust.1, 99);
    assert!(run(&mut net, &mut app, SECOND));
    let why = Reason::Forgotten("that happened too often");
    assert_eq!(outcome(&net, &app, 0), Some(Err(why)));
    app.got[0] = 0;
    assert!(app.finish(&mut net, SECOND * 20));
    assert_eq!(outcome(&net, &app, 1), Some(Ok(())), "the other is not concerned");
}

/// A stream is read once: who has forgotten what the ring has released cannot begin again.
#[test]
fn a_stream_begins_again_while_all_of_it_is_there_and_no_later() {
    let (trust, len) = (by_secret("s"), 6 << 20);
    for all_there in [true, false] {
        // While the other has nothing of it, the ring keeps it all.
        let held = Rc::new(Cell::new(all_there));
        let holds = held.clone();
        let path = move |_, n, packet: Packet| {
            let data = matches!(Sort::of(&packet), Sort::Data | Sort::Group);
            if n == 2 && data && holds.get() { Vec::new() } else { vec![(DELAY, packet)] }
        };
        let mut net = net(2, &trust.1, Box::new(path));
        let content = Content::Stream { ring: 1 << 20 };
        let config = SessionConfig { content, rate: Some(40_000_000), ..group_source(0) };
        let mut app = App::with(&mut net, config, len, trust.0.clone());
        assert!(net.run(SECOND * 5, |net| {
            app.serve(net);
            app.got[0] < 1 << 19
        }));
        restart(&mut net, &mut app, &trust.1, 77);
        if all_there {
            assert!(begins_again(&mut net, &mut app, SECOND * 2));
            held.set(false);
            assert!(app.finish(&mut net, SECOND * 20));
            assert_eq!(app.got, [len, len]);
            assert_eq!(report(&net, &app, 0).outcome, Some(Ok(())));
        } else {
            assert!(run(&mut net, &mut app, SECOND));
            let Some(Err(why @ Reason::Forgotten(_))) = outcome(&net, &app, 0) else {
                panic!("{:?}", outcome(&net, &app, 0))
            };
            assert!(why.to_string().contains("the beginning of the stream"), "{why}");
        }
    }
}

/// Somebody else at its address, who may be sent to as well: it is not the host that was there before.
#[test]
fn another_key_at_the_same_address_is_not_the_host_that_was_restarted() {
    let trust = by_keys();
    let (mut net, mut app) = under_way(&trust);
    let authorized = [identity(1).public()].into();
    let other = ListenKeys { identity: identity(3), authorized, refused: BTreeMap::new() };
    restart(&mut net, &mut app, &ListenTrust::Keys(other), 77);
    assert!(run(&mut net, &mut app, SECOND * 25), "it is found by its silence");
    let (known, shown) = (identity(2).public(), identity(3).public());
    let why = Reason::HostKeyChanged { known, shown };
    assert_eq!(outcome(&net, &app, 0), Some(Err(why)));
    assert_eq!(net.nodes[1].endpoint.accept(), None);
}

/// Its host was upgraded meanwhile: the sender says that, and not that it heard nothing.
#[test]
fn who_was_started_anew_with_another_version_is_named() {
    let trust = by_keys();
    let (mut net, mut app) = under_way(&trust);
    let (other, theirs) = (Attacker::default(), VERSION + 1);
    let answers = other.clone();
    net.path = Box::new(move |_, n, packet: Packet| {
        if n != 1 || Sort::of(&packet) != Sort::Syn {
            return vec![(DELAY, packet)];
        }
        let tag = packet.bytes.last_chunk().unwrap();
        answers.send(0, DELAY, reply(&packet, theirs, Said::OtherVersion, tag));
        Vec::new()
    });
    other.enter(&mut net);
    restart(&mut net, &mut app, &trust.1, 77);
    assert!(run(&mut net, &mut app, SECOND * 25), "it is found by its silence");
    assert_eq!(outcome(&net, &app, 0), Some(Err(Reason::Version { theirs, ours: VERSION })));
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

/// Down for some seconds, in which the sender's time-outs back off: it begins within a second all the same.
#[test]
fn who_was_down_for_seconds_begins_again_within_a_second() {
    // With a group its probes ask as well; a lone one has its time-outs only. The last is there again when it
    // would be given up for its silence half a second later.
    let far = Duration::from_millis(25);
    let cases = [1, 2].map(|r| [(r, 7, DELAY), (r, 16, DELAY), (r, 19, DELAY), (r, 7, far)]);
    for (receivers, halves, delay) in cases.concat() {
        let (down, trust) = (SECOND / 2 * halves, by_secret("s"));
        let (mut net, mut app) = under_way_to(receivers, &trust);
        let sent = Rc::new(Cell::new(0));
        let seen = sent.clone();
        net.path = Box::new(move |_, n, packet: Packet| {
            let alone = n == 1 && !packet.to.ip().is_multicast();
            seen.set(seen.get() + u32::from(alone));
            vec![(delay, packet)]
        });
        // A while for the round trip to be known.
        let known = net.now + SECOND / 4;
        net.run(SECOND, |net| {
            app.serve(net);
            net.now < known
        });
        net.nodes[1].dead = true;
        let settled = net.now + SECOND * 2;
        let until = net.now + down;
        net.run(SECOND * 20, |net| {
            app.feed(net);
            (1..receivers).for_each(|n| app.take_at(net, n));
            if net.now < settled {
                sent.set(0);
            }
            net.now < until
        });
        // One in a quarter of a second that asks whether it is there, and what backed-off time-outs repeat.
        let quarters = until.since(settled).as_millis() as u32 / 250;
        let sent = sent.get();
        assert!((quarters - 1..=2 * quarters).contains(&sent), "{sent} in {quarters} quarters");
        assert_eq!(outcome(&net, &app, 0), None, "{down:?}");
        net.nodes[1].dead = false;
        restart(&mut net, &mut app, &trust.1, 77);
        assert!(begins_again(&mut net, &mut app, SECOND), "{down:?}: not within a second");
        assert_eq!(outcome(&net, &app, 0), None, "{receivers} receivers, {down:?}");
        assert_eq!(report(&net, &app, 0).restarts, 1);
        assert!(app.finish(&mut net, SECOND * 20));
        assert_eq!(app.got, vec![LONG; receivers]);
    }
}

/// When the path is down, for half a second each time and six times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outages {
    /// As it happens.
    Spread,
    /// Each as soon as a SYN-ACK has passed: what is sent thereupon is lost.
    Aimed,
}

/// What says that the receiver of a packet does not know its session, made by who has no secret.
fn unknown(packet: &Packet) -> Packet {
    reply(packet, VERSION, Said::Unknown, &[0; TAG_LEN])
}

/// What a first receiver's way is like to whom somebody says all the time that the other end is unknown.
fn outages(when: Outages, attacker: &Attacker, times: Rc<Cell<u32>>) -> crate::hand::Path {
    let (plan, mut down_until, mut next) = (attacker.clone(), None, None);
    Box::new(move |now, n, packet: Packet| {
        let next_at = *next.get_or_insert(now + SECOND / 2);
        let to_first = n == 1 && !packet.to.ip().is_multicast();
        if to_first {
            plan.send(0, DELAY / 2, unknown(&packet));
        }
        let answers = n == 0 && packet.from == addr(1) && Sort::of(&packet) == Sort::SynAck;
        if down_until.is_some_and(|until| now < until) {
            let concerned = n == 1 || packet.from == addr(1);
            return if concerned { Vec::new() } else { vec![(DELAY, packet)] };
        }
        if now >= next_at && times.get() < 6 && (when == Outages::Spread || answers) {
            times.set(times.get() + 1);
            down_until = Some(now + SECOND / 2);
            next = Some(now + SECOND * 9 / 10);
        }
        vec![(DELAY, packet)]
    })
}

/// Somebody says all the time that a receiver knows nothing of the session, whose path is down now and then.
#[test]
fn that_somebody_says_so_while_the_path_is_down_restarts_nobody() {
    for trust in [by_secret("s"), by_keys()] {
        for stream in [false, true] {
            for when in [Outages::Spread, Outages::Aimed] {
                let what = format!("{:?}, {when:?}, stream: {stream}", trust.0);
                let (attacker, times) = (Attacker::default(), Rc::new(Cell::new(0)));
                let mut net = net(2, &trust.1, outages(when, &attacker, times.clone()));
                let len = 8 << 20;
                let content = if stream {
                    Content::Stream { ring: 1 << 20 }
                } else {
                    Content::Source { len: Some(len) }
                };
                let config = SessionConfig { content, rate: Some(10_000_000), ..group_source(len) };
                let mut app = App::with(&mut net, config, len, trust.0.clone());
                attacker.enter(&mut net);
                let done = net.run(SECOND * 60, |net| {
                    app.serve(net);
                    !app.done(net)
                });
                for index in 0..2 {
                    let report = report(&net, &app, index);
                    assert_eq!((report.outcome, report.restarts), (Some(Ok(())), 0), "{what}");
                }
                assert!(done, "{what}");
                assert_eq!(app.got, [len, len], "{what}");
                // With a secret there is no question at all at which one could aim.
                let asked = matches!(trust.0, SenderTrust::Keys(_)) || when == Outages::Spread;
                assert_eq!(times.get(), if asked { 6 } else { 0 }, "{what}");
                let forged = net.nodes[0].endpoint.forged_replies(app.session);
                assert_eq!(forged > 0, matches!(trust.0, SenderTrust::Secret(_)), "{what}");
            }
        }
    }
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
                plan.send(0, DELAY / 2, unknown(&packet));
            }
            vec![(DELAY, packet)]
        };
        let mut net = net(2, &trust.1, Box::new(path));
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &attacker, "said to be unknown");
        // One may be said to be unknown before it has shown that it is not: then its SYN comes once more.
        // Later there is a question's, at the most once a second.
        assert!(syns.get() <= 6, "{} SYNs", syns.get());
        for n in 1..3 {
            assert_eq!(net.nodes[n].endpoint.accept(), None, "a second session");
        }
    }
}
