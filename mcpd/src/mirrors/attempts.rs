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
/// Masters that are remembered, at most: whoever may send by a secret can do so from many addresses.
const MOST: usize = 4096;

/// A master: by its key, or by its address where masters have none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Key(Vec<u8>),
    Address(IpAddr),
}

impl Who {
    pub(super) fn of(from: &From) -> Self {
        let address = || Self::Address(from.peer.ip().to_canonical());
        from.key.map_or_else(address, |key| Self::Key(key.as_bytes().to_vec()))
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
pub(super) struct Attempts(BTreeMap<Who, Failures>);

impl Attempts {
    /// How long an attempt of a master is not looked at yet; `None`: it is.
    pub(super) fn wait(&self, who: &Who, now: Instant) -> Option<Duration> {
        let left = self.0.get(who)?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, who: Who, now: Instant) {
        self.0.retain(|_, failures| now < failures.until + FORGET);
        if self.0.len() >= MOST && !self.0.contains_key(&who) {
            let first = self.0.iter().min_by_key(|(_, failures)| failures.until);
            if let Some(first) = first.map(|(who, _)| who.clone()) {
                self.0.remove(&first);
            }
        }
        let failures = self.0.entry(who).or_insert(Failures { count: 0, until: now });
        let factor = 1_u32.checked_shl(failures.count).unwrap_or(u32::MAX);
        failures.until = now + FIRST.saturating_mul(factor).min(LONGEST);
        failures.count = (failures.count + 1).min(u32::BITS - 1);
    }

    /// One has succeeded: nothing is held against that master any more.
    pub(super) fn succeeded(&mut self, who: &Who) {
        self.0.remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn who(last: u8) -> Who {
        Who::Address(Ipv4Addr::new(10, 0, 0, last).into())
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
            attempts.failed(Who::Address(Ipv4Addr::from_bits(n).into()), now + FORGET);
        }
        assert_eq!(attempts.0.len(), MOST);
    }
}
