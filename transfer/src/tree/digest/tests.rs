//! Trees in memory, summed up at once and entry by entry.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder(Folder),
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

type Folder = BTreeMap<Vec<u8>, Node>;

/// As the document says it, each folder's bytes at once.
fn naive(node: &Node) -> (u8, [u8; 32]) {
    match node {
        Node::File(bytes) => (2, *blake3::hash(bytes).as_bytes()),
        Node::Symlink(target) => {
            (3, blake3::derive_key("tcpxm 2026 digest of a symbolic link", target))
        }
        Node::Folder(folder) => {
            let mut bytes = Vec::new();
            for (name, node) in folder {
                let (kind, digest) = naive(node);
                bytes.push(kind);
                bytes.extend((name.len() as u16).to_be_bytes());
                bytes.extend_from_slice(name);
                bytes.extend(digest);
            }
            (1, blake3::derive_key("tcpxm 2026 digest of a folder", &bytes))
        }
    }
}

fn stream(folder: &Folder, into: &mut TreeDigest) {
    for (name, node) in folder {
        match node {
            Node::File(bytes) => into.file(name, blake3::hash(bytes)),
            Node::Symlink(target) => into.symlink(name, target),
            Node::Folder(folder) => {
                into.enter(name);
                stream(folder, into);
                into.leave();
            }
        }
    }
}

/// Of a folder whose contents are sent.
fn streamed(folder: &Folder) -> [u8; 32] {
    let mut digest = TreeDigest::new();
    digest.contents();
    stream(folder, &mut digest);
    *digest.finish().unwrap().as_bytes()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Few of them, so that trees come close to each other; a dot stands before a slash, which decides no order.
    prop::collection::vec(prop::sample::select(b"a.\xff".to_vec()), 1..3)
}

fn node() -> impl Strategy<Value = Node> {
    let bytes = || prop::collection::vec(0..2_u8, 0..2);
    let leaf = prop_oneof![bytes().prop_map(Node::File), bytes().prop_map(Node::Symlink)];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop::collection::btree_map(name(), inner, 0..5).prop_map(Node::Folder)
    })
}

fn folder() -> impl Strategy<Value = Folder> {
    prop::collection::btree_map(name(), node(), 0..5)
}

/// The way to every entry.
fn ways(folder: &Folder, at: &[Vec<u8>], out: &mut Vec<Vec<Vec<u8>>>) {
    for (name, node) in folder {
        let way = [at, std::slice::from_ref(name)].concat();
        if let Node::Folder(folder) = node {
            ways(folder, &way, out);
        }
        out.push(way);
    }
}

/// The folder that holds the entry at the end of a way.
fn parent<'a>(folder: &'a mut Folder, way: &[Vec<u8>]) -> &'a mut Folder {
    match way {
        [first, rest @ ..] if !rest.is_empty() => match folder.get_mut(first) {
            Some(Node::Folder(inner)) => parent(inner, rest),
            other => panic!("{other:?}"),
        },
        _ => folder,
    }
}

/// The smallest change of a kind of one entry.
fn change(folder: &mut Folder, way: &[Vec<u8>], what: u8) {
    let name = way.last().unwrap();
    let holder = parent(folder, way);
    let node = holder.remove(name).unwrap();
    match (what, node) {
        (0, node) => drop(holder.insert([name, &b"b"[..]].concat(), node)),
        (1, Node::File(mut bytes)) => {
            bytes.push(0);
            holder.insert(name.clone(), Node::File(bytes));
        }
        (1, Node::Symlink(mut target)) => {
            target.insert(0, 0);
            holder.insert(name.clone(), Node::Symlink(target));
        }
        (1, Node::Folder(_)) => {} // it is gone
        (2, Node::File(bytes)) => drop(holder.insert(name.clone(), Node::Symlink(bytes))),
        (2, Node::Symlink(bytes)) => drop(holder.insert(name.clone(), Node::File(bytes))),
        (2, Node::Folder(_)) => drop(holder.insert(name.clone(), Node::File(Vec::new()))),
        (_, node) => {
            // Elsewhere, under the name that it had.
            holder.insert(b"empty".to_vec(), Node::Folder([(name.clone(), node)].into()));
        }
    }
}

