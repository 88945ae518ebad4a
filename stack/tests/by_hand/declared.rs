//! Sessions whose receivers say what they hold, late, wrongly and again.

use crate::hand::{App, DELAY, GROUP, Net, Packet, byte, group, outcome, small, source, straight};
use crate::seeds;
use core::ops::Range;
use core::time::Duration;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::event::{MemberId, SocketLoad};
use tcpxm::proto::time::Instant;
use tcpxm::trust::SenderTrust;

const SECOND: Duration = Duration::from_secs(1);
const ALL: Range<u64> = 0..u64::MAX;

fn outcomes(net: &Net, app: &App) -> String {
    let all: Vec<_> = (0..app.ids.len())
        .map(|n| {
            let member = MemberId { session: app.session, index: n };
            let r = net.nodes[0].endpoint.report(net.now, member).unwrap();
            format!("{:?} {:?} acked {} got {}", r.outcome, r.mode, r.acked, app.got[n])
        })
        .collect();
    format!("{all:#?} {:?}", net.nodes[0].endpoint.sent(app.session))
}

fn declaring(len: u64) -> SessionConfig {
    SessionConfig { declares: true, ..source(len, Delivery::Unordered, Some(group())) }
}

/// Waits for all sessions to be there.
fn meet(net: &mut Net, app: &mut App) {
    let met = net.run(SECOND, |net| {
        app.feed(net);
        for n in 0..app.ids.len() {
            app.ids[n] = app.ids[n].or_else(|| net.nodes[n + 1].endpoint.accept());
        }
        app.ids.iter().any(Option::is_none)
    });
    assert!(met);
}

fn lack(net: &mut Net, app: &App, n: usize, range: Range<u64>) {
    let now = net.now;
    net.nodes[n + 1].endpoint.lack(now, app.ids[n].unwrap(), &[range]).unwrap();
}

fn have(net: &mut Net, app: &App, n: usize, ranges: &[Range<u64>]) {
    let now = net.now;
    net.nodes[n + 1].endpoint.have(now, app.ids[n].unwrap(), ranges).unwrap();
}

fn again(net: &mut Net, app: &App, n: usize, range: Range<u64>) {
    let now = net.now;
    let _ = net.nodes[n + 1].endpoint.again(now, app.ids[n].unwrap(), range);
}

/// Three receivers, of which two look through the second half of their files for three seconds.
fn late_half(len: u64, buffer: Option<usize>) -> (bool, String, u64, u64) {
    let mut net = Net::new(3, 0, straight());
    if let Some(buffer) = buffer {
        (1..4).for_each(|n| small(&mut net, n, buffer));
    }
    let mut app = App::new(&mut net, declaring(len), len);
    meet(&mut net, &mut app);
    lack(&mut net, &app, 0, ALL);
    lack(&mut net, &app, 1, 0..len / 2);
    lack(&mut net, &app, 2, 0..len / 2);
    let late = net.now + SECOND * 3;
    let mut said = false;
    // `poll_timeout` of idle peers is far away: nothing else would let time pass to `late`.
    let done = net.run(SECOND * 120, |net| {
        if net.now >= late && !said {
            lack(net, &app, 1, ALL);
            lack(net, &app, 2, ALL);
            said = true;
        }
        app.serve(net);
        !app.done(net)
    });
    let sent = net.nodes[0].endpoint.sent(app.session);
    (done && said, outcomes(&net, &app), sent.group_bytes, sent.unicast_bytes)
}

#[test]
fn late_declarations_beyond_the_end_do_not_stop_the_group() {
    let (done, what, ..) = late_half((3 << 20) + 777, None);
    assert!(done, "{what}");
}

#[test]
fn what_two_declare_late_goes_by_the_group_though_it_is_more_than_their_windows() {
    let len = 16 << 20;
    let (done, what, group, alone) = late_half(len, Some(256 << 10));
    assert!(done, "{what}");
    assert!(alone < len, "group {group} alone {alone} of {len}\n{what}");
}

