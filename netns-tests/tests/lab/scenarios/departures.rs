//! Senders of several interfaces, or whose addresses change: the group leaves where those are that have answered.

use super::multicast::share;
use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, content};
use crate::shell::{run, try_run, wait_for};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// A second switch.
struct Second;

impl Second {
    fn new() -> Self {
        run("ip link add br1 type bridge mcast_snooping 0");
        run("ip link set br1 up");
        Self
    }

    /// Plugs a host into it as well; gives the host's address there.
    #[expect(clippy::unused_self, reason = "the cable ends at the switch")]
    fn plug(&self, lab: &Lab, host: usize) -> String {
        let (ns, addr) = (lab.ns(host), format!("10.79.0.{}", host + 1));
        run(&format!("ip link add q{host} type veth peer name eth1 netns {ns}"));
        run(&format!("ip link set q{host} master br1 up"));
        run(&format!("ip -n {ns} addr add {addr}/24 dev eth1"));
        run(&format!("ip -n {ns} link set eth1 up"));
        addr
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = try_run("ip link del br1");
    }
}

/// Most hosts of the list are on the first network, and nobody listens there.
pub(super) fn towards_those_that_have_answered() {
    for group in ["232.79.0.1", "239.255.79.1"] {
        let lab = Lab::bridge(3);
        let second = Second::new();
        let _sender = second.plug(&lab, 0);
        let there = [second.plug(&lab, 1), second.plug(&lab, 2)];
        let daemons = [1, 2].map(|host| Daemon::start(&lab, host, &lab.folder(host)));
        let mut args = vec!["-v".to_owned(), "--group".to_owned(), group.to_owned()];
        args.push(lab.source(LEN).display().to_string());
        for last in 101..104 {
            let addr = format!("10.77.0.{last}");
            run(&format!("ip -n {} addr add {addr}/24 dev eth0", lab.ns(3)));
            args.push(addr);
        }
        args.extend(there.clone());
        let before = lab.bytes_by(0, "eth1").0;
        let done = copy(&lab, &args);
        let sent = lab.bytes_by(0, "eth1").0 - before;
        assert_eq!(done.code, Some(3), "{done:#?}"); // three are not there
        for (host, daemon) in daemons.iter().enumerate() {
            assert_eq!(done.text(3 + host, "mode"), "multicast", "{done:#?}");
            let file = daemon.root.join(format!("source-{LEN}"));
            assert!(fs::read(file).unwrap() == content(LEN));
        }
        assert!(share(&done, sent) <= 1.15, "{} × the file: {done:#?}", share(&done, sent));
        let told =
            format!("from now on the group is {group}:8737, sent through eth1 from 10.79.0.1");
        assert!(done.messages.contains(&told), "{done:#?}");
    }
}

/// It is told at once, and when the address is back the copy goes on.
pub(super) fn an_address_that_is_taken_away() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let ns = lab.ns(0);
    let mut args = vec!["--rate".to_owned(), "100M".to_owned()];
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let before = lab.bytes(0).0;
    let running = Copy::start(&lab, &args);
    wait_for("bytes have arrived", Duration::from_secs(30), || lab.bytes(1).1 >= LEN / 4);
    run(&format!("ip -n {ns} addr del {}/24 dev eth0", lab.v4(0)));
    sleep(Duration::from_secs(5)); // within which it is to be told
    run(&format!("ip -n {ns} addr add {}/24 brd + dev eth0", lab.v4(0)));
    let done = running.wait();
    done.assert_ok();
    let sent = lab.bytes(0).0 - before;
    // Meanwhile all were demoted, and some seconds may pass before they are tried again.
    assert!(share(&done, sent) <= 2.5, "{} × the file: {done:#?}", share(&done, sent));
    for daemon in &daemons {
        assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
    }
    let lost = done
        .messages
        .find(&format!("this host has lost the address {}; 3 hosts know it by that", lab.v4(0)));
    let back = done.messages.find(&format!("this host has the address {} again", lab.v4(0)));
    assert!(lost.is_some() && lost < back, "{done:#?}");
}

