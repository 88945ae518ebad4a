//! Files that stand under former names, be they what they are said to be or not.

use super::*;

/// Bytes of the session that a sink says it lacks, beside the list.
fn data(pieces: &[(u64, usize)], parts: &[u64]) -> u64 {
    let data = pieces.iter().filter(|(at, _)| !parts.contains(&(at / BLOCK)));
    data.map(|(_, len)| *len as u64).sum()
}

#[test]
fn what_stands_under_a_former_name_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let lens = [3 * BLOCK + 5, 700, 0, 262_144, BLOCK, 40, 262_145];
    tree(dir.path(), &lens);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let path = |n: usize| format!("{}f{n}", ["", "a/", "a/b/"][n % 3]);
    let bytes = |n: usize| fs::read(dir.path().join(path(n))).unwrap();
    let of = |n: usize| (path(n).into_bytes(), bytes(n));
    // All of them, and of a large one all but a block, which is another there; a small one is another.
    for (changes, expected) in [(false, 5 * 32), (true, 5 * 32 + BLOCK + 700)] {
        let mut elsewhere: BTreeMap<_, _> = [0, 1, 3, 4, 5, 6].map(of).into();
        if changes {
            elsewhere.get_mut(&b"f0"[..]).unwrap()[BLOCK as usize + 9] ^= 1;
            elsewhere.get_mut(&b"a/f1"[..]).unwrap()[9] ^= 1;
            elsewhere.get_mut(&b"f6"[..]).unwrap().truncate(262_145); // as it is
        }
        let mut sink = new_sink(Map { elsewhere, ..Map::default() });
        let mut sent = 0;
        carry(&listed, &mut sink, |pieces| sent += data(pieces, &[0])).unwrap();
        let report = sink.finish().unwrap();
        assert_eq!((report.arrived, report.failed), (11, 0));
        check(&listed, &sink.ground, &[]);
        assert!(sent <= expected, "{sent} bytes, {changes}");
        // A later session goes on with what was brought.
        assert_eq!(sink.ground.noted[&b"f0"[..]].len(), 4);
    }
}

/// What came while it was not known whether it is lacking was not kept, and comes again.
#[test]
fn a_small_file_that_came_before_it_was_lacking_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("small"), [7; 900]).unwrap();
    fs::write(dir.path().join("whole"), [8; 900]).unwrap();
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let elsewhere = [(b"small".to_vec(), vec![6; 900]), (b"whole".to_vec(), vec![8; 900])].into();
    let mut sink = new_sink(Map { elsewhere, ..Map::default() });
    part_alone(&listed, &mut sink);
    let pack = listed.source.read(1).unwrap();
    sink.declared();
    sink.put(BLOCK, &pack).unwrap();
    tell(&listed, &mut sink, &mut 2).unwrap(); // the part is known, and the list has ended
    let said = sink.declared();
    assert_eq!(said.lack, [BLOCK..BLOCK + 900]);
    assert_eq!(said.again, said.lack);
    assert_eq!(said.have, [BLOCK + 900..BLOCK + 1800]);
    sink.put(BLOCK, &pack[..900]).unwrap();
    assert!(sink.is_complete());
    assert!(sink.ground.there[&b"small"[..]] == Thing::File(vec![7; 900]));
    assert!(sink.ground.there[&b"whole"[..]] == Thing::File(vec![8; 900]));
}

/// What the sender cannot read is not taken from elsewhere, whatever stands there.
#[test]
fn what_cannot_be_read_at_the_source_fails_although_something_stands_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[700, 2 * BLOCK]);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let of = |path: &str| (path.as_bytes().to_vec(), fs::read(dir.path().join(path)).unwrap());
    let elsewhere = ["f0", "a/f1"].map(of).into();
    fs::remove_file(dir.path().join("f0")).unwrap();
    fs::remove_file(dir.path().join("a/f1")).unwrap();
    let mut sink = new_sink(Map { elsewhere, ..Map::default() });
    carry(&listed, &mut sink, |_| {}).unwrap();
    assert_eq!(sink.finish().unwrap().failed, 2);
    assert!(sink.ground.there.values().all(|thing| !matches!(thing, Thing::File(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever stands elsewhere, in any order.
    #[test]
    fn the_tree_comes_to_be_what_was_sent(
        lens in prop::collection::vec(prop_oneof![1..4000_u64, 200_000..300_000_u64, BLOCK..3 * BLOCK], 1..14),
        stands in prop::collection::vec((any::<bool>(), any::<bool>(), any::<prop::sample::Index>()), 14),
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path(), &lens);
        let mut found = Vec::new();
        walk(dir.path(), &mut found);
        let listed = listed(dir.path(), found);
        let mut elsewhere = BTreeMap::new();
        for (n, (there, changed, at)) in stands.iter().enumerate().take(lens.len()) {
            let path = format!("{}f{n}", ["", "a/", "a/b/"][n % 3]);
            let mut bytes = fs::read(dir.path().join(&path)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= u8::from(*changed);
            if *there {
                elsewhere.insert(path.into_bytes(), bytes);
            }
        }
        let mut sink = new_sink(Map { elsewhere, ..Map::default() });
        carry(&listed, &mut sink, shuffled(seed)).unwrap();
        prop_assert_eq!(sink.finish().unwrap().failed, 0);
        check(&listed, &sink.ground, &[]);
    }
}
