//! `--delete`: what of a command line cannot be meant, before anything is sent.

use crate::args::Copy;
use crate::hosts::Target;
use mcp_cli::say::plain;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use transfer::filter::{Filter, TOLD_MAX};
use transfer::tree::scan::FilesFrom;

/// What is wrong with it, if anything is.
pub(crate) fn fault(
    copy: &Copy,
    sources: &[PathBuf],
    targets: &[Target],
    (listed, filter): (Option<&FilesFrom>, &Filter),
) -> Option<String> {
    if !copy.kept.delete {
        // As a variable or in the configuration file it is for copies that delete.
        return copy
            .typed
            .has("max-delete")
            .then(|| "--max-delete says how much --delete may: give that as well".to_owned());
    }
    if are_files(sources) {
        let why = "--delete deletes in folders that are copied, and no source is a folder";
        return copy.typed.has("delete").then(|| why.to_owned());
    }
    if filter.told().map(|rule| rule.pattern.len()).sum::<usize>() > TOLD_MAX {
        let most = TOLD_MAX >> 20;
        return Some(format!(
            "with --delete the hosts get the rules as well, and take {most} MiB of patterns: give fewer"
        ));
    }
    let into_root = match listed {
        Some(listed) => listed.takes_root().then(|| sources.first()).flatten(),
        None => sources.iter().find(|source| means_contents(source)),
    }?;
    let target = targets.iter().find(|target| is_root(&target.path))?;
    let (text, source) = (plain(&target.text), plain(&into_root.display().to_string()));
    let host = text.split_once(':').map_or(&*text, |_| text.trim_end_matches(['/', '.', '~']));
    let host = host.trim_end_matches(':');
    Some(format!(
        "--delete with what is in {source} would delete everything else below the folder that {text} receives into: \
         name a folder behind the host, as {host}:PATH, or the source without the slash"
    ))
}

/// Whether nothing can be deleted, since no source is a folder. What is not there is told when it is opened.
pub(crate) fn are_files(sources: &[PathBuf]) -> bool {
    sources.iter().all(|source| source.metadata().is_ok_and(|meta| !meta.is_dir()))
}

/// Whether a path means what is in a folder, as rsync(1) has it.
fn means_contents(source: &Path) -> bool {
    let last = source.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next();
    matches!(last, None | Some(b"" | b"." | b".."))
}

/// Whether a path below the folder that a daemon receives into is that folder.
fn is_root(path: &str) -> bool {
    path.split('/').all(|part| matches!(part, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlanError, plan};

    fn why(line: &str) -> Option<String> {
        let args = std::iter::once("mcp").chain(line.split_whitespace()).map(Into::into);
        match plan(&crate::args::read(args).unwrap().copy) {
            Ok(_) => None,
            Err(PlanError::Usage(why)) => Some(why),
            Err(PlanError::Here(why)) => panic!("{line}: {why}"),
        }
    }

    #[test]
    fn the_root_of_a_daemon_is_not_deleted_in() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().display();
        for to in ["h", "h:", "h:/", "h:./", "h:.", "h:p h2"] {
            for slash in ["/", "/.", "//"] {
                let why = why(&format!("-a --delete {source}{slash} {to}")).unwrap();
                assert!(why.contains(":PATH") && why.contains("would delete everything"), "{why}");
            }
        }
        for line in [
            format!("-a --delete {source} h"),
            format!("-a --delete {source}/ h:p"),
            format!("-a --delete {source}/ h:./p/"),
            format!("-a {source}/ h"),
            format!("--delete {source}/ h --files-from /dev/null"),
        ] {
            assert_eq!(why(&line), None, "{line}");
        }
        let home = why(&format!("-a --ssh --delete {source}/ h:~/")).unwrap();
        assert!(home.contains("would delete everything") && home.contains("as h:PATH"), "{home}");
        let list = dir.path().join("list");
        std::fs::write(&list, "a\n./\n").unwrap();
        let line = format!("--delete {source} h --files-from {}", list.display());
        assert!(why(&line).unwrap().contains("h:PATH"));
        let why = why(&format!("--delete {source}/ [::1]:9:/")).unwrap();
        assert!(why.contains("as [::1]:9:PATH"), "{why}");
    }

    #[test]
    fn without_a_folder_there_is_nothing_to_delete_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let why_of = |options: &str| why(&format!("{options} {} h:p", file.path().display()));
        assert!(why_of("--delete").unwrap().contains("no source is a folder"));
        assert!(why_of("--max-delete 5").unwrap().contains("give that as well"));
        assert_eq!(why_of(""), None);
        assert_eq!(why(&format!("--delete -s /tmp -s {} h", file.path().display())), None);
    }

    #[test]
    fn more_rules_than_hosts_take_are_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        let patterns = "x".repeat(4000) + "\n";
        std::fs::write(&file, patterns.repeat(TOLD_MAX / 4000 + 1)).unwrap();
        let line = format!("{} h:p --exclude-from {}", dir.path().display(), file.display());
        assert!(why(&format!("--delete {line}")).unwrap().contains("4 MiB of patterns"));
        assert_eq!(why(&line), None);
    }
}
