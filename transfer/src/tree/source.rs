//! A tree that is sent: listed in one thread, read in another, found again wherever a receiver asks.

mod counts;
mod itemized;
mod state;

pub use counts::{Counts, Omitted};

use super::digest;
use super::entry::{Entry, Kind, Meta, Time};
use super::files::{self, Block, Listed, Open, UNREAD, Unreadable};
use super::layout::MAX_BLOCKS;
use super::lister::{Lister, Written};
use super::manifest::{PartError, PartReader, each_path};
use super::moved::{self, Pair};
use super::outline::Holds;
use super::owners::{Chown, Owners};
use super::scan::{self, FilesFrom, Skipped, SourcesError, Walk};
use crate::blocks::{BLOCK, hashing};
use crate::filter::ToldRule;
use crate::send::board::{Board, Posted};
use crate::source::{Grows, Named, Progress, Source, SourceError};
use blake3::Hash;
use state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use thiserror::Error;

/// What a walk over a tree says next.
#[derive(Debug)]
pub enum Found {
    /// What the root of the transfer is like, where a source's contents go into it.
    Root(Meta),
    /// A directory, whose entries follow, a file, or a link.
    Entry(Entry),
    /// The directory that was entered last has no more entries.
    Leave,
    /// Something that cannot be listed: its path from the root of the transfer, and why.
    Failed(Vec<u8>, String),
    /// Something that is left out on purpose.
    LeftOut(Skipped),
    /// Something has this name in the directory that was entered last, and is no entry: receivers do not delete theirs.
    Other(Vec<u8>),
    /// Of the directory that was entered last all names are told.
    Whole,
    /// What was told may not be what the sources are: nothing is to be deleted, and why.
    Doubt(String),
}

/// The sources cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// They cannot be sent as they were given.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// There is no place for what the memory does not hold.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl From<PartError> for SourceError {
    fn from(error: PartError) -> Self {
        Self::Aside(error.to_string())
    }
}

/// Looks whether what was listed is what the sources are; why not.
pub type Guard = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What a walk over the sources finds, one entry after the other.
type Finds = Box<dyn Iterator<Item = Found> + Send>;

/// A tree that is sent.
pub struct TreeSource {
    files: Box<dyn Open + Send>,
    /// Until it is listed.
    walk: Mutex<Option<Finds>>,
    board: Board,
    state: Mutex<State>,
    omitted: Mutex<Omitted>,
    lists: Arc<AtomicU64>,
    single: Option<Vec<u8>>,
    /// Files are compared by their digests, which the list has then.
    compares: bool,
    /// Owners have their names.
    names_owners: bool,
    chown: Chown,
    /// Receivers delete what is not there, but for what these protect.
    rules: Option<Vec<ToldRule>>,
    /// Nobody wants more.
    over: Arc<AtomicBool>,
    /// Nothing was looked at before.
    begun: Time,
    /// Says, once all is listed, why that may not be what the sources are.
    guard: Option<Guard>,
    /// What stood under another name before.
    moved: Vec<Pair>,
}

impl TreeSource {
    /// Of files and folders, as rsync(1) takes them; what is too much for the memory goes to a folder.
    pub fn open(paths: &[&Path], options: scan::Options, folder: &Path) -> Result<Self, OpenError> {
        let asked = Asked::of(&options);
        let begun = Time::now();
        let of = Self::of(Walk::new(paths, options)?, asked, folder)?;
        Ok(Self { begun, ..of })
    }

    /// Of a folder what is listed.
    pub fn listed(
        of: &Path,
        listed: FilesFrom,
        options: scan::Options,
        folder: &Path,
    ) -> Result<Self, OpenError> {
        let asked = Asked::of(&options);
        let begun = Time::now();
        let of = Self::of(Walk::listed(of, listed, options)?, asked, folder)?;
        Ok(Self { begun, ..of })
    }

    fn of(mut walk: Walk, asked: Asked, folder: &Path) -> Result<Self, OpenError> {
        let Asked { compares, names_owners, chown, rules } = asked;
        let deletes = rules.is_some();
        let over = Arc::<AtomicBool>::default();
        walk.until(Arc::clone(&over));
        let (files, single) = (Box::new(walk.opener()), walk.single_file());
        let lists = walk.lists();
        let finds = Box::new(walk.flat_map(move |found| as_listed(found, deletes)));
        Ok(Self {
            lists,
            single,
            compares,
            names_owners,
            chown,
            rules,
            over,
            ..Self::new(files, finds, folder)?
        })
    }

