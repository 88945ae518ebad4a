//! What a tree's receiver needs of the file system that it writes into.

use super::entry::{Entry, Meta};
use super::manifest::Owner;

/// What stands where an entry is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// The same, by what the receiver goes by.
    Same,
    /// Something else, or nothing.
    Other,
}

/// Why an entry is not in place, in words for the sender.
pub(crate) type Why = String;

/// A directory of which something could not be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Its number among the entries.
    pub(crate) number: u64,
    /// It was made for this tree.
    pub(crate) new: bool,
    /// Why.
    pub(crate) why: Why,
}

/// Where entries are put. The tree comes depth first: [`Self::enter`] and [`Self::leave`] say where it is.
pub(crate) trait Ground {
    /// A directory, to be come back to when a file's bytes are there.
    type Dir: Clone;
    /// A file of which bytes are written as they come.
    type Slot;

    /// The numbers here of an owner and a group.
    fn owner(&mut self, owner: &Owner) -> (u32, u32);
    /// What the root of the transfer is like.
    fn root(&mut self, meta: &Meta) -> Result<(), Why>;
    /// Makes a directory, the entry of this number, if it is not there, and goes into it.
    fn enter(&mut self, number: u64, entry: &Entry) -> Result<Stands, Why>;
    /// Goes back to the one above.
    fn leave(&mut self);
    /// The directory that it is in.
    fn here(&self) -> Self::Dir;
    /// What stands where this file is to be. Of the same one only what is told beside its content is set.
    fn look(&mut self, entry: &Entry) -> Result<Stands, Why>;
    /// Puts a symbolic link.
    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why>;
    /// Puts a further name of what stands at a path from the root of the transfer.
    fn link(&mut self, dir: &Self::Dir, entry: &Entry, to: &[u8]) -> Result<Stands, Why>;
    /// Puts a file whose bytes are all there.
    fn file(&mut self, dir: &Self::Dir, entry: &Entry, bytes: &[u8]) -> Result<(), Why>;
    /// Begins a file whose bytes will come, with room for them.
    fn begin(&mut self, dir: &Self::Dir, entry: &Entry) -> Result<Self::Slot, Why>;
    /// Writes bytes of it.
    fn write(&mut self, slot: &mut Self::Slot, bytes: &[u8], at: u64) -> Result<(), Why>;
    /// All its bytes are there, and are what was sent: it gets its name.
    fn keep(&mut self, slot: Self::Slot) -> Result<(), Why>;
    /// Sets what is told of directories, and makes durable what is to be. Gives the directories of which something
    /// could not be set.
    fn finish(&mut self) -> Result<Vec<Unfinished>, Why>;
    /// What was left out on purpose since this was asked before.
    fn notes(&mut self) -> Vec<String>;
}
