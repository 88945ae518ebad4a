//! What one sender may send: how much, and how fast.

use crate::holders::Holders;
use crate::jobs::Jobs;
use crate::prefix::Prefixes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Limits of one session; without any, what the sender and the disk can do.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Longest file, in bytes.
    pub size: Option<u64>,
    /// Most that is taken of the sender's bytes; the same for all sessions that share it. `None`: as much as
    /// comes, and nobody can change that while the session runs.
    pub rate: Option<Arc<Rate>>,
    /// What the sender may ask for beside bytes; by default nothing.
    pub allow: Allow,
    /// Who writes what: the same for all sessions of a process.
    pub holders: Arc<Holders>,
    /// Who is told how far files can be read while they arrive; `None`: nobody, and nothing is done for it.
    pub prefixes: Option<Arc<Prefixes>>,
    /// Who deals with mirror jobs; `None`: nobody, and they are received as everything else is.
    pub jobs: Option<Arc<dyn Jobs>>,
}

/// What a sender may ask for beside bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub struct Allow {
    /// To say which user and group files belong to.
    pub owner: bool,
    /// To set the bits setuid and setgid.
    pub setuid: bool,
    /// To delete what the source does not have.
    pub delete: bool,
    /// To make devices, pipes and sockets.
    pub device: bool,
}

/// A rate that sessions share: all of them together take no more. It may be without a limit at first, and get
/// one while they run.
#[derive(Debug)]
pub struct Rate {
    /// Whether there is a limit: asked at each read, and none waits for the others where there is none.
    limited: AtomicBool,
    pace: Mutex<Pace>,
}

impl Rate {
    /// Of so many bits per second; `None`: without a limit.
    pub fn new(bits: Option<u64>) -> Self {
        let pace = Mutex::new(Pace::new(bits, Instant::now()));
        Self { limited: AtomicBool::new(bits.is_some()), pace }
    }

    /// Bits per second.
    pub fn bits(&self) -> Option<u64> {
        self.pace().bits
    }

    /// From now on so many bits per second, or without a limit, also for the sessions that run.
    pub fn set(&self, bits: Option<u64>) {
        let mut pace = self.pace();
        pace.set(bits, Instant::now());
        self.limited.store(bits.is_some(), Ordering::Relaxed);
    }

    /// Whether there is a limit now.
    pub(crate) fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// How much one of the sessions that share it reads at once, of so much room.
    pub(crate) fn piece(self: &Arc<Self>, room: usize) -> usize {
        self.pace().piece(room, Arc::strong_count(self))
    }

    /// See [`Pace::took`].
    pub(crate) fn took(&self, bytes: usize, now: Instant) -> Turn {
        self.pace().took(bytes, now)
    }