    /// Of what a walk finds, and files that are opened so.
    pub fn new(
        files: Box<dyn Open + Send>,
        walk: Finds,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            files,
            walk: Mutex::new(Some(walk)),
            board: Board::default(),
            state: Mutex::new(State::new(folder)?),
            omitted: Mutex::default(),
            lists: Arc::default(),
            single: None,
            compares: false,
            names_owners: true,
            chown: Chown::NONE,
            rules: None,
            over: Arc::default(),
            begun: Time::now(),
            guard: None,
            moved: Vec::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, which asks `guard` at the end of the list whether that is what the sources are: if not, nothing is deleted.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// The same, of which this is said: what stood under another name before, as far as there is room for that.
    #[must_use]
    pub fn moved(self, pairs: impl IntoIterator<Item = Pair>) -> Self {
        Self { moved: moved::bounded(pairs), ..self }
    }

    /// Why what was listed may not be what the sources are, if so.
    pub fn doubt(&self) -> Option<String> {
        self.lock().doubt.clone()
    }

    /// The path of each entry that was listed, from the root of the transfer.
    ///
    /// # Errors
    ///
    /// What was put aside cannot be read again.
    pub fn each_listed(&self, mut each: impl FnMut(&[u8])) -> Result<(), SourceError> {
        let state = self.lock();
        for number in 0..state.outline.len() {
            let bytes = state.part(number)?;
            each_path(PartReader::new(number, &bytes)?, |_, way, _| {
                each(&way.join(&b'/'));
                Ok::<(), SourceError>(())
            })?;
        }
        Ok(())
    }

    /// The base name of the file that is all there is to send, if it is one.
    pub fn single_file(&self) -> Option<Vec<u8>> {
        self.single.clone()
    }

    /// What was left out on purpose so far.
    pub fn omitted(&self) -> Omitted {
        let omitted = *self.omitted.lock().unwrap_or_else(PoisonError::into_inner);
        Omitted { lists: self.lists.load(Ordering::Relaxed), ..omitted }
    }

    /// What was listed and read so far.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { list_bytes: state.parts.len(), ..state.counts }
    }

    /// Takes one thing that the walk found.
    fn take(
        &self,
        found: Found,
        (lister, way): (&mut Lister, &mut Vec<Vec<u8>>),
        owners: &mut Owners,
        session: &dyn Grows,
    ) -> Result<(), SourceError> {
        let now = Instant::now();
        // Whatever is found says how late it is, also where nothing of it is listed for long.
        if lister.is_full(now) {
            self.publish(lister.end(false), false, session)?;
        }
        match found {
            Found::Root(meta) => lister.root(&meta, || owners.of(meta.uid, meta.gid)),
            Found::Leave => {
                way.pop();
                lister.leave();
            }
            Found::Failed(path, why) => self.lock().unlist(path, why),
            Found::Other(name) => lister.other(&name),
            Found::Whole => lister.whole(),
            Found::Doubt(why) => self.lock().doubt = Some(why),
            Found::LeftOut(what) => {
                let mut omitted = self.omitted.lock().unwrap_or_else(PoisonError::into_inner);
                omitted.add(what);
            }
            Found::Entry(entry) => {
                if let Some(why) = self.cannot_be_sent(lister, way, &entry) {
                    let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>();
                    self.lock().unlist(path.join(&b'/'), why);
                    return Ok(());
                }
                let digest = match self.digest_of(lister.entries(), way, &entry, session) {
                    Ok(digest) => digest,
                    Err(why) => {
                        let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>();
                        self.lock().unlist(path.join(&b'/'), why);
                        return Ok(());
                    }
                };
                if entry.kind == Kind::Dir {
                    way.push(entry.name.clone());
                }
                self.lock().counts.add(&entry.kind);
                let (uid, gid) = (entry.meta.uid, entry.meta.gid);
                lister.entry(now, &entry, digest, || owners.of(uid, gid));
            }
        }
        Ok(())
    }

    /// Why an entry is not listed, if it is not.
    fn cannot_be_sent(&self, lister: &Lister, way: &[Vec<u8>], entry: &Entry) -> Option<String> {
        if !lister.fits(&entry.kind) {
            let why = "it does not fit what is sent at once any more, 2^48 bytes with what is left between files: \
                       copy it by itself";
            return Some(why.to_owned());
        }
        self.denies_its_bytes(way, entry)
    }

