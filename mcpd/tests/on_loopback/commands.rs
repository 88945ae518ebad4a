//! Commands that a master has run here once its tree is complete.

use crate::daemon::{Daemon, command};
use crate::master::Master;
use mtm::exec::{Credential, ExitStatusWord};
use mtm::held::Held;
use mtm::revision::Revision;
use mtm::words::{OfReceiver, ToReceiver};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use transfer::message::{OfJob, Offer};
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

const JOB: [u8; 16] = [7; 16];
/// Whatever is waited for is there within this.
const SOON: Duration = Duration::from_secs(60);

/// A daemon with a list of commands, each of which is a script of `sh`.
struct Case {
    dir: TempDir,
    config: PathBuf,
    last: u8,
    /// Of the revisions that are sent and asked for.
    edition: u64,
    daemon: Option<Daemon>,
}

impl Case {
    /// `lines` of each command stand in its table beside `argv`.
    fn new(last: u8, commands: &[(&str, &str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["source", "root"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("source/file"), "x").unwrap();
        let config = dir.path().join("mcpd.toml");
        let mut case = Self { dir, config, last, edition: 1, daemon: None };
        case.list(commands);
        case.start();
        case
    }

    fn list(&self, commands: &[(&str, &str, &str)]) {
        let table = |(name, script, lines): &(&str, &str, &str)| {
            let script = script.replace("DIR", &self.dir.path().display().to_string());
            format!("[command.{name}]\nargv = [\"/bin/sh\", \"-c\", '''{script}''']\n{lines}\n")
        };
        fs::write(&self.config, commands.iter().map(table).collect::<String>()).unwrap();
    }

    fn start(&mut self) {
        let mut daemon = command(&self.at("root"), &format!("127.0.0.{}:0", self.last));
        daemon.env("MCPD_STATE_DIR", self.at("state")).arg("--config").arg(&self.config);
        self.daemon = Some(Daemon::spawn(&mut daemon));
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    fn addr(&self) -> SocketAddr {
        self.daemon.as_ref().unwrap().addr
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    /// Sends a revision of the tree.
    fn send(&self, revision: u32) {
        let of = self.at("source");
        let source = TreeSource::open(&[&of], scan::Options::default(), self.dir.path()).unwrap();
        let job = OfJob {
            id: JOB,
            name: "lectures".to_owned(),
            revision,
            edition: self.edition,
            below: b"source".to_vec(),
            host: "h1".to_owned(),
            ..OfJob::default()
        };
        let offer = Offer { to: "mirror".into(), job: Some(Box::new(job)), ..Offer::default() };
        assert_eq!(Master::new(1).send(self.addr(), &source, offer).failure(), None);
    }

    /// Says the word to run a command.
    fn ask(&self, revision: u32, command: &str, password: &str) -> OfReceiver {
        self.try_ask(revision, command, password).unwrap()
    }

    /// The same to a daemon that may be gone.
    fn try_ask(&self, revision: u32, command: &str, password: &str) -> Option<OfReceiver> {
        let word = ToReceiver::Mex {
            job: JOB,
            revision: Revision::new(revision, self.edition),
            command: command.to_owned(),
            credential: Credential::new(password.to_owned()),
            root: "source".to_owned(),
            description: "for all".to_owned(),
            host: "h1".to_owned(),
        };
        Master::new(1).asks(self.addr(), &word).ok().map(|(_, answer)| answer)
    }

    /// Asks for a command, and has its daemon end once that runs; whether it was answered.
    fn ends_with(&self, command: &str, signal: Signal) -> Option<OfReceiver> {
        thread::scope(|scope| {
            let asking = scope.spawn(|| self.try_ask(1, command, ""));
            assert!(soon(|| self.at("pid").exists()));
            // It is known from then on which process it is.
            let known = || Held::open(&self.at("state/mirrors")).unwrap().running().unwrap();
            assert!(soon(|| known().iter().any(|run| run.process.is_some())));
            self.daemon.as_ref().unwrap().signal(signal);
            asking.join().unwrap()
        })
    }

    /// The same, until it has ended.
    fn ends(&self, revision: u32, command: &str) -> (ExitStatusWord, Vec<u8>) {
        let begin = Instant::now();
        while begin.elapsed() < SOON {
            match self.ask(revision, command, "") {
                OfReceiver::Busy => {}
                OfReceiver::Ran { status, tail } => return (status, tail),
                other => panic!("{other:?}"),
            }
        }
        panic!("{command} does not end");
    }
}

fn soon(what: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !what() && begin.elapsed() < SOON {
        thread::sleep(Duration::from_millis(5));
    }
    what()
}

/// Whether a process is there, and no corpse.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// The hash that `mcpd credential` prints.
fn hash(password: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpd"));
    command.arg("credential").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn it_is_run_once_for_a_revision_and_again_for_the_next() {
    let script =
        "echo \"$MTM_JOB $MTM_PLACE $MTM_ROOT $MTM_DESCRIPTION $MTM_REVISION\" | tee -a DIR/runs";
    let case = Case::new(101, &[("note", script, ""), ("other", "touch DIR/other", "")]);
    assert_eq!(case.ask(1, "note", ""), OfReceiver::Incomplete, "the job is not known");
    case.send(1);
    assert_eq!(case.ask(2, "note", ""), OfReceiver::Incomplete, "this revision is not there");
    assert_eq!(case.read("runs"), "");
    let place = case.at("root/mirror/source").display().to_string();
    let ran = |revision: u32| OfReceiver::Ran {
        status: ExitStatusWord::Exited(0),
        tail: format!("lectures {place} source for all {revision}\n").into_bytes(),
    };
    assert_eq!(case.ask(1, "note", ""), ran(1));
    assert_eq!(case.ask(1, "note", "whatever"), ran(1));
    let OfReceiver::Refused(why) = case.ask(1, "other", "") else { panic!("it is run") };
    assert!(why.contains("has run the command note") && !case.at("other").exists(), "{why}");
    assert_eq!(case.read("runs"), format!("lectures {place} source for all 1\n"));
    case.send(1); // nothing is new
    case.send(2);
    // Of two that come together both are told the same end.
    thread::scope(|scope| {
        let asking = [(); 2].map(|()| scope.spawn(|| case.ask(2, "note", "")));
        for asking in asking {
            assert_eq!(asking.join().unwrap(), ran(2));
        }
    });
    assert_eq!(case.read("runs").lines().count(), 2);
    // The end is logged before it is told.
    let log = case.read("state/mirrors.log");
    let lines: Vec<_> =
        log.lines().map(|line| line.split('\t').skip(1).collect::<Vec<_>>()).collect();
    let command =
        |n| ["command", "lectures", &place, n, "source", "for all", "note", "exited 0"].to_vec();
    let complete = |n| ["complete", "lectures", &place, n].to_vec();
    assert_eq!(lines, [complete("1"), command("1"), complete("2"), command("2")]);
    assert!(
        case.read("state/commands.log")
            .contains(&format!("\n| lectures {place} source for all 1\n"))
    );
}

/// What a master sends and asks for that counts revision 2 once more, as its job file knows of revision 1 alone.
#[test]
fn it_is_run_for_the_revisions_of_a_master_that_was_restored() {
    let mut case = Case::new(109, &[("note", "echo $MTM_REVISION >> DIR/runs", "")]);
    let ran = OfReceiver::Ran { status: ExitStatusWord::Exited(0), tail: Vec::new() };
    for revision in 1..=3 {
        case.send(revision);
        assert_eq!(case.ask(revision, "note", ""), ran);
    }
    assert_eq!(case.read("runs"), "1\n2\n3\n");
    case.edition = 2;
    for revision in 2..=3 {
        assert_eq!(case.ask(revision, "note", ""), OfReceiver::Incomplete, "that one is not here");
        case.send(revision);
        assert_eq!(case.ask(revision, "note", ""), ran);
        assert_eq!(case.ask(revision, "note", ""), ran);
    }
    assert_eq!(case.read("runs"), "1\n2\n3\n2\n3\n");
    case.edition = 1;
    assert_eq!(case.ask(2, "note", ""), ran, "how that one has ended");
    assert_eq!(case.read("runs").lines().count(), 5);
}

#[test]
fn a_wrong_password_and_an_unknown_command_are_the_same_and_cost_time() {
    let credential = format!("credential = '{}'", hash("right\n"));
    let mut case = Case::new(102, &[("x", "touch DIR/ran", &credential)]);
    case.send(1);
    // Until an attempt is looked at again; each failure makes that later.
    let looked_at = |command: &str, password: &str| {
        let begin = Instant::now();
        loop {
            match case.ask(1, command, password) {
                OfReceiver::Refused(_) if begin.elapsed() < SOON => {
                    thread::sleep(Duration::from_millis(20));
                }
                answer => return (answer, begin.elapsed()),
            }
        }
    };
    assert_eq!(case.ask(1, "x", "wrong-one"), OfReceiver::Dnpwd);
    assert_eq!(looked_at("none", "right").0, OfReceiver::Dnpwd);
    assert_eq!(looked_at("x", "wrong-one").0, OfReceiver::Dnpwd);
    // The right one is not looked at either, for four seconds by now.
    let OfReceiver::Refused(why) = case.ask(1, "x", "right") else { panic!("it is looked at") };
    assert!(why.contains("no other is looked at") && !case.at("ran").exists(), "{why}");
    let (ran, waited) = looked_at("x", "right");
    let ok = OfReceiver::Ran { status: ExitStatusWord::Exited(0), tail: Vec::new() };
    assert_eq!((ran, case.at("ran").exists()), (ok, true));
    assert!(waited > Duration::from_secs(1), "{waited:?}");
    let line = case.daemon().says("is refused");
    assert!(line.contains("the command x for the job lectures of 127.0.0.1:"), "{line}");
    // Nothing that is written has a password.
    let (_, _, said) = case.daemon.take().unwrap().terminate();
    let state = fs::read_dir(case.at("state")).unwrap();
    let written = state.map(|entry| fs::read(entry.unwrap().path()).unwrap_or_default());
    for bytes in written.chain([said.into_bytes()]) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("wrong-one") && !text.contains("right"), "{text}");
    }
}

#[test]
fn a_list_that_is_read_again_counts() {
    let mut case = Case::new(103, &[]);
    case.send(1);
    assert_eq!(case.ask(1, "new", ""), OfReceiver::Dnpwd);
    case.list(&[("new", "true", "")]);
    case.daemon().signal(Signal::HUP);
    case.daemon().says("commands are new");
    assert_eq!(case.ends(1, "new"), (ExitStatusWord::Exited(0), Vec::new()));
    case.list(&[("new", "true", "shell = true")]);
    case.daemon().signal(Signal::HUP);
    let said = case.daemon().says("stays as it was");
    assert!(said.contains("mcpd.toml: command.new.shell: "), "{said}");
}

#[test]
fn one_that_never_ends_and_one_that_floods_are_ended() {
    let never = "sleep 1000 & echo $! > DIR/pid; wait";
    let commands = [
        ("never", never, "timeout = \"300ms\""),
        ("flood", "cat /dev/zero", ""),
        ("bad", "exit 7", ""),
    ];
    let case = Case::new(104, &commands);
    for (revision, command, status) in [
        (1, "never", ExitStatusWord::TimedOut),
        (2, "flood", ExitStatusWord::Flooded),
        (3, "bad", ExitStatusWord::Exited(7)),
    ] {
        case.send(revision);
        let (ended, tail) = case.ends(revision, command);
        assert_eq!(ended, status);
        assert!(tail.len() <= 4096);
    }
    assert!(soon(|| !lives(&case.read("pid"))), "its child is there still");
    // What was written is kept, up to a bound.
    let len = case.at("state/commands.log").metadata().unwrap().len();
    assert!((1 << 20..2 << 20).contains(&len), "{len}");
}

/// A command that goes on for ever, unless it may end, with a child.
const ENDLESS: &str = "echo x >> DIR/runs; sleep 1000 & echo $! > DIR/child; echo $$ > DIR/pid
    until [ -e DIR/go ]; do sleep 0.05; done";

#[test]
fn what_runs_when_the_daemon_is_killed_is_ended_at_the_next_start_and_not_run_again() {
    let mut case = Case::new(105, &[("slow", ENDLESS, "")]);
    case.send(1);
    assert_eq!(case.ends_with("slow", Signal::KILL), None);
    drop(case.daemon.take());
    assert!(lives(&case.read("pid")) && lives(&case.read("child")), "nobody was there to end it");
    case.start();
    assert!(soon(|| !lives(&case.read("pid")) && !lives(&case.read("child"))));
    assert_eq!(case.ends(1, "slow"), (ExitStatusWord::Unknown, Vec::new()));
    fs::write(case.at("go"), "").unwrap();
    case.send(2);
    assert_eq!(case.ends(2, "slow").0, ExitStatusWord::Exited(0));
    assert_eq!(case.ends(1, "slow"), (ExitStatusWord::Unknown, Vec::new()), "it is past");
    assert_eq!(case.read("runs"), "x\nx\n");
    assert!(case.read("state/mirrors.log").contains("\tslow\tunknown\n"));
}

#[test]
fn a_daemon_that_ends_in_good_order_ends_what_runs() {
    let script = format!("trap 'echo asked > DIR/asked; exit 0' TERM; {ENDLESS}");
    let mut case = Case::new(106, &[("slow", &script, "")]);
    case.send(1);
    case.ends_with("slow", Signal::TERM);
    let (code, _, said) = case.daemon.take().unwrap().collected();
    assert_eq!(code, Some(0), "{said}");
    // It was asked to, and nothing of it was left when the daemon had ended.
    assert_eq!(case.read("asked"), "asked\n");
    assert!(soon(|| !lives(&case.read("pid")) && !lives(&case.read("child"))));
    assert_eq!(case.read("state/mirrors.log").matches("\tslow\tunknown\n").count(), 1);
    case.start();
    assert_eq!(case.ends(1, "slow").0, ExitStatusWord::Unknown);
    assert_eq!(case.read("runs"), "x\n");
    assert_eq!(case.read("state/mirrors.log").matches("\tslow\tunknown\n").count(), 1);
}

/// As where two daemons of a user have one folder of state.
#[test]
fn what_another_daemon_runs_goes_on() {
    let mut case = Case::new(107, &[("slow", ENDLESS, "")]);
    case.send(1);
    thread::scope(|scope| {
        let asking = scope.spawn(|| case.ends(1, "slow"));
        assert!(soon(|| case.at("pid").exists()));
        let mut other = command(&case.at("root"), "127.0.0.108:0");
        other.env("MCPD_STATE_DIR", case.at("state")).arg("--config").arg(&case.config);
        let other = Daemon::spawn(&mut other);
        // It answers once it has looked at what was left.
        let word = ToReceiver::Ask { job: JOB, host: "h1".to_owned() };
        assert!(Master::new(1).asks(other.addr, &word).is_ok());
        assert!(lives(&case.read("pid")));
        fs::write(case.at("go"), "").unwrap();
        assert_eq!(asking.join().unwrap().0, ExitStatusWord::Exited(0));
    });
    case.daemon.take().unwrap().terminate();
}
