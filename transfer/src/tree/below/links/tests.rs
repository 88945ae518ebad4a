//! Inodes with several names, at either end.

use super::super::tests::holder;
use super::super::*;
use crate::message::Keep as Told;
use crate::tree::entry::{Kind, Time};
use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags, fgetxattr, linkat, setxattr, utimensat};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

const NEVER: &dyn Fn() -> bool = &|| false;
/// Long ago: what was written a moment ago is never taken for the same.
const TIME: Time = Time { secs: 1_234_567_890, nanos: 5 };

/// A folder that is there, to be written into with permissions and times kept.
struct Bed {
    dir: TempDir,
    root: Root,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        Self { dir, root }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn below(&self, perms: bool) -> Below<'static> {
        let keep = Told { perms, times: true, ..Told::default() };
        let offer = Offer { keep, ..Offer::default() };
        Below::new(&self.root, &offer, &Limits::default(), (holder(), NEVER)).unwrap()
    }

    fn checking(&self, check: Check) -> Below<'static> {
        let keep = Told { perms: true, times: true, ..Told::default() };
        let offer = Offer { keep, check, ..Offer::default() };
        Below::new(&self.root, &offer, &Limits::default(), (holder(), NEVER)).unwrap()
    }

    /// A file with further names, as an earlier session would have left it.
    fn linked(&self, first: &str, further: &[&str]) {
        fs::write(self.at(first), b"same").unwrap();
        age(&self.at(first));
        for name in further {
            fs::hard_link(self.at(first), self.at(name)).unwrap();
        }
    }

    fn inode(&self, name: &str) -> u64 {
        fs::symlink_metadata(self.at(name)).unwrap().ino()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::symlink_metadata(self.at(name)).unwrap().mode() & 0o7777
    }
}

