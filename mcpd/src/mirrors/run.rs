//! Runs a command, within its bounds of time and output, and ends all that it has started.

use crate::commands::Entry;
use mtm::exec::{ExitStatusWord, MAX_TAIL};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of output that are kept for the log: more than anybody reads of a command that works.
const KEPT: usize = 1 << 20;
/// A command that writes more than that is ended: it goes round in a circle.
const FLOOD: u64 = 16 << 20;
/// A command whose time is over is asked to end, and so long later it is ended.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// What waits in the pipe when a command has ended is there at once: whoever holds it open longer has left the command.
const REST: Duration = Duration::from_secs(1);
/// Where programs are looked for if the daemon's own surroundings do not say it, as in systemd.exec(5).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: ExitStatusWord,
    /// Its output from the beginning, as much as is kept.
    pub(super) kept: Vec<u8>,
    /// Bytes of output that are not in it.
    pub(super) left_out: u64,
    /// The last bytes of its output.
    pub(super) tail: Vec<u8>,
}

/// What ends all commands that wait for it, also those that begin later: nothing is ever written to it.
#[derive(Debug)]
pub(super) struct Stop {
    /// At its end once the other one is closed.
    end: PipeReader,
}

impl Stop {
    /// And what is dropped to end them.
    pub(super) fn new() -> io::Result<(Self, PipeWriter)> {
        io::pipe().map(|(end, writer)| (Self { end }, writer))
    }
}

/// Runs it and waits for its end; it has these variables, and where programs are. `started` is told which process it is.
pub(super) fn run(
    entry: &Entry,
    variables: &[(&str, OsString)],
    stop: &Stop,
    started: impl FnOnce(Pid),
) -> Ran {
    let mut output = Output::default();
    let status = match start(entry, variables) {
        Ok((child, reader)) => {
            started(child.pid);
            follow(child, (reader, stop), entry.timeout, &mut output)
        }
        Err(error) => ExitStatusWord::NotStarted(format!("{}: {error}", entry.argv[0])),
    };
    let left_out = output.total - output.kept.len() as u64;
    Ran { status, kept: output.kept, left_out, tail: output.tail }
}

fn start(entry: &Entry, variables: &[(&str, OsString)]) -> io::Result<(Started, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&entry.argv[0]);
    command.args(&entry.argv[1..]).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    command.env_clear().env("PATH", path);
    command.envs(variables.iter().map(|(name, value)| (name, without_zeros(value))));
    if let Some((uid, gid)) = entry.ids {
        command.uid(uid).gid(gid); // and no further groups
    }
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(end) => Ok((Started { child, pid, end }, reader)),
        Err(errno) => {
            let _ = kill_process_group(pid, Signal::KILL); // it may have ended
            let _ = child.wait();
            Err(errno.into())
        }
    }
}

/// A zero byte would be the end of a variable (environ(7)).
fn without_zeros(value: &OsStr) -> OsString {
    OsString::from_vec(value.as_bytes().iter().copied().filter(|byte| *byte != 0).collect())
}

/// A command that runs, or has ended and was not waited for: nobody else can have its number, nor its group's.
struct Started {
    child: Child,
    pid: Pid,
    end: OwnedFd,
}

impl Started {
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal); // all of them may have ended
    }
}

/// What a command has written.
#[derive(Debug, Default)]
struct Output {
    kept: Vec<u8>,
    tail: Vec<u8>,
    total: u64,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (KEPT - self.kept.len()).min(bytes.len());
        self.kept.extend(&bytes[..room]);
        self.tail.extend(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(MAX_TAIL));
    }
}

/// Why a command is ended before it ends by itself, and when it has to.
enum Cause {
    /// It has that long still.
    None(Instant),
    Late(Instant),
    /// The daemon ends.
    Stopped(Instant),
    Flood,
}

impl Cause {
    /// When the next thing is to be done about it.
    fn until(&self) -> Option<Instant> {
        match self {
            Self::None(until) | Self::Late(until) | Self::Stopped(until) => Some(*until),
            Self::Flood => None,
        }
    }

