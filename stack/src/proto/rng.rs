//! Randomness as a parameter: one seeded `ChaCha` generator per endpoint.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng};

/// Draws initial sequence numbers (RFC 9293, 3.4.1), connection ids and nonces. `ChaCha`, because
/// they must not be guessed from earlier ones; seeded, because every run must be replayable.
#[derive(Debug, Clone)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator whose whole output follows from the seed.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.0.fill_bytes(&mut out);
        out
    }
}
