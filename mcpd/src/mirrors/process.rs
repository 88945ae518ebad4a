//! Processes that are known again whatever has become of the daemon that started them, and are never taken for others
//! that have their number by then.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Says which start of the system it is (random(4)); a daemon whose /proc has nothing but processes does not see it.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// What a process is known by as text: its number, when it started, in clock ticks after the start of the system, and
/// which start that was. `None` if there is none of that number.
pub(super) fn known(pid: Pid) -> Option<String> {
    let boot = fs::read_to_string(BOOT).unwrap_or_default();
    let stat = stat(pid)?;
    Some(format!("{} {} {}", pid.as_raw_pid(), stat.started, boot.trim()))
}

/// This process, so.
pub(super) fn own() -> Option<String> {
    known(rustix::process::getpid())
}

/// Whether that process is there still.
pub(super) fn lives(known: &str) -> bool {
    find(known).is_some()
}

/// The number of that process, if it is there still.
fn find(text: &str) -> Option<Pid> {
    let pid = text.split(' ').next()?.parse().ok().and_then(Pid::from_raw)?;
    (known(pid)? == text && !stat(pid)?.is_over).then_some(pid)
}

/// What `/proc/PID/stat` says of a process (`proc_pid_stat(5)`).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// It has ended, and nobody has asked how.
    is_over: bool,
    group: i32,
    started: u64,
}

fn stat(pid: Pid) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
}

fn parse(stat: &str) -> Option<Stat> {
    // The program's name, in brackets, may have any characters.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let is_over = matches!(*fields.first()?, "Z" | "X");
    Some(Stat {
        is_over,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Ends the groups of those of these processes that are there still, and lead a group: they are asked to, and so long
/// later they are made to. What their leaders have left behind that have ended is left alone.
pub(super) fn end(all: &[String], grace: Duration) {
    let begin = Instant::now();
    let leads = |known: &String| {
        let pid = find(known)?;
        // From here on the number is this process's, unless it was another one's before: then it is not found again.
        let end = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let leads = find(known).is_some() && stat(pid)?.group == pid.as_raw_pid();
        leads.then_some((pid, end))
    };
    let all: Vec<(Pid, OwnedFd)> = all.iter().filter_map(leads).collect();
    for (pid, _) in &all {
        let _ = kill_process_group(*pid, Signal::TERM); // it may have ended
    }
    for (pid, end) in &all {
        let left = grace.saturating_sub(begin.elapsed());
        let left = Timespec::try_from(left).ok();
        // What cannot be waited for is ended at once.
        let ended = poll(&mut [PollFd::new(end, PollFlags::IN)], left.as_ref());
        if !matches!(ended, Ok(1..)) {
            let _ = kill_process_group(*pid, Signal::KILL); // see above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn sleeping(own_group: bool) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000");
        if own_group {
            command.process_group(0);
        }
        command.spawn().unwrap()
    }

    #[test]
    fn a_process_is_known_by_its_start_and_not_by_its_number_alone() {
        let mut child = sleeping(true);
        let known = known(Pid::from_child(&child)).unwrap();
        assert!(lives(&known) && lives(&own().unwrap()) && own() == own());
        // Another one that had its number before.
        let mut fields: Vec<&str> = known.split(' ').collect();
        fields[1] = "1";
        let other = fields.join(" ");
        end(&[other.clone(), String::new(), "x y z".to_owned()], Duration::from_secs(5));
        assert!(!lives(&other) && lives(&known) && child.try_wait().unwrap().is_none());
        end(std::slice::from_ref(&known), Duration::from_secs(5));
        assert!(!lives(&known), "it has ended, and nobody has asked how");
        child.wait().unwrap();
        assert!(!lives(&known));
    }

    /// As where a daemon does not start it so, and it is in the group of others.
    #[test]
    fn one_that_leads_no_group_is_left_alone() {
        let mut child = sleeping(false);
        let known = known(Pid::from_child(&child)).unwrap();
        end(std::slice::from_ref(&known), Duration::ZERO);
        assert!(lives(&known) && child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn whatever_a_program_is_called() {
        let rest = "S 1 42 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        let expected = Some(Stat { is_over: false, group: 42, started: 12345 });
        assert_eq!(parse(&format!("42 (a) b) (x) {rest}")), expected);
        assert_eq!(parse("42 (a"), None);
        assert_eq!(parse("42 (a) S 1 42"), None);
    }
}
