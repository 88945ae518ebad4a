//! Options of rsync and scp that are no options here: what does the same.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Options by their names elsewhere, and what to do here.
const KNOWN: [(&[&str], &str); 28] = [
    (
        &["--bwlimit"],
        "--rate limits it, in bits per second: --bwlimit=1000 of rsync is --rate 8.2M",
    ),
    (
        &["-P"],
        "a copy that was broken off goes on where it was, and on a terminal progress is shown, both without an option; scp's port is --port",
    ),
    (
        &["--partial", "--partial-dir", "--append", "--append-verify"],
        "a copy that was broken off goes on where it was, without an option",
    ),
    (
        &["--progress", "--info"],
        "on a terminal progress is shown without an option; --stats says more at the end",
    ),
    (&["-z", "--compress"], "nothing is compressed"),
    (
        &["-e", "--rsh"],
        "--ssh copies by ssh, whose options are given as --ssh-option; without it the hosts run mcpd",
    ),
    (&["-W", "--whole-file", "--no-whole-file"], "a file that differs is sent as a whole"),
    (&["--inplace"], "a file gets its name when all of it is there, and is never written in place"),
    (&["-R", "--relative"], "give each host the path: mcp a/b/file HOST:a/b/"),
    (
        &["-L", "--copy-links", "--copy-dirlinks", "-k"],
        "a symbolic link that is given as SOURCE is followed, others are kept by -l or left out",
    ),
    (
        &["-K", "--keep-dirlinks"],
        "mcpd --follow-root follows a root that is a symbolic link; others are never followed",
    ),
    (
        &["-C", "--cvs-exclude"],
        "name what is to be left out with --exclude; scp's -C has no counterpart: nothing is compressed",
    ),
    (
        &["-F"],
        "files of rules inside of the tree (.rsync-filter) are not read: name the rules with --filter, or their file with --filter 'merge FILE'",
    ),
    (&["--size-only", "--modify-window", "-@"], "-c compares by contents"),
    (
        &[
            "--no-perms",
            "--no-owner",
            "--no-group",
            "--no-times",
            "--no-p",
            "--no-o",
            "--no-g",
            "--no-t",
        ],
        "give what is to be kept instead of -a: -rlptgoDH, without its letter",
    ),
    (
        &["--no-D", "--no-devices", "--no-specials"],
        "give what is to be kept instead of -a: -rlptgoH, with --devices or --specials if one of them is to be copied",
    ),
    (
        &["-E", "--executability"],
        "-p keeps all permissions; without it a new file has the source's, as far as the daemon's umask lets it",
    ),
    (
        &["--usermap", "--groupmap"],
        "--chown USER:GROUP tells one owner and group for all; others go by name, with --numeric-ids by number",
    ),
    (
        &["--fake-super"],
        "owners and devices are kept where the host allows them (allow=owner,device) and mcpd runs as root, or left out",
    ),
    (
        &["--super", "--no-super"],
        "what may be set at a host is that host's to say: mcpd --allow owner,setuid,device",
    ),
    (&["--timeout", "--contimeout"], "--connect-timeout says how long a host may take to answer"),
    (&["--remove-source-files"], "nothing is removed at the source"),
    (
        &["--del", "--delete-before", "--delete-during", "--delete-delay", "--delete-after"],
        "--delete deletes once all is in place at a host",
    ),
    (
        &["--delete-excluded"],
        "--delete keeps what rules leave out; those of --filter 'H PATTERN' leave it out at the source alone",
    ),
    (&["--ignore-errors", "--force"], "nothing is deleted after an error"),
    (&["--ignore-existing", "--existing"], "-u leaves files that are newer there"),
    (&["-8", "--8-bit-output"], "names are told in UTF-8, other bytes as \\xNN"),
    (&["-w"], "hosts stand behind the source: mcp FILE node[01-16]"),
];

/// Whether one of them is this letter.
pub(crate) fn has_short(letter: char) -> bool {
    let is = |name: &&str| name.strip_prefix('-').is_some_and(|name| name.chars().eq([letter]));
    KNOWN.iter().any(|(names, _)| names.iter().any(is))
}

/// Says with an option that is not known what does the same here, if it is known from elsewhere.
pub(crate) fn explain(error: Error, command: &mut Command) -> Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = option.split(['=', ' ']).next().unwrap_or_default();
    let found = KNOWN.iter().find(|(names, _)| names.contains(&name));
    match (error.kind(), found) {
        (ErrorKind::UnknownArgument, Some((_, instead))) => command
            .error(ErrorKind::UnknownArgument, format!("{name} is no option of mcp: {instead}")),
        // rsync's --group takes no address.
        (ErrorKind::ValueValidation, _) if name == "--group" => {
            let why =
                std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let what = format!(
                "{name}: {why}; --group is the multicast group: to keep the groups of files write -g or --keep-group"
            );
            command.error(ErrorKind::ValueValidation, what)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::read;

    fn told(line: &str) -> String {
        let words = std::iter::once("mcp").chain(line.split_whitespace()).map(Into::into);
        read(words).unwrap_err().to_string()
    }

    #[test]
    fn each_option_that_is_known_elsewhere_is_answered() {
        for (names, instead) in KNOWN {
            for name in names {
                for line in [format!("{name} file host"), format!("file host {name}")] {
                    let told = told(&line);
                    let what = format!("{name} is no option of mcp: {instead}");
                    assert!(told.contains(&what), "{line}: {told}");
                }
            }
        }
        assert!(told("--bwlimit=1000 f h").contains("--bwlimit is no option of mcp: --rate"));
        assert!(told("-aP f h").contains("-P is no option of mcp"));
        assert!(told("-aF f h").contains("-F is no option of mcp: files of rules"));
        assert!(told("--nonsense f h").contains("unexpected argument '--nonsense'"));
        assert!(told("-a --group f h").contains("-g or --keep-group"));
        assert!(
            told("-a --group=10.0.0.1 f h")
                .contains("10.0.0.1 is not a multicast address; --group")
        );
    }
}
