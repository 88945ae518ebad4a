//! The command line on loopback: what is typed as with other tools, and whom to copy to once more.

#[path = "../common/receiver.rs"]
mod receiver;
mod retry;
mod slips;
#[path = "../common/wait.rs"]
mod wait;

use receiver::Receiver;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// What a receiver has got, as names in its folder.
fn has(receiver: &Receiver) -> Vec<String> {
    let entries = fs::read_dir(receiver.folder.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A folder in which the command is run, with a file called `file`.
fn folder(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), bytes).unwrap();
    let path = dir.path().to_owned();
    (dir, path)
}

fn mcp(folder: &PathBuf) -> Command {
    // SIGINT ends it, even if these tests run in the background of a script, which has it ignored.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_mcp")]);
    command.args(["--interface", "lo"]).stdin(Stdio::null()).current_dir(folder);
    command.env("MCP_STATE_DIR", "/nonexistent/state"); // no key: on this host nobody asks for one
    command
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
