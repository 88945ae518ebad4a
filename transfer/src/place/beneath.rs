//! Opening what stands below a root, without leaving it and without following a symbolic link.

use super::error::PlaceError;
use super::partial::is_partial;
use super::temporary::is_temporary;
use crate::destination::Shown;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Opens a folder for what is done below it.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens one that may not be read, only to enter it: that is enough for putting something there.
pub(super) const ENTERED: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the kernel is asked to hold to (openat2(2)).
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// How paths are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// By the kernel, in one call: openat2(2), since Linux 5.6.
    Kernel,
    /// Component by component, each with `O_NOFOLLOW`.
    Components,
}

/// A root, and how what stands below it is opened.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    resolution: Resolution,
}

impl Beneath {
    /// Asks the kernel once whether it has openat2: old ones do not know it (ENOSYS), and filters that are older
    /// than it refuse it (EPERM).
    pub fn new(root: OwnedFd) -> Self {
        let asked = openat2(&root, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), BENEATH);
        let resolution = if asked.is_ok() { Resolution::Kernel } else { Resolution::Components };
        Self::with(root, resolution)
    }

    /// With the resolution given.
    pub fn with(root: OwnedFd, resolution: Resolution) -> Self {
        Self { root, resolution }
    }

    /// The root itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens the entry at a path of plain names, below the root; the empty path is the root itself.
    pub fn open(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, PlaceError> {
        let names = names(path)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match (self.resolution, names.as_slice()) {
            (_, []) => openat(&self.root, c".", flags, mode),
            (Resolution::Kernel, _) => match openat2(&self.root, path, flags, mode, BENEATH) {
                // The kernel takes 4096 bytes at a time, the components take any number.
                Err(Errno::NAMETOOLONG) => self.walk(&names, flags, mode),
                opened => opened,
            },
            (Resolution::Components, _) => self.walk(&names, flags, mode),
        };
        opened.map_err(|errno| PlaceError::system("open", &shown(path), errno))
    }

    fn walk(&self, names: &[&OsStr], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let (last, above) = names.split_last().ok_or(Errno::NOENT)?;
        let mut at: Option<OwnedFd> = None;
        // Searching is enough of a permission on the way, as it is for the kernel.
        let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for name in above {
            let from = at.as_ref().map_or(self.root(), AsFd::as_fd);
            let next = openat(from, *name, on_the_way, Mode::empty())?;
            at = Some(next);
        }
        openat(at.as_ref().map_or(self.root(), AsFd::as_fd), *last, flags, mode)
    }

    /// Opens the folder that holds the entry at a path, and gives the entry's own name.
    pub(crate) fn parent<'a>(&self, path: &'a [u8]) -> Result<(OwnedFd, &'a OsStr), PlaceError> {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = cut.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
        let name = plain_name(name)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.open(above, flags, Mode::empty())?, name))
    }
}

/// Longest base name in bytes (`NAME_MAX` of Linux's file systems).
const NAME_MAX: usize = 255;

/// Accepts plain names only: nothing that leads out of a folder.
pub fn plain_name(name: &[u8]) -> Result<&OsStr, PlaceError> {
    let why = match name {
        [] => "it is empty",
        b"." | b".." => "it names a folder",
        _ if name.len() > NAME_MAX => "it is longer than 255 bytes",
        _ if name.contains(&b'/') => "it contains a slash",
        _ if name.contains(&0) => "it contains a zero byte",
        // The next sweep would take it for a leftover.
        _ if is_temporary(name) || is_partial(name) => "unfinished files have such names",
        _ => return Ok(OsStr::from_bytes(name)),
    };
    Err(PlaceError::Name { name: String::from_utf8_lossy(name).into_owned(), why })
}

fn names(path: &[u8]) -> Result<Vec<&OsStr>, PlaceError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split(|byte| *byte == b'/').map(plain_name).collect()
}

pub(crate) fn shown(path: &[u8]) -> Shown {
    Shown::default().join(OsStr::from_bytes(path))
}
