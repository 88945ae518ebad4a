//! Lists of packet number ranges, as an ACK carries them.
//!
//! Newest first, as in QUIC (RFC 9000, 19.3.1): how far the first range reaches below the largest
//! packet number; then for each further one the number of missing packets between it and the range
//! before, less one, and the number of packets in it, less one. Both are unsigned LEB128 varints:
//! seven bits a byte, lowest first, the top bit set on all but the last, in the shortest form.

use super::bytes::Writer;
use super::{PnMap, WireError};

/// Bytes of the longest varint of 64 bits.
const MAX_VARINT: usize = 10;

/// Ranges (low, high) of packet numbers, both inclusive, newest first, none touching another.
#[derive(Debug, Clone, Copy)]
pub enum RangeList<'a> {
    /// As the receiver keeps them. From a range on that is out of order or touches the one before,
    /// they do not count.
    Listed(&'a [(u64, u64)]),
    /// As they came.
    Encoded {
        /// How many.
        count: u8,
        /// The high end of the first.
        largest: u64,
        /// The varints.
        bytes: &'a [u8],
    },
    /// As bits.
    Map(PnMap<'a>),
}

impl<'a> RangeList<'a> {
    /// The ranges, newest first; they end where the list is not valid.
    pub fn iter(&self) -> Ranges<'a> {
        Ranges { list: *self, before: None }
    }

    /// Takes `count` ranges off the front of `bytes`, and gives what follows them.
    pub(crate) fn parse(
        count: u8,
        largest: u64,
        bytes: &'a [u8],
    ) -> Result<(Self, &'a [u8]), WireError> {
        let mut rest = bytes;
        let mut before = None;
        for _ in 0..count {
            let (range, next) =
                decode(largest, before, rest).ok_or(WireError::Malformed("range of an ACK"))?;
            before = Some(range.0);
            rest = next;
        }
        let used = bytes.len() - rest.len();
        Ok((Self::Encoded { count, largest, bytes: &bytes[..used] }, rest))
    }

    /// How many ranges, at most `max_count`, fit into `max_len` bytes, and how many bytes they take.
    pub(crate) fn fit(&self, max_count: usize, max_len: usize) -> (usize, usize) {
        let (mut count, mut len, mut before) = (0, 0, None);
        for range in self.iter().take(max_count) {
            let more = encoded(range, before).into_iter().flatten().map(varint_len).sum::<usize>();
            if len + more > max_len {
                break;
            }
            count += 1;
            len += more;
            before = Some(range.0);
        }
        (count, len)
    }

    /// Writes the newest `count` ranges.
    pub(crate) fn emit(&self, count: usize, w: &mut Writer<'_>) {
        let mut before = None;
        for range in self.iter().take(count) {
            for value in encoded(range, before).into_iter().flatten() {
                put_varint(w, value);
            }
            before = Some(range.0);
        }
    }
}

impl PartialEq for RangeList<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for RangeList<'_> {}

impl<'a> IntoIterator for &RangeList<'a> {
    type Item = (u64, u64);
    type IntoIter = Ranges<'a>;

    fn into_iter(self) -> Ranges<'a> {
        self.iter()
    }
}

/// Iterator over the ranges of a [`RangeList`].
#[derive(Debug, Clone)]
pub struct Ranges<'a> {
    list: RangeList<'a>,
    /// Low end of the range given last.
    before: Option<u64>,
}

impl Ranges<'_> {
    fn step(&mut self) -> Option<(u64, u64)> {
        match &mut self.list {
            RangeList::Listed(ranges) => {
                let (&(low, high), rest) = ranges.split_first()?;
                *ranges = rest;
                let apart = self.before.is_none_or(|b| high.checked_add(1).is_some_and(|h| h < b));
                (low <= high && apart).then_some((low, high))
            }
            RangeList::Encoded { count, largest, bytes } => {
                *count = count.checked_sub(1)?;
                let (range, rest) = decode(*largest, self.before, bytes)?;
                *bytes = rest;
                Some(range)
            }
            RangeList::Map(map) => map.range_below(self.before),
        }
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let range = self.step();
        match range {
            Some((low, _)) => self.before = Some(low),
            None => self.list = RangeList::Listed(&[]),
        }
        range
    }
}

