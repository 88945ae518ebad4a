use super::PlaceError;
use super::beneath::{Beneath, Resolution};
use super::dirs::{Dirs, Folder};
use super::meta::NotCarried::{Group, Owner, SetGid, SetUid};
use super::meta::{
    Allowed, Granularity, Has, Keep, NotCarried, Of, Plan, Rules, Step, apply, apply_to_link,
    opened_up, plan, same_time,
};
use super::nodes::symlink;
use super::room::{is_in_memory, reserve};
use super::temporary::{Linked, Temporary, copy, link};
use crate::destination::{Root, Shown};
use crate::sweep::sweep;
use crate::tree::entry::{Entry, Kind, Meta, Time};
use crate::untried::{is_root, is_tried};
use rustix::fs::{CWD, IFlags, Mode, OFlags, RenameFlags, renameat_with};
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink as symlink_by_hand};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mod attrs;

const TIME: Time = Time { secs: 1_234_567_890, nanos: 5 };
const KEEP: Keep =
    Keep { perms: true, times: true, owner: false, group: false, xattrs: false, acls: false };
const RULES: Rules =
    Rules { keep: KEEP, allowed: Allowed { owner: false, setuid: false }, umask: 0o022 };

/// Outside, and the root inside of it.
struct Bed {
    outside: tempfile::TempDir,
    beneath: Arc<Beneath>,
}

impl Bed {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("root")).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let fd = fs::File::open(outside.path().join("root")).unwrap().into();
        Self { outside, beneath: Arc::new(Beneath::new(fd)) }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.outside.path().join("root").join(path)
    }

    fn dirs(&self, rules: Rules) -> Dirs {
        Dirs::new(self.beneath.clone(), rules).unwrap()
    }

    /// Nothing outside of the root was added, removed or written.
    fn outside_untouched(&self) {
        let mut names: Vec<_> = fs::read_dir(self.outside.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["root", "secret"]);
        assert_eq!(fs::read(self.outside.path().join("secret")).unwrap(), b"secret");
    }
}

fn dir(name: &str, mode: u32) -> Entry {
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let meta = Meta { mode, mtime: TIME, uid: us.0, gid: us.1, ..Meta::default() };
    Entry { name: name.into(), meta, kind: Kind::Dir }
}

