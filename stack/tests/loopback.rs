//! The whole stack over real sockets on the loopback interface: nothing here needs a privilege.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "receivers on threads of their own, and a socket that nobody serves"
)]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tcpxm::api::{ListenOptions, Listener, Receiver, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, Group};
use tcpxm::error::Reason;
use tcpxm::proto::event::{ReadOutcome, SessionState};
use tcpxm::stats::{Mode, ModeReason};
use tcpxm::trust::{ListenTrust, Secret, SenderSecrets, SenderTrust};

/// Longer than any wait here takes; a test that reaches it has failed.
const LIMIT: Duration = Duration::from_secs(30);

fn listener(ip: [u8; 4]) -> Listener {
    Listener::bind(ListenOptions::new((ip, 0).into(), ListenTrust::Loopback)).unwrap()
}

/// For listeners that any host can reach.
fn secret() -> Arc<Secret> {
    Arc::new(Secret::from_line(b"shared by the ends of these tests").unwrap())
}

fn three() -> (Vec<Listener>, Vec<SocketAddr>) {
    let listeners: Vec<_> = (2..=4).map(|last| listener([127, 0, 0, last])).collect();
    let peers = listeners.iter().map(Listener::local_addr).collect();
    (listeners, peers)
}

fn content(len: usize) -> Vec<u8> {
    // No period that divides a segment: a piece in the wrong place shows.
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn group(port: u16, addr: [u8; 4]) -> Group {
    Group { addr: (addr, port).into(), source: None }
}

fn options(group: impl Into<Option<Group>>) -> SenderOptions {
    let mut options = SenderOptions::new(SenderTrust::Loopback);
    options.session.group = group.into();
    options
}

/// Accepts one session and serves it in a thread of its own.
fn serve<T: Send + 'static>(
    listener: Listener,
    work: impl FnOnce(Receiver) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || work(listener.accept_timeout(LIMIT).unwrap()))
}

/// Reads to the end and gives a good verdict.
fn read_all(mut receiver: Receiver) -> Vec<u8> {
    let mut out = Vec::new();
    receiver.read_to_end(&mut out).unwrap();
    receiver.close(Ok(())).unwrap();
    out
}

fn send_all(sender: &Sender, bytes: &[u8]) {
    let mut writer = sender;
    writer.write_all(bytes).unwrap();
    sender.finish();
}

/// One write to three by multicast, in order, with a private word to and from each, and the verdict
/// of each.
#[test]
fn a_stream_to_three_by_multicast() {
    let (listeners, peers) = three();
    let bytes = content(6 << 20);
    let threads: Vec<_> = listeners
        .into_iter()
        .enumerate()
        .map(|(index, listener)| {
            serve(listener, move |mut receiver| {
                let mut hello = [0; 7];
                receiver.control().read_exact(&mut hello).unwrap();
                assert_eq!(hello, *b"member?");
                writeln!(receiver, "{index}").unwrap();
                let mut out = Vec::new();
                receiver.read_to_end(&mut out).unwrap();
                let arrived = receiver.arrived();
                let verdict = if index == 1 { Err("disk full".to_owned()) } else { Ok(()) };
                receiver.close(verdict).unwrap();
                (out, arrived)
            })
        })
        .collect();

    let sender = Sender::connect(options(group(47101, [239, 255, 71, 1])), &peers).unwrap();
    assert_eq!(sender.members(), 3);
    sender.wait_started().unwrap();
    for index in 0..3 {
        let mut member = sender.member(index);
        member.write_all(b"member?").unwrap();
        let mut answer = [0; 2];
        member.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [b'0' + index as u8, b'\n']);
    }
    send_all(&sender, &bytes);
    let reports = sender.wait();
    assert_eq!(sender.state(), SessionState::Done);
    for (index, thread) in threads.into_iter().enumerate() {
        let (out, arrived) = thread.join().unwrap();
        assert!(out == bytes, "receiver {index} got something else");
        assert_eq!(arrived.total(), bytes.len() as u64);
        assert_eq!(reports[index].arrived.total(), bytes.len() as u64);
        assert!(arrived.multicast > bytes.len() as u64 / 2, "receiver {index}: {arrived:?}");
        assert_eq!(reports[index].addr, peers[index]);
        assert_eq!(reports[index].mode, Mode::Multicast, "{:?}", reports[index]);
    }
    assert_eq!(reports[0].outcome, Some(Ok(())));
    assert_eq!(reports[1].outcome, Some(Err(Reason::Verdict("disk full".to_owned()))));
    assert_eq!(reports[2].outcome, Some(Ok(())));
    // Sent once, not three times.
    let sent = sender.sent();
    let stream_bytes = sent.group_bytes + sent.unicast_bytes;
    assert!(stream_bytes < 2 * bytes.len() as u64, "{sent:?}");
}

