//! The null seal, for whoever says at both ends that nothing is to be encrypted: a fixed token per
//! key as every datagram's tag. **It hides nothing and authenticates nothing:** whoever sees one
//! datagram can forge others.

use super::{SealError, equal};
use crate::wire::TAG_LEN;

/// Domain separation (BLAKE3 paper, 2.3): the token must not give away the key material.
const TOKEN: &str = "tcpxm 2026 null seal: token of a key";

/// What stands in place of a tag.
#[derive(Clone)]
pub(super) struct Token([u8; TAG_LEN]);

impl Token {
    /// What travels follows from the key's bytes, but not they from it.
    pub(super) fn of(bytes: &[u8; 32]) -> Self {
        let derived = blake3::derive_key(TOKEN, bytes);
        let mut token = [0; TAG_LEN];
        token.copy_from_slice(&derived[..TAG_LEN]);
        Self(token)
    }

    pub(super) fn bytes(&self) -> &[u8; TAG_LEN] {
        &self.0
    }

    /// Whether a payload ends with it.
    pub(super) fn check(&self, payload_and_tag: &[u8]) -> Result<(), SealError> {
        let tag = payload_and_tag.last_chunk::<TAG_LEN>().ok_or(SealError::Truncated)?;
        if equal(tag, &self.0) { Ok(()) } else { Err(SealError::Tag) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{SealKey, Suite};
    use proptest::prelude::*;

    #[test]
    fn the_key_itself_never_travels() {
        assert_ne!(Token::of(&[7; 32]).0, [7; TAG_LEN]);
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
            let [key, other] = [key, other].map(|bytes| SealKey::new(Suite::Null, &bytes));
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
