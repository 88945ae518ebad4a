//! What is changed, where the sender has no room for all that hosts say of it.

#[path = "common/receiver.rs"]
mod receiver;

use receiver::Receiver;
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

/// More than is held in memory of one host.
const FILES: usize = 4200;
/// Blocks of 512 bytes that a file may have: enough for the list of entries, and not for what four hosts say of them.
const BLOCKS: &str = "ulimit -f 270 && exec \"$0\" \"$@\"";

/// Runs the program with files that may not grow any further.
fn mcp(args: &[&str], hosts: &[String]) -> (Vec<Value>, Output) {
    let mut command = Command::new("sh");
    command.args(["-c", BLOCKS, env!("CARGO_BIN_EXE_mcp"), "--interface", "lo"]);
    command.args(args).args(hosts).stdin(Stdio::null());
    let output = command.env("MCP_STATE_DIR", "/nonexistent/state").output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let objects = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (objects, output)
}

/// A copy is what it is; a dry run has not done what it is for.
#[test]
fn hosts_that_have_everything_are_ok_where_the_list_of_changes_is_lost() {
    let receivers = [20, 21, 22, 23].map(Receiver::new);
    let hosts = receivers.each_ref().map(|receiver| receiver.host("to"));
    let dir = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        File::create(dir.path().join(n.to_string())).unwrap();
    }
    let source = format!("{}/", dir.path().display());
    for (option, code) in [("-n", 1), ("-i", 0)] {
        let (objects, output) = mcp(&["-a", option, "--json", &source], &hosts);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{option}: {error}");
        assert!(error.contains("is told in part"), "{option}: {error}");
        assert!(error.contains("TMPDIR names another folder"), "{option}: {error}");
        let [rows @ .., _] = &objects[..] else { panic!("{output:?}") };
        assert_eq!(rows.len(), hosts.len());
        for row in rows {
            assert_eq!(row["status"], "ok", "{option}");
            let left_out = row["changes_left_out"].as_u64().unwrap_or(0) as usize;
            let listed = row["changes"].as_array().unwrap().len();
            assert_eq!(listed + left_out, FILES + 1, "{option}");
            assert_eq!(row["changes_lost"].is_string(), left_out > 0, "{option}");
        }
        assert!(rows.iter().any(|row| row["changes_lost"].is_string()), "{option}");
    }
    let there = fs::read_dir(receivers[3].folder.path().join("to")).unwrap();
    assert_eq!(there.count(), FILES);
}
