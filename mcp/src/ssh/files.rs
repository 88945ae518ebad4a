//! How many logins the files are enough for that this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of each host: standard input, output and error of its ssh.
const OF_A_HOST: u64 = 3;
/// Left to the copy itself, for sources and sockets, and to the one login that is being started.
const LEFT: u64 = 64;

/// How many hosts can be logged in to, and, for the others, why no more.
pub(super) struct Enough {
    hosts: usize,
    limit: u64,
}

impl Enough {
    /// Of this process, which asks for as many files as it may have.
    pub(super) fn of_process() -> Self {
        let was = getrlimit(Resource::Nofile);
        // Who is not given more goes on with what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: was.maximum, maximum: was.maximum });
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
        Self { hosts: hosts(limit, open), limit }
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts
    }

    pub(super) fn why_no_more(&self) -> String {
        let Self { hosts, limit } = self;
        format!(
            "it was not logged in to: {limit} open files are the limit of this process, enough for {hosts} hosts: \
             raise it (ulimit -n), or copy to fewer at a time"
        )
    }
}

/// How many hosts a limit is enough for where so many files are open already. Of a low limit half is left.
fn hosts(limit: u64, open: u64) -> usize {
    let left = limit.saturating_sub(open).saturating_sub(LEFT.min(limit / 2));
    usize::try_from(left / OF_A_HOST).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_left_to_the_copy() {
        for (limit, open, enough) in [(64, 8, 8), (512, 10, 146), (1024, 0, 320), (20, 12, 0)] {
            assert_eq!(hosts(limit, open), enough, "{limit}, {open} open");
        }
        assert!(hosts(u64::MAX, 9) > 1 << 30);
    }

    #[test]
    fn a_process_has_enough_for_some_and_says_its_limit() {
        let enough = Enough::of_process();
        assert!(enough.hosts() > 0);
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        assert!(enough.why_no_more().contains(&format!("{} open files", enough.limit)));
    }
}
