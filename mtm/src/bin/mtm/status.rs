//! `mtm status`: who lacks what, why, and since when.

use crate::args::Status;
use crate::place::Jobs;
use crate::say::say;
use crate::told::{count, some_have};
use anyhow::{Context, Result};
use indicatif::DecimalBytes;
use mcp::mirror::fold;
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mtm::ledger::{Job, JobState, Ledger, Receiver, Standing};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// A job in a line of JSON.
#[derive(Debug, Serialize)]
struct JobLine<'a> {
    job: &'a str,
    id: String,
    description: &'a str,
    source: String,
    state: &'static str,
    why: Option<String>,
    /// Which process runs it.
    runs: Option<String>,
    created: String,
    revision: u32,
    entries: u64,
    bytes: u64,
    /// How many hosts have all of the newest revision.
    complete: usize,
    hosts: Vec<HostLine>,
}

/// A host of it.
#[derive(Debug, Serialize)]
struct HostLine {
    host: String,
    /// The newest revision of which it has had everything.
    complete: u32,
    pending: u64,
    announced: u64,
    sent: u64,
    done: u64,
    failed: u64,
    late_since: Option<String>,
    why: Option<String>,
    failures: Vec<FailureLine>,
    bytes_per_second: Option<u64>,
    verify: bool,
    /// What became of the command of `--exec`, and for which revision.
    exec_status: Option<String>,
    exec_revision: Option<u32>,
}

#[derive(Debug, Serialize)]
struct FailureLine {
    reason: String,
    entries: u64,
}

/// An entry in a line of JSON.
#[derive(Debug, Serialize)]
struct EntryLine {
    entry: String,
    size: u64,
    gone: bool,
    hosts: Vec<AtHost>,
}

/// How it stands with it at a host.
#[derive(Debug, Serialize)]
struct AtHost {
    host: String,
    status: &'static str,
    /// How often this version has failed there.
    failures: u32,
}

/// Where it is printed.
type Out = io::BufWriter<io::StdoutLock<'static>>;

/// A host, with how many entries fail there for which reason.
type Host = (Receiver, Standing, Vec<(String, u64)>);

/// What there is to tell of a job.
struct Told {
    job: Job,
    state: JobState,
    /// Of an open job: what is wrong at this side.
    trouble: Option<String>,
    holder: Option<String>,
    revision: u32,
    amount: (u64, u64),
    /// How many hosts have all of that revision.
    complete: usize,
    hosts: Vec<Host>,
}

