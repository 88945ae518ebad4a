//! Blocks of 1 MiB and the tree of their digests.
//!
//! A block's digest is the BLAKE3 chaining value of its subtree (BLAKE3 specification, section
//! 2.1: an aligned power-of-two run of chunks is always a complete subtree). So the digests of the
//! blocks, in whatever order they were computed, combine into the standard BLAKE3 of the file,
//! the one that `b3sum` prints, and no byte is read twice.

pub(crate) mod hashing;
mod stack;

pub use stack::Stack;

use blake3::Hash;
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
use core::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Size of a block in bytes; also the unit in which a session asks for its source. A power of two
/// of at least 1024 (BLAKE3's chunk), so that every block is a subtree.
pub const BLOCK: u64 = 1 << 20;

/// Digest of one block: the chaining value of its subtree; for a file of a single block, which is
/// the whole tree, the file's digest itself.
pub type Value = [u8; 32];

/// Values held by one page of a [`Tree`]: 256 values are 8 KiB, for 256 MiB of the file.
const PAGE: u64 = 256;

/// Number of blocks of a file of `len` bytes.
pub fn count(len: u64) -> u64 {
    len.div_ceil(BLOCK)
}

/// The bytes that block `index` of a file of `len` bytes covers; empty beyond the end.
pub fn range(index: u64, len: u64) -> Range<u64> {
    let start = index.saturating_mul(BLOCK).min(len);
    start..start.saturating_add(BLOCK).min(len)
}

/// Digest of block `index`, whose bytes are `bytes`, of a file of `len` bytes.
pub fn value(index: u64, bytes: &[u8], len: u64) -> Value {
    if len <= BLOCK || bytes.is_empty() {
        // The only block is the root of the tree, and a root is finalized differently.
        return *hashing::whole(bytes).as_bytes();
    }
    hashing::subtree(bytes, range(index, len).start)
}

/// Digest of block `index`, all zeros, of a file of `len` bytes. Those of whole blocks are kept: the holes of all
/// files share them, and whoever asks for all blocks of a large hole asks for each once.
pub fn zeros(index: u64, len: u64) -> Value {
    static KNOWN: Mutex<Vec<Option<Value>>> = Mutex::new(Vec::new());
    static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    let range = range(index, len);
    let bytes = &ZEROS[..(range.end - range.start) as usize];
    if bytes.len() < ZEROS.len() || len <= BLOCK || index >= KEPT {
        return value(index, bytes, len);
    }
    let slot = index as usize;
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Some(value)) = known().get(slot) {
        return *value;
    }
    let value = value(index, bytes, len);
    let mut known = known();
    let most = known.len().max(slot + 1);
    known.resize(most, None);
    known[slot] = Some(value);
    value
}

/// Values of zeros that are kept: 2 MiB, for holes in the first 64 GiB of files.
pub const KEPT: u64 = 1 << 16;

/// Sets the values of blocks that hold none of a file's data, which are sorted ranges of its bytes. Of more blocks
/// than values of zeros are kept for it sets none: hashing the zeros of a TiB takes minutes.
pub fn set_holes(tree: &mut Tree, data: &[Range<u64>]) {
    let count = tree.count();
    let ends = data.iter().map(|run| (run.start / BLOCK, run.end.div_ceil(BLOCK)));
    let (mut next, mut holes) = (0, Vec::new());
    for (first, end) in ends.chain([(count, count)]) {
        if first > next {
            holes.push(next..first);
        }
        next = next.max(end);
    }
    if holes.iter().map(|run| run.end - run.start).sum::<u64>() > KEPT {
        return;
    }
    for index in holes.into_iter().flatten() {
        let value = zeros(index, tree.len());
        tree.set(index, value);
    }
}

/// The digests of a file's blocks as far as they are known.
///
/// Memory follows the values that were set, not the length that somebody claims.
#[derive(Debug)]
pub struct Tree {
    len: u64,
    known: u64,
    pages: Vec<Option<Box<Page>>>,
}

#[derive(Debug)]
struct Page {
    values: [Value; PAGE as usize],
    known: [u64; PAGE as usize / 64],
}

impl Page {
    fn empty() -> Box<Self> {
        Box::new(Self { values: [[0; 32]; PAGE as usize], known: [0; PAGE as usize / 64] })
    }
}

impl Tree {
    /// The tree of a file of `len` bytes, nothing known yet.
    pub fn new(len: u64) -> Self {
        Self { len, known: 0, pages: Vec::new() }
    }

    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no block at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of blocks of the file.
    pub fn count(&self) -> u64 {
        count(self.len)
    }

    /// Number of blocks whose digest is known.
    pub fn known(&self) -> u64 {
        self.known
    }

    /// Whether every block's digest is known.
    pub fn is_complete(&self) -> bool {
        self.known == self.count()
    }

    /// Sets the digest of a block; `false` if the file has no such block.
    pub fn set(&mut self, index: u64, value: Value) -> bool {
        if index >= self.count() {
            return false;
        }
        let (page, slot) = ((index / PAGE) as usize, (index % PAGE) as usize);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(Page::empty);
        page.values[slot] = value;
        let bit = 1u64 << (slot % 64);
        if page.known[slot / 64] & bit == 0 {
            page.known[slot / 64] |= bit;
            self.known += 1;
        }
        true
    }

