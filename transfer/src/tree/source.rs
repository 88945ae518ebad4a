//! A tree that is sent: listed in one thread, read in another, found again wherever a receiver asks.

use super::digest::{self, Digests};
use super::entry::{Entry, Kind, Meta};
use super::files::{Block, Listed, Open, Shelf, UNREAD, Unreadable};
use super::lister::{Lister, Written};
use super::manifest::{PartError, PartReader, Record};
use super::outline::{Holds, Outline};
use super::owners::Owners;
use super::scan::{self, Skipped, SourcesError, Walk};
use super::spool::Spool;
use crate::blocks::{self, BLOCK, Tree, Value};
use crate::send::board::{Board, Posted};
use crate::source::{Grows, Named, Progress, Source, SourceError};
use blake3::Hash;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use thiserror::Error;

/// Parts whose files are kept at hand: data are asked for in order as a rule, and now and then of the part before.
const SHELVES: usize = 4;

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

/// How many entries were left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitted {
    /// Sockets, pipes and devices.
    pub specials: u64,
    /// Symbolic links, where they are not kept.
    pub symlinks: u64,
}

/// What a walk over the sources finds, one entry after the other.
type Finds = Box<dyn Iterator<Item = Found> + Send>;

/// A tree that is sent.
pub struct TreeSource {
    files: Box<dyn Open + Send>,
    /// Until it is listed.
    walk: Mutex<Option<Finds>>,
    board: Board,
    state: Mutex<State>,
    omitted: Arc<Mutex<Omitted>>,
    single: Option<Vec<u8>>,
    /// The folder for what the memory does not hold.
    folder: String,
}

struct State {
    outline: Outline,
    /// The parts.
    parts: Spool,
    /// The digests of packs that were read.
    rows: Spool,
    /// Where those of a pack stand there, and how many they are.
    packs: HashMap<u64, (u64, usize)>,
    shelves: VecDeque<(u64, Arc<Shelf>)>,
    /// Digests of large files as far as their blocks were read.
    trees: HashMap<u64, Tree>,
    digests: Digests,
    /// The file that was read last: a long one is asked for block by block.
    open: Option<(u64, Arc<File>)>,
    failed: BTreeMap<u64, Unreadable>,
    unlisted: Vec<(Vec<u8>, String)>,
    progress: Progress,
}

impl TreeSource {
    /// Of files and folders, as rsync(1) takes them; what is too much for the memory goes to a folder.
    pub fn open(paths: &[&Path], options: scan::Options, folder: &Path) -> Result<Self, OpenError> {
        let walk = Walk::new(paths, options)?;
        let (files, single) = (Box::new(walk.opener()), walk.single_file());
        let omitted = Arc::<Mutex<Omitted>>::default();
        let finds = Box::new(Finding { walk, omitted: Arc::clone(&omitted) });
        Ok(Self { omitted, single, ..Self::new(files, finds, folder)? })
    }

