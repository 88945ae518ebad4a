//! Devices, pipes and sockets, which are nothing but what is told of them.
//!
//! A device leads past everything that permissions of files protect, and a pipe or a socket holds up whoever reads what
//! seems a file: so all of them need leave. The system wants root for devices as well (mknod(2)).

use super::{Below, has_of, said, same, unopened};
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
use crate::place::dirs::{Folder, UNLIST};
use crate::place::meta::{Of, plan};
use crate::place::nodes;
use crate::tree::attrs::ACCESS;
use crate::tree::entry::{Device, Entry};
use crate::tree::ground::{Ground, Stands, Why};
use crate::xattr;
use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

impl Below<'_> {
    /// Whether the sender may have them made; else it is told.
    pub(super) fn may_have_devices(&mut self) -> bool {
        if !self.devices {
            self.tell(
                "devices, pipes and sockets are left out: this host allows no sender to make them (allow=device)",
            );
        }
        self.devices
    }

    /// The folder that this is in, for something that is put there at once, and its path.
    pub(super) fn place_here(&mut self) -> Result<(Arc<Folder>, Arc<[u8]>), Why> {
        self.check_wanted()?;
        let folder =
            if self.free { self.folder(&self.here())? } else { Arc::clone(self.dirs()?.here()) };
        let dirs = self.dirs()?;
        dirs.check_here().map_err(said)?;
        Ok((folder, Arc::clone(dirs.path())))
    }

    /// Puts one into the folder that this is in.
    pub(super) fn put_special_here(
        &mut self,
        entry: &Entry,
        device: Device,
    ) -> Result<Stands, Why> {
        let (folder, path) = self.place_here()?;
        self.put_special((&folder, &path), entry, device)
    }

    /// Puts one, unless the same stands there, and sets what is told of it. Without leave it is left out.
    pub(super) fn put_special(
        &mut self,
        (folder, path): (&Folder, &Arc<[u8]>),
        entry: &Entry,
        device: Device,
    ) -> Result<Stands, Why> {
        if !self.may_have_devices() {
            return Ok(Stands::Left);
        }
        let name = plain_name(&entry.name).map_err(said)?;
        let there = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let found = there.filter(|found| {
            let plan = plan(&entry.meta, Of::Standing, has_of(found), None, self.rules);
            Device::of(found.st_mode, found.st_rdev) == Some(device)
                && !same::changes_other_names((folder, &entry.name), &plan, found)
                && self.take(found)
        });
        if let Some(found) = &found {
            self.set_standing((folder, path), entry, (Of::Standing, found))?;
            return Ok(Stands::Same);
        }
        let (shown, rules) = (folder.shown().join(name), self.rules);
        let set = |made: BorrowedFd<'_>, found: &Stat| {
            if rules.keep.perms {
                match xattr::Of::descriptor(made).remove(ACCESS) {
                    Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                    Err(errno) => return Err(PlaceError::system(UNLIST, &shown, errno)),
                }
            }
            unopened::set((made, found), &entry.meta, (Of::File, rules), &shown)
        };
        let (made, left) = nodes::special(folder, &entry.name, device, &set).map_err(said)?;
        self.stands_unopened(path, entry, (made.as_fd(), left));
        Ok(Stands::Other)
    }
}
