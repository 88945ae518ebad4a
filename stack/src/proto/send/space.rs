//! One packet number space of what this side sends by unicast: what is in flight, what was
//! acknowledged, what is lost. Loss and round trips go by packet number, never by sequence number,
//! so a retransmission is never mistaken for its original.

use super::congestion::Congestion;
use super::rtt::Rtt;
use crate::config::Algorithm;
use crate::proto::time::Instant;
use crate::wire::{PAYLOAD_SHORT, SpaceAck};
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

/// A packet is lost when one sent so many later has arrived: the three duplicate ACKs of RFC 5681
/// (3.2) and RFC 6675, told by packet number (RFC 9002, 6.1.1).
pub(crate) const DUP_THRESH: u64 = 3;
/// The threshold grows with the reordering seen, but not beyond this (as Linux's default limit).
const MAX_DUP_THRESH: u64 = 300;
/// Records of lost packets kept to recognise a spurious loss; bounds each ACK's work.
const LOST_MEMORY: usize = 256;
/// Before the first sample. RFC 6298 (2.1) asks for 1 s; a SYN here is answered from a cache and
/// the start rule waits 1 s, so an early repetition costs 1,200 bytes and saves a second.
pub(crate) const INITIAL_RTO: Duration = Duration::from_millis(250);
/// RFC 6298 (5.5): back-off doubles; at this many doublings the RTO's cap is long reached.
const MAX_BACKOFF: u32 = 8;

/// Time-outs in a row after which a path is suspected to swallow long packets.
const LONG_TIMEOUTS: u32 = 2;

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
}

impl Content {
    /// Whether the peer must acknowledge it.
    pub(crate) fn eliciting(&self) -> bool {
        !self.data.is_empty()
            || !self.control.is_empty()
            || self.data_fin
            || self.control_fin
            || self.ping
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Outstanding,
    Settled,
    Lost,
}

#[derive(Debug)]
struct Packet {
    at: Instant,
    size: u32,
    fate: Fate,
    content: Content,
}

impl Packet {
    /// Longer than what the handshake has shown to pass.
    fn is_long(&self) -> bool {
        self.content.data.end - self.content.data.start > PAYLOAD_SHORT as u64
    }
}

/// What an ACK or a time-out told, to be applied by the owner.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Contents that arrived.
    pub(crate) acked: Vec<Content>,
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

/// The unicast send space of one association.
#[derive(Debug)]
pub(crate) struct SendSpace {
    base: u64,
    packets: VecDeque<Packet>,
    /// No packet below is outstanding.
    first_out: u64,
    largest_acked: Option<u64>,
    flight: u64,
    eliciting_out: usize,
    /// Packets out that carry bytes of the data conversation.
    data_out: usize,
    /// A loss at or below belongs to a reduction already made (RFC 6675, `RecoveryPoint`).
    recover: u64,
    /// The packet whose loss made the last reduction.
    cut_by: Option<u64>,
    threshold: u64,
    backoff: u32,
    rto_base: Instant,
    timeouts: VecDeque<Instant>,
    /// Time-outs that lost long packets, since the last long packet arrived.
    long_timeouts: u32,
    /// Their number when, for the first time since, a short packet arrived all the same.
    answered_at: Option<u32>,
    vanish: bool,
    pub(crate) rtt: Rtt,
    pub(crate) congestion: Congestion,
    pub(crate) news: News,
}

impl SendSpace {
    pub(crate) fn new(algorithm: Algorithm, mss: u64) -> Self {
        Self {
            base: 0,
            packets: VecDeque::new(),
            first_out: 0,
            largest_acked: None,
            flight: 0,
            eliciting_out: 0,
            data_out: 0,
            recover: 0,
            cut_by: None,
            threshold: DUP_THRESH,
            backoff: 0,
            rto_base: Instant::ZERO,
            timeouts: VecDeque::new(),
            long_timeouts: 0,
            answered_at: None,
            vanish: false,
            rtt: Rtt::new(INITIAL_RTO),
            congestion: Congestion::new(algorithm, mss),
            news: News::default(),
        }
    }