/// Two hold more than there is, since they do not know its length, and take it back.
#[test]
fn what_is_taken_back_beyond_the_end_does_not_stop_the_group() {
    let len = (3 << 20) + 777;
    let mut net = Net::new(4, 0, straight());
    let peers = net.peers();
    let session = net.nodes[0]
        .endpoint
        .connect(net.now, declaring(len), SenderTrust::Loopback, &peers)
        .unwrap();
    let mut app = App {
        session,
        len,
        written: len,
        ids: vec![None; 4],
        got: vec![0; 4],
        errors: vec![None; 4],
        careless: true,
    };
    meet(&mut net, &mut app);
    for n in 0..4 {
        lack(&mut net, &app, n, 0..len / 2);
    }
    let all = |app: &App| app.got.iter().all(|got| *got >= len / 2);
    assert!(net.run(SECOND * 20, |net| {
        app.serve(net);
        !all(&app)
    }));
    for n in 0..4 {
        have(&mut net, &app, n, &[len / 2..len + 999]);
    }
    let until = net.now + SECOND * 2;
    net.run(SECOND * 3, |net| {
        app.serve(net);
        net.now < until
    });
    for n in 0..4 {
        again(&mut net, &app, n, len / 2..len + 999);
    }
    let until = net.now + SECOND * 2;
    net.run(SECOND * 3, |net| {
        app.serve(net);
        net.now < until
    });
    let now = net.now;
    net.nodes[0].endpoint.finish(now, session);
    let done = app.finish(&mut net, SECOND * 120);
    let ok = (0..4).all(|n| outcome(&net, &app, n) == Some(Ok(())));
    assert!(done && ok, "{}", outcomes(&net, &app));
}

/// Other sessions press the sockets of a host, so that credit is bounded, while it lacks only what
/// lies behind what it holds.
#[test]
fn bounded_credit_lets_through_what_lies_behind_held_bytes() {
    let len = 64 << 20;
    let mut net = Net::new(1, 0, straight());
    let mut app = App::new(&mut net, declaring(len), len);
    let load = SocketLoad { queued: 1 << 20, capacity: 1 << 20, dropped: true };
    let press = |net: &mut Net| {
        let now = net.now;
        net.nodes[1].endpoint.handle_load(now, &load);
    };
    press(&mut net);
    meet(&mut net, &mut app);
    press(&mut net);
    have(&mut net, &app, 0, &[0..32 << 20]);
    lack(&mut net, &app, 0, ALL);
    let done = net.run(SECOND * 20, |net| {
        press(net);
        app.serve(net);
        app.got[0] == 0
    });
    assert!(done, "not a byte in 20 s: {}", outcomes(&net, &app));
}

/// Of four, two take all of it back whenever they have it.
#[test]
fn two_that_take_back_again_and_again_do_not_hold_the_others() {
    let run = |hostile: bool| {
        let len = 32 << 20;
        let mut net = Net::new(4, 0, straight());
        let mut app = App::new(&mut net, source(len, Delivery::Unordered, Some(group())), len);
        app.careless = true;
        meet(&mut net, &mut app);
        let mut due = net.now;
        let begun = net.now;
        net.run(SECOND * 120, |net| {
            app.serve(net);
            if hostile && net.now >= due && app.got[0] > 4 << 20 {
                due = net.now + Duration::from_millis(5);
                again(net, &app, 2, 0..len - (1 << 20));
                again(net, &app, 3, 0..len - (1 << 20));
            }
            outcome(net, &app, 0).is_none() || outcome(net, &app, 1).is_none()
        });
        (net.now.since(begun), outcomes(&net, &app))
    };
    let (plain, held) = (run(false), run(true));
    assert!(held.0 < plain.0 * 3, "{:?} became {:?}: {}", plain.0, held.0, held.1);
}

/// One that checks what it got, and finds a bad block every half round trip.
#[test]
fn what_is_taken_back_is_sent_again_once() {
    let len = 64 << 20;
    let delay = Duration::from_millis(20);
    let mut net = Net::new(1, 0, Box::new(move |_, _, packet| vec![(delay, packet)]));
    let mut app = App::new(&mut net, source(len, Delivery::Unordered, None), len);
    app.careless = true;
    meet(&mut net, &mut app);
    let (mut due, mut at) = (net.now, 0);
    let piece = 64 << 10;
    net.run(SECOND * 120, |net| {
        app.serve(net);
        if net.now >= due && at < 8 << 20 && app.got[0] > at + (1 << 20) {
            due = net.now + Duration::from_millis(10);
            again(net, &app, 0, at..at + piece);
            at += piece;
        }
        !app.done(net)
    });
    let sent = net.nodes[0].endpoint.sent(app.session);
    assert!(sent.unicast_bytes < len + at + (1 << 20), "{at} taken back: {}", outcomes(&net, &app));
}

