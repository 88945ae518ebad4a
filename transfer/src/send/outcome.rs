//! What became of a copy, host by host and entry by entry.

use super::ear::Said;
use crate::source::{Named, Source, SourceError};
use std::collections::{BTreeMap, BTreeSet};
use tcpxm::error::Reason;
use tcpxm::stats::{Arrived, MemberReport, Sent};

/// Entries that are named where a member's failure is told in one line.
const NAMED: usize = 3;

/// What became of a copy.
#[derive(Debug)]
pub struct Outcome {
    /// One for each member, in the order of the addresses that were connected to.
    pub members: Vec<Delivered>,
    /// What the session sent.
    pub sent: Sent,
    /// What ended the session, if this side did.
    pub failure: Option<SourceError>,
}

/// An entry that is not in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEntry {
    /// Its path from the root of the transfer.
    pub path: Vec<u8>,
    /// Why.
    pub why: String,
}

/// What became of one member.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The session's report.
    pub report: MemberReport,
    /// What it said.
    pub said: Said,
    /// Entries that are not in place, here or there.
    pub failures: Vec<FailedEntry>,
    /// The copy is of one file.
    pub one: bool,
}

impl Delivered {
    /// Why it does not have all of it; `None` if it does. A refusal in the receiver's own words says more than how
    /// the session then ended.
    pub fn failure(&self) -> Option<String> {
        match (&self.said.refused, &self.report.outcome, self.said.report) {
            (Some(why), _, _) => Some(why.clone()),
            (None, Some(Err(reason)), _) => Some(in_own_words(reason)),
            (None, None, _) => Some("the session ended without its verdict".to_owned()),
            (None, Some(Ok(())), None) => Some("it did not say what became of it".to_owned()),
            (None, Some(Ok(())), Some(_)) => self.in_words(),
        }
    }

    /// Which entries are not in place, in one line.
    fn in_words(&self) -> Option<String> {
        let count = self.failures.len().max(usize::try_from(self.said.failures).unwrap_or(0));
        let said = |entry: &FailedEntry| {
            format!("{}: {}", String::from_utf8_lossy(&entry.path), entry.why)
        };
        match (&self.failures[..], self.one) {
            ([], _) => None,
            ([only], true) => Some(only.why.clone()),
            (all, _) => {
                let named: Vec<String> = all.iter().take(NAMED).map(said).collect();
                let more = count - named.len();
                let more = if more > 0 { format!("; {more} more") } else { String::new() };
                let what = if count == 1 { "entry is" } else { "entries are" };
                Some(format!("{count} {what} not in place: {}{more}", named.join("; ")))
            }
        }
    }
}

/// Why a member failed, as it is said beside the member's name: what the receiver itself gave as
/// its reason needs no word about who said it.
pub fn in_own_words(reason: &Reason) -> String {
    match reason {
        Reason::Aborted(why) if !why.is_empty() => why.clone(),
        other => other.to_string(),
    }
}

/// How the bytes of a single file arrived, `bytes` of them: the list's few are left out, where most have come.
fn of_content(arrived: Arrived, bytes: u64) -> Arrived {
    let Some(list) = arrived.total().checked_sub(bytes) else {
        return arrived; // it had a part of them before
    };
    let Arrived { multicast, unicast, .. } = arrived;
    if multicast >= unicast {
        let multicast = multicast.saturating_sub(list);
        Arrived { multicast, unicast: bytes - multicast.min(bytes), ..arrived }
    } else {
        let unicast = unicast.saturating_sub(list);
        Arrived { unicast, multicast: bytes - unicast.min(bytes), ..arrived }
    }
}

/// Gives each member its outcome, with its failed entries by name; and why they have none, if they have not.
pub(super) fn of<'a>(
    source: &dyn Source,
    members: impl Iterator<Item = (MemberReport, &'a Said, bool)>,
) -> (Vec<Delivered>, Option<SourceError>) {
    let members: Vec<_> = members.collect();
    let failed = members.iter().flat_map(|(_, said, _)| &said.failed);
    let failed: BTreeSet<u64> = failed.map(|(entry, _)| *entry).collect();
    let names = if failed.is_empty() { Ok(BTreeMap::new()) } else { source.names(&failed) };
    let (names, nameless) = match names {
        Ok(names) => (names, None),
        Err(error) => (BTreeMap::new(), Some(error)),
    };
    let unlisted: Vec<_> =
        source.unlisted().into_iter().map(|(path, why)| FailedEntry { path, why }).collect();
    let deliver = |(mut report, said, one): (MemberReport, &Said, bool)| {
        if one && said.report.is_some_and(|report| report.arrived == 1) {
            report.arrived = of_content(report.arrived, source.progress().len);
        }
        let failures = said.failed.iter().map(|(entry, why)| named(&names, *entry, why));
        let failures = failures.chain(unlisted.iter().cloned()).collect();
        Delivered { report, said: said.clone(), failures, one }
    };
    (members.into_iter().map(deliver).collect(), nameless)
}

/// An entry that failed at a member, by its name; what this side could not read is told in its own words.
fn named(names: &BTreeMap<u64, Named>, entry: u64, why: &str) -> FailedEntry {
    let known = names.get(&entry).cloned();
    let known = known.unwrap_or(Named { path: format!("entry {entry}").into(), unread: None });
    FailedEntry { path: known.path, why: known.unread.unwrap_or_else(|| why.to_owned()) }
}
