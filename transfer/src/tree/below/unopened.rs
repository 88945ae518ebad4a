//! What is set on symbolic links, devices, pipes and sockets, none of which is ever opened: that can do what nobody has
//! asked for.

use super::{Below, has_of, said, same};
use crate::destination::Shown;
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
use crate::place::dirs::Folder;
use crate::place::meta::{NotCarried, Of, Rules, apply_to_link, plan};
use crate::tree::entry::{Entry, Meta};
use crate::tree::ground::Why;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Sets what is told of one on what is open by `O_PATH`. What of it is left out.
pub(super) fn set(
    (open, found): (BorrowedFd<'_>, &Stat),
    meta: &Meta,
    (of, rules): (Of, Rules),
    path: &Shown,
) -> Result<Vec<NotCarried>, PlaceError> {
    let plan = plan(meta, of, has_of(found), None, rules);
    let left = apply_to_link(open, &plan, path)?;
    Ok(plan.left().chain(left).collect())
}

/// Which one it is: numbers are given again to what is of another kind.
fn id(stat: &Stat) -> (u64, u64, FileType, u64) {
    (stat.st_dev, stat.st_ino, FileType::from_raw_mode(stat.st_mode), stat.st_rdev)
}

impl Below<'_> {
    /// Sets it on what stands there, which was `found` to be the same.
    pub(super) fn set_standing(
        &mut self,
        (folder, path): (&Folder, &Arc<[u8]>),
        entry: &Entry,
        (of, found): (Of, &Stat),
    ) -> Result<(), Why> {
        let name = plain_name(&entry.name).map_err(said)?;
        let shown = folder.shown().join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno| said(PlaceError::system("look at", &shown, errno));
        self.placed = true;
        let open = openat(folder.fd(), name, flags, Mode::empty()).map_err(failed)?;
        let now = fstat(&open).map_err(failed)?;
        // Whoever may write there can have put something else there by now, be it a further name of what is elsewhere,
        // which is not to be given away; or have given this one a further name.
        if id(&now) != id(found) {
            return Err(format!("{shown} was replaced meanwhile"));
        }
        let plan = plan(&entry.meta, of, has_of(&now), None, self.rules);
        if same::changes_names_of((open.as_fd(), &shown), &plan, &now) {
            return Err(format!("{shown} has got another name meanwhile"));
        }
        let left = set((open.as_fd(), &now), &entry.meta, (of, self.rules), &shown);
        self.stands_unopened(path, entry, (open.as_fd(), left.map_err(said)?));
        Ok(())
    }

    /// One stands under its name, with what is told of it, but for what is `left`.
    pub(super) fn stands_unopened(
        &mut self,
        path: &Arc<[u8]>,
        entry: &Entry,
        (open, left): (BorrowedFd<'_>, Vec<NotCarried>),
    ) {
        self.placed = true;
        self.change(path);
        if entry.meta.several
            && let Ok(now) = fstat(open)
        {
            self.note_verified(path, &entry.name, &now);
        }
        self.left_out(left.into_iter());
    }
}
