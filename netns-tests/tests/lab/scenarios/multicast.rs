//! By the group where it reaches, by unicast where it does not.

use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content};
use crate::shell::{run, wait_for};
use std::fs;
use std::time::{Duration, Instant};

/// A switch forwards everything until its querier has been heard for so long (its startup queries
/// and their answers); a test that does not wait sees the flood and not the snooping.
const SETTLE: Duration = Duration::from_secs(13);

/// Headers of Ethernet, IPv4 and UDP, in bytes. An interface counts them once for each train that
/// the kernel cuts, so its count lies between "none" and "for each datagram".
const HEADERS: u64 = 14 + 20 + 8;

fn args(lab: &Lab, options: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    args
}

/// Every receiver has the file, byte by byte.
pub(super) fn assert_copied(lab: &Lab, daemons: &[Daemon]) {
    let expected = content(LEN);
    for daemon in daemons {
        let file = daemon.root.join(format!("source-{LEN}"));
        assert!(fs::read(&file).unwrap() == expected, "{} is wrong", file.display());
    }
    assert!(lab.dir.path().exists());
}

pub(super) fn share(done: &Done, part: u64) -> f64 {
    part as f64 / done.sum("bytes") as f64
}

pub(super) fn three_for_the_price_of_one() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let before = lab.bytes(0).0;
    let done = copy(&lab, &args(&lab, &[]));
    let sent = lab.bytes(0).0 - before;
    done.assert_ok();
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes(), ["multicast"; 3]);
    assert!(share(&done, sent) <= 1.15, "{} × the file", share(&done, sent));
    // The program's own account of its datagrams is the interface's, but for headers and ARP.
    let (bytes, datagrams) = (done.sum("datagram_bytes"), done.sum("datagrams"));
    let least = bytes as f64 * 0.999;
    let most = (bytes + datagrams * HEADERS) as f64 * 1.01;
    assert!((least..most).contains(&(sent as f64)), "{sent} on the wire: {done:#?}");
    let file_bytes = done.sum("group_bytes_sent") + done.sum("unicast_bytes_sent");
    assert!(file_bytes >= LEN && file_bytes <= bytes, "{done:#?}");
    for host in &done.hosts {
        assert_eq!(host["bytes"], LEN);
        assert_eq!(host["digest"].as_str().unwrap().len(), 64);
    }
}

pub(super) fn one_that_hears_no_group() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    lab.deafen(2);
    let before = lab.bytes(0).0;
    let done = copy(&lab, &args(&lab, &[]));
    let sent = lab.bytes(0).0 - before;
    done.assert_ok();
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes(), ["multicast", "unicast", "multicast"]);
    assert_eq!(done.hosts[1]["multicast_bytes"], 0);
    let why = done.text(1, "mode_reason"); // as it was asked, as it was judged, or at its end
    let ends = ["none of the group's packets", "drops it (docs/firewalls.md)"];
    assert!(ends.iter().any(|end| why.ends_with(end)), "{why}");
    assert!(done.hosts[0]["mode_reason"].is_null() && done.messages.is_empty(), "{done:#?}");
    assert!(share(&done, sent) <= 2.3, "{} × the file", share(&done, sent));
}

/// What leaves is the file once for those that hear the group, and once for each of the three others.
pub(super) fn five_of_eight() {
    let lab = Lab::bridge(8);
    let daemons = lab.daemons();
    (1..=3).for_each(|host| lab.deafen(host));
    let before = lab.bytes(0).0;
    let done = copy(&lab, &args(&lab, &["--rate", "200M"]));
    let sent = lab.bytes(0).0 - before;
    done.assert_ok();
    assert_copied(&lab, &daemons);
    let (deaf, hearing) = (["unicast"; 3], ["multicast"; 5]);
    assert_eq!(done.modes(), [&deaf[..], &hearing[..]].concat());
    eprintln!("five_of_eight: {:.3} × the file", share(&done, sent));
    assert!(share(&done, sent) <= 4.0 * 1.1, "{} × the file", share(&done, sent));
}

pub(super) fn nobody_hears_it_and_that_is_told_once() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    (1..=3).for_each(|host| lab.deafen(host));
    let done = copy(&lab, &args(&lab, &[]));
    done.assert_ok();
    assert_copied(&lab, &daemons);
    let expect = |done: &Done, whys: &[&str], check: &str| {
        assert_eq!(done.modes(), ["unicast"; 3]);
        for host in 0..3 {
            assert!(whys.contains(&done.text(host, "mode_reason")), "{done:#?}");
        }
        let warnings = done.messages.matches("none of the 3 hosts hears the group").count();
        assert!(warnings == 1 && done.messages.contains(check), "{done:#?}");
    };
    let deaf = "it hears none of the group's packets";
    let asked = "joined, and hears nothing: the group does not arrive there; a firewall or a switch \
                 drops it (docs/firewalls.md)";
    expect(&done, &[deaf, asked], "(--interface, eth0)");
    // The group leaves where nobody is.
    (1..=3).for_each(|host| lab.undeafen(host));
    let ns = lab.ns(0);
    run(&format!("ip -n {ns} link add dry0 type veth peer name dry1"));
    run(&format!("ip -n {ns} addr add 10.78.0.1/24 dev dry0"));
    run(&format!("ip -n {ns} link set dry0 up"));
    run(&format!("ip -n {ns} link set dry1 up"));
    let done = copy(&lab, &args(&lab, &["--interface", "dry0"]));
    done.assert_ok();
    let why = format!("{deaf}, which leave through dry0; it is reached through eth0");
    expect(&done, &[&why], "(--interface, now dry0, but eth0 leads to them)");
}