/// It finds out at the end, before its verdict, that a block is bad.
#[test]
fn what_is_taken_back_after_the_end_was_read_is_served() {
    let len = (2 << 20) + 77;
    let mut net = Net::new(2, 0, straight());
    let mut app = App::new(&mut net, source(len, Delivery::Unordered, Some(group())), len);
    app.careless = true;
    meet(&mut net, &mut app);
    let mut buf = vec![0; 1 << 16];
    let (mut ended, mut taken) = ([0; 2], 0);
    let mut unfed = false;
    let done = net.run(SECOND * 60, |net| {
        unfed |= net.nodes[0].endpoint.is_satisfied(app.session);
        app.feed(net);
        for (n, ended) in ended.iter_mut().enumerate() {
            let now = net.now;
            let id = app.ids[n].unwrap();
            let endpoint = &mut net.nodes[n + 1].endpoint;
            while let Ok(outcome) = endpoint.read(now, id, &mut buf) {
                use tcpxm::proto::event::ReadOutcome as R;
                match outcome {
                    R::Data { len, .. } => app.got[n] += len as u64,
                    R::Empty => break,
                    R::End { .. } if *ended == 0 && n == 0 => {
                        *ended += 1;
                        endpoint.again(now, id, 1000..200_000).unwrap();
                        taken += 1;
                    }
                    R::End { .. } => {
                        endpoint.close(now, id, Ok(()));
                        break;
                    }
                }
            }
        }
        !app.done(net)
    });
    assert!(done && taken == 1, "{} {taken}", outcomes(&net, &app));
    assert!((0..2).all(|n| outcome(&net, &app, n) == Some(Ok(()))), "{}", outcomes(&net, &app));
    assert!(!unfed || done);
}

/// It held a longer file, took all of that back, has everything, and thinks before its verdict.
#[test]
fn one_that_took_back_more_than_there_is_may_think() {
    let len = (2 << 20) + 77;
    let mut net = Net::new(1, 0, straight());
    let peers = net.peers();
    let session = net.nodes[0]
        .endpoint
        .connect(net.now, declaring(len), SenderTrust::Loopback, &peers)
        .unwrap();
    let mut app = App {
        session,
        len,
        written: len,
        ids: vec![None],
        got: vec![0],
        errors: vec![None],
        careless: true,
    };
    meet(&mut net, &mut app);
    have(&mut net, &app, 0, &[0..len + 5000]);
    let until = net.now + SECOND;
    net.run(SECOND * 2, |net| {
        app.feed(net);
        net.now < until
    });
    again(&mut net, &app, 0, 0..len + 5000);
    lack(&mut net, &app, 0, ALL);
    let now = net.now;
    net.nodes[0].endpoint.finish(now, session);
    let until = net.now + SECOND * 300;
    let mut buf = vec![0; 1 << 16];
    let mut complete = false;
    net.run(SECOND * 301, |net| {
        app.feed(net);
        let (now, id) = (net.now, app.ids[0].unwrap());
        while let Ok(o) = net.nodes[1].endpoint.read(now, id, &mut buf) {
            use tcpxm::proto::event::ReadOutcome as R;
            match o {
                R::Data { len, .. } => app.got[0] += len as u64,
                R::Empty => break,
                R::End { .. } => {
                    complete = true;
                    break;
                }
            }
        }
        net.now < until
    });
    assert!(complete, "{}", outcomes(&net, &app));
    assert_eq!(outcome(&net, &app, 0), None, "it only thinks");
}

