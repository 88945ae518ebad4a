//! Room for one more place: what is known of jobs is bounded, and no master takes it from the others.

use super::{HeldError, Known, MAX_PLACES, MAX_PLACES_OF_A_MASTER, age};
use std::net::IpAddr;

/// Which of all that are known is forgotten for a new one, if one has to be: of its master's own places where those are
/// too many, else of all, the one whose master was heard longest ago, if its lease has ended.
///
/// # Errors
///
/// There is none.
pub(super) fn to_forget<'a>(all: &'a [Known], new: &Known) -> Result<Option<&'a Known>, HeldError> {
    let oldest = |own: bool| {
        let of = all.iter().filter(|known| !own || is_of_same_master(known, new));
        of.filter(|known| age::is_over(known.heard, new.heard)).min_by_key(|known| known.heard)
    };
    let own = all.iter().filter(|known| is_of_same_master(known, new)).count();
    if own >= MAX_PLACES_OF_A_MASTER {
        return oldest(true).map(Some).ok_or(HeldError::FullOfMaster);
    }
    if all.len() >= MAX_PLACES {
        return oldest(false).map(Some).ok_or(HeldError::Full);
    }
    Ok(None)
}

/// Masters are told apart by their keys, where they have none by where they send from. Those of which neither is known
/// are one.
fn is_of_same_master(one: &Known, other: &Known) -> bool {
    match (&one.master, &other.master) {
        (None, None) => one.peer.map(network) == other.peer.map(network),
        (one, other) => one == other,
    }
}

/// The host with this address; of IPv6 the network that hosts choose addresses in (RFC 4291, section 2.5.4).
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => std::net::Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::super::age::{LEASE, millis};
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;
    const NOW: u64 = 100 * DAY;

    fn place(n: usize, master: Option<u8>, peer: &str, heard: u64) -> Known {
        Known {
            job: [0; 16],
            master: master.map(|master| vec![master]),
            name: String::new(),
            host: n.to_string(),
            place: format!("/srv/{n}").into(),
            hello: None,
            peer: peer.parse().ok(),
            instance: [0; 16],
            complete: None,
            heard,
        }
    }

    /// So many of each of these masters, the first heard longest ago.
    fn places(of: &[(usize, Option<u8>, &str)], since: u64) -> Vec<Known> {
        let all = of.iter().flat_map(|(count, master, peer)| {
            (0..*count).map(move |n| place(n, *master, peer, NOW - since + n as u64))
        });
        all.collect()
    }

    fn forgets(all: &[Known], new: &Known) -> Result<Option<u64>, String> {
        let known = to_forget(all, new).map_err(|why| why.to_string())?;
        Ok(known.map(|known| NOW - known.heard))
    }

    #[test]
    fn a_master_has_so_many_places_and_leaves_room_for_the_others() {
        let full = MAX_PLACES_OF_A_MASTER;
        let new = |master, peer| place(9999, master, peer, NOW);
        for (of, same, others) in [
            (
                (Some(1), "10.0.0.1"),
                (Some(1), "10.0.0.2"),
                [(Some(2), "10.0.0.1"), (None, "10.0.0.1")],
            ),
            ((None, "10.0.0.1"), (None, "10.0.0.1"), [(None, "10.0.0.2"), (Some(1), "10.0.0.1")]),
            ((None, "fd00::1"), (None, "fd00::2:3:4:5"), [(None, "fd00:0:0:1::1"), (None, "")]),
            ((None, ""), (None, ""), [(None, "10.0.0.1"), (Some(1), "")]),
        ] {
            let all = places(&[(full, of.0, of.1)], DAY);
            let why = forgets(&all, &new(same.0, same.1)).unwrap_err();
            assert!(why.contains("256"), "{why}");
            assert_eq!(forgets(&all[1..], &new(same.0, same.1)), Ok(None));
            for (master, peer) in others {
                assert_eq!(forgets(&all, &new(master, peer)), Ok(None), "{of:?} {master:?} {peer}");
            }
            // Its own that are over make room, the oldest first.
            let since = millis(LEASE) + 2;
            let all = [places(&[(full, of.0, of.1)], since), places(&[(9, Some(7), "")], 50 * DAY)];
            assert_eq!(forgets(&all.concat(), &new(same.0, same.1)), Ok(Some(since)));
        }
    }

    #[test]
    fn of_all_the_oldest_that_is_over_makes_room() {
        let many = |since| {
            let of: Vec<_> = (0..16).map(|n| (MAX_PLACES / 16, Some(n), "")).collect();
            places(&of, since)
        };
        let new = place(9999, Some(99), "", NOW);
        let mut all = many(DAY);
        assert!(forgets(&all, &new).unwrap_err().contains("4096"));
        assert_eq!(forgets(&all[1..], &new), Ok(None));
        all[700].heard = NOW - 8 * DAY;
        all[800].heard = NOW - 9 * DAY;
        assert_eq!(forgets(&all, &new), Ok(Some(9 * DAY)));
    }
}
