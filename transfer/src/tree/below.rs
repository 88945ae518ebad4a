//! The file system below a root, as a tree's receiver writes into it.

mod ahead;
mod cleared;
mod extras;
mod lead;
mod links;
mod lists;
mod moved;
mod owner;
mod resumed;
mod same;
mod several;
mod slot;
mod specials;
pub(crate) mod survey;
mod synced;
mod told;
mod unopened;
mod verified;
mod wanted;
mod watched;

use super::attrs::{Attrs, List};
use super::change::Standing;
use super::entry::{Device, Entry, Meta, Time};
use super::extras::{Clearing, Deleted, Deletion};
use super::ground::{Ground, Held, Stands, Unfinished, Why};
use super::manifest::{Owner, PartReader};
use super::moved::Pair;
use super::spool::{self, Spool};
use crate::blocks::Value;
use crate::destination::{Root, Shown, umask};
use crate::holders::{Holder, Holders, Inode, Writing};
use crate::limits::Limits;
use crate::message::{Check, Offer, Sync};
use crate::place::PlaceError;
use crate::place::beneath::{Beneath, plain_name};
use crate::place::dirs::{Dirs, Folder};
use crate::place::folding::Taken;
use crate::place::ids::Ids;
use crate::place::meta::{Allowed, Granularity, Has, Keep, Rules};
use crate::place::room::{self, Unset};
use crate::place::temporary::{self, Temporary};
use ahead::Hashed;
use core::ops::Range;
use links::Names;
use rustix::fs::{AtFlags, FileType, statat};
use several::Ready;
pub(crate) use slot::Slot;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use synced::Mounts;
use verified::Verified;
use wanted::UNWANTED;
use watched::Watched;

/// Directories that are kept open for files that are still on their way.
const OPEN: usize = 64;
/// A directory of the tree, to be opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    path: Arc<[u8]>,
    /// It was made for the tree.
    new: bool,
    /// Nothing stood under the name of the entry that this is told of, where names fold.
    free: bool,
}

impl Way {
    /// Whether nothing stands under the names that are given in it but what the tree has brought.
    fn is_bare(&self) -> bool {
        self.new || self.free
    }
}

/// Everything below a root.
pub(crate) struct Below<'a> {
    beneath: Arc<Beneath>,
    dirs: Option<Dirs>,
    taken: Taken,
    /// Nothing stood under the name that was claimed last.
    free: bool,
    ids: Ids,
    /// The access control lists that were told last, and whom they name here.
    lists: Option<(Arc<List>, Attrs)>,
    rules: Rules,
    /// Devices, pipes and sockets are made.
    devices: bool,
    check: Check,
    update: bool,
    /// When the sender began, by its clock.
    begun_there: Option<Time>,
    sync: Sync,
    size: Option<u64>,
    granularity: Option<Granularity>,
    open: VecDeque<(Way, Arc<Folder>)>,
    /// Symbolic links to folders are followed where the destination names them.
    follow: bool,
    /// The root is that of all file systems.
    whole: bool,
    /// The name that a single file gets.
    named: Option<Vec<u8>>,
    /// Where all of it goes, and the path of that folder.
    shown: Shown,
    base: Vec<u8>,
    /// Folders that the offer names, from the root down: no other session of this process removes them.
    led: Vec<(Vec<u8>, Inode)>,
    /// It writes below its folder, once it was led there.
    writing: Option<Writing>,
    /// Something is in place.
    placed: bool,
    /// Folders whose names are to be durable; `None`: too many.
    changed: Option<BTreeSet<Arc<[u8]>>>,
    /// File systems that are mounted below the root, and that the tree goes into.
    mounted: Mounts,
    /// Whether nobody wants it any more.
    is_over: &'a dyn Fn() -> bool,
    /// What an earlier session has left is gone on with.
    resume: bool,
    holders: Arc<Holders>,
    holder: Arc<Holder>,
    /// It has begun a file that may be gone on with.
    begun: bool,
    /// What the sender says of former names.
    former: moved::Told,
    names: Names,
    verified: Verified,
    /// Of what stands where the entries of this part are to be.
    hashed: Hashed,
    unset: BTreeSet<String>,
    puts: u32,
    watched: Option<Watched>,
    /// Nothing is changed.
    dry: bool,
    notes: BTreeSet<&'static str>,
    told: BTreeSet<&'static str>,
}

