//! Runs the real binary in a scratch folder of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The command, with every temporary file below `scratch`.
pub(crate) fn mcp(scratch: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command.env("TMPDIR", scratch.path()).env_remove("MCP_GROUP").env_remove("MCP_JSON");
    command
}

/// Runs it to its end; whatever happened, nothing may be left behind.
pub(crate) fn run(args: &[&str]) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    let output = mcp(&scratch).args(args).output().unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{output:?}");
    output
}

/// A file of `len` bytes that does not repeat itself.
pub(crate) fn file(path: &Path, len: u64) {
    let mut reader = blake3::Hasher::new().update(b"contents").finalize_xof();
    let mut bytes = std::io::Read::take(&mut reader, len);
    std::io::copy(&mut bytes, &mut File::create(path).unwrap()).unwrap();
}

/// The output's text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
