//! Switches that forget who is in a group, and links that come and go: the group is kept, or comes back at once.

use super::mirrors::daemon_with;
use super::multicast::share;
use crate::copy::{Copy, Done};
use crate::daemon::Daemon;
use crate::network::Lab;
use crate::shell::{run, try_run, wait_for};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Who gets the file.
const RECEIVERS: usize = 3;
/// A source-specific group.
const GROUP_V6: [&str; 2] = ["--group", "ff35::8000:77"];
/// Bytes of the file.
const LEN: u64 = 32 << 20;
/// A switch that forgets a membership after 3 s asks once in a second, and begins to filter when it has asked twice
/// and its querier is known for 10 s.
const SETTLE: Duration = Duration::from_secs(13);
/// A daemon joins anew as often as a querier asks, 125 s (RFC 3376, 8.2, Query Interval), and looks every 10 s whether
/// it is time.
const ANEW: Duration = Duration::from_secs(135);
/// For who is told of an event, or reports again, on a machine that is busy otherwise.
const SOON: Duration = Duration::from_secs(30);
/// Of what leaves the sender to the file's length, at most, on a machine that is busy otherwise: with headers it is 1.06
/// at least, 1.1 is the goal, of which the printed figures tell, and without reports it is more than 2.
const ONCE: f64 = 1.25;

/// Bytes of the stream in each datagram that the sender sends, on average, at least: a full segment has 1420 over IPv4
/// and 1400 over IPv6, one of those that every path is taken to carry 1148, and about one in thirty carries none.
const MEAN: u64 = 1250;

fn settle() {
    let up = Instant::now();
    wait_for("the querier has settled", SETTLE * 2, || up.elapsed() >= SETTLE);
}

/// While it lives no host is asked: queries of this namespace's switches are dropped, as by hosts' firewalls.
struct Quiet;

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = try_run("nft delete table bridge quiet");
    }
}

fn drop_queries() -> Quiet {
    run("nft add table bridge quiet");
    run("nft add chain bridge quiet out { type filter hook output priority 0 ; }");
    run("nft add rule bridge quiet out ether type ip ip protocol igmp drop");
    run("nft add rule bridge quiet out ether type ip6 icmpv6 type mld-listener-query drop");
    Quiet
}

fn args(lab: &Lab, rate: &str, hosts: Vec<String>, options: &[&str]) -> Vec<String> {
    let mut args = vec!["--rate".to_owned(), rate.to_owned()];
    args.extend(options.iter().map(|&option| option.to_owned()));
    args.push(lab.source(LEN).display().to_string());
    args.extend(hosts);
    args
}

/// Queries are dropped by stateful firewalls, as many hosts have them: these let in what belongs to a flow that they
/// have seen from inside, and the daemon's port.
fn wall_up(lab: &Lab) {
    for host in 1..=RECEIVERS {
        lab.firewall(host, "drop");
        for rule in [
            "iifname lo accept",
            "ct state established,related accept",
            "udp dport 8737 accept",
            "ip protocol igmp counter drop",
        ] {
            lab.firewall_rule(host, rule);
        }
    }
}

/// Copies, and does something when so many bytes have arrived at the first receiver; what left the sender.
fn copy_during(lab: &Lab, args: &[String], after: u64, act: impl FnOnce()) -> (Done, f64) {
    let daemons: Vec<_> =
        (1..=RECEIVERS).map(|host| Daemon::start(lab, host, &lab.folder(host))).collect();
    let (sent, came) = (lab.bytes(0).0, lab.bytes(1).1);
    let running = Copy::start(lab, args);
    wait_for("bytes have arrived", SOON, || lab.bytes(1).1 >= came + after);
    act();
    let done = running.wait();
    let sent = lab.bytes(0).0 - sent;
    done.assert_ok();
    for daemon in &daemons {
        let copied = fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap();
        assert!(copied == fs::read(lab.source(LEN)).unwrap(), "{}", daemon.root.display());
    }
    let share = share(&done, sent);
    eprintln!("{share:.3} × the file in {:?}", done.took);
    (done, share)
}

