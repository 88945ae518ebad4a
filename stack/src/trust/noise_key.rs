//! The handshake's static keys (RFC 7748): one that an identity certifies, or one that is made anew at each start.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use core::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes of a private key, of a public one, and of what two of them agree upon (RFC 7748, section 5).
pub(crate) const X25519_LEN: usize = 32;

/// From the randomness of a start to the key that is made of it.
const OF_A_START: &str = "tcpxm 2026 fresh static key";

/// An X25519 key pair. Its clones are the same memory; it is overwritten when the last one is dropped.
#[derive(Clone)]
pub struct NoiseKey(Arc<Pair>);

struct Pair {
    bytes: Zeroizing<[u8; X25519_LEN]>,
    private: PrivateKey,
    public: [u8; X25519_LEN],
}

impl NoiseKey {
    /// Takes a private key; any 32 bytes are one (RFC 7748, section 5).
    pub fn from_private(bytes: &[u8; X25519_LEN]) -> Self {
        let Ok(private) = PrivateKey::from_private_key(&X25519, bytes) else {
            unreachable!("any 32 bytes are a key")
        };
        let computed = private.compute_public_key().ok();
        let Some(&public) = computed.as_ref().and_then(|public| public.as_ref().first_chunk())
        else {
            unreachable!("a public key has 32 bytes")
        };
        Self(Arc::new(Pair { bytes: Zeroizing::new(*bytes), private, public }))
    }

    /// Makes one of 32 bytes from the system's random source. They may serve other purposes as well: what is
    /// taken is derived from them (BLAKE3 paper, 2.3).
    pub fn drawn(random: &[u8; 32]) -> Self {
        Self::from_private(&Zeroizing::new(blake3::derive_key(OF_A_START, random)))
    }

    /// The public half.
    pub fn public(&self) -> &[u8; X25519_LEN] {
        &self.0.public
    }

    /// The private half, to be kept where nobody else reads.
    pub(crate) fn private(&self) -> &[u8; X25519_LEN] {
        &self.0.bytes
    }

    /// What both sides come to from their own private and the other's public key. `None` where that is
    /// zero, which only a public key of small order gives: no honest end has one (RFC 7748, section 6.1).
    pub(crate) fn agree(&self, public: &[u8; X25519_LEN]) -> Option<Zeroizing<[u8; X25519_LEN]>> {
        let public = UnparsedPublicKey::new(&X25519, public);
        agree(&self.0.private, public, (), |shared| {
            shared.try_into().map(Zeroizing::new).map_err(drop)
        })
        .ok()
    }
}

/// The public half alone.
impl fmt::Debug for NoiseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseKey").field("public", &self.0.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn it_is_the_curve_of_the_standard() {
        // RFC 7748, section 6.1: Bob's private and public key, Alice's public one, and their secret.
        let [private, public, other, shared] = [
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ]
        .map(hex);
        let key = NoiseKey::from_private(&private);
        assert_eq!(*key.public(), public);
        assert_eq!(*key.agree(&other).unwrap(), shared);
    }

    #[test]
    fn a_public_key_of_small_order_is_refused() {
        assert!(NoiseKey::from_private(&[7; 32]).agree(&[0; 32]).is_none());
    }

    #[test]
    fn debug_shows_the_public_key_alone() {
        let key = NoiseKey::from_private(&[0xab; 32]);
        let shown = format!("{key:?}");
        assert!(
            shown.starts_with("NoiseKey { public: [") && !shown.contains("171, 171"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn both_sides_come_to_the_same(a: [u8; 32], b: [u8; 32]) {
            let [a, b] = [a, b].map(|bytes| NoiseKey::from_private(&bytes));
            prop_assert_eq!(a.agree(b.public()), b.agree(a.public()));
        }
    }
}
