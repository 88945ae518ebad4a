//! A peer whose address changes is followed: a NAT that gives it another port, a lease that ends, another network.
//!
//! What is authentic and newer than all before, and comes from elsewhere, shows that the peer may be there now. But
//! somebody on the way may have passed it on from an address of his choice: so it is sent a challenge there, and is
//! taken to be there once it has answered that (RFC 9000, 8.2 and 9.3). Until then, and if it never does, everything
//! goes where it went before.

use crate::proto::event::Arrival;
use crate::proto::send::space::INITIAL_RTO;
use crate::proto::time::Instant;
use crate::wire::Tlv;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

/// A challenge is repeated no sooner than a SYN would be (RFC 9000, 8.2.1: no more often than an Initial packet). Each
/// needs something new from there, and is no longer than that: it cannot be used for amplification.
const AGAIN: Duration = INITIAL_RTO;

/// A network path to the peer: its address, and ours as it is reached from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NetPath {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) ifindex: u32,
}

impl From<&Arrival> for NetPath {
    fn from(arrival: &Arrival) -> Self {
        let Arrival { from: peer, to: local, ifindex, .. } = *arrival;
        Self { peer, local, ifindex }
    }
}

/// A way that the peer is asked by.
#[derive(Debug, Clone, Copy)]
struct Asked {
    way: NetPath,
    token: u64,
    due: bool,
    again: Instant,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    asked: Option<Asked>,
    /// The peer asks by this way.
    answer: Option<(NetPath, u64)>,
}

impl Migration {
    /// The newest of all came by another way than the usual one; a challenge there would be this.
    pub(super) fn came_by(&mut self, now: Instant, way: NetPath, token: u64) {
        let fresh = Asked { way, token, due: true, again: now + AGAIN };
        let asked = self.asked.get_or_insert(fresh);
        if now < asked.again {
            return; // also if it comes from a third address now: who alternates is asked no more often
        }
        *asked =
            if asked.way.peer == way.peer { Asked { token: asked.token, ..fresh } } else { fresh };
    }

    /// The newest of all came by the usual way: the peer is there.
    pub(super) fn stays(&mut self) {
        self.asked = None;
    }

    /// The peer asks whether we are reached by this way: it is answered there.
    pub(super) fn challenged(&mut self, way: NetPath, token: u64) {
        self.answer = Some((way, token));
    }

    /// The peer has answered this: the way that it has proven.
    pub(super) fn answered(&mut self, token: u64) -> Option<NetPath> {
        self.asked.take_if(|asked| asked.token == token).map(|asked| asked.way)
    }

    /// What is to be said next beside the usual way, and by which.
    pub(super) fn next(&mut self) -> Option<(NetPath, Tlv<'static>)> {
        if let Some((way, token)) = self.answer.take() {
            return Some((way, Tlv::PathResponse(token)));
        }
        let asked = self.asked.as_mut().filter(|asked| asked.due)?;
        asked.due = false;
        Some((asked.way, Tlv::PathChallenge(asked.token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(port: u16) -> NetPath {
        NetPath { peer: ([10, 0, 0, 1], port).into(), local: None, ifindex: 0 }
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn who_is_elsewhere_is_asked_there_and_followed_once_that_is_answered() {
        let mut migration = Migration::default();
        assert_eq!(migration.next(), None);
        migration.came_by(at(0), way(2), 77);
        assert_eq!(migration.next(), Some((way(2), Tlv::PathChallenge(77))));
        assert_eq!(migration.next(), None);
        assert_eq!(migration.answered(76), None, "that is none of ours");
        assert_eq!(migration.answered(77), Some(way(2)));
        assert_eq!(migration.answered(77), None, "it is answered once");
    }

    #[test]
    fn a_challenge_is_repeated_but_seldom_and_stays_the_same() {
        let mut migration = Migration::default();
        let mut asked = 0;
        for ms in 0..1000 {
            migration.came_by(at(ms), way(2), ms);
            asked += usize::from(migration.next() == Some((way(2), Tlv::PathChallenge(0))));
        }
        assert_eq!(asked, 4);
        migration.came_by(at(1000), way(3), 5);
        assert_eq!(migration.next(), Some((way(3), Tlv::PathChallenge(5))), "it moves on");
        migration.came_by(at(1001), way(4), 6);
        assert_eq!(migration.next(), None, "who alternates is asked no more often");
        assert_eq!(migration.answered(0), None);
    }

    #[test]
    fn who_is_heard_where_it_was_stays() {
        let mut migration = Migration::default();
        migration.came_by(at(0), way(2), 77);
        migration.stays();
        assert_eq!((migration.next(), migration.answered(77)), (None, None));
    }

    #[test]
    fn a_challenge_is_answered_where_it_came_from() {
        let mut migration = Migration::default();
        migration.challenged(way(4), 9);
        assert_eq!(migration.next(), Some((way(4), Tlv::PathResponse(9))));
        assert_eq!(migration.next(), None);
    }
}
