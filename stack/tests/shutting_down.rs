//! A listener that is shut down: everybody is told, and nobody holds it up.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the port is bound again, by a socket that nobody serves"
)]

use core::time::Duration;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};

const WHY: &str = "the house is closing";

/// Long enough for all that is said on loopback.
const WITHIN: Duration = Duration::from_millis(500);

fn told(sender: &Sender) -> String {
    sender.finish();
    sender.wait().remove(0).outcome.unwrap().unwrap_err().to_string()
}

#[test]
fn who_waits_or_comes_is_told_why_and_who_is_silent_holds_nothing_up() {
    let listener = Listener::bind(ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let addr = listener.local_addr();
    let connect = || Sender::connect(SenderOptions::default(), &[addr]).unwrap();
    let accepted = connect();
    let receiver = listener.accept().unwrap();
    let waiting = connect();
    waiting.wait_started().unwrap();
    let begin = Instant::now();
    listener.closer().shut_down(WHY, WITHIN);
    let late = connect();
    for sender in [&waiting, &late] {
        let why = told(sender);
        assert!(why.contains(WHY), "{why}");
    }
    assert!(listener.accept().is_err());
    // The application has not said a word about this one, and nothing is read: it ends all the same.
    let outcome = receiver.read_at(&mut [0; 10]);
    assert!(outcome.is_err(), "{outcome:?}");
    let took = begin.elapsed();
    assert!(took >= WITHIN && took < 2 * WITHIN, "{took:?}");
    UdpSocket::bind(addr).expect("its port is free, though its handles live");
    drop((receiver, listener));
    assert!(begin.elapsed() < 2 * WITHIN, "the last handle waits for nothing");
    accepted.abort("over");
}
