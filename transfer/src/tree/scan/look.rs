//! A look at one entry.

use super::acl::{Lists, ProcPath, Whose};
use super::attrs::Reader;
use super::links::Links;
use super::names::Hint;
use super::stamp::time;
use super::{Found, Options, PATH_MAX, ScanError, Skipped, Stamp, holes};
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
use crate::tree::attrs::Attrs;
use crate::tree::entry::{Device as Special, Entry, Kind, Meta};
use crate::tree::layout::MAX_LEN;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags, openat, readlinkat, statx,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Opens a file to look into it: it may have become a pipe or a terminal meanwhile.
pub(super) const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where an entry is looked up.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// The folder.
    pub(super) dir: BorrowedFd<'a>,
    /// What it is called there; of a source its path.
    pub(super) path: &'a CStr,
    /// What the listing said.
    pub(super) hint: Hint,
    /// It is a source: a symbolic link is followed.
    pub(super) source: bool,
    /// If it is a folder, it is sent for something below it: no rule leaves it out.
    pub(super) on_the_way: bool,
}

/// A file system: the number of its device, as [`Stamp::dev`] has it.
pub(super) type Device = u64;

/// What there is.
pub(super) enum Seen {
    Found(Found),
    /// A folder, open, and its state.
    Folder(Entry, OwnedFd, Stamp),
}

/// Looks at entries.
#[derive(Debug)]
pub(super) struct Eye {
    pub(super) options: Options,
    lists: Lists,
    attrs: Reader,
    pub(super) links: Links,
    target: Vec<u8>,
}

impl<'a> At<'a> {
    /// A name in a folder.
    pub(super) fn below(dir: BorrowedFd<'a>, name: &'a CStr, hint: Hint) -> Self {
        Self { dir, path: name, hint, source: false, on_the_way: false }
    }

    /// What was given by its path.
    pub(super) fn source(path: &'a CStr, hint: Hint) -> Self {
        Self { dir: CWD, path, hint, source: true, on_the_way: false }
    }

    /// The same, which is sent for something below it if it is a folder.
    pub(super) fn on_the_way(self) -> Self {
        Self { on_the_way: true, ..self }
    }

    /// The same, which is sent for that alone: it must be a folder.
    pub(super) fn as_folder(self) -> Self {
        Self { hint: Hint::Folder, ..self }
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = if self.source { flags } else { flags | OFlags::NOFOLLOW };
        retry_on_intr(|| openat(self.dir, self.path, flags, Mode::empty()))
    }

    fn stat(&self) -> Result<Statx, ScanError> {
        let flags = if self.source { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        statx(self.dir, self.path, flags, StatxFlags::BASIC_STATS).map_err(look_error)
    }
}

impl Eye {
    pub(super) fn new(options: Options, proc: Option<ProcPath>) -> Self {
        let (lists, links) = (Lists::new(proc), Links::default());
        let attrs = Reader::new(&options);
        Self { options, lists, attrs, links, target: Vec::new() }
    }

    /// Access control lists that were found, and are not told.
    pub(super) fn lists(&self) -> Arc<AtomicU64> {
        self.lists.found()
    }

    /// Whether a rule leaves it out.
    pub(super) fn leaves_out(&self, path: &[u8], folder: bool) -> bool {
        self.options.filter.of_source(path, folder).leaves_out()
    }

    /// Looks at what is called `name`, with this path from the root of the transfer. A folder is opened if
    /// one more may be.
    pub(super) fn look(
        &mut self,
        at: At<'_>,
        name: &[u8],
        path: &[u8],
        may_enter: bool,
    ) -> Result<Seen, ScanError> {
        let skipped = |what| Ok(Seen::Found(Found::Skipped { path: path.to_vec(), what }));
        let by_rule = if at.source { Skipped::SourceByRule } else { Skipped::ByRule };
        let leaves_out = |folder| {
            let needed = folder && at.on_the_way;
            !needed && self.leaves_out(path, folder)
        };
        // What is left out is not looked at at all, if the listing says enough: it may be as it likes.
        let told = match at.hint {
            Hint::Unknown => None,
            hint => Some(leaves_out(hint == Hint::Folder)),
        };
        if told == Some(true) {
            return skipped(by_rule);
        }
        check_names(name, path)?;
        match at.hint {
            Hint::Folder => return self.folder(at, (name, path), may_enter),
            Hint::Special if !self.options.devices && !self.options.specials => {
                return skipped(Skipped::Special);
            }
            Hint::Symlink if !self.options.links => return skipped(Skipped::Symlink),
            _ => {}
        }
        let stat = at.stat()?;
        let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
        if told.is_none() && leaves_out(kind == FileType::Directory) {
            return skipped(by_rule);
        }
        match kind {
            FileType::Directory => self.folder(at, (name, path), may_enter),
            FileType::RegularFile => self.file(at, &stat, name, path),
            FileType::Symlink if self.options.links => self.symlink(at, &stat, name, path),
            FileType::Symlink => skipped(Skipped::Symlink),
            _ => {
                let number = rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
                let device = Special::of(u32::from(stat.stx_mode), number);
                let asked = |device: &Special| {
                    if device.is_device() { self.options.devices } else { self.options.specials }
                };
                match device.filter(asked) {
                    Some(device) => self.special(at, &stat, (name, path), device),
                    None => skipped(Skipped::Special),
                }
            }
        }
    }

