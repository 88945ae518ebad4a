//! The ACK block: what a receiver has, per packet number space, and what it can still take.

use super::bytes::{Reader, Writer};
use super::{MAX_PN, RangeList, WireError};

/// Ranges of one ACK, both spaces together.
pub const MAX_RANGES: usize = 64;

/// What the receiver says about the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum GroupStatus {
    /// No group was offered.
    #[default]
    None = 0,
    /// It is being joined.
    Joining = 1,
    /// It is joined.
    Joined = 2,
    /// It cannot be joined.
    Cannot = 3,
}

/// What arrived in one packet number space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceAck<'a> {
    /// Largest packet number that arrived, at most [`MAX_PN`]; the high end of the first range.
    pub largest: u64,
    /// For how long it has been here, in microseconds.
    pub delay_us: u32,
    /// Packets that arrived marked with Congestion Experienced (RFC 3168, 5).
    pub ce: u32,
    /// What arrived. Never empty: of a space in which nothing arrived there is no report.
    pub ranges: RangeList<'a>,
}

/// ACK block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Offset of the first byte of the data conversation that has not arrived in order.
    pub data_next: u64,
    /// Offset up to which data may be sent: absolute, so that losing an ACK loses nothing.
    pub data_edge: u64,
    /// Offset of the first byte of the control conversation that has not arrived in order.
    pub control_next: u64,
    /// Offset up to which control may be sent.
    pub control_edge: u64,
    /// How it stands with the group.
    pub group_status: GroupStatus,
    /// What arrived by unicast.
    pub unicast: Option<SpaceAck<'a>>,
    /// What arrived by the group.
    pub group: Option<SpaceAck<'a>>,
}

/// Four offsets, group status, spaces present.
const FIXED: usize = 4 * 8 + 1 + 1;
/// Largest, delay, CE, range count.
const SPACE: usize = 8 + 4 + 4 + 1;
const UNICAST: u8 = 1 << 0;
const GROUP: u8 = 1 << 1;
/// Ranges that neither space can take from the other.
const FAIR_RANGES: usize = MAX_RANGES / 2;

/// Numbers of ranges and their bytes, per space.
#[derive(Debug, Clone, Copy)]
struct Cut {
    unicast: usize,
    group: usize,
}

impl Ack<'_> {
    /// Length of the longest ACK, in bytes: two spaces with 64 ranges, 126 varints. One of 9 bytes
    /// is at least 2^56, and those of a space add up to less than its largest packet number, which
    /// is below 2^60: so at most 15 a space have 9 bytes, and all others at most 8.
    pub const MAX_LEN: usize = FIXED + 2 * SPACE + (2 * MAX_RANGES - 2) * 8 + 2 * 15;

    /// Writes the block at the start of `buf` and gives its length. Of each space the oldest ranges
    /// are left out if not all fit into `buf` or into [`MAX_RANGES`]; `None`, with nothing to be
    /// relied on in `buf`, if not even the newest range of each space fits.
    pub(crate) fn emit(&self, buf: &mut [u8]) -> Option<usize> {
        let unicast = self.unicast.as_ref().filter(|s| s.sayable());
        let group = self.group.as_ref().filter(|s| s.sayable());
        let heads = SPACE * (usize::from(unicast.is_some()) + usize::from(group.is_some()));
        let room = buf.len().checked_sub(FIXED + heads)?;
        let cut = share(unicast, group, room)?;
        let mut w = Writer::new(buf);
        w.u64(self.data_next);
        w.u64(self.data_edge);
        w.u64(self.control_next);
        w.u64(self.control_edge);
        w.u8(self.group_status as u8);
        w.u8(unicast.map_or(0, |_| UNICAST) | group.map_or(0, |_| GROUP));
        for (space, count) in [(unicast, cut.unicast), (group, cut.group)] {
            if let Some(space) = space {
                space.emit(count, &mut w);
            }
        }
        Some(w.len())
    }
}

