//! Beside the kernel's TCP on the same lines, and beside what copies trees: no test, since what it says depends on
//! the machine; figures to read, each with its ratio from one run.
//!
//! `cargo test --release -p netns-tests --test lab -- --rivals`, or with one of them only, such as
//! `--rivals=fairness`.

mod dead_member;
mod trees;

pub(crate) use trees::play;

use crate::copy::Copy;
use crate::network::Lab;
use crate::tcp::Flow;
use std::time::{Duration, Instant};

/// The word that asks for this.
const ASKED: &str = "--rivals";

/// A path of 20 ms and 100 Mbit/s, with a queue of one product of the two.
const LONG: &str = "delay=5ms,rate=100M,queue=250K";
/// Each flow lasts so long.
const LASTS: Duration = Duration::from_secs(15);
/// A fair share shows after so long.
const FAIR: Duration = Duration::from_secs(60);

/// Part of a full line, with what Ethernet adds to a frame, that a full segment's payload takes.
const FULL: f64 = 1420.0 / 1538.0;
/// Bytes of a full frame of the kernel's TCP for one of its payload: 1448 with time stamps.
const TCP_FRAME: f64 = 1514.0 / 1448.0;

/// Whether this is asked for; then which, empty for all.
pub(crate) fn asked() -> Option<String> {
    std::env::args().find_map(|word| {
        let rest = word.strip_prefix(ASKED)?;
        Some(rest.trim_start_matches('=').to_owned())
    })
}

/// Runs those whose name contains `only`, one after the other.
pub(crate) fn run(only: &str) {
    let all: [(&str, fn()); 9] = [
        ("losses", one_receiver),
        ("satellite", satellite),
        ("fairness", fairness),
        ("sessions", two_sessions),
        ("dead-member", dead_member::compare),
        ("trees-small", trees::small),
        ("trees-share", trees::share),
        ("trees-tar", trees::share_by_tar),
        ("trees-line", trees::share_over_a_line),
    ];
    assert!(all.iter().any(|(name, _)| name.contains(only)), "none of them is called {only}");
    for (_, compare) in all.iter().filter(|(name, _)| name.contains(only)) {
        compare();
    }
}

fn mbit(bytes_per_second: f64) -> f64 {
    bytes_per_second * 8e-6
}

/// Bytes per second of a copy of so many bytes to all receivers, to the slowest one's end.
fn copy_rate(lab: &Lab, congestion: &str, len: u64) -> f64 {
    let source = lab.source(len);
    let mut args = vec!["--congestion".to_owned(), congestion.to_owned()];
    args.push(source.display().to_string());
    args.extend(lab.all());
    let done = Copy::start(lab, &args).wait();
    done.assert_ok();
    len as f64 / done.took.as_secs_f64()
}

fn one_receiver() {
    println!("100 Mbit/s, 20 ms, one receiver; Mbit/s of payload, and over the kernel's CUBIC:");
    println!(
        "{:<8}{:>14}{:>12}{:>14}{:>12}",
        "loss", "kernel cubic", "kernel bbr", "mcp cubic", "mcp bbr"
    );
    for loss in ["0%", "0.1%", "1%"] {
        let lines = [LONG.to_owned(), format!("1.down:loss={loss}")];
        let tcp = |algorithm: &str| {
            let mut lab = Lab::lines(1, &lines);
            let rate = Flow::start(&lab, 1, algorithm, LASTS).rate();
            lab.counters();
            rate
        };
        let (cubic, bbr) = (tcp("cubic"), tcp("bbr"));
        let ours = |congestion: &str, beside: f64| {
            let mut lab = Lab::lines(1, &lines);
            let _daemons = lab.daemons();
            // As much as the kernel's has brought, so that the two last equally long.
            #[expect(clippy::cast_sign_loss, reason = "a rate is not negative")]
            let len = (beside * LASTS.as_secs_f64()) as u64;
            let rate = copy_rate(&lab, congestion, len);
            lab.counters();
            rate
        };
        let (own_cubic, own_bbr) = (ours("cubic", cubic), ours("bbr", bbr));
        println!(
            "{loss:<8}{:>14.1}{:>6.1} {:>4.2}x{:>8.1} {:>4.2}x{:>6.1} {:>4.2}x",
            mbit(cubic),
            mbit(bbr),
            bbr / cubic,
            mbit(own_cubic),
            own_cubic / cubic,
            mbit(own_bbr),
            own_bbr / cubic,
        );
    }
}

