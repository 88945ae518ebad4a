//! No core dumps: what a program holds in memory, secrets among it, is not to stand on a disk.

use rustix::io;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids them to this process and to those that it starts, for good (core(5): a limit of 0). A program that
/// the kernel pipes dumps to is told the limit, and systemd-coredump(8) keeps nothing then.
pub fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getrlimit;

    #[test]
    fn the_limit_is_none() {
        forbid().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
