//! From names to addresses: all at the same time, and for no longer than a host may take to answer.

use crate::hosts::Target;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::net::Family;
use tcpxm::net::interface::{has_family, index_of, is_routed, name_of};

/// Names that are looked up at a time, at most.
const WORKERS: usize = 32;

/// Names that take longer hold up nobody whose address is known; a resolver that answers at all has
/// asked its second server by then.
const OTHERS_WAIT: Duration = Duration::from_secs(3);
/// It is looked so often whether the user has had enough.
const LOOK: Duration = Duration::from_millis(100);

/// A host's addresses, or why there are none.
pub(crate) type Found = Result<Vec<SocketAddr>, String>;

/// Finds the addresses of each host, in the order in which they are to be tried, or the reason why there are none.
/// `port` is for those that name none of their own.
pub(crate) fn resolve(
    targets: &[Target],
    port: u16,
    limit: Duration,
    ended: &dyn Fn() -> bool,
) -> Vec<Found> {
    let found = look_up(targets, port, limit, ended);
    let v6 = prefers_v6(&found, is_routed);
    found.into_iter().map(|found| found.and_then(|addrs| order(&addrs, v6, is_routed))).collect()
}

fn look_up(targets: &[Target], port: u16, limit: Duration, ended: &dyn Fn() -> bool) -> Vec<Found> {
    let late = || Err("its name was not resolved in time".to_owned());
    let mut found: Vec<Found> = targets.iter().map(|_| late()).collect();
    let mut queue = VecDeque::new();
    for (index, target) in targets.iter().enumerate() {
        let port = target.port.unwrap_or(port);
        match literal(&target.host, port) {
            Some(addr) => found[index] = addr.map(|addr| vec![addr]),
            None => queue.push_back((index, target.host.clone(), port)),
        }
    }
    let mut waiting = queue.len();
    let queue = Arc::new(Mutex::new(queue));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..waiting.min(WORKERS) {
        let (queue, sender) = (queue.clone(), sender.clone());
        let work = move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some((index, host, port)) = next() {
                // After the limit nobody listens; a lookup cannot be broken off.
                if sender.send((index, addresses(&host, port))).is_err() {
                    return;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("resolver".to_owned()).spawn(work) {
            return targets
                .iter()
                .map(|_| Err(format!("cannot start a thread: {error}")))
                .collect();
        }
    }
    let begin = Instant::now();
    while waiting > 0 && !ended() {
        // Who is found already is not held up for long by who is not.
        let limit = if found.iter().any(Result::is_ok) { limit.min(OTHERS_WAIT) } else { limit };
        let left = limit.saturating_sub(begin.elapsed());
        match receiver.recv_timeout(left.min(LOOK)) {
            Ok((index, addrs)) => {
                found[index] = addrs;
                waiting -= 1;
            }
            Err(_) if left.is_zero() => break,
            Err(_) => {}
        }
    }
    found
}

/// Reads an address, with its zone if it has one (RFC 4007, 11); `None` if it is a name.
fn literal(host: &str, port: u16) -> Option<Result<SocketAddr, String>> {
    let (addr, zone) = match host.split_once('%') {
        Some((addr, zone)) => (addr, Some(zone)),
        None => (host, None),
    };
    let local = |v6: Ipv6Addr| v6.is_unicast_link_local();
    Some(match (addr.parse::<IpAddr>().ok()?, zone) {
        (IpAddr::V6(v6), None) if local(v6) => Err(format!(
            "{v6} is link-local, there may be one on every interface: write [ADDRESS%INTERFACE]"
        )),
        (ip, None) => Ok((ip, port).into()),
        (IpAddr::V6(v6), Some(zone)) if local(v6) => {
            in_zone(zone).map(|scope| SocketAddrV6::new(v6, port, 0, scope).into())
        }
        (ip, Some(_)) => Err(format!(
            "only a link-local address is on an interface: write {ip} without the part from % on"
        )),
    })
}

/// The index of an interface that link-local addresses are reached through, by name or number.
fn in_zone(zone: &str) -> Result<u32, String> {
    let number = zone.parse().ok().filter(|index| *index != 0 && name_of(*index).is_ok());
    let index = index_of(zone).ok().or(number);
    let index = index.ok_or_else(|| format!("there is no interface {zone} here"))?;
    match has_family(index, Family::V6) {
        // Also while it is down: then it has lost its link-local address.
        Ok(false) => Err(format!("{zone} has no IPv6 address to send from: is it up?")),
        _ => Ok(index),
    }
}

fn addresses(host: &str, port: u16) -> Found {
    let name = |error: io::Error| {
        let text = error.to_string();
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        format!("its name cannot be resolved: {text}")
    };
    (host, port).to_socket_addrs().map(Iterator::collect).map_err(name)
}

/// Whether more hosts can be reached by IPv6 than by IPv4: a group has one family. An address that this host has
/// no way to does not count.
fn prefers_v6(found: &[Found], routed: impl Fn(SocketAddr) -> bool) -> bool {
    let having = |v6: bool| {
        let of_it = |addr: &SocketAddr| addr.is_ipv6() == v6 && routed(*addr);
        let has = |found: &&Found| found.as_ref().is_ok_and(|addrs| addrs.iter().any(of_it));
        found.iter().filter(has).count()
    };
    having(true) > having(false)
}

/// In which order a host's addresses are tried: families take turns, that of the group comes first (RFC 8305, 4), and
/// within a family it is the resolver's order (RFC 6724). Those that there is no way to come last: a route may be
/// there a moment later (RFC 6724, 6, rule 1).
fn order(addrs: &[SocketAddr], v6: bool, routed: impl Fn(SocketAddr) -> bool) -> Found {
    let mut seen = HashSet::new();
    let once = addrs.iter().copied().filter(|addr| seen.insert(*addr));
    let (ways, none): (Vec<_>, Vec<_>) = once.partition(|addr| routed(*addr));
    let all = [in_turns(ways, v6), in_turns(none, v6)].concat();
    if all.is_empty() { Err("its name has no address".to_owned()) } else { Ok(all) }
}

/// One of each family in turn, as long as there are both.
fn in_turns(addrs: Vec<SocketAddr>, v6: bool) -> Vec<SocketAddr> {
    let count = addrs.len();
    let (first, second): (Vec<_>, Vec<_>) =
        addrs.into_iter().partition(|addr| addr.is_ipv6() == v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    (0..count).flat_map(|_| [first.next(), second.next()]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(texts: &[&str]) -> Vec<Target> {
        texts.iter().flat_map(|text| crate::hosts::parse(text).unwrap()).collect()
    }

    #[test]
    fn addresses_are_taken_as_they_are_and_names_fail_alone() {
        let all = targets(&["127.0.0.2", "[::1]:9:x", "no-such-host.invalid", "127.0.0.3:7:"]);
        let found = resolve(&all, 8737, Duration::from_secs(20), &|| false);
        assert_eq!(found[0], Ok(vec!["127.0.0.2:8737".parse().unwrap()]));
        assert_eq!(found[1], Ok(vec!["[::1]:9".parse().unwrap()]));
        assert!(found[2].as_ref().unwrap_err().starts_with("its name "), "{found:?}");
        assert_eq!(found[3], Ok(vec!["127.0.0.3:7".parse().unwrap()]));
    }

    #[test]
    fn a_zone_that_cannot_be_is_the_fault_of_its_host() {
        for (text, why) in [
            ("[fe80::1]", "write [ADDRESS%INTERFACE]"),
            ("[fe80::1%no-such]", "there is no interface no-such"),
            ("[fe80::1%]", "there is no interface"),
            ("[fe80::1%0]", "there is no interface 0"),
            ("[fd00::1%lo]", "only a link-local address"),
        ] {
            let found = resolve(&targets(&[text, "127.0.0.2"]), 1, Duration::ZERO, &|| false);
            assert!(found[0].as_ref().unwrap_err().contains(why), "{text}: {found:?}");
            assert_eq!(found[1], Ok(vec!["127.0.0.2:1".parse().unwrap()]));
        }
        let lo = index_of("lo").unwrap();
        if has_family(lo, Family::V6).unwrap() {
            for zone in ["lo".to_owned(), lo.to_string()] {
                let found = literal(&format!("fe80::1%{zone}"), 9).unwrap().unwrap();
                assert_eq!(found, SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, lo).into());
            }
        }
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_family_of_most_is_chosen() {
        let (v4, v6) = (addr("10.0.0.1:1"), addr("[fd00::1]:1"));
        let both = || Ok(vec![v6, v4]);
        let prefers = |found: &[Found]| prefers_v6(found, |_| true);
        assert!(!prefers(&[both(), both()]));
        assert!(prefers(&[both(), Ok(vec![v6])]));
        assert!(!prefers(&[both(), Ok(vec![v4]), Err(String::new())]));
        // Without IPv6 here what is said of it does not count.
        assert!(!prefers_v6(&[both(), Ok(vec![v6])], |addr| addr.is_ipv4()));
    }

    #[test]
    fn families_take_turns_and_what_there_is_no_way_to_comes_last() {
        let v4 = |n: u8| addr(&format!("10.0.0.{n}:1"));
        let v6 = |n: u8| addr(&format!("[fd00::{n}]:1"));
        let all = [v6(1), v6(2), v6(3), v4(1), v4(2), v4(1)];
        let any = |_| true;
        assert_eq!(order(&all, true, any), Ok(vec![v6(1), v4(1), v6(2), v4(2), v6(3)]));
        assert_eq!(order(&all, false, any), Ok(vec![v4(1), v6(1), v4(2), v6(2), v6(3)]));
        let no_v6 = |addr: SocketAddr| addr.is_ipv4();
        assert_eq!(order(&all, true, no_v6), Ok(vec![v4(1), v4(2), v6(1), v6(2), v6(3)]));
        assert_eq!(order(&[v6(1)], false, |_| false), Ok(vec![v6(1)]));
        assert!(order(&[], true, any).is_err());
    }
}
