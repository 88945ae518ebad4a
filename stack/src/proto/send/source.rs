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
/// A block that was not read to its end may still make room for reading ahead when the last
/// use of it was so many reads ago (some eleven blocks of full segments): its reader is gone.
const STALE_READS: u64 = 8192;

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
    /// Where the last block was found: segments come mostly from the same one.
    hint: usize,
    /// The block whose followers have all been asked for.
    topped: Option<u64>,
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
    pub(super) fn new(len: Option<u64>) -> Self {
        Self::with_shift(len, BLOCK_SHIFT)
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
            hint: 0,
            topped: None,
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
        self.topped = None;
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
            self.copy(offset, out);
        } else {
            for index in first..=last {
                if self.find(index).is_none() {
                    self.demand(index);
                }
            }
        }
        self.read_ahead(last);
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
            return;
        }
        let urgent = self.wanted.iter().take_while(|w| w.urgent).count();
        self.wanted.insert(urgent, Want { index, urgent: true });
    }

    /// Frees a place for a block that is missing now; false if there is none to be had.
    fn make_room(&mut self) -> bool {
        if self.taken() < CACHE_BLOCKS {
            return true;
        }
        if self.evict(|_, slot| slot.read) {
            return true;
        }
        if self.wanted.back().is_some_and(|w| !w.urgent) {
            self.wanted.pop_back();
            return true;
        }
        // All are asked for or unread, so somebody is about to use them. Only when nothing is on
        // its way, which would bring things forward, an unread one goes: its reader may be gone.
        self.wanted.is_empty() && self.pending.is_empty() && self.evict(|_, _| true)
    }

    /// Wants the blocks that follow the one just read, as far as there is room.
    fn read_ahead(&mut self, index: u64) {
        if self.topped == Some(index) {
            return;
        }
        let last = self.len().saturating_sub(1) >> self.shift;
        for next in index + 1..=(index + READ_AHEAD).min(last) {
            let known = self.slots.iter().any(|s| s.index == next)
                || self.pending.contains(&next)
                || self.wanted.iter().any(|w| w.index == next);
            if !known {
                if !self.make_room_ahead() {
                    return;
                }
                self.wanted.push_back(Want { index: next, urgent: false });
            }
        }
        self.topped = Some(index);
    }

    /// Frees a place for a block read ahead.
    fn make_room_ahead(&mut self) -> bool {
        let unread = self.slots.iter().filter(|s| !s.read).count();
        unread + self.wanted.len() + self.pending.len() < AHEAD_LIMIT
            && (self.taken() < CACHE_BLOCKS
                || self.evict(|tick, slot| {
                    slot.read && (slot.finished || tick - slot.used > STALE_READS)
                }))
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Blocks of 64 bytes, so that many of them are cheap.
    const SHIFT: u32 = 6;
    const SIZE: u64 = 1 << SHIFT;

    fn byte(offset: u64) -> u8 {
        (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn bytes(range: Range<u64>) -> Arc<[u8]> {
        range.map(byte).collect()
    }

    fn answer(source: &mut Source) -> usize {
        let mut answered = 0;
        while let Some(need) = source.next_need() {
            assert!(source.supply(need.start, bytes(need.clone())));
            answered += 1;
        }
        answered
    }

    /// Reads one piece and checks it; false if it is not here.
    fn read(source: &mut Source, offset: u64, n: usize) -> bool {
        let mut out = vec![0; n];
        let got = source.read(offset, &mut out).is_ok();
        if got {
            assert_eq!(out[..], *bytes(offset..offset + n as u64));
        }
        got
    }

    /// Reads from `at` on in pieces of `n`, asking again as long as it has to; gives the misses.
    fn step(source: &mut Source, at: &mut u64, n: u64) -> usize {
        let n = n.min(source.len() - *at);
        let mut misses = 0;
        while !read(source, *at, n as usize) {
            misses += 1;
            assert!(misses < 10, "stuck");
            answer(source);
        }
        *at += n;
        misses
    }

    #[test]
    fn one_that_grows_is_not_read_beyond() {
        let mut source = Source::with_shift(None, SHIFT);
        assert_eq!(source.grow(2 * SIZE), Ok(()));
        assert_eq!(source.read(SIZE, &mut [0; 8]), Err(NotAtHand));
        assert_eq!((source.next_need(), source.next_need()), (Some(SIZE..2 * SIZE), None));
        assert!(source.supply(SIZE, bytes(SIZE..2 * SIZE)));
        assert_eq!(source.read(SIZE, &mut [0; 8]), Ok(()));
        assert_eq!(source.next_need(), None, "nothing is read ahead of what exists");
        assert_eq!(source.grow(SIZE), Err(EndError::Supplied(2 * SIZE)));
        assert_eq!(source.grow(4 * SIZE), Ok(()));
        assert_eq!(source.grow(3 * SIZE), Err(EndError::Grown(4 * SIZE)));
        assert_eq!(source.set_end(3 * SIZE), Err(EndError::Grown(4 * SIZE)));
        assert_eq!(source.read(SIZE, &mut [0; 8]), Ok(()));
        assert_eq!(source.next_need(), Some(2 * SIZE..3 * SIZE));
        assert_eq!(source.set_end(4 * SIZE), Ok(()));
        assert_eq!(source.grow(5 * SIZE), Err(EndError::Known(4 * SIZE)));
        assert!(source.is_ended());
    }

    #[test]
    fn a_sequential_reader_misses_once() {
        let mut source = Source::with_shift(500 * SIZE + 7, SHIFT);
        let (mut at, mut misses, mut answered) = (0, 0, 0);
        while at < source.len() {
            misses += step(&mut source, &mut at, 17);
            answered += answer(&mut source);
            assert!(source.taken() <= CACHE_BLOCKS);
        }
        assert_eq!(misses, 1);
        assert_eq!(answered + 1 + READ_AHEAD as usize, 501, "no block was asked for twice");
    }

    #[test]
    fn sequential_readers_apart_do_not_push_each_other_out() {
        for readers in [2, 8, 16, 28] {
            let mut source = Source::with_shift(4000 * SIZE, SHIFT);
            let mut at: Vec<u64> = (0..readers).map(|r| r * 100 * SIZE).collect();
            let mut answered = 0;
            for _ in 0..50 * SIZE / 16 {
                for at in &mut at {
                    step(&mut source, at, 16);
                    answered += answer(&mut source);
                }
            }
            // 50 blocks each; what they wait for at the end comes on top.
            let most = readers as usize * (50 + 2 + READ_AHEAD as usize);
            assert!(answered <= most, "{readers}: {answered} of {most}");
        }
    }

    #[test]
    fn what_is_missing_now_is_asked_for_first() {
        let mut source = Source::with_shift(100 * SIZE, SHIFT);
        assert!(!read(&mut source, 0, 8));
        assert!(!read(&mut source, 50 * SIZE, 8));
        assert!(!read(&mut source, 2 * SIZE, 8));
        let order: Vec<u64> =
            core::iter::from_fn(|| source.next_need()).map(|n| n.start / SIZE).collect();
        assert_eq!(order, [0, 50, 2, 1, 3, 4, 51, 52, 53, 54, 5, 6]);
        assert!(!read(&mut source, 0, 8));
        assert!(!source.has_need(), "each once");
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let mut source = Source::with_shift(SIZE + 5, SHIFT);
        assert!(!source.supply(0, bytes(0..SIZE)), "not wanted");
        assert!(!read(&mut source, 0, 8));
        assert!(!source.supply(0, bytes(0..SIZE)), "not asked for");
        assert_eq!(source.next_need(), Some(0..SIZE));
        assert_eq!(source.next_need(), Some(SIZE..SIZE + 5));
        assert!(!source.supply(1, bytes(1..SIZE + 1)));
        assert!(!source.supply(0, bytes(0..SIZE - 1)));
        assert!(source.supply(0, bytes(0..SIZE)));
        assert!(!source.supply(0, bytes(0..SIZE)), "again");
        assert!(!read(&mut source, SIZE - 2, 4));
        assert!(!source.supply(SIZE, bytes(SIZE..2 * SIZE)));
        assert!(source.supply(SIZE, bytes(SIZE..SIZE + 5)));
        assert!(read(&mut source, SIZE - 2, 4), "over the boundary");
        assert!(!read(&mut source, SIZE, 6), "beyond the end");
        assert!(!read(&mut source, u64::MAX, 6));
        assert!(!source.has_need());
    }

    #[test]
    fn readers_that_never_come_back_do_not_lock_it_up() {
        let mut source = Source::with_shift(10_000 * SIZE, SHIFT);
        for i in 0..200 {
            assert!(!read(&mut source, i * 10 * SIZE, 8));
            answer(&mut source);
            assert!(source.taken() <= CACHE_BLOCKS);
        }
        let mut at = 5000 * SIZE;
        for _ in 0..100 {
            step(&mut source, &mut at, 64);
        }
    }

    #[test]
    fn what_was_supplied_waits_for_its_reader() {
        let mut source = Source::with_shift(2000 * SIZE, SHIFT);
        let slow = [1000, 1200, 1400].map(|block| block * SIZE);
        for at in slow {
            assert!(!read(&mut source, at, 8));
        }
        answer(&mut source);
        let mut at = 0;
        while at < 500 * SIZE {
            step(&mut source, &mut at, 16);
            answer(&mut source);
        }
        for at in slow {
            assert!(read(&mut source, at, 8));
        }
    }

    #[test]
    fn an_empty_source_wants_nothing() {
        let mut source = Source::with_shift(0, SHIFT);
        assert!(read(&mut source, 0, 0) && !read(&mut source, 0, 1));
        assert!(!source.has_need());
    }

    #[test]
    fn an_end_that_becomes_known_drops_what_lies_beyond() {
        let mut source = Source::with_shift(None, SHIFT);
        assert!(!read(&mut source, 0, 8));
        assert_eq!(source.next_need(), Some(0..SIZE));
        assert_eq!(source.next_need(), Some(SIZE..2 * SIZE));
        assert!(source.supply(0, bytes(0..SIZE)));
        assert_eq!(source.set_end(SIZE - 1), Err(EndError::Supplied(SIZE)));
        assert_eq!(source.set_end(u64::MAX), Err(EndError::TooLong(u64::MAX)));
        assert!(!source.is_ended());
        assert_eq!(source.set_end(SIZE + 3), Ok(()));
        assert_eq!((source.set_end(SIZE + 3), source.len()), (Ok(()), SIZE + 3));
        assert_eq!(source.set_end(SIZE + 4), Err(EndError::Known(SIZE + 3)));
        assert!(!source.supply(SIZE, bytes(SIZE..2 * SIZE)), "longer than it is");
        assert!(source.supply(SIZE, bytes(SIZE..SIZE + 3)));
        assert!(read(&mut source, SIZE - 2, 5));
        assert!(!source.has_need(), "nothing lies beyond");
    }

    #[test]
    fn an_end_right_after_a_block_takes_the_next_one_back() {
        let mut source = Source::with_shift(None, SHIFT);
        assert!(!read(&mut source, 0, 8));
        assert_eq!(source.next_need(), Some(0..SIZE));
        assert_eq!(source.next_need(), Some(SIZE..2 * SIZE));
        assert!(source.supply(0, bytes(0..SIZE)));
        assert_eq!(source.set_end(SIZE), Ok(()));
        assert!(!source.supply(SIZE, bytes(SIZE..SIZE)));
        assert_eq!(source.taken(), 1);
    }

    proptest! {
        #[test]
        fn bounded_and_right_whatever_is_read(
            len in 1..80 * SIZE,
            ops in prop::collection::vec((0..80 * SIZE, 1..150usize, 0..4usize), 1..300),
        ) {
            let mut source = Source::with_shift(len, SHIFT);
            let mut asked: Vec<Range<u64>> = Vec::new();
            for (at, n, answers) in ops {
                let at = at % len;
                let n = n.min((len - at) as usize);
                let there = (at >> SHIFT..=(at + n as u64 - 1) >> SHIFT)
                    .all(|b| source.slots.iter().any(|s| s.index == b));
                prop_assert_eq!(read(&mut source, at, n), there);
                while let Some(need) = source.next_need() {
                    prop_assert!(need.start % SIZE == 0 && need.end == (need.start + SIZE).min(len));
                    prop_assert!(!asked.contains(&need));
                    prop_assert!(source.slots.iter().all(|s| s.index << SHIFT != need.start));
                    asked.push(need);
                }
                for _ in 0..answers.min(asked.len()) {
                    let need = asked.swap_remove(at as usize % asked.len());
                    prop_assert!(source.supply(need.start, bytes(need)));
                }
                prop_assert!(source.taken() <= CACHE_BLOCKS);
            }
            let mut at = 0;
            for need in asked {
                prop_assert!(source.supply(need.start, bytes(need)));
            }
            while at < len {
                step(&mut source, &mut at, 100);
            }
        }
    }
}
