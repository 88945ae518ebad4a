use super::{Control, Notice, PARTIAL};
use crate::proto::event::ControlRead;
use crate::wire::record::{INITIAL_CREDIT, MAX_BODY};
use crate::wire::{MAX_OFFSET, OffsetList, Record};
use core::ops::Range;
use proptest::prelude::*;

/// Moves a range of one side's bytes to the other.
fn deliver(from: &Control, to: &mut Control, range: &Range<u64>) -> bool {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    from.copy(range, &mut bytes);
    to.accept(range.start, &bytes)
}

/// Lets everything pass without loss, one way.
fn flush(from: &mut Control, to: &mut Control, notices: &mut Vec<Notice>) {
    while let Some(range) = from.take(700) {
        assert!(deliver(from, to, &range));
        from.on_acked(range);
        to.decode(notices).unwrap();
        let (next, edge) = to.window();
        from.on_report(next, edge);
    }
}

fn read_all(control: &mut Control) -> Vec<u8> {
    let (mut out, mut buf) = (Vec::new(), [0; 1000]);
    while let ControlRead::Data(n) = control.app_read(&mut buf) {
        out.extend_from_slice(&buf[..n]);
    }
    out
}

#[test]
fn an_application_that_does_not_read_does_not_hold_back_the_engine() {
    let (mut a, mut b) = (Control::new(), Control::new());
    let mut notices = Vec::new();
    let flood = vec![7; 1 << 20];
    let taken = a.app_write(&flood) as u64;
    assert_eq!(taken, INITIAL_CREDIT, "the credit bounds what may wait at the other end");
    flush(&mut a, &mut b, &mut notices);
    assert_eq!(a.app_write(&flood), 0);
    a.push(&Record::Joined);
    flush(&mut a, &mut b, &mut notices);
    assert_eq!(notices, [Notice::Joined]);
    assert!(b.take_fresh() && !b.take_fresh());
    assert_eq!(read_all(&mut b).len() as u64, taken);
    flush(&mut b, &mut a, &mut notices);
    assert!(a.app_write(&flood) > 0, "reading gives credit back");
}

#[test]
fn a_record_that_comes_in_pieces_is_not_moved_about() {
    let (mut a, mut b) = (Control::new(), Control::new());
    let mut notices = Vec::new();
    a.push(&Record::Joined);
    flush(&mut a, &mut b, &mut notices);
    let place = b.partial.as_ptr();
    // As long as they get, and in steps that fit no record.
    for _ in 0..2 {
        a.push(&Record::App(&[7; MAX_BODY]));
        flush(&mut a, &mut b, &mut notices);
    }
    a.push(&Record::GroupKey { id: 1, key: [9; 32], overlap_ms: 5 });
    flush(&mut a, &mut b, &mut notices);
    assert_eq!((notices.len(), b.partial.as_ptr()), (2, place));
    assert!(b.partial.capacity() >= PARTIAL);
}

#[test]
fn more_bytes_than_credit_are_a_violation() {
    let (mut a, mut b) = (Control::new(), Control::new());
    for _ in 0..=INITIAL_CREDIT / 1000 {
        a.push(&Record::App(&[1; 1000]));
    }
    let mut violated = false;
    while let Some(range) = a.take(700) {
        assert!(deliver(&a, &mut b, &range));
        violated |= b.decode(&mut Vec::new()).is_err();
        let (next, edge) = b.window();
        a.on_report(next, edge);
    }
    assert!(violated);
}

#[test]
fn a_writer_fills_a_bounded_ring_and_leaves_the_engine_its_part() {
    let (mut a, mut b) = (Control::new(), Control::new());
    b.push(&Record::Credit(1 << 40));
    flush(&mut b, &mut a, &mut Vec::new());
    let taken = a.app_write(&vec![0; 1 << 20]);
    assert!(taken > 0 && a.app_room() == 0);
    assert!(a.out.len() <= super::OUT_LIMIT - super::ENGINE_RESERVE);
    a.push(&Record::Joined);
    assert!(a.out.len() <= super::OUT_LIMIT);
}

#[test]
fn nothing_is_sent_beyond_the_edge() {
    let mut a = Control::new();
    while a.out_end() < super::INITIAL_EDGE + 1000 {
        a.push(&Record::App(&[1; 1000]));
    }
    let mut sent = 0;
    while let Some(range) = a.take(700) {
        sent = range.end;
    }
    assert_eq!(sent, super::INITIAL_EDGE);
    assert!(!a.has_next() && !a.all_sent());
    a.on_report(u64::MAX, super::INITIAL_EDGE + 10);
    assert_eq!(a.take(700), Some(super::INITIAL_EDGE..super::INITIAL_EDGE + 10));
    a.on_report(sent, 0);
    assert_eq!(a.out_base, sent, "in order is acknowledged");
}