    /// The digest of a block, if it is known.
    pub fn get(&self, index: u64) -> Option<Value> {
        let slot = (index % PAGE) as usize;
        let page = self.pages.get(usize::try_from(index / PAGE).ok()?)?.as_ref()?;
        (page.known[slot / 64] >> (slot % 64) & 1 == 1).then(|| page.values[slot])
    }

    /// The first block, at or after `from`, whose digest is not known; the number of blocks if
    /// there is none.
    pub fn first_unknown(&self, from: u64) -> u64 {
        (from..self.count()).find(|&index| self.get(index).is_none()).unwrap_or(self.count())
    }

    /// The file's BLAKE3, once every block's digest is known.
    pub fn root(&self) -> Option<Hash> {
        if !self.is_complete() {
            return None;
        }
        match self.count() {
            0 => Some(hashing::whole(&[])),
            1 => self.get(0).map(Hash::from_bytes),
            blocks => {
                let left = left_blocks(blocks);
                let (l, r) = (self.subtree(0..left)?, self.subtree(left..blocks)?);
                Some(merge_subtrees_root(&l, &r, Mode::Hash))
            }
        }
    }

    /// Chaining value of a run of blocks; the recursion is as deep as the tree, 48 at most.
    fn subtree(&self, run: Range<u64>) -> Option<Value> {
        let blocks = run.end - run.start;
        if blocks == 1 {
            return self.get(run.start);
        }
        let middle = run.start + left_blocks(blocks);
        let (l, r) = (self.subtree(run.start..middle)?, self.subtree(middle..run.end)?);
        Some(merge_subtrees_non_root(&l, &r, Mode::Hash))
    }
}

/// How many of `blocks` ≥ 2 blocks form the left subtree: the largest power of two that leaves at
/// least one for the right (BLAKE3 specification, section 2.1).
fn left_blocks(blocks: u64) -> u64 {
    blocks.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(len: u64) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    fn root_in_order(data: &[u8], order: impl IntoIterator<Item = u64>) -> Option<Hash> {
        let len = data.len() as u64;
        let mut tree = Tree::new(len);
        for index in order {
            let r = range(index, len);
            let v = value(index, &data[r.start as usize..r.end as usize], len);
            assert!(tree.set(index, v));
        }
        tree.root()
    }

    #[test]
    fn is_the_standard_digest_around_every_boundary() {
        let mib = BLOCK;
        for len in [
            0,
            1,
            1023,
            1024,
            1025,
            2047,
            2049,
            mib - 1,
            mib,
            mib + 1,
            2 * mib - 1,
            2 * mib,
            2 * mib + 1,
            3 * mib + 5,
            4 * mib,
            5 * mib,
            5 * mib + 1025,
            7 * mib - 1024,
        ] {
            let data = pattern(len);
            let forwards = root_in_order(&data, 0..count(len));
            assert_eq!(forwards, Some(blake3::hash(&data)), "{len} bytes");
            assert_eq!(root_in_order(&data, (0..count(len)).rev()), forwards, "{len} bytes");
        }
    }

    #[test]
    fn zeros_are_hashed_where_they_stand() {
        for len in [1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7] {
            let data = vec![0; len as usize];
            for index in (0..count(len)).rev() {
                let r = range(index, len);
                let bytes = &data[r.start as usize..r.end as usize];
                assert_eq!(zeros(index, len), value(index, bytes, len), "{index} of {len}");
            }
        }
        let far = (KEPT + 1) * BLOCK;
        assert_eq!(zeros(KEPT, far), value(KEPT, &vec![0; BLOCK as usize], far));
    }

    #[test]
    fn no_root_before_the_last_block() {
        let data = pattern(3 * BLOCK);
        assert_eq!(root_in_order(&data, [0, 2]), None);
        assert_eq!(root_in_order(&data, [0, 2, 2]), None);
        assert!(root_in_order(&data, [2, 0, 1]).is_some());
    }

    #[test]
    fn memory_follows_the_values_not_the_claimed_length() {
        let mut tree = Tree::new((1 << 48) - 1);
        assert_eq!(tree.count(), 1 << 28);
        assert!(tree.set(5, [1; 32]));
        assert!(tree.set((1 << 28) - 1, [2; 32]));
        assert!(!tree.set(1 << 28, [3; 32]));
        assert_eq!(tree.pages.iter().flatten().count(), 2);
        assert_eq!(tree.get((1 << 28) - 1), Some([2; 32]));
        assert_eq!((tree.first_unknown(5), tree.first_unknown(0), tree.known()), (6, 0, 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_order_gives_the_standard_digest(
            len in 0..6 * BLOCK,
            order in Just((0..6u64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let data = pattern(len);
            let order = order.into_iter().filter(|&i| i < count(len));
            prop_assert_eq!(root_in_order(&data, order), Some(blake3::hash(&data)));
        }

        #[test]
        fn ranges_tile_the_file(len in 0..u64::MAX / 2, index in 0..u64::MAX) {
            let r = range(index, len);
            prop_assert!(r.start <= r.end && r.end <= len);
            prop_assert_eq!(r.is_empty(), index >= count(len));
        }
    }
}
