//! When which receiver of a job is served or tried again: a pure function of what happened to it. It does nothing by
//! itself, and is told the time.

use crate::backoff;
use crate::ledger::ReceiverId;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

/// Receivers that were in trouble and are due within this are tried together, so that they share a group if they come
/// back: more than chance puts at first between the tries of those that failed at once.
pub const TOGETHER: Duration = Duration::from_millis(2500);

/// Between the end of a try and the beginning of the next one at least this passes.
const SHORTEST: Duration = Duration::from_secs(1);

/// Who says hello is served after so long, with all others that do so meanwhile: they share a group.
pub const GATHER: Duration = Duration::from_secs(1);

/// What a receiver is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It is in a session.
    Busy,
    /// It has all that there is.
    Nothing,
    /// It is to be served from then on.
    At(Instant),
}

/// A receiver.
#[derive(Debug, Clone, Copy)]
struct Host {
    next: Next,
    /// Since when it could not be served.
    away: Option<Instant>,
    /// It has said hello since its session began.
    called: bool,
}

/// All receivers of a job.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    hosts: BTreeMap<ReceiverId, Host>,
    /// Until when those that say hello are gathered.
    gather: Option<Instant>,
}

impl Schedule {
    /// These are the receivers now; of those that are new some may have been away so long already.
    pub fn set(&mut self, hosts: &[(ReceiverId, Duration)], now: Instant) {
        self.hosts.retain(|id, _| hosts.iter().any(|(other, _)| other == id));
        for (id, away) in hosts {
            let away = Some(*away).filter(|away| !away.is_zero());
            let away = away.and_then(|away| now.checked_sub(away));
            let new = Host { next: Next::At(now), away, called: false };
            self.hosts.entry(*id).or_insert(new);
        }
    }

    /// Who is to be served now: who has never been in trouble apart from who has, which would hold up the others.
    /// Nobody is in a session already.
    pub fn due(&self, now: Instant) -> Vec<Vec<ReceiverId>> {
        let due = |away: bool, margin: Duration| -> Vec<ReceiverId> {
            let of = |host: &Host| {
                let due = matches!(host.next, Next::At(at) if at <= now + margin);
                due && host.away.is_some() == away
            };
            self.hosts.iter().filter(|(_, host)| of(host)).map(|(id, _)| *id).collect()
        };
        let late = if due(true, Duration::ZERO).is_empty() { vec![] } else { due(true, TOGETHER) };
        [due(false, Duration::ZERO), late].into_iter().filter(|ids| !ids.is_empty()).collect()
    }

    /// When the next one is due, if any is without something happening to it.
    pub fn next(&self) -> Option<Instant> {
        let at = |host: &Host| if let Next::At(at) = host.next { Some(at) } else { None };
        self.hosts.values().filter_map(at).min()
    }

    /// Whether any is in a session.
    pub fn is_busy(&self) -> bool {
        self.hosts.values().any(|host| host.next == Next::Busy)
    }

    /// A session with it begins.
    pub fn begin(&mut self, id: ReceiverId) {
        self.change(id, |host| (host.next, host.called) = (Next::Busy, false));
    }

    /// It has everything.
    pub fn has_all(&mut self, id: ReceiverId) {
        self.change(id, |host| (host.next, host.away) = (Next::Nothing, None));
    }

    /// It was served, and lacks something still: the tree has changed, or a session was for a part of it.
    pub fn goes_on(&mut self, id: ReceiverId, now: Instant) {
        self.change(id, |host| (host.next, host.away) = (Next::At(now), None));
    }

    /// It could not be served by what began at `began`; `draw` is a random number from 0 to 1. Since when that is so.
    pub fn failed(
        &mut self,
        id: ReceiverId,
        (began, now): (Instant, Instant),
        draw: f64,
    ) -> Instant {
        let Some(host) = self.hosts.get_mut(&id) else { return now };
        let away = *host.away.get_or_insert(began);
        let wait = backoff::wait(now.saturating_duration_since(away), draw);
        // From one beginning to the next: a host that does not answer takes its time to be given up.
        let at = if host.called { now + SHORTEST } else { (began + wait).max(now + SHORTEST) };
        host.next = Next::At(at);
        away
    }

    /// It is there, and asks for what it lacks.
    pub fn hello(&mut self, id: ReceiverId, now: Instant) {
        let at = *self.gather.get_or_insert(now + GATHER);
        let at = if at < now { *self.gather.insert(now + GATHER) } else { at };
        self.change(id, |host| {
            host.called = true;
            host.next = match host.next {
                Next::Busy => Next::Busy,
                Next::At(before) => Next::At(before.min(at)),
                Next::Nothing => Next::At(at),
            };
        });
    }