    /// What is told of an open folder, and its state.
    pub(super) fn open_folder(&mut self, dir: &OwnedFd) -> Result<(Meta, Stamp), ScanError> {
        let stat = statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
        let stat = stat.map_err(look_error)?;
        let meta = self.meta(&stat, Whose::Open(dir.as_fd()))?;
        Ok((meta, Stamp::from_statx(&stat)))
    }

    fn folder(
        &mut self,
        at: At<'_>,
        (name, path): (&[u8], &[u8]),
        may_enter: bool,
    ) -> Result<Seen, ScanError> {
        if !may_enter {
            return Err(ScanError::Depth);
        }
        let dir = at.open(FOLDER).map_err(|errno| match errno {
            Errno::NOENT => ScanError::Vanished,
            Errno::NOTDIR | Errno::LOOP => ScanError::Replaced,
            errno => ScanError::Open(errno.into()),
        })?;
        let (meta, stamp) = self.open_folder(&dir)?;
        if self.options.apart.contains(&(stamp.dev, stamp.ino)) {
            return Ok(Seen::Found(Found::Skipped { path: path.to_vec(), what: Skipped::Apart }));
        }
        Ok(Seen::Folder(Entry { name: name.to_vec(), meta, kind: Kind::Dir }, dir, stamp))
    }

    fn file(
        &mut self,
        at: At<'_>,
        stat: &Statx,
        name: &[u8],
        path: &[u8],
    ) -> Result<Seen, ScanError> {
        let (stamp, len) = (Stamp::from_statx(stat), stat.stx_size);
        if len > MAX_LEN {
            return Err(ScanError::Length { len });
        }
        let meta = if at.source {
            let file = at.open(FILE).map_err(look_error)?;
            self.meta(stat, Whose::Open(file.as_fd()))?
        } else {
            self.meta(stat, Whose::Below(at.dir, at.path))?
        };
        let has_further = self.options.hard_links && stat.stx_nlink > 1;
        let first = if has_further { self.links.first_of(&stamp) } else { None };
        let kind = if let Some(to) = first {
            Kind::Link { to }
        } else {
            // Attributes that an inode has no room for take a block, which counts as the file's (ext4).
            let beside = if meta.attrs.is_empty() { 0 } else { u64::from(stat.stx_blksize) };
            let is_sparse = stat.stx_blocks.saturating_mul(512).saturating_sub(beside) < len;
            let data = if is_sparse { find_data(at, &stamp)? } else { None };
            if has_further {
                self.links.remember(&stamp, stat.stx_nlink, path);
            }
            Kind::File { len, data }
        };
        Ok(Seen::Found(Found::Item(Entry { name: name.to_vec(), meta, kind }, stamp)))
    }

    fn special(
        &mut self,
        at: At<'_>,
        stat: &Statx,
        (name, path): (&[u8], &[u8]),
        device: Special,
    ) -> Result<Seen, ScanError> {
        let stamp = Stamp::from_statx(stat);
        // It is not opened, which can do what nobody has asked for.
        let meta = if self.lists.is_by_path() {
            self.meta(stat, Whose::Below(at.dir, at.path))?
        } else {
            let mode = self.options.chmod.of(u32::from(stat.stx_mode), false);
            self.meta_with(stat, mode)
        };
        let has_further = self.options.hard_links && stat.stx_nlink > 1;
        let first = if has_further { self.links.first_of(&stamp) } else { None };
        let kind = first.map_or(Kind::Special(device), |to| Kind::Link { to });
        if has_further && matches!(kind, Kind::Special(_)) {
            self.links.remember(&stamp, stat.stx_nlink, path);
        }
        Ok(Seen::Found(Found::Item(Entry { name: name.to_vec(), meta, kind }, stamp)))
    }

