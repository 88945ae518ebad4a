//! Real datagrams on the loopback interface.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn pair(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind((ip, 0).into()).unwrap(), UdpSocket::bind((ip, 0).into()).unwrap())
}

fn train(to: SocketAddr, len: usize, segment_size: usize) -> Train {
    let mut train = Train::new();
    for (i, byte) in train.buf[..len].iter_mut().enumerate() {
        *byte = (i / segment_size) as u8;
    }
    let datagrams = len.div_ceil(segment_size);
    train.load(Transmit { to, from: None, ifindex: 0, len, segment_size, datagrams, ecn: 0b10 });
    train
}

/// A port where nobody takes what comes, as ICMP says of the next datagram: its socket is connected to itself, so that
/// it takes nothing of others, and while it lives no other program gets that port.
fn closed() -> (std::net::UdpSocket, SocketAddr) {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    socket.connect(addr).unwrap();
    (socket, addr)
}

/// Everything that has arrived; on loopback that is everything that was sent.
fn drain(socket: &UdpSocket) -> Vec<(Arrival, Vec<u8>)> {
    let mut batch = Batch::new();
    let mut out = Vec::new();
    while let Ok(count) = socket.recv(&mut batch) {
        out.extend(batch.reads(count).map(|(arrival, bytes)| (arrival, bytes.to_vec())));
    }
    out
}

fn datagrams(reads: &[(Arrival, Vec<u8>)]) -> Vec<Vec<u8>> {
    reads.iter().flat_map(|(a, bytes)| bytes.chunks(a.stride).map(<[u8]>::to_vec)).collect()
}

fn expect(reads: &[(Arrival, Vec<u8>)], len: usize, segment_size: usize) {
    let got = datagrams(reads);
    assert_eq!(got.len(), len.div_ceil(segment_size));
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), len);
    for (i, datagram) in got.iter().enumerate() {
        assert!(datagram.iter().all(|byte| *byte == i as u8), "datagram {i} of {}", got.len());
    }
}

#[test]
fn a_train_keeps_its_datagrams_and_says_where_it_came_from() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let (mut a, b) = pair(ip);
        let (len, size) = (10 * 1200 + 77, 1200);
        assert_eq!(a.send(&mut train(b.local(), len, size)), Sending::Done);
        let reads = drain(&b);
        expect(&reads, len, size);
        assert!(reads.iter().all(|(at, _)| at.from == a.local() && at.to == Some(ip)));
        assert!(reads.iter().all(|(at, _)| at.ifindex != 0));
    }
}

#[test]
fn trains_beyond_the_kernels_limits_are_split() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    // 655 short datagrams: too many segments. 54 long ones and a bit: more than 65,000 bytes.
    for (len, size) in [(65_500, 100), (BUFFER, 1200)] {
        assert_eq!(a.send(&mut train(b.local(), len, size)), Sending::Done);
        assert_eq!(a.lost(), 0);
        expect(&drain(&b), len, size);
    }
}

#[test]
fn without_gso_the_same_arrives_one_by_one() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    a.offload.gso = false;
    assert_eq!(a.send(&mut train(b.local(), 10_001, 1000)), Sending::Done);
    let reads = drain(&b);
    assert_eq!(reads.len(), 11);
    expect(&reads, 10_001, 1000);
}

