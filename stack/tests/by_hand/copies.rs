//! The engine with nothing around it: one sender, some receivers, datagrams passed by hand.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;
use tcpxm::config::{Content, Delivery, EndpointConfig, Group, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{
    Action, Arrival, ControlRead, MemberId, ReadOutcome, ReceiverId, SessionId, SessionState,
};
use tcpxm::proto::time::Instant;
use tcpxm::stats::Mode;
use tcpxm::trust::{ListenTrust, SenderTrust};

const DELAY: Duration = Duration::from_micros(500);
/// What takes longer than this in virtual time does not end. The longest waits here are ten seconds.
const LIMIT: Duration = Duration::from_secs(60);
/// What takes more steps than this does not end either: time might stand still.
const STEPS: u64 = 2_000_000;

struct Flying {
    at: Instant,
    to: SocketAddr,
    from: SocketAddr,
    bytes: Vec<u8>,
}

struct Net {
    now: Instant,
    nodes: Vec<(SocketAddr, Endpoint, bool)>,
    flying: VecDeque<Flying>,
    joins: bool,
    steps: u64,
}

impl Net {
    fn new(receivers: usize, joins: bool) -> Self {
        let mut nodes = Vec::new();
        for n in 0..=receivers {
            let addr: SocketAddr = format!("10.0.0.{}:8737", n + 1).parse().unwrap();
            let config = EndpointConfig {
                listen: (n > 0).then_some(ListenTrust::Loopback),
                port: 8737,
                ..EndpointConfig::default()
            };
            nodes.push((addr, Endpoint::new(config, [n as u8; 32]), false));
        }
        Self { now: Instant::from_nanos(1), nodes, flying: VecDeque::new(), joins, steps: 0 }
    }

    fn peers(&self) -> Vec<SocketAddr> {
        self.nodes[1..].iter().map(|n| n.0).collect()
    }

    fn pump(&mut self) {
        let mut buf = vec![0; 1 << 16];
        for n in 0..self.nodes.len() {
            while let Some(action) = self.nodes[n].1.poll_action() {
                if let Action::Join { receiver, .. } = action {
                    let result = if self.joins { Ok(()) } else { Err("no".to_owned()) };
                    self.nodes[n].2 = self.joins;
                    self.nodes[n].1.handle_join(self.now, receiver, result);
                }
            }
            let from = self.nodes[n].0;
            while let Some(t) = self.nodes[n].1.poll_transmit(self.now, &mut buf) {
                for bytes in buf[..t.len].chunks(t.segment_size) {
                    let at = self.now + DELAY;
                    self.flying.push_back(Flying { at, to: t.to, from, bytes: bytes.to_vec() });
                }
            }
            while self.nodes[n].1.poll_event().is_some() {}
        }
    }

    /// Lets time pass to whatever is next; panics when this goes on for ever.
    #[track_caller]
    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < STEPS, "no end after {STEPS} steps, at {:?}", self.now);
        assert!(self.now < Instant::ZERO + LIMIT, "no end within {LIMIT:?}");
        self.pump();
        let timers = self.nodes.iter().filter_map(|n| n.1.poll_timeout());
        let next = timers.chain(self.flying.front().map(|f| f.at)).min();
        let next = next.expect("something is still to come");
        self.now = self.now.max(next);
        while self.flying.front().is_some_and(|f| f.at <= self.now) {
            let f = self.flying.pop_front().unwrap();
            let group = f.to.ip().is_multicast();
            for (addr, endpoint, joined) in &mut self.nodes {
                if *addr == f.to || (group && *joined) {
                    let arrival = Arrival {
                        from: f.from,
                        to: Some(f.to.ip()),
                        ifindex: 1,
                        ecn: 0,
                        stride: f.bytes.len(),
                    };
                    endpoint.handle_datagram(self.now, &arrival, &mut f.bytes.clone());
                }
            }
        }
        for (_, endpoint, _) in &mut self.nodes {
            if endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
                endpoint.handle_timeout(self.now);
            }
        }
    }
}

fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn group() -> Group {
    Group { addr: "239.255.1.2:8737".parse().unwrap(), source: None }
}

