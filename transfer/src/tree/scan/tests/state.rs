//! What is told of an entry: permissions, times, holes, further names.

use super::super::acl::ProcPath;
use super::super::look::Eye;
use super::*;
use crate::tree::entry::Time;
use rustix::fs::{
    AtFlags, FallocateFlags, Timespec, Timestamps, XattrFlags, fallocate, setxattr, utimensat,
};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

/// The only item of a folder.
fn item(dir: &TempDir, options: Options) -> (Entry, Stamp) {
    let mut found: Vec<_> = walk(dir, options).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    match found.pop() {
        Some(Found::Item(entry, stamp)) => (entry, stamp),
        other => panic!("{other:?}"),
    }
}

fn data(dir: &TempDir) -> Option<Vec<Range<u64>>> {
    match item(dir, ALL).0.kind {
        Kind::File { data, .. } => data,
        other => panic!("{other:?}"),
    }
}

fn set_times(path: &Path, atime: (i64, i64), mtime: (i64, i64)) {
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time(atime), last_modification: time(mtime) };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn owner_permissions_and_times_are_told() {
    let dir = tree(&["f"]);
    let path = dir.path().join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    // Before 1970 the nanoseconds still count forwards.
    set_times(&path, (1_600_000_000, 999_999_999), (-2, 250_000_001));
    let (entry, stamp) = item(&dir, ALL);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(
        entry.meta,
        Meta {
            mode: 0o4751,
            mtime: Time { secs: -2, nanos: 250_000_001 },
            atime: Some(Time { secs: 1_600_000_000, nanos: 999_999_999 }),
            uid: meta.uid(),
            gid: meta.gid(),
            ..Meta::default()
        }
    );
    let ctime = Time { secs: meta.ctime(), nanos: u32::try_from(meta.ctime_nsec()).unwrap() };
    assert_eq!((stamp.ino, stamp.size, stamp.ctime), (meta.ino(), 1, ctime));
    assert_eq!(stamp.mtime, entry.meta.mtime);
    assert_eq!(Stamp::of(fs::File::open(&path).unwrap()).unwrap(), stamp);
    assert_eq!(item(&dir, Options::default()).0.meta.atime, None);
}

#[test]
fn times_beyond_32_bits_are_told_as_they_are() {
    let dir = tree(&["f"]);
    let path = dir.path().join("f");
    for secs in [-3_000_000_000, 4_102_444_800, 1 << 40] {
        set_times(&path, (0, 0), (secs, 7));
        // What the file system made of it.
        let meta = fs::metadata(&path).unwrap();
        let kept = Time { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap() };
        assert_eq!(item(&dir, ALL).0.meta.mtime, kept);
    }
}

#[test]
fn the_stamp_shows_every_change_that_moves_a_time() {
    let dir = tree(&["f"]);
    let path = dir.path().join("f");
    let before = item(&dir, ALL).1;
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    assert_eq!(Stamp::of(&file).unwrap(), before);
    // Within the same second, of the same length.
    set_times(&path, (0, 0), (before.mtime.secs, i64::from(before.mtime.nanos ^ 1)));
    assert_ne!(Stamp::of(&file).unwrap(), before);
    set_times(&path, (0, 0), (before.mtime.secs, i64::from(before.mtime.nanos)));
    let restored = Stamp::of(&file).unwrap();
    assert_eq!((restored.mtime, restored.size), (before.mtime, before.size));
    file.write_all_at(b"longer", 0).unwrap();
    assert_eq!(Stamp::of(&file).unwrap().size, 6);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"f").unwrap();
    assert_ne!(item(&dir, ALL).1.ino, before.ino, "the old file is still open");
}

#[test]
fn of_a_symbolic_link_its_own_state_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, target) = (dir.path().join("l"), "x/".repeat(1500));
    symlink(&target, &path).unwrap();
    // Reading a link moves this time, so it is asked for before.
    set_times(&path, (1, 2), (3, 4));
    let (entry, stamp) = item(&dir, ALL);
    assert_eq!(entry.kind, Kind::Symlink { target: target.into_bytes() });
    assert_eq!(entry.meta.atime, Some(Time { secs: 1, nanos: 2 }));
    assert_eq!(stamp.mtime, Time { secs: 3, nanos: 4 });
}

