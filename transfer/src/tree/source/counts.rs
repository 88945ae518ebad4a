//! What was listed, read and left out, in numbers.

use crate::tree::entry::Kind;
use crate::tree::scan::Skipped;
use std::time::Duration;

/// How many entries were left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitted {
    /// Sockets, pipes and devices.
    pub specials: u64,
    /// Symbolic links, where they are not kept.
    pub symlinks: u64,
    /// Files, folders and links that a rule leaves out; what is in such a folder is not counted.
    pub by_rule: u64,
    /// Sources that a rule leaves out: they are among those above.
    pub sources_by_rule: u64,
    /// Access control lists of entries that are sent, where they are not kept, as far as they were noticed: a list that
    /// gives the owning group no more than everybody is not looked for.
    pub lists: u64,
}

impl Omitted {
    pub(super) fn add(&mut self, what: Skipped) {
        match what {
            Skipped::Special => self.specials += 1,
            Skipped::Symlink => self.symlinks += 1,
            Skipped::ByRule | Skipped::Apart => self.by_rule += 1,
            Skipped::SourceByRule => {
                self.by_rule += 1;
                self.sources_by_rule += 1;
            }
        }
    }
}

/// What was listed, and what was read of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Files that were listed, each with its first name.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, pipes and sockets.
    pub specials: u64,
    /// Further names of files.
    pub hard_links: u64,
    /// Bytes of the list.
    pub list_bytes: u64,
    /// How long it took to list, once it has ended.
    pub listing: Option<Duration>,
    /// Files that were read from beginning to end. One of no bytes is read nowhere.
    pub read: u64,
}

impl Counts {
    pub(super) fn add(&mut self, kind: &Kind) {
        *match kind {
            Kind::Dir => &mut self.folders,
            Kind::File { .. } => &mut self.files,
            Kind::Symlink { .. } => &mut self.symlinks,
            Kind::Special(_) => &mut self.specials,
            Kind::Link { .. } => &mut self.hard_links,
        } += 1;
    }
}
