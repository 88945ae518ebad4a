//! Secrets and keys, and what becomes of those who have the wrong ones.

use crate::capture::{Capture, holds};
use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::network::{LEN, Lab, tree};
use crate::programs;
use crate::shell::wait_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Something happens within this.
const LIMIT: Duration = Duration::from_secs(20);

/// A file that anybody can read who gets to see it.
struct Readable(PathBuf);

impl Readable {
    const NAME: &str = "name-that-is-nobodys-business";
    const LINE: &str = "what only those shall read who were sent it";
    const LINES: usize = 100_000;

    fn new(lab: &Lab) -> Self {
        let path = lab.dir.path().join(Self::NAME);
        let lines: Vec<String> =
            (0..Self::LINES).map(|n| format!("{} {n}\n", Self::LINE)).collect();
        fs::write(&path, lines.concat()).unwrap();
        Self(path)
    }

    fn content(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }

    /// What of its text and its name stands in everything that reached a host to which the group's datagrams
    /// went as well, that is the length of the file at least.
    fn seen(&self, capture: &Capture) -> [bool; 2] {
        let captured = capture.at_least(self.content().len() as u64);
        [Self::LINE, Self::NAME].map(|what| holds(&captured, what))
    }
}

pub(super) fn one_of_eight_has_another_secret() {
    let lab = Lab::bridge(8);
    let other = lab.dir.path().join("other");
    let mut key = Command::new(programs::path("mcp"));
    assert!(key.args(["key", "-q", "--secret"]).arg(&other).status().unwrap().success());
    let other = other.display().to_string();
    let daemons: Vec<_> = (1..=8)
        .map(|host| match host {
            8 => {
                let trust = ["--secret-file", &other];
                Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &trust)
            }
            _ => Daemon::start(&lab, host, &lab.folder(host)),
        })
        .collect();
    let source = Readable::new(&lab);
    let capture = Capture::start(&lab, 8);
    let mut args = vec![source.0.display().to_string()];
    args.extend(lab.all());
    args.extend(["--connect-timeout".to_owned(), "3s".to_owned()]);
    let done = copy(&lab, &args);
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!((0..7).all(|host| done.text(host, "status") == "ok"), "{done:#?}");
    let reason = done.text(7, "reason");
    assert!(reason.contains("no answer from") && reason.contains("udp port 8737"), "{done:#?}");
    assert!(reason.ends_with("or its secret is another"), "{done:#?}");
    assert!(done.took < Duration::from_secs(8), "{:?}", done.took);
    for daemon in &daemons[..7] {
        assert!(fs::read(daemon.root.join(Readable::NAME)).unwrap() == source.content());
    }
    assert!(tree(&daemons[7].root).is_empty());
    assert_eq!(source.seen(&capture), [false; 2], "nothing of what reached it can be read");
    let told = "a session was asked for with another secret, or none";
    wait_for("the daemon tells of it", LIMIT, || daemons[7].log().contains(told));
    assert_eq!(daemons[7].log().matches(told).count(), 1, "once in a while: {}", daemons[7].log());
}

/// What the scenario above looks for is there where nothing is sealed.
pub(super) fn in_plaintext_a_capture_can_be_read() {
    let lab = Lab::bridge(2);
    let plain = ["--insecure-plaintext"];
    let start = |host| Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &plain);
    let _daemons = [1, 2].map(start);
    let source = Readable::new(&lab);
    let capture = Capture::start(&lab, 2);
    let mut args = vec![source.0.display().to_string()];
    args.extend(lab.all());
    Copy::start_trusting(&lab, 0, &plain, &args).wait().assert_ok();
    assert_eq!(source.seen(&capture), [true; 2]);
}

/// A sender with a key of its own, and the files that it needs.
pub(super) struct Keyed {
    pub(super) lab: Lab,
    state: PathBuf,
    known: PathBuf,
    /// The sender's key, as it stands in `authorized_keys`.
    key: String,
}

impl Keyed {
    pub(super) fn new(receivers: usize) -> Self {
        let lab = Lab::bridge(receivers);
        let (state, known) = (lab.state(0), lab.dir.path().join("known_hosts"));
        let mut command = Command::new(programs::path("mcp"));
        let shown = command.args(["key", "-q", "--state-dir"]).arg(&state).output().unwrap();
        assert!(shown.status.success(), "{shown:?}");
        let key = String::from_utf8(shown.stdout).unwrap();
        Self { lab, state, known, key }
    }

