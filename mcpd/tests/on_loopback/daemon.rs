//! A daemon under test, and senders in this process.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Group, SessionConfig};
use tcpxm::net::interface::index_of;
use tcpxm::trust::SenderTrust;
use tempfile::TempDir;
use transfer::message::Offer;
use transfer::send::Delivered;
use transfer::session::open_session;
use transfer::source::Progress;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// No folder can be made there: what is kept between runs is no affair of these tests.
const NOWHERE: &str = "/dev/null/state";

/// A daemon that ends by itself does so within this.
const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
    /// `None`: nobody reads it any more.
    pub(crate) said: Option<BufReader<ChildStderr>>,
}

/// SIGHUP reaches it, even if these tests run under `nohup` or the like, which have it ignored.
fn program() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_mcpd")]);
    command
}

pub(crate) fn command(root: &Path, listen: &str) -> Command {
    let mut command = program();
    command.arg("--root").arg(root).args(["--listen", listen, "--json"]);
    command.env("MCPD_STATE_DIR", NOWHERE);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Takes a stream and writes it to standard output.
pub(crate) fn to_stdout(last: u8) -> Command {
    let mut command = program();
    command.args(["--once", "--to-stdout", "--json", "--listen", &format!("127.0.0.{last}:0")]);
    // A folder that is named for other daemons of this host has no use here.
    command.env("MCPD_STATE_DIR", NOWHERE).env("MCPD_ROOT", NOWHERE);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Daemon {
    pub(crate) fn start(root: &Path, last: u8, options: &[&str]) -> Self {
        let mut command = command(root, &format!("127.0.0.{last}:0"));
        Self::spawn(command.args(options))
    }

    /// One that keeps nothing from anybody by its file mode creation mask (umask(2)).
    pub(crate) fn without_mask(root: &Path, last: u8) -> Self {
        let inner = command(root, &format!("127.0.0.{last}:0"));
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(inner.get_program());
        command.args(inner.get_args()).env("MCPD_STATE_DIR", NOWHERE);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(&mut command)
    }

    /// One that takes a stream and writes it to its standard output.
    pub(crate) fn to_stdout(last: u8) -> Self {
        Self::into_stdout(last, Stdio::piped())
    }

    /// One whose standard output is this.
    pub(crate) fn into_stdout(last: u8, output: impl Into<Stdio>) -> Self {
        Self::spawn(to_stdout(last).stdout(output))
    }

    /// One that has all but its address from a file.
    pub(crate) fn configured(config: &Path, last: u8) -> Self {
        let mut command = program();
        command.env("MCPD_STATE_DIR", NOWHERE);
        command.arg("--config").arg(config).args(["--listen", &format!("127.0.0.{last}:0")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(&mut command)
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = child.stderr.take().map(BufReader::new);
        let mut daemon = Self { child, addr: (Ipv4Addr::UNSPECIFIED, 0).into(), said };
        let line = daemon.says("listening on ");
        let addr = line.split("listening on ").nth(1).unwrap().split(',').next().unwrap();
        daemon.addr = addr.parse().unwrap();
        daemon
    }

    /// Reads what it says until a line has `what` in it; gives that line.
    pub(crate) fn says(&mut self, what: &str) -> String {
        let (mut line, said) = (String::new(), self.said.as_mut().unwrap());
        while !line.contains(what) {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended without saying {what}");
        }
        line
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends by itself; its exit code, its standard output, and what else it said.
    pub(crate) fn ended(mut self) -> (Option<i32>, String, String) {
        let end = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let soon = Timespec::try_from(SOON).unwrap();
        let ended = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&soon)).unwrap();
        assert_eq!(ended, 1, "it does not end");
        self.collect()
    }

    /// SIGTERM; its exit code, its standard output, and what else it said.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String, String) {
        self.signal(Signal::TERM);
        self.collect()
    }

    /// Its end, whatever is to end it; as [`Self::terminate`].
    pub(crate) fn collected(mut self) -> (Option<i32>, String, String) {
        self.collect()
    }

    fn collect(&mut self) -> (Option<i32>, String, String) {
        let (mut out, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        if let Some(mut rest) = self.said.take() {
            rest.read_to_string(&mut said).unwrap();
        }
        (self.child.wait().unwrap().code(), out, said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn connect(addr: SocketAddr, group: Option<SocketAddr>) -> Sender {
    let group = group.map(|addr| Group { addr, source: None });
    let session = SessionConfig { group, ..SessionConfig::default() };
    let interface = Some(index_of("lo").unwrap());
    let bind = Some((Ipv4Addr::LOCALHOST, 0).into());
    let trust = SenderOptions::new(SenderTrust::Loopback);
    let options = SenderOptions { session, interface, bind, ..trust };
    open_session(options, &[vec![addr]]).unwrap().sender
}

pub(crate) fn send(
    addr: SocketAddr,
    path: &Path,
    to: &str,
    group: Option<SocketAddr>,
) -> Option<String> {
    send_over(&connect(addr, group), path, to, &|_| ())
}

/// Why it did not get there. `meanwhile` is called after each block, and holds up the next.
pub(crate) fn send_over(
    sender: &Sender,
    path: &Path,
    to: &str,
    meanwhile: &dyn Fn(Progress),
) -> Option<String> {
    let source = TreeSource::open(&[path], scan::Options::default(), path.parent().unwrap());
    let source = source.unwrap();
    let one = source.single_file();
    let offer = Offer { to: to.into(), one, resume: true, ..Offer::default() };
    let outcome = transfer::send(sender, &source, &[offer], meanwhile);
    outcome.members.first().and_then(Delivered::failure)
}

/// A file of so many bytes.
pub(crate) fn source(len: usize) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> =
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let path = dir.path().join("file");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}
