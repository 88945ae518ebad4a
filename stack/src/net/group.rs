//! Multicast groups: which may be used, which to draw, and the sockets that have joined them.

use super::counters::CountedAt;
use super::socket::UdpSocket;
use super::{sys, vrf};
use crate::error::ConfigError;
use crate::proto::event::ReceiverId;
use crate::proto::rng::Rng;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl core::fmt::Display for Family {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Whether receivers join this group with its source (RFC 4607, section 1: 232/8 and `FF3x::/32`).
pub fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(v4) => v4.octets()[0] == 232,
        IpAddr::V6(v6) => v6.segments()[0] & 0xfff0 == 0xff30 && v6.segments()[1] == 0,
    }
}

/// Says why a group may not be used: it is none, it does not leave the link, or it is known for
/// something else.
pub fn check_group(group: IpAddr) -> Result<(), ConfigError> {
    let why = match group {
        IpAddr::V4(v4) => refuse_v4(v4),
        IpAddr::V6(v6) => refuse_v6(v6),
    };
    why.map_or(Ok(()), |why| Err(ConfigError::Group(group, why)))
}

fn refuse_v4(group: Ipv4Addr) -> Option<&'static str> {
    match group.octets() {
        _ if !group.is_multicast() => Some("not a multicast address"),
        // RFC 5771, section 4: never forwarded; routing protocols and mDNS live there.
        [224, 0, 0, _] => Some("link-local, kept for routing protocols and mDNS"),
        // RFC 5771, section 5: NTP (224.0.1.1), PTP (224.0.1.129) and others.
        [224, 0, 1, _] => Some("kept for well-known services such as NTP"),
        // RFC 4607, section 1.
        [232, 0, 0, _] => Some("the reserved part of source-specific multicast"),
        // RFC 2365, section 9: the last 256 of a scope are for SSDP (.250), SLP (.253) and such.
        [239, 255, 255, _] => Some("kept for well-known services such as SSDP"),
        _ => None,
    }
}

fn refuse_v6(group: Ipv6Addr) -> Option<&'static str> {
    let first = group.segments()[0];
    // RFC 4291, 2.7: flags in bits 7-4, scope in bits 3-0, the group's id in the other 112.
    let (flags, scope) = (first >> 4 & 0xf, first & 0xf);
    let id = group.to_bits() & (u128::MAX >> 16);
    if !group.is_multicast() {
        Some("not a multicast address")
    } else if scope <= 2 {
        Some("link-local or narrower scope")
    } else if flags == 0 && id <= WELL_KNOWN_V6 {
        Some("kept for well-known services such as mDNS, SSDP and NTP")
    } else {
        None
    }
}

/// Largest id refused among permanent IPv6 groups (IANA, "Variable Scope Multicast Addresses":
/// `::c` SSDP, `::fb` mDNS, `::101` NTP; assignments stay below this).
const WELL_KNOWN_V6: u128 = 0x3ff;

/// A group that two sessions hardly ever share, drawn with the system's randomness; see
/// [`random_group`].
pub fn draw_group(family: Family, source_specific: bool) -> io::Result<IpAddr> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(random_group(&mut Rng::new(seed), family, source_specific))
}

/// Draws a group from the ranges that are meant for it, so that two sessions hardly ever meet.
pub fn random_group(rng: &mut Rng, family: Family, source_specific: bool) -> IpAddr {
    // RFC 3307, 4.3: ids above 2^31 are for hosts to draw from.
    let v6 = |prefix: u16, id: u32| {
        let [high, low] = [(id >> 16) as u16 | 0x8000, id as u16];
        Ipv6Addr::new(prefix, 0, 0, 0, 0, 0, high, low).into()
    };
    let drawn = rng.u32();
    match (family, source_specific) {
        // RFC 4607, section 1: 232/8 without 232.0.0/24, which is 256 addresses.
        (Family::V4, true) => {
            Ipv4Addr::from_bits(0xe800_0000 | (256 + drawn % ((1 << 24) - 256))).into()
        }
        // RFC 2365, 6.1: the local scope, without its last 256 (section 9).
        (Family::V4, false) => Ipv4Addr::from_bits(0xefff_0000 | (drawn % 0xff00)).into(),
        // RFC 4607, section 1, and RFC 4291, 2.7: site scope.
        (Family::V6, true) => v6(0xff35, drawn),
        (Family::V6, false) => v6(0xff15, drawn),
    }
}

