//! Attributes of all kinds of entries, whatever they are called and however long they are, and owners by name.

use crate::daemon::{Daemon, connect};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use transfer::message::{Delete, Keep, Offer};
use transfer::send::Delivered;
use transfer::tree::owners::Chown;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// Whatever is waited for comes within this, unless something is wrong.
const LONG: Duration = Duration::from_secs(20);

const ALL: &str = "owner,setuid,device,delete";

const KEEP: Keep = Keep {
    perms: true,
    times: true,
    owner: true,
    group: true,
    numeric_ids: false,
    xattrs: true,
    acls: true,
};

/// Copies a folder with all that there is of it.
fn copy(daemon: &Daemon, source: &Path, chown: Chown) -> Delivered {
    let options = scan::Options {
        links: true,
        hard_links: true,
        owners: true,
        devices: true,
        specials: true,
        xattrs: true,
        acls: true,
        deletes: true,
        chown,
        ..scan::Options::default()
    };
    let tree = TreeSource::open(&[source], options, source.parent().unwrap()).unwrap();
    let offer = Offer { keep: KEEP, delete: Some(Delete::default()), ..Offer::default() };
    let outcome = transfer::send(&connect(daemon.addr, None), &tree, &[offer], &|_| ());
    assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    outcome.members.into_iter().next().unwrap()
}

fn set(path: &Path, name: &[u8], value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// The attributes of each entry, of symbolic links themselves.
fn seen(root: &Path) -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: &Path| {
        let mut names = vec![0; 65_536];
        let len = llistxattr(path, &mut names[..]).unwrap();
        let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let value = |name: &[u8]| {
            let mut value = vec![0; 65_536];
            let len = lgetxattr(path, name, &mut value[..]).unwrap();
            value[..len].to_vec()
        };
        // A label of the system's own is none of theirs.
        let names = names.filter(|name| *name != b"security.selinux");
        names.map(|name| (name.to_vec(), value(name))).collect()
    };
    entries.map(|path| (path.file_name().unwrap().display().to_string(), of(&path))).collect()
}

/// Entries of all kinds, with attributes that are root's and of whoever asks.
fn tree(root: &Path) {
    fs::create_dir(root).unwrap();
    fs::write(root.join("file"), "text").unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    symlink("nowhere", root.join("link")).unwrap();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
    fs::hard_link(root.join("pipe"), root.join("the same pipe")).unwrap();
    for name in ["file", "folder", "link", "pipe", "socket"] {
        set(&root.join(name), b"trusted.a", name.as_bytes());
        set(&root.join(name), b"trusted.not \xff utf-8 \xc3", b"\0\xff");
    }
    for name in ["file", "folder"] {
        set(&root.join(name), b"user.long", &[0xa5; 2000]);
        set(&root.join(name), b"user.empty", b"");
        set(&root.join(name), b"user.\xfe", b"1");
    }
    let all = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let touched = Command::new("touch").args(["-h", "-d", "@1000000000"]).args(all).status();
    assert!(touched.unwrap().success());
}

/// What rsync(1) would change, which keeps no attributes of symbolic links.
fn rsync(source: &Path, there: &Path) -> String {
    let mut rsync = Command::new("rsync");
    rsync.args(["-aAXHinc", "--delete"]).arg(format!("{}/", source.display())).arg(there);
    let out = rsync.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn attributes_of_all_kinds_of_entries_are_those_of_the_source() {
    if !rustix::process::geteuid().is_root() {
        let why = "only root sets trusted.*";
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "it was not tried: {why}");
        return eprintln!("not run: {why}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("source"), dir.path().join("root"));
    let there = root.join("source");
    tree(&source);
    fs::create_dir(&root).unwrap();
    let daemon = Daemon::start(&root, 80, &["--allow", ALL]);
    let copy = || {
        let delivered = copy(&daemon, &source, Chown::NONE);
        assert_eq!(delivered.failure(), None, "{delivered:?}");
        assert_eq!(seen(&there), seen(&source));
        assert_eq!(rsync(&source, &there), "");
        delivered.said.report.unwrap()
    };
    let first = copy();
    assert_eq!((first.arrived, first.unchanged), (7, 0), "the folder itself and six in it");

    // What differs is set in place, but on what has a name elsewhere, which keeps what it has.
    let inode = |name: &str| fs::symlink_metadata(there.join(name)).unwrap().ino();
    let names = ["file", "link", "socket"];
    let before = names.map(inode);
    for name in names {
        set(&there.join(name), b"trusted.a", b"another");
        set(&there.join(name), b"trusted.more", b"1");
    }
    copy();
    assert_eq!(names.map(inode), before);
    for name in names {
        set(&there.join(name), b"trusted.a", b"another");
        fs::hard_link(there.join(name), root.join(name)).unwrap();
    }
    copy();
    for (name, before) in names.into_iter().zip(before) {
        assert_ne!(inode(name), before, "{name}");
        let kept = &seen(&root)[name];
        assert_eq!(kept[&b"trusted.a"[..]], b"another", "{name}");
    }
}

#[test]
fn an_owner_whom_nobody_knows_fails_by_name_where_owners_are_set_and_else_not() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "text").unwrap();
    for (last, allow, fails) in [(81, "owner", true), (82, "setuid", false), (83, "delete", false)]
    {
        let root = dir.path().join(format!("root{last}"));
        fs::create_dir(&root).unwrap();
        let daemon = Daemon::start(&root, last, &["--allow", allow]);
        let chown = Chown::parse("nobody-of-that-name").unwrap();
        let delivered = copy(&daemon, &source, chown);
        let reasons: Vec<_> = delivered.failures().map(|failed| failed.why.clone()).collect();
        let named =
            |why: &std::sync::Arc<str>| why.contains("no user is called nobody-of-that-name");
        assert_eq!(reasons.iter().any(named), fails, "{allow}: {reasons:?}");
        assert_eq!(delivered.failure().is_some(), fails, "{allow}: {delivered:?}");
        assert_eq!(root.join("source/file").exists(), !fails, "{allow}");
    }
}

