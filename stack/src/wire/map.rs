//! Packet numbers that arrived, as bits: what a member that reports seldom has to say of thousands of
//! packets takes a known number of bytes, however many gaps there are.

use super::bytes::{Reader, Writer};
use super::tlv::MAX_MAP;
use super::{MAX_PN, WireError};

/// Packet numbers from `first` on, one bit each, lowest bit of a byte first: 1 = arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PnMap<'a> {
    /// The packet number of the first bit.
    pub first: u64,
    /// The bits, at most [`MAX_MAP`] bytes.
    pub bits: &'a [u8],
}

impl<'a> PnMap<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(value);
        let first = r.u64()?;
        let bits = r.rest();
        if bits.len() > MAX_MAP || first > MAX_PN - (MAX_MAP * 8) as u64 {
            return Err(WireError::Malformed("map of packet numbers"));
        }
        Ok(Self { first, bits })
    }

    pub(crate) fn emit(&self, w: &mut Writer<'_>) {
        w.u64(self.first);
        w.put(self.bits);
    }

    fn get(&self, n: u64) -> bool {
        self.bits.get((n / 8) as usize).is_some_and(|byte| byte >> (n % 8) & 1 == 1)
    }

    /// The highest range (low, high), both inclusive, that ends below `before`.
    pub(crate) fn range_below(&self, before: Option<u64>) -> Option<(u64, u64)> {
        let all = self.bits.len() as u64 * 8;
        let mut end = before.map_or(all, |pn| pn.saturating_sub(self.first).min(all));
        while end > 0 && !self.get(end - 1) {
            end -= 1;
        }
        let mut start = end;
        while start > 0 && self.get(start - 1) {
            start -= 1;
        }
        (start < end).then(|| (self.first + start, self.first + end - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::PnMap;
    use crate::wire::RangeList;

    #[test]
    fn bits_are_read_as_ranges_from_the_newest_down() {
        let map = PnMap { first: 100, bits: &[0b1100_1011, 0b0000_0001] };
        let ranges: Vec<_> = RangeList::Map(map).iter().collect();
        assert_eq!(ranges, [(106, 108), (103, 103), (100, 101)]);
        assert_eq!(RangeList::Map(PnMap { first: 5, bits: &[0, 0] }).iter().count(), 0);
    }
}
