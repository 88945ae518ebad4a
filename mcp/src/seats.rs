//! Where each host of a plan is served: which names are one host, at which addresses that may be, and where it was.

use crate::hosts::Target;
use crate::plan::Plan;
use crate::resolve::Found;
use crate::say::say;
use crate::trust::Ground;
use mcp_cli::Common;
use mcp_cli::say::plain;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpxm::stats::{MemberReport, ModeReason};

/// Where each host of the plan is served: its place in the session, or why it has none.
pub(crate) struct Seats {
    pub(crate) of: Vec<Result<usize, String>>,
    pub(crate) members: Vec<Seat>,
}

/// A member of the session: those of the plan's hosts that have these addresses in common, in their order. The first
/// says where the copy goes; the address that answers must have the key of each.
pub(crate) struct Seat {
    addrs: Vec<SocketAddr>,
    pub(crate) targets: Vec<usize>,
}

impl Seat {
    pub(crate) fn names<'a>(&self, targets: &'a [Target]) -> Vec<&'a Target> {
        self.targets.iter().filter_map(|index| targets.get(*index)).collect()
    }
}

impl Seats {
    /// Gives every host a place in the session. Two names of one address share a copy; they cannot have two.
    pub(crate) fn new(
        targets: &[Target],
        found: Vec<Found>,
        (common, ground): (&Common, &Ground),
    ) -> Self {
        let may = |(target, found): (&Target, Found)| {
            found
                .and_then(|addrs| allowed(addrs, |addr| ground.excludes(target, common.port, addr)))
        };
        let found: Vec<_> = targets.iter().zip(found).map(may).collect();
        Self::place(targets, without_rivals(targets, found, common.port, ground))
    }

    /// Says which hosts have no place, and why.
    pub(crate) fn tell(&self, targets: &[Target]) {
        for (target, seat) in targets.iter().zip(&self.of) {
            if let Err(why) = seat {
                say(format_args!("{}: {why}", plain(&target.text)));
            }
        }
    }

    /// Names of which one has all addresses of the other are one host (a name for all of a cluster, say, and one of
    /// it), and likewise those that begin with the same: it is sought at those alone that belong to each of them. Other
    /// names that have an address in common are two hosts, and neither is sought there: many machines have the same
    /// address on networks of their own.
    fn place(targets: &[Target], found: Vec<Found>) -> Self {
        let mut seats = Self { of: Vec::new(), members: Vec::new() };
        let mut taken: HashMap<SocketAddr, usize> = HashMap::new();
        for (index, found) in found.into_iter().enumerate() {
            let seat = found.and_then(|addrs| {
                let Some(member) = seats.one_with(&addrs, &taken) else {
                    let member = seats.members.len();
                    let addrs = seats.tell_apart(addrs, &mut taken);
                    taken.extend(addrs.iter().map(|addr| (*addr, member)));
                    seats.members.push(Seat { addrs, targets: vec![index] });
                    return Ok(member);
                };
                let seat = &mut seats.members[member];
                let first = &targets[seat.targets[0]];
                if first.path != targets[index].path {
                    let at = seat.addrs.iter().find(|addr| addrs.contains(addr));
                    let at = at.unwrap_or(&seat.addrs[0]);
                    seat.targets.push(index);
                    return Err(format!(
                        "{at} already gets {}: copy once more for this path",
                        first.text
                    ));
                }
                seat.targets.push(index);
                seat.addrs.retain(|addr| addrs.contains(addr) || taken.remove(addr).is_none());
                Ok(member)
            });
            seats.of.push(seat);
        }
        seats
    }

    /// Which of those that have a place is the host at these addresses; `taken` says whose an address is.
    fn one_with(&self, addrs: &[SocketAddr], taken: &HashMap<SocketAddr, usize>) -> Option<usize> {
        let shared = || addrs.iter().filter_map(|addr| taken.get(addr).copied());
        let own = addrs.iter().any(|addr| !taken.contains_key(addr));
        let same = shared().find(|member| is_one(&self.members[*member].addrs, addrs));
        same.or_else(|| shared().next().filter(|_| !own))
    }

