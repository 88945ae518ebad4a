//! Interfaces: names, indices, and which one leads to a receiver.

use super::group::Family;
use super::sys;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

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
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket asks the routing table and binds the answer (udp(7)).
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(peer)?;
    Ok(probe.local_addr()?.ip())
}

/// The interface that owns a local address, `None` if none does. The whole of 127/8 belongs to the
/// loopback interface.
pub fn owner_of(addr: IpAddr) -> io::Result<Option<u32>> {
    Ok(owner_among(&sys::addresses()?, addr))
}

fn owner_among(all: &[sys::Owned], addr: IpAddr) -> Option<u32> {
    all.iter()
        .find(|owned| owned.addr == addr || (owned.loopback && addr.is_loopback()))
        .map(|owned| owned.ifindex)
}

/// An address of the interface to send from, one with more than link-local scope if there is one.
pub fn address_of(ifindex: u32, family: Family) -> io::Result<Option<IpAddr>> {
    let all = sys::addresses()?;
    let candidates = || {
        all.iter()
            .filter(|owned| owned.ifindex == ifindex && Family::of(owned.addr) == family)
            .map(|owned| owned.addr)
    };
    Ok(candidates().find(|addr| !is_link_local(*addr)).or_else(|| candidates().next()))
}

/// Whether the routing table lets multicast to `group` out through an interface; the system's error
/// if not. Linux, for one, has no route for IPv6 groups on the loopback interface.
pub fn check_route(group: SocketAddr, ifindex: u32) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    match group {
        SocketAddr::V4(_) => sys::set_multicast_if_v4(probe.as_fd(), ifindex)?,
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

/// The way on which multicast reaches most of `peers` of one family; `None` if none of them has a
/// route. A receiver on this very host is reached through the interface that owns its address: that
/// is where its system says a SYN came in (`IP_PKTINFO`), and so where it joins.
pub fn route_to_most(peers: &[SocketAddr], family: Family) -> io::Result<Option<Route>> {
    let all = sys::addresses()?;
    let mut found: Vec<(Route, usize)> = Vec::new();
    for peer in peers.iter().filter(|peer| Family::of(peer.ip()) == family) {
        let Ok(source) = local_address_towards(*peer) else { continue };
        let owner = owner_among(&all, peer.ip()).or_else(|| owner_among(&all, source));
        let Some(ifindex) = owner else { continue };
        match found.iter_mut().find(|(route, _)| route.ifindex == ifindex) {
            Some((_, count)) => *count += 1,
            None => found.push((Route { ifindex, source }, 1)),
        }
    }
    // The first of the largest: `max_by_key` alone would give the last.
    Ok(found.into_iter().rev().max_by_key(|(_, count)| *count).map(|(route, _)| route))
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
        assert_eq!(route_to_most(&peers, Family::V6).unwrap(), None);
    }
}
