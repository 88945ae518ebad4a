//! The list of a tree's entries, as it travels: parts of at most one block, each of which can be read by itself.
//!
//! A part begins with its [`Header`] and goes on with records, all in postcard's encoding: numbers take as many
//! bytes as they need. Names are base names; `Enter` and `Leave` say in which folder they stand, and the header
//! in which one the part begins. Times are told as differences from the one before, owners by their place in a
//! list that the part tells as it goes; and so are extended attributes and access control lists, which are told once for
//! all entries of the part that have the same.

mod paths;
mod read;
mod write;

pub(crate) use paths::each_path;
pub use read::{PartError, PartReader, Record};
pub use write::{MAX_ENTRY, PartWriter};

use super::attrs::List;
use super::entry::{Device, Time};
use serde::{Deserialize, Serialize};

/// Version of the format.
pub const VERSION: u8 = 1;

/// What stands before a part's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// Its place among the parts.
    pub number: u64,
    /// Number of its first entry in the whole list. Folders and what they hold are entries; `Leave` is none.
    pub first: u64,
    /// The folders that it begins in, from the root of the transfer down.
    pub way: Vec<Vec<u8>>,
    /// No part follows.
    pub last: bool,
}

/// The owner and group of entries, with the names that they have at the sender; empty: none there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Name of the user.
    pub user: Vec<u8>,
    /// Name of the group.
    pub group: Vec<u8>,
}

/// A record as it is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Raw<'a> {
    /// The next place in the list of owners.
    Owner(Owner),
    /// What the root of the transfer itself is like, where a source's contents go into it.
    Root(RawMeta),
    Enter(#[serde(borrow)] &'a [u8], RawMeta),
    Leave,
    File(&'a [u8], RawMeta, RawFile),
    Symlink(&'a [u8], RawMeta, &'a [u8]),
    Link(&'a [u8], RawMeta, &'a [u8]),
    Whole,
    Other(&'a [u8]),
    /// The next place in the list of attributes.
    Attrs(List),
    /// Place in the list of attributes of what the next record tells of.
    With(u32),
    Special(&'a [u8], RawMeta, Device),
}

/// A bit of a mode: there are several names, and further ones may follow.
const SEVERAL: u16 = 1 << 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RawMeta {
    /// The twelve permission bits, and [`SEVERAL`].
    mode: u16,
    /// Seconds since the modification time before this in the part.
    mtime: i64,
    nanos: u32,
    /// Seconds since its own modification time, and nanoseconds.
    atime: Option<(i64, u32)>,
    /// Place in the list of owners.
    owner: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RawFile {
    len: u64,
    /// Where data and holes take turns: lengths in bytes, data first, up to the last data.
    data: Option<Vec<u64>>,
    /// Its digest, if it was read before it was listed.
    digest: Option<[u8; 32]>,
}

impl RawMeta {
    fn mtime(&self, before: i64) -> Time {
        Time { secs: before.wrapping_add(self.mtime), nanos: self.nanos }
    }
}

#[cfg(test)]
mod tests;
