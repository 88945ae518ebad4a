//! `mtm run`: carries on the jobs that are open, each in a process of its own with the surroundings that it was given
//! in; and one job in this process.

use crate::args::{Run, Send};
use crate::given::Given;
use crate::hook::Hook;
use crate::place::{self, Jobs};
use crate::say::{TOOL, say};
use crate::status;
use crate::told::Told;
use crate::work::{Beside, Ended, Work, over};
use anyhow::{Context, Result};
use mcp::mirror::Copying;
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use mtm::exec::Outcome;
use mtm::ledger::{JobState, Ledger, LedgerError};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// It is looked so often whether there is a new job, or one has ended.
const LISTEN: Duration = Duration::from_secs(1);
/// A job whose process has failed is started again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// Processes that are told to end have so long.
const END: Duration = Duration::from_secs(10);
/// Another process that only looks at a job has it for a moment: it is tried so often, with as long between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What was written within this may be written again without another time.
const SETTLES: Duration = Duration::from_millis(100);

/// How much is said.
pub(crate) struct Quiet {
    pub(crate) quiet: bool,
    /// At the end an object says what has become of it.
    pub(crate) json: bool,
}

/// Runs it.
pub(crate) fn run(options: &Run) -> Result<Exit> {
    let jobs = Jobs::of(&options.here)?;
    match &options.job {
        Some(name) if options.over => say_over(&jobs, name, &options.to),
        Some(name) => one(&jobs, name, (options.quiet, options.surrounded)),
        None => all(&jobs, options.quiet),
    }
}

/// One job, until it is complete.
fn one(jobs: &Jobs, name: &str, (quiet, is_surrounded): (bool, bool)) -> Result<Exit> {
    let file = jobs.find(name)?;
    let ledger = open(&file)?;
    let job = ledger.job()?;
    let given = Given::of_json(&job.options)?;
    // Where the folder has another name by now it is the same one: it is not gone to twice.
    if !is_surrounded && !given.is_here() {
        drop(ledger);
        let mut command = this_program(jobs, name, quiet)?;
        given.surround(&mut command);
        command.arg("--surrounded");
        return Err(command.exec()).with_context(|| {
            format!("cannot go on from {}, where the job was given", given.folder().display())
        });
    }
    given.check_folder()?;
    let hosts = ledger.receivers()?.into_iter().map(|receiver| receiver.name).collect();
    let Send { done, late, listen, announce, exec, options, .. } =
        given.read(&job.source, hosts)?;
    mcp_cli::say::log(options.common());
    let (copying, _) = Copying::new(options, TOOL)?;
    let watch = Watch::start().context("cannot watch for signals")?;
    let hook = Hook::new(name, done, late);
    let installation = jobs.installation()?;
    let beside = Beside { installation, hook, listen, announce, exec };
    work((ledger, copying), &watch, beside, &Quiet { quiet, json: false }, &file)
}

/// Tells the receivers of a job that it is over, or these that have left it; this process has the surroundings of the
/// job. What is copied of the tree does not matter for that, nor whether it is there.
fn say_over(jobs: &Jobs, name: &str, left: &[String]) -> Result<Exit> {
    let ledger = Ledger::beside(&jobs.find(name)?)?;
    let job = ledger.job()?;
    let mut hosts = left.to_vec();
    if left.is_empty() {
        let mut all = ledger.receivers()?;
        all.sort_by_key(|one| one.instance.is_none()); // those first that are likely to be there
        hosts = all.into_iter().map(|one| one.name).collect();
    }
    let given = Given::of_json(&job.options)?;
    let mut send = given.read(&job.source, hosts.clone())?;
    send.options.without_rules();
    mcp_cli::say::log(send.options.common());
    let (copying, _) = Copying::new(send.options, TOOL)?;
    let told = over::say(Arc::new(copying), (&jobs.installation()?, job.id), hosts.clone());
    // Who is told still when the time is over has not answered.
    let unreached = told.recv_timeout(over::SAYS_OVER).unwrap_or(hosts);
    if !left.is_empty() && !unreached.is_empty() {
        say(format_args!(
            "{}: not reached, to be told that it has left the job: its place there stays the job's for 7 days, or until \
             mcpd leases --drop there",
            plain(&unreached.join(" "))
        ));
    }
    Ok(Exit::Ok)
}

