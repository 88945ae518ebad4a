//! Scenarios that mostly wait run beside those that need the machine for themselves, each lane one after another in a
//! process and namespaces of its own.

use crate::scenarios::{ALL, PATIENT, Scenario};
use libtest_mimic::Arguments;
use std::ffi::OsString;

/// Tells a process inside which lane is its own.
pub(crate) const LANE: &str = "NETNS_TESTS_LANE";

/// Which scenarios a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those that mostly wait.
    Patient,
    /// Those that need the machine for themselves.
    Busy,
}

impl Lane {
    /// As the environment has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Busy => "busy",
        }
    }
}

/// One process for each; the second is the one whose output is seen while it runs.
pub(crate) const BOTH: [Option<Lane>; 2] = [Some(Lane::Patient), Some(Lane::Busy)];

/// Whether all that is asked for is to be run: then in two lanes.
pub(crate) fn are_wanted(arguments: &Arguments) -> bool {
    let Arguments { filter, skip, list, ignored, .. } = arguments;
    filter.is_none() && skip.is_empty() && !list && !ignored
}

/// The scenarios of this process.
pub(crate) fn scenarios() -> impl Iterator<Item = &'static (&'static str, Scenario)> {
    for patient in PATIENT {
        assert!(ALL.iter().any(|(name, _)| name.starts_with(patient)), "no scenario {patient}");
    }
    let lane = std::env::var_os(LANE);
    ALL.iter().filter(move |(name, _)| is_on(lane.as_ref(), name))
}

fn is_on(lane: Option<&OsString>, name: &str) -> bool {
    let own = if PATIENT.iter().any(|patient| name.starts_with(patient)) {
        Lane::Patient
    } else {
        Lane::Busy
    };
    lane.is_none_or(|lane| lane == own.name())
}
