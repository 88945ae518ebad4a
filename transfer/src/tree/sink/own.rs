//! A file with blocks of its own, written as they come.

use super::part::FirstName;
use super::{Region, TreeSink, push};
use crate::blocks::{self, BLOCK, Tree, Value};
use crate::sink::SinkError;
use crate::tree::files::UNREAD;
use crate::tree::gather::Wanted;
use crate::tree::ground::{Ground, Held, Why};
use blake3::Hash;
use core::ops::Range;
use std::collections::BTreeMap;

/// A file that is on its way.
pub(super) struct Own<G: Ground> {
    pub(super) number: u64,
    pub(super) slot: Option<G::Slot>,
    pub(super) len: u64,
    /// Where it holds data; `None`: everywhere.
    pub(super) data: Option<Vec<Range<u64>>>,
    /// Its path, should it fail.
    pub(super) path: FirstName,
    /// Blocks that are there, by what they are, and by what the sender says.
    here: Tree,
    told: Tree,
    /// Blocks that may be had here: those that an earlier session has left, with what it says of each, and those that
    /// stand under a former name (`None`); and those that were looked at, and wait for the sender's value. They are
    /// declared neither to be held nor to be lacking yet.
    held: BTreeMap<u64, Option<Value>>,
    seen: Held,
    /// Blocks whose two values are there and the same, holes among them.
    right: u64,
    /// Where somebody reads it meanwhile: so many of its first blocks are right.
    front: Option<u64>,
}

/// Why a file is not in place, and whether what is there of it can be gone on with.
pub(super) struct Ended {
    why: Why,
    stays: bool,
}

impl<G: Ground> Own<G> {
    pub(super) fn new(
        (number, path): (u64, FirstName),
        (slot, held): (G::Slot, Held),
        len: u64,
        data: Option<Vec<Range<u64>>>,
    ) -> Self {
        let (here, told, slot) = (Tree::new(len), Tree::new(len), Some(slot));
        let (left, held, seen) = (held, BTreeMap::new(), Held::new());
        let (right, front) = (0, None);
        let mut this = Self { number, slot, len, data, path, here, told, held, seen, right, front };
        let left = left.into_iter().filter(|(index, _)| this.has_data(*index));
        this.held = left.map(|(index, value)| (index, Some(value))).collect();
        this.right = this.blocks() - this.data_blocks();
        this
    }

    /// Somebody is to be told how far it is right, or nobody.
    pub(super) fn watched(self, watched: bool) -> Self {
        Self { front: watched.then_some(0), ..self }
    }

    /// What no earlier session has left of it may stand under a former name, or not.
    pub(super) fn moved(mut self, moved: bool) -> Self {
        let blocks = if moved { self.blocks() } else { 0 };
        for index in (0..blocks).filter(|index| self.has_data(*index)).collect::<Vec<_>>() {
            self.held.entry(index).or_insert(None);
        }
        self
    }

    /// The first block from this one on of which it is not known that it is right: a hole is by itself.
    fn right_from(&self, mut index: u64) -> u64 {
        while index < self.blocks() {
            if !self.has_data(index) {
                index = self.next_data(index);
            } else if self.here.get(index).is_some() && self.told.get(index).is_some() {
                index += 1; // where the two differ the file has failed
            } else {
                break;
            }
        }
        index
    }

    /// The next block with data behind one that has none.
    fn next_data(&self, index: u64) -> u64 {
        let begin = blocks::range(index, self.len).start;
        let runs = self.data.as_deref().unwrap_or_default();
        let next = runs.get(runs.partition_point(|run| run.end <= begin));
        next.map_or(self.blocks(), |run| run.start / BLOCK).max(index + 1)
    }

    pub(super) fn blocks(&self) -> u64 {
        blocks::count(self.len)
    }

    /// Blocks that hold data, be it a byte.
    fn data_blocks(&self) -> u64 {
        let Some(data) = &self.data else { return self.blocks() };
        let (mut count, mut next) = (0, 0);
        for run in data {
            let (first, end) = (run.start / BLOCK, run.end.div_ceil(BLOCK));
            count += end - first.max(next);
            next = end;
        }
        count
    }

    fn has_data(&self, index: u64) -> bool {
        self.runs(index).next().is_some()
    }

    /// Where a block of it holds data, in bytes of the file.
    fn runs(&self, index: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let range = blocks::range(index, self.len);
        let whole = self.data.is_none().then(|| range.clone());
        let runs = self.data.as_deref().unwrap_or_default();
        let first = runs.partition_point(|run| run.end <= range.start);
        let cut = move |run: &Range<u64>| run.start.max(range.start)..run.end.min(range.end);
        let cut = runs[first..].iter().map(cut).take_while(|run| run.start < run.end);
        whole.into_iter().chain(cut)
    }

