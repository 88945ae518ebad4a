//! The same file system below a root, as a dry run looks at it: nothing is made, opened for writing or set, and nothing
//! stays that was put aside.

use super::lead::check_own_place;
use super::{Below, UNWANTED, Way, has_of, said, same};
use crate::blocks::Value;
use crate::destination::{Root, Shown};
use crate::holders::Holder;
use crate::limits::Limits;
use crate::message::{Check, Offer};
use crate::place::PlaceError;
use crate::place::attrs::{self, Lists};
use crate::place::beneath::{Beneath, plain_name};
use crate::place::dirs::{Folder, MAX_FOLDERS};
use crate::place::folding::Folds;
use crate::place::meta::{Granularity, Keep, Of, Rules, plan};
use crate::place::temporary::{Standing as Replaced, may_replace_special};
use crate::tree::attrs::Attrs;
use crate::tree::change::{Beside, Standing, Thing};
use crate::tree::entry::{Device, Entry, Kind, Meta, Time};
use crate::tree::extras::{Clearing, Deleted, Deletion};
use crate::tree::ground::{Ground, Held, Stands, Unfinished, Why};
use crate::tree::manifest::{Owner, PartReader};
use crate::tree::spool::{Spool, nameless};
use crate::xattr;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, fstatfs, ioctl_getflags, openat, readlinkat,
    statat,
};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Numbers of file systems (statfs(2)) that keep coarser times, and fold names: FAT and exFAT.
const FAT: [u32; 2] = [0x4d44, 0x2011_bab0];
/// What tells times apart there, in nanoseconds: FAT counts in twos of seconds, exFAT in hundredths.
const FAT_STEP: i128 = 2_000_000_000;
/// The flag of a folder whose names fold (`FS_CASEFOLD_FL`, linux/fs.h).
const CASEFOLD: u32 = 0x4000_0000;

/// The owner's permission to look at what is in a folder (`S_IXUSR`).
const ENTER: u32 = 0o100;
/// What is told of one that a copy would open up for that.
const CLOSED: &str = "what is in folders that the user of this host's mcpd may not enter is told as if nothing stood \
                      there: a copy opens them up";

/// A folder on the way to where the tree is; `None`: it is not there yet.
type Level = (Option<Arc<Folder>>, Arc<[u8]>);

/// Everything below a root, which stays as it is.
pub(crate) struct Survey<'a> {
    below: Below<'a>,
    levels: Vec<Level>,
}

