//! What an error of a socket says about a receiver: whether it is about that one at all, and why it cannot be reached.

use super::sys::Icmp;
use crate::error::Unreachable;
use std::net::SocketAddr;

/// So often a send is repeated at once where it fails by what may be about datagrams to others. Each failure takes one
/// pending error (socket(7), `SO_ERROR`), and meanwhile as many hosts that are gone hardly say so anew.
const REPEATS: u32 = 8;

/// How often a send to `to` that fails with this is repeated before that is believed. What ICMP says about a datagram
/// to one receiver fails the next send of the socket to whomever (ip(7), `IP_RECVERR`).
pub(super) fn repeats(to: SocketAddr, errno: i32) -> u32 {
    match errno {
        // Nobody answers for a group (RFC 1122, 3.2.2), and no send on an unconnected socket is refused by itself.
        libc::ECONNREFUSED => REPEATS,
        _ if errno != libc::EMSGSIZE && to.ip().is_multicast() && by_errno(to, errno).is_some() => {
            REPEATS
        }
        _ if errno == libc::EMSGSIZE || by_errno(to, errno).is_some() => 1,
        _ => 0,
    }
}

/// What it means that a send to `to` fails with this; `None` for what says nothing about the receiver.
pub(super) fn by_errno(to: SocketAddr, errno: i32) -> Option<Unreachable> {
    Some(match errno {
        libc::ECONNREFUSED => Unreachable::Port(to.port()),
        libc::EHOSTUNREACH => Unreachable::Host,
        libc::ENETUNREACH => Unreachable::Network,
        // EPERM: a packet filter here has dropped it; EACCES: a route of the kind "prohibit" (ip-route(8)).
        libc::EACCES | libc::EPERM => Unreachable::ForbiddenHere(to.port()),
        _ => return None,
    })
}

/// What an ICMP message about a datagram to `to` means, with the system's number for it. That number alone does not
/// tell a firewall from a missing route: the kernel makes EHOSTUNREACH of both.
pub(super) fn by_icmp(to: SocketAddr, errno: i32, icmp: &Icmp) -> Option<Unreachable> {
    match prohibition(icmp) {
        Some(said) => Some(Unreachable::Forbidden { port: to.port(), by: icmp.by, said }),
        None => by_errno(to, errno),
    }
}

/// What is said by an ICMP message that something is administratively prohibited.
fn prohibition(icmp: &Icmp) -> Option<&'static str> {
    Some(match (icmp.v6, icmp.kind, icmp.code) {
        // RFC 1812, 5.2.7.1: codes of type 3. RFC 4443, 3.1: codes of type 1.
        (false, 3, 9) => "network administratively prohibited",
        (false, 3, 10) => "host administratively prohibited",
        (false, 3, 13) | (true, 1, 1) => "communication administratively prohibited",
        (true, 1, 5) => "source address failed policy",
        (true, 1, 6) => "route to destination rejected",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn host() -> SocketAddr {
        ([203, 0, 113, 1], 9).into()
    }

    #[test]
    fn a_firewall_is_told_from_a_host_that_is_not_there() {
        let by = Some(Ipv4Addr::new(203, 0, 113, 254).into());
        let meaning = |v6, kind, code, errno| by_icmp(host(), errno, &Icmp { v6, kind, code, by });
        // As the kernel pairs them: net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c, icmpv6_err_convert.
        for (v6, kind, code, errno) in [
            (false, 3, 9, libc::ENETUNREACH),
            (false, 3, 10, libc::EHOSTUNREACH),
            (false, 3, 13, libc::EHOSTUNREACH),
            (true, 1, 1, libc::EACCES),
            (true, 1, 5, libc::EACCES),
            (true, 1, 6, libc::EACCES),
        ] {
            let told = meaning(v6, kind, code, errno).unwrap();
            let same =
                matches!(told, Unreachable::Forbidden { port: 9, by: from, .. } if from == by);
            assert!(same, "{told:?}");
            let text = told.to_string();
            assert!(
                text.starts_with("a firewall forbids udp port 9 there (203.0.113.254 says: "),
                "{text}"
            );
        }
        for (v6, kind, code, errno, is) in [
            (false, 3, 0, libc::ENETUNREACH, Unreachable::Network),
            (false, 3, 1, libc::EHOSTUNREACH, Unreachable::Host),
            (false, 3, 3, libc::ECONNREFUSED, Unreachable::Port(9)),
            (true, 1, 0, libc::ENETUNREACH, Unreachable::Network),
            (true, 1, 3, libc::EHOSTUNREACH, Unreachable::Host),
            (true, 1, 4, libc::ECONNREFUSED, Unreachable::Port(9)),
            // Time exceeded, whose codes mean something else.
            (false, 11, 1, libc::EHOSTUNREACH, Unreachable::Host),
        ] {
            assert_eq!(meaning(v6, kind, code, errno), Some(is));
        }
        assert_eq!(meaning(false, 4, 0, libc::ECONNRESET), None);
    }

    #[test]
    fn a_group_is_never_at_fault_and_a_receiver_at_the_second_time() {
        let group: SocketAddr = ([232, 1, 2, 3], 9).into();
        for errno in [libc::EHOSTUNREACH, libc::EPERM, libc::EACCES, libc::ENETUNREACH] {
            assert_eq!((repeats(host(), errno), repeats(group, errno)), (1, REPEATS));
        }
        assert_eq!(
            (repeats(host(), libc::ECONNREFUSED), repeats(group, libc::ECONNREFUSED)),
            (REPEATS, REPEATS)
        );
        assert_eq!((repeats(host(), libc::EMSGSIZE), repeats(group, libc::EMSGSIZE)), (1, 1));
        for errno in [libc::ENOBUFS, libc::EIO, libc::EINVAL, libc::EAGAIN] {
            assert_eq!((repeats(host(), errno), repeats(group, errno)), (0, 0));
        }
    }
}
