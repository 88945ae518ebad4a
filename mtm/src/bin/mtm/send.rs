//! `mtm send`: a new job, which runs here unless it is to be carried on by `mtm run`.

use crate::args::{Send, usage};
use crate::given::Given;
use crate::hook::Hook;
use crate::place::{self, Jobs};
use crate::run::{self, Quiet};
use crate::say::{TOOL, say};
use crate::told::count;
use crate::work::{Beside, now_unix};
use anyhow::{Context, Result};
use mcp::mirror::Copying;
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use mtm::ledger::{Job, Ledger, LedgerError};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Gives the job, and runs it.
pub(crate) fn run(send: Send, words: &[OsString]) -> Result<Exit> {
    let Send { name, description, detach, done, late, listen, announce, exec, options } = send;
    mcp_cli::say::log(options.common());
    let (state, quiet) = (options.common().state_dir.clone(), options.common().quiet);
    let json = options.common().json;
    if let Some(name) = &name {
        place::check(name)?;
    }
    exec.check()?;
    let (mut copying, hosts) = Copying::new(options, TOOL)?;
    let source = absolute(copying.source())?;
    let shown = plain(&copying.source().display().to_string());
    let meta = source.metadata().with_context(|| format!("cannot send {shown}"))?;
    if !meta.is_dir() {
        return Err(usage(&format!("{shown} is no folder: mcp copies single files")));
    }
    let jobs = Jobs::in_state(state.as_deref())?;
    let name = name.unwrap_or_else(|| jobs.free(&source));
    let file = jobs.file(&name);
    // What was left of one that was killed before there was a job in it is none.
    let is_job =
        |file: &Path| file.exists() && !matches!(Ledger::state_of(file), Err(LedgerError::Foreign));
    if is_job(&file) {
        anyhow::bail!(
            "there is a job {name} already: mtm resume {name} goes on with it, mtm cancel --forget {name} removes it"
        );
    }
    copying.leave_out(&place::apart(&file))?;
    copying.check_source()?;
    mcp::nested::check(&source, &hosts, Some(copying.common().port))?;
    jobs.make(&name)?;
    let given = Given::of_process(words)?;
    let job = Job {
        id: id()?,
        name: name.clone(),
        description,
        source: source.clone(),
        root: (meta.dev(), meta.ino()),
        created: now_unix(),
        options: given.to_json()?,
    };
    let ledger = Ledger::create_for(&file, &job, &hosts)?;
    if !quiet {
        let hosts = count(hosts.len() as u64, "host", "hosts");
        say(format_args!("job {name} for {hosts}: {}", file.display()));
    }
    if detach {
        return Ok(Exit::Ok);
    }
    let watch = Watch::start().context("cannot watch for signals")?;
    let hook = Hook::new(&name, done, late);
    let installation = jobs.installation()?;
    let beside = Beside { installation, hook, listen, announce, exec };
    run::work((ledger, copying), &watch, beside, &Quiet { quiet, json }, &file)
}

/// Finds out whether a job can have these hosts beside those that it has.
pub(crate) fn may_add(ledger: &Ledger, hosts: &[String]) -> Result<()> {
    let known = ledger.receivers()?.into_iter().map(|receiver| receiver.name);
    let all: Vec<String> = known.chain(hosts.iter().cloned()).collect();
    Ok(mcp::nested::check(&ledger.job()?.source, &all, None)?)
}

/// The path of the source from the root on; whether what it holds is meant stays as it was typed.
fn absolute(source: &Path) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let whole = std::path::absolute(source).context("the path of the source")?;
    let last = source.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next();
    let is_contents = matches!(last, Some(b"" | b"." | b".."));
    Ok(if is_contents { whole.join("") } else { whole })
}

/// An id that no other job has.
fn id() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).context("the system gives no random numbers")?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_by_a_path_stays() {
        let here = std::env::current_dir().unwrap();
        let of = |path: &str| absolute(Path::new(path)).unwrap().into_os_string();
        assert_eq!(of("d"), here.join("d").into_os_string());
        for contents in ["d/", "d/."] {
            assert_eq!(of(contents), here.join("d/").into_os_string(), "{contents}");
        }
        assert_eq!(of("/srv/x"), "/srv/x");
        assert_eq!(of("/"), "/");
    }
}