impl<'a> Survey<'a> {
    /// Finds the place that an offer names, as far as it is there.
    pub(crate) fn new(
        root: &Root,
        offer: &Offer,
        limits: &Limits,
        session: (Holder, &'a dyn Fn() -> bool),
    ) -> Result<Self, Why> {
        let mut below = Below::bare(root, offer, limits, session)?;
        below.dry = true;
        let top = Arc::new(Folder::open(&below.beneath, b"", false).map_err(said)?);
        below.granularity = Some(if is_fat(&top) {
            Granularity { step: FAT_STEP, ..Granularity::FULL }
        } else {
            Granularity::FULL
        });
        let mut this = Self { below, levels: vec![(Some(top), Arc::default())] };
        this.lead(offer)?;
        Ok(this)
    }

    /// Where all of it would go: of a single file its path.
    pub(crate) fn shown(&self) -> Shown {
        self.below.shown()
    }

    fn lead(&mut self, offer: &Offer) -> Result<(), Why> {
        let (way, last) = self.below.asked(offer)?;
        for part in &way {
            self.go(part)?;
        }
        let mut named = offer.one.clone();
        if let Some(last) = last {
            let name = plain_name(&last).map_err(said)?;
            match self.kind(name)? {
                Some(FileType::Directory) => drop(self.go(&last)?),
                _ => named = Some(last),
            }
        }
        self.below.base = self.path().to_vec();
        self.below.shown = crate::place::beneath::shown(self.path());
        if let Some(name) = &named {
            let name = plain_name(name).map_err(said)?;
            self.below.shown = self.below.shown.join(name);
            if let Some(here) = self.here_folder() {
                check_own_place(&here, name, &self.below.shown)?;
            }
        }
        self.below.named = named;
        Ok(())
    }

    fn here_folder(&self) -> Option<Arc<Folder>> {
        self.levels.last().and_then(|(folder, _)| folder.clone())
    }

    /// What stands under a name of the folder that it is in, if that is there.
    fn kind(&mut self, name: &OsStr) -> Result<Option<FileType>, Why> {
        let Some(here) = self.here_folder() else { return Ok(None) };
        let stat = self.stat(&here, name)?;
        Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    /// The same of any folder. One of the daemon's own user that may not be entered is opened up by a copy, and here it
    /// is left as it is.
    fn stat(&mut self, folder: &Folder, name: &OsStr) -> Result<Option<Stat>, Why> {
        match folder.look(name) {
            Err(_) if fstat(folder.fd()).is_ok_and(|stat| is_opened_up(&stat)) => {
                self.below.tell(CLOSED);
                Ok(None)
            }
            looked => looked.map_err(said),
        }
    }

    fn path(&self) -> &Arc<[u8]> {
        static NONE: std::sync::LazyLock<Arc<[u8]>> = std::sync::LazyLock::new(Arc::default);
        self.levels.last().map_or(&NONE, |(_, path)| path)
    }

    /// Goes into a folder; whether it is there.
    fn go(&mut self, name: &[u8]) -> Result<Stands, Why> {
        let plain = plain_name(name).map_err(said)?;
        let path: Arc<[u8]> = match &**self.path() {
            [] => name.into(),
            above => [above, name].join(&b'/').into(),
        };
        let shown = crate::place::beneath::shown(&path);
        if self.levels.len() > MAX_FOLDERS {
            let why = "it is deeper than 128 folders";
            return Err(said(PlaceError::Order { path: shown, why }));
        }
        let folder = match self.kind(plain)? {
            None => None,
            Some(FileType::Directory) => {
                Some(Folder::open(&self.below.beneath, &path, false).map_err(said)?)
            }
            Some(kind) => {
                return Err(said(PlaceError::stands(&shown, crate::place::what(kind))));
            }
        };
        let came = if folder.is_some() { Stands::Same } else { Stands::Other };
        self.levels.push((folder.map(Arc::new), path));
        Ok(came)
    }

    /// What has the name of an entry, by which it is found out whether that would be replaced.
    fn found(&mut self, entry: &Entry) -> Result<Option<(Arc<Folder>, Entry, Stat)>, Why> {
        let Some(folder) = self.here_folder() else { return Ok(None) };
        let name = plain_name(self.below.name(entry)).map_err(said)?.to_owned();
        let entry = Entry { name: name.as_bytes().to_vec(), ..entry.clone() };
        let found = self.stat(&folder, &name)?;
        Ok(found.map(|found| (folder, entry, found)))
    }
}

/// Whether a folder that may not be entered would be opened up for what goes into it (`place/dirs.rs`).
fn is_opened_up(folder: &Stat) -> bool {
    let us = rustix::process::geteuid();
    !us.is_root() && us.as_raw() == folder.st_uid && folder.st_mode & ENTER == 0
}

/// A file or symbolic link takes the name of what may be replaced: of a folder only if that is empty.
fn check_replaced(folder: &Folder, name: &OsStr) -> Result<(), Why> {
    check_empty(folder, name, folder.may_replace(name, true).map_err(said)?)
}

/// A device, a pipe or a socket, or a further name of one, takes that of another as well.
fn check_replaced_by_special(folder: &Folder, name: &OsStr) -> Result<(), Why> {
    check_empty(folder, name, may_replace_special(folder, name).map_err(said)?)
}

fn check_empty(folder: &Folder, name: &OsStr, standing: Option<Replaced>) -> Result<(), Why> {
    if standing.is_some_and(|standing| standing.kind == FileType::Directory) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_empty = openat(folder.fd(), name, flags, Mode::empty())
            .and_then(rustix::fs::Dir::new)
            .is_ok_and(|listed| {
                listed.flatten().all(|e| matches!(e.file_name().to_bytes(), b"." | b".."))
            });
        if !is_empty {
            let shown = folder.shown().join(name);
            return Err(said(PlaceError::stands(&shown, crate::place::what(FileType::Directory))));
        }
    }
    Ok(())
}

impl Ground for Survey<'_> {
    type Dir = Way;
    type Slot = ();

