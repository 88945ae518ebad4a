//! Bytes on the wire and nothing else: parsing never panics, whatever the bytes; emitting never
//! fails, given the length that was asked for before. `docs/wire.md` draws every datagram.
//!
//! A datagram is an encapsulation header ([`Encap`]), a TCP header ([`Segment`]), the payload and a
//! tag. The two headers together are a [`Header`]; what TCP's options have no room for travels as
//! TLVs ([`Tlv`]) at the beginning of the payload; what differs per member travels as records
//! ([`Record`]) in the control conversation.

pub mod ack;
pub(crate) mod bytes;
pub mod datagram;
pub mod descriptor;
pub mod encap;
pub mod map;
pub mod offsets;
pub mod option;
pub mod ranges;
pub mod record;
pub mod reply;
pub mod segment;
pub mod seq;
pub mod tlv;

pub use ack::{Ack, GroupStatus, MAX_RANGES, SpaceAck};
pub use datagram::Header;
pub use descriptor::{Descriptor, Features};
pub use encap::{Encap, Kind, VERSION};
pub use map::PnMap;
pub use offsets::OffsetList;
pub use option::Options;
pub use ranges::RangeList;
pub use record::{Parsed, Record};
pub use reply::{Reply, Said, frozen_syn};
pub use segment::Segment;
pub use seq::{MAX_OFFSET, MAX_PN, Seq, expand_pn, offset_high, offset_of};
pub use tlv::{AREA_HEAD, MAX_MAP, TLV_HEAD, Tlv, TlvWriter, Tlvs, split};

use thiserror::Error;

#[cfg(test)]
mod tests_arbitrary;
#[cfg(test)]
mod tests_budget;
#[cfg(test)]
mod tests_round_trip;
#[cfg(test)]
mod tests_strategy;

/// Length of the encapsulation header, in bytes.
pub const ENCAP_LEN: usize = 16;
/// Length of a TCP header without options, in bytes (RFC 9293, 3.1).
pub const TCP_LEN: usize = 20;
/// Length of the tag that ends a datagram, in bytes: that of AES-GCM (RFC 5116, 5.1).
pub const TAG_LEN: usize = 16;
/// Length of the cookie that stands before the tag of a SYN, in bytes.
pub const COOKIE_LEN: usize = 16;
/// Bytes of a full segment beside its payload: it has neither options nor TLVs.
pub const OVERHEAD: usize = ENCAP_LEN + TCP_LEN + TAG_LEN;
/// Ethernet's MTU, in bytes (RFC 894; RFC 2464, 2).
pub(crate) const MTU: usize = 1500;
/// Length of a UDP header, in bytes (RFC 768).
pub(crate) const UDP_LEN: usize = 8;
/// Length of an IPv4 header without options, in bytes (RFC 791, 3.1).
pub(crate) const IPV4_LEN: usize = 20;
/// Length of an IPv6 header, in bytes (RFC 8200, 3).
pub(crate) const IPV6_LEN: usize = 40;
/// Payload of a segment that fills an Ethernet frame over IPv4.
pub const PAYLOAD_V4: usize = MTU - IPV4_LEN - UDP_LEN - OVERHEAD;
/// Payload of a segment that fills an Ethernet frame over IPv6.
pub const PAYLOAD_V6: usize = MTU - IPV6_LEN - UDP_LEN - OVERHEAD;
/// Length of a datagram that every path is taken to carry, in bytes (`BASE_PLPMTU`, RFC 8899,
/// 5.1.2).
pub const SHORT_LEN: usize = 1200;
/// Payload of a segment on a path of which no more is known.
pub const PAYLOAD_SHORT: usize = SHORT_LEN - OVERHEAD;
/// A SYN's datagram is padded to this length, in bytes, so that an answer to a forged source never
/// amplifies (as RFC 9000, 8.1 and 14.1).
pub const SYN_LEN: usize = SHORT_LEN;

/// Why bytes are not what they should be. Always the fault of whoever sent them, or of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// They end before what they announce.
    #[error("truncated")]
    Truncated,
    /// Not the version spoken here. Dropped; only a SYN is answered.
    #[error("unknown version")]
    Version,
    /// A kind of datagram not known here. Dropped, never answered.
    #[error("unknown kind of datagram")]
    Kind,
    /// A field has a value that it cannot have; the text says which.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}
