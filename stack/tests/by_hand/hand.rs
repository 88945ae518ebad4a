//! A network passed by hand: endpoints, datagrams in flight, and a path that may do anything to them.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use tcpxm::config::{Content, Delivery, EndpointConfig, Group, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{
    Action, Arrival, MemberId, ReadOutcome, ReceiverId, SessionId, SessionState,
};
use tcpxm::proto::time::Instant;
use tcpxm::stats::Counters;
use tcpxm::trust::{ListenTrust, SenderTrust};

pub(crate) const DELAY: Duration = Duration::from_micros(500);
/// Encapsulation kinds, as in the first byte of a datagram.
pub(crate) const HANDSHAKE: u8 = 0;
pub(crate) const DATA: u8 = 1;
pub(crate) const CONTROL: u8 = 2;
pub(crate) const GROUP: u8 = 3;
/// Where the TCP flags of a datagram stand, and the bit of RST.
pub(crate) const FLAGS: usize = 16 + 13;
pub(crate) const RST: u8 = 4;

#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) to: SocketAddr,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Packet {
    pub(crate) fn kind(&self) -> u8 {
        self.bytes[0] & 7
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.kind() != HANDSHAKE && self.bytes[FLAGS] & RST != 0
    }
}

/// What becomes of a datagram on its way to one node: copies, each with its delay.
pub(crate) type Path = Box<dyn FnMut(Instant, usize, Packet) -> Vec<(Duration, Packet)>>;

/// Datagrams that somebody adds to what passes.
pub(crate) type Beside = Rc<RefCell<Vec<(usize, Duration, Packet)>>>;

pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    /// A second address of the same machine.
    pub(crate) other: Option<SocketAddr>,
    pub(crate) endpoint: Endpoint,
    pub(crate) joined: bool,
    /// The groups that it has joined, one after the other.
    pub(crate) joins: Vec<SocketAddr>,
    /// One that its system refuses to join.
    pub(crate) refuses: Option<SocketAddr>,
    /// Its system answers only when it is told to ([`Node::answer`]).
    pub(crate) slow: bool,
    asked: VecDeque<(ReceiverId, SocketAddr)>,
    /// How often it was told that its session begins to send, or that another has answered since.
    pub(crate) begun: u32,
    /// It has reported its membership again.
    pub(crate) refreshed: bool,
    /// What its host counts, and how often it was asked for that.
    pub(crate) counters: Counters,
    pub(crate) counted: u32,
    pub(crate) dead: bool,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) path: Path,
    pub(crate) transmits: u64,
    /// What paths let fly beside what passes: to which node, and how long that takes.
    pub(crate) beside: Beside,
    flying: BTreeMap<(Instant, u64), (usize, Packet)>,
    count: u64,
}

pub(crate) fn straight() -> Path {
    Box::new(|_, _, packet| vec![(DELAY, packet)])
}

pub(crate) fn endpoint(n: usize, seed: u8) -> (SocketAddr, Endpoint) {
    endpoint_of(n, seed, ListenTrust::Loopback)
}

fn endpoint_of(n: usize, seed: u8, trust: ListenTrust) -> (SocketAddr, Endpoint) {
    let addr = format!("10.0.0.{}:8737", n + 1).parse().unwrap();
    let config = EndpointConfig {
        listen: (n > 0).then_some(trust),
        port: 8737,
        ..EndpointConfig::default()
    };
    (addr, Endpoint::new(config, [n as u8 ^ seed; 32]))
}

impl Node {
    pub(crate) fn new(addr: SocketAddr, endpoint: Endpoint) -> Self {
        Self {
            addr,
            other: None,
            endpoint,
            joined: false,
            joins: Vec::new(),
            refuses: None,
            slow: false,
            asked: VecDeque::new(),
            begun: 0,
            refreshed: false,
            counters: Counters::default(),
            counted: 0,
            dead: false,
        }
    }

    /// Its system answers what it was asked first to join; whether it was asked.
    pub(crate) fn answer(&mut self, now: Instant) -> bool {
        let Some((receiver, group)) = self.asked.pop_front() else { return false };
        self.joined = self.refuses != Some(group);
        let result = if self.joined { Ok(()) } else { Err(format!("{group} is refused")) };
        self.endpoint.handle_join(now, receiver, result);
        true
    }

    fn act(&mut self, now: Instant, action: &Action) {
        match *action {
            Action::Join { receiver, group, .. } => {
                self.joins.push(group);
                self.asked.push_back((receiver, group));
                if !self.slow {
                    self.answer(now);
                }
            }
            Action::Refresh { .. } => self.refreshed = true,
            Action::Begun { .. } => self.begun += 1,
            Action::Count { receiver, .. } => {
                self.counted += 1;
                self.endpoint.handle_count(now, receiver, self.counters);
            }
            Action::Leave { .. } => self.joined = false,
        }
    }
}

