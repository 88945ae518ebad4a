//! The channel's keys, one after the other: a new one when somebody is to be shut out, and after so many
//! packets. It is told to every member by its own association, and used once all who follow the group have
//! acknowledged it; who has not by the time that it must be used is served by unicast until then.

use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::seal::{GroupKey, SealKey, Suite};
use crate::wire::Record;
use core::time::Duration;

/// Packets sealed with one key before the next is made: as many as of a key of one receiver alone.
const PER_KEY: u64 = crate::seal::chain::PER_KEY;
/// Keys are not made more often than this, whoever is shut out: each costs a record to every member.
const LEAST_LIFE: Duration = Duration::from_secs(1);
/// Round trips, of the longest there is, for which a member may take to acknowledge a key, and for which the
/// one before opens what is late.
const ROUND_TRIPS: u32 = 3;
/// But so long at least: acknowledgements wait for a timer.
const LEAST_OVERLAP: Duration = Duration::from_millis(300);
/// And no longer, three round trips of a second: a member that answers late on purpose would have the others
/// use a key that somebody is to be shut out from. Who is slower gets bytes by unicast until it has the key. At
/// 1.3 million packets a second a key then seals fewer than the 2²³ of RFC 9001, 6.6.
const MOST_OVERLAP: Duration = Duration::from_secs(3);

/// A key that members are being told of.
#[derive(Debug)]
struct Coming {
    key: GroupKey,
    /// It is used from here on, whoever has not acknowledged it.
    by: Instant,
}

/// A channel's keys.
#[derive(Debug)]
pub(crate) struct ChannelKeys {
    suite: Suite,
    rng: Rng,
    now: GroupKey,
    /// The number of the first packet sealed with it.
    from: u64,
    since: Instant,
    coming: Option<Coming>,
    /// Somebody is to be shut out.
    wanted: bool,
    overlap: Duration,
}

impl ChannelKeys {
    pub(crate) fn new(now: Instant, suite: Suite, rng: &mut Rng) -> Self {
        let mut rng = Rng::new(rng.bytes32());
        let first = GroupKey::new(suite, 1, rng.bytes32());
        let overlap = LEAST_OVERLAP;
        Self { suite, rng, now: first, from: 0, since: now, coming: None, wanted: false, overlap }
    }

    /// The key to seal with.
    pub(crate) fn key(&self) -> &SealKey {
        self.now.key()
    }

    /// Its id.
    pub(crate) fn id(&self) -> u8 {
        self.now.id()
    }

    /// The id of the newest key that members are told of.
    pub(crate) fn newest(&self) -> u8 {
        self.coming.as_ref().map_or(self.now.id(), |coming| coming.key.id())
    }

