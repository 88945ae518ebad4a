//! Receivers that come late, and a session that goes on for the others.

use core::time::Duration;
use sim::{Outcome, parallel, registry, verify};
use tcpxm::stats::Mode;

/// When the last of the first three had everything.
fn others(outcome: &Outcome) -> Duration {
    let all = outcome.receivers[..3].iter().map(|r| r.drained.expect("it has everything"));
    all.max().expect("there are three")
}

/// When they have if nobody comes late.
fn undisturbed() -> Duration {
    let mut all = registry::find("joins-at-half").expect("it has that name").scenario;
    all = all.absent(3).joining(3, Duration::from_mins(10));
    others(&all.run())
}

/// Bytes that came to the last, of those that it lacked.
fn share(outcome: &Outcome) -> f64 {
    let arrived = outcome.receivers[3].arrived.expect("it has a session");
    (arrived.total() + arrived.duplicate) as f64 / arrived.total() as f64
}

#[test]
fn one_that_joins_at_half_gets_what_it_lacks_and_costs_the_others_little() {
    let name = "joins-at-half";
    let bound = undisturbed().mul_f64(1.1);
    verify(name, |outcome| {
        let joiner = &outcome.receivers[3];
        assert!(joiner.went_through(&[Mode::Multicast]), "{:?}", joiner.report.transitions);
        assert!(joiner.arrived.is_some_and(|arrived| arrived.multicast > 16 << 20), "{joiner:?}");
    });
    let seeds: Vec<u64> = (1..=16).collect();
    let found = parallel::map(&seeds, |seed| {
        let outcome = registry::find(name).expect("it is there").scenario.seed(*seed).run();
        (others(&outcome), share(&outcome))
    });
    for (seed, (took, share)) in seeds.iter().zip(found) {
        assert!(took <= bound, "seed {seed}: {took:?}, {bound:?} allowed");
        assert!(share <= 1.02, "seed {seed}: {share}");
    }
}

#[test]
fn the_one_machine_of_a_group_takes_another_path() {
    verify("joins-at-half-bbr", |outcome| assert!(share(outcome) <= 1.02));
}

#[test]
fn a_group_begins_when_a_second_one_comes() {
    verify("joins-one", |outcome| {
        for late in &outcome.receivers[1..] {
            assert!(late.went_through(&[Mode::Multicast]), "{:?}", late.report.transitions);
        }
    });
}
