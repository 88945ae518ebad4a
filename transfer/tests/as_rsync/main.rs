//! Random rules over one tree: what rsync(1) lists with them is what a [`Filter`] takes. Where rsync is missing the test
//! is reported as ignored, with the reason; with `CI=true` that is a failure.
//!
//! `CASES` says how many lists of rules are tried, `TEST_SEED` which.

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use transfer::filter::{Filter, FilterError};

/// Lists of rules, if nobody says how many: each takes rsync some milliseconds.
const CASES: u32 = 400;
const SEED: u64 = 1;
/// Folders of each folder, down to so many.
const FOLDERS: [&str; 4] = ["a", "b", "ab", ".a"];
const DEPTH: usize = 2;
/// Files of each folder.
const FILES: [&str; 9] = ["x", "ax", "xb", ".x", "a*", "a\\b", "[a]", "-", "a b"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let found = Command::new("rsync").arg("--version").output();
    let missing = found.err().map(|error| format!("rsync: {error}: install rsync"));
    if let Some(why) = &missing {
        eprintln!("rules cannot be compared here: {why}");
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let ignored = missing.is_some() && !ci;
    let run = move || missing.map_or_else(compare, |why| Err(why.into()));
    let trial = Trial::test("random_rules_mean_what_they_mean_to_rsync", run);
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(ignored)]).exit_code()
}

/// One option of the command line.
#[derive(Debug, Clone)]
struct Given {
    option: &'static str,
    value: String,
    /// What stands in the file that the value names: its name is put behind the value.
    lines: Option<Vec<String>>,
}

fn given() -> impl Strategy<Value = Given> {
    // Of what means something to a pattern, and what is in the tree.
    let part = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "x", "/", "*", "**", "?"]),
        2 => prop::sample::select(vec![
            "***", "[ab]", "[!a]", "[^b]", "[", "]", "\\", "a*", ".", "-", " ", "[a-x]", "[[:alpha:]]", "/**", "**/", "*/",
        ]),
    ];
    let pattern = ("/?", prop::collection::vec(part, 1..5), "/?")
        .prop_map(|(begin, parts, end)| format!("{begin}{}{end}", parts.concat()));
    let option = prop::sample::select(vec!["--exclude", "--include", "--filter"]);
    let lines = prop::collection::vec(line(pattern.clone()), 1..4);
    let merge = prop::sample::select(vec![
        ("--filter", "merge,- "),
        ("--filter", ".+ "),
        ("--filter", ". "),
        ("--filter", ".-w "),
        ("--filter", ".w "),
        ("--exclude-from", ""),
        ("--include-from", ""),
    ]);
    let of_file = (merge, lines).prop_map(|((option, value), lines)| Given {
        option,
        value: value.to_owned(),
        lines: Some(lines),
    });
    let kind = prop::sample::select(vec![
        "- ", "+ ", "exclude ", "include ", "-! ", "+! ", "H ", "S ", "P ", "R ", "-s ", "-r ",
        "+,p ", "-_", "hide,! ",
    ]);
    let typed = (option, kind, pattern).prop_map(|(option, kind, pattern)| {
        let value = if option == "--filter" { format!("{kind}{pattern}") } else { pattern };
        Given { option, value, lines: None }
    });
    prop_oneof![3 => typed, 1 => of_file]
}

