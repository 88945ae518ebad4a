//! One direction of a line: rate, delay, a queue with tail drop, and what goes wrong on it.

use crate::dice::Dice;
use crate::loss::{Losing, Loss};
use core::time::Duration;
use tcpxm::proto::time::Instant;

/// UDP (RFC 768) and IPv4 (RFC 791) headers, bytes.
const UDP_IPV4: usize = 28;
/// UDP and IPv6 (RFC 8200) headers, bytes.
const UDP_IPV6: usize = 48;
/// Ethernet: header 14, check sequence 4, preamble 8, gap 12 (IEEE 802.3), bytes.
const ETHERNET: usize = 38;

/// Bytes of the IP packet that carries a datagram of `len` bytes.
pub(crate) fn packet_len(len: usize, v6: bool) -> usize {
    len + if v6 { UDP_IPV6 } else { UDP_IPV4 }
}

/// Bytes of line time that a datagram of `len` bytes takes.
pub(crate) fn frame_len(len: usize, v6: bool) -> usize {
    packet_len(len, v6) + ETHERNET
}

/// The properties of one direction of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Bits per second, Ethernet framing included.
    pub rate_bps: u64,
    /// Propagation delay.
    pub delay: Duration,
    /// Bytes that may wait; a datagram that finds no room is dropped.
    pub queue_bytes: usize,
    /// A datagram that finds more bytes waiting is marked, if it can be, and dropped otherwise.
    pub mark_above: Option<usize>,
    /// Longest IP packet in bytes.
    pub mtu: usize,
    /// Loss on the line, after the queue: what is lost took its time on the line.
    pub loss: Loss,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a datagram is held up, and for how long; later ones pass it meanwhile.
    pub reorder: (f64, Duration),
    /// Greatest random addition to the delay of every datagram; it keeps their order.
    pub jitter: Duration,
}

impl Link {
    /// A LAN: 100 Mbit/s, a queue of 256 KiB, MTU 1500; 0.5 ms a line, so that one way through
    /// the fabric takes 1 ms.
    pub const fn lan() -> Self {
        Self {
            rate_bps: 100_000_000,
            delay: Duration::from_micros(500),
            queue_bytes: 256 << 10,
            mark_above: None,
            mtu: 1500,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: (0.0, Duration::ZERO),
            jitter: Duration::ZERO,
        }
    }

    /// The same at another rate, in bits per second.
    #[must_use]
    pub const fn rate(self, rate_bps: u64) -> Self {
        Self { rate_bps, ..self }
    }

    /// The same with another delay.
    #[must_use]
    pub const fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same with room for so many bytes to wait.
    #[must_use]
    pub const fn queue(self, queue_bytes: usize) -> Self {
        Self { queue_bytes, ..self }
    }

    /// The same with a queue that is managed (RFC 3168, 5): a datagram that finds more than so many
    /// bytes waiting is marked if its sender said that it heeds marks, and dropped if not.
    #[must_use]
    pub const fn marking(self, above: usize) -> Self {
        Self { mark_above: Some(above), ..self }
    }

    /// The same with IP packets of at most `mtu` bytes.
    #[must_use]
    pub const fn mtu(self, mtu: usize) -> Self {
        Self { mtu, ..self }
    }

    /// The same with loss.
    #[must_use]
    pub const fn losing(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// The same, duplicating datagrams with probability `p`.
    #[must_use]
    pub const fn duplicating(self, p: f64) -> Self {
        Self { duplicate: p, ..self }
    }

    /// The same, holding datagrams up by `extra` with probability `p`.
    #[must_use]
    pub const fn reordering(self, p: f64, extra: Duration) -> Self {
        Self { reorder: (p, extra), ..self }
    }

    /// The same with up to `jitter` more delay.
    #[must_use]
    pub const fn jittering(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// Bytes of stream per second when full segments of `segment` bytes with `overhead` bytes of
    /// everything else fill the line.
    pub(crate) fn goodput(&self, segment: usize, overhead: usize) -> f64 {
        self.rate_bps as f64 / 8.0 * segment as f64 / (segment + overhead) as f64
    }
}

/// What became of a datagram that was put on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It arrives then, and perhaps once more.
    Arrives(Instant, Option<Instant>),
    /// The queue was full.
    TailDropped,
    /// It was lost on the line.
    Lost,
}

/// A link in use. The queue is kept as the time at which it will be empty, which says the same as
/// a list of the datagrams in it and costs nothing per datagram.
#[derive(Debug)]
pub struct Line {
    link: Link,
    losing: Losing,
    idle_at: Instant,
    last_arrival: Instant,
    max_queue: usize,
}

impl Line {
    /// An idle line.
    pub fn new(link: Link) -> Self {
        Self {
            link,
            losing: Losing::new(link.loss),
            idle_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            max_queue: 0,
        }
    }

    /// Longest IP packet that it carries, bytes.
    pub fn mtu(&self) -> usize {
        self.link.mtu
    }

    /// From now on it carries IP packets of at most `mtu` bytes.
    pub(crate) fn narrow(&mut self, mtu: usize) {
        self.link.mtu = mtu;
    }

    /// From now on it loses datagrams so.
    pub(crate) fn lose(&mut self, loss: Loss) {
        self.losing = Losing::new(loss);
    }

