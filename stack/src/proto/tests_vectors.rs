//! The test vectors in `stack/tests/vectors/` are what the code makes, byte for byte; another
//! implementation opens them (`stack/tests/opener/`). To write them anew:
//!
//! ```sh
//! cargo test -q -p tcpxm --lib tests_vectors -- --nocapture | awk '
//!     /^# Vectors: / { file = "stack/tests/vectors/" $3 ".txt" }
//!     file { print > file }
//!     /^# end$/ { file = "" }'
//! ```

use super::conn::Names;
use super::conn::emit::{assemble, assemble_bare};
use super::conn::handshake::{Opening, blank_names, parse_hello, parse_third, syn_ack};
use super::time::Instant;
use crate::config::Group;
use crate::seal::chain::PER_KEY;
use crate::seal::{Credentials, FrameKey, KeyChain, Keys, SealKey, Suite};
use crate::trust::{Identity, NoiseKey, Secret, SenderKeys, SenderTrust};
use crate::wire::{
    Ack, Descriptor, Encap, Features, GroupStatus, Header, Kind, Options, RangeList, Record, Reply,
    SYN_LEN, Said, Segment, Seq, SpaceAck, TAG_LEN, Tlv, offset_high,
};
use chacha20::ChaCha12Rng;
use core::convert::Infallible;
use core::fmt::Write as _;
use rand_core::{Rng as _, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is committed, by name.
const FILES: [(&str, &str); 4] = [
    ("null", include_str!("../../tests/vectors/null.txt")),
    ("xx", include_str!("../../tests/vectors/xx.txt")),
    ("xx_identities", include_str!("../../tests/vectors/xx_identities.txt")),
    ("xxpsk0", include_str!("../../tests/vectors/xxpsk0.txt")),
];

const SECRET: &[u8] = b"Tm90IGEgc2VjcmV0OiBpdCBzdGFuZHMgaW4gYSB0ZXN0";
const RANDOM: [[u8; 32]; 2] = [[0x11; 32], [0x22; 32]];
const GROUP_KEY: [u8; 32] = [0x77; 32];
const CIDS: [u64; 2] = [0x1111_2222_3333_4444, 0x5555_6666_7777_8888];
const GROUP_CID: u64 = 0x9999_aaaa_bbbb_cccc;
const ISS: [Seq; 2] = [Seq(0x1000_0000), Seq(0xffff_fff0)];
const PORTS: [u16; 2] = [40_000, 8737];

/// A file of vectors.
#[derive(Default)]
struct File(String);

impl File {
    fn say(&mut self, comment: &str) {
        let _ = writeln!(self.0, "\n# {comment}");
    }

    /// A name and its bytes, in lines of 48.
    fn put(&mut self, name: &str, bytes: &[u8]) {
        let _ = writeln!(self.0, "{name} =");
        for line in bytes.chunks(48) {
            let hex = line.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            let _ = writeln!(self.0, "    {hex}");
        }
    }
}

/// Both ends of one suite.
struct Ends {
    trust: Arc<SenderTrust>,
    initiator: Credentials,
    responder: Credentials,
    frame: FrameKey,
}

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::generate(core::array::from_fn(|at| n ^ at as u8)))
}

fn ends(name: &str) -> Ends {
    let peer = names(0).peer;
    let trust = match name {
        "null" => SenderTrust::Plaintext,
        "xx" => SenderTrust::Loopback,
        "xx_identities" => {
            let (identity, known) = (identity(0x40), BTreeMap::new());
            SenderTrust::Keys(SenderKeys { identity, known, strict: false })
        }
        _ => SenderTrust::Secret(Arc::new(Secret::from_line(SECRET).unwrap())),
    };
    let responder = match trust.credentials(&NoiseKey::drawn(&RANDOM[1]), peer) {
        Credentials::Identity(_) => Credentials::Identity(identity(0x80)),
        same => same,
    };
    let initiator = trust.credentials(&NoiseKey::drawn(&RANDOM[0]), peer);
    Ends { frame: trust.frame(peer), trust: Arc::new(trust), initiator, responder }
}