impl<'a> Below<'a> {
    /// Finds the place that an offer names, and makes what of it is missing.
    pub(crate) fn new(
        root: &Root,
        offer: &Offer,
        limits: &Limits,
        session: (Holder, &'a dyn Fn() -> bool),
    ) -> Result<Self, Why> {
        Self::new_if(root, offer, limits, session, &mut |_| Ok(()))
    }

    /// Nothing below the root is entered or made yet.
    fn bare(
        root: &Root,
        offer: &Offer,
        limits: &Limits,
        (holder, is_over): (Holder, &'a dyn Fn() -> bool),
    ) -> Result<Self, Why> {
        let again = root.again().map_err(|e| format!("cannot open the root folder: {e}"))?;
        let beneath = Arc::new(Beneath::new(again));
        let keep = offer.keep;
        let rules = rules_of(offer, limits);
        Ok(Self {
            beneath,
            dirs: None,
            taken: Taken::default(),
            free: false,
            ids: Ids::new(keep.numeric_ids),
            lists: None,
            rules,
            devices: limits.allow.device,
            check: offer.check,
            update: offer.update,
            begun_there: offer.begun,
            sync: offer.sync,
            size: limits.size,
            granularity: None,
            open: VecDeque::new(),
            follow: root.follows(),
            whole: root.is_whole(),
            named: None,
            shown: Shown::default(),
            base: Vec::new(),
            led: Vec::new(),
            writing: None,
            placed: false,
            changed: Some(BTreeSet::new()),
            mounted: Mounts::default(),
            is_over,
            resume: offer.resume,
            holders: Arc::clone(&limits.holders),
            holder: Arc::new(holder),
            begun: false,
            former: moved::Told::within(offer.job.as_ref().map(|job| &job.below[..])),
            names: Names::default(),
            verified: Verified::default(),
            hashed: Hashed::default(),
            unset: BTreeSet::new(),
            puts: 0,
            watched: Watched::new(root, offer, limits),
            dry: false,
            notes: BTreeSet::new(),
            told: BTreeSet::new(),
        })
    }

    /// Asks so whether names fold.
    #[cfg(test)]
    pub(crate) fn folding(mut self, ask: crate::place::folding::Ask) -> Self {
        self.taken = Taken::asking(ask);
        self
    }

    /// Where all of it goes: of a single file its path.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// What the file system refused that the bytes can do without.
    pub(crate) fn unset(&self) -> Vec<String> {
        self.unset.iter().cloned().collect()
    }

    /// Makes a file without a name: in the root, or where that may not be written to, which only `/` may not, in the
    /// folder where the tree goes.
    fn aside<T>(&self, make: impl Fn(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        let here = self.dirs.as_ref().filter(|_| self.whole).map(|dirs| dirs.here().fd());
        make(here.unwrap_or_else(|| self.beneath.root()))
    }

    fn dirs(&mut self) -> Result<&mut Dirs, Why> {
        self.dirs.as_mut().ok_or_else(|| "the tree has ended".to_owned())
    }

    /// The name that an entry gets.
    fn name<'e>(&'e self, entry: &'e Entry) -> &'e [u8] {
        self.named.as_deref().unwrap_or(&entry.name)
    }

    fn folder(&mut self, way: &Way) -> Result<Arc<Folder>, Why> {
        if let Some((_, folder)) = self.open.iter().find(|(known, _)| known == way) {
            return Ok(Arc::clone(folder));
        }
        let folder = Folder::open(&self.beneath, &way.path, way.is_bare()).map_err(said)?;
        let folder = Arc::new(folder);
        self.open.push_back((way.clone(), Arc::clone(&folder)));
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        Ok(folder)
    }

    /// Sets what is told of a file that has its bytes, and gives it its name.
    fn settle(
        &mut self,
        temporary: Temporary,
        (name, way): (&[u8], &Way),
        meta: &Meta,
        replaced: Option<u32>,
    ) -> Result<(), Why> {
        let (name, durable) = (plain_name(name).map_err(said)?, self.sync == Sync::File);
        let ready = Ready::make(temporary, name, (meta, replaced), (self.rules, durable))?;
        // Who has given up while the disk was waited for was told that nothing has changed here.
        let is_over = durable && (self.is_over)();
        self.give_name_in_place(ready, (name, way), is_over)
    }

    /// What the file system refused that the bytes can do without.
    fn refused(&mut self, unset: Option<Unset>) {
        if let Some(unset) = unset {
            self.unset.insert(unset.to_string());
        }
    }
}

/// What an offer asks to have kept, and what is allowed of that.
pub(crate) fn rules_of(offer: &Offer, limits: &Limits) -> Rules {
    let crate::message::Keep { perms, times, owner, group, xattrs, acls, .. } = offer.keep;
    Rules {
        keep: Keep { perms, times, owner, group, xattrs, acls },
        allowed: Allowed { owner: limits.allow.owner, setuid: limits.allow.setuid },
        umask: umask(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn said(error: PlaceError) -> Why {
    error.to_string()
}

impl Ground for Below<'_> {
    type Dir = Way;
    type Slot = Slot;

    fn owner(&mut self, owner: &Owner) -> Result<(u32, u32), Why> {
        self.owner_here(owner)
    }

    fn attrs(&mut self, attrs: &mut Attrs) -> Result<(), Why> {
        self.name_here(attrs)
    }

    fn root(&mut self, meta: &Meta) -> Result<(), Why> {
        self.placed = true;
        // A list may say it again, anywhere; and a single file has no folder of its own.
        let base = self.base.clone();
        let dirs = self.dirs()?;
        if **dirs.path() != *base || self.named.is_some() {
            return Err("it is not where the tree begins".to_owned());
        }
        self.dirs()?.tell_here(meta.clone()).map_err(said)
    }

    fn claim(&mut self, entry: &Entry) -> Result<(), Why> {
        let folder = Arc::clone(self.dirs()?.here());
        let name = plain_name(self.name(entry)).map_err(said)?.to_owned();
        self.free = false;
        let claim = self.taken.claim(&folder, &name).map_err(said)?;
        self.free = claim.free;
        if !claim.compared {
            self.tell(
                "this file system folds case, and a folder cannot be listed or has more than a million names: not \
                 all are compared with each other",
            );
        }
        Ok(())
    }

    fn standing(&mut self, entry: Option<&Entry>, told: &Attrs) -> Option<Standing> {
        let (folder, is_root) = (Arc::clone(self.dirs().ok()?.here()), self.base.is_empty());
        match entry {
            _ if folder.is_new() => None,
            None => survey::itself(&folder, is_root, (told, self.rules)),
            Some(entry) => survey::standing(&folder, self.name(entry), (told, self.rules)),
        }
    }

    fn is_one(&mut self, entry: &Entry, to: &[u8]) -> bool {
        let Ok(folder) = self.dirs().map(|dirs| Arc::clone(dirs.here())) else { return false };
        survey::is_one(&self.beneath, (&folder, &entry.name), (&self.base, to))
    }

    fn enter(&mut self, number: u64, entry: &Entry) -> Result<Stands, Why> {
        let dirs = self.dirs()?;
        let above = Arc::clone(dirs.path());
        dirs.enter(number, entry).map_err(said)?;
        let new = dirs.here().is_new();
        self.taken.enter(new);
        self.note_mounted();
        self.free = false;
        self.placed = true;
        if new {
            self.change(&above);
        }
        Ok(if new { Stands::Other } else { Stands::Same })
    }

    fn leave(&mut self) {
        if let Some(dirs) = &mut self.dirs {
            // What could not be remembered was set at once.
            let _ = dirs.leave();
            self.taken.leave();
            self.free = false;
        }
    }

    fn here(&self) -> Way {
        let here = self.dirs.as_ref();
        let path = here.map(|dirs| Arc::clone(dirs.path())).unwrap_or_default();
        Way { path, new: here.is_some_and(|dirs| dirs.here().is_new()), free: self.free }
    }

    fn write_dir(&self, dir: &Way) -> Vec<u8> {
        [&[u8::from(dir.new), u8::from(dir.free)], &*dir.path].concat()
    }

    fn read_dir(&self, bytes: &[u8]) -> Way {
        let (&[new, free], path) = bytes.split_first_chunk().unwrap_or((&[0; 2], &[]));
        Way { path: path.into(), new: new != 0, free: free != 0 }
    }

    fn path(&self, dir: &Way, name: &[u8]) -> Vec<u8> {
        let above = dir.path.get(self.base.len()..).unwrap_or_default();
        let above = above.strip_prefix(b"/").unwrap_or(above);
        if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() }
    }

    fn foresee(&mut self, part: PartReader<'_>) {
        self.hash_ahead(part);
    }

    fn look(&mut self, entry: &Entry, digest: Option<&Value>) -> Result<Stands, Why> {
        self.check_size(entry)?;
        let folder = Arc::clone(self.dirs()?.here());
        if folder.is_new() {
            return Ok(Stands::Other);
        }
        let name = plain_name(self.name(entry)).map_err(said)?.to_owned();
        let entry = &Entry { name: name.as_bytes().to_vec(), ..entry.clone() };
        match statat(folder.fd(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if self.is_newer(entry, &found) => Ok(Stands::Same),
            Ok(found) if self.is_same(&folder, entry, digest, &found) && self.take(&found) => {
                let path = Arc::clone(self.dirs()?.path());
                self.set_beside((&folder, &path), entry, &found)
            }
            // Hashing it took its time, or was given up; so are those behind it.
            _ if self.check == Check::Digest && (self.is_over)() => Err(UNWANTED.to_owned()),
            _ => folder.may_replace(&name, true).map(|_| Stands::Other).map_err(said),
        }
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why> {
        let (folder, path) = self.place_here()?;
        self.put_symlink((&folder, &path), entry, target)
    }

    fn special(&mut self, entry: &Entry, device: Device) -> Result<Stands, Why> {
        self.put_special_here(entry, device)
    }

    fn link(&mut self, dir: &Way, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        self.check_wanted()?;
        self.check_in_place(dir)?;
        let base = &self.base;
        let to = if base.is_empty() { to.to_vec() } else { [base, &b"/"[..], to].concat() };
        self.put_link(dir, entry, &to)
    }

    fn file(&mut self, dir: &Way, entry: &Entry, bytes: &[u8]) -> Result<(), Why> {
        self.put_several(&[(dir, entry, bytes)]).remove(0)
    }

    fn files(&mut self, files: &[(&Way, &Entry, &[u8])]) -> Vec<Result<(), Why>> {
        self.put_several(files)
    }

    fn begin(&mut self, dir: &Way, entry: &Entry) -> Result<(Slot, Held), Why> {
        self.begin_slot(dir, entry)
    }

    fn moved(&mut self, pairs: Vec<Pair>) -> bool {
        self.take_moved(pairs)
    }

    fn is_elsewhere(&mut self, dir: &Way, entry: &Entry) -> bool {
        self.former(dir, entry).is_some()
    }

    fn fetch(&mut self, dir: &Way, entry: &Entry) -> Option<Vec<u8>> {
        self.read_former(dir, entry)
    }

    fn has_elsewhere(&self, slot: &Slot) -> bool {
        slot.former.is_some()
    }

    fn bring(&mut self, slot: &mut Slot, range: Range<u64>) -> Result<(), Why> {
        slot.bring(range)
    }

    fn read(&mut self, slot: &mut Slot, bytes: &mut [u8], at: u64) -> Result<(), Why> {
        let read = slot.temporary.file().read_exact_at(bytes, at);
        read.map_err(|e| format!("cannot read in {}: {e}", slot.temporary.folder().shown()))
    }

    fn note(&mut self, slot: &mut Slot, index: u64, value: &Value) -> Result<(), Why> {
        let Slot { temporary, journal, len, .. } = slot;
        let Some(journal) = journal else { return Ok(()) };
        let noted = journal.note(temporary, index, value);
        noted.map_err(|e| said(room::sorted(e, *len, temporary.folder().shown())))
    }

    fn discard(&mut self, slot: Slot) {
        let Slot { mut temporary, journal, .. } = slot;
        temporary.discard();
        if let Some(mut journal) = journal {
            journal.end();
        }
    }

    fn unnamed(&self) -> io::Result<File> {
        self.aside(spool::unnamed)
    }

    fn spool(&self) -> io::Result<Spool> {
        self.aside(Spool::create_in)
    }

    fn write(&mut self, slot: &mut Slot, bytes: &[u8], at: u64) -> Result<(), Why> {
        let written = slot.temporary.file().write_all_at(bytes, at);
        written.map_err(|e| said(room::sorted(e, slot.len, slot.temporary.folder().shown())))
    }

    fn is_watched(&self, slot: &Slot) -> bool {
        slot.arriving.is_some()
    }

    fn verified(&mut self, slot: &mut Slot, bytes: u64) {
        slot.tell_verified(bytes);
    }

    fn keep(&mut self, slot: Slot) -> Result<(), Why> {
        self.keep_slot(slot)
    }

    fn is_shared(&mut self) -> bool {
        self.writing.as_ref().is_some_and(Writing::is_shared)
    }

    fn clear(&mut self, entry: &Entry, clearing: &Clearing<'_>) -> Option<Deleted> {
        let dirs = self.dirs().ok()?;
        let (here, path) = (Arc::clone(dirs.here()), Arc::clone(dirs.path()));
        if here.is_new() { None } else { self.clear_name((&here, &path), entry, clearing) }
    }

    fn delete(&mut self, deletion: &Deletion<'_>) -> Deleted {
        self.delete_extras(deletion)
    }

    fn finish(&mut self) -> Result<Vec<Unfinished>, Why> {
        let (mut left, mut unset, mut failed) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let mut unlogged = None;
        if let Some(dirs) = self.dirs.take() {
            let told = dirs.finish(&mut |number, new, done| match (done, number) {
                (Ok(more), _) => {
                    left.extend(more.left);
                    unset.extend(more.unset.map(|unset| unset.to_string()));
                }
                (Err(error), Some(number)) => {
                    failed.push(Unfinished { number, new, why: said(error) });
                }
                // A folder that the offer named.
                (Err(error), None) => {
                    unset.insert(format!("what is told of its folder cannot be set: {error}"));
                }
            });
            // Each was told for itself; what is left has no number.
            unlogged = told.err().map(said);
        }
        self.left_out(left.into_iter());
        self.unset.extend(unset);
        self.sync()?;
        // Before the sender hears of it: its next copy is not to find this one still there.
        self.writing = None;
        unlogged.map_or(Ok(failed), Err)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes).into_iter().map(str::to_owned).collect()
    }
}

fn has_of(stat: &rustix::fs::Stat) -> Has {
    Has { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
}

/// The mode of a file that is replaced.
fn mode_of(standing: &temporary::Standing) -> Option<u32> {
    (standing.kind == FileType::RegularFile).then_some(standing.has.mode)
}

#[cfg(test)]
pub(crate) mod tests;
