//! The way to where a tree goes.

use super::{Below, said};
use crate::destination::{Root, Shown};
use crate::holders::{Holder, Turn, Writing};
use crate::limits::Limits;
use crate::message::Offer;
use crate::place::beneath::{Beneath, plain_name};
use crate::place::dirs::{Dirs, Folder};
use crate::place::{PlaceError, what};
use crate::tree::ground::Why;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, readlinkat, statat, unlinkat};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Symbolic links on the way to a folder, at most (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Another try is only needed where a session that ends removes the folder just when it was found: so many times in a
/// row, each within some microseconds, is no chance.
const TRIES: usize = 64;

/// Folders, and the last name.
pub(super) type Asked = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Says whether something may go where these names lead from the root, without a symbolic link.
pub(crate) type May<'m> = dyn FnMut(&[Vec<u8>]) -> Result<(), Why> + 'm;

impl<'a> Below<'a> {
    /// Finds the place that an offer names, and makes what of it is missing if `may` says that it may go there. What is
    /// entered afterwards is that place: a link that comes on the way there is not followed.
    pub(crate) fn new_if(
        root: &Root,
        offer: &Offer,
        limits: &Limits,
        session: (Holder, &'a dyn Fn() -> bool),
        may: &mut May<'_>,
    ) -> Result<Self, Why> {
        let mut this = Self::bare(root, offer, limits, session)?;
        let asked = this.asked(offer)?;
        may(&[&asked.0[..], asked.1.as_slice()].concat())?;
        let dirs = Dirs::new(this.beneath.clone(), this.rules).map_err(said)?;
        this.dirs = Some(dirs.in_turn(Turn::new(&this.holders)));
        this.lead(offer, asked)?;
        Ok(this)
    }
}

impl Below<'_> {
    /// Goes to the folder that an offer names; of a single file also finds the name that it gets there.
    fn lead(&mut self, offer: &Offer, (way, last): Asked) -> Result<(), Why> {
        for part in &way {
            self.go(part)?;
        }
        let mut named = offer.one.clone();
        if let Some(last) = last {
            let name = plain_name(&last).map_err(said)?;
            match kind(self.dirs()?.here(), name)? {
                Some(FileType::Directory) => self.go(&last)?,
                _ => named = Some(last),
            }
        }
        let here = Arc::clone(self.dirs()?.here());
        if offer.stream && named.is_none() {
            return Err(format!(
                "{} is a folder, and what comes from a pipe has no name there: give one behind it",
                here.shown()
            ));
        }
        self.shown = here.shown().clone();
        self.base = self.dirs()?.path().to_vec();
        self.writing = Some(Writing::below(&self.holders, &self.holder, here.fd()));
        if let Some(name) = &named {
            let name = plain_name(name).map_err(said)?;
            self.shown = self.shown.join(name);
            check_own_place(&here, name, &self.shown)?;
        }
        self.named = named;
        Ok(())
    }

    /// The folders that an offer names; of a single file also the last name, which may be its own.
    pub(super) fn asked(&self, offer: &Offer) -> Result<Asked, Why> {
        let mut parts: Vec<&[u8]> = offer.to.split(|byte| *byte == b'/').collect();
        let own = (offer.one.is_some() || offer.stream)
            && !matches!(parts.last(), None | Some(&b"" | &b"."));
        let mut last = if own { parts.pop() } else { None };
        let mut way: Vec<Vec<u8>> = Vec::new();
        for part in parts.into_iter().filter(|part| !matches!(*part, b"" | b".")) {
            plain_name(part).map_err(said)?;
            way.push(part.to_vec());
        }
        if self.follow {
            if let Some(name) = last {
                plain_name(name).map_err(said)?;
                let to = [&way[..], &[name.to_vec()]].concat();
                let to = followed(&self.beneath, &to, self.whole)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                if self.beneath.open(&to.join(&b'/'), flags, Mode::empty()).is_ok() {
                    (way, last) = (to, None);
                }
            }
            way = followed(&self.beneath, &way, self.whole)?;
        }
        Ok((way, last.map(<[u8]>::to_vec)))
    }

    /// Goes into a folder that the offer names, and keeps other sessions from removing it.
    fn go(&mut self, name: &[u8]) -> Result<(), Why> {
        let mut failed = None;
        for _ in 0..TRIES {
            let dirs = self.dirs()?;
            match dirs.enter_parent(name) {
                Err(error) if error.is_missing() => {
                    failed = Some(error); // it was there a moment ago
                    continue;
                }
                entered => entered.map_err(said)?,
            }
            let folder = Arc::clone(dirs.here());
            let path = dirs.path().to_vec();
            let stat = fstat(folder.fd())
                .map_err(|e| format!("cannot look at {}: {e}", folder.shown()))?;
            let inode = (stat.st_dev, stat.st_ino);
            self.holders.hold_folder(inode, folder.is_new());
            // A session that nothing came of may have removed it just before, and another one made it anew.
            if let Err(error) = folder.check_in_place(&self.beneath, &path) {
                if self.holders.leave_folder(inode, false) {
                    self.holders.folder_gone(inode);
                }
                failed = Some(error);
                self.dirs()?.back();
                continue;
            }
            if folder.is_new() {
                let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                self.change(&path[..above]);
            }
            self.led.push((path, inode));
            self.note_mounted();
            return Ok(());
        }
        let shown = self.dirs()?.here().shown().join(OsStr::from_bytes(name));
        let error = failed.map_or_else(String::new, said);
        Err(format!("{shown} is removed again and again: try once more ({error})"))
    }
}

impl Drop for Below<'_> {
    fn drop(&mut self) {
        // Copies of which nothing is in place leave no empty folders; one that somebody else uses by now stays: it is
        // not empty, or a session is in it.
        for (path, inode) in self.led.iter().rev() {
            if !self.holders.leave_folder(*inode, self.placed) {
                continue;
            }
            if let Ok((folder, name)) = self.beneath.parent(path) {
                let there = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
                if there.is_ok_and(|there| (there.st_dev, there.st_ino) == *inode) {
                    let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
                }
            }
            self.holders.folder_gone(*inode);
        }
    }
}

