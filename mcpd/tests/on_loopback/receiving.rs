//! What it receives, what it refuses, and what it says about it.

use crate::daemon::{Daemon, command, connect, send, send_over, source};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

#[test]
fn files_arrive_and_refusals_are_told_with_their_reason() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("folder/file")).unwrap();
    std::os::unix::fs::symlink("/tmp", root.path().join("link")).unwrap();
    let (dir, source) = source(1_500_000);
    let daemon = Daemon::start(root.path(), 21, &[]);
    let addr = daemon.addr;
    assert_eq!(send(addr, &source, "", None), None);
    assert_eq!(send(addr, &source, "a/b/c", None), None);
    for (to, why) in [
        ("../x", "the name \"..\" is refused: it names a folder"),
        ("folder", "folder/file is refused: it is a folder"),
        ("link", "link is refused: it is a symbolic link"),
        ("link/x", "link is refused: it is a symbolic link"),
        ("file/x", "file is refused: it is a file"),
    ] {
        assert_eq!(send(addr, &source, to, None).as_deref(), Some(why), "{to}");
    }
    let (code, out, said) = daemon.terminate();
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7, "{out}");
    assert_eq!((&lines[1]["status"], &lines[1]["path"]), (&"ok".into(), &"a/b/c".into()));
    assert_eq!((&lines[6]["status"], &lines[6]["bytes"]), (&"failed".into(), &0.into()));
    let original = fs::read(dir.path().join("file")).unwrap();
    for at in ["file", "a/b/c"] {
        assert!(fs::read(root.path().join(at)).unwrap() == original, "{at}");
    }
}

fn forty(last: u8, group: Option<SocketAddr>) {
    let root = tempfile::tempdir().unwrap();
    let (dir, _) = source(1 << 20);
    let daemon = Daemon::start(root.path(), last, &[]);
    let addr = daemon.addr;
    let failures: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..40u8)
            .map(|number| {
                let path = dir.path().join("file");
                scope.spawn(move || {
                    let own = (Ipv4Addr::new(239, 255, 21, number), addr.port()).into();
                    send(addr, &path, &format!("in/{number}"), group.or(Some(own)))
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(failures, Vec::<String>::new());
    let original = fs::read(dir.path().join("file")).unwrap();
    let files: Vec<_> = fs::read_dir(root.path().join("in")).unwrap().collect();
    assert_eq!(files.len(), 40);
    for file in files {
        assert!(fs::read(file.unwrap().path()).unwrap() == original);
    }
}

#[test]
fn forty_sessions_at_a_time_each_with_its_group() {
    forty(22, None);
}

#[test]
fn forty_sessions_at_a_time_on_one_group() {
    forty(23, Some("239.255.22.1:47122".parse().unwrap()));
}

#[test]
fn told_to_end_it_tells_its_senders_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(root.path(), 24, &[]);
    let sender = connect(daemon.addr, None);
    sender.wait_started().unwrap();
    sender.finish();
    let (code, _, said) = daemon.terminate();
    assert_eq!(code, Some(0), "{said}");
    let outcome = sender.wait().remove(0).outcome.unwrap();
    let why = outcome.unwrap_err().to_string();
    assert!(why.contains("shutting down") || why.contains("gave up"), "{why}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_one_left_goes_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".mcp-1-0123456789abcdef.part"), b"x").unwrap();
    fs::write(root.path().join("file"), b"x").unwrap();
    let _daemon = Daemon::start(root.path(), 25, &[]);
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
}

#[test]
fn what_cannot_be_done_is_said_and_ends_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"x").unwrap();
    let daemon = Daemon::start(root.path(), 26, &[]);
    let taken = daemon.addr.to_string();
    for (folder, listen, code, what) in [
        (root.path().to_owned(), &*taken, 1, "Address already in use"),
        (root.path().join("absent"), "127.0.0.1:0", 1, "there is no such folder"),
        (root.path().join("file"), "127.0.0.1:0", 1, "it is no folder"),
        (root.path().to_owned(), "nonsense", 2, "nonsense"),
        (root.path().to_owned(), "203.0.113.77:0", 1, "without a secret or keys only loopback"),
    ] {
        let output = command(&folder, listen).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(what), "{said}");
    }
    let plain =
        command(root.path(), "203.0.113.77:0").arg("--insecure-plaintext").output().unwrap();
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert_eq!(plain.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on 203.0.113.77"), "{said}");
}

#[test]
fn every_line_has_its_time_and_one_about_a_session_its_peer_and_its_file() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("file")).unwrap();
    let daemon = Daemon::start(root.path(), 27, &[]);
    let addr = daemon.addr;
    let (_dir, source) = source(1000);
    assert_eq!(send(addr, &source, "a/b", None), None);
    let why = send(addr, &source, "", None).unwrap();
    let (_, _, said) = daemon.terminate();
    for line in said.lines() {
        let time: Vec<char> = line.chars().take(20).collect();
        let shape: String =
            time.iter().map(|c| if c.is_ascii_digit() { '0' } else { *c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z", "{line}");
        assert!(line[20..].starts_with(" mcpd: "), "{line}");
    }
    for what in ["a/b", &why] {
        let line = said.lines().find(|line| line.contains(what)).unwrap();
        assert!(line.contains("127.0.0.1:") && (line.contains("file") || what == "a/b"), "{line}");
    }
    // Also where the reason does not name the file.
    let root = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(root.path(), 28, &[]);
    let given = source.with_file_name("given-by-its-name");
    fs::rename(&source, &given).unwrap();
    let sender = connect(daemon.addr, None);
    assert!(send_over(&sender, &given, "", &|_| sender.abort("no more")).is_some());
    let (_, out, said) = daemon.terminate();
    assert!(said.contains("given-by-its-name"), "{said}");
    let line: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(line["path"], "given-by-its-name");
}

#[test]
fn quiet_means_that_nothing_is_said_while_nothing_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".mcp-1-0123456789abcdef.part"), b"x").unwrap();
    let free = std::net::UdpSocket::bind("127.0.0.29:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let mut daemon = command(root.path(), &addr.to_string()).arg("-q").spawn().unwrap();
    let (_dir, source) = source(1000);
    // Until it listens, nobody does.
    while let Some(why) = send(addr, &source, "", None) {
        assert!(why.contains("nobody listens"), "{why}");
        assert_eq!(daemon.try_wait().unwrap(), None);
    }
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = daemon.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
