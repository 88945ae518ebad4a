//! A tree that is sent: listed in one thread, read in another, found again wherever a receiver asks.

use super::board::{Board, Posted};
use super::digest::{self, Digests};
use super::entry::{Entry, Kind, Meta};
use super::files::{Block, Listed, Open, Shelf, UNREAD, Unreadable};
use super::lister::{Lister, Written};
use super::manifest::{Owner, PartError, PartReader, Record};
use super::outline::{Holds, Outline};
use super::spool::Spool;
use crate::blocks::{self, BLOCK, Tree, Value};
use blake3::Hash;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
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

/// This side cannot go on. It is no fault of a single entry.
#[derive(Debug, Error)]
pub enum TreeError {
    /// What is put aside could not be.
    #[error("cannot put the list of entries aside in {folder}: {cause}")]
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
    #[error("the tree has more than a session can carry, 2^47 bytes")]
    TooLong,
}

impl From<PartError> for TreeError {
    fn from(error: PartError) -> Self {
        Self::Aside(error.to_string())
    }
}

/// What a session is told while a tree is listed.
pub(crate) trait Grows {
    /// It exists up to there, in bytes.
    fn grow(&self, to: u64) -> Result<(), TreeError>;
    /// And not beyond.
    fn end(&self, at: u64) -> Result<(), TreeError>;
    /// Whether nobody wants more of it.
    fn is_over(&self) -> bool;
}

/// A tree that is sent.
pub struct TreeSource {
    files: Box<dyn Open>,
    pub(crate) board: Board,
    state: Mutex<State>,
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
    entries: u64,
    failed: BTreeMap<u64, Unreadable>,
    unlisted: Vec<(Vec<u8>, String)>,
    read: u64,
}

