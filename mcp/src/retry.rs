//! `--retry-file`: whom to copy to once more, as `--hosts` reads it.
//!
//! From before the first packet it has every host, so that it is right also if the end is never
//! reached; at the end those that have failed.

use crate::args;
use crate::hosts::Target;
use crate::hosts::list::as_listed;
use crate::say::say;
use crate::table::HostRow;
use anyhow::{Context, Result};
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mcp_keys::new_file;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Mode of the file: names of hosts are no secret.
const MODE: u32 = 0o644;

/// Before anything is sent: all of them are still to be served.
pub(crate) fn begin(options: &args::Copy, targets: &[Target]) -> Result<()> {
    let Some(path) = &options.retry_file else { return Ok(()) };
    match place(path) {
        // What is written to a pipe or a terminal cannot be taken back.
        Ok(Place::Stream) => Ok(()),
        _ => write(path, targets.iter().map(|target| target.text.as_str())),
    }
}

/// At the end: those that have failed. The copy's own exit stands, unless the list cannot be written.
pub(crate) fn end(options: &args::Copy, rows: &[HostRow], shown: Result<Exit>) -> Result<Exit> {
    let Some(path) = &options.retry_file else { return shown };
    let failed = rows.iter().filter(|row| row.reason.is_some()).map(|row| row.host.as_str());
    match write(path, failed) {
        Ok(()) => shown,
        Err(error) => {
            say(plain(&format!("{error:#}")));
            shown.map(|_| Exit::Failed)
        }
    }
}

/// After a failure of this side, before there were results: all of them, also where it could not be written before.
pub(crate) fn all(options: &args::Copy, targets: &[Target]) {
    if let Some(path) = &options.retry_file
        && matches!(place(path), Ok(Place::Stream))
        && let Err(error) = write(path, targets.iter().map(|target| target.text.as_str()))
    {
        say(plain(&format!("{error:#}")));
    }
}

/// A line for each host, as it can be read again.
fn list<'a>(hosts: impl Iterator<Item = &'a str>) -> String {
    hosts.map(|host| as_listed(host) + "\n").collect()
}

/// Where a path leads.
enum Place {
    /// To this file, which exists or does not; links that lead there stay.
    File(PathBuf),
    /// To a device, a pipe or the like, which nothing may take the place of.
    Stream,
}

fn place(path: &Path) -> io::Result<Place> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => Ok(Place::Stream),
        Ok(_) => path.canonicalize().map(Place::File),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::File(path.to_owned())),
        Err(error) => Err(error),
    }
}

fn write<'a>(path: &Path, hosts: impl Iterator<Item = &'a str>) -> Result<()> {
    let text = list(hosts);
    let failed =
        || format!("cannot write the hosts to try again (--retry-file {})", path.display());
    match place(path).with_context(failed)? {
        Place::File(path) => new_file::replace(&path, text.as_bytes(), MODE).with_context(failed),
        Place::Stream => {
            let opened = OpenOptions::new().write(true).open(path);
            opened.and_then(|mut file| file.write_all(text.as_bytes())).with_context(failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold;
    use crate::hosts::{Groups, lines};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    fn collect<'a>(hosts: impl IntoIterator<Item = (Option<usize>, &'a str)>) -> Vec<Target> {
        crate::hosts::collect(hosts, [], &Groups::default()).unwrap().targets
    }

    /// What a target says, however it was written.
    type Said = (String, Option<u16>, String);

    fn said(targets: &[Target]) -> BTreeSet<Said> {
        targets.iter().map(|t| (t.host.clone(), t.port, t.path.clone())).collect()
    }

    /// All that arguments can say: names in ranges, addresses, ports, paths with blanks, commas, line ends,
    /// backslashes and what begins comments.
    fn arguments() -> impl Strategy<Value = Vec<String>> {
        let host = "(n|a\\.)(0{0,1}[0-9]{1,2}|\\[08-11\\]|\\[1-3,5\\])|10\\.0\\.0\\.[0-9]|\\[fd77::[0-9]\\]|x";
        let path = "(:[0-9]{1,3})?:[a#@ \\\\,\\[\\]\n\r\t:\u{a0}\u{feff}1/]{0,8}|:|";
        proptest::collection::vec((host, path).prop_map(|(host, path)| host + &path), 0..8)
    }

    proptest! {
        #[test]
        fn whoever_failed_is_read_again(arguments in arguments(), failing: u64) {
            let arguments: Vec<_> =
                arguments.into_iter().filter(|text| crate::hosts::parse(text).is_ok()).collect();
            let all = collect(arguments.iter().map(|text| (None, text.as_str())));
            let failed: Vec<_> = all
                .into_iter()
                .enumerate()
                .filter(|(index, _)| failing >> (index % 64) & 1 == 1)
                .map(|(_, target)| target)
                .collect();
            let texts = || failed.iter().map(|target| target.text.as_str());
            let file = list(texts());
            let again = collect(lines(&file));
            prop_assert_eq!(said(&again), said(&failed), "{:?}", file);
            for target in &again {
                prop_assert!(target.text.contains(ends_in_a_path) || texts().any(|t| t == target.text));
            }
            // The same in `retry_hosts`, as an argument and in a list.
            let listed: Vec<_> = texts().map(as_listed).collect();
            let folded = fold::words(&listed).join(",");
            let typed = collect((!folded.is_empty()).then_some((None, folded.as_str())));
            prop_assert_eq!(said(&typed), said(&failed), "{:?}", folded);
            let read = collect(lines(&folded));
            prop_assert_eq!(said(&read), said(&failed), "{:?}", folded);
        }
    }

    /// What an argument may have as it is, and a list not.
    fn ends_in_a_path(c: char) -> bool {
        c.is_whitespace() || c == '\\'
    }

    #[test]
    fn the_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("retry");
        let read = || std::fs::read_to_string(&path).unwrap();
        write(&path, ["n1", "n2:a b"].into_iter()).unwrap();
        assert_eq!(read(), "n1\nn2:a\\ b\n");
        write(&path, std::iter::empty()).unwrap();
        assert_eq!(read(), "", "nobody is left, and the file says so");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let why = write(&dir.path().join("no/retry"), std::iter::empty()).unwrap_err();
        assert!(format!("{why:#}").contains("mkdir -p"), "{why:#}");
        let why = format!("{:#}", write(dir.path(), std::iter::empty()).unwrap_err());
        assert!(why.starts_with("cannot write the hosts to try again"), "{why}");
    }

    #[test]
    fn links_stay_and_so_does_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link, null) =
            (dir.path().join("retry"), dir.path().join("link"), dir.path().join("null"));
        std::fs::write(&path, "old").unwrap();
        symlink(&path, &link).unwrap();
        symlink("/dev/null", &null).unwrap();
        write(&link, ["n1"].into_iter()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "n1\n");
        assert!(link.is_symlink());
        write(&null, ["n1"].into_iter()).unwrap();
        assert!(null.is_symlink() && !Path::new("/dev/null").metadata().unwrap().is_file());
    }
}
