//! Devices, pipes and sockets: made where that is allowed, and else left out.

use crate::daemon::{Daemon, connect};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use transfer::message::{Delete, Keep, Offer};
use transfer::send::Delivered;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// A pipe with a further name, a socket and a file.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("folder")).unwrap();
    fs::write(root.join("file"), "text").unwrap();
    mknodat(CWD, root.join("folder/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::set_permissions(root.join("folder/pipe"), PermissionsExt::from_mode(0o642)).unwrap();
    fs::hard_link(root.join("folder/pipe"), root.join("the same pipe")).unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
}

/// Devices, if the system lets this process make some.
fn devices(root: &Path) -> bool {
    // Those of /dev/null and of the first RAM disk (Documentation/admin-guide/devices.txt).
    for (name, kind, number) in [
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("folder/disk", FileType::BlockDevice, makedev(1, 0)),
        // One of no driver, with more than eight bits of each number.
        ("far", FileType::CharacterDevice, makedev(0xabc, 0xf_edcb)),
    ] {
        match mknodat(CWD, root.join(name), kind, Mode::RUSR | Mode::WUSR, number) {
            Ok(()) => {}
            Err(Errno::PERM) => return false,
            Err(errno) => panic!("{name}: {errno}"),
        }
    }
    true
}

fn copy(daemon: &Daemon, source: &Path, delete: bool) -> Delivered {
    let options = scan::Options {
        hard_links: true,
        devices: true,
        specials: true,
        deletes: delete,
        ..scan::Options::default()
    };
    let tree = TreeSource::open(&[source], options, source.parent().unwrap()).unwrap();
    let keep = Keep { perms: true, times: true, ..Keep::default() };
    let delete = delete.then_some(Delete { max: None, one_file_system: false });
    let offer = Offer { keep, delete, ..Offer::default() };
    let outcome = transfer::send(&connect(daemon.addr, None), &tree, &[offer], &|_| ());
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    outcome.members.into_iter().next().unwrap()
}

/// Name, kind and permissions, number of a device, inode and time.
type Seen = (String, u32, u64, u64, (i64, i64));

/// What stands below a folder.
fn seen(root: &Path) -> Vec<Seen> {
    let (mut all, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let below = path.strip_prefix(root).unwrap().display().to_string();
            let time = (meta.mtime(), meta.mtime_nsec());
            all.push((below, meta.mode(), meta.rdev(), meta.ino(), time));
            open.extend(meta.is_dir().then_some(path));
        }
    }
    all.sort();
    all
}

#[test]
fn pipes_and_sockets_are_made_where_that_is_allowed() {
    are_made(71, false);
}

#[test]
fn devices_are_made_where_that_is_allowed() {
    are_made(77, true);
}

fn are_made(last: u8, with_devices: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("source"), dir.path().join("root"));
    fs::create_dir(&root).unwrap();
    tree(&source);
    if with_devices && !devices(&source) {
        let why = "the system lets only root make devices, in no namespace";
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "it was not tried: {why}");
        return eprintln!("not run: {why}");
    }
    let daemon = Daemon::start(&root, last, &["--allow", "device,delete"]);
    let delivered = copy(&daemon, &source, false);
    let report = delivered.said.report.unwrap();
    assert_eq!(report.failed, 0, "{delivered:?}");
    let there = root.join("source");
    let plain = |root: &Path| {
        let all = seen(root).into_iter();
        all.map(|(name, mode, number, _, time)| (name, mode, number, time)).collect::<Vec<_>>()
    };
    assert_eq!(plain(&there), plain(&source));
    let inode = |name: &str| fs::metadata(there.join(name)).unwrap().ino();
    assert_eq!(inode("folder/pipe"), inode("the same pipe"));

    // The same stays, with its inode; only the file was written a moment ago.
    let before = seen(&there);
    let again = copy(&daemon, &source, true).said.report.unwrap();
    assert_eq!((again.arrived, again.unchanged), (1, report.arrived - 1));
    let others =
        |all: &[Seen]| all.iter().filter(|entry| entry.0 != "file").cloned().collect::<Vec<_>>();
    assert_eq!(others(&seen(&there)), others(&before));

    // Another of them, or a file, is replaced, and only what stands there of them by one of them.
    fs::remove_file(there.join("socket")).unwrap();
    fs::write(there.join("socket"), "a file").unwrap();
    fs::remove_file(there.join("folder/pipe")).unwrap();
    drop(UnixListener::bind(there.join("folder/pipe")).unwrap());
    assert_eq!(copy(&daemon, &source, true).said.report.unwrap().failed, 0);
    assert_eq!(plain(&there), plain(&source));
    assert_eq!(inode("folder/pipe"), inode("the same pipe"));
    // As always, a file takes nothing's place that is none.
    fs::remove_file(source.join("socket")).unwrap();
    fs::write(source.join("socket"), "a file").unwrap();
    let delivered = copy(&daemon, &source, false);
    assert_eq!(delivered.said.report.unwrap().failed, 1, "{delivered:?}");
    assert!(fs::symlink_metadata(there.join("socket")).unwrap().file_type().is_socket());
}

#[test]
fn without_leave_they_are_left_out_and_told_and_nothing_of_theirs_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("source"), dir.path().join("root"));
    tree(&source);
    devices(&source); // or without
    fs::create_dir_all(root.join("source")).unwrap();
    fs::write(root.join("source/socket"), "stays").unwrap();
    let daemon = Daemon::start(&root, 72, &["--allow", "delete"]);
    let delivered = copy(&daemon, &source, true);
    let report = delivered.said.report.unwrap();
    // The folders and the file.
    assert_eq!((report.failed, report.deleted), (0, 0), "{delivered:?}");
    assert_eq!(report.arrived + report.unchanged, 3, "{delivered:?}");
    let told = delivered.said.notes.iter().filter(|note| note.contains("allow=device"));
    assert_eq!(told.count(), 1, "{delivered:?}");
    let names: Vec<_> = seen(&root.join("source")).into_iter().map(|entry| entry.0).collect();
    assert_eq!(names, ["file", "folder", "socket"]);
}
