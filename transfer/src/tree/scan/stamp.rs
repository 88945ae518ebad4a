//! What tells whether a file is still as it was.

use crate::tree::entry::Time;
use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags, StatxTimestamp, statx};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

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
    /// Something is mounted as it, be it another file system or a folder of the same one; `None`: the system does not tell.
    pub mount: Option<bool>,
}

impl Stamp {
    /// Of an open file, now.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        let flags = StatxFlags::BASIC_STATS;
        Ok(Self::from_statx(&statx(file, c"", AtFlags::EMPTY_PATH, flags)?))
    }

    /// Of what is called so, now; a symbolic link is not followed.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(Self::from_statx(&statx(CWD, path, flags, StatxFlags::BASIC_STATS)?))
    }

    pub(super) fn from_statx(stat: &Statx) -> Self {
        Self {
            dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            mount: mount(stat),
        }
    }

    /// Whether both are of the same file, in whichever state.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// Whether a mount begins there (since Linux 5.8).
fn mount(stat: &Statx) -> Option<bool> {
    let is_told = stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_told.then(|| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

pub(super) fn time(time: StatxTimestamp) -> Time {
    Time { secs: time.tv_sec, nanos: time.tv_nsec }
}
