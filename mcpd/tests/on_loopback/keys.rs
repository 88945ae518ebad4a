//! Senders with keys: what their lines in `authorized_keys` allow, and until when.

use crate::daemon::{Daemon, command, send_over, source};
use rustix::process::Signal;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tcpxm::api::SenderOptions;

use tcpxm::trust::{Identity, PublicKey, SenderKeys, SenderTrust};
use tempfile::TempDir;
use transfer::session::open_session;
use transfer::source::Progress;

fn identity() -> Arc<Identity> {
    Arc::new(Identity::generate([5; 64]))
}

fn key() -> PublicKey {
    identity().public()
}

/// A daemon with this list of keys, in a folder with a root; it keeps no key of its own.
fn daemon(lines: &str, last: u8) -> (TempDir, Daemon) {
    let dir = tempfile::tempdir().unwrap();
    let [root, path] = ["root", "list"].map(|name| dir.path().join(name));
    fs::create_dir(&root).unwrap();
    fs::write(&path, lines).unwrap();
    let daemon = Daemon::start(&root, last, &["--authorized-keys", path.to_str().unwrap()]);
    (dir, daemon)
}

/// Why it did not get there.
fn send(addr: SocketAddr, source: &Path, to: &str) -> Option<String> {
    send_and(addr, source, to, &|_| ())
}

/// The same; `meanwhile` is called after each block, and holds up the next.
fn send_and(
    addr: SocketAddr,
    source: &Path,
    to: &str,
    meanwhile: &dyn Fn(Progress),
) -> Option<String> {
    let keys = SenderKeys { identity: identity(), known: [].into(), strict: false };
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let options = SenderOptions { bind, ..SenderOptions::new(SenderTrust::Keys(keys)) };
    let sender = open_session(options, &[vec![addr]]).unwrap().sender;
    send_over(&sender, source, to, meanwhile)
}

/// Waits until so many sessions have begun: each has a file that is not whole yet.
fn until_begun(dir: &TempDir, sessions: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(dir.path().join("root")).unwrap().count() < sessions {
        assert!(Instant::now() < until, "they do not begin");
        thread::yield_now();
    }
}

#[test]
fn a_running_session_ends_when_its_keys_time_is_over() {
    let (_source, source) = source(300_000);
    // It would take a quarter of an hour.
    let (dir, mut daemon) = daemon(&format!("rate=1k {}\n", key()), 35);
    let addr = daemon.addr;
    let told = dir.path().to_str().unwrap().to_owned();
    thread::scope(|scope| {
        let running = scope.spawn(|| send(addr, &source, "file").unwrap());
        until_begun(&dir, 1);
        let expiry = SystemTime::now() + Duration::from_secs(4);
        let expiry = humantime::format_rfc3339_millis(expiry);
        let list = format!("rate=1k,expiry=\"{expiry}\" {}\n", key());
        fs::write(dir.path().join("list"), list).unwrap();
        daemon.signal(Signal::HUP);
        let line = daemon.says("its sessions end");
        assert!(line.contains("has expired on 20") && line.contains("line 1 of"), "{line}");
        daemon.says("failed after"); // it had begun
        let why = running.join().unwrap();
        assert!(why.contains("has expired on 20") && why.contains(&key().fingerprint()), "{why}");
        assert!(!why.contains(&told), "no path of this host: {why}");
    });
    // And none begins.
    let why = send(addr, &source, "file").unwrap();
    assert!(why.contains("has expired on 20") && !why.contains(&told), "{why}");
    assert_eq!(fs::read_dir(dir.path().join("root")).unwrap().count(), 0);
}

/// Another list while two sessions run that would take half an hour.
fn hastened(rate: &str, last: u8) {
    let (_source, source) = source(300_000);
    let (dir, daemon) = daemon(&format!("rate=1k {}\n", key()), last);
    let addr = daemon.addr;
    thread::scope(|scope| {
        let source = &source;
        let running = ["a", "b"].map(|to| scope.spawn(move || send(addr, source, to)));
        until_begun(&dir, 2);
        fs::write(dir.path().join("list"), format!("{rate}{}\n", key())).unwrap();
        daemon.signal(Signal::HUP);
        for session in running {
            assert_eq!(session.join().unwrap(), None);
        }
    });
    assert_eq!(fs::read_dir(dir.path().join("root")).unwrap().count(), 2);
}

#[test]
fn another_rate_holds_for_the_sessions_that_run() {
    hastened("rate=800M ", 38);
}

#[test]
fn a_rate_that_goes_holds_up_no_session_that_runs() {
    hastened("", 43);
}