/// A line of a file: a pattern, a rule, or what is either.
fn line(pattern: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let begin = prop::sample::select(vec!["", "", "- ", "+ ", "-_", "+_", "H ", "!", "#", " "]);
    prop_oneof![4 => (begin, pattern).prop_map(|(a, b)| format!("{a}{b}")), 1 => Just("!".to_owned())]
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn compare() -> Result<(), Failed> {
    let seed = number("TEST_SEED").unwrap_or(SEED);
    let cases = number("CASES").and_then(|n| n.try_into().ok()).unwrap_or(CASES);
    eprintln!("TEST_SEED={seed} CASES={cases} shows this again");
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("s");
    make(&source, DEPTH);
    fs::create_dir(dir.path().join("empty"))?;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let strategy = (prop::collection::vec(given(), 1..5), any::<bool>(), any::<bool>());
    let found =
        TestRunner::new_with_rng(config, rng).run(&strategy, |(mut rules, from0, contents)| {
            write_files(&mut rules, from0, dir.path());
            let ours = ours(&rules, from0, &source, contents).ok();
            let theirs = theirs(&rules, from0, &source, contents).map_err(TestCaseError::fail)?;
            prop_assert_eq!(ours, theirs);
            Ok(())
        });
    found.map_err(|error| error.to_string().into())
}

/// Writes the files of rules, and their names behind the options.
fn write_files(rules: &mut [Given], from0: bool, dir: &Path) {
    for (number, Given { value, lines, .. }) in rules.iter_mut().enumerate() {
        let Some(lines) = lines else { continue };
        let file = dir.join(format!("rules{number}"));
        fs::write(&file, lines.join(if from0 { "\0" } else { "\n" })).unwrap();
        value.push_str(file.to_str().unwrap());
    }
}

fn make(folder: &Path, depth: usize) {
    fs::create_dir(folder).unwrap();
    for name in FILES {
        fs::write(folder.join(name), "").unwrap();
    }
    if depth > 0 {
        for name in FOLDERS {
            make(&folder.join(name), depth - 1);
        }
    }
}

/// What rsync would send: paths from the root of the transfer, with `/` behind folders. `None` if it does not
/// understand a rule.
fn theirs(
    rules: &[Given],
    from0: bool,
    source: &Path,
    contents: bool,
) -> Result<Option<BTreeSet<String>>, String> {
    let options = rules.iter().map(|Given { option, value, .. }| format!("{option}={value}"));
    let slash = if contents { "/" } else { "" };
    let done = Command::new("rsync")
        .args(["-rn", "-8", "--out-format=%n"])
        .args(from0.then_some("-0"))
        .args(options)
        .arg(format!("{}{slash}", source.display()))
        .arg(source.with_file_name("empty"))
        .output()
        .map_err(|error| error.to_string())?;
    if done.status.code() == Some(1) {
        return Ok(None);
    }
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    let listed = String::from_utf8(done.stdout).map_err(|error| error.to_string())?;
    Ok(Some(listed.lines().filter(|line| *line != "./").map(str::to_owned).collect()))
}

/// What a filter takes of the same.
fn ours(
    rules: &[Given],
    from0: bool,
    source: &Path,
    contents: bool,
) -> Result<BTreeSet<String>, FilterError> {
    let mut filter = Filter::default();
    let read = |file: &Path| fs::read(file);
    for Given { option, value, .. } in rules {
        let text = value.as_bytes();
        match *option {
            "--exclude" => filter.exclude(text)?,
            "--include" => filter.include(text)?,
            "--exclude-from" => filter.patterns_from(Path::new(value), false, from0, &read)?,
            "--include-from" => filter.patterns_from(Path::new(value), true, from0, &read)?,
            _ => filter.rule(text, from0, &read)?,
        }
    }
    let mut taken = BTreeSet::new();
    if contents {
        walk(&filter, source, "", &mut taken);
    } else if !filter.of_source(b"s", true).leaves_out() {
        taken.insert("s/".to_owned());
        walk(&filter, source, "s/", &mut taken);
    }
    Ok(taken)
}

fn walk(filter: &Filter, folder: &Path, above: &str, taken: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let (path, folder) = entry.map(|entry| (entry.path(), entry.path().is_dir())).unwrap();
        let name = format!("{above}{}", path.file_name().unwrap().to_str().unwrap());
        if filter.of_source(name.as_bytes(), folder).leaves_out() {
            continue;
        }
        if folder {
            let name = format!("{name}/");
            walk(filter, &path, &name, taken);
            taken.insert(name);
        } else {
            taken.insert(name);
        }
    }
}
