//! Where a sender's datagrams leave this host. It was chosen before anybody had answered; now that it is known who
//! has, and when this host's addresses change, it is looked at again.

use super::Driver;
use crate::config::Group;
use crate::net::interface::{self, Route};
use crate::net::socket::UdpSocket;
use crate::net::{Family, sys};
use crate::proto::event::SessionId;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// A sending session, and where it leaves.
#[derive(Debug)]
pub(crate) struct Departure {
    session: SessionId,
    group: Option<Leaving>,
    /// Once sending has begun: the addresses that this host is known by.
    known_by: BTreeSet<IpAddr>,
}

/// A session's group, as it is announced, and the way on which it leaves.
#[derive(Debug)]
pub(crate) struct Leaving {
    group: Group,
    route: Route,
    ttl: u32,
    chosen: Chosen,
    /// The interface's name: one that is made anew has another index.
    name: Option<String>,
    /// It leaves where it does since the address before was taken away, and may go back.
    forced: bool,
}

/// What of it the application has chosen, so that it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The address that it is sent from.
    Source,
    /// The interface.
    Interface,
    Nothing,
}

impl Departure {
    pub(crate) fn new(session: SessionId, group: Option<Leaving>) -> Self {
        Self { session, group, known_by: BTreeSet::new() }
    }
}

impl Leaving {
    pub(crate) fn new(group: Group, route: Route, ttl: u32, chosen: Chosen) -> Self {
        let name = interface::name_of(route.ifindex).ok();
        Self { group, route, ttl, chosen, name, forced: false }
    }

    /// The way that leads to most of those that have answered, if it is another than the group's: that is kept as
    /// long as its address is there and the application wants it so.
    fn better(&self, all: &[sys::Owned], peers: &[SocketAddr], begins: bool) -> Option<Route> {
        let Route { ifindex, source } = self.route;
        let family = Family::of(source);
        let stands = all.iter().any(|owned| (owned.ifindex, owned.addr) == (ifindex, source));
        match self.chosen {
            Chosen::Source | Chosen::Interface if stands => None,
            Chosen::Source => {
                let owner = interface::owner_among(all, source).filter(|owner| *owner != ifindex);
                owner.map(|ifindex| Route { ifindex, source })
            }
            Chosen::Interface => {
                let anew = self.name.as_deref().and_then(|name| interface::index_of(name).ok());
                let ifindex = anew.unwrap_or(ifindex);
                let source = interface::usable_address(all, ifindex, family)?;
                Some(Route { ifindex, source })
            }
            // Another one is better only where it is known who has answered since.
            Chosen::Nothing if stands && !begins && !self.forced => None,
            Chosen::Nothing => interface::way_to_most(all, peers, family, ifindex)
                .filter(|way| !stands || way.ifindex != ifindex),
        }
    }
}

impl Driver {
    /// Sending has begun.
    pub(super) fn begun(&mut self, session: SessionId) {
        if self.departure.as_ref().is_some_and(|departure| departure.session == session) {
            self.watch_links();
            self.look_at_departure(true);
        }
    }

    /// Sending begins, or has and another has answered (`begins`), or this host's addresses have changed.
    pub(super) fn look_at_departure(&mut self, begins: bool) {
        let Some(departure) = &mut self.departure else { return };
        let session = departure.session;
        let Ok(all) = sys::addresses() else { return };
        let peers = self.shared.ask(|engine, _| engine.answered(session));
        if begins {
            departure.known_by = known_by(&self.sockets, &peers);
        }
        let cut_off = is_cut_off(&all, &departure.known_by);
        self.shared.lock().departed.cut_off = cut_off;
        let leaving = departure.group.as_mut();
        if let Some((leaving, way)) = leaving.and_then(|leaving| {
            let way = leaving.better(&all, &peers, begins)?;
            Some((leaving, way))
        }) {
            leaving.forced = !begins;
            match leaving.take(way, &mut self.sockets) {
                Ok(group) => {
                    tracing::debug!(group = %group.addr, ?way, "the group leaves elsewhere");
                    let mut inner = self.shared.lock();
                    inner.endpoint.move_group(session, group, Some(way.source));
                    inner.departed.moved = Some((group, way));
                }
                Err(e) => tracing::debug!(?way, "the group cannot leave there: {e}"),
            }
        }
    }
}

impl Leaving {
    /// It leaves there from now on, and is announced so.
    fn take(&mut self, way: Route, sockets: &mut [UdpSocket]) -> std::io::Result<Group> {
        interface::check_route(self.group.addr, way.ifindex)?;
        let family = Family::of(way.source);
        for socket in sockets.iter_mut().filter(|socket| socket.family() == family) {
            socket.set_multicast(way, self.ttl)?;
        }
        self.route = way;
        self.group.source = self.group.source.map(|_| way.source);
        Ok(self.group)
    }
}