#[test]
fn ecn_marks_survive_aggregation() {
    let (a, b) = pair(Ipv4Addr::LOCALHOST.into());
    // CE cannot be asked for through `Train`: routers set it. Sent as one GSO train, it arrives as
    // one GRO read, for which the control buffer must have room.
    let train = quinn_udp::Transmit {
        destination: b.local(),
        ecn: Some(quinn_udp::EcnCodepoint::Ce),
        contents: &[7; 8 * 1200],
        segment_size: Some(1200),
        src_ip: None,
    };
    a.state.try_send(UdpSockRef::from(&a.io), &train).unwrap();
    let reads = drain(&b);
    assert_eq!(reads.len(), 1, "not aggregated");
    let (arrival, bytes) = &reads[0];
    assert_eq!((arrival.stride, bytes.len()), (1200, 8 * 1200));
    assert_eq!(arrival.ecn, 0b11);
    assert_eq!(arrival.to, Some(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn replies_leave_from_the_address_that_was_addressed() {
    let (mut a, b) = pair(Ipv4Addr::UNSPECIFIED.into());
    let from = Ipv4Addr::new(127, 0, 0, 5).into();
    let mut train = train((Ipv4Addr::LOCALHOST, b.local().port()).into(), 100, 100);
    train.transmit.from = Some(from);
    assert_eq!(a.send(&mut train), Sending::Done);
    assert_eq!(drain(&b)[0].0.from, SocketAddr::new(from, a.local().port()));
}

#[test]
fn a_datagram_longer_than_the_path_is_reported() {
    // Longer than loopback's MTU can carry in one datagram.
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    let len = 65_530;
    assert_eq!(a.send(&mut train(b.local(), len, len)), Sending::Oversize(len));
    assert_eq!(drain(&b).len(), 0);
    assert_eq!(a.send(&mut train(b.local(), 100, 100)), Sending::Done);
    assert_eq!(drain(&b).len(), 1);
}

#[test]
fn what_cannot_be_sent_is_lost_and_nothing_else_happens() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    // No route from a loopback address into the world: the fault is the datagram's, not GSO's.
    let nowhere = SocketAddr::from(([203, 0, 113, 1], 9));
    assert_eq!(a.send(&mut train(nowhere, 2400, 1200)), Sending::Done);
    assert_eq!(a.lost(), 2);
    assert!(a.offload.gso);
    assert_eq!(a.send(&mut train(b.local(), 2400, 1200)), Sending::Done);
    expect(&drain(&b), 2400, 1200);
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn nowhere() -> SocketAddr {
    ([203, 0, 113, 1], 9).into()
}

#[test]
fn a_full_socket_keeps_the_rest_for_later() {
    let mut offload = Offload { gso: false, lost: 0 };
    let mut train = train(nowhere(), 10_000, 1000);
    let mut room = 3;
    let mut sent = Vec::new();
    let mut attempt = |train: &Train, piece: usize| {
        if room == 0 {
            room = 3;
            return Err(errno(libc::EAGAIN));
        }
        room -= 1;
        sent.push(train.buf[train.sent]);
        assert_eq!(piece, 1000);
        Ok(())
    };
    for _ in 0..3 {
        assert_eq!(offload.send(&mut train, &mut attempt), Sending::Blocked);
    }
    assert_eq!(offload.send(&mut train, &mut attempt), Sending::Done);
    assert_eq!(sent, (0..10).collect::<Vec<u8>>(), "each once, in order");
    assert_eq!(offload.lost, 0);
}

#[test]
fn a_device_without_gso_is_remembered() {
    for code in [libc::EIO, libc::EINVAL] {
        let mut offload = Offload { gso: true, lost: 0 };
        let mut pieces = Vec::new();
        let mut attempt = |_: &Train, piece: usize| {
            pieces.push(piece);
            if piece > 1000 { Err(errno(code)) } else { Ok(()) }
        };
        for _ in 0..2 {
            let mut train = train(nowhere(), 3500, 1000);
            assert_eq!(offload.send(&mut train, &mut attempt), Sending::Done);
        }
        assert!(!offload.gso);
        assert_eq!(pieces, [3500, 1000, 1000, 1000, 500, 1000, 1000, 1000, 500]);
        assert_eq!(offload.lost, 0);
    }
}

#[test]
fn a_fault_of_the_datagrams_is_not_blamed_on_gso() {
    let mut offload = Offload { gso: true, lost: 0 };
    let mut attempts = 0;
    let sending = offload.send(&mut train(nowhere(), 3500, 1000), |_, _| {
        attempts += 1;
        Err(errno(libc::EINVAL))
    });
    assert_eq!((sending, attempts), (Sending::Done, 2));
    assert!(offload.gso);
    assert_eq!(offload.lost, 4);
}

#[test]
fn a_datagram_that_cannot_leave_is_lost_and_no_more() {
    let mut offload = Offload { gso: true, lost: 0 };
    let mut train = train(nowhere(), 65_500, 100);
    let mut first = true;
    let sending = offload.send(&mut train, |_, _| {
        if core::mem::take(&mut first) { Err(errno(libc::ENOBUFS)) } else { Ok(()) }
    });
    assert_eq!(sending, Sending::Done);
    assert!(offload.gso);
    assert_eq!(offload.lost, MAX_SEGMENTS as u64, "one piece of it");
}

#[test]
fn an_error_about_an_earlier_datagram_costs_none_and_one_about_this_is_told() {
    for code in [libc::ENETUNREACH, libc::EPERM, libc::EHOSTUNREACH] {
        for (errors, expected) in [(1, None), (2, unreachable::by_errno(nowhere(), code))] {
            let mut offload = Offload { gso: true, lost: 0 };
            let mut train = train(nowhere(), 3500, 100);
            let mut attempts = 0;
            let sending = offload.send(&mut train, |_, _| {
                attempts += 1;
                if attempts <= errors { Err(errno(code)) } else { Ok(()) }
            });
            assert_eq!(offload.lost, if expected.is_some() { 35 } else { 0 });
            assert_eq!(sending, expected.map_or(Sending::Done, Sending::Unreachable));
        }
    }
}

/// Each piece of a group's train may meet what was said about datagrams to others, and goes out all the same.
#[test]
fn a_group_loses_nothing_by_what_is_said_about_others() {
    let group = SocketAddr::from(([232, 1, 2, 3], 9));
    for code in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::EPERM] {
        let mut offload = Offload { gso: false, lost: 0 };
        let (mut attempts, mut sent) = (0, 0);
        let sending = offload.send(&mut train(group, 3500, 100), |_, _| {
            attempts += 1;
            if attempts % 4 != 0 {
                return Err(errno(code));
            }
            sent += 1;
            Ok(())
        });
        assert_eq!((sending, sent, offload.lost), (Sending::Done, 35, 0));
    }
    // What goes on is a loss, and no more: the rest of the train is tried.
    let (mut offload, mut attempts) = (Offload { gso: false, lost: 0 }, 0);
    let sending = offload.send(&mut train(group, 300, 100), |train, _| {
        attempts += 1;
        if train.sent == 0 { Err(errno(libc::ENETUNREACH)) } else { Ok(()) }
    });
    assert_eq!((sending, offload.lost, attempts), (Sending::Done, 1, 11));
}

/// With the errors of the system itself: on loopback ICMP has come back when the send returns.
#[test]
fn a_receiver_that_is_gone_costs_the_others_nothing() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    a.keep_errors().unwrap();
    let (_port, gone) = closed();
    for _ in 0..8 {
        assert_eq!(a.send(&mut train(gone, 100, 100)), Sending::Done);
        assert_eq!(a.send(&mut train(b.local(), 2400, 1200)), Sending::Done);
    }
    assert_eq!(datagrams(&drain(&b)).len(), 16);
    assert_eq!(a.lost(), 0);
    assert_eq!(a.take_error(), Some((gone, Unreachable::Port(gone.port()))));
}

#[test]
fn the_receive_buffer_is_what_was_granted() {
    let (a, _) = pair(Ipv4Addr::LOCALHOST.into());
    assert!(a.granted() > 0 && a.granted() <= RECV_BUFFER);
    assert_eq!(a.granted(), a.io.recv_buffer_size().unwrap() / 2);
}

#[test]
fn link_local_destinations_get_their_interface() {
    let link_local: SocketAddr = "[fe80::1]:9".parse().unwrap();
    assert!(matches!(scoped(link_local, 7), SocketAddr::V6(v6) if v6.scope_id() == 7));
    let global: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    assert_eq!(scoped(global, 7), global);
}

#[test]
fn a_socket_tells_what_waits_in_it_and_what_found_no_room() {
    let (mut a, b) = pair(Ipv4Addr::LOCALHOST.into());
    let load = b.load().unwrap();
    assert_eq!((load.queued, load.dropped), (0, false));
    assert_eq!(load.capacity, b.granted());
    for _ in 0..10 {
        assert_eq!(a.send(&mut train(b.local(), 1000, 1000)), Sending::Done);
    }
    let load = b.load().unwrap();
    assert!(load.queued >= 5_000 && !load.dropped, "{load:?}");
    b.io().set_recv_buffer_size(4096).unwrap();
    for _ in 0..100 {
        assert_eq!(a.send(&mut train(b.local(), 1000, 1000)), Sending::Done);
    }
    assert!(b.load().unwrap().dropped);
    assert!(!b.load().unwrap().dropped, "told once");
    drain(&b);
    assert_eq!(b.load().unwrap().queued, 0);
}

#[test]
fn that_an_earlier_datagram_was_too_long_says_nothing_of_this() {
    for (errors, expected) in [(1, Sending::Done), (2, Sending::Oversize(1000))] {
        let mut offload = Offload { gso: true, lost: 0 };
        let mut attempts = 0;
        let sending = offload.send(&mut train(nowhere(), 3500, 1000), |_, _| {
            attempts += 1;
            if attempts <= errors { Err(errno(libc::EMSGSIZE)) } else { Ok(()) }
        });
        assert_eq!(sending, expected);
    }
}

/// With GRO one batch of reads takes more than a small buffer holds.
#[test]
fn what_found_no_room_is_seen_though_the_reads_emptied_the_socket() {
    let (mut a, mut b) = pair(Ipv4Addr::LOCALHOST.into());
    b.io.set_recv_buffer_size(64 << 10).unwrap();
    b.granted = b.io.recv_buffer_size().unwrap() / 2;
    for _ in 0..8 {
        assert_eq!(a.send(&mut train(b.local(), 48_000, 1200)), Sending::Done);
    }
    let turn = |b: &UdpSocket| b.read_turn(&mut Batch::new(), 4, |_, _| ());
    let first = turn(&b);
    assert!(first.emptied && first.bytes < 8 * 48_000, "nothing was dropped: {first:?}");
    let load = b.load_after(first).expect("the turn was large");
    assert!(load.dropped && load.queued == 0, "{load:?}");
    assert_eq!(a.send(&mut train(b.local(), 48_000, 1200)), Sending::Done);
    assert_eq!(b.load_after(turn(&b)).map(|load| load.dropped), Some(false), "told once");
    assert_eq!(a.send(&mut train(b.local(), 100, 100)), Sending::Done);
    assert_eq!(b.load_after(turn(&b)), None, "too little to ask for");
}
