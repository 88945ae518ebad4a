//! No core dumps: what a program holds in memory, secrets among it, is not to stand on a disk, nor to be read by
//! another program of the same user.

use rustix::io;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids them to this process and to those that it starts, for good (core(5): a limit of 0). A program that
/// the kernel pipes dumps to is told the limit, and systemd-coredump(8) keeps nothing then. And nobody but root
/// attaches to this process, or reads its memory (`PR_SET_DUMPABLE` in prctl(2), ptrace(2)); what it reads of
/// itself in /proc is not affected, for that is asked of the same process.
pub fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit};

    #[test]
    fn the_limit_is_none_and_nobody_else_may_look() {
        forbid().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        // What programs look up of themselves.
        assert!(std::env::current_exe().is_ok());
        assert!(std::fs::read_dir("/proc/self/fd").is_ok_and(|mut fds| fds.next().is_some()));
    }
}