    fn owner(&mut self, owner: &Owner) -> Result<(u32, u32), Why> {
        self.below.owner(owner)
    }

    fn root(&mut self, _: &Meta) -> Result<(), Why> {
        if **self.path() != *self.below.base || self.below.named.is_some() {
            return Err("it is not where the tree begins".to_owned());
        }
        Ok(())
    }

    fn standing(&mut self, entry: Option<&Entry>, told: &Attrs) -> Option<Standing> {
        let (folder, rules) = (self.here_folder()?, self.below.rules);
        match entry {
            None => itself(&folder, self.below.base.is_empty(), (told, rules)),
            Some(entry) => standing(&folder, self.below.name(entry), (told, rules)),
        }
    }

    fn is_one(&mut self, entry: &Entry, to: &[u8]) -> bool {
        let Some(folder) = self.here_folder() else { return false };
        is_one(&self.below.beneath, (&folder, &entry.name), (&self.below.base, to))
    }

    fn enter(&mut self, _: u64, entry: &Entry) -> Result<Stands, Why> {
        self.go(&entry.name)
    }

    fn leave(&mut self) {
        self.levels.pop();
    }

    fn here(&self) -> Way {
        Way { path: Arc::clone(self.path()), new: self.here_folder().is_none(), free: false }
    }

    fn write_dir(&self, dir: &Way) -> Vec<u8> {
        self.below.write_dir(dir)
    }

    fn read_dir(&self, bytes: &[u8]) -> Way {
        self.below.read_dir(bytes)
    }

    fn path(&self, dir: &Way, name: &[u8]) -> Vec<u8> {
        self.below.path(dir, name)
    }

    fn foresee(&mut self, part: PartReader<'_>) {
        self.below.foresee(part);
    }

