//! Who may read what is not whole yet.

use crate::daemon::{Daemon, connect};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use transfer::message::{Keep, Offer};
use transfer::send::Delivered;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

const MIB: usize = 1 << 20;
/// Something that is to come soon.
const SOON: Duration = Duration::from_secs(20);

/// Everything below a folder: its path, whether it is a folder, its permissions.
fn below(root: &Path) -> Vec<(String, bool, u32)> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, meta.is_dir(), meta.permissions().mode() & 0o7777));
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What stands there while the bytes of a file are still to come, and what has come of it at the end.
#[test]
fn folders_and_files_are_their_owners_alone_while_they_are_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("open/deep")).unwrap();
    for name in ["large", "open/large", "open/deep/large"] {
        fs::write(tree.join(name), vec![7; 3 * MIB]).unwrap();
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    for name in ["open/deep", "open", ""] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    // A folder that the destination names is for everybody, unless what is in a folder of the source comes into it:
    // then it is to be like that one, which may be nobody else's.
    for (perms, resume, slash) in
        [(false, true, ""), (true, false, ""), (true, true, "/"), (false, false, "/")]
    {
        let root = tempfile::tempdir().unwrap();
        let daemon = Daemon::without_mask(root.path(), 47);
        let of = PathBuf::from(format!("{}{slash}", tree.display()));
        let source = TreeSource::open(&[&of], scan::Options::default(), dir.path()).unwrap();
        let keep = Keep { perms, ..Keep::default() };
        let offer = Offer { to: b"new/".to_vec(), keep, resume, ..Offer::default() };
        // With each goes what is noted of it, if it is to be gone on with.
        let files = if resume { 6 } else { 3 };
        let seen = RefCell::new(None);
        let sender = connect(daemon.addr, None);
        let outcome = transfer::send(&sender, &source, &[offer], &|progress| {
            // No more is read before this returns, so that most of it is still missing.
            if progress.read == 0 || seen.borrow().is_some() {
                return;
            }
            let until = Instant::now() + SOON;
            let mut found = below(root.path());
            while found.iter().filter(|(_, is_dir, _)| !is_dir).count() < files {
                assert!(Instant::now() < until, "{found:?}");
                thread::yield_now();
                found = below(root.path());
            }
            seen.replace(Some(found));
        });
        assert_eq!(outcome.members.first().and_then(Delivered::failure), None);
        let seen = seen.take().unwrap();
        for (name, is_dir, mode) in &seen {
            let open = name == "new" && slash.is_empty();
            let expected = [0o600, 0o700, 0o777][usize::from(*is_dir) + usize::from(open)];
            assert_eq!(*mode, expected, "{name}: {seen:?}");
            assert!(*is_dir || name.contains(".mcp-"), "it is not whole: {seen:?}");
        }
        let folders = seen.iter().filter(|(_, is_dir, _)| *is_dir);
        assert_eq!(folders.count(), if slash.is_empty() { 4 } else { 3 }, "{seen:?}");
        for (name, is_dir, mode) in below(root.path()) {
            assert_eq!(mode, if is_dir { 0o777 } else { 0o666 }, "{name}");
        }
    }
}
