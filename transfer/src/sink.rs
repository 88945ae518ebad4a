//! What takes a session's bytes: a tree on a disk, and whatever else is to hold what was sent.

use crate::blocks::Value;
use crate::filter::ToldRule;
use crate::message::Report;
use crate::tree::change::Change;
use crate::tree::manifest::PartError;
use crate::tree::moved::Pair;
use blake3::Hash;
use core::ops::Range;
use std::io;
use thiserror::Error;

/// What is sent cannot be received any further.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The list of entries cannot be read.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The list of entries is not what was sent.
    #[error("digest mismatch in the list of entries, part {0}")]
    Digest(u64),
    /// What the sender says makes no sense.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// What is put aside could not be.
    #[error("cannot put blocks aside: {0}")]
    Aside(io::Error),
    /// What was to be made durable could not be.
    #[error("{0}")]
    Finish(String),
}

/// What a receiver says of what it holds; offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// Held, or nobody's need.
    pub have: Vec<Range<u64>>,
    /// Lacking.
    pub lack: Vec<Range<u64>>,
    /// Lacking, though it may have come before it was known what it is, and was not kept.
    pub again: Vec<Range<u64>>,
}

/// What takes a session's bytes. It says itself what it lacks of them.
pub trait Sink {
    /// A part of the list takes this block, has so many bytes, and this BLAKE3.
    fn part(&mut self, block: u64, len: u32, digest: Value) -> Result<(), SinkError>;
    /// The value of a block of data.
    fn value(&mut self, block: u64, value: Value) -> Result<(), SinkError>;
    /// The list has ended: its entries, and the session's blocks.
    fn end(&mut self, entries: u64, blocks: u64) -> Result<(), SinkError>;
    /// Rules that protect what stands here, behind those that were told before.
    fn rules(&mut self, rules: Vec<ToldRule>) -> Result<(), SinkError>;
    /// What the list does not have may be deleted, by so many rules; or nothing, and why.
    fn extras(&mut self, rules: Result<u64, String>) -> Result<(), SinkError>;
    /// What stood under another name before, behind what was told before.
    fn moved(&mut self, pairs: Vec<Pair>) -> Result<(), SinkError>;
    /// Takes bytes that stand at an offset of the session.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SinkError>;
    /// Whether no more bytes are to be put for now.
    fn is_full(&self) -> bool;
    /// Whether nothing is waited for.
    fn is_complete(&self) -> bool;
    /// What is held and lacking, as far as it was not asked for before.
    fn declared(&mut self) -> Declared;
    /// Blocks of which the values are wanted, though not the bytes, as far as they were not asked for before.
    fn asks(&mut self) -> Vec<Range<u64>>;
    /// Does a piece of what is to be done here, of some milliseconds; `false` if there is nothing.
    fn work(&mut self) -> Result<bool, SinkError>;
    /// Entries that are not in place, and why, as far as they were not asked for before.
    fn failures(&mut self) -> Vec<(u64, String)>;
    /// Paths of what could not be deleted, and why, as far as they were not asked for before; an empty one: nothing was.
    fn undeleted(&mut self) -> Vec<(Vec<u8>, String)>;
    /// Entries that are changed, as [`crate::message::ToSender::Changed`] numbers them, as far as they were not asked for
    /// before.
    fn changes(&mut self) -> Vec<(u64, Change)>;
    /// Paths of what was deleted, and whether they were folders, as far as they were not asked for before.
    fn gone(&mut self) -> Vec<(Vec<u8>, bool)>;
    /// What was left out on purpose, as far as it was not asked for before.
    fn notes(&mut self) -> Vec<String>;
    /// Makes what it holds durable. What became of all entries.
    fn finish(&mut self) -> Result<Report, SinkError>;
    /// The digest of the file that was put last.
    fn digest(&self) -> Option<Hash>;
}
