//! Packet numbers on their way through an association's life: over the wrap of their 32 bits, and jumps.

use super::*;
use crate::config::Algorithm;
use crate::proto::conn::emit::assemble_bare;
use crate::proto::conn::handshake::blank_names;
use crate::seal::chain::PER_KEY;
use crate::seal::{KeyChain, Keys, Suite};
use crate::wire::{Encap, Options};
use core::time::Duration;

const KEY: [u8; 32] = [2; 32];

/// The receiving end, whose peer seals with [`KEY`].
fn conn() -> Conn {
    let names = blank_names("192.0.2.1:1".parse().unwrap(), 1, 5, Seq(1));
    let keys = Keys::new(Suite::Xx, ([1; 32], KEY), [0; 32]);
    Conn::accept(names, keys, Algorithm::default(), Duration::from_secs(9), Instant::ZERO)
}

/// A ping with this number.
fn ping(tx: &mut KeyChain, pn: u64) -> Vec<u8> {
    let encap = Encap {
        kind: Kind::Control,
        tlvs: true,
        repair: false,
        key_id: KeyChain::id(pn),
        offset_high: 0,
        cid: 5,
        pn: pn as u32,
    };
    let segment = Segment {
        src_port: 1,
        dst_port: 1,
        seq: Seq(1),
        ack: Some(Seq(1)),
        window: 0,
        syn: false,
        fin: false,
        rst: false,
        psh: false,
        options: Options::default(),
    };
    let mut bytes = vec![0; 200];
    let header = Header { encap, segment };
    let len = assemble_bare(&mut bytes, header, &[Tlv::Ping], |datagram, head| {
        tx.seal(pn, datagram, head);
    });
    bytes.truncate(len);
    bytes
}

/// Whether it is taken, and as which number; then it is booked.
fn take(conn: &mut Conn, datagram: &[u8]) -> Option<u64> {
    let (header, head) = Header::parse(datagram).unwrap();
    let mut copy = datagram.to_vec();
    let from = conn.names().peer;
    let incoming = conn.open(from, (header, head), &mut copy)?;
    conn.book(Instant::ZERO, &incoming, false);
    Some(incoming.pn)
}

#[test]
fn packet_numbers_go_on_where_their_32_bits_wrap_and_keys_follow() {
    let (mut conn, mut tx) = (conn(), KeyChain::new(Suite::Xx, KEY));
    let wrap = 1_u64 << 32;
    // Each key's last number and the next one's first, up to and over the wrap.
    for first in (PER_KEY..=wrap + PER_KEY).step_by(PER_KEY as usize) {
        for pn in [first - 1, first] {
            let datagram = ping(&mut tx, pn);
            assert_eq!(take(&mut conn, &datagram), Some(pn));
            assert_eq!(take(&mut conn, &datagram), None, "{pn} comes once more");
        }
    }
    // The same 32 bits as before the wrap are another number: what has them is none of those.
    let early = ping(&mut KeyChain::new(Suite::Xx, KEY), 1);
    assert_eq!(take(&mut conn, &early), None, "the second of all comes again");
}

#[test]
fn a_number_that_nobody_sealed_moves_nothing() {
    let (mut conn, mut tx) = (conn(), KeyChain::new(Suite::Xx, KEY));
    assert_eq!(take(&mut conn, &ping(&mut tx, 0)), Some(0));
    let mut forged = ping(&mut tx, 1);
    for pn in [2_u32, 1 << 16, 1 << 22, 1 << 31, u32::MAX] {
        forged[12..16].copy_from_slice(&pn.to_be_bytes());
        assert_eq!(take(&mut conn, &forged), None, "{pn}");
    }
    assert_eq!(take(&mut conn, &ping(&mut tx, 1)), Some(1));
}
