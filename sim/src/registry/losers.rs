//! Members that lose the group, never hear it, or die in the middle.

use super::{Named, SEED, ms, three};
use crate::fault::{Fault, Who};
use crate::link::Link;
use crate::scenario::Scenario;
use core::time::Duration;

/// The group stops for all: so long nobody gets anything, at most.
const STALL: Duration = Duration::from_secs(1);

/// See the module's description.
pub(super) fn all() -> Vec<Named> {
    [single(), for_all(), forgotten(), some_hear()].concat()
}

/// Single ones that lose the group or die in the middle.
fn single() -> Vec<Named> {
    let slow = Link::lan().rate(20_000_000);
    vec![
        (
            "group-lost-and-found",
            "one of three loses the group for two seconds",
            // two seconds of unicast to one, and until it is tried again
            three()
                .bytes(16 << 20)
                .link(slow)
                .at(ms(1500), Fault::CutGroup(Who::Receiver(1)))
                .at(ms(3500), Fault::RestoreGroup(Who::Receiver(1)))
                .costing(Duration::from_secs(3))
                .min_share(0.5),
        ),
        (
            "group-lost-one-by-one",
            "each loses the group at another time, and all hear it again",
            // they are served by unicast from different places, and must meet again
            three()
                .bytes(64 << 20)
                .link(Link::lan().rate(1_000_000_000).queue(4 << 20))
                .session(|session| session.rate = Some(100_000_000))
                .at(ms(700), Fault::CutGroup(Who::Receiver(0)))
                .at(ms(1300), Fault::CutGroup(Who::Receiver(1)))
                .at(ms(2000), Fault::CutGroup(Who::Receiver(2)))
                .at(ms(4000), Fault::RestoreGroup(Who::All))
                .costing(Duration::from_secs(12))
                .min_share(0.2),
        ),
        (
            "death",
            "one of four dies halfway",
            // three time-outs of 200, 400 and 800 ms until it no longer counts for the group
            Scenario::new(SEED).receivers(4).at(ms(300), Fault::Kill(2)).costing(ms(1400)),
        ),
        ("absent", "one of four never answers", Scenario::new(SEED).receivers(4).absent(2)),
    ]
}

/// Nobody hears the group from some time on.
fn for_all() -> Vec<Named> {
    let slow = Link::lan().rate(20_000_000);
    vec![
        (
            "group-lost-for-all",
            "nobody hears the group for two seconds",
            three()
                .bytes(16 << 20)
                .link(slow)
                .at(ms(1500), Fault::CutGroup(Who::All))
                .at(ms(3500), Fault::RestoreGroup(Who::All))
                .costing(Duration::from_secs(6))
                .min_share(0.3)
                .expect(|e| (e.stall, e.comes_back) = (Some(STALL), true)),
        ),
        (
            "group-lost-in-step",
            "nobody hears the group for three seconds; few packets are on their way by then",
            three()
                .bytes(32 << 20)
                .link(Link::lan().rate(1_000_000_000).delay(Duration::from_micros(50)))
                .session(|s| s.rate = Some(100_000_000))
                .at(ms(1000), Fault::CutGroup(Who::All))
                .at(ms(4000), Fault::RestoreGroup(Who::All))
                .costing(Duration::from_secs(6))
                .min_share(0.3),
        ),
        (
            "group-for-ten-seconds",
            "the group works for ten seconds, and never again",
            three()
                .bytes(48 << 20)
                .link(slow)
                .at(ms(10_000), Fault::CutGroup(Who::All))
                // to each of the three alone what is left then, 27 of 50 MB
                .costing(Duration::from_secs(25))
                .min_share(0.2)
                .horizon(ms(200_000))
                .expect(|e| e.stall = Some(STALL)),
        ),
    ]
}

/// Members that do not hear the group as long as their host, or a switch, does not let it through.
fn forgotten() -> Vec<Named> {
    let slow = Link::lan().rate(20_000_000);
    vec![
        (
            "just-booted",
            "one of four hears no group of IPv6 for its first ten seconds, as hosts that have just started do",
            Scenario::new(SEED)
                .receivers(4)
                .v6()
                .bytes(48 << 20)
                .link(slow)
                .at(ms(0), Fault::CutGroup(Who::Receiver(1)))
                .at(ms(10_000), Fault::RestoreGroup(Who::Receiver(1)))
                .costing(Duration::from_secs(12))
                .min_share(0.68),
        ),
        (
            "group-forgotten",
            "the switch forgets every membership after three seconds: its queries reach nobody",
            three().bytes(64 << 20).link(slow).at(ms(0), Fault::Forget(Duration::from_secs(3))),
        ),
    ]
}

/// Multicast that reaches some of them.
fn some_hear() -> Vec<Named> {
    let eight = Scenario::new(SEED).receivers(8).bytes(16 << 20);
    let deaf = [1, 4, 6].into_iter().fold(eight, Scenario::deaf);
    // once to the group and once to each of the three, and a tenth for headers, trial and repairs
    let most = 1.1 * 4.0;
    vec![("five-of-eight", "three of eight hear no group", deaf.expect(|e| e.uplink = Some(most)))]
}
