//! Where files go: below a root. What is put there is the business of [`crate::place`].

use rustix::fs::{CWD, Mode, OFlags, openat};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder below which everything is written.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: PathBuf,
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
    /// Opens a folder. A symbolic link is followed here: the path is its owner's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
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
