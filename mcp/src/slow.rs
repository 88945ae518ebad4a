//! Hosts that make the group slow, and such as are served beside it: what the command line says of them, and what is told
//! of one that is dropped.

use clap::Args;
use mcp_cli::values;
use std::num::NonZeroUsize;
use tcpxm::config::{self, SessionConfig};
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
    /// What hosts that are not in the group have of a line that is full, in percent, as long as the group is served; with
    /// 0 nothing until it pauses. A stream has no use for it.
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "5")]
    pub(crate) unicast_share: u8,
}

impl SlowHosts {
    /// As a session takes it.
    pub(crate) fn apply(&self, session: &mut SessionConfig) {
        session.slow = self.config();
        session.least_group = self.least_group.get();
        session.unicast_share = self.unicast_share;
    }

    fn config(&self) -> config::Slow {
        match (self.slow, self.slow_limit) {
            (Slow::Keep, _) => config::Slow::Keep,
            (Slow::Drop, Some(below)) => config::Slow::Drop { below },
            (Slow::Leave, _) | (Slow::Drop, None) => config::Slow::Leave,
        }
    }

    /// What is wrong: each of the two has a use only with the other. Whether the limit was typed, not set for all copies.
    pub(crate) fn fault(&self, limit_typed: bool) -> Option<&'static str> {
        match (self.slow, self.slow_limit) {
            (Slow::Drop, None) => {
                Some("--slow drop needs --slow-limit BITS: who takes less is dropped")
            }
            (Slow::Leave | Slow::Keep, Some(_)) if limit_typed => {
                Some("--slow-limit has a use only with --slow drop")
            }
            _ => None,
        }
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
        let session = |line| {
            let mut session = SessionConfig::default();
            of(line).unwrap().apply(&mut session);
            session
        };
        assert_eq!(session("--slow keep --least-group 3 f h").slow, config::Slow::Keep);
        assert_eq!(session("--least-group 3 f h").least_group, 3);
    }

    #[test]
    fn the_share_of_those_beside_the_group_is_one_of_the_session() {
        let share = |line: &str| {
            let mut session = SessionConfig::default();
            of(line).map(|hosts| hosts.apply(&mut session)).map(|()| session.unicast_share)
        };
        assert_eq!(share("f h"), Ok(SessionConfig::default().unicast_share));
        for (typed, is) in [("0", 0), ("20", 20), ("20%", 20), ("100", 100)] {
            assert_eq!(share(&format!("--unicast-share {typed} f h")), Ok(is));
        }
        for typed in ["101", "-1", "2.5", "half"] {
            let why = share(&format!("--unicast-share={typed} f h")).unwrap_err();
            assert!(why.contains("between 0 and 100, in percent"), "{typed}: {why}");
        }
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