    /// A file that says it is empty is read nowhere else: whether it holds bytes all the same, as those that the
    /// system makes up while they are read (proc(5)), or whether that cannot be told.
    fn denies_its_bytes(&self, way: &[Vec<u8>], entry: &Entry) -> Option<String> {
        if !matches!(entry.kind, Kind::File { len: 0, .. }) {
            return None;
        }
        let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>().join(&b'/');
        match self.files.open(&path).and_then(|file| files::read_at(&file, &mut [0], 0)) {
            Ok(0) => None,
            Ok(_) => Some(Unreadable::FalseLength { len: 0, than: "more" }.to_string()),
            Err(error) => Some(Unreadable::from(error).to_string()),
        }
    }

    /// Where files are compared by their digests: that of this one, whose number is given, as it is now.
    fn digest_of(
        &self,
        number: u64,
        way: &[Vec<u8>],
        entry: &Entry,
        session: &dyn Grows,
    ) -> Result<Option<crate::blocks::Value>, String> {
        let Kind::File { len, data } = &entry.kind else { return Ok(None) };
        if !self.compares || *len == 0 {
            return Ok(None);
        }
        let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>().join(&b'/');
        let (len, mtime) = (*len, entry.meta.mtime);
        let file = Listed { entry: number, path, len, mtime, data: data.clone() };
        let digest = files::digest(&*self.files, &file, &|| session.is_over());
        let digest = digest.map_err(|why| why.to_string())?;
        self.lock().digests.put(number, digest);
        Ok(Some(*digest.as_bytes()))
    }

    /// A part is written: receivers hear of it, and can be sent the data of the one before.
    fn publish(
        &self,
        Written { mut part, bytes, entries, files }: Written,
        last: bool,
        session: &dyn Grows,
    ) -> Result<(), SourceError> {
        let end = if last { part.data + part.count } else { part.data - 1 };
        if end >= MAX_BLOCKS {
            return Err(SourceError::TooLong);
        }
        let mut state = self.lock();
        part.at = state.parts.append(&bytes).map_err(|cause| state.aside(cause))?;
        state.outline.push(part);
        state.progress.entries = entries;
        state.progress.len += files;
        state.progress.ended = last;
        state.progress.span = state.outline.end() * BLOCK;
        drop(state);
        session.grow(end * BLOCK)?;
        self.board.part(part.block, part.len, *hashing::whole(&bytes).as_bytes());
        Ok(())
    }

    fn read_data(&self, number: u64, block: u64) -> Result<Arc<[u8]>, SourceError> {
        let listed = self.lock().shelf(number)?;
        if let Some((index, file)) = listed.own(block) {
            return Ok(self.read_own(block, index, file));
        }
        let pack = listed.pack(block).ok_or_else(|| {
            SourceError::Aside(format!("block {block} holds nothing of what was listed"))
        })?;
        let before = self.lock().rows_of(block)?;
        let (read, rows) = files::read_pack(&*self.files, pack, before.as_deref());
        if before.is_none() {
            self.lock().keep_rows(block, pack, &rows)?;
        }
        self.board.value(block, read.value);
        self.lock().fail(read.failed);
        Ok(read.bytes)
    }

    fn read_own(&self, block: u64, index: u64, file: &Listed) -> Arc<[u8]> {
        let open = self.open_file(file);
        let Block { mut bytes, value, mut failed } = files::read_own(open, file, index);
        match self.board.value(block, value) {
            Posted::New if value != UNREAD => self.lock().grow_tree(file, index, value),
            Posted::New | Posted::Same => {}
            Posted::Other => {
                if failed.is_empty() {
                    failed.push((file.entry, Unreadable::Rewritten));
                }
                bytes = std::iter::repeat_n(0, BLOCK as usize).collect();
            }
        }
        self.lock().fail(failed);
        bytes
    }

    /// Opens a file, unless it is one of those that were read last.
    fn open_file(&self, file: &Listed) -> Result<Arc<File>, Unreadable> {
        if let Some(open) = self.lock().opened(file.entry) {
            return Ok(open);
        }
        let open = Arc::new(self.files.open(&file.path)?);
        self.lock().open(file.entry, &open)?;
        Ok(open)
    }

    /// The digest of an entry's content, if all of it was read.
    pub fn digest(&self, entry: u64) -> Option<Hash> {
        let state = self.lock();
        let read = state.digests.get(entry);
        read.filter(|_| !state.failed.contains_key(&entry))
    }

    /// The digest of the tree, once it was listed, if all of it was read.
    pub fn tree_digest(&self) -> Option<Hash> {
        let state = self.lock();
        if !state.failed.is_empty() || state.unlisted_count > 0 {
            return None;
        }
        let part = |number| state.part(number);
        digest::of_list(state.outline.len(), part, &state.digests).ok().flatten()
    }
}

impl Source for TreeSource {
    fn begun(&self) -> Time {
        self.begun
    }