proptest! {
    #[test]
    fn entry_by_entry_it_is_what_it_is_at_once(folder in folder()) {
        let mut entries = Vec::new();
        ways(&folder, &[], &mut entries);
        let mut digest = TreeDigest::new();
        digest.contents();
        stream(&folder, &mut digest);
        prop_assert_eq!(digest.entries(), entries.len() as u64);
        let whole = naive(&Node::Folder(folder.clone())).1;
        prop_assert_eq!(digest.finish().map(|digest| *digest.as_bytes()), Some(whole));
        // A folder that arrives under its name has the digest of what it holds.
        let named: Folder = [(b"its name".to_vec(), Node::Folder(folder))].into();
        let mut digest = TreeDigest::new();
        stream(&named, &mut digest);
        prop_assert_eq!(digest.finish().map(|digest| *digest.as_bytes()), Some(whole));
        prop_assert_ne!(streamed(&named), whole);
    }

    #[test]
    fn every_change_changes_it(
        folder in folder().prop_filter("it has an entry", |folder| !folder.is_empty()),
        entry in any::<prop::sample::Index>(),
        what in 0..4_u8,
    ) {
        let (mut entries, mut changed) = (Vec::new(), folder.clone());
        ways(&folder, &[], &mut entries);
        change(&mut changed, &entries[entry.index(entries.len())], what);
        prop_assert_ne!(&folder, &changed);
        prop_assert_ne!(streamed(&folder), streamed(&changed));
    }

    #[test]
    fn only_the_same_trees_have_the_same(one in folder(), other in folder()) {
        prop_assert_eq!(one == other, streamed(&one) == streamed(&other));
    }
}

#[test]
fn of_a_single_source_it_is_its_own() {
    let mut file = TreeDigest::new();
    file.file(b"name", blake3::hash(b"content"));
    assert_eq!(file.finish(), Some(blake3::hash(b"content")));
    // Of two sources that of their root, even if there is nothing in one of them.
    let mut two = TreeDigest::new();
    two.contents();
    two.file(b"name", blake3::hash(b"content"));
    let root: Folder = [(b"name".to_vec(), Node::File(b"content".to_vec()))].into();
    assert_eq!(*two.finish().unwrap().as_bytes(), naive(&Node::Folder(root)).1);
}

#[test]
fn what_is_no_tree_has_none() {
    let of = |say: fn(&mut TreeDigest)| {
        let mut digest = TreeDigest::new();
        say(&mut digest);
        digest.finish()
    };
    let hash = || blake3::hash(b"");
    assert_eq!(of(|d| d.enter(b"open")), None);
    assert_eq!(of(TreeDigest::leave), None);
    for (first, then) in [(b"b", b"a"), (b"a", b"a")] {
        let mut digest = TreeDigest::new();
        digest.file(first, hash());
        digest.file(then, hash());
        assert_eq!(digest.finish(), None, "{first:?} {then:?}");
    }
    assert!(of(|_| {}).is_some());
}

/// The example in `docs/wire.md`.
#[test]
fn the_documents_example_is_so() {
    const DOCUMENT: &str = include_str!("../../../../docs/wire.md");
    let inner: Folder = [(b"empty".to_vec(), Node::Folder(Folder::new()))].into();
    let file = Node::File(b"hello\n".to_vec());
    let link = Node::Symlink(b"a.txt".to_vec());
    let root: Folder = [
        (b"a".to_vec(), Node::Folder(inner.clone())),
        (b"a.txt".to_vec(), file.clone()),
        (b"b".to_vec(), link.clone()),
    ]
    .into();
    let empty = Node::Folder(Folder::new());
    let mut wrong = Vec::new();
    for (what, node) in [
        ("a/empty", empty),
        ("a", Node::Folder(inner)),
        ("a.txt", file),
        ("b", link),
        (".", Node::Folder(root.clone())),
    ] {
        let digest = Hash::from_bytes(naive(&node).1);
        let row = |line: &&str| line.starts_with(&format!("| `{what}` | "));
        let told = DOCUMENT.lines().find(row).unwrap().rsplit('`').nth(1).unwrap();
        if told != digest.to_hex().as_str() {
            wrong.push(format!("{what}: {digest}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(streamed(&root), naive(&Node::Folder(root)).1);
}