    /// The command, which has its time or lacks it by now, is asked to end or made to, as it is due.
    fn next(self, started: &Started, (over, stopped): (bool, bool)) -> Self {
        let later = Instant::now() + GRACE;
        match self {
            Self::None(_) if stopped => {
                started.signal(Signal::TERM);
                Self::Stopped(later)
            }
            Self::None(_) if over => {
                started.signal(Signal::TERM);
                Self::Late(later)
            }
            // If it cannot end now it is said again.
            Self::Late(_) if over => {
                started.signal(Signal::KILL);
                Self::Late(later)
            }
            Self::Stopped(_) if over => {
                started.signal(Signal::KILL);
                Self::Stopped(later)
            }
            cause => cause,
        }
    }
}

fn follow(
    mut started: Started,
    (mut reader, stop): (PipeReader, &Stop),
    timeout: Duration,
    output: &mut Output,
) -> ExitStatusWord {
    let mut cause = Cause::None(Instant::now() + timeout);
    let mut open = true;
    loop {
        let until = cause.until();
        let asked = matches!(cause, Cause::None(_)).then_some(&stop.end);
        let [ended, readable, stopped] =
            wait(&started.end, [open.then_some(&reader), asked], until);
        if readable {
            open = take(&mut reader, output);
        }
        if ended {
            break;
        }
        let is_flood = output.total > FLOOD && !matches!(cause, Cause::Flood);
        if is_flood {
            started.signal(Signal::KILL);
            (open, cause) = (false, Cause::Flood);
        } else {
            let over = until.is_some_and(|until| Instant::now() >= until);
            cause = cause.next(&started, (over, stopped));
        }
    }
    started.signal(Signal::KILL); // those that it leaves behind
    let until = Instant::now() + REST;
    while open && output.total <= FLOOD && wait(&started.end, [Some(&reader), None], Some(until))[1]
    {
        open = take(&mut reader, output) && Instant::now() < until;
    }
    let status = started.child.wait();
    match (cause, status) {
        (Cause::Late(_), _) => ExitStatusWord::TimedOut,
        (Cause::Flood, _) => ExitStatusWord::Flooded,
        (Cause::None(_), _) if output.total > FLOOD => ExitStatusWord::Flooded,
        (Cause::None(_), Ok(status)) => word(status),
        (Cause::Stopped(_), _) | (Cause::None(_), Err(_)) => ExitStatusWord::Unknown,
    }
}

