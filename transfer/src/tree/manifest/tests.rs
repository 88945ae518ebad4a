//! What is written is read, and what is not written is refused.

use super::*;
use crate::blocks::BLOCK;
use crate::tree::attrs::{Ace, Attrs, List, MAX_BYTES};
use crate::tree::entry::{Entry, Kind, Meta};
use core::ops::Range;
use proptest::prelude::*;

fn owner(uid: u32, gid: u32) -> Owner {
    Owner { uid, gid, user: format!("u{uid}").into_bytes(), group: Vec::new() }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=255_u8, 1..40)
        .prop_map(|name| name.into_iter().filter(|byte| *byte != b'/').collect::<Vec<_>>())
        .prop_filter("a plain name", |name| crate::place::beneath::plain_name(name).is_ok())
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Time { secs, nanos })
}

fn data() -> impl Strategy<Value = (u64, Vec<Range<u64>>)> {
    let runs = prop::collection::vec((1..1000_u64, 1..1000_u64), 0..20);
    (any::<bool>(), runs, 0..1000_u64).prop_map(|(begins, turns, tail)| {
        let (mut at, mut runs) = (0, Vec::new());
        for (hole, run) in turns {
            let start = if begins && at == 0 { 0 } else { at + hole };
            runs.push(start..start + run);
            at = start + run;
        }
        (at + tail, runs)
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Dir),
        (0..1_u64 << 47).prop_map(|len| Kind::File { len, data: None }),
        data().prop_map(|(len, data)| Kind::File { len, data: Some(data) }),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|target| Kind::Symlink { target }),
        prop_oneof![Just(Device::Fifo), Just(Device::Socket), Just(Device::Block(8, 1 << 20))]
            .prop_map(Kind::Special),
        prop::collection::vec(name(), 1..5).prop_map(|way| Kind::Link { to: way.join(&b'/') }),
    ]
}

/// Few, so that entries share them.
fn attrs() -> impl Strategy<Value = Attrs> {
    let acl = || (0..3_u16).prop_map(|n| (0..n).map(ace).collect::<Vec<_>>());
    let xattrs = prop::collection::vec((name(), prop::collection::vec(any::<u8>(), 0..9)), 0..2);
    let list = (xattrs, acl(), acl());
    let list = list.prop_map(|(xattrs, access, default)| List { xattrs, access, default });
    prop_oneof![3 => Just(Attrs::default()), 1 => list.prop_map(Attrs::from)]
}

fn ace(n: u16) -> Ace {
    Ace { tag: n, id: 1000 + u32::from(n), perm: 7 - n, name: vec![b'n'; n.into()] }
}

/// As much as an entry may have, in as many pieces.
fn most() -> Attrs {
    let name = |n: usize| format!("user.{n:03}").into_bytes();
    let value = vec![b'v'; MAX_BYTES / 512 - 8];
    let xattrs = (0..512).map(|n| (name(n), value.clone())).collect();
    List { xattrs, ..List::default() }.into()
}

fn entry() -> impl Strategy<Value = Entry> {
    let meta = (0..0o20000_u32, time(), prop::option::of(time()), 0..3_u32, 0..3_u32, attrs());
    let meta = meta.prop_map(|(mode, mtime, atime, uid, gid, attrs)| Meta {
        several: mode & 0o10000 != 0,
        mode: mode & 0o7777,
        mtime,
        atime,
        uid,
        gid,
        attrs,
    });
    (name(), meta, kind()).prop_map(|(name, meta, kind)| Entry { name, meta, kind })
}

