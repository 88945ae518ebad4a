//! Extended attributes and access control lists.

use super::*;
use crate::tree::attrs::{ACCESS, Ace, DEFAULT, acl_bytes};
use rustix::fs::{XattrFlags, setxattr};

/// A list by which users 0 and 4242 and group 4343 may something.
fn list() -> Vec<Ace> {
    let none = u32::MAX;
    let entries = [
        (1, 7, none),
        (2, 4, 0),
        (2, 5, 4242),
        (4, 0, none),
        (8, 1, 4343),
        (16, 7, none),
        (32, 0, none),
    ];
    entries.map(|(tag, perm, id)| Ace { tag, id, perm, name: Vec::new() }).to_vec()
}

fn set(path: &Path, name: &[u8], value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn only(dir: &TempDir, options: Options) -> Entry {
    let walk = Walk::new(&[&dir.path().join("f")], options).unwrap();
    let found = walk.filter_map(|found| match found {
        Found::Enter(entry, _) | Found::Item(entry, _) => Some(entry),
        Found::Leave => None,
        other => panic!("{other:?}"),
    });
    let mut found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn what_is_asked_for_is_told() {
    let dir = tree(&["f"]);
    let path = dir.path().join("f");
    set(&path, b"user.b", b"second");
    set(&path, b"user.a", b"");
    set(&path, ACCESS, &acl_bytes(&list()));
    let xattrs = Options { xattrs: true, ..Options::default() };
    let told = only(&dir, xattrs.clone()).meta.attrs;
    let told = told.list().unwrap();
    let expected = [(b"user.a".to_vec(), Vec::new()), (b"user.b".to_vec(), b"second".to_vec())];
    assert_eq!(told.xattrs, expected);
    assert!(told.access.is_empty());

    // The mask comes along with the list, and is the owning group's permissions without it.
    let acls = Options { acls: true, ..Options::default() };
    let with = only(&dir, acls.clone());
    assert_eq!((with.meta.mode, only(&dir, xattrs).meta.mode), (0o770, 0o700));
    let told = with.meta.attrs;
    assert_eq!(told.list().unwrap().access, list());
    assert!(told.list().unwrap().xattrs.is_empty());
    let named = only(&dir, Options { owners: true, ..acls }).meta.attrs;
    let entries = &named.list().unwrap().access;
    assert_eq!((&entries[1].name[..], &entries[0].name[..]), (&b"root"[..], &b""[..]));
    assert!(only(&dir, Options::default()).meta.attrs.is_empty());
}

#[test]
fn a_folder_has_a_list_for_what_is_made_in_it() {
    let dir = tree(&["f/"]);
    set(&dir.path().join("f"), DEFAULT, &acl_bytes(&list()));
    let told = only(&dir, Options { acls: true, ..Options::default() }).meta.attrs;
    assert_eq!(told.list().unwrap().default, list());
    assert!(told.list().unwrap().access.is_empty());
}

/// ext4 takes some KiB for an inode, and others more than is told.
#[test]
fn more_than_is_told_fails_by_name() {
    // tmpfs(5) has room.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tree(&[]));
    let path = dir.path().join("f");
    fs::write(&path, "").unwrap();
    let value = vec![7; 60_000];
    for name in [b"user.a", b"user.b", b"user.c"] {
        if setxattr(&path, &name[..], &value, XattrFlags::empty()).is_err() {
            return eprintln!("this file system has no room for so much: not tried");
        }
    }
    let walk = Walk::new(&[&path], Options { xattrs: true, ..Options::default() }).unwrap();
    let found: Vec<_> = walk.collect();
    assert!(
        matches!(found[..], [Found::Failed { error: ScanError::ManyAttributes, .. }]),
        "{found:?}"
    );
}

#[test]
fn pipes_and_sockets_are_entries_where_that_is_asked_for() {
    let dir = tree(&["f/a"]);
    let at = |name: &str| dir.path().join("f").join(name);
    let user = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, user, 0).unwrap();
    fs::hard_link(at("pipe"), at("zz")).unwrap();
    drop(UnixListener::bind(at("socket")).unwrap());
    let walk = |specials| {
        let options = Options { specials, hard_links: true, ..Options::default() };
        shown(Walk::new(&[&dir.path().join("f")], options).unwrap())
    };
    assert_eq!(walk(true), ["f/", "a", "pipe: Fifo", "socket: Socket", "zz => f/pipe", "/"]);
    let left = ["f/", "a", "f/pipe: Special", "f/socket: Special", "f/zz: Special", "/"];
    assert_eq!(walk(false), left);
}

#[test]
fn other_permissions_and_owners_are_told_than_there_are() {
    let dir = tree(&["f/a"]);
    let options = Options {
        chmod: Chmod::parse("D2750,F604", 0).unwrap(),
        chown: crate::tree::owners::Chown::parse("77:88").unwrap(),
        ..Options::default()
    };
    let walk = Walk::new(&[&dir.path().join("f")], options).unwrap();
    let told = walk.filter_map(|found| match found {
        Found::Enter(entry, _) | Found::Item(entry, _) => Some(entry.meta),
        _ => None,
    });
    let told: Vec<_> = told.map(|meta| (meta.mode, meta.uid, meta.gid)).collect();
    assert_eq!(told, [(0o2750, 77, 88), (0o604, 77, 88)]);
}
