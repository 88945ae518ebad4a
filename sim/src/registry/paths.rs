//! Paths that are hard to tell apart from broken ones.

use super::{Named, four_apart, ms};
use crate::fault::{Fault, Who};
use crate::link::Link;
use crate::scenario::Scenario;
use core::time::Duration;

/// 64 MiB over 100 Mbit/s and 20 ms to four.
fn four() -> Scenario {
    four_apart().bytes(64 << 20)
}

/// The line to all is cut for 50 ms in every second.
fn interrupted(s: Scenario) -> Scenario {
    (1..20).fold(s, |s, second| {
        s.at(ms(second * 1000), Fault::Cut(Who::All))
            .at(ms(second * 1000 + 50), Fault::Mend(Who::All))
    })
}

/// See the module's description.
pub(super) fn all() -> Vec<Named> {
    let from_afar = Link::lan().rate(100_000_000).delay(ms(150));
    let far = four().link(Link::lan().rate(100_000_000)).downlink(3, from_afar);
    // 50 full frames of 1538 bytes on the line (docs/wire.md).
    let fifty = Duration::from_nanos(50 * 1538 * 8 * 10);
    let lan = Link::lan().delay(ms(5)).queue(512 << 10);
    vec![
        (
            "reordering-far",
            "every line holds 2 % up by 50 packets",
            four().link(lan.reordering(0.02, fifty)),
        ),
        (
            "back-50-times-slower",
            "acknowledgements come back by lines of 2 Mbit/s, of 100 out",
            four().back(lan.rate(2_000_000)),
        ),
        (
            "interrupted",
            "nobody is reached for 50 ms in every second",
            interrupted(four()).min_share(0.3).costing(Duration::from_secs(10)),
        ),
        (
            "near-and-far",
            "one of four is 300 ms away, the others 1 ms",
            far.min_share(0.4)
                .costing(Duration::from_secs(20))
                .expect(|e| e.others = Some((3, ms(8000)))),
        ),
        (
            "rebinding-receiver",
            "a NAT gives one of four another port, twice",
            four().at(ms(1500), Fault::Rebind(2)).at(ms(3500), Fault::Rebind(2)),
        ),
        (
            "rebinding-sender",
            "a NAT gives the sender another port, twice",
            four().at(ms(1500), Fault::Rebind(0)).at(ms(3500), Fault::Rebind(0)),
        ),
        (
            "rebinding-alone",
            "a NAT gives one another port that gets all by unicast",
            four().deaf(1).at(ms(1500), Fault::Rebind(2)),
        ),
    ]
}
