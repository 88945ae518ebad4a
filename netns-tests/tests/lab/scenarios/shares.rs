//! A line that is full: as much of it is payload however many receivers share it.

use crate::asked::asked;
use crate::copy::Copy;
use crate::network::{Lab, content};
use crate::shell::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Receivers, and Mbit/s of the sender's line. `SHARES_RATE` says how much of that in percent the line carries, and
/// `SHARES_MIB` how long the file is; without them it is short and the line a tenth, so that two processors suffice.
/// With `SHARES_WHOLE=1` start and end count as well: of so short a copy they are a large part.
const ROWS: [(usize, u64); 5] = [(1, 1000), (2, 1000), (4, 1000), (8, 500), (16, 250)];
const PERCENT: u64 = 10;
const LEN_MIB: u64 = 32;
/// Part of what the line carries that is to arrive as payload.
const LEAST: f64 = 0.95;
/// Bytes of the stream in a full segment, of those that the line's shaper counts in its frame (docs/wire.md).
const FULL: f64 = 1420.0 / 1514.0;
/// Part of the file that is left out at either end where start and end are not measured.
const EDGE: f64 = 0.1;
/// No copy takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// What a copy had of its line.
struct Shares {
    /// From the command's begin to its end.
    whole: f64,
    /// Between its first tenth and its last.
    middle: f64,
    /// Part of the processors' time that was not idle.
    busy: f64,
}

/// Jiffies of all processors that were idle, and all of them (`proc_stat(5)`).
fn jiffies() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let line = text.lines().next().unwrap();
    // user, nice, system, idle, iowait, irq, softirq, steal: the guests' are among them.
    let all = line.split_whitespace().skip(1).take(8).map(|field| field.parse::<u64>().unwrap());
    let all: Vec<u64> = all.collect();
    (all[3] + all[4], all.iter().sum())
}

/// A folder of a host that lies in memory.
fn in_memory(lab: &Lab, host: usize) -> PathBuf {
    let folder = lab.folder(host);
    run(&format!("mount -t tmpfs tmpfs {}", folder.display()));
    folder
}

/// Bytes that a host has sent, by its port of the switch: reading a file takes next to no time (`proc_pid_net(5)`).
fn sent(host: usize) -> u64 {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap();
    let port = format!("p{host}:");
    let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(&port));
    lines.next().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Copies over a line of so many Mbit/s.
fn share(lab: &Lab, source: &Path, len: u64, rate: u64) -> Shares {
    let args = [&[source.display().to_string()][..], &lab.all()].concat();
    let (begin, before) = (Instant::now(), jiffies());
    let mut seen = Vec::new();
    let done = Copy::start(lab, &args).wait_watched(LIMIT, || {
        seen.push((begin.elapsed().as_secs_f64(), sent(0) as f64));
    });
    let after = jiffies();
    done.assert_ok();
    let (none, all) = (seen[0].1, sent(0) as f64);
    for (_, part) in &mut seen {
        *part = (*part - none) / (all - none);
    }
    let mut middle = seen.iter().filter(|(_, part)| (EDGE..=1.0 - EDGE).contains(part));
    let (first, last) = (middle.next().unwrap(), middle.next_back().unwrap());
    let payload = rate as f64 * 125_000.0 * FULL / len as f64;
    Shares {
        whole: 1.0 / (payload * done.took.as_secs_f64()),
        middle: (last.1 - first.1) / ((last.0 - first.0) * payload),
        busy: 1.0 - (after.0 - before.0) as f64 / (after.1 - before.1) as f64,
    }
}

/// The payload's share, which is the same for one receiver and for sixteen.
pub(super) fn of_a_line_that_is_full() {
    let (percent, len) = (asked("SHARES_RATE", PERCENT), asked("SHARES_MIB", LEN_MIB) * MIB);
    let bytes = content(len);
    let mut least = f64::INFINITY;
    for (receivers, rate) in ROWS {
        let rate = rate * percent / 100;
        let lab = Lab::bridge(receivers);
        let ns = lab.ns(0);
        run(&format!(
            "ip netns exec {ns} tc qdisc add dev eth0 root tbf rate {rate}mbit burst 64k limit 1M"
        ));
        let source = in_memory(&lab, 0).join("file");
        fs::write(&source, &bytes).unwrap();
        (1..=receivers).for_each(|host| drop(in_memory(&lab, host)));
        let daemons = lab.daemons();
        let shares = share(&lab, &source, len, rate);
        eprintln!(
            "shares: {receivers} receivers behind {rate} Mbit/s: {:.3} of the line, start and end included {:.3}; \
             processors {:.0} % busy",
            shares.middle,
            shares.whole,
            shares.busy * 100.0
        );
        drop(daemons);
        (0..=receivers)
            .for_each(|host| drop(run(&format!("umount {}", lab.folder(host).display()))));
        least = least.min(if asked("SHARES_WHOLE", 0) == 1 { shares.whole } else { shares.middle });
    }
    assert!(least >= LEAST, "{least:.3} of a line");
}
