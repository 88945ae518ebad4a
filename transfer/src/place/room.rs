//! Taking room on the disk before bytes come, for the data of a file and not for its holes.

use super::error::PlaceError;
use crate::destination::Shown;
use rustix::fs::{FallocateFlags, fallocate, fstat, fstatfs, fstatvfs, ftruncate};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

/// Bytes of a block as stat(2) counts them, whatever the file system's are.
const STAT_BLOCK: u64 = 512;

/// Something that a file system refused and that the bytes can do without: FAT has no permissions, and many network
/// and user file systems reserve nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unset {
    /// Its room could not be taken before anything was sent.
    #[error("the file system reserves no room, so a full disk shows only at a write: {0}")]
    Room(io::Error),
    /// Its permissions are what the file system makes of them.
    #[error("the file system does not take the file's permissions: {0}")]
    Mode(io::Error),
}

/// Takes the room for a file of `len` bytes that holds data in the ranges given (`None`: everywhere), and gives it
/// its length. What a file system does not do, and the bytes can do without, is given back.
pub fn reserve(
    file: BorrowedFd<'_>,
    len: u64,
    data: Option<&[Range<u64>]>,
    folder: &Shown,
) -> Result<Option<Unset>, PlaceError> {
    let whole = [0..len];
    let data = data.unwrap_or(&whole);
    let filled = data.iter().fold(0_u64, |sum, range| sum.saturating_add(range.end - range.start));
    let failed = |errno: Errno| sorted(errno.into(), filled, folder);
    // Where there is too little, allocating would take all of it before it says so. Some user file systems do not
    // know what they have, and say that they have no blocks at all.
    let known = fstatvfs(file).ok().filter(|fs| fs.f_blocks > 0);
    if known.is_some_and(|fs| fs.f_bfree.saturating_mul(fs.f_frsize) < lacking(filled, taken(file)))
    {
        return Err(failed(Errno::NOSPC));
    }
    let mut unset = None;
    let allocated = if is_in_memory(file) { &[] } else { data };
    for range in allocated.iter().filter(|range| !range.is_empty()) {
        let (start, length) = (range.start, range.end - range.start);
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), start, length)) {
            Ok(()) => {}
            Err(errno) if is_final(errno) => return Err(failed(errno)),
            Err(errno) => {
                unset = Some(Unset::Room(errno.into()));
                break;
            }
        }
    }
    // A hole at the end; and not every file system can lengthen a file without writing to it.
    if allocated.last().is_none_or(|range| range.end < len) || unset.is_some() {
        match retry_on_intr(|| ftruncate(file, len)) {
            Err(errno) if is_final(errno) => return Err(failed(errno)),
            _ => {}
        }
    }
    Ok(unset)
}

/// Whether a file lies in memory (statfs(2): `TMPFS_MAGIC`). There taking room is to fill every page with zeros, which
/// costs as much as writing the data a second time, and the sender waits for it. What is free has been compared.
pub(super) fn is_in_memory(file: BorrowedFd<'_>) -> bool {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    // The field's type is another one on each architecture.
    fstatfs(file).is_ok_and(|fs| i128::from(fs.f_type) == TMPFS_MAGIC)
}

/// Bytes of the disk that a file has already: one that is gone on with needs the rest alone.
fn taken(file: BorrowedFd<'_>) -> u64 {
    let blocks = fstat(file).map_or(0, |stat| stat.st_blocks);
    u64::try_from(blocks).unwrap_or(0).saturating_mul(STAT_BLOCK)
}

/// Room that is still to be had for a file with so many bytes of data, which has so many of the disk.
fn lacking(filled: u64, taken: u64) -> u64 {
    filled.saturating_sub(taken)
}

/// Gives a file that holds all of its data its length, if it ends in a hole and the file system could not lengthen it
/// before: by a zero at its end, which every one can write.
pub fn lengthen(file: &File, len: u64) -> io::Result<()> {
    match len.checked_sub(1) {
        Some(last) if file.metadata()?.len() < len => file.write_all_at(&[0], last),
        _ => Ok(()),
    }
}

/// Whether an error of taking room says that a file of this length cannot stand here; any other says that this file
/// system, or who holds it, does not do such a thing.
fn is_final(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)
}

/// Sorts an error of writing `len` bytes of data in a folder.
pub fn sorted(cause: io::Error, len: u64, folder: &Shown) -> PlaceError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            PlaceError::Full { path: folder.clone(), len, cause }
        }
        _ => PlaceError::system("write in", folder, cause),
    }
}
