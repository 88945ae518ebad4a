//! Interfaces: names, indices, and which one leads to a receiver.

use super::group::Family;
use super::sys;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A new IPv6 address may not be sent from before its system has asked whether it has a twin: up to
/// a second's delay, then one second (RFC 4862, 5.4.2 and 5.1; RFC 4861, 10), and a little.
const TENTATIVE: Duration = Duration::from_millis(2500);
/// It is looked so often whether it may be.
const LOOK: Duration = Duration::from_millis(50);

/// Where multicast leaves this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The interface.
    pub ifindex: u32,
    /// The address that it is sent from, which source-specific receivers join with.
    pub source: IpAddr,
}

/// The index of the interface with this name; an error of the system if there is none.
pub fn index_of(name: &str) -> io::Result<u32> {
    sys::index_of(name)
}

/// The name of the interface with this index; an error of the system if there is none.
pub fn name_of(ifindex: u32) -> io::Result<String> {
    sys::name_of(ifindex)
}

/// The address that this host sends from to reach `peer`; nothing is sent to find it.
pub fn local_address_towards(peer: SocketAddr) -> io::Result<IpAddr> {
    address_towards(peer, None)
}

/// Likewise by the routing table of a VRF, if that is the device.
fn address_towards(peer: SocketAddr, device: Option<&[u8]>) -> io::Result<IpAddr> {
    // Connecting a UDP socket asks the routing table and binds the answer (udp(7)).
    let probe = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    if device.is_some() && probe.device()?.as_deref() != device {
        probe.bind_device(device)?;
    }
    probe.connect(&peer.into())?;
    let local = probe.local_addr()?.as_socket();
    local.map(|addr| addr.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Whether the interface is in a VRF, which has a routing table of its own.
pub fn is_in_vrf(ifindex: u32) -> bool {
    super::vrf::of(ifindex).is_some()
}

/// The interface that owns a local address, `None` if none does. The whole of 127/8 belongs to the
/// loopback interface.
pub fn owner_of(addr: IpAddr) -> io::Result<Option<u32>> {
    Ok(owner_among(&sys::addresses()?, addr))
}

pub(super) fn owner_among(all: &[sys::Owned], addr: IpAddr) -> Option<u32> {
    all.iter()
        .find(|owned| owned.addr == addr || (owned.loopback && addr.is_loopback()))
        .map(|owned| owned.ifindex)
}

/// An address of the interface to send from, one with more than link-local scope if there is one.
/// One that may not be used yet, since it is new (IPv6), is waited for.
pub fn address_of(ifindex: u32, family: Family) -> io::Result<Option<IpAddr>> {
    let until = Instant::now() + TENTATIVE;
    loop {
        let all = sys::addresses()?;
        let found = usable_address(&all, ifindex, family);
        let of_it =
            |owned: &sys::Owned| owned.ifindex == ifindex && Family::of(owned.addr) == family;
        if found.is_some() || !all.iter().any(of_it) || Instant::now() >= until {
            return Ok(found);
        }
        std::thread::sleep(LOOK);
    }
}

/// An address of the interface that may be sent from now, one with more than link-local scope if there is one.
pub(super) fn usable_address(all: &[sys::Owned], ifindex: u32, family: Family) -> Option<IpAddr> {
    let of_it = |owned: &&sys::Owned| owned.ifindex == ifindex && Family::of(owned.addr) == family;
    let usable = || all.iter().filter(of_it).filter(|owned| !is_tentative(owned));
    let found = usable().find(|o| !is_link_local(o.addr)).or_else(|| usable().next());
    found.map(|owned| owned.addr)
}

/// Interfaces other than the loopback one that have an address of a family to send from.
pub fn with_address(family: Family) -> io::Result<Vec<u32>> {
    let all = sys::addresses()?;
    let others = all.iter().filter(|owned| !owned.loopback && Family::of(owned.addr) == family);
    let indices: BTreeSet<u32> = others.map(|owned| owned.ifindex).collect();
    let usable = |index: &u32| usable_address(&all, *index, family).is_some();
    Ok(indices.into_iter().filter(usable).collect())
}

/// Whether the interface has any address of a family, usable already or not.
pub fn has_family(ifindex: u32, family: Family) -> io::Result<bool> {
    let all = sys::addresses()?;
    Ok(all.iter().any(|owned| owned.ifindex == ifindex && Family::of(owned.addr) == family))
}

/// Whether this host has no address at all to send from to another of this family (`net.ipv6.conf.*.disable_ipv6`
/// takes all of them away). Beyond this host its own loopback addresses are none.
pub(crate) fn lacks_family(to: IpAddr) -> bool {
    sys::addresses().is_ok_and(|all| lacks_family_among(&all, to))
}

fn lacks_family_among(all: &[sys::Owned], to: IpAddr) -> bool {
    let serves = |own: IpAddr| {
        Family::of(own) == Family::of(to) && own.is_loopback() == to.to_canonical().is_loopback()
    };
    !all.iter().any(|owned| serves(owned.addr))
}

/// Whether the routing table knows a way to `peer`.
pub fn is_routed(peer: SocketAddr) -> bool {
    local_address_towards(peer).is_ok()
}

/// The first of a receiver's addresses that there is a way to, of the family if there is one; the first of all
/// if there is no way to any.
pub fn first_routed(addrs: &[SocketAddr], family: Family) -> Option<SocketAddr> {
    first_among(addrs, family, is_routed)
}

fn first_among(
    addrs: &[SocketAddr],
    family: Family,
    routed: impl Fn(SocketAddr) -> bool,
) -> Option<SocketAddr> {
    let routed: Vec<_> = addrs.iter().copied().filter(|addr| routed(*addr)).collect();
    let of_it = routed.iter().find(|addr| Family::of(addr.ip()) == family);
    of_it.or(routed.first()).or(addrs.first()).copied()
}

/// An address that its interface has, but that may not be used (yet): it cannot be bound to.
fn is_tentative(owned: &sys::Owned) -> bool {
    let addr: SocketAddr = match owned.addr {
        IpAddr::V4(_) => return false,
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, owned.ifindex).into(),
    };
    UdpSocket::bind(addr).is_err_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Whether the routing table lets multicast to `group` out through an interface; the system's error
/// if not. Linux, for one, has no route for IPv6 groups on the loopback interface.
pub fn check_route(group: SocketAddr, ifindex: u32) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    match group {
        SocketAddr::V4(_) => {
            sys::set_multicast_if_v4(probe.as_fd(), ifindex, Ipv4Addr::UNSPECIFIED)?;
        }
        SocketAddr::V6(_) => probe.set_multicast_if_v6(ifindex)?,
    }
    probe.connect(&group.into())
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The interface that a link-local peer is on, by its zone (RFC 4007, 6).
fn zone_of(peer: SocketAddr) -> Option<u32> {
    match peer {
        SocketAddr::V6(v6) if is_link_local(peer.ip()) => Some(v6.scope_id()).filter(|id| *id != 0),
        _ => None,
    }
}

/// The interface that leads to `peer`, sending from `source`. A receiver on this very host is
/// reached through the interface that owns its address: that is where its system says a SYN came in
/// (`IP_PKTINFO`), and so where it joins. Of link-local addresses any interface may have the same.
fn leads_to(all: &[sys::Owned], peer: SocketAddr, source: IpAddr) -> Option<u32> {
    zone_of(peer).or_else(|| owner_among(all, peer.ip())).or_else(|| owner_among(all, source))
}

/// The way to `peer`; `None` if there is none.
pub fn route_to(peer: SocketAddr) -> io::Result<Option<Route>> {
    let all = sys::addresses()?;
    Ok(way_to(&all, peer, None).ok().flatten())
}

/// The way on which multicast reaches most of `peers`; `None` if none of them has a route. Peers of
/// the group's own family count, if there are any; else a group of the other family leaves where
/// they are all the same. Nor do this host's loopback addresses count beside others. An address that may
/// not be used yet, since it is new, is waited for.
pub fn route_to_most(peers: &[SocketAddr], family: Family) -> io::Result<Option<Route>> {
    let peers = beyond_loopback(peers);
    let of_it = of_family(&peers, family);
    let until = Instant::now() + TENTATIVE;
    let found = loop {
        let all = sys::addresses()?;
        let (found, unready) = most(&all, &of_it);
        if !unready || Instant::now() >= until || !all.iter().any(is_tentative) {
            break found;
        }
        std::thread::sleep(LOOK);
    };
    match found {
        Some(route) if Family::of(route.source) != family => {
            let source = address_of(route.ifindex, family)?;
            Ok(source.map(|source| Route { source, ..route }))
        }
        found => Ok(found),
    }
}

/// The same as it is now, without waiting, of peers that are reached by these ways: the one to most of them, with an
/// address of the group's family. Of interfaces that lead to as many, `keep` is taken.
pub(super) fn way_to_most(
    all: &[sys::Owned],
    ways: &[(SocketAddr, Route)],
    family: Family,
    keep: u32,
) -> Option<Route> {
    let peers: Vec<_> = ways.iter().map(|(peer, _)| *peer).collect();
    let counted = beyond_loopback(&peers);
    let counted = of_family(&counted, family);
    let of_counted = ways.iter().filter(|(peer, _)| counted.contains(&peer));
    let route = largest(of_counted.map(|(_, route)| *route), Some(keep))?;
    if Family::of(route.source) == family {
        return Some(route);
    }
    let source = usable_address(all, route.ifindex, family)?;
    Some(Route { source, ..route })
}

/// The way to `peer`, by the routing table of a VRF if that is the device; `None` if no interface is known to lead
/// there, an error of the system if there is no way.
pub(super) fn way_to(
    all: &[sys::Owned],
    peer: SocketAddr,
    device: Option<&[u8]>,
) -> io::Result<Option<Route>> {
    let source = address_towards(peer, device)?;
    Ok(leads_to(all, peer, source).map(|ifindex| Route { ifindex, source }))
}

/// Peers of a family, if there are any; else all.
fn of_family(peers: &[SocketAddr], family: Family) -> Vec<&SocketAddr> {
    let of_it: Vec<_> = peers.iter().filter(|peer| Family::of(peer.ip()) == family).collect();
    if of_it.is_empty() { peers.iter().collect() } else { of_it }
}

/// Peers on loopback hear a group wherever it leaves this host or not at all; all the others are elsewhere.
fn beyond_loopback(peers: &[SocketAddr]) -> Vec<SocketAddr> {
    let beyond = |peer: &&SocketAddr| !peer.ip().to_canonical().is_loopback();
    let others: Vec<_> = peers.iter().filter(beyond).copied().collect();
    if others.is_empty() { peers.to_vec() } else { others }
}

/// The way to most of `peers`, and whether to any of them nothing can be sent from yet.
fn most(all: &[sys::Owned], peers: &[&SocketAddr]) -> (Option<Route>, bool) {
    let mut unready = false;
    let ways = peers.iter().filter_map(|peer| {
        let way = way_to(all, **peer, None);
        unready |= way.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable);
        way.ok().flatten()
    });
    let ways: Vec<_> = ways.collect();
    (largest(ways.into_iter(), None), unready)
}

/// The way that is there most often. Of interfaces that are as often there, `keep` is taken, else the first.
fn largest(ways: impl Iterator<Item = Route>, keep: Option<u32>) -> Option<Route> {
    let mut found: Vec<(Route, usize)> = Vec::new();
    for way in ways {
        match found.iter_mut().find(|(route, _)| route.ifindex == way.ifindex) {
            Some((_, count)) => *count += 1,
            None => found.push((way, 1)),
        }
    }
    // The first of the largest: `max_by_key` alone would give the last.
    let most =
        found.into_iter().rev().max_by_key(|(route, count)| (*count, Some(route.ifindex) == keep));
    most.map(|(route, _)| route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_by_name_index_and_address() {
        let lo = owner_of(Ipv4Addr::new(127, 0, 0, 7).into()).unwrap().unwrap();
        assert_eq!(index_of(&name_of(lo).unwrap()).unwrap(), lo);
        assert_eq!(address_of(lo, Family::V4).unwrap(), Some(Ipv4Addr::LOCALHOST.into()));
        assert!(index_of("no such interface").is_err());
        assert!(index_of("with\0nul").is_err());
        assert!(name_of(u32::MAX).is_err());
        assert_eq!(owner_of(Ipv4Addr::new(203, 0, 113, 1).into()).unwrap(), None);
    }

    #[test]
    fn ipv4_groups_have_a_way_through_loopback_and_none_through_nothing() {
        let lo = owner_of(Ipv4Addr::LOCALHOST.into()).unwrap().unwrap();
        let group = SocketAddr::from(([239, 255, 7, 1], 9));
        check_route(group, lo).unwrap();
        assert!(check_route(group, 0x7fff_fff0).is_err());
    }

    #[test]
    fn peers_on_this_host_are_reached_where_their_address_is() {
        let all = sys::addresses().unwrap();
        for owned in all.iter().filter(|owned| !is_link_local(owned.addr)) {
            let route = route_to_most(&[(owned.addr, 9).into()], Family::of(owned.addr));
            assert_eq!(route.unwrap().unwrap().ifindex, owned.ifindex, "{owned:?}");
        }
        let peers = ["127.0.0.2:1".parse().unwrap(), "127.0.0.3:1".parse().unwrap()];
        let route = route_to_most(&peers, Family::V4).unwrap().unwrap();
        assert!(route.source.is_loopback());
        let all = sys::addresses().unwrap();
        let v6 = all.iter().any(|o| o.ifindex == route.ifindex && o.addr.is_ipv6());
        let other = route_to_most(&peers, Family::V6).unwrap();
        assert_eq!(other.map(|other| other.ifindex), v6.then_some(route.ifindex));
    }

    #[test]
    fn loopback_does_not_count_beside_others() {
        let all = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let here = ["127.0.0.1:1", "127.0.1.1:1", "[::1]:1"];
        assert_eq!(beyond_loopback(&all(&here)), all(&here));
        let mixed = ["127.0.0.1:1", "10.0.0.1:1", "[::ffff:127.0.0.1]:1", "[fd00::1]:1"];
        assert_eq!(beyond_loopback(&all(&mixed)), all(&["10.0.0.1:1", "[fd00::1]:1"]));
    }

    #[test]
    fn a_family_is_lacking_where_no_address_of_it_could_be_sent_from() {
        let owned = |text: &str| {
            let addr: IpAddr = text.parse().unwrap();
            sys::Owned { ifindex: 1, addr, loopback: addr.is_loopback() }
        };
        let all = [owned("127.0.0.1"), owned("10.0.0.1"), owned("::1")];
        for (to, lacks) in
            [("10.0.0.2", false), ("fd00::2", true), ("fe80::2", true), ("::1", false)]
        {
            assert_eq!(lacks_family_among(&all, to.parse().unwrap()), lacks, "{to}");
        }
        let with = [owned("127.0.0.1"), owned("fe80::1")];
        assert!(!lacks_family_among(&with, "fd00::2".parse().unwrap()));
        assert!(lacks_family_among(&with, "10.0.0.2".parse().unwrap()));
        assert!(lacks_family_among(&with, "::1".parse().unwrap()));
    }

    #[test]
    fn of_several_addresses_the_first_with_a_way_counts() {
        let [a, b, c]: [SocketAddr; 3] =
            ["[fd00::1]:1", "10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        let all = [a, b, c];
        let first = |family, routed: &[SocketAddr]| {
            first_among(&all, family, |addr| routed.contains(&addr)).unwrap()
        };
        assert_eq!(first(Family::V4, &all), b);
        assert_eq!(first(Family::V6, &all), a);
        assert_eq!(first(Family::V4, &[a, c]), c);
        assert_eq!(first(Family::V6, &[b, c]), b, "of the other family rather than none");
        assert_eq!(first(Family::V4, &[]), a);
        assert_eq!(first_among(&[], Family::V4, |_| true), None);
    }

    #[test]
    fn of_one_address_on_two_interfaces_the_zone_tells_which() {
        let addr: IpAddr = "fe80::1".parse().unwrap();
        let owned = |ifindex| sys::Owned { ifindex, addr, loopback: false };
        let all = [owned(7), owned(8)];
        let peer = |scope| SocketAddrV6::new("fe80::2".parse().unwrap(), 1, 0, scope).into();
        assert_eq!(leads_to(&all, peer(8), addr), Some(8));
        assert_eq!(leads_to(&all, peer(0), addr), Some(7), "without a zone any may be meant");
        // Beyond the link a scope id means nothing.
        let beyond = SocketAddrV6::new("fd00::2".parse().unwrap(), 1, 0, 8).into();
        assert_eq!(leads_to(&all, beyond, addr), Some(7));
    }
}
