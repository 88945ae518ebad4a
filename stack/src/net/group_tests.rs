//! Group addresses, and joining for real on the loopback interface.

use super::*;
use crate::net::interface::{Route, address_of, check_route, owner_of};
use crate::net::socket::{Batch, Sending, Train};
use crate::proto::event::{Arrival, Transmit};
use proptest::{prop_assert_eq, proptest};

fn lo() -> Route {
    let source = Ipv4Addr::LOCALHOST.into();
    Route { ifindex: owner_of(source).unwrap().unwrap(), source }
}

/// Loopback has no route for IPv6 groups unless one is added, so another interface is taken, whose
/// copy of what is sent comes back; `None` on a host without one.
fn v6() -> Option<Route> {
    let group: SocketAddr = "[ff15::8000:711]:9".parse().unwrap();
    let found = (1..64).find_map(|ifindex| {
        let source = address_of(ifindex, Family::V6).ok()??;
        check_route(group, ifindex).ok()?;
        Some(Route { ifindex, source })
    });
    if found.is_none() {
        eprintln!("no interface carries IPv6 multicast here: only IPv4 is tested");
    }
    found
}

#[test]
fn groups_that_are_somebody_elses_are_refused() {
    for refused in [
        "10.0.0.1",
        "224.0.0.1",
        "224.0.0.251",
        "224.0.1.1",
        "224.0.1.129",
        "232.0.0.255",
        "239.255.255.250",
        "fe80::1",
        "ff02::1",
        "ff12::8000:1",
        "ff05::fb",
        "ff0e::c",
        "ff05::101",
    ] {
        let addr: IpAddr = refused.parse().unwrap();
        assert!(matches!(check_group(addr), Err(ConfigError::Group(a, _)) if a == addr), "{addr}");
    }
    for allowed in ["224.0.2.1", "232.0.1.0", "239.255.0.1", "ff15::fb", "ff35::8000:1"] {
        assert_eq!(check_group(allowed.parse().unwrap()), Ok(()), "{allowed}");
    }
}

proptest! {
    #[test]
    fn drawn_groups_are_allowed_and_of_the_kind_asked_for(seed: [u8; 32], v6: bool, ssm: bool) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let group = random_group(&mut Rng::new(seed), family, ssm);
        prop_assert_eq!(check_group(group), Ok(()));
        prop_assert_eq!(Family::of(group), family);
        prop_assert_eq!(is_source_specific(group), ssm);
    }
}

fn hears(groups: &Groups, place: Place) -> Option<(Arrival, Vec<u8>)> {
    let mut batch = Batch::new();
    let count = groups.socket(&place)?.recv(&mut batch).ok()?;
    batch.reads(count).next().map(|(arrival, bytes)| (arrival, bytes.to_vec()))
}

