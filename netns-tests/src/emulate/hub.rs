//! The switch: each port has a line up to it and a line down from it.

use super::frame::{self, Mac};
use sim::{Dice, Line, Link, Passage};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use tcpxm::proto::time::Instant;

/// Ethernet's preamble (8), check sequence (4) and gap (12) take line time as well (IEEE 802.3).
const ON_THE_LINE: usize = 24;
/// Hardware addresses remembered, at most: frames to others go to all ports.
const KNOWN: usize = 4096;
/// Frames under way, at most; more are dropped without having been asked for, and counted.
const POOL: usize = 1 << 16;

/// What a direction of a port's cable does.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Rate, delay, queue and faults.
    pub link: Link,
    /// A frame that finds more bytes than these in the queue is marked, if it can be.
    pub mark_above: Option<usize>,
}

/// What happened on one direction of a port's cable, in frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Put on the line.
    pub frames: u64,
    /// Their bytes, without preamble and gap.
    pub bytes: u64,
    /// Dropped since the queue was full.
    pub queue_dropped: u64,
    /// Lost as asked for.
    pub lost: u64,
    /// Longer than the line carries.
    pub too_long: u64,
    /// Sent twice as asked for.
    pub duplicated: u64,
    /// Marked.
    pub marked: u64,
}

#[derive(Debug)]
struct Cable {
    line: Line,
    mark_above: Option<usize>,
    counts: Counts,
}

/// Where a frame is when its time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It reaches the switch.
    Switch,
    /// It leaves the switch's line to a port.
    Out,
}

/// In order of time, then of arrival.
type Event = (Instant, u64, Stage, usize, usize);

/// The switch and everything on its lines.
#[derive(Debug)]
pub struct Hub {
    up: Vec<Cable>,
    down: Vec<Cable>,
    known: HashMap<Mac, usize>,
    agenda: BinaryHeap<Reverse<Event>>,
    serial: u64,
    /// Bytes of the frames under way, their lengths, and how many lines each is on.
    frames: Vec<[u8; frame::MAX]>,
    lens: Vec<usize>,
    users: Vec<u32>,
    free: Vec<usize>,
    dice: Dice,
    exhausted: u64,
}

impl Hub {
    /// A switch with a port for each pair of ways: up to it, and down from it.
    pub fn new(ports: &[(Way, Way)], seed: u64) -> Self {
        let cable = |way: &Way| Cable {
            line: Line::new(way.link),
            mark_above: way.mark_above,
            counts: Counts::default(),
        };
        Self {
            up: ports.iter().map(|(up, _)| cable(up)).collect(),
            down: ports.iter().map(|(_, down)| cable(down)).collect(),
            known: HashMap::new(),
            agenda: BinaryHeap::new(),
            serial: 0,
            frames: Vec::new(),
            lens: Vec::new(),
            users: Vec::new(),
            free: Vec::new(),
            dice: Dice::new(seed),
            exhausted: 0,
        }
    }

    /// What happened on a port's two lines: up, and down.
    pub fn counts(&self, port: usize) -> (Counts, Counts) {
        (self.up[port].counts, self.down[port].counts)
    }

    /// Frames that were dropped without having been asked for.
    pub fn exhausted(&self) -> u64 {
        self.exhausted
    }

    /// A host sends a frame.
    pub fn send(&mut self, now: Instant, port: usize, bytes: &[u8]) {
        let Some((_, source)) = frame::addresses(bytes) else { return };
        let room = self.known.len() < KNOWN || self.known.contains_key(&source);
        if room && !frame::is_group(source) {
            self.known.insert(source, port);
        }
        let Some(slot) = self.take(bytes) else {
            self.exhausted += 1;
            return;
        };
        self.put(now, Stage::Switch, port, slot);
        self.drop_user(slot);
    }

    /// When the next frame moves on.
    pub fn due(&self) -> Option<Instant> {
        self.agenda.peek().map(|Reverse(event)| event.0)
    }

    /// Moves frames on whose time has come; gives the next one that reaches a host by `out`: the
    /// port, its bytes, and when it should have. `false` when there is none.
    pub fn deliver(&mut self, now: Instant, out: impl FnOnce(usize, &[u8], Instant)) -> bool {
        while self.due().is_some_and(|at| at <= now) {
            let Some(Reverse((at, _, stage, port, slot))) = self.agenda.pop() else { break };
            if stage == Stage::Out {
                out(port, &self.frames[slot][..self.lens[slot]], at);
                self.drop_user(slot);
                return true;
            }
            self.switch(at, port, slot);
            self.drop_user(slot);
        }
        false
    }

    /// To the port where its destination is, or to all others.
    fn switch(&mut self, at: Instant, from: usize, slot: usize) {
        let Some((to, _)) = frame::addresses(&self.frames[slot][..self.lens[slot]]) else { return };
        match self.known.get(&to) {
            Some(&port) if port != from => self.put(at, Stage::Out, port, slot),
            Some(_) => {}
            None => {
                for port in (0..self.down.len()).filter(|port| *port != from) {
                    self.put(at, Stage::Out, port, slot);
                }
            }
        }
    }