/// As MTM had it (`MTM` seed): 560 ms, 10 Mbit/s out, 64 kbit/s back from each, 12 receivers.
fn satellite() {
    let lines = ["delay=140ms", "0.up:rate=10M,queue=700K", "up:queue=64K", "0.up:queue=700K"];
    let mut all: Vec<String> = lines.map(str::to_owned).into();
    all.extend((1..=12).map(|port| format!("{port}.up:rate=64k")));
    for congestion in ["cubic", "bbr"] {
        let mut lab = Lab::lines(12, &all);
        let _daemons = lab.daemons();
        let len = 64 << 20;
        let rate = copy_rate(&lab, congestion, len);
        let share = mbit(rate) / (10.0 * FULL);
        println!(
            "satellite, 12 receivers, 10 Mbit/s out, 64 kbit/s back, 560 ms, {congestion}: {:.2} Mbit/s, {:.0} % of the line's payload, from the first SYN to the last verdict of {len} bytes",
            mbit(rate),
            share * 100.0,
        );
        println!("{}", lab.counters()["unasked"]);
        assert!(share >= 0.8, "80 % are to be reached");
    }
}

/// One bottleneck of 50 Mbit/s and 20 ms, shared with a flow of the kernel's.
fn fairness() {
    println!("50 Mbit/s, 20 ms, shared for {FAIR:?}; the session's part of a fair share:");
    for receivers in [1, 8] {
        for (congestion, rival) in [
            ("cubic", "cubic"),
            ("cubic", "reno"),
            ("cubic", "bbr"),
            ("bbr", "cubic"),
            ("bbr", "bbr"),
        ] {
            let mut lab = Lab::lines(receivers + 1, &["delay=5ms", "0.up:rate=50M,queue=125K"]);
            let _daemons = lab.daemons();
            let source = lab.source(600 << 20);
            let mut args = vec!["--congestion".to_owned(), congestion.to_owned()];
            args.push(source.display().to_string());
            args.extend((1..=receivers).map(|host| lab.v4(host)));
            let copy = Copy::start(&lab, &args);
            let flow = Flow::start(&lab, receivers + 1, rival, FAIR);
            let (begin, before) = (Instant::now(), lab.bytes(1).1);
            let theirs = flow.rate();
            let ours = (lab.bytes(1).1 - before) as f64 / begin.elapsed().as_secs_f64();
            copy.kill();
            let theirs = theirs * TCP_FRAME; // both as frames
            let share = 2.0 * ours / (ours + theirs);
            println!(
                "{receivers} receivers, {congestion} beside the kernel's {rival}: {:.1} and {:.1} Mbit/s, {share:.2} of a fair share",
                mbit(ours),
                mbit(theirs),
            );
            lab.counters();
            let bounded = congestion == "cubic" && rival != "bbr";
            assert!(!bounded || (0.5..=1.5).contains(&share), "{share:.2} is no fair share");
        }
    }
}

/// Two sessions of our own over one bottleneck of 50 Mbit/s and 20 ms: both copy as much; what the
/// later one had when the earlier was done follows from how long it took for the rest, alone.
fn two_sessions() {
    println!("50 Mbit/s, 20 ms, two sessions of {FAIR:?} each; the first's part of a fair share:");
    for (receivers, congestion) in [(1, "cubic"), (8, "cubic"), (1, "bbr"), (8, "bbr")] {
        let mut lab = Lab::lines(2 * receivers, &["delay=5ms", "0.up:rate=50M,queue=125K"]);
        let _daemons = lab.daemons();
        let capacity = 50e6 / 8.0 * FULL;
        #[expect(clippy::cast_sign_loss, reason = "all of it is positive")]
        let len = (capacity / 2.0 * FAIR.as_secs_f64()) as u64;
        let source = lab.source(len);
        let sessions = [1..=receivers, receivers + 1..=2 * receivers].map(|hosts| {
            let mut args = vec!["--congestion".to_owned(), congestion.to_owned()];
            args.push(source.display().to_string());
            args.extend(hosts.map(|host| lab.v4(host)));
            Copy::start(&lab, &args)
        });
        let took = sessions.map(|session| {
            let done = session.wait();
            done.assert_ok();
            done.summary["seconds"].as_f64().unwrap() // not until somebody waited for it
        });
        let [first, last] = if took[0] < took[1] { took } else { [took[1], took[0]] };
        let theirs = len as f64 - capacity * (last - first);
        let share = 2.0 * len as f64 / (len as f64 + theirs);
        println!(
            "{receivers} receivers each, {congestion}: {first:.1} s and {last:.1} s, {share:.2} and {:.2} of a fair share",
            2.0 - share,
        );
        lab.counters();
        assert!((0.7..=1.3).contains(&share), "{share:.2} is no fair share");
    }
}
