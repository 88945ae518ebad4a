//! An `mcp` in the sender's namespace.

use crate::network::Lab;
use crate::programs;
use crate::shell::{find, wait_for};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No copy here takes longer.
const LIMIT: Duration = Duration::from_secs(90);

/// A copy that runs; killed when it is dropped before its end.
pub(crate) struct Copy {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    begin: Instant,
}

/// What became of a copy.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) hosts: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) messages: String,
    pub(crate) took: Duration,
}

impl Copy {
    /// Starts one at host 0.
    pub(crate) fn start<A: AsRef<OsStr>>(lab: &Lab, args: &[A]) -> Self {
        Self::start_at(lab, 0, args)
    }

    /// Starts one at any host.
    pub(crate) fn start_at<A: AsRef<OsStr>>(lab: &Lab, host: usize, args: &[A]) -> Self {
        let secret = lab.secret().display().to_string();
        Self::start_trusting(lab, host, &["--secret-file", &secret], args)
    }

    /// Likewise with options of its own that say whom it trusts.
    pub(crate) fn start_trusting<A: AsRef<OsStr>>(
        lab: &Lab,
        host: usize,
        trust: &[&str],
        args: &[A],
    ) -> Self {
        Self::start_by(lab, (host, &[]), trust, args)
    }

    /// Likewise through another program, such as setpriv, which gets its command line.
    pub(crate) fn start_by<A: AsRef<OsStr>>(
        lab: &Lab,
        (host, by): (usize, &[&str]),
        trust: &[&str],
        args: &[A],
    ) -> Self {
        Self::spawn((lab, host, by), trust, args, Stdio::null())
    }

    /// Likewise at host 0, with this as its standard input.
    pub(crate) fn start_fed<A: AsRef<OsStr>>(lab: &Lab, args: &[A], input: Stdio) -> Self {
        Self::start_fed_at(lab, 0, args, input)
    }

    /// Likewise at any host.
    pub(crate) fn start_fed_at<A: AsRef<OsStr>>(
        lab: &Lab,
        host: usize,
        args: &[A],
        input: Stdio,
    ) -> Self {
        let secret = lab.secret().display().to_string();
        Self::spawn((lab, host, &[]), &["--secret-file", &secret], args, input)
    }

    fn spawn<A: AsRef<OsStr>>(
        (lab, host, by): (&Lab, usize, &[&str]),
        trust: &[&str],
        args: &[A],
        input: Stdio,
    ) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let out = lab.dir.path().join(format!("mcp{number}.out"));
        let err = lab.dir.path().join(format!("mcp{number}.err"));
        let child = Command::new(find("ip").unwrap())
            .args(["netns", "exec", &lab.ns(host)])
            .args(by)
            .arg(programs::path("mcp"))
            .arg("--json")
            .args(trust)
            .args(args)
            .stdin(input)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err, begin: Instant::now() }
    }

    /// Its process.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its end.
    pub(crate) fn wait(self) -> Done {
        self.wait_watched(LIMIT, || {})
    }

    /// Its end, which may take so long; `watch` is called again and again until then.
    pub(crate) fn wait_watched(mut self, limit: Duration, mut watch: impl FnMut()) -> Done {
        let mut status = None;
        wait_for("the copy ends", limit, || {
            watch();
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let took = self.begin.elapsed();
        let text = fs::read_to_string(&self.out).unwrap();
        let mut hosts: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = hosts.pop().unwrap_or_default();
        let messages = fs::read_to_string(&self.err).unwrap();
        Done { code: status.and_then(|s| s.code()), hosts, summary, messages, took }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            for path in [&self.out, &self.err] {
                let text = fs::read_to_string(path).unwrap_or_default();
                eprintln!("---- {}\n{text}", path.display());
            }
        }
    }
}

/// Copies and waits.
pub(crate) fn copy<A: AsRef<OsStr>>(lab: &Lab, args: &[A]) -> Done {
    Copy::start(lab, args).wait()
}

impl Done {
    pub(crate) fn text<'a>(&'a self, host: usize, field: &str) -> &'a str {
        self.hosts[host][field].as_str().unwrap_or_default()
    }

    /// Final modes, in order.
    pub(crate) fn modes(&self) -> Vec<&str> {
        (0..self.hosts.len()).map(|host| self.text(host, "mode")).collect()
    }

    pub(crate) fn sum(&self, field: &str) -> u64 {
        self.summary[field].as_u64().unwrap_or_default()
    }

    /// All hosts have it.
    pub(crate) fn assert_ok(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert!(self.hosts.iter().all(|host| host["status"] == "ok"), "{self:#?}");
        assert_eq!(self.summary["status"], "ok");
    }
}