/// Opens a job to run it.
fn open(file: &Path) -> Result<Ledger, LedgerError> {
    let mut tries = 0;
    loop {
        match Ledger::open(file) {
            Err(LedgerError::InUse { .. }) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Runs a job, and says how it has ended.
pub(crate) fn work(
    (ledger, mut copying): (Ledger, Copying),
    watch: &Arc<Watch>,
    beside: Beside,
    quiet: &Quiet,
    file: &Path,
) -> Result<Exit> {
    let name = ledger.job()?.name;
    copying.leave_out(&place::apart(file))?;
    let told = Told::new(quiet.quiet);
    let commands = beside.exec.command.is_some();
    let ended = Work::new(ledger, copying, watch, (told, beside)).and_then(Work::run);
    let ended = ended.inspect_err(|_| {
        say(format_args!("the job {name} is open still: mtm run {name} goes on with it"));
    })?;
    if quiet.json {
        status::print_json(&Ledger::beside(file)?, file)?;
    }
    match ended {
        Ended::Complete if commands && !succeeded(&Ledger::beside(file)?)? => Ok(Exit::Partial),
        Ended::Complete => Ok(Exit::Ok),
        Ended::Cancelled => {
            say(format_args!("the job {name} was cancelled"));
            Ok(Exit::Failed)
        }
        Ended::Interrupted => {
            say(format_args!("the job {name} is open still: mtm run {name} goes on with it"));
            Ok(Exit::Interrupted)
        }
    }
}

/// Whether all hosts have run the command for the newest revision, and it has succeeded.
fn succeeded(ledger: &Ledger) -> Result<bool> {
    let newest = ledger.revision();
    let done = |exec: &(u32, Outcome)| exec.0 >= newest && exec.1.is_success();
    Ok(ledger.receivers()?.iter().all(|receiver| receiver.exec.as_ref().is_some_and(done)))
}

/// A job's process.
struct Running {
    child: Child,
}

/// All jobs that are open.
struct All<'a> {
    jobs: &'a Jobs,
    quiet: bool,
    running: BTreeMap<String, Running>,
    not_before: BTreeMap<String, Instant>,
    /// Jobs that are not open, each with the times of its file as it was when that was found.
    idle: BTreeMap<String, Times>,
    /// What was last said of the folder of all jobs.
    complaint: Option<String>,
}

/// Carries on all jobs until it is told to end.
fn all(jobs: &Jobs, quiet: bool) -> Result<Exit> {
    let watch = Watch::start().context("cannot watch for signals")?;
    let mut all = All {
        jobs,
        quiet,
        running: BTreeMap::new(),
        not_before: BTreeMap::new(),
        idle: BTreeMap::new(),
        complaint: None,
    };
    while !watch.is_ended() {
        all.reap();
        match jobs.names() {
            Ok(names) => names.iter().for_each(|name| all.start(name)),
            Err(error) => all.complain(&format!("{error:#}")), // those that run go on
        }
        watch.wait(LISTEN);
    }
    all.end();
    Ok(if watch.is_terminated() { Exit::Ok } else { Exit::Interrupted })
}

impl All<'_> {
    /// Says once that new jobs cannot be looked for.
    fn complain(&mut self, why: &str) {
        if self.complaint.as_deref() != Some(why) {
            say(plain(why));
            self.complaint = Some(why.to_owned());
        }
    }

    /// Forgets the processes that have ended.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        for (name, running) in &mut self.running {
            match running.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => ended.push((name.clone(), status.success())),
                Err(error) => {
                    say(format_args!("the process of {name}: {error}"));
                    ended.push((name.clone(), false));
                }
            }
        }
        for (name, success) in ended {
            self.running.remove(&name);
            if !success {
                self.not_before.insert(name, Instant::now() + AGAIN);
            }
        }
    }

    /// Starts a process for a job that is open and that nobody runs.
    fn start(&mut self, name: &str) {
        let waits = self.not_before.get(name).is_some_and(|at| Instant::now() < *at);
        if waits || self.running.contains_key(name) {
            return;
        }
        let file = self.jobs.file(name);
        // Before the state: what is said to it in between is seen by the next look.
        let then = times(&file);
        if self.idle.get(name).is_some_and(|known| *known == then) {
            return; // nobody has said anything to it since
        }
        let open = match Ledger::state_of(&file) {
            Ok(state) => matches!(state, JobState::Open | JobState::Waiting(_)),
            Err(error) => {
                say(format_args!("{name}: {error}"));
                self.not_before.insert(name.to_owned(), Instant::now() + AGAIN);
                return;
            }
        };
        if !open {
            if is_settled(then, SystemTime::now()) {
                self.idle.insert(name.to_owned(), then);
            }
            return;
        }
        self.idle.remove(name);
        if Ledger::holder(&file).is_some() {
            return;
        }
        let started = this_program(self.jobs, name, self.quiet).and_then(|mut command| {
            command.process_group(0); // a signal from the keyboard comes through this process alone
            Ok(command.spawn()?)
        });
        match started {
            Ok(child) => {
                self.not_before.remove(name);
                self.running.insert(name.to_owned(), Running { child });
            }
            Err(error) => {
                say(format_args!("cannot start a process for {name}: {error:#}"));
                self.not_before.insert(name.to_owned(), Instant::now() + AGAIN);
            }
        }
    }

    /// Ends all of them.
    fn end(&mut self) {
        for running in self.running.values() {
            if let Some(pid) = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM); // it may have ended
            }
        }
        let until = Instant::now() + END;
        while !self.running.is_empty() && Instant::now() < until {
            self.reap();
            std::thread::sleep(PAUSE);
        }
        for running in self.running.values_mut() {
            let _ = running.child.kill(); // nothing is lost
            let _ = running.child.wait();
        }
    }
}

