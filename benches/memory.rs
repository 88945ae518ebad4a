//! What a receiving endpoint keeps of sessions that are over: nothing. Waves of them begin, go idle, are
//! given up and released.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tcpxm::config::{Content, EndpointConfig, Group, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::endpoint::held::Held;
use tcpxm::proto::event::{Action, Arrival, ReadOutcome, ReceiverId};
use tcpxm::proto::time::Instant;
use tcpxm::trust::{ListenTrust, Secret, SenderTrust};

const WAVES: u32 = 10;
const SESSIONS: u32 = 1000;
/// What waves may leave: room that one datagram or one turn needed, and the next uses again; measured at
/// 80 kB after the first wave, and after the last.
const KEPT: i64 = 128 << 10;

fn secret() -> Arc<Secret> {
    Arc::new(Secret::from_line(&[b's'; 32]).expect("a line of 32 characters"))
}

/// A receiver, and its application.
struct Receiving {
    addr: SocketAddr,
    endpoint: Endpoint,
    accepted: Vec<ReceiverId>,
    buf: Vec<u8>,
}

impl Receiving {
    fn new() -> Self {
        let listen = Some(ListenTrust::Secret(vec![secret()]));
        let config = EndpointConfig { listen, port: 8737, ..EndpointConfig::default() };
        let addr = (Ipv4Addr::new(10, 0, 0, 1), 8737).into();
        let (accepted, buf) = (Vec::with_capacity(SESSIONS as usize), vec![0; 1 << 16]);
        Self { addr, endpoint: Endpoint::new(config, [7; 32]), accepted, buf }
    }

    /// Whatever it has to do now, its datagrams to `to`.
    fn pump(&mut self, now: Instant, to: Option<(&mut Endpoint, SocketAddr)>) {
        let mut to = to;
        while let Some(t) = self.endpoint.poll_transmit(now, &mut self.buf) {
            if let Some((peer, addr)) = &mut to
                && t.to == *addr
            {
                give(peer, now, self.addr, &mut self.buf[..t.len]);
            }
        }
        while let Some(action) = self.endpoint.poll_action() {
            if let Action::Join { receiver, .. } = action {
                self.endpoint.handle_join(now, receiver, Ok(()));
            }
        }
        while self.endpoint.poll_event().is_some() {}
        while let Some(id) = self.endpoint.accept() {
            self.accepted.push(id);
        }
    }

    /// What has ended is released.
    fn release(&mut self, now: Instant) {
        let endpoint = &mut self.endpoint;
        self.accepted.retain(|id| {
            while let Ok(ReadOutcome::Data { .. }) = endpoint.read(now, *id, &mut self.buf) {}
            let over = endpoint.over(*id).is_some();
            if over {
                endpoint.release(now, *id);
            }
            !over
        });
    }
}

fn give(to: &mut Endpoint, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
    let arrival = Arrival { from, to: None, ifindex: 1, ecn: 0, stride: bytes.len() };
    to.handle_datagram(now, &arrival, bytes);
}

/// A session that is established and has brought some bytes; then its sender is gone.
fn begin(receiving: &mut Receiving, now: Instant, from: SocketAddr, seed: u32) {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    let mut sender = Endpoint::new(EndpointConfig::default(), bytes);
    let config = SessionConfig {
        group: Some(Group { addr: (Ipv4Addr::new(239, 255, 1, 1), 8737).into(), source: None }),
        content: Content::Stream { ring: 1 << 18 },
        ..SessionConfig::default()
    };
    let trust = SenderTrust::Secret(secret());
    let peers = [receiving.addr, (Ipv4Addr::new(10, 0, 0, 2), 8737).into()];
    let session = sender.connect(now, config, trust, &peers).expect("a sound session");
    let mut buf = vec![0; 1 << 16];
    let mut at = now;
    for _ in 0..4 {
        sender.write(at, session, &[7; 1 << 13]);
        while let Some(t) = sender.poll_transmit(at, &mut buf) {
            if t.to == receiving.addr {
                buf[..t.len]
                    .chunks_mut(t.segment_size)
                    .for_each(|bytes| give(&mut receiving.endpoint, at, from, bytes));
            }
        }
        receiving.pump(at, Some((&mut sender, from)));
        at += Duration::from_millis(400); // sending begins though the other does not answer
        sender.handle_timeout(at);
    }
}

/// Sessions that begin together, and end by their silence.
fn wave(receiving: &mut Receiving, now: &mut Instant, wave: u32) {
    for n in 0..SESSIONS {
        let from = (Ipv4Addr::from_bits(0x0a01_0000 + n), 4000).into();
        begin(receiving, *now, from, wave * SESSIONS + n);
    }
    assert_eq!(receiving.accepted.len(), SESSIONS as usize);
    assert_eq!(receiving.endpoint.held().receivers, SESSIONS as usize);
    while let Some(at) = receiving.endpoint.poll_timeout() {
        *now = (*now).max(at);
        receiving.endpoint.handle_timeout(*now);
        receiving.pump(*now, None);
        receiving.release(*now);
        receiving.pump(*now, None);
    }
    assert_eq!(receiving.endpoint.held(), Held::default(), "something is kept of wave {wave}");
}

#[test]
fn waves_of_idle_sessions_leave_nothing_behind() {
    let mut receiving = Receiving::new();
    let mut now = Instant::ZERO + Duration::from_secs(1);
    let mut kept = 0;
    for n in 0..WAVES {
        let counted = allocation_counter::measure(|| wave(&mut receiving, &mut now, n));
        kept += counted.bytes_current;
        assert!(counted.bytes_max > 1 << 20, "the sessions cost something: {counted:?}");
        assert!(kept < KEPT, "{kept} bytes after wave {n}: {counted:?}");
    }
}