/// An access control list as the kernel takes it, of tags, permissions and ids.
fn set_list(path: &Path, entries: &[(u16, u16, u32)]) {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    setxattr(path, "system.posix_acl_access", &bytes, XattrFlags::empty()).unwrap();
}

#[test]
fn the_owning_group_gets_no_rights_that_the_list_gives_to_others() {
    let none = u32::MAX;
    let dir = tree(&["d/file", "d/narrow", "d/none"]);
    // rw- for the owner, rwx for another user, nothing for the group.
    let list = [(1, 6, none), (2, 7, 1000), (4, 0, none), (0x10, 7, none), (0x20, 0, none)];
    set_list(&dir.path().join("d/file"), &list);
    set_list(
        &dir.path().join("d"),
        &list.map(|(tag, perm, id)| (tag, if tag == 1 { 7 } else { perm }, id)),
    );
    // All for the group, but the mask allows reading alone.
    let narrow = [(1, 6, none), (2, 7, 1000), (4, 7, none), (0x10, 4, none), (0x20, 0, none)];
    set_list(&dir.path().join("d/narrow"), &narrow);
    fs::set_permissions(dir.path().join("d/none"), fs::Permissions::from_mode(0o664)).unwrap();
    let shown_by_stat = fs::metadata(dir.path().join("d/file")).unwrap().mode() & 0o7777;
    assert_eq!(shown_by_stat, 0o670, "the mask is where the group's bits are");
    // By a path through /proc, by opening the file, and as sources.
    let (all, sources) = (contents(&dir), ["d", "d/file", "d/narrow", "d/none"]);
    let sources = sources.map(|source| dir.path().join(source));
    let mut named = sources.each_ref().map(PathBuf::as_path).to_vec();
    for (proc, by) in [(ProcPath::find as fn() -> _, "path"), (|| None, "descriptor")] {
        for paths in [&[&*all][..], &named] {
            let walk = Walk::with(paths, Eye::new(ALL, proc())).unwrap();
            let lists = walk.lists();
            let modes: Vec<_> = walk
                .filter_map(|found| match found {
                    Found::Enter(entry, _) | Found::Item(entry, _) => {
                        Some((String::from_utf8(entry.name).unwrap(), entry.meta.mode))
                    }
                    Found::Failed { .. } => panic!("{found:?}"),
                    _ => None,
                })
                .collect();
            for (name, mode) in [("d", 0o700), ("file", 0o600), ("narrow", 0o640), ("none", 0o664)]
            {
                let of = modes.iter().filter(|(n, _)| n == name).map(|(_, mode)| *mode);
                let of: Vec<_> = of.collect();
                assert!(!of.is_empty() && of.iter().all(|m| *m == mode), "{name} {of:?} by {by}");
            }
            // What is not kept is counted, two of them twice where they are sources of their own as well.
            let wanted = if paths.len() == 1 { 3 } else { 5 };
            assert_eq!(lists.load(std::sync::atomic::Ordering::Relaxed), wanted, "by {by}");
        }
    }
    named.truncate(1);
    fs::set_permissions(dir.path().join("d"), fs::Permissions::from_mode(0o750)).unwrap();
    let root = Walk::new(&[&dir.path().join("d/")], ALL).unwrap().next();
    assert!(matches!(root, Some(Found::Root(Meta { mode: 0o700, .. }, _))), "{root:?}");
}

