//! One member that is worse than the others.

use super::{Named, SEED, four_apart, ms};
use crate::fault::Fault;
use crate::link::Link;
use crate::loss::Loss;
use crate::scenario::Scenario;
use core::time::Duration;
use tcpxm::config::Slow;

/// When the others have everything, a tenth later than the 5.9 s that they take without the one that is worse.
const OTHERS: Duration = Duration::from_millis(6450);

/// 64 MiB over 100 Mbit/s and 20 ms to four, and one of them is worse.
pub(super) fn all() -> Vec<Named> {
    [seen(), unseen()].concat()
}

/// Its line, its losses or its reading shows.
fn seen() -> Vec<Named> {
    let four = || four_apart().bytes(64 << 20);
    let line = Link::lan().delay(ms(5)).queue(512 << 10);
    let losing = |p| four().downlink(1, line.losing(Loss::Random(p)));
    vec![
        (
            "spoiler-narrow",
            "one of four is behind 10 Mbit/s with a queue of 400 ms",
            soon(narrow(four().downlink(1, line.rate(10_000_000)))),
        ),
        (
            "spoiler-narrow-short",
            "one of four is behind 10 Mbit/s with a queue of 25 ms",
            soon(narrow(four().downlink(1, line.rate(10_000_000).queue(32 << 10)))),
        ),
        ("spoiler-loses-little", "one of four loses 0.2 %", narrow(losing(0.002)).min_share(0.3)),
        ("spoiler-loses-1", "one of four loses 1 %", soon(narrow(losing(0.01)))),
        ("spoiler-loses-2", "one of four loses 2 %", soon(narrow(losing(0.02)))),
        ("spoiler-loses-8", "one of four loses 8 %", soon(narrow(losing(0.08)))),
        (
            "spoiler-reads",
            "one of four reads 1 MB/s",
            soon(narrow(four().slow_reader(1, 1_000_000))),
        ),
        (
            "spoiler-narrow-flooded",
            "one of four is behind 10 Mbit/s of a switch that does not prune, and there are 192 MiB",
            narrow(four().bytes(192 << 20).downlink(1, line.rate(10_000_000)).flooding()),
        ),
        (
            "spoiler-little",
            "one of four is behind 90 Mbit/s",
            four().downlink(1, line.rate(90_000_000)),
        ),
        (
            "spoiler-kept",
            "one of four is behind 10 Mbit/s, and the session keeps it",
            four()
                .downlink(1, line.rate(10_000_000))
                .session(|s| s.slow = Slow::Keep)
                .horizon(ms(200_000)),
        ),
        (
            "spoiler-dropped",
            "one of four is behind 10 Mbit/s, and the session drops who takes less than 20",
            four()
                .downlink(1, line.rate(10_000_000))
                .session(|s| s.slow = Slow::Drop { below: 20_000_000 })
                .dropping(1),
        ),
        (
            "spoiler-borne",
            "one of four is behind 10 Mbit/s, and the session drops who takes less than 5",
            narrow(four().downlink(1, line.rate(10_000_000)))
                .session(|s| s.slow = Slow::Drop { below: 5_000_000 }),
        ),
        (
            "spoiler-recovers",
            "one of four loses 80 of 1000 for the first second of twenty",
            four()
                .bytes(256 << 20)
                .at(ms(0), Fault::Lose(1, 80))
                .at(ms(1500), Fault::Lose(1, 0))
                .min_share(0.6)
                .costing(Duration::from_secs(10)),
        ),
    ]
}

/// The one gets nearly all of it alone, at a tenth of the line, or as its losses let it.
fn narrow(s: Scenario) -> Scenario {
    s.min_share(0.4).costing(Duration::from_secs(60)).horizon(ms(1_200_000))
}

/// The others are not to be held.
fn soon(s: Scenario) -> Scenario {
    s.expect(|e| e.others = Some((1, OTHERS)))
}

/// No loss shows that the sender's line is full: what goes to the slow one alone is to be little all the same.
fn unseen() -> Vec<Named> {
    // The sender's line is the narrow one, and its queue of 800 ms shows that to nobody.
    let deep = |p| {
        let wide = Link::lan().rate(1_000_000_000).queue(4 << 20);
        let s = Scenario::new(SEED).receivers(8).bytes(64 << 20).back(wide).home(wide);
        let s = s.link(wide.rate(40_000_000)).downlink(1, wide);
        let others = (0..8).filter(|i| *i != 1);
        others.fold(s, |s, i| s.downlink(i, wide.losing(Loss::Random(p))))
    };
    vec![
        (
            "spoiler-reads-blocked",
            "one of eight reads 1.4 MB/s; the sender has 40 Mbit/s and waits for its socket, and the others lose 0.1 %",
            narrow(deep(0.001).outbox(200_000).slow_reader(1, 1_400_000)),
        ),
        (
            "spoiler-reads-queued",
            "likewise, with a queue that drops nothing instead, and losses of 0.01 %",
            narrow(deep(0.0001).slow_reader(1, 1_400_000)),
        ),
    ]
}
