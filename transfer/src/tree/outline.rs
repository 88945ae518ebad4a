//! Where the parts of a list and their data stand, as far as the list has been written.

use super::layout;
use core::ops::Range;

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The block that it takes.
    pub block: u64,
    /// Its bytes.
    pub len: u32,
    /// Where its bytes were put aside.
    pub at: u64,
    /// The first block of its data.
    pub data: u64,
    /// Blocks of its data.
    pub count: u64,
    /// Number of its first entry.
    pub first: u64,
}

impl Part {
    /// The blocks of its data.
    pub fn blocks(&self) -> Range<u64> {
        self.data..self.data + self.count
    }
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The part of this number.
    Part(u64),
    /// Data of the part of this number.
    Data(u64),
}

/// All parts so far.
#[derive(Debug, Clone, Default)]
pub struct Outline(Vec<Part>);

impl Outline {
    /// The block of the next part, and the first block of its data: `last` says that none follows.
    pub fn next(&self, last: bool) -> (u64, u64) {
        match &self.0[..] {
            [] => (0, layout::after(0, 1, last)),
            // Right before the data of the one before.
            [.., prior] => (prior.data - 1, layout::after(prior.data, prior.count, last)),
        }
    }

    /// Takes the next part.
    pub fn push(&mut self, part: Part) {
        self.0.push(part);
    }

    /// A part.
    pub fn part(&self, number: u64) -> Option<&Part> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// Number of parts.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Blocks that are laid out.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |part| part.data + part.count)
    }

    /// What a block is; `None` if nothing is known of it yet.
    pub fn find(&self, block: u64) -> Option<Holds> {
        // Data stand in the order of their parts, and each part but the first right before those of another.
        let after = self.0.partition_point(|part| part.data <= block);
        if let Some(number) = after.checked_sub(1)
            && self.0[number].blocks().contains(&block)
        {
            return Some(Holds::Data(number as u64));
        }
        let near = after.saturating_sub(1)..(after + 2).min(self.0.len());
        let is_part = |number: &usize| self.0[*number].block == block;
        near.clone().find(is_part).map(|number| Holds::Part(number as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Parts and data tile the blocks, in the order of the layout's picture.
        #[test]
        fn every_block_is_something(counts in prop::collection::vec(0..4_u64, 1..12)) {
            let mut outline = Outline::default();
            let mut order = Vec::new();
            for (number, count) in counts.iter().enumerate() {
                let last = number + 1 == counts.len();
                let (block, data) = outline.next(last);
                outline.push(Part { block, len: 1, at: 0, data, count: *count, first: 0 });
            }
            for number in 0..counts.len() as u64 {
                if number == 0 {
                    order.push(Holds::Part(0));
                }
                if number + 1 < counts.len() as u64 {
                    order.push(Holds::Part(number + 1));
                }
                order.extend((0..counts[number as usize]).map(|_| Holds::Data(number)));
            }
            prop_assert_eq!(outline.end(), order.len() as u64);
            let found = (0..outline.end()).map(|block| outline.find(block).unwrap());
            prop_assert_eq!(found.collect::<Vec<_>>(), order);
            prop_assert_eq!(outline.find(outline.end()), None);
        }
    }
}
