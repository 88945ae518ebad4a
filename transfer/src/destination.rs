//! Where a file goes: below a root, named by the sender, trusted in nothing.
//!
//! The way down is taken component by component, each opened relative to the one before and never
//! through a symbolic link: whatever somebody else does to the tree meanwhile, nothing outside of
//! the root is reached. Parents that are missing are created at the very end only, so that a copy
//! that fails leaves no empty folders.

use crate::sink::{SinkError, is_temporary};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest base name in bytes (`NAME_MAX` of Linux's file systems).
const NAME_MAX: usize = 255;
/// Longest path in bytes (`PATH_MAX` of Linux).
const PATH_MAX: usize = 4096;
/// Folders of a path, at most: fewer than a sweep goes down into, and than descriptors that a
/// process may have.
const MAX_FOLDERS: usize = 128;
/// Opens a folder, and no symbolic link to one.
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder below which everything is written.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: PathBuf,
    /// Permissions of a new file.
    mode: Mode,
}

/// Where one file will stand.
#[derive(Debug)]
pub struct Place {
    /// The deepest folder on the way that exists.
    pub(crate) folder: OwnedFd,
    pub(crate) root: Arc<OwnedFd>,
    /// The way to it from the root.
    way: Vec<OsString>,
    /// The folders below it that do not.
    missing: Vec<OsString>,
    name: OsString,
    /// Folder and file, relative to the root, for people.
    pub(crate) shown: Shown,
    path: PathBuf,
    pub(crate) mode: Mode,
}

/// A path below the root, as messages show it: nothing in it steers a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(PathBuf);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() {
            return f.write_str("the root folder");
        }
        write!(f, "{}", self.0.to_string_lossy().escape_debug())
    }
}

impl Shown {
    /// What a sender asked for, before it is known whether that can be; see [`Root::place`].
    pub(crate) fn asked(to: &[u8], name: &[u8]) -> Self {
        let mut path = to.to_vec();
        if matches!(path.last(), None | Some(b'/')) {
            path.extend_from_slice(name);
        }
        let above = path.iter().take_while(|byte| **byte == b'/').count();
        Self(OsStr::from_bytes(&path[above..]).into())
    }

    pub(crate) fn join(&self, name: &OsStr) -> Self {
        Self(self.0.join(name))
    }

    /// The folder that it is in.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0.parent().map(Path::to_owned).unwrap_or_default())
    }
}

impl Root {
    /// Opens a folder. A symbolic link is followed here: the path is its owner's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty())?;
        let mode = Mode::from_raw_mode(0o666 & !umask());
        Ok(Self { dir: Arc::new(dir), path: path.to_owned(), mode })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another descriptor of it.
    pub(crate) fn again(&self) -> io::Result<OwnedFd> {
        self.dir.try_clone()
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        (*self.dir).as_fd()
    }

    /// Finds the place for a file called `name` that was sent to `to`: empty for the root itself;
    /// an existing folder, or a path that ends in a slash, for a file in it; else the file's own
    /// path. A leading slash changes nothing.
    pub fn place(&self, to: &[u8], name: &[u8]) -> Result<Place, SinkError> {
        let name = plain_name(name)?;
        let mut folders = components(to)?;
        let own = match to.rsplit(|byte| *byte == b'/').next() {
            None | Some(b"" | b".") => None,
            Some(_) => folders.pop(),
        };
        let mut way = Way {
            at: self.dir.try_clone().map_err(|cause| folder_error(&Shown::default(), cause))?,
            taken: Vec::new(),
            missing: Vec::new(),
            shown: Shown::default(),
        };
        for folder in folders {
            way.enter(folder)?;
        }
        let last = match own {
            None => name,
            Some(own) if way.kind(own)? == Some(FileType::Directory) => {
                way.enter(own)?;
                name
            }
            Some(own) => own,
        };
        let shown = way.shown.join(last);
        let path = self.path.join(&shown.0);
        let place = Place {
            folder: way.at,
            root: self.dir.clone(),
            way: way.taken,
            missing: way.missing,
            name: last.to_owned(),
            shown,
            path,
            mode: self.mode,
        };
        if place.missing.is_empty() {
            check_replaceable(place.folder.as_fd(), &place.name, &place.shown)?;
        }
        Ok(place)
    }
}

/// A way down from the root, as far as it has been taken.
struct Way {
    at: OwnedFd,
    taken: Vec<OsString>,
    missing: Vec<OsString>,
    shown: Shown,
}

impl Way {
    /// What stands under this name; `None` for nothing.
    fn kind(&self, name: &OsStr) -> Result<Option<FileType>, SinkError> {
        if self.missing.is_empty() { kind(self.at.as_fd(), name, &self.shown) } else { Ok(None) }
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), SinkError> {
        let shown = self.shown.join(name);
        if self.missing.is_empty() {
            match openat(&self.at, name, FOLDER, Mode::empty()) {
                Ok(folder) => {
                    self.at = folder;
                    self.taken.push(name.to_owned());
                }
                Err(Errno::NOENT) => self.missing.push(name.to_owned()),
                Err(errno) => return Err(not_entered(self.at.as_fd(), name, &shown, errno)),
            }
        } else {
            self.missing.push(name.to_owned());
        }
        self.shown = shown;
        Ok(())
    }
}

