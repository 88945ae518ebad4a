//! A look into datagrams from outside, for the trace and for faults: only what stands in the
//! clear in the encapsulation and TCP headers.

use core::fmt;
use std::net::SocketAddr;
use tcpxm::proto::time::Instant;

/// Encapsulation header, bytes.
const ENCAP: usize = 16;
/// TCP header without options (RFC 9293, 3.1), bytes.
const TCP: usize = 20;
/// Authentication tag, bytes.
const TAG: usize = 16;

/// Kind of a datagram: bits 2-0 of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of the three handshake messages.
    Handshake,
    /// The data conversation, by unicast.
    Data,
    /// The control conversation.
    Control,
    /// The data conversation, by the group.
    Group,
    /// An unsealed hint.
    Refusal,
    /// None of these.
    Unknown,
}

/// What the headers of a datagram say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek {
    /// Its kind.
    pub kind: Kind,
    /// The payload starts with a TLV area.
    pub tlv: bool,
    /// The payload was sent before.
    pub repair: bool,
    /// Low 32 bits of the packet number.
    pub pn: u32,
    /// Bits 47-32 of the stream offset.
    pub high: u16,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP flags, FIN in bit 0.
    pub flags: u8,
    /// Bytes of payload, the TLV area included.
    pub len: usize,
}

impl Peek {
    /// Reads the headers; `None` if the datagram is too short to have them.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let header = ENCAP + usize::from(bytes.get(ENCAP + 12)? >> 4) * 4;
        Some(Self {
            kind: match first & 7 {
                0 => Kind::Handshake,
                1 => Kind::Data,
                2 => Kind::Control,
                3 => Kind::Group,
                4 => Kind::Refusal,
                _ => Kind::Unknown,
            },
            tlv: first & 0x10 != 0,
            repair: first & 0x08 != 0,
            pn: word(12)?,
            high: u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]),
            seq: word(ENCAP + 4)?,
            flags: *bytes.get(ENCAP + 13)?,
            len: bytes.len().checked_sub(header.max(ENCAP + TCP) + TAG)?,
        })
    }

    /// SYN flag.
    pub fn syn(&self) -> bool {
        self.flags & 0x02 != 0
    }

    /// ACK flag.
    pub fn ack(&self) -> bool {
        self.flags & 0x10 != 0
    }
}

/// Where a datagram was seen, and what became of it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Sent into the fabric.
    Sent,
    /// Lost by a drop rule.
    Struck(&'static str),
    /// Lost on the sending node's uplink.
    LostUp,
    /// Dropped by the full queue of the sending node's uplink.
    DroppedUp,
    /// Lost on this node's downlink.
    LostDown(usize),
    /// Dropped by the full queue of this node's downlink.
    DroppedDown(usize),
    /// Went to a group that nobody heard, or to an address that nobody has.
    Vanished,
}

/// A datagram, seen.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// When.
    pub at: Instant,
    /// The node that sent it; node 0 is the sender, node `i + 1` is receiver `i`.
    pub from: usize,
    /// Where to.
    pub to: SocketAddr,
    /// The datagram, without UDP and IP headers.
    pub bytes: &'a [u8],
    /// What became of it.
    pub fate: Fate,
}

/// Writes sightings as lines. It learns each node's initial sequence number from its SYN, so that
/// it can say offsets.
#[derive(Debug, Default)]
pub struct Writer {
    isn: Vec<Option<u32>>,
}

impl Writer {
    /// The line for one sighting: time in seconds, from, to, kind, flags, PN, offset, length.
    pub fn line(&mut self, seen: &Sighting<'_>) -> String {
        use fmt::Write as _;
        let at = seen.at.as_nanos();
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        let mut line = format!("{seconds}.{nanos:09} {:>3} > {:<22} ", seen.from, seen.to);
        let told = match Peek::of(seen.bytes) {
            Some(peek) => self.tell(&mut line, seen.from, &peek),
            None => write!(line, "{} bytes, no header", seen.bytes.len()),
        };
        let fate = match seen.fate {
            Fate::Sent => Ok(()),
            Fate::Struck(what) => write!(line, "  LOST by rule: {what}"),
            Fate::LostUp => write!(line, "  LOST on the uplink"),
            Fate::DroppedUp => write!(line, "  DROPPED by the uplink's queue"),
            Fate::LostDown(node) => write!(line, "  LOST on the downlink of {node}"),
            Fate::DroppedDown(node) => write!(line, "  DROPPED by the queue towards {node}"),
            Fate::Vanished => write!(line, "  VANISHED, nobody there"),
        };
        debug_assert!(told.is_ok() && fate.is_ok(), "a String takes everything");
        line
    }

