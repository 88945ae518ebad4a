//! What stands under one name of a tree, and what is told of it.

use core::ops::Range;
use serde::{Deserialize, Serialize};

/// A point of time as file systems keep it: seconds since 1970, and nanoseconds after that, below 10⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since the beginning of 1970 in UTC; before that below zero.
    pub secs: i64,
    /// Nanoseconds after that.
    pub nanos: u32,
}

/// What is told of a file, a directory or a symbolic link beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// The twelve permission bits (inode(7)): of a file with an access control list those of its group are the
    /// list's for the owning group, not its mask.
    pub mode: u32,
    /// When its content was last modified.
    pub mtime: Time,
    /// When it was last read, if that is to be kept.
    pub atime: Option<Time>,
    /// Number of its owner at the sender.
    pub uid: u32,
    /// Number of its group at the sender.
    pub gid: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory; what it holds follows.
    Dir,
    /// A regular file.
    File {
        /// Its length in bytes.
        len: u64,
        /// Where it holds data, in order, neither touching nor beyond `len`; `None`: everywhere. The rest are
        /// holes, which read as zeros.
        data: Option<Vec<Range<u64>>>,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// Another name of a file, or of a symbolic link, that came before.
    Link {
        /// The first name, as a path from the root of the transfer.
        to: Vec<u8>,
    },
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its base name: bytes, because names on Unix need not be UTF-8.
    pub name: Vec<u8>,
    /// What is told of it.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}
