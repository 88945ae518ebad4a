//! Firewalls between a sender and its receivers: what is said of them, and what opens them.

use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content};
use crate::shell::{find, wait_for};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// What is wrong with a host is known within this.
const SOON: Duration = Duration::from_secs(15);

/// How firewalls refuse, and what is said of it: the address of who says so is the host's own.
const REJECTIONS: [(&str, &str); 4] = [
    ("icmp type net-prohibited", "network administratively prohibited"),
    ("icmp type host-prohibited", "host administratively prohibited"),
    ("icmp type admin-prohibited", "communication administratively prohibited"),
    ("icmpv6 type admin-prohibited", "communication administratively prohibited"),
];

/// A host has a firewall; `how` it ends what comes to the daemon's port.
fn wall(lab: &Lab, host: usize, how: &str) {
    lab.firewall(host, "accept");
    lab.firewall_rule(host, &format!("udp dport 8737 {how}"));
}

/// Beside one host without a firewall, four that refuse in a way of their own each, one that says what a closed port
/// says, and one that says nothing.
pub(super) fn each_is_told_as_one_with_what_opens_it() {
    let lab = Lab::bridge(7);
    let daemons = lab.daemons();
    let (plain, quiet) = (6, 7);
    for (at, (how, _)) in REJECTIONS.iter().enumerate() {
        wall(&lab, at + 1, &format!("reject with {how}"));
    }
    wall(&lab, 5, "reject");
    wall(&lab, quiet, "drop");
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(lab.all());
    args[4] = format!("[{}]", lab.v6(4));
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    for (at, (_, said)) in REJECTIONS.iter().enumerate() {
        let by = if at == 3 { lab.v6(4) } else { lab.v4(at + 1) };
        let why =
            format!("a firewall forbids udp port 8737 there ({by} says: {said}): open that port");
        assert_eq!(done.text(at, "reason"), why, "{done:#?}");
    }
    let closed = "port 8737: nobody listens, or a firewall rejects it; start the receiver there";
    assert_eq!(done.text(4, "reason"), closed);
    let silent = done.text(quiet - 1, "reason");
    let begins = format!("no answer from {}, udp port 8737: ", lab.v4(quiet));
    assert!(silent.starts_with(&begins) && silent.contains("a firewall drops it"), "{silent}");
    assert_copied(&daemons[plain - 1]);
    assert!(done.took < SOON, "{:?}", done.took);

    let rules = rules(&done);
    // Nobody else is told how: whether there is a firewall is not known.
    assert_eq!(done.messages.matches("firewall-cmd").count(), 1, "{done:#?}");
    for host in 1..=4 {
        obey(&lab, host, rules);
    }
    args.truncate(5);
    let done = copy(&lab, &args);
    done.assert_ok();
    daemons[..4].iter().for_each(assert_copied);
}

fn assert_copied(daemon: &Daemon) {
    assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
}

/// What nft is to be told, as it is said.
fn rules(done: &Done) -> &str {
    let rules = done.messages.split_once("nft '").and_then(|(_, rest)| rest.split_once('\''));
    rules.unwrap_or_else(|| panic!("{done:#?}")).0
}

/// As whoever looks after that host would, in one argument.
fn obey(lab: &Lab, host: usize, rules: &str) {
    let done = Command::new(find("ip").unwrap())
        .args(["netns", "exec", &lab.ns(host), "nft", rules])
        .output()
        .unwrap();
    assert!(done.status.success(), "{rules}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Who says how long to wait is not told that a firewall forbids it while that may still change.
pub(super) fn one_that_is_opened_meanwhile() {
    let lab = Lab::bridge(2);
    let daemons = lab.daemons();
    wall(&lab, 2, "counter reject with icmp type admin-prohibited");
    let mut args = ["--connect-timeout", "30s"].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(&lab, &args);
    // Without that option three rejections are enough.
    wait_for("four SYNs were rejected", SOON, || {
        let list = format!("ip netns exec {} nft list table inet filter", lab.ns(2));
        !(0..4).any(|count| crate::shell::run(&list).contains(&format!("counter packets {count} ")))
    });
    lab.nft(2, "flush chain inet filter input");
    let done = running.wait();
    done.assert_ok();
    assert!(!done.messages.contains("firewall"), "{done:#?}");
    daemons.iter().for_each(assert_copied);
}

/// A member that is served by unicast dies midway: what the system then says of it meets the next datagram of the
/// socket, whomever that is for.
pub(super) fn a_dead_unicast_member_costs_the_group_nothing() {
    let lab = Lab::bridge(5);
    let mut daemons = lab.daemons();
    lab.deafen(5);
    let mut args = ["--rate", "200M"].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(&lab, &args);
    wait_for("a third has arrived", SOON, || lab.bytes(1).1 > LEN / 3);
    daemons[4].kill();
    let done = running.wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.text(4, "reason").contains("nobody listens"), "{done:#?}");
    daemons[..4].iter().for_each(assert_copied);
    for host in 0..4 {
        assert_eq!(done.text(host, "mode"), "multicast", "{done:#?}");
        assert_eq!(done.hosts[host]["repaired_bytes"], 0, "{done:#?}");
    }
    let group = done.sum("group_bytes_sent") as f64 / LEN as f64;
    assert!(group <= 1.03, "{group} × the file: {done:#?}");
}
