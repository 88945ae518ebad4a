//! A listener that is shut down: everybody is told, and nobody holds it up.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the port is bound again, by a socket that nobody serves; a line that is cut"
)]

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;
use tcpxm::api::{ListenOptions, Listener, Sender, SenderOptions};
use tcpxm::trust::{ListenTrust, SenderTrust};

const WHY: &str = "the house is closing";

/// Long enough for all that is said on loopback.
const WITHIN: Duration = Duration::from_millis(500);

fn told(sender: &Sender) -> String {
    sender.finish();
    sender.wait().remove(0).outcome.unwrap().unwrap_err().to_string()
}

#[test]
fn who_waits_or_comes_is_told_why_and_who_is_silent_holds_nothing_up() {
    let listener =
        Listener::bind(ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into(), ListenTrust::Loopback))
            .unwrap();
    let addr = listener.local_addr();
    let connect = || Sender::connect(SenderOptions::new(SenderTrust::Loopback), &[addr]).unwrap();
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

/// Carries datagrams between a sender and a listener; while it is cut it loses those of the
/// listener, and tells so. Its threads end with the process.
fn line(to: SocketAddr, cut: &Arc<AtomicBool>) -> (SocketAddr, mpsc::Receiver<()>) {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    far.connect(to).unwrap();
    let addr = near.local_addr().unwrap();
    let (back_near, back_far, cut) =
        (near.try_clone().unwrap(), far.try_clone().unwrap(), cut.clone());
    let (teller, lost) = mpsc::channel();
    thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        while let Ok((len, from)) = near.recv_from(&mut buf) {
            let _ = near.connect(from).and_then(|()| far.send(&buf[..len])); // there is one sender
        }
    });
    thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        while let Ok(len) = back_far.recv(&mut buf) {
            if cut.load(Ordering::SeqCst) {
                let _ = teller.send(());
            } else {
                let _ = back_near.send(&buf[..len]);
            }
        }
    });
    (addr, lost)
}

#[test]
fn a_verdict_that_was_given_before_still_gets_out() {
    let listener =
        Listener::bind(ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into(), ListenTrust::Loopback))
            .unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let (addr, lost) = line(listener.local_addr(), &cut);
    let sender = Sender::connect(SenderOptions::new(SenderTrust::Loopback), &[addr]).unwrap();
    (&sender).write_all(b"all of it").unwrap();
    sender.finish();
    let mut receiver = listener.accept().unwrap();
    receiver.read_to_end(&mut Vec::new()).unwrap();
    cut.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let verdict = scope.spawn(|| receiver.close(Ok(())));
        lost.recv().unwrap();
        listener.closer().shut_down(WHY, 10 * WITHIN);
        cut.store(false, Ordering::SeqCst);
        assert_eq!(sender.wait().remove(0).outcome, Some(Ok(())));
        assert_eq!(verdict.join().unwrap(), Ok(()));
    });
}

/// Carries datagrams between a sender and a listener; of the sender's only the first, until it is told to
/// let the others pass.
fn held_back(to: SocketAddr) -> (SocketAddr, mpsc::Sender<()>) {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    far.connect(to).unwrap();
    let addr = near.local_addr().unwrap();
    let (back_near, back_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let (release, released) = mpsc::channel();
    thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        let mut first = true;
        while let Ok((len, from)) = near.recv_from(&mut buf) {
            if !std::mem::take(&mut first) {
                let _ = released.recv(); // once it is told, and gone, this waits no more
            }
            let _ = near.connect(from).and_then(|()| far.send(&buf[..len])); // there is one sender
        }
    });
    thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        while let Ok(len) = back_far.recv(&mut buf) {
            let _ = back_near.send(&buf[..len]);
        }
    });
    (addr, release)
}

/// How a program's end waits for the listener's.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// It drops the last handle.
    Drop,
    /// Another thread drops that.
    Closed,
}

#[test]
fn who_takes_itself_to_be_connected_is_told_before_the_listener_goes() {
    told_before_it_goes(Waits::Drop);
}

#[test]
fn and_before_the_end_that_another_thread_waits_for() {
    told_before_it_goes(Waits::Closed);
}

fn told_before_it_goes(waits: Waits) {
    let listener =
        Listener::bind(ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into(), ListenTrust::Loopback))
            .unwrap();
    let (addr, release) = held_back(listener.local_addr());
    let sender = Sender::connect(SenderOptions::new(SenderTrust::Loopback), &[addr]).unwrap();
    // Its third message is on the way, and the listener has nobody yet.
    sender.wait_started().unwrap();
    let closer = listener.closer();
    closer.shut_down(WHY, 10 * WITHIN);
    let (teller, gone) = mpsc::channel();
    let going = thread::spawn(move || {
        match waits {
            Waits::Drop => drop(listener),
            Waits::Closed => {
                thread::spawn(move || drop(listener));
                closer.wait_closed();
            }
        }
        let _ = teller.send(());
    });
    let early = gone.recv_timeout(WITHIN / 2);
    assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout), "it has gone");
    drop(release);
    let why = told(&sender);
    assert!(why.contains(WHY), "{why}");
    going.join().unwrap();
}
