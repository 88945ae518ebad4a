//! An `mcpd` in a receiver's namespace.

use crate::network::Lab;
use crate::programs;
use crate::shell::{find, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A daemon is ready, or gone, within this.
const LIMIT: Duration = Duration::from_secs(20);

/// A running daemon; killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    pub(crate) root: PathBuf,
}

impl Daemon {
    /// Starts one on a host and waits until it listens.
    pub(crate) fn start(lab: &Lab, host: usize, root: &Path) -> Self {
        Self::start_by(lab, host, root, &[])
    }

    /// Likewise through another program, such as strace, which gets the daemon's command line.
    pub(crate) fn start_by(lab: &Lab, host: usize, root: &Path, by: &[&str]) -> Self {
        let secret = lab.secret().display().to_string();
        Self::start_trusting(lab, host, root, by, &["--secret-file", &secret])
    }

    /// Likewise with options of its own that say who may send.
    pub(crate) fn start_trusting(
        lab: &Lab,
        host: usize,
        root: &Path,
        by: &[&str],
        trust: &[&str],
    ) -> Self {
        let log = lab.dir.path().join(format!("mcpd{host}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new(find("ip").unwrap())
            .args(["netns", "exec", &lab.ns(host)])
            .args(by)
            .arg(programs::path("mcpd"))
            .args(trust)
            .arg("--state-dir")
            .arg(lab.state(host))
            .arg("--root")
            .arg(root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut daemon = Self { child, log, root: root.to_owned() };
        wait_for("the daemon listens", LIMIT, || {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", daemon.log());
            daemon.log().contains("listening on")
        });
        daemon
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its resident memory, in KiB; `proc` is where the processes of this namespace are shown.
    pub(crate) fn resident_kib(&self, proc: &Path) -> u64 {
        memory_kib(proc, self.id(), "VmRSS").unwrap()
    }

    /// SIGHUP; waits until it has read its configuration again.
    pub(crate) fn reload(&self) {
        let told = || self.log().matches("the configuration was read again").count();
        let before = told();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        wait_for("the configuration is read again", LIMIT, || told() > before);
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let mut status = None;
        wait_for("the daemon ends", LIMIT, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// What `proc_pid_status(5)` says of a process' memory, in KiB; `proc` is where the processes of this namespace
/// are shown. `None`: it has ended.
pub(crate) fn memory_kib(proc: &Path, process: i32, what: &str) -> Option<u64> {
    let status = fs::read_to_string(proc.join(process.to_string()).join("status")).ok()?;
    let mut lines = status.lines().filter_map(|line| line.strip_prefix(what));
    lines.next()?.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
}
