//! What might hold a session up for ever, or grow for ever.

use crate::hand::{self, App, DELAY, GROUP, Net, group, outcome, small, source, straight};
use crate::seeds;
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::event::{MemberId, ReadOutcome};
use tcpxm::proto::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A stream whose group packets come late to all, now and then one of them by a round trip: what
/// was to be repaired arrives, and is given up by the ring, before its repair may leave.
#[test]
fn a_ring_goes_on_when_a_repair_is_not_needed_any_more() {
    seeds::each("a_ring_goes_on", 0..40, |seed| {
        let (mut dice, mut late) = (seed as u32, 0);
        let path = move |_, n, packet: hand::Packet| {
            if packet.kind() == GROUP && n == 1 {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                late = if (dice >> 16) % 100 < 2 { (dice >> 24) % 40 } else { 0 };
            }
            let times = if packet.kind() == GROUP { 10 + late } else { 10 };
            vec![(DELAY * times, packet)]
        };
        let mut net = Net::new(2, 0, Box::new(path));
        let content = Content::Stream { ring: 8 << 20 };
        let config = SessionConfig { content, group: Some(group()), ..Default::default() };
        let mut app = App::new(&mut net, config, 8 << 20);
        assert!(app.finish(&mut net, SECOND * 60), "got {:?}", app.got);
    });
}

/// A receiver remembers what it sent only until it cannot matter any more.
#[test]
fn a_receiver_does_not_collect_its_own_acknowledgements() {
    let mut net = Net::new(1, 0, straight());
    // So that it takes some thousand round trips.
    small(&mut net, 1, 1 << 16);
    let len = 64 << 20;
    let mut app = App::new(&mut net, source(len, Delivery::Unordered, None), len);
    let (mut most, mut turns) = (0, 0);
    let done = net.run(SECOND * 60, |net| {
        app.serve(net);
        turns += 1;
        most = most.max(net.nodes[1].endpoint.held().datagrams);
        !app.done(net)
    });
    assert!(done && turns > 1000, "{turns} turns");
    assert!((1..600).contains(&most), "{most} datagrams remembered of {turns} turns");
}

/// A member that hears the group badly, is served by unicast and dies, holds nobody.
#[test]
fn the_death_of_a_member_in_trial_holds_nobody() {
    seeds::each("the_death_of_a_member", 0..1, |seed| {
        let mut count = seed as u32;
        let path = move |_, n, packet: hand::Packet| {
            count = count.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let lost = n == 3 && packet.kind() == GROUP && (count >> 16) % 100 < 25;
            if lost { Vec::new() } else { vec![(DELAY, packet)] }
        };
        let mut net = Net::new(3, 0, Box::new(path));
        let len = 130 << 20;
        let mut app = App::new(&mut net, source(len, Delivery::Unordered, Some(group())), len);
        let (mut last, mut longest, mut before) = (net.now, Duration::ZERO, 0);
        net.run(SECOND * 60, |net| {
            app.serve(net);
            net.nodes[3].dead |= app.got[0] > 20 << 20;
            if app.got[0] > before {
                longest = longest.max(net.now.since(last));
                (last, before) = (net.now, app.got[0]);
            }
            app.got[0] < len || app.got[1] < len
        });
        assert!(net.nodes[3].dead);
        assert_eq!((app.got[0], app.got[1]), (len, len));
        assert!(longest < SECOND, "held for {longest:?}");
    });
}

/// A path that swallows long datagrams without a word ends or is found out, and holds nobody.
#[test]
fn a_path_that_swallows_long_datagrams_is_not_tried_for_ever() {
    let mut net = Net::new(
        2,
        0,
        Box::new(|_, n, packet| {
            let lost = n == 2 && packet.bytes.len() > 1300;
            if lost { Vec::new() } else { vec![(DELAY, packet)] }
        }),
    );
    let content = Content::Stream { ring: 1 << 16 };
    let config = SessionConfig { content, group: Some(group()), ..Default::default() };
    let mut app = App::new(&mut net, config, 1 << 20);
    let done = app.finish(&mut net, SECOND * 60);
    assert!(done, "got {:?}", app.got);
}