    fn list(&self, session: &dyn Grows) -> Result<(), SourceError> {
        let walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut lister, mut way) = (Lister::new(), Vec::<Vec<u8>>::new());
        let (mut owners, begun) =
            (Owners::new(self.names_owners).instead(self.chown.clone()), Instant::now());
        if let Some(rules) = &self.rules {
            self.board.rules(rules);
        }
        self.board.moved(&self.moved);
        for found in walk.into_iter().flatten() {
            if session.is_over() {
                return Ok(());
            }
            self.take(found, (&mut lister, &mut way), &mut owners, session)?;
        }
        let entries = lister.entries();
        self.publish(lister.end(true), true, session)?;
        let blocks = {
            let mut state = self.lock();
            state.counts.listing = Some(begun.elapsed());
            state.outline.end()
        };
        if let Some(why) = self.guard.as_ref().and_then(|guard| guard()) {
            self.lock().doubt = Some(why);
        }
        if let Some(rules) = &self.rules {
            self.board.extras(self.lock().spares(), rules.len() as u64);
        }
        self.board.end(entries, blocks);
        session.end(blocks * BLOCK)
    }

    fn read(&self, block: u64) -> Result<Arc<[u8]>, SourceError> {
        let holds = self.lock().outline.find(block);
        match holds {
            Some(Holds::Part(number)) => {
                let mut bytes = self.lock().part(number)?;
                bytes.resize(BLOCK as usize, 0);
                Ok(bytes.into())
            }
            Some(Holds::Data(number)) => self.read_data(number, block),
            None => Err(SourceError::Aside(format!("block {block} was not laid out"))),
        }
    }

    fn post_value(&self, block: u64) -> Result<(), SourceError> {
        let is_data = matches!(self.lock().outline.find(block), Some(Holds::Data(_)));
        if is_data && !self.board.has(block) { self.read(block).map(drop) } else { Ok(()) }
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn progress(&self) -> Progress {
        self.lock().progress
    }

    fn names(&self, entries: &BTreeSet<u64>) -> Result<BTreeMap<u64, Named>, SourceError> {
        let state = self.lock();
        let mut names = BTreeMap::new();
        for number in 0..state.outline.len() {
            let range = state.entries_of(number);
            if entries.range(range).next().is_none() {
                continue;
            }
            let bytes = state.part(number)?;
            each_path(PartReader::new(number, &bytes)?, |entry, way, _| {
                if entries.contains(&entry) {
                    let unread = state.failed.get(&entry).map(|why| why.to_string().into());
                    names.insert(entry, Named { path: way.join(&b'/').into(), unread });
                }
                Ok::<(), SourceError>(())
            })?;
        }
        Ok(names)
    }

    fn unlisted(&self) -> Vec<(Vec<u8>, String)> {
        self.lock().unlisted.clone()
    }

    fn unlisted_count(&self) -> u64 {
        self.lock().unlisted_count
    }

    fn stop(&self) {
        self.over.store(true, Ordering::Release);
    }
}

/// What is asked of a tree beside its walk.
struct Asked {
    compares: bool,
    names_owners: bool,
    chown: Chown,
    rules: Option<Vec<ToldRule>>,
}

impl Asked {
    fn of(options: &scan::Options) -> Self {
        Self {
            compares: options.digests,
            names_owners: options.owners,
            chown: options.chown.clone(),
            rules: options.deletes.then(|| options.filter.told().collect()),
        }
    }
}

/// What a walk found, as the list takes it. `deletes`: also names of what is left out for what it is, as with rsync(1).
fn as_listed(item: scan::Found, deletes: bool) -> impl Iterator<Item = Found> {
    let other = match &item {
        scan::Found::Skipped { path, what } if deletes && what.is_told() => {
            path.rsplit(|byte| *byte == b'/').next().map(|name| Found::Other(name.to_vec()))
        }
        _ => None,
    };
    other.into_iter().chain([found(item)])
}

/// What a walk found, without names of what is left out.
fn found(found: scan::Found) -> Found {
    match found {
        scan::Found::Whole => Found::Whole,
        scan::Found::Doubt(why) => Found::Doubt(why),
        scan::Found::Root(meta, _) => Found::Root(meta),
        scan::Found::Enter(entry, _) | scan::Found::Item(entry, _) => Found::Entry(entry),
        scan::Found::Leave => Found::Leave,
        scan::Found::Failed { path, error } => Found::Failed(path, error.to_string()),
        scan::Found::Skipped { what, .. } => Found::LeftOut(what),
    }
}

#[cfg(test)]
mod tests;