/// The addresses that this host is known by to those that have answered.
fn known_by(sockets: &[UdpSocket], peers: &[SocketAddr]) -> BTreeSet<IpAddr> {
    let address = |peer: &SocketAddr| {
        let family = Family::of(peer.ip());
        let bound = sockets.iter().find(|socket| socket.family() == family)?.local().ip();
        if bound.is_unspecified() {
            interface::local_address_towards(*peer).ok()
        } else {
            Some(bound)
        }
    };
    peers.iter().filter_map(address).collect()
}

/// Whether nobody can answer any more: the receivers know this host by addresses that it does not have now.
fn is_cut_off(all: &[sys::Owned], known_by: &BTreeSet<IpAddr>) -> bool {
    !known_by.is_empty()
        && !known_by.iter().any(|addr| interface::owner_among(all, *addr).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "232.7.7.7:8737";

    fn owned(ifindex: u32, addr: &str) -> sys::Owned {
        sys::Owned { ifindex, addr: addr.parse().unwrap(), loopback: false }
    }

    fn leaving(chosen: Chosen) -> Leaving {
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let group = Group { addr: GROUP.parse().unwrap(), source: Some(source) };
        Leaving::new(group, Route { ifindex: 7, source }, 1, chosen)
    }

    #[test]
    fn what_was_chosen_stays() {
        let here = [owned(7, "192.0.2.1")];
        // An interface that is made anew has another index.
        let anew = leaving(Chosen::Source).better(&[owned(9, "192.0.2.1")], &[], false);
        assert_eq!(anew.map(|way| way.ifindex), Some(9));
        for chosen in [Chosen::Source, Chosen::Interface] {
            assert_eq!(leaving(chosen).better(&here, &[], true), None);
        }
        assert_eq!(leaving(Chosen::Source).better(&[], &[], false), None);
        let another = [owned(8, "192.0.2.9"), owned(7, "192.0.2.2")];
        let way = leaving(Chosen::Interface).better(&another, &[], false).unwrap();
        assert_eq!((way.ifindex, way.source), (7, "192.0.2.2".parse::<IpAddr>().unwrap()));
    }

    /// Peers on this host are reached on the interface that owns their address.
    #[test]
    fn it_leaves_towards_those_that_have_answered() {
        let all = sys::addresses().unwrap();
        let lo =
            all.iter().find(|owned| owned.addr == IpAddr::from([127, 0, 0, 1])).unwrap().ifindex;
        let peers = [SocketAddr::from(([127, 0, 0, 2], 9)), SocketAddr::from(([127, 0, 0, 3], 9))];
        let mut stands = all.clone();
        stands.push(owned(7, "192.0.2.1"));
        let better =
            |all: &[sys::Owned], begins| leaving(Chosen::Nothing).better(all, &peers, begins);
        assert_eq!(better(&stands, true).map(|way| way.ifindex), Some(lo));
        assert_eq!(better(&stands, false), None, "nobody is moved in the middle for nothing");
        assert_eq!(better(&all, false).map(|way| way.ifindex), Some(lo), "its address is gone");
        let forced = Leaving { forced: true, ..leaving(Chosen::Nothing) };
        assert_eq!(forced.better(&stands, &peers, false).map(|way| way.ifindex), Some(lo));
    }

    #[test]
    fn who_has_lost_all_addresses_that_it_is_known_by_is_cut_off() {
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        let known = BTreeSet::from([one, two]);
        assert!(!is_cut_off(&[owned(7, "192.0.2.2")], &known));
        assert!(is_cut_off(&[owned(7, "192.0.2.3")], &known), "nobody answers there");
        assert!(!is_cut_off(&[], &BTreeSet::new()), "nobody has answered yet");
    }

    #[test]
    fn a_socket_that_is_bound_is_known_by_that() {
        let here = [SocketAddr::from(([127, 0, 0, 2], 9))];
        let any = [UdpSocket::bind(([0, 0, 0, 0], 0).into()).unwrap()];
        let bound = [UdpSocket::bind(([127, 0, 0, 3], 0).into()).unwrap()];
        let of = |sockets: &[UdpSocket]| known_by(sockets, &here).into_iter().collect::<Vec<_>>();
        assert_eq!(of(&bound), [IpAddr::from([127, 0, 0, 3])]);
        assert_eq!(of(&any), [interface::local_address_towards(here[0]).unwrap()]);
        assert!(of(&[]).is_empty());
    }
}
