//! One of the equals.
use core::time::Duration;
use sim::{Link, Scenario};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let ms = Duration::from_millis;
    let lan = Link::lan().delay(ms(5)).queue(512 << 10);
    let base =
        Scenario::new(1).receivers(8).bytes(8 << 20).link(lan).horizon(Duration::from_secs(600));
    let s = match &args[1][..] {
        "1" => base.independent_loss(0.01),
        "5" => base.independent_loss(0.05),
        "near" => base.bytes(32 << 20).downlink(3, lan.rate(90_000_000)),
        _ => base,
    };
    println!("{}", s.seed(args[2].parse().unwrap()).run());
}
