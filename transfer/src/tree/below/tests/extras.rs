//! What stands there and is not in the list.

use super::super::synced::SYNCED;
use super::*;
use crate::filter::Told;
use crate::limits::Allow;
use crate::tree::extras::{Bound, List};
use crate::tree::manifest::{Owner, PartWriter};

fn nobody() -> Owner {
    Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() }
}

/// A list of these folders, each of which is whole and empty.
fn list<'n>(folders: impl IntoIterator<Item = &'n str>) -> List {
    let (mut part, mut list) = (PartWriter::new(), List::default());
    for name in folders {
        let (name, meta) = (name.as_bytes().to_vec(), Meta::default());
        part.entry(&Entry { name, meta, kind: Kind::Dir }, None, nobody);
        part.whole();
        part.leave();
    }
    list.keep(&part.end(true).0, || Spool::create(&std::env::temp_dir()));
    list
}

fn below<'a>(root: &Root, is_over: &'a dyn Fn() -> bool) -> Below<'a> {
    let limits = Limits { allow: Allow { delete: true, ..Allow::default() }, ..Limits::default() };
    Below::new(root, &Offer::default(), &limits, (holder(), is_over)).unwrap()
}

fn deletion<'a>(list: &'a List, rules: &'a Told, most: Option<u64>) -> Deletion<'a> {
    let bound = Bound { most, brought: 0 };
    Deletion { list, rules, bound, one_file_system: false, named: false }
}

#[test]
fn what_was_found_and_not_counted_stays_beyond_the_bound() {
    let (dir, root) = root();
    let at = |path: &str| dir.path().join(path);
    for name in ["a", "b", "c"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("a/extra"), "").unwrap();
    let more_come = || {
        if !at("a/extra").exists() {
            for path in ["b/extra", "c/extra"] {
                fs::write(at(path), "").unwrap();
            }
        }
        false
    };
    let (list, rules) = (list(["a", "b", "c"]), Told::default());
    let deleted = below(&root, &more_come).delete(&deletion(&list, &rules, Some(1)));
    let [(path, why)] = &deleted.failed[..] else { panic!("{deleted:?}") };
    assert_eq!((deleted.count, &path[..]), (1, &b""[..]));
    assert!(why.ends_with("more were found than were counted"), "{why}");
}

#[test]
fn each_source_has_a_file_system_of_its_own_to_stay_in() {
    let name = "tree::below::tests::extras::each_source_has_a_file_system_of_its_own_to_stay_in";
    let script = "mkdir a b c; mount -t tmpfs mcp a; mkdir a/in b/in; mount -t tmpfs mcp b/in";
    let Some(dir) = crate::untried::mounted(name, script) else { return };
    let at = |path: &str| dir.join(path);
    let extras = ["a/extra", "a/in/extra", "b/extra", "b/in/extra", "c/extra"];
    for path in extras {
        fs::write(at(path), "").unwrap();
    }
    let mut part = PartWriter::new();
    let mut folder = |name: &[u8], inner: &[u8]| {
        let entry =
            |name: &[u8]| Entry { name: name.to_vec(), meta: Meta::default(), kind: Kind::Dir };
        part.entry(&entry(name), None, nobody);
        part.whole();
        if !inner.is_empty() {
            part.entry(&entry(inner), None, nobody);
            part.whole();
            part.leave();
        }
        part.leave();
    };
    folder(b"a", b"in");
    folder(b"b", b"in");
    folder(b"c", b"");
    let (mut list, rules) = (List::default(), Told::default());
    list.keep(&part.end(true).0, || Spool::create(&std::env::temp_dir()));
    let root = Root::open(&dir).unwrap();
    let deletion = Deletion { one_file_system: true, ..deletion(&list, &rules, None) };
    assert_eq!(below(&root, NEVER).delete(&deletion).failed, []);
    let left: Vec<_> = extras.into_iter().filter(|path| at(path).exists()).collect();
    assert_eq!(left, ["b/in/extra"]);
}

#[test]
fn of_folders_in_which_something_is_gone_few_are_kept() {
    for (count, kept) in [(SYNCED, Some(SYNCED)), (1000, None)] {
        let (dir, root) = root();
        let mut names: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        names.sort();
        for name in &names {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("extra"), "").unwrap();
        }
        let (list, rules) = (list(names.iter().map(String::as_str)), Told::default());
        let mut below = below(&root, NEVER);
        assert_eq!(below.delete(&deletion(&list, &rules, None)).count, count as u64);
        assert_eq!(below.changed.as_ref().map(BTreeSet::len), kept, "{count}");
    }
}
