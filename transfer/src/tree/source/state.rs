//! What a source has come to know: the parts of its list, and what was read of its files.

use super::Counts;
use crate::blocks::{self, Tree, Value};
use crate::shown::shown;
use crate::source::{Progress, SourceError};
use crate::tree::digest::Digests;
use crate::tree::files::{Listed, Shelf, UNREAD, Unreadable};
use crate::tree::outline::Outline;
use crate::tree::scan::Stamp;
use crate::tree::spool::Spool;
use blake3::Hash;
use core::ops::Range;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Parts whose files are kept at hand: data are asked for in order as a rule, and now and then of the part before.
const SHELVES: usize = 4;
/// Files that stay open: a long one is asked for block by block, and now and then one of before again.
const OPEN: usize = 4;
/// What could not be listed is kept of so many; of more the number is.
const UNLISTED: usize = 100_000;

pub(super) struct State {
    pub(super) outline: Outline,
    /// The parts.
    pub(super) parts: Spool,
    /// The digests of packs that were read.
    pub(super) rows: Spool,
    /// Where those of a pack stand there, and how many they are.
    packs: HashMap<u64, (u64, usize)>,
    shelves: VecDeque<(u64, Arc<Shelf>)>,
    /// Digests of large files as far as their blocks were read.
    trees: HashMap<u64, Tree>,
    /// What such a file was like when it was opened first: another of the same length and time would be mixed with it.
    stamps: HashMap<u64, Stamp>,
    pub(super) digests: Digests,
    /// The large files that were read last.
    open: VecDeque<(u64, Arc<File>)>,
    pub(super) failed: BTreeMap<u64, Unreadable>,
    pub(super) unlisted: Vec<(Vec<u8>, String)>,
    pub(super) unlisted_count: u64,
    /// Why what was listed may not be what the sources are.
    pub(super) doubt: Option<String>,
    pub(super) progress: Progress,
    pub(super) counts: Counts,
    /// The folder for what the memory does not hold.
    folder: String,
}

impl State {
    pub(super) fn new(folder: &Path) -> Result<Self, SourceError> {
        let shown = folder.display().to_string();
        let spool = || {
            Spool::create(folder)
                .map_err(|cause| SourceError::Spool { folder: shown.clone(), cause })
        };
        Ok(Self {
            outline: Outline::default(),
            parts: spool()?,
            rows: spool()?,
            packs: HashMap::new(),
            shelves: VecDeque::new(),
            trees: HashMap::new(),
            stamps: HashMap::new(),
            digests: Digests::new(spool()?),
            open: VecDeque::new(),
            failed: BTreeMap::new(),
            unlisted: Vec::new(),
            unlisted_count: 0,
            doubt: None,
            progress: Progress::default(),
            counts: Counts::default(),
            folder: shown,
        })
    }

    pub(super) fn aside(&self, cause: std::io::Error) -> SourceError {
        SourceError::Spool { folder: self.folder.clone(), cause }
    }

    /// Something that is in place nowhere.
    pub(super) fn unlist(&mut self, path: Vec<u8>, why: String) {
        self.unlisted_count += 1;
        if self.unlisted.len() < UNLISTED {
            self.unlisted.push((path, why));
        }
    }

    /// Why receivers are to delete nothing.
    pub(super) fn spares(&self) -> Option<String> {
        let (path, why) = match self.unlisted.first() {
            None => return self.doubt.clone(),
            Some((path, why)) if path.is_empty() => ("the source".to_owned(), why),
            Some((path, why)) => (shown(path), why),
        };
        Some(format!("the source could not be listed whole: {path}: {why}"))
    }

    /// A file that was opened before, if it still is.
    pub(super) fn opened(&mut self, entry: u64) -> Option<Arc<File>> {
        let at = self.open.iter().position(|(known, _)| *known == entry)?;
        let (_, file) = self.open.remove(at)?;
        self.open.push_back((entry, Arc::clone(&file)));
        Some(file)
    }

    /// A file was opened: it must be the one that it was before.
    pub(super) fn open(&mut self, entry: u64, file: &Arc<File>) -> Result<(), Unreadable> {
        let now = Stamp::of(file)?;
        // Of a whole one every block has its value, and no other is told.
        if self.digests.get(entry).is_none() && *self.stamps.entry(entry).or_insert(now) != now {
            return Err(Unreadable::Changed);
        }
        self.open.push_back((entry, Arc::clone(file)));
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        Ok(())
    }

    pub(super) fn part(&self, number: u64) -> Result<Vec<u8>, SourceError> {
        let part = self
            .outline
            .part(number)
            .ok_or_else(|| SourceError::Aside(format!("there is no part {number}")))?;
        let read = self.parts.read(part.at, part.len as usize);
        read.map_err(|error| SourceError::Aside(error.to_string()))
    }

    pub(super) fn entries_of(&self, number: u64) -> Range<u64> {
        let first = |number| self.outline.part(number).map(|part| part.first);
        first(number).unwrap_or(0)..first(number + 1).unwrap_or(self.progress.entries)
    }

    pub(super) fn shelf(&mut self, number: u64) -> Result<Arc<Shelf>, SourceError> {
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

    pub(super) fn rows_of(&self, block: u64) -> Result<Option<Vec<Value>>, SourceError> {
        let Some((at, count)) = self.packs.get(&block) else { return Ok(None) };
        let bytes = self.rows.read(*at, count * blake3::OUT_LEN);
        let bytes = bytes.map_err(|error| SourceError::Aside(error.to_string()))?;
        Ok(Some(bytes.as_chunks().0.to_vec()))
    }

    pub(super) fn keep_rows(
        &mut self,
        block: u64,
        pack: &[(u32, Listed)],
        rows: &[Value],
    ) -> Result<(), SourceError> {
        let at = self.rows.append(rows.as_flattened()).map_err(|cause| self.aside(cause))?;
        self.packs.insert(block, (at, rows.len()));
        for ((_, file), digest) in pack.iter().zip(rows) {
            if *digest != UNREAD {
                self.progress.read += file.len;
                self.counts.read += 1;
                self.digests.put(file.entry, Hash::from_bytes(*digest));
            }
        }
        Ok(())
    }

    pub(super) fn grow_tree(&mut self, file: &Listed, index: u64, value: Value) {
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
            self.stamps.remove(&file.entry);
            self.counts.read += 1;
            self.digests.put(file.entry, root);
        }
    }

    pub(super) fn fail(&mut self, failed: Vec<(u64, Unreadable)>) {
        for (entry, why) in failed {
            self.failed.entry(entry).or_insert(why);
        }
    }
}
