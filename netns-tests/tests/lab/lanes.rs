//! Scenarios that mostly wait run beside those that need the machine for themselves, each lane one after another in a
//! process and namespaces of its own.

use crate::scenarios::{ALL, PATIENT, Scenario};
use libtest_mimic::Arguments;

/// Tells a process inside which lane is its own.
pub(crate) const LANE: &str = "NETNS_TESTS_LANE";

/// Which scenarios a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those that mostly wait for timers of IGMP and MLD, and others whose time does not depend on the processors.
    Queries,
    /// Others that mostly wait.
    Limits,
    /// One that does nothing but wait, longer than any other, and one that waits for lines.
    Timers,
    /// Those that need the machine for themselves.
    Busy,
}

impl Lane {
    /// As the environment has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::Limits => "limits",
            Self::Timers => "timers",
            Self::Busy => "busy",
        }
    }

    /// That of a scenario.
    fn of(scenario: &str) -> Self {
        let own = PATIENT.iter().find(|(_, begin)| scenario.starts_with(begin));
        own.map_or(Self::Busy, |(lane, _)| *lane)
    }
}

/// One process for each; the last is the one whose output is seen while it runs.
pub(crate) const LANES: [Option<Lane>; 4] =
    [Some(Lane::Queries), Some(Lane::Limits), Some(Lane::Timers), Some(Lane::Busy)];

/// Whether all that is asked for is to be run: then in several lanes.
pub(crate) fn are_wanted(arguments: &Arguments) -> bool {
    let Arguments { filter, skip, list, ignored, .. } = arguments;
    filter.is_none() && skip.is_empty() && !list && !ignored
}

/// The scenarios of this process.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static (&'static str, Scenario)> {
    for (_, patient) in PATIENT {
        assert!(ALL.iter().any(|(name, _)| name.starts_with(patient)), "no scenario {patient}");
    }
    let own = std::env::var_os(LANE);
    ALL.iter().filter(move |(name, _)| own.as_ref().is_none_or(|own| own == Lane::of(name).name()))
}