/// Takes what is there; whether more may come.
fn take(reader: &mut PipeReader, output: &mut Output) -> bool {
    let mut buf = [0; 16 << 10];
    match reader.read(&mut buf) {
        Ok(0) => false,
        Ok(read) => {
            output.push(&buf[..read]);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// Waits until the command has ended, until one of these can be read, or until then: which of them.
fn wait(end: &OwnedFd, readers: [Option<&PipeReader>; 2], until: Option<Instant>) -> [bool; 3] {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = vec![PollFd::new(end, PollFlags::IN)];
        fds.extend(readers.iter().flatten().map(|reader| PollFd::new(*reader, PollFlags::IN)));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => {
                let mut there = fds.iter().map(|fd| !fd.revents().is_empty());
                let mut next = || there.next().unwrap_or(false);
                let ended = next();
                return [ended, readers[0].is_some() && next(), readers[1].is_some() && next()];
            }
            Err(Errno::INTR) => {}
            // Not of these descriptors; then its end is waited for as long as it takes.
            Err(_) => return [true, false, false],
        }
    }
}

fn word(status: ExitStatus) -> ExitStatusWord {
    let byte = |number: i32| u8::try_from(number).ok();
    match (status.code().and_then(byte), status.signal().and_then(byte)) {
        (Some(code), _) => ExitStatusWord::Exited(code),
        (None, Some(signal)) => ExitStatusWord::Signalled(signal),
        (None, None) => ExitStatusWord::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(script: &str, millis: u64) -> Entry {
        Entry {
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            ids: None,
            timeout: Duration::from_millis(millis),
            credential: None,
        }
    }

    fn ran(script: &str, millis: u64) -> Ran {
        ran_of(&entry(script, millis))
    }

    fn ran_of(entry: &Entry) -> Ran {
        let (stop, _goes_on) = Stop::new().unwrap();
        run(entry, &[("MTM_JOB", "a\0b".into())], &stop, |_| ())
    }

    /// Whether a process is there, and no corpse.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    }

    #[test]
    fn it_has_its_surroundings_and_no_other_ones() {
        let script =
            "env | grep -v -e ^PATH= -e ^_= -e ^SHLVL= | sort; pwd; echo bad >&2; wc -c; exit 3";
        let ran = ran(script, 10_000);
        assert_eq!(String::from_utf8_lossy(&ran.kept), "MTM_JOB=ab\nPWD=/\n/\nbad\n0\n");
        assert_eq!((ran.status, ran.left_out), (ExitStatusWord::Exited(3), 0));
    }

    #[test]
    fn how_it_ends_is_told() {
        assert_eq!(ran("true", 10_000).status, ExitStatusWord::Exited(0));
        assert_eq!(ran("kill -USR1 $$", 10_000).status, ExitStatusWord::Signalled(10));
        let mut none = entry("", 10_000);
        none.argv = vec!["/no/such/program".to_owned()];
        let ExitStatusWord::NotStarted(why) = ran_of(&none).status else { panic!("it runs") };
        assert!(why.starts_with("/no/such/program: No such file"), "{why}");
    }

    #[test]
    fn its_children_end_with_its_time_and_with_itself() {
        // Deaf to the request to end, the child is ended later.
        let script = "(trap '' TERM; exec sleep 1000) & echo $!; wait; sleep 1000";
        let begin = Instant::now();
        let late = ran(script, 200);
        assert_eq!(late.status, ExitStatusWord::TimedOut);
        assert!(begin.elapsed() < GRACE * 3);
        let left = ran("sleep 1000 & echo $!", 60_000);
        assert_eq!(left.status, ExitStatusWord::Exited(0));
        for ran in [late, left] {
            let pid = String::from_utf8(ran.kept).unwrap();
            let begin = Instant::now();
            while lives(pid.trim()) && begin.elapsed() < GRACE {
                std::thread::sleep(Duration::from_millis(5)); // it has been told, and ends
            }
            assert!(!lives(pid.trim()), "{pid}");
        }
    }

    #[test]
    fn who_does_not_end_when_asked_is_ended() {
        let ran = ran("trap '' TERM; while :; do sleep 0.1; done", 100);
        assert_eq!(ran.status, ExitStatusWord::TimedOut);
    }

    #[test]
    fn one_that_runs_and_one_that_begins_end_with_the_daemon() {
        let (stop, goes_on) = Stop::new().unwrap();
        let running = std::thread::scope(|scope| {
            let script = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.1; done";
            let (told, started) = std::sync::mpsc::channel();
            let entry = entry(script, 60_000);
            let stop = &stop;
            let running =
                scope.spawn(move || run(&entry, &[], stop, |pid| told.send(pid).unwrap()));
            started.recv().unwrap();
            drop(goes_on);
            running.join().unwrap()
        });
        assert_eq!(running.status, ExitStatusWord::Unknown);
        let begins = run(&entry("sleep 1000", 60_000), &[], &stop, |_| ());
        assert_eq!(begins.status, ExitStatusWord::Unknown);
    }

    #[test]
    fn of_much_output_the_beginning_and_the_end_are_kept_and_a_flood_ends_it() {
        let ran = ran("head -c 2000000 /dev/zero; echo end", 60_000);
        assert_eq!(ran.status, ExitStatusWord::Exited(0));
        assert_eq!((ran.kept.len(), ran.left_out), (KEPT, 2_000_004 - KEPT as u64));
        assert!(ran.tail.len() == MAX_TAIL && ran.tail.ends_with(b"\0end\n"));
        let flooded = self::ran("cat /dev/zero", 60_000);
        assert_eq!(flooded.status, ExitStatusWord::Flooded);
    }

    #[test]
    fn another_user_has_no_groups_of_the_daemon() {
        if !rustix::process::geteuid().is_root() {
            return; // only root can do it
        }
        let mut other = entry("id -u; id -g; id -G", 10_000);
        other.ids = Some((12_345, 23_456));
        let ran = ran_of(&other);
        assert_eq!(String::from_utf8_lossy(&ran.kept), "12345\n23456\n23456\n");
    }
}
