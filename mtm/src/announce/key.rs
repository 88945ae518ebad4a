//! The keys of announcements: for each datagram, of a channel's key or a job's, one that is used once.

use super::stamps::Stamp;
use core::fmt;
use tcpxm::seal::{SealKey, Suite};
use tcpxm::trust::PublicKey;
use zeroize::Zeroizing;

/// What the two are derived for (BLAKE3, `derive_key`): the same bytes as a channel's key and a job's give two keys.
const CHANNEL: &str = "mtm 2026-11 announcement, the channel's key";
const JOB: &str = "mtm 2026-11 announcement, the job's key";

/// A key that everybody on a channel has.
#[derive(Clone)]
pub struct ChannelKey(Zeroizing<[u8; 32]>);

/// A key that the receivers of a job have.
#[derive(Clone)]
pub struct JobKey(Zeroizing<[u8; 32]>);

impl ChannelKey {
    /// Of 32 random or derived bytes. Several masters may have the same.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn once(&self, master: &PublicKey, stamp: Stamp) -> SealKey {
        once(CHANNEL, &self.0, master, stamp)
    }
}

impl JobKey {
    /// Of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn once(&self, master: &PublicKey, stamp: Stamp) -> SealKey {
        once(JOB, &self.0, master, stamp)
    }
}

/// The key of one datagram. With AES-GCM a number that is used again gives the key away (RFC 5116, 3.1), so what tells
/// announcements apart is in the key: also the life, which is another one in a master that was restored from a copy and
/// does not know it.
fn once(context: &str, key: &[u8; 32], master: &PublicKey, stamp: Stamp) -> SealKey {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(key).update(master.as_bytes());
    hasher.update(&stamp.incarnation.to_be_bytes()).update(&stamp.counter.to_be_bytes());
    hasher.update(&stamp.life);
    SealKey::new(Suite::Xx, &Zeroizing::new(*hasher.finalize().as_bytes()))
}

/// Nothing of it.
impl fmt::Debug for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelKey(..)")
    }
}

/// Nothing of it.
impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobKey(..)")
    }
}
