//! What is to be done with a job, whoever runs it: that process hears of it within a second.

use crate::args::{Cancel, Here, Hosts, HostsCommand, Names, One, Resume, usage};
use crate::given::Given;
use crate::place::Jobs;
use crate::run;
use crate::say::say;
use anyhow::{Context, Result, bail};
use mcp::mirror::Meant;
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mtm::ledger::{JobState, Ledger};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whoever runs a job ends within this once it is cancelled: its sessions are told, and its receivers.
const ENDS: Duration = Duration::from_secs(30);
/// It is looked so often whether that is so.
const PAUSE: Duration = Duration::from_millis(200);

/// A job's file beside whoever runs it.
fn open(name: &str, here: &Here) -> Result<(Ledger, PathBuf)> {
    let file = Jobs::of(here)?.find(name)?;
    Ok((Ledger::beside(&file)?, file))
}

/// Nothing of it is sent until it is resumed.
pub(crate) fn pause(one: &One) -> Result<Exit> {
    let (mut ledger, _) = open(&one.job, &one.here)?;
    match ledger.state()? {
        JobState::Complete | JobState::Cancelled => {
            bail!("{} is over: nothing of it is sent", one.job)
        }
        JobState::Open | JobState::Waiting(_) | JobState::Paused(_) => {
            ledger.set_state(&JobState::Paused("by mtm pause".to_owned()))?;
        }
    }
    Ok(Exit::Ok)
}

/// It goes on.
pub(crate) fn resume(options: &Resume) -> Result<Exit> {
    let one = &options.one;
    let (mut ledger, file) = open(&one.job, &one.here)?;
    if options.new_source {
        let source = ledger.job()?.source;
        let meta =
            source.metadata().with_context(|| format!("cannot send {}", source.display()))?;
        if !meta.is_dir() {
            let shown = plain(&source.display().to_string());
            return Err(usage(&format!("{shown} is no folder: mcp copies single files")));
        }
        ledger.set_root((meta.dev(), meta.ino()))?;
        ledger.forget_devices()?;
    }
    if options.new_source || options.max_delete.is_some() {
        let mut given = Given::of_json(&ledger.job()?.options)?;
        let before = given.meant();
        given.mean(Meant {
            empty: before.empty || options.new_source,
            max_delete: options.max_delete.or(before.max_delete),
        });
        ledger.set_options(&given.to_json()?)?;
    }
    ledger.forget_dnpwd()?; // the password may be the right one by now
    open_again(&mut ledger, &one.job, &file)
}

/// It is open from now on; if nobody runs it that is said.
fn open_again(ledger: &mut Ledger, name: &str, file: &Path) -> Result<Exit> {
    ledger.set_state(&JobState::Open)?;
    say_if_idle(name, file);
    Ok(Exit::Ok)
}

/// Says that nobody runs a job, if so.
fn say_if_idle(name: &str, file: &Path) {
    if Ledger::holder(file).is_none() {
        say(format_args!("nobody runs the job now: mtm run, or mtm run {name}, carries it on"));
    }
}

/// Has hosts told that a job that nobody runs is over: all, or those that have left it. Why that was not done, if so.
fn tell_over(jobs: &Jobs, name: &str, given: &Given, left: &[String]) -> Result<Option<String>> {
    let mut tell = run::this_program(jobs, name, true)?;
    given.surround(&mut tell);
    tell.arg("--over").args(left.iter().map(|host| format!("--to={host}")));
    Ok(match tell.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()), // it has said more
        Err(error) => Some(error.to_string()),
    })
}

