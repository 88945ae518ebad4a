//! Reading and writing big-endian fields one after the other.

use super::WireError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Takes fields off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// An address of the family that `v6` says.
    pub(crate) fn ip(&mut self, v6: bool) -> Result<IpAddr, WireError> {
        if v6 {
            self.array::<16>().map(|a| Ipv6Addr::from(a).into())
        } else {
            self.array::<4>().map(|a| Ipv4Addr::from(a).into())
        }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Puts fields behind one another into a slice that is long enough.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buf: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, at: 0 }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.buf[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn zeros(&mut self, n: usize) {
        self.buf[self.at..][..n].fill(0);
        self.at += n;
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn ip(&mut self, addr: IpAddr) {
        match addr {
            IpAddr::V4(a) => self.put(&a.octets()),
            IpAddr::V6(a) => self.put(&a.octets()),
        }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.at
    }
}

/// The beginning of `text`, of at most `limit` bytes, cut between two characters.
pub(crate) fn clip(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A reason as a peer sent it: what of it is UTF-8 and within the limit. A reason is for people to
/// read, so bad text shortens it but never hides the message that it came with.
pub(crate) fn reason(bytes: &[u8], limit: usize) -> &str {
    let valid = match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => core::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
    };
    clip(valid, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_never_cuts_a_character() {
        assert_eq!(clip("grün", 3), "gr");
        assert_eq!(clip("grün", 4), "grü");
        assert_eq!(clip("grün", 400), "grün");
    }

    #[test]
    fn a_reason_ends_before_bad_text() {
        assert_eq!(reason(b"disk full\xff\xfe!", 256), "disk full");
        assert_eq!(reason("grün".as_bytes(), 3), "gr");
        assert_eq!(reason(b"\xff", 256), "");
    }

    #[test]
    fn a_reader_refuses_to_read_past_the_end() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.u16(), Err(WireError::Truncated));
        assert_eq!(reader.u8(), Ok(3), "a failed read takes nothing");
    }
}
