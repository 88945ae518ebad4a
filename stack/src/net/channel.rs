//! A group that is spoken and listened to apart from sessions: announcements, each a datagram.

use super::group::{Membership, bound, is_in_already, member};
use super::interface::address_of;
use super::{Family, check_group, is_source_specific};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Listens to a group. Whoever has it keeps its memberships by [`Self::keep`], again and again: a membership goes with its
/// interface, and a network without a querier forgets those that are not told anew.
#[derive(Debug)]
pub struct ChannelListener {
    socket: UdpSocket,
    group: SocketAddr,
    joined: BTreeSet<Membership>,
}

impl ChannelListener {
    /// Binds to the group's address and port; nothing is joined yet.
    ///
    /// # Errors
    ///
    /// It is no group that may be used, or the system does not let it.
    pub fn open(group: SocketAddr) -> io::Result<Self> {
        check_group(group.ip()).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let socket: UdpSocket = bound(group, None)?.into();
        let io = SockRef::from(&socket);
        // Not what others of this host have joined, on whichever interface.
        if group.is_ipv4() {
            io.set_multicast_all_v4(false)?;
        } else {
            io.set_multicast_all_v6(false)?;
        }
        Ok(Self { socket, group, joined: BTreeSet::new() })
    }

    /// Whether each membership has a source (RFC 4607).
    pub fn is_source_specific(&self) -> bool {
        is_source_specific(self.group.ip())
    }

    /// These are its memberships, by the source, of a source-specific group, and the interface's index: those that are
    /// lacking are joined, others are left. `anew`: those that there are are joined once more, so that the network hears of
    /// them. Why each could not be joined that could not: it is for the next time.
    pub fn keep(&mut self, wanted: &BTreeSet<(Option<IpAddr>, u32)>, anew: bool) -> Vec<io::Error> {
        let io = SockRef::from(&self.socket);
        let group = self.group.ip();
        for gone in self.joined.difference(wanted) {
            let _ = member(&io, false, group, *gone); // its interface may be gone, and it with that
        }
        let mut joined = BTreeSet::new();
        let mut errors = Vec::new();
        for membership in wanted {
            if anew && self.joined.contains(membership) {
                let _ = member(&io, false, group, *membership);
            }
            // Also of one that there is, for the interface may be another one of this number.
            match member(&io, true, group, *membership) {
                Err(error) if !is_in_already(&error) => errors.push(error),
                _ => drop(joined.insert(*membership)),
            }
        }
        self.joined = joined;
        errors
    }

    /// Waits for a datagram, so long at most; how many bytes of `buf` it has, and who sent it.
    ///
    /// # Errors
    ///
    /// The system's; `None` is none.
    pub fn receive(
        &self,
        buf: &mut [u8],
        limit: Duration,
    ) -> io::Result<Option<(usize, SocketAddr)>> {
        self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        match self.socket.recv_from(buf) {
            Ok(received) => Ok(Some(received)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// Speaks to a group, through one interface.
#[derive(Debug)]
pub struct ChannelSpeaker {
    socket: Socket,
    group: SocketAddr,
}

impl ChannelSpeaker {
    /// From the address that this interface has, which is the source of a source-specific group; `ttl`: routers that the
    /// datagrams may pass, plus one.
    ///
    /// # Errors
    ///
    /// It is no group that may be used, the interface has no address of its family, or the system does not let it.
    pub fn open(group: SocketAddr, ifindex: u32, ttl: u32) -> io::Result<Self> {
        check_group(group.ip()).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let family = Family::of(group.ip());
        let source = address_of(ifindex, family)?.ok_or_else(|| {
            let text = format!("the interface has no {family} address to speak to {group} from");
            io::Error::new(io::ErrorKind::AddrNotAvailable, text)
        })?;
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        if let IpAddr::V4(source) = source {
            socket.set_multicast_if_v4(&source)?;
            socket.set_multicast_ttl_v4(ttl)?;
            socket.set_multicast_loop_v4(true)?;
        } else {
            socket.set_multicast_if_v6(ifindex)?;
            socket.set_multicast_hops_v6(ttl)?;
            socket.set_multicast_loop_v6(true)?;
        }
        let scoped = match source {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddr::from(std::net::SocketAddrV6::new(v6, 0, 0, ifindex))
            }
            source => SocketAddr::new(source, 0),
        };
        socket.bind(&scoped.into())?;
        Ok(Self { socket, group })
    }

    /// Says it.
    ///
    /// # Errors
    ///
    /// The system's: nobody has heard it.
    pub fn say(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, &self.group.into()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::interface::{check_route, index_of};

    fn said(group: &str, source: Option<&str>) -> io::Result<Vec<u8>> {
        let group: SocketAddr = group.parse().unwrap();
        let lo = index_of("lo").unwrap();
        let mut listener = ChannelListener::open(group)?;
        assert_eq!(listener.is_source_specific(), source.is_some());
        let source = source.map(|source| source.parse().unwrap());
        let wanted = BTreeSet::from([(source, lo)]);
        for anew in [false, false, true] {
            let errors = listener.keep(&wanted, anew);
            if let Some(error) = errors.into_iter().next() {
                return Err(error);
            }
        }
        let speaker = ChannelSpeaker::open(group, lo, 1)?;
        speaker.say(b"an announcement")?;
        let mut buf = [0; 100];
        let (len, from) = listener.receive(&mut buf, Duration::from_secs(10))?.unwrap();
        assert!(from.ip().is_loopback());
        assert!(listener.keep(&BTreeSet::new(), false).is_empty());
        speaker.say(b"nobody listens")?;
        assert_eq!(listener.receive(&mut [0; 100], Duration::from_millis(50))?, None);
        Ok(buf[..len].to_vec())
    }

    #[test]
    fn who_has_joined_hears_what_is_said() {
        let port = |text: &str| format!("{text}:{}", 20_000 + std::process::id() % 20_000);
        assert_eq!(said(&port("239.255.77.1"), None).unwrap(), b"an announcement");
        assert_eq!(said(&port("232.77.1.1"), Some("127.0.0.1")).unwrap(), b"an announcement");
        let lo = index_of("lo").unwrap();
        // Not on every host IPv6 groups leave by this interface.
        let v6 = port("[ff15::77:1]");
        if check_route(v6.parse().unwrap(), lo).is_ok() {
            assert_eq!(said(&v6, None).unwrap(), b"an announcement");
        }
        let why = ChannelListener::open("224.0.0.1:9".parse().unwrap()).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::InvalidInput);
    }
}
