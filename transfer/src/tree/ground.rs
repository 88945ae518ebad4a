//! What a tree's receiver needs of the file system that it writes into.

use super::attrs::Attrs;
use super::change::Standing;
use super::entry::{Device, Entry, Meta};
use super::extras::{Clearing, Deleted, Deletion};
use super::manifest::{Owner, PartReader};
use super::moved::Pair;
use super::spool::Spool;
use crate::blocks::Value;
use core::ops::Range;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;

/// What stands where an entry is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// The same, by what the receiver goes by.
    Same,
    /// Something else, or nothing.
    Other,
    /// Whatever it is: the entry is left out on purpose.
    Left,
}

/// Why an entry is not in place, in words for the sender.
pub(crate) type Why = String;

/// Blocks that are there, and their values.
pub(crate) type Held = BTreeMap<u64, Value>;

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
    fn owner(&mut self, owner: &Owner) -> Result<(u32, u32), Why>;
    /// Whom access control lists name here.
    fn attrs(&mut self, _: &mut Attrs) -> Result<(), Why> {
        Ok(())
    }
    /// What the root of the transfer is like.
    fn root(&mut self, meta: &Meta) -> Result<(), Why>;
    /// An entry is to have its name in the directory that this is in: refused where one before it has a name that is
    /// the same there.
    fn claim(&mut self, _: &Entry) -> Result<(), Why> {
        Ok(())
    }
    /// What stands where an entry is to be, of which these attributes are told, in the directory that this is in; `None`
    /// for the entry: that directory itself.
    fn standing(&mut self, _: Option<&Entry>, _told: &Attrs) -> Option<Standing> {
        None
    }
    /// Whether what stands where an entry is to be, in the directory that this is in, is what stands at this path from the
    /// root of the transfer.
    fn is_one(&mut self, _: &Entry, _to: &[u8]) -> bool {
        false
    }
    /// Makes a directory, the entry of this number, if it is not there, and goes into it.
    fn enter(&mut self, number: u64, entry: &Entry) -> Result<Stands, Why>;
    /// Goes back to the one above.
    fn leave(&mut self);
    /// The directory that it is in.
    fn here(&self) -> Self::Dir;
    /// The same as bytes, to be put aside.
    fn write_dir(&self, dir: &Self::Dir) -> Vec<u8>;
    /// What was put aside so.
    fn read_dir(&self, bytes: &[u8]) -> Self::Dir;
    /// The path of an entry of a directory from the root of the transfer.
    fn path(&self, dir: &Self::Dir, name: &[u8]) -> Vec<u8>;
    /// The entries of this part are looked at next.
    fn foresee(&mut self, _: PartReader<'_>) {}
    /// What stands where this file is to be, which has this digest if that is told. Of the same one only what is told beside its content is set.
    fn look(&mut self, entry: &Entry, digest: Option<&Value>) -> Result<Stands, Why>;
    /// Puts a symbolic link.
    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why>;
    /// Puts a device, a pipe or a socket; by default it is left out.
    fn special(&mut self, _: &Entry, _: Device) -> Result<Stands, Why> {
        Ok(Stands::Left)
    }
    /// Puts a further name of what stands at a path from the root of the transfer.
    fn link(&mut self, dir: &Self::Dir, entry: &Entry, to: &[u8]) -> Result<Stands, Why>;
    /// Puts a file whose bytes are all there.
    fn file(&mut self, dir: &Self::Dir, entry: &Entry, bytes: &[u8]) -> Result<(), Why>;
    /// Puts several such files. What became of each, in their order.
    fn files(&mut self, files: &[(&Self::Dir, &Entry, &[u8])]) -> Vec<Result<(), Why>> {
        files.iter().map(|(dir, entry, bytes)| self.file(dir, entry, bytes)).collect()
    }
    /// Begins a file whose bytes will come, with room for them. Gives the blocks that an earlier session has left of it,
    /// as it says, and their values.
    fn begin(&mut self, dir: &Self::Dir, entry: &Entry) -> Result<(Self::Slot, Held), Why>;
    /// What stood under another name before, as the sender says. Whether there is room for that.
    fn moved(&mut self, _: Vec<Pair>) -> bool {
        true
    }
    /// Whether something stands here under a former name of a file that may be that file.
    fn is_elsewhere(&mut self, _dir: &Self::Dir, _: &Entry) -> bool {
        false
    }
    /// All bytes of that.
    fn fetch(&mut self, _dir: &Self::Dir, _: &Entry) -> Option<Vec<u8>> {
        None
    }
    /// Whether it is so of one that was begun: what it lacks is to be had by [`Self::bring`].
    fn has_elsewhere(&self, _: &Self::Slot) -> bool {
        false
    }
    /// Copies bytes from there, each to its place.
    fn bring(&mut self, _: &mut Self::Slot, _: Range<u64>) -> Result<(), Why> {
        Err("it stands nowhere else".to_owned())
    }
    /// Reads bytes of it.
    fn read(&mut self, slot: &mut Self::Slot, bytes: &mut [u8], at: u64) -> Result<(), Why>;
    /// A block of it is written, and has this value.
    fn note(&mut self, slot: &mut Self::Slot, index: u64, value: &Value) -> Result<(), Why>;
    /// Writes bytes of it.
    fn write(&mut self, slot: &mut Self::Slot, bytes: &[u8], at: u64) -> Result<(), Why>;
    /// Whether somebody reads it while it arrives, and is to be told how far.
    fn is_watched(&self, _: &Self::Slot) -> bool {
        false
    }
    /// So many bytes of it, from its beginning, are what was sent.
    fn verified(&mut self, _: &mut Self::Slot, _bytes: u64) {}
    /// All its bytes are there, and are what was sent: it gets its name.
    fn keep(&mut self, slot: Self::Slot) -> Result<(), Why>;
    /// Its bytes are of no use: nothing of it stays. One that is dropped may be gone on with.
    fn discard(&mut self, slot: Self::Slot);
    /// A file without a name, for what the memory does not hold.
    fn unnamed(&self) -> io::Result<File>;
    /// The same, to read and write anywhere.
    fn spool(&self) -> io::Result<Spool>;
    /// Whether another session writes below the folder that the tree goes into.
    fn is_shared(&mut self) -> bool {
        false
    }
    /// Deletes a folder that stands where an entry that is none is to be, in the directory that this is in, with all that
    /// is in it. What was deleted, or would be; `None`: nothing.
    fn clear(&mut self, _: &Entry, _: &Clearing<'_>) -> Option<Deleted> {
        None
    }
    /// Deletes what the list of a tree that is in place does not have.
    fn delete(&mut self, _: &Deletion<'_>) -> Deleted {
        Deleted::default()
    }
    /// Sets what is told of directories, and makes durable what is to be. Gives the directories of which something
    /// could not be set.
    fn finish(&mut self) -> Result<Vec<Unfinished>, Why>;
    /// What was left out on purpose since this was asked before.
    fn notes(&mut self) -> Vec<String>;
}
