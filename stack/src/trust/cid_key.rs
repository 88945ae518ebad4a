//! Connection ids that a receiver chooses: 4 random bytes, then 4 bytes of a MAC over them under a key of
//! its own. So it can tell an id that it once gave, also after it has forgotten all else, and stay silent
//! to all others.

use core::fmt;
use zeroize::Zeroizing;

/// Makes and recognizes ids.
#[derive(Clone)]
pub struct CidKey(Zeroizing<[u8; 32]>);

impl CidKey {
    /// From 32 random bytes, which should be kept.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The id of so many random bits. Two in 2^32 may be alike: whoever uses it looks whether it is taken.
    pub(crate) fn id(&self, random: u32) -> u64 {
        u64::from(random) << 32 | u64::from(self.mac(random))
    }

    /// Whether this id was given with the same key. Somebody who guesses is right once in 2^32 times.
    pub(crate) fn is_ours(&self, cid: u64) -> bool {
        self.mac((cid >> 32) as u32) == cid as u32
    }

    fn mac(&self, random: u32) -> u32 {
        let hash = blake3::keyed_hash(&self.0, &random.to_be_bytes());
        hash.as_bytes().first_chunk().map_or(0, |mac| u32::from_be_bytes(*mac))
    }
}

/// Without the key.
impl fmt::Debug for CidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CidKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_recognized_with_the_same_key_alone() {
        let (key, other) = (CidKey::new([1; 32]), CidKey::new([2; 32]));
        for n in 0..1000_u32 {
            let cid = key.id(n.wrapping_mul(2_654_435_761));
            assert!(key.is_ours(cid) && key.clone().is_ours(cid) && !other.is_ours(cid));
            assert!(!key.is_ours(cid ^ 1) && !key.is_ours(cid ^ 1 << 40));
        }
    }
}