/// Source-specific, with the source that `connect` fills in.
#[test]
fn a_source_specific_group() {
    let (listeners, peers) = three();
    let bytes = content(4 << 20);
    let threads: Vec<_> = listeners.into_iter().map(|listener| serve(listener, read_all)).collect();
    let sender = Sender::connect(options(group(47102, [232, 71, 1, 2])), &peers).unwrap();
    send_all(&sender, &bytes);
    for report in sender.wait() {
        assert_eq!(report.outcome, Some(Ok(())));
        assert!(report.arrived.multicast > 0, "{report:?}");
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == bytes));
}

/// A group that no receiver can join: its interface does not exist.
#[test]
fn nobody_can_join_so_all_is_unicast() {
    let mut listeners = Vec::new();
    for last in 2..=4 {
        let mut options = ListenOptions::new(([127, 0, 0, last], 0).into(), ListenTrust::Loopback);
        options.interface = Some(0x7fff_fff0);
        listeners.push(Listener::bind(options).unwrap());
    }
    let peers: Vec<_> = listeners.iter().map(Listener::local_addr).collect();
    let bytes = content(1 << 20);
    let threads: Vec<_> = listeners.into_iter().map(|listener| serve(listener, read_all)).collect();
    let sender = Sender::connect(options(group(47103, [239, 255, 71, 3])), &peers).unwrap();
    send_all(&sender, &bytes);
    for report in sender.wait() {
        assert_eq!(report.outcome, Some(Ok(())));
        assert_eq!(report.arrived.multicast, 0);
        assert_eq!(report.arrived.unicast, bytes.len() as u64);
        let why = report.mode_reason.unwrap();
        assert!(matches!(&why, ModeReason::CannotJoin(words) if words.contains("no interface")));
        assert!(why.to_string().starts_with("it cannot join the group: "), "{why}");
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == bytes));
}

/// A group that cannot leave this host, none at all, and a host that never answers.
#[test]
fn who_is_not_on_a_group_is_told_why() {
    let one = || {
        let listener = listener([127, 0, 0, 2]);
        (listener.local_addr(), serve(listener, read_all))
    };
    let reason = |options, peers: &[SocketAddr], thread: JoinHandle<Vec<u8>>| {
        let sender = Sender::connect(options, peers).unwrap();
        send_all(&sender, b"bytes");
        let reports = sender.wait();
        assert_eq!(thread.join().unwrap(), b"bytes");
        reports.last().unwrap().mode_reason.clone().unwrap()
    };
    let (peer, thread) = one();
    assert_eq!(reason(options(None), &[peer], thread), ModeReason::NoGroup);
    let (peer, thread) = one();
    let mut nowhere = options(group(47_101, [239, 255, 71, 1]));
    nowhere.interface = Some(0x7fff_fff0);
    nowhere.session.connect_timeout = Duration::from_millis(200);
    let unread = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 3), 0)).unwrap();
    let why = reason(nowhere.clone(), &[unread.local_addr().unwrap(), peer], thread);
    assert!(matches!(&why, ModeReason::Unusable(why) if why.contains("no IPv4")), "{why}");
    let (peer, thread) = one();
    assert_eq!(reason(nowhere, &[peer], thread), ModeReason::Alone, "it would not be used");
    let (peer, thread) = one();
    let mut short = options(group(47_101, [239, 255, 71, 1]));
    short.session.connect_timeout = Duration::from_millis(200);
    let peers = [peer, unread.local_addr().unwrap()];
    assert_eq!(reason(short, &peers, thread), ModeReason::NotServed);
}

/// Where nobody listens, only that member fails.
#[test]
fn a_peer_that_is_not_there_fails_alone() {
    // Bound and never read: the port is nobody else's, and nothing answers.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = listener([127, 0, 0, 2]);
    let peers = [there.local_addr(), silent.local_addr().unwrap()];
    let bytes = content(1 << 20);
    let thread = serve(there, read_all);
    let mut options = options(group(47104, [239, 255, 71, 4]));
    options.session.connect_timeout = Duration::from_millis(1500);
    let sender = Sender::connect(options, &peers).unwrap();
    send_all(&sender, &bytes);
    let reports = sender.wait();
    assert_eq!(reports[0].outcome, Some(Ok(())));
    assert!(matches!(reports[1].outcome, Some(Err(Reason::NeverAnswered(_)))), "{:?}", reports[1]);
    assert!(thread.join().unwrap() == bytes);
}