    fn symlink(
        &mut self,
        at: At<'_>,
        stat: &Statx,
        name: &[u8],
        path: &[u8],
    ) -> Result<Seen, ScanError> {
        let stamp = Stamp::from_statx(stat);
        let has_further = self.options.hard_links && stat.stx_nlink > 1;
        if has_further && let Some(to) = self.links.first_of(&stamp) {
            let meta = self.meta_of_link(at, stat)?;
            let entry = Entry { name: name.to_vec(), meta, kind: Kind::Link { to } };
            return Ok(Seen::Found(Found::Item(entry, stamp)));
        }
        let target = readlinkat(at.dir, at.path, std::mem::take(&mut self.target));
        let target = target.map_err(|errno| match errno {
            Errno::INVAL => ScanError::Replaced,
            errno => look_error(errno),
        })?;
        let kind = Kind::Symlink { target: target.as_bytes().to_vec() };
        self.target = target.into_bytes();
        if has_further {
            self.links.remember(&stamp, stat.stx_nlink, path);
        }
        let meta = self.meta_of_link(at, stat)?;
        let entry = Entry { name: name.to_vec(), meta, kind };
        Ok(Seen::Found(Found::Item(entry, stamp)))
    }

    fn meta(&mut self, stat: &Statx, whose: Whose<'_>) -> Result<Meta, ScanError> {
        let mode = if self.options.acls {
            u32::from(stat.stx_mode) & 0o7777 // its list comes along
        } else {
            self.lists.mode(stat, whose).map_err(look_error)?
        };
        let mode = self.options.chmod.of(mode, is_folder(stat));
        let attrs = self.attrs(whose)?;
        Ok(Meta { attrs, ..self.meta_with(stat, mode) })
    }

    /// What is told of a symbolic link: its own bits mean nothing, and it has no list (symlink(7)).
    fn meta_of_link(&mut self, at: At<'_>, stat: &Statx) -> Result<Meta, ScanError> {
        let attrs = if self.lists.is_by_path() {
            self.attrs(Whose::Below(at.dir, at.path))?
        } else {
            Attrs::default()
        };
        Ok(Meta { attrs, ..self.meta_with(stat, u32::from(stat.stx_mode) & 0o7777) })
    }

    fn attrs(&mut self, whose: Whose<'_>) -> Result<Attrs, ScanError> {
        if !self.attrs.asks() {
            return Ok(Attrs::default());
        }
        let (lists, attrs) = (&mut self.lists, &mut self.attrs);
        match lists.at(whose, |of| attrs.of(of)) {
            Ok(found) => found,
            // Whoever reads it says so.
            Err(Errno::ACCESS | Errno::PERM) => Ok(Attrs::default()),
            Err(errno) => Err(look_error(errno)),
        }
    }

    fn meta_with(&self, stat: &Statx, mode: u32) -> Meta {
        Meta {
            several: self.options.hard_links && stat.stx_nlink > 1 && !is_folder(stat),
            mode,
            mtime: time(stat.stx_mtime),
            atime: self.options.atimes.then(|| time(stat.stx_atime)),
            uid: self.options.chown.user.as_ref().map_or(stat.stx_uid, |user| user.number),
            gid: self.options.chown.group.as_ref().map_or(stat.stx_gid, |group| group.number),
            attrs: Attrs::default(),
        }
    }
}

fn is_folder(stat: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory
}

/// The receiver's own rules.
fn check_names(name: &[u8], path: &[u8]) -> Result<(), ScanError> {
    match plain_name(name) {
        Err(PlaceError::Name { why, .. }) => Err(ScanError::Name(why)),
        _ if path.len() > PATH_MAX => Err(ScanError::Path),
        _ => Ok(()),
    }
}

/// Where a file holds data that has fewer blocks than its length needs. One that may not be read is told as
/// any other: whoever reads it says so.
fn find_data(at: At<'_>, stamp: &Stamp) -> Result<Option<Vec<std::ops::Range<u64>>>, ScanError> {
    let file = match at.open(FILE) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Err(ScanError::Vanished),
        Err(Errno::LOOP) => return Err(ScanError::Replaced),
        Err(_) => return Ok(None),
    };
    let now = Stamp::of(&file).map_err(ScanError::Look)?;
    if !now.is_same_file(stamp) {
        return Err(ScanError::Replaced);
    }
    Ok(holes::data(file.as_fd(), stamp.size))
}

/// The file system that an open folder belongs to.
pub(super) fn device_of(dir: &OwnedFd) -> Option<Device> {
    Stamp::of(dir).ok().map(|stamp| stamp.dev)
}

fn look_error(errno: Errno) -> ScanError {
    match errno {
        Errno::NOENT => ScanError::Vanished,
        errno => ScanError::Look(errno.into()),
    }
}
