//! Endpoints joined through memory, in virtual time: no socket, no system call; losses only if asked
//! for.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{self, Duration};
use tcpxm::config::{Content, Delivery, EndpointConfig, Group, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{
    Action, Arrival, Event, ReadOutcome, ReceiverId, SessionId, SessionState, Transmit,
};
use tcpxm::proto::time::Instant;
use tcpxm::trust::{ListenTrust, Secret, SenderTrust};

/// Payload of a full segment on IPv4: 1500 B of MTU less 20 IP, 8 UDP and 52 of our own.
pub(crate) const SEGMENT: u64 = 1420;
/// Virtual time of half a round trip.
const STEP: Duration = Duration::from_micros(50);
/// Largest train: the largest UDP payload over IPv4.
const TRAIN: usize = 65_507;
/// No session of this length takes so many rounds; one that does stands still.
const ROUNDS: usize = 1_000_000;

/// What all ends share.
fn secret() -> Arc<Secret> {
    Arc::new(Secret::from_line(b"shared by the ends of this benchmark").expect("long enough"))
}

/// One receiving endpoint.
struct Member {
    addr: SocketAddr,
    endpoint: Endpoint,
    session: Option<ReceiverId>,
    joined: bool,
    ended: bool,
    got: u64,
}

/// Where the real time of a session went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// In the sender: segments written.
    pub(crate) emit: Duration,
    /// In the receivers: segments taken apart and put into the buffer.
    pub(crate) take: Duration,
    /// In the receivers: acknowledgements written; in the sender: acknowledgements taken.
    pub(crate) acknowledge: Duration,
}

/// A sender and its receivers.
pub(crate) struct World {
    len: u64,
    pub(crate) spent: Spent,
    now: Instant,
    addr: SocketAddr,
    sender: Endpoint,
    session: SessionId,
    group: Option<SocketAddr>,
    members: Vec<Member>,
    /// One block of content; every need is answered from it.
    block: Arc<[u8]>,
    train: Vec<u8>,
    copy: Vec<u8>,
    chunk: Vec<u8>,
    /// One in so many datagrams is lost on the way to each receiver, another one to each.
    losing: Option<u64>,
    /// Datagrams that were put on the ways to receivers.
    passed: u64,
}

impl World {
    /// A session of `len` bytes, at `rate` bits a second; full segments are those of Ethernet. One
    /// in `losing` datagrams is lost on the way to each receiver.
    pub(crate) fn new(
        (receivers, group): (u8, bool),
        len: u64,
        rate: Option<u64>,
        losing: Option<u64>,
    ) -> Self {
        let trust = (SenderTrust::Secret(secret()), ListenTrust::Secret(vec![secret()]));
        Self::trusting(trust, (receivers, group), len, rate, losing)
    }