/// With nobody there at all, starting and writing say so.
#[test]
fn nobody_there_is_an_error_with_reasons() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut options = options(None);
    options.session.connect_timeout = Duration::from_millis(300);
    let sender = Sender::connect(options, &[silent.local_addr().unwrap()]).unwrap();
    let error = sender.wait_started().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("no answer"), "{error}");
    let error = sender.try_write(b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

/// A receiver that is dropped in the middle aborts for itself alone.
#[test]
fn a_receiver_dropped_midway_aborts_alone() {
    let (listeners, peers) = three();
    let bytes = content(16 << 20);
    let mut threads = Vec::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        threads.push(serve(listener, move |mut receiver| {
            if index == 1 {
                let mut some = vec![0; 100_000];
                receiver.read_exact(&mut some).unwrap();
                return some;
            }
            read_all(receiver)
        }));
    }
    let sender = Sender::connect(options(group(47105, [239, 255, 71, 5])), &peers).unwrap();
    send_all(&sender, &bytes);
    let reports = sender.wait();
    let got: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(got[0] == bytes && got[2] == bytes && got[1] == bytes[..100_000]);
    assert_eq!(reports[0].outcome, Some(Ok(())));
    assert!(matches!(reports[1].outcome, Some(Err(Reason::Aborted(_)))), "{:?}", reports[1]);
    assert_eq!(reports[2].outcome, Some(Ok(())));
}

/// Receivers that hold a secret each get the same session, and what one holds opens no way to another.
#[test]
fn a_secret_of_one_receiver_is_none_of_another() {
    let own = |n: usize| Arc::new(Secret::from_line([b'a' + n as u8; 32].as_slice()).unwrap());
    let bind = |n: usize| {
        let local = ([127, 0, 0, 31 + n as u8], 0).into();
        let options = ListenOptions::new(local, ListenTrust::Secret(vec![own(n)]));
        let listener = Listener::bind(options).unwrap();
        (listener.local_addr(), listener)
    };
    let (peers, listeners): (Vec<_>, Vec<_>) = (0..3).map(bind).unzip();
    let bytes = content(3 << 20);
    let threads: Vec<_> = listeners.into_iter().map(|l| serve(l, read_all)).collect();
    // What the second one was told is no use to whoever has it.
    let stolen = SenderTrust::Secret(own(1));
    let mut thief = SenderOptions::new(stolen);
    thief.session.connect_timeout = Duration::from_millis(500);
    let thief = Sender::connect(thief, &peers[..1]).unwrap();
    let refused = thief.wait().remove(0).outcome;
    assert!(matches!(refused, Some(Err(Reason::NeverAnswered(_)))), "{refused:?}");
    let mut options = options(group(47107, [239, 255, 71, 7]));
    // Who has none of its own must hold what nobody was told.
    let of = (0..2).map(|n| (peers[n], own(n))).collect();
    options.trust = SenderTrust::Secrets(SenderSecrets { of, others: own(2) });
    let sender = Sender::connect(options, &peers).unwrap();
    send_all(&sender, &bytes);
    for report in sender.wait() {
        assert_eq!((&report.outcome, report.mode), (&Some(Ok(())), Mode::Multicast), "{report:?}");
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == bytes));
}

/// IPv6, by unicast, to a listener of both families.
#[test]
fn ipv6_and_ipv4_on_one_listener() {
    let listener = Listener::bind(ListenOptions::new(
        (Ipv6Addr::UNSPECIFIED, 0).into(),
        ListenTrust::Secret(vec![secret()]),
    ))
    .unwrap();
    let port = listener.local_addr().port();
    let bytes = content(1 << 20);
    for peer in [SocketAddr::from((Ipv6Addr::LOCALHOST, port)), ([127, 0, 0, 6], port).into()] {
        thread::scope(|scope| {
            let read = scope.spawn(|| read_all(listener.accept_timeout(LIMIT).unwrap()));
            let trust = SenderTrust::Secret(secret());
            let sender = Sender::connect(SenderOptions::new(trust), &[peer]).unwrap();
            send_all(&sender, &bytes);
            assert_eq!(sender.wait()[0].outcome, Some(Ok(())), "{peer}");
            assert!(read.join().unwrap() == bytes, "{peer}");
        });
    }
}

