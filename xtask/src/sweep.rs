//! `cargo xtask sweep`: the simulator's scenarios with many seeds each, built for speed.

use std::path::Path;
use std::process::Command;

/// Sweeps everything, or a slice: of the commit, or the one of that number.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<(), String> {
    let words = words(options)?;
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(&words)
        .current_dir(root)
        .status()
        .map_err(|e| format!("`cargo {}` did not start: {e}", words.join(" ")))?;
    if status.success() { Ok(()) } else { Err(format!("the sweep ended with {status}")) }
}

/// The call of cargo: the simulator keeps progress and judges.
fn words<'a>(options: &[&'a str]) -> Result<Vec<&'a str>, String> {
    let mut words = vec!["run", "--release", "--locked", "-q", "-p", "sim", "--", "sweep-all"];
    words.extend(["--known", "sim/known-failing.txt", "--progress", "target/sweep"]);
    match options {
        [] => {}
        ["--slice"] => words.extend(["--slice", "commit"]),
        ["--slice", number] if number.parse::<u64>().is_ok() => {
            words.extend(["--slice", number]);
        }
        _ => return Err("usage: cargo xtask sweep [--slice [NUMBER]]".to_owned()),
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slice_can_be_asked_for() {
        assert!(words(&[]).expect("all").ends_with(&["--progress", "target/sweep"]));
        assert!(words(&["--slice"]).expect("the commit's").ends_with(&["--slice", "commit"]));
        assert!(words(&["--slice", "7"]).expect("one").ends_with(&["--slice", "7"]));
        for wrong in [&["--slice", "x"][..], &["--all"], &["--slice", "1", "2"]] {
            assert!(words(wrong).is_err(), "{wrong:?}");
        }
    }
}
