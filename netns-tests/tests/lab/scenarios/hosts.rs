//! Hosts that are not as they should be.

use crate::copy::{Copy, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content, tree};
use crate::shell::wait_for;
use std::fs;
use std::time::{Duration, Instant};

/// What is wrong with a host is known within this.
const SOON: Duration = Duration::from_secs(15);

/// An address of the network that nobody has.
const NOBODY: &str = "10.77.0.200";

/// What is said of a host on which nobody listens.
const CLOSED: &str =
    "port 8737: nobody listens, or a firewall rejects it; start the receiver there";

/// A copy to all three of a lab, in which the second has its daemon killed once a third has arrived.
fn copy_and_kill(lab: &Lab, second: &mut Daemon) -> Copy {
    let mut args = ["-v", "--rate", "100M"].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(lab, &args);
    wait_for("a third has arrived", SOON, || lab.bytes(2).1 > LEN / 3);
    second.kill();
    running
}

pub(super) fn one_is_killed_midway() {
    let lab = Lab::bridge(3);
    let mut daemons = lab.daemons();
    let running = copy_and_kill(&lab, &mut daemons[1]);
    let done = running.wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(1, "status"), "failed");
    assert!(done.text(1, "reason").contains("nobody listens"), "{done:#?}");
    assert_eq!(done.summary["retry_hosts"], lab.v4(2));
    // It does not hold up the group until it is given up: its silence takes it off the group before.
    let events = done.hosts[1]["events"].as_array().unwrap();
    let modes: Vec<_> = events.iter().map(|event| event["mode"].as_str().unwrap()).collect();
    assert!(modes.windows(2).any(|two| two == ["multicast", "unicast"]), "{done:#?}");
    for host in [0, 2] {
        assert_eq!(done.text(host, "status"), "ok");
        let file = daemons[host].root.join(format!("source-{LEN}"));
        assert!(fs::read(file).unwrap() == content(LEN));
    }
}

/// What its daemon had is gone with it, but for the keys on its disk.
pub(super) fn one_is_killed_and_started_again() {
    let lab = Lab::bridge(3);
    let mut daemons = lab.daemons();
    let running = copy_and_kill(&lab, &mut daemons[1]);
    daemons[1] = Daemon::start(&lab, 2, &lab.folder(2));
    let begin = Instant::now();
    wait_for("it gets the file again", SOON, || {
        tree(&lab.folder(2)).iter().any(|name| name.contains(".mcp-"))
    });
    assert!(begin.elapsed() < Duration::from_secs(1), "after {:?}", begin.elapsed());
    let done = running.wait();
    done.assert_ok();
    for (host, daemon) in daemons.iter().enumerate() {
        let file = daemon.root.join(format!("source-{LEN}"));
        assert!(fs::read(file).unwrap() == content(LEN));
        assert_eq!(done.hosts[host]["restarts"], u64::from(host == 1), "{done:#?}");
        assert_eq!(tree(&lab.folder(host + 1)).len(), 1, "nothing else is left");
    }
    let told = format!("{}: it was restarted, and goes on with what it has of the file", lab.v4(2));
    assert_eq!(done.messages.matches(&told).count(), 1, "{done:#?}");
}

pub(super) fn nobody_listens_and_nobody_is_there() {
    let lab = Lab::bridge(3);
    let mut daemons = lab.daemons();
    daemons[2].kill();
    let source = lab.source(LEN).display().to_string();
    let args = [source, lab.v4(1), lab.v4(2), lab.v4(3), NOBODY.to_owned()];
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.took < SOON, "{:?}", done.took);
    assert_eq!(done.text(2, "reason"), CLOSED);
    assert!(!done.text(3, "reason").is_empty());
    for host in [0, 1] {
        assert_eq!(done.text(host, "status"), "ok", "{done:#?}");
        // A copy takes a fraction of a second; the start waits a second at most for the others.
        let seconds = done.hosts[host]["seconds"].as_f64().unwrap();
        assert!(seconds < 4.0, "held up for {seconds} seconds");
    }
}

pub(super) fn a_daemon_comes_late() {
    let lab = Lab::bridge(2);
    let early = Daemon::start(&lab, 1, &lab.folder(1));
    let mut args = ["--rate", "100M", "--connect-timeout", "15s"].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(&lab, &args);
    // Three refusals take 750 ms, a third of the file two seconds.
    wait_for("a third has arrived", SOON, || lab.bytes(1).1 > LEN / 3);
    let late = Daemon::start(&lab, 2, &lab.folder(2));
    let done = running.wait();
    assert_eq!(done.code, Some(0), "{done:#?}");
    for daemon in [early, late] {
        assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
    }
}

/// With `--retry` who failed is tried again, and nobody else.
pub(super) fn one_that_comes_back_is_tried_again() {
    let lab = Lab::bridge(2);
    let early = Daemon::start(&lab, 1, &lab.folder(1));
    let mut args = ["--retry", "2", "--connect-timeout", "1s"].map(str::to_owned).to_vec();
    args.push(lab.source(1000).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(&lab, &args);
    wait_for("the first host has it", SOON, || early.log().contains("source-1000: 1000 bytes"));
    // Later than the first try can reach it, and in time for the last, after 2 and 4 seconds.
    std::thread::sleep(Duration::from_millis(1500));
    let late = Daemon::start(&lab, 2, &lab.folder(2));
    let done = running.wait();
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(done.hosts[0]["tries"].is_null(), "{done:#?}");
    assert!(done.hosts[1]["tries"].as_u64().is_some_and(|tries| tries > 1), "{done:#?}");
    for daemon in [&early, &late] {
        assert!(fs::read(daemon.root.join("source-1000")).unwrap() == content(1000));
        assert_eq!(daemon.log().matches("source-1000: 1000 bytes").count(), 1, "{}", daemon.log());
    }
}

pub(super) fn all_are_bad() {
    let lab = Lab::bridge(1);
    let source = lab.source(1).display().to_string();
    let done = copy(&lab, &[source, lab.v4(1), NOBODY.to_owned(), "no-such.invalid".to_owned()]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.took < SOON, "{:?}", done.took);
    assert!(done.hosts.iter().all(|host| host["status"] == "failed" && !host["reason"].is_null()));
    assert_eq!(done.summary["status"], "failed");
}

pub(super) fn a_name_that_does_not_resolve() {
    let lab = Lab::bridge(1);
    let _daemons = lab.daemons();
    let source = lab.source(1).display().to_string();
    let done = copy(&lab, &[source, "no-such.invalid".to_owned(), lab.v4(1)]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.text(0, "reason").contains("its name"), "{done:#?}");
    assert_eq!(done.text(1, "status"), "ok");
    assert_eq!(done.summary["retry_hosts"], "no-such.invalid");
}
