//! The digest of a tree: over names and contents alone, as `docs/wire.md` defines it.
//!
//! It is computed while the entries come, depth first and in the order of their names; in memory stand the folders
//! on the way down to where it is.

mod listed;
mod of_file;
mod read;

pub(crate) use listed::{Digests, of_list};
pub(crate) use of_file::of_file;
pub use read::{BlockError, read_block};

use blake3::{Hash, Hasher};

/// Context of BLAKE3's `derive_key` for what a folder holds.
const FOLDER: &str = "tcpxm 2026 digest of a folder";
/// Context of BLAKE3's `derive_key` for what a symbolic link says.
const SYMLINK: &str = "tcpxm 2026 digest of a symbolic link";

/// What an entry is, as a folder's digest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder = 1,
    File = 2,
    Symlink = 3,
}

/// Takes a tree's entries and gives its digest.
#[derive(Debug)]
pub struct TreeDigest {
    /// What is at the root is what a folder holds, even if that is a single entry.
    contents: bool,
    /// The root, and the folders on the way down.
    levels: Vec<Level>,
    /// The digest of the last entry at the root.
    last: Option<Hash>,
    entries: u64,
    broken: bool,
}

/// A folder of which more may come.
#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    hasher: Box<Hasher>,
    entries: u64,
    last: Vec<u8>,
}

impl Level {
    fn new(name: &[u8]) -> Self {
        let hasher = Box::new(Hasher::new_derive_key(FOLDER));
        Self { name: name.to_vec(), hasher, entries: 0, last: Vec::new() }
    }
}

impl TreeDigest {
    /// Of nothing yet.
    pub fn new() -> Self {
        let levels = vec![Level::new(b"")];
        Self { contents: false, levels, last: None, entries: 0, broken: false }
    }

    /// A source is a folder whose contents stand at the root.
    pub fn contents(&mut self) {
        self.contents = true;
    }

    /// A folder, whose entries follow.
    pub fn enter(&mut self, name: &[u8]) {
        self.levels.push(Level::new(name));
    }

    /// The folder that was entered last has no more entries.
    pub fn leave(&mut self) {
        match self.levels.pop() {
            Some(level) if !self.levels.is_empty() => {
                self.entry(Kind::Folder, &level.name, level.hasher.finalize());
            }
            _ => self.broken = true,
        }
    }

    /// A file, and its BLAKE3.
    pub fn file(&mut self, name: &[u8], digest: Hash) {
        self.entry(Kind::File, name, digest);
    }

    /// A symbolic link, and what it says.
    pub fn symlink(&mut self, name: &[u8], target: &[u8]) {
        let digest = Hasher::new_derive_key(SYMLINK).update(target).finalize();
        self.entry(Kind::Symlink, name, digest);
    }

    /// Entries so far, at whatever depth; a folder is one once it has ended.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The digest: of a single source that of the file or folder, else of the folder that the sources stand in.
    /// `None` if the entries were no tree: not in order, or with a folder that has not ended.
    pub fn finish(self) -> Option<Hash> {
        let [root] = &self.levels[..] else { return None };
        if self.broken {
            return None;
        }
        match self.last {
            Some(only) if root.entries == 1 && !self.contents => Some(only),
            _ => Some(root.hasher.finalize()),
        }
    }

    fn entry(&mut self, kind: Kind, name: &[u8], digest: Hash) {
        let Some(level) = self.levels.last_mut() else {
            self.broken = true;
            return;
        };
        // Names are not empty, so the first one is behind none.
        let Ok(len) = u16::try_from(name.len()) else {
            self.broken = true;
            return;
        };
        self.broken |= name <= level.last.as_slice();
        level.hasher.update(&[kind as u8]).update(&len.to_be_bytes());
        level.hasher.update(name).update(digest.as_bytes());
        level.entries += 1;
        name.clone_into(&mut level.last);
        self.entries += 1;
        if self.levels.len() == 1 {
            self.last = Some(digest);
        }
    }
}

impl Default for TreeDigest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
