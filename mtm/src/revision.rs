//! Which state of a tree is meant, also after a job's file was restored from a copy.

use core::fmt;
use serde::{Deserialize, Serialize};
use transfer::message::MAX_LINE;

/// A revision of a job's tree: its number, and which one of that number. A master whose job file was restored from an
/// older copy counts the numbers of the revisions that it has lost once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The first one that a look has found is 1.
    pub number: u32,
    /// Random; [`Self::UNKNOWN`] of what was counted before revisions had editions.
    pub edition: u64,
}

impl Revision {
    /// No revision that was counted since they have editions has this one.
    pub const UNKNOWN: u64 = 0;

    /// That revision.
    pub fn new(number: u32, edition: u64) -> Self {
        Self { number, edition }
    }

    /// An edition of these random bits.
    pub fn edition_of(random: u64) -> u64 {
        random.max(Self::UNKNOWN + 1)
    }
}

/// Whether a receiver that had all of revision `complete` cannot be told of all revisions from that one to the newest
/// ([`MAX_LINE`]), by which it knows what it has begun since: the whole tree is listed for it then.
pub fn is_far_behind(complete: u32, newest: u32) -> bool {
    complete > 0 && newest.saturating_sub(complete) as usize >= MAX_LINE
}

/// As people are told of it: its number alone.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
