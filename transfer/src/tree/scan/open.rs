//! A file of the tree, opened once the walk has told of it.

use super::look::FOLDER;
use super::sources::{Source, Sources};
use super::{ScanError, Stamp};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Opens files by the paths that a walk gives them. Whoever has it may read while the walk goes on, or after
/// its end.
#[derive(Debug, Clone)]
pub struct Opener(pub(super) Arc<Sources>);

impl Opener {
    /// Opens the file at a path from the root of the transfer to read it, and gives its state now: if that is
    /// not the one that the walk gave, it is another file, or has changed. On the way down each folder is
    /// opened in the one before; no symbolic link below a source is followed.
    pub fn open(&self, path: &[u8]) -> Result<(File, Stamp), ScanError> {
        let mut parts = path.split(|byte| *byte == b'/');
        let first = parts.next().unwrap_or_default();
        let source = self.0.find(first).ok_or(ScanError::Vanished)?;
        let mut parts = parts.peekable();
        let mut at = match source {
            Source::Contents(dir) => {
                open(dir.as_fd(), first, parts.peek().is_some(), OFlags::NOFOLLOW)
            }
            Source::Named(path) => {
                open(CWD, path.to_bytes(), parts.peek().is_some(), OFlags::empty())
            }
        }?;
        while let Some(part) = parts.next() {
            // No walk gives these.
            if matches!(part, b"" | b"." | b"..") {
                return Err(ScanError::Vanished);
            }
            at = open(at.as_fd(), part, parts.peek().is_some(), OFlags::NOFOLLOW)?;
        }
        let file = File::from(at);
        let stamp = Stamp::of(&file).map_err(ScanError::Read)?;
        Ok((file, stamp))
    }
}

fn open(
    dir: BorrowedFd<'_>,
    name: &[u8],
    is_folder: bool,
    follow: OFlags,
) -> Result<OwnedFd, ScanError> {
    let flags = if is_folder { FOLDER } else { super::look::FILE };
    retry_on_intr(|| openat(dir, name, flags | follow, Mode::empty())).map_err(
        |errno| match errno {
            Errno::NOENT => ScanError::Vanished,
            Errno::NOTDIR | Errno::LOOP => ScanError::Replaced,
            errno => ScanError::Read(io::Error::from(errno)),
        },
    )
}
