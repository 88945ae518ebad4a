//! The way to where a tree goes.

use super::{Below, said};
use crate::message::Offer;
use crate::place::beneath::plain_name;
use crate::place::dirs::Folder;
use crate::place::{PlaceError, what};
use crate::tree::ground::Why;
use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use std::ffi::OsStr;
use std::sync::Arc;

impl Below<'_> {
    /// Goes to the folder that an offer names; of a single file also finds the name that it gets there.
    pub(super) fn lead(&mut self, offer: &Offer) -> Result<(), Why> {
        let mut parts: Vec<&[u8]> = offer.to.split(|byte| *byte == b'/').collect();
        let own = offer.one.is_some() && !matches!(parts.last(), None | Some(&b"" | &b"."));
        let last = if own { parts.pop() } else { None };
        for part in parts.into_iter().filter(|part| !matches!(*part, b"" | b".")) {
            self.go(part)?;
        }
        let mut named = offer.one.clone();
        if let Some(last) = last {
            let name = plain_name(last).map_err(said)?;
            match kind(self.dirs()?.here(), name) {
                Some(FileType::Directory) => self.go(last)?,
                _ => named = Some(last.to_vec()),
            }
        }
        let here = Arc::clone(self.dirs()?.here());
        self.shown = here.shown().clone();
        self.base = self.dirs()?.path().to_vec();
        if let Some(name) = &named {
            let name = plain_name(name).map_err(said)?;
            self.shown = self.shown.join(name);
            // What is typed as a file's own place is that of a file, or nothing's.
            if let Some(kind) = kind(&here, name).filter(|kind| *kind != FileType::RegularFile) {
                return Err(said(PlaceError::stands(&self.shown, what(kind))));
            }
        }
        self.named = named;
        Ok(())
    }

    /// Goes into a folder that the offer names.
    fn go(&mut self, name: &[u8]) -> Result<(), Why> {
        let dirs = self.dirs()?;
        dirs.enter_parent(name).map_err(said)?;
        if dirs.here().is_new() {
            let path = dirs.path().to_vec();
            let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            self.change(&path[..above]);
            self.made.push(path);
        }
        Ok(())
    }
}

impl Drop for Below<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        // A copy of which nothing is in place leaves no empty folders; one that somebody else uses by now is not
        // empty, and stays.
        for path in self.made.iter().rev() {
            if let Ok((folder, name)) = self.beneath.parent(path) {
                let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
            }
        }
    }
}

/// What stands under a name of a folder.
fn kind(folder: &Folder, name: &OsStr) -> Option<FileType> {
    let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
