//! Hosts that make the group slow: what the command line says of them, and what is told of one that is dropped.

use clap::Args;
use clap::error::ErrorKind;
use mcp_cli::parse::Typed;
use mcp_cli::values;
use std::num::NonZeroUsize;
use tcpxm::config;
use tcpxm::error::Reason;

/// What becomes of a host that makes the group slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Slow {
    #[default]
    Leave,
    Keep,
    Drop,
}

#[derive(Debug, Args)]
pub(crate) struct SlowHosts {
    /// What becomes of a host that makes the group slow: it leaves that, and gets the rest alone, if the others then go
    /// clearly faster; all go at its pace; or as the first, and one that takes less than --slow-limit is dropped: it
    /// gets no more, and keeps what it has for the next copy.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) slow: Slow,
    /// With --slow drop: what a host must take at least, in bits per second, such as 20M.
    #[arg(long, value_name = "BITS", value_parser = values::rate)]
    pub(crate) slow_limit: Option<u64>,
    /// As many hosts stay in the group as long as they hear it, however slow they are.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    pub(crate) least_group: NonZeroUsize,
}

impl SlowHosts {
    /// As the session takes it.
    pub(crate) fn config(&self) -> config::Slow {
        match (self.slow, self.slow_limit) {
            (Slow::Keep, _) => config::Slow::Keep,
            (Slow::Drop, Some(below)) => config::Slow::Drop { below },
            (Slow::Leave, _) | (Slow::Drop, None) => config::Slow::Leave,
        }
    }

    /// What is wrong: each of the two has a use only with the other.
    pub(crate) fn refuse(&self, typed: &Typed) -> Option<(ErrorKind, &'static str)> {
        let what = match (self.slow, self.slow_limit) {
            (Slow::Drop, None) => "--slow drop needs --slow-limit BITS: who takes less is dropped",
            (Slow::Leave | Slow::Keep, Some(_)) if typed.has("slow-limit") => {
                "--slow-limit has a use only with --slow drop"
            }
            _ => return None,
        };
        Some((ErrorKind::MissingRequiredArgument, what))
    }
}

/// Why a host was dropped for being slow, by the names that the limit has here; `None`: it was not.
pub(crate) fn dropped(reason: &Reason) -> Option<String> {
    let Reason::TooSlow { own, below } = reason else { return None };
    let mega = |bits: u64| bits as f64 / 1e6;
    let (own, below) = (mega(*own), mega(*below));
    Some(format!("dropped: {own:.1} Mbit/s, less than --slow-limit {below:.1} Mbit/s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::read;

    fn of(line: &str) -> Result<SlowHosts, String> {
        let words = std::iter::once("mcp").chain(line.split_whitespace()).map(Into::into);
        read(words).map(|cli| cli.copy.slow_hosts).map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_is_one_of_the_session() {
        let config = |line| of(line).unwrap().config();
        assert_eq!(config("f h"), config::Slow::Leave);
        assert_eq!(config("--slow keep f h"), config::Slow::Keep);
        let below = 20_000_000;
        assert_eq!(config("--slow drop --slow-limit 20M f h"), config::Slow::Drop { below });
        assert_eq!(of("--least-group 3 f h").unwrap().least_group.get(), 3);
    }

    #[test]
    fn one_of_the_two_without_the_other_is_refused() {
        assert!(of("--slow drop f h").unwrap_err().contains("--slow drop needs --slow-limit"));
        for line in ["--slow-limit 20M f h", "--slow keep --slow-limit 20M f h"] {
            assert!(of(line).unwrap_err().contains("only with --slow drop"), "{line}");
        }
        assert!(of("--slow-limit fast --slow drop f h").is_err());
        assert!(of("--least-group 0 f h").is_err());
    }

    #[test]
    fn one_that_was_dropped_is_told_the_limit() {
        let why = dropped(&Reason::TooSlow { own: 9_640_000, below: 20_000_000 });
        let told = "dropped: 9.6 Mbit/s, less than --slow-limit 20.0 Mbit/s";
        assert_eq!(why.as_deref(), Some(told));
        assert_eq!(dropped(&Reason::TooLate), None);
    }
}
