//! Attacks on sealed sessions, by whoever sees what passes, or knows where the ends are: nothing of it ends,
//! stalls or alters a copy.

mod bits;
mod downgrade;
mod elsewhere;
mod handshakes;
mod ids;
mod insider;
mod memory;
mod outage;
mod replays;
mod restart;
mod revocation;
mod spoofed;
mod strangers;

use crate::hand::{
    App, Beside, CONTROL, DATA, FLAGS, GROUP, HANDSHAKE, Net, Packet, Path, outcome, source,
};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tcpxm::config::{Delivery, EndpointConfig, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::Arrival;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{CidKey, Identity, ListenKeys, ListenTrust, Secret, SenderKeys, SenderTrust};
use tcpxm::wire::{Reply, Said, TAG_LEN};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const LEN: u64 = 300_000;
/// Where the connection id of a datagram stands.
pub(super) const CID: core::ops::Range<usize> = 4..12;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// What a datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Syn,
    SynAck,
    Third,
    Data,
    Control,
    Group,
    Reply,
}

impl Sort {
    /// All that a session without any trouble consists of.
    pub(super) const USUAL: [Self; 6] =
        [Self::Syn, Self::SynAck, Self::Third, Self::Data, Self::Control, Self::Group];

    pub(super) fn of(packet: &Packet) -> Self {
        match packet.kind() {
            HANDSHAKE => match packet.bytes[FLAGS] & (SYN | ACK) {
                SYN => Self::Syn,
                ACK => Self::Third,
                _ => Self::SynAck,
            },
            DATA => Self::Data,
            CONTROL => Self::Control,
            GROUP => Self::Group,
            _ => Self::Reply,
        }
    }
}

/// Whom both ends trust.
pub(super) fn secret(of: &str) -> Arc<Secret> {
    Arc::new(Secret::from_line(of.repeat(32).as_bytes()).unwrap())
}

pub(super) fn by_secret(of: &str) -> (SenderTrust, ListenTrust) {
    (SenderTrust::Secret(secret(of)), ListenTrust::Secret(vec![secret(of)]))
}

pub(super) fn identity(of: u8) -> Arc<Identity> {
    Arc::new(Identity::generate([of; 64]))
}

pub(super) fn by_keys() -> (SenderTrust, ListenTrust) {
    let sender =
        SenderKeys { identity: identity(1), known: [].into_iter().collect(), strict: false };
    let authorized = [identity(1).public()].into();
    let listen = ListenKeys { identity: identity(2), authorized, refused: BTreeMap::new() };
    (SenderTrust::Keys(sender), ListenTrust::Keys(listen))
}

pub(super) fn addr(n: usize) -> SocketAddr {
    ([10, 0, 0, n as u8 + 1], 8737).into()
}

/// The endpoint of node `n`; the first only sends.
pub(super) fn end(n: usize, seed: u8, trust: &ListenTrust) -> (SocketAddr, Endpoint) {
    let config = EndpointConfig {
        listen: (n > 0).then(|| trust.clone()),
        cid_key: Some(CidKey::new([n as u8 + 100; 32])),
        port: 8737,
        ..EndpointConfig::default()
    };
    (addr(n), Endpoint::new(config, [n as u8 ^ seed; 32]))
}

/// A sender and so many receivers.
pub(super) fn net(receivers: usize, trust: &ListenTrust, path: Path) -> Net {
    Net::of((0..=receivers).map(|n| end(n, 0, trust)), path)
}

pub(super) fn group_source(len: u64) -> SessionConfig {
    source(len, Delivery::Unordered, Some(crate::hand::group()))
}

/// What an attacker lets fly, to which node: paths put it here, and it leaves when they are done.
#[derive(Clone, Default)]
pub(super) struct Attacker(Beside);

impl Attacker {
    pub(super) fn send(&self, n: usize, delay: Duration, packet: Packet) {
        self.0.borrow_mut().push((n, delay, packet));
    }

    /// Begins to attack.
    pub(super) fn enter(&self, net: &mut Net) {
        net.beside = Rc::clone(&self.0);
    }
}

/// Plays a session out while somebody attacks; every receiver must have all of it by `limit`.
pub(super) fn play(net: &mut Net, app: &mut App, limit: Duration, attacker: &Attacker, what: &str) {
    attacker.enter(net);
    let begin = net.now;
    let done = net.run(limit, |net| {
        app.serve(net);
        !app.done(net)
    });
    for index in 0..app.ids.len() {
        let outcome = outcome(net, app, index);
        assert_eq!(outcome, Some(Ok(())), "{what}: receiver {index}, {:?} of {}", app.got, app.len);
    }
    assert!(done, "{what}: took {:?}", net.now.since(begin));
    assert_eq!(app.got, vec![app.len; app.got.len()], "{what}");
}

/// How long a session may take that is attacked, of which nothing is lost but a first copy of something:
/// twice what it takes in peace, and two seconds.
pub(super) fn patience(trust: &(SenderTrust, ListenTrust), receivers: usize) -> Duration {
    let mut net = net(receivers, &trust.1, crate::hand::straight());
    let begin = net.now;
    let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    assert!(app.finish(&mut net, SECOND * 5));
    net.now.since(begin) * 2 + SECOND * 2
}

/// Gives an endpoint a datagram, and all that it says to that at once.
pub(super) fn give(net: &mut Net, n: usize, from: SocketAddr, bytes: &[u8]) -> Vec<Packet> {
    let (mut bytes, to) = (bytes.to_vec(), net.nodes[n].addr);
    let arrival =
        Arrival { from, to: Some(to.ip()), ifindex: 1, ecn: 0, stride: bytes.len().max(1) };
    let endpoint = &mut net.nodes[n].endpoint;
    endpoint.handle_datagram(net.now, &arrival, &mut bytes);
    let mut buf = vec![0; 1 << 16];
    let mut said = Vec::new();
    while let Some(t) = endpoint.poll_transmit(net.now, &mut buf) {
        let chunks = buf[..t.len].chunks(t.segment_size);
        said.extend(chunks.map(|bytes| Packet { to: t.to, from: to, bytes: bytes.to_vec() }));
    }
    said
}

/// A reply to a datagram on its way from the first node, of a version, as everybody can sign it. `tag`: that of
/// a SYN, or zeros.
pub(super) fn reply(packet: &Packet, version: u8, said: Said<'_>, tag: &[u8; TAG_LEN]) -> Packet {
    let cid = u64::from_be_bytes(packet.bytes[CID].try_into().unwrap());
    let mut bytes = vec![0; Reply::MAX_LEN];
    let len = Reply { version, cid, said }.emit(&mut bytes);
    bytes.truncate(len);
    FrameKey::open().sign_answer(&mut bytes, tag);
    Packet { to: addr(0), from: packet.to, bytes }
}

/// Everything that passes, with the node that it goes to.
pub(super) type Tap = Rc<RefCell<Vec<(usize, Packet)>>>;

/// A straight path of which everything is seen.
pub(super) fn tapped() -> (Tap, Path) {
    let tap = Tap::default();
    let seen = Rc::clone(&tap);
    let path: Path = Box::new(move |_, n, packet| {
        seen.borrow_mut().push((n, packet.clone()));
        vec![(crate::hand::DELAY, packet)]
    });
    (tap, path)
}