/// All of them had it by the group, and the sender's line no more than so many times.
fn assert_by_group((done, share): &(Done, f64), most: f64) {
    assert_eq!(done.modes(), ["multicast"; RECEIVERS], "{done:#?}");
    assert!(*share <= most, "{share} × the file: {done:#?}");
}

/// Ten times as long as the switch remembers: 32 MiB at 9 Mbit/s take 30 s.
fn forgets(lab: &Lab, hosts: Vec<String>, options: &[&str]) {
    let copied = copy_during(lab, &args(lab, "9M", hosts, options), 0, || {});
    assert_by_group(&copied, ONCE);
    // A silence of a few hundred milliseconds says nothing of how long a segment may be.
    let mean = copied.0.sum("group_bytes_sent") / copied.0.sum("datagrams");
    assert!(mean >= MEAN, "{mean} bytes in each datagram: {:#?}", copied.0);
}

pub(super) fn a_switch_that_forgets_them_v4() {
    let lab = Lab::forgetful(RECEIVERS);
    settle();
    let _quiet = drop_queries();
    forgets(&lab, lab.all(), &[]);
}

pub(super) fn a_switch_that_forgets_them_v6() {
    let lab = Lab::forgetful(RECEIVERS);
    settle();
    let _quiet = drop_queries();
    forgets(&lab, all_by_v6(&lab), &GROUP_V6);
}

/// The hosts do not answer, for they do not hear what is asked.
pub(super) fn firewalls_that_drop_queries() {
    let lab = Lab::forgetful(RECEIVERS);
    settle();
    wall_up(&lab);
    forgets(&lab, lab.all(), &[]);
    for host in 1..=RECEIVERS {
        let rules = run(&format!("ip netns exec {} nft list table inet filter", lab.ns(host)));
        let dropped = rules.contains("counter packets") && !rules.contains("counter packets 0 ");
        assert!(dropped, "no query came: {rules}");
    }
}

fn all_by_v6(lab: &Lab) -> Vec<String> {
    let host = |host| {
        // Neighbours are asked for by multicast (RFC 4861, 7.2.2), which such a switch forgets as well.
        knows(lab, 0, host);
        knows(lab, host, 0);
        format!("[{}]", lab.v6(host))
    };
    (1..=RECEIVERS).map(host).collect()
}

/// One host knows another's address on the link for good.
fn knows(lab: &Lab, host: usize, other: usize) {
    let show = format!("ip -n {} -j link show dev eth0", lab.ns(other));
    let json: serde_json::Value = serde_json::from_str(&run(&show)).unwrap();
    let (ns, v6, link) = (lab.ns(host), lab.v6(other), json[0]["address"].as_str().unwrap());
    run(&format!("ip -n {ns} neigh replace {v6} lladdr {link} nud permanent dev eth0"));
}

/// The first receiver's port has no carrier for a moment.
fn flap() {
    run("ip link set p1 down");
    sleep(Duration::from_millis(300));
    run("ip link set p1 up");
}

/// The switch forgets the group on that port; the host does not report by itself, and nobody asks it.
pub(super) fn a_cable_out_and_in() {
    let lab = Lab::forgetful(RECEIVERS);
    settle();
    let _quiet = drop_queries();
    run("ip link set br0 type bridge mcast_membership_interval 26000");
    let args = args(&lab, "40M", lab.all(), &[]);
    assert_by_group(&copy_during(&lab, &args, LEN / 4, flap), 1.5);
}

/// Likewise where the querier is another switch, which asks again in two minutes.
pub(super) fn a_cable_out_and_in_far_from_the_querier() {
    // The fourth has no daemon: what reaches it shows whether the switch filters at all.
    let lab = Lab::asked_from_beyond(RECEIVERS + 1);
    settle();
    let before = lab.bytes(RECEIVERS + 1).1;
    let hosts = lab.all().into_iter().take(RECEIVERS).collect();
    let args = args(&lab, "40M", hosts, &[]);
    assert_by_group(&copy_during(&lab, &args, LEN / 4, flap), ONCE);
    let leaked = lab.bytes(RECEIVERS + 1).1 - before;
    assert!(leaked < LEN / 100, "{leaked} bytes reached who did not ask");
}

