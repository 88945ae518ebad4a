//! Authenticating what is sent before there are keys and outside of any association: SYNs, and the
//! answers to what belongs to no association.
//!
//! A SYN's frame is frozen across versions (docs/wire.md): the version stands in its first byte, the
//! initiator's connection id at the same place, a cookie and a MAC at its end. Whoever holds the same
//! secret can tell a friend's SYN of another version from a stranger's.

use super::equal;
use crate::wire::{COOKIE_LEN, TAG_LEN};
use core::fmt;
use zeroize::Zeroizing;

/// Without a secret everybody has the same key, and a MAC proves only that the bytes are whole.
const OPEN: &str = "tcpxm 2026 key of frames without a secret";

/// In place of the tag of the datagram that is answered, where that has none that both ends could refer to.
pub(crate) const NO_TAG: [u8; TAG_LEN] = [0; TAG_LEN];

/// Makes and checks MACs.
#[derive(Clone)]
pub struct FrameKey(Zeroizing<[u8; 32]>);

/// Takes as long whatever differs.
impl PartialEq for FrameKey {
    fn eq(&self, other: &Self) -> bool {
        equal(&*self.0, &*other.0)
    }
}

impl Eq for FrameKey {}

impl FrameKey {
    /// That of everybody.
    pub fn open() -> Self {
        Self(Zeroizing::new(blake3::derive_key(OPEN, &[])))
    }

    /// One that was derived from a secret.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The MAC of several pieces, one behind the other: the first 16 bytes of BLAKE3's keyed hash.
    pub fn mac(&self, pieces: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for piece in pieces {
            hasher.update(piece);
        }
        let mut mac = [0; TAG_LEN];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_LEN]);
        mac
    }

    /// Whether a MAC is that of the pieces; the time it takes does not tell how much of it is right.
    pub fn is_mac(&self, pieces: &[&[u8]], mac: &[u8]) -> bool {
        equal(&self.mac(pieces), mac)
    }

    /// Writes the MAC of a SYN into its last bytes.
    pub fn sign_syn(&self, syn: &mut [u8]) {
        let Some(at) = syn.len().checked_sub(COOKIE_LEN + TAG_LEN) else { return };
        let mac = self.mac(&[&syn[..at]]);
        syn[at + COOKIE_LEN..].copy_from_slice(&mac);
    }

    /// Whether a SYN, of whatever version, comes from someone with this key.
    pub fn is_syn(&self, syn: &[u8]) -> bool {
        let Some((rest, mac)) = syn.split_last_chunk::<TAG_LEN>() else { return false };
        let Some((covered, _)) = rest.split_last_chunk::<COOKIE_LEN>() else { return false };
        self.is_mac(&[covered], mac)
    }

    /// Writes the MAC of an answer into its last bytes: of what stands before them, and of the tag of
    /// the datagram that it answers, so that nobody can keep it for another.
    pub fn sign_answer(&self, answer: &mut [u8], answered: &[u8; TAG_LEN]) {
        let Some(at) = answer.len().checked_sub(TAG_LEN) else { return };
        let mac = self.mac(&[&answer[..at], answered]);
        answer[at..].copy_from_slice(&mac);
    }

    /// Whether an answer to the datagram with this tag comes from someone with this key.
    pub fn is_answer(&self, answer: &[u8], answered: &[u8; TAG_LEN]) -> bool {
        let Some((covered, mac)) = answer.split_last_chunk::<TAG_LEN>() else { return false };
        self.is_mac(&[covered, answered], mac)
    }
}

/// The cookie of a SYN.
pub fn cookie_of(syn: &[u8]) -> Option<&[u8; COOKIE_LEN]> {
    syn.split_last_chunk::<TAG_LEN>()?.0.last_chunk()
}

/// Puts a cookie into a SYN: its MAC stays what it is.
pub fn set_cookie(syn: &mut [u8], cookie: &[u8; COOKIE_LEN]) {
    if let Some(at) = syn.len().checked_sub(COOKIE_LEN + TAG_LEN) {
        syn[at..at + COOKIE_LEN].copy_from_slice(cookie);
    }
}

/// Without the key.
impl fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_bit_of_a_syn_counts_but_its_cookies(
            bytes in proptest::collection::vec(any::<u8>(), 32..300),
            cookie: [u8; COOKIE_LEN],
            bit: prop::sample::Index,
        ) {
            let (key, other) = (FrameKey::new([1; 32]), FrameKey::open());
            let mut syn = bytes;
            key.sign_syn(&mut syn);
            prop_assert!(key.is_syn(&syn) && !other.is_syn(&syn));
            set_cookie(&mut syn, &cookie);
            prop_assert!(key.is_syn(&syn));
            prop_assert_eq!(cookie_of(&syn), Some(&cookie));
            let bit = bit.index(syn.len() * 8);
            syn[bit / 8] ^= 1 << (bit % 8);
            let in_cookie = (syn.len() - 32..syn.len() - 16).contains(&(bit / 8));
            prop_assert_eq!(key.is_syn(&syn), in_cookie);
        }

        #[test]
        fn an_answer_answers_one_datagram(
            mut answer in proptest::collection::vec(any::<u8>(), 16..80),
            tag: [u8; TAG_LEN],
            bit: prop::sample::Index,
        ) {
            let key = FrameKey::new([1; 32]);
            key.sign_answer(&mut answer, &tag);
            prop_assert!(key.is_answer(&answer, &tag));
            prop_assert!(!FrameKey::open().is_answer(&answer, &tag));
            let mut other = tag;
            other[0] ^= 1;
            prop_assert!(!key.is_answer(&answer, &other));
            let bit = bit.index(answer.len() * 8);
            answer[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!key.is_answer(&answer, &tag));
        }
    }

    #[test]
    fn what_is_too_short_is_refused() {
        let key = FrameKey::open();
        for len in 0..COOKIE_LEN + TAG_LEN {
            let mut syn = vec![0; len];
            key.sign_syn(&mut syn);
            set_cookie(&mut syn, &[1; COOKIE_LEN]);
            assert!(!key.is_syn(&syn) && syn.iter().all(|byte| *byte == 0));
        }
        assert!(!key.is_answer(&[0; TAG_LEN - 1], &[0; TAG_LEN]));
    }
}
