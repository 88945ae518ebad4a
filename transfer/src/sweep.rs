//! Removes what a killed process left behind below a root.

use crate::destination::Root;
use crate::place::beneath::Beneath;
use crate::place::partial;
use crate::place::temporary::is_temporary;
use crate::tree::entry::Device;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstatvfs, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Leftovers removed, partial files that were too old or too many among them.
    pub removed: u64,
    /// Leftovers, or folders, that the system did not let it remove or look into.
    pub failed: u64,
}

/// A partial file that was not gone on with for so long goes.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);
/// All partial files together may have so many parts in a hundred of the file system; the oldest go first.
const SHARE: u64 = 10;
/// Partial files that are remembered, at most; further ones go.
const MOST: usize = 10_000;

/// A partial file that nobody writes.
#[derive(Debug)]
struct Parked {
    modified: SystemTime,
    bytes: u64,
    /// Its folder, from the root.
    folder: Vec<u8>,
    name: CString,
}

/// Folders open at a time, at most, on the way down; a deeper tree is not looked into any further,
/// and counts as failed.
const MAX_DEPTH: usize = 256;

/// Removes every temporary file below the root that no living process holds, and partial files that are older than
/// seven days, or more than a tenth of the file system. No symbolic link is followed. Files of other processes that
/// are still receiving are locked, and stay. Breaks off when `stop` says so.
pub fn sweep(root: &Root, stop: &dyn Fn() -> bool) -> Swept {
    let (mut swept, mut parked, now) = (Swept::default(), Vec::new(), SystemTime::now());
    let here = openat(root.dir(), c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut way: Vec<Level> = Vec::new();
    match here.and_then(Level::new) {
        Ok(level) => way.push(level),
        Err(_) => swept.failed += 1,
    }
    while let Some(level) = way.last_mut().filter(|_| !stop()) {
        let Some(name) = level.below.pop() else {
            park(level, now, &mut parked);
            swept.removed += level.removed;
            swept.failed += level.failed;
            way.pop();
            continue;
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&level.fd, &name, flags, Mode::empty());
        match opened.and_then(|fd| deeper(fd, &level.path, name.to_bytes())) {
            Ok(next) if way.len() < MAX_DEPTH => way.push(next),
            // Gone, or no folder at all: some file systems do not say before.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            _ => swept.failed += 1,
        }
    }
    if !stop() {
        trim(root, parked, &mut swept);
    }
    swept
}

/// A folder of this path below the root.
fn deeper(fd: OwnedFd, above: &[u8], name: &[u8]) -> Result<Level, Errno> {
    let mut level = Level::new(fd)?;
    level.path = if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() };
    Ok(level)
}

/// Sorts the partial files of a folder: old ones go, the others are remembered.
fn park(level: &mut Level, now: SystemTime, parked: &mut Vec<Parked>) {
    for name in std::mem::take(&mut level.partials) {
        let folder = level.fd.as_fd();
        let Some(file) = parted(folder, &name) else { continue };
        let Ok(meta) = file.metadata() else { continue };
        let modified = meta.modified().unwrap_or(now);
        let is_old = now.duration_since(modified).is_ok_and(|age| age > OLD);
        if is_old || parked.len() >= MOST {
            match remove_partial(folder, name.to_bytes()) {
                Ok(()) => level.removed += 1,
                Err(_) => level.failed += 1,
            }
            continue;
        }
        let (bytes, folder) = (meta.blocks() * 512, level.path.clone());
        parked.push(Parked { modified, bytes, folder, name });
    }
}

/// Removes the oldest until the rest is within its share of the file system.
fn trim(root: &Root, mut parked: Vec<Parked>, swept: &mut Swept) {
    let most = fstatvfs(root.dir()).map_or(u64::MAX, |fs| fs.f_blocks.saturating_mul(fs.f_frsize));
    let mut all: u64 = parked.iter().map(|parked| parked.bytes).sum();
    let Ok(beneath) = root.again().map(Beneath::new) else { return };
    parked.sort_by_key(|parked| parked.modified);
    for Parked { bytes, folder, name, .. } in parked {
        if all <= most / SHARE {
            return;
        }
        all -= bytes;
        let folder = beneath.open(&folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let removed = folder.map(|folder| match parted(folder.as_fd(), &name) {
            Some(_held) => remove_partial(folder.as_fd(), name.to_bytes()),
            None => Ok(()), // somebody goes on with it just now
        });
        match removed {
            Ok(Ok(())) => swept.removed += 1,
            _ => swept.failed += 1,
        }
    }
}

/// Opens and locks a partial file; `None` if somebody writes it, or it cannot be opened.
fn parted(folder: BorrowedFd<'_>, name: &CStr) -> Option<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty()).ok()?);
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

fn remove_partial(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    unlinkat(folder, name, AtFlags::empty())?;
    let state = partial::state_of(name);
    match unlinkat(folder, state.as_slice(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// One folder, with its leftovers removed and the folders below it still to be visited.
struct Level {
    fd: OwnedFd,
    /// From the root.
    path: Vec<u8>,
    below: Vec<CString>,
    partials: Vec<CString>,
    removed: u64,
    failed: u64,
}

impl Level {
    fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let (path, below, partials) = (Vec::new(), Vec::new(), Vec::new());
        let mut level = Self { fd, path, below, partials, removed: 0, failed: 0 };
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
                    level.count(remove(level.fd.as_fd(), name));
                }
                FileType::RegularFile | FileType::Unknown
                    if partial::is_partial(name.to_bytes()) =>
                {
                    match partial::partial_of(name.to_bytes()) {
                        None => level.partials.push(name.to_owned()),
                        Some(of) => level.drop_orphan(name, &of),
                    }
                }
                // None of these is ever locked. Who is making one makes another if it is gone.
                FileType::Symlink
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                    if is_ours(name) =>
                {
                    level.count(unlink(level.fd.as_fd(), name));
                }
                _ => {}
            }
        }
        Ok(level)
    }
}

impl Level {
    /// What became of one.
    fn count(&mut self, removed: Result<bool, Errno>) {
        match removed {
            Ok(true) => self.removed += 1,
            Ok(false) => {}
            Err(_) => self.failed += 1,
        }
    }

    /// A state without the file that it is of goes.
    fn drop_orphan(&mut self, name: &CStr, of: &[u8]) {
        let there = statat(&self.fd, of, AtFlags::SYMLINK_NOFOLLOW).map(drop);
        if there != Err(Errno::NOENT) {
            return;
        }
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => self.removed += 1,
            Err(_) => self.failed += 1,
        }
    }
}