impl<'a> Ack<'a> {
    /// Bytes behind the known fields are a later version's and ignored, as are spaces not known.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(value);
        let (data_next, data_edge) = (r.u64()?, r.u64()?);
        let (control_next, control_edge) = (r.u64()?, r.u64()?);
        let group_status = match r.u8()? {
            0 => GroupStatus::None,
            1 => GroupStatus::Joining,
            2 => GroupStatus::Joined,
            3 => GroupStatus::Cannot,
            _ => return Err(WireError::Malformed("group status of an ACK")),
        };
        let spaces = r.u8()?;
        let mut left = MAX_RANGES;
        let mut space = |present: bool| -> Result<Option<SpaceAck<'a>>, WireError> {
            present.then(|| SpaceAck::parse(&mut r, &mut left)).transpose()
        };
        let unicast = space(spaces & UNICAST != 0)?;
        let group = space(spaces & GROUP != 0)?;
        Ok(Self { data_next, data_edge, control_next, control_edge, group_status, unicast, group })
    }
}

impl<'a> SpaceAck<'a> {
    /// Whether there is a first range and it ends at the largest packet number.
    fn sayable(&self) -> bool {
        let first = self.ranges.iter().next();
        debug_assert!(
            first.is_none_or(|(_, high)| high == self.largest),
            "the first range of an ACK does not end at its largest packet number"
        );
        first.is_some_and(|(_, high)| high == self.largest)
    }

    fn emit(&self, count: usize, w: &mut Writer<'_>) {
        w.u64(self.largest);
        w.u32(self.delay_us);
        w.u32(self.ce);
        // At most MAX_RANGES.
        w.u8(count as u8);
        self.ranges.emit(count, w);
    }

    /// `left` is how many ranges the ACK may still have.
    fn parse(r: &mut Reader<'a>, left: &mut usize) -> Result<Self, WireError> {
        let largest = r.u64()?;
        if largest > MAX_PN {
            return Err(WireError::Malformed("packet number beyond 2^60 - 1"));
        }
        let (delay_us, ce) = (r.u32()?, r.u32()?);
        let count = r.u8()?;
        if count == 0 || usize::from(count) > *left {
            return Err(WireError::Malformed("number of ranges in an ACK"));
        }
        *left -= usize::from(count);
        let (ranges, rest) = RangeList::parse(count, largest, r.rest())?;
        *r = Reader::new(rest);
        Ok(Self { largest, delay_us, ce, ranges })
    }
}