impl Place {
    /// Where the file will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its own name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Whether the folder is still where it was found: who moves it out of the root meanwhile moves
    /// what is open in it as well.
    fn check_in_place(&self, shown: &Shown) -> Result<(), SinkError> {
        let mut at = self.root.try_clone().map_err(|e| folder_error(shown, e))?;
        for name in &self.way {
            let next = openat(&at, name, FOLDER, Mode::empty());
            at = next.map_err(|errno| folder_error(shown, errno.into()))?;
        }
        let id = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
        match (id(&at), id(&self.folder)) {
            (Ok(there), Ok(ours)) if there == ours => Ok(()),
            (Err(errno), _) | (_, Err(errno)) => Err(folder_error(shown, errno.into())),
            _ => Err(refused(shown, "it was moved or replaced meanwhile")),
        }
    }

    /// Creates the folders that are missing and lets `rename` give the file its name in the last of
    /// them; what was created goes again if that fails. Gives the folders whose entries are new.
    pub(crate) fn settle(
        &self,
        rename: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
    ) -> Result<Vec<OwnedFd>, SinkError> {
        let mut made = Made::default();
        let mut shown = self.shown.clone();
        for _ in 0..=self.missing.len() {
            shown = shown.parent();
        }
        self.check_in_place(&shown)?;
        let again = |fd: &OwnedFd| fd.try_clone().map_err(|cause| folder_error(&shown, cause));
        let mut at = again(&self.folder)?;
        let mut changed = vec![again(&self.folder)?];
        for name in &self.missing {
            let below = shown.join(name);
            let parent = at.try_clone().map_err(|e| folder_error(&below, e))?;
            match mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => made.0.push((parent, name)),
                Err(Errno::EXIST) => {} // somebody else was quicker
                Err(errno) => return Err(folder_error(&below, errno.into())),
            }
            let next = openat(&at, name, FOLDER, Mode::empty());
            at = next.map_err(|errno| not_entered(at.as_fd(), name, &below, errno))?;
            changed.push(at.try_clone().map_err(|e| folder_error(&below, e))?);
            shown = below;
        }
        check_replaceable(at.as_fd(), &self.name, &self.shown)?;
        rename(at.as_fd())
            .map_err(|e| SinkError::Rename { path: self.shown.clone(), cause: e.into() })?;
        made.0.clear();
        Ok(changed)
    }
}

/// Folders that were created; they go again unless they are forgotten.
#[derive(Default)]
struct Made<'a>(Vec<(OwnedFd, &'a OsStr)>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for (parent, name) in self.0.iter().rev() {
            // One that somebody else uses by now is not empty, and stays.
            let _ = unlinkat(parent, *name, AtFlags::REMOVEDIR);
        }
    }
}

/// The components of a path; `.` and empty ones say nothing.
fn components(to: &[u8]) -> Result<Vec<&OsStr>, SinkError> {
    if to.len() > PATH_MAX {
        return Err(SinkError::Path("longer than 4096 bytes"));
    }
    let parts = to.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts = parts.map(plain_name).collect::<Result<Vec<_>, _>>()?;
    if parts.len() > MAX_FOLDERS {
        return Err(SinkError::Path("deeper than 128 folders"));
    }
    Ok(parts)
}

/// Accepts plain names only: nothing that leads out of a folder.
pub(crate) fn plain_name(name: &[u8]) -> Result<&OsStr, SinkError> {
    let why = match name {
        [] => "it is empty",
        b"." | b".." => "it names a folder",
        _ if name.len() > NAME_MAX => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it contains a slash",
        _ if name.contains(&0) => "it contains a zero byte",
        // The next sweep would take it for a leftover.
        _ if is_temporary(name) => "unfinished files have such names",
        _ => return Ok(OsStr::from_bytes(name)),
    };
    Err(SinkError::Name { name: String::from_utf8_lossy(name).into_owned(), why })
}

fn kind(at: BorrowedFd<'_>, name: &OsStr, folder: &Shown) -> Result<Option<FileType>, SinkError> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(folder_error(&folder.join(name), errno.into())),
    }
}

/// A new file may replace a regular file, and nothing else.
fn check_replaceable(at: BorrowedFd<'_>, name: &OsStr, shown: &Shown) -> Result<(), SinkError> {
    match kind(at, name, &shown.parent())? {
        None | Some(FileType::RegularFile) => Ok(()),
        Some(other) => Err(refused(shown, what(other))),
    }
}

fn what(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "it is a folder",
        FileType::Symlink => "it is a symbolic link",
        FileType::Fifo => "it is a pipe",
        FileType::Socket => "it is a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device",
        FileType::RegularFile | FileType::Unknown => "it is not a folder",
    }
}

/// Says why a component could not be opened as a folder.
fn not_entered(at: BorrowedFd<'_>, name: &OsStr, shown: &Shown, errno: Errno) -> SinkError {
    match (errno, kind(at, name, &shown.parent())) {
        (Errno::NOTDIR | Errno::LOOP, Ok(Some(kind))) => refused(shown, what(kind)),
        _ => folder_error(shown, errno.into()),
    }
}

fn refused(path: &Shown, why: &'static str) -> SinkError {
    SinkError::Refused { path: path.clone(), why }
}

fn folder_error(folder: &Shown, cause: io::Error) -> SinkError {
    SinkError::Folder { folder: folder.clone(), cause }
}

/// The process's file mode creation mask, read without changing it (proc(5)); the usual one where
/// it cannot be read.
pub(crate) fn umask() -> u32 {
    let read = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    };
    read().unwrap_or(0o022)
}

#[cfg(test)]
mod tests;
