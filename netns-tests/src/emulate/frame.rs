//! What the emulator looks at in an Ethernet frame.

use etherparse::{Ethernet2HeaderSlice, IpEcn, Ipv4HeaderSlice, ether_type};

/// A hardware address.
pub type Mac = [u8; 6];

/// Bytes of an Ethernet header.
pub const HEADER: usize = 14;
/// Longest frame that a TAP device of MTU 1500 gives.
pub const MAX: usize = 2048;

/// Destination and source; `None` for what is too short to be a frame.
pub fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let header = Ethernet2HeaderSlice::from_slice(frame).ok()?;
    Some((header.destination(), header.source()))
}

/// Whether an address names a group (IEEE 802: the lowest bit of the first byte).
pub fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// Marks a packet that says it can be marked as having met congestion (RFC 3168, 5); `false` if it
/// cannot be, and is unchanged.
pub fn mark(frame: &mut [u8]) -> bool {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(frame) else { return false };
    match header.ether_type() {
        ether_type::IPV4 => mark_v4(frame),
        ether_type::IPV6 => mark_v6(frame),
        _ => false,
    }
}

fn mark_v4(frame: &mut [u8]) -> bool {
    let Ok(header) = Ipv4HeaderSlice::from_slice(&frame[HEADER..]) else { return false };
    if header.ecn() == IpEcn::NotEct {
        return false;
    }
    let mut header = header.to_header();
    header.ecn = IpEcn::CongestionExperienced;
    header.header_checksum = header.calc_header_checksum();
    let bytes = header.to_bytes();
    frame[HEADER..HEADER + bytes.len()].copy_from_slice(&bytes);
    true
}

/// The traffic class stands across the first two bytes; its lowest two bits are ECN (RFC 8200, 7;
/// RFC 3168, 5). IPv6 has no checksum.
fn mark_v6(frame: &mut [u8]) -> bool {
    let Some(byte) = frame.get_mut(HEADER + 1) else { return false };
    let ecn = *byte >> 4 & 0b11;
    *byte |= if ecn == 0 { 0 } else { 0b11 << 4 };
    ecn != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpHeaders, PacketBuilder, SlicedPacket};

    fn frame(v6: bool, ecn: IpEcn) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut out = Vec::new();
        if v6 {
            let ip = ethernet.ipv6([1; 16], [2; 16], 9).udp(1, 2);
            ip.write(&mut out, b"hello").unwrap();
            out[HEADER + 1] |= ecn.value() << 4;
        } else {
            let mut header =
                etherparse::Ipv4Header::new(13, 9, etherparse::IpNumber::UDP, [1; 4], [2; 4])
                    .unwrap();
            header.ecn = ecn;
            let ip = ethernet.ip(IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()));
            ip.udp(1, 2).write(&mut out, b"hello").unwrap();
        }
        out
    }

    #[test]
    fn only_what_can_be_marked_is_and_stays_a_valid_packet() {
        for v6 in [false, true] {
            for ecn in [IpEcn::Ect0, IpEcn::Ect1, IpEcn::CongestionExperienced] {
                let mut marked = frame(v6, ecn);
                assert!(mark(&mut marked));
                let same = frame(v6, IpEcn::CongestionExperienced);
                assert_eq!(marked, same, "checksum included");
                assert!(SlicedPacket::from_ethernet(&marked).is_ok());
            }
            let plain = frame(v6, IpEcn::NotEct);
            let mut same = plain.clone();
            assert!(!mark(&mut same) && same == plain);
        }
        assert!(!mark(&mut [0; 14]) && !mark(&mut []));
    }

    #[test]
    fn addresses_are_read_and_groups_told() {
        let frame = frame(false, IpEcn::NotEct);
        assert_eq!(addresses(&frame), Some(([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])));
        assert_eq!(addresses(&frame[..13]), None);
        assert!(is_group([0xff; 6]) && is_group([1, 0, 0x5e, 0, 0, 1]) && !is_group([2; 6]));
    }
}
