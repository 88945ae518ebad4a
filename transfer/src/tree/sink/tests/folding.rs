//! Entries whose names are one where they are to stand.

use super::*;
use crate::destination::Root;
use crate::limits::Limits;
use crate::message::Offer;
use crate::place::folding::{Ask, Folds};
use crate::tree::below::Below as OnDisk;
use crate::tree::below::tests::holder;

/// Copies a folder into another where names fold; the failures, each with its entry's number.
fn copied(from: &std::path::Path, to: &std::path::Path) -> Vec<(u64, Why)> {
    let mut found = Vec::new();
    walk(from, &mut found);
    let listed = listed(from, found);
    let root = Root::open(to).unwrap();
    let offer = Offer { to: "in".into(), ..Offer::default() };
    // The disk itself does not fold, so that what is decided here is decided by the names.
    let ask = Ask { folds: |_, _| Some(Folds::ByInode), ..Ask::SYSTEM };
    let below = OnDisk::new(&root, &offer, &Limits::default(), (holder(), &|| false)).unwrap();
    let mut sink = TreeSink::new(below.folding(ask), false);
    carry(&listed, &mut sink, |_| {}).unwrap();
    sink.finish().unwrap();
    sink.failed
}

#[test]
fn the_second_of_two_names_that_fold_together_fails_and_the_first_stays() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |path: &str| from.path().join(path);
    for dir in ["D", "d", "e"] {
        fs::create_dir(at(dir)).unwrap();
        fs::write(at(dir).join("f"), dir).unwrap();
    }
    let large = vec![7; 1_500_000];
    for (name, bytes) in [("A", &b"first"[..]), ("a", b"second"), ("L", &large), ("l", b"small")] {
        fs::write(at(name), bytes).unwrap();
    }
    std::os::unix::fs::symlink("x", at("E")).unwrap();
    fs::write(at("e/f2"), "").unwrap();
    fs::write(at("e/F2"), "").unwrap();
    // In an old folder whatever stands there was to be replaced without a word.
    for old in [false, true] {
        if old {
            fs::remove_dir_all(to.path().join("in")).unwrap();
            fs::create_dir_all(to.path().join("in/D")).unwrap();
            fs::create_dir_all(to.path().join("in/e")).unwrap();
            fs::write(to.path().join("in/A"), "of before").unwrap();
        }
        let failed = copied(from.path(), to.path());
        let why: Vec<&str> = failed.iter().map(|(_, why)| &**why).collect();
        let one = |first: &str, second: &str| {
            let said = format!("in/{first} and in/{second} are one name on this file system");
            assert!(why.iter().any(|why| why.starts_with(&said)), "{said}: {why:?}");
        };
        for (first, second) in [("A", "a"), ("D", "d"), ("E", "e"), ("L", "l")] {
            one(first, second);
        }
        // The files in `d` and `e` have no folder.
        assert_eq!(why.len(), 4 + 1 + 3, "{why:?}");
        let there = |path: &str| fs::read(to.path().join("in").join(path)).unwrap();
        assert_eq!((there("A"), there("D/f")), (b"first".to_vec(), b"D".to_vec()));
        assert_eq!(there("L"), large);
        assert!(!to.path().join("in/a").exists() && !to.path().join("in/l").exists());
    }
}
