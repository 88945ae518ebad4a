//! What is said about the group: where it leaves, why a host is not on it, and what to look at when
//! nobody is.

use mcp_cli::say::plain;
use std::net::SocketAddr;
use tcpxm::api::Sender;
use tcpxm::net::Family;
use tcpxm::net::interface::{Route, is_in_vrf, name_of, route_to};
use tcpxm::stats::{Hearing, Lost, MemberReport, Mode, ModeReason, Transition};

/// The group of one copy, as its user knows it.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// With the way on which it leaves; `None` if no group is used.
    group: Option<(SocketAddr, Route)>,
    /// Why none is used, where the session itself does not know.
    refused: Option<String>,
    ttl: u32,
}

impl Reach {
    /// Of an open session; `refused` is what was wrong with the group that was asked for.
    pub(crate) fn new(sender: &Sender, refused: Option<String>, ttl: u32) -> Self {
        let group = sender.group().map(|group| group.addr).zip(sender.route());
        Self { group, refused, ttl }
    }

    /// The same, when the group has been announced anew.
    pub(crate) fn anew(self, sender: &Sender) -> Self {
        Self::new(sender, self.refused, self.ttl)
    }

    /// Group, interface and source, or that there is none.
    pub(crate) fn way(&self) -> String {
        match &self.group {
            None => "no group is used".to_owned(),
            Some((addr, route)) => {
                format!("the group is {addr}, sent through {} from {}", named(*route), route.source)
            }
        }
    }

    /// Why a host is not on the group; `None` if it is.
    pub(crate) fn reason(&self, report: &MemberReport) -> Option<String> {
        report.mode_reason.as_ref().map(|reason| self.words(reason, report))
    }

    /// Why a host was served otherwise from a moment on, in the words in which it is told at the end as well.
    pub(crate) fn told(&self, change: &Transition, report: &MemberReport) -> String {
        let reason = change.reason.as_ref();
        reason.map_or_else(|| change.to_string(), |reason| self.words(reason, report))
    }

    fn words(&self, reason: &ModeReason, report: &MemberReport) -> String {
        if let (Some((_, used)), Some(deaf)) = (self.group, never_came(reason))
            && let Some(right) = other_way(used, report.addr)
        {
            let used = named(used);
            return format!("{deaf}, which leave through {used}; it is reached through {right}");
        }
        match (reason, &self.refused) {
            (ModeReason::NoGroup, Some(why)) => ModeReason::Unusable(why.clone()).to_string(),
            _ => reason.to_string(),
        }
    }

    /// What to tell when two or more hosts are served and none of them by the group: that it is so,
    /// and what to look at. While the copy runs (`over` is false) only of a group that nobody has
    /// ever heard: one that is lost may come back.
    pub(crate) fn warning(&self, reports: &[MemberReport], over: bool) -> Option<String> {
        let (addr, route) = self.group?;
        let served: Vec<_> = reports.iter().filter(|report| is_served(report)).collect();
        let heard_once = served.iter().any(|report| has_heard(report));
        let unreached = served.iter().all(|report| is_unreached(report, over));
        if served.len() < 2 || !unreached || (heard_once && !over) {
            return None;
        }
        let hosts = served.len();
        if let Some(why) = cannot_join(&served) {
            return Some(format!(
                "none of the {hosts} hosts can join the group {addr} ({why}): each is sent the \
                 file by itself; look at --group and --interface here and at their mcpd"
            ));
        }
        let any_more = if heard_once { " any more" } else { "" };
        let through = match other_way(route, served[0].addr) {
            None => named(route),
            Some(right) => format!("now {}, but {right} leads to them", named(route)),
        };
        let learns = match Family::of(addr.ip()) {
            Family::V4 => "IGMP",
            Family::V6 => "MLD",
        };
        let (ip, port, ttl) = (addr.ip(), addr.port(), self.ttl);
        Some(format!(
            "none of the {hosts} hosts hears the group {ip}{any_more}: each is sent the file by \
             itself; check the interface (--interface, {through}), the switches ({learns} \
             snooping needs a querier), firewalls (UDP to {ip} port {port}), and the routers in \
             between (--ttl, now {ttl})"
        ))
    }
}

