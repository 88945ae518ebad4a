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

/// Longer than any wait here takes; a test that reaches it has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// Several times the first credit, 64 KiB.
const LEN: usize = 1 << 20;

fn pair() -> (Sender, Receiver) {
    let options = ListenOptions::new((Ipv4Addr::new(127, 0, 0, 5), 0).into());
    let listener = Listener::bind(options).unwrap();
    let sender = Sender::connect(SenderOptions::default(), &[listener.local_addr()]).unwrap();
    let receiver = listener.accept_timeout(LIMIT).unwrap();
    (sender, receiver)
}

fn carries(mut to: impl Write + Send + 'static, mut from: impl Read + Send + 'static) {
    thread::spawn(move || to.write_all(&vec![7; LEN]));
    let (done, whole) = mpsc::channel();
    thread::spawn(move || done.send(from.read_exact(&mut vec![0; LEN]).map_err(|e| e.to_string())));
    assert_eq!(whole.recv_timeout(LIMIT), Ok(Ok(())), "the writer was not told of its new credit");
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
