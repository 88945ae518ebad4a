//! What a stream's blocks come to, one after the other, without knowing how many there will be.

use crate::blocks::{self, BLOCK, Stack, Value, hashing};
use blake3::Hash;

/// The digest of a stream as far as it has come. What it holds grows with the logarithm of the stream's length.
#[derive(Debug)]
pub(crate) struct Sum {
    stack: Stack,
    blocks: u64,
    len: u64,
    /// Of the first block, should it be the only one: a root is finalized differently.
    only: Option<Hash>,
}

impl Sum {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self { stack: Stack::new(0), blocks: 0, len: 0, only: None }
    }

    /// Takes the next block; only the last one is shorter than [`BLOCK`]. Gives its value: the chaining value of its
    /// subtree as if more followed, for whether something does is not known.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Value {
        let value = blocks::value(self.blocks, bytes, u64::MAX);
        if self.blocks == 0 {
            self.only = Some(hashing::whole(bytes));
        }
        self.stack.push(value);
        self.blocks += 1;
        self.len += bytes.len() as u64;
        value
    }

    /// Blocks so far.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The BLAKE3 of the stream, which ends here.
    pub(crate) fn root(self) -> Hash {
        let whole = self.stack.root_of(self.blocks).filter(|_| self.blocks > 1);
        whole.or(self.only).unwrap_or_else(|| hashing::whole(&[]))
    }
}

/// One beyond the last byte of a stream that this side can carry.
pub(crate) const MAX_LEN: u64 = (1 << 48) - BLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_end_it_is_the_standard_digest() {
        for blocks in 0..=9_u64 {
            for over in [0, 1, BLOCK - 1] {
                let len = blocks * BLOCK + over;
                let data: Vec<u8> = (0..len).map(|at| ((at * at) >> 7) as u8).collect();
                let mut sum = Sum::new();
                for block in data.chunks(BLOCK as usize) {
                    sum.push(block);
                }
                assert_eq!((sum.len(), sum.blocks()), (len, len.div_ceil(BLOCK)));
                assert_eq!(sum.root(), blake3::hash(&data), "{len} bytes");
            }
        }
    }

    #[test]
    fn the_same_bytes_have_another_value_elsewhere() {
        let (mut sum, block) = (Sum::new(), vec![7; BLOCK as usize]);
        assert_ne!(sum.push(&block), sum.push(&block));
    }
}
