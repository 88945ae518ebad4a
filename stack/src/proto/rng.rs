//! Randomness as a parameter: one seeded `ChaCha` generator per endpoint, which forgets what it gave out.

use std::fmt;

use chacha20::{ChaCha12Rng, SerializedRngState};
use rand_core::Rng as _;
use zeroize::{Zeroize, Zeroizing};

/// Bytes that one key gives before it is replaced, in bytes: with the next key (32) four blocks of `ChaCha`, which is
/// what the generator makes at once.
const BATCH: usize = 4 * 64 - 32;

/// Draws initial sequence numbers (RFC 9293, 3.4.1), connection ids, nonces and keys.
///
/// - It is seeded, because every run must be replayable.
/// - It is `ChaCha`, because what it draws must not be guessed from what it drew earlier.
/// - It erases its key (Bernstein, "Fast-key-erasure random-number generators", 2017): each key makes the next one
///   and a batch of output, and is overwritten; output is overwritten as it is handed out. So the memory of a running
///   program does not give away the keys of sessions that are over.
pub struct Rng {
    key: Zeroizing<[u8; 32]>,
    ahead: Zeroizing<[u8; BATCH]>,
    /// How many bytes of `ahead` were handed out.
    taken: usize,
}

impl Rng {
    /// A generator whose whole output follows from the seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(seed), ahead: Zeroizing::new([0; BATCH]), taken: BATCH }
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        let mut out = [0; 4];
        self.fill(&mut out);
        u32::from_le_bytes(out)
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        let mut out = [0; 8];
        self.fill(&mut out);
        u64::from_le_bytes(out)
    }

    /// 32 random bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.fill(&mut out);
        out
    }

    fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.taken == BATCH {
                self.next_key();
            }
            let len = out.len().min(BATCH - self.taken);
            let (now, later) = out.split_at_mut(len);
            let given = &mut self.ahead[self.taken..self.taken + len];
            now.copy_from_slice(given);
            given.zeroize();
            self.taken += len;
            out = later;
        }
    }

    fn next_key(&mut self) {
        // By a state that is lent: a seed is handed over, and a copy of it would stay behind. Behind the key
        // stand the stream's number and the place in it, both 0.
        let mut state: Zeroizing<SerializedRngState> = Zeroizing::new([0; 32 + 8 + 9]);
        state[..32].copy_from_slice(&*self.key);
        let mut stream = ChaCha12Rng::deserialize_state(&state);
        stream.fill_bytes(&mut *self.key);
        stream.fill_bytes(&mut *self.ahead);
        self.taken = 0;
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rng").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn the_output_follows_from_the_seed_however_it_is_taken() {
        let (mut whole, mut pieces) = (Rng::new([7; 32]), Rng::new([7; 32]));
        let mut all = vec![0; 3 * BATCH + 5];
        whole.fill(&mut all);
        for piece in all.chunks(13) {
            let mut out = vec![0; piece.len()];
            pieces.fill(&mut out);
            assert_eq!(out, piece);
        }
        assert_ne!(Rng::new([8; 32]).u64(), Rng::new([7; 32]).u64());
        assert_ne!(all[..BATCH], all[BATCH..2 * BATCH], "each key gives another batch");
    }

    #[test]
    fn it_is_chacha_with_the_key_as_its_seed() {
        let mut expected = [0; 40];
        ChaCha12Rng::from_seed([7; 32]).fill_bytes(&mut expected);
        let mut rng = Rng::new([7; 32]);
        let first = rng.u64();
        assert_eq!(*rng.key, expected[..32], "the next key comes first");
        assert_eq!(first.to_le_bytes(), expected[32..]);
    }

    #[test]
    fn what_was_handed_out_cannot_be_made_again_from_what_is_kept() {
        let mut rng = Rng::new([7; 32]);
        let mut given = [0; 100];
        rng.fill(&mut given);
        assert_ne!(*rng.key, [7; 32], "the key that made them is overwritten");
        assert_eq!(rng.ahead[..100], [0; 100], "and so are they");
        assert!(rng.ahead[100..].iter().any(|&byte| byte != 0));
        let kept = *rng.key;
        assert_ne!(Rng::new(kept).bytes32(), given[..32]);
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", Rng::new([7; 32])), "Rng { .. }");
    }
}
