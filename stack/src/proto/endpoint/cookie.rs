//! Cookies: what a source must have received, and sends back, before anything is kept of it (as RFC 9000,
//! 8.1.2, does by Retry). They are stateless: a MAC over where the SYN came from, and when.

use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::seal::{FrameKey, equal};
use crate::wire::COOKIE_LEN;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

/// A cookie holds in the slot of time in which it was made, and in the next: longer than a SYN and its
/// repetitions take.
const SLOT: Duration = Duration::from_secs(10);

/// Makes and checks cookies.
#[derive(Debug, Clone)]
pub(crate) struct Cookies(FrameKey);

impl Cookies {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self(FrameKey::new(rng.bytes32()))
    }

    /// The cookie for a SYN from this source with this connection id.
    pub(crate) fn make(&self, now: Instant, from: SocketAddr, cid: u64) -> [u8; COOKIE_LEN] {
        self.of_slot(slot(now), from, cid)
    }

    /// Whether a SYN brings the cookie that its source was given.
    pub(crate) fn holds(
        &self,
        now: Instant,
        from: SocketAddr,
        cid: u64,
        shown: &[u8; COOKIE_LEN],
    ) -> bool {
        let slot = slot(now);
        [slot, slot.wrapping_sub(1)]
            .iter()
            .any(|slot| equal(&self.of_slot(*slot, from, cid), shown))
    }

    fn of_slot(&self, slot: u64, from: SocketAddr, cid: u64) -> [u8; COOKIE_LEN] {
        let ip = octets(from.ip());
        self.0.mac(&[&slot.to_be_bytes(), &ip, &from.port().to_be_bytes(), &cid.to_be_bytes()])
    }

    /// A number for a source that nobody outside can foresee; all of an IPv6 network of 64 bits, of which
    /// one host may have every address, have the same.
    pub(crate) fn number(&self, ip: IpAddr) -> u64 {
        let mut octets = octets(ip);
        if ip.to_canonical().is_ipv6() {
            octets[8..].fill(0);
        }
        let mac = self.0.mac(&[&octets]);
        mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl Cookies {
    /// A number for a source that has brought a cookie: its very address, apart from [`Self::number`]'s.
    pub(crate) fn proven(&self, ip: IpAddr) -> u64 {
        let mac = self.0.mac(&[b"proven", &octets(ip)]);
        mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn slot(now: Instant) -> u64 {
    now.as_nanos() / SLOT.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_of_one_source_and_one_syn_for_a_while() {
        let cookies = Cookies::new(&mut Rng::new([1; 32]));
        let at = Instant::ZERO + Duration::from_secs(100);
        let from: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let cookie = cookies.make(at, from, 5);
        assert!(cookies.holds(at, from, 5, &cookie));
        assert!(cookies.holds(at + SLOT, from, 5, &cookie));
        assert!(!cookies.holds(at + 2 * SLOT, from, 5, &cookie));
        assert!(!cookies.holds(at, from, 6, &cookie));
        for other in ["192.0.2.1:8", "192.0.2.2:7"] {
            assert!(!cookies.holds(at, other.parse().unwrap(), 5, &cookie));
        }
        assert!(!cookies.holds(at, from, 5, &[0; COOKIE_LEN]), "none");
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let cookies = Cookies::new(&mut Rng::new([1; 32]));
        let number = |ip: &str| cookies.number(ip.parse().unwrap());
        assert_eq!(number("2001:db8::1"), number("2001:db8::2:3"));
        assert_ne!(number("2001:db8::1"), number("2001:db8:0:1::1"));
        assert_ne!(number("192.0.2.1"), number("192.0.2.2"));
        assert_eq!(number("::ffff:192.0.2.1"), number("192.0.2.1"));
    }
}