/// A source that the engine asks, delivered out of order, with its offsets.
#[test]
fn a_source_is_asked_and_delivered_with_offsets() {
    let (listeners, peers) = three();
    let bytes = content((3 << 20) + 17);
    let mut threads = Vec::new();
    for listener in listeners {
        let len = bytes.len();
        threads.push(serve(listener, move |receiver| {
            assert_eq!(receiver.delivery(), Delivery::Unordered);
            let mut out = vec![0; len];
            let mut buf = vec![0; 64 << 10];
            loop {
                match receiver.read_at(&mut buf).unwrap() {
                    ReadOutcome::Data { offset, len } => {
                        out[offset as usize..][..len].copy_from_slice(&buf[..len]);
                    }
                    ReadOutcome::End { len } => {
                        assert_eq!(len, out.len() as u64);
                        break;
                    }
                    ReadOutcome::Empty => panic!("a blocking read gave nothing"),
                }
            }
            receiver.close(Ok(())).unwrap();
            out
        }));
    }
    let mut options = options(group(47106, [239, 255, 71, 6]));
    options.session.delivery = Delivery::Unordered;
    options.session.content = Content::Source { len: Some(bytes.len() as u64) };
    let sender = Sender::connect(options, &peers).unwrap();
    sender.finish();
    while let Some(need) = sender.next_need() {
        let range = need.start as usize..need.end as usize;
        sender.supply(need.start, bytes[range].into());
    }
    assert!(sender.wait().iter().all(|report| report.outcome == Some(Ok(()))));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == bytes));
}

/// Bytes of a source in their places, as [`source`] sends them.
fn read_at_offsets(mut out: Vec<u8>) -> impl FnOnce(Receiver) -> Vec<u8> + Send {
    move |receiver| {
        let mut buf = vec![0; 64 << 10];
        while let ReadOutcome::Data { offset, len } = receiver.read_at(&mut buf).unwrap() {
            out[offset as usize..][..len].copy_from_slice(&buf[..len]);
        }
        receiver.close(Ok(())).unwrap();
        out
    }
}

/// A session of `bytes` as a source, with this group, to these.
fn source(bytes: &[u8], group: Option<Group>, peers: &[SocketAddr]) -> Sender {
    let mut options = options(group);
    options.session.late_join = true;
    options.session.delivery = Delivery::Unordered;
    options.session.content = Content::Source { len: Some(bytes.len() as u64) };
    Sender::connect(options, peers).unwrap()
}

fn supply(sender: &Sender, bytes: &[u8], need: std::ops::Range<u64>) {
    sender.supply(need.start, bytes[need.start as usize..need.end as usize].into());
}

/// Receivers that are added to a running session, one of the family that it has no socket for yet, and one when nothing
/// more is needed for those before.
#[test]
fn receivers_are_added_of_either_family() {
    let bytes = content((3 << 20) + 17);
    let empty = || vec![0; bytes.len()];
    let at = |ip: &str| {
        let addr = format!("{ip}:0").parse().unwrap();
        Listener::bind(ListenOptions::new(addr, ListenTrust::Loopback)).unwrap()
    };
    let listeners = ["127.0.0.2", "127.0.0.3", "[::1]", "127.0.0.4"].map(at);
    let addrs = listeners.each_ref().map(Listener::local_addr);
    let mut threads = listeners.map(|listener| Some(serve(listener, read_at_offsets(empty()))));
    let group = Some(group(47_112, [239, 255, 71, 12]));
    let sender = source(&bytes, group, &addrs[..1]);
    let first = sender.next_need().unwrap();
    supply(&sender, &bytes, first);
    assert_eq!(sender.add_member(&addrs[1..2]).unwrap(), 1);
    assert_eq!(sender.add_member(&addrs[2..3]).unwrap(), 2);
    while let Some(need) = sender.next_need() {
        supply(&sender, &bytes, need);
    }
    assert!(sender.reports().iter().all(|report| report.acked == bytes.len() as u64));
    // Nothing was needed any more: it is again, as far as the sender does not hold it.
    assert_eq!(sender.add_member(&addrs[3..]).unwrap(), 3);
    assert!(sender.reports()[3].acked == 0);
    while let Some(need) = sender.next_need() {
        supply(&sender, &bytes, need);
    }
    assert!(sender.reports().iter().all(|report| report.acked == bytes.len() as u64));
    sender.finish();
    let reports = sender.wait();
    assert!(reports.iter().all(|report| report.outcome == Some(Ok(()))), "{reports:?}");
    for (thread, addr) in threads.iter_mut().filter_map(Option::take).zip(addrs) {
        assert!(thread.join().unwrap() == bytes, "{addr} got something else");
    }
    let over = sender.add_member(&addrs[..1]).unwrap_err();
    assert!(over.to_string().contains("the session is over"), "{over}");
}

