//! What Noise is built of: the curve and the cipher of AWS-LC, SHA-256, and a generator that is given its seed.

use crate::seal::key::noise_nonce;
use crate::trust::{NoiseKey, X25519_LEN};
use crate::wire::TAG_LEN;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use chacha20::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// Gives snow the primitives of one handshake.
pub(super) struct Primitives {
    seed: Zeroizing<[u8; 32]>,
    /// This end's static key: its public half is known, and need not be computed for each handshake.
    known: NoiseKey,
}

impl Primitives {
    pub(super) fn new(seed: Zeroizing<[u8; 32]>, known: NoiseKey) -> Self {
        Self { seed, known }
    }
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Draw(ChaCha12Rng::from_seed(*self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let curve = || Box::new(Curve { known: self.known.clone(), key: None }) as Box<dyn Dh>;
        matches!(choice, DHChoice::Curve25519).then(curve)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::<Sha>::default() as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::<Aes>::default() as Box<dyn Cipher>)
    }
}

/// X25519 (RFC 7748), for a static or an ephemeral key.
struct Curve {
    known: NoiseKey,
    /// snow asks for nothing before there is one.
    key: Option<NoiseKey>,
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        X25519_LEN
    }

    fn priv_len(&self) -> usize {
        X25519_LEN
    }

    fn set(&mut self, private: &[u8]) {
        self.key = if crate::seal::equal(private, self.known.private()) {
            Some(self.known.clone())
        } else {
            private.first_chunk().map(NoiseKey::from_private)
        };
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; X25519_LEN]);
        rng.try_fill_bytes(&mut *private)?;
        self.key = Some(NoiseKey::from_private(&private));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[0; X25519_LEN][..], |key| key.public())
    }

    fn privkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[0; X25519_LEN][..], |key| key.private())
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        // snow hands over all the room that it has for public keys of any curve.
        let public = public.first_chunk().ok_or(Error::Dh)?;
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        // Zeros, which only a key of small order gives, are let through as Noise asks (revision 34, 12.1): the
        // transcript has that key in it, and a SYN that has it costs what others do, and is counted as they are.
        let shared = key.agree(public).unwrap_or_default();
        out[..X25519_LEN].copy_from_slice(&*shared);
        Ok(())
    }
}

/// AES-256-GCM, once it has a key.
#[derive(Default)]
struct Aes(Option<LessSafeKey>);

impl Cipher for Aes {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len();
        let (text, rest) = out.split_at_mut(len);
        text.copy_from_slice(plaintext);
        let sealed = self.0.as_ref().and_then(|key| {
            key.seal_in_place_separate_tag(noise_nonce(nonce), Aad::from(authtext), text).ok()
        });
        match sealed {
            Some(tag) => rest[..TAG_LEN].copy_from_slice(tag.as_ref()),
            // Without a key, which snow rules out. Nothing may leave unsealed.
            None => out[..len + TAG_LEN].fill(0),
        }
        len + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let len = ciphertext.len().checked_sub(TAG_LEN).ok_or(Error::Decrypt)?;
        let (text, tag) = ciphertext.split_at(len);
        key.open_separate_gather(
            noise_nonce(nonce),
            Aad::from(authtext),
            text,
            tag,
            out.get_mut(..len).ok_or(Error::Decrypt)?,
        )
        .map_err(|_| Error::Decrypt)?;
        Ok(len)
    }
}

#[derive(Default)]
struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&self.0.finalize_reset());
    }
}

struct Draw(ChaCha12Rng);

impl Random for Draw {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}