    fn look(&mut self, entry: &Entry, digest: Option<&Value>) -> Result<Stands, Why> {
        self.below.check_size(entry)?;
        let Some((folder, entry, found)) = self.found(entry)? else { return Ok(Stands::Other) };
        let below = &mut self.below;
        if below.is_newer(&entry, &found) {
            return Ok(Stands::Same);
        }
        if below.is_same(&folder, &entry, digest, &found) && below.take(&found) {
            let plan = below.beside(&entry, &found);
            below.left_out(plan.left());
            let other = same::changes_other_names((&folder, &entry.name), &plan, &found);
            return Ok(if other { Stands::Other } else { Stands::Same });
        }
        if below.check == Check::Digest && (below.is_over)() {
            return Err(UNWANTED.to_owned());
        }
        check_replaced(&folder, OsStr::from_bytes(&entry.name)).map(|()| Stands::Other)
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why> {
        self.below.check_wanted()?;
        let Some((folder, entry, found)) = self.found(entry)? else { return Ok(Stands::Other) };
        let name = OsStr::from_bytes(&entry.name);
        let says = readlinkat(folder.fd(), name, Vec::new()).ok();
        if says.is_some_and(|says| says.as_bytes() == target) {
            let plan = plan(&entry.meta, Of::Symlink, has_of(&found), None, self.below.rules);
            let other = same::changes_other_names((&folder, &entry.name), &plan, &found);
            if !other && self.below.take(&found) {
                return Ok(Stands::Same);
            }
        }
        check_replaced(&folder, name).map(|()| Stands::Other)
    }

    fn attrs(&mut self, attrs: &mut Attrs) -> Result<(), Why> {
        self.below.attrs(attrs)
    }

    fn special(&mut self, entry: &Entry, device: Device) -> Result<Stands, Why> {
        self.below.check_wanted()?;
        if !self.below.may_have_devices() {
            return Ok(Stands::Left);
        }
        let Some((folder, entry, found)) = self.found(entry)? else { return Ok(Stands::Other) };
        if Device::of(found.st_mode, found.st_rdev) == Some(device) {
            let plan = plan(&entry.meta, Of::Standing, has_of(&found), None, self.below.rules);
            let other = same::changes_other_names((&folder, &entry.name), &plan, &found);
            if !other && self.below.take(&found) {
                return Ok(Stands::Same);
            }
        }
        let name = OsStr::from_bytes(&entry.name);
        check_replaced_by_special(&folder, name).map(|()| Stands::Other)
    }

    fn link(&mut self, dir: &Way, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        self.below.check_wanted()?;
        if dir.new {
            return Ok(Stands::Other);
        }
        let folder = Folder::open(&self.below.beneath, &dir.path, false).map_err(said)?;
        let name = plain_name(&entry.name).map_err(said)?;
        if is_one(&self.below.beneath, (&folder, &entry.name), (&self.below.base, to)) {
            return Ok(Stands::Same);
        }
        // What it is a name of need not be there yet.
        let check = if self.below.devices { check_replaced_by_special } else { check_replaced };
        check(&folder, name).map(|()| Stands::Other)
    }

    fn file(&mut self, _: &Way, _: &Entry, _: &[u8]) -> Result<(), Why> {
        Err(NOTHING.to_owned())
    }

    fn begin(&mut self, _: &Way, _: &Entry) -> Result<((), Held), Why> {
        Err(NOTHING.to_owned())
    }

    fn read(&mut self, (): &mut (), _: &mut [u8], _: u64) -> Result<(), Why> {
        Err(NOTHING.to_owned())
    }

    fn note(&mut self, (): &mut (), _: u64, _: &Value) -> Result<(), Why> {
        Err(NOTHING.to_owned())
    }

    fn write(&mut self, (): &mut (), _: &[u8], _: u64) -> Result<(), Why> {
        Err(NOTHING.to_owned())
    }

    fn keep(&mut self, (): ()) -> Result<(), Why> {
        Err(NOTHING.to_owned())
    }

    fn discard(&mut self, (): ()) {}

    fn unnamed(&self) -> io::Result<File> {
        nameless(self.below.beneath.root())
    }

    fn spool(&self) -> io::Result<Spool> {
        self.unnamed().map(Spool::of)
    }

    fn clear(&mut self, entry: &Entry, clearing: &Clearing<'_>) -> Option<Deleted> {
        let (here, path) = (self.here_folder()?, Arc::clone(self.path()));
        self.below.clear_name((&here, &path), entry, clearing)
    }

    fn delete(&mut self, deletion: &Deletion<'_>) -> Deleted {
        self.below.delete_extras(deletion)
    }

    fn finish(&mut self) -> Result<Vec<Unfinished>, Why> {
        Ok(Vec::new())
    }

    fn notes(&mut self) -> Vec<String> {
        self.below.notes()
    }
}

/// Why nothing is written.
const NOTHING: &str = "a dry run writes nothing";

impl Below<'_> {
    /// What is to be set beside the content of a file that stands already.
    pub(super) fn beside(&self, entry: &Entry, found: &Stat) -> crate::place::meta::Plan {
        // Of one that was compared by its digest the time may be another.
        let times = self.rules.keep.times && same::modified(found) != entry.meta.mtime;
        let keep = Keep { times: times && self.check == Check::Digest, ..self.rules.keep };
        plan(&entry.meta, Of::Standing, has_of(found), None, Rules { keep, ..self.rules })
    }