/// Copies a source to all receivers; gives the session and the receivers' ids.
fn copy(net: &mut Net, config: SessionConfig, len: u64) -> SessionId {
    let peers = net.peers();
    let session = net.nodes[0].1.connect(net.now, config, SenderTrust::Loopback, &peers).unwrap();
    net.nodes[0].1.finish(net.now, session);
    let mut ids: Vec<Option<ReceiverId>> = vec![None; peers.len()];
    let mut got = vec![0; peers.len()];
    let mut buf = vec![0; 1 << 16];
    loop {
        net.step();
        let now = net.now;
        while let Some(need) = net.nodes[0].1.next_need(session) {
            let bytes: Vec<u8> = (need.start..need.end).map(byte).collect();
            net.nodes[0].1.supply(now, session, need.start, bytes.into());
        }
        for (n, id) in ids.iter_mut().enumerate() {
            let endpoint = &mut net.nodes[n + 1].1;
            *id = id.or_else(|| endpoint.accept());
            let Some(id) = *id else { continue };
            if endpoint.closed(id).is_some() {
                continue;
            }
            loop {
                match endpoint.read(now, id, &mut buf).unwrap() {
                    ReadOutcome::Data { offset, len } => {
                        for (k, b) in buf[..len].iter().enumerate() {
                            assert_eq!(*b, byte(offset + k as u64));
                        }
                        got[n] += len as u64;
                    }
                    ReadOutcome::Empty => break,
                    ReadOutcome::End { len: end } => {
                        assert_eq!((end, got[n]), (len, len));
                        endpoint.close(now, id, Ok(()));
                        break;
                    }
                }
            }
        }
        if net.nodes[0].1.session_state(session) == SessionState::Done {
            assert_eq!(got, vec![len; peers.len()]);
            return session;
        }
    }
}

fn source(len: u64, delivery: Delivery, group: Option<Group>) -> SessionConfig {
    SessionConfig {
        group,
        delivery,
        content: Content::Source { len: Some(len) },
        ..SessionConfig::default()
    }
}

#[test]
fn a_file_crosses_by_multicast_once() {
    for delivery in [Delivery::Ordered, Delivery::Unordered] {
        let mut net = Net::new(3, true);
        let len = 5_000_003;
        let session = copy(&mut net, source(len, delivery, Some(group())), len);
        let sent = net.nodes[0].1.sent(session);
        for index in 0..3 {
            let report = net.nodes[0].1.report(net.now, MemberId { session, index }).unwrap();
            assert_eq!(report.outcome, Some(Ok(())), "{report:?}");
            assert_eq!(report.mode, Mode::Multicast, "{report:?}");
            assert_eq!(report.arrived.total(), len);
            assert_eq!(report.arrived.repaired, 0, "{report:?}");
        }
        assert!(sent.group_bytes as f64 >= 0.9 * len as f64, "{sent:?}");
        assert!((sent.group_bytes + sent.unicast_bytes) as f64 <= 1.2 * len as f64, "{sent:?}");
    }
}

#[test]
fn receivers_that_cannot_join_get_it_by_unicast() {
    let mut net = Net::new(2, false);
    let session = copy(&mut net, source(3_000_000, Delivery::Unordered, Some(group())), 3_000_000);
    for index in 0..2 {
        let report = net.nodes[0].1.report(net.now, MemberId { session, index }).unwrap();
        assert_eq!((report.outcome, report.mode), (Some(Ok(())), Mode::Unicast));
        assert_eq!(report.arrived.unicast, 3_000_000);
    }
    assert_eq!(net.nodes[0].1.sent(session).group_bytes, 0);
}

#[test]
fn an_empty_stream_has_an_end_and_a_verdict() {
    let mut net = Net::new(2, true);
    let session = copy(&mut net, source(0, Delivery::Ordered, Some(group())), 0);
    let report = net.nodes[0].1.report(net.now, MemberId { session, index: 1 }).unwrap();
    assert_eq!(report.outcome, Some(Ok(())));
}

