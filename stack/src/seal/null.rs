//! The null seal: a fixed token per key as every datagram's tag. See [`super`] for what it does not
//! do.

use super::SealError;
use crate::wire::TAG_LEN;
use core::fmt;

/// Domain separation (BLAKE3 paper, 2.3): the token must not give away the key material.
const TOKEN: &str = "tcpxm 2026 null seal: token of a key";

/// One direction's key, or a group's.
#[derive(Clone)]
pub struct SealKey {
    token: [u8; TAG_LEN],
}

impl SealKey {
    /// A key from 32 random or derived bytes. What travels follows from them, but not they from it.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let derived = blake3::derive_key(TOKEN, bytes);
        let mut token = [0; TAG_LEN];
        token.copy_from_slice(&derived[..TAG_LEN]);
        Self { token }
    }

    /// Seals a datagram in place: the last 16 bytes become its tag, and what stands between the
    /// `header_len` bytes of its headers and the tag is its payload. It must be at least that long.
    /// `pn` is its whole packet number; none may be sealed twice with one key.
    pub fn seal(&self, _pn: u64, datagram: &mut [u8], header_len: usize) {
        debug_assert!(datagram.len() >= header_len + TAG_LEN, "no room for a tag");
        if let Some(tag) = datagram.last_chunk_mut() {
            *tag = self.token;
        }
    }

    /// Opens a datagram in place: afterwards its payload can be read. On an error nothing of it may
    /// be.
    pub fn open(&self, _pn: u64, datagram: &mut [u8], header_len: usize) -> Result<(), SealError> {
        let payload_and_tag = datagram.get(header_len..).ok_or(SealError::Truncated)?;
        let tag = payload_and_tag.last_chunk().ok_or(SealError::Truncated)?;
        // As one integer, so that the time it takes does not tell how many bytes were right.
        if u128::from_ne_bytes(*tag) ^ u128::from_ne_bytes(self.token) == 0 {
            Ok(())
        } else {
            Err(SealError::Tag)
        }
    }
}

/// Without the key.
impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_key_itself_never_travels_nor_shows() {
        let bytes = [7; 32];
        let key = SealKey::from_bytes(&bytes);
        assert_ne!(key.token, bytes[..TAG_LEN]);
        assert_eq!(format!("{key:?}"), "SealKey { .. }");
    }

    #[test]
    fn what_is_too_short_is_refused() {
        let key = SealKey::from_bytes(&[7; 32]);
        let mut datagram = [0; 51];
        assert_eq!(key.open(0, &mut datagram, 36), Err(SealError::Truncated));
        assert_eq!(key.open(0, &mut datagram, 60), Err(SealError::Truncated));
    }

    proptest! {
        #[test]
        fn opens_what_was_sealed_and_nothing_else(
            key: [u8; 32],
            other: [u8; 32],
            pn: u64,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            bit in 0..TAG_LEN * 8,
        ) {
            prop_assume!(key != other);
            let (key, other) = (SealKey::from_bytes(&key), SealKey::from_bytes(&other));
            let mut datagram = [&[1; 36][..], &payload, &[0; TAG_LEN]].concat();
            key.seal(pn, &mut datagram, 36);
            prop_assert_eq!(key.open(pn, &mut datagram, 36), Ok(()));
            let end = datagram.len() - TAG_LEN;
            prop_assert_eq!(&datagram[36..end], payload);
            prop_assert_eq!(other.open(pn, &mut datagram, 36), Err(SealError::Tag));
            datagram[end + bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.open(pn, &mut datagram, 36), Err(SealError::Tag));
        }
    }
}
