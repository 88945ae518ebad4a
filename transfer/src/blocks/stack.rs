//! The digest of a file whose blocks are hashed in order, in memory for one value per level of the tree.

use super::{Value, count, hashing};
use blake3::Hash;
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Values of subtrees from the left, each larger than the next. Two of the same size are merged only once another
/// block is there, for a pair that nothing follows may be the root (BLAKE3 specification, section 5.1.2).
#[derive(Debug)]
pub struct Stack {
    blocks: u64,
    given: u64,
    subtrees: Vec<Value>,
}

impl Stack {
    /// Of a file of `len` bytes, of which nothing is known yet.
    pub fn new(len: u64) -> Self {
        Self { blocks: count(len), given: 0, subtrees: Vec::new() }
    }

    /// Takes the value of the next block, as [`super::value`] gives it.
    pub fn push(&mut self, value: Value) {
        // As many subtrees as `given` has bits set hold all blocks so far.
        while self.subtrees.len() as u64 > u64::from(self.given.count_ones()) {
            let (right, left) = (self.subtrees.pop(), self.subtrees.pop());
            let pair = left.zip(right);
            self.subtrees.extend(pair.map(|(l, r)| merge_subtrees_non_root(&l, &r, Mode::Hash)));
        }
        self.subtrees.push(value);
        self.given += 1;
    }

    /// The BLAKE3 of a file whose length was not known, and of which so many blocks were given.
    pub fn root_of(self, blocks: u64) -> Option<Hash> {
        Self { blocks, ..self }.root()
    }

    /// The file's BLAKE3, if all its blocks were given, and no more.
    pub fn root(mut self) -> Option<Hash> {
        if self.given != self.blocks {
            return None;
        }
        let Some(mut right) = self.subtrees.pop() else { return Some(hashing::whole(&[])) };
        let Some(first) = self.subtrees.first().copied() else {
            return Some(Hash::from_bytes(right)); // the only block is the root
        };
        for left in self.subtrees[1..].iter().rev() {
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        Some(merge_subtrees_root(&first, &right, Mode::Hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{BLOCK, range, value};

    #[test]
    fn in_order_it_is_the_standard_digest() {
        for blocks in 0..=18_u64 {
            for len in [blocks * BLOCK, (blocks * BLOCK).saturating_sub(BLOCK - 1)] {
                let data: Vec<u8> = (0..len).map(|at| ((at * at) >> 7) as u8).collect();
                let mut stack = Stack::new(len);
                for index in 0..count(len) {
                    let range = range(index, len);
                    let bytes = &data[range.start as usize..range.end as usize];
                    stack.push(value(index, bytes, len));
                }
                assert!(stack.subtrees.len() <= 6, "{}", stack.subtrees.len());
                assert_eq!(stack.root(), Some(blake3::hash(&data)), "{len} bytes");
            }
        }
    }

    #[test]
    fn there_is_none_of_another_number_of_blocks() {
        let given = |blocks: u64| {
            let mut stack = Stack::new(3 * BLOCK);
            (0..blocks).for_each(|_| stack.push([1; 32]));
            stack.root().is_some()
        };
        assert_eq!([2, 3, 4].map(given), [false, true, false]);
    }
}
