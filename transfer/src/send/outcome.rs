//! What became of a copy, host by host and entry by entry.

use super::ear::Said;
use crate::message::{Report, UNREAD_THERE};
use crate::shown::shown;
use crate::source::{Named, Source, SourceError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tcpxm::error::{Lost, Reason};
use tcpxm::stats::{Arrived, MemberReport, Sent};

/// Entries that are named where a member's failure is told in one line.
pub const NAMED: usize = 3;

/// What became of a copy.
#[derive(Debug)]
pub struct Outcome {
    /// One for each member, in the order of the addresses that were connected to.
    pub members: Vec<Delivered>,
    /// What the session sent.
    pub sent: Sent,
    /// What ended the session, if this side did.
    pub failure: Option<SourceError>,
    /// Why entries that failed are told by their numbers alone, if they are: the copy itself is what it is.
    pub nameless: Option<SourceError>,
}

/// An entry that is not in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEntry {
    /// Its path from the root of the transfer.
    pub path: Arc<[u8]>,
    /// Why.
    pub why: Arc<str>,
}

/// What could not be listed, and so is in place nowhere.
#[derive(Debug, Default)]
struct Unlisted {
    entries: Vec<FailedEntry>,
    count: u64,
}

/// What became of one member.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The session's report.
    pub report: MemberReport,
    /// What it said.
    pub said: Said,
    /// Entries that are not in place there.
    failures: Vec<FailedEntry>,
    /// What could not be deleted there; an empty path: nothing was.
    undeleted: Vec<FailedEntry>,
    /// The same for all members.
    unlisted: Arc<Unlisted>,
    /// The copy is of one file.
    one: bool,
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
            (None, Some(Ok(())), Some(_)) => match (self.in_words(), self.kept_in_words()) {
                (Some(failed), Some(kept)) => Some(format!("{failed}; {kept}")),
                (failed, kept) => failed.or(kept),
            },
        }
    }

    /// Entries that are not in place, here or there, as far as they are known by name.
    pub fn failures(&self) -> impl Iterator<Item = &FailedEntry> {
        self.failures.iter().chain(&self.unlisted.entries)
    }

    /// Entries that could not be deleted there, as far as they are known by name; an empty path: nothing was.
    pub fn undeleted(&self) -> &[FailedEntry] {
        &self.undeleted
    }

    /// What could not be deleted, in one line.
    fn kept_in_words(&self) -> Option<String> {
        let count = self.said.report.map_or(0, |report| report.undeleted);
        let count = count.max(self.undeleted.len() as u64);
        if let Some(all) = self.undeleted.first().filter(|first| first.path.is_empty()) {
            return Some(all.why.to_string());
        }
        let named: Vec<&FailedEntry> = self.undeleted.iter().take(NAMED).collect();
        let said = |entry: &&FailedEntry| format!("{}: {}", shown(&entry.path), entry.why);
        let more = count.saturating_sub(named.len() as u64);
        let more = if more > 0 { format!("; {more} more") } else { String::new() };
        let named: Vec<String> = named.iter().map(said).collect();
        let what = if count == 1 { "entry is" } else { "entries are" };
        (count > 0).then(|| format!("{count} {what} not deleted: {}{more}", named.join("; ")))
    }

    /// How many entries are not in place.
    pub fn failed_entries(&self) -> u64 {
        let reported = self.said.report.map_or(0, |report: Report| report.failed);
        self.said.failures.max(reported) + self.unlisted.count
    }

    /// Which entries are not in place, in one line.
    fn in_words(&self) -> Option<String> {
        let count = self.failed_entries();
        let what = if count == 1 { "entry is" } else { "entries are" };
        let named: Vec<&FailedEntry> = self.failures().take(NAMED).collect();
        match (&named[..], count) {
            (_, 0) => None,
            ([], _) => Some(format!("it says that {count} {what} not in place")),
            ([only], 1) if self.one => Some(only.why.to_string()),
            (named, _) => {
                let said = |entry: &&FailedEntry| format!("{}: {}", shown(&entry.path), entry.why);
                let more = count.saturating_sub(named.len() as u64);
                let more = if more > 0 { format!("; {more} more") } else { String::new() };
                let named: Vec<String> = named.iter().map(said).collect();
                Some(format!("{count} {what} not in place: {}{more}", named.join("; ")))
            }
        }
    }
}

/// Why a member failed, as it is said beside the member's name: what the receiver itself gave as
/// its reason needs no word about who said it, and of silence it is told what it may come from.
pub fn in_own_words(reason: &Reason) -> String {
    match reason {
        Reason::Silent(_) | Reason::Lost { why: Lost::Silent(_), .. } => {
            format!("{reason}: the host, its mcpd or the way to it is gone")
        }
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
pub(super) fn of(
    source: &dyn Source,
    members: impl Iterator<Item = (MemberReport, Said, bool)>,
) -> (Vec<Delivered>, Option<SourceError>) {
    let members: Vec<_> = members.collect();
    let failed = members.iter().flat_map(|(_, said, _)| &said.failed);
    let failed: BTreeSet<u64> = failed.map(|(entry, _)| *entry).collect();
    let names = if failed.is_empty() { Ok(BTreeMap::new()) } else { source.names(&failed) };
    let (names, nameless) = match names {
        Ok(names) => (names, None),
        Err(error) => (BTreeMap::new(), Some(error)),
    };
    let unlisted = source.unlisted().into_iter();
    let entries = unlisted.map(|(path, why)| FailedEntry { path: path.into(), why: why.into() });
    let unlisted = Unlisted { entries: entries.collect(), count: source.unlisted_count() };
    let unlisted = Arc::new(unlisted);
    let deliver = |(mut report, mut said, one): (MemberReport, Said, bool)| {
        if one && said.report.is_some_and(|report| report.arrived == 1) {
            report.arrived = of_content(report.arrived, source.progress().len);
        }
        said.changed.without(said.failed.iter().map(|(entry, _)| *entry));
        let failed = std::mem::take(&mut said.failed).into_iter();
        let failures = failed.map(|(entry, why)| named(&names, entry, why)).collect();
        let undeleted = std::mem::take(&mut said.undeleted).into_iter();
        let undeleted = undeleted.map(|(path, why)| FailedEntry { path: path.into(), why });
        let (undeleted, unlisted) = (undeleted.collect(), Arc::clone(&unlisted));
        Delivered { report, said, failures, undeleted, unlisted, one }
    };
    (members.into_iter().map(deliver).collect(), nameless)
}

/// A member's outcome, of a stream.
pub(crate) fn of_stream(report: MemberReport, said: Said) -> Delivered {
    let (failures, undeleted) = (Vec::new(), Vec::new());
    Delivered { report, said, failures, undeleted, unlisted: Arc::default(), one: true }
}

/// An entry that failed at a member, by its name; what this side could not read is told in its own words.
fn named(names: &BTreeMap<u64, Named>, entry: u64, why: Arc<str>) -> FailedEntry {
    let Some(Named { path, unread }) = names.get(&entry) else {
        return FailedEntry { path: format!("entry {entry}").into_bytes().into(), why };
    };
    let own = unread.as_ref().filter(|_| *why == *UNREAD_THERE).map(Arc::clone);
    FailedEntry { path: Arc::clone(path), why: own.unwrap_or(why) }
}

#[cfg(test)]
mod tests;