impl Told {
    fn of(ledger: &Ledger, file: &Path) -> Result<Self> {
        let receivers = ledger.receivers()?;
        let complete = receivers.iter().filter(|receiver| ledger.is_complete(receiver)).count();
        let hosts = receivers.into_iter().map(|receiver| {
            let (standing, failures) =
                (ledger.standing(receiver.id), ledger.failures(receiver.id)?);
            Ok((receiver, standing, failures))
        });
        let there = ledger.entries()?;
        let there = there.iter().filter(|entry| !entry.gone);
        let amount =
            there.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.found.size));
        Ok(Self {
            job: ledger.job()?,
            state: ledger.state()?,
            trouble: ledger.trouble()?,
            holder: Ledger::holder(file),
            revision: ledger.revision(),
            amount,
            complete,
            hosts: hosts.collect::<Result<_>>()?,
        })
    }

    fn line(&self) -> JobLine<'_> {
        let host = |(receiver, standing, failures): &Host| HostLine {
            host: receiver.name.clone(),
            complete: receiver.complete,
            pending: standing.pending,
            announced: standing.announced,
            sent: standing.sent,
            done: standing.done,
            failed: standing.failed,
            late_since: receiver.late.as_ref().map(|(since, _)| time(*since)),
            why: receiver.late.as_ref().map(|(_, why)| why.clone()),
            failures: failures
                .iter()
                .map(|(reason, entries)| FailureLine { reason: reason.clone(), entries: *entries })
                .collect(),
            bytes_per_second: receiver.rate,
            verify: receiver.verify,
            exec_status: receiver.exec.as_ref().map(|(_, outcome)| outcome.to_string()),
            exec_revision: receiver.exec.as_ref().map(|(revision, _)| *revision),
        };
        JobLine {
            job: &self.job.name,
            id: format!("{:032x}", u128::from_be_bytes(self.job.id)),
            description: &self.job.description,
            source: self.job.source.display().to_string(),
            state: self.state.name(),
            why: why(&self.state).or_else(|| self.trouble.clone()),
            runs: self.holder.clone(),
            created: time(self.job.created),
            revision: self.revision,
            entries: self.amount.0,
            bytes: self.amount.1,
            complete: self.complete,
            hosts: self.hosts.iter().map(host).collect(),
        }
    }

    /// The job in one line.
    fn short(&self) -> String {
        let (entries, bytes) = self.amount;
        let why = why(&self.state).or_else(|| self.trouble.clone());
        let why = why.map(|why| format!(": {}", plain(&why))).unwrap_or_default();
        let run = match (&self.holder, &self.state) {
            (Some(holder), _) => format!(", {holder} runs it"),
            (None, JobState::Open | JobState::Waiting(_)) => ", nobody runs it".to_owned(),
            (None, _) => String::new(),
        };
        format!(
            "{}: {}{why}; {} all of revision {} ({}, {}){run}",
            self.job.name,
            self.state.name(),
            some_have(self.complete, self.hosts.len()),
            self.revision,
            count(entries, "entry", "entries"),
            DecimalBytes(bytes),
        )
    }

    /// Who lacks something, folded by the reason.
    fn reasons(&self) -> Vec<String> {
        let mut late: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
        let mut lack: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut failed: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
        for (receiver, standing, failures) in &self.hosts {
            if let Some((since, why)) = &receiver.late {
                let (first, names) = late.entry(why.clone()).or_insert((*since, Vec::new()));
                *first = (*first).min(*since);
                names.push(receiver.name.clone());
            } else if lacking(standing) > 0 && standing.failed == 0 {
                lack.entry(lacking(standing)).or_default().push(receiver.name.clone());
            }
            for (reason, entries) in failures {
                let (most, names) = failed.entry(reason).or_default();
                *most = (*most).max(*entries);
                names.push(receiver.name.clone());
            }
        }
        let names = |names: &[String]| plain(&fold(names));
        let late = late.iter().map(|(why, (since, hosts))| {
            let remedy = if why.contains("(--max-delete)") {
                format!("; mtm resume --max-delete N {} sets another bound", self.job.name)
            } else {
                String::new()
            };
            format!("  late since {}: {}: {}{remedy}", time(*since), names(hosts), plain(why))
        });
        let lack = lack.iter().map(|(entries, hosts)| {
            format!("  lacking {}: {}", count(*entries, "entry", "entries"), names(hosts))
        });
        let failed = failed.iter().map(|(why, (entries, hosts))| {
            format!(
                "  failed, up to {}: {}: {}",
                count(*entries, "entry", "entries"),
                names(hosts),
                plain(why)
            )
        });
        late.chain(lack).chain(failed).collect()
    }
}

impl Told {
    /// Who is yet to read what it has, as mtm verify asks, folded; of a job that is over nobody is.
    fn unverified(&self) -> Option<String> {
        if self.state == JobState::Cancelled {
            return None;
        }
        let names = self.hosts.iter().filter(|(receiver, _, _)| receiver.verify);
        let names: Vec<String> = names.map(|(receiver, _, _)| receiver.name.clone()).collect();
        (!names.is_empty()).then(|| format!("  to be verified: {}", plain(&fold(&names))))
    }

    /// What became of the command, folded; where it has succeeded only if all is to be told.
    fn commands(&self, full: bool) -> Vec<String> {
        let mut all: BTreeMap<(u32, String), Vec<String>> = BTreeMap::new();
        for (receiver, _, _) in &self.hosts {
            if let Some((revision, outcome)) = &receiver.exec
                && (full || !outcome.is_success())
            {
                let names = all.entry((*revision, outcome.to_string())).or_default();
                names.push(receiver.name.clone());
            }
        }
        let line = |((revision, outcome), names): (&(u32, String), &Vec<String>)| {
            let (names, outcome) = (plain(&fold(names)), plain(outcome));
            format!("  command for revision {revision}: {names}: {outcome}")
        };
        all.iter().map(line).collect()
    }
}

