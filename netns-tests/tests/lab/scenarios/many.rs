//! Many sessions at a time through one port.

use crate::copy::Copy;
use crate::daemon::Daemon;
use crate::network::{Lab, content};
use crate::programs;
use crate::shell::{find, run, wait_for};
use std::fs;
use std::io::{PipeWriter, Write, pipe};
use std::process::Command;
use std::time::Duration;

/// Whom all of them are sent to: to one alone there would be no group.
const RECEIVERS: [usize; 2] = [1, 2];
/// Sessions at a time, half of them from each of two senders.
const SESSIONS: usize = 40;
/// Senders at a time to one source-specific group, of which a socket enters ten (`net.ipv4.igmp_max_msf`).
const SENDERS: usize = 25;
/// Bytes of each.
const EACH: usize = 1 << 20;
/// All have joined within this, on a machine that is busy otherwise.
const SOON: Duration = Duration::from_secs(60);
/// Seconds after which a daemon that ought to be refused is ended.
const REFUSED_WITHIN: &str = "20";

/// A stream that lasts until it is given its bytes: so all are there at the same time.
type Held = (Copy, PipeWriter);

/// So many, from each of these hosts in turn.
fn begin(lab: &Lab, (count, from): (usize, &[usize]), options: &[&str]) -> Vec<Held> {
    let one = |number: usize| {
        let (output, input) = pipe().unwrap();
        let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        args.push("-".to_owned());
        args.extend(RECEIVERS.map(|host| format!("{}:in/{number}", lab.v4(host))));
        (Copy::start_fed_at(lab, from[number % from.len()], &args, output.into()), input)
    };
    (0..count).map(one).collect()
}

/// Of each stream others.
fn bytes(number: usize) -> Vec<u8> {
    content((EACH + 8 * number) as u64).split_off(8 * number)
}

/// Each is given its bytes, which arrive at all receivers, by the group, or it is said why not.
fn finish(daemons: &[Daemon], held: Vec<Held>) {
    let fed: Vec<Copy> = (0..)
        .zip(held)
        .map(|(number, (copy, mut input))| {
            // If it has ended before, it says why.
            let _ = input.write_all(&bytes(number));
            copy
        })
        .collect();
    let all = fed.len() * RECEIVERS.len();
    let mut by_group = 0;
    for (number, copy) in fed.into_iter().enumerate() {
        let done = copy.wait();
        done.assert_ok();
        for (at, daemon) in daemons.iter().enumerate() {
            let is_on = done.text(at, "mode") == "multicast";
            assert!(is_on || !done.text(at, "mode_reason").is_empty(), "{number}: {done:#?}");
            by_group += usize::from(is_on);
            let file = daemon.root.join(format!("in/{number}"));
            assert!(fs::read(&file).unwrap() == bytes(number), "{}", file.display());
        }
    }
    eprintln!("{by_group} of {all} on the group at their ends");
    assert!(by_group * 4 >= all * 3, "{by_group} of {all} on the group at their ends");
}

fn daemons(lab: &Lab) -> [Daemon; 2] {
    let secret = lab.secret().display().to_string();
    let options = ["--secret-file", &secret, "-v"];
    RECEIVERS.map(|host| Daemon::start_trusting(lab, host, &lab.folder(host), &[], &options))
}

/// Source-specific groups that a host is in.
fn groups(lab: &Lab, host: usize) -> usize {
    let all = run(&format!("ip -n {} -4 maddr show dev eth0", lab.ns(host)));
    all.lines().filter(|line| line.split_whitespace().any(|word| word.starts_with("232."))).count()
}

/// Sources that a host hears in this group.
fn sources(lab: &Lab, host: usize, group: [u8; 4]) -> usize {
    let all = run(&format!("ip netns exec {} cat /proc/net/mcfilter", lab.ns(host)));
    let group = format!("{:#010x}", u32::from_be_bytes(group));
    all.lines().filter(|line| line.split_whitespace().any(|word| word == group)).count()
}

/// The daemon's port is its own, also while groups are joined on it.
fn refuses_a_second(lab: &Lab, host: usize) {
    let output = Command::new(find("ip").unwrap())
        .args(["netns", "exec", &lab.ns(host), "timeout", REFUSED_WITHIN])
        .arg(programs::path("mcpd"))
        .arg("--secret-file")
        .arg(lab.secret())
        .arg("--state-dir")
        .arg(lab.dir.path().join("second-state"))
        .arg("--root")
        .arg(lab.folder(100))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on") && said.contains("already in use"), "{said}");
}

pub(super) fn forty_sessions_with_their_own_groups() {
    let lab = Lab::bridge(3);
    let daemons = daemons(&lab);
    let held = begin(&lab, (SESSIONS, &[0, 3]), &[]);
    for host in RECEIVERS {
        wait_for("all groups are joined", SOON, || groups(&lab, host) == SESSIONS);
    }
    refuses_a_second(&lab, RECEIVERS[0]);
    finish(&daemons, held);
    for host in RECEIVERS {
        wait_for("all groups are left", SOON, || groups(&lab, host) == 0);
    }
}

pub(super) fn forty_sessions_on_one_group() {
    let lab = Lab::bridge(3);
    let daemons = daemons(&lab);
    let held = begin(&lab, (SESSIONS, &[0, 3]), &["--group", "239.255.77.40"]);
    for daemon in &daemons {
        let joined = || daemon.log().matches("joined group=239.255.77.40").count();
        wait_for("all have joined the group", SOON, || joined() == SESSIONS);
    }
    finish(&daemons, held);
}

pub(super) fn twenty_five_senders_to_one_group() {
    const GROUP: [u8; 4] = [232, 7, 7, 7];
    let lab = Lab::bridge(SENDERS + 1);
    let daemons = daemons(&lab);
    let from: Vec<usize> = std::iter::once(0).chain(3..SENDERS + 2).collect();
    let group = GROUP.map(|byte| byte.to_string()).join(".");
    let held = begin(&lab, (SENDERS, &from), &["--group", &group]);
    for host in RECEIVERS {
        wait_for("all sources are heard", SOON, || sources(&lab, host, GROUP) == SENDERS);
    }
    finish(&daemons, held);
}
