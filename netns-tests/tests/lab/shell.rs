//! Commands that must succeed, and conditions that must come true.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Where a command is.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // An ordinary user's PATH often lacks the place of ip and nft.
    let also = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(also).map(|dir| dir.join(tool)).find(|file| file.is_file())
}

/// Runs a command line; its words stand between blanks. Gives its standard output.
pub(crate) fn run(line: &str) -> String {
    let output = try_run(line);
    output.unwrap_or_else(|error| panic!("{error}"))
}

/// As [`run`]; a failure is given back.
pub(crate) fn try_run(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let tool = words.next().unwrap_or_default();
    let program = find(tool).unwrap_or_else(|| PathBuf::from(tool));
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{line}: {}: {text}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, limit: Duration, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !so() {
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        thread::sleep(INTERVAL);
    }
}