    /// Of what a walk finds, and files that are opened so.
    pub fn new(
        files: Box<dyn Open + Send>,
        walk: Finds,
        folder: &Path,
    ) -> Result<Self, SourceError> {
        let shown = folder.display().to_string();
        let spool = || {
            Spool::create(folder)
                .map_err(|cause| SourceError::Spool { folder: shown.clone(), cause })
        };
        let state = State {
            outline: Outline::default(),
            parts: spool()?,
            rows: spool()?,
            packs: HashMap::new(),
            shelves: VecDeque::new(),
            trees: HashMap::new(),
            digests: Digests::new(spool()?),
            open: None,
            failed: BTreeMap::new(),
            unlisted: Vec::new(),
            progress: Progress::default(),
        };
        let (walk, state, board) = (Mutex::new(Some(walk)), Mutex::new(state), Board::default());
        Ok(Self { files, walk, board, state, omitted: Arc::default(), single: None, folder: shown })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base name of the file that is all there is to send, if it is one.
    pub fn single_file(&self) -> Option<Vec<u8>> {
        self.single.clone()
    }

    /// What was left out on purpose so far.
    pub fn omitted(&self) -> Omitted {
        *self.omitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one thing that the walk found.
    fn take(
        &self,
        found: Found,
        (lister, way): (&mut Lister, &mut Vec<Vec<u8>>),
        owners: &mut Owners,
        session: &dyn Grows,
    ) -> Result<(), SourceError> {
        match found {
            Found::Root(meta) => lister.root(&meta, || owners.of(meta.uid, meta.gid)),
            Found::Leave => {
                way.pop();
                lister.leave();
            }
            Found::Failed(path, why) => self.lock().unlisted.push((path, why)),
            Found::Entry(entry) => {
                if let Some(why) = self.denies_its_bytes(way, &entry) {
                    let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>();
                    self.lock().unlisted.push((path.join(&b'/'), why));
                    return Ok(());
                }
                if entry.kind == Kind::Dir {
                    way.push(entry.name.clone());
                }
                let now = Instant::now();
                if lister.is_full(now) {
                    self.publish(lister.end(false), false, session)?;
                }
                let (uid, gid) = (entry.meta.uid, entry.meta.gid);
                lister.entry(now, &entry, None, || owners.of(uid, gid));
            }
        }
        Ok(())
    }

    /// A file that says it is empty is read nowhere else: whether it holds bytes all the same, as those that the
    /// system makes up while they are read (proc(5)), or whether that cannot be told.
    fn denies_its_bytes(&self, way: &[Vec<u8>], entry: &Entry) -> Option<String> {
        if !matches!(entry.kind, Kind::File { len: 0, .. }) {
            return None;
        }
        let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>().join(&b'/');
        match self.files.open(&path).and_then(|file| file.read_at(&mut [0], 0)) {
            Ok(0) => None,
            Ok(_) => Some(Unreadable::FalseLength { len: 0, than: "more" }.to_string()),
            Err(error) => Some(Unreadable::from(error).to_string()),
        }
    }

    /// A part is written: receivers hear of it, and can be sent the data of the one before.
    fn publish(
        &self,
        Written { mut part, bytes, entries, files }: Written,
        last: bool,
        session: &dyn Grows,
    ) -> Result<(), SourceError> {
        let end = if last { part.data + part.count } else { part.data - 1 };
        if end.checked_mul(BLOCK).is_none_or(|end| end > super::layout::MAX_LEN * 2 - 1) {
            return Err(SourceError::TooLong);
        }
        let mut state = self.lock();
        part.at = state
            .parts
            .append(&bytes)
            .map_err(|cause| SourceError::Spool { folder: self.folder.clone(), cause })?;
        state.outline.push(part);
        state.progress.entries = entries;
        state.progress.len += files;
        state.progress.ended = last;
        state.progress.span = state.outline.end() * BLOCK;
        drop(state);
        session.grow(end * BLOCK)?;
        self.board.part(part.block, part.len, *blake3::hash(&bytes).as_bytes());
        Ok(())
    }

    fn read_data(&self, number: u64, block: u64) -> Result<Arc<[u8]>, SourceError> {
        let files = self.lock().shelf(number)?;
        if let Some((index, file)) = files.own(block) {
            return Ok(self.read_own(block, index, file));
        }
        let pack = files.pack(block).ok_or_else(|| {
            SourceError::Aside(format!("block {block} holds nothing of what was listed"))
        })?;
        let before = self.lock().rows_of(block)?;
        let (read, rows) = super::files::read_pack(&*self.files, pack, before.as_deref());
        if before.is_none() {
            self.lock().keep_rows(block, pack, &rows)?;
        }
        self.board.value(block, read.value);
        self.lock().fail(read.failed);
        Ok(read.bytes)
    }

    fn read_own(&self, block: u64, index: u64, file: &Listed) -> Arc<[u8]> {
        let open = self.open_file(file);
        let Block { mut bytes, value, mut failed } = super::files::read_own(open, file, index);
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

    /// Opens a file, unless it is the one that was read last.
    fn open_file(&self, file: &Listed) -> Result<Arc<File>, Unreadable> {
        if let Some((entry, open)) = &self.lock().open
            && *entry == file.entry
        {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(self.files.open(&file.path)?);
        self.lock().open = Some((file.entry, Arc::clone(&open)));
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
        if !state.failed.is_empty() || !state.unlisted.is_empty() {
            return None;
        }
        let part = |number| state.part(number);
        digest::of_list(state.outline.len(), part, &state.digests).ok().flatten()
    }
}

impl Source for TreeSource {
    fn list(&self, session: &dyn Grows) -> Result<(), SourceError> {
        let walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut lister, mut way) = (Lister::new(), Vec::<Vec<u8>>::new());
        let mut owners = Owners::default();
        for found in walk.into_iter().flatten() {
            if session.is_over() {
                return Ok(());
            }
            self.take(found, (&mut lister, &mut way), &mut owners, session)?;
        }
        let entries = lister.entries();
        self.publish(lister.end(true), true, session)?;
        let blocks = self.lock().outline.end();
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
            let mut reader = PartReader::new(number, &bytes)?;
            let mut way = reader.header().way.clone();
            while let Some(record) = reader.next_record()? {
                match record {
                    Record::Root(_) => {}
                    Record::Leave => drop(way.pop()),
                    Record::Entry(entry, told, _) => {
                        way.push(told.name);
                        if entries.contains(&entry) {
                            let unread = state.failed.get(&entry).map(ToString::to_string);
                            names.insert(entry, Named { path: way.join(&b'/'), unread });
                        }
                        if told.kind != Kind::Dir {
                            way.pop();
                        }
                    }
                }
            }
        }
        Ok(names)
    }

    fn unlisted(&self) -> Vec<(Vec<u8>, String)> {
        self.lock().unlisted.clone()
    }
}

/// A walk as the list takes it.
struct Finding {
    walk: Walk,
    omitted: Arc<Mutex<Omitted>>,
}

impl Iterator for Finding {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            return Some(match self.walk.next()? {
                scan::Found::Root(meta) => Found::Root(meta),
                scan::Found::Enter(entry) | scan::Found::Item(entry, _) => Found::Entry(entry),
                scan::Found::Leave => Found::Leave,
                scan::Found::Failed { path, error } => Found::Failed(path, error.to_string()),
                scan::Found::Skipped { what, .. } => {
                    let mut omitted = self.omitted.lock().unwrap_or_else(PoisonError::into_inner);
                    match what {
                        Skipped::Special => omitted.specials += 1,
                        Skipped::Symlink => omitted.symlinks += 1,
                    }
                    continue;
                }
            });
        }
    }
}