/// As when a network adapter at USB is out and in, or a container gets another network: the name is the same, the
/// device is not, and a socket that has joined on the old one hears nothing more.
pub(super) fn an_interface_that_is_made_anew() {
    let lab = Lab::bridge(RECEIVERS);
    let args = args(&lab, "40M", lab.all(), &[]);
    let done = copy_during(&lab, &args, LEN / 4, || {
        lab.remove_interface(1);
        sleep(Duration::from_millis(300));
        lab.cable(1);
    });
    assert_by_group(&done, 1.5);
}

/// A host that has just been started: for twenty seconds its link-local address may not be used (RFC 4862, 5.4), and
/// its reports come from `::` (RFC 3810, 5.2.13), which this switch takes. The copy begins in that time and ends after
/// it. Where a switch does not take them is shown by the simulator (`just-booted`).
pub(super) fn a_host_that_has_just_been_started() {
    let lab = Lab::forgetful(RECEIVERS);
    settle();
    let (ns, hosts) = (lab.ns(1), all_by_v6(&lab));
    lab.set(1, "ipv6/conf/eth0/dad_transmits", 20);
    run(&format!("ip -n {ns} -6 addr flush dev eth0 scope link"));
    run(&format!("ip -n {ns} addr add fe80::77/64 dev eth0"));
    let args = args(&lab, "12M", hosts, &GROUP_V6);
    let done = copy_during(&lab, &args, LEN / 16, || {
        let tentative = run(&format!("ip -n {ns} -6 addr show dev eth0 tentative"));
        assert!(tentative.contains("fe80::77"), "it may be used already: {tentative}");
    });
    assert_by_group(&done, ONCE);
}

pub(super) fn the_senders_link_is_down_for_a_moment() {
    let lab = Lab::bridge(RECEIVERS);
    let ns = lab.ns(0);
    let args = args(&lab, "50M", lab.all(), &[]);
    let done = copy_during(&lab, &args, LEN / 4, || {
        run(&format!("ip -n {ns} link set eth0 down"));
        sleep(Duration::from_millis(1500));
        run(&format!("ip -n {ns} link set eth0 up"));
        run(&format!("ip -n {ns} route add 224.0.0.0/4 dev eth0"));
    });
    assert_by_group(&done, 1.3);
}

/// Masters announce at any time: a daemon listens again on an interface that was made anew, as above.
pub(super) fn of_those_who_wait_for_announcements() {
    let lab = Lab::forgetful(1);
    let _daemon = daemon_with(&lab, 1, &["--announce", "239.77.0.1"]);
    let listens = || run("bridge mdb show dev br0").contains("port p1 grp 239.77.0.1");
    wait_for("the daemon listens", SOON, listens);
    lab.remove_interface(1);
    wait_for("the switch has forgotten that", SOON, || !listens());
    lab.cable(1);
    wait_for("the daemon listens again", SOON, listens);
}

/// Likewise on a switch that has forgotten it, where no query reaches the daemon's host: it joins anew by itself.
pub(super) fn of_announcements_where_nobody_is_asked() {
    let lab = Lab::forgetful(1);
    let _quiet = drop_queries();
    let _daemon = daemon_with(&lab, 1, &["--announce", "239.77.0.1"]);
    let up = Instant::now();
    let listens = || run("bridge mdb show dev br0").contains("port p1 grp 239.77.0.1");
    wait_for("the daemon listens", SOON, listens);
    wait_for("the switch has forgotten that", SOON, || !listens());
    wait_for("the daemon listens again", ANEW + SOON, listens);
    eprintln!("the switch knows it again {:?} after the daemon's start", up.elapsed());
}