fn put(dirs: &Dirs, name: &str, bytes: &str) -> Result<(), PlaceError> {
    let name = super::beneath::plain_name(name.as_bytes())?;
    dirs.here().may_replace(name, true)?;
    let mut made = Temporary::create(dirs.here())?;
    made.file().write_all(bytes.as_bytes()).unwrap();
    made.rename(name)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Does something as an ordinary user; the root is that user's.
fn as_nobody(bed: &Bed, work: impl FnOnce() + Send) {
    use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
    std::os::unix::fs::chown(bed.at(""), Some(NOBODY), Some(NOBODY)).unwrap();
    std::thread::scope(|scope| {
        let turned = || {
            let (uid, gid) = (rustix::fs::Uid::from_raw(NOBODY), rustix::fs::Gid::from_raw(NOBODY));
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap(); // of this thread alone
            work();
        };
        scope.spawn(turned).join().unwrap();
    });
}

const NOBODY: u32 = 65_534;

#[test]
fn a_folder_that_may_not_be_read_is_entered() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let before =
        [("own", 0o300), ("closed", 0o000), ("shut", 0o200), ("still", 0o555), ("foreign", 0o733)];
    for (name, bits) in before {
        fs::create_dir(bed.at(name)).unwrap();
        fs::set_permissions(bed.at(name), fs::Permissions::from_mode(bits)).unwrap();
        if name != "foreign" {
            std::os::unix::fs::chown(bed.at(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    as_nobody(&bed, || {
        // Nothing is told of them but their names.
        let rules = Rules { keep: Keep::default(), ..RULES };
        let mut dirs = bed.dirs(rules);
        for (number, (name, _)) in (0..).zip(before) {
            dirs.enter(number, &dir(name, 0o755)).unwrap();
            put(&dirs, "file", name).unwrap();
            dirs.leave().unwrap();
            dirs.enter_parent(name.as_bytes()).unwrap();
            put(&dirs, "more", name).unwrap();
            dirs.leave().unwrap();
        }
        dirs.finish(&mut |number, _, done| assert!(done.is_ok(), "{number:?} {done:?}")).unwrap();
        // An abort leaves them as they were, too.
        let mut dirs = bed.dirs(rules);
        dirs.enter(0, &dir("closed", 0o755)).unwrap();
        drop(dirs);
        // What is told of one that is one's own is set, and nothing of any other's.
        let mut dirs = bed.dirs(RULES);
        for (number, name) in [(0, "own"), (1, "foreign")] {
            dirs.enter(number, &dir(name, 0o311)).unwrap();
            dirs.leave().unwrap();
        }
        dirs.finish(&mut |number, _, done| assert_eq!(done.is_ok(), number == Some(0))).unwrap();
        let beneath = &bed.beneath;
        for name in ["own", "foreign"] {
            Folder::open(beneath, name.as_bytes(), false).unwrap().sync(beneath).unwrap();
        }
    });
    for (name, bits) in before {
        let bits = if name == "own" { 0o311 } else { bits };
        assert_eq!(mode(&bed.at(name)), bits, "{name}");
        assert_eq!(names(&bed.at(name)), ["file", "more"], "{name}");
    }
}

#[test]
fn a_root_is_looked_at_before_anything_comes() {
    let bed = Bed::new();
    symlink_by_hand("root", bed.outside.path().join("link")).unwrap();
    let said = |path: &Path| Root::open(path).unwrap_err().to_string();
    for link in ["link", "link/", "link//"] {
        let link = bed.outside.path().join(link);
        assert!(said(&link).contains("it is a symbolic link"), "{}", said(&link));
        assert!(Root::open_with(&link, true).unwrap().is_same(&Root::open(&bed.at("")).unwrap()));
    }
    assert!(Root::open(&bed.outside.path().join("link/.")).is_ok(), "that is the folder itself");
    assert!(said(&bed.outside.path().join("secret")).contains("it is no folder"));
    assert!(said(&bed.at("absent")).contains("there is no such folder"));
    // One that is made anew is another one.
    let before = Root::open(&bed.at("")).unwrap();
    assert!(before.is_same(&before.now().unwrap()));
    fs::rename(bed.at(""), bed.outside.path().join("away")).unwrap();
    assert!(before.now().is_err());
    fs::create_dir(bed.at("")).unwrap();
    assert!(!before.is_same(&before.now().unwrap()));
    if is_root() {
        let path = bed.at("shut");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(bed.outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
        as_nobody(&bed, || assert!(said(&path).contains("may not be written to")));
    }
}

#[test]
fn both_resolutions_stay_beneath_and_follow_no_link() {
    for resolution in [Resolution::Kernel, Resolution::Components] {
        let bed = Bed::new();
        fs::create_dir_all(bed.at("a/b")).unwrap();
        fs::write(bed.at("a/b/f"), "inside").unwrap();
        symlink_by_hand("..", bed.at("up")).unwrap();
        symlink_by_hand("a", bed.at("side")).unwrap();
        symlink_by_hand("../../../secret", bed.at("a/b/out")).unwrap();
        let root = fs::File::open(bed.at("")).unwrap().into();
        let beneath = Beneath::with(root, resolution);
        let open = |path: &[u8]| beneath.open(path, OFlags::RDONLY, Mode::empty());
        for path in [&b""[..], b"a", b"a/b", b"a/b/f"] {
            assert!(open(path).is_ok(), "{resolution:?} {path:?}");
        }
        let refused: [&[u8]; 10] = [
            b"..",
            b"a/../..",
            b"/etc/passwd",
            b"a//b",
            b"up/secret",
            b"side/b",
            b"side",
            b"a/b/out",
            b"a/\0",
            b".",
        ];
        for path in refused {
            assert!(open(path).is_err(), "{resolution:?} {path:?}");
        }
    }
}

#[test]
fn a_path_longer_than_the_kernel_takes_is_walked() {
    let bed = Bed::new();
    let mut dirs = bed.dirs(RULES);
    let name = "n".repeat(255);
    for _ in 0..20 {
        dirs.enter(0, &dir(&name, 0o755)).unwrap();
    }
    let mut failed = 0;
    dirs.finish(&mut |_, _, set| failed += usize::from(set.is_err())).unwrap();
    assert_eq!((failed, mode(&bed.at(&name))), (0, 0o755));
}

#[test]
fn directories_get_what_is_told_of_them_after_their_content() {
    let bed = Bed::new();
    let mut dirs = bed.dirs(RULES);
    dirs.enter(0, &dir("a", 0o555)).unwrap();
    dirs.enter(0, &dir("b", 0o500)).unwrap();
    put(&dirs, "f", "x").unwrap();
    dirs.leave().unwrap();
    put(&dirs, "g", "x").unwrap();
    dirs.leave().unwrap();
    dirs.finish(&mut |_, _, set| assert!(set.is_ok(), "{set:?}")).unwrap();
    assert_eq!((mode(&bed.at("a")), mode(&bed.at("a/b"))), (0o555, 0o500));
    for path in ["a", "a/b"] {
        let found = fs::metadata(bed.at(path)).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (TIME.secs, 5));
    }
    assert_eq!(names(&bed.at("a")), ["b", "g"]);
    assert_eq!(names(&bed.at("")), ["a"]);
}

#[test]
fn an_abort_leaves_directories_as_they_should_be() {
    let bed = Bed::new();
    fs::create_dir(bed.at("old")).unwrap();
    fs::set_permissions(bed.at("old"), fs::Permissions::from_mode(0o555)).unwrap();
    let mut dirs = bed.dirs(Rules { keep: Keep::default(), ..RULES });
    dirs.enter(0, &dir("old", 0o700)).unwrap();
    put(&dirs, "f", "x").unwrap();
    dirs.enter(0, &dir("new", 0o777)).unwrap();
    drop(dirs);
    assert_eq!((mode(&bed.at("old")), mode(&bed.at("old/new"))), (0o555, 0o755));
    assert_eq!(fs::read(bed.at("old/f")).unwrap(), b"x");
    fs::set_permissions(bed.at("old"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_directory_that_was_replaced_meanwhile_is_left_alone() {
    let bed = Bed::new();
    let mut dirs = bed.dirs(RULES);
    dirs.enter(0, &dir("a", 0o500)).unwrap();
    dirs.leave().unwrap();
    fs::rename(bed.at("a"), bed.at("moved")).unwrap();
    fs::create_dir(bed.at("a")).unwrap();
    let before = mode(&bed.at("a"));
    let mut failed = 0;
    dirs.finish(&mut |_, _, set| failed += usize::from(set.is_err())).unwrap();
    assert_eq!((failed, mode(&bed.at("a"))), (1, before));
}

#[test]
fn what_stands_in_the_way_is_told() {
    let bed = Bed::new();
    fs::write(bed.at("file"), "").unwrap();
    symlink_by_hand("..", bed.at("link")).unwrap();
    fs::create_dir_all(bed.at("full/x")).unwrap();
    fs::create_dir(bed.at("empty")).unwrap();
    let mut dirs = bed.dirs(RULES);
    let mut told = |name| dirs.enter(0, &dir(name, 0o755)).unwrap_err().to_string();
    assert_eq!(told("file"), "file is refused: it is a file");
    assert_eq!(told("link"), "link is refused: it is a symbolic link");
    for name in ["..", ".", "", "/etc", "a/b", ".mcp-1-0123456789abcdef.part"] {
        assert!(matches!(dirs.enter(0, &dir(name, 0o755)), Err(PlaceError::Name { .. })), "{name}");
        assert!(put(&dirs, name, "x").is_err(), "{name}");
    }
    let full = put(&dirs, "full", "x").unwrap_err().to_string();
    assert_eq!(full, "full is refused: it is a folder that is not empty");
    put(&dirs, "empty", "x").unwrap();
    put(&dirs, "link", "x").unwrap();
    assert!(fs::symlink_metadata(bed.at("link")).unwrap().is_file());
    let without = Temporary::create(dirs.here()).unwrap();
    drop(without);
    drop(dirs);
    assert_eq!(names(&bed.at("")), ["empty", "file", "full", "link"]);
    bed.outside_untouched();
}

/// What its owner has made immutable (chattr(1)) stays, and nothing is left beside it.
#[test]
fn an_immutable_file_is_not_replaced() {
    let bed = Bed::new();
    let dirs = bed.dirs(RULES);
    put(&dirs, "f", "old").unwrap();
    let file = fs::File::open(bed.at("f")).unwrap();
    let set = |flags| rustix::fs::ioctl_setflags(&file, flags);
    let made = set(IFlags::IMMUTABLE);
    if !is_tried(made.is_ok(), "it needs root, and a file system with this flag (ext4 has it)") {
        return;
    }
    let failed = put(&dirs, "f", "new").unwrap_err().to_string();
    set(IFlags::empty()).unwrap();
    assert_eq!(failed, "cannot give its name to f: Operation not permitted (os error 1)");
    assert_eq!(fs::read(bed.at("f")).unwrap(), b"old");
    assert_eq!(names(&bed.at("")), ["f"]);
}

#[test]
fn a_symbolic_link_that_was_sent_is_not_written_through() {
    let bed = Bed::new();
    let mut dirs = bed.dirs(RULES);
    symlink(dirs.here(), b"out", b"..", &|_, _| Ok(())).unwrap();
    symlink(dirs.here(), b"secret", b"../secret", &|_, _| Ok(())).unwrap();
    assert!(matches!(dirs.enter(0, &dir("out", 0o755)), Err(PlaceError::Stands { .. })));
    assert!(link((&bed.beneath, b"out/secret"), dirs.here(), b"l", false).is_err());
    assert!(link((&bed.beneath, b"../secret"), dirs.here(), b"l", false).is_err());
    put(&dirs, "secret", "mine").unwrap();
    symlink(dirs.here(), b"secret", b"again", &|_, _| Ok(())).unwrap();
    assert_eq!(fs::read_link(bed.at("secret")).unwrap(), Path::new("again"));
    let told = Meta { mtime: TIME, ..Meta::default() };
    let steps = plan(&told, Of::Symlink, Has::default(), None, RULES);
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let link = rustix::fs::openat(dirs.here().fd(), "secret", flags, Mode::empty()).unwrap();
    apply_to_link(link.as_fd(), &steps, &Shown::default()).unwrap();
    assert_eq!(fs::symlink_metadata(bed.at("secret")).unwrap().mtime(), TIME.secs);
    bed.outside_untouched();
}

#[test]
fn links_are_made_over_what_stands_and_over_themselves() {
    let bed = Bed::new();
    let dirs = bed.dirs(RULES);
    put(&dirs, "a", "one").unwrap();
    put(&dirs, "b", "two").unwrap();
    for linked in [Linked::Link, Linked::Same] {
        assert_eq!(link((&bed.beneath, b"a"), dirs.here(), b"b", false).unwrap(), linked);
    }
    assert_eq!(fs::read(bed.at("b")).unwrap(), b"one");
    assert_eq!(fs::metadata(bed.at("a")).unwrap().nlink(), 2);
    let from = fs::File::open(bed.at("a")).unwrap();
    let mut copied = copy(&from, dirs.here(), &|| false).unwrap().unwrap();
    copied.rename(OsStr::new("c")).unwrap();
    assert_eq!(fs::metadata(bed.at("c")).unwrap().nlink(), 1);
    assert_eq!(fs::read(bed.at("c")).unwrap(), b"one");
    assert_eq!(names(&bed.at("")), ["a", "b", "c"]);
}

/// The system copies no range of a file from ext4 to tmpfs by itself (`copy_file_range(2)`, `EXDEV`), and a further name
/// leads to no other file system.
#[test]
fn a_file_is_copied_from_another_file_system() {
    let bed = Bed::new();
    let dirs = bed.dirs(RULES);
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut bytes = vec![0; 3 << 20];
    bytes[..9].copy_from_slice(b"beginning");
    bytes[(2 << 20) + 5..][..6].copy_from_slice(b"middle");
    let mut from = fs::File::create(other.path().join("far")).unwrap();
    from.set_len(bytes.len() as u64).unwrap();
    for at in [0, 2 << 20] {
        from.seek(SeekFrom::Start(at as u64)).unwrap();
        from.write_all(&bytes[at..at + 20]).unwrap();
    }
    let from = fs::File::open(other.path().join("far")).unwrap();
    let asked = std::cell::Cell::new(0);
    let is_over = || asked.replace(asked.get() + 1) > 0;
    assert!(copy(&from, dirs.here(), &is_over).unwrap().is_none(), "it is given up");
    assert_eq!(names(&bed.at("")), [""; 0]);
    let mut copied = copy(&from, dirs.here(), &|| false).unwrap().unwrap();
    copied.rename(OsStr::new("near")).unwrap();
    assert!(fs::read(bed.at("near")).unwrap() == bytes);
    let is_sparse = |path: &Path| fs::metadata(path).unwrap().blocks() * 512 < 1 << 20;
    assert!(is_sparse(&bed.at("near")) || !is_sparse(&other.path().join("far")), "holes are kept");
}

#[test]
fn a_sweep_leaves_what_is_held_and_takes_what_is_not() {
    let bed = Bed::new();
    let dirs = bed.dirs(RULES);
    let root = Root::open(&bed.at("")).unwrap();
    let mut held = Temporary::create(dirs.here()).unwrap();
    fs::write(bed.at(".mcp-1-0123456789abcdef.part"), "").unwrap();
    symlink_by_hand("..", bed.at(".mcp-1-0123456789abcdee.part")).unwrap();
    assert_eq!(sweep(&root, &|| false).removed, 2);
    assert_eq!(names(&bed.at("")).len(), 1);
    held.rename(OsStr::new("f")).unwrap();
    assert_eq!(names(&bed.at("")), ["f"]);
}

#[test]
fn swapping_a_directory_for_a_link_reaches_nothing_outside() {
    let bed = Bed::new();
    let (d, away) = (bed.at("d"), bed.at("away"));
    fs::create_dir(&d).unwrap();
    symlink_by_hand("..", &away).unwrap();
    let stop = AtomicBool::new(false);
    let mut placed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Each is at the other's name at once, so that no round finds neither.
                renameat_with(CWD, &d, CWD, &away, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..2_000 {
            let mut dirs = bed.dirs(RULES);
            if dirs.enter(0, &dir("d", 0o755)).is_ok() {
                placed += usize::from(put(&dirs, "f", "x").is_ok());
                assert!(link((&bed.beneath, b"d/secret"), dirs.here(), b"l", false).is_err());
            }
            let _ = dirs.finish(&mut |_, _, _| {});
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(placed > 0);
    bed.outside_untouched();
}

fn steps(plan: &Plan) -> (Vec<Step>, Vec<NotCarried>) {
    (plan.steps().collect(), plan.left().collect())
}

#[test]
fn what_is_set_follows_from_what_is_told_kept_and_allowed() {
    let told = Meta { mode: 0o6755, mtime: TIME, uid: 7, gid: 8, ..Meta::default() };
    let has = Has { mode: 0o600, uid: 1, gid: 1 };
    let none = Rules { umask: 0o027, ..Rules::default() };
    let of = |told: &Meta, of, old, rules| steps(&plan(told, of, has, old, rules));
    assert_eq!(of(&told, Of::File, None, none), (vec![Step::Chmod(0o750)], vec![]));
    // Bits that lend an identity are not inherited from the file that is replaced.
    assert_eq!(of(&told, Of::File, Some(0o4711), none), (vec![Step::Chmod(0o711)], vec![]));
    assert_eq!(of(&told, Of::OldDir, None, none), (vec![], vec![]));
    let all = Keep { perms: true, times: true, owner: true, group: true, ..KEEP };
    let times = Step::Times(TIME, None);
    let rules = |owner, setuid| Rules { keep: all, allowed: Allowed { owner, setuid }, umask: 0 };
    let chown = Step::Chown(Some(7), Some(8));
    assert_eq!(
        of(&told, Of::File, None, rules(true, true)),
        (vec![chown, Step::Chmod(0o6755), times], vec![])
    );
    assert_eq!(
        of(&told, Of::File, None, rules(true, false)),
        (vec![chown, Step::Chmod(0o755), times], vec![SetUid, SetGid])
    );
    assert_eq!(
        of(&told, Of::File, None, rules(false, true)),
        (vec![Step::Chmod(0o755), times], vec![Owner, Group, SetUid, SetGid])
    );
    // A change to the same owner would clear bits and capabilities, so that there is none.
    let same = Meta { uid: 1, gid: 1, ..told.clone() };
    assert_eq!(
        of(&same, Of::File, None, rules(true, true)),
        (vec![Step::Chmod(0o6755), times], vec![])
    );
    assert_eq!(of(&told, Of::Symlink, None, rules(true, true)), (vec![chown, times], vec![]));
}

#[test]
fn owner_comes_before_mode_so_that_set_id_bits_stay() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let dirs = bed.dirs(RULES);
    let mut made = Temporary::create(dirs.here()).unwrap();
    let told = Meta { mode: 0o6755, mtime: TIME, uid: 1234, gid: 1235, ..Meta::default() };
    let keep = Keep { perms: true, times: true, owner: true, group: true, ..KEEP };
    let rules = Rules { keep, allowed: Allowed { owner: true, setuid: true }, umask: 0 };
    let plan = plan(&told, Of::File, made.has(), None, rules);
    assert_eq!(apply(made.file().as_fd(), &plan, &Shown::default(), false).unwrap().dropped, None);
    made.rename(OsStr::new("f")).unwrap();
    let found = fs::metadata(bed.at("f")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o6755, 1234, 1235));
    assert_eq!((found.mtime(), found.mtime_nsec()), (TIME.secs, 5));
}

#[test]
fn clamped_times_are_equal() {
    let time = |secs, nanos| Time { secs, nanos };
    let ext4_small = Granularity { step: 1_000_000_000, first: -(1 << 31), last: (1 << 31) - 1 };
    assert!(same_time(time(4_102_444_800, 5), time((1 << 31) - 1, 0), ext4_small));
    assert!(!same_time(
        time(4_102_444_800, 5),
        time(4_102_444_800, 5),
        Granularity { last: 9, ..ext4_small }
    ));
    assert!(same_time(time(7, 999), time(7, 0), ext4_small));
    assert!(!same_time(time(7, 999), time(8, 0), ext4_small));
    assert!(same_time(time(-7, 5), time(-7, 5), Granularity::FULL));
    assert!(!same_time(time(7, 1), time(7, 9), Granularity::FULL));
    let ntfs = Granularity::tried(100, 0, -1);
    assert!(same_time(time(7, 199), time(7, 100), ntfs));
    assert!(!same_time(time(7, 199), time(7, 200), ntfs));
    let fat = Granularity { step: 2_000_000_000, ..ext4_small };
    assert!(same_time(time(7, 5), time(6, 0), fat));
    let file = tempfile::tempfile().unwrap();
    let found = Granularity::of(&file).unwrap();
    assert!(
        found.step <= 1_000_000_000 && found.first <= 0 && found.last > 1_000_000_001,
        "{found:?}"
    );
}

#[test]
fn room_is_taken_for_data_and_not_for_holes() {
    let bed = Bed::new();
    let folder = Shown::default();
    let file = tempfile::tempfile_in(bed.at("")).unwrap();
    let len = 1 << 30;
    let mib = 1 << 20;
    let unset = reserve(file.as_fd(), len, Some(&[0..mib, mib * 4..mib * 5]), &folder).unwrap();
    let found = file.metadata().unwrap();
    assert_eq!(found.len(), len);
    if unset.is_none() && !is_in_memory(file.as_fd()) {
        assert!((2 * mib..3 * mib).contains(&(found.blocks() * 512)), "{}", found.blocks());
    }
    assert_too_large_for(&tempfile::tempfile_in(bed.at("")).unwrap());
}

fn assert_too_large_for(file: &fs::File) {
    let full = reserve(file.as_fd(), 1 << 62, None, &Shown::default());
    assert!(matches!(full, Err(PlaceError::Full { .. })), "{full:?}");
}

/// Memory is not filled with zeros first; that it is too small shows all the same.
#[test]
fn no_room_is_taken_in_memory() {
    let Ok(file) = tempfile::tempfile_in("/dev/shm") else { return };
    if is_in_memory(file.as_fd()) {
        assert!(reserve(file.as_fd(), 1 << 20, None, &Shown::default()).unwrap().is_none());
        let found = file.metadata().unwrap();
        assert_eq!((found.len(), found.blocks()), (1 << 20, 0));
        assert_too_large_for(&file);
    }
}

/// A disk without an inode that is left still has room for a tree that is there already.
#[test]
fn where_no_file_can_be_made_folders_are_entered_all_the_same() {
    let proc = fs::File::open("/proc").unwrap();
    let mut dirs = Dirs::new(Arc::new(Beneath::new(proc.into())), RULES).unwrap();
    dirs.enter_parent(b"sys").unwrap();
    assert!(dirs.enter(0, &dir("of the tree", 0o755)).is_err());
}

/// Others who read what stands there go on, and nobody gets what is told before its list is set.
#[test]
fn while_attributes_are_set_only_the_owner_gets_anything() {
    for (has, meanwhile) in [(0o100_600, 0o600), (0o40555, 0o755), (0o106_444, 0o644), (0, 0o200)] {
        assert_eq!(opened_up(has), meanwhile, "{has:o}");
    }
}
