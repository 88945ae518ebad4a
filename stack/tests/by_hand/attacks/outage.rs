//! Packet numbers: an outage of any length, numbers that nobody sent, and the group's next key in time.

use super::insider::{Insider, with_insider};
use super::{SECOND, Sort, addr, by_secret, group_source, net};
use crate::hand::{App, DELAY, Net, Packet, outcome};
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::SessionConfig;
use tcpxm::proto::event::MemberId;
use tcpxm::stats::Mode;

/// More packets than a receiver takes unheard of.
const AHEAD: u32 = 1 << 16;
const MANY: u32 = AHEAD + AHEAD / 8;

/// How a member is served.
fn by_group(net: &Net, app: &App, index: usize) -> Mode {
    let member = MemberId { session: app.session, index };
    net.nodes[0].endpoint.report(net.now, member).unwrap().mode
}

/// What is cut off, and what is counted meanwhile.
#[derive(Clone, Default)]
struct Cut {
    on: Rc<Cell<bool>>,
    /// Datagrams to the group that the first receiver got meanwhile.
    missed: Rc<Cell<u32>>,
    /// Datagrams of the group that the third got.
    heard: Rc<Cell<u32>>,
}

/// The third of three receivers misses many packets of the group: all that comes by the group, or everything.
fn outage(total: bool) {
    let trust = by_secret("s");
    let cut = Cut::default();
    let mut net = net(3, &trust.1, {
        let Cut { on, missed, heard } = cut.clone();
        Box::new(move |_, n, packet: Packet| {
            let group = Sort::of(&packet) == Sort::Group;
            if on.get() && group && n == 1 {
                missed.set(missed.get() + 1);
            }
            let third = n == 3 || packet.from == addr(3);
            if on.get() && third && (group || total) {
                return Vec::new();
            }
            if n == 3 && group {
                heard.set(heard.get() + 1);
            }
            vec![(DELAY, packet)]
        })
    });
    // Longer than all this takes, in short segments, which are more.
    let len = 1 << 30;
    let config = SessionConfig {
        mtu: 0,
        rate: Some(600_000_000),
        idle_timeout: SECOND * 60,
        ..group_source(len)
    };
    let mut app = App::with(&mut net, config, len, trust.0.clone());
    let going = |app: &mut App, net: &mut Net, while_so: &dyn Fn(&Net, &App) -> bool| {
        net.run(SECOND * 12, |net| {
            app.serve(net);
            assert!(!app.done(net), "it is over: {:?}", app.got);
            while_so(net, app)
        })
    };
    assert!(going(&mut app, &mut net, &|net, app| by_group(net, app, 2) != Mode::Multicast));
    cut.on.set(true);
    assert!(going(&mut app, &mut net, &|_, _| cut.missed.get() < MANY));
    assert_ne!(by_group(&net, &app, 2), Mode::Multicast, "it is not served by what it misses");
    cut.on.set(false);
    let heard = |net: &Net, app: &App| net.nodes[3].endpoint.arrived(app.ids[2].unwrap()).multicast;
    let before = heard(&net, &app);
    let back = going(&mut app, &mut net, &|net, app| by_group(net, app, 2) != Mode::Multicast);
    assert!(back, "it stays deaf: {} packets came by", cut.heard.get());
    // And what comes by the group is all that comes.
    assert!(going(&mut app, &mut net, &|net, app| heard(net, app) < before + (10 << 20)));
}

#[test]
fn who_was_deaf_to_the_group_for_long_hears_it_again() {
    outage(false);
}

#[test]
fn who_was_cut_off_for_long_hears_the_group_again() {
    outage(true);
}

/// In so many turns an insider forges.
const TURNS: u64 = 50;

/// A member that holds the group's key makes up packets in each turn from some time on. The others get it
/// all, most of it by the group.
fn insider_forges(what: &str, forge: impl Fn(&Insider, u64) -> Vec<Packet>) {
    let len = 12 << 20;
    let (mut net, mut app, insider) = with_insider(group_source(len), len);
    let mut forged = 0;
    let done = net.run(SECOND * 20, |net| {
        app.feed(net);
        (0..2).for_each(|n| app.take_at(net, n));
        if insider.borrow().heard() > 50 && forged < TURNS {
            for forgery in forge(&insider.borrow(), forged) {
                (1..3).for_each(|n| net.fly(n, DELAY / 2, forgery.clone()));
            }
            forged += 1;
        }
        (0..2).any(|n| outcome(net, &app, n).is_none())
    });
    assert!(done && forged > TURNS / 2, "{what}: forged in {forged} turns");
    for n in 0..2 {
        assert_eq!(outcome(&net, &app, n), Some(Ok(())));
        let endpoint = &net.nodes[n + 1].endpoint;
        let multicast = endpoint.arrived(app.ids[n].unwrap()).multicast;
        assert!(multicast > len / 2, "{what}: {multicast} of {len} by the group");
    }
    assert!(net.now.since(tcpxm::proto::time::Instant::from_nanos(1)) < Duration::from_secs(10));
}

/// A number far ahead is not believed, so nobody becomes deaf to the numbers that come.
#[test]
fn an_insiders_number_far_ahead_makes_nobody_deaf() {
    for ahead in
        [u64::from(AHEAD) * 2, 1 << 20, (1 << 31) - 5000, (1 << 31) + 5000, u32::MAX.into()]
    {
        let forge = |insider: &Insider, _| vec![insider.forge(0, ahead, &[]).unwrap()];
        insider_forges(&ahead.to_string(), forge);
    }
}

/// Each number is half as far ahead of the one before as is believed: more of them than a receiver
/// remembers would have it forget, and count as seen, all that come.
#[test]
fn an_insider_that_walks_the_numbers_ahead_makes_nobody_deaf() {
    let (step, each) = (u64::from(AHEAD) / 2, 100);
    insider_forges("step by step", |insider, turn| {
        let numbers = (turn * each + 1..=(turn + 1) * each).map(|n| n * step);
        numbers.map(|ahead| insider.forge(0, ahead, &[]).unwrap()).collect()
    });
}