/// Shows it.
pub(crate) fn run(options: &Status) -> Result<Exit> {
    let jobs = Jobs::of(&options.here)?;
    let names = match &options.job {
        Some(name) => {
            jobs.find(name)?;
            vec![name.clone()]
        }
        None => jobs.names()?,
    };
    let (mut out, mut unread) = (io::BufWriter::new(io::stdout().lock()), false);
    for name in &names {
        let file = jobs.file(name);
        let ledger = match Ledger::beside(&file) {
            Ok(ledger) => ledger,
            // Of all jobs one that cannot be read is no reason not to show the others.
            Err(error) if options.job.is_none() => {
                say(format_args!("the job {name}: {}", plain(&error.to_string())));
                unread = true;
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("the job {name}")),
        };
        if options.entries {
            let shown = if options.json { entries_json } else { entries };
            closed(shown(&ledger, &mut out))?;
            continue;
        }
        let told = Told::of(&ledger, &file)?;
        if options.json {
            closed(json(&told, &mut out))?;
        } else {
            closed(text(&told, options.job.is_some(), &mut out))?;
        }
    }
    if names.is_empty() && !options.json {
        closed(writeln!(out, "there is no job"))?;
    }
    closed(out.flush())?;
    Ok(if unread { Exit::Failed } else { Exit::Ok })
}

/// The job as an object of JSON.
pub(crate) fn print_json(ledger: &Ledger, file: &Path) -> Result<()> {
    closed(json(&Told::of(ledger, file)?, &mut io::stdout().lock()))
}

fn json(told: &Told, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &told.line())?;
    writeln!(out)
}

fn text(told: &Told, full: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", told.short())?;
    if full {
        if !told.job.description.is_empty() {
            writeln!(out, "  {}", plain(&told.job.description))?;
        }
        writeln!(
            out,
            "  of {}, given {}",
            plain(&told.job.source.display().to_string()),
            time(told.job.created)
        )?;
    }
    let lines = told.reasons().into_iter().chain(told.unverified()).chain(told.commands(full));
    lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The seed's table: each entry, with its status at each receiver.
fn entries(ledger: &Ledger, out: &mut Out) -> io::Result<()> {
    let receivers = ledger.receivers().map_err(io::Error::other)?;
    for entry in ledger.entries().map_err(io::Error::other)? {
        let gone = if entry.gone { " (gone)" } else { "" };
        write!(out, "{}{gone}\t", plain(&entry.found.path.display().to_string()))?;
        for (index, receiver) in receivers.iter().enumerate() {
            let status = match ledger.status(receiver.id, entry.number) {
                None => "pending".to_owned(),
                Some((status, 0)) => status.name().to_owned(),
                Some((status, times)) => {
                    let times = count(u64::from(times), "time", "times");
                    format!("{}, failed {times}", status.name())
                }
            };
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}[{status}]", plain(&receiver.name))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The same as a line of JSON for each entry.
fn entries_json(ledger: &Ledger, out: &mut Out) -> io::Result<()> {
    let receivers = ledger.receivers().map_err(io::Error::other)?;
    for entry in ledger.entries().map_err(io::Error::other)? {
        let host = |receiver: &Receiver| {
            let known = ledger.status(receiver.id, entry.number);
            let (status, failures) =
                known.map_or(("pending", 0), |(status, failures)| (status.name(), failures));
            AtHost { host: receiver.name.clone(), status, failures }
        };
        let line = EntryLine {
            entry: entry.found.path.display().to_string(),
            size: entry.found.size,
            gone: entry.gone,
            hosts: receivers.iter().map(host).collect(),
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Whoever has closed the pipe has seen enough.
fn closed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print the status"),
    }
}

fn why(state: &JobState) -> Option<String> {
    match state {
        JobState::Waiting(why) | JobState::Paused(why) => Some(why.clone()),
        JobState::Open | JobState::Cancelled | JobState::Complete => None,
    }
}

fn lacking(standing: &Standing) -> u64 {
    standing.pending + standing.announced + standing.sent + standing.failed
}

/// Milliseconds since 1970 as people read it, in UTC (RFC 3339).
fn time(millis: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(at).to_string()
}
