//! A group's key, which all its members hold: its sender seals with it, its receivers open.

use super::{SealKey, Suite, equal};
use core::fmt;
use zeroize::Zeroizing;

/// One of a group's keys.
#[derive(Clone)]
pub(crate) struct GroupKey {
    id: u8,
    bytes: Zeroizing<[u8; 32]>,
    key: SealKey,
}

impl GroupKey {
    pub(crate) fn new(suite: Suite, id: u8, bytes: [u8; 32]) -> Self {
        Self { id, key: SealKey::new(suite, &bytes), bytes: Zeroizing::new(bytes) }
    }

    /// By what datagrams name it.
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    /// As members are told it.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// What seals and opens.
    pub(crate) fn key(&self) -> &SealKey {
        &self.key
    }

    /// Whether another is the same key, not only by its name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        equal(&*self.bytes, &*other.bytes) && self.id == other.id
    }
}

/// Without the key.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_by_their_bytes() {
        let key = |id, byte| GroupKey::new(Suite::Xx, id, [byte; 32]);
        assert!(key(1, 1).is(&key(1, 1)) && !key(1, 1).is(&key(2, 2)));
        assert!(!key(1, 1).is(&key(1, 2)) && !key(1, 1).is(&key(2, 1)));
        assert!(!format!("{:?}", key(1, 1)).contains("1, 1"));
    }
}
