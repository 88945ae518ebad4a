//! Why an entry could not be placed.

use crate::destination::Shown;
use rustix::fs::FileType;
use std::io;
use thiserror::Error;

/// Why an entry could not be placed. The text goes to the sender as the entry's reason.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The sender's fault: a name that cannot stand below the root.
    #[error("the name {name:?} is refused: {why}")]
    Name {
        /// As far as it is text.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The sender's fault: a path that cannot be one, or entries in an order that no tree has.
    #[error("{path} is refused: {why}")]
    Order {
        /// The entry.
        path: Shown,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What stands there already is nothing that this entry may replace, or be put into.
    #[error("{path} is refused: {why}")]
    Stands {
        /// The entry.
        path: Shown,
        /// What stands there.
        why: &'static str,
    },
    /// Two entries of the tree have names that are one where they are to stand.
    #[error(
        "{first} and {second} are one name on this file system, which folds case: rename one of them"
    )]
    Together {
        /// The entry that came first, and has the name.
        first: Shown,
        /// The other.
        second: Shown,
    },
    /// The disk, or the share of it that may be used, is too small.
    #[error("no room for {len} bytes in {path}: {cause}")]
    Full {
        /// The folder.
        path: Shown,
        /// Bytes of data.
        len: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// The system refused one step.
    #[error("cannot {what} {path}: {cause}")]
    System {
        /// The step, as a verb.
        what: &'static str,
        /// The entry.
        path: Shown,
        /// What the system said.
        cause: io::Error,
    },
}

impl PlaceError {
    pub(crate) fn system(what: &'static str, path: &Shown, cause: impl Into<io::Error>) -> Self {
        Self::System { what, path: path.clone(), cause: cause.into() }
    }

    /// Whether it says that nothing has this name.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::System { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn stands(path: &Shown, why: &'static str) -> Self {
        Self::Stands { path: path.clone(), why }
    }
}

/// What stands somewhere, in words.
pub(crate) fn what(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "it is a folder",
        FileType::Symlink => "it is a symbolic link",
        FileType::Fifo => "it is a pipe",
        FileType::Socket => "it is a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device",
        FileType::RegularFile => "it is a file",
        FileType::Unknown => "it is of no known kind",
    }
}
