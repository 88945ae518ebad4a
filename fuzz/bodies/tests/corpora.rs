//! What the fuzz targets have found, replayed: `fuzz/corpus/<target>/`, one input a file.

use std::fs;
use std::path::Path;

/// Fewer would mean that nothing was replayed.
const LEAST: usize = 10;

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(corpus)
        .expect("a corpus")
        .map(|entry| entry.expect("an input").path())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= LEAST, "{}", inputs.len());
    for path in inputs {
        let input = fs::read(&path).expect("an input");
        // Shown if it falls.
        println!("{}", path.display());
        body(&input);
    }
}

#[test]
fn datagram() {
    replay("datagram", fuzz_bodies::datagram);
}

#[test]
fn handshake() {
    replay("handshake", fuzz_bodies::handshake);
}

#[test]
fn tlvs_and_records() {
    replay("tlvs_and_records", fuzz_bodies::tlvs_and_records);
}

#[test]
fn key_files() {
    replay("key_files", fuzz_bodies::key_files);
}

#[test]
fn filters() {
    replay("filters", fuzz_bodies::filters);
}

#[test]
fn manifest() {
    replay("manifest", fuzz_bodies::manifest);
}

#[test]
fn any_bytes_are_an_input() {
    for body in [
        fuzz_bodies::datagram,
        fuzz_bodies::handshake,
        fuzz_bodies::tlvs_and_records,
        fuzz_bodies::key_files,
        fuzz_bodies::filters,
        fuzz_bodies::manifest,
    ] {
        body(&[]);
        for kind in 0..=u8::MAX {
            body(&[kind]);
            body(&[kind, 0x80, 1, 2, 3, 4, 5, 6, 7]);
        }
    }
}