/// The address is replaced by another one: the hosts follow.
pub(super) fn an_address_that_is_replaced() {
    let lab = Lab::bridge(3);
    let _daemons = lab.daemons();
    let ns = lab.ns(0);
    let done = copy_during(&lab, || {
        run(&format!("ip -n {ns} addr del {}/24 dev eth0", lab.v4(0)));
        run(&format!("ip -n {ns} addr add 10.77.0.200/24 brd + dev eth0"));
        run(&format!("ip -n {ns} route replace 224.0.0.0/4 dev eth0"));
    });
    done.assert_ok();
}

/// A NAT in front of a host forgets what it has translated, and gives the host another port. Of the two hosts one gets
/// everything by unicast.
pub(super) fn a_nat_that_gives_another_port() {
    let lab = Lab::bridge(3);
    let _daemons = lab.daemons();
    lab.deafen(2);
    let done = copy_during(&lab, || {
        for host in [1, 2] {
            lab.nft(host, "add table ip nat0");
            lab.nft(host, "add chain ip nat0 out { type filter hook output priority 300 ; }");
            lab.nft(host, "add rule ip nat0 out udp sport 8737 udp sport set 30001");
            lab.nft(host, "add chain ip nat0 in { type filter hook prerouting priority -300 ; }");
            let own = lab.v4(host);
            lab.nft(host, &format!("add rule ip nat0 in ip daddr {own} udp dport 8737 reject"));
            lab.nft(host, "add rule ip nat0 in udp dport 30001 udp dport set 8737");
        }
    });
    done.assert_ok();
    let modes = done.modes();
    assert_eq!((modes[0], modes[1], modes[2]), ("multicast", "unicast", "multicast"), "{done:#?}");
    for host in 0..2 {
        let at = format!("{}:30001", lab.v4(host + 1));
        assert_eq!(done.text(host, "address"), at, "{done:#?}");
    }
}

/// Copies to three hosts, and does something when a quarter has arrived.
fn copy_during(lab: &Lab, act: impl FnOnce()) -> Done {
    let mut args = vec!["--rate".to_owned(), "100M".to_owned()];
    args.push(lab.source(LEN).display().to_string());
    args.extend(lab.all());
    let running = Copy::start(lab, &args);
    wait_for("bytes have arrived", Duration::from_secs(30), || lab.bytes(1).1 >= LEN / 4);
    act();
    running.wait()
}

/// One receiver has two interfaces on one network, the way back from another leaves by a network of its own.
pub(super) fn receivers_of_two_interfaces() {
    let lab = Lab::bridge(3);
    let second = Second::new();
    let ns = lab.ns(1);
    run(&format!("ip link add r1 type veth peer name eth1 netns {ns}"));
    run("ip link set r1 master br0 up");
    run(&format!("ip -n {ns} addr add 10.77.0.51/24 dev eth1"));
    run(&format!("ip -n {ns} link set eth1 up"));
    let sender = second.plug(&lab, 0);
    second.plug(&lab, 2);
    run(&format!("ip -n {} route add {}/32 via {sender} dev eth1", lab.ns(2), lab.v4(0)));
    let daemons = lab.daemons();
    for first in [lab.v4(1), "10.77.0.51".to_owned()] {
        let args = [lab.source(LEN).display().to_string(), first, lab.v4(2), lab.v4(3)];
        let done = copy(&lab, &args);
        done.assert_ok();
        assert_eq!(done.modes(), ["multicast"; 3], "{done:#?}");
        for daemon in &daemons {
            let file = daemon.root.join(format!("source-{LEN}"));
            assert!(fs::read(&file).unwrap() == content(LEN));
            fs::remove_file(file).unwrap();
        }
    }
    let warned = format!("the way back to {} leaves by eth1", lab.v4(0));
    assert!(daemons[1].log().contains(&warned), "{}", daemons[1].log());
    assert!(!daemons[2].log().contains("the way back"), "{}", daemons[2].log());
}
