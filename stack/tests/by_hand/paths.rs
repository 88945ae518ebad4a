//! Paths that are long, or not alike: nothing is repeated that was not lost, and a lost tail is found.

use crate::hand::{self, App, GROUP, Net, group, source};
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::proto::event::MemberId;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn stream() -> SessionConfig {
    let content = Content::Stream { ring: 8 << 20 };
    SessionConfig { content, ..SessionConfig::default() }
}

/// Writes `len` bytes of the stream that begins at `written`.
fn write(net: &mut Net, app: &App, written: u64, len: u64) -> u64 {
    let bytes: Vec<u8> = (written..written + len).map(hand::byte).collect();
    let taken = net.nodes[0].endpoint.write(net.now, app.session, &bytes);
    assert_eq!(taken as u64, len);
    written + len
}

#[test]
fn a_long_path_without_loss_repeats_nothing_however_the_writes_pause() {
    for rtt in [40, 150, 240] {
        let mut net = Net::new(1, 0, Box::new(move |_, _, packet| vec![(MS * rtt / 2, packet)]));
        let mut app = App::new(&mut net, stream(), 0);
        let (mut written, began, total) = (0_u64, net.now, 20 * 20_000);
        net.run(SECOND * 200, |net| {
            let turns = (net.now - began).as_secs() / 2;
            while written < (turns * 20_000).min(total) {
                written = write(net, &app, written, 20_000);
            }
            app.take_at(net, 0);
            app.got[0] < total
        });
        let sent = net.nodes[0].endpoint.sent(app.session);
        assert_eq!((app.got[0], sent.repaired_bytes), (total, 0), "{rtt} ms");
    }
}

#[test]
fn a_group_whose_way_is_longer_than_unicast_is_not_taken_for_lost() {
    for extra in [0, 5, 20, 50] {
        let path = move |_, _, packet: hand::Packet| {
            let later = if packet.kind() == GROUP { extra } else { 0 };
            vec![(MS * (10 + later), packet)]
        };
        let mut net = Net::new(3, 0, Box::new(path));
        let len = 20 << 20;
        let mut app = App::new(&mut net, source(len, Delivery::Unordered, Some(group())), len);
        assert!(app.finish(&mut net, SECOND * 20));
        let sent = net.nodes[0].endpoint.sent(app.session);
        assert!(sent.repaired_bytes < len / 200, "{extra} ms later: {sent:?}");
        assert!(sent.unicast_bytes < len / 20, "{extra} ms later: {sent:?}");
    }
}

#[test]
fn a_lost_tail_is_probed_while_a_short_rest_waits() {
    for len in [1148, 2000] {
        let lose = Rc::new(Cell::new(false));
        let due = lose.clone();
        let path = move |_, n: usize, packet: hand::Packet| {
            let data = n == 1 && packet.kind() == 1 && packet.bytes.len() > 200;
            if data && due.replace(false) { Vec::new() } else { vec![(MS * 10, packet)] }
        };
        let mut net = Net::new(1, 0, Box::new(path));
        let mut app = App::new(&mut net, stream(), 0);
        let (mut written, mut turn, mut began, mut took) = (0, 0, net.now, Duration::ZERO);
        net.run(SECOND * 60, |net| {
            app.take_at(net, 0);
            if app.got[0] == written {
                took = net.now - began;
                turn += 1;
                lose.set(turn == 21);
                written = write(net, &app, written, len);
                began = net.now;
            }
            turn < 22
        });
        assert!(took < MS * 140, "{len} bytes: {took:?}");
    }
}

#[test]
fn the_last_of_what_there_is_is_acknowledged_at_once() {
    let mut net = Net::new(1, 0, Box::new(|_, _, packet| vec![(MS * 10, packet)]));
    let mut app = App::new(&mut net, stream(), 0);
    // The window grows, and with it the number of packets that an acknowledgement is for.
    let mut written = write(&mut net, &app, 0, 4_000_000);
    let member = MemberId { session: app.session, index: 0 };
    let acked = |net: &Net| net.nodes[0].endpoint.report(net.now, member).map_or(0, |r| r.acked);
    for turn in 0..20 {
        let began = net.now;
        net.run(SECOND, |net| {
            app.take_at(net, 0);
            acked(net) < written
        });
        assert_eq!(acked(&net), written);
        // Probes of the path ask for an answer at once as well; they end.
        assert!(turn < 15 || net.now - began < MS * 21, "{:?}", net.now - began);
        written = write(&mut net, &app, written, 100);
    }
}

#[test]
fn a_tree_that_takes_its_time_to_grow_does_not_shorten_segments() {
    for dead in [0, 300] {
        let longest = Rc::new(Cell::new(0));
        let seen = longest.clone();
        let path = move |now: tcpxm::proto::time::Instant, _, packet: hand::Packet| {
            let by_group = packet.kind() == GROUP;
            if by_group && now < tcpxm::proto::time::Instant::ZERO + MS * dead {
                return Vec::new();
            }
            seen.set(if by_group { seen.get().max(packet.bytes.len()) } else { seen.get() });
            vec![(MS * 2, packet)]
        };
        let mut net = Net::new(2, 0, Box::new(path));
        let len = 40 << 20;
        let rate = Some(200_000_000);
        let config = SessionConfig { rate, ..source(len, Delivery::Unordered, Some(group())) };
        let mut app = App::new(&mut net, config, len);
        assert!(app.finish(&mut net, SECOND * 60));
        assert_eq!(longest.get(), 8972, "dead for {dead} ms");
    }
}