/// Why none of these can join, in the words of the first, if that is all that is wrong.
fn cannot_join(served: &[&MemberReport]) -> Option<String> {
    let words = |report: &&MemberReport| match &report.mode_reason {
        Some(ModeReason::CannotJoin(why)) => Some(plain(why)),
        _ => None,
    };
    let all: Option<Vec<String>> = served.iter().map(words).collect();
    all?.into_iter().next()
}

/// The reason of a host to which none of the group's packets is known to have got, without what its own counters let
/// guess.
fn never_came(reason: &ModeReason) -> Option<ModeReason> {
    let unseen = |hearing: &Hearing| {
        let unseen = matches!(hearing.lost, None | Some(Lost::Before));
        unseen.then_some(Hearing { lost: None, ..*hearing })
    };
    let reason = match reason {
        ModeReason::HearsLittle(hearing) => ModeReason::HearsLittle(unseen(hearing)?),
        ModeReason::Unclear(hearing) => ModeReason::Unclear(unseen(hearing)?),
        _ => return None,
    };
    reason.is_deaf().then_some(reason)
}

/// The interface that leads to a host, if the group leaves through another one.
fn other_way(used: Route, host: SocketAddr) -> Option<String> {
    if is_in_vrf(used.ifindex) {
        return None; // that has a routing table of its own
    }
    let right = route_to(host).ok().flatten()?;
    (right.ifindex != used.ifindex).then(|| named(right))
}

fn has_heard(report: &MemberReport) -> bool {
    report.transitions.iter().any(|change| change.mode == Mode::Multicast)
}

fn named(route: Route) -> String {
    name_of(route.ifindex).unwrap_or_else(|_| format!("interface {}", route.ifindex))
}

/// It has answered and has not failed; of one that is lost it is not known what it could hear.
fn is_served(report: &MemberReport) -> bool {
    let is_there = !matches!(report.outcome, Some(Err(_))) && report.lost.is_none();
    is_there && report.mode_reason != Some(ModeReason::NotServed)
}

