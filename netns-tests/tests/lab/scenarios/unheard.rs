//! One of three hosts joins the group and hears nothing of it: it has the file by unicast, and what its host has counted
//! says why.

use crate::copy::{Done, copy};
use crate::daemon::Daemon;
use crate::network::{Lab, content};
use crate::shell::run;
use std::fs;

/// The one.
const DEAF: usize = 2;
/// Bytes of the file.
const LEN: u64 = 32 << 20;
/// It takes almost three seconds by the group: who hears nothing is asked within one.
const RATE: &str = "100M";
/// Where its second interface is reached.
const OTHER: &str = "10.79.0.3";

/// Copies to all three, whatever they hold.
fn copies(lab: &Lab, daemons: &[Daemon], hosts: &[String]) -> Done {
    let mut args = ["-I", "--rate", RATE].map(str::to_owned).to_vec();
    args.push(lab.source(LEN).display().to_string());
    args.extend_from_slice(hosts);
    let done = copy(lab, &args);
    done.assert_ok();
    for daemon in daemons {
        assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
    }
    done
}

/// What is said of that one; the others are on the group.
fn why(done: &Done) -> &str {
    assert_eq!(done.modes(), ["multicast", "unicast", "multicast"], "{done:#?}");
    assert_eq!(done.hosts[DEAF - 1]["multicast_bytes"], 0, "{done:#?}");
    let why = done.text(DEAF - 1, "mode_reason");
    let what = why.strip_prefix("joined, and hears nothing: ");
    what.unwrap_or_else(|| panic!("{why}: {done:#?}"))
}

/// Its firewall lets in what belongs to a flow, and its daemon's port at its own address: what comes to a group is
/// neither.
pub(super) fn behind_a_firewall_for_established_flows() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    lab.firewall(DEAF, "drop");
    lab.firewall_rule(DEAF, "ct state established,related accept");
    lab.firewall_rule(DEAF, &format!("ip daddr {} udp dport 8737 accept", lab.v4(DEAF)));
    let done = copies(&lab, &daemons, &lab.all());
    let said =
        "the group does not arrive there; a firewall or a switch drops it (docs/firewalls.md)";
    assert_eq!(why(&done), said);
    // As that page says.
    lab.nft(DEAF, "insert rule inet filter input udp dport 8737 accept");
    let done = copies(&lab, &daemons, &lab.all());
    assert_eq!(done.modes(), ["multicast"; 3], "{done:#?}");
    assert!(done.hosts[DEAF - 1]["mode_reason"].is_null(), "{done:#?}");
}

/// How its system filters what comes in on its first interface.
fn filter(lab: &Lab, how: u32) {
    lab.set(DEAF, "ipv4/conf/eth0/rp_filter", how);
}

/// Its way back to the sender leaves by another interface than the group comes in on, where it is reached as well: what
/// comes in on the first is dropped (RFC 3704, 2.2), ARP requests among it.
pub(super) fn by_a_reverse_path_filter() {
    let lab = Lab::bridge(3);
    let (ns, sender) = (lab.ns(DEAF), lab.v4(0));
    run(&format!("ip link add other type veth peer name eth1 netns {ns}"));
    run("ip link set other master br0 up");
    run(&format!("ip -n {ns} addr add {OTHER}/24 dev eth1"));
    run(&format!("ip -n {ns} link set eth1 up"));
    run(&format!("ip -n {ns} route add {sender}/32 dev eth1"));
    run(&format!("ip -n {} route add {OTHER}/32 dev eth0", lab.ns(0)));
    filter(&lab, 1);
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, "--interface", "eth0"];
    let start = |host| match host {
        DEAF => Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &trust),
        _ => Daemon::start(&lab, host, &lab.folder(host)),
    };
    let daemons: Vec<_> = (1..=3).map(start).collect();
    let hosts = [lab.v4(1), OTHER.to_owned(), lab.v4(3)];
    let done = copies(&lab, &daemons, &hosts);
    let (count, ways) = why(&done)
        .strip_prefix("the reverse-path filter has dropped ")
        .and_then(|rest| rest.split_once(' '))
        .unwrap_or_else(|| panic!("{done:#?}"));
    assert!(count.replace(',', "").parse::<u64>().unwrap() > 1, "{done:#?}");
    assert_eq!(ways, "packets there (rp_filter; the route back leaves by another interface)");
    // As is advised.
    filter(&lab, 2);
    let done = copies(&lab, &daemons, &hosts);
    assert_eq!(done.modes(), ["multicast"; 3], "{done:#?}");
    run("ip link delete other");
}
