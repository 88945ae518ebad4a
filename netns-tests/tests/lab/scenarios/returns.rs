//! One receiver is away for a while, or for ever: what it gets is what it lacked, and the others do not wait for it.

use crate::asked::asked;
use crate::copy::{Copy, Done};
use crate::daemon::Daemon;
use crate::network::{Lab, content};
use crate::shell::{run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Receivers, of which the last one is disturbed.
const RECEIVERS: usize = 4;
/// Length of the file in MiB and Mbit/s of the sender's line, unless `RETURNS_MIB` and `RETURNS_RATE` say others.
const LEN_MIB: u64 = 32;
const RATE: u64 = 40;
/// Seconds for which one has no network, which is longer than it takes to be lost, or stands still, unless
/// `RETURNS_AWAY` and `RETURNS_STOPPED` say others.
const AWAY: u64 = 12;
const STOPPED: u64 = 12;
/// Of the time that the others take without it they take with it at most so much, unless `RETURNS_MOST` says another:
/// 1.1 by release programs with the processors to themselves.
const MOST: f64 = 1.5;
/// Of what it lacked it gets at most so much, …
const LACKED: f64 = 1.02;
/// … and of the file so much leaves for those that are left, if one is dead.
const DEAD: f64 = 1.1;
/// A switch forwards everything until its querier has been heard for as long as hosts may take to answer: here half a
/// second, from its first query on, a second later at most.
const SETTLE: Duration = Duration::from_secs(2);
/// No copy takes longer.
const LIMIT: Duration = Duration::from_secs(300);
/// Bytes of a frame for one of its payload, where every segment is full (docs/wire.md).
const FRAMED: f64 = 1514.0 / 1420.0;

/// A switch that prunes, behind a line whose frames are counted one by one.
fn lab() -> Lab {
    let lab = Lab::forgetful(RECEIVERS);
    let (ns, rate) = (lab.ns(0), asked("RETURNS_RATE", RATE));
    run(&format!("ip -n {ns} link set eth0 gso_max_segs 1"));
    run(&format!(
        "ip netns exec {ns} tc qdisc add dev eth0 root tbf rate {rate}mbit burst 64k limit 1M"
    ));
    (1..=RECEIVERS).for_each(|host| count(&lab, host));
    let up = Instant::now();
    wait_for("the querier has settled", SETTLE * 2, || up.elapsed() >= SETTLE);
    lab
}

fn len() -> u64 {
    asked("RETURNS_MIB", LEN_MIB) * MIB
}

fn start(lab: &Lab, options: &[&str], hosts: &[String]) -> Copy {
    let source = lab.source(len()).display().to_string();
    let options = options.iter().map(|&option| option.to_owned());
    let args: Vec<String> = options.chain([source]).chain(hosts.iter().cloned()).collect();
    Copy::start(lab, &args)
}

/// When the first hosts, of which none is disturbed, all have it: seconds after the begin.
fn others(done: &Done) -> f64 {
    let seconds = done.hosts[..RECEIVERS - 1].iter().map(|host| host["seconds"].as_f64().unwrap());
    seconds.fold(0.0, f64::max)
}

/// Counts the bytes of packets to a host and to the groups that it has joined: a switch sends more to its port, until
/// it has noticed that the host has left a group.
fn count(lab: &Lab, host: usize) {
    lab.nft(host, "add table inet count");
    lab.nft(host, "add counter inet count arrived");
    lab.nft(host, "add chain inet count in { type filter hook input priority 0 ; }");
    lab.nft(host, "add rule inet count in counter name arrived");
}

fn received(lab: &Lab, host: usize) -> f64 {
    let list = format!("ip netns exec {} nft -j list counter inet count arrived", lab.ns(host));
    let json: serde_json::Value = serde_json::from_str(&run(&list)).unwrap();
    json["nftables"][1]["counter"]["bytes"].as_f64().unwrap()
}

fn wait_for_half(lab: &Lab, before: u64) {
    let half = len() as f64 * FRAMED / 2.0;
    wait_for("half has arrived", LIMIT, || (lab.bytes(1).1 - before) as f64 >= half);
}

/// What has been measured of a copy in which one is disturbed at half.
struct Disturbed {
    done: Done,
    /// Of the time without it, that of the others.
    others: f64,
    /// Bytes of frames that arrived at it, by those of one that was not disturbed.
    arrived: f64,
    /// Of those the part since the disturbance was over.
    since: f64,
    /// Bytes of frames that left, by those for a copy to the others alone.
    left: f64,
}

/// Copies to the others alone, and then to all with a disturbance when half has arrived.
fn disturb(
    lab: &Lab,
    options: &[&str],
    prepare: impl FnOnce() -> Vec<Daemon>,
    at_half: impl FnOnce(&mut Vec<Daemon>),
) -> Disturbed {
    let mut daemons = prepare();
    let hosts = lab.all();
    let sent = lab.bytes(0).0;
    let alone = start(lab, &["-v"], &hosts[..RECEIVERS - 1]).wait_watched(LIMIT, || {});
    alone.assert_ok();
    let sent_alone = lab.bytes(0).0 - sent;
    let (sent, before) = (lab.bytes(0).0, [1, RECEIVERS].map(|host| received(lab, host)));
    let at_first = lab.bytes(1).1;
    let running = start(lab, &[&["-v"], options].concat(), &hosts);
    wait_for_half(lab, at_first);
    at_half(&mut daemons);
    let over = received(lab, RECEIVERS);
    let done = running.wait_watched(LIMIT, || {});
    let (end, file) = (received(lab, RECEIVERS), received(lab, 1) - before[0]);
    let found = Disturbed {
        others: others(&done) / others(&alone),
        arrived: (end - before[1]) / file,
        since: (end - over) / file,
        left: (lab.bytes(0).0 - sent) as f64 / sent_alone as f64,
        done,
    };
    let (of_all, last) = (&found, &found.done.hosts[RECEIVERS - 1]);
    eprintln!(
        "returns: the others take {:.2} s, without it {:.2} s: {:.3}; {:.3} of their bytes arrived at it, \
         {:.3} of those for the others left; it took {} s, {} bytes by the group, {} by unicast",
        others(&found.done),
        others(&alone),
        of_all.others,
        of_all.arrived,
        of_all.left,
        last["seconds"],
        last["multicast_bytes"],
        last["unicast_bytes"],
    );
    for event in alone.messages.lines().chain(found.done.messages.lines()) {
        eprintln!("returns:   {event}");
    }
    let most = asked("RETURNS_MOST", MOST);
    assert!(found.others <= most, "{:#?}", found.done);
    found
}

/// Everyone has it, and of the file it got only the part that it lacked.
fn assert_returned(lab: &Lab, found: &Disturbed, (got, lacked): (f64, f64)) {
    found.done.assert_ok();
    let name = format!("source-{}", len());
    for host in 1..=RECEIVERS {
        assert!(fs::read(lab.folder(host).join(&name)).unwrap() == content(len()), "{host}");
    }
    eprintln!("returns: it lacked {lacked:.4} of the file, and got {got:.4}");
    assert!(got <= LACKED * lacked, "{got} of the file, {lacked} lacked: {:#?}", found.done);
}

fn start_last(lab: &Lab) -> Daemon {
    Daemon::start(lab, RECEIVERS, &lab.folder(RECEIVERS))
}

/// Its daemon is started when the others have half.
pub(super) fn one_that_joins_at_half() {
    let lab = lab();
    let equals = || (1..RECEIVERS).map(|host| Daemon::start(&lab, host, &lab.folder(host)));
    let least = (RECEIVERS - 1).to_string();
    let options = ["--late-join", "--min-hosts", &least];
    let joins = |daemons: &mut Vec<Daemon>| daemons.push(start_last(&lab));
    let found = disturb(&lab, &options, || equals().collect(), joins);
    assert_returned(&lab, &found, (found.arrived, 1.0));
}

/// Its daemon is killed, and started again.
pub(super) fn one_that_is_started_again() {
    let lab = lab();
    let found = disturb(
        &lab,
        &[],
        || lab.daemons(),
        |daemons| {
            daemons.pop().unwrap().kill();
            daemons.push(start_last(&lab));
        },
    );
    // What had arrived and was not on its disk yet is gone: it lacks that again.
    let last = &found.done.hosts[RECEIVERS - 1];
    let bytes = ["multicast_bytes", "unicast_bytes"].map(|field| last[field].as_f64().unwrap());
    assert_returned(&lab, &found, (found.since, (bytes[0] + bytes[1]) / len() as f64));
}

/// Its cable is out, for longer than it takes to be lost.
pub(super) fn one_that_loses_its_network() {
    let lab = lab();
    let found = disturb(
        &lab,
        &["--wait-lost", "60s"],
        || lab.daemons(),
        |_| {
            run(&format!("ip link set p{RECEIVERS} down"));
            sleep(Duration::from_secs(asked("RETURNS_AWAY", AWAY)));
            run(&format!("ip link set p{RECEIVERS} up"));
        },
    );
    assert_returned(&lab, &found, (found.arrived, 1.0));
}

/// Its daemon stands still, as by Ctrl-Z.
pub(super) fn one_that_is_stopped() {
    let lab = lab();
    let found = disturb(
        &lab,
        &["--wait-lost", "60s"],
        || lab.daemons(),
        |daemons| {
            let process = Pid::from_raw(daemons[RECEIVERS - 1].id()).unwrap();
            kill_process(process, Signal::STOP).unwrap();
            sleep(Duration::from_secs(asked("RETURNS_STOPPED", STOPPED)));
            kill_process(process, Signal::CONT).unwrap();
        },
    );
    found.done.assert_ok();
}

/// Its cable is out, and stays so: nothing is sent to it, and the others have it as soon.
pub(super) fn one_that_is_dead() {
    let lab = lab();
    let cut = |_: &mut Vec<Daemon>| drop(run(&format!("ip link set p{RECEIVERS} down")));
    let found = disturb(&lab, &[], || lab.daemons(), cut);
    assert_eq!(found.done.code, Some(3), "{:#?}", found.done);
    assert!(found.left <= DEAD, "{} of the file left: {:#?}", found.left, found.done);
}
