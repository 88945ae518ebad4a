//! The file that is received: pieces in any order, whole blocks out.
//!
//! A block is gathered in memory, hashed when it is whole, and written by a single call. Only when
//! more than [`MAX_OPEN`] blocks are incomplete at a time is the one that rested longest written
//! as it is, to be read once more when its last byte has come.

mod ranges;
mod temporary;

use crate::blocks::{self, BLOCK, Tree, Value};
use crate::destination::{Place, Shown};
use blake3::Hash;
use ranges::Ranges;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use temporary::{Kept, Temporary};
use thiserror::Error;

pub(crate) use temporary::is_temporary;

/// Most blocks that are gathered in memory at a time: 32 MiB.
pub const MAX_OPEN: usize = 32;

/// Longest file in bytes: a session's offsets have 48 bits.
pub const MAX_LEN: u64 = (1 << 48) - 1;

/// Why a file could not be received. The text goes to the sender as the verdict's reason.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The sender's name for the file is not a plain base name.
    #[error("the name {name:?} is refused: {why}")]
    Name {
        /// As far as it is text.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What stands there is nothing that a file may replace, or be put into.
    #[error("{path} is refused: {why}")]
    Refused {
        /// The destination.
        path: Shown,
        /// What it is.
        why: &'static str,
    },
    /// The path that the sender names cannot be one.
    #[error("its path is refused: it is {0}")]
    Path(&'static str),
    /// Longer than a session can carry.
    #[error("a file of {0} bytes is longer than a session can carry, {MAX_LEN}")]
    TooLong(u64),
    /// No file can be created in the folder.
    #[error("cannot create a file in {folder}: {cause}")]
    Folder {
        /// The destination.
        folder: Shown,
        /// What the system said.
        cause: io::Error,
    },
    /// The disk, or the share of it that may be used, is too small.
    #[error("no room for {len} bytes in {folder}: {cause}")]
    Full {
        /// The destination.
        folder: Shown,
        /// Length of the file in bytes.
        len: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// Writing, reading back or syncing failed.
    #[error("cannot write in {folder}: {cause}")]
    Write {
        /// The destination.
        folder: Shown,
        /// What the system said.
        cause: io::Error,
    },
    /// The finished file could not be given its name.
    #[error("cannot give the file its name {path}: {cause}")]
    Rename {
        /// The final name.
        path: Shown,
        /// What the system said.
        cause: io::Error,
    },
    /// The session ended while the file was made durable.
    #[error("not wanted any more: {0}")]
    Unwanted(String),
    /// Bytes or a digest beyond the end of the file.
    #[error("the sender went beyond the end of the file, {len} bytes")]
    Beyond {
        /// Length of the file in bytes.
        len: u64,
    },
    /// A block is not what the sender read.
    #[error("digest mismatch in block {block}")]
    Block {
        /// Its index.
        block: u64,
    },
    /// All blocks are there but the file's digest is another.
    #[error("digest mismatch of the whole file")]
    Root,
    /// The end came before all blocks had.
    #[error("{missing} of {count} blocks are missing, the first is block {first}")]
    Missing {
        /// How many.
        missing: u64,
        /// Of so many.
        count: u64,
        /// The first of them.
        first: u64,
    },
}

/// Something that a file system refused and that the bytes can do without: FAT has no permissions,
/// and many network and user file systems reserve nothing. They are there, verified and durable.
#[derive(Debug, Error)]
pub enum Unset {
    /// Its room could not be taken before anything was sent.
    #[error("the file system reserves no room, so a full disk shows only at a write: {0}")]
    Room(io::Error),
    /// Its permissions are what the file system makes of them.
    #[error("the file system does not take the file's permissions: {0}")]
    Mode(io::Error),
}

/// A block in memory.
#[derive(Debug)]
struct Open {
    bytes: Box<[u8]>,
    there: Ranges,
    /// Value of [`FileSink::clock`] when it was last added to.
    touched: u64,
}

/// A file that stands under its name, verified.
#[derive(Debug)]
pub struct Finished {
    /// Its BLAKE3.
    pub digest: Hash,
    /// Where it stands.
    pub path: PathBuf,
    /// Its bytes are durable; what the system said if its name may not be yet.
    pub undurable: Option<io::Error>,
    /// What the file system refused beside them.
    pub unset: Vec<Unset>,
}

/// A file on its way in. Dropped before [`Self::finish`] has succeeded, it leaves nothing behind,
/// and an older file of its name as it was.
#[derive(Debug)]
pub struct FileSink {
    temporary: Temporary,
    len: u64,
    open: HashMap<u64, Open>,
    spilled: HashMap<u64, Ranges>,
    /// Buffers of closed blocks, to be used again; with `open` together at most [`MAX_OPEN`].
    spare: Vec<Box<[u8]>>,
    clock: u64,
    own: Tree,
    told: Tree,
}

impl FileSink {
    /// Creates the temporary file near its place and takes the room for `len` bytes.
    pub fn create(place: Place, len: u64) -> Result<Self, SinkError> {
        if len > MAX_LEN {
            return Err(SinkError::TooLong(len));
        }
        Ok(Self {
            temporary: Temporary::create(place, len)?,
            len,
            open: HashMap::new(),
            spilled: HashMap::new(),
            spare: Vec::new(),
            clock: 0,
            own: Tree::new(len),
            told: Tree::new(len),
        })
    }

    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes bytes that stand at `offset` of the file; they may span blocks, and repeat others.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SinkError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= self.len);
        if end.is_none() {
            return Err(SinkError::Beyond { len: self.len });
        }
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = offset % BLOCK;
            let (piece, after) = rest.split_at(rest.len().min((BLOCK - within) as usize));
            self.put_piece(offset / BLOCK, within as usize, piece)?;
            (offset, rest) = (offset + piece.len() as u64, after);
        }
        Ok(())
    }

    /// Takes bytes of a single block.
    fn put_piece(&mut self, block: u64, at: usize, piece: &[u8]) -> Result<(), SinkError> {
        if self.own.get(block).is_some() {
            return Ok(()); // hashed and written: what comes again cannot change it
        }
        let range = blocks::range(block, self.len);
        let size = (range.end - range.start) as usize;
        if let Some(there) = self.spilled.get_mut(&block) {
            let written = self.temporary.file.write_all_at(piece, range.start + at as u64);
            written.map_err(|e| self.temporary.failed(self.len, e))?;
            there.add(at as u32, (at + piece.len()) as u32);
            if there.covers(size as u32) {
                self.spilled.remove(&block);
                self.complete_spilled(block)?;
            }
            return Ok(());
        }
        if !self.open.contains_key(&block) {
            self.begin(block)?;
        }
        self.clock += 1;
        let Some(open) = self.open.get_mut(&block) else { return Ok(()) };
        open.touched = self.clock;
        open.bytes[at..at + piece.len()].copy_from_slice(piece);
        open.there.add(at as u32, (at + piece.len()) as u32);
        if open.there.covers(size as u32)
            && let Some(open) = self.open.remove(&block)
        {
            let checked = self.check(block, &open.bytes[..size]);
            let written = self.temporary.file.write_all_at(&open.bytes[..size], range.start);
            self.spare.push(open.bytes);
            checked?;
            written.map_err(|e| self.temporary.failed(self.len, e))?;
        }
        Ok(())
    }

    /// Opens a buffer for a block, spilling another if all are in use.
    fn begin(&mut self, block: u64) -> Result<(), SinkError> {
        if self.open.len() >= MAX_OPEN {
            self.spill_oldest()?;
        }
        let fresh = || vec![0; BLOCK as usize].into_boxed_slice();
        let bytes = self.spare.pop().unwrap_or_else(fresh);
        self.open.insert(block, Open { bytes, there: Ranges::default(), touched: 0 });
        Ok(())
    }

    /// Writes what is there of the block that was least recently added to.
    fn spill_oldest(&mut self) -> Result<(), SinkError> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.touched).map(|(&block, _)| block);
        let Some((block, open)) = oldest.and_then(|block| self.open.remove_entry(&block)) else {
            return Ok(());
        };
        for range in open.there.iter() {
            let offset = block * BLOCK + range.start as u64;
            let written = self.temporary.file.write_all_at(&open.bytes[range], offset);
            written.map_err(|e| self.temporary.failed(self.len, e))?;
        }
        self.spare.push(open.bytes);
        self.spilled.insert(block, open.there);
        Ok(())
    }

    /// Reads back a block that was spilled and is whole now.
    fn complete_spilled(&mut self, block: u64) -> Result<(), SinkError> {
        let range = blocks::range(block, self.len);
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read = self.temporary.file.read_exact_at(&mut bytes, range.start);
        read.map_err(|e| self.temporary.failed(self.len, e))?;
        self.check(block, &bytes)
    }

    /// Hashes a whole block, and compares with the sender's digest if that is known already.
    fn check(&mut self, block: u64, bytes: &[u8]) -> Result<(), SinkError> {
        let own = blocks::value(block, bytes, self.len);
        self.own.set(block, own);
        self.compare(block)
    }

    fn compare(&self, block: u64) -> Result<(), SinkError> {
        match (self.own.get(block), self.told.get(block)) {
            (Some(own), Some(told)) if own != told => Err(SinkError::Block { block }),
            _ => Ok(()),
        }
    }

    /// Takes the sender's digest of a block, before or after the block itself.
    pub fn expect(&mut self, block: u64, value: Value) -> Result<(), SinkError> {
        if !self.told.set(block, value) {
            return Err(SinkError::Beyond { len: self.len });
        }
        self.compare(block)
    }

    /// Ends the file: every block there and equal to what was expected, the whole equal to `root`;
    /// then it is made durable and gets its name.
    pub fn finish(self, root: Hash) -> Result<Finished, SinkError> {
        self.finish_if(root, || Ok(()))
    }

    /// As [`Self::finish`], if the file is still `wanted` when nothing but its name is missing;
    /// else the reason why not is given.
    pub fn finish_if(
        self,
        root: Hash,
        wanted: impl FnOnce() -> Result<(), String>,
    ) -> Result<Finished, SinkError> {
        let Some(own) = self.own.root() else {
            return Err(SinkError::Missing {
                missing: self.own.count() - self.own.known(),
                count: self.own.count(),
                first: self.own.first_unknown(0),
            });
        };
        if own != root {
            return Err(SinkError::Root);
        }
        let Kept { path, undurable, unset } = self.temporary.keep(self.len, wanted)?;
        Ok(Finished { digest: own, path, undurable, unset })
    }
}

#[cfg(test)]
mod tests;