#[test]
fn a_rate_that_comes_holds_for_the_sessions_that_run() {
    let (_source, source) = source(3 << 20);
    let (dir, daemon) = daemon(&key().to_string(), 44);
    let (addr, daemon, since) = (daemon.addr, RefCell::new(daemon), Cell::new(None));
    let meanwhile = |progress: Progress| {
        if since.get().is_none() && (1..progress.len).contains(&progress.read) {
            until_begun(&dir, 1);
            fs::write(dir.path().join("list"), format!("rate=8M {}\n", key())).unwrap();
            daemon.borrow().signal(Signal::HUP);
            daemon.borrow_mut().says("was read again");
            since.set(Some(Instant::now()));
        }
    };
    assert_eq!(send_and(addr, &source, "file", &meanwhile), None);
    // A second for each of the two blocks that came after that; the last piece of 50 ms is not waited for.
    let took = since.get().unwrap().elapsed();
    assert!(took > Duration::from_millis(1850), "{took:?}");
}

#[test]
fn a_list_that_is_gone_lets_nobody_in_until_it_is_back() {
    let (_source, source) = source(300_000);
    let line = format!("rate=1k {}\n", key());
    let (dir, mut daemon) = daemon(&line, 45);
    let (addr, list) = (daemon.addr, dir.path().join("list"));
    thread::scope(|scope| {
        let running = scope.spawn(|| send(addr, &source, "file").unwrap());
        until_begun(&dir, 1);
        fs::remove_file(&list).unwrap();
        daemon.signal(Signal::HUP);
        let said = daemon.says("nobody may send");
        assert!(said.contains(&format!("{} is gone", list.display())), "{said}");
        for why in [running.join().unwrap(), send(addr, &source, "file").unwrap()] {
            assert!(why.contains(&key().fingerprint()), "{why}");
        }
    });
    fs::write(&list, key().to_string()).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says("was read again"); // of the time without a list
    daemon.says("was read again");
    assert_eq!(send(addr, &source, "file"), None);
}

#[test]
fn told_to_end_it_waits_for_no_rate() {
    let (_source, source) = source(300_000);
    let (dir, daemon) = daemon(&format!("rate=1k {}\n", key()), 39);
    let addr = daemon.addr;
    let names: Vec<_> = (0..32).map(|number| number.to_string()).collect();
    thread::scope(|scope| {
        for to in &names {
            scope.spawn(|| assert!(send(addr, &source, to).is_some()));
        }
        until_begun(&dir, names.len());
        let (code, _, said) = daemon.terminate();
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("did not end in time"), "{said}");
    });
    assert_eq!(fs::read_dir(dir.path().join("root")).unwrap().count(), 0);
}

#[test]
fn the_sessions_of_a_key_share_its_rate() {
    let (dir, daemon) = daemon(&format!("rate=8M {}\n", key()), 36);
    let (_source, source) = source(1_000_000);
    let begin = Instant::now();
    thread::scope(|scope| {
        for to in ["a", "b"] {
            let (addr, source) = (daemon.addr, &source);
            scope.spawn(move || assert_eq!(send(addr, source, to), None));
        }
    });
    // A second for each of them; the last piece of 50 ms is not waited for.
    assert!(begin.elapsed() > Duration::from_millis(1850), "{:?}", begin.elapsed());
    assert_eq!(fs::read_dir(dir.path().join("root")).unwrap().count(), 2);
}

#[test]
fn a_folder_of_state_that_cannot_be_is_no_reason_not_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let [file, list] = ["file", "list"].map(|name| dir.path().join(name));
    fs::write(&file, "").unwrap();
    fs::write(&list, key().to_string()).unwrap();
    for state in [file.clone(), file.join("below"), file.join("below").join("it")] {
        let mut command = command(dir.path(), "127.0.0.37:0");
        command.arg("--state-dir").arg(&state).arg("--authorized-keys").arg(&list);
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while !said.contains("listening on") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
            said.push_str(&line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.contains("this host's key is a new one at each start"), "{said}");
        assert!(
            said.contains("after a restart senders will have to find out by silence"),
            "{said}"
        );
    }
}

/// A list that comes later may have a root with the file of --prefix-file in it: its key sends nothing there.
#[test]
fn no_later_root_of_a_key_has_the_prefix_file_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::create_dir(at("root")).unwrap();
    fs::write(at("list"), format!("{}\n", key())).unwrap();
    let options = ["--authorized-keys", &at("list"), "--prefix-file", &at("prefixes")];
    let mut daemon = Daemon::start(at("root").as_ref(), 77, &options);
    let (_source, source) = source(1000);
    assert_eq!(send(daemon.addr, &source, "name"), None);
    fs::write(at("list"), format!("root=\"{}\" {}\n", dir.path().display(), key())).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says("read again");
    let why = send(daemon.addr, &source, "name").unwrap();
    assert!(why.contains("no folder to receive into"), "{why}");
    let said = daemon.says("refused");
    assert!(said.contains("prefixes") && said.contains("senders could replace it"), "{said}");
    assert!(!Path::new(&at("name")).exists());
}
