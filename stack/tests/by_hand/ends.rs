//! Every way in which a session may end, and that nothing stays behind.

use crate::hand::{App, CONTROL, DELAY, FLAGS, HANDSHAKE, Net, group, source, straight};
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::proto::endpoint::held::Held;
use tcpxm::proto::event::{ControlRead, MemberId};
use tcpxm::proto::time::Instant;
use tcpxm::trust::SenderTrust;

const SECOND: Duration = Duration::from_secs(1);
const LEN: u64 = 300_000;

fn session(net: &mut Net) -> App {
    App::new(net, source(LEN, Delivery::Unordered, Some(group())), LEN)
}

fn lingers(net: &Net) -> bool {
    net.nodes.iter().any(|n| !n.dead && n.endpoint.lingers())
}

/// Nothing is left to be done within `limit`.
fn assert_freed(net: &mut Net, limit: Duration) {
    let quiet = net.run(limit, |net| lingers(net));
    assert!(quiet && !lingers(net), "still lingers {limit:?} later");
    for node in net.nodes.iter().filter(|n| !n.dead) {
        let held = node.endpoint.held();
        assert_eq!(held, Held::default(), "{} did not free all", node.addr);
    }
}

/// Every receiver has got something; both ends hold the session, so that freeing it is a change.
fn established(net: &mut Net, app: &mut App) {
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        app.got.contains(&0)
    }));
    for (n, node) in net.nodes.iter().enumerate() {
        let Held { sessions, receivers, ids, .. } = node.endpoint.held();
        assert_eq!((sessions, receivers), if n == 0 { (1, 0) } else { (0, 1) }, "{}", node.addr);
        assert!(ids > 0, "{}", node.addr);
    }
}

#[test]
fn after_a_verdict() {
    let mut net = Net::new(2, 0, straight());
    let mut app = session(&mut net);
    assert!(app.finish(&mut net, SECOND * 5));
    net.nodes[0].endpoint.forget(net.now, app.session);
    for n in 0..2 {
        net.nodes[n + 1].endpoint.release(net.now, app.ids[n].unwrap());
    }
    assert_freed(&mut net, SECOND);
}

#[test]
fn after_both_gave_up_at_the_same_moment() {
    let mut net = Net::new(2, 0, straight());
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    net.nodes[0].endpoint.forget(net.now, app.session);
    for n in 0..2 {
        net.nodes[n + 1].endpoint.release(net.now, app.ids[n].unwrap());
    }
    assert_freed(&mut net, SECOND * 11);
}

#[test]
fn after_a_reset_that_comes_upon_a_release() {
    let mut net = Net::new(1, 0, straight());
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    net.nodes[1].endpoint.release(net.now, app.ids[0].unwrap());
    // The sender dies in the same moment in which it says so.
    net.nodes[0].endpoint.abort(net.now, app.session, "out of memory");
    net.pump();
    net.nodes[0].dead = true;
    assert_freed(&mut net, SECOND * 11);
}

#[test]
fn after_a_release_before_the_last_actions_were_taken() {
    let mut net = Net::new(1, 0, straight());
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    net.nodes[0].endpoint.abort(net.now, app.session, "enough");
    let id = app.ids[0].unwrap();
    assert!(net.run(SECOND, |net| net.nodes[1].endpoint.closed(id).is_none()));
    net.nodes[1].endpoint.release(net.now, id);
    net.nodes[0].endpoint.forget(net.now, app.session);
    assert_freed(&mut net, SECOND * 11);
}

#[test]
fn after_the_peer_vanished() {
    let mut net = Net::new(2, 0, straight());
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    net.nodes[0].dead = true;
    for n in 0..2 {
        net.nodes[n + 1].endpoint.release(net.now, app.ids[n].unwrap());
    }
    assert_freed(&mut net, SECOND * 71); // the receivers' idle time-out
}

#[test]
fn after_a_session_that_nobody_answered() {
    let mut net = Net::new(1, 0, straight());
    net.nodes[1].dead = true;
    let mut app = session(&mut net);
    assert!(app.finish(&mut net, SECOND * 11));
    net.nodes[0].endpoint.forget(net.now, app.session);
    assert_freed(&mut net, SECOND);
    let app = session(&mut net);
    net.pump();
    net.nodes[0].endpoint.forget(net.now, app.session);
    assert_freed(&mut net, SECOND);
}

/// The receiver's last acknowledgement is lost: the repeated FIN is still answered.
#[test]
fn after_the_last_acknowledgement_was_lost() {
    let over = Rc::new(Cell::new(None::<Instant>));
    let seen = over.clone();
    let mut net = Net::new(
        1,
        0,
        Box::new(move |now, n, packet| {
            // Whatever the receiver says in the round trip after the sender's last FIN.
            let fin = packet.bytes[FLAGS] & 1 != 0 && packet.kind() != HANDSHAKE;
            if n == 1 && fin && packet.kind() == CONTROL && seen.get().is_none() {
                seen.set(Some(now));
            }
            let lost = n == 0 && seen.get().is_some_and(|at| now.since(at) < DELAY * 4);
            if lost { Vec::new() } else { vec![(DELAY, packet)] }
        }),
    );
    let mut app = session(&mut net);
    assert!(app.finish(&mut net, SECOND * 5));
    let id = app.ids[0].unwrap();
    assert!(net.run(SECOND, |net| net.nodes[1].endpoint.closed(id).is_none()));
    net.nodes[1].endpoint.release(net.now, id);
    net.nodes[0].endpoint.forget(net.now, app.session);
    assert_freed(&mut net, SECOND * 3);
    assert!(over.get().is_some());
}

