//! The summary's counters against the loopback interface's own.
//!
//! Alone in its binary, because other traffic on `lo` would be counted too.
//!
//! What is comparable: the interface counts IP packets, so UDP and IP headers, 28 bytes, come on
//! top of each datagram. A train that is sent in one call (UDP GSO) stays one packet on loopback,
//! with one header; so the interface may have seen anything from no header at all to one for each
//! datagram. A group datagram is counted once, however many receivers hear it. The summary's
//! datagrams are those of both ends, the receivers' acknowledgements among them.

mod common;

use common::{file, run, text};

/// UDP (RFC 768) and IPv4 (RFC 791) headers, in bytes.
const HEADERS: u64 = 28;

fn loopback_bytes() -> u64 {
    let counter = std::fs::read_to_string("/sys/class/net/lo/statistics/tx_bytes").unwrap();
    counter.trim().parse().unwrap()
}

#[test]
fn counters_agree_with_the_interface_within_five_percent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let len = 32 << 20;
    file(&path, len);
    let before = loopback_bytes();
    let output = run(&["demo", "--json", path.to_str().unwrap()]);
    let seen = loopback_bytes() - before;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = text(&output.stdout);
    let summary: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let number = |name: &str| summary[name].as_u64().unwrap();

    let least = number("datagram_bytes");
    let most = least + HEADERS * number("datagrams");
    assert!(seen * 100 >= least * 95, "lo: {seen}, counted: {least} to {most}\n{stdout}");
    assert!(seen * 100 <= most * 105, "lo: {seen}, counted: {least} to {most}\n{stdout}");

    let (group, unicast) = (number("group_bytes_sent"), number("unicast_bytes_sent"));
    assert!(group * 10 >= len * 9, "≥ 90 % by the group: {stdout}");
    assert!((group + unicast) * 10 <= len * 12, "≤ 1.2 × the file in all: {stdout}");
    assert!(least >= group + unicast, "payload is a part of the datagrams: {stdout}");
}
