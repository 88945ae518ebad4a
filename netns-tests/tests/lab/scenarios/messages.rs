//! What the programs say to each other's people: transcripts on the loopback of this namespace, with disks of their own.
//! How a transcript is written and brought up to date is said in `CONTRIBUTING.md`.

#[path = "../../../../mcp/tests/messages/transcript.rs"]
mod transcript;

use crate::network::Lab;
use crate::programs;

/// Compares a topic, in which the hosts' namespaces are in the variables `S` (the sender's) and `R1`, `R2`...
fn check(name: &str, receivers: usize) {
    const HOSTS: [&str; 4] = ["S", "R1", "R2", "R3"];
    let lab = Lab::bridge(receivers);
    let variables = || {
        let hosts = HOSTS[..=receivers].iter().enumerate();
        hosts.map(|(host, &variable)| (variable, lab.ns(host))).collect()
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");
    let program = programs::path("mcp").display().to_string();
    // In one locale: what differs between them is shown by the topics that take no time.
    transcript::check((folder, name), &program, &["C.UTF-8"], || (variables(), ()));
}

pub(super) fn sessions_in_the_daemons_log() {
    check("sessions", 0);
}

pub(super) fn disks_that_take_nothing() {
    check("disks", 0);
}

pub(super) fn keys_that_meet() {
    check("contact", 0);
}

pub(super) fn a_group_that_is_heard() {
    check("group", 0);
}

pub(super) fn configuration_that_is_read_again() {
    check("reload", 0);
}

pub(super) fn interfaces_addresses_and_firewalls() {
    check("ways", 3);
}