#[derive(Debug, Clone)]
enum Op {
    Entry(Entry, Option<[u8; 32]>),
    Leave,
    Cut,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (entry(), prop::option::of(any::<[u8; 32]>())).prop_map(|(e, d)| Op::Entry(e, d)),
        1 => Just(Op::Leave),
        1 => Just(Op::Cut),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_part_by_part(ops in prop::collection::vec(op(), 0..60)) {
        let (mut writer, mut way, mut parts, mut told) =
            (PartWriter::new(), Vec::<Vec<u8>>::new(), Vec::new(), vec![Vec::new()]);
        let mut number = 0;
        for op in ops {
            match op {
                Op::Entry(entry, digest) => {
                    let digest = digest.filter(|_| matches!(entry.kind, Kind::File { .. }));
                    if entry.kind == Kind::Dir {
                        way.push(entry.name.clone());
                    }
                    let (uid, gid) = (entry.meta.uid, entry.meta.gid);
                    writer.entry(&entry, digest, || owner(uid, gid));
                    told.last_mut().unwrap().push(Record::Entry(number, entry, digest));
                    number += 1;
                }
                Op::Leave if way.is_empty() => {}
                Op::Leave => {
                    way.pop();
                    writer.leave();
                    told.last_mut().unwrap().push(Record::Leave);
                }
                Op::Cut => {
                    let (bytes, next) = writer.end(false);
                    parts.push((bytes, way.clone()));
                    writer = next;
                    told.push(Vec::new());
                }
            }
        }
        parts.push((writer.end(true).0, way));
        let mut before: Vec<Vec<u8>> = Vec::new();
        for (n, ((bytes, way), told)) in parts.iter().zip(&told).enumerate() {
            prop_assert!(bytes.len() <= BLOCK as usize);
            let mut reader = PartReader::new(n as u64, bytes).unwrap();
            prop_assert_eq!(&reader.header().way, &before);
            prop_assert_eq!(reader.header().last, n + 1 == parts.len());
            let mut read = Vec::new();
            while let Some(record) = reader.next_record().unwrap() {
                if let Record::Entry(_, entry, _) = &record {
                    let Meta { uid, gid, .. } = entry.meta;
                    prop_assert_eq!(reader.owner(uid, gid), Some(&owner(uid, gid)));
                }
                read.push(record);
            }
            prop_assert_eq!(&read, told);
            before.clone_from(way);
        }
    }

    #[test]
    fn arbitrary_bytes_end_in_an_error_or_in_plain_names(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        whole: bool,
    ) {
        if whole {
            bytes.splice(0..0, [VERSION, 0, 0, 0, 0]);
        }
        let Ok(mut reader) = PartReader::new(0, &bytes) else { return Ok(()) };
        while let Ok(Some(record)) = reader.next_record() {
            if let Record::Entry(_, entry, _) = record {
                prop_assert!(crate::place::beneath::plain_name(&entry.name).is_ok());
                if let Kind::File { len, data: Some(data) } = entry.kind {
                    let mut at = 0;
                    for run in data {
                        prop_assert!(run.start >= at && run.start < run.end && run.end <= len);
                        at = run.end + 1;
                    }
                }
            }
        }
    }
}

#[test]
fn an_entry_like_those_of_packages_takes_few_bytes_beside_its_name() {
    let mut writer = PartWriter::new();
    for n in 0..1000_u64 {
        let mtime = Time { secs: 1_700_000_000 + (n % 7).cast_signed(), nanos: 0 };
        let meta = Meta { mode: 0o644, mtime, ..Meta::default() };
        let kind = Kind::File { len: 5000 + n, data: None };
        writer.entry(&Entry { name: b"n".to_vec(), meta, kind }, None, || owner(0, 0));
    }
    let each = writer.len() as f64 / 1000.0;
    assert!(each < 15.0, "{each}");
}

#[test]
fn the_longest_entry_fits() {
    let way = vec![vec![b'a'; 255]; 15].join(&b'/');
    let data = (0..1024_u64).map(|n| (n << 37) + (1 << 36)..(n << 37) + (1 << 36) + 1).collect();
    for kind in [Kind::Link { to: way.clone() }, Kind::File { len: 1 << 47, data: Some(data) }] {
        let time = Time { secs: i64::MIN, nanos: 999_999_999 };
        let meta = Meta {
            several: true,
            mode: 0o7777,
            mtime: time,
            atime: Some(time),
            uid: 9,
            gid: u32::MAX,
            attrs: most(),
        };
        let mut writer = PartWriter::new();
        let digest = matches!(kind, Kind::File { .. }).then_some([9; 32]);
        let entry = Entry { name: vec![b'n'; 255], meta, kind };
        writer.entry(&entry, digest, || Owner {
            user: vec![b'u'; 255],
            group: vec![b'g'; 255],
            ..owner(9, u32::MAX)
        });
        assert!(writer.len() <= MAX_ENTRY, "{}", writer.len());
        let (bytes, _) = writer.end(true);
        let record = PartReader::new(0, &bytes).unwrap().next_record().unwrap().unwrap();
        assert!(record == Record::Entry(0, entry, digest));
    }
}

