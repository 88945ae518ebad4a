//! Transcripts: what is typed and what comes of it, compared with what a file has.
//!
//! A line `$ ...` of the file is typed into a shell, in a folder that is empty at first; below it stand the lines of
//! standard output, those of standard error behind `! `, and `? CODE` if that is not 0. Other lines are comments,
//! which begin with `#`. With `TRANSCRIPTS=write` the file is written anew from its own `$` and `#` lines.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables that are set in the shell; what they hold is shown by their names.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// Types every line of the file `snapshots/NAME.txt` of `folder` in each locale, and compares; `begin` makes what
/// stands in the variables, for each locale anew, and it lives until that has been typed.
pub(crate) fn check<Living>(
    (folder, name): (&str, &str),
    program: &str,
    locales: &[&str],
    begin: impl Fn() -> (Variables, Living),
) {
    let path = Path::new(folder).join("snapshots").join(format!("{name}.txt"));
    let known =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The same in every locale, and with colours forbidden: there are none.
    let of = |locale: &&str| {
        let (variables, _living) = begin();
        typed(&known, program, locale, &variables)
    };
    let texts: Vec<String> = locales.iter().map(of).collect();
    for other in &texts[1..] {
        let differs = difference(&texts[0], other);
        assert_eq!(differs, None, "{name} is different in another locale");
    }
    if std::env::var_os("TRANSCRIPTS").is_some_and(|what| what == "write") {
        fs::write(&path, &texts[0]).unwrap();
        return;
    }
    let first = difference(&known, &texts[0]);
    // What differs stands last: of a long output the end is what is kept.
    assert!(
        first.is_none(),
        "{}: not as it was; all of it now:\n{}\nTRANSCRIPTS=write writes it anew; first at {first:#?}",
        path.display(),
        texts[0]
    );
}

/// The first line, from 0, in which two texts differ, and what it is in each: nothing where one has ended.
fn difference<'t>(one: &'t str, other: &'t str) -> Option<(usize, [Option<&'t str>; 2])> {
    let (mut one, mut other) = (one.split('\n'), other.split('\n'));
    (0..).find_map(|line| match [one.next(), other.next()] {
        [None, None] => Some(None),
        lines => (lines[0] != lines[1]).then_some(Some((line, lines))),
    })?
}

#[test]
fn a_line_more_is_a_difference() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(difference("a\n", "a\nb\n"), Some((1, [Some(""), Some("b")])));
    assert_eq!(difference("a\nb", "a"), Some((1, [Some("b"), None])));
    assert_eq!(difference("a", "b"), Some((0, [Some("a"), Some("b")])));
}

/// The transcript of a file's commands.
fn typed(known: &str, program: &str, locale: &str, variables: &Variables) -> String {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let mut out = String::new();
    for line in known.lines() {
        if line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        }
        let Some(command) = line.strip_prefix("$ ") else { continue };
        // Nothing here lasts: a program that does not end by itself is ended, and that shows.
        let mut shell = Command::new("timeout");
        shell.args(["20", "sh", "-c", command]).current_dir(&home).env_clear().stdin(Stdio::null());
        let binaries = PathBuf::from(program).parent().unwrap().display().to_string();
        let system = std::env::var("PATH").unwrap_or_default();
        shell
            .env("PATH", format!("{binaries}:{system}"))
            .env("LC_ALL", locale)
            .env("NO_COLOR", "1");
        shell.env("HOME", &home).env("TMPDIR", &home);
        shell.envs(variables.iter().map(|(name, value)| (name, value.as_str())));
        for tool in ["MCP", "MCPD"] {
            shell.env(format!("{tool}_STATE_DIR"), home.join("state"));
        }
        let output = shell.output().unwrap();
        writeln!(out, "{line}").unwrap();
        let folder = home.display().to_string();
        for (sign, bytes) in [("", &output.stdout), ("! ", &output.stderr)] {
            // Bytes that are no UTF-8 must not get out: names are escaped.
            let text = std::str::from_utf8(bytes).expect("what is printed is UTF-8");
            for line in text.lines() {
                let line = steady(&line.replace(&folder, "DIR"), variables);
                writeln!(out, "{sign}{}", line.trim_end()).unwrap();
            }
        }
        match output.status.code() {
            Some(0) => {}
            code => writeln!(out, "? {}", code.expect("it is not killed")).unwrap(),
        }
    }
    out
}

/// What the resolver says behind this depends on whether there is a network.
const UNRESOLVED: &str = "its name cannot be resolved: ";

/// A number behind these is another one each time: repeated datagrams and those on the way count in it.
const COUNTED: [&str; 10] = [
    "sent ",
    "bytes of the list: ", // with times in it
    "datagrams sent: ",
    "datagrams sent: #, ",
    "to the group and ",
    "bytes sent to the group: ",
    ", by unicast: ",
    "bytes_sent\":",
    "\"datagrams\":",
    "\"datagram_bytes\":",
];

/// A line without what differs from run to run: variables, times, counted numbers, digests, random groups.
fn steady(line: &str, variables: &Variables) -> String {
    let mut line = line.to_owned();
    for (name, value) in variables {
        line = line.replace(value, &format!("${name}"));
    }
    if let Some(at) = line.find(UNRESOLVED) {
        let rest = line.split_off(at + UNRESOLVED.len());
        line.push_str("WHY");
        line.push_str(rest.find('"').map_or("", |end| &rest[end..]));
    }
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        let inside = |c: char| {
            c.is_ascii_alphanumeric() || (".:-".contains(c) && first.is_ascii_alphanumeric())
        };
        let word = rest.len() - rest.trim_start_matches(inside).len();
        let (piece, behind) = rest.split_at(word.max(first.len_utf8()));
        let counted = COUNTED.iter().any(|before| out.ends_with(before));
        if counted && piece.bytes().all(|b| b.is_ascii_digit()) {
            out.push('#');
        } else {
            out.push_str(&named(piece));
        }
        rest = behind;
    }
    if !out.contains('#') {
        return out;
    }
    // Columns are as wide as what stood there.
    let parts = out.split("  ").map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("  ")
}

/// What stands for a word that is another one each time.
fn named(word: &str) -> String {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let only =
        |signs: &str| word.bytes().all(|b| b.is_ascii_digit() || signs.as_bytes().contains(&b));
    match word {
        _ if word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()) => "DIGEST".to_owned(),
        _ if word.len() == 20 && word.ends_with('Z') && digits == 14 => "TIME".to_owned(),
        _ if word.starts_with("232.") && only(".:") => "GROUP".to_owned(),
        _ if digits > 0 && only(".") && word.matches('.').count() == 1 && !word.ends_with('.') => {
            "#.#".to_owned()
        }
        _ => word.to_owned(),
    }
}
