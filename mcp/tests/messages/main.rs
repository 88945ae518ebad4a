//! What `mcp` says: transcripts on loopback, a file for each topic, and what it draws on a terminal.

#[path = "../common/receiver.rs"]
mod receiver;
mod terminal;
mod transcript;

use receiver::Receiver;
use std::net::UdpSocket;

/// Compares a topic; `$A` and `$B` are receivers, nobody listens at `$NOBODY`, and who does at `$SILENT` says nothing.
fn check(name: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages");
    transcript::check((folder, name), env!("CARGO_BIN_EXE_mcp"), &["C", "C.UTF-8"], begin);
}

fn begin() -> (transcript::Variables, ([Receiver; 2], UdpSocket)) {
    let receivers = [2, 3].map(Receiver::new);
    let [nobody, silent] =
        ["127.0.0.4:0", "127.0.0.5:0"].map(|addr| UdpSocket::bind(addr).unwrap());
    let [a, b] = receivers.each_ref().map(|receiver| receiver.addr);
    let addrs = [
        ("A", a),
        ("B", b),
        ("NOBODY", nobody.local_addr().unwrap()),
        ("SILENT", silent.local_addr().unwrap()),
    ];
    drop(nobody);
    let mut variables: transcript::Variables =
        addrs.map(|(name, addr)| (name, addr.to_string())).into();
    variables.push(("PORT", addrs[2].1.port().to_string()));
    variables.push(("SILENT_PORT", addrs[3].1.port().to_string()));
    (variables, (receivers, silent))
}

#[test]
fn how_it_is_called() {
    check("usage");
}

#[test]
fn hosts_as_they_are_typed() {
    check("hosts");
}

#[test]
fn values_of_options_variables_and_files() {
    check("options");
}

#[test]
fn what_was_meant_otherwise() {
    check("slips");
}

#[test]
fn secrets_and_keys() {
    check("keys");
}

#[test]
fn copies_and_their_ends() {
    check("copies");
}

#[test]
fn trees_and_what_is_left_out() {
    check("trees");
}

#[test]
fn rules_and_lists() {
    check("rules");
}

#[test]
fn digests() {
    check("digest");
}
