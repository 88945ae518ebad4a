//! Symbolic links, devices, pipes and sockets, which take their names as files do.

use super::*;
use crate::limits::Allow;
use crate::message::Keep;
use crate::place::meta::Of;
use crate::tree::attrs::{Attrs, List};
use crate::tree::entry::Device;
use crate::untried::is_root;

const ALL: Allow = Allow { owner: true, setuid: true, delete: true, device: true };

fn keeping(root: &Root, keep: Keep) -> Below<'static> {
    let limits = Limits { allow: ALL, ..Limits::default() };
    let offer = Offer { keep, ..Offer::default() };
    Below::new(root, &offer, &limits, (holder(), NEVER)).unwrap()
}

fn put(below: &mut Below<'_>, meta: &Meta, kind: Kind) -> Result<Stands, Why> {
    let entry = Entry { name: b"name".to_vec(), meta: meta.clone(), kind };
    match &entry.kind {
        Kind::Symlink { target } => below.symlink(&entry, target),
        Kind::Special(device) => below.special(&entry, *device),
        _ => unreachable!("no other is put so"),
    }
}

fn kinds() -> [Kind; 3] {
    [
        Kind::Symlink { target: b"target".to_vec() },
        Kind::Special(Device::Fifo),
        Kind::Special(Device::Socket),
    ]
}

/// What cannot be set on it, whoever sets it: a moment after the end of its second, and a value that is too long
/// (`XATTR_SIZE_MAX`, limits.h).
fn impossible() -> [(Keep, Meta); 2] {
    let list = List { xattrs: vec![(b"trusted.a".to_vec(), vec![0; 100_000])], ..List::default() };
    [
        (
            Keep { times: true, ..Keep::default() },
            Meta { mtime: Time { secs: 5, nanos: 1_999_999_999 }, ..Meta::default() },
        ),
        (
            Keep { xattrs: true, ..Keep::default() },
            Meta { attrs: Attrs::from(list), ..Meta::default() },
        ),
    ]
}

#[test]
fn one_that_fails_leaves_what_stood_there() {
    for (keep, meta) in impossible().into_iter().take(if is_root() { 2 } else { 1 }) {
        for kind in kinds() {
            let (dir, root) = root();
            let name = dir.path().join("name");
            let failed = put(&mut keeping(&root, keep), &meta, kind.clone()).unwrap_err();
            assert!(failed.contains("cannot set"), "{kind:?}: {failed}");
            assert_eq!(tree(dir.path()), [""; 0], "{kind:?}: where nothing stood nothing stands");
            fs::write(&name, b"stays").unwrap();
            put(&mut keeping(&root, keep), &meta, kind.clone()).unwrap_err();
            assert_eq!(fs::read(&name).unwrap(), b"stays", "{kind:?}");
            assert_eq!(tree(dir.path()), ["name"], "{kind:?}: nothing is left over");
        }
    }
}

#[test]
fn one_takes_its_name_with_what_is_told_of_it() {
    let keep = Keep { perms: true, times: true, ..Keep::default() };
    let mtime = Time { secs: 5, nanos: 7 };
    for kind in kinds() {
        let (dir, root) = root();
        let name = dir.path().join("name");
        fs::write(&name, b"goes").unwrap();
        let meta = Meta { mode: 0o642, mtime, ..Meta::default() };
        assert_eq!(put(&mut keeping(&root, keep), &meta, kind.clone()), Ok(Stands::Other));
        let stands = fs::symlink_metadata(&name).unwrap();
        assert_eq!((stands.mtime(), stands.mtime_nsec()), (5, 7), "{kind:?}");
        assert!(stands.is_symlink() || stands.mode() & 0o7777 == 0o642, "{kind:?}");
        assert_eq!(put(&mut keeping(&root, keep), &meta, kind.clone()), Ok(Stands::Same));
        assert_eq!(fs::symlink_metadata(&name).unwrap().ino(), stands.ino(), "{kind:?}");
        assert_eq!(tree(dir.path()), ["name"]);
    }
}

/// What is set on one is set on all of its names, be it an attribute.
#[test]
fn attributes_are_not_set_on_its_other_names() {
    if !is_root() {
        return;
    }
    let keep = Keep { times: true, xattrs: true, ..Keep::default() };
    let told = |value: &[u8]| {
        let xattrs = vec![(b"trusted.a".to_vec(), value.to_vec())];
        let attrs = Attrs::from(List { xattrs, ..List::default() });
        Meta { mtime: Time { secs: 5, nanos: 7 }, attrs, ..Meta::default() }
    };
    for kind in kinds() {
        let (dir, root) = root();
        let (name, other) = (dir.path().join("name"), dir.path().join("other"));
        let has = |path: &Path| {
            let mut value = [0; 8];
            let len = rustix::fs::lgetxattr(path, "trusted.a", &mut value[..]).unwrap();
            value[..len].to_vec()
        };
        let put = |value| put(&mut keeping(&root, keep), &told(value), kind.clone());
        assert_eq!(put(b"1"), Ok(Stands::Other));
        let ino = fs::symlink_metadata(&name).unwrap().ino();
        assert_eq!(put(b"2"), Ok(Stands::Same), "with one name it is set in its place");
        assert_eq!(has(&name), b"2");
        fs::hard_link(&name, &other).unwrap();
        assert_eq!(put(b"2"), Ok(Stands::Same), "nothing is to be set");
        assert_eq!(fs::symlink_metadata(&name).unwrap().ino(), ino);
        assert_eq!(put(b"3"), Ok(Stands::Other), "{kind:?}");
        assert_eq!((has(&name), has(&other)), (b"3".to_vec(), b"2".to_vec()), "{kind:?}");
    }
}

/// Between the look at one and the step that sets something on it, whoever may write there puts a further name of
/// another in its place, or gives it another name.
#[test]
fn nothing_is_set_on_what_has_come_meanwhile() {
    let keep = Keep { perms: true, times: true, ..Keep::default() };
    let meta = Meta { mode: 0o666, mtime: Time { secs: 5, nanos: 7 }, ..Meta::default() };
    for kind in kinds() {
        for (is_swapped, told) in
            [(true, "was replaced meanwhile"), (false, "has got another name meanwhile")]
        {
            let (dir, root) = root();
            let [name, other] = ["name", "other"].map(|name| dir.path().join(name));
            put(&mut keeping(&root, Keep::default()), &Meta::default(), kind.clone()).unwrap();
            let found = rustix::fs::lstat(&name).unwrap();
            if is_swapped {
                fs::rename(&name, &other).unwrap();
                put(&mut keeping(&root, Keep::default()), &Meta::default(), kind.clone()).unwrap();
                fs::rename(&name, dir.path().join("third")).unwrap();
                fs::hard_link(dir.path().join("third"), &name).unwrap();
            } else {
                fs::hard_link(&name, &other).unwrap();
            }
            let stands = fs::symlink_metadata(&name).unwrap();
            let mut below = keeping(&root, keep);
            let folder = Arc::clone(below.dirs().unwrap().here());
            let entry = Entry { name: b"name".to_vec(), meta: meta.clone(), kind: kind.clone() };
            let is_link = matches!(kind, Kind::Symlink { .. });
            let of = if is_link { Of::Symlink } else { Of::Standing };
            let set = below.set_standing((&folder, &Arc::default()), &entry, (of, &found));
            let why = set.unwrap_err();
            assert!(why.ends_with(told), "{kind:?}: {why}");
            let now = fs::symlink_metadata(&name).unwrap();
            assert_eq!((now.mode(), now.mtime()), (stands.mode(), stands.mtime()), "{kind:?}");
        }
    }
}
