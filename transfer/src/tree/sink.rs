//! A tree on its way in: parts, values and bytes in; out what is held and what is lacking, and entries in place.
//!
//! Nothing of a part is acted upon before its digest has matched, no file gets its name before its own has. An entry
//! that fails is told by its number, and the others go on.

mod changes;
mod delete;
mod own;
mod pack;
mod part;

use super::change::{By, Change};
use super::entry::{Entry, Kind};
use super::gather::{Gather, Wanted};
use super::ground::{Ground, Stands, Unfinished, Why};
use super::layout;
use super::moved::Pair;
use super::records::Records;
use crate::blocks::{BLOCK, Value, hashing};
use crate::filter::ToldRule;
use crate::message::Report;
use crate::sink::{Declared, Sink, SinkError};
use blake3::Hash;
use core::ops::Range;
use delete::Deleting;
use own::Own;
use pack::Pack;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// Values that are kept for blocks of which nothing is known yet: those of a TiB, 48 MB. Others may be sent what
/// this receiver has yet to look at.
const MAX_TOLD: usize = 1 << 20;
/// Packs that wait for their values, at most; a sender tells them within some hundredths of a second.
const MAX_WHOLE: usize = 128;
/// Files that are written at a time, at most, each with a descriptor: a part has 64, and two are on their way.
const MAX_OWN: usize = 512;

/// Blocks whose bytes came too early, at most: those of a TiB, 24 MB.
const MAX_EARLY: usize = 1 << 20;
/// Files that are not in place, at most, of which it is remembered for their further names: 16 MB.
const MAX_LOST: usize = 1 << 20;
/// Longest reason in bytes; a path may have four times as many.
const MAX_WHY: usize = 1024;

/// What begins at a block.
enum Region<G: Ground> {
    Part { number: u64, len: u32, digest: Value },
    Pack(Pack<G>),
    Own(Box<Own<G>>),
}

impl<G: Ground> Region<G> {
    /// Blocks that it covers.
    fn count(&self) -> u64 {
        match self {
            Self::Part { .. } | Self::Pack(_) => 1,
            Self::Own(own) => own.blocks(),
        }
    }
}

/// By the first block of each.
type Regions<G> = BTreeMap<u64, Region<G>>;

/// A tree on its way in.
pub(crate) struct TreeSink<G: Ground> {
    gather: Gather,
    regions: Regions<G>,
    /// Values of blocks that are lacking, or of which it is not known yet.
    told: BTreeMap<u64, Value>,
    /// Packs that are whole, and whose values are not told yet.
    whole: HashMap<u64, Box<[u8]>>,
    /// Files with blocks of their own that are on their way.
    owns: usize,
    /// Blocks of which bytes came before anything was known of them.
    early: BTreeSet<u64>,
    /// Files of which an earlier session has left blocks that are to be looked at, by their first blocks.
    resumed: VecDeque<u64>,
    /// Blocks of which the values are to be asked for.
    asks: Vec<Range<u64>>,
    progress: part::Progress,
    /// Further names, once there is one.
    links: Option<Records<part::Deferred>>,
    /// Files that are not in place, of which there may be further names; `None`: too many to tell.
    lost_names: Option<HashSet<part::FirstName>>,
    /// Devices, pipes and sockets that are left out, of which there may be further names.
    left_names: HashSet<part::FirstName>,
    /// What entries that may have further names come to, where changes are told.
    firsts: HashMap<part::FirstName, changes::First>,
    /// It is one file.
    one: bool,
    declared: Declared,
    deleting: Option<Deleting>,
    /// Why nothing was deleted that was to be.
    spared: Option<String>,
    undeleted: Vec<(Vec<u8>, Why)>,
    notes: Vec<String>,
    /// What entries that are changed are judged by, if that is to be told.
    itemizes: Option<By>,
    /// Nothing is changed: what is lacking is nobody's need.
    dry: bool,
    /// Entries of which nothing of their kind stood there.
    new: u64,
    changes: Vec<(u64, Change)>,
    /// What was deleted.
    gone: Vec<(Vec<u8>, bool)>,
    report: Report,
    failed: Vec<(u64, Why)>,
    first_failure: Option<Why>,
    digest: Option<Hash>,
    /// What could not be set of the folder that a slash stands behind, which is no entry: it is told once.
    root_lost: Lost,
    /// Goes last: it puts right the folders that what is begun is in, which goes before.
    ground: G,
}

