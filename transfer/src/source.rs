//! What a session's bytes come from: a list that grows, and blocks that are read when they are asked for.
//!
//! [`crate::tree::source::TreeSource`] is the one for files and folders. Another one may wait for its bytes, or learn
//! its end late: a session asks for nothing before it was told of it.

use crate::send::board::Board;
use crate::tree::entry::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// This side cannot go on. It is no fault of a single entry.
#[derive(Debug, Error)]
pub enum SourceError {
    /// What is put aside could not be.
    #[error(
        "cannot put the list of entries aside in {folder}: {cause}; TMPDIR names another folder for it"
    )]
    Spool {
        /// The folder for temporary files.
        folder: String,
        /// What the system said.
        cause: io::Error,
    },
    /// What was put aside cannot be read, or is not what it was.
    #[error("the list of entries that was put aside cannot be read: {0}")]
    Aside(String),
    /// More than one session can carry.
    #[error(
        "the tree has more than a session can carry, 2^48 bytes with what is left between files"
    )]
    TooLong,
    /// The thread that lists it is gone.
    #[error(
        "listing the source stopped in the middle, which is a fault of this program: please report it"
    )]
    Stopped,
    /// What can be read only once, and could not be.
    #[error("what is to be sent cannot be read any further: {0}")]
    Input(io::Error),
    /// The session does not take what it is told.
    #[error("the session cannot be told of its source: {0}")]
    Session(String),
}

/// What a session is told while a source learns what it holds.
pub trait Grows {
    /// It exists up to there, in bytes.
    fn grow(&self, to: u64) -> Result<(), SourceError>;
    /// And not beyond.
    fn end(&self, at: u64) -> Result<(), SourceError>;
    /// Whether nobody wants more of it.
    fn is_over(&self) -> bool;
}

/// How far a source has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Entries that were listed.
    pub entries: u64,
    /// Bytes that the files among them hold.
    pub len: u64,
    /// Bytes of the session that the list lays out, with what is nobody's need.
    pub span: u64,
    /// No more will be listed.
    pub ended: bool,
    /// Bytes of files that were read for the first time.
    pub read: u64,
}

/// What an entry is called, and why it could not be read, if it could not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Its path from the root of the transfer.
    pub path: Arc<[u8]>,
    /// Why it could not be read.
    pub unread: Option<Arc<str>>,
}

/// What a session's bytes come from.
pub trait Source: Sync {
    /// When this side began to look at what it sends: nothing of it was looked at before.
    fn begun(&self) -> Time {
        Time::now()
    }
    /// Lists all that it holds, in a thread of its own, and posts that on its board; ends early when nobody wants
    /// more.
    fn list(&self, session: &dyn Grows) -> Result<(), SourceError>;

    /// The bytes of a block that was listed, [`crate::blocks::BLOCK`] of them. Its value is posted.
    fn read(&self, block: u64) -> Result<Arc<[u8]>, SourceError>;

    /// Posts the value of a block of data, which is read if that was not done before.
    fn post_value(&self, block: u64) -> Result<(), SourceError>;

    /// What all members are told.
    fn board(&self) -> &Board;

    /// How far it has come.
    fn progress(&self) -> Progress;

    /// What these entries are called.
    fn names(&self, entries: &BTreeSet<u64>) -> Result<BTreeMap<u64, Named>, SourceError>;

    /// What could not be listed: paths from the root of the transfer, and why; the first 100,000.
    fn unlisted(&self) -> Vec<(Vec<u8>, String)>;

    /// How many could not be listed.
    fn unlisted_count(&self) -> u64;

    /// Nobody wants more: whatever is listed just now is not waited for.
    fn stop(&self);
}
