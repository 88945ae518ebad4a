//! The addresses of one receiver that have not been tried yet, and when the next one is (RFC 8305, 5): each some
//! time after the one before, at once if that has failed. Which of them comes first is the application's to say
//! (RFC 8305, 4).

use crate::proto::time::Instant;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Addresses of one receiver that are tried, the first included. Each costs a SYN of 1,200 bytes, and hosts have
/// an address or two of each family.
pub(crate) const MAX_ADDRESSES: usize = 8;
/// Between two attempts (RFC 8305, 5: "Connection Attempt Delay", recommended are 250 ms).
const STAGGER: Duration = Duration::from_millis(250);
/// The same where less time is given to all of them: it must not be less (RFC 8305, 5).
const STAGGER_MIN: Duration = Duration::from_millis(10);

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    untried: VecDeque<SocketAddr>,
    next_at: Instant,
    stagger: Duration,
}

impl Candidates {
    /// Those behind the first, which is tried `now`. Within half of `limit` all are tried, so that the last has
    /// time for an answer as well.
    pub(crate) fn behind_first(now: Instant, addrs: &[SocketAddr], limit: Duration) -> Self {
        let untried: VecDeque<_> = addrs.iter().take(MAX_ADDRESSES).skip(1).copied().collect();
        let share = limit / (2 * untried.len().max(1)) as u32;
        let stagger = STAGGER.min(share).max(STAGGER_MIN);
        Self { untried, next_at: now + stagger, stagger }
    }

    /// Whether all have been tried.
    pub(crate) fn is_empty(&self) -> bool {
        self.untried.is_empty()
    }

    /// When the next one is to be tried.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.next_at)
    }

    /// The next one, if it is its time.
    pub(crate) fn take(&mut self, now: Instant) -> Option<SocketAddr> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + self.stagger;
        self.untried.pop_front()
    }

    /// One that is being tried will hardly answer: the next is tried at once.
    pub(crate) fn hasten(&mut self, now: Instant) {
        self.next_at = self.next_at.min(now);
    }

    /// No other is tried.
    pub(crate) fn clear(&mut self) {
        self.untried = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BEGIN: Instant = Instant::from_nanos(5);

    fn addrs(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| ([10, 0, 0, n], 1).into()).collect()
    }

    /// When each of them is tried, if none of them fails.
    fn times(mut candidates: Candidates) -> Vec<Duration> {
        let mut times = Vec::new();
        while let Some(at) = candidates.deadline() {
            assert_eq!(candidates.take(BEGIN), None, "before its time");
            assert!(candidates.take(at).is_some());
            times.push(at.since(BEGIN));
        }
        times
    }

    #[test]
    fn each_is_tried_a_quarter_of_a_second_after_the_one_before_in_order() {
        let all = addrs(4);
        let mut candidates = Candidates::behind_first(BEGIN, &all, MS * 10_000);
        for (n, addr) in (1..).zip(&all[1..]) {
            assert_eq!(candidates.deadline(), Some(BEGIN + MS * 250 * n));
            assert_eq!(candidates.take(BEGIN + MS * 250 * n), Some(*addr));
        }
        assert!(candidates.is_empty());
        assert_eq!(candidates.deadline(), None);
        assert_eq!(candidates.take(BEGIN + MS * 10_000), None);
    }

    #[test]
    fn one_that_fails_lets_the_next_begin_and_the_one_after_waits() {
        let mut candidates = Candidates::behind_first(BEGIN, &addrs(3), MS * 10_000);
        let early = BEGIN + MS * 7;
        candidates.hasten(early);
        assert!(candidates.take(early).is_some());
        assert_eq!(candidates.deadline(), Some(early + MS * 250));
        candidates.hasten(early + MS * 300);
        assert_eq!(candidates.deadline(), Some(early + MS * 250), "it is late already");
        candidates.clear();
        assert_eq!(candidates.deadline(), None);
    }

    #[test]
    fn all_are_tried_in_half_of_a_short_time_and_no_more_than_the_limit_in_any() {
        let short = Candidates::behind_first(BEGIN, &addrs(5), MS * 800);
        assert_eq!(times(short), [MS * 100, MS * 200, MS * 300, MS * 400]);
        let none = Candidates::behind_first(BEGIN, &addrs(3), Duration::ZERO);
        assert_eq!(times(none), [MS * 10, MS * 20]);
        let many = Candidates::behind_first(BEGIN, &addrs(200), MS * 10_000);
        assert_eq!(times(many).len() + 1, MAX_ADDRESSES);
        assert!(times(Candidates::behind_first(BEGIN, &addrs(1), MS)).is_empty());
    }
}
