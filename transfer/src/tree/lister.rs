//! Lists a tree: entries in, parts out, cut where waiting for more would hold up the data.

use super::entry::{Entry, Kind, Meta};
use super::layout::{MAX_BLOCKS, Planner};
use super::manifest::{MAX_ENTRY, Owner, PartWriter};
use super::outline::{Outline, Part};
use crate::blocks::BLOCK;
use std::time::{Duration, Instant};

/// A part has so many entries at most: what a receiver looks at before it declares what it lacks of them takes
/// a few hundredths of a second then.
const ENTRIES: u64 = 8192;
/// A part ends with the entry whose data make them so many blocks: the next part goes before them, and receivers
/// are to have looked at it by the time they are sent.
const BLOCKS: u64 = 64;
/// And when it has been written for so long, if it has an entry: a disk that takes its time to list what it has
/// is not to hold up what is known.
const PATIENCE: Duration = Duration::from_millis(100);

/// Blocks of a session that no file takes, so that there are some for parts: of 8 billion entries, as many as the list
/// of 2^20 parts has, or of fewer if it is slow to come.
const FOR_PARTS: u64 = 1 << 20;

/// A part that is written, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where; its place in the spool is yet to be filled in.
    pub part: Part,
    /// What.
    pub bytes: Vec<u8>,
    /// Entries up to its end.
    pub entries: u64,
    /// Bytes that its files hold.
    pub files: u64,
}

/// Writes the list of a tree.
#[derive(Debug)]
pub struct Lister {
    writer: PartWriter,
    outline: Outline,
    /// Data of the part that is written, from block 0 on: where they begin shows when it ends.
    data: Planner,
    begun: Option<Instant>,
    first: u64,
    files: u64,
}

impl Lister {
    /// Of an empty tree.
    pub fn new() -> Self {
        Self {
            writer: PartWriter::new(),
            outline: Outline::default(),
            data: Planner::new(0),
            begun: None,
            first: 0,
            files: 0,
        }
    }

    /// What the root of the transfer is like.
    pub fn root(&mut self, meta: &Meta, owner: impl FnOnce() -> Owner) {
        self.writer.root(meta, owner);
    }

    /// The next entry.
    pub fn entry(
        &mut self,
        now: Instant,
        entry: &Entry,
        digest: Option<[u8; 32]>,
        owner: impl FnOnce() -> Owner,
    ) {
        self.begun.get_or_insert(now);
        self.data.place(&entry.kind);
        self.files += held(&entry.kind);
        self.writer.entry(entry, digest, owner);
    }

    /// The directory that was entered last has no more entries.
    pub fn leave(&mut self) {
        self.writer.leave();
    }

    /// Of the directory that was entered last all names are told.
    pub fn whole(&mut self) {
        self.writer.whole();
    }

    /// Something stands there as well, under this name, and is no entry.
    pub fn other(&mut self, name: &[u8]) {
        self.writer.other(name);
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.writer.next_entry()
    }

    /// Whether the session has room for an entry's bytes.
    pub fn fits(&self, kind: &Kind) -> bool {
        let mut data = self.data.clone();
        data.place(kind);
        let (_, first) = self.outline.next(false);
        data.end() == self.data.end() || first + data.end() <= MAX_BLOCKS - FOR_PARTS
    }

    /// Whether the part is to end now: it has an entry then.
    pub fn is_full(&self, now: Instant) -> bool {
        self.writer.entries() >= ENTRIES
            || self.data.end() >= BLOCKS
            || self.writer.len() + 2 * MAX_ENTRY > BLOCK as usize
            || self.begun.is_some_and(|begun| now.duration_since(begun) >= PATIENCE)
    }

    /// Ends the part; `last`: nothing follows.
    pub fn end(&mut self, last: bool) -> Written {
        let first = self.first;
        self.first = self.writer.next_entry();
        let (bytes, next) = std::mem::take(&mut self.writer).end(last);
        self.writer = next;
        let (block, data) = self.outline.next(last);
        let count = std::mem::replace(&mut self.data, Planner::new(0)).end();
        let part = Part { block, len: bytes.len() as u32, at: 0, data, count, first };
        self.outline.push(part);
        self.begun = None;
        let files = std::mem::take(&mut self.files);
        Written { part, bytes, entries: self.first, files }
    }
}

/// Bytes that a file holds, its holes left out.
fn held(kind: &Kind) -> u64 {
    match kind {
        Kind::File { len, data: None } => *len,
        Kind::File { data: Some(runs), .. } => runs.iter().map(|run| run.end - run.start).sum(),
        _ => 0,
    }
}

impl Default for Lister {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::layout::SMALL;
    use crate::tree::manifest::{PartReader, Record};

    fn file(n: u64, len: u64) -> Entry {
        let kind = Kind::File { len, data: None };
        Entry { name: format!("{n}").into_bytes(), meta: Meta::default(), kind }
    }

    fn owner() -> Owner {
        Owner { uid: 0, gid: 0, user: b"root".to_vec(), group: b"root".to_vec() }
    }

    /// Parts of files of one length, with so much time between them.
    fn parts(files: u64, len: u64, step: Duration) -> Vec<Written> {
        let (mut lister, mut parts, mut now) = (Lister::new(), Vec::new(), Instant::now());
        for n in 0..files {
            if lister.is_full(now) {
                parts.push(lister.end(false));
            }
            lister.entry(now, &file(n, len), None, owner);
            now += step;
        }
        parts.push(lister.end(true));
        assert_eq!(lister.entries(), files);
        parts
    }

    #[test]
    fn a_part_ends_by_entries_by_data_or_by_time() {
        let none = Duration::ZERO;
        let firsts = |parts: &[Written]| parts.iter().map(|w| w.part.first).collect::<Vec<_>>();
        assert_eq!(firsts(&parts(20_000, 0, none)), [0, 8192, 16_384]);
        assert_eq!(firsts(&parts(100, BLOCK, none)), [0, 64]);
        assert_eq!(firsts(&parts(3, 100 * BLOCK, none)), [0, 1, 2]);
        assert_eq!(firsts(&parts(30, 0, Duration::from_millis(10))), [0, 10, 20]);
    }

    #[test]
    fn both_ends_come_to_the_same_places() {
        let parts = parts(20_000, SMALL / 300, Duration::ZERO);
        let mut all = Vec::new();
        for (number, written) in parts.iter().enumerate() {
            let mut planner = Planner::new(written.part.data);
            let mut reader = PartReader::new(number as u64, &written.bytes).unwrap();
            assert_eq!(reader.header().first, written.part.first);
            while let Some(record) = reader.next_record().unwrap() {
                let Record::Entry(_, entry, _) = record else { panic!() };
                all.push((planner.place(&entry.kind), entry.name));
            }
            assert_eq!(planner.end(), written.part.data + written.part.count);
        }
        assert_eq!(all.len(), 20_000);
        assert_eq!(parts[1].part.block, 1);
        assert_eq!(parts[0].part.data, 2);
        assert_eq!(parts[2].part.block, parts[1].part.data - 1);
    }
}
