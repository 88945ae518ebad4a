//! Blocks of a source that can be asked for again: which are here, and which are wanted.
//!
//! Every block asked for has its place in the cache from then on, so the blocks here, wanted and
//! waited for are never more than [`CACHE_BLOCKS`]. What reads ahead takes places only from blocks
//! that were used, and only so many that half the cache stays with blocks in use. What is missing
//! now has precedence: it may take any place but one that somebody is about to use.

use super::store::NotAtHand;
use crate::error::EndError;
use crate::wire::MAX_OFFSET;
use core::fmt;
use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

/// Binary logarithm of a block's length in bytes, 1 MiB: the unit of the file's digests as well.
const BLOCK_SHIFT: u32 = 20;
/// Blocks held at most, those that were asked for included.
pub(crate) const CACHE_BLOCKS: usize = 32;
/// Blocks asked for beyond the one that is read: at 10 Gbit/s some 3 ms of work for the reader of
/// the source.
pub(crate) const READ_AHEAD: u64 = 4;
/// Reading ahead stops when so many blocks were asked for and not read yet.
const AHEAD_LIMIT: usize = CACHE_BLOCKS / 2;
/// A block that was not read to its end may still make room when the last use of it was so many reads
/// ago (some eleven blocks of full segments): its reader is gone.
const STALE_READS: u64 = 8192;
/// So may any when so many blocks in a row were missing and found no place, and nothing could be read
/// meanwhile: whoever is about to read what is here does not.
const UNREAD_WANTS: u32 = 4;

/// A block in the cache.
struct Slot {
    index: u64,
    bytes: Arc<[u8]>,
    /// When it was last used or, unread, supplied: a count of reads.
    used: u64,
    read: bool,
    /// Read to its end: a sequential reader has left it.
    finished: bool,
}

impl Slot {
    /// Whether its reader has left it, after so many reads in all.
    fn is_left(&self, tick: u64) -> bool {
        self.finished || tick - self.used > STALE_READS
    }
}

/// A block to be asked for.
#[derive(Debug, Clone, Copy)]
struct Want {
    index: u64,
    /// A read failed for want of it; else it is read ahead.
    urgent: bool,
}

/// A source, whose length may become known while it is sent.
pub(super) struct Source {
    /// Its length, once that is known.
    len: Option<u64>,
    /// Until then, how far it is known to exist, if that has been said.
    grown: Option<u64>,
    /// End of the highest byte that was supplied: it cannot end before.
    supplied: u64,
    /// Binary logarithm of the block length.
    shift: u32,
    slots: Vec<Slot>,
    /// Not yet asked for; urgent ones first.
    wanted: VecDeque<Want>,
    /// Asked for, not yet supplied.
    pending: Vec<u64>,
    /// Number of reads so far: the time by which use is measured.
    tick: u64,
    /// Blocks that were missing and found no place since the last read that succeeded.
    unplaced: u32,
    /// Where the last block was found: segments come mostly from the same one.
    hint: usize,
    /// What is read ahead: said by who knows what is lacked, or else whatever follows.
    ahead: Ahead,
}

