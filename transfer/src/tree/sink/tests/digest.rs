//! The digest of a tree at the receiver.

use super::*;

/// Everything that was read has its digest: small and large files, empty ones, those with holes, further names.
#[test]
fn the_tree_has_a_digest_once_all_of_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    let large: Vec<u8> = (0..2 * BLOCK + 9).map(|n| (n % 251) as u8).collect();
    fs::write(dir.path().join("a/large"), &large).unwrap();
    fs::write(dir.path().join("a/small"), "small").unwrap();
    fs::write(dir.path().join("b"), "other").unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    File::create(dir.path().join("hole")).unwrap().set_len(2 * BLOCK + 1).unwrap();
    std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
    let mut found = vec![Found::Root(Meta::default())];
    walk(dir.path(), &mut found);
    for found in &mut found {
        if let Found::Entry(Entry { name, kind: Kind::File { data, .. }, .. }) = found
            && name == b"hole"
        {
            *data = Some(Vec::new());
        }
    }
    for (name, to) in [("x", "a/large"), ("y", "b"), ("z", "b")] {
        let (meta, kind) = (Meta::default(), Kind::Link { to: to.as_bytes().to_vec() });
        found.push(Found::Entry(Entry { name: name.as_bytes().to_vec(), meta, kind }));
    }
    let listed = listed(dir.path(), found);
    assert_eq!(listed.source.tree_digest(), None, "nothing was read yet");
    carry(&listed, &mut new_sink(Map::default()), |_| {}).unwrap();

    let mut digest = TreeDigest::new();
    digest.contents();
    digest.enter(b"a");
    digest.file(b"large", blake3::hash(&large));
    digest.file(b"small", blake3::hash(b"small"));
    digest.leave();
    digest.file(b"b", blake3::hash(b"other"));
    digest.file(b"empty", blake3::hash(b""));
    digest.file(b"hole", blake3::hash(&vec![0; 2 * BLOCK as usize + 1]));
    digest.symlink(b"link", b"b");
    digest.file(b"x", blake3::hash(&large));
    digest.file(b"y", blake3::hash(b"other"));
    digest.file(b"z", blake3::hash(b"other"));
    assert_eq!(listed.source.tree_digest(), digest.finish());
}

#[test]
fn what_was_not_read_or_not_listed_leaves_the_tree_without_a_digest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "one").unwrap();
    fs::write(dir.path().join("b"), vec![7; 3 * BLOCK as usize]).unwrap();
    let found = || {
        let mut found = Vec::new();
        walk(dir.path(), &mut found);
        found
    };
    let whole = listed(dir.path(), found());
    // A receiver has one of them, so it is not read.
    let map = Map { same: vec![b"b".to_vec()], ..Map::default() };
    carry(&whole, &mut new_sink(map), |_| {}).unwrap();
    assert!(whole.source.digest(0).is_some() && whole.source.tree_digest().is_none());
    carry(&whole, &mut new_sink(Map::default()), |_| {}).unwrap();
    assert!(whole.source.tree_digest().is_some());

    let failing = found().into_iter().chain([Found::Failed(b"c".to_vec(), "no".to_owned())]);
    let unlisted = listed(dir.path(), failing.collect());
    carry(&unlisted, &mut new_sink(Map::default()), |_| {}).unwrap();
    assert!(unlisted.source.digest(1).is_some() && unlisted.source.tree_digest().is_none());

    let changed = listed(dir.path(), found());
    fs::write(dir.path().join("a"), "longer").unwrap();
    carry(&changed, &mut new_sink(Map::default()), |_| {}).unwrap();
    assert!(changed.source.digest(1).is_some() && changed.source.tree_digest().is_none());
}
