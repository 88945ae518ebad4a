//! The program on loopback, with senders in this process.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, Group, SessionConfig};
use tcpxm::net::interface::index_of;
use tempfile::TempDir;
use transfer::send::Delivered;
use transfer::source::Source;

struct Daemon {
    child: Child,
    addr: SocketAddr,
    said: BufReader<ChildStderr>,
}

fn command(root: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpd"));
    command.arg("--root").arg(root).args(["--listen", listen, "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Daemon {
    fn start(root: &Path, last: u8, options: &[&str]) -> Self {
        let mut command = command(root, &format!("127.0.0.{last}:0"));
        let mut child = command.args(options).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let addr = line.split("listening on ").nth(1).unwrap().split(',').next().unwrap();
        Self { child, addr: addr.parse().unwrap(), said }
    }

    /// SIGTERM; its exit code, its standard output, and what else it said.
    fn terminate(mut self) -> (Option<i32>, String, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let (mut out, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), out, said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(addr: SocketAddr, len: u64, group: Option<SocketAddr>) -> Sender {
    let session = SessionConfig {
        group: group.map(|addr| Group { addr, source: None }),
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(len) },
        ..SessionConfig::default()
    };
    let interface = Some(index_of("lo").unwrap());
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { session, interface, bind, ..SenderOptions::default() };
    Sender::connect(options, &[addr]).unwrap()
}

fn send(addr: SocketAddr, source: &Source, to: &str, group: Option<SocketAddr>) -> Option<String> {
    let sender = connect(addr, source.len(), group);
    let outcome = transfer::send_file(&sender, source, &[to.as_bytes().to_vec()], &|_| ());
    outcome.members.first().and_then(Delivered::failure)
}

fn source(len: usize) -> (TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> =
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs::write(dir.path().join("file"), bytes).unwrap();
    let source = Source::open(&dir.path().join("file")).unwrap();
    (dir, source)
}

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
        ("file/x", "file is refused: it is not a folder"),
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
    let daemon = Daemon::start(root.path(), last, &["--insecure-plaintext", "-q"]);
    let addr = daemon.addr;
    let failures: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..40u8)
            .map(|number| {
                let path = dir.path().join("file");
                scope.spawn(move || {
                    let source = Source::open(&path).unwrap();
                    let own = (Ipv4Addr::new(239, 255, 21, number), addr.port()).into();
                    send(addr, &source, &format!("in/{number}"), group.or(Some(own)))
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
    let sender = connect(daemon.addr, 100 << 20, None);
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
        (root.path().join("absent"), "127.0.0.1:0", 1, "No such file"),
        (root.path().join("file"), "127.0.0.1:0", 1, "Not a directory"),
        (root.path().to_owned(), "nonsense", 2, "nonsense"),
        (root.path().to_owned(), "203.0.113.77:0", 1, "203.0.113.77"),
    ] {
        let output = command(&folder, listen).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(what), "{said}");
    }
}