/// Whether something was lost, and why if that was not told yet.
#[derive(Debug, Default)]
enum Lost {
    #[default]
    No,
    Untold(Why),
    Told,
}

impl<G: Ground> TreeSink<G> {
    /// Into a file system; `one`: a single file.
    pub(crate) fn new(ground: G, one: bool) -> Self {
        Self {
            ground,
            gather: Gather::new(),
            regions: BTreeMap::new(),
            told: BTreeMap::new(),
            whole: HashMap::new(),
            owns: 0,
            early: BTreeSet::new(),
            resumed: VecDeque::new(),
            asks: Vec::new(),
            progress: part::Progress::default(),
            links: None,
            lost_names: Some(HashSet::new()),
            left_names: HashSet::new(),
            firsts: HashMap::new(),
            one,
            declared: Declared::default(),
            deleting: None,
            spared: None,
            undeleted: Vec::new(),
            notes: Vec::new(),
            itemizes: None,
            dry: false,
            new: 0,
            changes: Vec::new(),
            gone: Vec::new(),
            report: Report::default(),
            failed: Vec::new(),
            first_failure: None,
            digest: None,
            root_lost: Lost::No,
        }
    }

    /// Why the first of the entries failed, if any did.
    pub(crate) fn first_failure(&self) -> Option<Why> {
        self.first_failure.clone()
    }

    /// What it put things into.
    pub(crate) fn into_ground(self) -> G {
        self.ground
    }

    fn put_piece(&mut self, block: u64, at: u32, piece: &[u8]) -> Result<(), SinkError> {
        let (regions, whole, ground) = (&self.regions, &self.whole, &self.ground);
        let wanted = || wanted(regions, whole, block);
        let put = self.gather.put(block, at, piece, wanted, || ground.spool());
        let Some(mut bytes) = put.map_err(SinkError::Aside)? else {
            return self.note_early(block);
        };
        match self.regions.range(..=block).next_back() {
            Some((_, &Region::Part { number, len, digest })) => {
                let part = &bytes[..len as usize];
                if *hashing::whole(part).as_bytes() != digest {
                    return Err(SinkError::Digest(number));
                }
                self.regions.remove(&block);
                self.take_part(number, part)?;
            }
            Some((_, Region::Pack(pack))) if pack.is_known() => self.settle_rest(block, &bytes),
            Some((_, Region::Pack(_))) => {
                let Some(value) = self.told.remove(&block) else {
                    self.whole.insert(block, bytes);
                    return Ok(());
                };
                self.settle_pack(block, &bytes, value);
            }
            Some((_, Region::Own(_))) => self.take_own(block, &mut bytes)?,
            None => {}
        }
        self.gather.give_back(bytes);
        Ok(())
    }

    /// The region that a block is of, with its first block.
    fn region(&self, block: u64) -> Option<(u64, &Region<G>)> {
        covering(&self.regions, block)
    }

    fn own_at(&self, block: u64) -> Option<u64> {
        match self.region(block)? {
            (first, Region::Own(_)) => Some(first),
            _ => None,
        }
    }

    fn is_wanted(&self, block: u64) -> bool {
        self.region(block).is_some()
    }

    /// These are lacking, of these it is not known, and the rest of a range is not. Both are sorted.
    fn declare(
        &mut self,
        lacking: impl IntoIterator<Item = Range<u64>>,
        open: impl IntoIterator<Item = Range<u64>>,
        all: Range<u64>,
    ) {
        let mut at = all.start.min(all.end);
        let (mut lacking, mut open) = (lacking.into_iter().peekable(), open.into_iter().peekable());
        loop {
            let is_open = match (lacking.peek(), open.peek()) {
                (Some(lacks), Some(open)) => open.start < lacks.start,
                (lacks, _) => lacks.is_none(),
            };
            let next = if is_open { open.next() } else { lacking.next() };
            let Some(range) = next else { break };
            if at < range.start && range.start > all.start {
                push(&mut self.declared.have, at..range.start);
            }
            at = at.max(range.end);
            if !is_open {
                self.lacks(range);
            }
        }
        if at < all.end {
            push(&mut self.declared.have, at..all.end);
        }
    }

