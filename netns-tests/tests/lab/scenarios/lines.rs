//! Over lines that are slow, long and faulty.

use crate::copy::copy;
use crate::network::Lab;

const MIB: u64 = 1 << 20;

/// Every fault at once, to each receiver another amount.
pub(crate) fn faults_of_every_kind() {
    let lines = [
        "rate=200M,delay=2ms,queue=500K",
        "down:jitter=1ms,reorder=1%/3ms,duplicate=1%,loss=0.5%",
        "2.down:burst=0.1%/20%",
        "3.up:loss=2%",
    ];
    for congestion in ["cubic", "bbr"] {
        let mut lab = Lab::lines(3, &lines);
        let _daemons = lab.daemons();
        let source = lab.source(16 * MIB);
        let mut args = vec!["--congestion".to_owned(), congestion.to_owned()];
        args.push(source.display().to_string());
        args.extend(lab.all());
        copy(&lab, &args).assert_ok();
        let counters = lab.counters();
        let count = |port: usize, way: &str, what: &str| {
            counters["ports"][port][way][what].as_u64().unwrap()
        };
        for port in 1..4 {
            let (frames, twice) =
                (count(port, "down", "frames"), count(port, "down", "duplicated"));
            assert!(frames > 11_000, "{counters}");
            let share = twice as f64 / frames as f64;
            assert!((0.005..0.015).contains(&share), "{share} duplicated: {counters}");
            assert!(count(port, "down", "lost") > 20, "{counters}");
        }
    }
}

/// A slow line is filled, its queue keeps what it can, and what it drops is repaired.
pub(crate) fn a_short_queue() {
    let mut lab = Lab::lines(2, &["delay=5ms", "0.up:rate=50M,queue=30K"]);
    let _daemons = lab.daemons();
    let source = lab.source(16 * MIB);
    let mut args = vec![source.display().to_string()];
    args.extend(lab.all());
    let done = copy(&lab, &args);
    done.assert_ok();
    assert_eq!(done.modes(), ["multicast"; 2], "losses that all share are nobody's own");
    let counters = lab.counters();
    let up = &counters["ports"][0]["up"];
    assert!(up["queue_dropped"].as_u64() > Some(0), "{counters}");
    assert!(up["bytes"].as_u64() < Some(24 * MIB), "no more than a third again: {counters}");
}

/// A queue that marks long before it is full drops nothing: the window heeds the marks.
pub(crate) fn a_queue_that_marks() {
    let mut lab = Lab::lines(2, &["delay=5ms", "0.up:rate=50M,queue=400K,mark=60K"]);
    let _daemons = lab.daemons();
    let source = lab.source(16 * MIB);
    let mut args = vec![source.display().to_string()];
    args.extend(lab.all());
    copy(&lab, &args).assert_ok();
    let counters = lab.counters();
    let up = &counters["ports"][0]["up"];
    assert!(up["marked"].as_u64() > Some(0), "{counters}");
    assert_eq!(up["queue_dropped"].as_u64(), Some(0), "{counters}");
}

/// Long packets vanish before one receiver, as behind some tunnels: it is found out, and no
/// datagram but a few probes is lost to that.
pub(crate) fn a_narrow_way_to_one() {
    let mut lab = Lab::lines(2, &["rate=200M,delay=2ms", "1.down:mtu=1400"]);
    let _daemons = lab.daemons();
    let source = lab.source(16 * MIB);
    let mut args = vec![source.display().to_string()];
    args.extend(lab.all());
    let done = copy(&lab, &args);
    done.assert_ok();
    assert_eq!(done.modes(), ["multicast"; 2]);
    let counters = lab.counters();
    let too_long = counters["ports"][1]["down"]["too_long"].as_u64().unwrap();
    assert!((1..100).contains(&too_long), "{counters}");
}
