//! What the system counts of datagrams that it drops before a program can read them, and how many of them it has
//! dropped lately.

use super::group::Family;
use super::{interface, sys};
use crate::proto::event::ReceiverId;
use crate::stats::Counters;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// This process' own view, which is there when nothing else of /proc is (`ProcSubset=pid` in `systemd.exec(5)`), and is
/// that of its network namespace.
const FOLDER: &str = "/proc/self/net";

/// Where a group is joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CountedAt {
    pub(crate) family: Family,
    pub(crate) ifindex: u32,
    /// What has found no room in its socket's receive buffer so far.
    pub(crate) overflows: Option<u64>,
}

impl CountedAt {
    /// What cannot be read is not known.
    fn read(&self) -> Counters {
        let file = |name: &str| std::fs::read_to_string(format!("{FOLDER}/{name}")).ok();
        let name = sys::name_of(self.ifindex).ok();
        let interface = name.and_then(|name| of_interface(&file("dev")?, &name));
        let reverse_path = match self.family {
            Family::V4 => file("netstat").and_then(|text| of_filter(&text)),
            Family::V6 => None, // the system itself filters none
        };
        Counters { reverse_path, buffer: self.overflows, interface, other_way: false }
    }
}

/// The system's counters as they were when each receiver joined or reported its membership, the last two times: what
/// was counted long before a silence does not explain it, and a silence has it reported before anybody asks.
#[derive(Debug, Default)]
pub(crate) struct Joined(BTreeMap<ReceiverId, [Counters; 2]>);

impl Joined {
    /// A receiver has joined.
    pub(crate) fn begin(&mut self, receiver: ReceiverId, at: &CountedAt) {
        self.0.insert(receiver, [at.read(); 2]);
    }

    /// It has reported its membership.
    pub(crate) fn goes_on(&mut self, receiver: ReceiverId, at: &CountedAt) {
        if let Some([before, last]) = self.0.get_mut(&receiver) {
            (*before, *last) = (*last, at.read());
        }
    }

    /// It has left.
    pub(crate) fn end(&mut self, receiver: ReceiverId) {
        self.0.remove(&receiver);
    }

    /// What was counted since it joined, or since the last report but one. Its group comes from `source`.
    pub(crate) fn since(&self, receiver: ReceiverId, at: &CountedAt, source: IpAddr) -> Counters {
        let Some([before, _]) = self.0.get(&receiver) else { return Counters::default() };
        let back = interface::route_to((source, 0).into()).ok().flatten();
        // A VRF has a routing table of its own.
        let in_vrf = interface::is_in_vrf(at.ifindex);
        let other_way = !in_vrf && back.is_some_and(|route| route.ifindex != at.ifindex);
        Counters { other_way, ..difference(&at.read(), before) }
    }
}

/// A counter that was set back, as that of an interface made anew, is not known.
fn difference(now: &Counters, before: &Counters) -> Counters {
    let of = |now: Option<u64>, before: Option<u64>| now?.checked_sub(before?);
    Counters {
        reverse_path: of(now.reverse_path, before.reverse_path),
        buffer: of(now.buffer, before.buffer),
        interface: of(now.interface, before.interface),
        other_way: false,
    }
}

/// `netstat`: a line of names, below it one of their values, both of the protocol that they begin with.
fn of_filter(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == "IPReversePathFilter")?;
    values.split_whitespace().nth(place)?.parse().ok()
}

/// `dev`: below two lines of titles one for each interface, of which the fourth number is what it dropped of what it
/// received, by its queue or its driver.
fn of_interface(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(name));
    let numbers = lines.find_map(|rest| rest.strip_prefix(':'))?;
    numbers.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "\
TcpExt: SyncookiesSent TCPDeferAcceptDrop IPReversePathFilter TCPTimeWaitOverflow
TcpExt: 1 2 1234 4
IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts
IpExt: 9 8 7 6
";
    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 6901054374  396424    0    0    0     0          0         0 6901054374  396424    0    0
  eth0: 117681343    5955    1   17    0     0          0         0   390176    3932    0    3
 eth01:117681343    5955    1   18    0     0          0         0   390176    3932    0    3
";

    #[test]
    fn what_linux_writes_is_read() {
        assert_eq!(of_filter(NETSTAT), Some(1234));
        assert_eq!(of_interface(DEV, "eth0"), Some(17));
        assert_eq!(of_interface(DEV, "eth01"), Some(18));
        assert_eq!(of_interface(DEV, "lo"), Some(0));
    }

    #[test]
    fn what_is_not_there_or_makes_no_sense_is_not_known() {
        let name = "IPReversePathFilter";
        let short = format!("TcpExt: a {name}\nTcpExt: 1");
        let word = format!("TcpExt: {name}\nTcpExt: x\n");
        for text in ["", "\n", "TcpExt:", "TcpExt: a b\nTcpExt: 1 2", &short, &word] {
            assert_eq!(of_filter(text), None, "{text:?}");
            assert_eq!(of_interface(text, "eth0"), None);
        }
        assert_eq!(of_interface(DEV, "eth"), None);
        assert_eq!(of_interface("eth0: 1 2 3", "eth0"), None);
    }

    #[test]
    fn only_what_both_readings_know_makes_a_difference() {
        let before =
            Counters { reverse_path: Some(5), buffer: None, interface: Some(9), other_way: false };
        let now = Counters { reverse_path: Some(7), buffer: Some(4), interface: Some(3), ..before };
        let expected = Counters { reverse_path: Some(2), ..Counters::default() };
        assert_eq!(difference(&now, &before), expected, "the interface is another one");
    }

    /// The system of this test has a loopback interface, and IPv4.
    #[test]
    fn this_system_counts() {
        let ifindex = sys::index_of("lo").unwrap();
        let at = |overflows| CountedAt { family: Family::V4, ifindex, overflows };
        let mut joined = Joined::default();
        let (id, other) = (ReceiverId(1), ReceiverId(2));
        let here = IpAddr::from([127, 0, 0, 1]);
        joined.begin(id, &at(Some(3)));
        let counters = joined.since(id, &at(Some(8)), here);
        assert!(counters.reverse_path.is_some() && counters.interface.is_some(), "{counters:?}");
        assert_eq!((counters.buffer, counters.other_way), (Some(5), false));
        joined.goes_on(id, &at(Some(9)));
        assert_eq!(joined.since(id, &at(Some(9)), here).buffer, Some(6), "since it joined");
        joined.goes_on(id, &at(Some(9)));
        assert_eq!(joined.since(id, &at(Some(9)), here).buffer, Some(0), "since the report before");
        joined.goes_on(other, &at(Some(9)));
        let elsewhere = CountedAt { ifindex: ifindex + 1, ..at(None) };
        assert!(joined.since(id, &elsewhere, here).other_way);
        assert_eq!(joined.since(other, &at(None), here), Counters::default());
        joined.end(id);
        assert_eq!(joined.since(id, &at(None), here), Counters::default());
    }
}
