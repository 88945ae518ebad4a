//! What people type who know other tools, and what it means here: told where it would end elsewhere, or
//! in another copy than the one that was meant.

use crate::fold;
use crate::hosts::{self, Target};
use crate::resolve::resolve;
use mcp_cli::Common;
use mcp_cli::say::plain;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// `HOST:PATH` as the source, as scp has it; only if there is no such file.
pub(crate) fn fetches(source: &Path) -> Option<String> {
    let text = source.as_os_str().to_string_lossy();
    let host = text.split(':').next().filter(|host| !host.is_empty() && is_host(&text))?;
    (!exists(source)).then(|| {
        format!(
            "{}: there is no such file here, and mcp only sends: to fetch it, run mcp on {}, or use scp",
            plain(&text),
            plain(host)
        )
    })
}

/// A pipe as the source, as a shell's `<(COMMAND)` gives one.
pub(crate) fn pipe(source: &Path) -> Option<String> {
    source.metadata().is_ok_and(|meta| meta.file_type().is_fifo()).then(|| {
        format!(
            "{} is a pipe: what comes out of one goes by -, as COMMAND | mcp - HOST:NAME; pipes themselves are copied \
             with -D, in the folder that they are in",
            plain(&source.as_os_str().to_string_lossy())
        )
    })
}

/// A second file before the hosts, as cp and scp have it. Folders that are called as hosts are common (what was
/// gathered from each), so a word is a host if such a host is found, whatever stands here under its name. With a
/// colon behind it a word is a host in any case.
pub(crate) fn second_source(
    sources: &[PathBuf],
    words: &[OsString],
    common: &Common,
) -> Option<String> {
    let word = words.iter().find(|word| {
        let text = word.to_string_lossy();
        !text.starts_with('@')
            && !is_host(&text)
            && exists(Path::new(word))
            && !is_found(word, common)
    })?;
    let name = |text: &OsStr| plain(&text.to_string_lossy());
    let sources: Vec<_> =
        sources.iter().map(|path| format!("-s {}", name(path.as_os_str()))).collect();
    Some(format!(
        "{word} is a file or folder here, and no host of that name is found: several sources take -s each: \
         mcp {} -s {word} HOST...; if it is a host, write {word}:",
        sources.join(" "),
        word = name(word),
    ))
}

/// A file or folder as what -x leaves out, as rsync -ax SOURCE has it.
pub(crate) fn leaves_out_a_file(text: &str) -> Option<String> {
    (!is_host(text) && exists(Path::new(text))).then(|| {
        format!(
            "-x {name} leaves out a host, and {name} is a file or folder here: rsync's -x is --one-file-system, and \
             files are left out with --exclude",
            name = plain(text)
        )
    })
}

/// The same, if no host of that name is found: folders are often called as hosts are.
pub(crate) fn leaves_out_no_host(text: &str, common: &Common) -> Option<String> {
    leaves_out_a_file(text).filter(|_| !is_found(OsStr::new(text), common))
}

/// Whether a colon says that it is a host: none that belongs to a file's path.
fn is_host(text: &str) -> bool {
    text.find([':', '/']).is_some_and(|at| text[at..].starts_with(':'))
}

/// Also a link that leads nowhere: somebody has typed its name.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether any host of that name has an address.
fn is_found(word: &OsStr, common: &Common) -> bool {
    let targets = word.to_str().and_then(|text| hosts::parse(text).ok()).unwrap_or_default();
    let found = resolve(&targets, common.port, common.patience(), &|| false);
    found.iter().any(Result::is_ok)
}

/// What is told before a copy, of paths that other tools would take for something else.
pub(crate) fn notes(targets: &[Target]) -> Vec<String> {
    let mut notes = Vec::new();
    let numbers = targets.iter().filter(|target| is_port(target)).map(|target| target.text.clone());
    if let Some((first, others)) = fold::words(&numbers.collect::<Vec<_>>()).split_first() {
        let path = first.rsplit(':').next().unwrap_or_default();
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} more like it"),
        };
        notes.push(format!(
            "{first}{more}: {path} is a file or folder there; port {path} is written {first}:"
        ));
    }
    if let Some(target) = targets.iter().find(|target| target.path.starts_with('/')) {
        let path = target.path.trim_start_matches('/');
        let path = if path.is_empty() { "that folder itself" } else { path };
        notes.push(format!(
            "a path is below the folder that mcpd receives into, also with a / before it: {} is {} there",
            plain(&target.text),
            plain(path)
        ));
    }
    notes
}

/// Whether its path looks as a port does with other tools.
fn is_port(target: &Target) -> bool {
    let number = target.path.bytes().all(|b| b.is_ascii_digit());
    number && target.port.is_none() && target.path.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        common: Common,
    }

    fn common() -> Common {
        Tool::parse_from(["tool"]).common
    }

    fn targets(text: &str) -> Vec<Target> {
        text.split(' ').flat_map(|text| hosts::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_number_is_told_to_be_a_path() {
        for (text, note) in [
            ("n1:8738", "n1:8738: 8738 is a file or folder there; port 8738 is written n1:8738:"),
            (
                "n[01-16]:9 m",
                "n[01-16]:9: 9 is a file or folder there; port 9 is written n[01-16]:9:",
            ),
            (
                "a:9 b:9 c:7",
                "a:9, and 2 more like it: 9 is a file or folder there; port 9 is written a:9:",
            ),
            (
                "[fd77::1]:9",
                "[fd77::1]:9: 9 is a file or folder there; port 9 is written [fd77::1]:9:",
            ),
        ] {
            assert_eq!(notes(&targets(text)), [note]);
            // What it says to write is read as a port.
            let written = note.rsplit(' ').next().unwrap();
            assert!(targets(written).iter().all(|target| target.port.is_some()), "{written}");
        }
        for text in ["n1:8738:", "n1:8738:9", "n1:", "n1", "n1:8738x", "n1:0", "n1:65536", "n1:9/"]
        {
            assert_eq!(notes(&targets(text)), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_slash_before_a_path_is_told_once() {
        let told = notes(&targets("a:x b:/etc/passwd c:/ d:/x"));
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with(": b:/etc/passwd is etc/passwd there"), "{told:?}");
        assert!(notes(&targets("c:/"))[0].ends_with(": c:/ is that folder itself there"));
    }

    #[test]
    fn a_source_elsewhere_is_told_what_to_do() {
        let why = fetches(Path::new("n1:dir/file")).unwrap();
        assert!(why.contains("mcp only sends") && why.contains("run mcp on n1"), "{why}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("n1:file");
        for local in ["no-such-file", "./n1:file", "/no/n1:file", ":file"] {
            assert_eq!(fetches(Path::new(local)), None, "{local}");
        }
        std::fs::write(&file, b"").unwrap();
        assert_eq!(fetches(&file), None);
    }

    #[test]
    fn a_file_is_taken_for_a_host_only_if_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder.invalid");
        std::fs::create_dir(&folder).unwrap();
        let second = |words: &[&OsStr]| {
            let words: Vec<OsString> = words.iter().map(|word| (*word).to_owned()).collect();
            second_source(&["a".into()], &words, &common())
        };
        let why = second(&[OsStr::new("127.0.0.1"), folder.as_os_str()]).unwrap();
        let name = folder.display();
        assert!(why.starts_with(&format!("{name} is a file or folder here")), "{why}");
        assert!(why.contains(&format!("mcp -s a -s {name} HOST...")), "{why}");
        for host in ["no-such.invalid", "127.0.0.1", "n1:x", "localhost:/tmp"] {
            assert_eq!(second(&[OsStr::new(host)]), None, "{host}");
        }
    }
}
