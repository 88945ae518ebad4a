//! Receivers × loss × shared or independent.

use sim::registry;

fn grid(receivers: usize) {
    for entry in registry::grid(receivers) {
        sim::verify(&entry.name, |outcome| {
            assert_eq!(outcome.receivers.len(), receivers);
            let lossless = entry.name.ends_with("loss-0");
            // 5,900 segments pass a lossy line at least: at 1 % all pass with 0.99^5900 < 10⁻²⁵, at
            // 0.1 % with 0.3 %, so that a seed may lose none
            let may_lose_none = lossless || entry.name.contains("-loss-0.1-");
            let lost = outcome.traffic.lost;
            assert!(lost == 0 || !lossless, "{lost} datagrams were lost");
            assert!(lost > 0 || may_lose_none, "no datagram was lost");
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