    /// A host of these addresses is none of those that have a place: what they have in common is nobody's.
    fn tell_apart(
        &mut self,
        mut addrs: Vec<SocketAddr>,
        taken: &mut HashMap<SocketAddr, usize>,
    ) -> Vec<SocketAddr> {
        addrs.retain(|addr| {
            let Some(member) = taken.remove(addr) else { return true };
            self.members[member].addrs.retain(|other| other != addr);
            false
        });
        addrs
    }

    /// The addresses of each member, in the order in which they are to be tried.
    pub(crate) fn addrs(&self) -> Vec<Vec<SocketAddr>> {
        self.members.iter().map(|seat| seat.addrs.clone()).collect()
    }

    /// Every address, with the names that were typed for it: whichever is taken must have their key.
    pub(crate) fn named<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (SocketAddr, Vec<&'a Target>)> {
        let of_one =
            |seat: &'a Seat| seat.addrs.iter().map(|addr| (*addr, seat.names(&plan.targets)));
        self.members.iter().flat_map(of_one)
    }

    /// The plan's host that a member of the session is.
    pub(crate) fn target<'a>(&self, plan: &'a Plan, member: usize) -> Option<&'a Target> {
        plan.targets.get(*self.members.get(member)?.targets.first()?)
    }

    /// With `-v`: the addresses that each host was found at.
    pub(crate) fn introduce(&self, plan: &Plan) {
        for (target, seat) in plan.targets.iter().zip(&self.of) {
            if let Ok(member) = seat {
                say(introduction(&target.text, &self.members[*member].addrs));
            }
        }
    }

    /// With `-v`: at which of its addresses each host has answered that has several.
    pub(crate) fn tell_taken(&self, plan: &Plan, reports: &[&MemberReport]) {
        for (target, seat) in plan.targets.iter().zip(&self.of) {
            let Ok(member) = *seat else { continue };
            let (seat, report) = (&self.members[member], reports.get(member));
            if seat.addrs.len() > 1
                && let Some(addr) = report.and_then(|report| answered_from(report))
            {
                say(format_args!("{} has answered from {addr}", plain(&target.text)));
            }
        }
    }
}

/// Whether two names are one host, by their addresses.
fn is_one(a: &[SocketAddr], b: &[SocketAddr]) -> bool {
    let within = |a: &[SocketAddr], b: &[SocketAddr]| a.iter().all(|addr| b.contains(addr));
    a.first() == b.first() || within(a, b) || within(b, a)
}

/// Where a host has answered, if it has.
pub(crate) fn answered_from(report: &MemberReport) -> Option<SocketAddr> {
    (report.mode_reason != Some(ModeReason::NotServed)).then_some(report.addr)
}

fn introduction(name: &str, addrs: &[SocketAddr]) -> String {
    match addrs {
        [only] => format!("{} is at {only}", plain(name)),
        several => {
            let all: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("{} is at one of {}", plain(name), all.join(", "))
        }
    }
}

/// The addresses that may be sent to, or why none may.
fn allowed(addrs: Vec<SocketAddr>, excludes: impl Fn(SocketAddr) -> Option<String>) -> Found {
    let mut why = None;
    let mut may = |addr: &SocketAddr| match excludes(*addr) {
        None => true,
        Some(said) => {
            why.get_or_insert(said);
            false
        }
    };
    let kept: Vec<_> = addrs.into_iter().filter(|addr| may(addr)).collect();
    match why {
        Some(why) if kept.is_empty() => Err(why),
        _ => Ok(kept),
    }
}

