//! One receiver that is slower than the others: they finish as if it were not there, and it finishes after them, or as the
//! options say.

use crate::asked::asked;
use crate::copy::{Copy, Done};
use crate::daemon::Daemon;
use crate::network::Lab;
use crate::shell::{find, run, wait_for};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Receivers, of which the last one is slow.
const RECEIVERS: usize = 8;
/// Length of the file in MiB, unless `SPOILERS_MIB` says another.
const LEN_MIB: u64 = 32;
/// What the lines carry in Mbit/s, unless `SPOILERS_RATE` says another, and a narrow one of them, at most a quarter.
const RATE: u64 = 40;
const NARROW: u64 = 10;
/// Of its packets the slow one loses this many in a hundred, unless `SPOILERS_LOSS` says another number.
const LOSS: u64 = 1;
/// Of the time that the others take without the slow one they take with it at most so much, unless `SPOILERS_MOST`
/// says another: 1.1 by release programs with the processors to themselves. If they waited for it, it would be 4.
const MOST: f64 = 1.5;
/// Of the time that what the slow one lacks takes on its line alone, it takes at most so much after the group, …
const AFTER: f64 = 1.1;
/// … and for finding out that it is slow and for leaving the group.
const LEAVES: Duration = Duration::from_secs(4);
/// Part of a full line that a full segment's payload takes, with what Ethernet adds to a frame (docs/wire.md).
const FULL: f64 = 1400.0 / 1538.0;
/// A switch forwards everything until its querier has been heard for so long.
const SETTLE: Duration = Duration::from_secs(13);
/// No copy takes longer.
const LIMIT: Duration = Duration::from_secs(600);

/// Mbit/s of the lines, and of a narrow one.
fn rates() -> (u64, u64) {
    let rate = asked("SPOILERS_RATE", RATE);
    (rate, (rate / 10).max(NARROW))
}

/// A copy to these hosts.
fn copy_to(lab: &Lab, hosts: &[String]) -> Done {
    let len = asked("SPOILERS_MIB", LEN_MIB) * MIB;
    let args = [&[lab.source(len).display().to_string()], hosts].concat();
    let done = Copy::start(lab, &args).wait_watched(LIMIT, || {});
    done.assert_ok();
    done
}

/// Seconds from a copy's begin until each of its hosts was done.
fn seconds(done: &Done) -> Vec<f64> {
    done.hosts.iter().map(|host| host["seconds"].as_f64().unwrap()).collect()
}

fn latest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(0.0, f64::max)
}

/// Prints how each host's data travelled.
fn tell(which: &str, done: &Done) {
    for host in &done.hosts {
        eprintln!(
            "{which}: {} {} s, {} bytes by unicast, {}",
            host["host"], host["seconds"], host["unicast_bytes"], host["mode_reason"],
        );
    }
}

/// Copies to all but the last host, and then to all; the others must not take longer by more than [`MOST`] says, and
/// the last one, which takes so many bytes a second when it is alone, only as long as what it lacks takes.
fn compare(name: &str, lab: &Lab, alone: Option<f64>) {
    let hosts = lab.all();
    let equals = copy_to(lab, &hosts[..RECEIVERS - 1]);
    let without = latest(&seconds(&equals));
    tell("without it", &equals);
    let done = copy_to(lab, &hosts);
    tell("with it", &done);
    let with = seconds(&done);
    let (group, last) = (latest(&with[..RECEIVERS - 1]), with[RECEIVERS - 1]);
    let slow = &done.hosts[RECEIVERS - 1];
    let lacked = slow["unicast_bytes"].as_f64().unwrap();
    eprintln!(
        "spoilers::{name}: the others take {group:.2} s, without it {without:.2} s: {:.3}; the slow one {last:.2} s, \
         {lacked} bytes by unicast, {}",
        group / without,
        slow["mode_reason"],
    );
    let most = asked("SPOILERS_MOST", MOST);
    assert!(group <= most * without, "{group} s, and {without} s without it: {done:#?}");
    if let Some(alone) = alone {
        let after = AFTER * lacked / alone + LEAVES.as_secs_f64();
        assert!(last <= group + after, "{last} s, the others {group} s: {done:#?}");
    }
}

/// A switch's port to this host carries so many Mbit/s, with so many bytes of queue.
fn narrow_port(host: usize, rate: u64, queue: u64) {
    let limit = 64_000 + queue;
    run(&format!("tc qdisc add dev p{host} root tbf rate {rate}mbit burst 64k limit {limit}"));
}

