//! Over lines that are slow, long and faulty.

use crate::copy::{Done, copy};
use crate::emulator;
use crate::network::Lab;
use serde_json::Value;
use sim::seed::Printed;

const MIB: u64 = 1 << 20;

/// Copies 16 MiB to each receiver over such lines, with these options; what the copy said, and the
/// emulator's counters.
fn over(receivers: usize, lines: &[&str], options: &[&str]) -> (Done, Value) {
    let seed = emulator::seed();
    let _printed = Printed::new(seed, "cargo test -p netns-tests -- lines");
    let mut lab = Lab::lines(receivers, lines);
    let _daemons = lab.daemons();
    let source = lab.source(16 * MIB);
    let mut args: Vec<String> = options.iter().map(|&word| word.to_owned()).collect();
    args.push(source.display().to_string());
    args.extend(lab.all());
    let done = copy(&lab, &args);
    done.assert_ok();
    (done, lab.counters())
}

/// A counter of a port's line, `up` to the switch or `down` from it.
fn count(counters: &Value, port: usize, way: &str, what: &str) -> u64 {
    counters["ports"][port][way][what].as_u64().unwrap()
}

/// Every fault at once, to each receiver another amount.
pub(crate) fn faults_of_every_kind() {
    let lines = [
        "rate=200M,delay=2ms,queue=500K",
        "down:jitter=1ms,reorder=1%/3ms,duplicate=1%,loss=0.5%",
        "2.down:burst=0.4%/50%",
        "3.up:loss=2%",
    ];
    for congestion in ["cubic", "bbr"] {
        let (_, counters) = over(3, &lines, &["--congestion", congestion]);
        for port in 1..4 {
            let frames = count(&counters, port, "down", "frames");
            let twice = count(&counters, port, "down", "duplicated");
            // 16 MiB in segments of 1420 bytes: whichever way they come, each passes once
            assert!(frames > 11_000, "{counters}");
            // Duplicated with p = 0.01 each: below 0.4 % or above 1.8 % of n = 11,000 with at most
            // exp(−n KL(0.004 ‖ 0.01)) + exp(−n KL(0.018 ‖ 0.01)) < 10⁻¹⁰ (Chernoff).
            let share = twice as f64 / frames as f64;
            assert!((0.004..0.018).contains(&share), "{share} duplicated: {counters}");
            // 10 or fewer of n = 11,000 lost at 0.5 %: the sum of the binomial's first terms is
            // less than 10⁻¹¹. In bursts, a chain that enters with 0.004 and leaves with 0.5: the
            // sum over its states, step by step, is less than 10⁻¹¹.
            assert!(count(&counters, port, "down", "lost") > 10, "{counters}");
        }
    }
}

/// A slow line is filled, its queue keeps what it can, and what it drops is repaired.
pub(crate) fn a_short_queue() {
    let (done, counters) = over(2, &["delay=5ms", "0.up:rate=50M,queue=30K"], &[]);
    assert_eq!(done.modes(), ["multicast"; 2], "losses that all share are nobody's own");
    assert!(count(&counters, 0, "up", "queue_dropped") > 0, "{counters}");
    let bytes = count(&counters, 0, "up", "bytes");
    assert!(bytes < 24 * MIB, "no more than a third again: {counters}");
}

/// A queue that marks long before it is full drops nothing: the window heeds the marks.
pub(crate) fn a_queue_that_marks() {
    let (_, counters) = over(2, &["delay=5ms", "0.up:rate=50M,queue=400K,mark=60K"], &[]);
    assert!(count(&counters, 0, "up", "marked") > 0, "{counters}");
    assert_eq!(count(&counters, 0, "up", "queue_dropped"), 0, "{counters}");
}

/// Long packets vanish before one receiver, as behind some tunnels: it is found out, and but for a
/// few probes no datagram is lost to that.
pub(crate) fn a_narrow_way_to_one() {
    let (done, counters) = over(2, &["rate=200M,delay=2ms", "1.down:mtu=1400"], &[]);
    assert_eq!(done.modes(), ["multicast"; 2]);
    let too_long = count(&counters, 1, "down", "too_long");
    assert!((1..100).contains(&too_long), "{counters}");
}