/// Names of one address of which different keys are known: one of them is not what it was.
fn without_rivals(
    targets: &[Target],
    mut found: Vec<Found>,
    port: u16,
    ground: &Ground,
) -> Vec<Found> {
    for seat in Seats::place(targets, found.clone()).members {
        if let Some(why) = ground.rivals(&seat.names(targets), port) {
            for index in seat.targets {
                found[index] = Err(why.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(texts: &[&str]) -> Vec<Target> {
        texts.iter().flat_map(|text| crate::hosts::parse(text).unwrap()).collect()
    }

    fn addr(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 8737).into()
    }

    #[test]
    fn one_address_gets_one_copy() {
        let targets = targets(&["a", "b", "c:x", "d"]);
        let same = vec![addr(1)];
        let no_name = || Err("no such name".to_owned());
        let found = vec![Ok(same.clone()), Ok(same.clone()), Ok(same.clone()), no_name()];
        let seats = Seats::place(&targets, found);
        assert_eq!((&seats.of[0], &seats.of[1]), (&Ok(0), &Ok(0)));
        let why = seats.of[2].as_ref().unwrap_err();
        assert!(why.contains("10.0.0.1:8737 already gets a"), "{why}");
        assert_eq!(seats.of[3], Err("no such name".to_owned()));
        assert_eq!(seats.addrs(), [same]);
    }

    #[test]
    fn all_names_of_an_address_are_held_beside_it() {
        let targets = targets(&["a", "b:", "a:x"]);
        let same = || Ok(vec![addr(1)]);
        let seats = Seats::place(&targets, vec![same(), same(), same()]);
        let names = seats.members[0].names(&targets).into_iter().map(|t| t.text.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b:", "a:x"]);
    }

    #[test]
    fn names_that_share_an_address_are_one_host_at_what_they_share() {
        let all = |numbers: &[u8]| Ok(numbers.iter().map(|n| addr(*n)).collect());
        // `b` is `a`, under one of its addresses.
        let two = targets(&["a", "b"]);
        let seats = Seats::place(&two, vec![all(&[1, 2]), all(&[2])]);
        assert_eq!(seats.of, [Ok(0), Ok(0)]);
        assert_eq!(seats.addrs(), [vec![addr(2)]]);
        // A name of all three is the first of them, and none of the others.
        let four = targets(&["all", "one", "two", "three"]);
        let seats = Seats::place(&four, vec![all(&[1, 2, 3]), all(&[1]), all(&[2]), all(&[3])]);
        assert_eq!(seats.of, [Ok(0), Ok(0), Ok(1), Ok(2)]);
        assert_eq!(seats.addrs(), [vec![addr(1)], vec![addr(2)], vec![addr(3)]]);
        // Two machines have the same address on networks of their own; a third name is that one alone.
        let three = targets(&["a", "b", "c"]);
        let seats = Seats::place(&three, vec![all(&[1, 9]), all(&[2, 9]), all(&[9])]);
        assert_eq!(seats.of, [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(seats.addrs(), [vec![addr(1)], vec![addr(2)], vec![addr(9)]]);
        // Whom another path is refused leaves the addresses as they are.
        let paths = targets(&["a", "b:x"]);
        let seats = Seats::place(&paths, vec![all(&[1, 2]), all(&[2])]);
        assert!(seats.of[1].as_ref().unwrap_err().contains("10.0.0.2:8737 already gets a"));
        assert_eq!(seats.addrs(), [vec![addr(1), addr(2)]]);
    }

    #[test]
    fn addresses_that_may_not_be_sent_to_fail_a_host_that_has_no_other() {
        let no = |n| move |one: SocketAddr| (one == addr(n)).then(|| "no".to_owned());
        assert_eq!(allowed(vec![addr(1), addr(2)], no(1)), Ok(vec![addr(2)]));
        assert_eq!(allowed(vec![addr(1)], no(1)), Err("no".to_owned()));
    }

    #[test]
    fn what_is_found_is_told() {
        assert_eq!(introduction("a", &[addr(1)]), "a is at 10.0.0.1:8737");
        let both = introduction("a", &[addr(1), addr(2)]);
        assert_eq!(both, "a is at one of 10.0.0.1:8737, 10.0.0.2:8737");
    }
}