/// The sender's line carries so many Mbit/s.
fn narrow_sender(lab: &Lab, rate: u64) {
    let ns = lab.ns(0);
    run(&format!(
        "ip netns exec {ns} tc qdisc add dev eth0 root tbf rate {rate}mbit burst 64k limit 1M"
    ));
}

/// Its port of a switch that prunes is narrow: the rest of the group must not arrive there any more.
pub(super) fn behind_a_narrow_line() {
    let lab = Lab::snooping(RECEIVERS, true);
    let (rate, narrow) = rates();
    for host in 0..=RECEIVERS {
        let rate = if host == RECEIVERS { narrow } else { rate };
        // 20 ms of queue at the least rate; a bucket of some frames, which the kernel may have joined to one.
        let queue = rate * 125_000 / 50;
        narrow_port(host, rate, queue);
    }
    narrow_sender(&lab, rate);
    let _daemons = lab.daemons();
    let up = Instant::now();
    wait_for("the querier has settled", SETTLE * 2, || up.elapsed() >= SETTLE);
    compare("behind_a_narrow_line", &lab, Some(narrow as f64 * 125_000.0 * FULL));
}

/// It loses packets that the others have.
pub(super) fn that_loses() {
    let (rate, _) = rates();
    let percent = asked("SPOILERS_LOSS", LOSS);
    let all = format!("delay=5ms,rate={rate}M,queue={}", rate * 2_500);
    let lossy = format!("{RECEIVERS}.down:loss={percent}%");
    let mut lab = Lab::lines(RECEIVERS, &[all, lossy]);
    let _daemons = lab.daemons();
    compare(&format!("that_loses {percent} %"), &lab, None);
    lab.counters();
}

/// Its disk takes about 1 MB a second: each write of a block of 256 KiB waits for a quarter of one.
pub(super) fn whose_disk_is_slow() {
    let lab = Lab::bridge(RECEIVERS);
    let (rate, _) = rates();
    narrow_sender(&lab, rate);
    let _daemons: Vec<_> =
        (1..RECEIVERS).map(|host| Daemon::start(&lab, host, &lab.folder(host))).collect();
    let folder = lab.folder(RECEIVERS);
    Daemon::start(&lab, RECEIVERS, &folder).terminate();
    let strace = find("strace").unwrap().display().to_string();
    let by = [
        &strace[..],
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pwrite64",
        "-e",
        "inject=pwrite64:delay_enter=250000",
    ];
    let _slow = Daemon::start_by(&lab, RECEIVERS, &folder, &by);
    compare("whose_disk_is_slow", &lab, None);
}

/// A copy of so many MiB with these options to three, of which the last one is behind a line of a quarter.
fn asking(mib: u64, options: &[&str]) -> (Lab, Done) {
    let lab = Lab::bridge(3);
    narrow_port(3, NARROW, NARROW * 125_000 / 50);
    narrow_sender(&lab, RATE);
    let _daemons = lab.daemons();
    let options = options.iter().map(|&option| option.to_owned());
    let args: Vec<String> = options.chain([lab.source(mib * MIB).display().to_string()]).collect();
    let done = Copy::start(&lab, &[args, lab.all()].concat()).wait();
    tell("it", &done);
    (lab, done)
}

/// Who takes less than the limit is dropped, and the others finish as if it were not there.
pub(super) fn who_is_dropped() {
    let (_lab, done) = asking(16, &["--slow", "drop", "--slow-limit", "20M"]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    for host in [0, 1] {
        assert_eq!(done.text(host, "status"), "ok", "{done:#?}");
    }
    let why = done.text(2, "reason");
    assert!(why.starts_with("dropped: "), "{why}");
    assert!(why.ends_with(" Mbit/s, less than --slow-limit 20.0 Mbit/s"), "{why}");
    let (all, narrow) = (latest(&seconds(&done)), 16.0 * 8.0 * 1.048_576 / NARROW as f64);
    assert!(all < narrow * 0.75, "{all} s, at its pace {narrow} s: {done:#?}");
}

/// All go at the pace of the slowest one: nobody leaves the group, and nothing goes twice.
pub(super) fn who_is_kept() {
    let (_lab, done) = asking(6, &["--slow", "keep", "-v"]);
    done.assert_ok();
    for host in 0..3 {
        assert_eq!(done.text(host, "mode"), "multicast", "{done:#?}");
    }
    let left = done.hosts[2]["events"].as_array().unwrap().iter();
    let left = left.filter(|event| event["reason"].as_str().unwrap().contains("was slow"));
    assert_eq!(left.count(), 0, "{done:#?}");
}
