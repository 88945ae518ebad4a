//! Of a stream: for whom its ring is held. The others cannot go on without it for longer than the ring lasts; whether
//! they wait is the application's to say: they do ([`Slow::Leave`], [`Slow::Keep`]), or who takes less than it wants of
//! each is dropped ([`Slow::Drop`]).

use super::Session;
use crate::config::Slow;
use crate::error::Reason;
use crate::proto::time::Instant;
use core::time::Duration;

/// A ring with less room than this part of it is full: who reads a little lets a little be written.
const FULL: u64 = 8;
/// It is looked for whom it is held for so long: the ring stands still meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// A window that opens for no longer than this, by a trickle, does not free it: four of the looks that find it.
const GAP: Duration = Duration::from_millis(200);

/// For whom it is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    index: usize,
    since: Instant,
    /// How far it had everything then.
    from: u64,
    /// When it was held for it last.
    seen: Instant,
}

impl Held {
    /// Bits a second that it has taken since, if that is long enough to tell.
    fn rate(&self, now: Instant, to: u64) -> Option<u64> {
        let passed = now.since(self.since);
        let bits = u128::from(to.saturating_sub(self.from)) * 8 * 1_000_000_000;
        (passed >= LOOK).then(|| u64::try_from(bits / passed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// The one of these positions that lies behind the others, at least half of which have all but a little of what is
/// written up to `end`. Who is as slow as most others is not what holds the ring.
fn last(positions: &[(usize, u64)], (end, little): (u64, u64)) -> Option<usize> {
    let (index, at) = positions.iter().copied().min_by_key(|(_, at)| *at)?;
    let others = positions.len() - 1;
    let waiting = positions.iter().filter(|(_, at)| at.saturating_add(little) >= end).count();
    let is_behind = at.saturating_add(little) < end;
    (is_behind && waiting > 0 && waiting * 2 >= others).then_some(index)
}

impl Session {
    /// Drops for whom the ring has been held, if that takes less than the application wants of each.
    pub(super) fn free_ring(&mut self, now: Instant) {
        let Slow::Drop { below } = self.config.slow else { return };
        let Some(capacity) = self.store.capacity() else { return };
        let Some(index) = self.holder(capacity) else {
            self.held = self.held.filter(|held| now.since(held.seen) < GAP);
            return;
        };
        let at = self.members[index].need().contiguous();
        let anew = Held { index, since: now, from: at, seen: now };
        let held = self.held.filter(|held| held.index == index).unwrap_or(anew);
        self.held = Some(Held { seen: now, ..held });
        let Some(own) = held.rate(now, at) else { return };
        self.held = Some(anew);
        if own < below {
            self.held = None;
            self.drop_for(now, index, Reason::TooSlow { own, below });
        }
    }

    /// Who has the others wait at present: whose window holds the group, or who is so far behind that the ring is full.
    fn holder(&self, capacity: u64) -> Option<usize> {
        let Self { members, channels, store, .. } = self;
        let (end, little) = (store.end(), capacity / FULL);
        if end - store.base() < capacity - little {
            return None;
        }
        let behind = || {
            let served = members.iter().enumerate().filter(|(_, m)| m.is_served());
            let positions: Vec<_> = served.map(|(n, m)| (n, m.need().contiguous())).collect();
            last(&positions, (end, little))
        };
        channels.iter().find_map(|channel| channel.blocker(members, end)).or_else(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_while_others_wait_holds_the_ring() {
        let end = (1000, 125);
        assert_eq!(last(&[(0, 1000), (1, 200), (2, 900)], end), Some(1));
        assert_eq!(last(&[(0, 1000), (1, 200), (2, 300), (3, 400)], end), None, "most are slow");
        assert_eq!(last(&[(0, 300), (1, 200)], end), None, "nobody waits");
        assert_eq!(last(&[(0, 950), (1, 900)], end), None, "nobody is behind");
        assert_eq!(last(&[(0, 200)], end), None, "there are no others");
        assert_eq!(last(&[], end), None);
    }

    #[test]
    fn a_rate_is_measured_over_a_while() {
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let held = Held { index: 0, since: at(500), from: 1000, seen: at(500) };
        assert_eq!(held.rate(at(1499), 2000), None);
        assert_eq!(held.rate(at(1500), 126_000), Some(1_000_000));
        assert_eq!(held.rate(at(2500), 1000), Some(0));
    }
}