    /// The number that the next packet gets.
    pub(crate) fn next_pn(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    /// Bytes of both conversations in flight.
    pub(crate) fn flight(&self) -> u64 {
        self.flight
    }

    /// Whether bytes of the data conversation are in flight.
    pub(crate) fn carries_data(&self) -> bool {
        self.data_out > 0
    }

    /// Whether the congestion window has room for so many more bytes.
    pub(crate) fn permits(&self, bytes: u64) -> bool {
        self.flight + bytes <= self.congestion.window()
    }

    /// Records a packet that is about to leave with the number [`Self::next_pn`].
    pub(crate) fn on_sent(&mut self, now: Instant, content: Content) {
        self.trim(); // a side that only answers gets few ACKs that would do it
        let eliciting = content.eliciting();
        let len = |range: &Range<u64>| (range.end - range.start) as u32;
        let size = len(&content.data) + len(&content.control);
        if eliciting {
            if self.eliciting_out == 0 {
                self.rto_base = now; // RFC 6298 (5.1)
            }
            self.eliciting_out += 1;
            self.data_out += usize::from(!content.data.is_empty());
            self.flight += u64::from(size);
        }
        let fate = if eliciting { Fate::Outstanding } else { Fate::Settled };
        self.packets.push_back(Packet { at: now, size, fate, content });
    }

    /// Takes the peer's report; the outcome stands in [`Self::news`].
    pub(crate) fn on_ack(&mut self, now: Instant, ack: &SpaceAck<'_>) {
        self.news.clear();
        let next = self.next_pn();
        if ack.largest >= next {
            return; // an ACK of something never sent (RFC 9293, 3.10.7.4): dropped
        }
        let flight_before = self.flight;
        let mut newest = None;
        let mut acked_bytes = 0;
        let (mut spurious, mut undo) = (None, false);
        for (low, high) in &ack.ranges {
            if high < self.base {
                break; // newest first: all further ones are older still
            }
            for pn in low.max(self.base)..=high {
                let packet = &mut self.packets[(pn - self.base) as usize];
                match packet.fate {
                    Fate::Settled => continue,
                    Fate::Outstanding => {
                        self.eliciting_out -= 1;
                        self.data_out -= usize::from(!packet.content.data.is_empty());
                        self.flight -= u64::from(packet.size);
                    }
                    Fate::Lost => {
                        spurious = spurious.max(Some(ack.largest - pn));
                        undo |= self.cut_by == Some(pn);
                    }
                }
                packet.fate = Fate::Settled;
                if packet.is_long() {
                    self.long_timeouts = 0;
                    self.answered_at = None;
                }
                acked_bytes += u64::from(packet.size);
                newest = newest.max(Some(pn));
                self.news.latest_sent = self.news.latest_sent.max(Some(packet.at));
                self.news.acked.push(core::mem::take(&mut packet.content));
            }
        }
        if let Some(pn) = newest {
            self.suspect_black_hole();
            self.progress(now, ack, pn, acked_bytes, flight_before);
        }
        if let Some(distance) = spurious {
            // Given up for lost, and only late: wait longer next time.
            self.threshold = (distance + 1).clamp(self.threshold, MAX_DUP_THRESH);
        }
        if undo {
            self.congestion.undo();
            self.cut_by = None;
        }
        self.largest_acked = self.largest_acked.max(Some(ack.largest));
        self.find_lost(now);
        self.trim();
    }

    fn progress(
        &mut self,
        now: Instant,
        ack: &SpaceAck<'_>,
        newest: u64,
        bytes: u64,
        flight_before: u64,
    ) {
        self.backoff = 0;
        self.rto_base = now; // RFC 6298 (5.3)
        if newest == ack.largest {
            let sent = self.packets[(newest - self.base) as usize].at;
            let delay = Duration::from_micros(u64::from(ack.delay_us));
            self.rtt.sample(now.since(sent).saturating_sub(delay));
        }
        // Growth only while the window is what limits (RFC 9438, 5.8; RFC 7661).
        if bytes > 0 && flight_before * 2 >= self.congestion.window() {
            let srtt = self.rtt.smoothed().unwrap_or(INITIAL_RTO);
            self.congestion.on_ack(now, bytes, srtt, None);
        }
    }

    fn find_lost(&mut self, now: Instant) {
        let Some(largest) = self.largest_acked else { return };
        let mut pn = self.first_out.max(self.base);
        while pn + self.threshold <= largest {
            self.lose(now, pn, true);
            pn += 1;
        }
        self.first_out = pn;
    }

    fn lose(&mut self, now: Instant, pn: u64, congestion: bool) {
        let next = self.next_pn();
        let packet = &mut self.packets[(pn - self.base) as usize];
        if packet.fate != Fate::Outstanding {
            return;
        }
        packet.fate = Fate::Lost;
        self.eliciting_out -= 1;
        self.data_out -= usize::from(!packet.content.data.is_empty());
        self.flight -= u64::from(packet.size);
        self.news.lost.push(packet.content.clone());
        if congestion && packet.size > 0 && pn >= self.recover {
            self.recover = next;
            self.cut_by = Some(pn);
            self.congestion.on_loss(now);
        }
    }

    fn trim(&mut self) {
        while let Some(front) = self.packets.front() {
            let keep = match front.fate {
                Fate::Outstanding => true,
                Fate::Lost => self.packets.len() <= LOST_MEMORY,
                Fate::Settled => false,
            };
            if keep {
                break;
            }
            self.packets.pop_front();
            self.base += 1;
        }
    }

    /// When the retransmission timer fires (RFC 6298, 5), if it runs.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.eliciting_out > 0).then(|| self.rto_base + self.rto())
    }

