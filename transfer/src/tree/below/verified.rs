//! Which files and symbolic links of several names this session has put or compared. Further names are given at its
//! end: by then somebody else may have put another file in the place of one, and no owner or permissions are set on a
//! copy of that.

use super::Below;
use super::ahead::state;
use super::extras::from_root;
use crate::blocks::hashing;
use crate::place::PlaceError;
use crate::place::beneath::shown;
use rustix::fs::{AtFlags, Stat, statat};
use std::collections::HashSet;

/// Files that are remembered, at most: with 16 bytes for each and half as much again, 18 MB.
const MOST: usize = 900_000;

/// Files as they were found: where they stand, which inode that is, and when it changed last. Who removes one and makes
/// another may have its number, but not its time.
#[derive(Debug)]
pub(super) struct Verified {
    marks: HashSet<u128>,
    most: usize,
}

impl Default for Verified {
    fn default() -> Self {
        Self { marks: HashSet::new(), most: MOST }
    }
}

impl Verified {
    /// What stands at a path from the root.
    fn add(&mut self, path: &[u8], found: &Stat) {
        if self.marks.len() < self.most {
            self.marks.insert(mark(path, found));
        }
    }

    fn has(&self, path: &[u8], found: &Stat) -> bool {
        self.marks.contains(&mark(path, found))
    }
}

fn mark(path: &[u8], found: &Stat) -> u128 {
    let (len, times) = state(found);
    let mut known = Vec::with_capacity(path.len() + 64);
    for number in [found.st_dev, found.st_ino, len.cast_unsigned()] {
        known.extend_from_slice(&number.to_le_bytes());
    }
    for time in times {
        known.extend_from_slice(&time.to_le_bytes());
    }
    known.extend_from_slice(path);
    let mut short = [0; 16];
    short.copy_from_slice(&hashing::of_name(&known).as_bytes()[..16]);
    u128::from_le_bytes(short)
}

impl Below<'_> {
    /// Something was put under a name, or was compared with what is told of it; `found` is what it is like by now.
    pub(super) fn note_verified(&mut self, folder: &[u8], name: &[u8], found: &Stat) {
        if self.named.is_none() {
            self.verified.add(&from_root(folder, name), found);
        }
    }

    /// Whether what was found at a path from the root is what this session has put or compared there.
    pub(super) fn check_verified(&self, path: &[u8], found: &Stat) -> Result<(), PlaceError> {
        if self.verified.has(path, found) {
            return Ok(());
        }
        let why = if self.verified.marks.len() < self.verified.most {
            "it is not what this copy has put or compared there"
        } else {
            "of more than 900,000 files of several names a copy does not know whether each is still what was put there"
        };
        Err(PlaceError::stands(&shown(path), why))
    }

    /// Does something to a file at a path from the root that changes nothing of it but its names: it is what it was.
    pub(super) fn with_names<T>(&mut self, path: &[u8], work: impl FnOnce(&Self) -> T) -> T {
        let look = |this: &Self| {
            let (parent, name) = this.beneath.parent(path).ok()?;
            statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
        };
        let before = look(self).filter(|before| self.verified.has(path, before));
        let done = work(self);
        let is_it = |before: &Stat, now: &Stat| {
            let still = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime);
            still(before) == still(now) && before.st_mtime_nsec == now.st_mtime_nsec
        };
        if let Some(before) = before
            && let Some(now) = look(self).filter(|now| is_it(&before, now))
        {
            self.verified.marks.remove(&mark(path, &before));
            self.verified.add(path, &now);
        }
        done
    }
}
