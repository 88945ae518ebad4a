//! A part of the list: what it says is compared with what stands here.

use super::own::Own;
use super::pack::{Pack, Small};
use super::{Lost, MAX_OWN, Region, TreeSink, covering};
use crate::blocks::{BLOCK, Value, hashing};
use crate::sink::SinkError;
use crate::tree::entry::{Entry, Kind, Meta};
use crate::tree::ground::{Ground, Stands, Why};
use crate::tree::layout::{self, Planner, Spot};
use crate::tree::manifest::{PartReader, Record};
use core::ops::Range;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Parts that are told and not read yet, at most: those of half a billion entries.
const MAX_TOLD: usize = 1 << 16;
/// Parts that come before their turn, at most: as many blocks as a receiver's window has, twice.
const MAX_PARTS: usize = 64;

/// Devices, pipes and sockets that are left out, at most, whose further names are left out as well: 2 MB.
const MAX_LEFT: usize = 1 << 16;

/// Why what a folder holds is not in place.
const NO_FOLDER: &str = "its folder is not in place";

/// How far the list has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Blocks of the parts that were told and not read yet, in their order.
    told: VecDeque<u64>,
    /// Parts that were read.
    read: u64,
    /// Parts that are whole, and come after one that is not.
    whole: BTreeMap<u64, Vec<u8>>,
    /// The first block of the data of the part that was read last, and how many they are.
    data: Option<(u64, u64)>,
    entries: u64,
    last: bool,
    /// How long the list is, as the sender says.
    announced: Option<(u64, u64)>,
    ended: bool,
    /// Folders on the way that are not in place: what they hold is not either.
    lost: u32,
    depth: u32,
    /// Of the folders on the way, from the root of the transfer down, whether they are listed whole.
    wholes: Vec<bool>,
}

impl Progress {
    /// A part is told: its number. Whether it stands where it must shows when the one before has been read.
    pub(super) fn expect(&mut self, block: u64) -> Result<u64, SinkError> {
        let least = self.told.back().map_or(self.place(), |before| before + 1);
        if self.last || block < least || self.told.len() >= MAX_TOLD {
            return Err(SinkError::Protocol("a part of the list out of its turn"));
        }
        self.told.push_back(block);
        Ok(self.read + self.told.len() as u64 - 1)
    }

    /// Where the next part that is read must stand: right before the data of the one before.
    fn place(&self) -> u64 {
        self.data.map_or(0, |(data, _)| data - 1)
    }

    /// The next part that can be read, now that this one is whole.
    fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        Some((self.read, self.whole.remove(&self.read)?))
    }

    /// The part that is read stands where it must.
    fn check_place(&mut self) -> Result<(), SinkError> {
        match self.told.pop_front() {
            Some(block) if block == self.place() => Ok(()),
            _ => Err(SinkError::Protocol("a part of the list that is not in its place")),
        }
    }

    /// The blocks before this one are known.
    pub(super) fn known(&self) -> u64 {
        self.data.map_or(0, |(data, count)| data + count)
    }

    /// The folder that it is in is listed whole.
    fn enter_whole(&mut self) {
        self.wholes.resize(self.depth as usize, false);
        self.wholes.push(true);
    }

    /// Whether the folder that it is in is.
    pub(super) fn is_in_whole(&self) -> bool {
        self.wholes.get(self.depth as usize).is_some_and(|whole| *whole)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The sender says how long the list was: the last part, which may be on its way still, must show the same.
    pub(super) fn end(&mut self, entries: u64, blocks: u64) -> Result<(), SinkError> {
        if self.announced.replace((entries, blocks)).is_some() {
            return Err(SinkError::Protocol("a second end of the list"));
        }
        self.check_end()
    }

    fn check_end(&mut self) -> Result<(), SinkError> {
        let Some(announced) = self.announced.filter(|_| self.last) else { return Ok(()) };
        if announced != (self.entries, self.known()) {
            return Err(SinkError::Protocol("an end that is not where the list ended"));
        }
        self.ended = true;
        Ok(())
    }
}

