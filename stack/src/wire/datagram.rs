//! Both headers of a datagram together.

use super::{ENCAP_LEN, Encap, Segment, TAG_LEN, WireError};

/// Encapsulation header and TCP header: everything before the payload, never encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Encapsulation header.
    pub encap: Encap,
    /// TCP header.
    pub segment: Segment,
}

#[expect(clippy::len_without_is_empty, reason = "a header has at least 36 bytes")]
impl Header {
    /// Length of both headers, in bytes.
    pub fn len(&self) -> usize {
        ENCAP_LEN + self.segment.len()
    }

    /// Writes both into the first [`Self::len`] bytes of `buf`, which must be that long.
    pub fn emit(&self, buf: &mut [u8]) {
        let (encap, rest) = buf.split_at_mut(ENCAP_LEN);
        self.encap.emit(encap);
        self.segment.emit(rest);
    }

    /// Reads both from a whole datagram and gives their length `n`. The datagram is then at least
    /// `n` + [`TAG_LEN`] bytes long, so `bytes[n..bytes.len() - TAG_LEN]` is its payload.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let encap = Encap::parse(bytes)?;
        let (segment, segment_len) = Segment::parse(&bytes[ENCAP_LEN..])?;
        let len = ENCAP_LEN + segment_len;
        if bytes.len() < len + TAG_LEN {
            return Err(WireError::Truncated);
        }
        Ok((Self { encap, segment }, len))
    }
}
