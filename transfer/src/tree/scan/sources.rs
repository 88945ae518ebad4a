//! What the walk begins with.
//!
//! As with rsync(1): `folder` gives a folder of that name with what it holds, `folder/` what it holds alone.
//! A path that ends in `.` or `..`, and `/`, say nothing of what a folder is to be called at the receiver, so
//! they give what it holds as well. A file gives itself, under its base name. A symbolic link that is given
//! as a source is followed, and what it leads to has the link's name.

use super::files_from::FilesFrom;
use super::look::FOLDER;
use super::names::{Hint, Names};
use super::pins::{Pins, inode};
use crate::shown::shown;
use crate::tree::files::{self, Unreadable};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::retry_on_intr;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The sources cannot be sent as they were given. Nothing has been walked yet.
#[derive(Debug, Error)]
pub enum SourcesError {
    /// It is not there, or may not be read.
    #[error("cannot open {}: {cause}", path_shown(path))]
    Open {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// What a folder holds was to be sent, and it cannot be listed.
    #[error("cannot list {} to its end: {cause}", path_shown(path))]
    List {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Neither a file nor a folder.
    #[error(
        "{} is a socket, a pipe or a device: only files, folders and symbolic links to them can be given as a source",
        path_shown(path)
    )]
    Special {
        /// As it was given.
        path: PathBuf,
    },
    /// A file that holds more or fewer bytes than its length says, as files that the system makes up while they are
    /// read (proc(5), sysfs(5)).
    #[error("{} {why}", path_shown(path))]
    FalseLength {
        /// As it was given.
        path: PathBuf,
        /// What is wrong.
        why: Unreadable,
    },
    /// Two of them would have the same name at the receiver.
    #[error("{} and {} would both be called {} at the receiver: rename one, or copy them one after the other",
            path_shown(first), path_shown(second), shown(name).escape_debug())]
    Same {
        /// The name.
        name: Vec<u8>,
        /// One of them, as it was given, or as it stands in a folder that was given.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

/// A path that may be of any bytes, as text.
fn path_shown(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}

/// A source, and what of it stands at the root of the transfer.
#[derive(Debug)]
pub(super) enum Source {
    /// All that this folder holds.
    Contents(OwnedFd),
    /// What this path leads to, under the path's base name.
    Named(CString),
}

/// The names at the root of the transfer, each with its source.
#[derive(Debug)]
pub(super) struct Sources {
    list: Vec<Source>,
    /// Where the names of each source begin, in the order in which they were added.
    begins: Vec<usize>,
    names: Names,
    pins: Pins,
}

impl Sources {
    /// Opens them all. Those of which the contents are sent stay open.
    pub(super) fn open(paths: &[&Path], buf: &mut Vec<u8>) -> Result<Self, SourcesError> {
        let (list, begins, names) = (Vec::new(), Vec::new(), Names::default());
        let mut this = Self { list, begins, names, pins: Pins::default() };
        for (source, path) in paths.iter().enumerate() {
            this.begins.push(this.names.end());
            let failed = |cause| SourcesError::Open { path: path.to_path_buf(), cause };
            let bytes = path.as_os_str().as_bytes();
            let text = CString::new(bytes).map_err(|e| failed(e.into()))?;
            if let Some(name) = base_name(bytes) {
                let name = CString::new(name).map_err(|e| failed(e.into()))?;
                if let Some(folder) = check(&text, path)? {
                    this.pins.push((source, &text), folder, None);
                }
                this.names.push(&name, Hint::Unknown).map_err(failed)?;
                this.list.push(Source::Named(text));
            } else {
                let dir =
                    openat(CWD, &text, FOLDER, Mode::empty()).map_err(|e| failed(e.into()))?;
                let listed = this.names.list(dir.as_fd(), buf);
                listed.map_err(|cause| SourcesError::List { path: path.to_path_buf(), cause })?;
                let filled = this.begins.last() != Some(&this.names.end());
                if let Some(inode) = inode(&dir) {
                    this.pins.push((source, &text), inode, Some(filled));
                }
                this.list.push(Source::Contents(dir));
            }
        }
        this.names.sort();
        this.check_distinct(paths)?;
        Ok(this)
    }

    /// Opens a folder of which only what is listed is sent.
    pub(super) fn listed(
        path: &Path,
        listed: &FilesFrom,
        buf: &mut Vec<u8>,
    ) -> Result<Self, SourcesError> {
        let failed = |cause| SourcesError::Open { path: path.to_path_buf(), cause };
        let dir = openat(CWD, path, FOLDER, Mode::empty()).map_err(|e| failed(e.into()))?;
        let mut names = Names::default();
        let part = listed.root();
        if part.takes_all_names() {
            let list = names.list(dir.as_fd(), buf);
            list.map_err(|cause| SourcesError::List { path: path.to_path_buf(), cause })?;
        }
        names.extend(listed.names(&part)).map_err(failed)?;
        let mut pins = Pins::default();
        if let (Some(inode), Ok(text)) = (inode(&dir), CString::new(path.as_os_str().as_bytes())) {
            pins.push((0, &text), inode, part.takes_all_names().then_some(names.len() > 0));
        }
        names.sort();
        names.dedup();
        Ok(Self { list: vec![Source::Contents(dir)], begins: vec![0], names, pins })
    }

    /// What the sources that are folders were when they were opened.
    pub(super) fn pins(&mut self) -> Pins {
        std::mem::take(&mut self.pins)
    }

    /// The name of the file that is the only source, if it is one.
    pub(super) fn single_file(&self) -> Option<Vec<u8>> {
        let [Source::Named(path)] = &self.list[..] else { return None };
        let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::TYPE).ok()?;
        let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
        (kind == FileType::RegularFile).then(|| self.get(0).0.to_bytes().to_vec())
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The name of this index, with what is said of it and its source.
    pub(super) fn get(&self, index: usize) -> (&CStr, Hint, &Source) {
        let (name, hint) = self.names.get(index);
        (name, hint, &self.list[self.source(index)])
    }

    /// The source of this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Source> {
        self.names.find(name).map(|index| &self.list[self.source(index)])
    }

    /// The first folder of which the contents are sent.
    pub(super) fn root(&self) -> Option<&OwnedFd> {
        self.list.iter().find_map(|source| match source {
            Source::Contents(dir) => Some(dir),
            Source::Named(_) => None,
        })
    }

    /// The number of the source of this name.
    pub(super) fn source(&self, index: usize) -> usize {
        let position = self.names.position(index);
        // Of several that begin at the same place all but the last have no names.
        self.begins.partition_point(|begin| *begin <= position) - 1
    }

    fn check_distinct(&mut self, paths: &[&Path]) -> Result<(), SourcesError> {
        let same = (1..self.len()).filter(|&i| self.names.get(i - 1).0 == self.names.get(i).0);
        for index in same {
            let (one, other) = (self.source(index - 1), self.source(index));
            if one != other {
                let name = self.names.get(index).0.to_bytes();
                let path = |source: usize| match self.list[source] {
                    Source::Contents(_) => paths[source].join(std::ffi::OsStr::from_bytes(name)),
                    Source::Named(_) => paths[source].to_path_buf(),
                };
                let (first, second) = (path(one.min(other)), path(one.max(other)));
                return Err(SourcesError::Same { name: name.to_vec(), first, second });
            }
        }
        self.names.dedup();
        Ok(())
    }
}

