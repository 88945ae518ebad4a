//! One packet number space of what this side sends by unicast: what is in flight, what was
//! acknowledged, what is lost. Loss and round trips go by packet number, never by sequence number,
//! so a retransmission is never mistaken for its original.

use super::path::Path;
use super::rack::Verdict;
use super::rtt::RTO_CAP;
use crate::config::Algorithm;
use crate::proto::time::Instant;
use crate::wire::SpaceAck;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// Records of lost packets kept to recognise those that were only late, each for so many expected
/// round trips; both bound each ACK's work.
pub(crate) const LATE_MEMORY: usize = 1024;
pub(crate) const LATE_ROUND_TRIPS: u32 = 4;
/// Before the first sample. RFC 6298 (2.1) asks for 1 s; a SYN here is answered from a cache and
/// the start rule waits 1 s, so an early repetition costs 1,200 bytes and saves a second.
pub(crate) const INITIAL_RTO: Duration = Duration::from_millis(250);
/// RFC 6298 (5.5): back-off doubles; at this many doublings the RTO's cap is long reached.
const MAX_BACKOFF: u32 = 8;
/// A tail is probed after so many smoothed round trips (RFC 8985, 7.2) …
const PROBE_RTTS: u32 = 2;
/// … and as long as the peer may hold an acknowledgement back: so long, unless it was told to wait
/// longer (in place of RFC 8985's 200 ms, since here the sender says it).
const PROBE_ACK_DELAY: Duration = Duration::from_millis(25);

/// The share lost is filtered over about so many packets: those that a promotion takes, twice.
const LOSS_MEMORY: f64 = 64.0;

/// What a packet carried, as far as its loss or arrival matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Bytes of the data conversation.
    pub(crate) data: Range<u64>,
    /// Bytes of the control conversation.
    pub(crate) control: Range<u64>,
    /// The FIN of the data conversation.
    pub(crate) data_fin: bool,
    /// The FIN of the control conversation.
    pub(crate) control_fin: bool,
    /// Nothing but the wish for an answer.
    pub(crate) ping: bool,
    /// A probe, as long as a segment with so much payload; 0 if it is none.
    pub(crate) probe: u64,
}

impl Content {
    /// Whether the peer must acknowledge it.
    pub(crate) fn eliciting(&self) -> bool {
        !self.data.is_empty()
            || !self.control.is_empty()
            || self.data_fin
            || self.control_fin
            || self.ping
            || self.probe > 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Outstanding,
    Settled,
    /// Overtaken.
    Lost,
    /// A time-out's victim.
    GivenUp,
}

#[derive(Debug)]
struct Packet {
    at: Instant,
    size: u32,
    fate: Fate,
    content: Content,
}

impl Packet {
    /// Its length, as the payload of a data segment, and whether it is a probe of it.
    fn len(&self) -> (u64, bool) {
        let Content { data, probe, .. } = &self.content;
        ((data.end - data.start).max(*probe), *probe > 0)
    }
}

/// What an ACK or a timer told; to be applied by the owner, then given back by
/// [`SendSpace::recycle`].
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Packets that arrived: number and content.
    pub(crate) acked: Vec<(u64, Content)>,
    /// Contents that must be sent again.
    pub(crate) lost: Vec<Content>,
    /// When the latest of the newly acknowledged packets had been sent.
    pub(crate) latest_sent: Option<Instant>,
}

impl News {
    fn clear(&mut self) {
        self.acked.clear();
        self.lost.clear();
        self.latest_sent = None;
    }
}

/// What a timer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// None was due.
    Nothing,
    /// Packets that were overtaken count as lost now.
    Reordering,
    /// The tail is to be probed: something must be sent that is answered (RFC 8985, 7.3).
    Probe,
    /// Everything outstanding counts as lost (RFC 6298, 5.4 to 5.6).
    Timeout,
}

/// The unicast send space of one association.
#[derive(Debug)]
pub(crate) struct SendSpace {
    base: u64,
    packets: VecDeque<Packet>,
    /// Lost packets with numbers below `base`, in order.
    late: VecDeque<(u64, Packet)>,
    /// No packet below is outstanding.
    first_out: u64,
    eliciting_out: usize,
    /// Packets out that carry bytes of the data conversation.
    data_out: usize,
    backoff: u32,
    rto_base: Instant,
    /// When something left last that must be acknowledged.
    last_sent: Instant,
    /// Since when an answer is due: when the first of what must be acknowledged left after the last that was.
    asked: Option<Instant>,
    /// The tail has been probed; what comes next is the time-out.
    probed: bool,
    /// One data segment may leave whatever the window says: a probe.
    probe_allowed: bool,
    /// Packets that the last time-outs in a row gave up and that have not arrived since.
    given_up: u64,
    timeouts: VecDeque<Instant>,
    /// Share of data packets lost of late, 0 to 1.
    loss: f64,
    /// The longest that the peer holds an acknowledgement back.
    ack_delay: Duration,
    pub(crate) path: Path,
    /// Its buffers are used again for each report.
    news: News,
}

