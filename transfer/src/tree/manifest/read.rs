//! Reads parts, which are trusted in nothing: nothing that is read here is more than a name, a number or a list
//! that fits the part.

use super::{Header, Owner, Raw, RawFile, RawMeta, SEVERAL, VERSION};
use crate::place::beneath::plain_name;
use crate::tree::attrs::{self, Attrs, List};
use crate::tree::entry::{Entry, Kind, Meta, Time};
use crate::tree::layout::MAX_LEN;
use core::ops::Range;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// A part cannot be read: the fault of who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartError {
    /// More entries or owners than a part may have, or longer names.
    #[error("the list has more in one part than it may have, before entry {0}")]
    Many(u64),
    /// Another version.
    #[error("the sender's list of entries has version {0}, this side reads version {VERSION}")]
    Version(u8),
    /// It is not the part that was to come.
    #[error("part {was} of the list of entries came where part {wanted} was to come")]
    Number {
        /// Its own number.
        was: u64,
        /// The number that was to come.
        wanted: u64,
    },
    /// Bytes that are no record.
    #[error("the list of entries cannot be read behind entry {0}")]
    Record(u64),
    /// A directory is left that was not entered.
    #[error("the list of entries leaves a folder that it did not enter, behind entry {0}")]
    Leave(u64),
    /// It goes deeper than a path can.
    #[error("the list of entries goes deeper than 128 folders")]
    Deep,
    /// A name that cannot stand in a folder.
    #[error("the list of entries has a name that is refused: {0}")]
    Name(String),
    /// A file longer than a session carries, or whose data lie outside of it.
    #[error("entry {0} of the list has an impossible length")]
    Length(u64),
    /// An owner that was not told.
    #[error("entry {0} of the list has an owner that was not told")]
    Owner(u64),
    /// Attributes that were not told, or more than an entry may have.
    #[error("entry {0} of the list has impossible attributes")]
    Attributes(u64),
    /// The first name of a further one is no path below the root.
    #[error("entry {0} of the list is a further name of {1}, which is no path below the root")]
    Link(u64, String),
}

/// Folders that a part may begin in, at most; the receiver has its own limit for a whole path.
const MAX_DEPTH: usize = 128;

/// What a part says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// What the root of the transfer is like.
    Root(Meta),
    /// An entry, its number, and its digest if that is told. A directory is entered.
    Entry(u64, Entry, Option<[u8; 32]>),
    /// The directory that was entered last is left.
    Leave,
    /// Of the directory that this is in, all names are told that stand there.
    Whole,
    /// Something has this name in the directory that this is in, and is no entry.
    Other(Vec<u8>),
}

/// Entries of a part, and owners that it tells, at most: what it lists takes more memory than its bytes.
const MOST: usize = 8192;
/// Runs of data of a file, at most: a sender takes more holes for data.
const RUNS: usize = 1024;

/// Owners as a part has told them.
#[derive(Debug, Default)]
struct Owners {
    list: Vec<Owner>,
    /// Where the first one with these numbers stands.
    places: HashMap<(u32, u32), usize>,
}

impl Owners {
    fn push(&mut self, owner: Owner) -> Option<()> {
        let fits = self.list.len() < MOST && owner.user.len() <= 255 && owner.group.len() <= 255;
        fits.then(|| {
            self.places.entry((owner.uid, owner.gid)).or_insert(self.list.len());
            self.list.push(owner);
        })
    }
}

/// Reads one part.
#[derive(Debug)]
pub struct PartReader<'a> {
    header: Header,
    rest: &'a [u8],
    next: u64,
    depth: usize,
    owners: Owners,
    attrs: Vec<Arc<List>>,
    /// Of what the next record tells of.
    with: Attrs,
    entries: u64,
    mtime: i64,
}

impl<'a> PartReader<'a> {
    /// The part of this number.
    pub fn new(number: u64, bytes: &'a [u8]) -> Result<Self, PartError> {
        match bytes.first() {
            Some(&VERSION) => {}
            other => return Err(PartError::Version(other.copied().unwrap_or(0))),
        }
        let (header, rest): (Header, _) =
            postcard::take_from_bytes(bytes).map_err(|_| PartError::Record(0))?;
        if header.number != number {
            return Err(PartError::Number { was: header.number, wanted: number });
        }
        if header.way.len() > MAX_DEPTH {
            return Err(PartError::Deep);
        }
        for name in &header.way {
            plain_name(name).map_err(|error| PartError::Name(error.to_string()))?;
        }
        let (next, depth) = (header.first, header.way.len());
        let (owners, attrs, with) = (Owners::default(), Vec::new(), Attrs::default());
        Ok(Self { header, rest, next, depth, owners, attrs, with, entries: 0, mtime: 0 })
    }

    /// What stands before its records.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of its entries.
    pub fn count(mut self) -> Result<u64, PartError> {
        while self.next_record()?.is_some() {}
        Ok(self.next - self.header.first)
    }

