//! No bytes whatsoever make a parser panic, and what it lets through keeps its promises.

use super::tests_strategy::{header, record, tlv};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Everything a receiver does with a datagram's bytes.
fn parse_all(bytes: &[u8]) {
    let Ok((header, len)) = Header::parse(bytes) else { return };
    assert!(len + TAG_LEN <= bytes.len());
    let seq = header.segment.seq;
    assert!(seq::offset_of(header.encap.offset_high, seq, Seq(seq.0 ^ 0x5555)) <= MAX_OFFSET);
    // What was read can be written, in no more room than it came in.
    let mut again = [0; ENCAP_LEN + 60];
    header.emit(&mut again);
    assert_eq!(Header::parse(&[&again[..header.len()], &[0; 16]].concat()).unwrap().0, header);
    parse_area(&bytes[len..bytes.len() - TAG_LEN]);
}

fn parse_area(payload: &[u8]) {
    let Ok((tlvs, data)) = split(payload) else { return };
    assert!(data.len() + 2 <= payload.len());
    let mut items = 0;
    for tlv in tlvs {
        items += 1;
        match tlv {
            Ok(Tlv::Ack(ack)) => check_ack(&ack),
            Ok(Tlv::Handshake(message)) => assert!(message.len() <= tlv::MAX_HANDSHAKE),
            Ok(Tlv::Abort(why)) => assert!(why.len() <= tlv::MAX_REASON),
            Ok(Tlv::Descriptor(d)) => {
                assert!(d.first_offset <= MAX_OFFSET);
                assert!(d.group.is_none_or(|g| g.addr.ip().is_multicast()));
            }
            _ => {}
        }
    }
    assert!(items <= tlv::MAX_TLVS);
}

fn check_ack(ack: &Ack<'_>) {
    let mut count = 0;
    for space in [ack.unicast, ack.group].into_iter().flatten() {
        assert!(space.largest <= MAX_PN);
        assert_eq!(space.ranges.iter().next().map(|r| r.1), Some(space.largest));
        let mut below = u64::MAX;
        for (low, high) in &space.ranges {
            assert!(low <= high && high + 1 < below);
            below = low;
            count += 1;
        }
    }
    assert!(count <= MAX_RANGES);
}

fn check_offsets(list: &OffsetList<'_>) {
    let mut below = None;
    for range in list {
        assert!(range.start < range.end && range.end <= MAX_OFFSET);
        assert!(below.is_none_or(|below| below < range.start));
        below = Some(range.end);
    }
}

fn parse_records(mut bytes: &[u8]) {
    while let Ok(parsed) = Record::parse(bytes) {
        let consumed = match parsed {
            Parsed::Incomplete => return,
            Parsed::Unknown { consumed } => consumed,
            Parsed::Record { record, consumed } => {
                if let Record::Have(list) | Record::Lack(list) | Record::Again(list) = record {
                    check_offsets(&list);
                }
                consumed
            }
        };
        assert!((record::HEAD..=record::HEAD + record::MAX_BODY).contains(&consumed));
        bytes = &bytes[consumed..];
    }
}

/// A change to a valid message: a bit flipped, a byte set, the end cut off, or bytes put in.
fn mutate(bytes: &mut Vec<u8>, changes: &[(u8, prop::sample::Index, u8)]) {
    for (what, at, value) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match what % 4 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = *value,
            2 => bytes.truncate(at),
            _ => bytes.insert(at, *value),
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    vec(any::<(u8, prop::sample::Index, u8)>(), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
        parse_area(&bytes);
        parse_records(&bytes);
        if let Ok(list) = OffsetList::parse(&bytes) {
            check_offsets(&list);
        }
        let _ = Segment::parse(&bytes);
        let _ = Descriptor::parse(&bytes);
        let _ = Options::parse(&bytes);
        if let Ok(ack) = Ack::parse(&bytes) {
            check_ack(&ack);
        }
    }

    #[test]
    fn mutated_datagrams(
        mut header in header(),
        tlvs in vec(tlv(), 0..5),
        changes in changes(),
    ) {
        header.encap.tlvs = true;
        let mut bytes = vec![0; 2000];
        header.emit(&mut bytes);
        let mut w = TlvWriter::new(&mut bytes[header.len()..]);
        for tlv in &tlvs {
            w.push(&tlv.borrow());
        }
        let len = header.len() + w.finish() + TAG_LEN;
        bytes.truncate(len);
        parse_all(&bytes);
        mutate(&mut bytes, &changes);
        parse_all(&bytes);
    }

    #[test]
    fn mutated_records(records in vec(record(), 1..5), changes in changes()) {
        let mut bytes = Vec::new();
        for record in &records {
            let at = bytes.len();
            bytes.resize(at + record.borrow().emit_len(), 0);
            record.borrow().emit(&mut bytes[at..]);
        }
        mutate(&mut bytes, &changes);
        parse_records(&bytes);
    }
}
