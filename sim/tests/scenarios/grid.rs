//! Receivers × loss × shared or independent.

use sim::registry;

fn grid(receivers: usize) {
    for entry in registry::grid(receivers) {
        sim::verify(&entry.name, |outcome| {
            assert_eq!(outcome.receivers.len(), receivers);
            let lossless = entry.name.ends_with("loss-0");
            let rules_lost = outcome.traffic.lost;
            assert_eq!(rules_lost == 0, lossless, "{rules_lost} datagrams were lost");
        });
    }
}

#[test]
fn one_receiver() {
    grid(1);
}

#[test]
fn two_receivers() {
    grid(2);
}

#[test]
fn eight_receivers() {
    grid(8);
}

#[test]
fn thirty_two_receivers() {
    grid(32);
}

#[test]
fn another_seed_gives_other_packets() {
    let entry = registry::find("receivers-1-loss-0").expect("it is in the grid");
    let run = |seed| entry.scenario.clone().seed(seed).run().fingerprint;
    assert_ne!(run(1), run(2));
}
