//! The network without engines: hosts that send numbered datagrams and note what arrives.

use super::*;
use crate::loss::Loss;
use std::cell::RefCell;
use std::rc::Rc;

const GROUP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(239, 255, 7, 7)), 8737);

fn seats(nodes: u8, link: Link) -> Vec<Seat> {
    let seat = |i| Seat { addr: addr(i), up: link, down: link, air: None, deaf: false };
    (0..nodes).map(seat).collect()
}

fn addr(i: u8) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, i + 1], 8737))
}

fn net(seats: &[Seat], rules: &[DropRule]) -> Net {
    let mut net = Net::new(seats, Duration::ZERO, rules, Dice::new(5));
    for node in 1..seats.len() {
        net.fabric.join(Instant::ZERO, node, GROUP, None);
    }
    net
}

/// Runs to the end; per node, the first bytes of what arrived, with the time.
fn run(net: &mut Net, nodes: usize) -> Vec<Vec<(u64, u8)>> {
    let (mut got, mut buf) = (vec![Vec::new(); nodes], [0; 2048]);
    while let Some(happening) = net.next() {
        match happening {
            Happening::Arrival { node, slot } => {
                net.open(slot, &mut buf);
                got[node].push((net.now().as_nanos() / 1000, buf[0]));
            }
            Happening::Strike(fault) => net.apply(fault),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(net.under_way(), 0, "every buffer is given back");
    got
}

fn numbers(got: &[(u64, u8)]) -> Vec<u8> {
    got.iter().map(|(_, n)| *n).collect()
}

/// Sends `count` numbered datagrams of 1000 bytes as one train.
fn train(net: &mut Net, to: SocketAddr, count: u8) {
    let bytes: Vec<u8> = (0..count).flat_map(|n| [n; 1000]).collect();
    net.send(0, to, (&bytes, 0), 1000).expect("fits the MTU");
}

#[test]
fn a_train_is_serialised_one_datagram_after_the_other_over_two_lines() {
    let link = Link::lan().rate(8_000_000).delay(Duration::from_millis(1));
    let mut net = net(&seats(3, link), &[]);
    train(&mut net, addr(2), 3);
    let got = run(&mut net, 3);
    // 1066 bytes of line time at 1 byte a microsecond; the first pays both lines and delays
    let first = 2 * 1066 + 2000;
    assert_eq!(got[2], [(first, 0), (first + 1066, 1), (first + 2 * 1066, 2)]);
    assert!(got[0].is_empty() && got[1].is_empty());
}

#[test]
fn a_group_datagram_is_sent_once_and_arrives_at_every_member() {
    let mut net = net(&seats(5, Link::lan()), &[]);
    net.fabric.leave(3, GROUP);
    train(&mut net, GROUP, 4);
    let got = run(&mut net, 5);
    let heard: Vec<_> = got.iter().map(|g| numbers(g)).collect();
    assert_eq!(heard, [vec![], vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![], vec![0, 1, 2, 3]]);
    let (traffic, _) = net.result();
    assert_eq!((traffic.sent, traffic.delivered), (4, 12));
}

#[test]
fn loss_on_the_uplink_is_shared_and_on_a_downlink_is_not() {
    let lossy = Link::lan().losing(Loss::Random(0.3)).queue(1 << 20);
    let mut shared = seats(4, Link::lan().queue(1 << 20));
    shared[0].up = lossy;
    let mut alone = seats(4, Link::lan().queue(1 << 20));
    for seat in &mut alone[1..] {
        seat.down = lossy;
    }
    for (seats, same) in [(shared, true), (alone, false)] {
        let mut net = net(&seats, &[]);
        train(&mut net, GROUP, 200);
        let got = run(&mut net, 4);
        // 140 of 200 pass in the mean, 180 or more with at most exp(−200 KL(0.9 ‖ 0.7)) < 10⁻¹⁰
        // (Chernoff); two patterns are the same by chance with 0.58^200 < 10⁻⁴⁷
        assert!(numbers(&got[1]).len() < 180);
        assert_eq!(numbers(&got[1]) == numbers(&got[2]), same);
        assert_eq!(numbers(&got[2]) == numbers(&got[3]), same);
    }
}

#[test]
fn every_datagram_is_accounted_for() {
    let link = Link::lan().losing(Loss::Random(0.1)).duplicating(0.1).queue(40_000);
    // 37 datagrams pass each queue, 20 times: none is lost, or none duplicated, with a probability
    // of at most 2 × 0.9^(20 × 37) < 10⁻³³
    let (mut lost, mut duplicated) = (0, 0);
    for seed in 0..20 {
        let mut net = Net::new(&seats(2, link), Duration::ZERO, &[], Dice::new(seed));
        train(&mut net, addr(1), 64);
        train(&mut net, addr(7), 5);
        run(&mut net, 2);
        let (t, _) = net.result();
        assert_eq!(t.sent, 69);
        assert!(t.tail_dropped > 0, "seed {seed}");
        lost += t.lost;
        duplicated += t.duplicated;
        assert!(t.max_queue <= 40_000 && t.max_queue > 38_000);
        assert_eq!(t.sent + t.duplicated, t.delivered + t.lost + t.tail_dropped + t.vanished);
    }
    assert!(lost > 0 && duplicated > 0);
}

#[test]
fn faults_strike_at_their_time() {
    let mut net = net(&seats(3, Link::lan()), &[]);
    let at = |micros: u64| Instant::from_nanos(micros * 1000);
    // the train reaches the fabric from 585 us on, one datagram every 85 us
    net.strike(at(700), Fault::CutGroup(Who::Receiver(0)));
    net.strike(at(900), Fault::RestoreGroup(Who::All));
    net.strike(at(1_600), Fault::Kill(1));
    train(&mut net, GROUP, 10);
    let got = run(&mut net, 3);
    assert_eq!(numbers(&got[1]), [0, 1, 4, 5, 6, 7, 8, 9]);
    assert_eq!(numbers(&got[2]), [0, 1, 2, 3, 4, 5], "dead from then on");
    assert!(net.is_dead(2) && !net.is_dead(1));
}

#[test]
fn a_rule_loses_its_datagram_and_the_watcher_sees_it() {
    let rule = DropRule { what: "number 2", matches: |p| p.bytes[0] == 2, skip: 0, count: 1 };
    let mut net = net(&seats(2, Link::lan()), &[rule]);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let notes = Rc::clone(&seen);
    net.watch(Box::new(move |s| notes.borrow_mut().push((s.bytes[0], s.fate))));
    train(&mut net, addr(1), 4);
    net.send(0, addr(9), (&[9; 10], 0), 10).expect("short");
    let got = run(&mut net, 2);
    assert_eq!(numbers(&got[1]), [0, 1, 3]);
    let sent = |n| (n, Fate::Sent);
    let want =
        [sent(0), sent(1), (2, Fate::Struck("number 2")), sent(3), sent(9), (9, Fate::Vanished)];
    assert_eq!(*seen.borrow(), want);
}

#[test]
fn what_the_uplink_cannot_take_whole_is_refused_and_the_downlink_loses_it() {
    let mut seats = seats(3, Link::lan().mtu(1028));
    seats[2].down = Link::lan().mtu(1027);
    let mut net = net(&seats, &[]);
    assert_eq!(net.send(0, addr(1), (&[0; 2002], 0), 1001), Err(TooLong));
    assert_eq!(net.send(0, addr(1), (&[0; 2000], 0), 1000), Ok(()));
    assert_eq!(net.send(0, addr(2), (&[0; 1000], 0), 1000), Ok(()));
    let got = run(&mut net, 3);
    assert_eq!((got[1].len(), got[2].len()), (2, 0));
}

#[test]
fn a_managed_queue_marks_what_can_be_marked_and_drops_what_cannot() {
    const ECT_0: u8 = 0b10;
    // room for five of 1066 bytes on the line; the third and later ones find more than 2000
    let managed = Link::lan().marking(2000);
    for (up, down) in [(managed, Link::lan()), (Link::lan(), managed.rate(1_000_000))] {
        for ecn in [0, ECT_0] {
            let mut seats = seats(3, Link::lan());
            (seats[0].up, seats[2].down) = (up, down);
            let mut net = net(&seats, &[]);
            let bytes: Vec<u8> = (0..5).flat_map(|n| [n; 1000]).collect();
            net.send(0, GROUP, (&bytes, ecn), 1000).expect("fits the MTU");
            let (mut got, mut buf) = (vec![Vec::new(); 3], [0; 2048]);
            while let Some(happening) = net.next() {
                let Happening::Arrival { node, slot } = happening else { panic!("{happening:?}") };
                got[node].push(net.open(slot, &mut buf).ecn);
            }
            assert_eq!(net.under_way(), 0, "every buffer is given back");
            let (traffic, _) = net.result();
            let (all, met) = (vec![ecn; 5], vec![ecn, ecn, CE, CE, CE]);
            let shared = up.mark_above.is_some();
            match (ecn, shared) {
                (0, true) => assert_eq!(got[1..], [vec![0; 2], vec![0; 2]]),
                (0, false) => assert_eq!(got[1..], [all, vec![0; 2]]),
                (_, true) => assert_eq!(got[1..], [met.clone(), met]),
                (_, false) => assert_eq!(got[1..], [all, met]),
            }
            let counts = (traffic.early_dropped, traffic.marked);
            assert_eq!(counts, if ecn == 0 { (3, 0) } else { (0, 3) });
        }
    }
}

#[test]
fn the_fingerprint_follows_from_what_is_sent_and_nothing_else() {
    let hash = |last: u8, to: SocketAddr| {
        let mut net = net(&seats(3, Link::lan()), &[]);
        net.send(0, to, (&[1, 2, last], 0), 2).expect("short");
        net.result().1
    };
    assert_eq!(hash(3, GROUP), hash(3, GROUP));
    assert_ne!(hash(3, GROUP), hash(4, GROUP));
    assert_ne!(hash(3, addr(1)), hash(3, addr(2)));
}
