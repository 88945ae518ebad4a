//! Into namespaces of our own.

use crate::lanes::{self, Lane};
use crate::{programs, shell};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::process::{Child, Command, Stdio, exit};
use std::time::Duration;

/// Set in the process that is inside.
const INSIDE: &str = "NETNS_TESTS_INSIDE";

/// What the scenarios need, and the package that brings it.
const TOOLS: [(&str, &str); 7] = [
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("strace", "strace"),
    ("prlimit", "util-linux"),
    ("rsync", "rsync"),
];

/// Whether this is the process that is inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Builds the programs, starts this process again inside, once for each lane, and ends with the worst result. Comes
/// back only with the reason why that cannot be.
pub(crate) fn again(lanes: &[Option<Lane>]) -> Result<(), String> {
    for (tool, package) in TOOLS {
        if shell::find(tool).is_none() {
            return Err(format!("{tool} is missing (package {package})"));
        }
    }
    try_out()?;
    programs::build()?;
    // What the lanes print would mix: the last one's is seen at once, that of the others afterwards.
    let last = lanes.len() - 1;
    let begun: Result<Vec<_>, _> =
        lanes.iter().enumerate().map(|(at, lane)| begin(*lane, at == last)).collect();
    let mut worst = 0;
    for (mut child, printed) in begun?.into_iter().rev() {
        let status = child.wait().map_err(|e| format!("unshare: {e}"))?;
        worst = worst.max(status.code().unwrap_or(1));
        if let Some(mut printed) = printed {
            let copied = printed.rewind().and_then(|()| io::copy(&mut printed, &mut io::stdout()));
            copied.map_err(|e| format!("what a lane has printed: {e}"))?;
        }
    }
    exit(worst);
}

/// Starts this process inside, and says where it prints to if that is not `seen`.
fn begin(lane: Option<Lane>, seen: bool) -> Result<(Child, Option<File>), String> {
    let own = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    // Nothing outlives this process: it ends, unshare ends, and with it the first process of the
    // namespace and all others in it.
    let mut command = Command::new(if ids().is_some() { "unshare" } else { "setpriv" });
    match ids() {
        Some(_) => command.args(["-U", "sh", "-c", WITH_IDS, "sh"]).stdin(Stdio::piped()),
        None => command.args(["--pdeathsig", "KILL"]).args(UNSHARE),
    };
    command.arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    if let Some(lane) = lane {
        command.env(lanes::LANE, lane.name());
    }
    let failed = |e| format!("unshare: {e}");
    let printed = if seen { None } else { Some(tempfile::tempfile().map_err(failed)?) };
    if let Some(file) = &printed {
        command.stdout(file.try_clone().map_err(failed)?);
        command.stderr(file.try_clone().map_err(failed)?);
    }
    let mut child = command.spawn().map_err(failed)?;
    if let Some(count) = ids() {
        give_ids(&mut child, count).map_err(|e| format!("users of the namespace: {e}"))?;
    }
    Ok((child, printed))
}

/// User, network and mount namespace, and one for processes.
const UNSHARE: [&str; 4] = ["unshare", "-Urnm", "-pf", "--kill-child"];
/// Likewise in a user namespace that gets its users while this waits for a word.
const WITH_IDS: &str = "read -r go || exit 1; \
    exec setpriv --pdeathsig KILL unshare -nm -pf --kill-child \"$@\" </dev/null";
/// It is there within this.
const LIMIT: Duration = Duration::from_secs(20);
/// Users and groups of the namespace, if there are as many here.
const IDS: u32 = 65_536;

/// How many users and groups the namespace can have: an ordinary user gives it no more than one.
fn ids() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    let count: u32 = map.split_whitespace().last()?.parse().ok()?;
    (rustix::process::geteuid().is_root() && count >= IDS).then_some(IDS)
}

fn give_ids(child: &mut Child, count: u32) -> std::io::Result<()> {
    let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user"));
    let (own, process) = (of("self")?, child.id().to_string());
    shell::wait_for("the process is in its namespace", LIMIT, || {
        of(&process).is_ok_and(|namespace| namespace != own)
    });
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{process}/{map}"), format!("0 0 {count}\n"))?;
    }
    child.stdin.take().map_or(Ok(()), |mut input| input.write_all(b"go\n"))
}

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