#[test]
fn the_end_is_seen_after_the_last_byte() {
    let (mut a, mut b) = (Control::new(), Control::new());
    assert_eq!(a.app_write(b"last"), 4);
    let range = a.take(100).unwrap();
    assert!(b.set_end(a.out_end()), "a FIN may overtake the bytes");
    b.decode(&mut Vec::new()).unwrap();
    assert!(!b.peer_closed());
    assert!(deliver(&a, &mut b, &range));
    b.decode(&mut Vec::new()).unwrap();
    assert!(b.peer_closed());
    assert_eq!(b.app_read(&mut [0; 9]), ControlRead::Data(4));
    assert_eq!(b.app_read(&mut [0; 9]), ControlRead::End);
}

proptest! {
    /// Bytes and records survive loss, duplication and reordering.
    #[test]
    fn records_arrive_once_and_in_order(
        chunks in prop::collection::vec((0..3000usize, any::<bool>()), 1..20),
        fates in prop::collection::vec(0..4u8, 1..300),
        size in 1..900usize,
    ) {
        let (mut a, mut b) = (Control::new(), Control::new());
        let (mut sent, mut joined) = (Vec::new(), 0);
        for (len, record) in chunks {
            let bytes: Vec<u8> = (0..len).map(|k| (k * 7 + len) as u8).collect();
            let n = a.app_write(&bytes);
            sent.extend_from_slice(&bytes[..n]);
            if record {
                a.push(&Record::Joined);
                joined += 1;
            }
        }
        let (mut fates, mut late) = (fates.into_iter().cycle(), Vec::new());
        let (mut notices, mut got) = (Vec::new(), Vec::new());
        for round in 0.. {
            let Some(range) = a.take(size) else { break };
            // Towards the end nothing is lost, so that there is an end.
            match if round > 5000 { 0 } else { fates.next().unwrap() } {
                0 => {
                    prop_assert!(deliver(&a, &mut b, &range));
                    a.on_acked(range);
                }
                1 => a.on_lost(range),
                2 => {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    a.copy(&range, &mut bytes);
                    late.push((range.start, bytes));
                    a.on_lost(range);
                }
                _ => {
                    if let Some((start, bytes)) = late.pop() {
                        b.accept(start, &bytes);
                    }
                    a.on_lost(range);
                }
            }
            b.decode(&mut notices).unwrap();
            got.extend(read_all(&mut b));
            let (next, edge) = b.window();
            a.on_report(next.min(a.out_base), edge);
        }
        prop_assert!(a.all_acked() && a.all_sent());
        prop_assert!(got == sent);
        prop_assert_eq!(notices.len(), joined);
    }
}

#[test]
fn ranges_pass_and_a_malformed_list_ends_the_stream() {
    let (mut a, mut b) = (Control::new(), Control::new());
    let (some, all) = ([0..10, 20..30], [0..MAX_OFFSET]);
    a.push(&Record::Have(OffsetList::Listed(&some)));
    a.push(&Record::Lack(OffsetList::Listed(&all)));
    a.push(&Record::Again(OffsetList::Listed(&some[1..])));
    let mut notices = Vec::new();
    flush(&mut a, &mut b, &mut notices);
    let (some, all) = (some.to_vec(), all.to_vec());
    let again = Notice::Again(vec![20..30]);
    assert_eq!(notices, [Notice::Have(some), Notice::Lack(all), again]);
    // HAVE, of 2 bytes: a unit, and half a range.
    assert!(b.accept(a.out_end(), &[8, 0, 2, 0, 0]));
    assert!(b.decode(&mut Vec::new()).is_err());
}

/// A datagram that carries nothing of it, when its beginning was acknowledged.
#[test]
fn nothing_is_copied_of_an_empty_range() {
    let mut control = Control::new();
    control.push(&Record::Joined);
    let range = control.take(100).unwrap();
    control.on_acked(range);
    control.copy(&(0..0), &mut []);
}

/// However often it is laid out anew, and wherever its end is.
#[test]
fn records_go_out_as_they_were_put_in() {
    let mut control = Control::new();
    let (mut sent, mut put) = (Vec::new(), Vec::new());
    for n in 0..200_u8 {
        let record = Record::GroupKey { id: n, key: [n; 32], overlap_ms: 7 };
        let mut bytes = vec![0; record.emit_len()];
        record.emit(&mut bytes);
        put.extend(&bytes);
        control.push(&record);
        if n % 3 > 0 {
            let range = control.take(50).unwrap();
            let mut bytes = vec![0; (range.end - range.start) as usize];
            control.copy(&range, &mut bytes);
            sent.extend(bytes);
            control.on_acked(range);
        }
    }
    while let Some(range) = control.take(1000) {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        control.copy(&range, &mut bytes);
        sent.extend(bytes);
        control.on_acked(range);
    }
    assert!(sent == put && control.all_acked());
}
