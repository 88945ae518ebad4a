//! How long the others take where one is worse.
use core::time::Duration;
use sim::{Link, Loss, Scenario};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let only = args.get(1).cloned().unwrap_or_default();
    let seeds: u64 = args.get(2).map_or(1, |s| s.parse().unwrap());
    let n: usize = args.get(3).map_or(4, |s| s.parse().unwrap());
    let ms = Duration::from_millis;
    let lan = Link::lan().delay(ms(5)).queue(512 << 10);
    let base =
        Scenario::new(1).receivers(n).bytes(64 << 20).link(lan).horizon(Duration::from_secs(600));
    let one = |link: Link| base.clone().downlink(0, link);
    let loss = |p| one(lan.losing(Loss::Random(p)));
    let rows: Vec<(&str, Scenario)> = vec![
        ("normal", base.clone()),
        ("ten", one(lan.rate(10_000_000))),
        ("ten-short", one(lan.rate(10_000_000).queue(32 << 10))),
        ("nine-tenths", one(lan.rate(90_000_000))),
        ("loss1", loss(0.01)),
        ("loss2", loss(0.02)),
        ("loss4", loss(0.04)),
        ("loss5", loss(0.05)),
        ("loss8", loss(0.08)),
        ("reader", base.clone().slow_reader(0, 1_000_000)),
        ("all1", base.clone().independent_loss(0.01)),
        ("all5", base.clone().independent_loss(0.05)),
    ];
    for (name, s) in rows.into_iter().filter(|(name, _)| name.starts_with(&only)) {
        for seed in 1..=seeds {
            let o = s.clone().seed(seed).run();
            let t = |i: usize| o.receivers[i].drained.map_or(-1.0, |d| d.as_secs_f64());
            let others = (1..n).map(t).fold(0.0, f64::max);
            println!(
                "{name:12} seed {seed}: others {others:7.2}  one {:7.2}  group {:.2} uni {:.2}",
                t(0),
                o.sent.group_bytes as f64 / (64 << 20) as f64,
                o.sent.unicast_bytes as f64 / (64 << 20) as f64
            );
            if args.len() > 4 {
                for (i, r) in o.receivers.iter().enumerate().take(args[4].parse().unwrap()) {
                    for t in &r.report.transitions {
                        println!("    {i} {:8.3} {:?} {}", t.at.as_secs_f64(), t.mode, t.why);
                    }
                    println!("    {i} closed {:?}", r.closed);
                }
            }
        }
    }
}