impl Net {
    pub(crate) fn new(receivers: usize, seed: u8, path: Path) -> Self {
        Self::of((0..=receivers).map(|n| endpoint(n, seed)), path)
    }

    /// Nothing is sealed: whoever is on the way can say what an insider can.
    pub(crate) fn plain(receivers: usize, seed: u8, path: Path) -> Self {
        let ends = (0..=receivers).map(|n| endpoint_of(n, seed, ListenTrust::Plaintext));
        Self::of(ends, path)
    }

    /// Of these endpoints; the first of them is to send.
    pub(crate) fn of(ends: impl Iterator<Item = (SocketAddr, Endpoint)>, path: Path) -> Self {
        let nodes = ends.map(|(addr, endpoint)| Node::new(addr, endpoint));
        Self {
            now: Instant::from_nanos(1),
            nodes: nodes.collect(),
            path,
            transmits: 0,
            beside: Beside::default(),
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) fn peers(&self) -> Vec<SocketAddr> {
        self.nodes[1..].iter().map(|n| n.addr).collect()
    }

    /// Everything that the endpoints want to do now.
    pub(crate) fn pump(&mut self) {
        let mut buf = vec![0; 1 << 16];
        for n in 0..self.nodes.len() {
            if self.nodes[n].dead {
                continue;
            }
            let (addr, other) = (self.nodes[n].addr, self.nodes[n].other);
            while let Some(t) = self.nodes[n].endpoint.poll_transmit(self.now, &mut buf) {
                self.transmits += 1;
                let from = other.filter(|other| t.from == Some(other.ip())).unwrap_or(addr);
                for bytes in buf[..t.len].chunks(t.segment_size) {
                    self.send(&Packet { to: t.to, from, bytes: bytes.to_vec() });
                }
            }
            while let Some(action) = self.nodes[n].endpoint.poll_action() {
                self.nodes[n].act(self.now, &action);
            }
            while self.nodes[n].endpoint.poll_event().is_some() {}
        }
        let beside = core::mem::take(&mut *self.beside.borrow_mut());
        for (n, delay, packet) in beside {
            self.fly(n, delay, packet);
        }
    }

    fn send(&mut self, packet: &Packet) {
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let group = node.joined && node.joins.last() == Some(&packet.to);
            if !(group || node.addr == packet.to || node.other == Some(packet.to)) {
                continue;
            }
            for (delay, packet) in (self.path)(self.now, n, packet.clone()) {
                self.count += 1;
                self.flying.insert((self.now + delay, self.count), (n, packet));
            }
        }
    }

    /// Puts a datagram on its last way, to a node: it passes no path.
    pub(crate) fn fly(&mut self, n: usize, delay: Duration, packet: Packet) {
        self.count += 1;
        self.flying.insert((self.now + delay, self.count), (n, packet));
    }

    /// Lets time pass to whatever is next; false if nothing is.
    pub(crate) fn step(&mut self) -> bool {
        self.pump();
        let alive = self.nodes.iter().filter(|n| !n.dead);
        let timers = alive.filter_map(|n| n.endpoint.poll_timeout());
        let Some(next) = timers.chain(self.flying.keys().next().map(|k| k.0)).min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(first) = self.flying.first_entry()
            && first.key().0 <= self.now
        {
            let (n, mut packet) = first.remove();
            let arrival = Arrival {
                from: packet.from,
                to: Some(packet.to.ip()),
                ifindex: 1,
                ecn: 0,
                stride: packet.bytes.len(),
            };
            if !self.nodes[n].dead {
                self.nodes[n].endpoint.handle_datagram(self.now, &arrival, &mut packet.bytes);
            }
        }
        for node in self.nodes.iter_mut().filter(|n| !n.dead) {
            if node.endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                node.endpoint.handle_timeout(self.now);
            }
        }
        true
    }

    /// Lets time pass as long as `going` says so, up to `limit`; whether that was in time.
    pub(crate) fn run(
        &mut self,
        limit: Duration,
        mut going: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let until = self.now + limit;
        let (mut same, mut last) = (0, self.now);
        while going(self) {
            if !self.step() || self.now > until {
                return !going(self);
            }
            same = if self.now == last { same + 1 } else { 0 };
            last = self.now;
            assert!(same < 1000, "time stands still at {:?}", self.now);
        }
        true
    }
}

pub(crate) fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

pub(crate) fn group() -> Group {
    Group { addr: "239.255.1.2:8737".parse().unwrap(), source: None }
}

pub(crate) fn source(len: u64, delivery: Delivery, group: Option<Group>) -> SessionConfig {
    SessionConfig {
        group,
        delivery,
        content: Content::Source { len: Some(len) },
        ..SessionConfig::default()
    }
}

/// The application's side: a sender's bytes, and receivers that check each byte.
pub(crate) struct App {
    pub(crate) session: SessionId,
    pub(crate) len: u64,
    pub(crate) written: u64,
    pub(crate) ids: Vec<Option<ReceiverId>>,
    pub(crate) got: Vec<u64>,
    pub(crate) errors: Vec<Option<Reason>>,
    /// Bytes may have been changed on the way.
    pub(crate) careless: bool,
}

