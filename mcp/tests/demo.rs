//! `mcp demo` as a user runs it.

mod common;

use common::{file, mcp, run, text};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

/// The table's rows, cut into columns.
fn rows(stdout: &str) -> Vec<Vec<&str>> {
    stdout.lines().skip(1).take(3).map(|line| line.split_whitespace().collect()).collect()
}

/// The numbers of the last line, in order: group bytes, unicast bytes.
fn totals(stdout: &str) -> (u64, u64) {
    let last = stdout.lines().last().unwrap();
    let mut numbers = last.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Bytes that a file holds: a linker may leave holes.
fn data(path: &Path) -> u64 {
    use rustix::fs::{SeekFrom, seek};
    let file = File::open(path).unwrap();
    let (mut at, mut sum) = (0, 0);
    while let Ok(begin) = seek(&file, SeekFrom::Data(at)) {
        at = seek(&file, SeekFrom::Hole(begin)).unwrap();
        sum += at - begin;
    }
    sum
}

#[test]
fn its_own_binary_crosses_once_by_multicast() {
    let output = run(&["demo"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let rows = rows(&stdout);
    let hosts: Vec<_> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(hosts, ["127.0.0.2", "127.0.0.3", "127.0.0.4"], "{stdout}");
    let len = data(Path::new(env!("CARGO_BIN_EXE_mcp")));
    for row in &rows {
        assert_eq!((row[1], row[7]), ("multicast", "verified"), "{stdout}");
        let bytes: u64 = row[2].parse::<u64>().unwrap() + row[3].parse::<u64>().unwrap();
        assert_eq!(bytes, len, "each byte counted where it first arrived\n{stdout}");
    }
    let (group, unicast) = totals(&stdout);
    assert!(group * 10 >= len * 9, "≥ 90 % by the group: {stdout}");
    assert!((group + unicast) * 10 <= len * 12, "≤ 1.2 × the file in all: {stdout}");
}

#[test]
fn a_group_that_nobody_may_join_means_unicast() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    file(&path, 3_000_001);
    // All hosts of the link (RFC 1112, section 4): never a group for data.
    let output = run(&["demo", path.to_str().unwrap(), "--group", "224.0.0.1"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    for row in rows(&stdout) {
        assert_eq!((row[1], row[2], row[3]), ("unicast", "0", "3000001"), "{stdout}");
        assert_eq!(row[7], "verified", "{stdout}");
    }
    assert!(stderr.contains("224.0.0.1") && stderr.contains("going on by unicast"), "{stderr}");
    let (group, unicast) = totals(&stdout);
    assert_eq!(group, 0);
    assert!(unicast >= 3 * 3_000_001, "{stdout}");
}

#[test]
fn json_is_one_object_per_host_and_a_summary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    file(&path, 100_000);
    let output = run(&["demo", "--json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex();
    for host in &lines[..3] {
        assert_eq!((&host["status"], &host["bytes"]), (&"ok".into(), &100_000.into()));
        assert_eq!(host["digest"], digest.as_str());
    }
    assert_eq!((&lines[3]["status"], &lines[3]["hosts"]), (&"ok".into(), &3.into()));
    assert_eq!(lines[3]["retry_hosts"], "");
}

#[test]
fn an_empty_file_is_copied_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty");
    file(&path, 0);
    let output = run(&["demo", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout).matches("verified").count(), 3);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = run(&["demo", "no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).starts_with("mcp: cannot open no/such/file: "), "{output:?}");
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    let bad: [&[&str]; 5] = [
        &[],
        &["demo", "--no-such-option"],
        &["demo", "a", "b"],
        &["demo", "--group", "10.0.0.1"],
        &["no-such-command"],
    ];
    for args in bad {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&["demo", "--help"]).status.code(), Some(0));
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long");
    // Sparse, and long enough to be still on its way when the signal comes.
    std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let mut child = mcp(&scratch)
        .args(["demo".as_ref(), path.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.starts_with("mcp: copying "), "{said}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{said}");
}

#[test]
fn a_limit_of_size_fails_the_copies_and_does_not_kill_it() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    file(&path, 1 << 20);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -f 100; exec \"$0\" demo \"$1\"", env!("CARGO_BIN_EXE_mcp")]);
    let output = command.arg(&path).env("TMPDIR", scratch.path()).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert_eq!(stdout.matches("File too large").count(), 3, "{stdout}{stderr}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