pub(super) fn the_group_dies_midway_and_comes_back() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let running = Copy::start(&lab, &args(&lab, &["--rate", "100M", "-v"]));
    let received = |bytes: u64| {
        let what = format!("{bytes} bytes have arrived");
        wait_for(&what, Duration::from_secs(30), || lab.bytes(1).1 >= bytes);
    };
    received(LEN / 8);
    (1..=3).for_each(|host| lab.deafen(host));
    // To three by unicast, at this rate, a quarter more takes some seconds: long enough to notice.
    received(LEN / 8 + LEN / 4);
    (1..=3).for_each(|host| lab.undeafen(host));
    let done = running.wait();
    done.assert_ok();
    assert_copied(&lab, &daemons);
    for host in &done.hosts {
        let events = host["events"].as_array().unwrap();
        assert!(events.iter().any(|event| event["mode"] == "unicast"), "{done:#?}");
        assert!(host["unicast_bytes"].as_u64() > Some(0), "{done:#?}");
    }
    assert_eq!(done.modes(), ["multicast"; 3], "all hear it again: {done:#?}");
}

pub(super) fn a_snooping_switch_with_a_querier() {
    let lab = Lab::snooping(4, true);
    // The fourth receiver has no daemon: nothing of the group may reach it.
    let daemons: Vec<_> =
        (1..=3).map(|host| Daemon::start(&lab, host, &lab.folder(host))).collect();
    let up = Instant::now();
    wait_for("the querier has settled", SETTLE * 2, || up.elapsed() >= SETTLE);
    let before = (lab.bytes(0).0, lab.bytes(4).1);
    let mut args = args(&lab, &[]);
    args.pop();
    let done = copy(&lab, &args);
    done.assert_ok();
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes(), ["multicast"; 3]);
    let (sent, leaked) = (lab.bytes(0).0 - before.0, lab.bytes(4).1 - before.1);
    assert!(share(&done, sent) <= 1.15, "{} × the file", share(&done, sent));
    assert!(leaked < LEN / 100, "{leaked} bytes reached who did not ask");
}

pub(super) fn a_snooping_switch_without_one() {
    let lab = Lab::snooping(3, false);
    let daemons = lab.daemons();
    let done = copy(&lab, &args(&lab, &[]));
    done.assert_ok();
    assert_copied(&lab, &daemons);
}

pub(super) fn each_group(lab: &Lab, hosts: &[String], groups: &[&str]) {
    let daemons = lab.daemons();
    let source = lab.source(LEN).display().to_string();
    for group in groups {
        let mut args = vec!["--group".to_owned(), (*group).to_owned(), source.clone()];
        args.extend_from_slice(hosts);
        let before = lab.bytes(0).0;
        let done = copy(lab, &args);
        done.assert_ok();
        assert_copied(lab, &daemons);
        assert_eq!(done.modes(), ["multicast"; 3], "{group}");
        let sent = lab.bytes(0).0 - before;
        assert!(share(&done, sent) <= 1.15, "{group}: {} × the file", share(&done, sent));
        for daemon in &daemons {
            fs::remove_file(daemon.root.join(format!("source-{LEN}"))).unwrap();
        }
    }
}

pub(super) fn any_source_and_source_specific_v4() {
    let lab = Lab::bridge(3);
    each_group(&lab, &lab.all(), &["239.255.77.1", "232.7.7.7", "239.255.77.1:8737"]);
}

pub(super) fn any_source_and_source_specific_v6() {
    let lab = Lab::bridge(3);
    let hosts: Vec<String> = (1..=3).map(|host| format!("[{}]", lab.v6(host))).collect();
    each_group(&lab, &hosts, &["ff15::7", "ff35::8000:77"]);
}

pub(super) fn a_group_of_the_other_family() {
    let lab = Lab::bridge(3);
    let v6: Vec<String> = (1..=3).map(|host| format!("[{}]", lab.v6(host))).collect();
    each_group(&lab, &lab.all(), &["ff15::7"]);
    each_group(&lab, &v6, &["239.255.77.1"]);
}

pub(super) fn a_rate_is_kept() {
    let lab = Lab::bridge(3);
    let _daemons = lab.daemons();
    let mut best = f64::INFINITY;
    // A machine that is busy otherwise wakes the sender late, and a rate saves nothing up: one of three
    // copies must use it. None may exceed it.
    for _ in 0..3 {
        let done = copy(&lab, &args(&lab, &["--rate", "200M"]));
        done.assert_ok();
        // 64 MiB at 200 Mbit/s, headers included, take 2.8 seconds.
        let seconds = done.summary["seconds"].as_f64().unwrap();
        assert!(seconds > 2.6, "{seconds} seconds are faster than allowed");
        best = best.min(seconds);
        // And it is used: to two thirds, with the handshake and the verdict.
        if best < 4.2 {
            return;
        }
    }
    panic!("{best} seconds at best: most of the rate was not used");
}