fn age(path: &Path) {
    let time = std::time::SystemTime::UNIX_EPOCH
        + std::time::Duration::new(TIME.secs.unsigned_abs(), TIME.nanos);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn age_link(path: &Path) {
    let time = Timespec { tv_sec: TIME.secs, tv_nsec: i64::from(TIME.nanos) };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn told(name: &str, mode: u32, kind: Kind) -> Entry {
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let meta = Meta { several: true, mode, mtime: TIME, uid: us.0, gid: us.1, ..Meta::default() };
    Entry { name: name.into(), meta, kind }
}

/// A file of the four bytes that all have here.
fn file(name: &str, mode: u32) -> Entry {
    told(name, mode, Kind::File { len: 4, data: None })
}

fn link(name: &str, to: &str) -> Entry {
    told(name, 0o644, Kind::Link { to: to.into() })
}

/// Takes a file as a session does; whether it was there.
fn take(below: &mut Below<'_>, entry: &Entry) -> Stands {
    let stands = below.look(entry, None).unwrap();
    if stands == Stands::Other {
        let here = below.here();
        below.file(&here, entry, b"same").unwrap();
    }
    stands
}

fn take_link(below: &mut Below<'_>, name: &str, to: &str) -> Stands {
    let here = below.here();
    below.link(&here, &link(name, to), to.as_bytes()).unwrap()
}

/// The source broke a link, and length and time are the same on both sides of it: what is set on one of the two
/// files is not to be set on the other.
#[test]
fn files_that_the_source_has_apart_are_apart() {
    let bed = Bed::new();
    bed.linked("a", &["b", "c"]);
    let mut below = bed.below(true);
    assert_eq!(take(&mut below, &file("a", 0o644)), Stands::Same);
    assert_eq!(take(&mut below, &file("c", 0o644)), Stands::Other);
    assert_eq!(take_link(&mut below, "b", "a"), Stands::Same);
    assert!(bed.inode("a") == bed.inode("b") && bed.inode("a") != bed.inode("c"));
    assert_eq!(fs::metadata(bed.at("a")).unwrap().nlink(), 2);
    // And that is all: the next session finds them so, and what it sets on one is not set on the other.
    let mut below = bed.below(true);
    assert_eq!(take(&mut below, &file("a", 0o644)), Stands::Same);
    assert_eq!(take(&mut below, &file("c", 0o604)), Stands::Same);
    assert_eq!((bed.mode("a"), bed.mode("b"), bed.mode("c")), (0o644, 0o644, 0o604));
    // A file of which the source sends one name alone keeps those that it has here beside.
    fs::hard_link(bed.at("c"), bed.at("d")).unwrap();
    assert_eq!(take(&mut bed.below(true), &file("c", 0o604)), Stands::Same);
    assert_eq!(bed.inode("c"), bed.inode("d"));
}

/// Beyond what is remembered they are left as they are, and that is told.
#[test]
fn of_more_inodes_than_are_remembered_some_are_left_together() {
    let bed = Bed::new();
    bed.linked("a", &["b"]);
    bed.linked("c", &["d"]);
    let mut below = bed.below(true);
    below.names.most = 1;
    let stands = ["a", "c", "d", "b"].map(|name| take(&mut below, &file(name, 0o644)));
    assert_eq!(stands, [Stands::Same, Stands::Same, Stands::Same, Stands::Other]);
    let notes = below.notes();
    assert!(notes.len() == 1 && notes[0].contains("several names here"), "{notes:?}");
}

/// New content of one name is never written into the inode that the others have as well.
#[test]
fn what_is_written_under_one_name_leaves_the_others() {
    let bed = Bed::new();
    bed.linked("a", &["b"]);
    let mut below = bed.below(true);
    let entry = told("b", 0o644, Kind::File { len: 5, data: None });
    assert_eq!(below.look(&entry, None), Ok(Stands::Other));
    let here = below.here();
    let (mut slot, _) = below.begin(&here, &entry).unwrap();
    below.write(&mut slot, b"other", 0).unwrap();
    below.keep(slot).unwrap();
    assert_eq!(fs::read(bed.at("a")).unwrap(), b"same");
    assert_eq!(fs::read(bed.at("b")).unwrap(), b"other");
}

#[test]
fn symbolic_links_that_the_source_has_apart_are_apart() {
    let bed = Bed::new();
    symlink("target", bed.at("a")).unwrap();
    age_link(&bed.at("a"));
    linkat(CWD, bed.at("a"), CWD, bed.at("b"), AtFlags::empty()).unwrap();
    let mut below = bed.below(true);
    let entry = |name| told(name, 0o777, Kind::Symlink { target: b"target".to_vec() });
    assert_eq!(below.symlink(&entry("a"), b"target"), Ok(Stands::Same));
    assert_eq!(below.symlink(&entry("b"), b"target"), Ok(Stands::Other));
    assert_ne!(bed.inode("a"), bed.inode("b"));
    assert_eq!(fs::read_link(bed.at("b")).unwrap(), Path::new("target"));
}

/// What `fs` allows is used up by the names of a file or of a symbolic link: ext4 has 65,000, xfs and tmpfs none that
/// a test reaches. Gives whether it has such a limit.
fn use_up(bed: &Bed, first: &str) -> bool {
    fs::create_dir_all(bed.at("names")).unwrap();
    let full = (0..66_000).any(|n| {
        let name = bed.at("names").join(format!("{first}{n}"));
        linkat(CWD, bed.at(first), CWD, name, AtFlags::empty()).is_err()
    });
    let needs = "a folder for temporary files on a file system that limits the names of a file, as ext4 does";
    crate::untried::is_tried(full, needs)
}

/// A file that has as many names as it may have gets a second inode, with all that is kept, and the further names
/// after that are names of the second one.
#[test]
fn more_names_than_an_inode_may_have() {
    let bed = Bed::new();
    bed.linked("a", &[]);
    fs::set_permissions(bed.at("a"), fs::Permissions::from_mode(0o644)).unwrap();
    if use_up(&bed, "a") {
        let mut below = bed.below(true);
        assert_eq!(take(&mut below, &file("a", 0o644)), Stands::Same);
        for name in ["b", "c"] {
            assert_eq!(take_link(&mut below, name, "a"), Stands::Other);
            assert_eq!(fs::read(bed.at(name)).unwrap(), b"same");
            let found = fs::metadata(bed.at(name)).unwrap();
            let (mode, time) = (found.mode() & 0o7777, (found.mtime(), found.mtime_nsec()));
            assert_eq!((mode, time), (0o644, (TIME.secs, 5)), "{name}");
        }
        assert_ne!(bed.inode("a"), bed.inode("b"));
        assert_eq!(bed.inode("b"), bed.inode("c"));
        let notes = below.notes();
        assert!(notes.len() == 1 && notes[0].contains("as many names as it may have"), "{notes:?}");
        // The next session finds them so, by whatever it compares, and copies only what is another file by now.
        for check in [Check::Quick, Check::Digest] {
            let second = bed.inode("b");
            let mut below = bed.checking(check);
            let digest = *blake3::hash(b"same").as_bytes();
            assert_eq!(below.look(&file("a", 0o644), Some(&digest)), Ok(Stands::Same));
            for name in ["b", "c"] {
                assert_eq!(take_link(&mut below, name, "a"), Stands::Same, "{check:?} {name}");
            }
            assert_eq!((bed.inode("b"), bed.inode("c")), (second, second));
            fs::remove_file(bed.at("b")).unwrap();
            fs::write(bed.at("b"), b"else").unwrap();
            if check == Check::Digest {
                age(&bed.at("b"));
            }
            let mut below = bed.checking(check);
            assert_eq!(below.look(&file("a", 0o644), Some(&digest)), Ok(Stands::Same));
            for name in ["b", "c"] {
                assert_eq!(take_link(&mut below, name, "a"), Stands::Other, "{check:?} {name}");
                assert_eq!(fs::read(bed.at(name)).unwrap(), b"same");
            }
            assert_eq!(bed.inode("b"), bed.inode("c"));
        }
    }
    let bed = Bed::new();
    symlink("target", bed.at("l")).unwrap();
    age_link(&bed.at("l"));
    if use_up(&bed, "l") {
        for stands in [Stands::Other, Stands::Same] {
            let mut below = bed.below(true);
            let first = told("l", 0o777, Kind::Symlink { target: b"target".to_vec() });
            assert_eq!(below.symlink(&first, b"target"), Ok(Stands::Same));
            for name in ["m", "n"] {
                assert_eq!(take_link(&mut below, name, "l"), stands);
                assert_eq!(fs::read_link(bed.at(name)).unwrap(), Path::new("target"));
                let time = fs::symlink_metadata(bed.at(name)).unwrap().mtime();
                assert_eq!(time, TIME.secs, "{name}");
            }
            assert_eq!(bed.inode("m"), bed.inode("n"));
        }
    }
}

/// What stands at a first name is copied under another one, and given an owner and permissions there, only if it is what
/// this session has put or compared: not what somebody else has put in its place before the names were made.
#[test]
fn what_nobody_has_verified_is_not_copied_for_a_second_inode() {
    let bed = Bed::new();
    bed.linked("a", &[]);
    bed.linked("evil", &[]);
    fs::write(bed.at("evil"), b"evil").unwrap();
    if !use_up(&bed, "a") || !use_up(&bed, "evil") {
        return;
    }
    let copied = |change: &dyn Fn()| {
        let _ = fs::remove_file(bed.at("b"));
        let mut below = bed.below(true);
        assert_eq!(take(&mut below, &file("a", 0o644)), Stands::Same);
        change();
        let here = below.here();
        below.link(&here, &link("b", "a"), b"a")
    };
    assert_eq!(copied(&|| ()), Ok(Stands::Other));
    let why = copied(&|| fs::rename(bed.at("evil"), bed.at("a")).unwrap()).unwrap_err();
    assert!(why.contains("a is refused") && why.contains("is not what"), "{why}");
    assert!(!bed.at("b").exists());
}

/// A default access control list (acl(5)) of a folder: the owner and user 1000 may everything, all others nothing.
fn set_default(path: &Path) {
    let none = u32::MAX;
    let list = [(1_u16, 7_u16, none), (2, 7, 1000), (4, 0, none), (0x10, 7, none), (0x20, 0, none)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in list {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    setxattr(path, "system.posix_acl_default", &bytes, XattrFlags::empty()).unwrap();
}

fn has_list(path: &Path) -> bool {
    let mut list = [0; 256];
    fgetxattr(File::open(path).unwrap(), "system.posix_acl_access", &mut list).is_ok()
}

/// Where permissions are kept they are those of the source, and nobody else's; else the receiver's folder says who may
/// what beside.
#[test]
fn a_default_list_gives_nobody_what_the_source_does_not() {
    let bed = Bed::new();
    for (name, perms) in [("kept", true), ("left", false)] {
        fs::create_dir(bed.at(name)).unwrap();
        set_default(&bed.at(name));
        let keep = Told { perms, ..Told::default() };
        let offer = Offer { to: format!("{name}/").into(), keep, ..Offer::default() };
        let limits = Limits::default();
        let mut below = Below::new(&bed.root, &offer, &limits, (holder(), NEVER)).unwrap();
        assert_eq!(take(&mut below, &file("small", 0o640)), Stands::Other);
        let here = below.here();
        let (mut slot, _) = below.begin(&here, &file("large", 0o640)).unwrap();
        below.write(&mut slot, b"same", 0).unwrap();
        assert_eq!(slot.temporary.has().mode, 0o600, "nobody else reads it meanwhile");
        below.keep(slot).unwrap();
        below.enter(2, &told("folder", 0o750, Kind::Dir)).unwrap();
        assert_eq!(take(&mut below, &file("in it", 0o640)), Stands::Other);
        below.leave();
        assert_eq!(below.finish(), Ok(Vec::new()));
        let paths =
            ["small", "large", "folder", "folder/in it"].map(|path| format!("{name}/{path}"));
        for path in paths {
            let mode = if path.ends_with("folder") { 0o750 } else { 0o640 };
            assert_eq!((bed.mode(&path), has_list(&bed.at(&path))), (mode, !perms), "{path}");
        }
    }
}
