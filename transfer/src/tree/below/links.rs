//! Names of one inode: what the source has as one is one here, what it has apart is apart, and where the file system
//! has no further name for an inode a second one with the same bytes stands for it.

use super::several::Ready;
use super::{Below, Way, has_of, mode_of, said, same};
use crate::holders::Inode;
use crate::message::Sync;
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
use crate::place::dirs::Folder;
use crate::place::meta::{Of, apply_to_link, plan};
use crate::place::temporary::{self, Linked};
use crate::tree::entry::Entry;
use crate::tree::ground::{Stands, Why};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::Arc;

/// Inodes with several names that an entry has taken, at most: 17 MB.
const MAX_TAKEN: usize = 1 << 19;
/// Second inodes that further names are given to, at most. One has 65,000 names before there is a second (ext4).
const MAX_SECONDS: usize = 10_000;

/// What is known of inodes with several names.
#[derive(Debug)]
pub(super) struct Names {
    /// Those of which an entry of the tree has one name.
    taken: HashSet<Inode>,
    most: usize,
    /// Where a second inode stands, by the path of the first name and the number of the file system.
    seconds: HashMap<(Vec<u8>, u64), Vec<u8>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { taken: HashSet::new(), most: MAX_TAKEN, seconds: HashMap::new() }
    }
}

impl Below<'_> {
    /// Takes what stands under a name for an entry; `false`: an entry before has the same inode under another name.
    /// These two are apart at the source, or this one would come as a further name.
    pub(super) fn take(&mut self, found: &Stat) -> bool {
        if found.st_nlink < 2 {
            return true;
        }
        let (id, names) = ((found.st_dev, found.st_ino), &mut self.names);
        if names.taken.len() < names.most {
            return names.taken.insert(id);
        }
        let is_first = !names.taken.contains(&id);
        if is_first {
            self.tell(
                "more than half a million files have several names here: of the others it is not found out whether \
                 the source has them apart",
            );
        }
        is_first
    }

    /// Puts a symbolic link, unless the same stands there, and sets what is told of it.
    pub(super) fn put_symlink(
        &mut self,
        (folder, path): (&Folder, &Arc<[u8]>),
        entry: &Entry,
        target: &[u8],
    ) -> Result<Stands, Why> {
        let name = plain_name(&entry.name).map_err(said)?;
        let there = readlinkat(folder.fd(), name, Vec::new()).ok();
        let same = there.is_some_and(|there| there.as_bytes() == target)
            && statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
                let plan = plan(&entry.meta, Of::Symlink, has_of(&found), None, self.rules);
                !same::changes_other_names(&plan, &found) && self.take(&found)
            });
        if !same {
            temporary::symlink(folder, &entry.name, target).map_err(said)?;
        }
        self.placed = true;
        self.change(path);
        // Whoever may write there can have put something else there by now, which is not to be given away.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(folder.fd(), name, flags, Mode::empty()).map_err(|e| e.to_string())?;
        let found = fstat(&link).map_err(|e| e.to_string())?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
            return Err(format!("{} was replaced meanwhile", folder.shown().join(name)));
        }
        let plan = plan(&entry.meta, Of::Symlink, has_of(&found), None, self.rules);
        apply_to_link(link.as_fd(), &plan, &folder.shown().join(name)).map_err(said)?;
        self.left_out(plan.left());
        Ok(if same { Stands::Same } else { Stands::Other })
    }

    /// Puts a further name of what stands at `to`, a path from the root.
    pub(super) fn put_link(&mut self, dir: &Way, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        let folder = self.folder(dir)?;
        let linked =
            |beneath, to: &[u8]| temporary::link(beneath, to, &folder, &entry.name).map_err(said);
        let mut done = linked(&self.beneath, to)?;
        if let Linked::Full | Linked::Apart = done {
            let found = fstat(folder.fd());
            let device =
                found.map_err(|e| said(PlaceError::system("look at", folder.shown(), e)))?;
            let key = (to.to_vec(), device.st_dev);
            if let Some(second) = self.names.seconds.get(&key) {
                done = linked(&self.beneath, second)?;
            }
            if let Linked::Full | Linked::Apart = done {
                self.tell(if done == Linked::Full {
                    "hard links are not kept where a file has as many names as it may have"
                } else {
                    "hard links are not kept where another file system is mounted below this host's folder"
                });
                return self.put_second(&folder, (dir, entry), key);
            }
        }
        if done == Linked::Same {
            return Ok(Stands::Same);
        }
        self.change(&dir.path);
        Ok(Stands::Other)
    }

    /// Puts a second inode with the same bytes, which later names are names of.
    fn put_second(
        &mut self,
        folder: &Arc<Folder>,
        (dir, entry): (&Way, &Entry),
        key: (Vec<u8>, u64),
    ) -> Result<Stands, Why> {
        let (parent, first) = self.beneath.parent(&key.0).map_err(said)?;
        let put = match readlinkat(&parent, first, Vec::new()) {
            Ok(target) => self.put_symlink((folder, &dir.path), entry, target.as_bytes())?,
            Err(Errno::INVAL) => {
                let name = plain_name(&entry.name).map_err(said)?;
                let standing = folder.may_replace(name, true).map_err(said)?;
                let replaced = standing.and_then(|standing| mode_of(&standing));
                let copied = temporary::copy(parent.as_fd(), first, folder).map_err(said)?;
                let how = (self.rules, self.sync == Sync::File);
                let ready = Ready::make(copied, name, (&entry.meta, replaced), how)?;
                let is_over = how.1 && (self.is_over)();
                self.give_name(ready, (name, dir), is_over)?;
                Stands::Other
            }
            Err(errno) => return Err(said(PlaceError::system("read", folder.shown(), errno))),
        };
        if self.names.seconds.len() < MAX_SECONDS || self.names.seconds.contains_key(&key) {
            let at: &[&[u8]] =
                if dir.path.is_empty() { &[&entry.name] } else { &[&dir.path, b"/", &entry.name] };
            self.names.seconds.insert(key, at.concat());
        }
        Ok(put)
    }
}

#[cfg(test)]
mod tests;
