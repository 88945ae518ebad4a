//! Whole endpoints, a sender and a listener, that get datagrams nobody of them sent.

use crate::input::Input;
use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tcpxm::config::{Content, EndpointConfig, Group, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{Action, Arrival, ReceiverId, SessionId};
use tcpxm::proto::time::Instant;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, Secret, SenderKeys, SenderTrust};
use tcpxm::wire::SYN_LEN;

/// Things that are done with one input, at most.
const STEPS: usize = 64;
/// Datagrams on their way that may be altered.
const KEPT: usize = 64;

static SECRET: LazyLock<Arc<Secret>> =
    LazyLock::new(|| Arc::new(Secret::from_line(&[b's'; 32]).expect("a secret")));
static IDENTITIES: LazyLock<[Arc<Identity>; 2]> =
    LazyLock::new(|| [1, 2].map(|byte| Arc::new(Identity::generate([byte; 64]))));

fn trusts(kind: u8) -> (SenderTrust, ListenTrust) {
    let [user, host] = &*IDENTITIES;
    match kind % 4 {
        0 => (SenderTrust::Loopback, ListenTrust::Loopback),
        1 => {
            let secret = || Arc::clone(&SECRET);
            (SenderTrust::Secret(secret()), ListenTrust::Secret(vec![secret()]))
        }
        2 => {
            let known = [(addr(2), host.public())].into();
            let keys = SenderKeys { identity: Arc::clone(user), known, strict: true };
            let authorized = BTreeSet::from([user.public()]);
            let theirs =
                ListenKeys { identity: Arc::clone(host), authorized, refused: BTreeMap::new() };
            (SenderTrust::Keys(keys), ListenTrust::Keys(theirs))
        }
        _ => (SenderTrust::Plaintext, ListenTrust::Plaintext),
    }
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 8737))
}

/// A stranger's address.
fn stranger() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4000))
}

/// A sender (at 10.0.0.1), a listener (at 10.0.0.2), and what is on its way between them.
struct World {
    now: Instant,
    ends: [Endpoint; 2],
    session: SessionId,
    receivers: Vec<ReceiverId>,
    /// From which end, to whom, what.
    wire: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    /// What the listener got from the stranger, and sent to it, in bytes.
    stranger: (usize, usize),
}

impl World {
    fn new(kind: u8) -> Self {
        let (sender, listener) = trusts(kind);
        let end = |n: u8, listen| {
            let config = EndpointConfig {
                listen,
                port: 8737,
                recv_buffer: 1 << 16,
                recv_buffer_max: 1 << 16,
                backlog: 4,
                ..EndpointConfig::default()
            };
            Endpoint::new(config, [n; 32])
        };
        let (now, mut ends) = (Instant::from_nanos(1), [end(1, None), end(2, Some(listener))]);
        let group = Group { addr: SocketAddr::from(([239, 255, 1, 2], 8737)), source: None };
        let config = SessionConfig {
            group: Some(group),
            content: Content::Stream { ring: 1 << 15 },
            ..SessionConfig::default()
        };
        // Two members, or there would be no group.
        let peers = [addr(2), addr(3)];
        let session = ends[0].connect(now, config, sender, &peers).expect("a session");
        let wire = VecDeque::new();
        Self { now, ends, session, receivers: Vec::new(), wire, stranger: (0, 0) }
    }

    /// Both ends do what they have to.
    fn turn(&mut self) {
        self.ends[0].write(self.now, self.session, &[7; 3000]);
        for from in [0, 1] {
            let end = &mut self.ends[from];
            end.handle_timeout(self.now);
            while let Some(action) = end.poll_action() {
                if let Action::Join { receiver, .. } = action {
                    end.handle_join(self.now, receiver, Ok(()));
                }
            }
            let mut buf = vec![0; 1 << 16];
            while let Some(t) = end.poll_transmit(self.now, &mut buf) {
                for datagram in buf[..t.len].chunks(t.segment_size) {
                    if t.to == stranger() {
                        self.stranger.1 += datagram.len();
                    } else if self.wire.len() < KEPT {
                        self.wire.push_back((from, t.to, datagram.to_vec()));
                    }
                }
            }
            while end.poll_event().is_some() {}
            while end.next_stranger().is_some() {}
        }
        self.receivers.extend(self.ends[1].accept());
        for receiver in &self.receivers {
            let _ = self.ends[1].read(self.now, *receiver, &mut [0; 4096]);
        }
    }

    fn give(&mut self, to: usize, from: SocketAddr, mut bytes: Vec<u8>) {
        let here = if to == 0 { addr(1) } else { addr(2) };
        let (to_ip, stride) = (Some(here.ip()), bytes.len());
        if from == stranger() && to == 1 {
            self.stranger.0 += bytes.len();
        }
        let arrival = Arrival { from, to: to_ip, ifindex: 1, ecn: 0, stride };
        self.ends[to].handle_datagram(self.now, &arrival, &mut bytes);
    }

    /// What is on its way arrives.
    fn deliver(&mut self) {
        for (from, to, bytes) in core::mem::take(&mut self.wire) {
            // The third address has nobody.
            if to.ip().is_multicast() || to == addr(1) || to == addr(2) {
                let source = if from == 0 { addr(1) } else { addr(2) };
                self.give(1 - from, source, bytes);
            }
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 8 {
            0 => self.now += Duration::from_millis(u64::from(input.u8())),
            1 => self.now += Duration::from_secs(u64::from(input.u8() % 16)),
            // One that was sent, altered, beside the true one.
            2 | 3 => {
                let nth = usize::from(input.u8());
                let found =
                    if self.wire.is_empty() { None } else { self.wire.get(nth % self.wire.len()) };
                let Some((from, _, bytes)) = found.cloned() else { return };
                let (mut bytes, own) = (bytes, if from == 0 { addr(1) } else { addr(2) });
                let far = input.u8() % 2 == 1;
                input.alter(&mut bytes);
                self.give(1 - from, if far { stranger() } else { own }, bytes);
            }
            // Any bytes, to either end, from the other or from a stranger.
            4 | 5 => {
                let (what, len) = (input.u8(), input.u8());
                let to = usize::from(what & 1);
                let other = if to == 0 { addr(2) } else { addr(1) };
                let from = if what & 2 == 0 { other } else { stranger() };
                let mut bytes = input.take(usize::from(len)).to_vec();
                if what & 4 != 0 {
                    // Of the right version, or little else of it is looked at.
                    bytes.iter_mut().take(1).for_each(|first| *first = *first & 0x1f | 0x20);
                }
                if what & 8 != 0 {
                    // With the MAC of everybody a SYN is looked at.
                    bytes.resize(SYN_LEN, 0);
                    FrameKey::open().sign_syn(&mut bytes);
                }
                self.give(to, from, bytes);
            }
            6 => {
                self.turn();
                self.wire.clear(); // lost
            }
            _ => {
                self.turn();
                self.deliver();
            }
        }
    }
}

/// The first byte says whom the ends trust; the rest, what happens between them. A stranger never gets
/// more bytes than it sent, and nobody keeps the listener from working on.
pub fn datagram(input: &[u8]) {
    let mut input = Input::new(input);
    let mut world = World::new(input.u8());
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.turn();
    let (got, sent) = world.stranger;
    assert!(sent <= got, "a stranger sent {got} bytes, and got {sent}");
    assert!(world.ends[1].held().half_open <= 4096);
}
