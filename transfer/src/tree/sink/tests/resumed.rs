//! What an earlier session has left, and what must not be taken for whole.

use super::*;

/// Blocks that an earlier session has left are looked at, and compared with what the sender says: those that are right
/// are not sent, and one that is not is.
#[test]
fn what_an_earlier_session_has_left_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[6 * BLOCK + 5]);
    let path = b"f0".to_vec();
    let bytes = fs::read(dir.path().join("f0")).unwrap();
    let value = |bytes: &[u8], index| {
        let range = blocks::range(index, bytes.len() as u64);
        blocks::value(index, &bytes[range.start as usize..range.end as usize], bytes.len() as u64)
    };
    let mut left = bytes.clone();
    left[..BLOCK as usize].fill(0); // it has none of it
    left[(2 * BLOCK) as usize] ^= 1; // changed since it was noted
    left[(3 * BLOCK) as usize] ^= 1; // noted so, and wrong
    let mut held: Held = [1, 4, 6].map(|index| (index, value(&bytes, index))).into();
    held.insert(2, value(&bytes, 2));
    held.insert(3, value(&left, 3));
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let map = Map { left: [(path.clone(), (left, held))].into(), ..Map::default() };
    let mut sink = new_sink(map);
    let mut sent = std::collections::BTreeSet::new();
    carry(&listed, &mut sink, |pieces| {
        sent.extend(pieces.iter().filter(|(at, _)| *at >= BLOCK).map(|(at, _)| at / BLOCK - 1));
    })
    .unwrap();
    assert_eq!(sent.into_iter().collect::<Vec<_>>(), [0, 2, 3, 5]);
    assert_eq!(sink.finish().unwrap().failed, 0);
    assert!(sink.ground.there[&path] == Thing::File(bytes));
    let noted: Vec<u64> = sink.ground.noted[&path].keys().copied().collect();
    assert_eq!(noted, [0, 2, 3, 5]);
}

/// The group does not wait for ever: bytes can come before it is known what they are. They come again.
#[test]
fn what_came_before_it_was_known_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[2 * BLOCK, 9]);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let mut sink = new_sink(Map::default());
    let end = listed.source.progress().span / BLOCK;
    let bytes: Vec<_> = (0..end).map(|block| listed.source.read(block).unwrap()).collect();
    for block in [0, 2, 3] {
        sink.put(block * BLOCK, &bytes[block as usize][..5000]).unwrap();
    }
    listed.source.board().flush();
    let (mut place, mut again) = (0, Vec::new());
    while let Next::Say(word, next) = listed.source.board().next(place) {
        place = next;
        match word {
            ToReceiver::Part { block, len, digest } => sink.part(block, len, digest).unwrap(),
            ToReceiver::Values(values) => {
                for (block, value) in values {
                    sink.value(block, value).unwrap();
                }
            }
            ToReceiver::End { entries, blocks } => sink.end(entries, blocks).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    while !sink.is_complete() {
        let said = sink.declared();
        assert!(!said.lack.is_empty(), "nothing is lacking, and it is not complete");
        let blocks = said.again.iter().map(|range| range.start / BLOCK..range.end.div_ceil(BLOCK));
        again.extend(blocks.flatten());
        for range in said.lack {
            for block in range.start / BLOCK..range.end.div_ceil(BLOCK) {
                let from = range.start.max(block * BLOCK) - block * BLOCK;
                let to = range.end.min((block + 1) * BLOCK) - block * BLOCK;
                let piece = &bytes[block as usize][from as usize..to as usize];
                sink.put(block * BLOCK + from, piece).unwrap();
            }
        }
    }
    again.dedup();
    assert_eq!(again, [0, 2, 3], "and block 1, which had not come, not");
    check(&listed, &sink.ground, &[]);
}

/// A value that is told twice counts once, and a block without data not at all: no file is whole before it is.
#[test]
fn no_file_is_whole_before_each_of_its_blocks_is() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[2 * BLOCK]);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let mut sink = new_sink(Map::default());
    part_alone(&listed, &mut sink);
    let first = listed.source.read(1).unwrap();
    sink.put(BLOCK, &first).unwrap();
    let value = blocks::value(0, &first, 2 * BLOCK);
    for _ in 0..3 {
        sink.value(1, value).unwrap();
    }
    assert!(!sink.is_complete() && sink.ground.there.keys().all(|path| !path.ends_with(b"f0")));
    sink.put(2 * BLOCK, &listed.source.read(2).unwrap()).unwrap();
    let second = fs::read(dir.path().join("f0")).unwrap();
    sink.value(2, blocks::value(1, &second[BLOCK as usize..], 2 * BLOCK)).unwrap();
    assert!(sink.is_complete());
}

/// A further name of a file that failed is none of whatever stands there from before.
#[test]
fn a_further_name_of_a_file_that_failed_fails_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), b"bytes").unwrap();
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let kind = Kind::Link { to: b"a".to_vec() };
    found.push(Found::Entry(Entry { name: b"b".to_vec(), meta: Meta::default(), kind }));
    let listed = listed(dir.path(), found);
    let mut map = Map { refused: vec![b"a".to_vec()], ..Map::default() };
    map.there.insert(b"a".to_vec(), Thing::File(b"old".to_vec()));
    let mut sink = new_sink(map);
    carry(&listed, &mut sink, |_| {}).unwrap();
    let report = sink.finish().unwrap();
    assert_eq!((report.arrived, report.failed), (0, 2));
    let whys: Vec<Why> = sink.failures().into_iter().map(|(_, why)| why).collect();
    assert!(whys[1].contains("another name of is not in place"), "{whys:?}");
}