/// An outage is no black hole: afterwards segments are as long as before.
#[test]
fn an_outage_does_not_shorten_segments() {
    for ms in [300, 700, 1200, 3000] {
        let start = Instant::from_nanos(1) + Duration::from_millis(20);
        let up = start + Duration::from_millis(ms);
        let late = Rc::new(Cell::new((0, 0)));
        let seen = late.clone();
        let path = move |now: Instant, n: usize, packet: hand::Packet| {
            let (long, short) = seen.get();
            match packet.bytes.len() {
                1301.. if now > up => seen.set((long + 1, short)),
                1001..=1300 if now > up => seen.set((long, short + 1)),
                _ => {}
            }
            let lost = n == 2 && now >= start && now < up;
            if lost { Vec::new() } else { vec![(DELAY, packet)] }
        };
        let mut net = Net::new(2, 0, Box::new(path));
        // At this rate the outage falls into the session.
        let rate = Some(40_000_000);
        let config = SessionConfig { rate, ..source(20 << 20, Delivery::Unordered, None) };
        let mut app = App::new(&mut net, config, 20 << 20);
        assert!(app.finish(&mut net, SECOND * 120));
        let (long, short) = late.get();
        assert!(long > 50 * short, "{ms} ms: {long} long ones and {short} short ones after it");
    }
}

/// The window opens again, and the sender is not told: it asks.
#[test]
fn a_lost_window_update_costs_a_time_out_and_no_more() {
    for group in [None, Some(group())] {
        let losing = Rc::new(Cell::new(false));
        let lost = losing.clone();
        let path = move |_, n, packet: hand::Packet| {
            if n == 0 && lost.get() { Vec::new() } else { vec![(DELAY, packet)] }
        };
        let mut net = Net::new(1, 0, Box::new(path));
        small(&mut net, 1, 1 << 18);
        let len = 16 << 20;
        let mut app = App::new(&mut net, source(len, Delivery::Ordered, group), len);
        // Nobody reads until the window is closed and all is quiet.
        net.run(SECOND / 2, |net| {
            app.feed(net);
            true
        });
        assert!(app.got[0] == 0);
        losing.set(true);
        let closed = net.now;
        app.serve(&mut net);
        net.run(Duration::from_millis(100), |_| true);
        losing.set(false);
        let mut opened = None;
        net.run(SECOND * 20, |net| {
            let before = app.got[0];
            app.serve(net);
            if app.got[0] > before && opened.is_none() {
                opened = Some(net.now);
            }
            !app.done(net)
        });
        let waited = opened.unwrap().since(closed);
        assert!(waited < SECOND, "{waited:?}, group {}", group.is_some());
        assert_eq!(app.got[0], len);
    }
}

/// Control passes, data never does: that is found, and does not take for ever.
#[test]
fn a_member_that_gets_no_byte_is_given_up() {
    for group in [None, Some(group())] {
        let path = |_, n, packet: hand::Packet| {
            let lost = n == 2 && packet.kind() != hand::CONTROL && packet.kind() != hand::HANDSHAKE;
            if lost { Vec::new() } else { vec![(DELAY, packet)] }
        };
        let mut net = Net::new(2, 0, Box::new(path));
        let mut app = App::new(&mut net, source(1 << 20, Delivery::Unordered, group), 1 << 20);
        assert!(app.finish(&mut net, SECOND * 30), "{group:?}");
        let member = |index| MemberId { session: app.session, index };
        let outcome = |index| net.nodes[0].endpoint.report(net.now, member(index)).unwrap().outcome;
        assert_eq!(outcome(0), Some(Ok(())));
        assert!(matches!(outcome(1), Some(Err(Reason::Stalled(_)))), "{:?}", outcome(1));
    }
}

