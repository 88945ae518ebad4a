//! The program on loopback, with receivers in this process: what it prints, and how it ends.

#[path = "common/receiver.rs"]
mod receiver;
#[path = "common/wait.rs"]
mod wait;

use receiver::Receiver;
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tcpxm::api::ListenOptions;
use tcpxm::trust::ListenTrust;
use tempfile::TempDir;
use wait::wait_until;

/// A receiver that joins no other group than this.
fn held_to(only_group: Option<SocketAddr>, last: u8) -> Receiver {
    let addr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
    Receiver::with(ListenOptions { only_group, ..ListenOptions::new(addr, ListenTrust::Loopback) })
}

fn source(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn mcp() -> Command {
    // SIGINT ends it, even if these tests run in the background of a script, which has it ignored.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_mcp")]);
    // Loopback has no IPv4 route for groups by itself on every system, but always its interface.
    command.args(["--interface", "lo"]).stdin(Stdio::null());
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

/// The hosts that failed are tried again: one that has come up meanwhile has it then. The summary is that of all tries,
/// also where the last one reaches nobody.
#[test]
fn hosts_that_failed_are_tried_again() {
    let bytes = vec![7; 300_000];
    let (_dir, path) = source(&bytes);
    for comes in [true, false] {
        let first = Receiver::new(2);
        // At an address that no other test has, since the port is free until somebody listens there.
        let own = Ipv4Addr::new(127, 0, 0, 91);
        let addr = UdpSocket::bind((own, 0)).unwrap().local_addr().unwrap();
        let late = if comes { format!("{addr}:") } else { "nobody.invalid".to_owned() };
        let mut command = mcp();
        command.args(["--json", "--stats", "--retry", "1"]).arg(&path);
        command.args([first.host(""), late]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let again = |line: io::Result<String>| line.unwrap().contains("trying 1 host again");
        assert!(said.any(again));
        let second = comes.then(|| Receiver::with(ListenOptions::new(addr, ListenTrust::Loopback)));
        let output = running.wait_with_output().unwrap();
        let left: Vec<String> = said.map(Result::unwrap).collect();
        assert_eq!(output.status.code(), Some(if comes { 0 } else { 3 }), "{left:?}");
        let lines = lines(&output);
        assert_eq!(
            (&lines[0]["tries"], &lines[1]["tries"]),
            (&Value::Null, &2.into()),
            "{lines:#?}"
        );
        let (summary, ok) = (&lines[2], if comes { 2 } else { 1 });
        assert_eq!(
            (&summary["ok"], &summary["bytes"]),
            (&ok.into(), &300_000.into()),
            "{summary:#}"
        );
        assert_eq!(summary["stats"]["files"], 1, "{summary:#}");
        let sent = summary["unicast_bytes_sent"].as_u64().unwrap();
        assert!((ok * 300_000..ok * 300_000 + 100_000).contains(&sent), "{summary:#}");
        drop(second);
    }
}

#[test]
fn every_host_gets_it_where_it_was_told() {
    let receivers = [2, 3, 4].map(Receiver::new);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let (_dir, path) = source(&bytes);
    let hosts = [receivers[0].host(""), receivers[1].host("a/b"), receivers[2].host("c/")];
    let output = mcp().args(["--json", "-v"]).arg(&path).args(&hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    for ((line, host), (receiver, at)) in
        lines.iter().zip(&hosts).zip(receivers.iter().zip(["file", "a/b", "c/file"]))
    {
        assert_eq!((&line["host"], &line["status"]), (&host.as_str().into(), &"ok".into()));
        assert_eq!(line["digest"], blake3::hash(&bytes).to_hex().to_string());
        assert_eq!(line["bytes"], bytes.len());
        let parts = ["multicast_bytes", "unicast_bytes"].map(|part| line[part].as_u64().unwrap());
        assert_eq!(parts.iter().sum::<u64>(), bytes.len() as u64);
        assert!(line["events"].is_array() && line["reason"].is_null());
        assert!(fs::read(receiver.folder.path().join(at)).unwrap() == bytes, "{host}");
    }
    let summary = &lines[3];
    assert_eq!((&summary["status"], &summary["ok"]), (&"ok".into(), &3.into()));
    assert_eq!((&summary["bytes"], &summary["retry_hosts"]), (&bytes.len().into(), &"".into()));
}

#[test]
fn who_fails_is_named_and_the_others_have_it() {
    let receiver = Receiver::new(2);
    let gone = Receiver::new(3).host("x"); // nobody listens there any more
    let (_dir, path) = source(b"bytes");
    let hosts = [receiver.host(""), gone.clone(), "no-such-host.invalid".to_owned()];
    let output = mcp().arg("--json").arg(&path).args(&hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", messages(&output));
    let lines = lines(&output);
    let reason = lines[1]["reason"].as_str().unwrap();
    assert!(reason.contains(": nobody listens, "), "{reason}");
    assert!(lines[2]["reason"].as_str().unwrap().starts_with("its name "));
    assert_eq!(lines[3]["retry_hosts"], format!("{gone},no-such-host.invalid"));
    assert_eq!(lines[3]["status"], "partial");
    let said = messages(&output);
    for host in &hosts[1..] {
        assert_eq!(said.lines().filter(|line| line.contains(host.as_str())).count(), 1, "{said}");
    }
    // Whom to try again can be said as it was told, also in a list.
    let again = lines[3]["retry_hosts"].as_str().unwrap();
    let none = mcp().arg("--json").arg(&path).arg(again).output().unwrap();
    assert_eq!(none.status.code(), Some(1), "{}", messages(&none));
    let list = path.with_file_name("hosts");
    fs::write(&list, again).unwrap();
    let listed = mcp().arg("--json").arg(&path).arg("--hosts").arg(list).output().unwrap();
    assert_eq!(listed.status.code(), Some(1), "{}", messages(&listed));
    for output in [none, listed] {
        assert_eq!(self::lines(&output)[2]["retry_hosts"], again);
    }
}

/// Beside what went where: why a host is not on the group, in its own words if it has any.
#[test]
fn who_is_not_on_the_group_is_told_with_the_reason() {
    let only: SocketAddr = "239.255.71.40:8737".parse().unwrap();
    let held = [2, 3].map(|last| held_to(Some(only), last));
    let hosts = held.each_ref().map(|receiver| receiver.host(""));
    let (_dir, path) = source(&vec![7; 1 << 20]);
    let group = ["--group", "239.255.71.41"];
    let output = mcp().args(group).arg("--json").arg(&path).args(&hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    let why = "it cannot join the group: this host joins only 239.255.71.40:8737";
    for line in &lines(&output)[..2] {
        assert_eq!((&line["mode_reason"], &line["reason"]), (&why.into(), &().into()), "{line}");
    }
    let said = messages(&output);
    assert_eq!(said.matches("none of the 2 hosts can join").count(), 1, "{said}");
    let output = mcp().args(group).arg(&path).args(&hosts).output().unwrap();
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    let line = format!("not by the group: {}, {}: {why}", hosts[0], hosts[1]);
    assert!(table.lines().any(|shown| shown == line), "{table}");

    let group = ["--group", "239.255.71.40", "--json", "-q"];
    let output = mcp().args(group).arg(&path).args(&hosts).output().unwrap();
    assert_eq!(messages(&output), "");
    let lines = lines(&output);
    assert!(lines[..2].iter().all(|line| line["mode"] == "multicast"), "{lines:?}");
    assert!(lines[..2].iter().all(|line| line["mode_reason"].is_null()), "{lines:?}");
    // A group for routers, which nobody may use, and a host that is not there.
    let gone = Receiver::new(4).host("");
    let args = ["--group", "224.0.0.9", "--json"];
    let output = mcp().args(args).arg(&path).args([&hosts[0], &gone]).output().unwrap();
    let lines = self::lines(&output);
    let why = lines[0]["mode_reason"].as_str().unwrap();
    assert!(why.starts_with("the group cannot be used: 224.0.0.9"), "{why}");
    assert_eq!(lines[1]["mode_reason"], "it has never answered");
}

#[test]
fn more_is_told_when_more_is_asked_for() {
    let receivers = [2, 3].map(Receiver::new);
    let hosts = receivers.each_ref().map(|receiver| receiver.host(""));
    let (_dir, path) = source(&vec![7; 4 << 20]);
    let said = |verbose: &[&str]| {
        let output = mcp().args(verbose).arg(&path).args(&hosts).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
        messages(&output)
    };
    assert_eq!(said(&[]), "");
    let once = said(&["-v"]);
    assert!(once.contains("mcp: the group is 232."), "{once}");
    assert!(once.contains(":8737, sent through lo from 127.0.0.1\n"), "{once}");
    for (host, receiver) in hosts.iter().zip(&receivers) {
        assert!(once.contains(&format!("mcp: {host} is at {}\n", receiver.addr)), "{once}");
        let changes = once.lines().filter(|line| line.starts_with(&format!("mcp: {host}: ")));
        let changes: Vec<_> = changes.collect();
        assert!(changes[0].ends_with(" seconds: hears the group"), "{once}");
        assert!(changes.last().unwrap().ends_with(" seconds: ended"), "{once}");
    }
    let twice = said(&["-vv"]);
    assert!(twice.contains("has answered") && twice.contains("DEBUG"), "{twice}");
    assert!(twice.lines().count() < once.lines().count() + 100, "not for each segment: {twice}");
}

#[test]
fn variables_and_a_file_stand_behind_the_options() {
    let receiver = Receiver::new(2);
    let (dir, path) = source(b"bytes");
    let config = dir.path().join("mcp.toml");
    fs::write(&config, "json = true\nrate = \"50M\"\n").unwrap();
    let host = receiver.host("");
    let output = mcp().env("MCP_CONFIG", &config).arg(&path).arg(&host).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    assert_eq!(lines(&output).len(), 2, "JSON, as the file says");
    let output = mcp().env("MCP_JSON", "1").arg(&path).arg(&host).output().unwrap();
    assert_eq!(lines(&output).len(), 2, "JSON, as the variable says");
    fs::write(&config, "no-such-key = 1\n").unwrap();
    let output = mcp().arg("--config").arg(&config).arg(&path).arg(&host).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(messages(&output).contains("no-such-key"), "{}", messages(&output));
}

#[test]
fn what_is_wrong_here_ends_it_before_anything_is_sent() {
    let (_dir, path) = source(b"bytes");
    let path = path.display().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["/no/such/file", "127.0.0.2"], 1, "No such file"),
        (&["-", "127.0.0.2"], 2, "standard input has no name"),
        (&[&path, "127.0.0.2:../x"], 2, ".."),
        (&[&path], 2, "no host"),
        (&[&path, "n[2-1]"], 2, "range"),
        (&[&path, "n[1-65537]"], 2, "names 65537 hosts, more than the 65536"),
        (&[&path, "127.7.[0-4].[1-250]"], 1, "1250 receivers given, at most 1024 can be served"),
        (&["/proc/version", "127.0.0.2"], 1, "its length is not what it holds"),
        (&["/dev/zero", "127.0.0.2"], 1, "is a socket, a pipe or a device"),
        (&["--bad", &path, "127.0.0.2"], 2, "--bad"),
        (&["--interface", "none0", &path, "127.0.0.2"], 1, "none0"),
    ];
    for (args, code, what) in cases {
        let output =
            Command::new(env!("CARGO_BIN_EXE_mcp")).args(*args).stdin(Stdio::null()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {}", messages(&output));
        assert!(messages(&output).contains(what), "{args:?}: {}", messages(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_is_printed_as_a_subcommand() {
    for args in [&["help"][..], &["--json", "help"], &["help", "demo"]] {
        let output = mcp().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", messages(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: mcp"), "{args:?}");
    }
}

#[test]
fn the_status_is_told_and_an_interrupt_ends_it_with_130() {
    use std::io::{BufRead, BufReader};
    let receiver = Receiver::new(2);
    let (_dir, path) = source(&vec![7; 32 << 20]);
    let mut child = mcp()
        .args(["--rate", "20M"])
        .arg(&path)
        .arg(receiver.host(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let pid = rustix::process::Pid::from_child(&child);
    let signal = |signal| rustix::process::kill_process(pid, signal).unwrap();
    wait_until("the copy has begun", || fs::read_dir(receiver.folder.path()).unwrap().count() > 0);
    signal(rustix::process::Signal::USR1);
    let status = said.by_ref().map_while(Result::ok).find(|line| line.contains(" %"));
    assert!(status.is_some_and(|line| line.contains("127.0.0.2")));
    signal(rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_until("the receiver is clean", || {
        fs::read_dir(receiver.folder.path()).unwrap().count() == 0
    });
}
