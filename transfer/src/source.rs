//! The file that is sent, read block by block.

use crate::blocks;
use rustix::fs::OFlags;
use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A source cannot be used, or not any more. It is this side's fault, and ends the session.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It cannot be opened.
    #[error("cannot open {}: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A directory, a pipe, a device: nothing with a length whose blocks can be read again.
    #[error("{} is {what}, not a regular file: nothing else can be copied yet", path.display())]
    NotRegular {
        /// What is not a file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It holds more or fewer bytes than its length says, as files that the system makes up while
    /// they are read (proc(5), sysfs(5)), and nobody has changed it.
    #[error("{} says that it has {len} bytes and holds {than}: its length is not what it holds; \
             read it into a file first, as with cat, and copy that", path.display())]
    FalseLength {
        /// The file.
        path: PathBuf,
        /// Bytes as it says.
        len: u64,
        /// `more` or `fewer`.
        than: &'static str,
    },
    /// Reading failed.
    #[error("cannot read {} at byte {offset}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// Its length is another than when it was opened.
    #[error("{} changed while it was read: it had {was} bytes and has {is}", path.display())]
    Resized {
        /// The file.
        path: PathBuf,
        /// Bytes when it was opened.
        was: u64,
        /// Bytes now.
        is: u64,
    },
    /// It was written to since it was opened.
    #[error("{} changed while it was read: it was written to", .0.display())]
    Modified(PathBuf),
    /// A block that was read again is not what it was.
    #[error("{} changed while it was read: block {block} has other bytes than before", path.display())]
    Rewritten {
        /// The file.
        path: PathBuf,
        /// Index of the block.
        block: u64,
    },
}

/// An open regular file of a fixed length.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    name: Vec<u8>,
    len: u64,
    /// Seconds and nanoseconds of its last modification.
    modified: (i64, i64),
}

impl Source {
    /// Opens a regular file; its length is fixed from here on, and is checked against what the file
    /// holds.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |cause| SourceError::Open { path: path.to_owned(), cause };
        let other = |kind| SourceError::NotRegular { path: path.to_owned(), what: what(kind) };
        // Looked at before it is opened: opening a device may do something.
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_file() {
            return Err(other(kind));
        }
        // What has become a pipe meanwhile, or is made up by the system, must not be waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let name = path.file_name().filter(|_| meta.is_file());
        let name = name.ok_or_else(|| other(meta.file_type()))?.as_bytes().to_vec();
        let modified = (meta.mtime(), meta.mtime_nsec());
        let source = Self { file, path: path.to_owned(), name, len: meta.len(), modified };
        source.check_holds_its_length()?;
        Ok(source)
    }

    /// Whether its last byte is there, and none after it.
    fn check_holds_its_length(&self) -> Result<(), SourceError> {
        if let Some(last) = self.len.checked_sub(1)
            && self.read_one(last)? == 0
        {
            self.check_len()?;
            return Err(self.false_length("fewer"));
        }
        self.check_end()
    }

    fn read_one(&self, offset: u64) -> Result<usize, SourceError> {
        let failed = |cause| SourceError::Read { path: self.path.clone(), offset, cause };
        self.file.read_at(&mut [0], offset).map_err(failed)
    }

    fn false_length(&self, than: &'static str) -> SourceError {
        SourceError::FalseLength { path: self.path.clone(), len: self.len, than }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its base name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads a block; the last one is shorter, and beyond it they are empty.
    pub fn read_block(&self, index: u64) -> Result<Arc<[u8]>, SourceError> {
        let range = blocks::range(index, self.len);
        self.check_len()?;
        let mut bytes: Arc<[u8]> =
            std::iter::repeat_n(0, (range.end - range.start) as usize).collect();
        if let Some(buf) = Arc::get_mut(&mut bytes)
            && let Err(cause) = self.file.read_exact_at(buf, range.start)
        {
            // Cut short between the two calls.
            self.check_len()?;
            if cause.kind() == io::ErrorKind::UnexpectedEof {
                return Err(self.false_length("fewer"));
            }
            return Err(SourceError::Read { path: self.path.clone(), offset: range.start, cause });
        }
        Ok(bytes)
    }

    /// Whether it still has the length that it had: call it once more after the last block, since
    /// a file that grows does so at its end.
    pub fn check_len(&self) -> Result<(), SourceError> {
        let failed = |cause| SourceError::Read { path: self.path.clone(), offset: 0, cause };
        let meta = self.file.metadata().map_err(failed)?;
        let (path, is) = (self.path.clone(), meta.len());
        if is != self.len {
            return Err(SourceError::Resized { path, was: self.len, is });
        }
        if (meta.mtime(), meta.mtime_nsec()) != self.modified {
            return Err(SourceError::Modified(path));
        }
        Ok(())
    }

    /// The same at the end, and that nothing follows: some files of the system do not tell their
    /// length.
    pub fn check_end(&self) -> Result<(), SourceError> {
        self.check_len()?;
        if self.read_one(self.len)? > 0 {
            self.check_len()?; // it has grown between the two calls
            return Err(self.false_length("more"));
        }
        Ok(())
    }
}

