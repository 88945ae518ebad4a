//! Who a host or a user is: an Ed25519 key, and the Noise key that it certifies.

use super::noise_key::{NoiseKey, X25519_LEN};
use super::public_key::{self, PublicKey};
use core::fmt;
use ed25519_dalek::{Signature, Signer, SigningKey};
use thiserror::Error;
use zeroize::Zeroize;

/// Bytes of a certificate: the public key, and its signature.
pub(crate) const CERTIFICATE_LEN: usize = PUBLIC + SIGNATURE;
const PUBLIC: usize = 32;
pub(super) const SIGNATURE: usize = 64;
/// Bytes of what other signatures are about, at most: below the first byte of [`CONTEXT`], which is 116.
const MAX_CONTEXT: usize = 100;
const _: () = assert!(MAX_CONTEXT < CONTEXT[0] as usize);

/// What a certificate's signature is over, before the Noise key: the same Ed25519 key may sign
/// other things in other places.
const CONTEXT: &[u8; 20] = b"tcpxm 2026 noise key";

/// An Ed25519 key, by which others know its holder, and the X25519 key of the handshake, which it
/// certifies.
#[derive(Clone)]
pub struct Identity(Box<Parts>); // in one place of the memory: a move leaves no copy behind

#[derive(Clone)]
struct Parts {
    seed: [u8; 32],
    noise: NoiseKey,
    public: PublicKey,
    certificate: [u8; CERTIFICATE_LEN],
}

impl Identity {
    /// Makes one of 64 bytes from the system's random source.
    pub fn generate(mut random: [u8; 64]) -> Self {
        let ([seed, noise], _) = random.as_chunks::<32>() else { unreachable!() };
        let identity = Self::from_parts(seed, noise);
        random.zeroize();
        identity
    }

    /// Takes what [`Identity::parts`] gave: the seed of the Ed25519 key (RFC 8032, section 5.1.5)
    /// and the private X25519 key (RFC 7748, section 5). Any bytes are keys.
    pub fn from_parts(ed25519_seed: &[u8; 32], noise_private: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(ed25519_seed);
        let public = PublicKey::from(&signing.verifying_key());
        let noise = NoiseKey::from_private(noise_private);
        let signature = signing.sign(&signed(noise.public()));
        let mut certificate = [0; CERTIFICATE_LEN];
        certificate[..PUBLIC].copy_from_slice(public.as_bytes());
        certificate[PUBLIC..].copy_from_slice(&signature.to_bytes());
        Self(Box::new(Parts { seed: *ed25519_seed, noise, public, certificate }))
    }

    /// The seed of the Ed25519 key and the private X25519 key, to be kept where nobody else reads.
    pub fn parts(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.0.seed, self.0.noise.private())
    }

    /// By what others know it.
    pub fn public(&self) -> PublicKey {
        self.0.public
    }

    /// Signs a message (RFC 8032, section 5.1.6) for [`PublicKey::has_signed`]. `context` says what signatures of this
    /// kind are about, in at most 100 bytes: one of another kind never fits.
    ///
    /// # Panics
    ///
    /// The context is longer.
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; SIGNATURE] {
        SigningKey::from_bytes(&self.0.seed).sign(&in_context(context, message)).to_bytes()
    }

    /// The handshake's key.
    pub(crate) fn noise(&self) -> &NoiseKey {
        &self.0.noise
    }

    /// What is sent in the handshake, for [`verify`] at the other end.
    pub(crate) fn certificate(&self) -> &[u8; CERTIFICATE_LEN] {
        &self.0.certificate
    }
}

/// What is signed of a message: the length of the context, the context, the message. A certificate's begins with
/// [`CONTEXT`], whose first byte is larger than any such length.
pub(super) fn in_context(context: &str, message: &[u8]) -> Vec<u8> {
    assert!(context.len() <= MAX_CONTEXT, "a context is at most {MAX_CONTEXT} bytes");
    let mut signed = Vec::with_capacity(1 + context.len() + message.len());
    signed.push(context.len() as u8);
    signed.extend(context.as_bytes());
    signed.extend(message);
    signed
}

