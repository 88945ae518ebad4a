//! Which way is the faster one for a member: the group, or unicast. An access point sends to groups at its basic
//! rate, a tenth of what it sends to one station at.
//!
//! Both are measured as the group is tried, by when the first datagrams of each arrived ([`Flight`]); later by
//! what each has brought in a second or more ([`Stay`]). The two are biased against leaving the group: for it the
//! middle step of its arrivals counts, so that a host that was busy meanwhile does not make it slow, and for
//! unicast all of them together, but for the time in which none was on its way. A line that all share, such as the
//! sender's own, has carried to others alone what left between two datagrams of the group: that takes nothing from it.

use super::Member;
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::stats::Mode;
use core::time::Duration;

/// Datagrams that a flight's rate is made from, at least: as many as a member must have heard of the group's that is
/// to follow it ([`super::mode::PROMOTE`]), so that it does not before they are measured.
pub(crate) const MEASURED: u32 = 28;
/// Steps whose middle one says something, at least: what the least number of datagrams make where every eighth is
/// acknowledged, and the first of them begins. A host that was busy would have to be late with three of four.
const STEPS_MIN: usize = 4;
/// Steps that are looked at, at most: of the burst that the group is tried with each datagram may make one.
const STEPS_MAX: usize = 64;
/// What took no longer was handed over at once, and says nothing of the way but that it is fast.
const FLIGHT_MIN: Duration = Duration::from_millis(2);
/// Unicast is worth the change if it is faster by this factor: what the ways themselves vary by is less.
pub(crate) const FASTER: f64 = 1.5;
/// A stay on one way is judged after so long, and by as much of it.
pub(crate) const STAY: Duration = Duration::from_secs(1);
/// So long a member that left the group since it is the slower way speaks for others: they were measured together.
pub(crate) const SPEAKS: Duration = Duration::from_secs(2);

/// Bytes a second by each of the two ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) group: f64,
    pub(crate) unicast: f64,
}

impl Rates {
    /// Whether unicast is clearly the faster way.
    fn favours_unicast(self) -> bool {
        self.unicast > self.group * FASTER
    }
}

/// What a report tells of datagrams that had not been reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported {
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    /// When the newest of them left.
    pub(crate) sent: Instant,
    /// Bytes that the session had sent to members alone by then.
    pub(crate) alone: u64,
}

/// What came between two reports of one way.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// For so long; zero where it had left as slowly.
    took: Duration,
    bytes: u64,
    /// Bytes that had left for members alone between.
    beside: u64,
}

impl Step {
    /// Seconds that a byte took of its own, where a line that all share carries so many a second alone.
    fn own(&self, unicast: f64) -> f64 {
        let shared = self.beside as f64 / unicast;
        (self.took.as_secs_f64() - shared).max(0.0) / self.bytes.max(1) as f64
    }
}

/// For how long nothing was on its way: a way has no part in that.
#[derive(Debug, Clone, Copy, Default)]
struct Idle {
    /// In all times that have ended.
    ended: Duration,
    since: Option<Instant>,
}

impl Idle {
    /// Nothing is on its way any more.
    fn begins(&mut self, at: Instant) {
        self.since.get_or_insert(at);
    }

    /// Something leaves.
    fn ends(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.ended += now.since(since);
        }
    }

    /// With the one that lasts.
    fn total(self, now: Instant) -> Duration {
        self.ended + self.since.map_or(Duration::ZERO, |since| now.since(since))
    }
}

/// When the first datagrams of one way arrived, as far as reports tell.
#[derive(Debug, Default)]
struct Flight {
    /// When what the first report told of had arrived, and the last.
    seen: Option<(Instant, Instant)>,
    /// When the newest datagram of all these left, and how many bytes to members alone had by then.
    sent: (Instant, u64),
    /// Since the last of them: it counts once something more has arrived.
    idle: Idle,
    /// Between the first and the last.
    idle_before: Duration,
    packets: u32,
    /// What arrived after the first report.
    bytes: u64,
    /// Report by report.
    steps: Vec<Step>,
}

