//! A receiver's port on which nobody listens: the system's own word for it ends the waiting.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real sockets and clocks")]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Instant;
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::error::{Reason, Unreachable};
use tcpxm::trust::{ListenTrust, SenderTrust};

/// A tenth of what an unanswered connect takes.
const SOON: Duration = Duration::from_secs(3);

/// A port that was free a moment ago, and that nobody else is given soon: ephemeral ports are
/// drawn at random.
fn unused(ip: IpAddr) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn only(ip: IpAddr) {
    let begin = Instant::now();
    let peers = [unused(ip)];
    let sender = Sender::connect(SenderOptions::new(SenderTrust::Loopback), &peers).unwrap();
    sender.finish();
    let reports = sender.wait();
    let why = Unreachable::Port(peers[0].port());
    assert_eq!(reports[0].outcome, Some(Err(Reason::Unreachable(why))));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn is_told_in_ipv4() {
    only(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn is_told_in_ipv6() {
    only(Ipv6Addr::LOCALHOST.into());
}

#[test]
fn does_not_hurt_the_others() {
    let listener = Listener::bind(ListenOptions::new(
        (Ipv4Addr::new(127, 0, 0, 2), 0).into(),
        ListenTrust::Loopback,
    ))
    .unwrap();
    let peers = [unused(Ipv4Addr::new(127, 0, 0, 3).into()), listener.local_addr()];
    let received = thread::spawn(move || {
        let mut receiver = listener.accept().unwrap();
        let mut bytes = Vec::new();
        receiver.read_to_end(&mut bytes).unwrap();
        receiver.close(Ok(())).unwrap();
        bytes
    });
    let mut sender = Sender::connect(SenderOptions::new(SenderTrust::Loopback), &peers).unwrap();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i >> 3) as u8).collect();
    sender.write_all(&bytes).unwrap();
    sender.finish();
    let reports = sender.wait();
    assert!(matches!(reports[0].outcome, Some(Err(Reason::Unreachable(_)))), "{:?}", reports[0]);
    assert_eq!(reports[1].outcome, Some(Ok(())));
    assert_eq!(received.join().unwrap(), bytes);
}