/// Group sockets that one driver opens, at most: a peer may ask for groups, not for every
/// descriptor of the process.
pub(crate) const MAX_GROUP_SOCKETS: usize = 64;

/// Memberships of one socket, at most (the default of `net.ipv4.igmp_max_memberships`).
pub(crate) const MAX_MEMBERSHIPS: usize = 20;

/// What distinguishes the memberships of one group's socket.
pub(super) type Membership = (Option<IpAddr>, u32);

/// One of a group's sockets, by the group and a number: another is opened where the system lets none of them enter
/// more.
pub(crate) type Place = (SocketAddr, usize);

/// Why a socket does not enter a group.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// It has as many memberships as one socket may have: another may do.
    Full(String),
    /// So it would be with any.
    Other(String),
}

impl Refusal {
    fn into_words(self) -> String {
        let (Self::Full(why) | Self::Other(why)) = self;
        why
    }
}

/// One group's socket and who uses which of its memberships.
#[derive(Debug)]
pub(crate) struct GroupSocket {
    pub(crate) socket: UdpSocket,
    /// The device of the VRF that its interfaces are in.
    vrf: Option<String>,
    memberships: BTreeMap<Membership, usize>,
}

/// The groups that the receivers of one driver have joined: one socket per group address and port,
/// shared by all that join it, or more where one may not have as many memberships.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    sockets: BTreeMap<Place, GroupSocket>,
    receivers: BTreeMap<ReceiverId, (Place, Membership)>,
    /// Names of the interfaces that were joined on, by their indices.
    names: BTreeMap<u32, String>,
}

/// What a leave has made superfluous.
pub(crate) type Closed = Option<(Place, GroupSocket)>;

impl Groups {
    /// Joins for a receiver. Gives the place of a socket that was opened for that; an error says in
    /// words why it cannot be joined.
    pub(crate) fn join(
        &mut self,
        receiver: ReceiverId,
        group: SocketAddr,
        source: Option<IpAddr>,
        ifindex: u32,
    ) -> Result<Option<Place>, String> {
        check_group(group.ip()).map_err(|e| e.to_string())?;
        if source.is_some_and(|source| Family::of(source) != Family::of(group.ip())) {
            return Err(format!("{group} and its source are of different families"));
        }
        if self.receivers.contains_key(&receiver) {
            return Err("it has joined a group already".to_owned());
        }
        let membership = (source, ifindex);
        let opened = self.join_by(receiver, group, membership, vrf::of(ifindex))?;
        if let Ok(name) = sys::name_of(ifindex) {
            self.names.insert(ifindex, name);
        }
        Ok(opened)
    }

    fn join_by(
        &mut self,
        receiver: ReceiverId,
        group: SocketAddr,
        membership: Membership,
        vrf: Option<String>,
    ) -> Result<Option<Place>, String> {
        if let Some(place) = self.enter(group, membership, vrf.as_deref())? {
            self.receivers.insert(receiver, (place, membership));
            return Ok(None);
        }
        if self.sockets.len() >= MAX_GROUP_SOCKETS {
            return Err(format!("{MAX_GROUP_SOCKETS} groups are joined already"));
        }
        let socket = open(group, vrf.as_deref());
        let socket = socket.map_err(|e| format!("cannot listen on {group}: {e}"))?;
        let mut at = GroupSocket { socket, vrf, memberships: BTreeMap::new() };
        at.enter(group, membership).map_err(Refusal::into_words)?;
        let free =
            (0..MAX_GROUP_SOCKETS).find(|number| !self.sockets.contains_key(&(group, *number)));
        let place = (group, free.unwrap_or_default());
        self.sockets.insert(place, at);
        self.receivers.insert(receiver, (place, membership));
        Ok(Some(place))
    }