    /// What tells a new member the keys, oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'static>> + '_ {
        let coming = self.coming.iter().map(|coming| &coming.key);
        std::iter::once(&self.now).chain(coming).map(|key| self.record(key))
    }

    fn record(&self, key: &GroupKey) -> Record<'static> {
        let overlap_ms = u32::try_from(self.overlap.as_millis()).unwrap_or(u32::MAX);
        Record::GroupKey { id: key.id(), key: *key.bytes(), overlap_ms }
    }

    /// Somebody who knows the key is to be shut out: another is made, at once or a second after the last.
    pub(crate) fn replace(&mut self) {
        self.wanted = true;
    }

    /// Makes another key if one is due: the record that tells of it. `pn` is the next packet's number,
    /// `round_trip` the longest of those who follow.
    pub(crate) fn make(
        &mut self,
        now: Instant,
        pn: u64,
        round_trip: Duration,
    ) -> Option<Record<'static>> {
        let due = pn - self.from >= PER_KEY || self.wanted && now.since(self.since) >= LEAST_LIFE;
        if !due || self.coming.is_some() {
            return None;
        }
        self.wanted = false;
        self.overlap = (round_trip * ROUND_TRIPS).clamp(LEAST_OVERLAP, MOST_OVERLAP);
        let key = GroupKey::new(self.suite, self.now.id().wrapping_add(1), self.rng.bytes32());
        let record = self.record(&key);
        self.coming = Some(Coming { key, by: now + self.overlap });
        Some(record)
    }

    /// Begins to use the key that members were told of, if it is time: all who follow have acknowledged it,
    /// or waiting is over. Whether it did.
    pub(crate) fn switch(&mut self, now: Instant, pn: u64, all_have_it: bool) -> bool {
        let Some(coming) = self.coming.take_if(|coming| all_have_it || now >= coming.by) else {
            return false;
        };
        (self.now, self.from, self.since) = (coming.key, pn, now);
        true
    }

    /// Whether members are being told of a key.
    pub(crate) fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.coming {
            Some(coming) => Some(coming.by),
            None => self.wanted.then(|| self.since + LEAST_LIFE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(200);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn keys() -> ChannelKeys {
        ChannelKeys::new(at(0), Suite::Xx, &mut Rng::new([1; 32]))
    }

    fn id(record: &Record<'_>) -> u8 {
        let Record::GroupKey { id, .. } = record else { panic!("{record:?}") };
        *id
    }

    #[test]
    fn a_key_serves_its_number_of_packets() {
        let mut keys = keys();
        assert!(keys.make(at(1), PER_KEY - 1, RTT).is_none());
        let record = keys.make(at(1), PER_KEY, RTT).unwrap();
        assert_eq!((id(&record), keys.id(), keys.newest()), (2, 1, 2));
        assert!(keys.make(at(1), PER_KEY, RTT).is_none(), "one at a time");
        assert!(!keys.switch(at(2), PER_KEY + 9, false));
        assert!(keys.switch(at(2), PER_KEY + 9, true));
        assert_eq!(keys.id(), 2);
        assert!(keys.make(at(3), 2 * PER_KEY, RTT).is_none(), "counted from its first");
        assert!(keys.make(at(3), 2 * PER_KEY + 9, RTT).is_some());
    }

    #[test]
    fn waiting_for_members_ends() {
        let mut keys = keys();
        keys.make(at(0), PER_KEY, RTT).unwrap();
        assert_eq!(keys.deadline(), Some(at(600)));
        assert!(!keys.switch(at(599), PER_KEY, false));
        assert!(keys.switch(at(600), PER_KEY, false));
    }

    #[test]
    fn who_is_shut_out_costs_one_key_in_a_second() {
        let mut keys = keys();
        keys.replace();
        assert!(keys.make(at(999), 5, RTT).is_none());
        assert_eq!(keys.deadline(), Some(at(1000)));
        assert!(keys.make(at(1000), 5, RTT).is_some());
        keys.replace();
        assert!(keys.switch(at(1100), 6, true));
        assert!(keys.make(at(2000), 7, RTT).is_none());
        assert!(keys.make(at(2100), 7, RTT).is_some());
    }

    /// However late a member answers, on purpose maybe.
    #[test]
    fn nobody_makes_the_others_use_an_old_key_for_long() {
        let mut keys = keys();
        keys.replace();
        let record = keys.make(at(1000), 5, Duration::from_mins(1)).unwrap();
        let Record::GroupKey { overlap_ms, .. } = record else { panic!("{record:?}") };
        assert_eq!((overlap_ms, keys.deadline()), (3000, Some(at(4000))));
        assert!(keys.switch(at(4000), 5, false));
    }

    #[test]
    fn a_new_member_is_told_of_both() {
        let mut keys = keys();
        assert_eq!(keys.records().map(|r| id(&r)).collect::<Vec<_>>(), [1]);
        keys.make(at(1), PER_KEY, RTT).unwrap();
        assert_eq!(keys.records().map(|r| id(&r)).collect::<Vec<_>>(), [1, 2]);
    }
}
