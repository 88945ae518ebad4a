//! A place with a tree and a folder of state, and the command in it.

use crate::Host;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whatever is waited for comes within this, unless something is wrong.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    dir: TempDir,
}

/// The command while it runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    said: BufReader<ChildStderr>,
}

impl Place {
    /// With a tree `lectures` of some files.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        fs::create_dir_all(place.tree().join("autumn/01")).unwrap();
        fs::write(place.tree().join("index"), "one\n").unwrap();
        fs::write(place.tree().join("autumn/01/notes"), "first\n").unwrap();
        fs::write(place.tree().join("autumn/01/video"), vec![7; 300_000]).unwrap();
        std::os::unix::fs::symlink("01", place.tree().join("autumn/last")).unwrap();
        fs::hard_link(place.tree().join("index"), place.tree().join("autumn/index")).unwrap();
        Self::settle();
        place
    }

    /// Waits until a look at the tree does not take it for just being changed.
    pub(crate) fn settle() {
        thread::sleep(Duration::from_millis(150));
    }

    /// Waits until receivers do not, either.
    pub(crate) fn grow_old() {
        thread::sleep(Duration::from_millis(2100));
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The file of a job.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("state/jobs").join(name).join("job")
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("lectures")
    }

    /// `mtm` with these words. SIGINT reaches it, even if these tests run with it ignored.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_mtm")]).args(words);
        command.env("MCP_STATE_DIR", self.dir.path().join("state")).current_dir(self.path());
        command.env("XDG_CONFIG_HOME", self.dir.path()).env_remove("MCP_CONFIG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs it, and it must succeed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {}: {said}", output.status);
        said
    }

    /// Gives the job of the tree to these hosts, with these options, and runs it.
    pub(crate) fn send(&self, hosts: &[&Host], options: &[&str]) -> Running {
        let names: Vec<String> = hosts.iter().map(|host| host.name()).collect();
        let names = names.iter().map(String::as_str);
        let words: Vec<&str> = ["send"]
            .into_iter()
            .chain(options.iter().copied())
            .chain(["lectures"])
            .chain(names)
            .collect();
        self.start(&words)
    }

    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let mut child = self.command(words).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Running { child, said }
    }

    /// What is told of the job.
    pub(crate) fn status(&self) -> Value {
        let output = self.run(&["status", "lectures", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until that is told of the job.
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(begin.elapsed() < LONG, "it never was {what}: {status}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether a host has the tree, with nothing else.
    pub(crate) fn is_at(&self, host: &Host) -> bool {
        let there = host.mirror("lectures");
        let mut diff = Command::new("diff");
        diff.arg("-r").arg("--no-dereference").arg(self.tree()).arg(there);
        diff.output().unwrap().status.success()
    }
}

impl Running {
    /// Reads what it says until a line has `what` in it.
    pub(crate) fn says(&mut self, what: &str) -> String {
        let (mut line, mut all) = (String::new(), String::new());
        while !line.contains(what) {
            line.clear();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without saying {what}: {all}");
            all.push_str(&line);
        }
        line
    }

    /// Waits for its end: its exit code, and what it said since it was listened to.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, unless a test failed
        let _ = self.child.wait();
    }
}