impl Flight {
    fn arrived(&mut self, at: Instant, told: Reported) {
        if told.packets == 0 || self.steps.len() == STEPS_MAX {
            return;
        }
        self.packets += told.packets;
        let (sent, alone) = core::mem::replace(&mut self.sent, (told.sent, told.alone));
        let left_in = told.sent.since(sent);
        let Some((_, last)) = &mut self.seen else {
            self.seen = Some((at, at)); // it took an unknown time
            return;
        };
        let took = at.since(core::mem::replace(last, at.max(*last)));
        // One that has not ended was none: this was on its way, though it had been given up for lost.
        self.idle_before += core::mem::take(&mut self.idle).ended.min(took);
        self.bytes += told.bytes;
        let took = if left_in * 2 > took { Duration::ZERO } else { took };
        self.steps.push(Step { took, bytes: told.bytes, beside: told.alone.saturating_sub(alone) });
    }

    /// All that was sent had arrived at `at`, or was given up for lost.
    fn idles(&mut self, at: Instant) {
        if let Some((_, last)) = self.seen {
            self.idle.begins(at.max(last));
        }
    }

    /// Bytes a second over all the time in which any were on their way: no more than the way carries.
    fn whole(&self) -> Option<f64> {
        let (first, last) = self.seen.filter(|_| self.packets >= MEASURED)?;
        let busy = last.since(first).saturating_sub(self.idle_before);
        Some(self.bytes as f64 / busy.max(FLIGHT_MIN).as_secs_f64())
    }

    /// Bytes a second in its middle step, the faster one of two: pauses do not count, nor what a line that all share
    /// has carried to members alone, so many bytes a second.
    fn middle(&self, unicast: f64) -> Option<f64> {
        if self.packets < MEASURED || self.steps.len() < STEPS_MIN {
            return None;
        }
        let mut own = [0.0; STEPS_MAX];
        let own = &mut own[..self.steps.len()];
        own.iter_mut().zip(&self.steps).for_each(|(own, step)| *own = step.own(unicast));
        let half = (own.len() - 1) / 2;
        let (_, middle, _) = own.select_nth_unstable_by(half, f64::total_cmp);
        (*middle > 0.0).then(|| 1.0 / *middle)
    }
}

/// What one way has brought since a moment.
#[derive(Debug, Clone, Copy)]
struct Stay {
    since: Instant,
    arrived: u64,
    idle: Idle,
}

impl Stay {
    /// It begins with the next that leaves.
    fn begin(now: Instant, arrived: u64) -> Self {
        Self { since: now, arrived, idle: Idle { since: Some(now), ..Idle::default() } }
    }

    /// Bytes a second of the time in which any were on their way, once that has lasted.
    fn rate(self, now: Instant, arrived: u64) -> Option<f64> {
        let busy = now.since(self.since).saturating_sub(self.idle.total(now));
        (busy >= STAY).then(|| arrived.saturating_sub(self.arrived) as f64 / busy.as_secs_f64())
    }
}

/// What is known of both ways to one member.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    group: Flight,
    unicast: Flight,
    /// The flights are over.
    flown: bool,
    /// By which way it is served, since when.
    stay: Option<Stay>,
    /// What unicast brought when the group had been left for it, in bytes a second.
    by_unicast: Option<f64>,
    /// Unicast was found to be the faster way.
    found: Option<Rates>,
    /// Therefore it left the group, then.
    left: Option<Instant>,
    /// That was wrong once: what others find is theirs.
    was_wrong: bool,
}

impl Ways {
    /// Datagrams of the group's burst are reported, which had arrived at `at`.
    pub(crate) fn by_group(&mut self, at: Instant, told: Reported) {
        if !self.flown {
            self.group.arrived(at, told);
        }
    }

    /// Likewise datagrams of its own.
    pub(crate) fn by_unicast(&mut self, at: Instant, told: Reported) {
        if !self.flown {
            self.unicast.arrived(at, told);
        }
    }

