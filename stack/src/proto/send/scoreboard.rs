//! One member's view of the group's transmissions: which it reported, which are in flight to it,
//! which it missed (a scoreboard in the sense of RFC 6675, by packet number).

use super::congestion::Shown;
use super::log::GroupLog;
use super::pace::MAX_TRAIN;
use super::path::Path;
use super::rack::Verdict;
use super::space::{LATE_MEMORY, LATE_ROUND_TRIPS};
use crate::config::Algorithm;
use crate::proto::time::Instant;
use crate::wire::SpaceAck;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// TCP-XM slides 17 and 20: the last 128 segments are what a member is judged by.
pub(crate) const JUDGED: u32 = 128;
/// Packets that one full queue may cost one after the other: the longest train (docs/protocol.md, Data).
/// More than that say that the group does not arrive.
pub(crate) const ONE_TRAIN: u32 = MAX_TRAIN as u32;
/// The share missed is filtered over about so many packets. pgmcc (3.2) takes 122, by which chance
/// alone elects another acker of many again and again, each of which has just cut its window.
const LOSS_MEMORY: f64 = 2048.0;
/// Missed packets are remembered for so long at least: rounds of reports are as long.
const LATE_LEAST: Duration = Duration::from_millis(250);
/// A group packet may arrive later than a unicast packet sent after it, by so much at least: they
/// come through different sockets, and maybe different trees.
const MIN_SKEW: Duration = Duration::from_millis(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not meant for this member; if it reports it nevertheless, it counts.
    Unaddressed,
    Outstanding,
    Heard,
    Missed,
}

/// What became of packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcomes {
    heard: u32,
    missed: u32,
}

impl Outcomes {
    fn count(&mut self, heard: bool) {
        if heard {
            self.heard += 1;
        } else {
            self.missed += 1;
        }
    }

    pub(crate) fn heard(self) -> u32 {
        self.heard
    }

    pub(crate) fn total(self) -> u32 {
        self.heard + self.missed
    }
}

/// The scoreboard.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    base: u64,
    fates: VecDeque<Fate>,
    /// All packets below have been heard: no report of them is news.
    heard_below: u64,
    first_out: u64,
    outstanding: usize,
    /// Last outcomes, newest in bit 0: 1 = heard.
    outcomes: u128,
    counted: u32,
    /// First packet that was heard since judgement began.
    first_heard: Option<u64>,
    /// What was sent before this packet is not judged.
    judged_from: u64,
    /// Outcomes of the packets from this one on, and signs of congestion since it left: one in a round trip.
    marked: (u64, Outcomes, u32),
    /// Share missed of late, 0 to 1.
    loss: f64,
    pub(crate) path: Path,
    /// Missed packets that the log has forgotten, in order: number, when they left, their range.
    late: VecDeque<(u64, Instant, Range<u64>)>,
    /// Its buffers are used again for each report.
    news: GroupNews,
}

/// What a report, or a timer, tells of a member's way by the group; to be applied, then given back
/// by [`Scoreboard::recycle`].
#[derive(Debug, Default)]
pub(crate) struct GroupNews {
    /// Packet numbers newly heard.
    pub(crate) heard: Vec<u64>,
    /// Ranges of packets that were given up long ago and have arrived all the same.
    pub(crate) late: Vec<Range<u64>>,
    /// Packet numbers newly missed.
    pub(crate) missed: Vec<u64>,
    /// What it comes to, for the window's owner.
    pub(crate) shown: Option<Shown>,
}

impl Scoreboard {
    pub(crate) fn new(algorithm: Algorithm, mss: u64, initial_rto: Duration, base: u64) -> Self {
        Self {
            base,
            fates: VecDeque::new(),
            heard_below: base,
            first_out: base,
            outstanding: 0,
            outcomes: 0,
            counted: 0,
            first_heard: None,
            judged_from: base,
            marked: (base, Outcomes::default(), 0),
            loss: 0.0,
            path: Path::new(algorithm, mss, initial_rto),
            late: VecDeque::new(),
            news: GroupNews::default(),
        }
    }

    /// News that have been applied come back, for their buffers.
    pub(crate) fn recycle(&mut self, mut news: GroupNews) {
        news.late.clear();
        news.heard.clear();
        news.missed.clear();
        self.news = news;
    }

    fn next(&self) -> u64 {
        self.base + self.fates.len() as u64
    }

    /// Bytes of the group's transmissions in flight to this member.
    pub(crate) fn flight(&self) -> u64 {
        self.path.flight()
    }

    pub(crate) fn waits(&self) -> bool {
        self.outstanding > 0
    }

    /// A group packet leaves; `addressed` if it is to reach this member.
    pub(crate) fn on_sent(&mut self, now: Instant, pn: u64, size: u64, addressed: bool) {
        debug_assert_eq!(pn, self.next());
        self.fates.push_back(if addressed { Fate::Outstanding } else { Fate::Unaddressed });
        if addressed {
            self.path.on_sent(now, pn, size);
            self.outstanding += 1;
        }
    }

