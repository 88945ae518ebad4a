//! The scenarios that have a name, so that tests and the command line mean the same ones.

mod equals;
mod late;
mod losers;
mod lost;
mod paths;
mod spoilers;
mod streams;

use crate::fault::{DropRule, Fault, Who};
use crate::holding::Holding;
use crate::link::Link;
use crate::loss::Loss;
use crate::scenario::Scenario;
use core::time::Duration;
use tcpxm::config::{Algorithm, GroupWindow, Promotion, Slow};

/// Unicast holds back so long at the start of a session, unless the group is promoted before.
const HOLD: Duration = Duration::from_millis(250);

/// Seed of every scenario unless another is given.
const SEED: u64 = 1;

/// Numbers of receivers in the grid.
pub const RECEIVERS: [usize; 4] = [1, 2, 8, 32];
/// Loss rates in the grid, in percent.
pub const PERCENT: [f64; 3] = [0.1, 1.0, 5.0];

/// A scenario with a name.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is about, in one line.
    pub about: String,
    /// The scenario, with its default seed.
    pub scenario: Scenario,
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<Entry> {
    all().into_iter().find(|entry| entry.name == name)
}

/// All named scenarios.
pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    for receivers in RECEIVERS {
        entries.extend(grid(receivers));
    }
    for (name, about, scenario) in [
        lines(),
        thin_returns(),
        widths(),
        members(),
        losers::all(),
        equals::all(),
        lossy(),
        spoilers::all(),
        lost::all(),
        late::all(),
        paths::all(),
        stations(),
        holders(),
        crowds(),
        handshake(),
        streams::all(),
        sessions(),
    ]
    .concat()
    {
        entries.push(Entry { name: name.to_owned(), about: about.to_owned(), scenario });
    }
    entries
}

/// The part of the loss grid with so many receivers.
pub fn grid(receivers: usize) -> Vec<Entry> {
    let base = Scenario::new(SEED).receivers(receivers);
    let mut entries = vec![Entry {
        name: format!("receivers-{receivers}-loss-0"),
        about: format!("{receivers} receivers, no loss"),
        scenario: base.clone(),
    }];
    for percent in PERCENT {
        let p = percent / 100.0;
        let cells = [
            ("shared", base.clone().shared_loss(p)),
            ("independent", base.clone().independent_loss(p)),
        ];
        for (kind, scenario) in cells {
            entries.push(Entry {
                name: format!("receivers-{receivers}-loss-{percent}-{kind}"),
                about: format!("{receivers} receivers, {percent} % {kind} loss"),
                scenario,
            });
        }
    }
    entries
}

type Named = (&'static str, &'static str, Scenario);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn three() -> Scenario {
    Scenario::new(SEED).receivers(3)
}

/// 1 Gbit/s to three, of which one is 40 ms further away, and 0.1 % independent loss.
fn unequal() -> Scenario {
    let line = Link::lan().rate(1_000_000_000).queue(4 << 20);
    three().bytes(32 << 20).link(line).downlink(2, line.delay(ms(40))).independent_loss(0.001)
}

/// Lines that do other things than lose.
fn lines() -> Vec<Named> {
    let lan = Link::lan();
    let burst = Loss::Burst { p_enter: 0.000_5, p_leave: 0.2, p_loss_in_burst: 0.9 };
    vec![
        (
            "reordering",
            "every line holds 2 % up by 3 ms",
            three().link(lan.reordering(0.02, ms(3))),
        ),
        ("duplication", "every line duplicates 5 %", three().link(lan.duplicating(0.05))),
        ("jitter", "every line delays by up to 2 ms more", three().link(lan.jittering(ms(2)))),
        (
            "burst-loss",
            "loss in bursts on the downlinks",
            three().bytes(32 << 20).downlink_loss(burst),
        ),
        (
            "unequal-paths",
            "1 Gbit/s, one of three 40 ms further away, 0.1 % independent loss",
            // a repair waits for the far one's report while thousands of packets pass, as long as it follows
            unequal().session(|s| s.slow = Slow::Keep),
        ),
        (
            "unequal-paths-left",
            "the same, where the far one may leave: by losses as rare as that its window is the least",
            unequal().min_share(0.45),
        ),
        (
            "satellite",
            "12 receivers, 10 Mbit/s out, 64 kbit/s back from each, 560 ms",
            satellite().bytes(24 << 20),
        ),
        (
            "satellite-bbr",
            "the same by BBR",
            satellite().bytes(24 << 20).session(|s| s.algorithm = Algorithm::Bbr),
        ),
        ("marking-queue", "a queue that marks far below its length", managed()),
        (
            "dropping-queue",
            "the same, but the sender cannot be told by marks",
            managed().without_ecn(),
        ),
        (
            "everything-at-once",
            "loss, reordering, duplication and jitter together",
            three()
                .link(lan.reordering(0.01, ms(2)).duplicating(0.01).jittering(ms(1)))
                .shared_loss(0.005)
                .independent_loss(0.005),
        ),
    ]
}

