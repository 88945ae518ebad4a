//! Whoever dies, nothing is left behind.

use crate::copy::{Copy, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content, tree, whole};
use crate::shell::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use sim::seed::Printed;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

/// Receivers know within this that their sender is gone.
const CLEAN: Duration = Duration::from_secs(30);

fn slow(lab: &Lab) -> Vec<String> {
    let source = lab.source(LEN).display().to_string();
    let mut args = vec!["--rate".to_owned(), "100M".to_owned(), source];
    args.extend(lab.all());
    args
}

fn temporary(lab: &Lab, host: usize) -> bool {
    tree(&lab.folder(host)).iter().any(|name| name.contains(".mcp-"))
}

pub(super) fn a_killed_daemon_sweeps_at_its_next_start() {
    let lab = Lab::bridge(1);
    let mut daemon = lab.daemons().remove(0);
    let running = Copy::start(&lab, &slow(&lab));
    wait_for("a part has arrived", CLEAN, || lab.bytes(1).1 > LEN / 8);
    assert!(temporary(&lab, 1));
    daemon.kill();
    assert!(temporary(&lab, 1), "a killed process cannot clean up");
    let daemon = Daemon::start(&lab, 1, &lab.folder(1));
    assert!(whole(&lab.folder(1)).is_empty());
    assert!(temporary(&lab, 1), "what can be gone on with stays");
    assert!(!daemon.log().contains("removed"), "{}", daemon.log());
    running.kill();
    copy(&lab, &[lab.source(LEN).display().to_string(), lab.v4(1)]).assert_ok();
    assert!(!temporary(&lab, 1), "and goes with the next copy");
}

pub(super) fn a_daemon_that_is_told_to_end_says_so() {
    let lab = Lab::bridge(2);
    let mut daemons = lab.daemons();
    let running = Copy::start(&lab, &slow(&lab));
    wait_for("a part has arrived", CLEAN, || lab.bytes(1).1 > LEN / 8);
    let begin = Instant::now();
    assert_eq!(daemons[0].terminate().code(), Some(0), "{}", daemons[0].log());
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(whole(&lab.folder(1)).is_empty());
    let done = running.wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.text(0, "reason").contains("shutting down"), "{done:#?}");
    assert_eq!(done.text(1, "status"), "ok");
}

pub(super) fn an_interrupted_copy() {
    let lab = Lab::bridge(2);
    let daemons = lab.daemons();
    let running = Copy::start(&lab, &slow(&lab));
    wait_for("a part has arrived", CLEAN, || lab.bytes(1).1 > LEN / 8);
    running.signal(Signal::INT);
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done:#?}");
    wait_for("the receivers know", Duration::from_secs(5), || {
        daemons.iter().all(|daemon| daemon.log().contains("interrupted"))
    });
    assert!((1..=2).all(|host| whole(&lab.folder(host)).is_empty()));
}

/// The senders die one after another, the receivers notice in their own time.
pub(super) fn senders_are_killed_at_random_moments() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    // Other moments each time, unless asked for again.
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = sim::seed::asked().unwrap_or_else(|| u64::from(clock().subsec_nanos()));
    let _printed = Printed::new(seed, "cargo test -p netns-tests -- clean::senders_are_killed");
    for moment in moments(seed) {
        let running = Copy::start(&lab, &slow(&lab));
        std::thread::sleep(moment); // a random moment is what is tried
        running.kill();
    }
    let last = Instant::now();
    wait_for("the receivers are clean", CLEAN, || {
        (1..=3).all(|host| whole(&lab.folder(host)).is_empty())
    });
    eprintln!("clean {:?} after the last", last.elapsed());
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(lab.all());
    copy(&lab, &args).assert_ok();
    for daemon in &daemons {
        let file = daemon.root.join(format!("source-{LEN}"));
        assert!(fs::read(file).unwrap() == content(LEN));
        assert_eq!(tree(&daemon.root), [format!("source-{LEN}")], "{}", daemon.log());
    }
}

/// When senders are killed, after their start: twenty moments between that and most of their way.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    let draw = move |n| sim::pick::number(format!("{seed} {n}").as_bytes());
    (0..20).map(move |n| Duration::from_millis(draw(n) % 700))
}

impl Copy {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id()).unwrap(), signal).unwrap();
    }
}
