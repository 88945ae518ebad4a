//! Where a sender's datagrams leave this host. It was chosen before anybody had answered; now that it is known who
//! has, and when this host's addresses change, it is looked at again.

use super::Driver;
use super::known::Known;
use crate::config::Group;
use crate::net::interface::{self, Route};
use crate::net::shared::{Departed, Key};
use crate::net::socket::UdpSocket;
use crate::net::{Family, sys};
use crate::proto::event::SessionId;
use std::net::{IpAddr, SocketAddr};

/// When sending has begun, the group moves to those that answer later only if they are so many times as many as those
/// that it leaves: each move has all leave and join, and be judged anew.
const MUCH: usize = 2;

/// A sending session, and where it leaves.
#[derive(Debug)]
pub(crate) struct Departure {
    session: SessionId,
    group: Option<Leaving>,
    begun: bool,
    known: Known,
}

/// Why it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Sending begins.
    Begins,
    /// Another has answered since.
    Answered,
    /// This host's addresses or links have changed.
    Changed,
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
        Self { session, group, begun: false, known: Known::default() }
    }
}

impl Leaving {
    pub(crate) fn new(group: Group, route: Route, ttl: u32, chosen: Chosen) -> Self {
        let name = interface::name_of(route.ifindex).ok();
        Self { group, route, ttl, chosen, name, forced: false }
    }

    /// The address that it is sent from is there.
    fn stands(&self, all: &[sys::Owned]) -> bool {
        let Route { ifindex, source } = self.route;
        all.iter().any(|owned| (owned.ifindex, owned.addr) == (ifindex, source))
    }

    /// The way that leads to most of those that have answered, each of which is reached by one of `ways`, if it is
    /// another than the group's: that is kept as long as its address is there and the application wants it so.
    fn better(
        &self,
        all: &[sys::Owned],
        ways: &[(SocketAddr, Route)],
        look: Look,
    ) -> Option<Route> {
        let Route { ifindex, source } = self.route;
        let (family, stands) = (Family::of(source), self.stands(all));
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
            Chosen::Nothing if stands && look == Look::Changed && !self.forced => None,
            Chosen::Nothing => {
                let way = interface::way_to_most(all, ways, family, ifindex)?;
                let led = |to: u32| ways.iter().filter(|(_, way)| way.ifindex == to).count();
                let clearly = || led(way.ifindex) >= MUCH * led(ifindex);
                let moves = way.ifindex != ifindex && (look != Look::Answered || clearly());
                (moves || !stands).then_some(way)
            }
        }
    }
}

impl Driver {
    /// Sending has begun, or has and another has answered.
    pub(super) fn begun(&mut self, session: SessionId) {
        let ours = self.departure.as_mut().filter(|departure| departure.session == session);
        let Some(departure) = ours else { return };
        let before = std::mem::replace(&mut departure.begun, true);
        self.watch_links();
        self.look_at_departure(if before { Look::Answered } else { Look::Begins });
    }

    /// Looks where it leaves, and whether it is still known by the addresses that it has.
    pub(super) fn look_at_departure(&mut self, look: Look) {
        let Some(departure) = &mut self.departure else { return };
        let Departure { session, group, known, begun } = departure;
        let Ok(all) = sys::addresses() else { return };
        let session = *session;
        if *begun {
            let served = self.shared.ask(|engine, _| engine.answered(session));
            known.serve(&self.sockets, &all, &served);
        }
        if look == Look::Changed {
            known.look_again(&self.sockets, &all);
        }
        let lost = known.lost(&all).clone();
        if look == Look::Changed {
            // Of 127.0.0.0/8 every address is there, whether it is listed or not.
            let has =
                |addr: IpAddr| addr.is_loopback() || interface::owner_among(&all, addr).is_some();
            self.shared.ask(|engine, _| engine.keep_addresses(session, has));
        }
        let ways = known.ways();
        let moved = group.as_mut().and_then(|leaving| {
            let way = leaving.better(&all, &ways, look)?;
            leaving.forced = !leaving.stands(&all);
            match leaving.take(way, &mut self.sockets) {
                Ok(group) => Some((group, way)),
                Err(e) => {
                    tracing::debug!(?way, "the group cannot leave there: {e}");
                    None
                }
            }
        });
        if let Some((group, way)) = moved {
            tracing::debug!(group = %group.addr, ?way, "the group leaves elsewhere");
            self.shared.ask(|engine, _| engine.move_group(session, group, Some(way.source)));
        }
        self.tell_departed(session, |told| {
            told.moved = moved.or(told.moved);
            told.lost = lost;
        });
    }

