//! Attributes and lists that cannot be set.

use super::*;
use crate::tree::attrs::{Ace, Attrs, List};

/// Longer than any value may be (`XATTR_SIZE_MAX`, limits.h).
const TOO_LONG: usize = 100_000;

/// A list that lets a user in, which no system takes: the entry of the mask is missing (acl(5)).
fn no_list() -> List {
    let ace = |(tag, perm, id)| Ace { tag, id, perm, name: Vec::new() };
    let none = u32::MAX;
    let access = [(1, 7, none), (2, 7, 5), (4, 4, none), (32, 0, none)].map(ace).to_vec();
    List { access, ..List::default() }
}

/// What is in a folder is reached by its permissions, and found again by its time.
#[test]
fn a_folder_without_its_attributes_has_its_permissions_and_its_time() {
    let too_long = || {
        let value = vec![b'v'; TOO_LONG];
        List { xattrs: vec![(b"user.a".to_vec(), value)], ..List::default() }
    };
    let keep = Keep { xattrs: true, acls: true, ..KEEP };
    for (list, old, expected) in [
        (too_long(), false, 0o570),
        (too_long(), true, 0o570),
        // Of the bits of the group, the mask, those that the list gives to the owning group.
        (no_list(), false, 0o540),
        (no_list(), true, 0o540),
    ] {
        let bed = Bed::new();
        if old {
            fs::create_dir(bed.at("a")).unwrap();
        }
        let mut told = dir("a", 0o570);
        told.meta.attrs = Attrs::from(list);
        let mut dirs = bed.dirs(Rules { keep, ..RULES });
        dirs.enter(7, &told).unwrap();
        put(&dirs, "f", "x").unwrap();
        dirs.leave().unwrap();
        let mut failed = Vec::new();
        let mut tell = |number, _, done: Result<_, PlaceError>| failed.push((number, done));
        dirs.finish(&mut tell).unwrap();
        let [(Some(7), Err(why))] = &failed[..] else { panic!("{failed:?}") };
        assert!(why.to_string().contains("cannot set an extended attribute of a"), "{why}");
        let found = fs::metadata(bed.at("a")).unwrap();
        assert_eq!(mode(&bed.at("a")), expected, "{why}");
        assert_eq!((found.mtime(), found.mtime_nsec()), (TIME.secs, 5), "{why}");
    }
}

/// Whose list stands there although another attribute fails has the list's mask.
#[test]
fn a_list_that_is_set_keeps_its_mask_where_another_attribute_fails() {
    let bed = Bed::new();
    let mut list = no_list();
    list.access.insert(3, Ace { tag: 16, id: u32::MAX, perm: 7, name: Vec::new() });
    list.xattrs.push((b"user.a".to_vec(), vec![b'v'; TOO_LONG]));
    let mut told = dir("a", 0o770);
    told.meta.attrs = Attrs::from(list.clone());
    let keep = Keep { xattrs: true, acls: true, ..KEEP };
    let mut dirs = bed.dirs(Rules { keep, ..RULES });
    dirs.enter(7, &told).unwrap();
    let mut failed = 0;
    dirs.finish(&mut |_, _, done| failed += usize::from(done.is_err())).unwrap();
    assert_eq!((failed, mode(&bed.at("a"))), (1, 0o770));
    let set = crate::xattr::Of::descriptor(fs::File::open(bed.at("a")).unwrap().as_fd())
        .get(crate::tree::attrs::ACCESS)
        .unwrap();
    assert_eq!(crate::tree::attrs::parse_acl(&set.unwrap()), Some(list.access));
}