/// What is read ahead of a source.
#[derive(Debug)]
enum Ahead {
    /// The blocks that follow; those of this one have all been asked for.
    All(Option<u64>),
    /// What [`Source::read_ahead`] is told; this block was read since.
    Needed(Option<u64>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("len", &self.len)
            .field("here", &self.slots.iter().map(|s| s.index).collect::<Vec<_>>())
            .field("wanted", &self.wanted)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// `declares`: only blocks that somebody needs are read ahead.
    pub(super) fn new(len: Option<u64>, declares: bool) -> Self {
        let ahead = if declares { Ahead::Needed(None) } else { Ahead::All(None) };
        Self { ahead, ..Self::with_shift(len, BLOCK_SHIFT) }
    }

    fn with_shift(len: impl Into<Option<u64>>, shift: u32) -> Self {
        Self {
            len: len.into(),
            grown: None,
            supplied: 0,
            shift,
            slots: Vec::new(),
            wanted: VecDeque::new(),
            pending: Vec::new(),
            tick: 0,
            unplaced: 0,
            hint: 0,
            ahead: Ahead::All(None),
        }
    }

    /// Its length; while that is not known, how far it exists, or else what a session can carry at most.
    pub(super) fn len(&self) -> u64 {
        self.len.or(self.grown).unwrap_or(MAX_OFFSET)
    }

    /// It exists up to there, and nothing beyond is known yet.
    pub(super) fn grow(&mut self, to: u64) -> Result<(), EndError> {
        match (self.len, self.grown) {
            (Some(known), _) => return Err(EndError::Known(known)),
            (None, _) if to < self.supplied => return Err(EndError::Supplied(self.supplied)),
            (None, Some(grown)) if to < grown => return Err(EndError::Grown(grown)),
            (None, _) if to > MAX_OFFSET => return Err(EndError::TooLong(to)),
            (None, _) => self.grown = Some(to),
        }
        // What follows the block that was read last may be there now.
        if let Ahead::All(topped) = &mut self.ahead {
            *topped = None;
        }
        Ok(())
    }

    pub(super) fn is_ended(&self) -> bool {
        self.len.is_some()
    }

    /// Its length is known now: blocks beyond are not wanted any more, nor taken.
    pub(super) fn set_end(&mut self, len: u64) -> Result<(), EndError> {
        match self.len {
            Some(known) if known == len => return Ok(()),
            Some(known) => return Err(EndError::Known(known)),
            None if len < self.supplied => return Err(EndError::Supplied(self.supplied)),
            None if self.grown.is_some_and(|grown| len < grown) => {
                return Err(EndError::Grown(self.len()));
            }
            None if len > MAX_OFFSET => return Err(EndError::TooLong(len)),
            None => self.len = Some(len),
        }
        let shift = self.shift;
        let inside = |index: u64| index << shift < len;
        self.wanted.retain(|want| inside(want.index));
        self.pending.retain(|index| inside(*index));
        Ok(())
    }

    pub(super) fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), NotAtHand> {
        let inside = offset.checked_add(out.len() as u64).filter(|end| *end <= self.len());
        let end = inside.ok_or(NotAtHand)?;
        if out.is_empty() {
            return Ok(());
        }
        self.tick += 1;
        let (first, last) = (offset >> self.shift, (end - 1) >> self.shift);
        let mut here = true;
        for index in first..=last {
            match self.find(index) {
                // Before anything is asked for, so that it does not push this one out.
                Some(at) => self.slots[at].used = self.tick,
                None => here = false,
            }
        }
        if here {
            self.unplaced = 0;
            self.copy(offset, out);
        } else {
            for index in first..=last {
                if self.find(index).is_none() {
                    self.demand(index);
                }
            }
        }
        self.pass(last);
        if here { Ok(()) } else { Err(NotAtHand) }
    }