/// When a job's file was written, and what is yet to be written to it.
type Times = (Option<SystemTime>, Option<SystemTime>);

fn times(file: &Path) -> Times {
    let of = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let mut log = file.as_os_str().to_owned();
    log.push("-wal"); // where SQLite puts it
    (of(file), of(Path::new(&log)))
}

/// Whether a later change of a file with these times has others: the clock of a file system moves in steps.
fn is_settled((file, log): Times, now: SystemTime) -> bool {
    let mut times = file.into_iter().chain(log);
    times.all(|time| now.duration_since(time).is_ok_and(|age| age >= SETTLES))
}

/// This program, for one job.
pub(crate) fn this_program(jobs: &Jobs, name: &str, quiet: bool) -> Result<Command> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    // After an upgrade it is the new one (proc(5), /proc/pid/exe).
    let path = program.as_os_str().as_bytes();
    let program = match path.strip_suffix(b" (deleted)") {
        Some(path) if !program.exists() => PathBuf::from(OsStr::from_bytes(path)),
        _ => program,
    };
    let mut command = Command::new(program);
    command.arg("run").arg(name).arg("--state-dir").arg(jobs.state());
    if quiet {
        command.arg("--quiet");
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_just_now_is_looked_at_again() {
        let now = SystemTime::now();
        let ago = |millis| Some(now - Duration::from_millis(millis));
        assert!(is_settled((ago(200), None), now) && is_settled((ago(200), ago(100)), now));
        assert!(!is_settled((ago(200), ago(99)), now) && !is_settled((ago(0), None), now));
        assert!(!is_settled((Some(now + SETTLES), None), now), "the clock was set back");
    }
}