impl SendSpace {
    pub(crate) fn new(algorithm: Algorithm, mss: u64) -> Self {
        Self {
            base: 0,
            packets: VecDeque::new(),
            late: VecDeque::new(),
            first_out: 0,
            eliciting_out: 0,
            data_out: 0,
            backoff: 0,
            rto_base: Instant::ZERO,
            last_sent: Instant::ZERO,
            asked: None,
            probed: false,
            probe_allowed: false,
            given_up: 0,
            timeouts: VecDeque::new(),
            loss: 0.0,
            ack_delay: PROBE_ACK_DELAY,
            path: Path::new(algorithm, mss, INITIAL_RTO),
            news: News::default(),
        }
    }

    /// The number that the next packet gets.
    pub(crate) fn next_pn(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    /// Bytes of both conversations in flight.
    pub(crate) fn flight(&self) -> u64 {
        self.path.flight()
    }

    /// Packets whose fate is remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.packets.len() + self.late.len()
    }

    /// Share of the data packets that were lost of late, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        self.loss
    }

    fn count(&mut self, content: &Content, lost: bool) {
        if !content.data.is_empty() {
            self.loss += (f64::from(u8::from(lost)) - self.loss) / LOSS_MEMORY;
        }
    }

    /// When something left last, if a time-out has gone by since anything of it was acknowledged.
    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        (self.backoff > 0).then_some(self.last_sent)
    }

    /// Since when an answer is due.
    pub(crate) fn asked_at(&self) -> Option<Instant> {
        self.asked
    }

    /// This host has slept until now: its timers begin anew.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.rto_base = now;
        self.asked = self.asked.map(|_| now);
        self.path.excuse(now);
    }

    /// The time-outs until here were those of a peer that was away.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.path.excuse(now);
        self.timeouts.clear();
    }

    /// Whether bytes of the data conversation are in flight.
    pub(crate) fn carries_data(&self) -> bool {
        self.data_out > 0
    }

    /// Whether so many more bytes may leave: the congestion window has room, or the tail is probed.
    pub(crate) fn permits(&self, bytes: u64) -> bool {
        self.probe_allowed || self.path.permits(bytes)
    }

    /// Records a packet that is about to leave with the number [`Self::next_pn`].
    pub(crate) fn on_sent(&mut self, now: Instant, content: Content) {
        self.trim(now); // a side that only answers gets few ACKs that would do it
        let eliciting = content.eliciting();
        let len = |range: &Range<u64>| (range.end - range.start) as u32;
        let size = len(&content.data) + len(&content.control);
        if eliciting {
            if self.eliciting_out == 0 {
                self.rto_base = now; // RFC 6298 (5.1)
            }
            self.eliciting_out += 1;
            self.last_sent = now;
            self.asked.get_or_insert(now);
            self.data_out += usize::from(!content.data.is_empty());
            self.path.on_sent(now, self.base + self.packets.len() as u64, u64::from(size));
            self.probe_allowed &= content.data.is_empty();
        }
        let fate = if eliciting { Fate::Outstanding } else { Fate::Settled };
        self.packets.push_back(Packet { at: now, size, fate, content });
    }

    /// News that have been applied come back, for their buffers.
    pub(crate) fn recycle(&mut self, mut news: News) {
        news.clear();
        self.news = news;
    }

    /// Takes the peer's report: what is new in it.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &SpaceAck<'_>) -> News {
        if ack.largest >= self.next_pn() {
            return News::default(); // of something never sent (RFC 9293, 3.10.7.4): dropped
        }
        self.path.begin();
        for (low, high) in &ack.ranges {
            self.acked_late(now, low, high);
            for pn in low.max(self.base)..=high {
                self.acked(now, pn);
            }
        }
        if self.news.latest_sent.is_some() {
            self.backoff = 0;
            self.probed = false;
            self.rto_base = now; // RFC 6298 (5.3)
            self.asked = (self.eliciting_out > 0).then_some(now);
        }
        self.path.reported(now, ack, self.next_pn());
        self.find_lost(now);
        self.owes_if_out();
        self.conclude(now);
        self.trim(now);
        core::mem::take(&mut self.news)
    }

    /// Of what is lost no answer is owed: what is sent again asks anew.
    fn owes_if_out(&mut self) {
        self.asked = self.asked.filter(|_| self.eliciting_out > 0);
    }

    fn conclude(&mut self, now: Instant) {
        let shown = self.path.conclude(now, None);
        self.path.congestion.on_report(&shown);
    }

    fn acked(&mut self, now: Instant, pn: u64) {
        let packet = &mut self.packets[(pn - self.base) as usize];
        let fate = core::mem::replace(&mut packet.fate, Fate::Settled);
        if fate == Fate::Settled {
            return;
        }
        let (at, size, (len, probe)) = (packet.at, u64::from(packet.size), packet.len());
        let content = core::mem::take(&mut packet.content);
        if fate == Fate::Outstanding {
            self.path.mtu.passed(pn, len, probe);
            self.eliciting_out -= 1;
            self.data_out -= usize::from(!content.data.is_empty());
            self.count(&content, false);
            self.path.acked(now, pn, at, size);
            self.news.latest_sent = self.news.latest_sent.max(Some(at));
            self.news.acked.push((pn, content));
        } else {
            self.arrived_late(now, pn, Packet { at, size: size as u32, fate, content });
        }
    }

    /// Takes a range of the peer's report for packets that are remembered only as lost.
    fn acked_late(&mut self, now: Instant, low: u64, high: u64) {
        let from = self.late.partition_point(|(pn, _)| *pn < low);
        while self.late.get(from).is_some_and(|(pn, _)| *pn <= high) {
            if let Some((pn, packet)) = self.late.remove(from) {
                self.arrived_late(now, pn, packet);
            }
        }
    }

    /// A packet that counted as lost has arrived all the same.
    fn arrived_late(&mut self, now: Instant, pn: u64, packet: Packet) {
        let (len, probe) = packet.len();
        self.path.mtu.passed(pn, len, probe);
        self.path.acked_late(now, pn, packet.at, u64::from(packet.size));
        if packet.fate == Fate::GivenUp {
            self.arrived_after_timeout();
        }
        self.news.latest_sent = self.news.latest_sent.max(Some(packet.at));
        self.news.acked.push((pn, packet.content));
    }

    /// Only when everything that a time-out gave up has arrived was there nothing to it.
    fn arrived_after_timeout(&mut self) {
        if self.given_up > 0 {
            self.given_up -= 1;
            if self.given_up == 0 {
                self.path.undo_timeout();
            }
        }
    }

    /// Gives up what was overtaken long enough ago.
    fn find_lost(&mut self, now: Instant) {
        let Some(newest) = self.path.newest() else { return };
        let mut deadline = None;
        let mut pn = self.first_out.max(self.base);
        while pn < newest {
            let packet = &self.packets[(pn - self.base) as usize];
            if packet.fate == Fate::Outstanding {
                match self.path.judge(now, pn, packet.at) {
                    Verdict::Lost => self.lose(pn),
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

    fn lose(&mut self, pn: u64) {
        let next = self.next_pn();
        let (len, probe) = self.packets[(pn - self.base) as usize].len();
        if let Some(size) = self.take_lost(pn) {
            self.path.lost(pn, size, next);
            self.path.mtu.lost(pn, len, probe);
        }
    }

    /// Marks a packet as lost and tells its content; its size, if it was in flight.
    fn take_lost(&mut self, pn: u64) -> Option<u64> {
        let packet = &mut self.packets[(pn - self.base) as usize];
        if packet.fate != Fate::Outstanding {
            return None;
        }
        packet.fate = Fate::Lost;
        self.eliciting_out -= 1;
        self.data_out -= usize::from(!packet.content.data.is_empty());
        let (size, content) = (u64::from(packet.size), packet.content.clone());
        self.count(&content, true);
        self.news.lost.push(content);
        Some(size)
    }

    /// Lets go of what is settled in front; what is lost there is remembered for a while by itself,
    /// so that it does not hold the rest.
    fn trim(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|p| p.fate != Fate::Outstanding) {
            if let Some(packet) = self.packets.pop_front()
                && packet.fate != Fate::Settled
            {
                self.late.push_back((self.base, packet));
            }
            self.base += 1;
        }
        let memory = self.path.rtt.expected() * LATE_ROUND_TRIPS + self.rto();
        let old = |packet: &Packet| now.since(packet.at) > memory;
        while self.late.len() > LATE_MEMORY || self.late.front().is_some_and(|(_, p)| old(p)) {
            self.late.pop_front();
        }
    }

    /// The next moment at which [`Self::on_timer`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timeout = (self.eliciting_out > 0).then(|| self.rto_base + self.rto());
        [timeout, self.probe_at(), self.path.reordering_deadline()].into_iter().flatten().min()
    }

    /// When the tail is to be probed (RFC 8985, 7.2), if it is.
    fn probe_at(&self) -> Option<Instant> {
        let srtt = self.path.rtt.probing()?;
        let due = self.eliciting_out > 0 && !self.probed && self.backoff == 0;
        // The probe comes first (RFC 8985, 7.2).
        due.then(|| self.rto_base + (srtt * PROBE_RTTS + self.ack_delay).min(self.rto()))
    }

    /// The present time-out, back-off included. The samples leave out how long the peer held its
    /// acknowledgements back, which it was told to; the time-out must not.
    pub(crate) fn rto(&self) -> Duration {
        let rtt = &self.path.rtt;
        let held = rtt.smoothed().map_or(Duration::ZERO, |_| rtt.expected() + self.ack_delay);
        (rtt.rto().max(held) * (1 << self.backoff)).min(RTO_CAP)
    }

    /// Fires what is due, and gives what is lost by that.
    pub(crate) fn on_timer(&mut self, now: Instant) -> (Fired, News) {
        let fired = self.fire(now);
        match fired {
            Fired::Nothing | Fired::Probe => (fired, News::default()),
            Fired::Reordering | Fired::Timeout => (fired, core::mem::take(&mut self.news)),
        }
    }

    fn fire(&mut self, now: Instant) -> Fired {
        if self.path.reordering_deadline().is_some_and(|at| at <= now) {
            self.path.begin();
            self.find_lost(now);
            self.owes_if_out();
            self.conclude(now);
            return Fired::Reordering;
        }
        if self.probe_at().is_some_and(|at| at <= now) {
            self.probed = true;
            self.rto_base = now; // RFC 8985, 7.3: the time-out begins anew
            return Fired::Probe;
        }
        if self.eliciting_out > 0 && self.rto_base + self.rto() <= now {
            self.time_out(now);
            return Fired::Timeout;
        }
        Fired::Nothing
    }

    /// The newest bytes of the data conversation that are in flight: what a probe repeats.
    pub(crate) fn tail(&self) -> Option<Range<u64>> {
        let out = self.packets.iter().rev().filter(|p| p.fate == Fate::Outstanding);
        out.map(|p| p.content.data.clone()).find(|data| !data.is_empty())
    }

    /// The peer was told to hold acknowledgements back for so long at most.
    pub(crate) fn expect_delay(&mut self, delay: Duration) {
        self.ack_delay = delay.max(PROBE_ACK_DELAY);
        self.path.expect_delay(delay);
    }

    /// Whether the next data segment probes the tail.
    pub(crate) fn probes_tail(&self) -> bool {
        self.probe_allowed
    }

    /// One data segment may leave whatever the window says.
    pub(crate) fn allow_probe(&mut self) {
        self.probe_allowed = true;
    }

    fn time_out(&mut self, now: Instant) {
        let out = self.packets.iter().filter(|p| p.fate == Fate::Outstanding);
        let longest = out.into_iter().map(|p| p.content.data.end - p.content.data.start).max();
        self.path.mtu.timed_out(longest.unwrap_or(0));
        if self.backoff == 0 {
            self.given_up = 0;
        }
        self.give_up_all();
        self.path.timed_out(self.first_out);
        // A lone lost packet may time out as well; only when its repetition does, the path is ill.
        if self.backoff > 0 {
            self.timeouts.push_back(now);
            if self.timeouts.len() > 3 {
                self.timeouts.pop_front();
            }
        }
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
        self.probed = false;
        self.rto_base = now;
        self.trim(now);
    }

    /// All that is outstanding counts as lost.
    fn give_up_all(&mut self) {
        let next = self.next_pn();
        for pn in self.first_out.max(self.base)..next {
            if self.take_lost(pn).is_some() {
                self.packets[(pn - self.base) as usize].fate = Fate::GivenUp;
                self.given_up += 1;
            }
        }
        self.first_out = next;
    }

    /// The peer has forgotten who sent it all this: what is in flight is lost, the silence until here says
    /// nothing of the path, and nothing more is waited for.
    pub(crate) fn begin_again(&mut self, now: Instant) -> News {
        self.give_up_all();
        self.path.begin_again(self.first_out);
        self.asked = None;
        self.backoff = 0;
        self.timeouts.clear();
        self.probed = false;
        self.rto_base = now;
        self.trim(now);
        core::mem::take(&mut self.news)
    }

    /// Whether three repeated time-outs fell into the last ten seconds.
    pub(crate) fn often_timed_out(&self, now: Instant) -> bool {
        self.timeouts.len() == 3 && now.since(self.timeouts[0]) <= Duration::from_secs(10)
    }
}

#[cfg(test)]
mod tests;