fn descriptor() -> Descriptor {
    Descriptor {
        features: Features::XM.with(Features::GROUPS),
        first_offset: 0,
        segment_size: 1420,
        group_cid: GROUP_CID,
        group: Some(Group { addr: "239.255.1.2:8737".parse().unwrap(), source: None }),
        group_from: Some("192.0.2.1".parse().unwrap()),
    }
}

fn names(end: usize) -> Names {
    let peer = format!("192.0.2.{}:{}", 2 - end, PORTS[1 - end]).parse().unwrap();
    let blank = blank_names(peer, PORTS[end], CIDS[end], ISS[end]);
    Names { remote_cid: CIDS[1 - end], irs: ISS[1 - end], ..blank }
}

/// What the two ends bring along, and what is drawn for them.
fn inputs(file: &mut File, ends: &Ends) {
    file.say("what both ends bring along");
    let suite = ends.responder.suite();
    file.put("suite", &[suite as u8]);
    if let SenderTrust::Secret(secret) = &*ends.trust {
        file.put("secret.line", SECRET);
        file.put("secret.psk", secret.psk());
        file.put("secret.frames", secret.frame_key());
    }
    let credentials = [ends.initiator.clone(), ends.responder.clone()];
    for (end, role) in ["initiator", "responder"].into_iter().enumerate() {
        let draw = |context| blake3::derive_key(context, &RANDOM[end]);
        file.say(&format!("{role}: its randomness, and the private keys that are drawn from it"));
        file.put(&format!("{role}.random"), &RANDOM[end]);
        if suite == Suite::Null {
            continue;
        }
        let mut ephemeral = [0; 32];
        ChaCha12Rng::from_seed(draw("tcpxm 2026 seed of the ephemeral key"))
            .fill_bytes(&mut ephemeral);
        file.put(&format!("{role}.ephemeral"), &ephemeral);
        if let Credentials::Identity(identity) = &credentials[end] {
            file.put(&format!("{role}.static"), identity.parts().1);
            file.put(&format!("{role}.ed25519.seed"), identity.parts().0);
            file.put(&format!("{role}.ed25519.public"), identity.public().as_bytes());
        } else {
            file.put(&format!("{role}.static"), NoiseKey::drawn(&RANDOM[end]).private());
        }
    }
}

/// The three datagrams, a repeated SYN with a cookie, and the initiator's keys.
fn handshake(file: &mut File, ends: &Ends) -> (Vec<u8>, Keys) {
    let (t, d) = (Instant::ZERO, descriptor());
    let blank = blank_names(names(0).peer, PORTS[0], CIDS[0], ISS[0]);
    let mut opening =
        Opening::new(t, &blank, &d, (&ends.trust, &NoiseKey::drawn(&RANDOM[0]), RANDOM[0]));
    let mut syn = vec![0; SYN_LEN];
    assert_eq!(opening.emit(t, &mut syn), Some(SYN_LEN));
    file.say("the three datagrams of the handshake");
    file.put("syn", &syn);
    let (header, len) = Header::parse(&syn).unwrap();
    let hello = parse_hello(&header, len, &syn).unwrap();
    let own = (&ends.responder, RANDOM[1]);
    let (mut responder, answer) = syn_ack(&names(1), &d, own, &hello, 2 << 20).unwrap();
    file.put("syn_ack", &answer);
    let (header, len) = Header::parse(&answer).unwrap();
    let hello = parse_hello(&header, len, &answer).unwrap();
    let opened = opening.on_answer(t, &names(0), &hello).unwrap();
    file.put("third", &opened.third);
    let (header, len) = Header::parse(&opened.third).unwrap();
    let (prefix, message) = parse_third(&header, len, &opened.third).unwrap();
    let (mut theirs, _) = responder.third(prefix, message).unwrap();
    let mut keys = opened.keys;
    assert_eq!(keys.tx().bytes(), theirs.rx().bytes());
    file.say("the keys of both directions");
    file.put("key.to_responder", &keys.tx().bytes());
    file.put("key.to_initiator", &keys.rx().bytes());
    (syn, keys)
}

