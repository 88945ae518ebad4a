//! What tells whether a file is still as it was.

use crate::tree::entry::Time;
use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};
use std::io;
use std::os::fd::AsFd;

/// The state of a file when it was looked at. A file whose stamp is another before or after it was read may
/// have other bytes; so may one that somebody writes to through a shared mapping, which need not move a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Number of its file system: major in the upper half, minor in the lower one.
    pub dev: u64,
    /// Number of the file there.
    pub ino: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When its content was last modified.
    pub mtime: Time,
    /// When anything of it was last modified, its permissions and its number of names among that.
    pub ctime: Time,
}

impl Stamp {
    /// Of an open file, now.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let flags = StatxFlags::BASIC_STATS;
        Ok(Self::from_statx(&statx(file, c"", AtFlags::EMPTY_PATH, flags)?))
    }

    pub(super) fn from_statx(stat: &Statx) -> Self {
        Self {
            dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
        }
    }

    /// Whether both are of the same file, in whichever state.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

pub(super) fn time(time: StatxTimestamp) -> Time {
    Time { secs: time.tv_sec, nanos: time.tv_nsec }
}
