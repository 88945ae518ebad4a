//! One direction's key, or a group's: what seals a datagram, and opens it, in place.

use super::null::Token;
use super::{SealError, Suite};
use crate::wire::TAG_LEN;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use core::fmt;
use std::sync::Arc;

/// A key under one suite. AES's is expanded once; nothing is allocated per datagram.
#[derive(Clone)]
pub struct SealKey(Kind);

#[derive(Clone)]
enum Kind {
    Null(Token),
    /// Shared by its clones.
    Aes(Arc<LessSafeKey>),
}

impl SealKey {
    /// A key from 32 random or derived bytes.
    pub fn new(suite: Suite, bytes: &[u8; 32]) -> Self {
        Self(match suite {
            Suite::Null => Kind::Null(Token::of(bytes)),
            Suite::Xx | Suite::XxPsk0 => {
                let Ok(key) = UnboundKey::new(&AES_256_GCM, bytes) else {
                    unreachable!("AES-256 takes 32 bytes")
                };
                Kind::Aes(Arc::new(LessSafeKey::new(key)))
            }
        })
    }

    /// Seals a datagram in place: the last 16 bytes become its tag, and what stands between the
    /// `header_len` bytes of its headers and the tag is encrypted. It must be at least that long.
    /// `pn` is its whole packet number; none may be sealed twice with one key (RFC 5116, 3.1: with
    /// AES-GCM a nonce that is used again gives the key away).
    pub fn seal(&self, pn: u64, datagram: &mut [u8], header_len: usize) {
        debug_assert!(datagram.len() >= header_len + TAG_LEN, "no room for a tag");
        let (header, rest) = datagram.split_at_mut(header_len);
        let (payload, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        match &self.0 {
            Kind::Null(token) => tag.copy_from_slice(token.bytes()),
            Kind::Aes(key) => {
                let aad = Aad::from(&*header);
                let sealed = key.seal_in_place_separate_tag(noise_nonce(pn), aad, payload);
                if let Ok(computed) = sealed {
                    tag.copy_from_slice(computed.as_ref());
                } else {
                    // Only above 2^36 bytes. Nothing may leave unsealed then either.
                    payload.fill(0);
                    tag.fill(0);
                }
            }
        }
    }

    /// Opens a datagram in place: afterwards its payload can be read. On an error nothing of it may
    /// be: what stood there may be destroyed.
    pub fn open(&self, pn: u64, datagram: &mut [u8], header_len: usize) -> Result<(), SealError> {
        if datagram.len() < header_len + TAG_LEN {
            return Err(SealError::Truncated);
        }
        let (header, rest) = datagram.split_at_mut(header_len);
        match &self.0 {
            Kind::Null(token) => token.check(rest),
            Kind::Aes(key) => key
                .open_in_place(noise_nonce(pn), Aad::from(&*header), rest)
                .map(drop)
                .map_err(|_| SealError::Tag),
        }
    }
}

/// A packet's or a message's number, as Noise's ciphers write a nonce (Noise Protocol Framework, revision 34, 12.4):
/// 4 zero bytes, then 64 bits big-endian.
pub(super) fn noise_nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
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
    fn the_key_never_shows() {
        assert_eq!(format!("{:?}", SealKey::new(Suite::Xx, &[7; 32])), "SealKey { .. }");
    }

    #[test]
    fn what_is_too_short_is_refused() {
        for suite in [Suite::Null, Suite::Xx] {
            let key = SealKey::new(suite, &[7; 32]);
            let mut datagram = [0; 51];
            assert_eq!(key.open(0, &mut datagram, 36), Err(SealError::Truncated));
            assert_eq!(key.open(0, &mut datagram, 60), Err(SealError::Truncated));
        }
    }

    proptest! {
        /// Every bit of header, payload and tag counts, and so do number and key.
        #[test]
        fn opens_what_was_sealed_and_nothing_else(
            bytes: [u8; 32],
            other: [u8; 32],
            pn: u64,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            bit: prop::sample::Index,
        ) {
            prop_assume!(bytes != other);
            let key = SealKey::new(Suite::Xx, &bytes);
            let plain = [&[1; 36][..], &payload, &[0; TAG_LEN]].concat();
            let mut sealed = plain.clone();
            key.seal(pn, &mut sealed, 36);
            let end = plain.len() - TAG_LEN;
            prop_assert!(payload.len() < 4 || sealed[36..end] != payload[..], "it is hidden");
            let opened = |key: &SealKey, pn, datagram: &[u8]| {
                let mut copy = datagram.to_vec();
                key.open(pn, &mut copy, 36).map(|()| copy[36..end].to_vec())
            };
            prop_assert_eq!(opened(&key, pn, &sealed), Ok(payload));
            prop_assert_eq!(opened(&key, pn ^ 1, &sealed), Err(SealError::Tag));
            let wrong = SealKey::new(Suite::Xx, &other);
            prop_assert_eq!(opened(&wrong, pn, &sealed), Err(SealError::Tag));
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(opened(&key, pn, &sealed), Err(SealError::Tag));
        }
    }
}
