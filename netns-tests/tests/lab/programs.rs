//! The programs under test, built in this test's own profile.

use std::path::PathBuf;
use std::process::Command;

/// The folder that this test's profile is built into: this program stands in its `deps`.
fn folder() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let folder = own.parent().and_then(|deps| deps.parent());
    folder.map(PathBuf::from).ok_or_else(|| format!("{} has no folder above", own.display()))
}

/// Builds them with the cargo that runs this test.
pub(crate) fn build() -> Result<(), String> {
    let folder = folder()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["build", "--quiet", "-p", "mcp", "-p", "mcpd", "-p", "mtm"]);
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    // A profile's folder is named after it, but for the two that come with cargo.
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    let status = command.status().map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err("mcp, mcpd and mtm cannot be built".to_owned()) }
}

/// One of them.
pub(crate) fn path(name: &str) -> PathBuf {
    folder().unwrap_or_else(|why| panic!("{why}")).join(name)
}
