//! Checks of the shape of the code that the compiler does not make, one file each.

mod commands;
mod docs;
mod evidence;
mod fields;
mod known;
mod layers;
mod lines;
mod manifest;
mod manifests;
mod markdown;
mod paths;
mod repo;
mod size;
mod source;
mod units;
mod words;

use repo::Repo;
use std::fmt;
use std::path::Path;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// File, relative to the workspace.
    path: String,
    /// Line, from 1.
    line: usize,
    /// What is wrong, and what to do.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A check looks at the whole workspace and gives what it found.
type Check = fn(&Repo) -> Vec<Finding>;

/// Every check by name.
const CHECKS: [(&str, Check); 11] = [
    ("layers", layers::check),
    ("sizes", size::check),
    ("open fields", fields::check),
    ("paths in documents", docs::check),
    ("tests in documents", evidence::check),
    ("words", words::check),
    ("lines of documents", lines::check),
    ("manifests", manifests::check),
    ("commands in documents", commands::check),
    ("known failures", known::check),
    ("systemd units", units::check),
];

/// Runs every check on the workspace at `root` and prints what was found.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let repo = Repo::load(root).map_err(|e| format!("cannot read {}: {e}", root.display()))?;
    let mut total = 0;
    for (name, check) in CHECKS {
        let findings = check(&repo);
        for finding in &findings {
            eprintln!("{finding}");
        }
        println!("tidy: {name}: {}", if findings.is_empty() { "ok" } else { "not ok" });
        total += findings.len();
    }
    if total == 0 { Ok(()) } else { Err(format!("tidy found {total} things to mend")) }
}
