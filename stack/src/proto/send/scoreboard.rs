//! One member's view of the group's transmissions: which it reported, which are in flight to it,
//! which it missed (a scoreboard in the sense of RFC 6675, by packet number).

use super::congestion::Congestion;
use super::log::GroupLog;
use super::rtt::Rtt;
use super::space::DUP_THRESH;
use crate::config::Algorithm;
use crate::proto::time::Instant;
use crate::wire::SpaceAck;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// As in `space`: reordering makes the threshold grow, up to this.
const MAX_DUP_THRESH: u64 = 300;
/// TCP-XM slides 17 and 20: the last 128 segments are what a member is judged by.
pub(crate) const JUDGED: u32 = 128;
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

/// Outcomes of one period of judgement.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Period {
    pub(crate) heard: u32,
    pub(crate) missed: u32,
}

impl Period {
    pub(crate) fn total(self) -> u32 {
        self.heard + self.missed
    }

    /// Share missed, 0 to 1.
    pub(crate) fn loss(self) -> f64 {
        if self.total() == 0 { 0.0 } else { f64::from(self.missed) / f64::from(self.total()) }
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
    flight: u64,
    outstanding: usize,
    largest: Option<u64>,
    recover: u64,
    /// The packet whose loss made the last reduction.
    cut_by: Option<u64>,
    threshold: u64,
    /// Last outcomes, newest in bit 0: 1 = heard.
    outcomes: u128,
    counted: u32,
    pub(crate) period: Period,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    /// Packet numbers newly heard and newly missed, after [`Self::on_ack`] or [`Self::find_silent`].
    pub(crate) heard: Vec<u64>,
    pub(crate) missed: Vec<u64>,
}

impl Scoreboard {
    pub(crate) fn new(algorithm: Algorithm, mss: u64, initial_rto: Duration, base: u64) -> Self {
        Self {
            base,
            fates: VecDeque::new(),
            heard_below: base,
            first_out: base,
            flight: 0,
            outstanding: 0,
            largest: None,
            recover: 0,
            cut_by: None,
            threshold: DUP_THRESH,
            outcomes: 0,
            counted: 0,
            period: Period::default(),
            rtt: Rtt::new(initial_rto),
            congestion: Congestion::new(algorithm, mss),
            heard: Vec::new(),
            missed: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.base + self.fates.len() as u64
    }

    /// Bytes of the group's transmissions in flight to this member.
    pub(crate) fn flight(&self) -> u64 {
        self.flight
    }

    pub(crate) fn waits(&self) -> bool {
        self.outstanding > 0
    }

    /// A group packet leaves; `addressed` if it is to reach this member.
    pub(crate) fn on_sent(&mut self, pn: u64, size: u64, addressed: bool) {
        debug_assert_eq!(pn, self.next());
        self.fates.push_back(if addressed { Fate::Outstanding } else { Fate::Unaddressed });
        if addressed {
            self.flight += size;
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

    /// Takes the member's report of the group space.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        ack: &SpaceAck<'_>,
        log: &GroupLog,
        cap: Option<u64>,
    ) {
        self.heard.clear();
        self.missed.clear();
        if ack.largest >= self.next() {
            return; // reports what was never sent
        }
        let flight_before = self.flight;
        let (mut bytes, mut newest, mut late, mut undo) = (0, None, None, false);
        for (low, high) in &ack.ranges {
            if high < self.base.max(self.heard_below) {
                break;
            }
            for pn in low.max(self.base).max(self.heard_below)..=high {
                let fate = self.fates[(pn - self.base) as usize];
                if fate == Fate::Heard {
                    continue;
                }
                let size = log.get(pn).map_or(0, |e| e.range.end - e.range.start);
                match fate {
                    Fate::Outstanding => {
                        self.flight -= size;
                        self.outstanding -= 1;
                        bytes += size;
                        self.count(true);
                    }
                    Fate::Missed => {
                        late = late.max(Some(ack.largest - pn));
                        undo |= self.cut_by == Some(pn);
                    }
                    Fate::Unaddressed | Fate::Heard => {}
                }
                self.fates[(pn - self.base) as usize] = Fate::Heard;
                newest = newest.max(Some(pn));
                self.heard.push(pn);
            }
        }
        if newest == Some(ack.largest)
            && let Some(entry) = log.get(ack.largest)
        {
            let delay = Duration::from_micros(u64::from(ack.delay_us));
            self.rtt.sample(now.since(entry.at).saturating_sub(delay));
        }
        // Growth only while the window is what limits (RFC 9438, 5.8; RFC 7661).
        if bytes > 0 && flight_before * 2 >= self.congestion.window() {
            let srtt = self.rtt.smoothed().unwrap_or_else(|| self.rtt.expected());
            self.congestion.on_ack(now, bytes, srtt, cap);
        }
        if let Some(distance) = late {
            self.threshold = (distance + 1).clamp(self.threshold, MAX_DUP_THRESH);
        }
        if undo {
            self.congestion.undo();
            self.cut_by = None;
        }
        self.largest = self.largest.max(Some(ack.largest));
        self.heard_below = self.heard_below.max(self.base);
        while self.fates.get((self.heard_below - self.base) as usize) == Some(&Fate::Heard) {
            self.heard_below += 1;
        }
        self.find_lost(now, log);
    }

    fn find_lost(&mut self, now: Instant, log: &GroupLog) {
        let Some(largest) = self.largest else { return };
        let mut pn = self.first_out.max(self.base);
        while pn + self.threshold <= largest {
            self.miss(now, pn, log);
            pn += 1;
        }
        self.first_out = pn;
    }

    /// The member answered something sent by unicast at `asked`, so what went to the group well
    /// before that, and is not reported, has been missed: a dead group shows at once.
    pub(crate) fn find_silent(&mut self, now: Instant, asked: Instant, log: &GroupLog) {
        self.heard.clear();
        self.missed.clear();
        let skew = MIN_SKEW.max(self.rtt.variation() * 4);
        let mut pn = self.first_out.max(self.base);
        while let Some(entry) = log.get(pn)
            && pn < self.next()
            && entry.at + skew < asked
        {
            self.miss(now, pn, log);
            pn += 1;
        }
        self.first_out = self.first_out.max(pn);
    }

    fn miss(&mut self, now: Instant, pn: u64, log: &GroupLog) {
        let next = self.next();
        let fate = &mut self.fates[(pn - self.base) as usize];
        if *fate != Fate::Outstanding {
            return;
        }
        *fate = Fate::Missed;
        self.flight -= log.get(pn).map_or(0, |e| e.range.end - e.range.start);
        self.outstanding -= 1;
        self.count(false);
        self.missed.push(pn);
        if pn >= self.recover {
            self.recover = next;
            self.cut_by = Some(pn);
            self.congestion.on_loss(now);
        }
    }

    fn count(&mut self, heard: bool) {
        self.outcomes = self.outcomes << 1 | u128::from(heard);
        self.counted = (self.counted + 1).min(JUDGED);
        if heard {
            self.period.heard += 1;
        } else {
            self.period.missed += 1;
        }
    }

    /// Outcomes known of the last [`JUDGED`] packets, and the share heard, 0 to 1.
    pub(crate) fn hearing(&self) -> (u32, f64) {
        let mask = if self.counted >= JUDGED { u128::MAX } else { (1 << self.counted) - 1 };
        let heard = (self.outcomes & mask).count_ones();
        (self.counted, f64::from(heard) / f64::from(self.counted.max(1)))
    }

    /// Judgement begins anew.
    pub(crate) fn reset_judgement(&mut self) {
        self.outcomes = 0;
        self.counted = 0;
        self.period = Period::default();
    }

    /// Gives up what is in flight: the member is served otherwise now. Their ranges.
    pub(crate) fn abandon<'a>(
        &'a mut self,
        log: &'a GroupLog,
    ) -> impl Iterator<Item = Range<u64>> + 'a {
        self.flight = 0;
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

    /// Follows the log's trimming.
    pub(crate) fn trim(&mut self, base: u64) {
        while self.base < base && self.fates.pop_front().is_some() {
            self.base += 1;
        }
        self.first_out = self.first_out.max(self.base);
    }
}

#[cfg(test)]
mod tests;