    /// The most bytes that ever waited, the one on the line included.
    pub fn max_queue(&self) -> usize {
        self.max_queue
    }

    /// Bytes that wait at `now`.
    pub fn queued(&self, now: Instant) -> usize {
        let nanos = self.idle_at.since(now).as_nanos();
        (nanos * u128::from(self.link.rate_bps) / 8_000_000_000) as usize
    }

    /// Whether what comes at `now` finds a queue that is to be told of.
    pub(crate) fn congested(&self, now: Instant) -> bool {
        self.link.mark_above.is_some_and(|above| self.queued(now) > above)
    }

    /// Puts a datagram that takes `frame` bytes of line time on the line.
    pub fn send(&mut self, now: Instant, frame: usize, dice: &mut Dice) -> Passage {
        let queued = self.queued(now) + frame;
        if queued > self.link.queue_bytes {
            return Passage::TailDropped;
        }
        self.max_queue = self.max_queue.max(queued);
        let takes = Duration::from_nanos(frame as u64 * 8_000_000_000 / self.link.rate_bps);
        self.idle_at = self.idle_at.max(now) + takes;
        if self.losing.next(dice) {
            return Passage::Lost;
        }
        let first = self.arrival(dice);
        let second = dice.chance(self.link.duplicate).then(|| self.arrival(dice));
        Passage::Arrives(first, second)
    }

    /// When what leaves the queue last arrives.
    fn arrival(&mut self, dice: &mut Dice) -> Instant {
        let on_time = self.idle_at + self.link.delay;
        let (p, extra) = self.link.reorder;
        if dice.chance(p) {
            return on_time + extra;
        }
        self.last_arrival = (on_time + dice.below(self.link.jitter)).max(self.last_arrival);
        self.last_arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 byte per microsecond.
    const SLOW: Link = Link::lan().rate(8_000_000).delay(Duration::from_millis(1)).queue(3_000);

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    #[test]
    fn datagrams_follow_each_other_at_the_rate_and_then_take_the_delay() {
        let (mut line, mut dice) = (Line::new(SLOW), Dice::new(1));
        for i in 1..=3 {
            let passage = line.send(at(0), 1000, &mut dice);
            assert_eq!(passage, Passage::Arrives(at(1000 * i + 1000), None));
        }
        assert_eq!(line.send(at(5000), 1000, &mut dice), Passage::Arrives(at(7000), None));
    }

    #[test]
    fn the_queue_drops_what_it_cannot_hold_and_drains_with_time() {
        let (mut line, mut dice) = (Line::new(SLOW), Dice::new(1));
        for _ in 0..3 {
            assert!(matches!(line.send(at(0), 1000, &mut dice), Passage::Arrives(..)));
        }
        assert_eq!(line.send(at(0), 1000, &mut dice), Passage::TailDropped);
        assert_eq!(line.send(at(999), 1000, &mut dice), Passage::TailDropped);
        assert!(matches!(line.send(at(1000), 1000, &mut dice), Passage::Arrives(..)));
        assert_eq!(line.max_queue(), 3000);
    }

    #[test]
    fn what_is_lost_took_its_time_on_the_line() {
        let (mut line, mut dice) = (Line::new(SLOW.losing(Loss::Random(1.0))), Dice::new(1));
        assert_eq!(line.send(at(0), 2000, &mut dice), Passage::Lost);
        assert_eq!(line.send(at(0), 2000, &mut dice), Passage::TailDropped);
    }

    #[test]
    fn a_duplicating_line_delivers_twice() {
        let (mut line, mut dice) = (Line::new(SLOW.duplicating(1.0)), Dice::new(1));
        let passage = line.send(at(0), 1000, &mut dice);
        assert_eq!(passage, Passage::Arrives(at(2000), Some(at(2000))));
    }

    /// Arrivals of 1000 datagrams sent 1 ms apart.
    fn arrivals(link: Link) -> Vec<Instant> {
        let (mut under_test, mut dice) = (Line::new(link), Dice::new(5));
        let send = |i: u64| match under_test.send(at(i * 1000), 500, &mut dice) {
            Passage::Arrives(first, None) => first,
            other => panic!("{other:?}"),
        };
        (0..1000).map(send).collect()
    }

    #[test]
    fn reordering_lets_later_datagrams_pass_the_ones_held_up() {
        let out = arrivals(SLOW.reordering(0.1, Duration::from_micros(2500)));
        let passed = out.windows(2).filter(|w| w[1] < w[0]).count();
        assert!((60..140).contains(&passed), "{passed} of 1000 were passed");
    }

    #[test]
    fn jitter_moves_arrivals_but_keeps_their_order() {
        let out = arrivals(SLOW.jittering(Duration::from_millis(5)));
        assert!(out.windows(2).all(|w| w[0] <= w[1]));
        let moved = out.iter().zip(0..).filter(|(a, i)| **a > at(i * 1000 + 2500)).count();
        assert!(moved > 300, "only {moved} of 1000 were late");
    }

    #[test]
    fn full_segments_of_the_two_families_fill_one_ethernet_frame() {
        // 1500 bytes of IP packet + 38 of Ethernet, whatever the family
        assert_eq!(frame_len(1472, false), 1538);
        assert_eq!(frame_len(1452, true), 1538);
    }
}
