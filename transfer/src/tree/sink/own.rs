//! A file with blocks of its own, written as they come.

use super::{Region, TreeSink};
use crate::blocks::{self, BLOCK, Tree, Value};
use crate::sink::SinkError;
use crate::tree::files::UNREAD;
use crate::tree::gather::Wanted;
use crate::tree::ground::{Ground, Why};
use blake3::Hash;
use core::ops::Range;

/// A file that is on its way.
pub(super) struct Own<G: Ground> {
    pub(super) number: u64,
    pub(super) slot: Option<G::Slot>,
    pub(super) len: u64,
    /// Where it holds data; `None`: everywhere.
    pub(super) data: Option<Vec<Range<u64>>>,
    /// Blocks that are there, by what they are, and by what the sender says.
    here: Tree,
    told: Tree,
    /// Blocks whose two values are there and the same, holes among them.
    right: u64,
}

impl<G: Ground> Own<G> {
    pub(super) fn new(number: u64, slot: G::Slot, len: u64, data: Option<Vec<Range<u64>>>) -> Self {
        let (here, told, slot) = (Tree::new(len), Tree::new(len), Some(slot));
        let mut this = Self { number, slot, len, data, here, told, right: 0 };
        this.right = this.blocks() - this.data_blocks();
        this
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
        Some(Wanted::new(self.runs(index).map(inside)))
    }

    /// All of its data as bytes of the session, where it begins with this block.
    pub(super) fn lacking(&self, first: u64) -> Vec<Range<u64>> {
        let begin = first * BLOCK;
        let whole = [0..self.len];
        let runs = self.data.as_deref().unwrap_or(&whole);
        runs.iter().map(|run| begin + run.start..begin + run.end).collect()
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
        let mut written = Ok(());
        for run in &runs {
            let part = &bytes[(run.start - range.start) as usize..(run.end - range.start) as usize];
            if let (Some(slot), Ok(())) = (&mut own.slot, &written) {
                written = self.ground.write(slot, part, run.start);
            }
        }
        match written {
            Err(why) => self.end_own(first, Err(why)),
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
        if value == UNREAD {
            self.end_own(first, Err("the sender could not read it".to_owned()));
            return Ok(());
        }
        if own.told.get(index).is_some_and(|before| before != value) {
            return Err(SinkError::Protocol("two values of one block"));
        }
        own.told.set(index, value);
        self.compare(first, index);
        Ok(())
    }

    fn compare(&mut self, first: u64, index: u64) {
        let Some(Region::Own(own)) = self.regions.get_mut(&first) else { return };
        match (own.here.get(index), own.told.get(index)) {
            (Some(a), Some(b)) if a == b => own.right += 1,
            (Some(_), Some(_)) => {
                return self.end_own(first, Err(format!("digest mismatch in block {index}")));
            }
            _ => return,
        }
        if own.is_done() {
            self.end_own(first, Ok(()));
        }
    }

    /// A file is whole, or has failed: then nothing more is wanted of it.
    pub(super) fn end_own(&mut self, first: u64, how: Result<(), Why>) {
        let Some(Region::Own(mut own)) = self.regions.remove(&first) else { return };
        self.owns -= 1;
        let kept = how.and_then(|()| own.slot.take().map_or(Ok(()), |slot| self.ground.keep(slot)));
        match kept {
            Ok(()) => {
                self.report.arrived += 1;
                self.report.bytes += own.len;
                self.digest = own.root();
            }
            Err(why) => {
                let blocks = first..first + own.blocks();
                self.gather.forget(blocks.clone());
                self.forget_told(blocks);
                self.declared.have.extend(own.lacking(first));
                self.fail(own.number, why);
            }
        }
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
