//! Writes parts.

use super::{Header, Owner, Raw, RawFile, RawMeta, SEVERAL, VERSION};
use crate::tree::attrs::{self, List};
use crate::tree::entry::{Entry, Kind, Meta};
use std::collections::HashMap;
use std::sync::Arc;

/// Most bytes that one entry takes, with all that it needs: two paths of 4096 bytes, a name of 255, two names
/// of owners, 1024 runs of data with their holes, each number of at most ten bytes, and attributes, with three bytes
/// before each name and value.
pub const MAX_ENTRY: usize =
    2 * 4096 + 255 + 2 * 255 + 2 * 1024 * 10 + 256 + attrs::MAX_BYTES + 6 * attrs::MAX_COUNT;

/// A part that is being written.
#[derive(Debug)]
pub struct PartWriter {
    number: u64,
    first: u64,
    begun_in: Vec<Vec<u8>>,
    way: Vec<Vec<u8>>,
    entries: u64,
    bytes: Vec<u8>,
    owners: HashMap<(u32, u32), u32>,
    attrs: HashMap<Arc<List>, u32>,
    mtime: i64,
}

impl PartWriter {
    /// The first part.
    pub fn new() -> Self {
        Self::begin(0, 0, Vec::new())
    }

    fn begin(number: u64, first: u64, way: Vec<Vec<u8>>) -> Self {
        Self {
            number,
            first,
            begun_in: way.clone(),
            way,
            entries: 0,
            bytes: Vec::new(),
            owners: HashMap::new(),
            attrs: HashMap::new(),
            mtime: 0,
        }
    }

    /// Bytes of its records so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no record yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Number of the next entry in the whole list.
    pub fn next_entry(&self) -> u64 {
        self.first + self.entries
    }

    /// What the root of the transfer is like.
    pub fn root(&mut self, meta: &Meta, owner: impl FnOnce() -> Owner) {
        let meta = self.meta(meta, owner);
        self.push(&Raw::Root(meta));
    }

    /// The next entry. Of a directory the entries in it follow, then [`Self::leave`]. `owner` is asked for the
    /// names once for each owner and part.
    pub fn entry(
        &mut self,
        entry: &Entry,
        digest: Option<[u8; 32]>,
        owner: impl FnOnce() -> Owner,
    ) {
        let meta = self.meta(&entry.meta, owner);
        let name = &entry.name[..];
        match &entry.kind {
            Kind::Dir => {
                self.push(&Raw::Enter(name, meta));
                self.way.push(entry.name.clone());
            }
            Kind::File { len, data } => {
                let data = data.as_deref().map(turns);
                self.push(&Raw::File(name, meta, RawFile { len: *len, data, digest }));
            }
            Kind::Symlink { target } => self.push(&Raw::Symlink(name, meta, target)),
            Kind::Special(device) => self.push(&Raw::Special(name, meta, *device)),
            Kind::Link { to } => self.push(&Raw::Link(name, meta, to)),
        }
        self.entries += 1;
    }

    /// The directory that was entered last has no more entries.
    pub fn leave(&mut self) {
        self.way.pop();
        self.push(&Raw::Leave);
    }

    /// Ends it: its bytes, and the one that follows.
    pub fn end(self, last: bool) -> (Vec<u8>, Self) {
        let (first, next) = (self.first, self.next_entry());
        let way = self.begun_in;
        let header = Header { version: VERSION, number: self.number, first, way, last };
        let mut bytes = postcard::to_stdvec(&header).unwrap_or_default(); // a vector has room
        bytes.extend_from_slice(&self.bytes);
        (bytes, Self::begin(self.number + 1, next, self.way))
    }

    /// Of the directory that was entered last all names are told.
    pub fn whole(&mut self) {
        self.push(&Raw::Whole);
    }

    /// Something stands there as well, under this name, and is no entry.
    pub fn other(&mut self, name: &[u8]) {
        self.push(&Raw::Other(name));
    }

    fn meta(&mut self, meta: &Meta, owner: impl FnOnce() -> Owner) -> RawMeta {
        let known = self.owners.len() as u32;
        let owner = if let Some(place) = self.owners.get(&(meta.uid, meta.gid)) {
            *place
        } else {
            self.push(&Raw::Owner(owner()));
            self.owners.insert((meta.uid, meta.gid), known);
            known
        };
        if let Some(list) = meta.attrs.list() {
            let known = self.attrs.len() as u32;
            let place = if let Some(place) = self.attrs.get(list) {
                *place
            } else {
                self.push(&Raw::Attrs(List::clone(list)));
                self.attrs.insert(Arc::clone(list), known);
                known
            };
            self.push(&Raw::With(place));
        }
        let mtime = meta.mtime.secs.wrapping_sub(self.mtime);
        self.mtime = meta.mtime.secs;
        let since =
            |time: crate::tree::entry::Time| (time.secs.wrapping_sub(meta.mtime.secs), time.nanos);
        let mode = (meta.mode & 0o7777) as u16 | if meta.several { SEVERAL } else { 0 };
        let atime = meta.atime.map(since);
        RawMeta { mode, mtime, nanos: meta.mtime.nanos, atime, owner }
    }

    fn push(&mut self, record: &Raw<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).unwrap_or_default(); // a vector has room
    }
}

impl Default for PartWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs of data as lengths of data and holes in turn.
fn turns(data: &[core::ops::Range<u64>]) -> Vec<u64> {
    let (mut at, mut turns) = (0, Vec::with_capacity(2 * data.len()));
    for run in data {
        if run.start == 0 {
            turns.push(run.end);
        } else {
            if at == 0 {
                turns.push(0);
            }
            turns.extend([run.start - at, run.end - run.start]);
        }
        at = run.end;
    }
    turns
}
