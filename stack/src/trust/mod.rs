//! Who may send, and who is sent to: the keys that a program is given.
//!
//! Either everybody holds one [`Secret`], or everybody has an [`Identity`] of its own and knows the
//! [`PublicKey`]s of the others. The handshake in [`crate::seal`] proves what stands here; which of
//! the keys are welcome is the application's decision, and where they are kept as well.
//!
//! Sans-IO: randomness comes in as a parameter. Whatever is secret is overwritten when it is
//! dropped, and no `Debug` shows it.

mod cid_key;
pub(crate) mod identity;
mod listen;
mod noise_key;
mod public_key;
mod secret;
mod sender;

pub use cid_key::CidKey;
pub use identity::Identity;
pub(crate) use identity::{CERTIFICATE_LEN, verify};
pub use listen::{ListenKeys, ListenTrust, not_authorized};
pub use noise_key::NoiseKey;
pub(crate) use noise_key::X25519_LEN;
pub use public_key::{PublicKey, PublicKeyError};
pub use secret::{Secret, SecretError};
pub use sender::{SenderKeys, SenderSecrets, SenderTrust};