#[test]
fn holes_are_told_and_all_data_is_within_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(dir.path().join("f")).unwrap();
    let written = [(0, 100), (300_000, 5000), (1 << 20, 1)];
    for (at, len) in written {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&vec![1; len]).unwrap();
    }
    file.set_len(2 << 20).unwrap();
    let extents = data(&dir).expect("a hole of 200 KB is larger than any block");
    for (at, len) in written {
        let holds = |extent: &Range<u64>| extent.start <= at && at + len as u64 <= extent.end;
        assert!(extents.iter().any(holds), "{at} in {extents:?}");
    }
    assert!(extents.windows(2).all(|pair| pair[0].end < pair[1].start), "{extents:?}");
    assert!(extents.last().unwrap().end <= 2 << 20);
    let told: u64 = extents.iter().map(|extent| extent.end - extent.start).sum();
    assert!(told < 1 << 19, "{extents:?}");
}

#[test]
fn a_hole_within_blocks_is_data() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("f")).unwrap();
    file.write_all_at(&[1; 6144], 0).unwrap();
    file.write_all_at(&[1; 6144], 10_240).unwrap();
    if let Some(extents) = data(&dir) {
        // Where blocks are smaller than 4 KiB a part of it may be told.
        assert!(extents[0].end >= 6144 && extents[1].start <= 10_240, "{extents:?}");
    }
}

#[test]
fn files_without_data_and_without_holes_differ() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("f")).unwrap();
    assert_eq!(data(&dir), None, "it has no bytes at all");
    file.set_len(1 << 30).unwrap();
    assert_eq!(data(&dir), Some(vec![]));
    file.set_len(0).unwrap();
    file.write_all_at(&vec![1; 1 << 16], 0).unwrap();
    assert_eq!(data(&dir), None);
    // Room that was taken and not written to is not looked at: what is said of it depends on who read it.
    file.set_len(0).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
    assert_eq!(data(&dir), None);
}

#[test]
fn of_many_extents_as_many_are_told_as_are_allowed() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = fs::File::create(dir.path().join("f")).unwrap();
    let step = 1 << 16;
    for index in 0..3000 {
        file.write_all_at(&[1], index * step).unwrap();
    }
    let extents = data(&dir).unwrap();
    assert_eq!(extents.len(), 1024);
    let holds = |at| extents.iter().any(|extent| extent.contains(&at));
    assert!((0..3000).all(|index| holds(index * step)));
}

#[test]
fn further_names_are_told_and_forgotten_when_all_have_come() {
    let dir = tree(&["a/one", "b/", "c/single"]);
    let link = |from: &str, to: &str| {
        fs::hard_link(dir.path().join(from), dir.path().join(to)).unwrap();
    };
    link("a/one", "a/two");
    link("a/one", "b/three");
    let mut found = walk(&dir, ALL);
    let texts: Vec<_> = found.by_ref().take(5).map(|found| show(&found)).collect();
    assert_eq!(texts, ["a/", "one", "two => a/one", "/", "b/"]);
    assert_eq!(found.remembered(), 1);
    assert_eq!(show(&found.next().unwrap()), "three => a/one");
    assert_eq!(found.remembered(), 0);
    assert_eq!(shown(found), ["/", "c/", "single", "/"]);
    // One name outside of what is sent.
    assert_eq!(given(&dir, &["b", "c"]).unwrap(), ["b/", "three", "/", "c/", "single", "/"]);
    assert_eq!(given(&dir, &["b", "a/two"]).unwrap(), ["b/", "three", "/", "two => b/three"]);
    let apart = walk(&dir, Options { hard_links: false, ..ALL });
    let mut apart = apart.inspect(|found| assert!(!show(found).contains("=>")));
    assert_eq!(apart.by_ref().count(), 10);
}

#[test]
fn a_file_that_is_another_by_now_is_no_further_name() {
    let dir = tree(&["a"]);
    let (one, two) = (dir.path().join("a"), dir.path().join("b"));
    fs::hard_link(&one, &two).unwrap();
    let mut walk = walk(&dir, ALL);
    assert_eq!(show(&walk.next().unwrap()), "a");
    // As if its number had gone to a file of the same kind.
    fs::write(&two, b"longer").unwrap();
    assert_eq!(shown(walk), ["b"]);
}
