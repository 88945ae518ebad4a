//! The first names of files that have further ones.

use super::Stamp;
use crate::tree::entry::Time;
use std::collections::HashMap;

/// Files of which names are still to come.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<(u64, u64), First>);

#[derive(Debug)]
struct First {
    path: Box<[u8]>,
    size: u64,
    mtime: Time,
    /// Names of it that were not seen yet.
    left: u32,
}

impl Links {
    /// The first name of a file, if one was seen. The number of a file that is removed goes to another one:
    /// only one of the same length and time is taken for the same, because a link to wrong bytes is worse
    /// than none.
    pub(super) fn first_of(&mut self, stamp: &Stamp) -> Option<Vec<u8>> {
        let key = (stamp.dev, stamp.ino);
        let first = self.0.get_mut(&key)?;
        if (first.size, first.mtime) != (stamp.size, stamp.mtime) {
            return None;
        }
        first.left -= 1;
        if first.left > 0 {
            return Some(first.path.to_vec());
        }
        self.0.remove(&key).map(|first| first.path.into())
    }

    /// This is the first name of a file that has so many.
    pub(super) fn remember(&mut self, stamp: &Stamp, names: u32, path: &[u8]) {
        if let Some(left @ 1..) = names.checked_sub(1) {
            let first = First { path: path.into(), size: stamp.size, mtime: stamp.mtime, left };
            self.0.insert((stamp.dev, stamp.ino), first);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
