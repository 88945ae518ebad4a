//! A private stream carries more than its first credit, either way, without any other traffic.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "writer and reader on threads of their own"
)]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread;
use tcpxm::api::{ListenOptions, Listener, Receiver, Sender, SenderOptions};
use tcpxm::trust::{ListenTrust, SenderTrust};

/// Longer than any wait here takes; a test that reaches it has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Several times the first credit, 64 KiB.
const LEN: usize = 1 << 20;

fn pair() -> (Sender, Receiver) {
    let options =
        ListenOptions::new((Ipv4Addr::new(127, 0, 0, 5), 0).into(), ListenTrust::Loopback);
    let listener = Listener::bind(options).unwrap();
    let sender =
        Sender::connect(SenderOptions::new(SenderTrust::Loopback), &[listener.local_addr()])
            .unwrap();
    let receiver = listener.accept_timeout(LIMIT).unwrap();
    (sender, receiver)
}

/// Bytes that do not repeat themselves within any credit: a piece that is lost, doubled or moved
/// shows.
fn content() -> Vec<u8> {
    (0..LEN as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn carries(mut to: impl Write + Send + 'static, mut from: impl Read + Send + 'static) {
    thread::spawn(move || to.write_all(&content()));
    let (done, whole) = mpsc::channel();
    thread::spawn(move || {
        let mut got = vec![0; LEN];
        done.send(from.read_exact(&mut got).map(|()| got).map_err(|e| e.to_string()))
    });
    let got = whole.recv_timeout(LIMIT).expect("the writer was not told of its new credit");
    let (got, sent) = (got.unwrap(), content());
    let wrong = got.iter().zip(&sent).position(|(got, sent)| got != sent);
    assert_eq!(wrong, None, "the first byte that is not what was written");
}

#[test]
fn both_ends_know_their_association_by_the_same_binding() {
    let (sender, receiver) = pair();
    let binding = sender.member(0).binding().unwrap();
    assert_eq!(receiver.binding(), Some(binding));
    assert_eq!(sender.member(0).try_binding().unwrap(), binding);
    let (another, _receiver) = pair();
    assert_ne!(another.member(0).binding().unwrap(), binding);
}

#[test]
fn a_member_is_written_more_than_its_first_credit() {
    let (sender, receiver) = pair();
    carries(sender.member(0), receiver.control());
}

#[test]
fn the_sender_is_written_more_than_its_first_credit() {
    let (sender, receiver) = pair();
    carries(receiver.control(), sender.member(0));
}