/// Ways that carry datagrams of other lengths than Ethernet's.
fn widths() -> Vec<Named> {
    let lan = Link::lan();
    vec![
        ("short-path", "an MTU of 1400 at the hosts", three().link(lan.mtu(1400))),
        (
            "narrow-receivers",
            "datagrams above 1400 vanish before the receivers",
            (0..3).fold(three(), |s, i| s.downlink(i, lan.mtu(1400))),
        ),
        (
            "narrow-one-of-group",
            "datagrams above 1400 vanish before one of three",
            three().downlink(1, lan.mtu(1400)),
        ),
        (
            "narrow-group",
            "datagrams above 1400 to the group vanish, others do not",
            three().losing(DropRule::long_to_group()),
        ),
        (
            "narrow-one",
            "one of three carries 1280, by unicast to all",
            three().downlink(1, lan.mtu(1280)).without_group(),
        ),
        (
            "narrowing",
            "the ways to all carry 1400 after 300 ms, 1500 before",
            three().bytes(16 << 20).at(ms(300), Fault::Narrow(Who::All, 1400)).costing(ms(100)),
        ),
        (
            "narrowing-unicast",
            "the same without a group",
            three()
                .bytes(16 << 20)
                .without_group()
                .at(ms(300), Fault::Narrow(Who::All, 1400))
                .costing(ms(100)),
        ),
        ("jumbo", "an MTU of 9000 everywhere", three().bytes(32 << 20).link(lan.mtu(9000))),
    ]
}

/// 50 Mbit/s and 20 ms; the sender's queue has room for four round trips, and tells of itself after
/// half of one.
fn managed() -> Scenario {
    let line = Link::lan().rate(50_000_000).delay(ms(5)).queue(500 << 10).marking(60 << 10);
    three().bytes(32 << 20).link(line)
}

/// As MTM had it (the seed `MTM`): ISDN back from each of twelve receivers. The queues hold what
/// comes in a round trip, and two seconds of the way back.
fn satellite() -> Scenario {
    let out = Link::lan().rate(10_000_000).delay(ms(140)).queue(700 << 10);
    Scenario::new(SEED).receivers(12).link(out).back(out.rate(64_000).queue(16 << 10))
}

/// By BBR over 20 Mbit/s, `delay` a line. Back come 64 kbit/s from each, or as much as `home` says
/// from all together.
fn thin(receivers: usize, delay: Duration, home: Option<u64>) -> Scenario {
    let out = Link::lan().rate(20_000_000).delay(delay).queue(1 << 20);
    let back = |rate| out.rate(rate).queue(32 << 10);
    let base = Scenario::new(SEED)
        .receivers(receivers)
        .link(out)
        .session(|s| s.algorithm = Algorithm::Bbr)
        // the way back, which the model does not know
        .costing(Duration::from_secs(3));
    match home {
        Some(rate) => base.home(back(rate)),
        None => base.back(back(64_000)),
    }
}

/// Ways back that are narrow.
fn thin_returns() -> Vec<Named> {
    let (near, far) = (ms(5), ms(140));
    vec![
        ("thin-return-1", "one receiver, 20 Mbit/s out, 64 kbit/s back", thin(1, near, None)),
        ("thin-return-2", "two of them", thin(2, near, None)),
        ("thin-return-4", "four of them", thin(4, near, None)),
        ("thin-return-far-1", "one receiver, the same, 560 ms", thin(1, far, None)),
        ("thin-return-far-2", "two of them", thin(2, far, None)),
        ("thin-return-far-4", "four of them", thin(4, far, None)),
        (
            "thin-return-shared",
            "two receivers, 20 Mbit/s out, 128 kbit/s back for both together",
            thin(2, near, Some(128_000)),
        ),
    ]
}

/// 100 Mbit/s and 20 ms, where losses and not the line bound the window.
fn eight() -> Scenario {
    let line = Link::lan().delay(ms(5)).queue(512 << 10);
    Scenario::new(SEED).receivers(8).bytes(16 << 20).link(line).independent_loss(0.01)
}