/// The varints of a range that follows one beginning at `before`: gap (none for the first), length.
fn encoded((low, high): (u64, u64), before: Option<u64>) -> [Option<u64>; 2] {
    [before.map(|before| before - high - 2), Some(high - low)]
}

/// The first range in `bytes` and what follows it; `None` if there is no valid one.
fn decode(largest: u64, before: Option<u64>, bytes: &[u8]) -> Option<((u64, u64), &[u8])> {
    let (high, rest) = match before {
        None => (largest, bytes),
        Some(before) => {
            let (gap, rest) = take_varint(bytes)?;
            (before.checked_sub(gap)?.checked_sub(2)?, rest)
        }
    };
    let (length, rest) = take_varint(rest)?;
    Some(((high.checked_sub(length)?, high), rest))
}

pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    bits.max(1).div_ceil(7) as usize
}

pub(crate) fn put_varint(w: &mut Writer<'_>, mut value: u64) {
    while value > 0x7f {
        w.u8(value as u8 | 0x80);
        value >>= 7;
    }
    w.u8(value as u8);
}

pub(crate) fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(MAX_VARINT) {
        // 63 bits stand before the tenth byte, which has room for one.
        if i == MAX_VARINT - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let shortest = i == 0 || byte != 0;
            return shortest.then(|| (value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
        RangeList::Listed(ranges).iter().collect()
    }

    #[test]
    fn a_list_ends_where_it_is_not_valid() {
        assert_eq!(list(&[(9, 9), (5, 7), (6, 7)]), [(9, 9), (5, 7)], "overlapping");
        assert_eq!(list(&[(9, 9), (5, 8), (1, 2)]), [(9, 9)], "touching");
        assert_eq!(list(&[(9, 8)]), [], "empty range");
        assert_eq!(list(&[(5, 6), (u64::MAX, u64::MAX)]), [(5, 6)], "ascending");
    }

    #[test]
    fn known_encodings() {
        let (parsed, rest) = RangeList::parse(2, 300, &[0x80, 0x02, 1, 0, 77]).unwrap();
        assert_eq!(parsed, RangeList::Listed(&[(44, 300), (41, 41)]));
        assert_eq!(rest, [77]);
        let bad: [(u8, u64, &[u8]); 6] = [
            (1, 5, &[6]),                                                     // below zero
            (2, 5, &[0, 4, 0]),         // the gap reaches below zero
            (2, 5, &[0]),               // second one missing
            (1, 5, &[0x80, 0]),         // not the shortest form
            (1, u64::MAX, &[0xff; 11]), // no end
            (1, u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), // 65 bits
        ];
        for (count, largest, bytes) in bad {
            assert!(RangeList::parse(count, largest, bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn varints_survive(value: u64, shift in 0..64_u32) {
            let value = value >> shift;
            let mut buf = [0; MAX_VARINT];
            let mut w = Writer::new(&mut buf);
            put_varint(&mut w, value);
            let len = w.len();
            prop_assert_eq!(len, varint_len(value));
            prop_assert_eq!(take_varint(&buf[..len]), Some((value, &[][..])));
            prop_assert_eq!(take_varint(&buf[..len - 1]), None);
        }

        #[test]
        fn any_bytes_give_descending_ranges(
            count: u8,
            largest: u64,
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut below = None;
            let list = RangeList::Encoded { count, largest, bytes: &bytes };
            for (low, high) in &list {
                prop_assert!(low <= high);
                prop_assert!(below.is_none_or(|b| high + 1 < b));
                below = Some(low);
            }
        }
    }
}