    /// The same, sealed in this way.
    pub(crate) fn trusting(
        (send, listen): (SenderTrust, ListenTrust),
        (receivers, group): (u8, bool),
        len: u64,
        rate: Option<u64>,
        losing: Option<u64>,
    ) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        let group = group.then(|| SocketAddr::from((Ipv4Addr::new(239, 255, 1, 1), 8737)));
        let listening = |port| EndpointConfig {
            listen: Some(listen.clone()),
            port,
            ..EndpointConfig::default()
        };
        let members: Vec<Member> = (2..2 + receivers)
            .map(|host| Member {
                addr: SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 8737)),
                endpoint: Endpoint::new(listening(8737), [host; 32]),
                session: None,
                joined: false,
                ended: false,
                got: 0,
            })
            .collect();
        let peers: Vec<SocketAddr> = members.iter().map(|member| member.addr).collect();
        let config = SessionConfig {
            group: group.map(|addr| Group { addr, source: None }),
            delivery: Delivery::Unordered,
            content: Content::Source { len: Some(len) },
            mtu: 1500,
            rate,
            ..SessionConfig::default()
        };
        let now = Instant::ZERO;
        let mut sender = Endpoint::new(EndpointConfig::default(), [1; 32]);
        let session = sender.connect(now, config, send, &peers).expect("a sound session");
        Self {
            len,
            spent: Spent::default(),
            now,
            addr,
            sender,
            session,
            group,
            members,
            block: vec![0x5a; 1 << 20].into(),
            train: vec![0; TRAIN],
            copy: vec![0; TRAIN],
            chunk: vec![0; 64 << 10],
            losing,
            passed: 0,
        }
    }

    /// Pumps until each receiver has `goal` bytes; with the whole length, until the session is over.
    /// Gives the number of bytes that were sent again meanwhile.
    pub(crate) fn run_to(&mut self, goal: u64) -> u64 {
        let before = self.sender.sent(self.session).repaired_bytes;
        if goal >= self.len {
            self.sender.finish(self.now, self.session);
        }
        for _ in 0..ROUNDS {
            self.supply();
            let moved = self.outwards() | self.backwards();
            while self.sender.poll_event().is_some() {}
            let done = self.sender.session_state(self.session) == SessionState::Done;
            let got = self.members.iter().map(|member| member.got).min();
            if done || goal < self.len && got >= Some(goal) {
                assert!(!done || self.members.iter().all(|member| member.ended));
                assert!(got >= Some(goal));
                return self.sender.sent(self.session).repaired_bytes - before;
            }
            self.advance(moved);
        }
        panic!("the session stands still");
    }

    /// Half a round trip later, or when the next timer is due if nothing moves.
    fn advance(&mut self, moved: bool) {
        let timers = self.members.iter().map(|member| &member.endpoint).chain([&self.sender]);
        let due = timers.filter_map(Endpoint::poll_timeout).min();
        self.now = match due {
            Some(due) if !moved => due.max(self.now + STEP),
            _ => self.now + STEP,
        };
        let now = self.now;
        let endpoints = self.members.iter_mut().map(|member| &mut member.endpoint);
        for endpoint in endpoints.chain([&mut self.sender]) {
            if endpoint.poll_timeout().is_some_and(|due| due <= now) {
                endpoint.handle_timeout(now);
            }
        }
    }

    /// Answers what the session asks for.
    fn supply(&mut self) {
        while let Some(need) = self.sender.next_need(self.session) {
            let len = (need.end - need.start) as usize;
            let bytes = if len == self.block.len() {
                Arc::clone(&self.block)
            } else {
                vec![0x5a; len].into()
            };
            self.sender.supply(self.now, self.session, need.start, bytes);
        }
    }

    /// From the sender to those it addresses.
    fn outwards(&mut self) -> bool {
        let mut moved = false;
        loop {
            let before = time::Instant::now();
            let transmit = self.sender.poll_transmit(self.now, &mut self.train);
            self.spent.emit += before.elapsed();
            let Some(transmit) = transmit else { break };
            moved = true;
            for member in &mut self.members {
                let to_group = member.joined && self.group == Some(transmit.to);
                if to_group || member.addr == transmit.to {
                    // Each gets its own bytes, as from a socket: they are opened in place.
                    let bytes = &mut self.copy[..transmit.len];
                    bytes.copy_from_slice(&self.train[..transmit.len]);
                    let arrival = arrival(self.addr, &transmit);
                    let before = time::Instant::now();
                    match self.losing {
                        None => member.endpoint.handle_datagram(self.now, &arrival, bytes),
                        Some(many) => {
                            for datagram in bytes.chunks_mut(transmit.segment_size) {
                                self.passed += 1;
                                if !self.passed.is_multiple_of(many) {
                                    member.endpoint.handle_datagram(self.now, &arrival, datagram);
                                }
                            }
                        }
                    }
                    self.spent.take += before.elapsed();
                }
            }
        }
        moved
    }

    /// What the receivers do, and what they answer.
    fn backwards(&mut self) -> bool {
        let mut moved = false;
        for member in &mut self.members {
            member.serve(self.now, &mut self.chunk);
            let before = time::Instant::now();
            while let Some(transmit) = member.endpoint.poll_transmit(self.now, &mut self.train) {
                moved = true;
                let arrival = arrival(member.addr, &transmit);
                self.sender.handle_datagram(self.now, &arrival, &mut self.train[..transmit.len]);
            }
            self.spent.acknowledge += before.elapsed();
        }
        moved
    }
}

impl Member {
    /// Does what the engine asks for, reads what came, and gives the verdict at the end.
    fn serve(&mut self, now: Instant, chunk: &mut [u8]) {
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Join { receiver, .. } => {
                    self.joined = true;
                    self.endpoint.handle_join(now, receiver, Ok(()));
                }
                Action::Refresh { .. } | Action::Begun { .. } | Action::Count { .. } => {}
                Action::Leave { .. } => self.joined = false,
            }
        }
        while let Some(event) = self.endpoint.poll_event() {
            if event == Event::Incoming {
                self.session = self.endpoint.accept();
            }
        }
        let Some(session) = self.session.filter(|_| !self.ended) else { return };
        loop {
            match self.endpoint.read(now, session, chunk).expect("a session without faults") {
                ReadOutcome::Data { len, .. } => {
                    black_box(&chunk[..len]);
                    self.got += len as u64;
                }
                ReadOutcome::Empty => return,
                ReadOutcome::End { .. } => {
                    self.ended = true;
                    self.endpoint.close(now, session, Ok(()));
                    return;
                }
            }
        }
    }
}

/// How a train arrives.
fn arrival(from: SocketAddr, transmit: &Transmit) -> Arrival {
    Arrival { from, to: Some(transmit.to.ip()), ifindex: 1, ecn: 0, stride: transmit.segment_size }
}
