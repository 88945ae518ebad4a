//! Datagrams that somebody makes without the keys: off the path, who knows addresses and ports alone, and on it,
//! who knows ids and numbers as well.

use super::{
    Attacker, CID, LEN, SECOND, Sort, addr, by_keys, by_secret, group_source, net, patience, play,
};
use crate::hand::{App, DELAY, FLAGS, Net, Packet, outcome, straight};
use crate::hostile::Dice;
use std::cell::Cell;
use std::rc::Rc;
use tcpxm::error::Unreachable;
use tcpxm::proto::event::MemberId;
use tcpxm::seal::FrameKey;
use tcpxm::wire::{
    Ack, Encap, GroupStatus, Header, Kind, Options, RangeList, Reply, Said, Segment, Seq, SpaceAck,
    Tlv, TlvWriter, VERSION,
};

/// What a datagram claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Reset,
    Fin,
    /// Everything has arrived.
    Ack,
    /// There is room for everything.
    Credit,
    Bytes,
}

const CLAIMS: [Claim; 5] = [Claim::Reset, Claim::Fin, Claim::Ack, Claim::Credit, Claim::Bytes];

fn everything() -> Ack<'static> {
    let all =
        SpaceAck { largest: 10_000, delay_us: 0, ce: 0, ranges: RangeList::Listed(&[(0, 10_000)]) };
    Ack {
        data_next: LEN,
        data_edge: 1 << 40,
        control_next: 1000,
        control_edge: 1 << 40,
        group_status: GroupStatus::Joined,
        unicast: Some(all),
        group: Some(all),
    }
}

/// A datagram in the form of one of an association, with a tag of nobody's.
fn forged(dice: &mut Dice, encap: Encap, seq: u32, claim: Claim) -> Vec<u8> {
    let segment = Segment {
        src_port: 8737,
        dst_port: 8737,
        seq: Seq(seq),
        ack: Some(Seq(dice.roll(1 << 32) as u32)),
        window: u16::MAX,
        syn: false,
        fin: claim == Claim::Fin,
        rst: claim == Claim::Reset,
        psh: false,
        options: Options { heard: Some(100), ..Options::default() },
    };
    let header = Header { encap: Encap { tlvs: claim != Claim::Bytes, ..encap }, segment };
    let mut bytes = vec![0; 1200];
    header.emit(&mut bytes);
    let head = header.len();
    let mut at = head + 100;
    if claim != Claim::Bytes {
        let mut tlvs = TlvWriter::new(&mut bytes[head..]);
        tlvs.push(&match claim {
            Claim::Reset => Tlv::Abort("go away"),
            Claim::Fin => Tlv::Ping,
            Claim::Ack => Tlv::Ack(everything()),
            _ => Tlv::Ack(Ack { data_next: 0, unicast: None, group: None, ..everything() }),
        });
        at = head + tlvs.finish();
    }
    bytes.truncate(at + 16);
    let tag = dice.roll(3);
    bytes[at..].fill_with(|| if tag == 0 { 0 } else { dice.roll(256) as u8 });
    bytes
}

fn any_kind(dice: &mut Dice) -> Kind {
    [Kind::Handshake, Kind::Data, Kind::Control, Kind::Group][dice.roll(4) as usize]
}

/// He knows the addresses and ports of both ends, and guesses the rest.
#[test]
fn off_the_path() {
    for trust in [by_secret("s"), by_keys()] {
        let limit = patience(&trust, 2);
        let mut dice = Dice(3);
        let mut net = net(2, &trust.1, straight());
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        let attacker = Attacker::default();
        let plan = attacker.clone();
        net.path = Box::new(move |_, n, packet| {
            for claim in CLAIMS {
                let encap = Encap {
                    kind: any_kind(&mut dice),
                    tlvs: true,
                    repair: false,
                    key_id: dice.roll(3) as u8,
                    offset_high: 0,
                    cid: dice.roll(u64::MAX),
                    pn: dice.roll(500) as u32,
                };
                let seq = dice.roll(1 << 32) as u32;
                let bytes = forged(&mut dice, encap, seq, claim);
                plan.send(n, DELAY, Packet { bytes, ..packet.clone() });
                // To the other end as well, as if it came from this one.
                if !packet.to.ip().is_multicast() {
                    let from = (0..3).find(|n| addr(*n) == packet.from).unwrap();
                    let bytes = forged(&mut dice, encap, seq, claim);
                    plan.send(from, DELAY, Packet { to: packet.from, from: packet.to, bytes });
                }
            }
            for said in
                [Said::Refused("no"), Said::Cookie(&[1; 16]), Said::OtherVersion, Said::Unknown]
            {
                let mut bytes = vec![0; Reply::MAX_LEN];
                let version = VERSION + u8::from(said == Said::OtherVersion);
                let len = Reply { version, cid: dice.roll(u64::MAX), said }.emit(&mut bytes);
                bytes.truncate(len);
                FrameKey::open().sign_answer(&mut bytes, &[0; 16]);
                plan.send(n, DELAY, Packet { bytes, ..packet.clone() });
            }
            vec![(DELAY, packet)]
        });
        play(&mut net, &mut app, limit, &attacker, "off the path");
    }
}