fn what(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::BLOCK;
    use std::fs;

    #[test]
    fn reads_blocks_and_the_short_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let data: Vec<u8> = (0..BLOCK + 3).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &data).unwrap();
        let source = Source::open(&path).unwrap();
        assert_eq!((source.len(), source.name()), (BLOCK + 3, &b"data"[..]));
        assert_eq!(source.read_block(1).unwrap()[..], data[BLOCK as usize..]);
        assert_eq!(source.read_block(0).unwrap()[..], data[..BLOCK as usize]);
        assert!(source.read_block(2).unwrap().is_empty());
        assert!(source.read_block(u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn names_what_it_cannot_open() {
        let dir = tempfile::tempdir().unwrap();
        let absent = Source::open(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(absent.starts_with("cannot open ") && absent.contains("absent"), "{absent}");
        let folder = Source::open(dir.path()).unwrap_err();
        assert!(folder.to_string().contains("is a directory, not a regular file"), "{folder}");
        let device = Source::open(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(device.contains("is a device, not a regular file"), "{device}");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let pipe = Source::open(&pipe).unwrap_err().to_string();
        assert!(pipe.contains("is a pipe, not a regular file"), "{pipe}");
    }

    #[test]
    fn notices_that_the_file_shrank_or_grew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, vec![1; 2 * BLOCK as usize]).unwrap();
        let source = Source::open(&path).unwrap();
        source.read_block(0).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(BLOCK).unwrap();
        let shrank = source.read_block(1).unwrap_err().to_string();
        assert!(shrank.contains("log changed while it was read"), "{shrank}");
        file.set_len(3 * BLOCK).unwrap();
        assert!(
            matches!(source.check_len(), Err(SourceError::Resized { is, .. }) if is == 3 * BLOCK)
        );
        file.set_len(2 * BLOCK).unwrap();
        let modified = source.read_block(1).unwrap_err().to_string();
        assert!(modified.contains("log changed while it was read"), "{modified}");
    }

    #[test]
    fn a_length_that_is_a_lie_is_noticed() {
        // Files of /proc say 0 bytes, files of /sys a page.
        for (path, says, than) in
            [("/proc/version", 0, "more"), ("/sys/class/net/lo/address", 4096, "fewer")]
        {
            let error = Source::open(Path::new(path)).unwrap_err();
            let (len, is) = match &error {
                SourceError::FalseLength { len, than, .. } => (*len, *than),
                other => panic!("{other}"),
            };
            assert_eq!((len, is), (says, than), "{path}");
            let text = error.to_string();
            assert!(text.contains("its length is not what it holds"), "{text}");
            assert!(!text.contains("changed"), "{text}");
        }
        let (dir, empty) = (tempfile::tempdir().unwrap(), "empty");
        fs::write(dir.path().join(empty), b"").unwrap();
        assert!(Source::open(&dir.path().join(empty)).unwrap().is_empty());
    }
}
