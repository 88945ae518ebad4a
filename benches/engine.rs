//! The engine alone: endpoints joined through memory, in virtual time. No socket, no system call,
//! no loss; what is left is the cost of a segment in the engine, at the sender and every receiver.
//! Criterion's elements are full segments of the stream, counted once whatever the receivers.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tcpxm::config::{Content, Delivery, EndpointConfig, Group, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{
    Action, Arrival, Event, ReadOutcome, ReceiverId, SessionId, SessionState, Transmit,
};
use tcpxm::proto::time::Instant;

/// Bytes of one session.
const LEN: u64 = 16 << 20;
/// Payload of a full segment on IPv4: 1500 B of MTU less 20 IP, 8 UDP and 52 of our own.
const SEGMENT: u64 = 1420;
/// Virtual time of half a round trip.
const STEP: Duration = Duration::from_micros(50);
/// Largest train: the largest UDP payload over IPv4.
const TRAIN: usize = 65_507;
/// No session of this length takes so many rounds; one that does stands still.
const ROUNDS: usize = 1_000_000;

/// One receiving endpoint.
struct Member {
    addr: SocketAddr,
    endpoint: Endpoint,
    session: Option<ReceiverId>,
    joined: bool,
    ended: bool,
    got: u64,
}

/// A sender and its receivers.
struct World {
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
}

impl World {
    fn new(receivers: u8, group: bool) -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        let group = group.then(|| SocketAddr::from((Ipv4Addr::new(239, 255, 1, 1), 8737)));
        let listen = |port| EndpointConfig { listen: true, port, ..EndpointConfig::default() };
        let members: Vec<Member> = (2..2 + receivers)
            .map(|host| Member {
                addr: SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 8737)),
                endpoint: Endpoint::new(listen(8737), [host; 32]),
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
            content: Content::Source { len: LEN },
            ..SessionConfig::default()
        };
        let now = Instant::ZERO;
        let mut sender = Endpoint::new(EndpointConfig::default(), [1; 32]);
        let session = sender.connect(now, config, &peers).expect("a sound session");
        Self {
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
        }
    }

    /// Pumps the session to its end; the bytes that arrived, over all receivers.
    fn run(mut self) -> u64 {
        self.sender.finish(self.now, self.session);
        for _ in 0..ROUNDS {
            self.supply();
            let moved = self.outwards() | self.backwards();
            while self.sender.poll_event().is_some() {}
            if self.sender.session_state(self.session) == SessionState::Done {
                assert!(self.members.iter().all(|member| member.ended && member.got == LEN));
                return self.members.iter().map(|member| member.got).sum();
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
        while let Some(transmit) = self.sender.poll_transmit(self.now, &mut self.train) {
            moved = true;
            for member in &mut self.members {
                let to_group = member.joined && self.group == Some(transmit.to);
                if to_group || member.addr == transmit.to {
                    // Each gets its own bytes, as from a socket: they are opened in place.
                    let bytes = &mut self.copy[..transmit.len];
                    bytes.copy_from_slice(&self.train[..transmit.len]);
                    let arrival = arrival(self.addr, &transmit);
                    member.endpoint.handle_datagram(self.now, &arrival, bytes);
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
            while let Some(transmit) = member.endpoint.poll_transmit(self.now, &mut self.train) {
                moved = true;
                let arrival = arrival(member.addr, &transmit);
                self.sender.handle_datagram(self.now, &arrival, &mut self.train[..transmit.len]);
            }
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

fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(LEN.div_ceil(SEGMENT))).sample_size(10);
    for receivers in [1, 3] {
        for (name, by_group) in [("unicast", false), ("group", true)] {
            group.bench_function(BenchmarkId::new(name, receivers), |bencher| {
                bencher.iter_with_large_drop(|| black_box(World::new(receivers, by_group).run()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
