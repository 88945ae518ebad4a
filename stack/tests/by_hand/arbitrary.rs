//! Whatever arrives, an endpoint does not panic: arbitrary bytes, and real datagrams altered.

use core::time::Duration;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::SocketAddr;
use tcpxm::config::{Content, EndpointConfig, Group, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{Action, Arrival, ReceiverId, SessionId, Transmit};
use tcpxm::proto::time::Instant;
use tcpxm::trust::{ListenTrust, SenderTrust};

/// Rounds of a session: handshake, join, burst, repairs.
const ROUNDS: usize = 24;

/// What is done to a datagram: where, how, and with which value.
type Change = (prop::sample::Index, u8, u8);

/// A sender and a host with two receivers, every datagram of which may be altered on its way.
struct Pair {
    now: Instant,
    ends: [(SocketAddr, Endpoint); 2],
    session: SessionId,
    receivers: Vec<ReceiverId>,
}

impl Pair {
    fn new() -> Self {
        let addr = |n: u8| SocketAddr::from(([10, 0, 0, n], 8737));
        let end = |n: u8| {
            let config = EndpointConfig {
                listen: (n == 2).then_some(ListenTrust::Plaintext),
                port: 8737,
                ..EndpointConfig::default()
            };
            (addr(n), Endpoint::new(config, [n; 32]))
        };
        let (now, mut ends) = (Instant::from_nanos(1), [end(1), end(2)]);
        let group = Group { addr: "239.255.1.2:8737".parse().unwrap(), source: None };
        let config = SessionConfig {
            group: Some(group),
            content: Content::Stream { ring: 1 << 16 },
            ..SessionConfig::default()
        };
        let session =
            ends[0].1.connect(now, config, SenderTrust::Plaintext, &[addr(2), addr(3)]).unwrap();
        Self { now, ends, session, receivers: Vec::new() }
    }

    /// Lets both ends do what they have to, for one round; `alter` sees each datagram.
    fn round(&mut self, alter: &mut impl FnMut(&mut Vec<u8>)) {
        self.now += Duration::from_millis(2);
        self.ends[0].1.write(self.now, self.session, &[7; 8000]);
        for from in [0, 1] {
            for (t, bytes) in self.collect(from) {
                let mut source = self.ends[from].0;
                source.set_ip(t.from.unwrap_or(source.ip())); // the host of two has two addresses
                for datagram in bytes.chunks(t.segment_size) {
                    let original = datagram.to_vec();
                    let mut altered = original.clone();
                    alter(&mut altered);
                    self.deliver(source, t.to, altered);
                    self.deliver(source, t.to, original);
                }
            }
        }
        self.receivers.extend(self.ends[1].1.accept());
        for receiver in &self.receivers {
            let _ = self.ends[1].1.read(self.now, *receiver, &mut [0; 4096]);
        }
    }

    fn collect(&mut self, from: usize) -> Vec<(Transmit, Vec<u8>)> {
        let (now, end) = (self.now, &mut self.ends[from].1);
        end.handle_timeout(now);
        while let Some(action) = end.poll_action() {
            if let Action::Join { receiver, .. } = action {
                end.handle_join(now, receiver, Ok(()));
            }
        }
        let mut buf = vec![0; 1 << 16];
        let mut out = Vec::new();
        while let Some(t) = end.poll_transmit(now, &mut buf) {
            out.push((t, buf[..t.len].to_vec()));
        }
        while end.poll_event().is_some() {}
        out
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let to_receivers = usize::from(from == self.ends[0].0);
        let arrival = Arrival { from, to: Some(to.ip()), ifindex: 1, ecn: 0, stride: bytes.len() };
        self.ends[to_receivers].1.handle_datagram(self.now, &arrival, &mut bytes);
    }
}

/// Everything in front of the tag may be altered, so that it still opens: the null seal's tag does
/// not depend on it.
fn alter(bytes: &mut [u8], (at, what, value): &Change) {
    let len = bytes.len().saturating_sub(16).max(1);
    let byte = &mut bytes[at.index(len.min(120))];
    match what % 12 {
        0 => *byte ^= 1 << (value % 8),
        1 => *byte = *value,
        2 => *byte = byte.wrapping_add(1),
        _ => {} // most pass, or no session would last
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_datagrams(datagrams in vec((0..2_usize, vec(any::<u8>(), 0..200)), 1..20)) {
        let mut pair = Pair::new();
        for _ in 0..ROUNDS {
            pair.round(&mut |_| ());
        }
        prop_assert_eq!(pair.receivers.len(), 2, "established");
        prop_assert!(pair.ends[0].1.sent(pair.session).group_bytes > 0, "the group is in use");
        for (from, mut bytes) in datagrams {
            // Of the right version, or nothing else of them is looked at.
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x1f | 0x20;
            }
            let (from, to) = (pair.ends[from].0, pair.ends[1 - from].0);
            pair.deliver(from, to, bytes);
        }
        pair.round(&mut |_| ());
    }

    #[test]
    fn altered_datagrams(changes in vec(any::<Change>(), 1..40)) {
        let mut pair = Pair::new();
        let mut next = changes.iter().cycle();
        for _ in 0..ROUNDS {
            pair.round(&mut |bytes| {
                if let Some(change) = next.next() {
                    alter(bytes, change);
                }
            });
        }
    }
}
