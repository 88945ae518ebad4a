//! The one log of what went to the group: packet number, range and time of each transmission. All
//! members share it; what differs per member stands in its scoreboard.

use crate::proto::time::Instant;
use core::ops::Range;
use std::collections::VecDeque;

/// Entries, at most: transmissions that some member has not settled. Further group segments wait.
pub(crate) const LIMIT: usize = 1 << 16;
/// Settled entries that are kept, for ACKs that come late.
const MEMORY: u64 = 512;

/// One transmission to the group.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) range: Range<u64>,
    pub(crate) at: Instant,
    /// A probe, as long as a segment with so much payload; 0 if it is none.
    pub(crate) probe: u64,
    /// Bytes that had left for members alone by then.
    pub(crate) alone: u64,
}

impl Entry {
    /// Bytes of the stream.
    pub(crate) fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Its length, as the payload of a data segment, and whether it is a probe of it.
    pub(crate) fn len(&self) -> (u64, bool) {
        (self.bytes().max(self.probe), self.probe > 0)
    }
}

/// Transmissions to the group, by packet number.
#[derive(Debug, Default)]
pub(crate) struct GroupLog {
    base: u64,
    entries: VecDeque<Entry>,
    /// Bytes that have left for members alone.
    alone: u64,
}

impl GroupLog {
    /// The number that the next group packet gets.
    pub(crate) fn next_pn(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= LIMIT
    }

    /// So many bytes leave for a member alone.
    pub(crate) fn sent_alone(&mut self, bytes: u64) {
        self.alone += bytes;
    }

    pub(crate) fn push(&mut self, now: Instant, range: Range<u64>) -> u64 {
        self.entries.push_back(Entry { range, at: now, probe: 0, alone: self.alone });
        self.next_pn() - 1
    }

    /// A probe of the group's path: it carries nothing.
    pub(crate) fn push_probe(&mut self, now: Instant, len: u64) -> u64 {
        self.entries.push_back(Entry { range: 0..0, at: now, probe: len, alone: self.alone });
        self.next_pn() - 1
    }

    pub(crate) fn get(&self, pn: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(pn.checked_sub(self.base)?).ok()?)
    }

    /// Where the log would begin that forgets what every member settled: all below `settled`, but
    /// for the last few.
    pub(crate) fn keep_from(&self, settled: u64) -> u64 {
        settled.saturating_sub(MEMORY).max(self.base)
    }

    /// Forgets all below.
    pub(crate) fn trim(&mut self, base: u64) {
        while self.base < base && self.entries.pop_front().is_some() {
            self.base += 1;
        }
    }
}
