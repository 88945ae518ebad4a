//! The program on loopback with keys: whatever names are typed for one address, the key of each counts.

use mcp_keys::{identity_file, places};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use tcpxm::api::{Closer, ListenOptions, Listener};
use tcpxm::trust::{Identity, ListenKeys, ListenTrust, PublicKey};
use tempfile::TempDir;
use transfer::destination::Root;
use transfer::limits::Limits;

/// A receiver with a key, a sender with another, and what the sender knows of hosts.
struct Keyed {
    dir: TempDir,
    addr: SocketAddr,
    closer: Closer,
}

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::generate([n; 64]))
}

fn key(n: u8) -> PublicKey {
    identity(n).public()
}

/// The receiver's.
const HOST: u8 = 1;
const SENDER: u8 = 2;
/// Nobody's here.
const OTHER: u8 = 3;

impl Keyed {
    fn new() -> Self {
        let keys = ListenKeys {
            identity: identity(HOST),
            authorized: [key(SENDER)].into(),
            refused: [].into(),
        };
        let options = ListenOptions::new((Ipv4Addr::LOCALHOST, 0).into(), ListenTrust::Keys(keys));
        let listener = Listener::bind(options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("file"), b"bytes").unwrap();
        identity_file::create(&places::identity(dir.path()), &identity(SENDER)).unwrap();
        let (addr, closer) = (listener.local_addr(), listener.closer());
        let root = Root::open(&dir.path().join("root")).unwrap();
        thread::spawn(move || {
            while let Ok(session) = listener.accept() {
                let _ = transfer::receive(&session, &root, &Limits::default()); // the sender reports it
            }
        });
        Self { dir, addr, closer }
    }

    fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// Copies to the receiver under two names, with these known: a name and whose key it has.
    fn copy(&self, known: &[(&str, u8)], options: &[&str]) -> Output {
        let port = self.addr.port();
        let line = |(name, n): &(&str, u8)| format!("[{name}]:{port} {}\n", key(*n));
        fs::write(self.known_hosts(), known.iter().map(line).collect::<String>()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
        command.args(["--interface", "lo", "--json", "--connect-timeout", "20s"]).args(options);
        command.arg("--state-dir").arg(self.dir.path());
        command.arg("--known-hosts").arg(self.known_hosts());
        command.arg(self.dir.path().join("file"));
        command.args(["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}:")));
        command.env_remove("MCP_SECRET_FILE").output().unwrap()
    }

    /// Whether the receiver has got anything since this was last asked.
    fn has_received(&self) -> bool {
        fs::remove_file(self.dir.path().join("root").join("file")).is_ok()
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.closer.close();
    }
}

fn reasons(output: &Output) -> Vec<Option<String>> {
    let text = str::from_utf8(&output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let hosts = lines.filter(|line| line["host"].is_string());
    hosts.map(|line| line["reason"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_second_name_is_checked_and_remembered_as_the_first_is() {
    let keyed = Keyed::new();
    let [one, two] =
        ["127.0.0.1", "localhost"].map(|name| format!("[{name}]:{}", keyed.addr.port()));

    let output = keyed.copy(&[], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(keyed.has_received());
    let known = fs::read_to_string(keyed.known_hosts()).unwrap();
    assert_eq!(known, format!("{one} {0}\n{two} {0}\n", key(HOST)), "both names");

    // Another key of either name, and the address is not sent to.
    for (name, text) in [("localhost", &two), ("127.0.0.1", &one)] {
        let output = keyed.copy(&[(name, OTHER)], &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        for reason in reasons(&output) {
            let reason = reason.unwrap();
            assert!(reason.starts_with(&format!("the key of {text} has changed!")), "{reason}");
        }
        assert!(!keyed.has_received());
        let known = fs::read_to_string(keyed.known_hosts()).unwrap();
        assert_eq!(known.lines().count(), 1, "nothing is added: {known}");
    }

    // One of them has the very key that is shown, the other does not: it is the same host.
    let output = keyed.copy(&[("127.0.0.1", HOST), ("localhost", OTHER)], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for reason in reasons(&output) {
        let reason = reason.unwrap();
        let expected = format!("the key of {one} or of {two} has changed!");
        assert!(reason.starts_with(&expected), "{reason}");
    }
    assert!(!keyed.has_received());
}

#[test]
fn strictly_each_name_has_to_be_known() {
    let keyed = Keyed::new();
    for known in [&["127.0.0.1"][..], &["localhost"], &["127.0.0.1", "localhost"]] {
        let pairs: Vec<_> = known.iter().map(|name| (*name, HOST)).collect();
        let output = keyed.copy(&pairs, &["--strict"]);
        let code = if known.len() == 2 { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        for (reason, name) in reasons(&output).into_iter().zip(["127.0.0.1", "localhost"]) {
            let unknown = reason.is_some_and(|why| why.contains("--strict takes no new ones"));
            assert_eq!(unknown, !known.contains(&name), "{name}: {output:?}");
        }
        let text = fs::read_to_string(keyed.known_hosts()).unwrap();
        assert_eq!(text.lines().count(), known.len(), "nothing is added: {text}");
    }
}
