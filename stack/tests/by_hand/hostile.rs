//! Datagrams changed, cut, repeated, delayed and held back at random: nothing panics, no timer
//! spins, and what is delivered is right.

use crate::hand::{self, App, DELAY, HANDSHAKE, Net, Packet, group, source, straight};
use crate::seeds;
use core::time::Duration;
use tcpxm::config::{Delivery, EndpointConfig};
use tcpxm::proto::event::MemberId;
use tcpxm::trust::SenderTrust;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % sides
    }

    fn delay(&mut self) -> Duration {
        DELAY * (1 + self.roll(20) as u32 * u32::from(self.roll(8) == 0))
    }

    /// Changes, cuts or lengthens; what is `sealed` keeps its tag only if `forged`.
    fn spoil(&mut self, bytes: &mut Vec<u8>, forged: bool) {
        match self.roll(4) {
            0 => bytes.truncate(self.roll(bytes.len() as u64 + 1) as usize),
            1 => {
                let more = bytes.len() + self.roll(100) as usize;
                bytes.resize(more, 0xff);
            }
            _ => {
                for _ in 0..=self.roll(4) {
                    // Headers more often than bytes of the stream.
                    let most = if self.roll(4) == 0 { bytes.len() } else { bytes.len().min(80) };
                    let at = self.roll(most as u64) as usize;
                    bytes[at] = match self.roll(4) {
                        0 => 0,
                        1 => 0xff,
                        _ => bytes[at] ^ 1 << self.roll(8),
                    };
                }
            }
        }
        if !forged && let Some(last) = bytes.last_mut() {
            *last ^= 0x55;
        }
    }
}

/// One in so many is touched; handshakes only if all may be forged.
fn hostile(seed: u64, one_in: u64, forged: bool) -> hand::Path {
    let mut dice = Dice(seed);
    let mut old: Vec<(usize, Packet)> = Vec::new();
    Box::new(move |_, n, packet| {
        if old.len() < 512 {
            old.push((n, packet.clone()));
        } else if dice.roll(4) == 0 {
            let at = dice.roll(512) as usize;
            old[at] = (n, packet.clone());
        }
        let mut out = vec![(dice.delay(), packet.clone())];
        if dice.roll(one_in) != 0 {
            return out;
        }
        match dice.roll(5) {
            0 => out.clear(),
            1 => out.push((dice.delay(), packet)),
            2 => {
                let (at, replayed) = &old[dice.roll(old.len() as u64) as usize];
                if *at == n {
                    out.push((dice.delay(), replayed.clone()));
                }
            }
            _ if forged || packet.kind() != HANDSHAKE => {
                let mut spoilt = packet;
                dice.spoil(&mut spoilt.bytes, forged);
                // Beside the right one, or in its place.
                if dice.roll(2) == 0 {
                    out.clear();
                }
                out.push((dice.delay(), spoilt));
            }
            _ => {}
        }
        out
    })
}

#[test]
fn what_is_not_authentic_changes_nothing() {
    seeds::each("what_is_not_authentic_changes_nothing", 0..60, |seed| {
        let delivery = [Delivery::Ordered, Delivery::Unordered][seed as usize % 2];
        let len = 400_000 + seed % 1000 * 777;
        let mut net = Net::new(2, seed as u8, hostile(seed, 12, false));
        let mut app = App::new(&mut net, source(len, delivery, Some(group())), len);
        assert!(app.finish(&mut net, SECOND * 60), "{:?}", app.got);
        for index in 0..2 {
            let member = MemberId { session: app.session, index };
            let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
            assert_eq!(report.outcome, Some(Ok(())), "{report:?}");
            assert_eq!(report.arrived.total(), len, "{report:?}");
        }
        release(&mut net, &app);
    });
}

#[test]
fn what_an_insider_forges_ends_in_good_order() {
    seeds::each("what_an_insider_forges", 0..150, |seed| {
        let delivery = [Delivery::Ordered, Delivery::Unordered][seed as usize % 2];
        let len = 200_000;
        let dice = seed.wrapping_add(1000);
        let mut net = Net::plain(2, seed as u8, hostile(dice, 4 + seed % 40, true));
        let mut app =
            App::with(&mut net, source(len, delivery, Some(group())), len, SenderTrust::Plaintext);
        app.careless = true;
        app.finish(&mut net, SECOND * 60);
        release(&mut net, &app);
    });
}

/// Everybody gives up what is left, and nothing remains.
fn release(net: &mut Net, app: &App) {
    net.path = straight();
    net.nodes[0].endpoint.forget(net.now, app.session);
    for (n, id) in app.ids.iter().enumerate() {
        let receiver = &mut net.nodes[n + 1].endpoint;
        let fresh = core::iter::from_fn(|| receiver.accept());
        let all: Vec<_> = id.iter().copied().chain(fresh).collect();
        for id in all {
            receiver.release(net.now, id);
        }
    }
    let quiet = net.run(SECOND * 80, |net| net.nodes.iter().any(|n| n.endpoint.lingers()));
    assert!(quiet, "it lingers");
}

/// The initial sequence number stands so close below 2^32 that the stream crosses it.
#[test]
fn a_stream_crosses_the_end_of_the_sequence_numbers() {
    let len = 3 << 20;
    let mut found = 0;
    for seed in 0..20_000_u32 {
        let mut net = Net::new(2, 0, straight());
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        let config = EndpointConfig { port: 8737, ..Default::default() };
        net.nodes[0].endpoint = tcpxm::proto::endpoint::Endpoint::new(config, bytes);
        let delivery = [Delivery::Ordered, Delivery::Unordered][found % 2];
        let mut app = App::new(&mut net, source(len, delivery, Some(group())), len);
        let mut buf = [0; 2000];
        net.nodes[0].endpoint.poll_transmit(net.now, &mut buf).unwrap();
        let iss = u32::from_be_bytes([buf[20], buf[21], buf[22], buf[23]]);
        if u64::from(u32::MAX - iss) > len / 2 {
            continue;
        }
        found += 1;
        assert!(app.finish(&mut net, SECOND * 20), "iss {iss:#x}");
        assert_eq!(app.got, [len, len]);
        if found == 2 {
            return;
        }
    }
    panic!("no such seed");
}

/// However many handshakes are completed at once, as many sessions wait as the backlog says, and no
/// more are held.
#[test]
fn as_many_sessions_wait_as_the_backlog_says() {
    let backlog = EndpointConfig::default().backlog;
    let mut net = Net::new(1, 0, straight());
    let peers = net.peers();
    for _ in 0..backlog + 72 {
        let config = source(1, Delivery::Ordered, None);
        net.nodes[0].endpoint.connect(net.now, config, SenderTrust::Loopback, &peers).unwrap();
    }
    net.run(SECOND, |_| true);
    assert_eq!(net.nodes[1].endpoint.held().receivers, backlog);
    let waiting = core::iter::from_fn(|| net.nodes[1].endpoint.accept()).count();
    assert_eq!(waiting, backlog);
}
