//! The file under its temporary name, and the step to its own.

use super::SinkError;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest base name in bytes (`NAME_MAX` of Linux's file systems).
const NAME_MAX: usize = 255;

/// Accepts plain base names only: nothing that leads out of a folder.
pub(super) fn plain_name(name: &[u8]) -> Result<&OsStr, SinkError> {
    let why = match name {
        [] => "it is empty",
        b"." | b".." => "it names a folder",
        _ if name.len() > NAME_MAX => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it contains a slash",
        _ if name.contains(&0) => "it contains a zero byte",
        _ => return Ok(OsStr::from_bytes(name)),
    };
    Err(SinkError::Name { name: String::from_utf8_lossy(name).into_owned(), why })
}

/// A file that is removed again unless it was given its name.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    folder: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// Creates it in `folder`, with room for `len` bytes.
    pub(super) fn create(folder: &Path, len: u64) -> Result<Self, SinkError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| SinkError::Folder {
            folder: folder.to_owned(),
            cause: io::Error::other(e),
        })?;
        let (id, random) = (std::process::id(), u64::from_be_bytes(random));
        let path = folder.join(format!(".mcp-{id}-{random:016x}.part"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|cause| SinkError::Folder { folder: folder.to_owned(), cause })?;
        let this = Self { file, folder: folder.to_owned(), path, kept: false };
        this.reserve(len)?;
        Ok(this)
    }

    /// Takes the room now, so that a full disk is told before anything is sent.
    fn reserve(&self, len: u64) -> Result<(), SinkError> {
        let allocated = match len {
            0 => Ok(()),
            _ => rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len),
        };
        match allocated {
            // Not every file system can allocate; then a full disk shows at the write.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.file.set_len(len).map_err(|e| self.failed(len, e))
            }
            Err(e) => Err(self.failed(len, e.into())),
            Ok(()) => Ok(()),
        }
    }

    /// Sorts an error of writing to this file: `len` is the length of the whole file.
    pub(super) fn failed(&self, len: u64, cause: io::Error) -> SinkError {
        match cause.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => {
                SinkError::Full { folder: self.folder.clone(), len, cause }
            }
            _ => SinkError::Write { folder: self.folder.clone(), cause },
        }
    }

    /// Makes its bytes durable, then gives it its name in one step, and makes that durable too.
    pub(super) fn keep(mut self, name: &OsStr, len: u64) -> Result<PathBuf, SinkError> {
        self.file.sync_all().map_err(|e| self.failed(len, e))?;
        let path = self.folder.join(name);
        let named = |cause| SinkError::Rename { path: path.clone(), cause };
        fs::rename(&self.path, &path).map_err(named)?;
        self.kept = true;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(named)?;
        Ok(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to tell: the folder may be gone as a whole.
            let _ = fs::remove_file(&self.path);
        }
    }
}