    fn tell(&mut self, line: &mut String, from: usize, peek: &Peek) -> fmt::Result {
        use fmt::Write as _;
        if self.isn.len() <= from {
            self.isn.resize(from + 1, None);
        }
        if peek.kind == Kind::Handshake && peek.syn() {
            self.isn[from] = Some(peek.seq);
        }
        let mut flags = String::new();
        for (bit, letter) in "FSRPAUEC".chars().enumerate() {
            if peek.flags >> bit & 1 != 0 {
                flags.push(letter);
            }
        }
        write!(line, "{:<9} {flags:<3} pn {:<6} ", format!("{:?}", peek.kind), peek.pn)?;
        match (peek.kind, self.isn[from]) {
            // the first byte of a stream follows the SYN (RFC 9293, 3.4)
            (Kind::Data | Kind::Group, Some(isn)) => {
                let low = peek.seq.wrapping_sub(isn).wrapping_sub(1);
                write!(line, "offset {:<10} ", u64::from(peek.high) << 32 | u64::from(low))?;
            }
            _ => write!(line, "seq {:<13} ", peek.seq)?,
        }
        let (tlv, repair) =
            (if peek.tlv { " tlv" } else { "" }, if peek.repair { " repair" } else { "" });
        write!(line, "len {}{tlv}{repair}", peek.len)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A datagram with an empty payload.
    pub(crate) fn datagram(kind: u8, flags: u8, seq: u32, pn: u32) -> Vec<u8> {
        let mut bytes = vec![0; ENCAP + TCP + TAG];
        bytes[0] = 1 << 5 | kind;
        bytes[12..16].copy_from_slice(&pn.to_be_bytes());
        bytes[ENCAP + 4..ENCAP + 8].copy_from_slice(&seq.to_be_bytes());
        bytes[ENCAP + 12] = 5 << 4;
        bytes[ENCAP + 13] = flags;
        bytes
    }

    fn line(writer: &mut Writer, bytes: &[u8], fate: Fate) -> String {
        let to = SocketAddr::from(([10, 7, 0, 2], 8737));
        let at = Instant::from_nanos(1_000_250_000);
        writer.line(&Sighting { at, from: 0, to, bytes, fate })
    }

    #[test]
    fn the_writer_learns_the_initial_sequence_number_and_says_offsets() {
        let mut writer = Writer::default();
        let syn = line(&mut writer, &datagram(0, 0x02, u32::MAX, 0), Fate::Sent);
        assert!(syn.contains("Handshake S"), "{syn}");
        let mut data = datagram(3 | 0x08, 0x10, 1419, 77);
        data[3] = 1;
        data.extend([0; 1420]);
        let line = line(&mut writer, &data, Fate::LostDown(2));
        let want = "1.000250000   0 > 10.7.0.2:8737          Group     A   pn 77     \
                    offset 4294968715 len 1420 repair  LOST on the downlink of 2";
        assert_eq!(line, want);
    }

    #[test]
    fn any_bytes_may_be_looked_at() {
        let mut whole = datagram(1, 0xff, 1, 1);
        whole[ENCAP + 12] = 0xf0; // a header longer than the datagram
        for len in 0..=whole.len() {
            assert_eq!(Peek::of(&whole[..len]), None);
        }
        let text = line(&mut Writer::default(), &[1, 2], Fate::Vanished);
        assert!(text.ends_with("2 bytes, no header  VANISHED, nobody there"), "{text}");
    }
}
