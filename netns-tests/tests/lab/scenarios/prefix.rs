//! What is read of a file while the group brings it.

use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::{Lab, content};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

/// Some seconds at this rate.
const LEN: u64 = 16 << 20;
const RATE: &str = "70M";
const LIMIT: Duration = Duration::from_secs(60);

/// Two hosts get one file by the group, and at each it is read meanwhile: what is said to be there is what was sent.
pub(super) fn two_hosts_read_what_the_group_brings() {
    let lab = Lab::bridge(2);
    let secret = lab.secret().display().to_string();
    let said = |host: usize| lab.dir.path().join(format!("prefixes{host}"));
    let start = |host| {
        let file = said(host).display().to_string();
        let options = ["--secret-file", &secret, "--prefix-file", &file];
        Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &options)
    };
    let daemons = [start(1), start(2)];
    let (source, sent) = (lab.source(LEN).display().to_string(), content(LEN));
    let args = [vec!["--rate".to_owned(), RATE.to_owned(), source], lab.all()].concat();
    let lines = |host| {
        let text = fs::read_to_string(said(host)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let mut steps = [Vec::new(), Vec::new()];
    let done = Copy::start(&lab, &args).wait_watched(LIMIT, || {
        for host in 1..=2 {
            let Some(line) = lines(host).pop() else { continue };
            let there = line["verified"].as_u64().unwrap();
            if line["state"] != "arriving" || steps[host - 1].last() == Some(&there) {
                continue;
            }
            // It may get its name between the two: the line says so, or will in a moment.
            let place = |key: &str| File::open(PathBuf::from(line[key].as_str().unwrap()));
            let is_complete = || {
                let now = lines(host).pop().unwrap();
                now["try"] == line["try"] && now["state"] == "complete"
            };
            let open = match place("partial") {
                Ok(open) => open,
                Err(_) if is_complete() => place("path").unwrap(),
                Err(_) => continue,
            };
            let mut bytes = vec![0; there as usize];
            open.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == sent[..there as usize], "host {host}: {line}");
            steps[host - 1].push(there);
        }
    });
    done.assert_ok();
    assert_eq!(done.modes(), ["multicast"; 2]);
    for (host, daemon) in (1..).zip(&daemons) {
        let steps = &steps[host - 1];
        assert!(steps.is_sorted() && steps.len() >= 3, "host {host} was read in steps: {steps:?}");
        crate::shell::wait_for("the last is told", LIMIT, || lines(host)[0]["state"] == "complete");
        assert_eq!((lines(host).len(), &lines(host)[0]["verified"]), (1, &LEN.into()));
        assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == sent);
    }
}
