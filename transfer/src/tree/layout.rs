//! Where a tree's bytes stand in the session's: both ends come to the same places from the entries alone.
//!
//! ```text
//! | part 0 | part 1 | data 0 | part 2 | data 1 | … | part n | data n - 1 | data n |
//! ```
//!
//! The list of entries is cut into *parts*. A part takes one block, and stands before the data of the part before
//! it: so receivers have looked at what they hold of its files by the time these are sent. The data of a part are
//! blocks too:
//!
//! - A file above [`SMALL`] bytes, or with holes, begins at a block, and its byte n stands n bytes behind that.
//!   Holes are nobody's need: their bytes are never sent.
//! - Smaller files share a block, a *pack*: their bytes one after the other from its beginning, and from its end
//!   backwards one digest of [`ROW`] bytes for each. What is between is nothing.

use super::entry::Kind;
use crate::blocks::{self, BLOCK};
use core::ops::Range;

/// Longest file, in bytes, that shares a block with others.
pub const SMALL: u64 = 256 << 10;
/// Bytes of one digest in a pack.
pub const ROW: u64 = blake3::OUT_LEN as u64;
/// Longest file, in bytes: half of what a session's offsets can say.
pub const MAX_LEN: u64 = 1 << 47;

/// Blocks of one session, at most: its offsets have 48 bits.
pub const MAX_BLOCKS: u64 = (1 << 48) / BLOCK;

/// Where the bytes of a file stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// It has none.
    Empty,
    /// In a pack.
    Packed {
        /// The pack's block.
        block: u64,
        /// Its place among the pack's files.
        row: u32,
        /// Its first byte, counted from the block's.
        at: u32,
    },
    /// In blocks of its own, from this one on.
    Own {
        /// Index of the first one.
        block: u64,
    },
}

/// Places the files of one part, in their order.
#[derive(Debug, Clone)]
pub struct Planner {
    next: u64,
    pack: Option<Pack>,
}

/// A pack that may have room.
#[derive(Debug, Clone, Copy)]
struct Pack {
    block: u64,
    rows: u32,
    used: u64,
}

impl Planner {
    /// For data that begin with this block.
    pub fn new(block: u64) -> Self {
        Self { next: block, pack: None }
    }

    /// One beyond the last block that is used.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// Where the bytes of the next entry stand.
    pub fn place(&mut self, kind: &Kind) -> Spot {
        let Kind::File { len, data } = kind else { return Spot::Empty };
        match *len {
            0 => Spot::Empty,
            len if len > SMALL || data.is_some() => {
                let block = self.next;
                self.next += blocks::count(len);
                Spot::Own { block }
            }
            len => self.pack(len),
        }
    }

    fn pack(&mut self, len: u64) -> Spot {
        let fits = |pack: &Pack| pack.used + len + (u64::from(pack.rows) + 1) * ROW <= BLOCK;
        let mut pack = self.pack.filter(fits).unwrap_or_else(|| {
            let block = self.next;
            self.next += 1;
            Pack { block, rows: 0, used: 0 }
        });
        let spot = Spot::Packed { block: pack.block, row: pack.rows, at: pack.used as u32 };
        pack.rows += 1;
        pack.used += len;
        self.pack = Some(pack);
        spot
    }
}

/// Where the digest of a pack's file stands, in bytes from its block's beginning.
pub fn row(row: u32) -> Range<u64> {
    let end = BLOCK - u64::from(row) * ROW;
    end - ROW..end
}

/// Where the digests of a pack of so many files stand, in bytes from its block's beginning.
pub fn table(rows: u32) -> Range<u64> {
    BLOCK - u64::from(rows) * ROW..BLOCK
}

/// The block of the part that follows the one whose data begin with `data` and have so many blocks, and the first
/// block of its own data. `last`: no part follows that one, so none stands between.
pub fn after(data: u64, count: u64, last: bool) -> u64 {
    data + count + u64::from(!last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(len: u64) -> Kind {
        Kind::File { len, data: None }
    }

    #[test]
    fn small_files_share_a_block_and_large_ones_begin_one() {
        let mut planner = Planner::new(2);
        assert_eq!(planner.place(&Kind::Dir), Spot::Empty);
        assert_eq!(planner.place(&file(0)), Spot::Empty);
        assert_eq!(planner.place(&file(10)), Spot::Packed { block: 2, row: 0, at: 0 });
        assert_eq!(planner.place(&file(SMALL + 1)), Spot::Own { block: 3 });
        assert_eq!(planner.place(&file(BLOCK + 1)), Spot::Own { block: 4 });
        assert_eq!(planner.place(&file(SMALL)), Spot::Packed { block: 2, row: 1, at: 10 });
        let holes = Kind::File { len: 10, data: Some(Vec::new()) };
        assert_eq!(planner.place(&holes), Spot::Own { block: 6 });
        assert_eq!(planner.end(), 7);
    }

    proptest! {
        /// No byte is anybody else's, and nothing stands beyond the end.
        #[test]
        fn nothing_overlaps(lens in prop::collection::vec(0..3 * SMALL, 0..60), first in 0..9_u64) {
            let mut planner = Planner::new(first);
            let mut taken: Vec<Range<u64>> = Vec::new();
            for len in lens {
                match planner.place(&file(len)) {
                    Spot::Empty => prop_assert_eq!(len, 0),
                    Spot::Own { block } => taken.push(block * BLOCK..block * BLOCK + len),
                    Spot::Packed { block, row, at } => {
                        let (begin, digest) = (block * BLOCK, self::row(row));
                        taken.push(begin + u64::from(at)..begin + u64::from(at) + len);
                        taken.push(begin + digest.start..begin + digest.end);
                        prop_assert!(table(row + 1).start == digest.start);
                    }
                }
            }
            taken.sort_by_key(|range| range.start);
            prop_assert!(taken.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(taken.first().is_none_or(|range| range.start >= first * BLOCK));
            prop_assert!(taken.last().is_none_or(|range| range.end <= planner.end() * BLOCK));
        }
    }
}
