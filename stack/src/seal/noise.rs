//! Noise's `XX` and `XXpsk0` (Noise Protocol Framework, revision 34, 7.5 and 9.4) by snow, with its
//! randomness as a parameter: from the same seed follows the same handshake.

mod primitives;

use super::{SealError, Suite};
use crate::trust::NoiseKey;
use primitives::Primitives;
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

const XX: &str = "Noise_XX_25519_AESGCM_SHA256";
const XX_PSK0: &str = "Noise_XXpsk0_25519_AESGCM_SHA256";

/// snow refuses to write into less room than a message and a tag more, though a message that is not
/// encrypted has none (0.10.0).
pub(super) const SPARE: usize = 16;

/// What an end brings along: its static key, the secret if the suite has one, and what its ephemeral
/// key is drawn from.
pub(super) struct Own {
    pub(super) key: NoiseKey,
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
    let resolver = Box::new(Primitives::new(own.seed.clone(), own.key.clone()));
    let mut builder = Builder::with_resolver(params, resolver)
        .local_private_key(own.key.private())
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