    /// The present time-out, back-off included.
    pub(crate) fn rto(&self) -> Duration {
        self.rtt.rto() * (1 << self.backoff)
    }

    /// Fires the timer if it is due: everything outstanding counts as lost (RFC 6298, 5.4 to 5.6).
    pub(crate) fn on_timeout(&mut self, now: Instant) -> bool {
        self.news.clear();
        if self.deadline().is_none_or(|at| now < at) {
            return false;
        }
        let flight = self.flight;
        let next = self.next_pn();
        let out = self.packets.iter().filter(|p| p.fate == Fate::Outstanding);
        self.long_timeouts += u32::from(out.into_iter().any(Packet::is_long));
        for pn in self.first_out.max(self.base)..next {
            self.lose(now, pn, false);
        }
        self.first_out = next;
        self.recover = next;
        self.cut_by = None;
        if flight > 0 {
            self.congestion.on_timeout(flight);
        }
        // A lone lost packet times out as well; only when its repetition does, the path is ill.
        if self.backoff > 0 {
            self.timeouts.push_back(now);
            if self.timeouts.len() > 3 {
                self.timeouts.pop_front();
            }
        }
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
        self.rto_base = now;
        self.trim();
        true
    }

    /// A packet arrived. Long ones that still time out again and again while short ones arrive are
    /// swallowed by the path; time-outs before the first short one may have been an outage.
    fn suspect_black_hole(&mut self) {
        if self.long_ones_time_out() {
            let since = *self.answered_at.get_or_insert(self.long_timeouts);
            self.vanish = self.long_timeouts >= since + LONG_TIMEOUTS;
        }
    }

    /// Whether long packets time out again and again: it is time to ask with a short one.
    pub(crate) fn long_ones_time_out(&self) -> bool {
        self.long_timeouts >= LONG_TIMEOUTS
    }

    /// Whether the path swallows long packets (RFC 8899, 4.3: a black hole).
    pub(crate) fn long_ones_vanish(&self) -> bool {
        self.vanish && self.long_ones_time_out()
    }

    /// Whether three repeated time-outs fell into the last ten seconds.
    pub(crate) fn often_timed_out(&self, now: Instant) -> bool {
        self.timeouts.len() == 3 && now.since(self.timeouts[0]) <= Duration::from_secs(10)
    }
}

#[cfg(test)]
mod tests;
