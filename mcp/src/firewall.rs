//! The rules that open a firewall where one forbids a copy.

use std::collections::BTreeSet;
use tcpxm::error::{Reason, Unreachable};
use tcpxm::stats::MemberReport;

/// What to type where hosts, or somebody on the way to them, have said that a firewall forbids it; `None` where nobody
/// has. Beside the data it lets in what keeps a host in a group: IGMP and MLD queries, which belong to no established
/// flow. firewalld lets in `ICMPv6` by itself, and MLD is that (RFC 3810, 5).
pub(crate) fn rules<'a>(reports: impl Iterator<Item = &'a MemberReport>) -> Option<String> {
    let ports: BTreeSet<u16> = reports.filter_map(forbidden).collect();
    if ports.is_empty() {
        return None;
    }
    let add: Vec<String> = ports.iter().map(|port| format!("--add-port={port}/udp")).collect();
    let set: Vec<String> = ports.iter().map(u16::to_string).collect();
    let (add, set) = (add.join(" "), set.join(", "));
    Some(format!(
        "what opens a firewall for data, IGMP and MLD: firewall-cmd {add} --add-protocol=igmp, or \
         nft 'insert rule inet filter input udp dport {{ {set} }} accept; \
         insert rule inet filter input meta l4proto igmp accept; \
         insert rule inet filter input icmpv6 type mld-listener-query accept' with its own table and chain"
    ))
}

/// The port of a host that a firewall forbids.
fn forbidden(report: &MemberReport) -> Option<u16> {
    match &report.outcome {
        Some(Err(Reason::Unreachable(Unreachable::Forbidden { port, .. }))) => Some(*port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpxm::stats::{Arrived, Mode};

    fn failed(why: Unreachable) -> MemberReport {
        MemberReport {
            key: None,
            addr: ([192, 0, 2, 1], 8737).into(),
            outcome: Some(Err(Reason::Unreachable(why))),
            mode: Mode::Gone,
            mode_reason: None,
            arrived: Arrived::default(),
            acked: 0,
            undeclared: 0,
            duration: Duration::ZERO,
            waited_percent: None,
            transitions: Vec::new(),
            restarts: 0,
            lost: None,
        }
    }

    fn wall(port: u16) -> MemberReport {
        failed(Unreachable::Forbidden { port, by: None, said: "prohibited" })
    }

    #[test]
    fn each_port_is_opened_once_and_only_where_a_firewall_is_known() {
        let of = |reports: &[MemberReport]| rules(reports.iter());
        assert_eq!(of(&[failed(Unreachable::Host), failed(Unreachable::Port(8737))]), None);
        assert_eq!(of(&[failed(Unreachable::ForbiddenHere(8737))]), None, "not theirs");
        let told = of(&[wall(8738), failed(Unreachable::Host), wall(8737), wall(8738)]).unwrap();
        for part in [
            "firewall-cmd --add-port=8737/udp --add-port=8738/udp --add-protocol=igmp,",
            "udp dport { 8737, 8738 } accept;",
            "meta l4proto igmp accept;",
            "icmpv6 type mld-listener-query accept'",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
