//! Into namespaces of our own.

use crate::{programs, shell};
use std::process::{Command, exit};

/// Set in the process that is inside.
const INSIDE: &str = "NETNS_TESTS_INSIDE";

/// What the scenarios need, and the package that brings it.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("strace", "strace"),
];

/// Whether this is the process that is inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Builds the programs, starts this process again inside, and ends with its result. Comes back
/// only with the reason why that cannot be.
pub(crate) fn again() -> Result<(), String> {
    for (tool, package) in TOOLS {
        if shell::find(tool).is_none() {
            return Err(format!("{tool} is missing (package {package})"));
        }
    }
    try_out()?;
    programs::build()?;
    let own = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    // Nothing outlives this process: it ends, unshare ends, and with it the first process of the
    // namespace and all others in it.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(UNSHARE)
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|e| format!("unshare: {e}"))?;
    exit(status.code().unwrap_or(1));
}

/// User, network and mount namespace, and one for processes.
const UNSHARE: [&str; 4] = ["unshare", "-Urnm", "-pf", "--kill-child"];

/// A few of the things that the scenarios do: a system may allow namespaces and forbid these.
fn try_out() -> Result<(), String> {
    let script = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add try \
                  && ip link add br0 type bridge && ip netns exec try nft add table inet try";
    let tried = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).args(["sh", "-c", script]).output();
    match tried {
        Err(e) => Err(format!("unshare: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
    }
}