/// Headers of a datagram from an end.
fn header(end: usize, kind: Kind, pn: u64, offset: u64) -> Header {
    Header {
        encap: Encap {
            kind,
            tlvs: false,
            repair: false,
            key_id: KeyChain::id(pn),
            offset_high: offset_high(offset),
            cid: CIDS[1 - end],
            pn: pn as u32,
        },
        segment: Segment {
            src_port: PORTS[end],
            dst_port: PORTS[1 - end],
            seq: Seq::of_offset(ISS[end], offset),
            ack: Some(Seq::of_offset(ISS[1 - end], 0)),
            window: 128,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            options: Options::default(),
        },
    }
}

/// Puts a datagram, with its whole packet number and what is hidden in it.
fn sealed(
    file: &mut File,
    (name, comment): (&str, &str),
    (header, pn): (Header, u64),
    (tlvs, body): (&[Tlv<'_>], &[u8]),
    seal: impl FnOnce(&mut [u8], usize),
) {
    let mut buf = vec![0; SYN_LEN];
    let put = |room: &mut [u8]| {
        room.copy_from_slice(body);
        Ok::<_, Infallible>(())
    };
    let mut payload = Vec::new();
    let Ok(len) = assemble(&mut buf, header, tlvs, body.len(), put, |datagram, head| {
        payload.extend_from_slice(&datagram[head..datagram.len() - TAG_LEN]);
        seal(datagram, head);
    });
    file.say(comment);
    file.put(name, &buf[..len]);
    file.put(&format!("{name}.pn"), &pn.to_be_bytes());
    file.put(&format!("{name}.payload"), &payload);
}

fn report(status: GroupStatus) -> Ack<'static> {
    let space = SpaceAck { largest: 0, delay_us: 250, ce: 0, ranges: RangeList::Listed(&[(0, 0)]) };
    Ack {
        data_next: 0,
        data_edge: 0,
        control_next: 3,
        control_edge: 65_539,
        group_status: status,
        unicast: Some(space),
        group: None,
    }
}

fn datagrams(file: &mut File, keys: &mut Keys) {
    let mut record = [0; 64];
    let told = Record::GroupKey { id: 1, key: GROUP_KEY, overlap_ms: 300 };
    let told_len = told.emit(&mut record);
    let to_responder = [
        ("data", "data to the responder", Kind::Data, 0, 0, &b"the first bytes of a stream"[..]),
        (
            "control",
            "control to it: the record GROUP_KEY",
            Kind::Control,
            1,
            0,
            &record[..told_len],
        ),
        ("last", "the last of the first key", Kind::Data, PER_KEY - 1, 1 << 32, b"last"),
        ("next", "the first of the next key", Kind::Data, PER_KEY, (1 << 32) + 4, b"next"),
    ];
    for (name, comment, kind, pn, offset, body) in to_responder {
        let ack = [Tlv::Ack(report(GroupStatus::None)), Tlv::Newest(7)];
        let tlvs = if kind == Kind::Control { &ack[..] } else { &[] };
        let header = header(0, kind, pn, offset);
        sealed(file, (name, comment), (header, pn), (tlvs, body), |datagram, head| {
            keys.tx().seal(pn, datagram, head);
        });
    }
    let len = Record::Joined.emit(&mut record);
    let tlvs = [Tlv::Ack(report(GroupStatus::Joined)), Tlv::Ping];
    let (back, joined) = (header(1, Kind::Control, 0, 0), &record[..len]);
    let words = ("back", "control to the initiator: the record JOINED");
    sealed(file, words, (back, 0), (&tlvs, joined), |datagram, head| {
        keys.rx().seal(0, datagram, head);
    });
    let mut group = header(0, Kind::Group, 7, 27);
    (group.encap.cid, group.encap.key_id) = (GROUP_CID, 1);
    let key = SealKey::new(keys.suite(), &GROUP_KEY);
    let words = ("group", "to the group, with the key of the record above");
    sealed(file, words, (group, 7), (&[], b"bytes for all"), |datagram, head| {
        key.seal(7, datagram, head);
    });
}

fn replies(file: &mut File, frame: &FrameKey, syn: &[u8]) {
    let cookie = core::array::from_fn(|at| 0xc0 | at as u8);
    let tag = syn.last_chunk::<TAG_LEN>().unwrap();
    let new = |said| Reply::new(CIDS[0], said);
    for (name, comment, reply, tag) in [
        ("reply.cookie", "replies to the SYN: a cookie", new(Said::Cookie(&cookie)), tag),
        (
            "reply.version",
            "that another version is spoken there, the second",
            Reply { version: 2, ..new(Said::OtherVersion) },
            tag,
        ),
        ("reply.refusal", "a refusal", new(Said::Refused("too many sessions wait")), tag),
        (
            "reply.unknown",
            "a reply to a datagram of an association that is not known any more",
            Reply::new(CIDS[1], Said::Unknown),
            &[0; TAG_LEN],
        ),
    ] {
        let mut buf = [0; Reply::MAX_LEN];
        let len = reply.emit(&mut buf);
        frame.sign_answer(&mut buf[..len], tag);
        file.say(comment);
        file.put(name, &buf[..len]);
    }
    let mut again = syn.to_vec();
    crate::seal::frame::set_cookie(&mut again, &cookie);
    file.say("the SYN with that cookie");
    file.put("syn.with_cookie", &again);
}

/// An end that gives up says why.
fn abort(file: &mut File, keys: &mut Keys) {
    let mut header = header(0, Kind::Control, 2, 40);
    (header.segment.rst, header.encap.tlvs) = (true, true);
    let mut buf = vec![0; SYN_LEN];
    let mut payload = Vec::new();
    let len = assemble_bare(&mut buf, header, &[Tlv::Abort("the user stopped it")], |all, head| {
        payload.extend_from_slice(&all[head..all.len() - TAG_LEN]);
        keys.tx().seal(2, all, head);
    });
    file.say("an abort");
    file.put("abort", &buf[..len]);
    file.put("abort.pn", &2_u64.to_be_bytes());
    file.put("abort.payload", &payload);
}

fn vectors(name: &str) -> String {
    let mut file = File::default();
    let _ = writeln!(
        file.0,
        "# Vectors: {name}\n\
         # Of docs/wire.md; written by stack/src/proto/tests_vectors.rs, never by hand. A name, then its bytes in hex."
    );
    let ends = ends(name);
    inputs(&mut file, &ends);
    let (syn, mut keys) = handshake(&mut file, &ends);
    // Before the key changes.
    abort(&mut file, &mut keys);
    datagrams(&mut file, &mut keys);
    file.say("the key behind the first of that direction");
    file.put("key.to_responder.next", &keys.tx().bytes());
    replies(&mut file, &ends.frame, &syn);
    file.0 += "\n# end\n";
    file.0
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let mut differing = Vec::new();
    for (name, committed) in FILES {
        let made = vectors(name);
        println!("{made}");
        let pairs = committed.lines().zip(made.lines());
        let differs = pairs.zip(1..).find(|((one, other), _)| one != other);
        if let Some((_, line)) = differs {
            differing.push((name, line));
        } else if committed.len() != made.len() {
            differing.push((name, 0));
        }
    }
    assert_eq!(differing, [], "these files and lines differ");
}