/// It has everything, takes more back than its buffer holds, and its application reads nothing for a
/// long time: what comes again is refused, below the edge that was told, and that is no failure.
#[test]
fn one_that_takes_back_more_than_it_has_room_for_may_pause() {
    for (receivers, group) in [(1, None), (2, Some(group()))] {
        let mut net = Net::new(receivers, 0, straight());
        (1..=receivers).for_each(|n| small(&mut net, n, 256 << 10));
        let len = 2 << 20;
        let mut app = App::new(&mut net, source(len, Delivery::Unordered, group), len);
        app.careless = true;
        let mut buf = vec![0; 1 << 16];
        // Read up to the end, and no verdict given.
        let mut read = |net: &mut Net, app: &mut App| {
            let (now, endpoint) = (net.now, &mut net.nodes[1].endpoint);
            app.ids[0] = app.ids[0].or_else(|| endpoint.accept());
            let Some(id) = app.ids[0] else { return false };
            loop {
                match endpoint.read(now, id, &mut buf).unwrap() {
                    ReadOutcome::Data { len, .. } => app.got[0] += len as u64,
                    ReadOutcome::Empty => return false,
                    ReadOutcome::End { .. } => return true,
                }
            }
        };
        let serve = |net: &mut Net, app: &mut App| {
            app.feed(net);
            (1..receivers).for_each(|n| app.take_at(net, n));
        };
        assert!(net.run(SECOND * 20, |net| {
            serve(net, &mut app);
            !read(net, &mut app)
        }));
        let (now, id) = (net.now, app.ids[0].unwrap());
        net.nodes[1].endpoint.again(now, id, 0..1 << 20).unwrap();
        let until = net.now + SECOND * 60;
        net.run(SECOND * 61, |net| {
            serve(net, &mut app);
            net.now < until
        });
        assert_eq!(outcome(&net, &app, 0), None, "{receivers}: it only pauses");
        let woken = net.now;
        assert!(net.run(SECOND * 60, |net| {
            serve(net, &mut app);
            !read(net, &mut app)
        }));
        let took = net.now.since(woken);
        assert!(took < SECOND * 10, "{receivers}: {took:?} for the rest");
        let now = net.now;
        net.nodes[1].endpoint.close(now, id, Ok(()));
        assert!(net.run(SECOND * 20, |net| {
            serve(net, &mut app);
            !app.done(net)
        }));
        assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
        assert_eq!(app.got[0], len + (1 << 20));
    }
}