/// What a path calls a thing; `None` where it is a folder whose contents are meant.
fn base_name(path: &[u8]) -> Option<&[u8]> {
    let last = path.rsplit(|byte| *byte == b'/').next()?;
    (!matches!(last, b"" | b"." | b"..")).then_some(last)
}

/// Whether there is a file or a folder, and it may be read. What it is is asked before it is opened: opening
/// a device may do something. Of a folder its inode.
fn check(text: &CStr, path: &Path) -> Result<Option<(u64, u64)>, SourcesError> {
    let failed = |cause| SourcesError::Open { path: path.to_owned(), cause };
    let stat = statx(CWD, text, AtFlags::empty(), StatxFlags::TYPE);
    let stat = stat.map_err(|errno| failed(errno.into()))?;
    match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
        FileType::RegularFile | FileType::Directory => {}
        _ => return Err(SourcesError::Special { path: path.to_owned() }),
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| openat(CWD, text, flags, Mode::empty()));
    let file = File::from(opened.map_err(|errno| failed(errno.into()))?);
    let meta = file.metadata().map_err(failed)?;
    if meta.is_file() {
        files::check_holds(&file, meta.len())
            .map_err(|why| SourcesError::FalseLength { path: path.to_owned(), why })?;
    }
    Ok(if meta.is_dir() { inode(&file) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_thing_or_means_what_a_folder_holds() {
        for (path, name) in [("a", "a"), ("a/b", "b"), ("/a", "a"), ("../...", "..."), (".x", ".x")]
        {
            assert_eq!(base_name(path.as_bytes()), Some(name.as_bytes()), "{path}");
        }
        for path in [".", "..", "/", "a/", "a//", "a/.", "a/..", "./", "../", "../..", "//", ""] {
            assert_eq!(base_name(path.as_bytes()), None, "{path}");
        }
    }
}
