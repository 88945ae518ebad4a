//! Options that variables and the configuration file set for all copies: what one of them is not for goes on as if it
//! were not set.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Each long option with a value that may stand for it; a flag is true. `FILE` is a file of hosts and of rules, `NEW` one
/// that is not there.
const OPTIONS: [(&str, &str); 71] = [
    ("acls", "true"),
    ("archive", "true"),
    ("checksum", "true"),
    ("chmod", "F600"),
    ("chown", "0:0"),
    ("congestion", "bbr"),
    ("connect-timeout", "1s"),
    ("delete", "true"),
    ("devices", "true"),
    ("dry-run", "true"),
    ("exclude", "*.o"),
    ("exclude-from", "FILE"),
    ("exclude-host", "other"),
    ("files-from", "FILE"),
    ("filter", "- *.o"),
    ("from0", "true"),
    ("group", "239.255.71.42"),
    ("hard-links", "true"),
    ("host-groups", "FILE"),
    ("hosts", "FILE"),
    ("ignore-times", "true"),
    ("include", "*.c"),
    ("include-from", "FILE"),
    ("insecure-plaintext", "true"),
    ("interface", "lo"),
    ("itemize-changes", "true"),
    ("json", "true"),
    ("keep-group", "true"),
    ("known-hosts", "NEW"),
    ("late-join", "true"),
    ("least-group", "2"),
    ("links", "true"),
    ("max-delete", "100"),
    ("min-hosts", "1"),
    ("no-progress", "true"),
    ("no-resume", "true"),
    ("numeric-ids", "true"),
    ("one-file-system", "true"),
    ("owner", "true"),
    ("perms", "true"),
    ("port", "9000"),
    ("quiet", "true"),
    ("rate", "10M"),
    ("recursive", "true"),
    ("retry", "1"),
    ("retry-file", "NEW"),
    ("secret-file", "NEW"),
    ("slow", "keep"),
    ("slow-limit", "10M"),
    ("sparse", "true"),
    ("specials", "true"),
    ("ssh", "true"),
    ("ssh-install", "true"),
    ("ssh-option", "Port=1"),
    ("ssh-parallel", "4"),
    ("state-dir", "NEW"),
    ("stats", "true"),
    ("strict", "true"),
    ("sync", "none"),
    ("times", "true"),
    ("ttl", "2"),
    ("unicast", "true"),
    ("unicast-share", "20"),
    ("update", "true"),
    ("verbose", "1"),
    ("wait-lost", "1s"),
    ("xattrs", "true"),
    // What is copied at all, and what is said for the program itself.
    ("source", ""),
    ("config", ""),
    ("help", ""),
    ("version", ""),
];

/// What is refused all the same of a stream, since somebody relies on it.
const REFUSED: [&str; 3] = ["chmod", "chown", "dry-run"];

/// Who is sent to, in plaintext and else.
const PLAIN: &str = "127.0.0.83:1:x";
const HOST: &str = "192.0.2.1:1:x";

/// What fails before a host is tried, since what it names is not there.
const NOT_THERE: [&str; 1] = ["secret-file"];

/// A copy that fails once it is planned: without a key nothing is sent to other hosts, in plaintext nobody listens there,
/// and what ssh is found fails as well.
fn copy(dir: &Path, long: &str, sources: &[String]) -> Command {
    let mut mcp = Command::new(env!("CARGO_BIN_EXE_mcp"));
    mcp.env_clear().env("PATH", dir).env("HOME", dir).env("TMPDIR", dir);
    mcp.env("MCP_STATE_DIR", dir.join("none")).stdin(Stdio::null());
    let is_plain = long == "insecure-plaintext";
    mcp.args(sources).arg(if is_plain { PLAIN } else { HOST });
    mcp
}

/// One option in either way.
fn both(dir: &Path, (long, value): (&str, &str)) -> Vec<String> {
    let own = tempfile::tempdir_in(dir).unwrap();
    let file = own.path().join("file");
    fs::write(&file, "192.0.2.2:1:x\n").unwrap();
    let [file, new, config] =
        ["file", "new", "config"].map(|name| own.path().join(name).display().to_string());
    let value = value.replace("FILE", &file).replace("NEW", &new);
    let line = match &*value {
        "true" => format!("{long} = true\n"),
        text => format!("{long} = {text:?}\n"),
    };
    fs::write(&config, &line).unwrap();
    let variable = format!("MCP_{}", long.replace('-', "_").to_uppercase());
    let mut wrong = Vec::new();
    let several = ["-s", &file, "-s", &config].map(str::to_owned);
    for source in [vec![file.clone()], vec!["-".to_owned()], several.to_vec()] {
        let is_refused = source == ["-"] && REFUSED.contains(&long);
        let code = if is_refused { 2 } else { 1 };
        let given = source.clone();
        let by_variable = copy(dir, long, &given).env(&variable, &value).output().unwrap();
        let by_file = copy(dir, long, &given).args(["--config", &config]).output().unwrap();
        for (way, output) in [("variable", by_variable), ("file", by_file)] {
            let said = [&output.stdout[..], &output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            let host = ["192.0.2.1", "127.0.0.83"].iter().any(|host| said.contains(host));
            let is_tried = host || is_refused || NOT_THERE.contains(&long);
            if output.status.code() != Some(code) || !is_tried {
                wrong.push(format!("{line} by {way}, {source:?}: {output:?}"));
            }
        }
    }
    wrong
}

#[test]
fn what_is_set_for_all_copies_breaks_none_that_it_is_not_for() {
    let help = Command::new(env!("CARGO_BIN_EXE_mcp")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let known: BTreeSet<&str> =
        words.map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())).collect();
    let options: BTreeSet<&str> = OPTIONS.iter().map(|(long, _)| *long).collect();
    // A command of its own has it.
    let known: BTreeSet<&str> = known.into_iter().filter(|long| *long != "secret").collect();
    assert_eq!(options, known);

    let dir = tempfile::tempdir().unwrap();
    let ssh = dir.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nexit 255\n").unwrap();
    fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    let settable: Vec<_> = OPTIONS.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let wrong: Vec<String> = thread::scope(|scope| {
        let path = dir.path();
        let parts = settable.chunks(settable.len().div_ceil(8));
        let all: Vec<_> = parts
            .map(|part| {
                scope
                    .spawn(move || part.iter().flat_map(|one| both(path, *one)).collect::<Vec<_>>())
            })
            .collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
