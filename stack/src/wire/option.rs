//! TCP options: the few that travel outside the sealed payload, in the header.

use smoltcp::wire::TcpOption;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Group option (`TCP-XM` slide 13): length 6 with an IPv4 group, 18 with an IPv6 one.
const GROUP: u8 = 50;
/// Multicast feedback option (`TCP-XM` slide 17): length 3, a percentage.
const HEARD: u8 = 51;
/// A shift above 14 must be read as 14 (RFC 7323, 2.3).
const MAX_WINDOW_SCALE: u8 = 14;
/// A percentage.
const MAX_HEARD: u8 = 100;
/// A data offset counts words of 4 bytes (RFC 9293, 3.1).
const WORD: usize = 4;

/// The options of one TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Largest segment payload that the sender of this header takes, in bytes (RFC 9293, 3.7.1).
    pub mss: Option<u16>,
    /// How far the windows of later headers are shifted, at most 14 (RFC 7323, 2).
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements are understood (RFC 2018, 2).
    pub sack_permitted: bool,
    /// The group offered in a SYN, echoed in the SYN-ACK. Multicast, else it is not written.
    pub group: Option<IpAddr>,
    /// Share of the last 128 segments that came by multicast, in percent.
    pub heard: Option<u8>,
}

impl Options {
    /// Length once written, in bytes: a multiple of 4, at most 32 of the 40 that TCP has.
    pub fn len(&self) -> usize {
        let bytes: usize = self.mss.map_or(0, |_| 4)
            + if self.sack_permitted { 2 } else { 0 }
            + self.window_scale.map_or(0, |_| 4)
            + match self.sayable_group() {
                None => 0,
                Some(IpAddr::V4(_)) => 6,
                Some(IpAddr::V6(_)) => 18,
            }
            + self.heard.map_or(0, |_| 3);
        bytes.next_multiple_of(WORD)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sayable_group(&self) -> Option<IpAddr> {
        self.group.filter(IpAddr::is_multicast)
    }

    /// Writes the options into the first [`Self::len`] bytes of `buf`, which must be that long:
    /// MSS, SACK-permitted, NOP and window scale, group, feedback, NOPs.
    pub fn emit(&self, buf: &mut [u8]) {
        let mut rest = &mut buf[..self.len()];
        if let Some(mss) = self.mss {
            rest = put(rest, TcpOption::MaxSegmentSize(mss));
        }
        if self.sack_permitted {
            rest = put(rest, TcpOption::SackPermitted);
        }
        if let Some(shift) = self.window_scale {
            rest = put(rest, TcpOption::NoOperation);
            rest = put(rest, TcpOption::WindowScale(shift.min(MAX_WINDOW_SCALE)));
        }
        rest = match self.sayable_group() {
            None => rest,
            Some(IpAddr::V4(a)) => put(rest, TcpOption::Unknown { kind: GROUP, data: &a.octets() }),
            Some(IpAddr::V6(a)) => put(rest, TcpOption::Unknown { kind: GROUP, data: &a.octets() }),
        };
        if let Some(percent) = self.heard {
            rest = put(rest, TcpOption::Unknown { kind: HEARD, data: &[percent.min(MAX_HEARD)] });
        }
        while !rest.is_empty() {
            rest = put(rest, TcpOption::NoOperation);
        }
    }

    /// Reads the options of a header. Unknown ones are skipped; behind a malformed one nothing is
    /// read, for where the next begins is then unknown; of two of a kind the first counts.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        let mut rest = bytes;
        while let Ok((next, option)) = TcpOption::parse(rest) {
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(mss) => {
                    options.mss.get_or_insert(mss);
                }
                TcpOption::WindowScale(shift) => {
                    options.window_scale.get_or_insert(shift.min(MAX_WINDOW_SCALE));
                }
                TcpOption::SackPermitted => options.sack_permitted = true,
                TcpOption::Unknown { kind: GROUP, data } => {
                    let Some(group) = address(data) else { break };
                    if group.is_multicast() {
                        options.group.get_or_insert(group);
                    }
                }
                TcpOption::Unknown { kind: HEARD, data } => {
                    let &[percent] = data else { break };
                    options.heard.get_or_insert(percent.min(MAX_HEARD));
                }
                _ => {}
            }
            rest = next;
        }
        options
    }
}

/// Writes one option and gives what is left. smoltcp's `emit` wants exactly the option's length for
/// a kind that it does not know.
fn put<'a>(buf: &'a mut [u8], option: TcpOption<'_>) -> &'a mut [u8] {
    let (head, tail) = buf.split_at_mut(option.buffer_len());
    option.emit(head);
    tail
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => <[u8; 4]>::try_from(data).ok().map(|a| Ipv4Addr::from(a).into()),
        16 => <[u8; 16]>::try_from(data).ok().map(|a| Ipv6Addr::from(a).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(a, b, c, d).into()
    }

    #[test]
    fn the_common_layout() {
        let options = Options {
            mss: Some(1420),
            window_scale: Some(7),
            sack_permitted: true,
            group: Some(group(239, 255, 1, 2)),
            heard: Some(97),
        };
        let mut buf = [0xee; 24];
        options.emit(&mut buf);
        let expected =
            [2, 4, 5, 140, 4, 2, 1, 3, 3, 7, 50, 6, 239, 255, 1, 2, 51, 3, 97, 1, 0xee, 0xee];
        assert_eq!(options.len(), 20);
        assert_eq!(buf[..22], expected, "and nothing is written behind");
        assert_eq!(Options::parse(&buf[..20]), options);
    }

    #[test]
    fn out_of_range_values_are_clamped() {
        assert_eq!(Options::parse(&[3, 3, 200, 51, 3, 255]).window_scale, Some(14));
        assert_eq!(Options::parse(&[3, 3, 200, 51, 3, 255]).heard, Some(100));
        let said = Options { window_scale: Some(99), heard: Some(101), ..Options::default() };
        let mut buf = [0; 8];
        said.emit(&mut buf);
        assert_eq!(buf, [1, 3, 3, 14, 51, 3, 100, 1]);
    }

    #[test]
    fn a_group_that_is_no_group_is_neither_read_nor_written() {
        assert_eq!(Options::parse(&[50, 6, 10, 0, 0, 1]), Options::default());
        let unicast = Options { group: Some(group(10, 0, 0, 1)), ..Options::default() };
        assert!(unicast.is_empty());
        let second = Options::parse(&[50, 6, 10, 0, 0, 1, 50, 6, 239, 1, 1, 1]);
        assert_eq!(second.group, Some(group(239, 1, 1, 1)));
    }

    #[test]
    fn unknown_skipped_malformed_ends_first_counts() {
        let unknown = Options::parse(&[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 253, 2, 51, 3, 5]);
        assert_eq!(unknown.heard, Some(5), "a timestamp and an experiment stand before it");
        for bad in [&[2, 3, 9][..], &[50, 5, 239, 1, 1], &[51, 2], &[77, 0], &[77, 1], &[77, 99]] {
            let bytes = [&[51, 3, 8][..], bad, &[4, 2]].concat();
            let expected = Options { heard: Some(8), ..Options::default() };
            assert_eq!(Options::parse(&bytes), expected, "{bad:?}");
        }
        assert_eq!(Options::parse(&[2, 4, 0, 1, 2, 4, 0, 2]).mss, Some(1));
        assert_eq!(Options::parse(&[0, 2, 4, 0, 1]), Options::default(), "behind the end");
    }
}
