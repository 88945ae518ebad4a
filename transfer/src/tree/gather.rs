//! Blocks on their way in: pieces in any order, and out each block once all that is wanted of it is there.
//!
//! A block is gathered in memory. Only when more than [`MAX_OPEN`] are incomplete at a time is the one that rested
//! longest put aside, to be taken up again with its next piece.

use super::spool::Spool;
use crate::blocks::BLOCK;
use core::ops::Range;
use std::collections::{BTreeMap, HashMap};
use std::io;

/// Most blocks that are gathered in memory at a time: 32 MiB.
pub(crate) const MAX_OPEN: usize = 32;

/// What of one block is still to come: sorted, neither touching nor empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted(Vec<Range<u32>>);

impl Wanted {
    /// All of these, which are sorted.
    pub(crate) fn new(ranges: impl IntoIterator<Item = Range<u32>>) -> Self {
        let mut all: Vec<Range<u32>> = Vec::new();
        for range in ranges.into_iter().filter(|range| range.start < range.end) {
            match all.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => all.push(range),
            }
        }
        Self(all)
    }

    fn is_met(&self) -> bool {
        self.0.is_empty()
    }

    fn remove(&mut self, range: &Range<u32>) {
        // Mostly the next piece in order.
        if let Some(first) = self.0.first_mut()
            && first.start == range.start
            && first.end > range.end
        {
            first.start = range.end;
            return;
        }
        let first = self.0.partition_point(|r| r.end <= range.start);
        let after = self.0.partition_point(|r| r.start < range.end);
        if first >= after || range.is_empty() {
            return;
        }
        let head = self.0[first].start..range.start;
        let tail = range.end..self.0[after - 1].end;
        let rest = [head, tail].into_iter().filter(|r| r.start < r.end);
        self.0.splice(first..after, rest.collect::<Vec<_>>());
    }
}

/// A block in memory.
#[derive(Debug)]
struct Open {
    bytes: Box<[u8]>,
    wanted: Wanted,
    touched: u64,
}

/// A block that was put aside: where.
#[derive(Debug)]
struct Aside {
    at: u64,
    wanted: Wanted,
}

/// The blocks that are incomplete.
#[derive(Debug)]
pub(crate) struct Gather {
    open: BTreeMap<u64, Open>,
    aside: HashMap<u64, Aside>,
    /// Places of blocks that were taken up again.
    free: Vec<u64>,
    /// Buffers to be used again; with `open` together at most [`MAX_OPEN`].
    spare: Vec<Box<[u8]>>,
    spool: Option<Spool>,
    clock: u64,
}

