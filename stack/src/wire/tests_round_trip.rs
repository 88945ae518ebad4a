//! Whatever is written is read back.

use super::tests_strategy::{ack, header, options, record, tlv};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn headers(header in header(), payload in vec(any::<u8>(), 0..64), junk: u8) {
        let len = header.len();
        let mut bytes = vec![junk; len];
        header.emit(&mut bytes);
        bytes.extend(&payload);
        prop_assert_eq!(Header::parse(&bytes).is_ok(), payload.len() >= TAG_LEN);
        bytes.extend([0; TAG_LEN]);
        prop_assert_eq!(Header::parse(&bytes), Ok((header, len)));
    }

    #[test]
    fn option_lists(options in options()) {
        let len = options.len();
        prop_assert!(len.is_multiple_of(4) && len <= 40);
        prop_assert_eq!(options.is_empty(), options == Options::default());
        let mut bytes = vec![0xff; len];
        options.emit(&mut bytes);
        prop_assert_eq!(Options::parse(&bytes), options);
    }

    #[test]
    fn acks(owned in ack(MAX_RANGES / 2)) {
        let ack = owned.borrow();
        let mut buf = [0; Ack::MAX_LEN];
        let len = ack.emit(&mut buf).unwrap();
        prop_assert_eq!(Ack::parse(&buf[..len]), Ok(ack));
        prop_assert_eq!(Ack::parse(&buf[..len - 1]).is_ok(), false, "every byte is needed");
        let again = Ack::parse(&buf[..len]).unwrap();
        let mut twice = [0; Ack::MAX_LEN];
        prop_assert_eq!(again.emit(&mut twice), Some(len), "what came can be sent on");
        prop_assert_eq!(twice, buf);
    }

    /// In any room, an ACK either does not fit or reports the newest ranges and nothing false.
    #[test]
    fn acks_in_little_room(owned in ack(100), room in 0..400_usize) {
        let ack = owned.borrow();
        let mut buf = vec![0; room];
        let Some(len) = ack.emit(&mut buf) else { return Ok(()) };
        let parsed = Ack::parse(&buf[..len]).unwrap();
        for (sent, got) in [(ack.unicast, parsed.unicast), (ack.group, parsed.group)] {
            prop_assert_eq!(sent.is_some(), got.is_some());
            let (Some(sent), Some(got)) = (sent, got) else { continue };
            let n = got.ranges.iter().count();
            prop_assert!(n >= 1);
            prop_assert!(got.ranges.iter().eq(sent.ranges.iter().take(n)));
        }
    }

    #[test]
    fn tlv_areas(owned in vec(tlv(), 0..6), data in vec(any::<u8>(), 0..64), room in 0..4000_usize) {
        let mut buf = vec![0xff; room];
        let mut w = TlvWriter::new(&mut buf);
        let mut fitted = Vec::new();
        for tlv in &owned {
            let before = w.remaining();
            if w.push(&tlv.borrow()) {
                fitted.push(tlv.borrow());
            } else {
                prop_assert_eq!(w.remaining(), before);
            }
        }
        let used = room - w.remaining();
        let len = w.finish();
        prop_assert!(len == used || room < 2);
        if len == 0 {
            return Ok(());
        }
        buf.truncate(len);
        buf.extend(&data);
        let (tlvs, rest) = split(&buf).unwrap();
        prop_assert_eq!(rest, data);
        for (sent, got) in fitted.iter().zip(tlvs.clone()) {
            match (sent, got.unwrap()) {
                // An ACK may have had to leave ranges out; `acks_in_little_room` looks at those.
                (Tlv::Ack(sent), Tlv::Ack(got)) => prop_assert_eq!(sent.data_edge, got.data_edge),
                (sent, got) => prop_assert_eq!(sent, &got),
            }
        }
        prop_assert_eq!(tlvs.count(), fitted.len());
    }

    #[test]
    fn records(owned in record(), junk in vec(any::<u8>(), 0..16)) {
        let record = owned.borrow();
        let mut bytes = vec![0; record.emit_len()];
        let consumed = record.emit(&mut bytes);
        prop_assert_eq!(consumed, bytes.len());
        for cut in [0, 1, 2, consumed - 1] {
            if cut < consumed {
                prop_assert_eq!(Record::parse(&bytes[..cut]), Ok(Parsed::Incomplete));
            }
        }
        bytes.extend(&junk);
        prop_assert_eq!(Record::parse(&bytes), Ok(Parsed::Record { record, consumed }));
    }
}