    pub(super) fn wanted(&self, index: u64) -> Option<Wanted> {
        if self.here.get(index).is_some() || self.slot.is_none() {
            return None;
        }
        let begin = blocks::range(index, self.len).start;
        let inside = |run: Range<u64>| (run.start - begin) as u32..(run.end - begin) as u32;
        self.has_data(index).then(|| Wanted::new(self.runs(index).map(inside)))
    }

    /// Its data as bytes of the session, where it begins with this block: those that are lacking, and those of blocks
    /// that may be held.
    pub(super) fn lacking(&self, first: u64) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
        let begin = first * BLOCK;
        let whole = [0..self.len];
        let runs = self.data.as_deref().unwrap_or(&whole);
        let (mut lacking, mut open) = (Vec::new(), Vec::new());
        if self.held.is_empty() && self.seen.is_empty() {
            lacking = runs.iter().map(|run| begin + run.start..begin + run.end).collect();
            return (lacking, open);
        }
        for run in runs {
            for index in run.start / BLOCK..run.end.div_ceil(BLOCK) {
                let block = blocks::range(index, self.len);
                let part = run.start.max(block.start)..run.end.min(block.end);
                let may_be_held = self.held.contains_key(&index) || self.seen.contains_key(&index);
                let ranges = if may_be_held { &mut open } else { &mut lacking };
                push(ranges, begin + part.start..begin + part.end);
            }
        }
        (lacking, open)
    }

    /// The data of one block as bytes of the session.
    fn of_block(&self, first: u64, index: u64) -> Vec<Range<u64>> {
        let begin = first * BLOCK;
        self.runs(index).map(|run| begin + run.start..begin + run.end).collect()
    }

    /// The digest of the file, now that all its data are here.
    fn root(&mut self) -> Option<Hash> {
        if let Some(data) = &self.data {
            blocks::set_holes(&mut self.here, data);
        }
        self.here.root()
    }

    pub(super) fn is_done(&self) -> bool {
        self.right == self.blocks()
    }

    /// Whether blocks are to be looked at that may be had here.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }
}