/// Whose certificate this is. `noise_public` is the key that the handshake has proved: a
/// certificate can be copied, the private half of what it certifies cannot.
pub(crate) fn verify(
    certificate: &[u8],
    noise_public: &[u8; X25519_LEN],
) -> Result<PublicKey, CertificateError> {
    let (public, signature) = certificate
        .split_first_chunk::<PUBLIC>()
        .and_then(|(public, rest)| Some((public, rest.try_into().ok()?)))
        .ok_or(CertificateError::Length)?;
    let key = public_key::verifying(public).map_err(|_| CertificateError::Key)?;
    // Strict: one signature is either good for everybody or for nobody (no small-order points).
    key.verify_strict(&signed(noise_public), &Signature::from_bytes(signature))
        .map_err(|_| CertificateError::Signature)?;
    Ok(PublicKey::from(&key))
}

/// Why a certificate is refused: the fault of whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CertificateError {
    /// Not the length of a certificate.
    #[error("length of a certificate")]
    Length,
    /// What it begins with is no public key.
    #[error("the certificate is of no Ed25519 key")]
    Key,
    /// It certifies another Noise key, or nothing.
    #[error("the certificate's signature does not fit its key and the handshake's")]
    Signature,
}

/// What is signed.
fn signed(noise_public: &[u8; X25519_LEN]) -> [u8; CONTEXT.len() + X25519_LEN] {
    let mut message = [0; CONTEXT.len() + X25519_LEN];
    message[..CONTEXT.len()].copy_from_slice(CONTEXT);
    message[CONTEXT.len()..].copy_from_slice(noise_public);
    message
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// The public key alone.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, ..)", self.0.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn debug_shows_the_public_key_alone() {
        let identity = Identity::generate([0xab; 64]);
        let shown = format!("{identity:?}");
        assert_eq!(shown, format!("Identity({}, ..)", identity.public()));
        assert!(!shown.contains("171") && !shown.contains("q6urq6ur"), "{shown}");
    }

    #[test]
    fn a_signature_is_good_for_its_key_context_and_message_alone() {
        let (identity, other) = (Identity::generate([1; 64]), Identity::generate([2; 64]));
        let signature = identity.sign("a", b"bc");
        assert!(identity.public().has_signed("a", b"bc", &signature));
        assert!(!identity.public().has_signed("ab", b"c", &signature));
        assert!(!identity.public().has_signed("a", b"bd", &signature));
        assert!(!other.public().has_signed("a", b"bc", &signature));
    }

    proptest! {
        #[test]
        fn it_comes_back_from_its_parts(random: [u8; 64]) {
            let identity = Identity::generate(random);
            let (seed, noise) = identity.parts();
            prop_assert_eq!([*seed, *noise].concat(), random);
            let again = Identity::from_parts(seed, noise);
            prop_assert_eq!(again.public(), identity.public());
            prop_assert_eq!(again.certificate(), identity.certificate());
            prop_assert_eq!(again.noise().public(), identity.noise().public());
        }

        #[test]
        fn a_certificate_is_good_for_its_noise_key_alone(random: [u8; 64], other: [u8; 32]) {
            let identity = Identity::generate(random);
            let own = identity.noise().public();
            prop_assert_eq!(verify(identity.certificate(), own), Ok(identity.public()));
            let others = NoiseKey::from_private(&other);
            let stolen = verify(identity.certificate(), others.public());
            prop_assert_eq!(stolen, Err(CertificateError::Signature));
        }

        #[test]
        fn a_changed_bit_is_refused(random: [u8; 64], at in 0..CERTIFICATE_LEN * 8) {
            let identity = Identity::generate(random);
            let mut certificate = *identity.certificate();
            certificate[at / 8] ^= 1 << (at % 8);
            let refused = verify(&certificate, identity.noise().public());
            prop_assert!(refused.is_err());
        }

        #[test]
        fn other_lengths_are_refused(cut in proptest::collection::vec(any::<u8>(), 0..200)) {
            let refused = verify(&cut, &[9; 32]).unwrap_err();
            prop_assert_eq!(refused == CertificateError::Length, cut.len() != CERTIFICATE_LEN);
            let whole = *Identity::generate([5; 64]).certificate();
            let longer = verify(&[&whole[..], &cut].concat(), &[9; 32]).unwrap_err();
            prop_assert_eq!(longer == CertificateError::Length, !cut.is_empty());
        }
    }

    #[test]
    fn a_key_of_small_order_certifies_nothing() {
        // The identity as key and as R, with S = 0, fits every message unless it is looked for.
        let mut certificate = [0; CERTIFICATE_LEN];
        (certificate[0], certificate[PUBLIC]) = (1, 1);
        assert_eq!(verify(&certificate, &[9; 32]), Err(CertificateError::Key));
    }
}
