//! Hosts that answer late, or never: who begins without them, and what those get that come.

use crate::copy::{Copy, Done};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content};
use crate::shell::wait_for;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// For what comes next, on a machine that is busy otherwise.
const SOON: Duration = Duration::from_secs(30);

fn start(lab: &Lab, options: &[&str]) -> Copy {
    let file = lab.source(LEN).display().to_string();
    let args: Vec<String> = options.iter().map(|&option| option.to_owned()).chain([file]).collect();
    Copy::start(lab, &[args, lab.all()].concat())
}

fn bytes(done: &Done, host: usize, field: &str) -> f64 {
    done.hosts[host][field].as_f64().unwrap()
}

fn assert_has(lab: &Lab, host: usize) {
    assert!(fs::read(lab.folder(host).join(format!("source-{LEN}"))).unwrap() == content(LEN));
}

/// Its daemon is started when half has been sent: it is served at once, and follows the group for the rest.
pub(super) fn one_that_is_started_at_half() {
    let lab = Lab::bridge(3);
    let _two = [1, 2].map(|host| Daemon::start(&lab, host, &lab.folder(host)));
    let copy = start(&lab, &["--late-join", "--connect-timeout", "2s", "--rate", "50M"]);
    wait_for("half is sent", SOON, || lab.bytes(1).1 >= LEN / 2);
    let _third = Daemon::start(&lab, 3, &lab.folder(3));
    let done = copy.wait();
    done.assert_ok();
    (1..=3).for_each(|host| assert_has(&lab, host));
    assert!(bytes(&done, 2, "multicast_bytes") >= LEN as f64 / 8.0, "{done:#?}");
}

/// One that never comes is told as one, and holds nobody up for longer than the others take.
pub(super) fn one_that_never_comes() {
    let lab = Lab::bridge(2);
    let _one = Daemon::start(&lab, 1, &lab.folder(1));
    let begin = Instant::now();
    let done = start(&lab, &["--late-join", "--connect-timeout", "1s"]).wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!((done.text(0, "status"), done.text(1, "status")), ("ok", "failed"), "{done:#?}");
    assert!(begin.elapsed() < SOON, "{done:#?}");
    assert_has(&lab, 1);
}

/// Nothing is sent before as many have answered as are wanted.
pub(super) fn as_many_as_are_wanted() {
    let lab = Lab::bridge(3);
    let _one = Daemon::start(&lab, 1, &lab.folder(1));
    let copy = start(&lab, &["--min-hosts", "2", "--connect-timeout", "20s"]);
    sleep(Duration::from_secs(3)); // in which one alone would have got it
    assert!(lab.bytes(1).1 < LEN / 100, "it has begun with one");
    let _two = Daemon::start(&lab, 2, &lab.folder(2));
    let done = copy.wait();
    // The third is not there; when the others have all it has had its time, or not.
    assert_eq!(done.code, Some(3), "{done:#?}");
    (1..=2).for_each(|host| assert_has(&lab, host));
    let done = start(&lab, &["--min-hosts", "3", "--connect-timeout", "2s"]).wait();
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.messages.contains("2 have answered, at least 3 are wanted"), "{done:#?}");
}