#[test]
fn a_stream_and_private_bytes_both_ways_and_all_is_freed() {
    let mut net = Net::new(1, true);
    let peers = net.peers();
    let config = SessionConfig { content: Content::Stream { ring: 9000 }, ..Default::default() };
    let session = net.nodes[0].1.connect(net.now, config, SenderTrust::Loopback, &peers).unwrap();
    let member = MemberId { session, index: 0 };
    let (mut written, mut got, mut id) = (0_u64, 0_u64, None);
    let (mut asked, mut answered) = (false, false);
    let mut buf = [0; 4096];
    while !answered || got < 100_000 {
        net.step();
        let now = net.now;
        if written < 100_000 {
            let bytes: Vec<u8> = (written..100_000).map(byte).collect();
            written += net.nodes[0].1.write(now, session, &bytes) as u64;
        }
        if !asked {
            asked = net.nodes[0].1.member_write(now, member, b"question") == Ok(8);
        }
        id = id.or_else(|| net.nodes[1].1.accept());
        let Some(id) = id else { continue };
        while let ReadOutcome::Data { offset, len } =
            net.nodes[1].1.read(now, id, &mut buf).unwrap()
        {
            assert_eq!(offset, got);
            assert!(buf[..len].iter().enumerate().all(|(k, b)| *b == byte(got + k as u64)));
            got += len as u64;
        }
        if let ControlRead::Data(n) = net.nodes[1].1.control_read(now, id, &mut buf).unwrap() {
            assert_eq!(&buf[..n], b"question");
            assert_eq!(net.nodes[1].1.control_write(now, id, b"answer"), Ok(6));
        }
        if let ControlRead::Data(n) = net.nodes[0].1.member_read(now, member, &mut buf).unwrap() {
            assert_eq!(&buf[..n], b"answer");
            answered = true;
        }
    }
    let id = id.unwrap();
    net.nodes[1].1.close(net.now, id, Err("no room".to_owned()));
    while net.nodes[1].1.closed(id).is_none() {
        net.step();
    }
    let report = net.nodes[0].1.report(net.now, member).unwrap();
    assert_eq!(report.outcome, Some(Err(Reason::Aborted("no room".to_owned()))));
    net.nodes[0].1.forget(net.now, session);
    net.nodes[1].1.release(net.now, id);
    while net.nodes.iter().any(|n| n.1.lingers()) {
        net.step();
    }
}

#[test]
fn who_never_answers_fails_and_holds_nobody_longer_than_a_second() {
    let mut net = Net::new(2, true);
    net.nodes[2].1 = Endpoint::new(EndpointConfig::default(), [9; 32]); // does not listen
    let config = source(1_000_000, Delivery::Unordered, Some(group()));
    let peers = net.peers();
    let session = net.nodes[0].1.connect(net.now, config, SenderTrust::Loopback, &peers).unwrap();
    net.nodes[0].1.finish(net.now, session);
    let mut id = None;
    let mut buf = vec![0; 1 << 16];
    while net.nodes[0].1.session_state(session) != SessionState::Done {
        net.step();
        let now = net.now;
        while let Some(need) = net.nodes[0].1.next_need(session) {
            let bytes: Vec<u8> = (need.start..need.end).map(byte).collect();
            net.nodes[0].1.supply(now, session, need.start, bytes.into());
        }
        id = id.or_else(|| net.nodes[1].1.accept());
        let Some(id) = id else { continue };
        while let Ok(outcome) = net.nodes[1].1.read(now, id, &mut buf) {
            match outcome {
                ReadOutcome::Data { .. } => {}
                ReadOutcome::End { .. } => {
                    net.nodes[1].1.close(now, id, Ok(()));
                    break;
                }
                ReadOutcome::Empty => break,
            }
        }
    }
    let good = net.nodes[0].1.report(net.now, MemberId { session, index: 0 }).unwrap();
    let bad = net.nodes[0].1.report(net.now, MemberId { session, index: 1 }).unwrap();
    assert_eq!(good.outcome, Some(Ok(())));
    assert!(good.duration < Duration::from_millis(2000), "{good:?}");
    assert_eq!(bad.outcome, Some(Err(Reason::NeverAnswered(Duration::from_secs(10)))));
}
