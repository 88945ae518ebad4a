//! The steps of CI, in order, each with its time; the first failure stops them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One call of cargo.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: Option<(&'static str, &'static str)>,
}

/// The cheap ones first. `--locked`: a lock file that does not match is an error, not an update.
const STEPS: [Step; 5] = [
    Step { name: "format", args: &["fmt", "--all", "--check"], env: None },
    Step {
        name: "lints",
        args: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        env: None,
    },
    Step {
        name: "documentation",
        args: &["doc", "--workspace", "--no-deps", "--locked"],
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    Step { name: "examples", args: &["build", "--workspace", "--examples", "--locked"], env: None },
    Step {
        name: "throughput floor",
        args: &["run", "--release", "--locked", "-p", "benches", "--bin", "floor"],
        env: None,
    },
];

/// Runs tidy and the look at the dependencies (they take no compiler and fail fastest), then every step.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let began = Instant::now();
    timed("tidy", || crate::tidy::run(root))?;
    timed("dependencies", || crate::deny::run(root))?;
    for step in &STEPS {
        timed(step.name, || cargo(root, step))?;
    }
    timed("slice of the sweep", || crate::sweep::run(root, &["--slice"]))?;
    println!("== ci passed in {}", seconds(began.elapsed()));
    Ok(())
}

/// Announces a step, runs it, and says how long it took.
fn timed(name: &str, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("== {name}");
    let began = Instant::now();
    let result = step();
    let took = seconds(began.elapsed());
    match result {
        Ok(()) => {
            println!("== {name}: ok, {took}");
            Ok(())
        }
        Err(why) => Err(format!("{name} failed after {took}: {why}")),
    }
}

/// Runs one step in the workspace's folder.
fn cargo(root: &Path, step: &Step) -> Result<(), String> {
    let line = format!("cargo {}", step.args.join(" "));
    // Cargo names itself to what it runs; the same toolchain is used throughout.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(step.args).current_dir(root);
    if let Some((name, value)) = step.env {
        command.env(name, value);
        println!("$ {name}={value:?} {line}");
    } else {
        println!("$ {line}");
    }
    let status = command.status().map_err(|e| format!("`{line}` did not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}")) }
}

/// Seconds with one decimal.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_step() {
        let why = timed("lints", || Err("`cargo clippy` ended with 1".into())).unwrap_err();
        assert!(why.starts_with("lints failed after "), "{why}");
        assert!(why.ends_with("`cargo clippy` ended with 1"), "{why}");
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let bad = Step { name: "bad", args: &["no-such-command-of-cargo"], env: None };
        let why = cargo(Path::new(env!("CARGO_MANIFEST_DIR")), &bad).unwrap_err();
        assert!(why.contains("no-such-command-of-cargo"), "{why}");
    }

    #[test]
    fn warnings_are_errors_everywhere() {
        let lints = STEPS.iter().find(|s| s.name == "lints").unwrap();
        assert!(lints.args.ends_with(&["-D", "warnings"]));
        let docs = STEPS.iter().find(|s| s.name == "documentation").unwrap();
        assert_eq!(docs.env, Some(("RUSTDOCFLAGS", "-D warnings")));
    }
}