    /// Bytes of a block have come. Where nothing is known of it yet they were not kept: the group does not wait for ever
    /// for what is undeclared, and what it carries can overtake the word that says what it is.
    fn note_early(&mut self, block: u64) -> Result<(), SinkError> {
        if block < self.progress.known() || self.region(block).is_some() {
            return Ok(());
        }
        self.early.insert(block);
        if self.early.len() > MAX_EARLY {
            return Err(SinkError::Protocol("bytes of blocks far beyond what the list tells"));
        }
        Ok(())
    }

    /// This is lacking; what of it was not kept is to come again.
    fn lacks(&mut self, range: Range<u64>) {
        for block in range.start / BLOCK..range.end.div_ceil(BLOCK) {
            if self.early.contains(&block) {
                let (begin, end) = (block * BLOCK, (block + 1) * BLOCK);
                push(&mut self.declared.again, range.start.max(begin)..range.end.min(end));
            }
        }
        push(&mut self.declared.lack, range);
    }

    /// The values that were told of these blocks go.
    fn forget_told(&mut self, blocks: Range<u64>) {
        let told: Vec<u64> = self.told.range(blocks).map(|(block, _)| *block).collect();
        for block in told {
            self.told.remove(&block);
        }
    }

    /// Keeps a further name until the first one is in place.
    fn defer(&mut self, name: part::Deferred) {
        let number = name.number;
        let links = match &mut self.links {
            Some(links) => links,
            none => none.insert(Records::new(self.ground.unnamed().ok())),
        };
        if links.push(name).is_err() {
            self.fail(number, "cannot remember a hard link: the disk is full".to_owned());
        }
    }

    /// A file is not in place: nor are its further names.
    fn fail_first_name(&mut self, entry: u64, path: &part::FirstName, why: Why) {
        if let Some(lost) = &mut self.lost_names {
            lost.insert(*path);
            if lost.len() > MAX_LOST {
                self.lost_names = None;
            }
        }
        self.fail(entry, why);
    }

    /// Gives a file a further name, if it is in place itself.
    fn link(&mut self, name: &part::Deferred) {
        let part::Deferred { number, dir, name, meta, to } = name;
        let first = part::FirstName::of(to);
        let is_lost = self.lost_names.as_ref().is_none_or(|lost| lost.contains(&first));
        let put = if self.left_names.contains(&first) {
            Ok(Stands::Left)
        } else if is_lost {
            Err("the file that it is another name of is not in place".to_owned())
        } else {
            let entry = Entry {
                name: name.clone(),
                meta: meta.clone(),
                kind: Kind::Link { to: to.clone() },
            };
            match self.ground.link(&self.ground.read_dir(dir), &entry, to) {
                // In a dry run the first name is still that of the old file.
                Ok(Stands::Same) if self.dry && self.is_anew(to) => Ok(Stands::Other),
                put => put,
            }
        };
        self.stands(*number, put);
    }

    fn fail(&mut self, entry: u64, why: Why) {
        self.report.failed += 1;
        let why = shortened(why);
        self.first_failure.get_or_insert_with(|| why.clone());
        self.failed.push((entry, why));
    }

    fn stands(&mut self, entry: u64, put: Result<Stands, Why>) {
        match put {
            Ok(Stands::Same) => self.report.unchanged += 1,
            Ok(Stands::Other) => self.report.arrived += 1,
            Ok(Stands::Left) => {}
            Err(why) => self.fail(entry, why),
        }
    }
}

impl<G: Ground> Sink for TreeSink<G> {
    fn part(&mut self, block: u64, len: u32, digest: Value) -> Result<(), SinkError> {
        if block >= layout::MAX_BLOCKS {
            return Err(SinkError::Protocol("a part beyond what a session carries"));
        }
        let number = self.progress.expect(block)?;
        if len == 0 || u64::from(len) > BLOCK {
            return Err(SinkError::Protocol("a part without bytes, or longer than a block"));
        }
        self.regions.insert(block, Region::Part { number, len, digest });
        let (begin, end) = (block * BLOCK, (block + 1) * BLOCK);
        let part = begin..begin + u64::from(len);
        self.declare([part.clone()], [], part.end..end);
        Ok(())
    }

    fn value(&mut self, block: u64, value: Value) -> Result<(), SinkError> {
        if block < self.progress.known() && !self.is_wanted(block) {
            return Ok(());
        }
        if let Some(bytes) = self.whole.remove(&block) {
            self.settle_pack(block, &bytes, value);
            self.gather.give_back(bytes);
            return Ok(());
        }
        if self.own_at(block).is_some() {
            return self.tell_own(block, value);
        }
        if self.told.len() >= MAX_TOLD {
            return Err(SinkError::Protocol("values of more blocks than can be on their way"));
        }
        self.told.insert(block, value);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.whole.len() >= MAX_WHOLE
    }

