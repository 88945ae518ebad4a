//! Members that are alike, or nearly: none of them is to leave the group for its rate.

use super::{Named, SEED, ms};
use crate::link::Link;
use crate::scenario::Scenario;

/// 32 MiB over 100 Mbit/s and 20 ms to eight.
pub(super) fn all() -> Vec<Named> {
    let line = Link::lan().delay(ms(5)).queue(512 << 10);
    let eight = || Scenario::new(SEED).receivers(8).bytes(32 << 20).link(line);
    let one_at_nine_tenths = || eight().downlink(1, line.rate(90_000_000));
    [
        ("equals-of-eight", "eight alike", eight()),
        ("equals-of-eight-lossy", "eight alike, each losing 0.1 %", lossy(eight())),
        ("nine-tenths-of-eight", "one of eight is behind 90 Mbit/s", one_at_nine_tenths()),
    ]
    .map(|(name, about, scenario)| (name, about, scenario.expect(|e| e.no_eviction = true)))
    .to_vec()
}

/// So few that the line is full now and then, and so many that each is the slowest for a while.
fn lossy(s: Scenario) -> Scenario {
    s.independent_loss(0.001)
}
