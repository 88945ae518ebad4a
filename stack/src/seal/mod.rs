//! Sealing: who may put a datagram into an association, and who may read one.
//!
//! [`exchange`] makes keys by three messages that the handshake carries (`noise`, or `null_exchange` where
//! nothing is to be sealed; [`suite`] says which); [`chain`] has the keys of a direction one after the
//! other, [`key`] seals and opens a datagram with one, `group_key` is a group's. `doors` says what an end seals with by whom it
//! trusts; [`frame`] authenticates what is sent before there are keys, and outside of any association.
//!
//! Sans-IO: randomness comes in as a parameter, keys go out.

pub mod chain;
mod doors;
pub mod exchange;
pub mod frame;
mod group_key;
pub mod key;
pub mod null;
pub mod suite;

mod noise;
mod null_exchange;

pub use chain::KeyChain;
pub(crate) use doors::Door;
pub use exchange::{Answered, Credentials, Initiator, Responder};
pub use frame::FrameKey;
pub(crate) use group_key::GroupKey;
pub use key::SealKey;
pub use suite::Suite;

use subtle::ConstantTimeEq;
use thiserror::Error;

#[cfg(test)]
mod tests_document;

/// Longest handshake message, with the suite's number before it, in bytes: the second of XX with a
/// certificate has 225.
pub const MAX_MESSAGE: usize = crate::wire::tlv::MAX_HANDSHAKE;

/// Whether two tags, tokens or keys are the same; how long that takes does not tell how many of their bytes
/// are.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// What is the same at both ends of one association, and is that of no other one: it follows from all that the handshake
/// has said, both ends' ephemeral keys among it, so neither end, nor anybody between them, can choose it. It is no
/// secret; whoever signs it shows that it is here, and not somewhere else (as RFC 9266 has it of TLS).
pub type Binding = [u8; 32];

/// The keys of one association, as one of its ends uses them.
#[derive(Debug, Clone)]
pub struct Keys {
    suite: Suite,
    binding: Binding,
    /// Seals what this end sends.
    tx: KeyChain,
    /// Opens what this end receives.
    rx: KeyChain,
}

impl Keys {
    /// Keys that begin with these bytes: what is sent is sealed with the first, what is received opened with the second.
    pub fn new(suite: Suite, (tx, rx): ([u8; 32], [u8; 32]), binding: Binding) -> Self {
        let (tx, rx) = (KeyChain::new(suite, tx), KeyChain::new(suite, rx));
        Self { suite, binding, tx, rx }
    }

    /// Which association it is; it stays, however often the keys change.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// What they seal with: a group's key is of the same kind.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals what this end sends.
    pub fn tx(&mut self) -> &mut KeyChain {
        &mut self.tx
    }

    /// Opens what this end receives.
    pub fn rx(&mut self) -> &mut KeyChain {
        &mut self.rx
    }
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
    /// A handshake message of another suite than this end's.
    #[error("the handshake is of another kind")]
    Suite,
    /// A handshake message that does not answer the one before it, or was altered on its way, or comes
    /// from someone with another secret.
    #[error("the handshake message does not answer the one before it")]
    Proof,
    /// The key was not certified by whom it names.
    #[error("the certificate does not fit the key")]
    Certificate,
}