/// He sees every header, and puts his claims behind it: with the same ids, and the packet numbers that come
/// next or have been.
#[test]
fn on_the_path() {
    for trust in [by_secret("s"), by_keys()] {
        let limit = patience(&trust, 2);
        for claim in CLAIMS {
            let mut dice = Dice(4);
            let attacker = Attacker::default();
            let (plan, forgeries) = (attacker.clone(), Rc::new(Cell::new(0)));
            let count = forgeries.clone();
            let path = move |_, n, packet: Packet| {
                if let Ok((header, _)) = Header::parse(&packet.bytes) {
                    for ahead in [0, 1, 2, 1000, 1 << 16, 1 << 31] {
                        let pn = header.encap.pn.wrapping_add(ahead);
                        let encap = Encap { pn, ..header.encap };
                        let bytes = forged(&mut dice, encap, header.segment.seq.0, claim);
                        plan.send(n, DELAY / 2, Packet { bytes, ..packet.clone() });
                        count.set(count.get() + 1);
                    }
                    // The very datagram, with another flag.
                    for flag in [1, 2, 4, 8, 16] {
                        let mut bytes = packet.bytes.clone();
                        bytes[FLAGS] ^= flag;
                        plan.send(n, DELAY / 2, Packet { bytes, ..packet.clone() });
                    }
                }
                vec![(DELAY, packet)]
            };
            let mut net = net(2, &trust.1, Box::new(path));
            let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
            play(&mut net, &mut app, limit, &attacker, &format!("{claim:?}"));
            assert!(forgeries.get() > 1000);
            told_nothing(&net, &app);
        }
    }
}

/// What the sender knows of its members is what they said themselves.
fn told_nothing(net: &Net, app: &App) {
    for index in 0..2 {
        let member = MemberId { session: app.session, index };
        let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
        assert_eq!((report.arrived.total(), report.acked), (LEN, LEN), "{report:?}");
    }
}

/// ICMP: two of them before the answer, and any number behind it, whatever they say.
#[test]
fn unreachable_is_a_word_that_anybody_can_say() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2);
    let mut net = net(2, &trust.1, straight());
    let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    net.pump();
    let peers = [addr(1), addr(2)];
    let say = |net: &mut Net| {
        for peer in peers {
            let now = net.now;
            net.nodes[0].endpoint.handle_unreachable(now, peer, Unreachable::Port(9));
        }
    };
    (0..2).for_each(|_| say(&mut net));
    assert!(net.run(SECOND, |net| {
        app.serve(net);
        app.got.contains(&0)
    }));
    let done = net.run(limit, |net| {
        app.serve(net);
        say(net);
        for node in 1..3 {
            let now = net.now;
            net.nodes[node].endpoint.handle_unreachable(now, addr(0), Unreachable::Port(9));
        }
        !app.done(net)
    });
    assert!(done && (0..2).all(|n| outcome(&net, &app, n) == Some(Ok(()))));
}

/// An answer that names another receiver's id, or a third message for it, from where that one is.
#[test]
fn handshake_messages_under_anothers_id() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2);
    let attacker = Attacker::default();
    let (plan, mut seen) = (attacker.clone(), Vec::<Packet>::new());
    let path = move |_, n, packet: Packet| {
        if matches!(Sort::of(&packet), Sort::SynAck | Sort::Third) {
            for other in seen.iter().filter(|other| other.to == packet.to || n > 0) {
                let mut swapped = packet.clone();
                swapped.bytes[CID].copy_from_slice(&other.bytes[CID]);
                plan.send(n, DELAY / 2, swapped.clone());
                plan.send(n, DELAY * 3, swapped);
            }
            seen.push(packet.clone());
        }
        vec![(DELAY, packet)]
    };
    let mut net = net(2, &trust.1, Box::new(path));
    let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    play(&mut net, &mut app, limit, &attacker, "swapped");
}
