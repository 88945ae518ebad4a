//! The receivers of a session that have answered: by which address of this host's each knows it, and on which way it is
//! reached.

use crate::net::interface::{self, Route};
use crate::net::socket::UdpSocket;
use crate::net::{Family, sys};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
struct Peer {
    /// Where it answered to at first: the address that its association was opened from. It follows to another one by
    /// itself, of which nothing is noted here.
    known_by: Option<IpAddr>,
    /// As the routing table has it now; `None` if that knows none.
    way: Option<Route>,
}

/// Those that are served.
#[derive(Debug, Default)]
pub(super) struct Known {
    peers: BTreeMap<SocketAddr, Peer>,
    /// Addresses that this host does not have any more, and how many knew it by each when it lost that.
    lost: BTreeMap<IpAddr, usize>,
}

impl Known {
    /// These are served now. How those are reached that were not before is looked for.
    pub(super) fn serve(
        &mut self,
        sockets: &[UdpSocket],
        all: &[sys::Owned],
        served: &[SocketAddr],
    ) {
        let still: BTreeSet<_> = served.iter().collect();
        self.peers.retain(|peer, _| still.contains(peer));
        for peer in served {
            self.peers.entry(*peer).or_insert_with(|| {
                let way = way(sockets, all, *peer);
                let bound = socket_to(sockets, *peer).map(|socket| socket.local().ip());
                let bound = bound.filter(|addr| !addr.is_unspecified());
                Peer { known_by: bound.or(way.map(|way| way.source)), way }
            });
        }
    }

    /// This host's addresses or links have changed.
    pub(super) fn look_again(&mut self, sockets: &[UdpSocket], all: &[sys::Owned]) {
        for (peer, at) in &mut self.peers {
            at.way = way(sockets, all, *peer);
        }
    }

    /// The ways to those that there is one to.
    pub(super) fn ways(&self) -> Vec<(SocketAddr, Route)> {
        self.peers.iter().filter_map(|(peer, at)| Some((*peer, at.way?))).collect()
    }

    /// Addresses that receivers know this host by and that it does not have now, with how many they are. One that was
    /// lost stays so until it is there again, whatever has become of the receivers.
    pub(super) fn lost(&mut self, all: &[sys::Owned]) -> &BTreeMap<IpAddr, usize> {
        let has = |addr: &IpAddr| interface::owner_among(all, *addr).is_some();
        self.lost.retain(|addr, _| !has(addr));
        let mut gone: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for addr in self.peers.values().filter_map(|peer| peer.known_by).filter(|addr| !has(addr)) {
            *gone.entry(addr).or_default() += 1;
        }
        for (addr, count) in gone {
            self.lost.entry(addr).or_insert(count);
        }
        &self.lost
    }
}

fn socket_to(sockets: &[UdpSocket], peer: SocketAddr) -> Option<&UdpSocket> {
    sockets.iter().find(|socket| socket.family() == Family::of(peer.ip()))
}

/// By the routing table of the socket that it is sent to from: that of a VRF, if it is bound to one.
fn way(sockets: &[UdpSocket], all: &[sys::Owned], peer: SocketAddr) -> Option<Route> {
    let device = socket_to(sockets, peer)?.io().device().ok()?;
    interface::way_to(all, peer, device.as_deref()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(ifindex: u32, addr: &str) -> sys::Owned {
        sys::Owned { ifindex, addr: addr.parse().unwrap(), loopback: false }
    }

    fn known(by: &[&str]) -> Known {
        let peer = |(at, by): (usize, &&str)| {
            let addr = SocketAddr::from(([198, 51, 100, u8::try_from(at).unwrap()], 9));
            (addr, Peer { known_by: Some(by.parse().unwrap()), way: None })
        };
        Known { peers: by.iter().enumerate().map(peer).collect(), lost: BTreeMap::new() }
    }

    fn count(known: &mut Known, all: &[sys::Owned]) -> Vec<(String, usize)> {
        known.lost(all).iter().map(|(addr, count)| (addr.to_string(), *count)).collect()
    }

    #[test]
    fn an_address_is_lost_until_it_is_there_again() {
        let mut known = known(&["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
        let (one, two) = (owned(7, "192.0.2.1"), owned(7, "192.0.2.2"));
        assert_eq!(count(&mut known, &[one, two]), []);
        let lost = [("192.0.2.1".to_owned(), 2)];
        assert_eq!(count(&mut known, &[two, owned(7, "192.0.2.3")]), lost, "nobody answers there");
        known.serve(&[], &[], &[]);
        assert_eq!(count(&mut known, &[two]), lost, "though those have ended");
        assert_eq!(count(&mut known, &[one]), [], "and nobody knows it by the other any more");
    }

    #[test]
    fn a_socket_that_is_bound_is_known_by_that_and_who_is_known_stays_so() {
        let here = SocketAddr::from(([127, 0, 0, 2], 9));
        let all = sys::addresses().unwrap();
        let socket = |addr: [u8; 4]| [UdpSocket::bind((addr, 0).into()).unwrap()];
        let (any, bound) = (socket([0, 0, 0, 0]), socket([127, 0, 0, 3]));
        let by = |known: &Known| known.peers[&here].known_by;
        let mut known = Known::default();
        known.serve(&bound, &all, &[here]);
        assert_eq!(by(&known), Some([127, 0, 0, 3].into()));
        known.serve(&any, &all, &[here]);
        assert_eq!(by(&known), Some([127, 0, 0, 3].into()));
        let mut known = Known::default();
        known.serve(&any, &all, &[here]);
        assert_eq!(by(&known), Some(interface::local_address_towards(here).unwrap()));
        known.look_again(&[], &all);
        assert_eq!(known.ways(), [], "no socket leads there now");
        known.serve(&[], &all, &[]);
        assert!(known.peers.is_empty());
    }
}
