//! Where files go: below a root. What is put there is the business of [`crate::place`].

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, fstat, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder below which everything is written.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: PathBuf,
    follow: bool,
    /// It is the root of all file systems: what an absolute link leads to is below it.
    whole: bool,
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
    /// What a sender asked for, before it is known whether that can be.
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

    /// The path itself, below a folder.
    pub(crate) fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl Root {
    /// Opens a folder that is no symbolic link itself, though there may be some on the way to it, and that may be
    /// written to. None below it is followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, false)
    }

    /// The same; `follow`: symbolic links to folders are followed, here and where a destination names them, as long as
    /// those stay below the root.
    pub fn open_with(path: &Path, follow: bool) -> io::Result<Self> {
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, !follow);
        // A slash at its end would have a link followed all the same (path_resolution(7)).
        let bytes = path.as_os_str().as_bytes();
        let end =
            bytes.iter().rposition(|byte| *byte != b'/').map_or(bytes.len().min(1), |at| at + 1);
        let own = OsStr::from_bytes(&bytes[..end]);
        let dir = openat(CWD, own, flags, Mode::empty()).map_err(|errno| {
            let link =
                || std::fs::symlink_metadata(Path::new(own)).is_ok_and(|meta| meta.is_symlink());
            match errno {
                Errno::NOTDIR | Errno::LOOP if !follow && link() => {
                    let why =
                        "it is a symbolic link: name the folder itself, or give --follow-root";
                    io::Error::new(io::ErrorKind::NotADirectory, why)
                }
                Errno::NOTDIR => io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"),
                Errno::NOENT => io::Error::new(
                    io::ErrorKind::NotFound,
                    "there is no such folder: make it first",
                ),
                errno => errno.into(),
            }
        })?;
        // Nobody receives right into `/`: what may be written to there is found out by the first file.
        let whole = own == "/";
        if whole {
            return Ok(Self { dir: Arc::new(dir), path: path.to_owned(), follow, whole });
        }
        // What cannot be asked is found out by the first file.
        match accessat(&dir, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                let cause = io::Error::from(errno);
                Err(io::Error::new(cause.kind(), format!("it may not be written to: {cause}")))
            }
            _ => Ok(Self { dir: Arc::new(dir), path: path.to_owned(), follow, whole }),
        }
    }

    /// What its path leads to by now: the same, or a folder that was made anew under its name.
    pub fn now(&self) -> io::Result<Self> {
        Self::open_with(&self.path, self.follow)
    }

    /// Whether both are the same folder.
    pub fn is_same(&self, other: &Self) -> bool {
        let id = |root: &Self| fstat(root.dir()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        id(self) == id(other)
    }

    /// Whether symbolic links to folders are followed where a destination names them.
    pub(crate) fn follows(&self) -> bool {
        self.follow
    }

    /// Whether it is the root of all file systems.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is by now, by no symbolic link; where the system does not tell (proc(5)), what its path leads to.
    pub(crate) fn real(&self) -> PathBuf {
        let link = format!("/proc/self/fd/{}", self.dir.as_raw_fd());
        let told = std::fs::read_link(link).ok().filter(|path| path.is_absolute());
        let found = || self.path.canonicalize().or_else(|_| std::path::absolute(&self.path));
        told.or_else(|| found().ok()).unwrap_or_else(|| self.path.clone())
    }

    /// Another descriptor of it.
    pub(crate) fn again(&self) -> io::Result<OwnedFd> {
        self.dir.try_clone()
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        (*self.dir).as_fd()
    }
}

/// The process's file mode creation mask, read without changing it (proc(5)); the usual one where
/// it cannot be read.
pub fn umask() -> u32 {
    let read = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    };
    read().unwrap_or(0o022)
}
