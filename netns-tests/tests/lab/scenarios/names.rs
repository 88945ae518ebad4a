//! Names that stand for several addresses, some of which nobody answers at.

use super::multicast::assert_copied;
use crate::copy::copy;
use crate::network::{LEN, Lab};
use crate::shell::{run, try_run};
use std::fs;
use std::time::Duration;

/// An unanswered connect takes ten seconds.
const SOON: Duration = Duration::from_secs(8);

/// What names stand for, in place of what this machine knows of them.
struct Names;

impl Names {
    fn put(lab: &Lab, lines: &[(String, &str)]) -> Self {
        let text = lines.iter().map(|(addr, name)| format!("{addr} {name}\n"));
        let hosts = lab.dir.path().join("hosts");
        fs::write(&hosts, format!("127.0.0.1 localhost\n{}", text.collect::<String>())).unwrap();
        run(&format!("mount --bind {} /etc/hosts", hosts.display())); // in this namespace alone
        Self
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = try_run("umount /etc/hosts");
    }
}

fn at(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:8737") } else { format!("{ip}:8737") }
}

/// Host 1 has lost its IPv4 address, which `moved` had before; IPv6 comes first, and of `stale` it is out of date.
pub(super) fn dead_addresses_hold_nobody_up() {
    let lab = Lab::bridge(4);
    let (gone, nowhere) = (lab.v4(1), "fd77::99".to_owned());
    let names = [
        (gone, "moved"),
        (lab.v4(2), "moved"),
        (nowhere.clone(), "stale"),
        (lab.v4(3), "stale"),
        // One machine, under two names that have one of its addresses in common.
        (lab.v6(4), "one"),
        (lab.v4(4), "one"),
        (lab.v6(4), "same"),
    ];
    let _names = Names::put(&lab, &names);
    let daemons = lab.daemons();
    run(&format!("ip -n {} addr del {}/24 dev eth0", lab.ns(1), lab.v4(1)));
    let mut args = vec!["-v".to_owned(), lab.source(LEN).display().to_string()];
    let sixth = format!("[{}]", lab.v6(1));
    args.extend(["moved", "stale", "one", "same", &sixth].map(str::to_owned));
    let done = copy(&lab, &args);
    done.assert_ok();
    assert!(done.took < SOON, "{:?}", done.took);
    assert_copied(&lab, &daemons);
    let taken = [lab.v4(2), lab.v4(3), lab.v6(4), lab.v6(4), lab.v6(1)];
    for (index, ip) in taken.iter().enumerate() {
        assert_eq!(done.text(index, "address"), at(ip), "{done:#?}");
    }
    for said in [
        format!("moved is at one of {}, {}\n", at(&lab.v4(1)), at(&lab.v4(2))),
        format!("moved has answered from {}\n", at(&lab.v4(2))),
        format!("stale is at one of {}, {}\n", at(&nowhere), at(&lab.v4(3))),
        format!("stale has answered from {}\n", at(&lab.v4(3))),
        format!("same is at {}\n", at(&lab.v6(4))),
    ] {
        assert!(done.messages.contains(&said), "{said}: {}", done.messages);
    }
}

/// Of the sender's own system IPv6 is switched off: whom it is needed for fails at once, and alone.
pub(super) fn a_sender_without_ipv6() {
    let lab = Lab::bridge(3);
    let names =
        [(lab.v6(1), "only6"), (lab.v6(2), "both"), (lab.v4(2), "both"), (lab.v4(3), "only4")];
    let _names = Names::put(&lab, &names);
    let _daemons = lab.daemons();
    let yes = lab.dir.path().join("yes");
    fs::write(&yes, "1\n").unwrap();
    let switch = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
    run(&format!("ip netns exec {} cp {} {switch}", lab.ns(0), yes.display()));
    let source = lab.source(LEN).display().to_string();
    let args = [source, "only6".to_owned(), "both".to_owned(), "only4".to_owned()];
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(0, "reason"), "this host has no IPv6", "{done:#?}");
    let seconds = done.hosts[0]["seconds"].as_f64().unwrap();
    assert!(seconds < 0.5, "it failed after {seconds} s");
    for (index, ip) in [(1, lab.v4(2)), (2, lab.v4(3))] {
        assert_eq!(done.text(index, "status"), "ok", "{done:#?}");
        assert_eq!(done.text(index, "address"), at(&ip), "{done:#?}");
        assert_eq!(done.text(index, "mode"), "multicast", "{done:#?}");
    }
}