/// Shares out the ranges, then the `room` in bytes: either space gets what the other leaves, and at
/// least half if it wants it. `None` if not even one range each fits.
fn share(unicast: Option<&SpaceAck<'_>>, group: Option<&SpaceAck<'_>>, room: usize) -> Option<Cut> {
    let fit = |space: Option<&SpaceAck<'_>>, count: usize, len: usize| {
        space.map_or((0, 0), |s| s.ranges.fit(count, len))
    };
    let (u_first, g_first) = (fit(unicast, 1, usize::MAX).1, fit(group, 1, usize::MAX).1);
    if u_first + g_first > room {
        return None;
    }
    let g_fair = fit(group, FAIR_RANGES, usize::MAX).0;
    let (u_count, u_len) = fit(unicast, MAX_RANGES - g_fair, usize::MAX);
    let (g_count, g_len) = fit(group, MAX_RANGES - u_count, usize::MAX);
    // Enough for the first range of each; `u_first <= room - g_first` was shown above.
    let u_room = (room / 2).max(room.saturating_sub(g_len)).clamp(u_first, room - g_first);
    let (u_count, u_len) = fit(unicast, u_count, u_room.min(u_len));
    let (g_count, _) = fit(group, g_count, room - u_len);
    Some(Cut { unicast: u_count, group: g_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` single packet numbers, every other one, below and with `largest`.
    fn sparse(n: u64, largest: u64) -> Vec<(u64, u64)> {
        (0..n).map(|i| (largest - 2 * i, largest - 2 * i)).collect()
    }

    fn space(ranges: &[(u64, u64)]) -> SpaceAck<'_> {
        let largest = ranges[0].1;
        let ranges = RangeList::Listed(ranges);
        SpaceAck { largest, delay_us: 1, ce: 3, ranges }
    }

    fn counts(unicast: u64, group: u64, room: usize) -> Option<(usize, usize)> {
        let (u, g) = (sparse(unicast, 9_999), sparse(group, 9_999));
        let ack = Ack {
            data_next: 1,
            data_edge: 2,
            control_next: 3,
            control_edge: 4,
            group_status: GroupStatus::Joined,
            unicast: (unicast > 0).then(|| space(&u)),
            group: (group > 0).then(|| space(&g)),
        };
        let mut buf = vec![0; room];
        let len = ack.emit(&mut buf)?;
        let parsed = Ack::parse(&buf[..len]).unwrap();
        let count = |s: Option<SpaceAck<'_>>| s.map_or(0, |s| s.ranges.iter().count());
        Some((count(parsed.unicast), count(parsed.group)))
    }

    #[test]
    fn ranges_are_shared_fairly() {
        let cases = [
            ((0, 0), (0, 0)),
            ((10, 10), (10, 10)),
            ((100, 0), (64, 0)),
            ((0, 100), (0, 64)),
            ((100, 100), (32, 32)),
            ((100, 10), (54, 10)),
            ((10, 100), (10, 54)),
        ];
        for ((unicast, group), expected) in cases {
            assert_eq!(counts(unicast, group, 1_200), Some(expected), "{unicast} {group}");
        }
    }

    #[test]
    fn room_is_shared_fairly() {
        // First range 1 byte, each further one 2.
        let heads = FIXED + 2 * SPACE;
        assert_eq!(counts(32, 32, heads + 1), None, "not one range each");
        assert_eq!(counts(32, 32, heads + 2), Some((1, 1)));
        assert_eq!(counts(32, 32, heads + 22), Some((6, 6)));
        assert_eq!(counts(32, 2, heads + 22), Some((10, 2)));
        assert_eq!(counts(2, 32, heads + 22), Some((2, 10)));
        assert_eq!(counts(3, 0, FIXED + SPACE - 1), None, "not even the heads");
    }

    #[test]
    fn a_first_range_that_needs_more_than_half_of_the_room_gets_it() {
        let (far, near) = ([(0, MAX_PN)], [(7, 7)]);
        for (unicast, group) in [(space(&far), space(&near)), (space(&near), space(&far))] {
            let ack = Ack {
                data_next: 0,
                data_edge: 0,
                control_next: 0,
                control_edge: 0,
                group_status: GroupStatus::None,
                unicast: Some(unicast),
                group: Some(group),
            };
            let mut buf = [0; FIXED + 2 * SPACE + 9 + 1];
            let len = ack.emit(&mut buf).unwrap();
            assert_eq!(Ack::parse(&buf[..len]), Ok(ack));
        }
    }

    #[test]
    fn too_many_or_no_ranges_are_malformed() {
        let mut buf = [0; 200];
        let ranges = sparse(40, 999);
        let ack = Ack {
            data_next: 0,
            data_edge: 0,
            control_next: 0,
            control_edge: 0,
            group_status: GroupStatus::None,
            unicast: Some(space(&ranges)),
            group: None,
        };
        let len = ack.emit(&mut buf).unwrap();
        assert!(Ack::parse(&buf[..len]).is_ok());
        for count in [0, 65] {
            buf[FIXED + SPACE - 1] = count;
            let expected = Err(WireError::Malformed("number of ranges in an ACK"));
            assert_eq!(Ack::parse(&buf), expected);
        }
    }
}