fn is_ours(name: &CStr) -> bool {
    is_temporary(name.to_bytes())
}

/// Removes one; `false`: it has gone meanwhile.
fn unlink(folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false), // its owner has just finished with it
        Err(errno) => Err(errno),
    }
}

/// Removes one, unless somebody holds it.
fn remove(folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    // Where the file system has not said what it is: opening a device can do what nobody has asked for.
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    if found.is_ok_and(|found| Device::of(found.st_mode, found.st_rdev).is_some()) {
        return unlink(folder, name);
    }
    // For writing: on NFS an exclusive lock needs it (flock(2)).
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
        Ok(()) => unlink(folder, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::beneath::Beneath;
    use crate::place::dirs::Folder;
    use crate::place::temporary::Temporary;
    use rustix::fs::{mkdirat, mknodat};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
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

    /// Nobody holds what cannot be locked: pipes and sockets go, by any other name they stay.
    #[test]
    fn it_takes_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let name = |number: u32| format!(".mcp-{number}-0123456789abcdef.part");
        for name in [&name(1), "pipe"] {
            mknodat(root.dir(), name, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        let _socket = UnixListener::bind(dir.path().join(name(2))).unwrap();
        symlink("gone", dir.path().join(name(3))).unwrap();
        assert_eq!(sweep(&root, &|| false), Swept { removed: 3, failed: 0 });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // One that vanishes meanwhile was not lacking.
        let gone = CString::new(name(1)).unwrap();
        assert_eq!(unlink(root.dir().as_fd(), &gone), Ok(false));
        assert_eq!(remove(root.dir().as_fd(), &gone), Ok(false));
        // Also where a file system does not say what it is.
        mknodat(root.dir(), &gone, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(remove(root.dir().as_fd(), &gone), Ok(true));
    }

    #[test]
    fn a_partial_file_stays_for_seven_days_if_nobody_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let at = |name: &str| dir.path().join("a").join(name);
        let old = SystemTime::now() - OLD - Duration::from_secs(60);
        for digit in ['0', '1', '2'] {
            for kind in ["partial", "state"] {
                fs::write(at(&format!(".mcp-{}.{kind}", digit.to_string().repeat(16))), b"x")
                    .unwrap();
            }
        }
        let partial = |digit: char| at(&format!(".mcp-{}.partial", digit.to_string().repeat(16)));
        for digit in ['1', '2'] {
            File::options().write(true).open(partial(digit)).unwrap().set_modified(old).unwrap();
        }
        fs::write(at(".mcp-3333333333333333.state"), b"x").unwrap();
        let held = File::open(partial('2')).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(sweep(&root, &|| false), Swept { removed: 2, failed: 0 });
        assert!(partial('0').exists() && !partial('1').exists() && partial('2').exists());
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 4);
    }

    /// Of those that are too many the oldest go.
    #[test]
    fn partial_files_are_kept_to_their_share() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let now = SystemTime::now();
        let all = fstatvfs(root.dir()).map(|fs| fs.f_blocks * fs.f_frsize).unwrap();
        let parked = (0..3_u32).map(|age| {
            let name = format!(".mcp-{}.partial", age.to_string().repeat(16));
            fs::write(dir.path().join(&name), b"x").unwrap();
            let modified = now - Duration::from_secs(u64::from(age));
            let name = CString::new(name).unwrap();
            Parked { modified, bytes: all / 25, folder: Vec::new(), name }
        });
        let mut swept = Swept::default();
        trim(&root, parked.collect(), &mut swept);
        assert_eq!(swept, Swept { removed: 1, failed: 0 });
        assert!(!dir.path().join(format!(".mcp-{}.partial", "2".repeat(16))).exists());
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