/// Sends one datagram to a group; it is in the receivers' buffers on return.
fn send(on: Route, group: SocketAddr, bytes: &[u8]) -> SocketAddr {
    let any: SocketAddr = match on.source {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut socket = UdpSocket::bind(any).unwrap();
    socket.set_multicast(on, 1).unwrap();
    let mut train = Train::new();
    train.buf[..bytes.len()].copy_from_slice(bytes);
    let len = bytes.len();
    let transmit = Transmit {
        to: group,
        from: None,
        ifindex: 0,
        len,
        segment_size: len,
        datagrams: 1,
        ecn: 0,
    };
    train.load(transmit);
    assert_eq!(socket.send(&mut train), Sending::Done);
    assert_eq!(socket.lost(), 0);
    SocketAddr::new(on.source, socket.local().port())
}

fn any_source(group: &str, on: Route) {
    let group: SocketAddr = group.parse().unwrap();
    let (first, second) = (ReceiverId(1), ReceiverId(2));
    let mut groups = Groups::default();
    assert_eq!(groups.join(first, group, None, on.ifindex), Ok(Some((group, 0))));
    assert_eq!(groups.join(second, group, None, on.ifindex), Ok(None));
    assert!(groups.join(second, group, None, on.ifindex).is_err(), "one group per receiver");
    let sender = send(on, group, b"hello");
    let (arrival, bytes) = hears(&groups, (group, 0)).unwrap();
    assert_eq!(bytes, b"hello");
    assert_eq!(arrival.to, Some(group.ip()));
    assert_eq!((arrival.from.ip(), arrival.from.port()), (sender.ip(), sender.port()));
    assert_eq!(arrival.ifindex, on.ifindex);
    assert!(groups.leave(first).is_none(), "the second still needs it");
    send(on, group, b"again");
    assert_eq!(hears(&groups, (group, 0)).unwrap().1, b"again");
    assert_eq!(groups.leave(second).unwrap().0, (group, 0));
    assert!(groups.leave(second).is_none());
    assert!(groups.socket(&(group, 0)).is_none());
}

#[test]
fn any_source_v4() {
    any_source("239.255.7.11:47011", lo());
}

#[test]
fn any_source_v6() {
    let Some(on) = v6() else { return };
    any_source("[ff15::8000:711]:47012", on);
}

fn source_specific(group: &str, on: Route, other: IpAddr) {
    let group: SocketAddr = group.parse().unwrap();
    let (right, wrong) = (ReceiverId(1), ReceiverId(2));
    let mut groups = Groups::default();
    assert_eq!(groups.join(wrong, group, Some(other), on.ifindex), Ok(Some((group, 0))));
    send(on, group, b"not for you");
    assert!(hears(&groups, (group, 0)).is_none(), "joined with another source");
    assert_eq!(groups.join(right, group, Some(on.source), on.ifindex), Ok(None));
    send(on, group, b"for you");
    assert_eq!(hears(&groups, (group, 0)).unwrap().1, b"for you");
    // Leaving ends that one source only.
    assert!(groups.leave(right).is_none());
    send(on, group, b"gone");
    assert!(hears(&groups, (group, 0)).is_none());
    assert!(groups.leave(wrong).is_some());
}

#[test]
fn source_specific_v4() {
    let other = Ipv4Addr::new(127, 0, 0, 9);
    source_specific("232.1.7.13:47013", lo(), other.into());
}

#[test]
fn source_specific_v6() {
    let other: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let Some(on) = v6() else { return };
    source_specific("[ff35::8000:713]:47014", on, other.into());
}

fn again(group: &str, source: Option<IpAddr>, on: Route) {
    let group: SocketAddr = group.parse().unwrap();
    let receiver = ReceiverId(1);
    let mut groups = Groups::default();
    assert_eq!(groups.refresh(receiver), Ok(()), "not joined");
    groups.join(receiver, group, source, on.ifindex).unwrap();
    assert_eq!((groups.on(on.ifindex), groups.on(on.ifindex + 1)), (vec![receiver], vec![]));
    for round in 0..3 {
        assert_eq!(groups.refresh(receiver), Ok(()));
        send(on, group, b"hello");
        assert_eq!(hears(&groups, (group, 0)).unwrap().1, b"hello", "{round}");
    }
    // The membership is gone with its interface, say: then it is a join.
    let at = groups.sockets.get(&(group, 0)).unwrap();
    member(at.socket.io(), false, group.ip(), (source, on.ifindex)).unwrap();
    assert_eq!(groups.refresh(receiver), Ok(()));
    send(on, group, b"back");
    assert_eq!(hears(&groups, (group, 0)).unwrap().1, b"back");
    assert!(groups.leave(receiver).is_some());
    assert_eq!((groups.on(on.ifindex), groups.interfaces()), (vec![], vec![]));
}

#[test]
fn a_membership_is_reported_again_on_the_same_socket() {
    again("239.255.7.17:47017", None, lo());
    again("232.1.7.18:47018", Some(lo().source), lo());
    let Some(on) = v6() else { return };
    again("[ff15::8000:719]:47019", None, on);
    again("[ff35::8000:720]:47020", Some(on.source), on);
}

#[test]
fn an_interface_is_taken_over_only_if_the_one_before_is_gone() {
    let group: SocketAddr = "239.255.7.21:47021".parse().unwrap();
    let (receiver, on) = (ReceiverId(1), lo());
    let mut groups = Groups::default();
    groups.join(receiver, group, None, on.ifindex).unwrap();
    let name = super::sys::name_of(on.ifindex).unwrap();
    assert_eq!(groups.interfaces(), [(on.ifindex, name.clone())]);
    groups.take_over(&name, 0x7fff_fff0);
    assert_eq!(groups.on(on.ifindex), [receiver], "it is still there");
    // As if it had been joined on one that is gone.
    let gone = 0x7fff_fff1;
    groups.names = [(gone, name.clone())].into();
    groups.receivers.insert(receiver, ((group, 0), (None, gone)));
    let at = groups.sockets.get_mut(&(group, 0)).unwrap();
    member(at.socket.io(), false, group.ip(), (None, on.ifindex)).unwrap();
    at.memberships = [((None, gone), 1)].into();
    groups.take_over(&name, on.ifindex);
    assert_eq!(groups.on(on.ifindex), [receiver]);
    send(on, group, b"anew");
    assert_eq!(hears(&groups, (group, 0)).unwrap().1, b"anew");
    assert!(groups.leave(receiver).is_some());
}

#[test]
fn reasons_are_said_in_words() {
    let mut groups = Groups::default();
    let group: SocketAddr = "239.255.7.15:47015".parse().unwrap();
    let why = groups.join(ReceiverId(1), group, None, 0x7fff_fff0).unwrap_err();
    assert!(why.contains("no interface"), "{why}");
    assert!(groups.socket(&(group, 0)).is_none(), "a failed join leaves nothing behind");
    let why = groups.join(ReceiverId(1), "224.0.0.1:1".parse().unwrap(), None, 1).unwrap_err();
    assert!(why.contains("link-local"), "{why}");
    let v6 = Some(Ipv6Addr::LOCALHOST.into());
    assert!(groups.join(ReceiverId(1), group, v6, lo().ifindex).unwrap_err().contains("families"));
}

#[test]
fn memberships_and_sockets_are_bounded() {
    let mut groups = Groups::default();
    let group = |n: usize| SocketAddr::new(Ipv4Addr::new(239, 255, 8, n as u8).into(), 47016);
    for n in 0..MAX_GROUP_SOCKETS {
        let joined = groups.join(ReceiverId(n as u64), group(n), None, lo().ifindex);
        assert_eq!(joined, Ok(Some((group(n), 0))));
    }
    let one_more = groups.join(ReceiverId(1000), group(MAX_GROUP_SOCKETS), None, lo().ifindex);
    assert!(one_more.unwrap_err().contains("groups are joined already"));

    // A socket that is full needs another, and there is none.
    let at = groups.sockets.get_mut(&(group(0), 0)).unwrap();
    // Stands in for memberships through as many interfaces, which a test machine does not have.
    at.memberships = (0..MAX_MEMBERSHIPS as u32).map(|i| ((None, i), 1)).collect();
    assert!(matches!(at.enter(group(0), (None, 1_000_000)), Err(Refusal::Full(_))));
    let one_more = groups.join(ReceiverId(1000), group(0), None, 1_000_000);
    assert!(one_more.unwrap_err().contains("groups are joined already"));
}

/// A socket may name ten sources of an IPv4 group (`net.ipv4.igmp_max_msf`), and more memberships go to another.
#[test]
fn more_sources_than_a_socket_may_have_go_to_another() {
    const SOURCES: u8 = 25;
    let (on, group) = (lo(), "232.1.7.17:47017".parse().unwrap());
    let mut groups = Groups::default();
    let source = |n: u8| Some(IpAddr::from([127, 0, 7, n]));
    let join = |groups: &mut Groups, receiver: u8, n: u8| {
        groups.join(ReceiverId(receiver.into()), group, source(n), on.ifindex).unwrap()
    };
    let opened: Vec<_> = (0..SOURCES).filter_map(|n| join(&mut groups, n, n)).collect();
    assert!(opened.len() >= 2, "{opened:?}");
    // Who wants what a later socket has is put there: by two sockets it would come twice.
    assert_eq!(join(&mut groups, 100, SOURCES - 1), None);
    let last = groups.receivers[&ReceiverId(u64::from(SOURCES) - 1)];
    assert_eq!(groups.receivers[&ReceiverId(100)], last);
    for n in 0..SOURCES {
        let from = Route { source: source(n).unwrap(), ..on };
        send(from, group, &[n]);
        let heard: Vec<_> = opened.iter().filter_map(|place| hears(&groups, *place)).collect();
        let heard: Vec<_> = heard.iter().map(|(_, bytes)| &bytes[..]).collect();
        assert_eq!(heard, [[n]], "by one socket, and one only");
    }
    // What is free again is used again.
    assert!(groups.leave(ReceiverId(0)).is_none());
    assert_eq!(join(&mut groups, 101, 0), None);
    let closed: Vec<_> =
        (1..SOURCES).chain([100, 101]).filter_map(|n| groups.leave(ReceiverId(n.into()))).collect();
    assert_eq!(closed.len(), opened.len());
    assert!(groups.sockets.is_empty() && groups.receivers.is_empty());
}

/// What comes in by an interface of a VRF does not reach sockets that are bound to no device, nor the reverse. The
/// loopback interface stands in for a VRF's device: any may be bound to.
#[test]
fn each_vrf_has_sockets_of_its_own() {
    let (on, group) = (lo(), "239.255.7.22:47022".parse().unwrap());
    let mut groups = Groups::default();
    let mut join = |receiver, vrf: Option<&str>| {
        let membership = (None, on.ifindex);
        groups.join_by(ReceiverId(receiver), group, membership, vrf.map(str::to_owned)).unwrap()
    };
    assert_eq!(join(1, None), Some((group, 0)));
    assert_eq!(join(2, Some("lo")), Some((group, 1)));
    assert_eq!((join(3, None), join(4, Some("lo"))), (None, None));
    let of = |receiver| groups.receivers[&ReceiverId(receiver)].0;
    assert_eq!([3, 4].map(of), [(group, 0), (group, 1)]);
    let device = |place| groups.socket(&place).unwrap().io().device().unwrap();
    assert_eq!(device((group, 0)), None);
    assert_eq!(device((group, 1)).as_deref(), Some(&b"lo"[..]));
}

#[test]
fn a_join_that_was_made_already_is_none_that_fails() {
    for (group, source) in [("239.255.7.18:47018", None), ("232.1.7.18:47018", Some(lo().source))] {
        let group: SocketAddr = group.parse().unwrap();
        let socket = open(group, None).unwrap();
        let mut at = GroupSocket { socket, vrf: None, memberships: BTreeMap::new() };
        let membership = (source, lo().ifindex);
        member(at.socket.io(), true, group.ip(), membership).unwrap();
        let again = member(at.socket.io(), true, group.ip(), membership).unwrap_err();
        assert!(is_in_already(&again), "{again}");
        assert_eq!(at.enter(group, membership), Ok(()));
    }
}

#[test]
fn a_limit_is_told_by_its_name() {
    for (group, code, name) in [
        ("232.1.1.1:1", libc::ENOBUFS, "net.ipv4.igmp_max_msf"),
        ("239.1.1.1:1", libc::ENOBUFS, "net.ipv4.igmp_max_memberships"),
        ("[ff35::8000:1]:1", libc::ENOBUFS, "net.ipv6.mld_max_msf"),
        ("[ff15::8000:1]:1", libc::ENOMEM, "net.core.optmem_max"),
    ] {
        let told = explain(group.parse().unwrap(), &io::Error::from_raw_os_error(code));
        assert!(matches!(&told, Refusal::Full(why) if why.contains(name)), "{told:?}");
    }
}
