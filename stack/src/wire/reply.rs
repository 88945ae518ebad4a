//! Replies outside of any association: to a SYN that is not served yet or not served here, and to what
//! belongs to no association that is known. They come from someone who has no key for the
//! association, so they are hints; with a shared secret their MAC ([`crate::seal::FrameKey`]) shows that
//! it is a friend's.
//!
//! Their frame is the same in every version (docs/wire.md): whoever speaks another one can still say so.

use super::bytes::{Reader, Writer, clip, reason};
use super::encap::VERSION;
use super::tlv::MAX_REASON;
use super::{COOKIE_LEN, ENCAP_LEN, TAG_LEN, WireError};

const VERSION_SHIFT: u8 = 5;
const KIND: u8 = 0b0000_0111;

const REFUSAL: u8 = 4;
const COOKIE: u8 = 5;
const OTHER_VERSION: u8 = 6;
const UNKNOWN: u8 = 7;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// The SYN is not served here; the reason is a peer's text.
    Refused(&'a str),
    /// The SYN is to be sent again with this cookie in it.
    Cookie(&'a [u8; COOKIE_LEN]),
    /// The SYN is of another version than the one that this reply is of.
    OtherVersion,
    /// The datagram's connection id was given here once, and is not known any more.
    Unknown,
}

/// A reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The version that is spoken there.
    pub version: u8,
    /// For a SYN the initiator's connection id, else that of the datagram that is replied to.
    pub cid: u64,
    /// What is said.
    pub said: Said<'a>,
}

impl<'a> Reply<'a> {
    /// Longest reply, in bytes; a SYN is longer ([`super::SYN_LEN`]).
    pub const MAX_LEN: usize = ENCAP_LEN + MAX_REASON + TAG_LEN;

    /// One of the version spoken here.
    pub fn new(cid: u64, said: Said<'a>) -> Self {
        Self { version: VERSION, cid, said }
    }

    /// Writes it at the start of `buf`, which has [`Self::MAX_LEN`] bytes, and gives its length. Its last
    /// 16 bytes are left for the MAC.
    pub fn emit(&self, buf: &mut [u8]) -> usize {
        let (kind, body) = match self.said {
            Said::Refused(why) => (REFUSAL, clip(why, MAX_REASON).as_bytes()),
            Said::Cookie(cookie) => (COOKIE, &cookie[..]),
            Said::OtherVersion => (OTHER_VERSION, &[][..]),
            Said::Unknown => (UNKNOWN, &[][..]),
        };
        let mut w = Writer::new(buf);
        w.u8(self.version << VERSION_SHIFT | kind);
        w.zeros(3);
        w.u64(self.cid);
        w.u32(0);
        w.put(body);
        w.zeros(TAG_LEN);
        w.len()
    }

    /// Reads a reply of any version; `None` if it is none. What stands behind the known fields is
    /// ignored.
    pub fn parse(bytes: &'a [u8]) -> Option<Result<Self, WireError>> {
        let first = *bytes.first()?;
        let kind = first & KIND;
        (kind >= REFUSAL).then(|| Self::parse_as(first >> VERSION_SHIFT, kind, bytes))
    }

    fn parse_as(version: u8, kind: u8, bytes: &'a [u8]) -> Result<Self, WireError> {
        // Nothing is known of how another version says anything but which one it is.
        if version != VERSION && kind != OTHER_VERSION {
            return Err(WireError::Version);
        }
        let (bytes, _) = bytes.split_last_chunk::<TAG_LEN>().ok_or(WireError::Truncated)?;
        let mut r = Reader::new(bytes);
        r.take(4)?;
        let cid = r.u64()?;
        r.take(4)?;
        let said = match kind {
            REFUSAL => Said::Refused(reason(r.rest(), MAX_REASON)),
            COOKIE => Said::Cookie(r.rest().first_chunk().ok_or(WireError::Truncated)?),
            OTHER_VERSION => Said::OtherVersion,
            _ => Said::Unknown,
        };
        Ok(Self { version, cid, said })
    }
}

/// What is frozen of a SYN: the version and the initiator's connection id, if it may be one, of
/// whatever version. The rest of it is authenticated by [`crate::seal::FrameKey::is_syn`].
pub fn frozen_syn(bytes: &[u8]) -> Option<(u8, u64)> {
    let first = *bytes.first()?;
    if first & KIND != 0 || bytes.len() < super::SYN_LEN {
        return None;
    }
    let cid = bytes.get(4..12)?.try_into().ok().map(u64::from_be_bytes)?;
    Some((first >> VERSION_SHIFT, cid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_said_is_read(cid: u64, version in 0_u8..8, why in ".{0,90}", cookie: [u8; COOKIE_LEN]) {
            for said in [Said::Refused(&why), Said::Cookie(&cookie), Said::OtherVersion, Said::Unknown] {
                let reply = Reply { version, cid, said };
                let mut buf = [0xff; Reply::MAX_LEN];
                let len = reply.emit(&mut buf);
                let read = Reply::parse(&buf[..len]).unwrap();
                if version == VERSION || said == Said::OtherVersion {
                    prop_assert_eq!(read, Ok(reply));
                } else {
                    prop_assert_eq!(read, Err(WireError::Version));
                }
                prop_assert!(Reply::parse(&buf[..len - 17 - usize::from(matches!(said, Said::Cookie(_)))])
                    .is_none_or(|read| read != Ok(reply)));
            }
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Reply::parse(&bytes);
            let _ = frozen_syn(&bytes);
        }
    }

    #[test]
    fn a_syn_of_any_version_is_recognized() {
        let mut bytes = [0; super::super::SYN_LEN];
        bytes[0] = 3 << VERSION_SHIFT | 0b1_1000;
        bytes[11] = 9;
        assert_eq!(frozen_syn(&bytes), Some((3, 9)));
        assert_eq!(frozen_syn(&bytes[1..]), None, "too short");
        bytes[0] |= 1;
        assert_eq!(frozen_syn(&bytes), None);
    }
}
