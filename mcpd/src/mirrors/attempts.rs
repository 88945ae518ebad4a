//! How soon a master that had a wrong password may try another one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use transfer::jobs::From;

/// After its first failure a master's next attempt is not looked at for so long, after each further one for twice as
/// long …
const FIRST: Duration = Duration::from_secs(1);
/// … up to this: twelve guesses an hour, while somebody who mistypes waits for seconds.
const LONGEST: Duration = Duration::from_secs(300);
/// So long after that nothing is known of a master's failures any more, and no sooner.
const FORGET: Duration = Duration::from_secs(3600);
/// Keys and addresses that are remembered, at most: whoever may send by a secret can do so with many of both.
const MOST: usize = 4096;

/// A master: by the key that is listed here. With a secret by its installation's and by its address: whoever holds the
/// secret makes as many keys as he likes, and a master that guesses from several addresses is one all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who(Vec<Mark>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Key(Vec<u8>),
    Address(IpAddr),
}

impl Who {
    pub(super) fn of(from: &From) -> Self {
        let key = from.who().map(|key| Mark::Key(key.as_bytes().to_vec()));
        let address = Mark::Address(from.peer.ip().to_canonical());
        let address = Some(address).filter(|_| from.key.is_none());
        Self(key.into_iter().chain(address).collect())
    }
}

/// Failures of a master, and until when no attempt of it is looked at.
#[derive(Debug)]
struct Failures {
    count: u32,
    until: Instant,
}

/// Of all masters.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<Mark, Failures>);

impl Attempts {
    /// How long an attempt of a master is not looked at yet; `None`: it is.
    pub(super) fn wait(&self, who: &Who, now: Instant) -> Option<Duration> {
        let until = who.0.iter().filter_map(|mark| self.0.get(mark)).map(|failures| failures.until);
        let left = until.max()?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, who: Who, now: Instant) {
        self.0.retain(|_, failures| now < failures.until + FORGET);
        for mark in who.0 {
            self.fail(mark, now);
        }
    }

    fn fail(&mut self, mark: Mark, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&mark) {
            let first = self.0.iter().min_by_key(|(_, failures)| failures.until);
            if let Some(first) = first.map(|(mark, _)| mark.clone()) {
                self.0.remove(&first);
            }
        }
        let failures = self.0.entry(mark).or_insert(Failures { count: 0, until: now });
        let factor = 1_u32.checked_shl(failures.count).unwrap_or(u32::MAX);
        failures.until = now + FIRST.saturating_mul(factor).min(LONGEST);
        failures.count = (failures.count + 1).min(u32::BITS - 1);
    }

    /// One has succeeded: nothing is held against that master any more.
    pub(super) fn succeeded(&mut self, who: &Who) {
        for mark in &who.0 {
            self.0.remove(mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tcpxm::trust::Identity;

    fn who(last: u8) -> Who {
        Who(vec![Mark::Address(Ipv4Addr::new(10, 0, 0, last).into())])
    }

    #[test]
    fn with_a_secret_neither_a_new_key_nor_another_address_is_a_new_master() {
        let key = |n| Some(Identity::generate([n; 64]).public());
        let from = |key, installation, last| {
            let peer = ([10, 0, 0, last], 1).into();
            Who::of(&From { key, installation, binding: [0; 32], peer })
        };
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        attempts.failed(from(None, key(1), 1), now);
        assert!(attempts.wait(&from(None, key(2), 1), now).is_some(), "with another key");
        assert!(attempts.wait(&from(None, key(1), 2), now).is_some(), "from elsewhere");
        assert_eq!(attempts.wait(&from(None, key(2), 2), now), None);
        assert_eq!(attempts.wait(&from(key(3), None, 1), now), None, "a listed key is itself");
        attempts.succeeded(&from(None, key(1), 1));
        assert_eq!(attempts.wait(&from(None, key(2), 1), now), None);
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_five_minutes_and_a_success_ends_it() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        assert_eq!(attempts.wait(&who(1), now), None);
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            attempts.failed(who(1), now);
            let wait = Duration::from_secs(wait);
            assert_eq!(attempts.wait(&who(1), now), Some(wait));
            assert_eq!(attempts.wait(&who(2), now), None, "another one");
            now += wait;
            assert_eq!(attempts.wait(&who(1), now), None);
        }
        attempts.succeeded(&who(1));
        attempts.failed(who(1), now);
        assert_eq!(attempts.wait(&who(1), now), Some(FIRST));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_after_an_hour() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        attempts.failed(who(1), now);
        attempts.failed(who(1), now + FIRST);
        attempts.failed(who(1), now + FIRST * 3 + FORGET);
        assert_eq!(attempts.wait(&who(1), now + FIRST * 3 + FORGET), Some(FIRST));
        for n in 0..=u32::try_from(MOST).unwrap() {
            attempts.failed(Who(vec![Mark::Address(Ipv4Addr::from_bits(n).into())]), now + FORGET);
        }
        assert_eq!(attempts.0.len(), MOST);
    }
}