    /// Enters by a socket that is open: first by one that has this membership, or every datagram would come by two.
    /// `None` if there is none in that VRF, or all are full.
    fn enter(
        &mut self,
        group: SocketAddr,
        membership: Membership,
        vrf: Option<&str>,
    ) -> Result<Option<Place>, String> {
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        let all = self.sockets.range_mut((group, 0)..=(group, usize::MAX));
        for (place, at) in all.filter(|(_, at)| at.vrf.as_deref() == vrf) {
            let list =
                if at.memberships.contains_key(&membership) { &mut ours } else { &mut others };
            list.push((*place, at));
        }
        for (place, at) in ours.into_iter().chain(others) {
            match at.enter(group, membership) {
                Ok(()) => return Ok(Some(place)),
                Err(Refusal::Full(why)) => tracing::debug!(%group, "another socket: {why}"),
                Err(Refusal::Other(why)) => return Err(why),
            }
        }
        Ok(None)
    }

    /// Leaves and joins for a receiver, and for all who have joined as it has, without a pause: the system then
    /// says that it is a member, and nothing that it does not want the group any more (RFC 3376, 5.1: what is
    /// pending is one change).
    pub(crate) fn refresh(&self, receiver: ReceiverId) -> Result<(), String> {
        let Some((place, membership)) = self.receivers.get(&receiver) else { return Ok(()) };
        let Some(at) = self.sockets.get(place) else { return Ok(()) };
        at.refresh(place.0, *membership)
    }

    /// Those who have joined on an interface.
    pub(crate) fn on(&self, ifindex: u32) -> Vec<ReceiverId> {
        let there = self.receivers.iter().filter(|(_, (_, (_, index)))| *index == ifindex);
        there.map(|(receiver, _)| *receiver).collect()
    }

    /// Where a receiver has joined, for what the system counts there.
    pub(crate) fn counted_at(&self, receiver: ReceiverId) -> Option<CountedAt> {
        let (place, (_, ifindex)) = self.receivers.get(&receiver)?;
        let (family, overflows) = (Family::of(place.0.ip()), self.socket(place)?.overflows());
        Some(CountedAt { family, ifindex: *ifindex, overflows })
    }

    /// The interfaces that were joined on, by their names.
    pub(crate) fn interfaces(&self) -> Vec<(u32, String)> {
        self.names.iter().map(|(ifindex, name)| (*ifindex, name.clone())).collect()
    }

    /// An interface has this name and index. Whoever had joined on one of this name that is gone joins on it.
    pub(crate) fn take_over(&mut self, name: &str, ifindex: u32) {
        let gone = |(old, of): (&u32, &String)| {
            (*old != ifindex && of == name && sys::name_of(*old).is_err()).then_some(*old)
        };
        let Some(old) = self.names.iter().find_map(gone) else { return };
        self.names.remove(&old);
        self.names.insert(ifindex, name.to_owned());
        for (place, at) in &mut self.sockets {
            at.move_over(place.0, old, ifindex);
        }
        for (_, (_, index)) in self.receivers.values_mut() {
            if *index == old {
                *index = ifindex;
            }
        }
    }

    /// Leaves for a receiver; gives the socket that nobody needs any more.
    pub(crate) fn leave(&mut self, receiver: ReceiverId) -> Closed {
        let (place, membership) = self.receivers.remove(&receiver)?;
        let on = membership.1;
        if !self.receivers.values().any(|(_, (_, other))| *other == on) {
            self.names.remove(&on);
        }
        let at = self.sockets.get_mut(&place)?;
        at.exit(place.0, membership);
        if !at.memberships.is_empty() {
            return None;
        }
        self.sockets.remove_entry(&place)
    }

    /// A group's socket.
    pub(crate) fn socket(&self, place: &Place) -> Option<&UdpSocket> {
        self.sockets.get(place).map(|at| &at.socket)
    }
}

impl GroupSocket {
    fn enter(&mut self, group: SocketAddr, membership: Membership) -> Result<(), Refusal> {
        if let Some(users) = self.memberships.get_mut(&membership) {
            *users += 1;
            return Ok(());
        }
        if self.memberships.len() >= MAX_MEMBERSHIPS {
            let why = format!("{group} is joined in {MAX_MEMBERSHIPS} ways already");
            return Err(Refusal::Full(why));
        }
        match member(self.socket.io(), true, group.ip(), membership) {
            Err(e) if !is_in_already(&e) => return Err(explain(group, &e)),
            _ => {}
        }
        self.memberships.insert(membership, 1);
        Ok(())
    }