/// A list for what is created in a folder, that lets another user in: acl(5), with the kernel's numbers (Linux,
/// `include/uapi/linux/posix_acl_xattr.h`).
fn default_list() -> Vec<u8> {
    let entries = [(1_u16, 7_u16, u32::MAX), (2, 7, 4711), (4, 5, u32::MAX), (16, 7, u32::MAX)];
    let entries = entries.into_iter().chain([(32, 0, u32::MAX)]);
    let bytes = entries.flat_map(|(tag, perm, id)| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    2_u32.to_le_bytes().into_iter().chain(bytes).collect()
}

/// It would be on what other senders bring there.
#[test]
fn a_folder_that_stood_there_gets_a_default_list_from_who_may_set_owners() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("source"), dir.path().join("root"));
    let (name, there) = (&b"system.posix_acl_default"[..], root.join("source"));
    fs::create_dir_all(source.join("new")).unwrap();
    fs::create_dir_all(&there).unwrap();
    for folder in [&source, &source.join("new")] {
        set(folder, name, &default_list());
    }
    let has = |path: &Path| lgetxattr(path, name, &mut [0; 64][..]).is_ok();
    for (last, allow, kept) in [(84, "delete", false), (85, "owner", true)] {
        let daemon = Daemon::start(&root, last, &["--allow", allow]);
        let delivered = copy(&daemon, &source, Chown::NONE);
        assert_eq!(delivered.failure(), None, "{delivered:?}");
        assert_eq!((has(&there), has(&there.join("new"))), (kept, true), "{allow}");
        let told = |note: &String| note.starts_with("default lists of folders that stood here");
        assert_eq!(delivered.said.notes.iter().any(told), !kept, "{:?}", delivered.said.notes);
    }
}

/// What is begun of its files goes, and after that the folder that it was in is as it was told.
#[test]
fn a_copy_that_is_broken_off_leaves_folders_with_the_times_that_were_told() {
    let dir = tempfile::tempdir().unwrap();
    let (source, root) = (dir.path().join("source"), dir.path().join("root"));
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::create_dir(&root).unwrap();
    fs::write(source.join("sub/large"), vec![7; 16 << 20]).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(source.join("sub")).unwrap().set_modified(old).unwrap();
    let daemon = Daemon::start(&root, 63, &[]);
    let (sender, there) = (connect(daemon.addr, None), root.join("source/sub"));
    let names = || fs::read_dir(&there).map_or(0, Iterator::count);
    let options = scan::Options::default();
    let tree = TreeSource::open(&[&source], options, dir.path()).unwrap();
    let keep = Keep { times: true, ..Keep::default() };
    let offer = Offer { keep, resume: false, ..Offer::default() };
    let (begin, over) = (Instant::now(), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        let copy = scope.spawn(|| {
            // It does not come to its end before it is broken off.
            transfer::send(&sender, &tree, &[offer], &|progress| {
                while progress.read > 4 << 20 && !over.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            })
        });
        while names() == 0 && !copy.is_finished() {
            thread::yield_now();
        }
        sender.abort("enough");
        over.store(true, Ordering::SeqCst);
        copy.join().unwrap()
    });
    assert!(outcome.failure.is_some() || outcome.members[0].failure().is_some());
    let is_left = || names() == 0 && fs::metadata(&there).unwrap().modified().unwrap() == old;
    while !is_left() && begin.elapsed() < LONG {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(is_left(), "{} files, {:?}", names(), fs::metadata(&there).unwrap().modified());
}