impl<G: Ground> TreeSink<G> {
    /// A block is whole.
    pub(super) fn take_own(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), SinkError> {
        let Some(first) = self.own_at(block) else { return Ok(()) };
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return Ok(()) };
        let index = block - first;
        let range = blocks::range(index, own.len);
        let bytes = &mut bytes[..(range.end - range.start) as usize];
        let runs: Vec<Range<u64>> = own.runs(index).collect();
        clear_holes(bytes, &runs, range.start);
        let value = blocks::value(index, bytes, own.len);
        own.here.set(index, value);
        own.held.remove(&index);
        own.seen.remove(&index);
        let mut written = Ok(());
        if let Some(slot) = &mut own.slot {
            for run in &runs {
                let part =
                    &bytes[(run.start - range.start) as usize..(run.end - range.start) as usize];
                if written.is_ok() {
                    written = self.ground.write(slot, part, run.start);
                }
            }
            written = written.and_then(|()| self.ground.note(slot, index, &value));
        }
        match written {
            Err(why) => self.end_own(first, Err(Ended { why, stays: true })),
            Ok(()) => match self.told.remove(&block) {
                Some(told) => return self.tell_own(block, told),
                None => self.compare(first, index),
            },
        }
        Ok(())
    }

    /// The sender's value of a block is told.
    pub(super) fn tell_own(&mut self, block: u64, value: Value) -> Result<(), SinkError> {
        let Some(first) = self.own_at(block) else { return Ok(()) };
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return Ok(()) };
        let index = block - first;
        if !own.has_data(index) {
            return Ok(());
        }
        if value == UNREAD {
            let why = crate::message::UNREAD_THERE.to_owned();
            self.end_own(first, Err(Ended { why, stays: false }));
            return Ok(());
        }
        match own.told.get(index) {
            Some(before) if before != value => {
                return Err(SinkError::Protocol("two values of one block"));
            }
            Some(_) => return Ok(()), // it was compared when it was told first
            None => {}
        }
        own.told.set(index, value);
        self.settle_seen(first, index);
        self.compare(first, index);
        Ok(())
    }

    /// A block that was looked at is held if the sender says the same of it, and else lacking.
    fn settle_seen(&mut self, first: u64, index: u64) {
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return };
        let Some(told) = own.told.get(index) else { return };
        let Some(seen) = own.seen.remove(&index) else { return };
        if seen == told {
            own.here.set(index, seen);
            self.declared.have.extend(own.of_block(first, index));
        } else {
            own.of_block(first, index).into_iter().for_each(|range| self.lacks(range));
        }
    }

    /// Looks at one of the blocks that may be had here; `false`: there is none.
    pub(super) fn look_at_held(&mut self) -> bool {
        let Some(&first) = self.resumed.front() else { return false };
        let next = match self.regions.get_mut(&first) {
            Some(Region::Own(own)) => own.held.pop_first().map(|held| (own, held)),
            _ => None,
        };
        let Some((own, (index, left))) = next else {
            self.resumed.pop_front();
            return true;
        };
        let Some(value) = look_at(&mut self.ground, own, (index, left)) else {
            own.of_block(first, index).into_iter().for_each(|range| self.lacks(range));
            return true;
        };
        own.seen.insert(index, value);
        if own.told.get(index).is_some() {
            self.settle_seen(first, index);
            self.compare(first, index);
        } else {
            push(&mut self.asks, first + index..first + index + 1);
        }
        true
    }

    fn compare(&mut self, first: u64, index: u64) {
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return };
        match (own.here.get(index), own.told.get(index)) {
            (Some(a), Some(b)) if a == b => own.right += 1,
            (Some(_), Some(_)) => {
                let why = format!("digest mismatch in block {index}");
                return self.end_own(first, Err(Ended { why, stays: false }));
            }
            _ => return,
        }
        let is_done = own.is_done();
        self.advance(first);
        if is_done {
            self.end_own(first, Ok(()));
        }
    }

    /// Tells how far the file is right by now, if somebody reads it meanwhile.
    pub(super) fn advance(&mut self, first: u64) {
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return };
        let Some(before) = own.front else { return };
        let front = own.right_from(before);
        own.front = Some(front);
        if let (Some(slot), true) = (&mut own.slot, front > before) {
            self.ground.verified(slot, blocks::range(front - 1, own.len).end);
        }
    }

    /// A file is whole, or has failed: then nothing more is wanted of it.
    pub(super) fn end_own(&mut self, first: u64, how: Result<(), Ended>) {
        let Some(Region::Own(mut own)) = self.regions.remove(&first) else { return };
        self.owns -= 1;
        let slot = own.slot.take();
        let kept = match (how, slot) {
            (Ok(()), Some(slot)) => self.ground.keep(slot),
            (Ok(()), None) => Ok(()),
            (Err(Ended { why, stays: false }), Some(slot)) => {
                self.ground.discard(slot);
                Err(why)
            }
            (Err(Ended { why, .. }), _) => Err(why),
        };
        match kept {
            Ok(()) => {
                self.report.arrived += 1;
                self.report.bytes += own.len;
                if self.one {
                    self.digest = own.root();
                }
            }
            Err(why) => {
                let blocks = first..first + own.blocks();
                self.gather.forget(blocks.clone());
                self.forget_told(blocks);
                let (lacking, open) = own.lacking(first);
                self.declared.have.extend(lacking.into_iter().chain(open));
                self.fail_first_name(own.number, &own.path, why);
            }
        }
    }
}

/// The value of a block that an earlier session has left, if it is what that has said; or of one that is brought from
/// where it stood before, if it can be. What is brought is hashed where it has come to, and noted as what is sent is: a
/// later session goes on with it.
fn look_at<G: Ground>(
    ground: &mut G,
    own: &mut Own<G>,
    (index, left): (u64, Option<Value>),
) -> Option<Value> {
    let runs: Vec<Range<u64>> = own.runs(index).collect();
    let (range, slot) = (blocks::range(index, own.len), own.slot.as_mut()?);
    if left.is_none() {
        runs.into_iter().try_for_each(|run| ground.bring(slot, run)).ok()?;
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    ground.read(slot, &mut bytes, range.start).ok()?;
    let value = blocks::value(index, &bytes, own.len);
    match left {
        Some(left) => (left == value).then_some(value),
        None => ground.note(slot, index, &value).ok().map(|()| value),
    }
}

/// Where a buffer holds nothing of a file stands what was there before.
fn clear_holes(bytes: &mut [u8], runs: &[Range<u64>], begin: u64) {
    let mut at = 0;
    for run in runs {
        bytes[at..(run.start - begin) as usize].fill(0);
        at = (run.end - begin) as usize;
    }
    bytes[at..].fill(0);
}
