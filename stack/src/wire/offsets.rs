//! Lists of ranges of the stream, as HAVE, LACK and AGAIN carry them.
//!
//! First a unit, as the power of two that divides every start and end: files are held in blocks, and
//! then a range takes two or three bytes. Then per range, lowest first, two varints, as an ACK has
//! them ([`super::ranges`]), both in units: how far it begins behind the end of the one before (the
//! first: behind offset 0; the others less one, since none touches another), and its length less
//! one.

use super::bytes::Writer;
use super::ranges::{put_varint, take_varint, varint_len};
use super::{MAX_OFFSET, WireError};
use core::fmt;
use core::ops::Range;

/// The unit's byte.
const UNIT_LEN: usize = 1;
/// The largest unit's exponent: no offset has more bits.
const MAX_UNIT: u32 = MAX_OFFSET.ilog2();
/// A range whose unit is larger by so many bits goes into a list of its own: each of the varints
/// that follow saves a byte then, while a list costs four.
const FINER: u32 = 8;

/// Ranges of stream offsets, lowest first, none empty, none touching another, none reaching beyond
/// [`MAX_OFFSET`].
#[derive(Clone, Copy)]
pub enum OffsetList<'a> {
    /// As their owner keeps them. From a range on that is not as it should be, they do not count.
    Listed(&'a [Range<u64>]),
    /// As they came.
    Encoded {
        /// Exponent of the unit.
        unit: u8,
        /// The varints.
        bytes: &'a [u8],
    },
}

impl<'a> OffsetList<'a> {
    /// The ranges, lowest first; they end where the list is not valid.
    pub fn iter(&self) -> Offsets<'a> {
        Offsets { list: *self, end: None }
    }

    /// How many of these ranges, from the first on, belong into one record with a body of at most
    /// `max_len` bytes: at least one, if it is valid and there is room for it, and no more than
    /// share a unit that suits them.
    pub fn fit(ranges: &[Range<u64>], max_len: usize) -> usize {
        let Some(first) = ranges.first() else { return 0 };
        let unit = unit_of(first);
        let (mut count, mut end, mut len) = (0, None, UNIT_LEN);
        for range in &OffsetList::Listed(ranges) {
            if !(unit..unit + FINER).contains(&unit_of(&range)) {
                break;
            }
            len += encoded(&range, end, unit).map(varint_len).iter().sum::<usize>();
            if len > max_len {
                break;
            }
            count += 1;
            end = Some(range.end);
        }
        count
    }

    /// Takes a whole body apart. It is checked here, so that what is refused has had no effect.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let (&unit, bytes) = body.split_first().ok_or(WireError::Truncated)?;
        if u32::from(unit) > MAX_UNIT {
            return Err(WireError::Malformed("unit of a list of ranges"));
        }
        let (mut rest, mut end) = (bytes, None);
        while !rest.is_empty() {
            let (range, next) =
                decode(unit, end, rest).ok_or(WireError::Malformed("range of the stream"))?;
            end = Some(range.end);
            rest = next;
        }
        Ok(Self::Encoded { unit, bytes })
    }

    /// Exponent of the unit that all ranges share.
    fn unit(&self) -> u32 {
        match self {
            Self::Encoded { unit, .. } => u32::from(*unit),
            Self::Listed(_) => self.iter().map(|range| unit_of(&range)).min().unwrap_or(0),
        }
    }

    pub(crate) fn emit_len(&self) -> usize {
        let (unit, mut end, mut len) = (self.unit(), None, UNIT_LEN);
        for range in self {
            len += encoded(&range, end, unit).map(varint_len).iter().sum::<usize>();
            end = Some(range.end);
        }
        len
    }

    pub(crate) fn emit(&self, w: &mut Writer<'_>) {
        let (unit, mut end) = (self.unit(), None);
        w.u8(unit as u8); // at most MAX_UNIT
        for range in self {
            for value in encoded(&range, end, unit) {
                put_varint(w, value);
            }
            end = Some(range.end);
        }
    }
}

impl PartialEq for OffsetList<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for OffsetList<'_> {}

impl fmt::Debug for OffsetList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &OffsetList<'a> {
    type Item = Range<u64>;
    type IntoIter = Offsets<'a>;

    fn into_iter(self) -> Offsets<'a> {
        self.iter()
    }
}

/// Iterator over the ranges of an [`OffsetList`].
#[derive(Debug, Clone)]
pub struct Offsets<'a> {
    list: OffsetList<'a>,
    /// End of the range given last.
    end: Option<u64>,
}

impl Offsets<'_> {
    fn step(&mut self) -> Option<Range<u64>> {
        match &mut self.list {
            OffsetList::Listed(ranges) => {
                let (range, rest) = ranges.split_first()?;
                *ranges = rest;
                let apart = self.end.is_none_or(|end| end < range.start);
                let valid = range.start < range.end && range.end <= MAX_OFFSET;
                (apart && valid).then(|| range.clone())
            }
            OffsetList::Encoded { unit, bytes } => {
                let (range, rest) = decode(*unit, self.end, bytes)?;
                *bytes = rest;
                Some(range)
            }
        }
    }
}

