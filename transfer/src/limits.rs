//! What one sender may send: how much, and how fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits of one session; without any, what the sender and the disk can do.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Longest file, in bytes.
    pub size: Option<u64>,
    /// Most that is taken of the sender's bytes; the same for all sessions that share it.
    pub rate: Option<Arc<Rate>>,
}

/// A rate that sessions share: all of them together take no more.
#[derive(Debug)]
pub struct Rate {
    bits: u64,
    pace: Mutex<Pace>,
}

impl Rate {
    /// Of so many bits per second.
    pub fn new(bits: u64) -> Self {
        Self { bits, pace: Mutex::new(Pace::new(bits, Instant::now())) }
    }

    /// Bits per second.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// See [`Pace::piece`].
    pub(crate) fn piece(&self, room: usize) -> usize {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).piece(room)
    }

    /// See [`Pace::took`].
    pub(crate) fn took(&self, bytes: usize, now: Instant) -> Duration {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).took(bytes, now)
    }
}

/// At a rate bytes are taken in pieces of this much time, so that what is said beside them waits no longer.
const PIECE: Duration = Duration::from_millis(50);

/// Takes bytes at a rate: who reads no faster closes the sender's window.
#[derive(Debug)]
struct Pace {
    bytes_per_second: f64,
    began: Instant,
    taken: u64,
}

impl Pace {
    fn new(rate: u64, now: Instant) -> Self {
        Self { bytes_per_second: (rate as f64 / 8.0).max(1.0), began: now, taken: 0 }
    }

    /// How much to read at once, of so much room.
    fn piece(&self, room: usize) -> usize {
        #[expect(clippy::cast_sign_loss, reason = "neither rates nor times are negative")]
        let piece = (self.bytes_per_second * PIECE.as_secs_f64()) as usize;
        piece.clamp(1, room)
    }

    /// So many bytes were read: how long to wait before the next are.
    fn took(&mut self, bytes: usize, now: Instant) -> Duration {
        self.taken += bytes as u64;
        let due = Duration::from_secs_f64(self.taken as f64 / self.bytes_per_second);
        let spent = now.duration_since(self.began);
        if spent > due + PIECE {
            // What was not used is gone: a pause is no leave for a burst.
            (self.began, self.taken) = (now, 0);
        }
        due.saturating_sub(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_share_a_rate_get_it_once() {
        let now = Instant::now();
        let rate = Rate { bits: 8_000_000, pace: Mutex::new(Pace::new(8_000_000, now)) };
        // Each takes what one alone could: whoever comes later waits for all before it.
        for sessions in 1..=3 {
            assert_eq!(rate.took(50_000, now), Duration::from_millis(50 * sessions));
        }
        assert_eq!((Rate::new(7).bits(), Rate::new(7).piece(1 << 20)), (7, 1));
    }

    #[test]
    fn a_rate_is_kept_and_a_pause_earns_nothing() {
        let begin = Instant::now();
        let mut pace = Pace::new(8_000_000, begin);
        assert_eq!(pace.piece(1 << 20), 50_000);
        assert_eq!(pace.took(50_000, begin), Duration::from_millis(50));
        let at = begin + Duration::from_millis(50);
        assert_eq!(pace.took(50_000, at), Duration::from_millis(50));
        let late = at + Duration::from_secs(10);
        assert_eq!(pace.took(50_000, late), Duration::ZERO);
        assert_eq!(pace.took(50_000, late), Duration::from_millis(50));
    }
}
