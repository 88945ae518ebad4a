//! Whether equals are evicted.
use core::time::Duration;
use sim::{Link, Scenario};
use tcpxm::stats::Mode;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seeds: u64 = args[1].parse().unwrap();
    let ms = Duration::from_millis;
    let lan = Link::lan().delay(ms(5)).queue(512 << 10);
    let base =
        Scenario::new(1).receivers(8).bytes(8 << 20).link(lan).horizon(Duration::from_secs(600));
    for (name, s) in [
        ("equal-0", base.clone()),
        ("equal-1", base.clone().independent_loss(0.01)),
        ("equal-5", base.clone().independent_loss(0.05)),
        ("near", base.clone().bytes(32 << 20).downlink(3, lan.rate(90_000_000))),
        ("short", base.clone().bytes(32 << 20).link(lan.queue(32 << 10))),
        (
            "near-short",
            base.clone()
                .bytes(32 << 20)
                .link(lan.queue(32 << 10))
                .downlink(3, lan.rate(90_000_000).queue(32 << 10)),
        ),
    ] {
        let seeds: Vec<u64> = (1..=seeds).collect();
        let bad = sim::parallel::map(&seeds, |seed| {
            let o = s.clone().seed(*seed).run();
            let left = o
                .receivers
                .iter()
                .flat_map(|r| r.report.transitions.clone())
                .filter(|t| t.mode == Mode::Unicast);
            let left: Vec<_> = left.map(|t| (t.at, t.why)).collect();
            (left, o.completed)
        });
        let n = bad.iter().filter(|(left, _)| !left.is_empty()).count();
        let mean = bad.iter().map(|(_, c)| c.unwrap_or_default().as_secs_f64()).sum::<f64>()
            / seeds.len() as f64;
        println!(
            "{name}: {n} of {} with evictions; mean {mean:.2} s; {:?}",
            seeds.len(),
            bad.iter().find(|(l, _)| !l.is_empty())
        );
    }
}
