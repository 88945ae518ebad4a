//! Members that are lost, and found again.

use super::{Named, SEED, four_apart, ms, three};
use crate::fault::{Fault, Who};
use crate::holding::Holding;
use crate::link::Link;
use crate::scenario::Scenario;
use core::time::Duration;

/// 50 Mbit/s to three.
fn three_apart() -> Scenario {
    three().bytes(64 << 20).link(Link::lan().rate(50_000_000))
}

/// Long enough for all that is waited for.
fn waiting(s: Scenario) -> Scenario {
    s.horizon(ms(300_000)).costing(Duration::from_secs(40)).min_share(0.3)
}

/// See the module's description.
pub(super) fn all() -> Vec<Named> {
    [gone(), away(), restarts()].concat()
}

/// They do not come back.
fn gone() -> Vec<Named> {
    vec![
        (
            "dead-last",
            "one of three dies midway",
            three_apart().at(ms(4000), Fault::Kill(2)).costing(Duration::from_secs(11)),
        ),
        (
            "dead-two",
            "two of three die halfway: the last one goes on alone",
            three_apart()
                .at(ms(4000), Fault::Kill(1))
                .at(ms(4000), Fault::Kill(2))
                .costing(Duration::from_secs(11))
                .min_share(0.3),
        ),
        (
            "dead-most",
            "five of eight die: what they have missed is repaired to nobody",
            (0..5)
                .fold(Scenario::new(SEED).receivers(8).bytes(128 << 20), |s, of| {
                    s.at(ms(1000), Fault::Kill(of))
                })
                .costing(Duration::from_secs(11)),
        ),
        (
            "evicted-and-dead",
            "one of four is behind 4 of 40 Mbit/s, leaves the group, and dies",
            waiting(
                four_apart()
                    .bytes(64 << 20)
                    .link(Link::lan().rate(40_000_000))
                    .downlink(1, Link::lan().rate(4_000_000))
                    .session(|s| s.wait_lost = Duration::from_secs(20))
                    .at(ms(5000), Fault::Kill(1)),
            ),
        ),
        (
            "late-and-lost",
            "one of four never answers and is asked on, and another one dies",
            four_apart()
                .bytes(64 << 20)
                .session(|s| s.late_join = true)
                .absent(3)
                .at(ms(2000), Fault::Kill(2))
                .costing(Duration::from_secs(11)),
        ),
        (
            "nobody-listens",
            "one of four is stopped, and its host says so",
            four_apart().bytes(64 << 20).at(ms(2000), Fault::Stop(2)),
        ),
    ]
}

/// What most lack is repaired to all of them at once.
fn of_most() -> Scenario {
    let eight = Scenario::new(SEED).receivers(8).bytes(64 << 20);
    let s = eight.link(Link::lan().rate(50_000_000).queue(256 << 10)).costing(ms(3000));
    (0..5).fold(s, |s, of| {
        let of = Who::Receiver(of);
        s.at(ms(4000), Fault::Cut(of)).at(ms(7000), Fault::Mend(of))
    })
}

/// They do, or it is the sender that was away.
fn away() -> Vec<Named> {
    let long = || three_apart().session(|s| s.wait_lost = Duration::from_secs(60));
    vec![
        (
            "outage-nearly-lost",
            "nobody is reached for nearly as long as it takes to be lost, or just as long",
            three_apart()
                .session(|s| s.wait_lost = Duration::from_secs(5))
                .at(ms(4000), Fault::Cut(Who::All))
                .at(ms(13_800), Fault::Mend(Who::All))
                .min_share(0.5)
                .costing(Duration::from_secs(11)),
        ),
        (
            "outage-shared",
            "nobody is reached for three seconds",
            three_apart()
                .at(ms(4000), Fault::Cut(Who::All))
                .at(ms(7000), Fault::Mend(Who::All))
                .costing(Duration::from_secs(3))
                .expect(|e| e.within = Some(ms(15_000))),
        ),
        ("outage-of-most", "five of eight are not reached for three seconds", of_most()),
        (
            "outage-of-one",
            "one of three is not reached for twenty seconds",
            waiting(
                long()
                    .at(ms(4000), Fault::Cut(Who::Receiver(1)))
                    .at(ms(24_000), Fault::Mend(Who::Receiver(1))),
            ),
        ),
        (
            "paused-12",
            "the sender stands still for 12 seconds",
            waiting(three_apart().at(ms(4000), Fault::Pause).at(ms(16_000), Fault::Resume)),
        ),
        (
            "paused-30",
            "the sender stands still for 30 seconds",
            waiting(three_apart().at(ms(4000), Fault::Pause).at(ms(34_000), Fault::Resume)),
        ),
        (
            "stopped-and-started",
            "one of three is stopped for twenty seconds, and started anew",
            waiting(long().at(ms(4000), Fault::Stop(1)).at(ms(24_000), Fault::Start(1))),
        ),
    ]
}

/// Members whose daemons are started anew in the middle.
fn restarts() -> Vec<Named> {
    // it begins again: by unicast what the group has passed, then with the others
    let again = |s: Scenario| {
        s.link(Link::lan().rate(20_000_000))
            .at(ms(2500), Fault::Restart(1))
            .costing(Duration::from_secs(4))
            .min_share(0.5)
    };
    let holding = |s: Scenario, i| s.holding(i, Holding::Below(16 << 20));
    vec![
        (
            "restart",
            "the daemon of one of three is killed midway and started anew",
            again(three().bytes(16 << 20)),
        ),
        (
            "restart-holding",
            "likewise, and each of the three holds the first half of twice as much",
            again((0..3).fold(three().bytes(32 << 20), holding)),
        ),
    ]
}
