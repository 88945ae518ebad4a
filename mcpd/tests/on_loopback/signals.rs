//! What the system sends to a daemon: it lives on, or ends soon and in good order.

use crate::daemon::{Daemon, connect, send, send_over, source};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::Sender;

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn failure(sender: &Sender) -> String {
    let outcome = sender.wait().remove(0).outcome.unwrap();
    outcome.unwrap_err().to_string()
}

#[test]
fn a_file_above_the_limit_of_size_fails_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"old").unwrap();
    let daemon = Daemon::start(root.path(), 31, &[]);
    let limit = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
    prlimit(Some(Pid::from_child(&daemon.child)), Resource::Fsize, limit).unwrap();
    let (_large, large) = source(4 << 20);
    let why = send(daemon.addr, &large, "", None).unwrap();
    assert!(why.contains("File too large"), "{why}");
    assert_eq!(entries(root.path()), ["file"]);
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"old");
    let (_small, small) = source(1 << 19);
    assert_eq!(send(daemon.addr, &small, "small", None), None);
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn what_a_closed_terminal_or_a_log_sends_ends_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(root.path(), 32, &["-vv"]);
    // Nobody reads its log any more: each line fails, with SIGPIPE beside it.
    daemon.said = None;
    for signal in [Signal::HUP, Signal::PIPE, Signal::TTOU, Signal::TTIN, Signal::XFSZ] {
        daemon.signal(signal);
    }
    let (_dir, source) = source(100_000);
    let group = (Ipv4Addr::new(239, 255, 21, 32), daemon.addr.port()).into();
    assert_eq!(send(daemon.addr, &source, "", Some(group)), None);
    assert_eq!(daemon.terminate().0, Some(0));
}

#[test]
fn a_hangup_reads_the_configuration_again_and_disturbs_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mcpd.toml");
    let roots = ["first", "second"].map(|name| dir.path().join(name));
    for root in &roots {
        fs::create_dir(root).unwrap();
    }
    let write = |root: &Path, more: &str| {
        let text = format!("root = \"{}\"\n{more}", root.display());
        fs::write(&config, text).unwrap();
    };
    write(&roots[0], "");
    let mut daemon = Daemon::configured(&config, 33);
    let (_dir, source) = source(300_000);
    let running = connect(daemon.addr, None);
    running.wait_started().unwrap();
    daemon.signal(Signal::USR1);
    while !daemon.says(" running").contains(" 1 session is") {
        daemon.signal(Signal::USR1);
    }
    write(&roots[1], "port = 9000\nallow = [\"setuid\", \"owner\"]\n");
    daemon.signal(Signal::HUP);
    let said = daemon.says("read again");
    assert!(said.contains("root") && said.contains("second"), "{said}");
    assert!(said.contains("allow is owner and setuid"), "{said}");
    let said = daemon.says("restart");
    assert!(said.contains("port"), "{said}");
    assert_eq!(send(daemon.addr, &source, "b", None), None);
    assert_eq!((entries(&roots[0]).len(), entries(&roots[1])), (0, vec!["b".to_owned()]));
    fs::write(&config, "root = 1\nrot = 2\n").unwrap();
    daemon.signal(Signal::HUP);
    let said = daemon.says("mcpd.toml");
    assert!(said.contains("rot is not an option") && said.contains("stays"), "{said}");
    write(&dir.path().join("absent"), "");
    daemon.signal(Signal::HUP);
    let said = daemon.says("absent");
    assert!(said.contains("there is no such folder") && said.contains("stays"), "{said}");
    assert_eq!(send(daemon.addr, &source, "c", None), None);
    assert_eq!(entries(&roots[1]).len(), 2);
    // What nobody goes on with any more goes, at the new root as well.
    let old = roots[1].join(".mcp-0123456789abcdef.partial");
    fs::write(&old, "half").unwrap();
    let eight_days_ago = std::time::SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(eight_days_ago).unwrap();
    write(&roots[1], "");
    daemon.signal(Signal::HUP);
    let said = daemon.says("removed");
    assert!(said.contains("1 unfinished file that"), "{said}");
    assert_eq!(entries(&roots[1]).len(), 2);
    // The one that began before the first of them still gets its file.
    assert_eq!(send_over(&running, &source, "a", &|_| ()), None);
    assert_eq!(entries(&roots[0]), ["a"]);
    assert_eq!(daemon.terminate().0, Some(0));
}

/// Carries datagrams between a sender and a daemon until it is cut.
struct Relay {
    addr: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Relay {
    fn new(daemon: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        far.connect(daemon).unwrap();
        let (addr, cut) = (near.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (back_near, back_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let (cut_there, cut_back) = (cut.clone(), cut.clone());
        // Both threads end with the process.
        thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while let Ok((len, from)) = near.recv_from(&mut buf) {
                let _ = near.connect(from); // one sender; from here on it is the peer
                if !cut_there.load(Ordering::SeqCst) {
                    let _ = far.send(&buf[..len]);
                }
            }
        });
        thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while let Ok(len) = back_far.recv(&mut buf) {
                if !cut_back.load(Ordering::SeqCst) {
                    let _ = back_near.send(&buf[..len]);
                }
            }
        });
        Self { addr, cut }
    }
}

#[test]
fn it_ends_within_a_second_whatever_its_peers_do() {
    let root = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(root.path(), 34, &[]);
    let session = |addr| {
        let sender = connect(addr, None);
        sender.wait_started().unwrap();
        sender
    };
    // One that has begun and says nothing, and two that vanish: from one nothing has come yet, the
    // other had offered its file.
    let open = session(daemon.addr);
    let relays = [Relay::new(daemon.addr), Relay::new(daemon.addr)];
    let vanished = session(relays[0].addr);
    let (_dir, large) = source(20 << 20);
    let offering = connect(relays[1].addr, None);
    thread::scope(|scope| {
        scope.spawn(|| send_over(&offering, &large, "x/y", &|_| ()));
        // What is offered makes a temporary file at once.
        let until = Instant::now() + Duration::from_secs(20);
        while entries(root.path()).is_empty() {
            assert!(Instant::now() < until, "nothing was offered");
            thread::yield_now();
        }
        for relay in &relays {
            relay.cut.store(true, Ordering::SeqCst);
        }
        daemon.signal(Signal::TERM);
        let begin = Instant::now();
        let late = connect(daemon.addr, None);
        let status = daemon.child.wait().unwrap();
        let took = begin.elapsed();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(1), "it took {took:?}");
        // Its place is free at once.
        let successor = UdpSocket::bind(daemon.addr).unwrap();
        let why = failure(&open);
        assert!(why.contains("the daemon is shutting down"), "{why}");
        let why = failure(&late);
        assert!(why.contains("the daemon is shutting down"), "{why}");
        drop(successor);
        vanished.abort("over");
        offering.abort("over");
    });
    assert_eq!(entries(root.path()), Vec::<String>::new());
}
