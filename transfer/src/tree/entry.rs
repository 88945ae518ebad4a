//! What stands under one name of a tree, and what is told of it.

use super::attrs::Attrs;
use core::ops::Range;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// A point of time as file systems keep it: seconds since 1970, and nanoseconds after that, below 10⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since the beginning of 1970 in UTC; before that below zero.
    pub secs: i64,
    /// Nanoseconds after that.
    pub nanos: u32,
}

impl Time {
    /// What time it is.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { secs: since.as_secs().cast_signed(), nanos: since.subsec_nanos() }
    }

    /// Nanoseconds since the beginning of 1970.
    pub fn as_nanos(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }
}

/// What is told of a file, a directory or a symbolic link beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// It has several names, if those are to be kept: further ones may follow ([`Kind::Link`]).
    pub several: bool,
    /// The twelve permission bits (inode(7)): of a file with an access control list that is not told, those of its group
    /// are the list's for the owning group, not its mask.
    pub mode: u32,
    /// When its content was last modified.
    pub mtime: Time,
    /// When it was last read, if that is to be kept.
    pub atime: Option<Time>,
    /// Number of its owner at the sender.
    pub uid: u32,
    /// Number of its group at the sender.
    pub gid: u32,
    /// Extended attributes and access control lists, if they are to be kept.
    pub attrs: Attrs,
}

/// What is neither file, folder nor symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// A pipe with a name (fifo(7)).
    Fifo,
    /// A socket with a name (unix(7)), which nobody listens at.
    Socket,
    /// A device of bytes, with the major and minor number of its driver (makedev(3)).
    Char(u32, u32),
    /// A device of blocks.
    Block(u32, u32),
}

impl Device {
    /// What has this mode and, as a device, this number (stat(2)).
    pub(crate) fn of(mode: u32, number: u64) -> Option<Self> {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        match FileType::from_raw_mode(mode) {
            FileType::Fifo => Some(Self::Fifo),
            FileType::Socket => Some(Self::Socket),
            FileType::CharacterDevice => Some(Self::Char(major, minor)),
            FileType::BlockDevice => Some(Self::Block(major, minor)),
            _ => None,
        }
    }

    /// How it is made (mknod(2)).
    pub(crate) fn to_make(self) -> (FileType, u64) {
        let number = |major, minor| rustix::fs::makedev(major, minor);
        match self {
            Self::Fifo => (FileType::Fifo, 0),
            Self::Socket => (FileType::Socket, 0),
            Self::Char(major, minor) => (FileType::CharacterDevice, number(major, minor)),
            Self::Block(major, minor) => (FileType::BlockDevice, number(major, minor)),
        }
    }

    /// Whether it leads to a driver.
    pub fn is_device(self) -> bool {
        matches!(self, Self::Char(..) | Self::Block(..))
    }
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
    /// A device, a pipe or a socket.
    Special(Device),
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
