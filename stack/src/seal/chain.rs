//! The keys of one direction of an association, one after the other: AES-GCM keeps its promises for
//! a bounded number of datagrams, so each key seals [`PER_KEY`] and is then followed by one that is
//! derived from it. Which one a datagram is sealed with follows from its packet number alone, so
//! both ends agree without a word.

use super::{SealError, SealKey, Suite};
use zeroize::Zeroizing;

/// Datagrams sealed with one key. For 2^22 of up to 2^9.2 blocks each the advantage of an attacker
/// stays below 2^-57 (draft-irtf-cfrg-aead-limits, 5.1; RFC 9001, 6.6 allows QUIC twice as many).
pub const PER_KEY: u64 = 1 << 22;

/// Domain separation (BLAKE3 paper, 2.3).
const NEXT: &str = "tcpxm 2026 next key";

/// One key and what follows it.
#[derive(Debug, Clone)]
struct Link {
    /// How many came before it.
    number: u64,
    key: SealKey,
    /// What it and the next one are made of.
    bytes: Zeroizing<[u8; 32]>,
}

impl Link {
    fn new(suite: Suite, number: u64, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { number, key: SealKey::new(suite, &bytes), bytes }
    }

    fn next(&self, suite: Suite) -> Self {
        let bytes = Zeroizing::new(blake3::derive_key(NEXT, &*self.bytes));
        Self::new(suite, self.number + 1, bytes)
    }
}

/// One direction's keys.
#[derive(Debug, Clone)]
pub struct KeyChain {
    suite: Suite,
    now: Link,
    /// The one that follows, once something came that names it: who forges that has it made once.
    next: Option<Link>,
    /// The one before, for what is late.
    before: Option<SealKey>,
}

impl KeyChain {
    /// Begins with a key of these bytes.
    pub fn new(suite: Suite, bytes: [u8; 32]) -> Self {
        Self { suite, now: Link::new(suite, 0, Zeroizing::new(bytes)), next: None, before: None }
    }

    /// What the header of the datagram with this packet number names as its key: the low 8 bits of
    /// the key's number.
    pub(crate) fn id(pn: u64) -> u8 {
        (pn / PER_KEY) as u8
    }

    /// Seals as [`SealKey::seal`] does; `pn` never falls below an earlier one by more than a key's
    /// worth.
    pub fn seal(&mut self, pn: u64, datagram: &mut [u8], header_len: usize) {
        while self.now.number < pn / PER_KEY {
            self.advance();
        }
        debug_assert_eq!(self.now.number, pn / PER_KEY);
        self.now.key.seal(pn, datagram, header_len);
    }

    /// Opens as [`SealKey::open`] does, with the present key, the one before or the one after it; that
    /// one becomes the present one only by a datagram that it opens.
    pub fn open(
        &mut self,
        pn: u64,
        datagram: &mut [u8],
        header_len: usize,
    ) -> Result<(), SealError> {
        let number = pn / PER_KEY;
        if number == self.now.number {
            return self.now.key.open(pn, datagram, header_len);
        }
        if number + 1 == self.now.number {
            let before = self.before.as_ref().ok_or(SealError::Tag)?;
            return before.open(pn, datagram, header_len);
        }
        if number != self.now.number + 1 {
            return Err(SealError::Tag);
        }
        let next = self.next.get_or_insert_with(|| self.now.next(self.suite));
        next.key.open(pn, datagram, header_len)?;
        self.advance();
        Ok(())
    }

    fn advance(&mut self) {
        let next = self.next.take().unwrap_or_else(|| self.now.next(self.suite));
        self.before = Some(core::mem::replace(&mut self.now, next).key);
    }

    /// The present key.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> [u8; 32] {
        *self.now.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(tx: &mut KeyChain, pn: u64) -> [u8; 60] {
        let mut datagram = [5; 60];
        tx.seal(pn, &mut datagram, 36);
        datagram
    }

    #[test]
    fn the_next_key_is_made_once_for_all_that_is_forged() {
        let mut rx = KeyChain::new(Suite::Xx, [7; 32]);
        for pn in PER_KEY..PER_KEY + 9 {
            assert_eq!(rx.open(pn, &mut [0; 60], 36), Err(SealError::Tag));
            assert_eq!(rx.next.as_ref().map(|next| next.number), Some(1));
        }
        let mut tx = KeyChain::new(Suite::Xx, [7; 32]);
        assert_eq!(rx.open(PER_KEY, &mut sealed(&mut tx, PER_KEY), 36), Ok(()));
        assert!(rx.next.is_none() && rx.now.number == 1);
    }

    #[test]
    fn keys_follow_one_another_by_packet_number() {
        let (mut tx, mut rx) =
            (KeyChain::new(Suite::Xx, [1; 32]), KeyChain::new(Suite::Xx, [1; 32]));
        let late = sealed(&mut tx, PER_KEY - 1);
        for pn in [0, PER_KEY - 2, PER_KEY, 2 * PER_KEY - 1] {
            assert_eq!(rx.open(pn, &mut sealed(&mut tx, pn).clone(), 36), Ok(()), "{pn}");
        }
        assert_eq!(rx.open(PER_KEY - 1, &mut late.clone(), 36), Ok(()), "late, by the key before");
        let next = sealed(&mut tx, 2 * PER_KEY);
        assert_eq!(rx.open(2 * PER_KEY, &mut next.clone(), 36), Ok(()));
        assert_eq!(rx.open(PER_KEY - 1, &mut late.clone(), 36), Err(SealError::Tag), "too late");
        // A key from one end of its numbers to the other is not that of its neighbour.
        let first = SealKey::new(Suite::Xx, &[1; 32]);
        assert_eq!(first.open(2 * PER_KEY, &mut next.clone(), 36), Err(SealError::Tag));
    }

    #[test]
    fn a_forged_number_moves_nothing() {
        let (mut tx, mut rx) =
            (KeyChain::new(Suite::Xx, [1; 32]), KeyChain::new(Suite::Xx, [1; 32]));
        for pn in [PER_KEY, 2 * PER_KEY, 9 * PER_KEY] {
            assert_eq!(rx.open(pn, &mut [5; 60], 36), Err(SealError::Tag));
        }
        assert_eq!(rx.open(7, &mut sealed(&mut tx, 7), 36), Ok(()));
    }
}
