//! How far a file is right is told while it arrives.

use super::*;

/// A source with this file, and the ground that waits for it.
fn watched(content: &[u8], data: Option<Vec<Range<u64>>>) -> (tempfile::TempDir, Listed, Map) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), content).unwrap();
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    if let Found::Entry(entry) = &mut found[0] {
        entry.kind = Kind::File { len: content.len() as u64, data };
    }
    let listed = listed(dir.path(), found);
    let map =
        Map { watched: [(b"file".to_vec(), (content.to_vec(), vec![]))].into(), ..Map::default() };
    (dir, listed, map)
}

fn told(sink: &TreeSink<Map>) -> &[u64] {
    &sink.ground.watched[&b"file"[..]].1
}

/// A block counts once both its bytes and the sender's value of it are there, and those before it are right.
#[test]
fn nothing_counts_before_it_is_compared() {
    let content: Vec<u8> = (0..3 * BLOCK + 9).map(|at| (at >> 9) as u8).collect();
    let len = content.len() as u64;
    let (_dir, listed, map) = watched(&content, None);
    let mut sink = new_sink(map);
    part_alone(&listed, &mut sink);
    let block = |index| {
        let range = blocks::range(index, len);
        &content[range.start as usize..range.end as usize]
    };
    let bytes = |sink: &mut TreeSink<Map>, index| {
        sink.put((1 + index) * BLOCK, block(index)).unwrap();
    };
    let value = |sink: &mut TreeSink<Map>, index| {
        sink.value(1 + index, blocks::value(index, block(index), len)).unwrap();
    };
    bytes(&mut sink, 0);
    assert_eq!(told(&sink), [0_u64; 0], "nobody has said yet what it is");
    bytes(&mut sink, 2);
    value(&mut sink, 2);
    assert_eq!(told(&sink), [0_u64; 0], "what is before it is not there");
    value(&mut sink, 0);
    assert_eq!(told(&sink), [BLOCK]);
    value(&mut sink, 1);
    assert_eq!(told(&sink), [BLOCK]);
    bytes(&mut sink, 1);
    assert_eq!(told(&sink), [BLOCK, 3 * BLOCK]);
    value(&mut sink, 3);
    bytes(&mut sink, 3);
    assert_eq!(told(&sink), [BLOCK, 3 * BLOCK, len]);
    assert!(sink.is_complete());
}

#[test]
fn a_block_that_is_wrong_never_counts() {
    let content = vec![7; 2 * BLOCK as usize];
    let (_dir, listed, map) = watched(&content, None);
    let mut sink = new_sink(map);
    part_alone(&listed, &mut sink);
    let right = blocks::value(0, &content[..BLOCK as usize], 2 * BLOCK);
    sink.value(1, right).unwrap();
    sink.put(BLOCK, &content[..BLOCK as usize]).unwrap();
    sink.value(2, [9; 32]).unwrap();
    sink.put(2 * BLOCK, &content[..BLOCK as usize]).unwrap();
    assert_eq!(sink.finish().unwrap().failed, 1);
    assert_eq!(told(&sink), [BLOCK]);
}

/// Holes are right by themselves, once all before them is: at the beginning, in the middle, at the end, and alone.
#[test]
fn holes_count_with_what_is_before_them() {
    let len = 8 * BLOCK + 100;
    let (middle, end) = (2 * BLOCK - 9..3 * BLOCK + 5, 6 * BLOCK..6 * BLOCK + 1);
    for (data, expected) in [
        (vec![], vec![len]),
        (vec![middle.clone()], vec![BLOCK, 2 * BLOCK, 3 * BLOCK, len]),
        (vec![end.clone()], vec![6 * BLOCK, len]),
        (vec![middle, end], vec![BLOCK, 2 * BLOCK, 3 * BLOCK, 6 * BLOCK, len]),
    ] {
        let mut content = vec![0; len as usize];
        for run in &data {
            content[run.start as usize..run.end as usize].fill(5);
        }
        let (_dir, listed, map) = watched(&content, Some(data.clone()));
        let mut sink = new_sink(map);
        carry(&listed, &mut sink, |_| {}).unwrap();
        let steps: std::collections::BTreeSet<u64> = told(&sink).iter().copied().collect();
        assert!(told(&sink).is_sorted() && steps.len() == told(&sink).len(), "{:?}", told(&sink));
        // Values come after the bytes, and several at a time: some steps are taken together.
        assert!(steps.iter().all(|step| expected.contains(step)), "{data:?}: {steps:?}");
        assert_eq!(steps.last(), Some(&len), "{data:?}");
        assert_eq!(steps.first(), expected.first(), "{data:?}");
        assert!(sink.ground.there[&b"file"[..]] == Thing::File(content));
    }
}

/// Nobody is told of a file that nobody reads.
#[test]
fn what_nobody_reads_is_not_told() {
    let (_dir, listed, map) = watched(&vec![1; 2 * BLOCK as usize], None);
    let mut sink = new_sink(Map { watched: BTreeMap::new(), ..map });
    carry(&listed, &mut sink, |_| {}).unwrap();
    assert_eq!(sink.finish().unwrap().arrived, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever order pieces come in, what is told is right (the ground compares it), only grows, and ends with all.
    #[test]
    fn it_only_grows_and_is_right(len in BLOCK..6 * BLOCK, seed: u64) {
        let content: Vec<u8> = (0..len).map(|at| (at.wrapping_mul(seed | 1) >> 7) as u8).collect();
        let (_dir, listed, map) = watched(&content, None);
        let mut sink = new_sink(map);
        carry(&listed, &mut sink, shuffled(seed)).unwrap();
        let told = told(&sink);
        prop_assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", told);
        prop_assert_eq!(told.last(), Some(&len));
    }
}
