//! What cannot be looked at, and what changes while it is walked.

use super::super::look::{At, Eye};
use super::super::names::Hint;
use super::*;
use crate::destination::Root;
use crate::limits::Limits;
use crate::message::Offer;
use crate::tree::below::Below;
use crate::tree::below::tests::holder;
use crate::tree::layout::MAX_LEN;
use rustix::fs::{OFlags, mkdirat, openat};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Names that one after the other stand in each other, and the last of them, open.
fn nest(dir: &TempDir, names: impl Iterator<Item = String>) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    names.fold(OwnedFd::from(fs::File::open(dir.path()).unwrap()), |at, name| {
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        openat(&at, &name, flags, Mode::empty()).unwrap()
    })
}

fn write_at(dir: &OwnedFd, name: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    openat(dir, name, flags, Mode::RUSR | Mode::WUSR).unwrap();
}

fn failed(walk: impl Iterator<Item = Found>) -> Vec<(usize, String)> {
    let paths = walk.filter_map(|found| match found {
        Found::Failed { path, error } => Some((path.len(), error.to_string())),
        _ => None,
    });
    paths.collect()
}

#[test]
fn a_name_that_vanishes_is_told_and_the_walk_goes_on() {
    let dir = tree(&["d/a", "d/b/x", "d/c", "d/e"]);
    symlink("a", dir.path().join("d/link")).unwrap();
    let mut walk = walk(&dir, ALL);
    assert_eq!(show(&walk.next().unwrap()), "d/");
    fs::remove_file(dir.path().join("d/a")).unwrap();
    fs::remove_dir_all(dir.path().join("d/b")).unwrap();
    fs::remove_file(dir.path().join("d/link")).unwrap();
    let found: Vec<_> = walk.collect();
    for failed in [0, 1, 4] {
        let vanished = matches!(&found[failed], Found::Failed { error: ScanError::Vanished, .. });
        assert!(vanished, "{:?}", found[failed]);
    }
    let gone = "vanished while the tree was walked";
    assert_eq!(show(&found[0]), format!("d/a: it {gone}"));
    assert_eq!([2, 3, 5].map(|i| show(&found[i])), ["c", "e", "/"]);
    assert_eq!(found.len(), 6);
}

#[test]
fn a_source_that_vanishes_after_the_beginning_is_told() {
    let dir = tree(&["a", "b/x", "c"]);
    let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
    let walk = Walk::new(&paths.each_ref().map(PathBuf::as_path), ALL).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    fs::remove_dir_all(&paths[1]).unwrap();
    let right = [
        "a: it vanished while the tree was walked",
        "b: it vanished while the tree was walked",
        "c",
    ];
    assert_eq!(shown(walk), right);
}

#[test]
fn a_folder_that_becomes_a_link_is_not_followed() {
    let dir = tree(&["d/a/secret", "d/b/y", "d/f", "outside/secret"]);
    let mut walk = walk(&dir, ALL);
    assert_eq!(show(&walk.next().unwrap()), "d/");
    for name in ["d/a", "d/b"] {
        fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
    symlink("../outside", dir.path().join("d/a")).unwrap();
    fs::write(dir.path().join("d/b"), b"a file now").unwrap();
    fs::remove_file(dir.path().join("d/f")).unwrap();
    symlink("../outside", dir.path().join("d/f")).unwrap();
    let found: Vec<_> = walk.by_ref().take(4).collect();
    for replaced in &found[..2] {
        assert!(
            matches!(replaced, Found::Failed { error: ScanError::Replaced, .. }),
            "{replaced:?}"
        );
    }
    // What is a link when it is looked at is one, whatever it was.
    assert_eq!([2, 3].map(|i| show(&found[i])), ["f -> ../outside", "/"]);
    assert_eq!(shown(walk), ["outside/", "secret", "/"]);
}

#[test]
fn a_way_that_is_swapped_for_a_link_leads_nowhere_else() {
    let dir = tree(&["d/e/x", "outside/e/secret"]);
    let mut walk = walk(&dir, ALL);
    assert_eq!([(); 2].map(|()| show(&walk.next().unwrap())), ["d/", "e/"]);
    fs::rename(dir.path().join("d"), dir.path().join("moved")).unwrap();
    symlink("outside", dir.path().join("d")).unwrap();
    assert_eq!(shown(walk)[..3], ["x", "/", "/"]);
}

#[test]
fn a_tree_deeper_than_a_receiver_takes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let deepest = nest(&dir, (0..MAX_FOLDERS).map(|_| "d".into()));
    write_at(&deepest, "file");
    assert_eq!(failed(walk(&dir, ALL)), []);
    mkdirat(&deepest, "d", Mode::RWXU).unwrap();
    let too_deep = failed(walk(&dir, ALL));
    assert_eq!(too_deep, [(2 * MAX_FOLDERS + 1, "deeper than 128 folders".into())]);
    let shown = shown(walk(&dir, ALL));
    assert_eq!((&shown[MAX_FOLDERS + 1][..], shown.len()), ("file", 2 * MAX_FOLDERS + 2));
    // The receiver's own limit is the same.
    let receiver = tempfile::tempdir().unwrap();
    let root = Root::open(receiver.path()).unwrap();
    let place = |folders| {
        let offer = Offer { to: "d/".repeat(folders).into(), ..Offer::default() };
        Below::new(&root, &offer, &Limits::default(), (holder(), &|| false)).map(drop)
    };
    assert!(place(MAX_FOLDERS).is_ok() && place(MAX_FOLDERS + 1).is_err());
}

