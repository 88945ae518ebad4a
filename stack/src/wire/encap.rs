//! The encapsulation header: the first 16 bytes of every datagram.

use super::bytes::{Reader, Writer};
use super::{ENCAP_LEN, WireError};

/// The version spoken here. Another version may change everything behind its three bits.
pub const VERSION: u8 = 1;

const VERSION_SHIFT: u8 = 5;
const TLVS: u8 = 0b0001_0000;
const REPAIR: u8 = 0b0000_1000;
const KIND: u8 = 0b0000_0111;

/// What a datagram of an association is for. Kinds 4 to 7 are replies outside of any
/// ([`super::Reply`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// SYN, SYN-ACK, and the ACK that completes them.
    Handshake = 0,
    /// The data conversation, by unicast.
    Data = 1,
    /// The control conversation, by unicast.
    Control = 2,
    /// The data conversation, sent to the group.
    Group = 3,
}

/// Encapsulation header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encap {
    /// What the datagram is for.
    pub kind: Kind,
    /// Whether the payload begins with a TLV area.
    pub tlvs: bool,
    /// Whether the payload's stream bytes have been sent before to those whom this is for.
    pub repair: bool,
    /// The key that sealed it, of those that the connection id stands for.
    pub key_id: u8,
    /// Bits 47 to 32 of the stream offset of the first payload byte.
    pub offset_high: u16,
    /// Connection id, chosen by the side that receives on it; in a [`Kind::Group`] datagram the
    /// group's, chosen by the sender; in a SYN, whose receiver has chosen none yet, the initiator's.
    pub cid: u64,
    /// Low 32 bits of the packet number.
    pub pn: u32,
}

impl Encap {
    /// Writes the header into the first [`ENCAP_LEN`] bytes of `buf`, which must be that long.
    pub fn emit(&self, buf: &mut [u8]) {
        let flags = if self.tlvs { TLVS } else { 0 } | if self.repair { REPAIR } else { 0 };
        let mut w = Writer::new(buf);
        w.u8(VERSION << VERSION_SHIFT | flags | self.kind as u8);
        w.u8(self.key_id);
        w.u16(self.offset_high);
        w.u64(self.cid);
        w.u32(self.pn);
        debug_assert_eq!(w.len(), ENCAP_LEN);
    }

    /// Reads the header at the start of `bytes`. The version is judged first: nothing else is known
    /// about a datagram of another one, not even its shortest length.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let first = r.u8()?;
        if first >> VERSION_SHIFT != VERSION {
            return Err(WireError::Version);
        }
        let kind = match first & KIND {
            0 => Kind::Handshake,
            1 => Kind::Data,
            2 => Kind::Control,
            3 => Kind::Group,
            _ => return Err(WireError::Kind),
        };
        Ok(Self {
            kind,
            tlvs: first & TLVS != 0,
            repair: first & REPAIR != 0,
            key_id: r.u8()?,
            offset_high: r.u16()?,
            cid: r.u64()?,
            pn: r.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_judged() {
        for first in 0..=u8::MAX {
            let mut bytes = [0; ENCAP_LEN];
            bytes[0] = first;
            match Encap::parse(&bytes) {
                Ok(encap) => {
                    let mut out = [0; ENCAP_LEN];
                    encap.emit(&mut out);
                    assert_eq!(out, bytes);
                }
                Err(WireError::Version) => assert_ne!(first >> 5, VERSION),
                Err(WireError::Kind) => assert!(first >> 5 == VERSION && first & 7 > 3),
                Err(e) => panic!("{first:#x}: {e}"),
            }
        }
    }

    #[test]
    fn a_short_datagram_of_another_version_is_of_another_version() {
        assert_eq!(Encap::parse(&[0x40]), Err(WireError::Version));
        assert_eq!(Encap::parse(&[0x20]), Err(WireError::Truncated));
        assert_eq!(Encap::parse(&[]), Err(WireError::Truncated));
    }
}