impl Gather {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            aside: HashMap::new(),
            free: Vec::new(),
            spare: Vec::new(),
            spool: None,
            clock: 0,
        }
    }

    /// Takes a piece of one block, which begins `at` bytes behind the block's beginning. `wanted` says what is wanted
    /// of a block that is not known yet, if it is wanted at all; `spool` makes one when it is needed. Gives the
    /// block once all is there; it is to be handed back by [`Self::give_back`].
    pub(crate) fn put(
        &mut self,
        block: u64,
        at: u32,
        piece: &[u8],
        wanted: impl FnOnce() -> Option<Wanted>,
        spool: impl FnOnce() -> io::Result<Spool>,
    ) -> io::Result<Option<Box<[u8]>>> {
        self.clock += 1;
        if !self.open.contains_key(&block) && !self.take_up(block, wanted, spool)? {
            return Ok(None);
        }
        let Some(open) = self.open.get_mut(&block) else { return Ok(None) };
        open.touched = self.clock;
        let end = at + piece.len() as u32;
        open.bytes[at as usize..end as usize].copy_from_slice(piece);
        open.wanted.remove(&(at..end));
        if !open.wanted.is_met() {
            return Ok(None);
        }
        Ok(self.open.remove(&block).map(|open| open.bytes))
    }

    /// Takes back a buffer.
    pub(crate) fn give_back(&mut self, bytes: Box<[u8]>) {
        if self.open.len() + self.spare.len() < MAX_OPEN {
            self.spare.push(bytes);
        }
    }

    /// Nothing is wanted of these blocks any more.
    pub(crate) fn forget(&mut self, blocks: Range<u64>) {
        let open: Vec<u64> = self.open.range(blocks.clone()).map(|(block, _)| *block).collect();
        for block in open {
            if let Some(open) = self.open.remove(&block) {
                self.give_back(open.bytes);
            }
        }
        self.aside.retain(|block, aside| {
            let stays = !blocks.contains(block);
            if !stays {
                self.free.push(aside.at);
            }
            stays
        });
    }

    fn take_up(
        &mut self,
        block: u64,
        wanted: impl FnOnce() -> Option<Wanted>,
        spool: impl FnOnce() -> io::Result<Spool>,
    ) -> io::Result<bool> {
        let aside = self.aside.remove(&block);
        let Some(wanted) = aside.as_ref().map(|aside| aside.wanted.clone()).or_else(wanted) else {
            return Ok(false);
        };
        if self.open.len() >= MAX_OPEN {
            self.put_aside(spool)?;
        }
        let fresh = || vec![0; BLOCK as usize].into_boxed_slice();
        let mut bytes = self.spare.pop().unwrap_or_else(fresh);
        if let (Some(aside), Some(spool)) = (aside, &self.spool) {
            bytes.copy_from_slice(&spool.read(aside.at, BLOCK as usize)?);
            self.free.push(aside.at);
        }
        self.open.insert(block, Open { bytes, wanted, touched: self.clock });
        Ok(true)
    }

    /// Puts the block aside that was least recently added to.
    fn put_aside(&mut self, spool: impl FnOnce() -> io::Result<Spool>) -> io::Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.touched).map(|(&block, _)| block);
        let Some((block, open)) = oldest.and_then(|block| self.open.remove_entry(&block)) else {
            return Ok(());
        };
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(spool()?),
        };
        let at = self.free.pop().unwrap_or(spool.len());
        spool.write_at(&open.bytes, at)?;
        self.aside.insert(block, Aside { at, wanted: open.wanted });
        self.spare.push(open.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_map_of_bytes(
            wanted in prop::collection::vec((0..6_u32, 1..12_u32), 0..8),
            pieces in prop::collection::vec((0..90_u32, 0..20_u32), 0..40),
        ) {
            let mut at = 0;
            let ranges = wanted.into_iter().map(|(gap, len)| {
                let range = at + gap..at + gap + len;
                at = range.end;
                range
            });
            let ranges: Vec<_> = ranges.collect();
            let mut map = [false; 200];
            for r in &ranges {
                map[r.start as usize..r.end as usize].fill(true);
            }
            let mut wanted = Wanted::new(ranges);
            for (start, len) in pieces {
                wanted.remove(&(start..start + len));
                map[start as usize..(start + len) as usize].fill(false);
                let mut seen = [false; 200];
                for range in &wanted.0 {
                    prop_assert!(range.start < range.end);
                    prop_assert!(range.start == 0 || !seen[range.start as usize - 1]);
                    seen[range.start as usize..range.end as usize].fill(true);
                }
                prop_assert_eq!(seen, map);
                prop_assert_eq!(wanted.is_met(), map.iter().all(|wanted| !wanted));
            }
        }
    }

    /// More blocks at a time than are held in memory: what was put aside comes whole.
    #[test]
    fn many_blocks_at_a_time_are_put_aside_and_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = 2 * MAX_OPEN as u64 + 3;
        let mut gather = Gather::new();
        let mut done = Vec::new();
        for round in 0..4_u32 {
            for block in 0..blocks {
                let (at, piece) = (round * 100, [(block as u8) ^ (round as u8); 100]);
                let whole = || Some(Wanted::new([0..400]));
                let spool = || Spool::create(dir.path());
                if let Some(bytes) = gather.put(block, at, &piece, whole, spool).unwrap() {
                    for round in 0..4 {
                        let part = &bytes[round * 100..round * 100 + 100];
                        assert!(part.iter().all(|byte| *byte == (block as u8) ^ (round as u8)));
                    }
                    done.push(block);
                    gather.give_back(bytes);
                }
                assert!(gather.open.len() + gather.spare.len() <= MAX_OPEN);
            }
        }
        assert_eq!(done, (0..blocks).collect::<Vec<_>>());
        assert!(gather.spool.as_ref().unwrap().len() <= blocks * BLOCK);
        let nobody = gather.put(7, 0, &[1], || None, || panic!()).unwrap();
        assert!(nobody.is_none() && gather.open.is_empty());
    }
}
