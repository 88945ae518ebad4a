//! A receiver that has joined the group and does not hear it: its host is asked what it has counted, and the sender can
//! say why.

use crate::hand::{App, DELAY, GROUP, Net, Packet, group, outcome, source};
use core::time::Duration;
use tcpxm::config::Delivery;
use tcpxm::proto::event::MemberId;
use tcpxm::proto::time::Instant;
use tcpxm::stats::{Counters, MemberReport, Mode, ModeReason};

const LEN: u64 = 8 << 20;
const DEAF: usize = 2;
/// When it goes away.
const AWAY: Duration = Duration::from_secs(2);

/// A copy to three of which one hears nothing and has counted so many: why it is not on the group, and how often it was
/// asked.
fn why(counters: Counters) -> (String, u32) {
    let deaf = |_, n, packet: Packet| {
        let lost = packet.kind() == GROUP && n == DEAF;
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(3, 7, Box::new(deaf));
    net.nodes[DEAF].counters = counters;
    let mut config = source(LEN, Delivery::Unordered, Some(group()));
    config.rate = Some(20_000_000); // some seconds
    let mut app = App::new(&mut net, config, LEN);
    assert!(app.finish(&mut net, Duration::from_secs(60)));
    assert!((0..3).all(|n| outcome(&net, &app, n) == Some(Ok(()))));
    assert!(net.nodes[1].counted + net.nodes[3].counted == 0, "they hear it");
    let member = MemberId { session: app.session, index: DEAF - 1 };
    let report = net.nodes[0].endpoint.report(net.now, member).unwrap();
    let trials = 1 + report.transitions.iter().filter(|t| t.mode == Mode::Trial).count();
    let counted = net.nodes[DEAF].counted;
    assert!((1..=trials).contains(&(counted as usize)), "{counted} in {trials} trials");
    (report.mode_reason.unwrap().to_string(), counted)
}

#[test]
fn it_is_asked_once_a_trial_and_what_its_host_has_counted_is_the_reason() {
    let none = Counters { reverse_path: Some(0), buffer: Some(0), ..Counters::default() };
    let said = |counters| why(counters).0;
    let begins = "joined, and hears nothing: ";
    let lost = said(Counters { reverse_path: Some(1000), other_way: true, ..none });
    let filter = "the reverse-path filter has dropped 1,000 packets there (rp_filter; the route \
                  back leaves by another interface)";
    assert_eq!(lost, format!("{begins}{filter}"));
    let lost = said(Counters { buffer: Some(500), ..none });
    assert!(lost.starts_with(&format!("{begins}its socket's buffer overflowed 500")), "{lost}");
    let lost = said(Counters { interface: Some(500), ..none });
    assert!(lost.starts_with(&format!("{begins}the interface has dropped 500")), "{lost}");
    let lost = said(none);
    assert!(lost.starts_with(&format!("{begins}the group does not arrive there;")), "{lost}");
    assert_eq!(said(Counters::default()), "it hears none of the group's packets", "not counted");
}

/// A copy to three of which one hears nothing of the group, and is away from two seconds on for so long: what is said of
/// it while it is away, and at the end.
fn away(lasts: Duration) -> (MemberReport, MemberReport) {
    let begin = Net::new(1, 7, Box::new(|_, _, _| Vec::new())).now;
    let addr = Net::new(DEAF, 7, Box::new(|_, _, _| Vec::new())).nodes[DEAF].addr;
    let path = move |now: Instant, n, packet: Packet| {
        let away = (AWAY..AWAY + lasts).contains(&now.since(begin));
        let its = n == DEAF || packet.from == addr;
        let lost = (packet.kind() == GROUP && n == DEAF) || (its && away);
        if lost { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = Net::new(3, 7, Box::new(path));
    let mut config = source(LEN, Delivery::Unordered, Some(group()));
    config.rate = Some(2_000_000); // half a minute
    let mut app = App::new(&mut net, config, LEN);
    let member = MemberId { session: app.session, index: DEAF - 1 };
    let report = |net: &Net| net.nodes[0].endpoint.report(net.now, member).unwrap();
    assert_eq!(net.now, begin);
    assert!(!app.finish(&mut net, AWAY + Duration::from_secs(11)), "they take longer");
    let meanwhile = report(&net);
    assert!(app.finish(&mut net, Duration::from_secs(80)));
    (meanwhile, report(&net))
}

#[test]
fn one_that_is_lost_is_told_as_such_and_so_is_its_return_though_it_was_alone_before() {
    let lasts = Duration::from_secs(13);
    let (meanwhile, report) = away(lasts);
    let since = meanwhile.lost.unwrap();
    assert!(since <= AWAY + Duration::from_secs(1), "{since:?}");
    assert_eq!(meanwhile.mode_reason, Some(ModeReason::Lost { since }));
    let lost = |reason: &Option<ModeReason>| matches!(reason, Some(ModeReason::Lost { .. }));
    let at = report.transitions.iter().position(|t| lost(&t.reason)).expect("it is told");
    let [lost, back, ..] = &report.transitions[at..] else { panic!("{:?}", report.transitions) };
    assert_eq!((lost.mode, back.mode), (Mode::Unicast, Mode::Unicast));
    assert_eq!(lost.reason, Some(ModeReason::Lost { since }));
    assert!(back.why.contains("there again") && back.reason.is_none(), "{back:?}");
    assert!(back.at > AWAY + lasts && lost.at < AWAY + lasts, "{lost:?} {back:?}");
    assert_eq!((report.outcome, report.lost), (Some(Ok(())), None));
    let why = report.mode_reason.unwrap();
    assert!(matches!(why, ModeReason::HearsLittle(_)), "{why:?}");
}
