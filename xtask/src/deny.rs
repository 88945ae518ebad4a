//! Licences, duplicates, bans and sources of the dependencies, by cargo-deny; what is allowed stands in
//! `deny.toml`.

use std::path::Path;
use std::process::{Command, Stdio};

/// The checks that need no network; advisories do (`deny.toml` says more). An exception that is of no use any
/// more is an error.
const ARGS: [&str; 8] =
    ["deny", "--locked", "check", "-D", "unmatched-skip", "bans", "licenses", "sources"];
/// What `.ci/run` installs: other versions may find other things.
const VERSION: &str = "0.20.2";

/// Runs the checks. Where cargo-deny is missing they are left out, and said to be; in CI that is a failure.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let there = Command::new(&program)
        .args(["deny", "--version"])
        .current_dir(root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        return missing(std::env::var_os("CI").is_some_and(|ci| ci == "true"));
    }
    let line = format!("cargo {}", ARGS.join(" "));
    println!("$ {line}");
    let status = Command::new(program)
        .args(ARGS)
        .current_dir(root)
        .status()
        .map_err(|e| format!("`{line}` did not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// What comes of it where it is not installed.
fn missing(in_ci: bool) -> Result<(), String> {
    let remedy = format!("run {}", install());
    if in_ci {
        return Err(format!("cargo-deny is not installed: {remedy}"));
    }
    println!("left out: cargo-deny is not installed; to have it, {remedy}");
    Ok(())
}

/// Without its default features, which fetch advisories, and without optimization: it runs for a second.
fn install() -> String {
    format!("cargo install cargo-deny --locked --version {VERSION} --no-default-features --debug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_ci_it_must_be_there() {
        let why = missing(true).unwrap_err();
        assert!(why.contains("cargo install cargo-deny --locked --version"), "{why}");
        assert_eq!(missing(false), Ok(()));
    }

    #[test]
    fn ci_installs_this_version() {
        let ci = include_str!("../../.ci/run");
        assert!(ci.contains(&install()) && ci.contains(&format!("cargo-deny {VERSION}\"")));
    }
}
