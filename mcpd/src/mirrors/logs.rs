//! What is kept of mirror jobs for people, in the folder of state: `mirrors.log`, which trees are complete and which
//! commands were run, and `commands.log`, what these have written.

use super::run::Ran;
use mcp_cli::say::plain;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// Of a job that is complete here, and of commands.
const MIRRORS: &str = "mirrors.log";
/// What commands have written.
const COMMANDS: &str = "commands.log";
/// For its owner alone: what commands write is nobody else's business.
const MODE: u32 = 0o600;

/// Of which run a line is.
#[derive(Debug, Clone)]
pub(super) struct Of {
    /// What the job is called.
    pub(super) job: String,
    pub(super) revision: u32,
    pub(super) command: String,
}

/// All of a revision is in place.
pub(super) fn complete(state: &Path, (job, place, revision): (&str, &Path, u32)) -> io::Result<()> {
    let place = place.display().to_string();
    let line = [&now(), "complete", job, &place, &revision.to_string()].map(plain).join("\t");
    append(&state.join(MIRRORS), format!("{line}\n").as_bytes())
}

/// A command was run for a tree.
pub(super) fn ran(
    state: &Path,
    of: &Of,
    place: &Path,
    (root, description): (&str, &str),
    status: &str,
) -> io::Result<()> {
    let place = place.display().to_string();
    let revision = of.revision.to_string();
    let fields =
        [&now(), "command", &of.job, &place, &revision, root, description, &of.command, status];
    append(&state.join(MIRRORS), format!("{}\n", fields.map(plain).join("\t")).as_bytes())
}

/// What a command has written, each of its lines behind a bar: none can be taken for the beginning of another run.
pub(super) fn output(state: &Path, of: &Of, began: SystemTime, ran: &Ran) -> io::Result<()> {
    let began = humantime::format_rfc3339_seconds(began).to_string();
    let revision = of.revision.to_string();
    let header = [&began, &of.job, &revision, &of.command].map(|field| plain(field)).join("\t");
    let mut text = format!("{header}\n").into_bytes();
    bar(&mut text, &ran.kept);
    if ran.left_out > 0 {
        text.extend(format!("({} bytes are left out; the last ones:)\n", ran.left_out).bytes());
        bar(&mut text, &ran.tail);
    }
    text.extend(format!("{}\t{}\n", now(), plain(&ran.status.to_string())).bytes());
    append(&state.join(COMMANDS), &text)
}

fn bar(text: &mut Vec<u8>, output: &[u8]) {
    let output = output.strip_suffix(b"\n").unwrap_or(output);
    if output.is_empty() {
        return;
    }
    for line in output.split(|byte| *byte == b'\n') {
        text.extend(b"| ");
        text.extend(line);
        text.push(b'\n');
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Opened anew each time: who rotates it moves it away.
fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path);
    file?.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::exec::ExitStatusWord;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_line_is_a_line_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        complete(dir.path(), ("a\nb", Path::new("/srv/x y"), 7)).unwrap();
        let of = Of { job: "job".to_owned(), revision: 7, command: "reload".to_owned() };
        ran(dir.path(), &of, Path::new("/srv"), ("x", "for\tthem"), "exited 0").unwrap();
        let text = std::fs::read_to_string(dir.path().join(MIRRORS)).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines[0][1..], ["complete", "a\\nb", "/srv/x y", "7"]);
        let expected = ["command", "job", "/srv", "7", "x", "for\\tthem", "reload", "exited 0"];
        assert_eq!((&lines[1][1..], lines.len()), (&expected[..], 2));
        assert!(humantime::parse_rfc3339(lines[0][0]).is_ok());
        let mode = dir.path().join(MIRRORS).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn what_a_command_writes_begins_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let of = Of { job: "job".to_owned(), revision: 1, command: "c".to_owned() };
        let ran = Ran {
            status: ExitStatusWord::Exited(0),
            kept: b"2026-01-01T00:00:00Z\tjob\t2\tc\nx\n".to_vec(),
            left_out: 9,
            tail: b"end".to_vec(),
        };
        output(dir.path(), &of, SystemTime::UNIX_EPOCH, &ran).unwrap();
        let text = std::fs::read_to_string(dir.path().join(COMMANDS)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1970-01-01T00:00:00Z\tjob\t1\tc");
        assert_eq!(lines[1..3], ["| 2026-01-01T00:00:00Z\tjob\t2\tc", "| x"]);
        assert_eq!(lines[3..5], ["(9 bytes are left out; the last ones:)", "| end"]);
        assert!(lines[5].ends_with("\texited 0") && lines.len() == 6, "{text}");
    }
}
