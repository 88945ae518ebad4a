//! Noise's `XX` and `XXpsk0` (Noise Protocol Framework, revision 34, 7.5 and 9.4) by snow, with its
//! randomness as a parameter: from the same seed follows the same handshake.

use super::{SealError, Suite};
use chacha20::ChaCha12Rng;
use curve25519_dalek::MontgomeryPoint;
use rand_core::{Rng as _, SeedableRng};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

const XX: &str = "Noise_XX_25519_AESGCM_SHA256";
const XX_PSK0: &str = "Noise_XXpsk0_25519_AESGCM_SHA256";

/// snow refuses to write into less room than a message and a tag more, though a message that is not
/// encrypted has none (0.10.0).
pub(super) const SPARE: usize = 16;

/// What an end brings along: its static private key, the secret if the suite has one, and what its
/// ephemeral key is drawn from.
pub(super) struct Own {
    pub(super) private: Zeroizing<[u8; 32]>,
    pub(super) psk: Option<Zeroizing<[u8; 32]>>,
    pub(super) seed: Zeroizing<[u8; 32]>,
}

/// Begins a handshake. The prologue is what both ends must have seen alike.
pub(super) fn begin(
    initiator: bool,
    own: &Own,
    prologue: &[u8],
) -> Result<HandshakeState, SealError> {
    let name = if own.psk.is_some() { XX_PSK0 } else { XX };
    let params: NoiseParams = name.parse().map_err(|_| SealError::Suite)?;
    let resolver = Box::new(Seeded(own.seed.clone()));
    let mut builder = Builder::with_resolver(params, resolver)
        .local_private_key(&*own.private)
        .and_then(|builder| builder.prologue(prologue))
        .map_err(|_| SealError::Suite)?;
    if let Some(psk) = &own.psk {
        builder = builder.psk(0, psk).map_err(|_| SealError::Suite)?;
    }
    let state = if initiator { builder.build_initiator() } else { builder.build_responder() };
    state.map_err(|_| SealError::Suite)
}

/// The suite of what an end brings along.
pub(super) fn suite(own: &Own) -> Suite {
    if own.psk.is_some() { Suite::XxPsk0 } else { Suite::Xx }
}

/// The other end's static key, once its message has been read.
pub(super) fn remote(state: &HandshakeState) -> Option<[u8; 32]> {
    state.get_remote_static()?.try_into().ok()
}

/// ring's ciphers and hashes, a curve, and a generator that is given its seed.
struct Seeded(Zeroizing<[u8; 32]>);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Draw(ChaCha12Rng::from_seed(*self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// X25519 (RFC 7748) on curve25519-dalek. A shared secret of zeros, which only a public key of small order
/// gives, is let through as Noise asks (revision 34, 12.1): the transcript has that key in it.
#[derive(Default)]
struct X25519 {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        self.public = MontgomeryPoint::mul_base_clamped(*self.private).to_bytes();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut private = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *private)?;
        self.set(&*private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over all the room that it has for public keys of any curve.
        let public = public.first_chunk().ok_or(snow::Error::Dh)?;
        let shared = MontgomeryPoint(*public).mul_clamped(*self.private);
        out[..32].copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct Draw(ChaCha12Rng);

impl Random for Draw {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}