    fn exit(&mut self, group: SocketAddr, membership: Membership) {
        let Some(users) = self.memberships.get_mut(&membership) else { return };
        *users -= 1;
        if *users == 0 {
            self.memberships.remove(&membership);
            // The interface may be gone, and the membership with it.
            if let Err(e) = member(self.socket.io(), false, group.ip(), membership) {
                tracing::debug!(%group, "leaving: {e}");
            }
        }
    }
}

/// Whether a join fails because the socket is in that group already: of a group EADDRINUSE, of a source EADDRNOTAVAIL
/// (`ip_mc_join_group` and `ip_mc_source` in net/ipv4/igmp.c, and their twins in net/ipv6/mcast.c).
pub(super) fn is_in_already(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL))
}

impl GroupSocket {
    /// A membership that the system has not, or has in spite of all, is none the worse for it.
    fn refresh(&self, group: SocketAddr, membership: Membership) -> Result<(), String> {
        if let Err(e) = member(self.socket.io(), false, group.ip(), membership) {
            tracing::debug!(%group, "leaving, to join again: {e}");
        }
        match member(self.socket.io(), true, group.ip(), membership) {
            Err(e) if !is_in_already(&e) => Err(explain(group, &e).into_words()),
            _ => Ok(()),
        }
    }

    /// Memberships on one interface become such on another.
    fn move_over(&mut self, group: SocketAddr, old: u32, new: u32) {
        let of_it: Vec<_> = self.memberships.keys().filter(|(_, on)| *on == old).copied().collect();
        for was in of_it {
            let Some(users) = self.memberships.remove(&was) else { continue };
            // Of its slot in the socket: the interface itself is gone.
            let left = member(self.socket.io(), false, group.ip(), was);
            let is = (was.0, new);
            *self.memberships.entry(is).or_default() += users;
            // If it fails now, it is tried again with the next refresh.
            let joined = member(self.socket.io(), true, group.ip(), is);
            tracing::debug!(%group, old, new, ?left, ?joined, "another interface of the same name");
        }
    }
}

fn explain(group: SocketAddr, error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        // Of IPv6 groups ENOMEM: they are in the socket's own memory.
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            let limits = match group {
                SocketAddr::V4(_) => "net.ipv4.igmp_max_memberships, net.ipv4.igmp_max_msf",
                SocketAddr::V6(_) => "net.ipv6.mld_max_msf, net.core.optmem_max",
            };
            Refusal::Full(format!("cannot join {group}: the system's limit is reached ({limits})"))
        }
        Some(libc::ENODEV) => Refusal::Other(format!("cannot join {group}: no interface for it")),
        _ => Refusal::Other(format!("cannot join {group}: {error}")),
    }
}

/// Bound to the group itself, so that nothing else that comes to this port is heard here, and
/// shared with other processes that join the same.
fn open(group: SocketAddr, vrf: Option<&str>) -> io::Result<UdpSocket> {
    UdpSocket::new(bound(group, vrf)?)
}

/// See [`open`].
pub(super) fn bound(group: SocketAddr, vrf: Option<&str>) -> io::Result<Socket> {
    let io = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    vrf::enter(&io, vrf)?;
    io.set_reuse_address(true)?;
    if group.is_ipv6() {
        io.set_only_v6(true)?;
    }
    io.bind(&group.into())?;
    Ok(io)
}

/// Joins, or leaves.
pub(super) fn member(
    io: &Socket,
    join: bool,
    group: IpAddr,
    (source, ifindex): Membership,
) -> io::Result<()> {
    match (group, source) {
        (_, Some(source)) => sys::source_membership(io.as_fd(), join, group, source, ifindex),
        (IpAddr::V4(v4), None) => {
            let interface = InterfaceIndexOrAddress::Index(ifindex);
            if join {
                io.join_multicast_v4_n(&v4, &interface)
            } else {
                io.leave_multicast_v4_n(&v4, &interface)
            }
        }
        (IpAddr::V6(v6), None) if join => io.join_multicast_v6(&v6, ifindex),
        (IpAddr::V6(v6), None) => io.leave_multicast_v6(&v6, ifindex),
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
