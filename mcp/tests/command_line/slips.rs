//! What people type who know other tools.

use crate::{Receiver, folder, has, lines, mcp, messages};
use std::fs;

#[test]
fn what_means_something_else_elsewhere_is_answered_and_nothing_is_sent() {
    let receiver = Receiver::new(2);
    let (_dir, path) = folder(b"bytes");
    fs::write(path.join("other"), b"more").unwrap();
    let host = receiver.host("");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["file", "root@127.0.0.2:x", &host], 2, "there are no users here"),
        (&["file", &host, "-x", "root@h"], 2, "write h"),
        (
            &["file", "other", &host],
            2,
            "several sources take -s each: mcp -s file -s other HOST...",
        ),
        (&["file", "./other", &host], 2, "several sources take -s each"),
        (&["file", &host, "."], 2, ". is a file or folder here"),
        (&["-s", "file", "other", &host], 2, "if it is a host, write other:"),
        (&["127.0.0.2:file", "."], 1, "mcp only sends: to fetch it, run mcp on 127.0.0.2"),
        (&["file", "@no", "--host-groups", "file"], 1, "file, line 1: it is not NAME: HOSTS"),
    ];
    for (args, code, what) in cases {
        let output = mcp(&path).args(*args).output().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {}", messages(&output));
        assert!(messages(&output).contains(what), "{args:?}: {}", messages(&output));
        assert_eq!(messages(&output).lines().count(), 1, "{}", messages(&output));
        assert!(!messages(&output).contains('\\') && output.stdout.is_empty());
    }
    assert_eq!(has(&receiver), [""; 0]);
}

#[test]
fn a_folder_called_as_a_host_keeps_nothing_from_it() {
    let receiver = Receiver::new(1);
    let (_dir, path) = folder(b"bytes");
    for name in ["localhost", "127.0.0.1", "no-such-host.invalid"] {
        fs::create_dir(path.join(name)).unwrap();
    }
    let port = receiver.addr.port().to_string();
    for host in ["localhost", "127.0.0.1"] {
        let output = mcp(&path).args(["--port", &port, "file", host]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
        fs::remove_file(receiver.folder.path().join("file")).unwrap();
    }
    // With its colon it is a host, and fails alone as one.
    let hosts = ["localhost", "no-such-host.invalid:"];
    let output = mcp(&path).args(["--port", &port, "file"]).args(hosts).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", messages(&output));
}

#[test]
fn paths_that_look_like_something_else_are_told_once() {
    let receiver = Receiver::new(2);
    let (_dir, path) = folder(b"bytes");
    let port = receiver.addr.port().to_string();
    let copy = |words: &[&str]| {
        let output = mcp(&path).args(["--port", &port]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
        messages(&output)
    };
    let said = copy(&["file", "127.0.0.2:8738"]);
    assert_eq!(
        said,
        "mcp: 127.0.0.2:8738: 8738 is a file or folder there; port 8738 is written 127.0.0.2:8738:\n"
    );
    let said = copy(&["file", "127.0.0.2:/etc/passwd"]);
    assert!(said.ends_with("127.0.0.2:/etc/passwd is etc/passwd there\n"), "{said}");
    assert_eq!(copy(&["-q", "file", "127.0.0.2:/etc/passwd"]), "");
    let mut has = has(&receiver);
    has.sort();
    assert_eq!(has, ["8738", "etc"]);
}

#[test]
fn a_group_is_its_hosts() {
    let receivers = [2, 3].map(Receiver::new);
    let (_dir, path) = folder(b"bytes");
    let hosts = "pair: 127.0.0.[2-3]\none: @pair\n";
    fs::write(path.join("groups"), hosts).unwrap();
    for receiver in receivers {
        let port = receiver.addr.port();
        let other = if receiver.addr.ip().to_string() == "127.0.0.2" { 3 } else { 2 };
        let out = format!("127.0.0.{other}");
        let group = format!("@one:{port}:in/");
        let output = mcp(&path)
            .env("MCP_HOST_GROUPS", "groups")
            .args(["--json", "file", &group, "-x", &out])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
        assert_eq!(lines(&output)[0]["host"], receiver.host("in/"));
        assert!(receiver.folder.path().join("in/file").exists());
    }
    let output = mcp(&path).args(["--host-groups", "groups", "file", "@no"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(messages(&output).contains("there are: one, pair"), "{}", messages(&output));
}

#[test]
fn an_empty_variable_is_none() {
    let receiver = Receiver::new(2);
    let (_dir, path) = folder(b"bytes");
    let names = [
        "CONFIG",
        "RATE",
        "GROUP",
        "TTL",
        "PORT",
        "INTERFACE",
        "SECRET_FILE",
        "CONNECT_TIMEOUT",
        "JSON",
        "VERBOSE",
        "QUIET",
        "STRICT",
        "HOSTS",
        "EXCLUDE",
        "SOURCE",
        "CONGESTION",
        "KNOWN_HOSTS",
        "RETRY_FILE",
        "HOST_GROUPS",
        "NO_PROGRESS",
        "INSECURE_PLAINTEXT",
    ];
    let mut command = mcp(&path);
    for name in names {
        command.env(format!("MCP_{name}"), "");
    }
    let output = command.args(["file", &receiver.host("")]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    assert_eq!(messages(&output), "");
    assert_eq!(has(&receiver), ["file"]);
}

#[test]
fn every_failure_is_an_object_too() {
    let (_dir, path) = folder(b"bytes");
    let cases: &[(&[&str], i32, u64, &str, &str)] = &[
        (&["no-such-file", "n[1-2]:x", "gate"], 1, 3, "n[1-2]:x,gate", "No such file"),
        (&["/dev/zero", "127.0.0.2"], 1, 1, "127.0.0.2", "a pipe or a device"),
        (&["file", "n1", "--secret-file", "no"], 1, 0, "", "no"),
        (&["file", "root@n1"], 2, 0, "", "there are no users here"),
        (&["file", "--hosts", "no"], 1, 0, "", "cannot read the hosts in no"),
        (&["file", "n1", "--retry-file", "no/retry"], 1, 1, "n1", "no/retry"),
        (&["demo", "no-such-file"], 1, 0, "", "No such file"),
        (&["file", "n1", "--port", "0"], 2, 0, "", "not a port between 1 and 65535"),
        (&["file", "n1", "--no-such"], 2, 0, "", "unexpected argument '--no-such'"),
        (&["file", "n1", "--bwlimit=1"], 2, 0, "", "--bwlimit is no option of mcp"),
        (&["file", "n1", "--config", "no"], 2, 0, "", "cannot be read"),
    ];
    for (args, code, hosts, retry, why) in cases {
        let output = mcp(&path).arg("--json").args(*args).output().unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {}", messages(&output));
        let lines = lines(&output);
        let [summary] = &lines[..] else { panic!("{args:?}: {lines:?}") };
        assert_eq!(summary["status"], "failed", "{args:?}");
        assert_eq!((&summary["hosts"], &summary["failed"]), (&(*hosts).into(), &(*hosts).into()));
        assert_eq!(summary["retry_hosts"], *retry, "{args:?}");
        let reason = summary["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{args:?}: {reason}");
        assert!(messages(&output).contains(reason), "people are told the same");
    }
    // Whoever asks for objects in the configuration file alone.
    std::fs::write(path.join("mcp.toml"), "json = true\n").unwrap();
    let output = mcp(&path).args(["--config", "mcp.toml", "file", "n1", "--no-such"]).output();
    assert_eq!(lines(&output.unwrap()).len(), 1);
}