#[test]
fn a_path_longer_than_a_receiver_takes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(255);
    // 15 times 256 bytes, then 2: names of 254 bytes end at 4,096.
    let folder = nest(&dir, (0..15).map(|_| long.clone()).chain(["y".into()]));
    for len in [253, 254, 255] {
        write_at(&folder, &long[..len]);
    }
    write_at(&folder, "z");
    let failed = failed(walk(&dir, ALL));
    assert_eq!(failed, [(4097, "its path is longer than 4096 bytes".into())]);
    assert_eq!(
        shown(walk(&dir, ALL))[16..20].iter().map(String::len).collect::<Vec<_>>()[..2],
        [253, 254]
    );
}

#[test]
fn names_that_no_receiver_gives_are_told() {
    let dir = tree(&["d/.mcp-1-0123456789abcdef.part", "d/a", ".mcp-2-0123456789abcdef.part/x"]);
    let why = "its name cannot be given at a receiver: unfinished files have such names";
    assert_eq!(
        shown(walk(&dir, ALL)),
        [
            &format!(".mcp-2-0123456789abcdef.part: {why}"),
            "d/",
            &format!("d/.mcp-1-0123456789abcdef.part: {why}"),
            "a",
            "/"
        ]
    );
    // Some file systems count characters instead of bytes.
    let long = CString::new(vec![b'x'; 256]).unwrap();
    let folder = fs::File::open(dir.path()).unwrap();
    let at = At::below(folder.as_fd(), &long, Hint::File);
    let looked = Eye::new(ALL, None).look(at, long.to_bytes(), long.to_bytes(), true);
    assert!(matches!(looked, Err(ScanError::Name("it is longer than 255 bytes"))));
}

#[test]
fn a_file_that_is_too_long_is_told() {
    // A file system in memory holds files of any length, as long as they are holes.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for (name, len) in [("fits", MAX_LEN), ("long", MAX_LEN + 1)] {
        fs::File::create(dir.path().join(name)).unwrap().set_len(len).unwrap();
    }
    let found: Vec<_> = walk(&dir, ALL).collect();
    let Found::Item(entry, _) = &found[0] else { panic!("{found:?}") };
    assert_eq!(entry.kind, Kind::File { len: MAX_LEN, data: Some(vec![]) });
    assert_eq!(show(&found[1]), "long: it has 140737488355329 bytes: longer than 2^47 bytes");
}

/// Runs the test of this name once more as an ordinary user, whom permissions concern; true if this is that
/// one already.
fn is_ordinary(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let nobody = 65534;
    let mut again = Command::new("/proc/self/exe");
    again.args(["--exact", "--nocapture", test]).env("TMPDIR", "/tmp").uid(nobody).gid(nobody);
    let output = again.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{output:?}");
    false
}

#[test]
fn what_may_not_be_read_does_not_hide_the_rest() {
    let name = "tree::scan::tests::failures::what_may_not_be_read_does_not_hide_the_rest";
    if !is_ordinary(name) {
        return;
    }
    let dir = tree(&["a/x", "b/y", "c/z", "d", "sparse"]);
    let permit = |name: &str, mode| {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 20).unwrap();
    // Nothing; names alone; and files without permissions, which their reader will tell.
    for (name, mode) in [("a", 0), ("b", 0o444), ("d", 0), ("sparse", 0)] {
        permit(name, mode);
    }
    let found = shown(walk(&dir, ALL));
    let denied = "Permission denied (os error 13)";
    let right = [
        &format!("a: cannot open the folder: {denied}"),
        "b/",
        &format!("b/y: cannot look at it: {denied}"),
        "/",
        "c/",
        "z",
        "/",
        "d",
        "sparse",
    ];
    assert_eq!(found, right);
    for source in ["a", "a/", "d"] {
        assert!(matches!(given(&dir, &[source]), Err(SourcesError::Open { .. })), "{source}");
    }
    permit("a", 0o700);
    permit("b", 0o700);
}

#[test]
fn files_are_opened_by_their_paths_and_no_link_is_followed() {
    let dir = tree(&["d/e/f", "top", "c/g/h", "outside/f", "outside/h"]);
    symlink("d", dir.path().join("link")).unwrap();
    let paths = ["link", "top", "c/"].map(|name| dir.path().join(name));
    let mut walk = Walk::new(&paths.each_ref().map(PathBuf::as_path), ALL).unwrap();
    let opener = walk.opener();
    let mut stamps = Vec::new();
    for found in walk.by_ref() {
        if let Found::Item(_, stamp) = found {
            stamps.push(stamp);
        }
    }
    drop(walk);
    for (path, stamp) in [&b"g/h"[..], b"link/e/f", b"top"].into_iter().zip(&stamps) {
        assert_eq!(opener.open(path).unwrap().1, *stamp);
    }
    fs::write(dir.path().join("top"), b"changed").unwrap();
    assert_ne!(opener.open(b"top").unwrap().1, stamps[2]);
    for name in ["d/e", "c/g"] {
        fs::remove_dir_all(dir.path().join(name)).unwrap();
        symlink("../outside", dir.path().join(name)).unwrap();
    }
    symlink("outside/f", dir.path().join("c/k")).unwrap();
    for path in [&b"link/e/f"[..], b"g/h", b"top/x"] {
        assert!(matches!(opener.open(path), Err(ScanError::Replaced)), "{path:?}");
    }
    for path in [&b""[..], b"absent", b"link/absent", b"k", b"link/..", b"link/./e", b"link//e"] {
        assert!(matches!(opener.open(path), Err(ScanError::Vanished)), "{path:?}");
    }
}
