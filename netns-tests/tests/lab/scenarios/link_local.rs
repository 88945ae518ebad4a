//! Hosts that are addressed on their link alone (RFC 4007): the zone says through which interface.

use super::multicast::{assert_copied, each_group, share};
use crate::copy::copy;
use crate::network::{LEN, Lab};
use crate::shell::run;

/// Every receiver, as it is typed at the sender.
fn hosts(lab: &Lab) -> Vec<String> {
    (1..=3).map(|host| format!("[{}%eth0]", lab.link_local(host))).collect()
}

pub(super) fn once_for_all_by_every_kind_of_group() {
    let lab = Lab::bridge(3);
    let hosts = hosts(&lab);
    lab.link_local(0);
    each_group(&lab, &hosts, &["ff15::7", "ff35::8000:77", "239.255.77.1"]);
    let daemons = lab.daemons();
    let before = lab.bytes(0).0;
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(hosts);
    let done = copy(&lab, &args);
    done.assert_ok();
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes(), ["multicast"; 3]);
    let sent = lab.bytes(0).0 - before;
    assert!(share(&done, sent) <= 1.3, "{} × the file", share(&done, sent));
}

pub(super) fn an_address_that_is_still_tentative() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(hosts(&lab));
    // The sender's only IPv6 address is a new one, which its system is about to ask for twins.
    run(&format!("ip -n {} -6 addr flush dev eth0", lab.ns(0)));
    run(&format!("ip -n {} addr add fe80::77/64 dev eth0", lab.ns(0)));
    let before = lab.bytes(0).0;
    let done = copy(&lab, &args);
    done.assert_ok();
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes(), ["multicast"; 3]);
    let sent = lab.bytes(0).0 - before;
    assert!(share(&done, sent) <= 1.3, "{} × the file", share(&done, sent));
}

pub(super) fn zones_that_lead_nowhere_fail_alone() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let ns = lab.ns(0);
    run(&format!("ip -n {ns} link add dry0 type veth peer name dry1"));
    run(&format!("ip -n {ns} link set dry0 up addrgenmode none"));
    let [a, b, c] = [1, 2, 3].map(|host| lab.link_local(host));
    let cases = [
        (format!("[{a}%nosuch0]"), "there is no interface nosuch0"),
        (format!("[{a}]"), "write [ADDRESS%INTERFACE]"),
        (format!("[{a}%dry0]"), "dry0 has no IPv6 address"),
        (format!("[{}%eth0]", lab.v6(1)), "only a link-local address"),
    ];
    let good = [a, b, c].map(|addr| format!("[{addr}%eth0]"));
    let mut args = vec![lab.source(LEN).display().to_string()];
    args.extend(cases.iter().map(|(host, _)| host.clone()).chain(good));
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    for (index, (host, why)) in cases.iter().enumerate() {
        assert_eq!(done.text(index, "status"), "failed", "{host}");
        assert!(done.text(index, "reason").contains(why), "{host}: {done:#?}");
        assert_eq!(done.hosts[index]["seconds"], 0.0, "{host} is not even tried: {done:#?}");
    }
    assert_copied(&lab, &daemons);
    assert_eq!(done.modes()[4..], ["multicast"; 3], "{done:#?}");
}