/// Nothing of it is sent any more.
pub(crate) fn cancel(options: &Cancel) -> Result<Exit> {
    let one = &options.one;
    let (mut ledger, file) = match open(&one.job, &one.here) {
        // What is no job, or none that can be read, can be removed all the same.
        Err(error) if options.forget => {
            let jobs = Jobs::of(&one.here)?;
            let file = jobs.find(&one.job)?;
            if let Some(holder) = Ledger::holder(&file) {
                bail!("{holder} runs the job");
            }
            say(format_args!("{}: it is removed", plain(&format!("{error:#}"))));
            jobs.remove(&one.job)?;
            return Ok(Exit::Ok);
        }
        opened => opened?,
    };
    ledger.set_state(&JobState::Cancelled)?;
    let given = Given::of_json(&ledger.job()?.options)?;
    drop(ledger);
    let jobs = Jobs::of(&one.here)?;
    if Ledger::holder(&file).is_none() {
        // Its receivers are told by who runs it.
        if let Some(why) = tell_over(&jobs, &one.job, &given, &[])? {
            say(format_args!(
                "the receivers are not told that the job has ended ({why}): each keeps its place for 7 days, or until \
                 mcpd leases --drop there"
            ));
        }
    }
    if options.forget {
        let begin = Instant::now();
        while let Some(holder) = Ledger::holder(&file) {
            if begin.elapsed() > ENDS {
                bail!("{holder} runs the job still: say it again when it has ended");
            }
            std::thread::sleep(PAUSE);
        }
        jobs.remove(&one.job)?;
    }
    Ok(Exit::Ok)
}

/// All hosts read what they have.
pub(crate) fn verify(one: &One) -> Result<Exit> {
    let (mut ledger, file) = open(&one.job, &one.here)?;
    let state = ledger.state()?;
    if state == JobState::Cancelled {
        bail!("{} is over: nothing of it is sent", one.job);
    }
    ledger.set_verify(None, true)?;
    if let JobState::Paused(_) = state {
        say(format_args!("the job is paused: mtm resume {} goes on with it", one.job));
        return Ok(Exit::Ok);
    }
    open_again(&mut ledger, &one.job, &file)
}

/// Adds or removes hosts.
pub(crate) fn hosts(options: &Hosts) -> Result<Exit> {
    let (HostsCommand::Add(names) | HostsCommand::Remove(names)) = &options.what;
    let (ledger, file) = open(&names.job, &names.here)?;
    let given = Given::of_json(&ledger.job()?.options)?;
    let has_groups = names.hosts.iter().any(|host| host.contains('@'));
    let groups = if has_groups { given.host_groups()? } else { None };
    let hosts = mcp::mirror::named(&names.hosts, groups.as_deref())?;
    match &options.what {
        HostsCommand::Add(_) => add(ledger, (&names.job, &file), &hosts),
        HostsCommand::Remove(_) => remove(ledger, (names, &file), &given, &hosts),
    }
}

fn add(mut ledger: Ledger, (job, file): (&str, &Path), hosts: &[String]) -> Result<Exit> {
    let state = ledger.state()?;
    if state == JobState::Cancelled {
        bail!("{job} is over: nothing of it is sent; mtm resume {job} goes on with it");
    }
    crate::send::may_add(&ledger, hosts)?;
    for host in hosts {
        ledger.add_receiver(host)?;
    }
    match state {
        JobState::Complete => return open_again(&mut ledger, job, file),
        JobState::Paused(_) => {
            say(format_args!("the job is paused: mtm resume {job} goes on with it"));
        }
        _ => say_if_idle(job, file),
    }
    Ok(Exit::Ok)
}

fn remove(
    mut ledger: Ledger,
    (names, file): (&Names, &Path),
    given: &Given,
    hosts: &[String],
) -> Result<Exit> {
    let job = &names.job;
    let known = ledger.receivers()?;
    let of = |host: &String| {
        let found = known.iter().find(|receiver| receiver.name == *host);
        found
            .map(|receiver| receiver.id)
            .with_context(|| format!("{host} is no host of the job {job}"))
    };
    let ids = hosts.iter().map(of).collect::<Result<Vec<_>>>()?;
    if ids.len() == known.len() {
        bail!("these are all hosts of the job {job}: mtm cancel ends it");
    }
    for id in ids {
        ledger.remove_receiver(id)?;
    }
    drop(ledger);
    // Who runs the job tells them.
    if Ledger::holder(file).is_none()
        && let Some(why) = tell_over(&Jobs::of(&names.here)?, job, given, hosts)?
    {
        say(format_args!(
            "the hosts are not told that they have left the job ({why}): each keeps its place for 7 days, or until mcpd \
             leases --drop there"
        ));
    }
    Ok(Exit::Ok)
}