    /// The tree has changed: who had everything lacks something.
    pub fn wake(&mut self, now: Instant) {
        for host in self.hosts.values_mut().filter(|host| host.next == Next::Nothing) {
            host.next = Next::At(now);
        }
    }

    fn change(&mut self, id: ReceiverId, how: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(&id) {
            how(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(ids: &[ReceiverId], now: Instant) -> Schedule {
        let mut all = Schedule::default();
        let hosts: Vec<_> = ids.iter().map(|id| (*id, Duration::ZERO)).collect();
        all.set(&hosts, now);
        all
    }

    #[test]
    fn who_was_in_trouble_is_tried_apart_from_the_others_and_together() {
        let now = Instant::now();
        let mut all = of(&[1, 2, 3, 4], now);
        assert_eq!(all.due(now), [[1, 2, 3, 4]]);
        (1..5).for_each(|id| all.begin(id));
        assert!(all.due(now).is_empty() && all.is_busy() && all.next().is_none());
        all.has_all(1);
        let later = now + SECOND;
        all.failed(2, (now, later), 0.0);
        all.failed(3, (now, later), 1.0);
        all.goes_on(4, later);
        assert_eq!(all.due(later), [[4]]);
        all.begin(4);
        all.has_all(4);
        // One is due after nine seconds, by chance the other one after three quarters of that.
        let due = now + Duration::from_millis(6750);
        assert_eq!(all.next(), Some(due));
        assert_eq!(all.due(due), [[2, 3]]);
        all.wake(due);
        assert_eq!(all.due(due), [vec![1, 4], vec![2, 3]]);
    }

    #[test]
    fn who_says_hello_is_served_at_once_and_who_is_in_a_session_after_it() {
        let now = Instant::now();
        let mut all = of(&[1, 2], now);
        all.begin(1);
        all.failed(1, (now, now), 0.0);
        all.begin(2);
        all.hello(1, now + SECOND);
        assert!(all.due(now + SECOND).is_empty(), "others may come");
        all.hello(2, now + SECOND);
        assert_eq!(all.due(now + SECOND + GATHER), [[1]], "the other one is busy");
        all.failed(2, (now, now + SECOND * 2), 0.0);
        let later = now + SECOND * 2;
        assert_eq!(all.due(later), [[1, 2]], "it had not come through at first");
    }

    #[test]
    fn those_that_say_hello_one_after_the_other_are_served_together() {
        let now = Instant::now();
        let mut all = of(&[1, 2, 3], now);
        for id in 1..4 {
            all.begin(id);
            all.failed(id, (now, now), 0.0);
        }
        all.hello(1, now);
        all.hello(2, now + GATHER / 2);
        all.hello(3, now + GATHER);
        assert_eq!(all.next(), Some(now + GATHER));
        assert_eq!(all.due(now + GATHER), [[1, 2, 3]]);
        for id in 1..4 {
            all.begin(id);
            all.has_all(id);
        }
        all.hello(2, now + GATHER * 5);
        assert_eq!(all.next(), Some(now + GATHER * 6));
    }

    #[test]
    fn a_host_that_is_off_for_weeks_is_tried_and_never_in_a_loop() {
        let begin = Instant::now();
        let (mut all, mut now, mut tries) = (of(&[1], begin), begin, 0_u32);
        let week = SECOND * 7 * 24 * 3600;
        while now < begin + week {
            assert_eq!(all.due(now), [[1]]);
            all.begin(1);
            let end = now + SECOND * 20; // until it is given up
            all.failed(1, (now, end), 0.0);
            let next = all.next().unwrap();
            assert!(next >= end + SHORTEST && next <= now + backoff::LONGEST_WAIT + SECOND);
            (now, tries) = (next, tries + 1);
        }
        assert!((2016..2200).contains(&tries), "{tries}");
        all.has_all(1);
        assert_eq!(all.next(), None);
    }

    #[test]
    fn hosts_come_and_go_and_how_long_one_was_away_is_known_after_a_restart() {
        let now = Instant::now();
        let mut all = of(&[1], now);
        all.begin(1);
        all.set(&[(1, Duration::ZERO), (2, SECOND * 3600)], now);
        assert_eq!(all.due(now), [[2]], "the first one is busy still");
        all.begin(2);
        all.failed(2, (now, now), 0.0);
        assert!(all.next().unwrap() > now + SECOND * 60);
        all.set(&[(2, Duration::ZERO)], now);
        assert!(!all.is_busy());
    }
}
