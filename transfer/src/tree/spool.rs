//! What is too much to be held in memory: an unnamed file in the folder for temporary files, gone with the process.

use crate::place::temporary::temporary_name;
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are appended, and read again wherever they stand.
#[derive(Debug)]
pub struct Spool {
    file: File,
    len: u64,
}

impl Spool {
    /// An empty one below a folder.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        Self::create_in(folder.as_fd())
    }

    /// An empty one in an open folder.
    pub fn create_in(folder: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { file: unnamed(folder)?, len: 0 })
    }

    /// Of a file of its own, which is empty.
    pub(crate) fn of(file: File) -> Self {
        Self { file, len: 0 }
    }

    /// One that has no room (full(4)).
    #[cfg(test)]
    pub(crate) fn full() -> Self {
        let file = File::options().read(true).write(true).open("/dev/full").unwrap();
        Self { file, len: 0 }
    }

    /// Bytes that were appended.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends, and gives where the bytes stand.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.len;
        self.file.write_all_at(bytes, at)?;
        self.len += bytes.len() as u64;
        Ok(at)
    }

    /// Writes at a place of its own, which may lie beyond the end.
    pub fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)?;
        self.len = self.len.max(at + bytes.len() as u64);
        Ok(())
    }

    /// Reads what stands there.
    pub fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// A file without a name; where a file system has no such thing, one whose name, which a sweep knows, is removed at
/// once.
pub(crate) fn unnamed(folder: BorrowedFd<'_>) -> io::Result<File> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    if let Ok(file) = openat(folder, c".", flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    named_for_a_moment(folder, |_| ())
}

/// A file that never has a name in a folder: where its file system has no such thing, one in the folder for temporary
/// files.
pub(crate) fn nameless(folder: BorrowedFd<'_>) -> io::Result<File> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    if let Ok(file) = openat(folder, c".", flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    Spool::create(&std::env::temp_dir()).map(|spool| spool.file)
}

/// One whose name is removed at once, and `meanwhile` still there.
fn named_for_a_moment(folder: BorrowedFd<'_>, meanwhile: impl FnOnce(&OsStr)) -> io::Result<File> {
    let name = temporary_name()?;
    let created = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, &name, created, Mode::RUSR | Mode::WUSR)?;
    meanwhile(&name);
    match unlinkat(folder, &name, AtFlags::empty()) {
        // A sweep was quicker, which knows the name as well.
        Ok(()) | Err(Errno::NOENT) => Ok(file.into()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(dir.path()).unwrap();
        assert_eq!((spool.append(b"one").unwrap(), spool.append(b"three").unwrap()), (0, 3));
        spool.write_at(b"far", 100).unwrap();
        assert_eq!((spool.read(3, 5).unwrap(), spool.len()), (b"three".to_vec(), 103));
        assert!(spool.read(101, 5).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_every_file_has_a_name_a_sweep_may_remove_it_first() {
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        for sweeps in [false, true] {
            let sweep = |name: &OsStr| {
                if sweeps {
                    std::fs::remove_file(dir.path().join(name)).unwrap();
                }
            };
            let file = named_for_a_moment(folder.as_fd(), sweep).unwrap();
            file.write_all_at(b"bytes", 0).unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