impl TreeSource {
    /// Of files that can be opened so; what is too much for the memory goes to a folder.
    pub fn new(files: Box<dyn Open>, folder: &Path) -> Result<Self, TreeError> {
        let spool = || {
            Spool::create(folder)
                .map_err(|cause| TreeError::Spool { folder: folder.display().to_string(), cause })
        };
        let state = State {
            outline: Outline::default(),
            parts: spool()?,
            rows: spool()?,
            packs: HashMap::new(),
            shelves: VecDeque::new(),
            trees: HashMap::new(),
            digests: Digests::new(spool()?),
            entries: 0,
            failed: BTreeMap::new(),
            unlisted: Vec::new(),
            read: 0,
        };
        Ok(Self { files, board: Board::default(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists what a walk finds, until that is all, or nobody wants more.
    pub(crate) fn list(
        &self,
        walk: impl Iterator<Item = Found>,
        owner: &mut dyn FnMut(u32, u32) -> Owner,
        session: &dyn Grows,
    ) -> Result<(), TreeError> {
        let (mut lister, mut way) = (Lister::new(), Vec::<Vec<u8>>::new());
        for found in walk {
            if session.is_over() {
                return Ok(());
            }
            match found {
                Found::Root(meta) => lister.root(&meta, || owner(meta.uid, meta.gid)),
                Found::Leave => {
                    way.pop();
                    lister.leave();
                }
                Found::Failed(path, why) => self.lock().unlisted.push((path, why)),
                Found::Entry(entry) => {
                    if let Some(why) = self.denies_its_bytes(&way, &entry) {
                        let path = way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>();
                        self.lock().unlisted.push((path.join(&b'/'), why));
                        continue;
                    }
                    if entry.kind == Kind::Dir {
                        way.push(entry.name.clone());
                    }
                    let now = Instant::now();
                    if lister.is_full(now) {
                        self.publish(lister.end(false), false, session)?;
                    }
                    let (uid, gid) = (entry.meta.uid, entry.meta.gid);
                    lister.entry(now, &entry, None, || owner(uid, gid));
                }
            }
        }
        let entries = lister.entries();
        self.publish(lister.end(true), true, session)?;
        let blocks = self.lock().outline.end();
        self.board.end(entries, blocks);
        session.end(blocks * BLOCK)
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
            Ok(_) => Some(
                "holds bytes though it says that it has none: read it into a file first".to_owned(),
            ),
            Err(error) => Some(Unreadable::from(error).to_string()),
        }
    }

    /// A part is written: receivers hear of it, and can be sent the data of the one before.
    fn publish(
        &self,
        Written { mut part, bytes }: Written,
        last: bool,
        session: &dyn Grows,
    ) -> Result<(), TreeError> {
        let end = if last { part.data + part.count } else { part.data - 1 };
        if end.checked_mul(BLOCK).is_none_or(|end| end > super::layout::MAX_LEN * 2 - 1) {
            return Err(TreeError::TooLong);
        }
        let mut state = self.lock();
        part.at = state.parts.append(&bytes).map_err(|cause| TreeError::Spool {
            folder: "the folder for temporary files".to_owned(),
            cause,
        })?;
        state.outline.push(part);
        state.entries = part.first + PartReader::new(state.outline.len() - 1, &bytes)?.count()?;
        drop(state);
        session.grow(end * BLOCK)?;
        self.board.part(part.block, part.len, *blake3::hash(&bytes).as_bytes());
        Ok(())
    }

    /// The bytes of a block that was laid out. A value of it is posted.
    pub(crate) fn read(&self, block: u64) -> Result<Arc<[u8]>, TreeError> {
        let holds = self.lock().outline.find(block);
        match holds {
            Some(Holds::Part(number)) => {
                let mut bytes = self.lock().part(number)?;
                bytes.resize(BLOCK as usize, 0);
                Ok(bytes.into())
            }
            Some(Holds::Data(number)) => self.read_data(number, block),
            None => Err(TreeError::Aside(format!("block {block} was not laid out"))),
        }
    }

    fn read_data(&self, number: u64, block: u64) -> Result<Arc<[u8]>, TreeError> {
        let files = self.lock().shelf(number)?;
        if let Some((index, file)) = files.own(block) {
            return Ok(self.read_own(block, index, file));
        }
        let pack = files.pack(block).ok_or_else(|| {
            TreeError::Aside(format!("block {block} holds nothing of what was listed"))
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
        let Block { bytes, value, mut failed } = super::files::read_own(&*self.files, file, index);
        let mut bytes = bytes;
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

    /// Entries that were listed so far.
    pub fn entries(&self) -> u64 {
        self.lock().entries
    }

    /// Bytes of files that were read for the first time.
    pub fn bytes_read(&self) -> u64 {
        self.lock().read
    }

    /// Entries that could not be read, and why.
    pub fn failed(&self) -> BTreeMap<u64, Unreadable> {
        self.lock().failed.clone()
    }

    /// What could not be listed, and why.
    pub fn unlisted(&self) -> Vec<(Vec<u8>, String)> {
        self.lock().unlisted.clone()
    }

    /// The digest of an entry's content, if all of it was read.
    pub fn digest(&self, entry: u64) -> Option<Hash> {
        self.lock().digests.get(entry)
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

    /// The paths of these entries, from the root of the transfer.
    pub fn paths(&self, entries: &BTreeSet<u64>) -> Result<BTreeMap<u64, Vec<u8>>, TreeError> {
        let state = self.lock();
        let mut paths = BTreeMap::new();
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
                            paths.insert(entry, way.join(&b'/'));
                        }
                        if told.kind != super::entry::Kind::Dir {
                            way.pop();
                        }
                    }
                }
            }
        }
        Ok(paths)
    }
}

impl State {
    fn part(&self, number: u64) -> Result<Vec<u8>, TreeError> {
        let part = self
            .outline
            .part(number)
            .ok_or_else(|| TreeError::Aside(format!("there is no part {number}")))?;
        let read = self.parts.read(part.at, part.len as usize);
        read.map_err(|error| TreeError::Aside(error.to_string()))
    }

    fn entries_of(&self, number: u64) -> Range<u64> {
        let first = |number| self.outline.part(number).map(|part| part.first);
        first(number).unwrap_or(0)..first(number + 1).unwrap_or(self.entries)
    }

    fn shelf(&mut self, number: u64) -> Result<Arc<Shelf>, TreeError> {
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

    fn rows_of(&self, block: u64) -> Result<Option<Vec<Value>>, TreeError> {
        let Some((at, count)) = self.packs.get(&block) else { return Ok(None) };
        let bytes = self.rows.read(*at, count * blake3::OUT_LEN);
        let bytes = bytes.map_err(|error| TreeError::Aside(error.to_string()))?;
        Ok(Some(bytes.as_chunks().0.to_vec()))
    }

    fn keep_rows(
        &mut self,
        block: u64,
        pack: &[(u32, Listed)],
        rows: &[Value],
    ) -> Result<(), TreeError> {
        let at = self.rows.append(rows.as_flattened());
        let at = at.map_err(|error| TreeError::Aside(error.to_string()))?;
        self.packs.insert(block, (at, rows.len()));
        for ((_, file), digest) in pack.iter().zip(rows) {
            if *digest != UNREAD {
                self.read += file.len;
                self.digests.put(file.entry, Hash::from_bytes(*digest));
            }
        }
        Ok(())
    }

    fn grow_tree(&mut self, file: &Listed, index: u64, value: Value) {
        let tree = self.trees.entry(file.entry).or_insert_with(|| {
            let mut tree = Tree::new(file.len);
            for index in holes(file) {
                tree.set(index, blocks::zeros(index, file.len));
            }
            tree
        });
        let range = blocks::range(index, file.len);
        self.read += range.end - range.start;
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

/// The blocks of a file that are holes from end to end.
pub(crate) fn holes(file: &Listed) -> impl Iterator<Item = u64> + use<> {
    let data = file.data.clone();
    let len = file.len;
    (0..if data.is_some() { blocks::count(len) } else { 0 }).filter(move |index| {
        let range = blocks::range(*index, len);
        let runs = data.as_deref().unwrap_or_default();
        let first = runs.partition_point(|run| run.end <= range.start);
        runs.get(first).is_none_or(|run| run.start >= range.end)
    })
}
