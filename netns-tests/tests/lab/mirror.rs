//! An `mtm` in the sender's namespace: a job that goes on until all hosts have its tree.

use crate::network::Lab;
use crate::programs;
use crate::shell::{find, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a lab's job is called where it is the only one.
const NAME: &str = "job";

/// The master's end of a job.
pub(crate) struct Mirror<'a> {
    lab: &'a Lab,
    /// The host that runs it.
    master: usize,
    name: String,
    pub(crate) tree: PathBuf,
}

/// A process that runs the job; killed when it is dropped before its end.
pub(crate) struct Running {
    child: Child,
    err: PathBuf,
    begin: Instant,
}

/// What became of such a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) took: Duration,
}

/// An entry that the ledger has as done at a host: the host, and the path below the folder that is sent.
pub(crate) type Done = (String, PathBuf);

impl<'a> Mirror<'a> {
    /// Gives the job of this tree to all receivers of the lab, and runs it.
    pub(crate) fn send(lab: &'a Lab, tree: &Path, options: &[&str]) -> (Self, Running) {
        Self::send_to(lab, &lab.all(), tree, options)
    }

    /// Likewise, to hosts by these addresses.
    pub(crate) fn send_to(
        lab: &'a Lab,
        hosts: &[String],
        tree: &Path,
        options: &[&str],
    ) -> (Self, Running) {
        Self::send_from((lab, 0), NAME, hosts, tree, options)
    }

    /// Likewise, from any host of the lab, as a job of this name.
    pub(crate) fn send_from(
        (lab, master): (&'a Lab, usize),
        name: &str,
        hosts: &[String],
        tree: &Path,
        options: &[&str],
    ) -> (Self, Running) {
        let mirror = Self { lab, master, name: name.to_owned(), tree: tree.to_owned() };
        let (secret, tree) = (lab.secret().display().to_string(), tree.display().to_string());
        let mut words = vec!["send", "--name", name, "--secret-file", &secret];
        words.extend(options);
        words.push(&tree);
        words.extend(hosts.iter().map(String::as_str));
        let running = mirror.start(&words);
        (mirror, running)
    }

    /// Carries it on.
    pub(crate) fn run(&self) -> Running {
        self.start(&["run", &self.name])
    }

    /// Carries on all that are open at this master.
    pub(crate) fn run_all(&self) -> Running {
        self.start(&["run"])
    }

    /// Nothing of it is sent until it is resumed.
    pub(crate) fn pause(&self) {
        self.ask(&["pause", &self.name]);
    }

    /// A job that is paused or complete is open again.
    pub(crate) fn resume(&self) {
        self.ask(&["resume", &self.name]);
    }

    /// Likewise, whatever has become of the source.
    pub(crate) fn resume_as_new(&self) {
        self.ask(&["resume", "--new-source", &self.name]);
    }

    fn start(&self, words: &[&str]) -> Running {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let err = self.lab.dir.path().join(format!("mtm{number}.err"));
        let child = Command::new(find("ip").unwrap())
            .args(["netns", "exec", &self.lab.ns(self.master)])
            .arg(programs::path("mtm"))
            .args(words)
            .env("MCP_STATE_DIR", self.lab.state(self.master))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Running { child, err, begin: Instant::now() }
    }

    /// Says or asks something that is about the job's file alone.
    fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new(programs::path("mtm"));
        command.args(words).env("MCP_STATE_DIR", self.lab.state(self.master));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is told of the job; `None`: it is not there yet.
    pub(crate) fn status(&self) -> Option<Value> {
        let mut command = Command::new(programs::path("mtm"));
        command
            .args(["status", &self.name, "--json"])
            .env("MCP_STATE_DIR", self.lab.state(self.master));
        let output = command.output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until that is told of it.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut so: impl FnMut(&Value) -> bool,
    ) -> Value {
        let mut status = None;
        wait_for(what, limit, || {
            status = self.status();
            status.as_ref().is_some_and(&mut so)
        });
        status.unwrap()
    }

    /// What the ledger has as done.
    pub(crate) fn done(&self) -> BTreeSet<Done> {
        let table = self.ask(&["status", &self.name, "--entries"]);
        let folder = self.tree.file_name().unwrap();
        let lines = table.lines().filter_map(|line| line.rsplit_once('\t'));
        let of = |(path, hosts): (&str, &str)| -> Vec<Done> {
            // The folder's own entry has nothing behind its name.
            let Ok(path) = Path::new(path).strip_prefix(folder) else { return Vec::new() };
            let done = hosts.split(',').filter_map(|host| host.strip_suffix("[done]"));
            done.map(|host| (host.to_owned(), path.to_owned())).collect()
        };
        lines.flat_map(of).collect()
    }
}

impl Running {
    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it says that.
    pub(crate) fn says(&mut self, what: &str, limit: Duration) {
        wait_for(what, limit, || fs::read_to_string(&self.err).unwrap().contains(what));
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its end, which may take so long.
    fn wait(&mut self, limit: Duration) -> Ended {
        let mut status = None;
        wait_for("the job ends", limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let took = self.begin.elapsed();
        let said = fs::read_to_string(&self.err).unwrap();
        Ended { code: status.and_then(|status| status.code()), said, took }
    }

    /// Its end, at which all hosts have the tree.
    pub(crate) fn wait_complete(&mut self, limit: Duration) -> Ended {
        let ended = self.wait(limit);
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, unless the scenario failed
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(&self.err).unwrap_or_default();
            eprintln!("---- {}\n{said}", self.err.display());
        }
    }
}