/// A further name, which is given when the first one is in place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Deferred {
    pub(super) number: u64,
    /// As the ground writes its directory.
    pub(super) dir: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) to: Vec<u8>,
}

/// The path of a file, in few bytes: its further names need to know whether it is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FirstName([u8; 16]);

impl FirstName {
    /// Of a path from the root of the transfer.
    pub(super) fn of(path: &[u8]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&hashing::of_name(path).as_bytes()[..16]);
        Self(short)
    }
}

/// What a part comes to.
struct Plan<G: Ground> {
    planner: Planner,
    /// Packs by their blocks, with all their rows.
    packs: BTreeMap<u64, Pack<G>>,
}

impl<G: Ground> TreeSink<G> {
    /// A part is whole, and its digest has matched: it is read when all before it were.
    pub(super) fn take_part(&mut self, number: u64, bytes: &[u8]) -> Result<(), SinkError> {
        if self.progress.whole.len() >= MAX_PARTS {
            return Err(SinkError::Protocol("parts of the list that come long before their turn"));
        }
        self.progress.whole.insert(number, bytes.to_vec());
        while let Some((number, bytes)) = self.progress.next() {
            self.read_part(number, &bytes)?;
        }
        Ok(())
    }

    fn read_part(&mut self, number: u64, bytes: &[u8]) -> Result<(), SinkError> {
        self.progress.check_place()?;
        let mut reader = PartReader::new(number, bytes)?;
        let header = reader.header();
        if header.first != self.progress.entries {
            return Err(SinkError::Protocol("a part that does not follow the one before"));
        }
        if header.way.len() as u32 != self.progress.depth {
            return Err(SinkError::Protocol(
                "a part that begins elsewhere than the one before ends",
            ));
        }
        let last = header.last;
        self.ground.foresee(PartReader::new(number, bytes)?);
        let (block, count) = self.progress.data.unwrap_or((0, 1));
        let data = layout::after(block, count, last);
        let mut plan = Plan { planner: Planner::new(data), packs: BTreeMap::new() };
        while let Some(record) = reader.next_record()? {
            match record {
                Record::Root(mut meta) => {
                    let told = reader.owner(meta.uid, meta.gid);
                    let owner = told.map(|owner| self.ground.owner(owner)).transpose();
                    if let Ok(Some(ids)) = owner {
                        (meta.uid, meta.gid) = ids;
                    }
                    let lists = self.ground.attrs(&mut meta.attrs);
                    let before = self.root_before(&meta);
                    // There is no entry that could fail by its number.
                    if let Err(why) = owner.and(lists).and_then(|()| self.ground.root(&meta))
                        && matches!(self.root_lost, Lost::No)
                    {
                        self.root_lost = Lost::Untold(why);
                    }
                    self.root_came(&meta, before.as_ref());
                }
                Record::Whole => self.progress.enter_whole(),
                Record::Other(_) => {}
                Record::Leave => self.leave(),
                Record::Entry(number, mut entry, digest) => {
                    self.progress.entries = number + 1;
                    let told = reader.owner(entry.meta.uid, entry.meta.gid);
                    let owner = told.map(|owner| self.ground.owner(owner)).transpose();
                    if let Ok(Some(ids)) = owner {
                        (entry.meta.uid, entry.meta.gid) = ids;
                    }
                    let lists = self.ground.attrs(&mut entry.meta.attrs);
                    self.take_entry(number, (entry, digest), owner.and(lists).err(), &mut plan);
                }
            }
        }
        let end = plan.planner.end();
        if end > layout::MAX_BLOCKS {
            return Err(SinkError::Protocol("more files than a session carries"));
        }
        self.place(plan.packs);
        self.keep_part(bytes);
        self.progress.data = Some((data, end - data));
        self.progress.read += 1;
        self.progress.last = last;
        self.progress.check_end()?;
        self.declare_data(data..end);
        let early: Vec<u64> = self.told.range(data..end).map(|(block, _)| *block).collect();
        for block in early {
            if covering(&self.regions, block).is_none() {
                self.told.remove(&block);
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.progress.wholes.truncate(self.progress.depth as usize);
        self.progress.depth = self.progress.depth.saturating_sub(1);
        if self.progress.lost > 0 {
            self.progress.lost -= 1;
        } else {
            self.ground.leave();
        }
    }

    fn take_entry(
        &mut self,
        number: u64,
        (entry, digest): (Entry, Option<Value>),
        wrong: Option<Why>,
        plan: &mut Plan<G>,
    ) {
        let spot = plan.planner.place(&entry.kind);
        if let Spot::Packed { block, .. } = spot {
            let none = || Pack { files: Vec::new(), rows: 0, table: None };
            plan.packs.entry(block).or_insert_with(none).rows += 1;
        }
        if entry.kind == Kind::Dir {
            return self.enter(number, &entry, wrong);
        }
        if self.progress.lost > 0 {
            return self.fail(number, NO_FOLDER.to_owned());
        }
        if let Some(why) = wrong.or_else(|| self.ground.claim(&entry).err()) {
            let path = FirstName::of(&self.ground.path(&self.ground.here(), &entry.name));
            return self.fail_first_name(number, &path, why);
        }
        match &entry.kind {
            Kind::Dir => {}
            Kind::Symlink { target } => {
                let before = self.before(&entry);
                let put = |ground: &mut G| ground.symlink(&entry, target);
                match self.put_clearing(&entry, put) {
                    Err(why) => {
                        let here = self.ground.here();
                        let path = FirstName::of(&self.ground.path(&here, &entry.name));
                        self.fail_first_name(number, &path, why);
                    }
                    Ok(came) => {
                        self.came(number, &entry, before.as_ref(), came);
                        self.stands(number, Ok(came));
                    }
                }
            }
            &Kind::Special(device) => {
                let before = self.before(&entry);
                let put = self.put_clearing(&entry, |ground| ground.special(&entry, device));
                if let Ok(came) = put {
                    self.came(number, &entry, before.as_ref(), came);
                }
                let path = || FirstName::of(&self.ground.path(&self.ground.here(), &entry.name));
                match put {
                    Err(why) => {
                        let path = path();
                        self.fail_first_name(number, &path, why);
                    }
                    Ok(Stands::Left) if self.left_names.len() < MAX_LEFT => {
                        let path = path();
                        self.left_names.insert(path);
                    }
                    put => self.stands(number, put),
                }
            }
            Kind::Link { to } => {
                self.further_name(number, &entry);
                self.clear(&entry);
                let dir = self.ground.write_dir(&self.ground.here());
                let (name, meta, to) = (entry.name, entry.meta, to.clone());
                self.defer(Deferred { number, dir, name, meta, to });
            }
            Kind::File { .. } => self.take_file(number, (entry, digest), spot, plan),
        }
    }

    /// Puts an entry, once more if a folder stands there and goes for it.
    fn put_clearing(
        &mut self,
        entry: &Entry,
        put: impl Fn(&mut G) -> Result<Stands, Why>,
    ) -> Result<Stands, Why> {
        match put(&mut self.ground) {
            Err(_) if self.clear(entry) => {
                if self.dry {
                    Ok(Stands::Other)
                } else {
                    put(&mut self.ground)
                }
            }
            put => put,
        }
    }

    fn enter(&mut self, number: u64, entry: &Entry, wrong: Option<Why>) {
        self.progress.depth += 1;
        if self.progress.lost > 0 {
            self.progress.lost += 1;
            return self.fail(number, NO_FOLDER.to_owned());
        }
        let before = self.before(entry);
        let enter = || self.ground.claim(entry).and_then(|()| self.ground.enter(number, entry));
        let entered = wrong.map_or_else(enter, Err);
        match &entered {
            Ok(came) => self.came(number, entry, before.as_ref(), *came),
            Err(_) => self.progress.lost = 1,
        }
        self.stands(number, entered);
    }

    fn take_file(
        &mut self,
        number: u64,
        (entry, digest): (Entry, Option<Value>),
        spot: Spot,
        plan: &mut Plan<G>,
    ) {
        let (dir, before) = (self.ground.here(), self.before(&entry));
        let mut looked = self.ground.look(&entry, digest.as_ref());
        if !matches!(looked, Ok(Stands::Same)) && self.clear(&entry) {
            looked = Ok(Stands::Other);
        }
        if let Ok(came) = looked {
            self.came(number, &entry, before.as_ref(), came);
        }
        match looked {
            Ok(Stands::Other) if self.dry => {
                let Kind::File { len, .. } = entry.kind else { return };
                return self.would_arrive(len);
            }
            Ok(Stands::Other | Stands::Left) => {}
            Ok(Stands::Same) => return self.stands(number, Ok(Stands::Same)),
            Err(why) => {
                let path = FirstName::of(&self.ground.path(&dir, &entry.name));
                return self.fail_first_name(number, &path, why);
            }
        }
        match spot {
            Spot::Empty => {
                let put = self.ground.file(&dir, &entry, &[]);
                self.digest = Some(hashing::whole(&[]));
                self.stands(number, put.map(|()| Stands::Other));
            }
            Spot::Packed { block, row, at } => {
                let len = if let Kind::File { len, .. } = entry.kind { len as u32 } else { 0 };
                if let Some(pack) = plan.packs.get_mut(&block) {
                    let elsewhere = self.ground.is_elsewhere(&dir, &entry);
                    pack.files.push(Small { number, dir, entry, row, at, len, elsewhere });
                }
            }
            Spot::Own { block } => self.begin_own(number, &dir, &entry, block),
        }
    }

    fn begin_own(&mut self, number: u64, dir: &G::Dir, entry: &Entry, block: u64) {
        let Kind::File { len, data } = &entry.kind else { return };
        let path = FirstName::of(&self.ground.path(dir, &entry.name));
        if self.owns >= MAX_OWN {
            let why = "too many files are on their way at a time".to_owned();
            return self.fail_first_name(number, &path, why);
        }
        match self.ground.begin(dir, entry) {
            Err(why) => self.fail_first_name(number, &path, why),
            Ok(begun) => {
                let watched = self.ground.is_watched(&begun.0);
                let elsewhere = self.ground.has_elsewhere(&begun.0);
                let own = Own::new((number, path), begun, *len, data.clone());
                let own = own.watched(watched).moved(elsewhere);
                let done = own.is_done(); // nothing but holes
                if own.is_held() {
                    self.resumed.push_back(block);
                }
                self.owns += 1;
                self.regions.insert(block, Region::Own(Box::new(own)));
                self.advance(block); // it may begin with a hole
                if done {
                    self.end_own(block, Ok(()));
                }
            }
        }
    }

    fn place(&mut self, packs: BTreeMap<u64, Pack<G>>) {
        for (block, pack) in packs {
            if !pack.files.is_empty() {
                self.regions.insert(block, Region::Pack(pack));
            }
        }
    }

    /// Declares what is lacking of a part's data, and that the rest is not.
    fn declare_data(&mut self, blocks: Range<u64>) {
        let regions = self.regions.range(blocks.clone());
        let (mut lacking, mut open) = (Vec::new(), Vec::new());
        for (first, region) in regions {
            match region {
                Region::Part { .. } => {}
                Region::Pack(pack) => {
                    lacking.extend(pack.lacking(*first));
                    open.extend(pack.may_be_here(*first));
                }
                Region::Own(own) => {
                    let (lacks, may_hold) = own.lacking(*first);
                    lacking.extend(lacks);
                    open.extend(may_hold);
                }
            }
        }
        // Values that came before are for what is lacking now.
        let told = self.told.range(blocks.clone());
        let told: Vec<(u64, Value)> = told.map(|(block, value)| (*block, *value)).collect();
        for (block, value) in told {
            if self.own_at(block).is_some() {
                self.told.remove(&block);
                let _ = self.tell_own(block, value);
            }
        }
        self.declare(lacking, open, blocks.start * BLOCK..blocks.end * BLOCK);
    }
}
