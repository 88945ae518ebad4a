//! Receivers that hold a part of the stream: nothing is sent to one that lacks nothing, the group
//! carries what two or more lack. `verify` holds what is sent to the bounds.

use core::time::Duration;
use sim::Scenario;
use sim::holding::{Holding, Lacking, lacking};
use sim::verify::faults;
use sim::{registry, seed, verify};

/// Seeds of the random sessions. They are fixed: what passes once passes until the code changes.
const SEEDS: core::ops::Range<u64> = 0..24;

#[test]
fn many_that_lack_different_places_do_not_read_the_source_again_and_again() {
    verify("scattered-40", |_| ());
}

#[test]
fn what_two_lack_goes_by_the_group_and_the_rest_alone() {
    verify("partial-holders", |outcome| {
        assert!(outcome.sent.group_bytes > 33 << 20 >> 1, "the group carries the second half");
    });
}

#[test]
fn losses_are_repaired_to_whom_they_strike() {
    verify("partial-holders-lossy", |outcome| assert!(outcome.sent.repaired_bytes > 0));
}

/// Seeds by which one was far behind as the others were tried: the group was never used.
#[test]
fn who_is_far_behind_keeps_the_others_off_no_group() {
    let entry = registry::find("partial-holders-lossy").expect("a scenario");
    for seed in [34, 52] {
        let scenario = entry.scenario.clone().seed(seed);
        assert_eq!(faults(&scenario, &scenario.run()), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn what_is_taken_back_is_served_again() {
    verify("partial-holders-again", |outcome| {
        let again = outcome.receivers[0].report.arrived;
        assert_eq!(again.total(), (32 << 20) + (10 << 20));
    });
}

#[test]
fn who_declares_late_is_served_late_and_whole() {
    verify("holders-late", |_| ());
}

/// The bounds of `verify` fail where a share is missed.
#[test]
fn a_missed_share_is_a_fault() {
    let scenario = sim::registry::find("partial-holders").unwrap().scenario;
    let mut outcome = scenario.run();
    assert_eq!(faults(&scenario, &outcome), Vec::<String>::new());
    let Lacking { shared, alone } = lacking(&scenario);
    outcome.sent.group_bytes = shared + shared / 40;
    outcome.sent.unicast_bytes = alone + alone / 10;
    assert_eq!(faults(&scenario, &outcome).len(), 2);
}

/// Random holdings, losses, late declarations and bytes taken back: everybody ends whole.
#[test]
fn random_holders_end_whole() {
    for seed in seed::asked().map_or(SEEDS, |seed| seed..seed + 1) {
        let _printed =
            seed::Printed::new(seed, "cargo test -p sim --test scenarios random_holders_end_whole");
        let n = 2 + seed as usize % 5;
        let mut scenario = Scenario::new(seed).receivers(n).bytes(3 << 20).min_share(0.0);
        for i in 0..n {
            let of = seed * 16 + i as u64;
            scenario = scenario.holding(
                i,
                match of % 4 {
                    0 => Holding::Nothing,
                    1 => Holding::Below((of * 100_003) % (3 << 20)),
                    _ => Holding::Drawn { seed: of, pieces: 3 + of % 40 },
                },
            );
            if of.is_multiple_of(3) {
                scenario = scenario.declaring_late(i, Duration::from_millis(of * 97 % 1800));
            }
            if of.is_multiple_of(5) {
                scenario = scenario.taking_back(i, 1 + of % 4, 40_000);
            }
        }
        scenario = scenario.independent_loss([0.0, 0.01, 0.03][seed as usize % 3]);
        let outcome = scenario.costing(Duration::from_secs(4)).run();
        for (i, r) in outcome.receivers.iter().enumerate() {
            let said = &r.report.outcome;
            assert!(r.intact && *said == Some(Ok(())), "receiver {i}\n{outcome}");
        }
    }
}