    /// Who owns an entry with these numbers, as the part has told so far.
    pub fn owner(&self, uid: u32, gid: u32) -> Option<&Owner> {
        let place = self.owners.places.get(&(uid, gid))?;
        self.owners.list.get(*place)
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<Record>, PartError> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let (raw, rest): (Raw<'a>, _) =
                postcard::take_from_bytes(self.rest).map_err(|_| PartError::Record(self.next))?;
            self.rest = rest;
            return Ok(Some(match raw {
                Raw::Owner(owner) => {
                    self.owners.push(owner).ok_or(PartError::Many(self.next))?;
                    continue;
                }
                Raw::Attrs(list) => {
                    if self.attrs.len() >= MOST || !is_possible(&list) {
                        return Err(PartError::Attributes(self.next));
                    }
                    self.attrs.push(Arc::new(list));
                    continue;
                }
                Raw::With(place) => {
                    let list = self.attrs.get(place as usize);
                    let list = list.ok_or(PartError::Attributes(self.next))?;
                    self.with = Arc::clone(list).into();
                    continue;
                }
                Raw::Root(meta) => Record::Root(self.meta(meta)?),
                Raw::Leave => {
                    self.depth = self.depth.checked_sub(1).ok_or(PartError::Leave(self.next))?;
                    Record::Leave
                }
                Raw::Enter(name, meta) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(PartError::Deep);
                    }
                    self.entry(name, meta, Kind::Dir, None)?
                }
                Raw::File(name, meta, file) => {
                    let digest = file.digest;
                    let kind = self.file(file)?;
                    self.entry(name, meta, kind, digest)?
                }
                Raw::Symlink(name, meta, target) => {
                    self.entry(name, meta, Kind::Symlink { target: target.to_vec() }, None)?
                }
                Raw::Special(name, meta, device) => {
                    self.entry(name, meta, Kind::Special(device), None)?
                }
                Raw::Whole => Record::Whole,
                Raw::Other(name) => {
                    // It is compared with names alone.
                    if name.is_empty() || name.len() > NAME_MAX {
                        return Err(PartError::Name(String::from_utf8_lossy(name).into_owned()));
                    }
                    Record::Other(name.to_vec())
                }
                Raw::Link(name, meta, to) => {
                    self.check_path(to)?;
                    self.entry(name, meta, Kind::Link { to: to.to_vec() }, None)?
                }
            }));
        }
    }

    fn entry(
        &mut self,
        name: &[u8],
        meta: RawMeta,
        kind: Kind,
        digest: Option<[u8; 32]>,
    ) -> Result<Record, PartError> {
        plain_name(name).map_err(|error| PartError::Name(error.to_string()))?;
        let (number, meta) = (self.next, self.meta(meta)?);
        self.next += 1;
        self.entries += 1;
        if self.entries > MOST as u64 {
            return Err(PartError::Many(number));
        }
        Ok(Record::Entry(number, Entry { name: name.to_vec(), meta, kind }, digest))
    }

    fn meta(&mut self, raw: RawMeta) -> Result<Meta, PartError> {
        let owner = self.owners.list.get(raw.owner as usize).ok_or(PartError::Owner(self.next))?;
        let mtime = raw.mtime(self.mtime);
        self.mtime = mtime.secs;
        let atime = raw.atime.map(|(secs, nanos)| Time {
            secs: mtime.secs.wrapping_add(secs),
            nanos: nanos.min(MAX_NANOS),
        });
        let mtime = Time { nanos: mtime.nanos.min(MAX_NANOS), ..mtime };
        let mode = u32::from(raw.mode) & 0o7777;
        let (several, attrs) = (raw.mode & SEVERAL != 0, std::mem::take(&mut self.with));
        Ok(Meta { several, mode, mtime, atime, uid: owner.uid, gid: owner.gid, attrs })
    }

    fn file(&self, raw: RawFile) -> Result<Kind, PartError> {
        let impossible = PartError::Length(self.next);
        if raw.len > MAX_LEN {
            return Err(impossible);
        }
        let data = raw.data.map(|turns| runs(&turns, raw.len).ok_or(impossible)).transpose()?;
        Ok(Kind::File { len: raw.len, data })
    }

    fn check_path(&self, path: &[u8]) -> Result<(), PartError> {
        let plain = |part: &[u8]| plain_name(part).is_ok();
        let good = path.len() <= 4096
            && path.split(|byte| *byte == b'/').count() <= MAX_DEPTH + 1
            && path.split(|byte| *byte == b'/').all(plain);
        let shown = || String::from_utf8_lossy(path).into_owned();
        if good { Ok(()) } else { Err(PartError::Link(self.next, shown())) }
    }
}

/// Longest value of an attribute in bytes (`XATTR_SIZE_MAX`, limits.h).
const VALUE_MAX: usize = 64 << 10;

/// Whether an entry can have these.
fn is_possible(list: &List) -> bool {
    let name = |name: &[u8]| !name.is_empty() && name.len() <= NAME_MAX && !name.contains(&0);
    list.bytes() <= attrs::MAX_BYTES
        && list.count() <= attrs::MAX_COUNT
        && list.xattrs.iter().all(|(own, value)| name(own) && value.len() <= VALUE_MAX)
        && list.access.iter().chain(&list.default).all(|ace| ace.name.len() <= NAME_MAX)
}

/// Longest name in bytes (`NAME_MAX` of Linux's file systems).
const NAME_MAX: usize = 255;

/// More than that are a second.
const MAX_NANOS: u32 = 999_999_999;

/// The runs of data of a file of `len` bytes whose data and holes have these lengths in turn: none empty but
/// a first one, none beyond the end.
fn runs(turns: &[u64], len: u64) -> Option<Vec<Range<u64>>> {
    if turns.len() > 2 * RUNS + 1 {
        return None;
    }
    let (mut at, mut runs) = (0_u64, Vec::with_capacity(turns.len() / 2 + 1));
    for (place, turn) in turns.iter().enumerate() {
        let end = at.checked_add(*turn).filter(|end| *end <= len)?;
        match (place % 2, *turn) {
            (_, 0) if place > 0 => return None,
            (0, 1..) => runs.push(at..end),
            _ => {}
        }
        at = end;
    }
    // It ends with data: what follows is a hole without being said.
    (turns.len() != 1 || turns[0] > 0).then_some(())?;
    (turns.is_empty() || turns.len() % 2 == 1).then_some(runs)
}