    /// Tells the application, and wakes it, if that changes anything.
    fn tell_departed(&mut self, session: SessionId, change: impl FnOnce(&mut Departed)) {
        let mut inner = self.shared.lock();
        let before = inner.departed.clone();
        change(&mut inner.departed);
        if inner.departed != before {
            self.wakers.extend(inner.wakers.get(&Key::Session(session)).cloned());
            drop(inner);
            self.shared.changed();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

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
        let anew = leaving(Chosen::Source).better(&[owned(9, "192.0.2.1")], &[], Look::Changed);
        assert_eq!(anew.map(|way| way.ifindex), Some(9));
        for chosen in [Chosen::Source, Chosen::Interface] {
            assert_eq!(leaving(chosen).better(&here, &[], Look::Begins), None);
        }
        assert_eq!(leaving(Chosen::Source).better(&[], &[], Look::Changed), None);
        let another = [owned(8, "192.0.2.9"), owned(7, "192.0.2.2")];
        let way = leaving(Chosen::Interface).better(&another, &[], Look::Changed).unwrap();
        assert_eq!((way.ifindex, way.source), (7, "192.0.2.2".parse::<IpAddr>().unwrap()));
    }

    /// So many are reached by the interface that it leaves by, and so many by another.
    fn ways(here: u8, there: u8) -> Vec<(SocketAddr, Route)> {
        let way =
            |ifindex: u8| Route { ifindex: ifindex.into(), source: [192, 0, ifindex, 1].into() };
        let peers = |net: u8, count: u8| {
            (1..=count).map(move |host| (SocketAddr::from(([198, 51, net, host], 9)), way(net)))
        };
        peers(7, here).chain(peers(8, there)).collect()
    }

    #[test]
    fn it_leaves_towards_those_that_have_answered() {
        let here = [owned(7, "192.0.2.1"), owned(8, "192.0.8.1")];
        let gone = [owned(8, "192.0.8.1")];
        let by = |leaving: &Leaving, all: &[sys::Owned], counts: (u8, u8), look| {
            leaving.better(all, &ways(counts.0, counts.1), look).map(|way| way.ifindex)
        };
        let free = leaving(Chosen::Nothing);
        assert_eq!(by(&free, &here, (1, 2), Look::Begins), Some(8));
        assert_eq!(by(&free, &here, (2, 2), Look::Begins), None, "it stays where as many are");
        assert_eq!(by(&free, &here, (0, 2), Look::Changed), None, "nobody is moved for nothing");
        assert_eq!(by(&free, &gone, (2, 1), Look::Changed), Some(7), "its address is gone");
        // Those that answer one after the other do not move it back and forth.
        for (counts, to) in [((5, 6), None), ((5, 9), None), ((5, 10), Some(8)), ((0, 1), Some(8))]
        {
            assert_eq!(by(&free, &here, counts, Look::Answered), to, "{counts:?}");
        }
        let forced = Leaving { forced: true, ..leaving(Chosen::Nothing) };
        assert_eq!(by(&forced, &here, (1, 2), Look::Changed), Some(8), "it may go back");
        assert_eq!(by(&forced, &here, (2, 2), Look::Changed), None);
    }
}