#[test]
fn what_many_entries_have_is_told_once() {
    let len = |count: u64| {
        let mut writer = PartWriter::new();
        for n in 0..count {
            let meta = Meta { attrs: most(), ..Meta::default() };
            let kind = Kind::File { len: n, data: None };
            writer.entry(&Entry { name: b"n".to_vec(), meta, kind }, None, || owner(0, 0));
        }
        writer.len()
    };
    assert!(len(1) > MAX_BYTES && len(1001) < len(1) + 15_000, "{} {}", len(1), len(1001));
}

#[test]
fn attributes_that_no_entry_has_are_refused() {
    let read = |raw: &[Raw<'_>]| {
        let mut bytes = PartWriter::new().end(true).0;
        for raw in raw {
            bytes.extend(postcard::to_stdvec(raw).unwrap());
        }
        PartReader::new(0, &bytes).unwrap().count()
    };
    let list =
        |name: &[u8], len| List { xattrs: vec![(name.to_vec(), vec![0; len])], ..List::default() };
    let refused = Err(PartError::Attributes(0));
    assert_eq!(read(&[Raw::Attrs(list(b"user.a", 64 << 10)), Raw::With(0)]), Ok(0));
    assert_eq!(read(&[Raw::Attrs(list(b"user.a", (64 << 10) + 1))]), refused);
    for name in [&b""[..], b"a\0b", &[b'a'; 256]] {
        assert_eq!(read(&[Raw::Attrs(list(name, 0))]), refused);
    }
    let many = List { xattrs: vec![(b"a".to_vec(), vec![0; 60_000]); 3], ..List::default() };
    assert_eq!(read(&[Raw::Attrs(many)]), refused);
    let many = List { access: vec![ace(0); 9000], ..List::default() };
    assert_eq!(read(&[Raw::Attrs(many)]), refused);
    assert_eq!(read(&[Raw::With(0)]), refused);
}

#[test]
fn what_leads_out_is_refused() {
    let part = |raw: &[Raw<'_>]| {
        let header = Header { version: VERSION, number: 0, first: 5, way: Vec::new(), last: true };
        let mut bytes = postcard::to_stdvec(&header).unwrap();
        bytes.extend(postcard::to_stdvec(&Raw::Owner(owner(0, 0))).unwrap());
        for raw in raw {
            bytes.extend(postcard::to_stdvec(raw).unwrap());
        }
        let mut reader = PartReader::new(0, &bytes).unwrap();
        loop {
            match reader.next_record() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    };
    let meta = RawMeta { mode: 0, mtime: 0, nanos: 0, atime: None, owner: 0 };
    let file = |data| RawFile { len: 10, data, digest: None };
    assert_eq!(part(&[Raw::Enter(b"a", meta), Raw::Leave]), None);
    assert_eq!(part(&[Raw::Leave]), Some(PartError::Leave(5)));
    for name in [&b".."[..], b".", b"a/b", b"/a", b"", b"a\0b", &[b'a'; 256]] {
        assert!(matches!(part(&[Raw::Enter(name, meta)]), Some(PartError::Name(_))), "{name:?}");
    }
    for to in [&b"../a"[..], b"/a", b"a/../b", b"", b"a//b", b"a/"] {
        let refused = part(&[Raw::Link(b"l", meta, to)]);
        assert!(matches!(refused, Some(PartError::Link(5, _))), "{to:?}");
    }
    for turns in [vec![11], vec![5, 6], vec![5, 5], vec![0], vec![1, 0, 1], vec![0, u64::MAX, 1]] {
        let refused = part(&[Raw::File(b"f", meta, file(Some(turns.clone())))]);
        assert_eq!(refused, Some(PartError::Length(5)), "{turns:?}");
    }
    let long = RawFile { len: (1 << 47) + 1, ..file(None) };
    assert_eq!(part(&[Raw::File(b"f", meta, long)]), Some(PartError::Length(5)));
    let unknown = RawMeta { owner: 1, ..meta };
    assert_eq!(part(&[Raw::Enter(b"a", unknown)]), Some(PartError::Owner(5)));
    let deep = vec![Raw::Enter(b"a", meta); 129];
    assert_eq!(part(&deep), Some(PartError::Deep));
    let other = PartReader::new(1, &PartWriter::new().end(true).0).unwrap_err();
    assert_eq!(other, PartError::Number { was: 0, wanted: 1 });
    assert_eq!(PartReader::new(0, &[9, 0]).unwrap_err(), PartError::Version(9));
}
