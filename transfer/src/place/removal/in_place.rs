//! Whether the folders that are being emptied are still where they were found.
//!
//! A descriptor follows its folder wherever that is moved, be it out of the root. So who empties one asks again and
//! again, for each folder on the way down, whether it still has its name in the one above.

use super::Why;
use rustix::fs::{AtFlags, Stat, statat};
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

const MOVED: &str = "it was moved or replaced meanwhile";

/// A folder on the way down, with those above it.
pub(super) enum Place<'a> {
    /// One that is compared with the list: how it is asked whether it is in place.
    Compared(&'a dyn Fn() -> Result<(), Why>),
    /// One that is being emptied.
    Emptied { above: &'a Place<'a>, folder: BorrowedFd<'a>, name: &'a CStr, stat: &'a Stat },
}

/// A folder is elsewhere by now.
#[derive(Debug)]
pub(super) struct Moved {
    /// Which one: so many are above it that are being emptied.
    pub(super) depth: usize,
    pub(super) why: Why,
}

impl Place<'_> {
    /// How many folders are being emptied, down to this one.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Compared(_) => 0,
            Self::Emptied { above, .. } => above.depth() + 1,
        }
    }

    /// Asks from the top down; the topmost one that was moved is told.
    pub(super) fn check(&self) -> Result<(), Moved> {
        match self {
            Self::Compared(check) => check().map_err(|why| Moved { depth: 0, why }),
            Self::Emptied { above, folder, name, stat } => {
                above.check()?;
                match statat(folder, *name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(now) if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) => Ok(()),
                    _ => Err(Moved { depth: above.depth(), why: MOVED.to_owned() }),
                }
            }
        }
    }
}