impl App {
    pub(crate) fn new(net: &mut Net, config: SessionConfig, len: u64) -> Self {
        Self::with(net, config, len, SenderTrust::Loopback)
    }

    pub(crate) fn with(net: &mut Net, config: SessionConfig, len: u64, trust: SenderTrust) -> Self {
        let peers: Vec<_> = net.peers().into_iter().map(|peer| vec![peer]).collect();
        Self::to_any(net, config, len, trust, &peers)
    }

    /// To receivers of several addresses each; their number need not be that of the nodes.
    pub(crate) fn to_any(
        net: &mut Net,
        config: SessionConfig,
        len: u64,
        trust: SenderTrust,
        peers: &[Vec<SocketAddr>],
    ) -> Self {
        let ring = matches!(config.content, Content::Stream { .. });
        let session = net.nodes[0].endpoint.connect_any(net.now, config, trust, peers).unwrap();
        if !ring {
            net.nodes[0].endpoint.finish(net.now, session);
        }
        let n = net.nodes.len() - 1;
        let (ids, got, errors) = (vec![None; n], vec![0; n], vec![None; n]);
        // A source is asked for its bytes, and nothing is written.
        let written = if ring { 0 } else { len };
        Self { session, len, written, ids, got, errors, careless: false }
    }

    /// Writes, supplies and reads all that can be.
    pub(crate) fn serve(&mut self, net: &mut Net) {
        self.feed(net);
        self.take(net);
    }

    /// The sending side's part of that.
    pub(crate) fn feed(&mut self, net: &mut Net) {
        let now = net.now;
        let sender = &mut net.nodes[0].endpoint;
        while let Some(need) = sender.next_need(self.session) {
            let bytes: Vec<u8> = (need.start..need.end).map(byte).collect();
            sender.supply(now, self.session, need.start, bytes.into());
        }
        if self.written < self.len {
            let end = self.len.min(self.written + (1 << 20));
            let bytes: Vec<u8> = (self.written..end).map(byte).collect();
            self.written += sender.write(now, self.session, &bytes) as u64;
            if self.written == self.len {
                sender.finish(now, self.session);
            }
        }
    }

    fn take(&mut self, net: &mut Net) {
        (0..self.ids.len()).for_each(|n| self.take_at(net, n));
    }

    /// One receiving side's part.
    pub(crate) fn take_at(&mut self, net: &mut Net, n: usize) {
        let now = net.now;
        {
            let endpoint = &mut net.nodes[n + 1].endpoint;
            self.ids[n] = self.ids[n].or_else(|| endpoint.accept());
            if let Some(id) = self.ids[n]
                && endpoint.closed(id).is_none()
            {
                self.read(endpoint, now, n, id);
            }
        }
    }

    fn read(&mut self, endpoint: &mut Endpoint, now: Instant, n: usize, id: ReceiverId) {
        let mut buf = vec![0; 1 << 16];
        loop {
            match endpoint.read(now, id, &mut buf) {
                Ok(ReadOutcome::Data { offset, len }) => {
                    let right = (offset..).zip(&buf[..len]).all(|(at, b)| *b == byte(at));
                    assert!(right || self.careless, "wrong bytes at {offset}");
                    self.got[n] += len as u64;
                }
                Ok(ReadOutcome::End { len }) => {
                    assert!(self.careless || (len, self.got[n]) == (self.len, self.len));
                    endpoint.close(now, id, Ok(()));
                    return;
                }
                Ok(ReadOutcome::Empty) => return,
                Err(why) => {
                    self.errors[n] = Some(why);
                    return;
                }
            }
        }
    }

    pub(crate) fn done(&self, net: &Net) -> bool {
        net.nodes[0].endpoint.session_state(self.session) == SessionState::Done
    }

    /// Runs until every member has its outcome; whether that came within `limit`.
    pub(crate) fn finish(&mut self, net: &mut Net, limit: Duration) -> bool {
        net.run(limit, |net| {
            self.serve(net);
            !self.done(net)
        })
    }
}

/// Gives a receiver a buffer of this many bytes.
pub(crate) fn small(net: &mut Net, n: usize, buffer: usize) {
    let config = EndpointConfig {
        listen: Some(ListenTrust::Loopback),
        port: 8737,
        recv_buffer: buffer,
        recv_buffer_max: buffer,
        ..Default::default()
    };
    net.nodes[n].endpoint = Endpoint::new(config, [n as u8; 32]);
}

/// A member's outcome, once it has one.
pub(crate) fn outcome(net: &Net, app: &App, index: usize) -> Option<Result<(), Reason>> {
    let member = MemberId { session: app.session, index };
    net.nodes[0].endpoint.report(net.now, member)?.outcome
}