    /// Whether all of a range is here.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        let here = |index: u64| {
            self.slots.get(self.hint).is_some_and(|s| s.index == index)
                || self.slots.iter().any(|s| s.index == index)
        };
        range.is_empty()
            || range.end <= self.len()
                && (range.start >> self.shift..=(range.end - 1) >> self.shift).all(here)
    }

    /// Wants the blocks of a range that are missing now.
    pub(super) fn want(&mut self, range: &Range<u64>) {
        if range.is_empty() || range.end > self.len() {
            return;
        }
        for index in range.start >> self.shift..=(range.end - 1) >> self.shift {
            if self.find(index).is_none() {
                self.demand(index);
            }
        }
    }

    pub(super) fn next_need(&mut self) -> Option<Range<u64>> {
        let want = self.wanted.pop_front()?;
        self.pending.push(want.index);
        Some(self.range(want.index))
    }

    pub(super) fn has_need(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(super) fn supply(&mut self, offset: u64, bytes: Arc<[u8]>) -> bool {
        let index = offset >> self.shift;
        let Some(at) = self.pending.iter().position(|p| *p == index) else { return false };
        let range = self.range(index);
        if range.start != offset || range.end - offset != bytes.len() as u64 {
            return false;
        }
        self.pending.swap_remove(at);
        self.supplied = self.supplied.max(range.end);
        let slot = Slot { index, bytes, used: self.tick, read: false, finished: false };
        self.slots.push(slot);
        true
    }

    /// The stream bytes of a block.
    fn range(&self, index: u64) -> Range<u64> {
        let start = index << self.shift;
        start..start.saturating_add(1 << self.shift).min(self.len())
    }

    /// Place of a block in the cache.
    fn find(&mut self, index: u64) -> Option<usize> {
        if self.slots.get(self.hint).is_none_or(|s| s.index != index) {
            self.hint = self.slots.iter().position(|s| s.index == index)?;
        }
        Some(self.hint)
    }

    /// Copies from blocks that are all here.
    fn copy(&mut self, mut offset: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let index = offset >> self.shift;
            let Some(at) = self.find(index) else { return };
            let slot = &mut self.slots[at];
            let from = (offset - (index << self.shift)) as usize;
            let n = out.len().min(slot.bytes.len() - from);
            let (part, rest) = out.split_at_mut(n);
            part.copy_from_slice(&slot.bytes[from..from + n]);
            slot.read = true;
            slot.finished |= from + n == slot.bytes.len();
            offset += n as u64;
            out = rest;
        }
    }

    /// Wants a block without which a read failed. It may find no place; the next try may.
    fn demand(&mut self, index: u64) {
        if self.pending.contains(&index) {
            return;
        }
        let place = self.wanted.iter().position(|w| w.index == index);
        if let Some(at) = place {
            if self.wanted[at].urgent {
                return;
            }
            self.wanted.remove(at);
        } else if !self.make_room() {
            self.unplaced = self.unplaced.saturating_add(1);
            return;
        }
        let urgent = self.wanted.iter().take_while(|w| w.urgent).count();
        self.wanted.insert(urgent, Want { index, urgent: true });
    }

    /// Frees a place for a block that is missing now; false if there is none to be had. A block that is being read
    /// stays until its reader is done with it: where more read than there are places, each of them would else push out
    /// what another one needs next, and every segment would cost a block.
    fn make_room(&mut self) -> bool {
        if self.taken() < CACHE_BLOCKS {
            return true;
        }
        if self.evict(|tick, slot| slot.read && slot.is_left(tick)) {
            return true;
        }
        if self.wanted.back().is_some_and(|w| !w.urgent) {
            self.wanted.pop_back();
            return true;
        }
        // All are asked for, unread or in use, so somebody is about to use them. Only when nobody does one goes, an unread
        // one only if nothing is on its way either, which would bring things forward: its reader may be gone.
        let arrives = !self.wanted.is_empty() || !self.pending.is_empty();
        let is_freed = self.unplaced >= UNREAD_WANTS
            && (self.evict(|_, slot| slot.read) || !arrives && self.evict(|_, _| true));
        if is_freed {
            self.unplaced = 0;
        }
        is_freed
    }

    /// A block was read, or is to be: what follows is to be read ahead.
    fn pass(&mut self, index: u64) {
        match &mut self.ahead {
            Ahead::Needed(passed) => *passed = Some(index),
            Ahead::All(topped) if *topped == Some(index) => {}
            Ahead::All(_) => {
                if self.read_ahead(index, Some) {
                    self.ahead = Ahead::All(Some(index));
                }
            }
        }
    }

    /// The last block that was read since this was asked, if what is read ahead is to be said.
    pub(super) fn take_passed(&mut self) -> Option<u64> {
        match &mut self.ahead {
            Ahead::Needed(passed) => passed.take(),
            Ahead::All(_) => None,
        }
    }

    /// Wants the next [`READ_AHEAD`] blocks after one that was read of which any is needed, as far as there
    /// is room; `needed(at)` gives the first byte at or after `at` that is. Whether there was for all.
    pub(super) fn read_ahead(&mut self, index: u64, needed: impl Fn(u64) -> Option<u64>) -> bool {
        let mut at = index;
        for _ in 0..READ_AHEAD {
            let Some(first) = needed((at + 1) << self.shift).filter(|first| *first < self.len())
            else {
                break;
            };
            at = first >> self.shift;
            let known = self.slots.iter().any(|s| s.index == at)
                || self.pending.contains(&at)
                || self.wanted.iter().any(|w| w.index == at);
            if !known {
                if !self.make_room_ahead() {
                    return false;
                }
                self.wanted.push_back(Want { index: at, urgent: false });
            }
        }
        true
    }

    /// Frees a place for a block read ahead.
    fn make_room_ahead(&mut self) -> bool {
        let unread = self.slots.iter().filter(|s| !s.read).count();
        unread + self.wanted.len() + self.pending.len() < AHEAD_LIMIT
            && (self.taken() < CACHE_BLOCKS
                || self.evict(|tick, slot| slot.read && slot.is_left(tick)))
    }

    /// Places of the cache in use or spoken for.
    fn taken(&self) -> usize {
        self.slots.len() + self.wanted.len() + self.pending.len()
    }

    /// Drops the least recently used of the blocks that `may` go, but never one that the current
    /// read uses. Gives whether there was one.
    fn evict(&mut self, may: impl Fn(u64, &Slot) -> bool) -> bool {
        let tick = self.tick;
        let candidates = self.slots.iter().enumerate();
        let oldest = candidates
            .filter(|(_, slot)| slot.used != tick && may(tick, slot))
            .min_by_key(|(_, slot)| slot.used);
        let Some((at, _)) = oldest else { return false };
        self.slots.swap_remove(at);
        true
    }
}

#[cfg(test)]
mod tests;
