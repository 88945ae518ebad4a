//! Copies that are killed in the middle, and the ones that go on with what they have left.

#[path = "common/receiver.rs"]
mod receiver;
#[path = "common/wait.rs"]
mod wait;

use receiver::Receiver;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use wait::wait_until;

const MIB: u64 = 1 << 20;

fn command(options: &[&str], file: &Path, hosts: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command.args(["--interface", "lo", "--json"]).args(options).arg(file).args(hosts);
    command.env("MCP_STATE_DIR", "/nonexistent/state").stdin(Stdio::null());
    command
}

/// A copy that takes its time, to be killed.
fn slow(file: &Path, hosts: &[String]) -> Child {
    let mut command = command(&["--rate", "400M"], file, hosts);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    // It may have ended by itself just now.
    let _ = kill_process(Pid::from_child(&child), Signal::KILL);
    child.wait().unwrap();
}

/// A file of `len` bytes that follows from a seed.
fn file(path: &Path, len: u64, seed: u64) {
    let mut bytes = vec![0; len as usize];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// What stands in a receiver's folder beside what has the file's name.
fn beside(receiver: &Receiver) -> Vec<PathBuf> {
    let entries = fs::read_dir(receiver.folder.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().is_none_or(|name| name != "file")).collect()
}

fn is_partial(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let kind = path.extension().and_then(|kind| kind.to_str());
    name.starts_with(".mcp-") && matches!(kind, Some("partial" | "state"))
}

/// Blocks that a receiver has noted: a state has 40 bytes and 48 for each (`transfer/src/place/partial.rs`).
fn noted(receiver: &Receiver) -> u64 {
    let states = beside(receiver);
    let mut states = states.iter().filter(|path| path.extension().is_some_and(|e| e == "state"));
    let len = states.next().and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.len());
    len.saturating_sub(40) / 48
}

fn summary(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn what_was_broken_off_in_the_middle_is_gone_on_with() {
    let len = 64 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    file(&path, len, 1);
    let receivers = [2, 3, 4].map(Receiver::new);
    let hosts = receivers.each_ref().map(|receiver| receiver.host(""));
    let copy = slow(&path, &hosts);
    wait_until("half of it is there", || {
        receivers.iter().all(|receiver| noted(receiver) * MIB >= len / 2)
    });
    kill(copy);
    let output = command(&[], &path, &hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = summary(&output);
    let sent = ["group_bytes_sent", "unicast_bytes_sent"].map(|key| summary[key].as_u64().unwrap());
    assert!(sent[0] + sent[1] <= len * 6 / 10, "{sent:?} of {len}");
    for receiver in &receivers {
        assert!(fs::read(receiver.folder.path().join("file")).unwrap() == fs::read(&path).unwrap());
        assert_eq!(beside(receiver), Vec::<PathBuf>::new());
    }
}

#[test]
fn without_resume_nothing_stays_and_all_is_sent() {
    let len = 32 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    file(&path, len, 2);
    let receiver = Receiver::new(2);
    let host = [receiver.host("")];
    let mut child = command(&["--rate", "100M", "--no-resume"], &path, &host);
    let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it has begun", || !beside(&receiver).is_empty());
    assert!(!beside(&receiver).iter().any(|path| is_partial(path)));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    child.wait_with_output().unwrap();
    wait_until("nothing is left", || beside(&receiver).is_empty());
}

/// At random moments: every name is the old file or the new one, whole, and nothing but partial files stands beside.
/// `KILLS` says how often, `TEST_SEED` at which moments.
#[test]
fn killed_at_any_moment_it_leaves_the_old_file_or_the_new_one() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (kills, len) = (number("KILLS").unwrap_or(2), 16 * MIB);
    let seed = number("TEST_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(now.unwrap().subsec_nanos())
    });
    eprintln!("TEST_SEED={seed} KILLS={kills} shows this again");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    file(&path, len, 0);
    let receiver = Receiver::new(2);
    let host = [receiver.host("")];
    let there = receiver.folder.path().join("file");
    let begin = Instant::now();
    assert_eq!(command(&["--rate", "400M"], &path, &host).output().unwrap().status.code(), Some(0));
    let whole = begin.elapsed();
    for kill_number in 1..=kills {
        let old = fs::read(&there).unwrap();
        file(&path, len, kill_number);
        let new = fs::read(&path).unwrap();
        let drawn = blake3::hash(&[seed.to_le_bytes(), kill_number.to_le_bytes()].concat());
        let share = u32::from_le_bytes(*drawn.as_bytes().first_chunk().unwrap());
        let moment = whole.mul_f64(f64::from(share) / f64::from(u32::MAX) * 1.1);
        let copy = slow(&path, &host);
        std::thread::sleep(moment); // when it is killed is what is tried
        kill(copy);
        let stands = fs::read(&there).unwrap();
        assert!(stands == old || stands == new, "neither the old file nor the new one, {moment:?}");
        assert!(beside(&receiver).iter().all(|path| is_partial(path)), "{:?}", beside(&receiver));
        let output = command(&["-I"], &path, &host).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{moment:?}: {output:?}");
        assert!(fs::read(&there).unwrap() == new);
        assert_eq!(beside(&receiver), Vec::<PathBuf>::new(), "{moment:?}");
    }
    assert!(whole > Duration::from_millis(100), "a moment in the middle is one");
}