/// The only reset is lost: the other side must learn of the end all the same.
#[test]
fn a_lost_reset_leaves_nobody_waiting() {
    let mut net = Net::new(
        1,
        0,
        Box::new(|_, _, packet| if packet.is_reset() { Vec::new() } else { vec![(DELAY, packet)] }),
    );
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    net.path = {
        let mut lost = false;
        Box::new(move |_, _, packet| {
            let first = packet.is_reset() && !core::mem::replace(&mut lost, true);
            if first { Vec::new() } else { vec![(DELAY, packet)] }
        })
    };
    net.nodes[0].endpoint.abort(net.now, app.session, "enough");
    let id = app.ids[0].unwrap();
    assert!(net.run(SECOND * 30, |net| net.nodes[1].endpoint.closed(id).is_none()));
}

/// Who answers when the beginning of a stream is gone learns so.
#[test]
fn a_member_that_came_too_late_is_told() {
    let mut net = Net::new(
        2,
        0,
        Box::new(|now, n, packet| {
            // The second receiver's answers take two seconds at first.
            let late = n == 0 && packet.from.ip().to_string() == "10.0.0.3";
            let late = late && now.as_nanos() < 1_900_000_000;
            vec![(if late { SECOND * 2 } else { DELAY }, packet)]
        }),
    );
    let config = SessionConfig { content: Content::Stream { ring: 9000 }, ..Default::default() };
    let mut app = App::new(&mut net, config, 1 << 20);
    net.run(SECOND * 3, |net| {
        app.serve(net);
        true
    });
    assert_eq!(app.got[0], 1 << 20);
    // It either never becomes a session there, or ends.
    net.run(SECOND * 30, |net| {
        app.serve(net);
        app.errors[1].is_none()
    });
    assert!(app.ids[1].is_none() || app.errors[1].is_some(), "it waits for ever");
}

/// Private bytes that are read after the verdict was given do not keep it from being heard.
#[test]
fn private_bytes_may_be_read_after_the_verdict() {
    let mut net = Net::new(1, 0, straight());
    let config = SessionConfig { content: Content::Stream { ring: 9000 }, ..Default::default() };
    let mut app = App::new(&mut net, config, 1 << 20);
    let member = MemberId { session: app.session, index: 0 };
    established(&mut net, &mut app);
    let mut left = 60_000;
    net.run(SECOND, |net| {
        let sender = &mut net.nodes[0].endpoint;
        left -= sender.member_write(net.now, member, &vec![7; left]).unwrap_or(left);
        true
    });
    let id = app.ids[0].unwrap();
    let receiver = &mut net.nodes[1].endpoint;
    receiver.close(net.now, id, Err("no".to_owned()));
    net.pump();
    let mut buf = [0; 4096];
    let (mut read, now) = (0, net.now);
    while let Ok(ControlRead::Data(n)) = net.nodes[1].endpoint.control_read(now, id, &mut buf) {
        read += n;
    }
    assert_eq!(read, 60_000);
    let heard = net.run(SECOND * 5, |net| net.nodes[1].endpoint.closed(id).is_none());
    assert!(heard);
    assert_eq!(net.nodes[1].endpoint.closed(id), Some(Ok(())));
}

/// A verdict that claims more than was ever sent is no success.
#[test]
fn a_verdict_before_the_end_is_no_success() {
    let mut net = Net::plain(
        2,
        0,
        Box::new(|_, n, mut packet| {
            let joined = [3, 0, 0];
            let end = packet.bytes.len() - 16;
            if n == 0 && packet.kind() == CONTROL && packet.bytes[..end].ends_with(&joined) {
                let mut forged = vec![6, 0, 33, 0];
                forged.resize(3 + 33, 0);
                packet.bytes.splice(end - 3..end, forged);
            }
            vec![(DELAY, packet)]
        }),
    );
    let len = 100 << 20;
    let config = source(len, Delivery::Unordered, Some(group()));
    let mut app = App::with(&mut net, config, len, SenderTrust::Plaintext);
    app.careless = true;
    net.run(SECOND, |net| {
        app.serve(net);
        !app.done(net)
    });
    let member = MemberId { session: app.session, index: 0 };
    let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
    assert!(app.got[0] < len && report.acked < len);
    assert_ne!(report.outcome, Some(Ok(())), "{report:?}");
}

/// Somebody on the way swallows every FIN: whoever gave up does not wait for ever.
#[test]
fn a_fin_that_never_arrives_does_not_linger_for_ever() {
    let mut net = Net::new(
        1,
        0,
        Box::new(|_, n, packet| {
            let fin = packet.kind() != HANDSHAKE && packet.bytes[FLAGS] & 1 != 0;
            if n == 1 && fin { Vec::new() } else { vec![(DELAY, packet)] }
        }),
    );
    let mut app = session(&mut net);
    established(&mut net, &mut app);
    let id = app.ids[0].unwrap();
    net.nodes[1].endpoint.close(net.now, id, Err("enough".to_owned()));
    assert!(app.finish(&mut net, SECOND));
    net.nodes[0].endpoint.forget(net.now, app.session);
    net.nodes[1].endpoint.release(net.now, id);
    assert_freed(&mut net, SECOND * 12);
}
