//! What one sender may send: how much, and how fast.

use std::time::{Duration, Instant};

/// Limits of one session; without any, what the sender and the disk can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Longest file, in bytes.
    pub size: Option<u64>,
    /// Most that is taken of the sender's bytes, in bits per second.
    pub rate: Option<u64>,
}

/// At a rate bytes are taken in pieces of this much time, so that what is said beside them waits no longer.
const PIECE: Duration = Duration::from_millis(50);

/// Takes bytes at a rate: who reads no faster closes the sender's window.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<f64>,
    began: Instant,
    taken: u64,
}

impl Pace {
    pub(crate) fn new(rate: Option<u64>, now: Instant) -> Self {
        Self {
            bytes_per_second: rate.map(|rate| (rate as f64 / 8.0).max(1.0)),
            began: now,
            taken: 0,
        }
    }

    /// How much to read at once, of so much room.
    pub(crate) fn piece(&self, room: usize) -> usize {
        #[expect(clippy::cast_sign_loss, reason = "neither rates nor times are negative")]
        let piece = |rate: f64| (rate * PIECE.as_secs_f64()) as usize;
        self.bytes_per_second.map_or(room, |rate| piece(rate).clamp(1, room))
    }

    /// So many bytes were read: how long to wait before the next are.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        self.taken += bytes as u64;
        let due = Duration::from_secs_f64(self.taken as f64 / rate);
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
    fn without_a_rate_nothing_waits() {
        let now = Instant::now();
        let mut pace = Pace::new(None, now);
        assert_eq!((pace.piece(4096), pace.took(1 << 30, now)), (4096, Duration::ZERO));
    }

    #[test]
    fn a_rate_is_kept_and_a_pause_earns_nothing() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(8_000_000), begin);
        assert_eq!(pace.piece(1 << 20), 50_000);
        assert_eq!(pace.took(50_000, begin), Duration::from_millis(50));
        let at = begin + Duration::from_millis(50);
        assert_eq!(pace.took(50_000, at), Duration::from_millis(50));
        let late = at + Duration::from_secs(10);
        assert_eq!(pace.took(50_000, late), Duration::ZERO);
        assert_eq!(pace.took(50_000, late), Duration::from_millis(50));
    }
}
