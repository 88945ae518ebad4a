//! A receiver that stops reading: the others get everything and end; it can be given up.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "receivers on threads of their own"
)]

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use tcpxm::api::{ListenOptions, Listener, Receiver, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, Group};
use tcpxm::error::Reason;
use tcpxm::proto::event::ReadOutcome;
use tcpxm::trust::{ListenTrust, SenderTrust};

/// Longer than any wait here takes; a test that reaches it has failed.
const LIMIT: Duration = Duration::from_secs(30);
/// More than any receive buffer holds.
const LEN: u64 = 24 << 20;

/// Reads to the end of a source session; gives what the close gave.
fn take_all(receiver: &Receiver) -> Result<(), Reason> {
    let mut buf = vec![0; 1 << 18];
    let mut got = 0;
    loop {
        match receiver.read_at(&mut buf).unwrap() {
            ReadOutcome::Data { offset, len } => {
                assert!(buf[..len].iter().enumerate().all(|(k, b)| *b == byte(offset + k as u64)));
                got += len as u64;
            }
            ReadOutcome::End { len } => {
                assert_eq!((got, len), (LEN, LEN));
                return receiver.close(Ok(()));
            }
            ReadOutcome::Empty => unreachable!("a blocking read gives something"),
        }
    }
}

fn byte(offset: u64) -> u8 {
    (offset >> 7) as u8 ^ offset as u8
}

fn listener(last: u8) -> (Listener, SocketAddr) {
    let options =
        ListenOptions::new((Ipv4Addr::new(127, 0, 0, last), 0).into(), ListenTrust::Loopback);
    let listener = Listener::bind(options).unwrap();
    let addr = listener.local_addr();
    (listener, addr)
}

#[test]
fn the_others_end_and_it_can_be_given_up() {
    let listeners: Vec<_> = (2..=4).map(listener).collect();
    let peers: Vec<_> = listeners.iter().map(|l| l.1).collect();
    let mut options = SenderOptions::new(SenderTrust::Loopback);
    let addr = "239.255.71.9:47109".parse().unwrap();
    options.session.group = Some(Group { addr, source: None });
    options.session.content = Content::Source { len: Some(LEN) };
    options.session.delivery = Delivery::Unordered;
    let sender = Sender::connect(options, &peers).unwrap();
    sender.finish();

    let (closed, ends) = mpsc::channel();
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let mut listeners = listeners.into_iter();
        let (idle, _) = listeners.next().unwrap();
        scope.spawn(move || {
            let receiver = idle.accept_timeout(LIMIT).unwrap();
            let _ = stopped.recv(); // reads nothing until the end of the test
            let mut buf = vec![0; 1 << 20];
            while let Ok(ReadOutcome::Data { .. } | ReadOutcome::Empty) = receiver.read_at(&mut buf)
            {
            }
        });
        for (listener, _) in listeners {
            let closed = closed.clone();
            scope.spawn(move || {
                let receiver = listener.accept_timeout(LIMIT).unwrap();
                closed.send(take_all(&receiver)).unwrap();
            });
        }
        scope.spawn(|| {
            while let Some(need) = sender.next_need() {
                let bytes: Vec<u8> = (need.start..need.end).map(byte).collect();
                sender.supply(need.start, bytes.into());
            }
        });
        for _ in 0..2 {
            assert_eq!(ends.recv_timeout(LIMIT).unwrap(), Ok(()));
        }
        let reports = sender.reports();
        assert_eq!(reports[0].outcome, None, "alive, and waited for");
        // Its closed window held the group for a second, and the check that finds it comes soon.
        assert!(reports[1].duration < Duration::from_secs(4), "{:?}", reports[1]);
        sender.drop_member(0, "takes nothing");
        let reports = sender.wait();
        assert_eq!(reports[0].outcome, Some(Err(Reason::Cancelled("takes nothing".to_owned()))));
        assert!(reports[1..].iter().all(|r| r.outcome == Some(Ok(()))), "{reports:?}");
        drop(stop);
    });
}

/// A daemon that shuts down closes its sessions while their threads read.
#[test]
fn a_close_in_another_thread_ends_a_read() {
    let (listener, addr) = listener(5);
    let sender = Sender::connect(SenderOptions::new(SenderTrust::Loopback), &[addr]).unwrap();
    let receiver = listener.accept_timeout(LIMIT).unwrap();
    let (told, results) = mpsc::channel();
    thread::scope(|scope| {
        let (data, control) = (told.clone(), told);
        let reader = &receiver;
        scope.spawn(move || {
            let result = reader.read_at(&mut [0; 100]).map(drop);
            data.send(result).unwrap();
        });
        let mut private = receiver.control();
        scope.spawn(move || {
            // It may also end in good order, if the sender was told first.
            let read = std::io::Read::read(&mut private, &mut [0; 100]);
            let none = |read| assert_eq!(read, 0);
            control.send(read.map(none).and(Err(std::io::Error::other("shutting down")))).unwrap();
        });
        receiver.close(Err("shutting down".to_owned())).unwrap();
        for _ in 0..2 {
            let error = results.recv_timeout(LIMIT).unwrap().unwrap_err();
            assert!(error.to_string().contains("shutting down"), "{error}");
        }
    });
    sender.finish();
    let outcome = sender.wait().remove(0).outcome;
    assert!(
        outcome.clone().unwrap().unwrap_err().to_string().contains("shutting down"),
        "{outcome:?}"
    );
}
