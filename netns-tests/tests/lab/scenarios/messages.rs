//! What the programs say to each other's people: transcripts on the loopback of this namespace, with disks of their own.
//! How a transcript is written and brought up to date is said in `CONTRIBUTING.md`.

#[path = "../../../../mcp/tests/messages/transcript.rs"]
mod transcript;

use crate::network::Lab;
use crate::programs;

/// Compares a topic.
fn check(name: &str) {
    let _lab = Lab::bridge(0); // for its loopback
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");
    let program = programs::path("mcp").display().to_string();
    // In one locale: what differs between them is shown by the topics that take no time.
    transcript::check((folder, name), &program, &["C.UTF-8"], || (Vec::new(), ()));
}

pub(super) fn sessions_in_the_daemons_log() {
    check("sessions");
}

pub(super) fn disks_that_take_nothing() {
    check("disks");
}

pub(super) fn keys_that_meet() {
    check("contact");
}

pub(super) fn a_group_that_is_heard() {
    check("group");
}

pub(super) fn configuration_that_is_read_again() {
    check("reload");
}
