//! What `mcpd` says before it serves: transcripts, a file for each topic.

#[path = "../../../mcp/tests/messages/transcript.rs"]
mod transcript;

use std::net::UdpSocket;

/// Compares a topic; `$BUSY` is an address that another program listens on, `$FREE` one that nobody does.
fn check(name: &str) {
    let begin = || {
        let sockets = ["127.0.0.6:0", "127.0.0.8:0"].map(|addr| UdpSocket::bind(addr).unwrap());
        let [busy, free] =
            sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
        let [busy_socket, _] = sockets;
        (vec![("BUSY", busy), ("FREE", free)], busy_socket)
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages");
    transcript::check((folder, name), env!("CARGO_BIN_EXE_mcpd"), &["C", "C.UTF-8"], begin);
}

#[test]
fn how_it_is_called() {
    check("usage");
}

#[test]
fn secrets_keys_and_their_files() {
    check("keys");
}