    fn authorized(&self, host: usize) -> PathBuf {
        self.lab.dir.path().join(format!("authorized{host}"))
    }

    /// Says who may send to a host.
    fn authorize(&self, host: usize, lines: &str) {
        fs::write(self.authorized(host), lines).unwrap();
    }

    /// Lets the sender send to a host.
    pub(super) fn authorize_own(&self, host: usize) {
        self.authorize(host, &self.key);
    }

    pub(super) fn daemon(&self, host: usize) -> Daemon {
        let list = self.authorized(host).display().to_string();
        let root = self.lab.folder(host);
        Daemon::start_trusting(&self.lab, host, &root, &[], &["--authorized-keys", &list])
    }

    pub(super) fn start(&self, source: &Path, hosts: &[String], more: &[&str]) -> Copy {
        let mut args = vec![source.display().to_string()];
        args.extend(hosts.iter().cloned());
        args.extend(more.iter().map(|&word| word.to_owned()));
        let [state, known] = [&self.state, &self.known].map(|path| path.display().to_string());
        let trust = ["--state-dir", &state, "--known-hosts", &known];
        Copy::start_trusting(&self.lab, 0, &trust, &args)
    }

    fn copy(&self, more: &[&str]) -> Done {
        self.start(&self.lab.source(1 << 20), &self.lab.all(), more).wait()
    }
}

pub(super) fn keys_from_first_contact_to_revocation() {
    let keyed = Keyed::new(2);
    (1..=2).for_each(|host| keyed.authorize_own(host));
    let mut daemons = [keyed.daemon(1), keyed.daemon(2)];

    let done = keyed.copy(&["--strict"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").contains("--strict takes no new ones"), "{done:#?}");

    let done = keyed.copy(&[]);
    done.assert_ok();
    let first = done.messages.lines().filter(|line| line.contains("first contact")).count();
    assert_eq!(first, 1, "one line for all: {}", done.messages);
    let again = keyed.copy(&["--strict"]);
    again.assert_ok();
    assert!(!again.messages.contains("first contact"), "{}", again.messages);

    // A host that was installed anew, or another in its place.
    fs::remove_file(keyed.lab.state(2).join("host-identity")).unwrap();
    daemons[1].terminate();
    daemons[1] = keyed.daemon(2);
    let done = keyed.copy(&[]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    let reason = done.text(1, "reason");
    assert!(reason.contains("has changed!") && reason.contains("known_hosts:"), "{done:#?}");
    fs::remove_file(&keyed.known).unwrap();
    keyed.copy(&[]).assert_ok();

    // Limits, an end of its time, and nobody's key.
    keyed.authorize(1, &format!("size=1000 {}", keyed.key));
    keyed.authorize(2, &format!("expiry=\"2020-01-01\" {}", keyed.key));
    daemons.iter().for_each(Daemon::reload);
    let done = keyed.copy(&[]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").contains("at most 1000 may be sent here"), "{done:#?}");
    assert!(done.text(1, "reason").contains("has expired on 2020-01-01"), "{done:#?}");
    keyed.authorize(1, "# nobody\n");
    daemons[0].reload();
    let done = keyed.copy(&[]);
    assert!(done.text(0, "reason").contains("is not in its authorized_keys"), "{done:#?}");
    revoke_midway(&keyed, &daemons);
}

/// As the daemon calls a file that is not whole yet.
fn is_unfinished(name: &str) -> bool {
    name.starts_with(".mcp-")
}

/// Its running session ends, and the other host's does not.
fn revoke_midway(keyed: &Keyed, daemons: &[Daemon]) {
    (1..=2).for_each(|host| keyed.authorize_own(host));
    daemons.iter().for_each(Daemon::reload);
    let running = keyed.start(&keyed.lab.source(LEN), &keyed.lab.all(), &["--rate", "100M"]);
    wait_for("bytes arrive", LIMIT, || {
        tree(&daemons[0].root).iter().any(|name| is_unfinished(name))
    });
    keyed.authorize(1, "# nobody\n");
    daemons[0].reload();
    let done = running.wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert!(done.text(0, "reason").contains("is not in its authorized_keys"), "{done:#?}");
    assert_eq!(done.text(1, "status"), "ok", "{done:#?}");
    wait_for("nothing is left of it", LIMIT, || {
        !tree(&daemons[0].root).iter().any(|name| is_unfinished(name))
    });
}
