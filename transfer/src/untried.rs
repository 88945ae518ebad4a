//! Tests that need more than every machine has.

/// Whether a test can be tried, which `needs` this; where it cannot, that is said, and the project's own checks
/// (`CI=true`) fail: there each test is tried.
pub(crate) fn is_tried(can: bool, needs: &str) -> bool {
    if !can {
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "it was not tried: {needs}");
        eprintln!("not run: {needs}");
    }
    can
}

/// Whether a test runs as root, which it needs.
pub(crate) fn is_root() -> bool {
    is_tried(rustix::process::geteuid().is_root(), "it needs root")
}

/// Runs a test, which has this full name, once more, in a folder in which `script` may mount things that no one else
/// sees. The folder, in that run; `None` in the one that has started it, and has seen it pass.
pub(crate) fn mounted(test: &str, script: &str) -> Option<std::path::PathBuf> {
    const FOLDER: &str = "MCP_TEST_MOUNTED";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(folder.into());
    }
    let run = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("unshare");
        child.args(["-Urm", "--propagation", "private"]).args(arguments);
        child.current_dir(folder.path()).env(FOLDER, folder.path()).output()
    };
    let can = run(&["true"]).is_ok_and(|output| output.status.success());
    if is_tried(can, "it needs a mount namespace (unshare)") {
        let own = std::env::current_exe().unwrap();
        let script = format!("set -e; {script}; exec \"$@\"");
        let test = [own.to_str().unwrap(), "--exact", test, "--test-threads=1", "--nocapture"];
        let output = run(&[&["sh", "-c", &script, "sh"], &test[..]].concat()).unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}\n{why}");
    }
    None
}