    /// What the first flights show, once both are measured, if that is that unicast is the faster way.
    fn flights(&self) -> Option<Rates> {
        let unicast = self.unicast.whole()?;
        let group = self.group.middle(unicast)?;
        Some(Rates { group, unicast }).filter(|rates| rates.favours_unicast())
    }

    /// What the last second of the group has brought, or more, beside what unicast has when it was left before; if
    /// that is that unicast is the faster way.
    fn last(&mut self, now: Instant, arrived: u64) -> Option<Rates> {
        let (unicast, stay) = self.by_unicast.zip(self.stay)?;
        let group = stay.rate(now, arrived)?;
        self.stay = Some(Stay::begin(now, arrived));
        Some(Rates { group, unicast }).filter(|rates| rates.favours_unicast())
    }

    /// The group is tried: whether unicast is the faster way. `others` is what most of those found who are tried
    /// with it.
    pub(crate) fn is_slower_at_first(&mut self, others: Option<Rates>) -> bool {
        let own = if self.flown { None } else { self.flights() };
        self.find(own, others)
    }

    /// It follows the group, and so many bytes have arrived there: whether unicast is the faster way.
    pub(crate) fn is_slower(&mut self, now: Instant, arrived: u64, others: Option<Rates>) -> bool {
        let own = self.last(now, arrived);
        self.find(own, others)
    }

    fn find(&mut self, own: Option<Rates>, others: Option<Rates>) -> bool {
        self.found = own.or(others.filter(|_| !self.was_wrong));
        self.found.is_some()
    }

    /// It goes another way from here on; whether it leaves the group since that was found to be the slower one.
    pub(crate) fn turn(&mut self, now: Instant, arrived: u64, slower: bool) {
        self.flown = true;
        (self.group, self.unicast) = (Flight::default(), Flight::default());
        self.stay = Some(Stay::begin(now, arrived));
        self.left = slower.then_some(now);
    }

    /// What was found, if it has left the group for that.
    pub(crate) fn found(&self) -> Option<Rates> {
        self.found
    }

    /// What was found, if it left the group for that just now: it speaks for others.
    pub(crate) fn speaks(&self, now: Instant) -> Option<Rates> {
        self.left.filter(|at| now.since(*at) < SPEAKS).and(self.found)
    }

    /// Nothing is on its way to it any more, by the way by which it is served.
    pub(crate) fn idles(&mut self, now: Instant) {
        if let Some(stay) = &mut self.stay {
            stay.idle.begins(now);
        }
    }

    /// Something leaves for it by that way.
    pub(crate) fn goes_on(&mut self, now: Instant) {
        if let Some(stay) = &mut self.stay {
            stay.idle.ends(now);
        }
    }

    /// Of its own datagrams none was on its way any more at `at`.
    pub(crate) fn flight_idles(&mut self, at: Instant) {
        self.unicast.idles(at);
    }

    /// One of its own leaves.
    pub(crate) fn flight_goes_on(&mut self, now: Instant) {
        self.unicast.idle.ends(now);
    }

    /// When it is to be looked whether what was found is true; what was idle meanwhile has it looked again.
    pub(crate) fn looks_at(&self) -> Option<Instant> {
        let stay = self.left.and(self.stay)?;
        stay.idle.since.is_none().then(|| stay.since + stay.idle.ended + STAY)
    }

    /// The look at what unicast brings, if it is time: whether that is less than the group did, or hardly more than it
    /// brings to those who follow it now (`group`, in bytes a second). Their way may be another one: that is believed
    /// once.
    pub(crate) fn was_wrong(&mut self, now: Instant, arrived: u64, group: Option<f64>) -> bool {
        let Some((stay, found)) = self.left.and(self.stay).zip(self.found) else { return false };
        let Some(unicast) = stay.rate(now, arrived) else { return false };
        self.stay = Some(Stay::begin(now, arrived));
        self.by_unicast = Some(unicast);
        let hardly = |group| !Rates { group, unicast }.favours_unicast();
        let is_wrong = unicast < found.group || !self.was_wrong && group.is_some_and(hardly);
        self.was_wrong |= is_wrong;
        is_wrong
    }
}