impl State {
    fn part(&self, number: u64) -> Result<Vec<u8>, SourceError> {
        let part = self
            .outline
            .part(number)
            .ok_or_else(|| SourceError::Aside(format!("there is no part {number}")))?;
        let read = self.parts.read(part.at, part.len as usize);
        read.map_err(|error| SourceError::Aside(error.to_string()))
    }

    fn entries_of(&self, number: u64) -> Range<u64> {
        let first = |number| self.outline.part(number).map(|part| part.first);
        first(number).unwrap_or(0)..first(number + 1).unwrap_or(self.progress.entries)
    }

    fn shelf(&mut self, number: u64) -> Result<Arc<Shelf>, SourceError> {
        if let Some((_, shelf)) = self.shelves.iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(shelf));
        }
        let data = self.outline.part(number).map_or(0, |part| part.data);
        let read = Arc::new(Shelf::read(number, &self.part(number)?, data)?);
        self.shelves.push_back((number, Arc::clone(&read)));
        if self.shelves.len() > SHELVES {
            self.shelves.pop_front();
        }
        Ok(read)
    }

    fn rows_of(&self, block: u64) -> Result<Option<Vec<Value>>, SourceError> {
        let Some((at, count)) = self.packs.get(&block) else { return Ok(None) };
        let bytes = self.rows.read(*at, count * blake3::OUT_LEN);
        let bytes = bytes.map_err(|error| SourceError::Aside(error.to_string()))?;
        Ok(Some(bytes.as_chunks().0.to_vec()))
    }

    fn keep_rows(
        &mut self,
        block: u64,
        pack: &[(u32, Listed)],
        rows: &[Value],
    ) -> Result<(), SourceError> {
        let at = self.rows.append(rows.as_flattened());
        let at = at.map_err(|error| SourceError::Aside(error.to_string()))?;
        self.packs.insert(block, (at, rows.len()));
        for ((_, file), digest) in pack.iter().zip(rows) {
            if *digest != UNREAD {
                self.progress.read += file.len;
                self.digests.put(file.entry, Hash::from_bytes(*digest));
            }
        }
        Ok(())
    }

    fn grow_tree(&mut self, file: &Listed, index: u64, value: Value) {
        let tree = self.trees.entry(file.entry).or_insert_with(|| {
            let mut tree = Tree::new(file.len);
            if let Some(data) = &file.data {
                blocks::set_holes(&mut tree, data);
            }
            tree
        });
        let range = blocks::range(index, file.len);
        self.progress.read += range.end - range.start;
        tree.set(index, value);
        if let Some(root) = tree.root() {
            self.trees.remove(&file.entry);
            self.digests.put(file.entry, root);
        }
    }

    fn fail(&mut self, failed: Vec<(u64, Unreadable)>) {
        for (entry, why) in failed {
            self.failed.entry(entry).or_insert(why);
        }
    }
}