/// 100 Mbit/s and 20 ms without losses.
fn four_apart() -> Scenario {
    Scenario::new(SEED).receivers(4).link(Link::lan().delay(ms(5)).queue(512 << 10))
}

/// Whose windows bound the group's, and how often many report.
fn crowds() -> Vec<Named> {
    vec![
        (
            "full-line",
            "four receivers; the sender's line loses 15 % of everything",
            Scenario::new(SEED)
                .receivers(4)
                .link(Link::lan().rate(50_000_000))
                .shared_loss(0.15)
                .session(|s| s.algorithm = Algorithm::Bbr)
                .min_share(0.8),
        ),
        ("least-of-eight", "8 receivers, each losing 1 %, the least window", eight()),
        (
            "acker-of-eight",
            "the same, following one of them",
            eight().session(|s| s.group_window = GroupWindow::Acker),
        ),
        (
            "in-rounds",
            "250 receivers on 1 Gbit/s, each losing 0.5 %",
            Scenario::new(SEED)
                .receivers(250)
                .bytes(8 << 20)
                .link(Link::lan().rate(1_000_000_000).queue(1 << 20))
                .independent_loss(0.005),
        ),
    ]
}

/// Of four receivers two hold the first half of 64 MiB, one holds all but 1 % of it, scattered over
/// 1,000 places, and one holds nothing.
fn partial_holders() -> Scenario {
    let len = 64 << 20;
    Scenario::new(SEED)
        .receivers(4)
        .bytes(len)
        .holding(0, Holding::Below(len / 2))
        .holding(1, Holding::Below(len / 2))
        .holding(2, Holding::AllBut { bytes: len / 100, places: 1000 })
        .min_share(0.4)
}

/// Forty receivers lack 3 MiB each, all at other places: more than the cache of the source has blocks, so that they must
/// not push out what others are about to read.
fn scattered() -> Scenario {
    let (receivers, each) = (40, 3 << 20);
    let line = Link::lan().rate(1_000_000_000).queue(1 << 20);
    let all = receivers * each;
    let s = Scenario::new(SEED).receivers(receivers as usize).bytes(all).link(line).without_group();
    let s = (0..receivers)
        .fold(s, |s, n| s.holding(n as usize, Holding::Outside(n * each, (n + 1) * each)));
    // once, and blocks again for repairs of what was read and left; else it would be a block for each segment
    s.costing(ms(1000)).horizon(ms(140_000)).expect(|e| e.supplied = Some(all * 4))
}

/// Receivers that hold a part of the stream.
fn holders() -> Vec<Named> {
    vec![
        (
            "partial-holders",
            "four receivers that hold halves, nearly all, and nothing",
            partial_holders(),
        ),
        (
            "partial-holders-lossy",
            "the same, 1 % independent loss",
            partial_holders().independent_loss(0.01),
        ),
        (
            "partial-holders-again",
            "the same; one takes ten blocks back that it held or received",
            partial_holders().taking_back(0, 10, 1 << 20).costing(ms(1000)),
        ),
        ("scattered-40", "forty receivers that lack something else each, by unicast", scattered()),
        (
            "holders-late",
            "the same; two say late what they hold of the second half",
            partial_holders()
                .declaring_late(0, ms(500))
                .declaring_late(3, ms(2000))
                .costing(ms(2000)),
        ),
    ]
}

/// Members that are not like the others.
fn members() -> Vec<Named> {
    vec![
        (
            "slow-host",
            "the sockets of all three, 128 KiB, are emptied at 200 Mbit/s of 1 Gbit/s",
            (0..3).fold(
                three().bytes(96 << 20).link(Link::lan().rate(1_000_000_000).queue(1 << 20)),
                |s, i| s.slow_host(i, 25_000_000, 128 << 10).costing(ms(3000)),
            ),
        ),
        (
            "trickle-reader",
            "one of four reads 1 MB/s of a line of 100 Mbit/s",
            // by unicast, beside the others' group
            four_apart().bytes(32 << 20).slow_reader(1, 1_000_000).min_share(0.45),
        ),
        (
            "trickle-readers",
            "all four read 1 MB/s",
            (0..4).fold(four_apart(), |s, i| s.slow_reader(i, 1_000_000)),
        ),
        (
            "reader-rests",
            "one of three reads nothing for twelve seconds, and lacks something of what came before; 1 % loss",
            // what it has no room for it gets alone
            three()
                .bytes(64 << 20)
                .independent_loss(0.01)
                .resting(1, ms(1000), ms(13_000))
                .costing(Duration::from_secs(20))
                .min_share(0.3),
        ),
        (
            "near-reader",
            "one of four reads nine tenths of what the line carries",
            four_apart().bytes(64 << 20).slow_reader(1, 10_400_000),
        ),
        ("deaf", "one of four hears no group", Scenario::new(SEED).receivers(4).deaf(2)),
        (
            "cannot-join",
            "one of four may not join",
            Scenario::new(SEED).receivers(4).cannot_join(2),
        ),
    ]
}

