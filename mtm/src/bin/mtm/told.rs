//! What people are told while a job runs: each thing once, until it is another one.

use crate::say::say;
use indicatif::DecimalBytes;
use mcp::mirror::fold;
use mcp_cli::say::plain;
use mtm::ledger::ReceiverId;
use mtm::revision::Revision;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Names in a line, at most, or one more.
const SHOWN: usize = 8;

/// What was said last.
#[derive(Debug)]
pub(crate) struct Told {
    quiet: bool,
    late: BTreeMap<ReceiverId, String>,
    apart: BTreeSet<PathBuf>,
    said: Option<String>,
    restored: bool,
}

impl Told {
    pub(crate) fn new(quiet: bool) -> Self {
        let (late, apart) = (BTreeMap::new(), BTreeSet::new());
        Self { quiet, late, apart, said: None, restored: false }
    }

    /// What the job is of, by now.
    pub(crate) fn tree(&mut self, (entries, bytes): (u64, u64), revision: u32) {
        let bytes = DecimalBytes(bytes);
        self.say(format!(
            "the tree has {} and {bytes} (revision {revision})",
            count(entries, "entry", "entries")
        ));
    }

    /// So many of all hosts have this revision.
    pub(crate) fn complete(&mut self, hosts: usize, all: usize, revision: u32) {
        self.say(format!("{} all of revision {revision}", some_have(hosts, all)));
    }

    /// These folders are never sent.
    pub(crate) fn apart(&mut self, folders: &[PathBuf]) {
        for folder in folders {
            if self.apart.insert(folder.clone()) {
                let folder = plain(&folder.display().to_string());
                self.say(format!(
                    "{folder}, the folder of state of this program, is left out: it has the keys of this host"
                ));
            }
        }
    }

    /// Nothing goes on, and why.
    pub(crate) fn waits(&mut self, why: &str) {
        let why = format!("waiting: {}", plain(why));
        if self.said.as_ref() != Some(&why) {
            self.said = Some(why.clone());
            say(why); // also with -q: nothing is sent
        }
    }

    /// A host has had a revision that the job's file knows nothing of: said once, whoever else has.
    pub(crate) fn restored(&mut self, host: &str, has: Revision) {
        if !std::mem::replace(&mut self.restored, true) {
            // Also with -q: somebody may not know what has become of the file.
            say(format_args!(
                "{} has a revision {has} that is not in the job's file, which was restored from an older copy: where that is \
                 so, the whole tree is looked through",
                plain(host)
            ));
        }
    }

    /// These hosts are late, and why.
    pub(crate) fn late(&mut self, hosts: &[(ReceiverId, String, String)]) {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (id, name, why) in hosts {
            if self.late.insert(*id, why.clone()).as_ref() != Some(why) {
                by_reason.entry(why).or_default().push(name.clone());
            }
        }
        for (why, names) in by_reason {
            self.say(format!("{}: {}", plain(&some_of(&fold(&names))), plain(why)));
        }
    }

    /// A host is not late any more.
    pub(crate) fn served(&mut self, id: ReceiverId) {
        self.late.remove(&id);
    }

    /// A command has ended so at these hosts.
    pub(crate) fn ran(&mut self, command: &str, (success, how): (bool, &str), hosts: &[String]) {
        let what = format!("{}: the command {command}: {}", plain(&fold(hosts)), plain(how));
        if success {
            self.say(what);
        } else {
            say(what); // also with -q
        }
    }

    fn say(&mut self, what: String) {
        if !self.quiet && self.said.as_ref() != Some(&what) {
            say(&what);
            self.said = Some(what);
        }
    }
}

/// The first of many names; `mtm status` has them all.
fn some_of(folded: &str) -> String {
    let names: Vec<&str> = folded.split(' ').collect();
    match names.len().checked_sub(SHOWN) {
        Some(more @ 2..) => format!("{} and {more} more", names[..SHOWN].join(" ")),
        _ => folded.to_owned(),
    }
}

/// So many of all hosts have something, which follows.
pub(crate) fn some_have(hosts: usize, all: usize) -> String {
    let have = if hosts == 1 || all == 1 { "has" } else { "have" };
    format!("{hosts} of {} {have}", count(all as u64, "host", "hosts"))
}

/// A number of things, by their name for one and for several.
pub(crate) fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_and_several_have() {
        let said = [(0, 1), (1, 1), (0, 2), (1, 2), (2, 3)].map(|(n, of)| some_have(n, of));
        let expected = [
            "0 of 1 host has",
            "1 of 1 host has",
            "0 of 2 hosts have",
            "1 of 2 hosts has",
            "2 of 3 hosts have",
        ];
        assert_eq!(said, expected);
        let times = [0, 1, 2].map(|n| count(n, "time", "times"));
        assert_eq!(times, ["0 times", "1 time", "2 times"]);
    }

    #[test]
    fn of_many_names_the_first_are_said() {
        let names = |count: usize| vec!["h"; count].join(" ");
        assert_eq!(some_of(&names(9)), names(9));
        assert_eq!(some_of(&names(10)), format!("{} and 2 more", names(8)));
    }
}
