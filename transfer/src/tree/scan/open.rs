//! A file of the tree, opened once the walk has told of it.

use super::look::{FILE, FOLDER};
use super::sources::{Source, Sources};
use super::{ScanError, Stamp};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Opens files by the paths that a walk gives them. Whoever has it may read while the walk goes on, or after
/// its end.
#[derive(Debug, Clone)]
pub struct Opener(pub(super) Arc<Sources>);

/// Below a source no symbolic link is followed, and nothing leads out (openat2(2)).
const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Opener {
    /// Opens the file at a path from the root of the transfer to read it, and gives its state now: if that is
    /// not the one that the walk gave, it is another file, or has changed. No symbolic link below a source is followed.
    pub fn open(&self, path: &[u8]) -> Result<(File, Stamp), ScanError> {
        let file = self.open_file(path)?;
        let stamp = Stamp::of(&file).map_err(ScanError::Read)?;
        Ok((file, stamp))
    }

    /// The same, for whoever looks at its state by itself.
    pub(crate) fn open_file(&self, path: &[u8]) -> Result<File, ScanError> {
        let cut = path.iter().position(|byte| *byte == b'/');
        let (first, below) = cut.map_or((path, None), |at| (&path[..at], Some(&path[at + 1..])));
        let source = self.0.find(first).ok_or(ScanError::Vanished)?;
        let at = match (source, below) {
            // What is in a source that is itself not sent is all below that.
            (Source::Contents(dir), _) => return open_below(dir.as_fd(), path).map(File::from),
            (Source::Named(path), None) => open(CWD, path.to_bytes(), FILE),
            (Source::Named(path), Some(_)) => open(CWD, path.to_bytes(), FOLDER),
        }?;
        match below {
            None => Ok(File::from(at)),
            Some(below) => open_below(at.as_fd(), below).map(File::from),
        }
    }
}

/// Opens the file at a path below a folder: by the kernel in one call where that has it and takes so long a path, else
/// each folder in the one before.
fn open_below(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, ScanError> {
    // No walk gives these.
    if path.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err(ScanError::Vanished);
    }
    let flags = FILE | OFlags::NOFOLLOW;
    match retry_on_intr(|| openat2(dir, path, flags, Mode::empty(), BELOW)) {
        // Older kernels do not know it, and filters older than it refuse it.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG | Errno::AGAIN) => walk(dir, path),
        opened => opened.map_err(said),
    }
}

fn walk(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, ScanError> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() { FOLDER } else { FILE };
        let from = at.as_ref().map_or(dir, AsFd::as_fd);
        at = Some(open(from, part, flags | OFlags::NOFOLLOW)?);
    }
    at.ok_or(ScanError::Vanished)
}

fn open(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, ScanError> {
    retry_on_intr(|| openat(dir, name, flags, Mode::empty())).map_err(said)
}

fn said(errno: Errno) -> ScanError {
    match errno {
        Errno::NOENT => ScanError::Vanished,
        Errno::NOTDIR | Errno::LOOP => ScanError::Replaced,
        errno => ScanError::Read(io::Error::from(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_kernel_and_the_walk_open_the_same() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "content").unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        symlink("file", dir.path().join("a/b/other")).unwrap();
        let root = File::open(dir.path()).unwrap();
        for open in [open_below, walk] {
            let file = File::from(open(root.as_fd(), b"a/b/file").unwrap());
            assert_eq!(io::read_to_string(file).unwrap(), "content");
            for (path, replaced) in [
                (&b"a/link/file"[..], true),
                (b"a/b/other", true),
                (b"a/b/file/x", true),
                (b"a/c/d", false),
            ] {
                let failed = open(root.as_fd(), path);
                match failed {
                    Err(ScanError::Replaced) => assert!(replaced),
                    Err(ScanError::Vanished) => assert!(!replaced),
                    other => panic!("{other:?}"),
                }
            }
        }
        for path in [&b"a/../a/b/file"[..], b"/etc/passwd", b"a//b/file", b""] {
            assert!(matches!(open_below(root.as_fd(), path), Err(ScanError::Vanished)));
        }
        // Longer than the kernel takes at a time.
        let name = "n".repeat(250);
        let mut at = root.try_clone().unwrap();
        for _ in 0..20 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = File::from(open(at.as_fd(), name.as_bytes(), FOLDER).unwrap());
        }
        rustix::fs::symlinkat("nowhere", &at, "link").unwrap();
        let path = [vec![name.as_str(); 20].join("/"), "link".to_owned()].join("/");
        assert!(matches!(open_below(root.as_fd(), path.as_bytes()), Err(ScanError::Replaced)));
    }
}