/// Where a path leads to with symbolic links followed, without one: so what is opened later by that is refused where a
/// link has come meanwhile. Nothing leads out of the root, be it by `..` or from `/` on, unless that is the root: then
/// it fails.
fn followed(beneath: &Beneath, path: &[Vec<u8>], whole: bool) -> Result<Vec<Vec<u8>>, Why> {
    let mut left: VecDeque<Vec<u8>> = path.iter().cloned().collect();
    let (mut done, mut links): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let shown = |done: &[Vec<u8>]| Shown::default().join(OsStr::from_bytes(&done.join(&b'/')));
    while let Some(name) = left.pop_front() {
        match &name[..] {
            b"" | b"." => continue,
            b".." if done.pop().is_some() || whole => continue,
            b".." => {
                return Err(
                    "a symbolic link of the destination leads out of the root folder".to_owned()
                );
            }
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let target = beneath
            .open(&done.join(&b'/'), flags, Mode::empty())
            .ok()
            .and_then(|above| readlinkat(&above, &name[..], Vec::new()).ok());
        done.push(name);
        let Some(target) = target else { continue }; // what is none of a link's business is found out later
        let link = shown(&done);
        done.pop();
        links += 1;
        if links > MAX_LINKS {
            return Err(format!(
                "{link} is refused: more than {MAX_LINKS} symbolic links on the way"
            ));
        }
        let absolute = target.as_bytes().starts_with(b"/");
        if absolute && whole {
            done.clear();
        } else if absolute {
            return Err(format!(
                "{link} is refused: it is a symbolic link that leads out of the root folder"
            ));
        }
        for part in target.as_bytes().rsplit(|byte| *byte == b'/') {
            left.push_front(part.to_vec());
        }
    }
    Ok(done)
}

/// What is typed as a file's own place is that of a file, or nothing's.
pub(super) fn check_own_place(folder: &Folder, name: &OsStr, at: &Shown) -> Result<(), Why> {
    match kind(folder, name)?.filter(|kind| *kind != FileType::RegularFile) {
        Some(kind) => Err(said(PlaceError::stands(at, what(kind)))),
        None => Ok(()),
    }
}

/// What stands under a name of a folder.
pub(super) fn kind(folder: &Folder, name: &OsStr) -> Result<Option<FileType>, Why> {
    let stat = folder.look(name).map_err(said)?;
    Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}
