//! A listener with a secret is silent to who does not hold it, whatever he sends.

use super::{Sort, by_keys, by_secret, end, give, group_source, net, secret, tapped};
use crate::hand::{App, Packet, straight};
use crate::hostile::Dice;
use crate::seeds;
use tcpxm::config::EndpointConfig;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::endpoint::held::Held;
use tcpxm::proto::event::Stranger;
use tcpxm::seal::FrameKey;
use tcpxm::trust::{ListenTrust, SenderTrust};
use tcpxm::wire::{Encap, Kind, Reply, Said};

const DATAGRAMS: u32 = 100_000;

/// All that passes in a session of other people, of whom the listener knows nothing: one with another
/// secret, one with keys, one in the clear.
fn of_others() -> Vec<Packet> {
    let plain = (SenderTrust::Plaintext, ListenTrust::Plaintext);
    let mut all = Vec::new();
    for trust in [by_secret("another"), by_keys(), plain] {
        let (tap, path) = tapped();
        let mut net = net(2, &trust.1, path);
        let len = 60_000;
        let mut app = App::with(&mut net, group_source(len), len, trust.0.clone());
        assert!(app.finish(&mut net, super::SECOND * 5));
        all.extend(tap.borrow().iter().map(|(_, packet)| packet.clone()));
    }
    let sorts = Sort::USUAL;
    assert!(sorts.iter().all(|sort| all.iter().any(|packet| Sort::of(packet) == *sort)));
    all
}

fn random(dice: &mut Dice, len: usize) -> Vec<u8> {
    (0..len).map(|_| dice.roll(256) as u8).collect()
}

/// A datagram of some sort, as a stranger may make it.
fn made(dice: &mut Dice, real: &[Packet]) -> Vec<u8> {
    let length = dice.roll(1500) as usize;
    let one = &real[dice.roll(real.len() as u64) as usize].bytes;
    let mut bytes = match dice.roll(6) {
        0 => random(dice, length),
        // A true header of each kind, and anything behind it.
        1 => {
            let kinds = [Kind::Handshake, Kind::Data, Kind::Control, Kind::Group];
            let encap = Encap {
                kind: kinds[dice.roll(4) as usize],
                tlvs: dice.roll(2) == 0,
                repair: false,
                key_id: 0,
                offset_high: 0,
                cid: dice.roll(u64::MAX),
                pn: dice.roll(100) as u32,
            };
            let mut bytes = random(dice, 16 + length);
            encap.emit(&mut bytes);
            bytes
        }
        // A reply of each kind and version.
        2 => {
            let cookie = [3; 16];
            let said =
                [Said::Refused("no"), Said::Cookie(&cookie), Said::OtherVersion, Said::Unknown];
            let said = said[dice.roll(4) as usize];
            let mut bytes = vec![0; Reply::MAX_LEN];
            let reply = Reply { version: dice.roll(8) as u8, cid: dice.roll(u64::MAX), said };
            let len = reply.emit(&mut bytes);
            bytes.truncate(len);
            bytes
        }
        _ => one.clone(),
    };
    for _ in 0..dice.roll(4) {
        if let Some(last) = bytes.len().checked_sub(1) {
            let most = if dice.roll(2) == 0 { last.min(60) } else { last };
            bytes[dice.roll(most as u64 + 1) as usize] = dice.roll(256) as u8;
        }
    }
    match dice.roll(8) {
        0 => bytes.truncate(length),
        1 => bytes.resize(length, 0),
        _ => {}
    }
    // A SYN of any version, signed as everybody can.
    if dice.roll(4) == 0 && bytes.len() >= 32 {
        bytes.resize(bytes.len().max(1200), 0);
        bytes[0] &= !7;
        FrameKey::open().sign_syn(&mut bytes);
    }
    bytes
}

#[test]
fn with_a_secret_a_stranger_is_not_answered() {
    let real = of_others();
    seeds::each("with_a_secret_a_stranger_is_not_answered", 0..1, |seed| {
        let mut dice = Dice(seed);
        let trust = ListenTrust::Secret(vec![secret("s"), secret("t")]);
        let mut net = net(1, &trust, straight());
        // What the others' receivers gave is not its own.
        let config = EndpointConfig { listen: Some(trust.clone()), ..EndpointConfig::default() };
        net.nodes[1].endpoint = Endpoint::new(config, [8; 32]);
        let mut told = 0;
        for n in 0..DATAGRAMS {
            let bytes = made(&mut dice, &real);
            let from = ([10, 8, (n >> 8) as u8, n as u8], 1 + dice.roll(60_000) as u16).into();
            let said = give(&mut net, 1, from, &bytes);
            assert!(
                said.is_empty(),
                "datagram {n} was answered: {:02x?} …",
                &bytes[..bytes.len().min(40)]
            );
            while let Some(stranger) = net.nodes[1].endpoint.next_stranger() {
                assert_eq!(stranger, Stranger::Secret { from });
                told += 1;
            }
            net.now += core::time::Duration::from_millis(1);
        }
        assert!(told > DATAGRAMS / 20, "SYNs were among them: {told}");
        assert_eq!(net.nodes[1].endpoint.held(), Held::default(), "something is kept of them");
        // It is there, though.
        let mut friend = end(0, 1, &trust).1;
        let sender = SenderTrust::Secret(secret("t"));
        let peer = net.nodes[1].addr;
        friend.connect(net.now, group_source(1), sender, &[peer]).unwrap();
        let mut buf = vec![0; 2000];
        let t = friend.poll_transmit(net.now, &mut buf).unwrap();
        assert_eq!(give(&mut net, 1, super::addr(0), &buf[..t.len]).len(), 1);
    });
}
