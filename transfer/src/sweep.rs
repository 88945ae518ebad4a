//! Removes what a killed process left behind below a root.

use crate::destination::Root;
use crate::place::temporary::is_temporary;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Leftovers removed.
    pub removed: u64,
    /// Leftovers, or folders, that the system did not let it remove or look into.
    pub failed: u64,
}

/// Folders open at a time, at most, on the way down; a deeper tree is not looked into any further,
/// and counts as failed.
const MAX_DEPTH: usize = 256;

/// Removes every temporary file below the root that no living process holds. No symbolic link is
/// followed. Files of other processes that are still receiving are locked, and stay.
/// Breaks off when `stop` says so.
pub fn sweep(root: &Root, stop: &dyn Fn() -> bool) -> Swept {
    let mut swept = Swept::default();
    let here = openat(root.dir(), c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut way: Vec<Level> = Vec::new();
    match here.and_then(Level::new) {
        Ok(level) => way.push(level),
        Err(_) => swept.failed += 1,
    }
    while let Some(level) = way.last_mut().filter(|_| !stop()) {
        let Some(name) = level.below.pop() else {
            swept.removed += level.removed;
            swept.failed += level.failed;
            way.pop();
            continue;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&level.fd, &name, flags, Mode::empty()).and_then(Level::new) {
            Ok(next) if way.len() < MAX_DEPTH => way.push(next),
            // Gone, or no folder at all: some file systems do not say before.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            _ => swept.failed += 1,
        }
    }
    swept
}

/// One folder, with its leftovers removed and the folders below it still to be visited.
struct Level {
    fd: OwnedFd,
    below: Vec<CString>,
    removed: u64,
    failed: u64,
}

impl Level {
    fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let mut level = Self { fd, below: Vec::new(), removed: 0, failed: 0 };
        let entries = Dir::read_from(&level.fd)?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if name != c"." && name != c".." => {
                    level.below.push(name.to_owned());
                }
                // Some file systems do not say what it is without being asked again.
                FileType::Unknown if name != c"." && name != c".." && !is_ours(name) => {
                    level.below.push(name.to_owned());
                }
                FileType::RegularFile | FileType::Unknown if is_ours(name) => {
                    match remove(level.fd.as_fd(), name) {
                        Ok(true) => level.removed += 1,
                        Ok(false) => {}
                        Err(_) => level.failed += 1,
                    }
                }
                // A link cannot be locked. Who is making one makes another if it is gone.
                FileType::Symlink if is_ours(name) => {
                    match unlinkat(&level.fd, name, AtFlags::empty()) {
                        Ok(()) => level.removed += 1,
                        Err(Errno::NOENT) => {}
                        Err(_) => level.failed += 1,
                    }
                }
                _ => {}
            }
        }
        Ok(level)
    }
}

fn is_ours(name: &CStr) -> bool {
    is_temporary(name.to_bytes())
}

/// Removes one, unless somebody holds it.
fn remove(folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    // For writing: on NFS an exclusive lock needs it (flock(2)).
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false), // its owner has just finished with it
        Err(errno) => return Err(errno),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
        Ok(()) => match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::beneath::Beneath;
    use crate::place::dirs::Folder;
    use crate::place::temporary::Temporary;
    use rustix::fs::mkdirat;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    #[test]
    fn it_takes_what_nobody_holds() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let left = ".mcp-1-0123456789abcdef.part";
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("/", dir.path().join("a/out")).unwrap();
        for name in [left, "a/.mcp-2-0123456789abcdef.part", "a/b/.mcp-3-00000000000000ff.part"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        for name in ["file", ".mcp-notes.part", "a/.mcp-1-0123456789abcdef.party"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        fs::create_dir(dir.path().join("a/.mcp-9-0123456789abcdef.part")).unwrap();
        let beneath = Beneath::new(root.again().unwrap());
        let held = Temporary::create(&Arc::new(Folder::open(&beneath, b"a", false).unwrap()));
        assert_eq!(sweep(&root, &|| false), Swept { removed: 3, failed: 0 });
        assert_eq!(sweep(&root, &|| false), Swept::default());
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 5);
        drop(held);
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 4);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn it_bears_a_deep_tree() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let mut at = root.again().unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for _ in 0..1000 {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        fs::write(dir.path().join("d/.mcp-2-0123456789abcdef.part"), b"x").unwrap();
        assert_eq!(sweep(&root, &|| false), Swept { removed: 1, failed: 1 });
    }
}
