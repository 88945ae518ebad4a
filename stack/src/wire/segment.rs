//! The TCP header, in the layout of RFC 9293 (3.1), on smoltcp's packet accessors.
//!
//! smoltcp's higher-level representation is not used: it refuses flag combinations and port 0,
//! drops options it does not know, and lets one malformed option spoil the segment. What a
//! combination of flags means is the state machine's to judge, not the parser's.

use super::{Options, Seq, TCP_LEN, WireError};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// A TCP header. Urgent data and ECN's two flags are not used: they are written as zero and
/// ignored when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "TCP's flags are independent bits")]
pub struct Segment {
    /// Source port, never compared with the port of the UDP header (a NAT rewrites only that).
    pub src_port: u16,
    /// Destination port, never compared with the port of the UDP header.
    pub dst_port: u16,
    /// Sequence number of the first payload byte, or of the SYN.
    pub seq: Seq,
    /// Next sequence number expected, if the ACK flag is set.
    pub ack: Option<Seq>,
    /// Receive window, in units that the SYN's window scale set.
    pub window: u16,
    /// Synchronize.
    pub syn: bool,
    /// No more data behind this.
    pub fin: bool,
    /// Reset.
    pub rst: bool,
    /// Push: with data by unicast, to be acknowledged at once; else not acted upon.
    pub psh: bool,
    /// Options.
    pub options: Options,
}

#[expect(clippy::len_without_is_empty, reason = "a header has at least 20 bytes")]
impl Segment {
    /// Length of the header, in bytes.
    pub fn len(&self) -> usize {
        TCP_LEN + self.options.len()
    }

    /// Writes the header into the first [`Self::len`] bytes of `buf`, which must be that long. The
    /// checksum stays zero: UDP's and the tag cover the same bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let len = self.len();
        let mut packet = TcpPacket::new_unchecked(&mut buf[..len]);
        packet.set_src_port(self.src_port);
        packet.set_dst_port(self.dst_port);
        packet.set_seq_number(to_smoltcp(self.seq));
        packet.set_ack_number(to_smoltcp(self.ack.unwrap_or_default()));
        packet.clear_flags();
        // At most 20 + 32.
        packet.set_header_len(len as u8);
        packet.set_syn(self.syn);
        packet.set_fin(self.fin);
        packet.set_rst(self.rst);
        packet.set_psh(self.psh);
        packet.set_ack(self.ack.is_some());
        packet.set_window_len(self.window);
        packet.set_checksum(0);
        packet.set_urgent_at(0);
        self.options.emit(packet.options_mut());
    }

    /// Reads the header at the start of `bytes` and gives its length, which is at most theirs. Any
    /// combination of flags is taken; the checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        if bytes.len() < TCP_LEN {
            return Err(WireError::Truncated);
        }
        let packet = TcpPacket::new_unchecked(bytes);
        let len = usize::from(packet.header_len());
        if len < TCP_LEN {
            return Err(WireError::Malformed("TCP data offset"));
        }
        if bytes.len() < len {
            return Err(WireError::Truncated);
        }
        let segment = Self {
            src_port: packet.src_port(),
            dst_port: packet.dst_port(),
            seq: from_smoltcp(packet.seq_number()),
            ack: packet.ack().then(|| from_smoltcp(packet.ack_number())),
            window: packet.window_len(),
            syn: packet.syn(),
            fin: packet.fin(),
            rst: packet.rst(),
            psh: packet.psh(),
            options: Options::parse(packet.options()),
        };
        Ok((segment, len))
    }
}

fn to_smoltcp(seq: Seq) -> TcpSeqNumber {
    TcpSeqNumber(seq.0.cast_signed())
}

fn from_smoltcp(seq: TcpSeqNumber) -> Seq {
    Seq(seq.0.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_byte_parses() {
        for flags in 0..=u8::MAX {
            let mut bytes = [0; TCP_LEN];
            bytes[12] = 0x50;
            bytes[13] = flags;
            let (segment, len) = Segment::parse(&bytes).unwrap();
            assert_eq!(len, TCP_LEN);
            let mut out = [0xff; TCP_LEN];
            segment.emit(&mut out);
            bytes[13] &= 0b0001_1111; // CWR, ECE and URG are not kept
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn every_data_offset_is_judged() {
        for words in 0..16_u8 {
            let mut bytes = [0; 60];
            bytes[12] = words << 4;
            let parsed = Segment::parse(&bytes[..40]).map(|(_, len)| len);
            let expected = match words {
                0..5 => Err(WireError::Malformed("TCP data offset")),
                5..=10 => Ok(usize::from(words) * 4),
                _ => Err(WireError::Truncated),
            };
            assert_eq!(parsed, expected);
        }
    }
}