    /// See [`Pace::left`].
    pub(crate) fn left(&self, turn: Turn, now: Instant) -> Duration {
        self.pace().left(turn, now)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At a rate all sessions that share it take, one after the other, pieces of this much time together, each
/// its part. So a session waits about as long for its turn, however many there are; longer where a part
/// would be less than a byte, or while sessions are added.
const PIECE: Duration = Duration::from_millis(50);

/// The bytes that all sessions had taken when one had taken its own: once they are paid for, it goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn(u64);

/// Takes bytes at a rate: who reads no faster closes the sender's window.
#[derive(Debug)]
struct Pace {
    /// `None`: whatever was taken is paid for.
    bits: Option<u64>,
    /// Since then bytes are counted against the rate: those from `paid` on.
    began: Instant,
    paid: u64,
    taken: u64,
}

impl Pace {
    fn new(bits: Option<u64>, now: Instant) -> Self {
        Self { bits, began: now, paid: 0, taken: 0 }
    }

    fn bytes_per_second(&self) -> f64 {
        self.bits.map_or(f64::INFINITY, |bits| (bits as f64 / 8.0).max(1.0))
    }

    #[expect(clippy::cast_sign_loss, reason = "neither rates nor times are negative")]
    fn bytes_in(&self, time: Duration) -> u64 {
        (self.bytes_per_second() * time.as_secs_f64()) as u64
    }

    /// What was taken stays taken, and what of it is paid for was paid at the rate until now.
    fn set(&mut self, bits: Option<u64>, now: Instant) {
        if bits != self.bits {
            let paid = match self.bits {
                Some(_) => self.paid.saturating_add(self.bytes_in(now.duration_since(self.began))),
                None => self.taken,
            };
            (self.bits, self.began, self.paid) = (bits, now, paid.min(self.taken));
        }
    }

    /// How much one of so many sessions reads at once, of so much room.
    fn piece(&self, room: usize, sessions: usize) -> usize {
        let piece = self.bytes_in(PIECE) as usize / sessions.max(1);
        piece.clamp(1, room)
    }

    /// So many bytes were read: what their session waits for before it reads the next.
    fn took(&mut self, bytes: usize, now: Instant) -> Turn {
        self.taken += bytes as u64;
        let turn = Turn(self.taken);
        if now.duration_since(self.began) > self.due(turn) + PIECE {
            // What was not used is gone: a pause is no leave for a burst.
            (self.began, self.paid) = (now, self.taken);
        }
        turn
    }

    /// How long it is until then, at the rate of now.
    fn left(&self, turn: Turn, now: Instant) -> Duration {
        self.due(turn).saturating_sub(now.duration_since(self.began))
    }

    fn due(&self, Turn(taken): Turn) -> Duration {
        Duration::from_secs_f64(taken.saturating_sub(self.paid) as f64 / self.bytes_per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_share_a_rate_get_it_once() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(8_000_000), now);
        // Each takes what one alone could: whoever comes later waits for all before it.
        for sessions in 1..=3 {
            let turn = pace.took(50_000, now);
            assert_eq!(pace.left(turn, now), Duration::from_millis(50 * sessions));
        }
        let slow = Arc::new(Rate::new(Some(7)));
        assert_eq!((slow.bits(), slow.piece(1 << 20)), (Some(7), 1));
    }

    #[test]
    fn however_many_share_it_each_has_its_turn_soon() {
        let rate = Arc::new(Rate::new(Some(8_000_000)));
        let sessions: Vec<_> = (0..64).map(|_| Arc::clone(&rate)).collect();
        drop(rate);
        let (now, mut longest) = (Instant::now(), Duration::ZERO);
        for rate in &sessions {
            let turn = rate.took(rate.piece(1 << 20), now);
            longest = longest.max(rate.left(turn, now));
        }
        assert!(longest > PIECE / 2 && longest <= PIECE, "{longest:?}");
    }

    #[test]
    fn another_rate_holds_for_who_waits_already() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(8), begin);
        let turn = pace.took(1000, begin);
        assert_eq!(pace.left(turn, begin), Duration::from_secs(1000));
        let later = begin + Duration::from_secs(100);
        pace.set(Some(8 * 900), later);
        assert_eq!(pace.left(turn, later), Duration::from_secs(1));
        // Slower, and what was paid for stays so.
        let half = later + Duration::from_millis(500);
        pace.set(Some(8), half);
        assert_eq!(pace.left(turn, half), Duration::from_secs(450));
        pace.set(Some(8_000_000), half);
        let next = pace.took(0, half);
        assert_eq!(pace.left(next, half), Duration::from_micros(450));
        // What comes after that is not paid for by the time before.
        let idle = half + Duration::from_secs(100);
        pace.set(Some(8), idle);
        let next = pace.took(7, idle);
        assert_eq!(pace.left(next, idle), Duration::from_secs(7));
    }

    #[test]
    fn a_limit_comes_and_goes() {
        let begin = Instant::now();
        let mut pace = Pace::new(None, begin);
        let turn = pace.took(1 << 30, begin);
        assert_eq!((pace.piece(1 << 20, 64), pace.left(turn, begin)), (1 << 20, Duration::ZERO));
        // What came without a limit is not owed, also in the same instant.
        pace.set(Some(8), begin);
        assert_eq!((pace.piece(1 << 20, 1), pace.left(turn, begin)), (1, Duration::ZERO));
        let turn = pace.took(1000, begin);
        assert_eq!(pace.left(turn, begin), Duration::from_secs(1000));
        pace.set(None, begin);
        assert_eq!(pace.left(turn, begin), Duration::ZERO);
        // Nor does the time without one earn anything.
        let later = begin + Duration::from_secs(1000);
        pace.set(Some(8), later);
        let turn = pace.took(10, later);
        assert_eq!(pace.left(turn, later), Duration::from_secs(10));

        let rate = Rate::new(None);
        for bits in [Some(8), None] {
            rate.set(bits);
            assert_eq!((rate.is_limited(), rate.bits()), (bits.is_some(), bits));
        }
    }

    #[test]
    fn a_rate_is_kept_and_a_pause_earns_nothing() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(8_000_000), begin);
        let took = |pace: &mut Pace, at| {
            let turn = pace.took(50_000, at);
            pace.left(turn, at)
        };
        assert_eq!(pace.piece(1 << 20, 1), 50_000);
        assert_eq!(took(&mut pace, begin), Duration::from_millis(50));
        let at = begin + Duration::from_millis(50);
        assert_eq!(took(&mut pace, at), Duration::from_millis(50));
        let late = at + Duration::from_secs(10);
        assert_eq!(took(&mut pace, late), Duration::ZERO);
        assert_eq!(took(&mut pace, late), Duration::from_millis(50));
    }
}
