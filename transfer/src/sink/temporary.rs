//! The file under its temporary name, and the step to its own.

use super::{SinkError, Unset};
use crate::destination::Place;
use rustix::fs::{
    AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, fchmod, flock, fsync, ftruncate, openat,
    renameat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Begin and end of a temporary file's name; between them stand the process and 64 random bits.
const PREFIX: &str = ".mcp-";
const SUFFIX: &str = ".part";

/// Names tried: another one is only needed when a sweep took the file before it was locked, or 64
/// random bits were drawn twice.
const TRIES: usize = 8;

/// Whether a name is one that a temporary file has.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let inner = name
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()))
        .map(|rest| rest.split(|byte| *byte == b'-').collect::<Vec<_>>());
    matches!(inner.as_deref(), Some([pid, random])
        if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit)
            && random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}

/// A file that is removed again unless it was given its name. As long as it lives it is locked
/// (flock(2)), which is how a sweep knows it from one whose process is gone.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    place: Place,
    name: OsString,
    kept: bool,
    unset: Vec<Unset>,
}

/// A file that has its name.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// What the system said if its name may not be durable yet.
    pub(super) undurable: Option<io::Error>,
    pub(super) unset: Vec<Unset>,
}

impl Temporary {
    /// Creates it in the place's folder, with room for `len` bytes.
    pub(super) fn create(place: Place, len: u64) -> Result<Self, SinkError> {
        let failed = |cause| SinkError::Folder { folder: place.shown.parent(), cause };
        let (file, name) = create_locked(&place).map_err(failed)?;
        let mut this = Self { file, place, name, kept: false, unset: Vec::new() };
        this.reserve(len)?;
        Ok(this)
    }

    /// Takes the room now, so that a full disk is told before anything is sent.
    fn reserve(&mut self, len: u64) -> Result<(), SinkError> {
        // Where there is too little, allocating would take all of it before it says so. Some user
        // file systems do not know what they have, and say that they have no blocks at all.
        let known = rustix::fs::fstatvfs(&self.file).ok().filter(|fs| fs.f_blocks > 0);
        if known.is_some_and(|fs| fs.f_bfree.saturating_mul(fs.f_frsize) < len) {
            return Err(self.failed(len, Errno::NOSPC.into()));
        }
        if len == 0 {
            return Ok(());
        }
        let allocate = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match retry_on_intr(allocate) {
            Ok(()) => return Ok(()),
            Err(errno) if is_final(errno) => return Err(self.failed(len, errno.into())),
            Err(errno) => self.unset.push(Unset::Room(errno.into())),
        }
        // Not every file system can allocate; then a full disk shows at the write. Nor can every
        // one lengthen a file without writing to it.
        match retry_on_intr(|| ftruncate(&self.file, len)) {
            Err(errno) if is_final(errno) => Err(self.failed(len, errno.into())),
            _ => Ok(()),
        }
    }

    /// Sorts an error of writing to this file: `len` is the length of the whole file.
    pub(super) fn failed(&self, len: u64, cause: io::Error) -> SinkError {
        let folder = self.place.shown.parent();
        match cause.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => SinkError::Full { folder, len, cause },
            _ => SinkError::Write { folder, cause },
        }
    }

    /// Makes its bytes durable, then gives it its name in one step. The name is made durable as
    /// well; should the system fail in that, the file stands all the same, and the error is given
    /// beside the place.
    pub(super) fn keep(
        mut self,
        len: u64,
        wanted: impl FnOnce() -> Result<(), String>,
    ) -> Result<Kept, SinkError> {
        // Nobody's bytes are thrown away for their permissions. Until here nobody else had any, so
        // what cannot be set is too little rather than too much.
        if let Err(errno) = fchmod(&self.file, self.place.mode) {
            self.unset.push(Unset::Mode(errno.into()));
        }
        fsync(&self.file).map_err(|e| self.failed(len, e.into()))?;
        wanted().map_err(SinkError::Unwanted)?;
        let folders = self
            .place
            .settle(|folder| renameat(&self.place.folder, &self.name, folder, self.place.name()))?;
        self.kept = true;
        let undurable = folders.iter().rev().try_for_each(fsync).err().map(io::Error::from);
        let (path, unset) = (self.place.path().to_owned(), std::mem::take(&mut self.unset));
        Ok(Kept { path, undurable, unset })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to tell: the folder may be gone as a whole.
            let _ = unlinkat(&self.place.folder, &self.name, AtFlags::empty());
        }
    }
}

/// Whether an error of taking room says that a file of this length cannot stand here; any other says
/// that this file system, or who holds it, does not do such a thing.
fn is_final(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)
}

fn create_locked(place: &Place) -> io::Result<(File, OsString)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let (id, random) = (std::process::id(), u64::from_be_bytes(random));
        let name = OsString::from(format!("{PREFIX}{id}-{random:016x}{SUFFIX}"));
        // Nobody else reads it before it is whole.
        let file = match openat(&place.folder, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno.into()),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if file.metadata()?.nlink() > 0 => return Ok((file, name)),
            // A sweep was there between the two calls, and takes it for a leftover.
            Ok(()) | Err(Errno::AGAIN) => {}
            // Not every file system has locks; then no sweep can take it either.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL) => {
                return Ok((file, name));
            }
            Err(errno) => {
                let _ = unlinkat(&place.folder, &name, AtFlags::empty());
                return Err(errno.into());
            }
        }
    }
    Err(io::Error::other("no temporary file could be created and locked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_temporary() {
        for name in [".mcp-1-0123456789abcdef.part", ".mcp-4194304-ffffffffffffffff.part"] {
            assert!(is_temporary(name.as_bytes()), "{name}");
        }
        for name in [
            ".mcp-.part",
            ".mcp-1-0123.part",
            "mcp-1-0123456789abcdef.part",
            ".mcp-1-0123456789abcdeg.part",
            ".mcp-x-0123456789abcdef.part",
            ".mcp-1-0123456789abcdef.part2",
            ".mcp-1-2-0123456789abcdef.part",
        ] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
