//! The second implementation of the opening side, in Python, opens the test vectors. Where Python or its
//! package `cryptography` is missing the test is reported as ignored, with the reason; with `CI=true` that is
//! a failure.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it starts another program, and asks the environment for it"
)]

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Debian's own comes second: another may stand before it on the path, without the package.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];
/// Each kind of a file, and how many checks there are at least.
const LEAST: [(&str, u32); 4] =
    [("null.txt", 100), ("xx.txt", 4000), ("xx_identities.txt", 4000), ("xxpsk0.txt", 4000)];

/// A Python that has what the opener needs.
fn python() -> Result<&'static str, String> {
    let has_it = |python: &&str| {
        let needs = "import sys, cryptography as c\n\
                     sys.exit(sys.version_info < (3, 7) or int(c.__version__.split('.')[0]) < 38)";
        Command::new(python).args(["-c", needs]).output().is_ok_and(|done| done.status.success())
    };
    PYTHONS.into_iter().find(has_it).ok_or_else(|| {
        let tried = PYTHONS.join(", ");
        format!("{tried}: none is 3.7 with cryptography 38 or newer: install python3-cryptography")
    })
}

fn run(python: &str) -> Result<(), Failed> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files: Vec<PathBuf> =
        LEAST.iter().map(|(name, _)| tests.join("vectors").join(name)).collect();
    let done = Command::new(python)
        .arg("-B") // leaves nothing behind
        .arg(tests.join("opener/opener.py"))
        .args(&files)
        .output()
        .map_err(|error| format!("{python}: {error}"))?;
    let (said, wrong) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !done.status.success() {
        return Err(format!("{}: {said}{wrong}", done.status).into());
    }
    for (line, (name, least)) in said.lines().zip(LEAST) {
        let count = line
            .strip_prefix(name)
            .and_then(|rest| rest.split([':', ' ']).find(|word| !word.is_empty()));
        let enough = count.and_then(|n| n.parse().ok()).is_some_and(|n: u32| n >= least);
        if !enough {
            return Err(format!("fewer checks than {least}: {line}").into());
        }
    }
    if said.lines().count() != LEAST.len() {
        return Err(format!("not every file was opened: {said}").into());
    }
    print!("{said}");
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let found = python();
    if let Err(why) = &found {
        eprintln!("the opener cannot run here: {why}");
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let ignored = found.is_err() && !ci;
    let trial = Trial::test("another_implementation_opens_the_vectors", move || run(found?));
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(ignored)]).exit_code()
}