/// Accepting ends when told to, and not before.
#[test]
fn a_listener_can_be_closed_from_outside() {
    let listener = listener([127, 0, 0, 1]);
    let error = listener.try_accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let error = listener.accept_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let closer = listener.closer();
    let thread = thread::spawn(move || listener.accept().unwrap_err().kind());
    closer.close();
    assert_eq!(thread.join().unwrap(), std::io::ErrorKind::NotConnected);
}

/// What cannot be a group, or a session, is refused before anything is sent.
#[test]
fn misuse_is_refused_at_once() {
    let peer = SocketAddr::from(([127, 0, 0, 2], 9));
    let mdns = options(group(5353, [224, 0, 0, 251]));
    for (options, peers) in [(mdns, vec![peer]), (options(None), vec![])] {
        let error = Sender::connect(options, &peers).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
}

/// One host's owner allows a single group, another than the sender's.
#[test]
fn a_host_that_joins_one_group_only_is_served_by_unicast() {
    let offered = group(47_190, [239, 255, 71, 90]);
    let listeners = [[127, 0, 0, 2], [127, 0, 0, 3]].map(|ip| {
        let only = if ip[3] == 2 { offered.addr } else { group(47_190, [239, 255, 71, 91]).addr };
        let options = ListenOptions::new((ip, 0).into(), ListenTrust::Loopback);
        Listener::bind(ListenOptions { only_group: Some(only), ..options }).unwrap()
    });
    let peers = listeners.each_ref().map(Listener::local_addr);
    let bytes = content(4 << 20);
    let threads = listeners.map(|listener| serve(listener, read_all));
    let sender = Sender::connect(options(offered), &peers).unwrap();
    send_all(&sender, &bytes);
    let reports = sender.wait();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == bytes));
    assert!(reports.iter().all(|r| r.mode == Mode::Unicast && r.arrived.multicast == 0));
    // Nobody is left to share it with; before that was clear, nothing had been tried.
    let alone = |why: &ModeReason| matches!(why, ModeReason::Alone | ModeReason::Unclear(_));
    assert!(reports[0].mode_reason.as_ref().is_some_and(alone), "{:?}", reports[0]);
    let why = "this host joins only 239.255.71.91:47190".to_owned();
    assert_eq!(reports[1].mode_reason, Some(ModeReason::CannotJoin(why)));
}

/// As a daemon does: every address of the host, and groups on the daemon's own port.
#[test]
fn the_groups_port_may_be_the_listeners_own() {
    for unspecified in ["0.0.0.0:0", "[::]:0"] {
        let trust = ListenTrust::Secret(vec![secret()]);
        let listener =
            Listener::bind(ListenOptions::new(unspecified.parse().unwrap(), trust)).unwrap();
        let port = listener.local_addr().port();
        let bytes = content(4 << 20);
        // Two sessions at one listener, by two addresses of the host: a group of one is none.
        let peers = [2, 3].map(|n| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port)));
        let receive = move |receiver: Receiver| {
            // The port is the listener's alone, also after the join.
            let mut byte = [0; 1];
            let mut control = receiver.control();
            control.read_exact(&mut byte).unwrap();
            let second = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
            assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
            read_all(receiver)
        };
        let accepting = thread::spawn(move || {
            let both = peers.map(|_| listener.accept_timeout(LIMIT).unwrap());
            let threads = both.map(|receiver| thread::spawn(move || receive(receiver)));
            threads.map(|thread| thread.join().unwrap())
        });
        let mut options = options(group(port, [239, 255, 71, 92]));
        options.trust = SenderTrust::Secret(secret());
        let sender = Sender::connect(options, &peers).unwrap();
        send_all(&sender, &bytes);
        (0..2).for_each(|n| sender.member(n).write_all(b"x").unwrap());
        let reports = sender.wait();
        assert!(accepting.join().unwrap().iter().all(|got| *got == bytes));
        for report in &reports {
            assert_eq!(report.mode, Mode::Multicast, "{unspecified}: {report:?}");
        }
    }
}