/// A receiver that was given up, since nothing was heard of it, learns that when it is heard again.
#[test]
fn who_was_given_up_as_silent_learns_it() {
    let start = Instant::from_nanos(1) + Duration::from_millis(20);
    let up = start + Duration::from_millis(10_500);
    let second = "10.0.0.3:8737".parse().unwrap();
    let path = move |now: Instant, n, packet: hand::Packet| {
        let lost = n == 0 && packet.from == second && now >= start && now < up;
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(2, 0, Box::new(path));
    // At this rate the silence falls into the session.
    let config =
        SessionConfig { rate: Some(200_000_000), ..source(60 << 20, Delivery::Unordered, None) };
    let mut app = App::new(&mut net, config, 60 << 20);
    let told = net.run(SECOND * 60, |net| {
        app.serve(net);
        app.ids[1].is_none_or(|id| net.nodes[2].endpoint.closed(id).is_none())
    });
    assert!(told, "{:?} at {:?}", app.got, net.now);
    let closed = net.nodes[2].endpoint.closed(app.ids[1].unwrap());
    assert!(matches!(closed, Some(Err(Reason::Aborted(_)))), "{closed:?}");
}

/// A receiver chooses its buffer: one that holds less than the trial's burst hangs nobody.
#[test]
fn a_buffer_smaller_than_the_first_burst_is_enough() {
    for receivers in [1, 2] {
        for kib in [48, 88] {
            let mut net = Net::new(receivers, 0, straight());
            (1..=receivers).for_each(|n| small(&mut net, n, kib << 10));
            let content = Content::Stream { ring: 1 << 20 };
            let config = SessionConfig { content, group: Some(group()), ..Default::default() };
            let mut app = App::new(&mut net, config, 8 << 20);
            assert!(app.finish(&mut net, SECOND * 60), "{receivers}, {kib} KiB: {:?}", app.got);
        }
    }
}

/// Both follow the group where the hindmost stands, and the hindmost leaves.
#[test]
fn the_leader_goes_on_when_the_hindmost_is_dropped() {
    let start = Instant::from_nanos(1);
    let (cut, back) = (start + SECOND * 3 / 10, start + SECOND * 3);
    let path = move |now: Instant, _, packet: hand::Packet| {
        let lost = packet.kind() == GROUP && now >= cut && now < back;
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(2, 0, Box::new(path));
    (1..=2).for_each(|n| small(&mut net, n, 256 << 10));
    let content = Content::Stream { ring: 4 << 20 };
    let rate = Some(20_000_000);
    let config = SessionConfig { content, group: Some(group()), rate, ..Default::default() };
    let len = 16 << 20;
    let mut app = App::new(&mut net, config, len);
    let mut dropped = false;
    let done = net.run(SECOND * 60, |net| {
        app.feed(net);
        app.take_at(net, 0);
        // The second one's application reads nothing from the cut until the group is back.
        if net.now < cut + SECOND / 10 || net.now > back + SECOND * 3 / 10 {
            app.take_at(net, 1);
        }
        if !dropped && net.now > back + SECOND {
            dropped = true;
            let second = MemberId { session: app.session, index: 1 };
            net.nodes[0].endpoint.drop_member(net.now, second, "slow");
        }
        !app.done(net)
    });
    assert!(done, "{:?}", app.got);
    assert_eq!(outcome(&net, &app, 0), Some(Ok(())));
}

/// A receiver whose application rests, with a hole that it has no room to fill, is only slow.
#[test]
fn who_reads_slowly_is_not_given_up() {
    for group in [None, Some(group())] {
        let mut count = 0;
        let path = move |_, n, packet: hand::Packet| {
            if n == 2 && packet.bytes.len() > 1300 {
                count += 1;
                if count % 37 == 0 {
                    return Vec::new();
                }
            }
            vec![(DELAY, packet)]
        };
        let mut net = Net::new(2, 0, Box::new(path));
        (1..=2).for_each(|n| small(&mut net, n, 1 << 20));
        let len = 16 << 20;
        let mut app = App::new(&mut net, source(len, Delivery::Unordered, group), len);
        let rest = Instant::from_nanos(1) + SECOND * 3 / 50;
        let done = net.run(SECOND * 90, |net| {
            app.feed(net);
            app.take_at(net, 0);
            if net.now < rest || net.now > rest + SECOND * 25 {
                app.take_at(net, 1);
            }
            !app.done(net)
        });
        assert!(done);
        assert_eq!(outcome(&net, &app, 1), Some(Ok(())), "group {}", group.is_some());
    }
}

/// A session's own slowness ends nobody.
#[test]
fn what_waits_for_a_low_rate_is_not_stalled() {
    let mut lost = false;
    let path = move |_, n, packet: hand::Packet| {
        if n == 2 && packet.bytes.len() > 1300 && !lost {
            lost = true;
            return Vec::new();
        }
        vec![(DELAY, packet)]
    };
    let mut net = Net::new(60, 0, Box::new(path));
    let len = 8 << 10;
    let config = SessionConfig { rate: Some(60_000), ..source(len, Delivery::Unordered, None) };
    let mut app = App::new(&mut net, config, len);
    assert!(app.finish(&mut net, SECOND * 600));
    let bad: Vec<_> = (0..60).filter(|i| outcome(&net, &app, *i) != Some(Ok(()))).collect();
    assert!(bad.is_empty(), "{bad:?}: {:?}", outcome(&net, &app, bad[0]));
}
