//! Keys that are taken back while their sessions run, and members that are shut out of the group.

use super::insider::with_insider;
use super::{SECOND, Sort, addr, by_secret, end, group_source, identity, net, secret};
use crate::hand::{App, DELAY, Net, Packet, outcome, straight};
use core::time::Duration;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tcpxm::config::{Content, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::held::Held;
use tcpxm::proto::event::{MemberId, ReadOutcome, ReceiverId, SessionId, SessionState, Stranger};
use tcpxm::stats::Mode;
use tcpxm::trust::{ListenKeys, ListenTrust, SenderKeys, SenderTrust};

fn keys_of(of: u8) -> SenderTrust {
    let known = [].into_iter().collect();
    SenderTrust::Keys(SenderKeys { identity: identity(of), known, strict: false })
}

fn authorized(of: &[u8]) -> ListenTrust {
    let authorized = of.iter().map(|of| identity(*of).public()).collect();
    ListenTrust::Keys(ListenKeys { identity: identity(99), authorized, refused: BTreeMap::new() })
}

/// Two senders to one receiver, the last node, each by its trust; both are under way.
fn two_sessions(
    trusts: [SenderTrust; 2],
    listen: &ListenTrust,
) -> (Net, [SessionId; 2], [ReceiverId; 2]) {
    let ends = (0..3).map(|n| {
        let (addr, endpoint) = end(n, 0, listen);
        (addr, endpoint)
    });
    let mut net = Net::of(ends, straight());
    let mut n = 0;
    let sessions = trusts.map(|trust| {
        let config =
            SessionConfig { content: Content::Stream { ring: 1 << 16 }, ..Default::default() };
        let now = net.now;
        let session = net.nodes[n].endpoint.connect(now, config, trust, &[addr(2)]).unwrap();
        n += 1;
        session
    });
    let mut ids = Vec::new();
    assert!(net.run(SECOND, |net| {
        write(net, sessions);
        ids.extend(net.nodes[2].endpoint.accept());
        ids.len() < 2
    }));
    ids.sort_by_key(|id| net.nodes[2].endpoint.peer(*id));
    assert_eq!(net.nodes[2].endpoint.peer(ids[0]), Some(addr(0)));
    (net, sessions, [ids[0], ids[1]])
}

fn write(net: &mut Net, sessions: [SessionId; 2]) {
    let now = net.now;
    for (n, session) in sessions.into_iter().enumerate() {
        net.nodes[n].endpoint.write(now, session, &[7; 1000]);
    }
}

/// Bytes that come to a session within a while; `Err` if it is over.
fn goes_on(net: &mut Net, sessions: [SessionId; 2], id: ReceiverId) -> Result<usize, Reason> {
    let (mut got, begin) = (0, net.now);
    let mut over = None;
    net.run(SECOND, |net| {
        write(net, sessions);
        let (now, mut buf) = (net.now, [0; 9000]);
        loop {
            match net.nodes[2].endpoint.read(now, id, &mut buf) {
                Ok(ReadOutcome::Data { len, .. }) => got += len,
                Ok(_) => break,
                Err(why) => {
                    over = Some(why);
                    break;
                }
            }
        }
        over.is_none() && net.now.since(begin) < SECOND / 4
    });
    over.map_or(Ok(got), Err)
}

fn ended(net: &Net, n: usize, session: SessionId) -> Option<Result<(), Reason>> {
    net.nodes[n].endpoint.report(net.now, MemberId { session, index: 0 })?.outcome
}

/// The first session ends at both ends, with the reason; the second goes on.
fn assert_revoked(trusts: [SenderTrust; 2], before: &ListenTrust, after: ListenTrust, why: &str) {
    let (mut net, sessions, ids) = two_sessions(trusts, before);
    let now = net.now;
    net.nodes[2].endpoint.set_trust(now, after);
    let over = goes_on(&mut net, sessions, ids[0]);
    let Err(Reason::Cancelled(here)) = over else { panic!("it goes on: {over:?}") };
    assert!(here.contains(why), "{here}");
    let told = ended(&net, 0, sessions[0]);
    assert_eq!(told, None, "it is told by a datagram, not by magic");
    net.run(SECOND, |net| ended(net, 0, sessions[0]).is_none());
    assert_eq!(ended(&net, 0, sessions[0]), Some(Err(Reason::Aborted(here))));
    assert!(net.now.since(now) < SECOND / 2);
    let got = goes_on(&mut net, sessions, ids[1]).unwrap();
    assert!(got > 10_000, "the other session goes on: {got} bytes");
    assert_eq!(ended(&net, 1, sessions[1]), None);
}

#[test]
fn a_key_that_is_taken_back_ends_its_session_and_no_other() {
    assert_revoked(
        [keys_of(1), keys_of(2)],
        &authorized(&[1, 2]),
        authorized(&[2]),
        &identity(1).public().fingerprint(),
    );
}

#[test]
fn a_secret_that_is_taken_back_ends_its_sessions_and_no_others() {
    assert_revoked(
        [SenderTrust::Secret(secret("a")), SenderTrust::Secret(secret("b"))],
        &ListenTrust::Secret(vec![secret("a"), secret("b")]),
        ListenTrust::Secret(vec![secret("b")]),
        "the secret that it came with is not valid any more",
    );
}

/// It may not come again either; the other may.
#[test]
fn what_was_taken_back_opens_nothing_any_more() {
    let mut net = net(1, &authorized(&[1, 2]), straight());
    let now = net.now;
    net.nodes[1].endpoint.set_trust(now, authorized(&[2]));
    for (of, allowed) in [(1, false), (2, true)] {
        let len = 50_000;
        let config = SessionConfig { connect_timeout: SECOND, ..group_source(len) };
        let mut app = App::with(&mut net, config, len, keys_of(of));
        app.finish(&mut net, SECOND * 3);
        assert_eq!(outcome(&net, &app, 0) == Some(Ok(())), allowed);
    }
}

#[test]
fn a_key_that_is_not_authorized_is_told_so_and_nobody_accepts_it() {
    let mut net = net(1, &authorized(&[2]), straight());
    let mut app = App::with(&mut net, group_source(1000), 1000, keys_of(1));
    assert!(app.finish(&mut net, SECOND));
    let Some(Err(Reason::Aborted(why))) = outcome(&net, &app, 0) else {
        panic!("{:?}", outcome(&net, &app, 0))
    };
    assert!(why.contains(&identity(1).public().fingerprint()), "{why}");
    assert_eq!((app.ids[0], net.nodes[1].endpoint.accept()), (None, None));
    let stranger = Stranger::Key { from: addr(0), key: Some(identity(1).public()) };
    assert_eq!(net.nodes[1].endpoint.next_stranger(), Some(stranger));
    net.nodes[0].endpoint.forget(net.now, app.session);
    assert!(net.run(SECOND * 30, |net| net.nodes.iter().any(|n| n.endpoint.lingers())));
    assert_eq!(net.nodes[1].endpoint.held(), Held::default(), "something is kept of it");
}

/// A session that lasts while something is done to it.
fn at_60_mbit(len: u64) -> SessionConfig {
    SessionConfig { rate: Some(60_000_000), ..group_source(len) }
}

#[test]
fn who_is_shut_out_cannot_open_what_comes_after_the_change_of_key() {
    let len = 30 << 20;
    for excluded in [true, false] {
        let (mut net, mut app, insider) = with_insider(at_60_mbit(len), len);
        let until = |net: &mut Net, app: &mut App, limit: Duration| {
            let begin = net.now;
            net.run(limit * 2, |net| {
                app.feed(net);
                (0..2).for_each(|n| app.take_at(net, n));
                net.now.since(begin) < limit && !app.done(net)
            });
        };
        until(&mut net, &mut app, SECOND * 3 / 2);
        assert!(insider.borrow().opens_all(), "an insider opens what comes to the group");
        assert!(insider.borrow().heard() > 100);
        let member = MemberId { session: app.session, index: 2 };
        let now = net.now;
        if excluded {
            net.nodes[0].endpoint.exclude(now, member, "its key was stolen");
        } else {
            net.nodes[0].endpoint.drop_member(now, member, "it is slow");
        }
        let why = if excluded { "its key was stolen" } else { "it is slow" };
        assert_eq!(outcome(&net, &app, 2), Some(Err(Reason::Cancelled(why.to_owned()))));
        // Half a second is more than the others take to acknowledge a key.
        until(&mut net, &mut app, SECOND / 2);
        insider.borrow_mut().forget_heard();
        until(&mut net, &mut app, SECOND / 2);
        assert!(insider.borrow().heard() > 100, "the group goes on");
        let (opened, heard) = (insider.borrow().opened(), insider.borrow().heard());
        assert_eq!(opened, if excluded { 0 } else { heard }, "of {heard}");
        let begin = net.now;
        until(&mut net, &mut app, SECOND * 20);
        assert_eq!(net.nodes[0].endpoint.session_state(app.session), SessionState::Done);
        assert!((0..2).all(|n| outcome(&net, &app, n) == Some(Ok(()))), "the others get it all");
        assert_eq!(app.got[..2], [len, len], "{:?}", net.now.since(begin));
    }
}

/// The group is still being tried when somebody is shut out, and the new key is lost on its way to one: what
/// goes to the group meanwhile is sealed with the key that they have.
#[test]
fn a_change_of_key_does_not_spoil_the_trial() {
    let (far, trust, len) = (Duration::from_millis(50), by_secret("s"), 20 << 20);
    let lose = Rc::new(Cell::new(false));
    let loses = lose.clone();
    let path = move |_, n, packet: Packet| {
        let struck = n == 1 && Sort::of(&packet) == Sort::Control && loses.take();
        if struck { Vec::new() } else { vec![(far, packet)] }
    };
    let mut net = net(4, &trust.1, Box::new(path));
    net.nodes[4].dead = true; // so that the others wait for it, and begin when a key may be replaced
    let begin = net.now;
    let config = at_60_mbit(len);
    let start = far * 2 + config.start_wait;
    let mut app = App::with(&mut net, config, len, trust.0.clone());
    let session = app.session;
    let mut excluded = false;
    net.run(SECOND * 4, |net| {
        app.serve(net);
        if net.now.since(begin) >= SECOND && !excluded {
            excluded = true;
            lose.set(true);
            let member = MemberId { session, index: 2 };
            net.nodes[0].endpoint.exclude(net.now, member, "its key was stolen");
        }
        net.now.since(begin) < SECOND * 2
    });
    assert!(!lose.get(), "nothing was lost");
    for index in [0, 1] {
        let report = net.nodes[0].endpoint.report(net.now, MemberId { session, index }).unwrap();
        let first = report.transitions.first().unwrap();
        // A round trip, and what an acknowledgement may wait.
        let soon = start + far * 2 + Duration::from_millis(60);
        assert!(first.mode == Mode::Multicast && first.at < soon, "{index}: {first:?}, {soon:?}");
        assert_eq!(report.mode, Mode::Multicast, "{index}: {:?}", report.transitions);
    }
}

/// What was sealed with a key before the change, or is sealed with it by who was shut out, is not taken when
/// the overlap is over: another body would be read by all, if it were.
#[test]
fn a_stale_key_of_the_group_opens_nothing() {
    let len = 20 << 20;
    let (mut net, mut app, insider) = with_insider(at_60_mbit(len), len);
    let (mut shut_out, mut forged) = (None, 0);
    let done = net.run(SECOND * 20, |net| {
        app.feed(net);
        (0..2).for_each(|n| app.take_at(net, n));
        let at = *shut_out.get_or_insert(net.now + SECOND * 3 / 2);
        let member = MemberId { session: app.session, index: 2 };
        if outcome(net, &app, 2).is_none() && net.now > at {
            let now = net.now;
            net.nodes[0].endpoint.exclude(now, member, "its key was stolen");
        }
        if net.now > at + SECOND && !app.done(net) {
            let forgery = insider.borrow().forge(100_000, 100, &[0; 500]);
            let packets = (1..3).filter_map(|n| Some((n, forgery.clone()?)));
            for (n, packet) in packets {
                forged += 1;
                net.fly(n, DELAY, packet);
            }
        }
        !app.done(net)
    });
    assert!(done && forged > 100, "{forged} forged");
    assert!((0..2).all(|n| outcome(&net, &app, n) == Some(Ok(()))));
    assert_eq!(app.got[..2], [len, len]);
}

/// The same secret in two places is one; nobody is shut out by its being read anew.
#[test]
fn the_same_trust_once_more_ends_nothing() {
    let trust = ListenTrust::Secret(vec![secret("a"), secret("b")]);
    let senders = ["a", "b"].map(|of| SenderTrust::Secret(Arc::clone(&secret(of))));
    let (mut net, sessions, ids) = two_sessions(senders, &trust);
    let now = net.now;
    net.nodes[2].endpoint.set_trust(now, ListenTrust::Secret(vec![secret("b"), secret("a")]));
    for id in ids {
        assert!(goes_on(&mut net, sessions, id).unwrap() > 10_000);
    }
}