    /// Whether a file is small enough for its sender.
    pub(super) fn check_size(&self, entry: &Entry) -> Result<(), Why> {
        match (&entry.kind, self.size) {
            (Kind::File { len, .. }, Some(limit)) if *len > limit => Err(format!(
                "it has {len} bytes, and with this key at most {limit} may be sent here"
            )),
            _ => Ok(()),
        }
    }
}

/// What stands under a name of a folder, of which attributes are told by the rules. Where it cannot be looked at, the
/// entry itself fails for that.
pub(super) fn standing(folder: &Folder, name: &[u8], told: (&Attrs, Rules)) -> Option<Standing> {
    let name = plain_name(name).ok()?;
    let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let says = || readlinkat(folder.fd(), name, Vec::new()).map(CString::into_bytes);
    let mut standing = of(&stat, false, || says().unwrap_or_default());
    if attrs::are_kept(told.1) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(folder.fd(), name, flags, Mode::empty()).ok()?;
        standing.beside = beside(opened.as_fd(), &standing.thing, told);
    }
    Some(standing)
}

/// A folder itself; `root`: the one that a daemon receives into.
pub(super) fn itself(folder: &Folder, root: bool, told: (&Attrs, Rules)) -> Option<Standing> {
    let mut standing = of(&fstat(folder.fd()).ok()?, root, Vec::new);
    if attrs::are_kept(told.1) {
        standing.beside = beside(folder.fd().as_fd(), &standing.thing, told);
    }
    Some(standing)
}

/// What is to be changed of the attributes of what is open.
fn beside(fd: BorrowedFd<'_>, thing: &Thing, (told, rules): (&Attrs, Rules)) -> Beside {
    let lists = match thing {
        Thing::Dir => Lists::Standing,
        Thing::Symlink(_) => Lists::None,
        _ => Lists::Access,
    };
    let nowhere = crate::place::beneath::shown(b"");
    // What cannot be read fails when it is to be set.
    let changes = attrs::changes(&xattr::Of::descriptor(fd), told, lists, rules, &nowhere);
    changes.map_or_else(
        |_| Beside::default(),
        |changes| Beside { lists: changes.has_lists(), xattrs: changes.has_others() },
    )
}

fn of(stat: &Stat, root: bool, says: impl FnOnce() -> Vec<u8>) -> Standing {
    let thing = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Thing::File { len: stat.st_size.cast_unsigned() },
        FileType::Directory => Thing::Dir,
        FileType::Symlink => Thing::Symlink(says()),
        _ => Device::of(stat.st_mode, stat.st_rdev).map_or(Thing::Other, Thing::Special),
    };
    let mtime: Time = same::modified(stat);
    Standing { thing, mtime, has: has_of(stat), beside: Beside::default(), root }
}

/// Whether a name of a folder and a path behind another are names of one inode.
pub(super) fn is_one(
    beneath: &Beneath,
    (folder, name): (&Folder, &[u8]),
    (base, to): (&[u8], &[u8]),
) -> bool {
    let path = if base.is_empty() { to.to_vec() } else { [base, b"/", to].concat() };
    let Ok((above, first)) = beneath.parent(&path) else { return false };
    let own = statat(folder.fd(), OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW);
    let first = statat(&above, first, AtFlags::SYMLINK_NOFOLLOW);
    let id = |stat: Stat| (stat.st_dev, stat.st_ino);
    matches!((own.map(id), first.map(id)), (Ok(own), Ok(first)) if own == first)
}

/// What a folder does with names, as far as that shows without trying.
pub(super) fn folds(folder: &Arc<Folder>) -> Folds {
    let flags = ioctl_getflags(folder.fd());
    let is_told = flags.is_ok_and(|flags| flags.bits() & CASEFOLD != 0);
    if is_told || is_fat(folder) { Folds::ByInode } else { Folds::Nothing }
}

fn is_fat(folder: &Folder) -> bool {
    fstatfs(folder.fd())
        .is_ok_and(|fs| FAT.iter().any(|fat| i128::from(fs.f_type) == i128::from(*fat)))
}

#[cfg(test)]
mod tests;
