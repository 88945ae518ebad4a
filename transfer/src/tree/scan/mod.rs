//! The walk over what is to be sent: every entry below the sources once, in order, and none of it kept.
//!
//! A [`Walk`] is an iterator that looks at the next entry when it is asked for it. In memory stand the names
//! of the folders on the way down to where it is, and of each an open descriptor: whatever somebody does to
//! the tree meanwhile, each name is looked up in the folder that was listed, and no symbolic link below a
//! source is followed. What cannot be looked at is told by name, and the walk goes on beside it.
//!
//! The names of a folder come in the order of their bytes, and so do those at the root of the transfer, from
//! whichever source they are. Mount points are crossed, unless it is said otherwise.

pub(crate) mod acl;
mod attrs;
mod chmod;
mod files_from;
pub(crate) mod holes;
mod links;
mod look;
pub(crate) mod names;
mod open;
mod pins;
mod sources;
mod stamp;
mod walk;

#[cfg(test)]
mod tests;

use super::entry::{Entry, Meta};
use super::owners::Chown;
use crate::filter::Filter;
use std::io;
use thiserror::Error;

pub use chmod::{Chmod, ChmodError};
pub use files_from::{FilesFrom, FilesFromError};
pub use open::Opener;
pub use sources::SourcesError;
pub use stamp::Stamp;
pub use walk::Walk;

/// Longest path from the root of the transfer in bytes (`PATH_MAX` of Linux): a receiver takes no longer one.
const PATH_MAX: usize = 4096;
/// Folders of a path, at most: a receiver takes no more, and each is a descriptor.
const MAX_FOLDERS: usize = 128;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Options {
    /// Symbolic links are entries, with what they say; else they are [`Skipped`].
    pub links: bool,
    /// A further name of a file is told as such; else each name is a file of its own. Of every file with a
    /// name still to come the first one is remembered.
    pub hard_links: bool,
    /// Entries have the time when they were last read.
    pub atimes: bool,
    /// Owners and groups are told by their names as well, where they have some.
    pub owners: bool,
    /// The digest of every file is told, which is read for it.
    pub digests: bool,
    /// Other permissions are told than there are, but of symbolic links.
    pub chmod: Chmod,
    /// Other owners and groups are told than there are.
    pub chown: Chown,
    /// Devices are entries; else they are [`Skipped`].
    pub devices: bool,
    /// Pipes and sockets are entries; else they are [`Skipped`].
    pub specials: bool,
    /// Extended attributes are told.
    pub xattrs: bool,
    /// Access control lists are told.
    pub acls: bool,
    /// What it leaves out is not looked at.
    pub filter: Filter,
    /// These folders are left out under whatever names they stand below the sources; where anything is deleted, what
    /// stands under these names is not.
    pub apart: Vec<Inode>,
    /// A folder where another file system is mounted is told as an empty one.
    pub one_file_system: bool,
    /// What is told has receivers delete what it lacks: [`Found::Whole`] and [`Found::Doubt`] come as well.
    pub deletes: bool,
    /// A source of which nothing is sent is meant so: it is no doubt.
    pub empty: bool,
}

/// What the walk comes across.
#[derive(Debug)]
pub enum Found {
    /// What is told of the root of the transfer itself: of the first source whose contents are sent, without
    /// the folder. Comes first, if at all.
    Root(Meta, Stamp),
    /// A folder begins, with its state when it was looked at; its entries follow, then [`Found::Leave`].
    Enter(Entry, Stamp),
    /// The folder that was entered last is done.
    Leave,
    /// All names are told that stand in the folder that was entered last, before any folder in the root of the transfer:
    /// as entries or as left out. Comes right after its [`Found::Enter`], or [`Found::Root`].
    Whole,
    /// What was told may not be what the sources are. Comes at the end.
    Doubt(String),
    /// A file, a symbolic link or a further name of a file, and its state when it was looked at.
    Item(Entry, Stamp),
    /// It could not be looked at: the tree is incomplete there. Of a folder that could not be opened nothing
    /// else comes. Of one that could not be listed to its end this comes right after its [`Found::Enter`],
    /// then the names that were listed.
    Failed {
        /// Its path from the root of the transfer.
        path: Vec<u8>,
        /// Why.
        error: ScanError,
    },
    /// Left out on purpose.
    Skipped {
        /// Its path from the root of the transfer.
        path: Vec<u8>,
        /// What it is.
        what: Skipped,
    },
}

/// Which folder it is, by [`Stamp::dev`] and [`Stamp::ino`].
pub type Inode = (u64, u64);

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A socket, a pipe or a device.
    Special,
    /// A symbolic link, where they are not to be kept.
    Symlink,
    /// A rule leaves it out, and if it is a folder all that is in it.
    ByRule,
    /// A rule leaves out what was given as a source.
    SourceByRule,
    /// A folder that is not for anybody else ([`Options::apart`]).
    Apart,
}

impl Skipped {
    /// Whether receivers are told that something stands there, so that they do not delete what has its name; what a rule
    /// leaves out is told by the rule.
    pub(super) fn is_told(self) -> bool {
        matches!(self, Self::Special | Self::Symlink | Self::Apart)
    }
}

/// Why something could not be looked at.
#[derive(Debug, Error)]
pub enum ScanError {
    /// Nobody wants more.
    #[error("the walk was given up")]
    Over,
    /// Its name was listed, and then there was nothing.
    #[error("it vanished while the tree was walked")]
    Vanished,
    /// Its name was given, and there is nothing.
    #[error("it is to be sent by the list, and is not there")]
    Missing,
    /// Something in it was given, and it is no folder, or a symbolic link to one.
    #[error("something in it is to be sent by the list, and it is no folder")]
    NoFolder,
    /// It was listed as something else than what then stood there.
    #[error("something else took its place while the tree was walked")]
    Replaced,
    /// No receiver gives such a name.
    #[error("its name cannot be given at a receiver: {0}")]
    Name(&'static str),
    /// No receiver takes such a path.
    #[error("its path is longer than 4096 bytes")]
    Path,
    /// No receiver takes such a path.
    #[error("deeper than 128 folders")]
    Depth,
    /// Too long a file.
    #[error("it has {len} bytes: longer than 2^47 bytes")]
    Length {
        /// Bytes as it says.
        len: u64,
    },
    /// A folder cannot be opened.
    #[error("cannot open the folder: {0}")]
    Open(io::Error),
    /// A folder cannot be listed to its end.
    #[error("cannot list the folder to its end: {0}")]
    List(io::Error),
    /// A file cannot be opened to be read.
    #[error("cannot open it: {0}")]
    Read(io::Error),
    /// Its extended attributes or access control lists cannot be read.
    #[error("cannot read its extended attributes: {0}")]
    Attributes(io::Error),
    /// A list that nobody understands.
    #[error("its access control list cannot be understood")]
    NoList,
    /// No part of a list has room for them.
    #[error("its extended attributes have more than 128 KiB")]
    ManyAttributes,
    /// The system does not tell what stands there, or not all of it.
    #[error("cannot look at it: {0}")]
    Look(io::Error),
}
