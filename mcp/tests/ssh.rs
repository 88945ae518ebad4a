//! `--ssh` with programs in the place of ssh: what becomes of one that does not do what ssh does.

use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A copy with this script as ssh, in a folder of its own, to one host; its row, and how long it took.
fn copy(dir: &Path, script: &str, host: &str) -> (Value, Duration) {
    let (ssh, file) = (dir.join("ssh"), dir.join("file"));
    fs::write(&file, "x").unwrap();
    fs::write(&ssh, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let mut mcp = Command::new(env!("CARGO_BIN_EXE_mcp"));
    mcp.env("PATH", path).env("DIR", dir).args(["--ssh", "--json"]).arg(&file);
    mcp.arg(format!("{host}:x"));
    let begin = Instant::now();
    let output = mcp.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().next().unwrap_or_else(|| panic!("{:?}", output.stderr));
    (serde_json::from_str(row).unwrap(), begin.elapsed())
}

/// As ssh leaves its master behind, which has shared connections to give.
#[test]
fn who_is_left_behind_with_standard_error_holds_nobody_up() {
    /// So long it is left behind, unless it is ended; and what the copy may take, far from that on any machine.
    const LEFT: u32 = 30;
    const LONG: Duration = Duration::from_secs(15);
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "sleep {LEFT} </dev/null >/dev/null &\necho $! >\"$DIR/left\"\necho 'sh: mcpd: not found' >&2\nexit 127"
    );
    let (row, took) = copy(dir.path(), &script, "host");
    let left: i32 = fs::read_to_string(dir.path().join("left")).unwrap().trim().parse().unwrap();
    let left = rustix::process::Pid::from_raw(left).unwrap();
    let ended = rustix::process::kill_process(left, rustix::process::Signal::TERM);
    assert!(row["reason"].as_str().unwrap().contains("mcpd is not installed there"), "{row}");
    assert!(ended.is_ok() && took < LONG, "{took:?}, {ended:?}");
}

/// At the end of a tunnel a host takes itself for loopback, which is this host here.
#[test]
fn loopback_there_is_not_loopback_here() {
    let dir = tempfile::tempdir().unwrap();
    let line = r#"{"address":"127.0.0.1","port":1,"directory":"/"}"#;
    let script = format!("read secret; echo '{line}'; exec cat >/dev/null");
    for (host, why) in [
        (
            "host.invalid",
            "127.0.0.1, by which ssh has reached it, means nothing here, and its name",
        ),
        ("127.0.0.5", "nobody listens at 127.0.0.5, udp port 1: the daemon there has ended"),
    ] {
        let (row, _) = copy(dir.path(), &script, host);
        assert!(row["reason"].as_str().unwrap().starts_with(why), "{row}");
    }
}
