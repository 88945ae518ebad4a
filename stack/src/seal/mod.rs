//! Sealing: who may put a datagram into an association, and who may read one.
//!
//! **What stands here now is a null seal. It hides nothing and authenticates nothing:** the payload
//! travels in the clear, and whoever sees one datagram of an association can forge or alter others.
//! It refuses only those who saw none: each direction's tag is a token that follows from two random
//! nonces. But the exchange is the real one: three messages in the shape of Noise XX, a key per
//! direction, a group key, header and packet number as parameters. Real seals take its place
//! without a change to a caller or to the length of a tag; their second and third message are longer
//! (docs/wire.md has room for them).
//!
//! Sans-IO: randomness comes in as a parameter, keys go out.

pub mod handshake;
pub mod null;

pub use handshake::{Initiator, MAX_MESSAGE, Responder};
pub use null::SealKey;

use thiserror::Error;

#[cfg(test)]
mod tests_document;

/// The keys of one association, as one of its ends uses them.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Seals what this end sends.
    pub tx: SealKey,
    /// Opens what this end receives.
    pub rx: SealKey,
}

/// Why a datagram or a handshake message is refused. The fault of whoever sent it, or of the
/// network; nothing of it is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// Shorter than its header and a tag.
    #[error("too short to be sealed")]
    Truncated,
    /// Not sealed with this key.
    #[error("the tag does not fit")]
    Tag,
    /// A handshake message of the wrong length.
    #[error("length of a handshake message")]
    Length,
    /// A handshake message by someone who did not see the one before it.
    #[error("the handshake message does not answer the one before it")]
    Proof,
}
