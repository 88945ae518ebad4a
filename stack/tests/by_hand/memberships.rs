//! A group that a switch no longer brings to a receiver, until that reports its membership again.

use crate::hand::{App, DELAY, GROUP, Net, Packet, group, outcome, source};
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::Delivery;
use tcpxm::proto::event::MemberId;
use tcpxm::stats::Mode;

const LEN: u64 = 8 << 20;

/// Group datagrams to the receivers at these nodes vanish while `forgotten` says so.
fn forgetful(nodes: &'static [usize], forgotten: &Rc<Cell<bool>>) -> crate::hand::Path {
    let forgotten = Rc::clone(forgotten);
    Box::new(move |_, n, packet: Packet| {
        let lost = packet.kind() == GROUP && nodes.contains(&n) && forgotten.get();
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    })
}

/// A copy in whose middle the switch forgets these nodes: the modes that the first receiver went through, and for how
/// long it was forgotten.
fn forgets(nodes: &'static [usize]) -> (Vec<Mode>, Duration) {
    let forgotten = Rc::new(Cell::new(false));
    let mut net = Net::new(3, 7, forgetful(nodes, &forgotten));
    let mut config = source(LEN, Delivery::Unordered, Some(group()));
    config.rate = Some(20_000_000); // 3.4 s
    let mut app = App::new(&mut net, config, LEN);
    let mut began = None;
    let done = net.run(Duration::from_secs(60), |net| {
        app.serve(net);
        if began.is_none() && app.got[0] > LEN / 4 {
            began = Some((net.now, None));
            forgotten.set(true);
        }
        // All that were forgotten have reported.
        if let Some((_, end @ None)) = &mut began
            && nodes.iter().all(|n| net.nodes[*n].refreshed)
        {
            *end = Some(net.now);
            forgotten.set(false);
        }
        !app.done(net)
    });
    assert!(done && (0..3).all(|n| outcome(&net, &app, n) == Some(Ok(()))));
    let member = MemberId { session: app.session, index: 0 };
    let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
    let (from, to) = began.unwrap();
    let lasted = to.expect("the membership is reported").since(from);
    (report.transitions.iter().map(|t| t.mode).collect(), lasted)
}

#[test]
fn one_that_is_forgotten_reports_and_stays_in_the_group() {
    let (modes, lasted) = forgets(&[1]);
    assert_eq!(modes, [Mode::Multicast, Mode::Gone]);
    assert!((300..450).contains(&lasted.as_millis()), "{lasted:?}");
}

#[test]
fn so_do_all_at_once() {
    let (modes, lasted) = forgets(&[1, 2, 3]);
    assert_eq!(modes, [Mode::Multicast, Mode::Gone]);
    assert!((300..450).contains(&lasted.as_millis()), "{lasted:?}");
}

/// A link that comes back is told by the driver, whatever else is heard.
#[test]
fn a_link_that_comes_back_has_it_reported_at_once() {
    let mut net = Net::new(2, 7, crate::hand::straight());
    let config = source(LEN, Delivery::Unordered, Some(group()));
    let mut app = App::new(&mut net, config, LEN);
    let all_in = |app: &App| app.got.iter().all(|got| *got > 0);
    assert!(net.run(Duration::from_secs(9), |net| {
        app.serve(net);
        !all_in(&app)
    }));
    assert!(!net.nodes[1].refreshed);
    let receiver = app.ids[0].unwrap();
    let now = net.now;
    net.nodes[1].endpoint.handle_link(now, receiver);
    net.pump();
    assert!(net.nodes[1].refreshed && net.nodes[1].joined && !net.nodes[2].refreshed);
    assert!(app.finish(&mut net, Duration::from_secs(60)));
}