impl Member {
    /// Which way is the faster one.
    pub(crate) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Which way is the faster one.
    pub(crate) fn ways_mut(&mut self) -> &mut Ways {
        &mut self.ways
    }

    /// When what a report tells of had arrived, as far as the way back is always as long.
    fn arrived_at(&self, now: Instant, delay_us: u32) -> Instant {
        let delay = Duration::from_micros(u64::from(delay_us)).min(self.ack_delay());
        Instant::from_nanos(now.as_nanos().saturating_sub(delay.as_nanos() as u64))
    }

    /// A report tells of the burst that the group is tried with.
    pub(crate) fn note_group_flight(&mut self, now: Instant, delay_us: u32, told: Reported) {
        let at = self.arrived_at(now, delay_us);
        self.ways.by_group(at, told);
    }

    /// A report tells of what it was sent alone.
    pub(crate) fn note_unicast_flight(&mut self, now: Instant, delay_us: u32, news: &News) {
        let Some(sent) = news.latest_sent else { return };
        let data = news.acked.iter().map(|(_, content)| &content.data).filter(|d| !d.is_empty());
        let (packets, bytes) = data.fold((0, 0), |(n, bytes), d| (n + 1, bytes + d.end - d.start));
        let at = self.arrived_at(now, delay_us);
        self.ways.by_unicast(at, Reported { packets, bytes, sent, alone: 0 });
        if self.conn.path().flight() == 0 {
            self.ways.flight_idles(at);
            if self.mode() == Mode::Unicast {
                self.ways.idles(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1148;
    const MS: Duration = Duration::from_millis(1);

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// Reports of eight datagrams of the group each, one every so many microseconds, which left in as many as that.
    fn group(ways: &mut Ways, reports: u64, every: u64, left_every: u64) {
        for n in 0..reports {
            ways.by_group(at(10_000 + n * every), told(8, n * left_every));
        }
    }

    /// So many datagrams, of which the newest left then; nothing left for others alone.
    fn told(packets: u32, sent: u64) -> Reported {
        Reported { packets, bytes: u64::from(packets) * SEGMENT, sent: at(sent), alone: 0 }
    }

    /// 64 of its own at 94 Mbit/s.
    fn unicast(ways: &mut Ways) {
        for n in 0..32 {
            ways.by_unicast(at(2000 + n * 195), told(2, n * 100));
        }
    }

    /// Eight datagrams at 6 Mbit/s, in microseconds.
    const BASIC: u64 = 8 * SEGMENT * 8 / 6;

    #[test]
    fn a_group_at_a_tenth_of_unicast_is_found_to_be_slower() {
        let mut ways = Ways::default();
        unicast(&mut ways);
        group(&mut ways, 4, BASIC, 0);
        assert!(!ways.is_slower_at_first(None), "of too few reports nothing is known");
        let mut ways = Ways::default();
        unicast(&mut ways);
        group(&mut ways, 5, BASIC, 0);
        assert!(ways.is_slower_at_first(None));
        let found = ways.found().unwrap();
        assert!((found.group * 8.0 / 6e6 - 1.0).abs() < 0.01, "{found:?}");
        assert!((found.unicast * 8.0 / 94e6 - 1.0).abs() < 0.02, "{found:?}");
    }

    /// The sender holds unicast back meanwhile.
    #[test]
    fn the_first_flight_is_measured_without_the_time_in_which_nothing_was_on_its_way() {
        for idle in [true, false] {
            let mut ways = Ways::default();
            unicast(&mut ways);
            if idle {
                ways.flight_idles(at(8100));
            }
            ways.flight_goes_on(at(98_000));
            ways.by_unicast(at(98_300), told(8, 98_000));
            group(&mut ways, 6, BASIC, 0);
            assert_eq!(ways.is_slower_at_first(None), idle);
        }
    }

    /// Of the 6 ms that the flight took, not of those after them.
    #[test]
    fn what_has_left_and_not_arrived_makes_no_flight_faster() {
        let mut ways = Ways::default();
        unicast(&mut ways);
        ways.flight_idles(at(8100));
        ways.flight_goes_on(at(13_000));
        group(&mut ways, 12, 8 * SEGMENT * 8 / 80, 0);
        assert!(!ways.is_slower_at_first(None));
    }

    /// A host that was there alone for three seconds, of a source that paused, is joined by another.
    #[test]
    fn a_flight_that_is_no_longer_watched_becomes_no_faster() {
        let mut ways = Ways::default();
        for n in 0..STEPS_MAX as u64 + 2 {
            ways.by_unicast(at(2000 + n * 612), told(2, n * 10));
        }
        ways.flight_idles(at(50_000));
        ways.flight_goes_on(at(3_000_000));
        ways.by_unicast(at(3_000_600), told(2, 3_000_000));
        group(&mut ways, 8, 8 * SEGMENT * 8 / 30, 0);
        assert!(!ways.is_slower_at_first(None));
    }

    /// It was only given up for lost.
    #[test]
    fn a_pause_in_which_something_arrives_was_none() {
        let mut ways = Ways::default();
        unicast(&mut ways);
        ways.flight_idles(at(8100));
        ways.by_unicast(at(38_000), told(30, 3500));
        ways.flight_goes_on(at(38_000));
        ways.by_unicast(at(38_500), told(30, 38_000));
        let flown = ways.unicast.whole().unwrap();
        assert!(flown < 122.0 * SEGMENT as f64 / 0.036, "{flown}");
    }

    #[test]
    fn what_says_nothing_of_the_group_is_not_held_against_it() {
        // Two busy moments of the host in five reports.
        let mut ways = Ways::default();
        unicast(&mut ways);
        for (n, pause) in [0, 100, 40_100, 40_200, 90_200].into_iter().enumerate() {
            ways.by_group(at(10_000 + pause), told(8, n as u64));
        }
        assert!(!ways.is_slower_at_first(None));
        // A source that trickles: what comes slowly left as slowly.
        let mut ways = Ways::default();
        unicast(&mut ways);
        group(&mut ways, 8, BASIC, BASIC);
        assert!(!ways.is_slower_at_first(None));
        // Nothing is known of unicast.
        let mut ways = Ways::default();
        group(&mut ways, 5, BASIC, 0);
        assert!(!ways.is_slower_at_first(None));
    }

    /// All begin by unicast and double what they are sent in a round trip: of the sender's own queue, which shows no
    /// loss, little is the group's. Its datagrams leave by two, and arrive twice as slowly.
    #[test]
    fn what_a_line_carries_to_others_between_is_not_held_against_the_group() {
        let a_second = 94_000_000 / 8;
        for (every, left_every) in [(10_000, 5000), (10_000, 0), (3000, 0)] {
            for (beside, slower) in [(0, true), (a_second * every / 1_000_000 - 2 * SEGMENT, false)]
            {
                let mut ways = Ways::default();
                unicast(&mut ways);
                for n in 0..16 {
                    let told = Reported { alone: n * beside, ..told(2, n * left_every) };
                    ways.by_group(at(10_000 + n * every), told);
                }
                assert_eq!(ways.is_slower_at_first(None), slower, "{every} {left_every}");
            }
        }
    }

    #[test]
    fn what_most_found_counts_for_all_and_for_two_seconds() {
        let rates = Rates { group: 1e6, unicast: 1e7 };
        let mut ways = Ways::default();
        assert!(ways.is_slower_at_first(Some(rates)));
        ways.turn(at(0), 0, true);
        assert_eq!(ways.speaks(at(1_999_999)), Some(rates));
        assert_eq!(ways.speaks(at(2_000_000)), None);
        let mut ways = Ways::default();
        ways.turn(at(0), 0, false);
        assert_eq!(ways.speaks(at(0)), None);
    }

    #[test]
    fn a_group_that_brings_others_about_as_much_was_wrongly_left_once() {
        let mut ways = Ways::default();
        assert!(ways.is_slower_at_first(Some(Rates { group: 1e5, unicast: 1e7 })));
        ways.turn(at(0), 0, true);
        ways.goes_on(at(0));
        assert!(!ways.was_wrong(at(1_000_000), 1_600_000, Some(1e6)), "unicast is faster");
        ways.goes_on(at(1_000_000));
        assert!(ways.was_wrong(at(2_000_000), 3_000_000, Some(1e6)));
        ways.goes_on(at(2_000_000));
        assert!(!ways.was_wrong(at(3_000_000), 4_000_000, Some(1e6)), "that is not believed again");
    }

    #[test]
    fn unicast_that_brings_less_was_the_wrong_choice() {
        for (brought, wrong) in [(900_000, true), (1_100_000, false)] {
            let mut ways = Ways::default();
            assert!(ways.is_slower_at_first(Some(Rates { group: 1e6, unicast: 1e7 })));
            ways.turn(at(0), 500, true);
            assert_eq!(ways.looks_at(), None, "nothing has left");
            ways.goes_on(at(0));
            assert_eq!(ways.looks_at(), Some(at(0) + STAY));
            assert!(!ways.was_wrong(at(999_000), 500, None), "it is too early");
            assert_eq!(ways.was_wrong(at(1_000_000), 500 + brought, None), wrong);
            ways.goes_on(at(1_000_000));
            assert_eq!(ways.looks_at(), Some(at(1_000_000) + STAY), "and it is looked again");
            // Whoever was wrong once takes no other's word for it.
            ways.turn(at(1_000_000), 500 + brought, false);
            let others = Some(Rates { group: 1e6, unicast: 1e7 });
            assert_eq!(ways.is_slower_at_first(others), !wrong);
        }
    }

    #[test]
    fn a_second_of_the_group_is_held_against_what_unicast_brought() {
        let mut ways = Ways::default();
        ways.turn(at(0), 0, false);
        assert!(!ways.is_slower(at(0) + STAY, 1, None), "of unicast nothing is known");
        assert!(ways.is_slower(at(0) + STAY, 1, Some(Rates { group: 1e6, unicast: 1e7 })));
        ways.turn(at(1_000_000), 0, true);
        ways.goes_on(at(1_000_000));
        assert!(!ways.was_wrong(at(2_000_000), 10_000_000, None));
        ways.turn(at(2_000_000), 10_000_000, false);
        ways.goes_on(at(2_000_000));
        let mut after =
            |ms: u64, bytes| ways.is_slower(at(2_000_000) + MS * ms as u32, bytes, None);
        assert!(!after(999, 10_000_001), "it is too early");
        assert!(!after(1000, 17_000_000), "7 MB a second are not far from 10");
        ways.goes_on(at(3_000_000));
        assert!(ways.is_slower(at(4_000_000), 23_000_000, None), "6 MB are");
    }

    /// A source that pauses shows nothing of a way.
    #[test]
    fn idle_times_do_not_count() {
        let mut ways = Ways::default();
        assert!(ways.is_slower_at_first(Some(Rates { group: 1e6, unicast: 1e7 })));
        ways.turn(at(0), 0, true);
        ways.goes_on(at(100_000));
        ways.idles(at(200_000));
        ways.idles(at(300_000));
        assert_eq!(ways.looks_at(), None);
        assert!(!ways.was_wrong(at(9_000_000), 200_000, None));
        ways.goes_on(at(9_000_000));
        assert_eq!(ways.looks_at(), Some(at(9_900_000)));
        assert!(!ways.was_wrong(at(9_899_999), 2_000_000, None), "it is too early");
        assert!(
            !ways.was_wrong(at(9_900_000), 2_000_000, None),
            "2 MB in the second that was not idle"
        );
    }
}
