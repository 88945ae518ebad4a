//! What is copied as a stream: standard input, and one file where it goes to a host's standard output.

use crate::args::Copy;
use crate::hosts::Target;
use crate::plan::PlanError;
use crate::standard_input::is_stdin;
use mcp_cli::say::plain;
use std::fs;
use std::path::{Path, PathBuf};

/// Stands for standard output as a PATH.
const PIPE: &str = "-";

/// Where a stream comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdin,
    File(PathBuf),
}

/// Whether it is one, and whether it can go to these hosts. What it cannot have is refused where it is typed: as a
/// variable or in the configuration file it is for other copies, unless somebody relies on it.
pub(crate) fn stream(
    sources: &[PathBuf],
    targets: &[Target],
    copy: &Copy,
) -> Result<Option<Stream>, PlanError> {
    let to_output = targets.iter().find(|target| target.path == PIPE);
    let stream = match (sources, to_output) {
        ([only], _) if is_stdin(only) => Stream::Stdin,
        (all, _) if all.iter().any(|source| is_stdin(source)) => {
            return Err(usage("standard input is copied alone, not beside other sources"));
        }
        (_, None) => return Ok(None),
        ([only], Some(target)) => regular(only, target)?,
        (_, Some(target)) => {
            return Err(usage(format!(
                "{}: to standard output goes standard input or one file, not several",
                plain(&target.text)
            )));
        }
    };
    if let Some(target) = to_output.filter(|_| copy.ssh) {
        return Err(usage(format!(
            "{}: a daemon that --ssh starts has no standard output of its own: give a name",
            plain(&target.text)
        )));
    }
    let is_typed = |long| copy.typed.has(long);
    if copy.retry > 0 && stream == Stream::Stdin && is_typed("retry") {
        return Err(usage("standard input is read once: --retry has nothing to send again"));
    }
    if copy.late_hosts.late_join && is_typed("late-join") {
        return Err(usage("a stream is read once: --late-join has no use, its beginning is gone"));
    }
    if is_typed("min-hosts") {
        return Err(usage(
            "a stream is read once, and waits for all hosts: --min-hosts has no use",
        ));
    }
    if is_typed("wait-lost") {
        return Err(usage(
            "a stream cannot go on with a host that was lost: --wait-lost has no use",
        ));
    }
    if is_typed("unicast-share") {
        return Err(usage("a stream waits for all hosts: --unicast-share has no use"));
    }
    if is_typed("files-from") {
        return Err(usage("--files-from lists what is below a folder, and a stream is none"));
    }
    if copy.kept.dry_run || is_typed("itemize-changes") {
        return Err(usage("-n and -i tell of the entries of a list, and a stream has none"));
    }
    if let Some(option) = copy.kept.relied_on(&copy.typed) {
        return Err(usage(format!("{option} is for files and folders: a stream cannot have it")));
    }
    let nameless =
        |target: &&Target| matches!(target.path.rsplit('/').next(), None | Some("" | "."));
    match targets.iter().find(nameless) {
        Some(target) if stream == Stream::Stdin => Err(usage(format!(
            "{}: standard input has no name: give the one that it gets there, as {}:name",
            plain(&target.text),
            plain(&target.host)
        ))),
        _ => Ok(Some(stream)),
    }
}

/// The one file that goes to a host's standard output.
fn regular(source: &Path, target: &Target) -> Result<Stream, PlanError> {
    let name = || plain(&source.display().to_string());
    match fs::metadata(source) {
        Err(error) => Err(PlanError::Here(format!("cannot read {}: {error}", name()))),
        Ok(meta) if meta.is_file() => Ok(Stream::File(source.to_owned())),
        Ok(_) => Err(usage(format!(
            "{}: to standard output goes standard input or one file, and {} is no file",
            plain(&target.text),
            name()
        ))),
    }
}

fn usage(what: impl Into<String>) -> PlanError {
    PlanError::Usage(what.into())
}
