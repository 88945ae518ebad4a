#!/usr/bin/env bash
# snow 0.10.0: a message that HandshakeState::read_message refuses may leave the state unable to read the
# right message that follows. Seen on 2026-11-27 with snow 0.10.0.
#
# read_message keeps a checkpoint of the handshake hash and the chaining key and restores both on an error, but
# not the cipher's key and counter. In the third message of XX (`s, se`) the key `s` is decrypted first; then
# `se` mixes a new key, and the payload's tag is checked under that. If that tag is wrong, hash and chaining key
# go back, the cipher keeps the key of `se`, and the right message, which comes next, fails at `s`.
#
# Why it matters: over UDP anybody can send a datagram with one bit changed, before the right one. A responder
# that keeps its HandshakeState would never complete that handshake; it must rebuild its state from what it
# was begun with (here: seal/exchange.rs does). It is a matter of robustness; nothing is disclosed.
#
# Makes a project in a folder of its own, of our own messages and one changed bit. Exit 0: as described;
# 1: it behaves otherwise (a newer snow has mended it, say); 2: it could not be built.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "failed-read"
version = "0.0.0"
edition = "2021"
[dependencies]
snow = "=0.10.0"
[workspace]
TOML
cat > "$folder/src/main.rs" <<'RUST'
use snow::{Builder, HandshakeState};

/// Both ends behind the second message, and the third.
fn until_the_third() -> (HandshakeState, Vec<u8>) {
    let params = || "Noise_XX_25519_AESGCM_SHA256".parse().unwrap();
    let key = || Builder::new(params()).generate_keypair().unwrap().private;
    let (one, two) = (key(), key());
    let mut initiator =
        Builder::new(params()).local_private_key(&one).unwrap().build_initiator().unwrap();
    let mut responder =
        Builder::new(params()).local_private_key(&two).unwrap().build_responder().unwrap();
    let (mut message, mut payload) = ([0; 1024], [0; 1024]);
    let len = initiator.write_message(&[], &mut message).unwrap();
    responder.read_message(&message[..len], &mut payload).unwrap();
    let len = responder.write_message(&[], &mut message).unwrap();
    initiator.read_message(&message[..len], &mut payload).unwrap();
    let len = initiator.write_message(b"third", &mut message).unwrap();
    (responder, message[..len].to_vec())
}

/// What comes of the right third message behind one in which this byte's lowest bit was changed.
fn behind(changed: Option<usize>) -> bool {
    let (mut responder, third) = until_the_third();
    let mut payload = [0; 1024];
    if let Some(at) = changed {
        let mut bad = third.clone();
        bad[at] ^= 1;
        assert!(responder.read_message(&bad, &mut payload).is_err(), "a changed message is refused");
    }
    let read = responder.read_message(&third, &mut payload);
    println!("changed byte {changed:?}: the right message behind it gives {read:?}");
    read.is_ok()
}

fn main() {
    // 48 bytes of `s` with its tag, then the payload and its tag.
    let alone = behind(None);
    let in_the_key = behind(Some(3));
    let in_the_payload = behind(Some(50));
    let as_described = alone && in_the_key && !in_the_payload;
    println!("as described: {as_described}");
    std::process::exit(i32::from(!as_described));
}
RUST
cd "$folder"
cargo build --quiet || exit 2
exec_status=0
"${CARGO_TARGET_DIR:-target}"/debug/failed-read || exec_status=1
exit "$exec_status"