/// It is known not to hear the group. What a short copy has not found out is no reason to worry.
fn is_unreached(report: &MemberReport, over: bool) -> bool {
    match &report.mode_reason {
        Some(ModeReason::HearsLittle(_) | ModeReason::CannotJoin(_)) => true,
        Some(reason) => over && reason.is_deaf(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpxm::error::Reason;
    use tcpxm::stats::Arrived;

    fn reach() -> Reach {
        let lo = tcpxm::net::interface::index_of("lo").unwrap();
        let route = Route { ifindex: lo, source: [127, 0, 0, 1].into() };
        Reach { group: Some(("232.1.2.3:8737".parse().unwrap(), route)), refused: None, ttl: 1 }
    }

    fn report(reason: Option<ModeReason>) -> MemberReport {
        MemberReport {
            key: None,
            addr: ([127, 0, 0, 2], 1).into(),
            outcome: None,
            mode: if reason.is_none() { Mode::Multicast } else { Mode::Unicast },
            mode_reason: reason,
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

    fn deaf() -> MemberReport {
        report(Some(ModeReason::HearsLittle(Hearing { heard: 0, of: 64, lost: None })))
    }

    #[test]
    fn the_warning_names_what_to_check() {
        let warning = reach().warning(&[deaf(), deaf()], false).unwrap();
        for what in ["none of the 2", "232.1.2.3", "lo", "IGMP", "querier", "firewall", "--ttl"] {
            assert!(warning.contains(what), "{what}: {warning}");
        }
        let cannot = || report(Some(ModeReason::CannotJoin("only 239.1.1.1".to_owned())));
        let warning = reach().warning(&[cannot(), cannot()], false).unwrap();
        assert!(warning.contains("(only 239.1.1.1)"), "{warning}");
    }

    #[test]
    fn there_is_none_while_somebody_hears_or_nothing_is_known() {
        let reach = reach();
        let hearing = |of| Hearing { heard: 0, of, lost: None };
        let unclear = |of| report(Some(ModeReason::Unclear(hearing(of))));
        let failed = || MemberReport { outcome: Some(Err(Reason::TooLate)), ..report(None) };
        for (reports, over, told) in [
            (vec![deaf()], true, false),
            (vec![deaf(), report(None)], true, false),
            (vec![deaf(), failed()], true, false),
            (vec![deaf(), deaf(), failed()], true, true),
            (vec![deaf(), unclear(0)], true, false),
            (vec![deaf(), unclear(64)], false, false),
            (vec![deaf(), unclear(64)], true, true),
        ] {
            assert_eq!(reach.warning(&reports, over).is_some(), told, "{reports:?}");
        }
        let none = Reach { group: None, ..reach.clone() };
        assert_eq!(none.warning(&[deaf(), deaf()], true), None, "that was told at the beginning");
        let at = Duration::ZERO;
        let lost = MemberReport {
            transitions: vec![Transition { at, mode: Mode::Multicast, why: "", reason: None }],
            ..deaf()
        };
        assert_eq!(reach.warning(&[lost.clone(), deaf()], false), None);
        assert!(reach.warning(&[lost, deaf()], true).unwrap().contains("any more"));
    }

    #[test]
    fn a_refused_group_is_everybodys_reason() {
        let refused = Reach { group: None, refused: Some("bad".to_owned()), ttl: 1 };
        let reason = refused.reason(&report(Some(ModeReason::NoGroup)));
        assert_eq!(reason.as_deref(), Some("the group cannot be used: bad"));
        assert_eq!(refused.reason(&report(None)), None);
        assert_eq!(
            reach().reason(&deaf()).as_deref(),
            Some("it hears none of the group's packets")
        );
    }

    #[test]
    fn what_a_host_has_counted_is_the_reason() {
        let of = |lost| {
            let hearing = Hearing { heard: 0, of: 64, lost: Some(lost) };
            report(Some(ModeReason::HearsLittle(hearing)))
        };
        let said = |lost: Lost| Some(format!("joined, and hears nothing: {lost}"));
        let filter = Lost::ReversePath { dropped: 9, other_way: false };
        for lost in [filter, Lost::Before] {
            assert_eq!(reach().reason(&of(lost)), said(lost));
        }
        let elsewhere = |(addr, route): (SocketAddr, Route)| {
            (addr, Route { ifindex: route.ifindex + 1, ..route })
        };
        let elsewhere = Reach { group: reach().group.map(elsewhere), ..reach() };
        assert_eq!(
            elsewhere.reason(&of(filter)),
            said(filter),
            "wherever it leaves, it gets there"
        );
        let why = elsewhere.reason(&of(Lost::Before)).unwrap();
        assert!(why.starts_with("it hears none of the group's packets, which leave"), "{why}");
        assert!(why.ends_with("; it is reached through lo"), "{why}");
        // A change is told in the same words, at once and at the end; without any it has a few of its own.
        let (at, mode) = (Duration::ZERO, Mode::Unicast);
        for reason in [
            of(filter).mode_reason.unwrap(),
            ModeReason::Silent,
            ModeReason::NoKey,
            ModeReason::Lost { since: Duration::from_secs(4) },
            ModeReason::Slow { own: 1_000_000, group: 2_000_000 },
            ModeReason::CannotJoin("no such device".to_owned()),
        ] {
            let report = report(Some(reason.clone()));
            let change = Transition { at, mode, why: "few words", reason: Some(reason) };
            assert_eq!(Some(reach().told(&change, &report)), reach().reason(&report));
            let change = Transition { reason: None, ..change };
            assert_eq!(reach().told(&change, &report), "few words");
        }
    }
}
