//! Where the datagrams of a session's group come from, and what comes from elsewhere: a member that holds the group's
//! key could otherwise speak for the sender.

use crate::proto::time::Instant;
use crate::stats::Foreign;
use core::time::Duration;
use std::net::IpAddr;

/// A sender that moves its group says so by its association, and does not wait until that has got there: for so long,
/// a few round trips and time-outs (RFC 6298, 2.4), what comes from elsewhere may be such a move.
const SETTLES: Duration = Duration::from_secs(1);

/// The address that is the sender's.
#[derive(Debug)]
pub(super) struct Source {
    addr: IpAddr,
    /// That is where the sender's other datagrams come from.
    as_others: bool,
    /// Where they came from before they moved, and when they did.
    former: Option<(IpAddr, Instant)>,
    /// The last that was not the sender's: since when it has come, and how often.
    stray: Option<(IpAddr, Instant, u64)>,
    foreign: Foreign,
}

/// What a datagram from elsewhere is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// It is late, or early.
    Moving,
    /// It is not the sender's.
    Foreign,
}

impl Source {
    /// The address that a sender has told of, or `peer`, where its other datagrams come from.
    pub(super) fn new(told: Option<IpAddr>, peer: IpAddr) -> Self {
        let addr = told.unwrap_or(peer).to_canonical();
        let (former, stray) = (None, None);
        Self { addr, as_others: told.is_none(), former, stray, foreign: Foreign::default() }
    }

    pub(super) fn addr(&self) -> IpAddr {
        self.addr
    }

    /// What came from elsewhere and was dropped.
    pub(super) fn foreign(&self) -> Foreign {
        self.foreign
    }

    /// The sender tells of another.
    pub(super) fn announced(&mut self, now: Instant, told: Option<IpAddr>, peer: IpAddr) {
        let is = Self::new(told, peer);
        if is.addr != self.addr {
            self.former = Some((self.addr, now));
            if let Some((_, _, count)) = self.stray.take_if(|stray| stray.0 == is.addr) {
                self.foreign.count -= count;
            }
            self.foreign.last = self.foreign.last.filter(|_| self.foreign.count > 0);
        }
        (self.addr, self.as_others) = (is.addr, is.as_others);
    }

    /// The sender's other datagrams come from here.
    pub(super) fn moved(&mut self, peer: IpAddr) {
        if self.as_others {
            self.addr = peer.to_canonical();
        }
    }

    /// Looks at where a datagram comes from.
    pub(super) fn check(&mut self, now: Instant, from: IpAddr) -> Result<(), Elsewhere> {
        let from = from.to_canonical();
        if from == self.addr {
            return Ok(());
        }
        let recent = |since: Instant| now.since(since) < SETTLES;
        if self.former.is_some_and(|(addr, at)| addr == from && recent(at)) {
            return Err(Elsewhere::Moving);
        }
        self.foreign.count += 1;
        self.foreign.last = Some(from);
        let stray = self.stray.take().filter(|(addr, ..)| *addr == from);
        let (_, since, count) = stray.unwrap_or((from, now, 0));
        self.stray = Some((from, since, count + 1));
        Err(if recent(since) { Elsewhere::Moving } else { Elsewhere::Foreign })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn what_comes_from_elsewhere_is_counted_and_told_when_it_lasts() {
        let mut source = Source::new(None, addr(1));
        assert_eq!(source.check(at(0), "::ffff:192.0.2.1".parse().unwrap()), Ok(()));
        assert_eq!(source.check(at(0), addr(66)), Err(Elsewhere::Moving));
        assert_eq!(source.check(at(999), addr(66)), Err(Elsewhere::Moving));
        assert_eq!(source.check(at(1000), addr(66)), Err(Elsewhere::Foreign));
        assert_eq!(source.check(at(1000), addr(67)), Err(Elsewhere::Moving), "another one");
        assert_eq!(source.foreign(), Foreign { count: 4, last: Some(addr(67)) });
    }

    #[test]
    fn a_sender_that_moves_is_no_stranger() {
        let mut source = Source::new(None, addr(1));
        for ms in [0, 5, 1500] {
            assert!(source.check(at(ms), addr(2)).is_err());
        }
        source.announced(at(1500), Some(addr(2)), addr(1));
        assert_eq!(source.foreign(), Foreign::default(), "it was the sender already");
        assert_eq!(source.check(at(1600), addr(2)), Ok(()));
        assert_eq!(source.check(at(1600), addr(1)), Err(Elsewhere::Moving), "it is late");
        assert_eq!(source.foreign().count, 0);
        assert!(source.check(at(2500), addr(1)).is_err());
        assert_eq!(source.foreign().count, 1);
        source.moved(addr(9));
        assert_eq!(source.addr(), addr(2), "it is said from where");
        source.announced(at(2600), None, addr(1));
        source.moved(addr(9));
        assert_eq!(source.addr(), addr(9));
    }
}