/// Members whose lines lose.
fn lossy() -> Vec<Named> {
    let slow =
        || Scenario::new(SEED).receivers(4).bytes(16 << 20).link(Link::lan().rate(20_000_000));
    vec![
        (
            "lossy-for-a-moment",
            "one of four loses 400 of 1000 for a tenth of a second, as when a queue overflows",
            slow()
                .at(ms(2000), Fault::Lose(1, 400))
                .at(ms(2100), Fault::Lose(1, 0))
                .costing(ms(500)),
        ),
        (
            "silent-for-a-moment",
            "one of four hears no group for less than half a second, as when a switch has forgotten its membership",
            slow()
                .at(ms(2000), Fault::CutGroup(Who::Receiver(1)))
                .at(ms(2380), Fault::RestoreGroup(Who::Receiver(1)))
                .costing(ms(500)),
        ),
        (
            "lossy-line",
            "one of four loses 150 of 1000, from its second second on",
            // by unicast, beside the others' group, on a line that both share
            slow().at(ms(1000), Fault::Lose(1, 150)).costing(ms(8000)).min_share(0.4),
        ),
    ]
}

/// Stations of access points, which send to groups at their basic rate.
fn stations() -> Vec<Named> {
    let on = |n: usize, bytes: u64| {
        let line = Link::lan().rate(1_000_000_000);
        let (group, others) =
            (Link::lan().rate(6_000_000).queue(100_000), Link::lan().rate(94_000_000));
        Scenario::new(SEED).receivers(n).bytes(bytes).link(line).air(group, others.queue(500_000))
    };
    vec![
        (
            "stations-2",
            "two stations of access points, which send to groups at 6 Mbit/s",
            on(2, 8 << 20),
        ),
        ("stations-8", "eight of them", on(8, 8 << 20)),
        ("stations-long", "two of them, and a file for many seconds", on(2, 128 << 20)),
    ]
}

/// Loss of each handshake message of the first receiver.
fn handshake() -> Vec<Named> {
    let once = |rule| three().losing(rule).costing(ms(1000));
    // the others begin after start_wait; the late one then needs its own copy of most
    let twice = |rule| three().losing(rule).costing(ms(4000)).min_share(0.4);
    vec![
        ("lost-syn", "the first SYN is lost", once(DropRule::syn(1))),
        ("lost-syn-twice", "two SYNs are lost", twice(DropRule::syn(2))),
        ("lost-syn-ack", "the first SYN-ACK is lost", once(DropRule::syn_ack(1))),
        ("lost-syn-ack-twice", "two SYN-ACKs are lost", twice(DropRule::syn_ack(2))),
        ("lost-third", "the third message is lost", once(DropRule::third(1))),
        ("lost-third-twice", "two third messages are lost", twice(DropRule::third(2))),
    ]
}

/// Other kinds of sessions.
fn sessions() -> Vec<Named> {
    vec![
        ("ipv6", "IPv6 addresses", three().v6()),
        ("ipv6-lossy", "IPv6 addresses, 1 % loss", three().v6().independent_loss(0.01)),
        ("no-group", "no group is offered", three().without_group()),
        (
            "published-rule",
            "promotion after 75 KiB by unicast, as option 51 reports",
            three().session(|config| config.promotion = Promotion::After75K).costing(HOLD),
        ),
        (
            "reno",
            "Reno instead of CUBIC, 1 % loss",
            three().session(|config| config.algorithm = Algorithm::Reno).shared_loss(0.01),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let mut names: Vec<String> = all().into_iter().map(|entry| entry.name).collect();
        assert!(names.iter().all(|name| find(name).is_some_and(|entry| entry.name == *name)));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(find("none").is_none());
    }

    #[test]
    fn every_scenario_moves_8_mib_or_more_and_has_time_for_three_times_its_model() {
        for entry in all() {
            assert!(entry.scenario.bytes >= 8 << 20, "{}", entry.name);
            let model = crate::model::model_time(&entry.scenario);
            assert!(model * 3 < entry.scenario.horizon, "{} takes {model:?}", entry.name);
        }
    }
}