/// It declares after longer than the trial holds unicast back.
#[test]
fn one_that_does_not_declare_does_not_keep_the_others_off_the_group() {
    let len = 16 << 20;
    let run = |silent: bool| {
        let mut net = Net::new(6, 0, straight());
        let mut app = App::new(&mut net, declaring(len), len);
        meet(&mut net, &mut app);
        let declaring = if silent { 0..5 } else { 0..6 };
        declaring.for_each(|n| lack(&mut net, &app, n, ALL));
        net.run(SECOND * 60, |net| {
            app.serve(net);
            (0..5).any(|n| outcome(net, &app, n).is_none())
        });
        (net.nodes[0].endpoint.sent(app.session).unicast_bytes, outcomes(&net, &app))
    };
    let (plain, silent) = (run(false), run(true));
    assert!(silent.0 < plain.0 + len, "{} became {}: {}", plain.0, silent.0, silent.1);
}

/// Its application reads a file of a terabyte before it says what it lacks: it is waited for, and shown,
/// while the others are done. Had its host died, it would be known.
#[test]
fn one_that_declares_after_an_hour_is_waited_for_unless_it_is_dead() {
    for dies in [false, true] {
        let len = 2 << 20;
        let mut net = Net::new(3, 0, straight());
        let mut app = App::new(&mut net, declaring(len), len);
        app.careless = true; // some of what it holds comes by the group before it says so
        meet(&mut net, &mut app);
        (0..2).for_each(|n| lack(&mut net, &app, n, ALL));
        let begun = net.now;
        assert!(net.run(SECOND * 5, |net| {
            app.serve(net);
            (0..2).any(|n| outcome(net, &app, n).is_none())
        }));
        net.nodes[3].dead = dies;
        let hour = begun + SECOND * if dies { 15 } else { 3600 };
        net.run(SECOND * 3601, |net| {
            app.serve(net);
            net.now < hour
        });
        let member = MemberId { session: app.session, index: 2 };
        let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
        if dies {
            let silent = matches!(report.outcome, Some(Err(Reason::Lost { .. })));
            assert!(silent && report.undeclared == 0, "{report:?}");
            continue;
        }
        assert!(report.outcome.is_none() && report.undeclared > 0, "{report:?}");
        have(&mut net, &app, 2, &[0..len / 4]);
        lack(&mut net, &app, 2, ALL);
        assert!(app.finish(&mut net, SECOND * 5), "{}", outcomes(&net, &app));
        assert_eq!(outcome(&net, &app, 2), Some(Ok(())));
    }
}

/// A file with more holes than the sender keeps of one: it is sent some of what it holds.
#[test]
fn a_file_of_more_holes_than_are_kept_ends_whole() {
    let (holes, step) = (140_000, 100);
    let len = holes * step;
    let mut net = Net::new(2, 0, straight());
    (1..3).for_each(|n| small(&mut net, n, 32 << 10));
    let mut app = App::new(&mut net, declaring(len), len);
    meet(&mut net, &mut app);
    let held: Vec<_> = (0..holes).map(|n| n * step..n * step + 50 + n % 40).collect();
    have(&mut net, &app, 0, &held);
    lack(&mut net, &app, 0, ALL);
    lack(&mut net, &app, 1, ALL);
    app.got[0] = held.iter().map(|range| range.end - range.start).sum();
    let lacking = len - app.got[0];
    assert!(app.finish(&mut net, SECOND * 60), "{}", outcomes(&net, &app));
    assert!((0..2).all(|n| outcome(&net, &app, n) == Some(Ok(()))), "{}", outcomes(&net, &app));
    let arrived = net.nodes[1].endpoint.arrived(app.ids[0].unwrap());
    assert_eq!(arrived.total(), lacking, "{arrived:?}");
}