    fn put(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), SinkError> {
        let mut offset = offset;
        while !bytes.is_empty() {
            let (block, at) = (offset / BLOCK, (offset % BLOCK) as usize);
            let piece = &bytes[..bytes.len().min(BLOCK as usize - at)];
            self.put_piece(block, at as u32, piece)?;
            offset += piece.len() as u64;
            bytes = &bytes[piece.len()..];
        }
        Ok(())
    }

    fn declared(&mut self) -> Declared {
        std::mem::take(&mut self.declared)
    }

    fn asks(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.asks)
    }

    fn work(&mut self) -> Result<bool, SinkError> {
        Ok(self.look_at_held())
    }

    fn failures(&mut self) -> Vec<(u64, Why)> {
        std::mem::take(&mut self.failed)
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = self.ground.notes();
        if let Lost::Untold(why) = &self.root_lost {
            notes.push(format!("what is told of its folder cannot be set: {why}"));
            self.root_lost = Lost::Told;
        }
        notes.append(&mut self.notes);
        notes
    }

    fn rules(&mut self, rules: Vec<ToldRule>) -> Result<(), SinkError> {
        self.take_rules(rules)
    }

    fn extras(&mut self, rules: Result<u64, String>) -> Result<(), SinkError> {
        self.take_word(rules)
    }

    fn moved(&mut self, pairs: Vec<Pair>) -> Result<(), SinkError> {
        let room = self.ground.moved(pairs);
        room.then_some(()).ok_or(SinkError::Protocol("more former names than can be kept"))
    }

    fn changes(&mut self) -> Vec<(u64, Change)> {
        std::mem::take(&mut self.changes)
    }

    fn gone(&mut self) -> Vec<(Vec<u8>, bool)> {
        std::mem::take(&mut self.gone)
    }

    fn undeleted(&mut self) -> Vec<(Vec<u8>, Why)> {
        std::mem::take(&mut self.undeleted)
    }

    fn is_complete(&self) -> bool {
        self.progress.is_ended() && self.regions.is_empty()
    }

    fn end(&mut self, entries: u64, blocks: u64) -> Result<(), SinkError> {
        self.progress.end(entries, blocks)
    }

    fn finish(&mut self) -> Result<Report, SinkError> {
        if let Some(links) = self.links.take() {
            links.replay(|name| self.link(&name)).map_err(SinkError::Aside)?;
        }
        self.delete();
        for Unfinished { number, new, why } in self.ground.finish().map_err(SinkError::Finish)? {
            let counted = if new { &mut self.report.arrived } else { &mut self.report.unchanged };
            *counted = counted.saturating_sub(1);
            self.fail(number, why);
        }
        Ok(self.report)
    }

    fn digest(&self) -> Option<Hash> {
        self.digest
    }
}

/// The region that a block is of, with its first block.
fn covering<G: Ground>(regions: &Regions<G>, block: u64) -> Option<(u64, &Region<G>)> {
    let (first, region) = regions.range(..=block).next_back()?;
    (block < first + region.count()).then_some((*first, region))
}

/// What is wanted of a block that was not begun.
fn wanted<G: Ground>(
    regions: &Regions<G>,
    whole: &HashMap<u64, Box<[u8]>>,
    block: u64,
) -> Option<Wanted> {
    match covering(regions, block)? {
        (_, Region::Part { len, .. }) => Some(Wanted::new([0..*len])),
        (_, Region::Pack(pack)) if !whole.contains_key(&block) => Some(pack.wanted()),
        (_, Region::Pack(_)) => None,
        (first, Region::Own(own)) => own.wanted(block - first),
    }
}

/// What is said of a failure, in a length that people read.
fn shortened(mut why: Why) -> Why {
    if why.len() > MAX_WHY {
        let end = (0..=MAX_WHY).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
        why.truncate(end);
        why.push('…');
    }
    why
}

/// Adds a range behind the others; one that continues the last makes that longer.
fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Bytes of a pack's file and of its digest, from the block's beginning.
fn places(row: u32, at: u32, len: u32) -> [Range<u32>; 2] {
    let digest = layout::row(row);
    [at..at + len, digest.start as u32..digest.end as u32]
}

#[cfg(test)]
mod tests;
