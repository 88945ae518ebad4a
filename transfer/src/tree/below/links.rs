//! Names of one inode: what the source has as one is one here, what it has apart is apart, and where the file system
//! has no further name for an inode a second one with the same bytes stands for it.

use super::extras::from_root;
use super::several::Ready;
use super::{Below, UNWANTED, Way, has_of, mode_of, said, same, unopened};
use crate::holders::Inode;
use crate::message::{Check, Sync};
use crate::place::PlaceError;
use crate::place::beneath::{plain_name, shown};
use crate::place::dirs::Folder;
use crate::place::meta::{Of, plan};
use crate::place::nodes;
use crate::place::temporary::{self, Linked};
use crate::tree::digest::of_file;
use crate::tree::entry::{Device, Entry, Kind};
use crate::tree::ground::{Stands, Why};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
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
        let found = there
            .filter(|there| there.as_bytes() == target)
            .and_then(|_| statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok())
            .filter(|found| {
                let plan = plan(&entry.meta, Of::Symlink, has_of(found), None, self.rules);
                !same::changes_other_names((folder, &entry.name), &plan, found) && self.take(found)
            });
        if let Some(found) = &found {
            self.set_standing((folder, path), entry, (Of::Symlink, found))?;
            return Ok(Stands::Same);
        }
        let (shown, rules) = (folder.shown().join(name), self.rules);
        let set = |made: BorrowedFd<'_>, found: &Stat| {
            unopened::set((made, found), &entry.meta, (Of::Symlink, rules), &shown)
        };
        let (made, left) = nodes::symlink(folder, &entry.name, target, &set).map_err(said)?;
        self.stands_unopened(path, entry, (made.as_fd(), left));
        Ok(Stands::Other)
    }

    /// Puts a further name of what stands at `to`, a path from the root.
    pub(super) fn put_link(&mut self, dir: &Way, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        let folder = self.folder(dir)?;
        let linked = |this: &Self, to: &[u8]| {
            let specials = this.devices;
            temporary::link((&this.beneath, to), &folder, &entry.name, specials).map_err(said)
        };
        let mut done = self.with_names(to, |this| linked(this, to))?;
        if let Linked::Full | Linked::Apart = done {
            let key = (to.to_vec(), folder.device());
            if let Some(second) = self.names.seconds.get(&key) {
                done = linked(self, second)?;
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

    /// Puts a second inode with the same bytes, which later names are names of, unless one stands there.
    fn put_second(
        &mut self,
        folder: &Arc<Folder>,
        (dir, entry): (&Way, &Entry),
        key: (Vec<u8>, u64),
    ) -> Result<Stands, Why> {
        let (parent, first) = self.beneath.parent(&key.0).map_err(said)?;
        let failed = |errno| said(PlaceError::system("read", &shown(&key.0), errno));
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(&parent, first, flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&link).map_err(failed)?;
        self.check_verified(&key.0, &found).map_err(said)?;
        let put = if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            let target = readlinkat(&link, c"", Vec::new()).map_err(failed)?;
            self.put_symlink((folder, &dir.path), entry, target.as_bytes())?
        } else if let Some(device) = Device::of(found.st_mode, found.st_rdev) {
            self.put_special((folder, &dir.path), entry, device)?
        } else {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let from = File::from(openat(&parent, first, flags, Mode::empty()).map_err(failed)?);
            self.put_copy(&from, &key.0, folder, (dir, entry))?
        };
        if self.names.seconds.len() < MAX_SECONDS || self.names.seconds.contains_key(&key) {
            self.names.seconds.insert(key, from_root(&dir.path, &entry.name));
        }
        Ok(put)
    }

    /// Puts a copy of a file that is open, and stands at a path from the root, unless the same stands there.
    fn put_copy(
        &mut self,
        from: &File,
        path: &[u8],
        folder: &Arc<Folder>,
        (dir, entry): (&Way, &Entry),
    ) -> Result<Stands, Why> {
        let failed = |errno| said(PlaceError::system("read", &shown(path), errno));
        let verify = |this: &Self| {
            let found = fstat(from).map_err(failed)?;
            this.check_verified(path, &found).map_err(said)?;
            Ok::<Stat, Why>(found)
        };
        let len = verify(self)?.st_size.cast_unsigned();
        let file = Entry { kind: Kind::File { len, data: None }, ..entry.clone() };
        if self.is_second(from, folder, (dir, &file), len)? {
            return Ok(Stands::Same);
        }
        let name = plain_name(&entry.name).map_err(said)?;
        let standing = folder.may_replace(name, true).map_err(said)?;
        let replaced = standing.and_then(|standing| mode_of(&standing));
        let copied = temporary::copy(from, folder, self.is_over).map_err(said)?;
        let copied = copied.ok_or_else(|| UNWANTED.to_owned())?;
        // Nor was it written to meanwhile.
        verify(self)?;
        let how = (self.rules, self.sync == Sync::File);
        let ready = Ready::make(copied, name, (&entry.meta, replaced), how)?;
        let is_over = (self.is_over)();
        self.give_name_in_place(ready, (name, dir), is_over)?;
        Ok(Stands::Other)
    }

    /// Whether what stands there is the same as the first file, by what all files are compared by, or newer. What is
    /// told of it is set then.
    fn is_second(
        &mut self,
        from: &File,
        folder: &Arc<Folder>,
        (dir, file): (&Way, &Entry),
        len: u64,
    ) -> Result<bool, Why> {
        let name = plain_name(&file.name).map_err(said)?;
        let Ok(found) = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(false);
        };
        if self.is_newer(file, &found) {
            return Ok(true);
        }
        let is_hashed = self.check == Check::Digest && found.st_size.cast_unsigned() == len;
        let digest = is_hashed.then(|| of_file(from, len, self.is_over).ok()).flatten();
        let digest = digest.map(|digest| *digest.as_bytes());
        let is_same = self.is_same(folder, file, digest.as_ref(), &found) && self.take(&found);
        if is_hashed && (self.is_over)() {
            return Err(UNWANTED.to_owned());
        }
        Ok(is_same && self.set_beside((folder, &dir.path), file, &found)? == Stands::Same)
    }
}

#[cfg(test)]
mod tests;