    /// The oldest packet in flight to this member.
    pub(crate) fn oldest_out(&self) -> Option<u64> {
        if self.outstanding == 0 {
            return None;
        }
        let from = (self.first_out - self.base) as usize;
        self.fates
            .iter()
            .skip(from)
            .position(|f| *f == Fate::Outstanding)
            .map(|n| self.first_out + n as u64)
    }

    /// Takes the member's report of the group space: what is new in it.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        ack: &SpaceAck<'_>,
        log: &GroupLog,
        cap: Option<u64>,
    ) -> GroupNews {
        self.path.begin();
        // What was never sent, another member may have made up: whoever believed that reports it, and what
        // it reports beside it is true.
        let next = self.next();
        let sent = ack.ranges.iter().filter(|(low, _)| *low < next);
        for (low, high) in sent.map(|(low, high)| (low, high.min(next - 1))) {
            self.hear_late(now, low, high);
            for pn in low.max(self.base).max(self.heard_below)..=high {
                self.hear(now, pn, log);
            }
        }
        self.path.reported(now, ack, self.next());
        self.heard_below = self.heard_below.max(self.base);
        while self.fates.get((self.heard_below - self.base) as usize) == Some(&Fate::Heard) {
            self.heard_below += 1;
        }
        self.find_lost(now, log);
        self.conclude(now, cap)
    }

    fn conclude(&mut self, now: Instant, cap: Option<u64>) -> GroupNews {
        let shown = self.path.conclude(now, cap);
        // As long as none of these is known it was a sign of what had left before.
        self.marked.2 += u32::from(shown.congested && self.marked.1.total() > 0);
        GroupNews { shown: Some(shown), ..core::mem::take(&mut self.news) }
    }

    /// Takes a range of the report for packets that are remembered only as missed.
    fn hear_late(&mut self, now: Instant, low: u64, high: u64) {
        let from = self.late.partition_point(|(pn, ..)| *pn < low);
        while self.late.get(from).is_some_and(|(pn, ..)| *pn <= high) {
            if let Some((pn, at, range)) = self.late.remove(from) {
                let len = range.end - range.start;
                self.path.mtu.passed(pn, len, false);
                self.path.acked_late(now, pn, at, len);
                self.news.late.push(range);
            }
        }
    }

    fn hear(&mut self, now: Instant, pn: u64, log: &GroupLog) {
        let fate = core::mem::replace(&mut self.fates[(pn - self.base) as usize], Fate::Heard);
        if fate == Fate::Heard {
            return;
        }
        self.news.heard.push(pn);
        let Some(entry) = log.get(pn) else { return };
        let (size, (len, probe)) = (entry.bytes(), entry.len());
        self.path.mtu.passed(pn, len, probe);
        match fate {
            Fate::Outstanding => {
                self.outstanding -= 1;
                self.path.acked(now, pn, entry.at, size);
                self.count(pn, true, probe);
            }
            Fate::Missed => self.path.acked_late(now, pn, entry.at, size),
            // Not in flight to it, and yet it shows how long the way takes.
            Fate::Unaddressed | Fate::Heard => self.path.overheard(now, pn, entry.at),
        }
    }

    /// When a packet that was overtaken will count as missed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.path.reordering_deadline()
    }

    /// Gives up what was overtaken long enough ago, when it is time to.
    pub(crate) fn on_timer(&mut self, now: Instant, log: &GroupLog) -> Option<GroupNews> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        self.path.begin();
        self.find_lost(now, log);
        Some(self.conclude(now, None))
    }

    fn find_lost(&mut self, now: Instant, log: &GroupLog) {
        let Some(newest) = self.path.newest() else { return };
        let mut deadline = None;
        let mut pn = self.first_out.max(self.base);
        while pn < newest.min(self.next()) {
            if self.fates[(pn - self.base) as usize] == Fate::Outstanding
                && let Some(entry) = log.get(pn)
            {
                match self.path.judge(now, pn, entry.at) {
                    Verdict::Lost => self.miss(pn, log),
                    Verdict::Until(at) => {
                        deadline = Some(at); // what was sent later has still longer
                        break;
                    }
                }
            }
            pn += 1;
        }
        self.first_out = pn;
        self.path.wait_until(deadline);
    }

    /// The member answered something sent by unicast at `asked`, so what went to the group well
    /// before that, is not reported, and should have been, has been missed: a dead group shows at
    /// once. `delay`: how long the member may hold a report back.
    pub(crate) fn find_silent(
        &mut self,
        now: Instant,
        asked: Instant,
        delay: Duration,
        log: &GroupLog,
    ) -> GroupNews {
        self.path.begin();
        let skew = MIN_SKEW.max(self.path.rtt.variation() * 4);
        // The group's way may be the longer one.
        let due = self.path.rtt.expected() + delay;
        let mut pn = self.first_out.max(self.base);
        while let Some(entry) = log.get(pn)
            && pn < self.next()
            && entry.at + skew < asked
            && entry.at + due <= now
        {
            self.miss(pn, log);
            pn += 1;
        }
        self.first_out = self.first_out.max(pn);
        self.conclude(now, None)
    }

    fn miss(&mut self, pn: u64, log: &GroupLog) {
        let next = self.next();
        let fate = &mut self.fates[(pn - self.base) as usize];
        if *fate != Fate::Outstanding {
            return;
        }
        *fate = Fate::Missed;
        self.outstanding -= 1;
        let (size, (len, probe)) = log.get(pn).map_or((0, (0, false)), |e| (e.bytes(), e.len()));
        self.count(pn, false, probe);
        self.news.missed.push(pn);
        self.path.lost(pn, size, next);
        self.path.mtu.lost(pn, len, probe);
    }

    /// Counts an outcome; not a probe's, which may have been too long for the way.
    fn count(&mut self, pn: u64, heard: bool, probe: bool) {
        if probe || pn < self.judged_from {
            return;
        }
        self.begin_to_hear(pn, heard);
        if self.first_heard.is_some_and(|first| pn < first) {
            return;
        }
        self.outcomes = self.outcomes << 1 | u128::from(heard);
        self.counted = (self.counted + 1).min(JUDGED);
        self.loss += (f64::from(u8::from(!heard)) - self.loss) / LOSS_MEMORY;
        if pn >= self.marked.0 {
            self.marked.1.count(heard);
        }
    }

    /// What was sent before the first packet that is heard came before the way to the member had grown: it
    /// speaks of deafness as long as nothing is heard, and not of what the way loses.
    fn begin_to_hear(&mut self, pn: u64, heard: bool) {
        if heard && self.first_heard.is_none_or(|first| pn < first) {
            if self.first_heard.is_none() {
                self.counted = 0;
            }
            self.first_heard = Some(pn);
        }
    }

    /// Share of packets missed of late, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        self.loss
    }

    /// Outcomes known of the last [`JUDGED`] packets, and the share heard, 0 to 1. Of enough that were
    /// missed one after the other, those: a group that has just died is not spoken for by its past.
    pub(crate) fn hearing(&self) -> (u32, f64) {
        let missed = self.outcomes.trailing_zeros().min(self.counted);
        if missed > ONE_TRAIN {
            return (missed, 0.0);
        }
        let mask = if self.counted >= JUDGED { u128::MAX } else { (1 << self.counted) - 1 };
        let heard = (self.outcomes & mask).count_ones();
        (self.counted, f64::from(heard) / f64::from(self.counted.max(1)))
    }

    /// Outcomes are counted from the next packet on.
    pub(crate) fn mark(&mut self) {
        self.marked = (self.next(), Outcomes::default(), 0);
    }

    /// These, as far as they are known, and how often there was a sign of congestion: one counts in a round trip.
    pub(crate) fn since_mark(&self) -> (Outcomes, u32) {
        (self.marked.1, self.marked.2)
    }

    /// Judgement begins anew.
    pub(crate) fn reset_judgement(&mut self) {
        self.outcomes = 0;
        self.counted = 0;
        self.first_heard = None;
    }

    /// The member was away until now: judgement begins anew, and of what was sent meanwhile, of which it may yet become
    /// known that it was missed, nothing is held against the group; nor is a report that it repeats a round trip.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.path.excuse(now);
        self.reset_judgement();
        self.judged_from = self.next();
    }

    /// Gives up what is in flight: the member is served otherwise now. Their ranges.
    pub(crate) fn abandon<'a>(
        &'a mut self,
        log: &'a GroupLog,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        self.path.abandon();
        self.outstanding = 0;
        let base = self.base;
        self.first_out = self.next();
        self.fates.iter_mut().enumerate().filter_map(move |(n, fate)| {
            if *fate != Fate::Outstanding {
                return None;
            }
            *fate = Fate::Unaddressed;
            log.get(base + n as u64).map(|e| e.range.clone())
        })
    }

    /// The ranges in flight to this member.
    pub(crate) fn in_flight<'a>(
        &'a self,
        log: &'a GroupLog,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        self.fates.iter().enumerate().filter_map(move |(n, fate)| {
            let entry = log.get(self.base + n as u64)?;
            (*fate == Fate::Outstanding).then(|| entry.range.clone())
        })
    }

    /// Everything below is settled for this member.
    pub(crate) fn settled(&self) -> u64 {
        self.oldest_out().unwrap_or(self.next())
    }

    /// Lets go of what the log is about to forget below `base`; what was missed there is remembered
    /// for a while, to be known if it was only late.
    pub(crate) fn trim(&mut self, now: Instant, base: u64, log: &GroupLog) {
        while self.base < base
            && let Some(fate) = self.fates.pop_front()
        {
            if fate == Fate::Missed
                && let Some(entry) = log.get(self.base)
            {
                self.late.push_back((self.base, entry.at, entry.range.clone()));
            }
            self.base += 1;
        }
        let memory = self.path.rtt.expected() * LATE_ROUND_TRIPS + LATE_LEAST;
        let old = |at: Instant| now.since(at) > memory;
        while self.late.len() > LATE_MEMORY || self.late.front().is_some_and(|(_, at, _)| old(*at))
        {
            self.late.pop_front();
        }
        self.first_out = self.first_out.max(self.base);
    }
}

#[cfg(test)]
mod tests;