/// Whatever they say, and whatever is lost: everybody ends whole. Some sources find out their length
/// while they are read, some receivers hear the group in phases, one may die.
#[test]
fn whatever_is_said_everybody_ends_whole() {
    seeds::each("whatever_is_said", 0..60, |seed| {
        let mut dice = Dice(seed * 7919 + 1);
        (0..10).for_each(|_| {
            dice.below(2); // its first draws lie close together
        });
        let n = 1 + dice.below(4) as usize;
        let most = [1 << 10, 1 << 17, 6 << 20, 24 << 20][dice.below(4) as usize];
        let len = 1 + dice.below(most);
        let mut net = faulty(seed, n, &mut dice);
        let mut config = declaring(len);
        if seed % 2 == 1 {
            config.content = Content::Source { len: None };
        }
        let mut app = App::new(&mut net, config, len);
        app.careless = true;
        let dies = (seed.is_multiple_of(5) && n > 1).then(|| 1 + dice.below(n as u64) as usize);
        let met = net.run(SECOND * 10, |net| {
            feed(net, &app);
            for k in 0..n {
                app.ids[k] = app.ids[k].or_else(|| net.nodes[k + 1].endpoint.accept());
            }
            app.ids.iter().any(Option::is_none)
        });
        assert!(met, "they did not meet");
        let mut talk = Talk::new(&mut dice, n, net.now);
        let done = net.run(SECOND * 300, |net| {
            talk.say(net, &app, &mut dice);
            feed(net, &app);
            if let Some(dies) = dies.filter(|_| net.now.since(talk.start) > SECOND / 3) {
                net.nodes[dies].dead = true;
            }
            (0..n).for_each(|k| app.take_at(net, k));
            !app.done(net)
        });
        let whole = |k: usize| Some(k + 1) == dies || outcome(&net, &app, k) == Some(Ok(()));
        assert!(done && (0..n).all(whole), "{len} bytes: {}", outcomes(&net, &app));
    });
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Lines that lose and reorder; with every third seed one does not hear the group every other phase.
fn faulty(seed: u64, n: usize, dice: &mut Dice) -> Net {
    let loss = [0, 0, 1, 5][dice.below(4) as usize];
    let mut fate = Dice(seed);
    let deaf = seed.is_multiple_of(3).then(|| 1 + dice.below(n as u64) as usize);
    let path = move |now: Instant, k, packet: Packet| {
        let phase = now.since(Instant::ZERO).as_millis() / 700 % 2;
        if packet.kind() == GROUP && Some(k) == deaf && phase == 1 || fate.below(100) < loss {
            Vec::new()
        } else {
            vec![(DELAY * (1 + fate.below(3) as u32), packet)]
        }
    };
    let mut net = Net::new(n, seed as u8, Box::new(path));
    for k in 1..=n {
        if dice.below(3) == 0 {
            small(&mut net, k, 20_000 << dice.below(6));
        }
    }
    net
}

/// Answers needs; a source that does not know its length says it where it finds its end.
fn feed(net: &mut Net, app: &App) {
    let (now, sender) = (net.now, &mut net.nodes[0].endpoint);
    while let Some(need) = sender.next_need(app.session) {
        let end = need.end.min(app.len);
        if need.end >= app.len {
            sender.set_end(now, app.session, app.len).unwrap();
        }
        if need.start < end {
            let bytes: Vec<u8> = (need.start..end).map(byte).collect();
            sender.supply(now, app.session, need.start, bytes.into());
        }
    }
}

/// What the receivers say: some words at random, then that they lack the rest.
struct Talk {
    start: Instant,
    /// By receiver: when it speaks next, in milliseconds, and how often it does before its last word.
    next: Vec<(u64, u64)>,
    said: Vec<bool>,
}

impl Talk {
    fn new(dice: &mut Dice, n: usize, start: Instant) -> Self {
        let next = (0..n).map(|_| (dice.below(3) * dice.below(400), dice.below(30))).collect();
        Self { start, next, said: vec![false; n] }
    }

    fn say(&mut self, net: &mut Net, app: &App, dice: &mut Dice) {
        let (now, ms) = (net.now, net.now.since(self.start).as_millis() as u64);
        for (k, (at, words)) in self.next.iter_mut().enumerate() {
            if ms < *at || self.said[k] {
                continue;
            }
            let (from, span) = (dice.below(app.len), 1 + dice.below(1 + app.len / 4));
            let range = from..(from + span).min(app.len);
            let (endpoint, id) = (&mut net.nodes[k + 1].endpoint, app.ids[k].unwrap());
            self.said[k] = *words == 0;
            // A word may come too late, after the verdict: then it is refused.
            let _ = match dice.below(4) {
                _ if *words == 0 => endpoint.lack(now, id, &[ALL]),
                0 | 1 => endpoint.have(now, id, &[range]),
                2 => endpoint.lack(now, id, &[range]),
                _ => endpoint.again(now, id, range),
            };
            *words = words.saturating_sub(1);
            *at = ms + dice.below(60);
        }
    }
}
