//! The user's own command, at the sender: when the job is complete, and when a host has been late for long.

use crate::say::say;
use mcp_cli::say::plain;
use std::collections::HashSet;
use std::io;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

/// It is looked so often whether it has ended, or is to be.
const PAUSE: Duration = Duration::from_millis(50);

/// It, and whom it was run for.
#[derive(Debug)]
pub(crate) struct Hook {
    job: String,
    command: Option<String>,
    late: Option<Duration>,
    told: HashSet<String>,
}

impl Hook {
    pub(crate) fn new(job: &str, command: Option<String>, late: Option<Duration>) -> Self {
        Self { job: job.to_owned(), command, late, told: HashSet::new() }
    }

    /// The job is complete. It is waited for as long as `goes_on` says; then it is ended. Whether it has ended by itself.
    pub(crate) fn complete(&self, mut goes_on: impl FnMut() -> bool) -> bool {
        let Some(mut command) = self.command("complete") else { return true };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                tell(Err(error));
                return true;
            }
        };
        loop {
            match child.try_wait() {
                Ok(None) if goes_on() => thread::sleep(PAUSE),
                Ok(None) => {
                    let _ = child.kill(); // it may have ended just now
                    let _ = child.wait();
                    return false;
                }
                Ok(Some(status)) => {
                    tell(Ok(status));
                    return true;
                }
                Err(error) => {
                    tell(Err(error));
                    return true;
                }
            }
        }
    }

    /// A host is late since so long, and why: runs the command once each time that it has become so.
    pub(crate) fn late(&mut self, host: &str, since: Duration, why: &str) {
        if self.late.is_none_or(|late| since < late) || !self.told.insert(host.to_owned()) {
            return;
        }
        if let Some(mut command) = self.command("late") {
            command.env("MTM_HOST", host).env("MTM_WHY", why);
            let started = thread::Builder::new().spawn(move || run(&mut command));
            if let Err(error) = started {
                say(format_args!("cannot start a thread for the command of --done: {error}"));
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
        Some(command)
    }
}

fn run(command: &mut Command) {
    tell(command.status());
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
}