    /// Puts a frame on a line: the one that ends at `stage`.
    fn put(&mut self, now: Instant, stage: Stage, port: usize, mut slot: usize) {
        let cables = if stage == Stage::Switch { &mut self.up } else { &mut self.down };
        let cable = &mut cables[port];
        let len = self.lens[slot];
        if len > frame::HEADER + cable.line.mtu() {
            cable.counts.too_long += 1;
            return;
        }
        cable.counts.frames += 1;
        cable.counts.bytes += len as u64;
        let full = cable.mark_above.is_some_and(|above| cable.line.queued(now) > above);
        let passage = cable.line.send(now, len + ON_THE_LINE, &mut self.dice);
        let (first, second) = match passage {
            Passage::TailDropped => {
                cable.counts.queue_dropped += 1;
                return;
            }
            Passage::Lost => {
                cable.counts.lost += 1;
                return;
            }
            Passage::Arrives(first, second) => (first, second),
        };
        cable.counts.duplicated += u64::from(second.is_some());
        if full {
            // A copy of its own: other ports' frames are not marked with it.
            let own = self.frames[slot];
            let Some(copy) = self.take(&own[..len]) else {
                self.exhausted += 1;
                return;
            };
            let marked = frame::mark(&mut self.frames[copy][..len]);
            let cables = if stage == Stage::Switch { &mut self.up } else { &mut self.down };
            cables[port].counts.marked += u64::from(marked);
            slot = copy;
        }
        for at in [Some(first), second].into_iter().flatten() {
            self.users[slot] += 1;
            self.serial += 1;
            self.agenda.push(Reverse((at, self.serial, stage, port, slot)));
        }
        if full {
            self.drop_user(slot);
        }
    }

    /// A place in the pool with these bytes, used once.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() > frame::MAX {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.frames.len() < POOL => {
                self.frames.push([0; frame::MAX]);
                self.lens.push(0);
                self.users.push(0);
                self.frames.len() - 1
            }
            None => return None,
        };
        self.frames[slot][..bytes.len()].copy_from_slice(bytes);
        self.lens[slot] = bytes.len();
        self.users[slot] = 1;
        Some(slot)
    }

    fn drop_user(&mut self, slot: usize) {
        self.users[slot] -= 1;
        if self.users[slot] == 0 {
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use sim::Loss;

    const MS: Duration = Duration::from_millis(1);

    fn way() -> Way {
        Way { link: Link::lan().rate(8_000_000).delay(MS).queue(3_000), mark_above: None }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    /// A frame of 976 bytes, which takes a millisecond of line time.
    fn frame(to: u8, from: u8) -> Vec<u8> {
        let mut frame = vec![0; 976];
        frame[..6].copy_from_slice(&[if to == 0xff { 0xff } else { 2 }, 0, 0, 0, 0, to]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, from]);
        frame
    }

    fn deliveries(hub: &mut Hub) -> Vec<(usize, u64)> {
        let mut seen = Vec::new();
        while hub
            .deliver(at(u64::MAX / 2000), |port, _, at| seen.push((port, at.as_nanos() / 1000)))
        {
        }
        seen
    }

    #[test]
    fn a_frame_takes_both_lines_and_goes_where_its_destination_was_seen() {
        let mut hub = Hub::new(&[(way(), way()); 3], 1);
        hub.send(at(0), 0, &frame(2, 1));
        assert_eq!(deliveries(&mut hub), [(1, 4000), (2, 4000)], "not known yet: to all");
        hub.send(at(10_000), 2, &frame(1, 2));
        assert_eq!(deliveries(&mut hub), [(0, 14_000)]);
        hub.send(at(20_000), 0, &frame(2, 1));
        assert_eq!(deliveries(&mut hub), [(2, 24_000)]);
        hub.send(at(30_000), 1, &frame(0xff, 3));
        assert_eq!(deliveries(&mut hub), [(0, 34_000), (2, 34_000)]);
        assert!(hub.free.len() == hub.frames.len() && hub.due().is_none(), "nothing is kept");
    }

    #[test]
    fn lines_drop_lose_and_duplicate_as_told_and_count_it() {
        let lossy = Way { link: way().link.losing(Loss::Random(1.0)), ..way() };
        let twice = Way { link: way().link.duplicating(1.0), ..way() };
        let mut hub = Hub::new(&[(way(), way()), (way(), lossy), (way(), twice)], 1);
        for _ in 0..5 {
            hub.send(at(0), 0, &frame(0xff, 1));
        }
        let seen = deliveries(&mut hub);
        assert_eq!(seen.iter().filter(|(port, _)| *port == 2).count(), 6);
        assert!(seen.iter().all(|(port, _)| *port == 2));
        let (up, _) = hub.counts(0);
        assert_eq!((up.frames, up.queue_dropped), (5, 2));
        assert_eq!((hub.counts(1).1.lost, hub.counts(2).1.duplicated), (3, 3));
        assert_eq!((hub.exhausted(), hub.free.len()), (0, hub.frames.len()));
    }

    #[test]
    fn what_is_marked_for_one_is_not_marked_for_another() {
        let marking = Way { mark_above: Some(500), ..way() };
        let mut hub = Hub::new(&[(way(), way()), (way(), marking), (way(), way())], 1);
        let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0xff; 6]);
        let mut ip =
            etherparse::Ipv4Header::new(960, 9, etherparse::IpNumber::UDP, [1; 4], [2; 4]).unwrap();
        ip.ecn = etherparse::IpEcn::Ect0;
        let mut bytes = Vec::new();
        let headers = etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default());
        builder.ip(headers).udp(1, 2).write(&mut bytes, &[0; 934]).unwrap();
        // The line down to port 1 still carries another frame when these come.
        for _ in 0..2 {
            hub.send(at(0), 2, &frame(0xff, 9));
        }
        hub.send(at(1_200), 0, &bytes);
        let mut ecn = Vec::new();
        while hub.deliver(at(1 << 40), |port, frame, _| ecn.push((port, frame[15] & 3))) {}
        assert!(ecn.contains(&(1, 3)) && ecn.contains(&(2, 2)), "{ecn:?}");
        assert_eq!(hub.counts(1).1.marked, 1);
        assert_eq!(hub.free.len(), hub.frames.len());
    }
}
