//! Headers, TLVs, records and replies: what is read and written again is read alike.

use crate::input::Input;
use tcpxm::wire::{
    Header, Parsed, Record, Reply, TAG_LEN, Tlv, TlvWriter, frozen_syn, split, tlv::MAX_TLVS,
};

/// A TCP header's length is a number of these (RFC 9293, 3.1).
const WORD: usize = 4;

/// Reads bytes as what the first one names.
pub fn tlvs_and_records(input: &[u8]) {
    let mut input = Input::new(input);
    match input.u8() % 4 {
        0 => datagram(input.rest()),
        1 => tlvs(input.rest()),
        2 => records(input.rest()),
        _ => reply(input.rest()),
    }
}

fn datagram(bytes: &[u8]) {
    let Ok((header, len)) = Header::parse(bytes) else { return };
    let mut again = vec![0; header.len()];
    header.emit(&mut again);
    // Unknown options are not written again, so that it may be shorter; a NOP goes before a window's scale, so
    // that it may be a word longer.
    assert!(header.len() <= len + WORD, "{header:?}");
    again.resize(header.len() + TAG_LEN, 0);
    assert_eq!(Header::parse(&again), Ok((header, header.len())));
    if header.encap.tlvs {
        tlvs(&bytes[len..bytes.len() - TAG_LEN]);
    }
}

fn tlvs(payload: &[u8]) {
    let Ok((tlvs, body)) = split(payload) else { return };
    let good: Vec<Tlv<'_>> = tlvs.flatten().collect();
    assert!(good.len() <= MAX_TLVS && body.len() + 2 <= payload.len());
    let mut buf = vec![0; 2 * payload.len() + 4096];
    let mut writer = TlvWriter::new(&mut buf);
    for tlv in &good {
        each_range(tlv);
        if !writer.push(tlv) {
            return; // more than 64 KiB, or what only a reader takes
        }
    }
    let len = writer.finish();
    let again: Vec<Tlv<'_>> = split(&buf[..len]).expect("an area").0.flatten().collect();
    assert_eq!(again.len(), good.len());
    for (again, tlv) in again.iter().zip(&good) {
        // An ACK leaves out its oldest ranges to fit.
        assert!(again == tlv || matches!(tlv, Tlv::Ack(_)), "{again:?} {tlv:?}");
    }
}

/// Ranges descend, and do not touch.
fn each_range(tlv: &Tlv<'_>) {
    let Tlv::Ack(ack) = tlv else { return };
    for space in [ack.unicast, ack.group].into_iter().flatten() {
        let mut above = space.largest + 2;
        for (low, high) in &space.ranges {
            assert!(low <= high && high + 1 < above, "{space:?}");
            above = low;
        }
    }
}

fn records(mut stream: &[u8]) {
    while let Ok(parsed) = Record::parse(stream) {
        let consumed = match parsed {
            Parsed::Incomplete => return,
            Parsed::Unknown { consumed } => consumed,
            Parsed::Record { record, consumed } => {
                let mut again = vec![0; record.emit_len()];
                let len = record.emit(&mut again);
                let parsed = Record::parse(&again);
                assert_eq!(parsed, Ok(Parsed::Record { record, consumed: len }));
                consumed
            }
        };
        stream = &stream[consumed..];
    }
}

fn reply(bytes: &[u8]) {
    if let Some((version, _)) = frozen_syn(bytes) {
        assert!(version < 8 && Reply::parse(bytes).is_none());
    }
    if let Some(Ok(reply)) = Reply::parse(bytes) {
        let mut again = [0; Reply::MAX_LEN];
        let len = reply.emit(&mut again);
        assert_eq!(Reply::parse(&again[..len]), Some(Ok(reply)));
    }
}