impl Iterator for Offsets<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let range = self.step();
        match &range {
            Some(range) => self.end = Some(range.end),
            None => self.list = OffsetList::Listed(&[]),
        }
        range
    }
}

fn unit_of(range: &Range<u64>) -> u32 {
    // An end is at least 1 and at most MAX_OFFSET, so its zeros are at most MAX_UNIT.
    range.start.trailing_zeros().min(range.end.trailing_zeros())
}

/// The varints of a range that follows one ending at `before`.
fn encoded(range: &Range<u64>, before: Option<u64>, unit: u32) -> [u64; 2] {
    let gap = before.map_or(range.start >> unit, |before| ((range.start - before) >> unit) - 1);
    [gap, ((range.end - range.start) >> unit) - 1]
}

/// The first range in `bytes` and what follows it; `None` if there is no valid one.
fn decode(unit: u8, before: Option<u64>, bytes: &[u8]) -> Option<(Range<u64>, &[u8])> {
    let (gap, rest) = take_varint(bytes)?;
    let (length, rest) = take_varint(rest)?;
    let most = MAX_OFFSET >> unit;
    let start = match before {
        None => gap,
        Some(before) => (before >> unit).checked_add(1)?.checked_add(gap)?,
    };
    let end = start.checked_add(length)?.checked_add(1)?;
    (end <= most).then(|| (start << unit..end << unit, rest))
}

#[cfg(test)]
mod tests {
    use super::super::tests_strategy::offset_ranges;
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(ranges: &[Range<u64>]) -> Vec<u8> {
        let list = OffsetList::Listed(ranges);
        let mut buf = vec![0; list.emit_len()];
        let mut w = Writer::new(&mut buf);
        list.emit(&mut w);
        assert_eq!(w.len(), buf.len());
        buf
    }

    #[test]
    fn known_encodings() {
        const MIB: u64 = 1 << 20;
        let ranges = [3 * MIB..4 * MIB, 6 * MIB..300 * MIB];
        assert_eq!(bytes_of(&ranges), [20, 3, 0, 1, 0xa5, 2]);
        assert_eq!(bytes_of(&[0..1, 2..3]), [0, 0, 0, 0, 0]);
        let all = 0..MAX_OFFSET;
        assert_eq!(bytes_of(std::slice::from_ref(&all)).len(), 1 + 1 + 7);
        let half = 0..1 << 47;
        assert_eq!(bytes_of(std::slice::from_ref(&half)), [47, 0, 0]);
        assert_eq!(bytes_of(&[]), [0]);
        let bad: [&[u8]; 7] = [
            &[],                                                     // no unit
            &[48, 0, 0],                                             // unit beyond every offset
            &[0, 0],                                                 // length missing
            &[0, 0x80, 0, 0],                                        // not the shortest form
            &[47, 0, 1],                                             // ends at 2^48
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0],       // begins at 2^48 - 1
            &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0], // overflows 64 bits
        ];
        for bytes in bad {
            assert!(OffsetList::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "they are what is refused")]
    fn a_list_ends_where_it_is_not_valid() {
        for second in [7..7, 9..8, 5..7, 6..7, 7..MAX_OFFSET + 1] {
            let listed = [5..6, second, 20..30];
            assert!(OffsetList::Listed(&listed).iter().eq([5..6]), "{listed:?}");
        }
    }

    /// A million blocks of 1 MiB of which one in a hundred is held: 3 s at 64 kbit/s.
    #[test]
    fn scattered_blocks_take_little() {
        let (mut ranges, mut state) = (Vec::new(), 1_u64);
        for block in 0..1_000_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 32 < (1 << 32) / 100 {
                ranges.push(block << 20..(block + 1) << 20);
            }
        }
        ranges.dedup_by(|b, a| (a.end == b.start).then(|| a.end = b.end).is_some());
        ranges.push((1_000_001 << 20)..(1_000_001 << 20) + 77); // the last block is a short one
        assert!(ranges.len() > 9000);
        let (mut len, mut records, mut rest) = (0, 0, &ranges[..]);
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(OffsetList::fit(rest, 1024));
            len += super::super::record::HEAD + bytes_of(head).len();
            records += 1;
            rest = tail;
        }
        assert!(len < 24 * ranges.len() / 10, "{len} bytes for {} ranges", ranges.len());
        assert!(records < 40, "{records}");
    }

    proptest! {
        #[test]
        fn lists_survive_and_are_cut_to_fit(ranges in offset_ranges(), max_len in 20..400_usize) {
            let all = bytes_of(&ranges);
            prop_assert!(OffsetList::parse(&all).unwrap().iter().eq(ranges.iter().cloned()));
            let mut rest = &ranges[..];
            while !rest.is_empty() {
                let n = OffsetList::fit(rest, max_len);
                prop_assert!(n > 0);
                let bytes = bytes_of(&rest[..n]);
                prop_assert!(bytes.len() <= max_len);
                let parsed = OffsetList::parse(&bytes).unwrap();
                prop_assert!(parsed.iter().eq(rest[..n].iter().cloned()));
                rest = &rest[n..];
            }
        }
    }
}
