//! The worked example in `docs/wire.md` is what the code writes and reads, byte for byte.

use super::{SealKey, Suite};
use crate::wire::{
    Ack, Encap, GroupStatus, Header, Kind, Options, RangeList, SHORT_LEN, Segment, Seq, SpaceAck,
    TAG_LEN, Tlv, TlvWriter, split,
};

const DOCUMENT: &str = include_str!("../../../docs/wire.md");

/// The bytes of one of the document's two `hex` blocks; what follows a `;` explains.
fn block(number: usize) -> Vec<u8> {
    let mut blocks = DOCUMENT.split("```hex\n").skip(1);
    let (block, _) =
        blocks.nth(number).and_then(|rest| rest.split_once("```")).expect("a hex block");
    block
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).expect("a byte in hex"))
        .collect()
}

/// The key is the 32 bytes 00 01 .. 1f.
fn key() -> SealKey {
    SealKey::new(Suite::Xx, &core::array::from_fn(|at| at as u8))
}

const HEADER: Header = Header {
    encap: Encap {
        kind: Kind::Data,
        tlvs: true,
        repair: false,
        key_id: 0,
        offset_high: 0,
        cid: 0x0123_4567_89ab_cdef,
        pn: 9,
    },
    segment: Segment {
        src_port: 8737,
        dst_port: 40_000,
        seq: Seq(0x1000_0001),
        ack: Some(Seq(0xa000_07d1)),
        window: 128,
        syn: false,
        fin: false,
        rst: false,
        psh: false,
        options: Options {
            mss: None,
            window_scale: None,
            sack_permitted: false,
            group: None,
            heard: Some(75),
        },
    },
};

const ACK: Ack<'_> = Ack {
    data_next: 2000,
    data_edge: 2_099_152,
    control_next: 3,
    control_edge: 65_539,
    group_status: GroupStatus::Joined,
    unicast: Some(SpaceAck {
        largest: 4,
        delay_us: 250,
        ce: 0,
        ranges: RangeList::Listed(&[(0, 4)]),
    }),
    group: Some(SpaceAck {
        largest: 300,
        delay_us: 1000,
        ce: 0,
        ranges: RangeList::Listed(&[(101, 300), (41, 90), (34, 39)]),
    }),
};

#[test]
fn the_example_is_what_the_code_writes() {
    let mut bytes = [0; SHORT_LEN];
    HEADER.emit(&mut bytes);
    let mut w = TlvWriter::new(&mut bytes[HEADER.len()..]);
    assert!(w.push(&Tlv::Ack(ACK)) && w.push(&Tlv::Ping));
    let len = HEADER.len() + w.finish();
    assert_eq!(bytes[..len], block(0), "headers and payload");
    let sealed = &mut bytes[..len + TAG_LEN];
    key().seal(9, sealed, HEADER.len());
    assert_eq!(sealed[HEADER.len()..], block(1), "payload and tag, sealed");
}

#[test]
fn the_example_is_read_as_the_document_says() {
    let (plain, sealed) = (block(0), block(1));
    let mut bytes = [&plain[..HEADER.len()], &sealed].concat();
    let (header, len) = Header::parse(&bytes).unwrap();
    assert_eq!(header, HEADER);
    assert_eq!(key().open(9, &mut bytes, len), Ok(()));
    let payload = &bytes[len..bytes.len() - TAG_LEN];
    assert_eq!(payload, &plain[len..]);
    let (tlvs, data) = split(payload).unwrap();
    assert!(data.is_empty());
    assert_eq!(tlvs.collect::<Vec<_>>(), [Ok(Tlv::Ack(ACK)), Ok(Tlv::Ping)]);
}
