//! Hosts that answer and get no further: a copy says whom it waits for, though nobody asks and there is no terminal.

use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content};
use crate::shell::find;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::Duration;

/// Longer than what is told after fifteen seconds; in microseconds, for strace.
const HELD: u64 = 18_000_000;

/// The copy ends within this: both disks are held at the same time, some threads one after the other.
const LIMIT: Duration = Duration::from_secs(120);

/// What is said of a disk that takes no bytes, and of one that does not make them durable.
const SAID: [&str; 2] =
    ["it answers, but has taken nothing for 15 seconds", "it has all bytes, but has not said"];

pub(super) fn for_disks_that_hang() {
    let lab = Lab::bridge(3);
    let held = |host, calls: &str, from: u32| {
        // What a daemon writes at its first start is not what is held.
        Daemon::start(&lab, host, &lab.folder(host)).terminate();
        let strace = find("strace").unwrap().display().to_string();
        let (trace, inject) =
            (format!("trace={calls}"), format!("inject={calls}:delay_enter={HELD}:when={from}"));
        let by = [&strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        Daemon::start_by(&lab, host, &lab.folder(host), &by)
    };
    let daemons = [
        held(1, "pwrite64", 20), // some blocks later: before the first it says what it holds
        held(2, "fsync,syncfs", 1),
        Daemon::start(&lab, 3, &lab.folder(3)),
    ];
    let mut args = vec!["--no-progress".to_owned(), lab.source(LEN).display().to_string()];
    args.extend(lab.all());
    let copy = Copy::start(&lab, &args);
    let (process, mut asked) = (Pid::from_raw(copy.id()).unwrap(), false);
    let said = || -> String {
        let entries = fs::read_dir(lab.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let messages = entries.filter(|path| path.extension().is_some_and(|end| end == "err"));
        messages.map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let done = copy.wait_watched(LIMIT, || {
        if !asked && SAID.iter().all(|what| said().contains(what)) {
            asked = true;
            kill_process(process, Signal::USR1).unwrap();
        }
    });
    assert_eq!(done.code, Some(0), "{done:#?}");
    let told = |host: usize, what: &str| {
        let begin = format!("mcp: {}: {what}", lab.v4(host));
        done.messages.lines().filter(|line| line.starts_with(&begin)).count()
    };
    assert_eq!((told(1, SAID[0]), told(2, SAID[1]), told(3, "it ")), (1, 1, 0), "{done:#?}");
    // Who asks is told of all of them, and of the copy as a whole.
    assert_eq!(told(2, "has all bytes, and writes them, still for "), 1, "{done:#?}");
    assert_eq!(told(3, "done in "), 1, "{done:#?}");
    let whole = format!("waits for {}, still for ", lab.v4(1));
    assert!(done.messages.contains(&whole), "{done:#?}");
    for daemon in &daemons {
        assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
    }
}
