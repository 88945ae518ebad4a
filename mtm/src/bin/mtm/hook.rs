//! The user's own command, at the sender: when the job is complete, and when a host has been late for long.

use crate::say::say;
use mcp_cli::say::plain;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::collections::HashSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// It is looked so often whether it has ended, or is to be.
const PAUSE: Duration = Duration::from_millis(50);
/// One that is to end is asked to, and so long later it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// It, and whom it was run for.
#[derive(Debug)]
pub(crate) struct Hook {
    job: String,
    command: Option<String>,
    late: Option<Duration>,
    told: HashSet<String>,
    /// Commands that run beside the job.
    beside: Vec<JoinHandle<()>>,
    /// They are to end.
    ends: Arc<AtomicBool>,
}

impl Hook {
    pub(crate) fn new(job: &str, command: Option<String>, late: Option<Duration>) -> Self {
        let (job, told, beside) = (job.to_owned(), HashSet::new(), Vec::new());
        Self { job, command, late, told, beside, ends: Arc::default() }
    }

    /// The job is complete. It is waited for as long as `goes_on` says; then it is ended. Whether it has ended by itself.
    pub(crate) fn complete(&self, goes_on: impl FnMut() -> bool) -> bool {
        self.command("complete").is_none_or(|mut command| run(&mut command, goes_on))
    }

    /// A host is late since so long, and why: runs the command once each time that it has become so.
    pub(crate) fn late(&mut self, host: &str, since: Duration, why: &str) {
        if self.late.is_none_or(|late| since < late) || !self.told.insert(host.to_owned()) {
            return;
        }
        if let Some(mut command) = self.command("late") {
            command.env("MTM_HOST", host).env("MTM_WHY", why);
            let ends = Arc::clone(&self.ends);
            let work = move || {
                run(&mut command, || !ends.load(Ordering::SeqCst));
            };
            self.beside.retain(|thread| !thread.is_finished());
            match thread::Builder::new().spawn(work) {
                Ok(thread) => self.beside.push(thread),
                Err(error) => {
                    say(format_args!("cannot start a thread for the command of --done: {error}"));
                }
            }
        }
    }

    /// A host is not late any more.
    pub(crate) fn served(&mut self, host: &str) {
        self.told.remove(host);
    }

    fn command(&self, event: &str) -> Option<Command> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(self.command.as_ref()?);
        command.env("MTM_JOB", &self.job).env("MTM_EVENT", event);
        command.process_group(0); // what it starts ends with it
        Some(command)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        for thread in self.beside.drain(..) {
            let _ = thread.join(); // it says nothing
        }
    }
}

/// Runs a command for as long as `goes_on` says, and ends it then, with all that it has started. Whether it has ended by
/// itself.
fn run(command: &mut Command, mut goes_on: impl FnMut() -> bool) -> bool {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tell(Err(error));
            return true;
        }
    };
    loop {
        let ended = match child.try_wait() {
            Ok(None) if goes_on() => {
                thread::sleep(PAUSE);
                continue;
            }
            Ok(None) => {
                end(&mut child);
                return false;
            }
            Ok(Some(status)) => Ok(status),
            Err(error) => Err(error),
        };
        tell(ended);
        return true;
    }
}

/// Asks a command and what it has started to end, and ends what has not.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM); // all of them may have ended
    let begin = Instant::now();
    // The group, not the shell alone, which does not wait for what runs behind it.
    while test_kill_process_group(group).is_ok() && begin.elapsed() < GRACE {
        let _ = child.try_wait(); // one that has ended and was not waited for is in the group still
        thread::sleep(PAUSE);
    }
    let _ = kill_process_group(group, Signal::KILL); // see above
    let _ = child.wait();
}

fn tell(ended: io::Result<ExitStatus>) {
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => say(format_args!("the command of --done: {status}")),
        Err(error) => {
            let why = plain(&error.to_string());
            say(format_args!("cannot run the command of --done: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_late_is_told_of_once_until_it_was_served() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let command =
            format!("echo \"$MTM_JOB $MTM_EVENT $MTM_HOST $MTM_WHY\" >> {}", log.display());
        let second = Duration::from_secs(1);
        let mut hook = Hook::new("lectures", Some(command), Some(second * 60));
        let lines = |count: usize| {
            let read = || std::fs::read_to_string(&log).unwrap_or_default();
            let begin = std::time::Instant::now();
            while read().lines().count() < count && begin.elapsed() < second * 20 {
                thread::sleep(Duration::from_millis(5));
            }
            read()
        };
        hook.late("h1", second * 59, "it is off");
        hook.late("h1", second * 60, "it is off");
        hook.late("h1", second * 61, "it is off");
        assert_eq!(lines(1), "lectures late h1 it is off\n");
        hook.served("h1");
        hook.late("h1", second * 60, "no");
        assert_eq!(lines(2).lines().count(), 2);
        assert!(hook.complete(|| true));
        assert_eq!(lines(3).lines().last(), Some("lectures complete  "));
    }

    #[test]
    fn one_that_does_not_end_is_ended_when_that_is_wanted() {
        let hook = Hook::new("lectures", Some("exec sleep 600".to_owned()), None);
        let begin = std::time::Instant::now();
        assert!(!hook.complete(|| begin.elapsed() < PAUSE * 3));
        assert!(Hook::new("lectures", None, None).complete(|| false));
    }

    /// Whether the process lives whose number stands in that file, once it does.
    fn lives(file: &std::path::Path) -> bool {
        let read = || std::fs::read_to_string(file).unwrap_or_default();
        while !read().ends_with('\n') {
            thread::sleep(PAUSE);
        }
        // One that nobody has waited for is dead as well.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", read().trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Whether it ends: a signal that was sent is not one that has arrived, and nobody here can wait for that process.
    fn ends(file: &std::path::Path) -> bool {
        let begin = std::time::Instant::now();
        while lives(file) && begin.elapsed() < Duration::from_secs(20) {
            thread::sleep(PAUSE);
        }
        !lives(file)
    }

    #[test]
    fn what_a_command_has_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        // Behind the shell, which does not pass signals on, and deaf to being asked.
        let deaf = "trap '' TERM; sleep 600 & echo $! > ";
        let command = format!("{deaf}{}; wait", file.display());
        let hook = Hook::new("lectures", Some(command.clone()), None);
        assert!(!hook.complete(|| !lives(&file)));
        assert!(ends(&file), "when the job goes on without it");

        std::fs::remove_file(&file).unwrap();
        let mut hook = Hook::new("lectures", Some(command), Some(Duration::ZERO));
        hook.late("h1", Duration::ZERO, "it is off");
        assert!(lives(&file));
        drop(hook);
        assert!(ends(&file), "when the job's process ends");
    }
}
