//! Who gets what of the tree in one session, and what came of it.

use crate::look::{self, ROOT, of_bytes, to_bytes};
use anyhow::Result;
use mcp::mirror::{Member, Tried};
use mtm::ledger::{Found, Kind, Ledger, Outcome, Receiver, ReceiverId};
use mtm::outcome;
use mtm::plan::{self, Wanted};
use mtm::renames::{self, Rename};
use mtm::words::Named;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transfer::tree::moved::Pair;
use transfer::tree::scan::FilesFrom;

/// Entries that an announcement names, at most: the shortest names would fill it.
const NAMED: usize = 64;

/// An entry of the tree as sessions need it.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    kind: Kind,
    size: u64,
    mtime: i64,
    mode: u32,
    gone: bool,
    /// Device and inode, if other entries have them too.
    shared: Option<(u64, u64)>,
}

/// The tree as it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: BTreeMap<u32, Known>,
    /// What it does not have is deleted at receivers.
    deletes: bool,
    /// Where other file systems are mounted in it.
    mounts: Vec<PathBuf>,
    /// What stood under other names, as far as a receiver may have it there.
    renames: Vec<Rename>,
}

/// What is noted of entries.
pub(crate) type Noted = Vec<(RangeInclusive<u32>, Outcome)>;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) receivers: Vec<ReceiverId>,
    /// Of what is noted afterwards; ascending.
    pub(crate) entries: Vec<u32>,
    /// The whole tree is listed, whatever is lacking of it.
    pub(crate) whole: bool,
    /// Receivers read what they have.
    pub(crate) verify: bool,
}

impl Tree {
    /// As the ledger has it.
    pub(crate) fn of(ledger: &Ledger, deletes: bool) -> Result<Self> {
        let all = ledger.entries()?;
        let (mounts, former) = (look::mounts(&all), ledger.former()?);
        let renames = renames::of(&former, all.iter());
        let mut names: HashMap<(u64, u64), u32> = HashMap::new();
        for entry in all.iter().filter(|entry| !entry.gone && entry.found.kind != Kind::Directory) {
            *names.entry(entry.found.node).or_default() += 1;
        }
        let known = |entry: mtm::ledger::Entry| {
            let node = entry.found.node;
            let is_shared =
                entry.found.kind != Kind::Directory && names.get(&node).is_some_and(|n| *n > 1);
            let shared = is_shared.then_some(node).filter(|_| !entry.gone);
            let Found { path, kind, size, mtime, mode, .. } = entry.found;
            (entry.number, Known { path, kind, size, mtime, mode, gone: entry.gone, shared })
        };
        Ok(Self { entries: all.into_iter().map(known).collect(), deletes, mounts, renames })
    }

    /// Where other file systems are mounted in it.
    pub(crate) fn mounts(&self) -> &[PathBuf] {
        &self.mounts
    }

    /// Entries that are there, and their bytes.
    pub(crate) fn amount(&self) -> (u64, u64) {
        let there = self.entries.values().filter(|entry| !entry.gone);
        there.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.size))
    }

    /// The sessions for receivers that are to be served, each with what it lacks.
    pub(crate) fn sessions(&self, receivers: &[(Receiver, Arc<[u32]>)]) -> Vec<Planned> {
        let (verify, copy): (Vec<_>, Vec<_>) =
            receivers.iter().partition(|(receiver, _)| receiver.verify);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let wanted = |(receiver, lacks): &(Receiver, Arc<[u32]>)| Wanted {
            receiver: receiver.id,
            lacks: Arc::clone(lacks),
            rate: receiver.rate.map(|rate| rate as f64),
        };
        let wanted: Vec<Wanted> = copy.into_iter().map(wanted).collect();
        let size = |entry: u32| self.entries.get(&entry).map_or(0, |known| known.size);
        let sessions = plan::sessions(&wanted, size);
        let planned = |session: plan::Session| {
            let deletes = session.entries.iter().any(|entry| self.is_gone(*entry));
            // Receivers delete only where they are told of everything, and also what was never in the tree.
            let whole = self.deletes || deletes || session.entries.len() == self.entries.len();
            Planned { receivers: session.receivers, entries: session.entries, whole, verify: false }
        };
        let mut all: Vec<Planned> = sessions.into_iter().map(planned).collect();
        if !verify.is_empty() {
            let receivers = verify.iter().map(|(receiver, _)| receiver.id).collect();
            let entries = self.entries.keys().copied().collect();
            all.push(Planned { receivers, entries, whole: true, verify: true });
        }
        all
    }

    /// Numbers of all entries: a session for these lists the whole tree.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.entries.keys().copied().collect()
    }

    fn is_gone(&self, entry: u32) -> bool {
        self.entries.get(&entry).is_some_and(|known| known.gone)
    }

    /// What of the tree alone is listed for a session.
    pub(crate) fn only(&self, planned: &Planned) -> Option<FilesFrom> {
        if planned.whole {
            return None;
        }
        let node = |entry: u32| self.entries.get(&entry).and_then(|known| known.shared);
        let numbers = plan::with_links(&planned.entries, self.entries.keys().copied(), node);
        let paths = numbers.iter().filter_map(|number| self.entries.get(number));
        let paths = paths.map(|known| to_bytes(&known.path));
        // A file that gets its name in the root changes the root's time there.
        let root = self.entries.values().any(|known| known.path == Path::new(ROOT));
        Some(FilesFrom::of(paths.chain(root.then_some(&b""[..]))))
    }

    /// What the receivers of a session are told of other names, if all of them have had everything of a revision.
    pub(crate) fn moved(&self, planned: &Planned, since: u32) -> Vec<Pair> {
        let is_planned = |entry: u32| planned.entries.binary_search(&entry).is_ok();
        let told = renames::told(&self.renames, since, is_planned);
        told.into_iter()
            .map(|(from, to)| (to_bytes(from).to_vec(), to_bytes(to).to_vec()))
            .collect()
    }

    fn of_numbers(&self, entries: &[u32]) -> impl Iterator<Item = &Known> {
        entries.iter().filter_map(|entry| self.entries.get(entry))
    }

    /// Whether all of these are directories, which carry no data.
    pub(crate) fn are_directories(&self, entries: &[u32]) -> bool {
        self.of_numbers(entries).all(|known| known.kind == Kind::Directory && !known.gone)
    }

    /// Bytes of these entries.
    pub(crate) fn bytes(&self, entries: &[u32]) -> u64 {
        self.of_numbers(entries).fold(0, |sum, known| sum.saturating_add(known.size))
    }

    /// The first of these entries by name, as many as an announcement could have room for.
    pub(crate) fn named(&self, entries: &[u32]) -> Vec<Named> {
        let named = |known: &Known| Named {
            path: to_bytes(&known.path).to_vec(),
            modified: known.mtime,
            mode: known.mode,
        };
        self.of_numbers(entries).take(NAMED).map(named).collect()
    }

    /// BLAKE3 of what is told of these entries.
    pub(crate) fn digest(&self, entries: &[u32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for known in self.of_numbers(entries) {
            let path = to_bytes(&known.path);
            hasher.update(&(path.len() as u64).to_be_bytes()).update(path);
            hasher.update(&known.size.to_be_bytes()).update(&known.mtime.to_be_bytes());
            hasher.update(&known.mode.to_be_bytes()).update(&[u8::from(known.gone)]);
        }
        *hasher.finalize().as_bytes()
    }

    /// Numbers of entries that one of these lacks, each of which names its own in their order.
    pub(crate) fn union(&self, lacking: &[Arc<[u32]>]) -> Vec<u32> {
        let highest = self.entries.keys().next_back().copied().unwrap_or(0);
        let mut wanted = vec![false; highest as usize + 1];
        for entry in lacking.iter().flat_map(|lacks| lacks.iter()) {
            if let Some(wanted) = wanted.get_mut(*entry as usize) {
                *wanted = true;
            }
        }
        (0..).zip(wanted).filter(|(_, wanted)| *wanted).map(|(entry, _)| entry).collect()
    }

    /// What is noted of a member after its session, and why not all of it is as it should be, if so. `of` finds the number
    /// of an entry by its path.
    pub(crate) fn outcome(
        &self,
        planned: &Planned,
        (tried, member): (&Tried, &Member),
        of: impl Fn(&Path) -> Result<Option<u32>>,
    ) -> Result<(Noted, Option<String>)> {
        let delivered = &member.delivered;
        let (mut failed, mut told, mut foreign) = (BTreeMap::new(), 0_u64, None);
        for failure in delivered.failures().chain(delivered.undeleted()) {
            told += 1;
            let path = of_bytes(&failure.path);
            match of(&path)?.filter(|_| !failure.path.is_empty()) {
                Some(entry) => drop(failed.insert(entry, failure.why.to_string())),
                // Nothing of the tree: what it could not list, or what else stands there.
                None => drop(
                    foreign.get_or_insert_with(|| format!("{}: {}", path.display(), failure.why)),
                ),
            }
        }
        let report = delivered.said.report.unwrap_or_default();
        let spared = report.spared || delivered.undeleted().iter().any(|one| one.path.is_empty());
        // What the session did not list was not sent by it, whatever it was planned for.
        let is_listed = |entry: &u32| match self.entries.get(entry) {
            Some(known) if known.gone => !spared,
            Some(known) => {
                known.path == Path::new(ROOT) || tried.listed.contains(to_bytes(&known.path))
            }
            None => false,
        };
        let (listed, absent): (Vec<u32>, Vec<u32>) =
            planned.entries.iter().partition(|entry| is_listed(entry));
        let all = delivered.failed_entries() + report.undeleted;
        let named = member.broken.is_none() && told >= all;
        // Without its verdict nothing is done, whatever has come there.
        let others =
            if named { Some(Outcome::Done) } else { member.is_unjudged.then_some(Outcome::Sent) };
        let noted = outcome::of_session(&listed, &failed, others.as_ref());
        let note = || {
            delivered.said.notes.iter().find(|note| note.contains("nothing is deleted")).cloned()
        };
        let why = if spared {
            Some(note().or(foreign).unwrap_or_else(|| "nothing is deleted".to_owned()))
        } else if !failed.is_empty() || !named {
            Some(delivered.failure().unwrap_or_else(|| "some entries failed".to_owned()))
        } else if foreign.is_some() {
            foreign
        } else {
            (!absent.is_empty()).then(|| "the tree was changed while it was sent".to_owned())
        };
        Ok((noted, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its number and name, whether it is gone, and which file it is if it has other names.
    type Line = (u32, &'static str, bool, Option<(u64, u64)>);

    fn tree(entries: &[Line]) -> Tree {
        let known = |(number, path, gone, shared): &Line| {
            let (path, kind) = (path.into(), Kind::File);
            let known =
                Known { path, kind, size: 10, mtime: 5, mode: 0o644, gone: *gone, shared: *shared };
            (*number, known)
        };
        let (deletes, mounts, renames) = (false, Vec::new(), Vec::new());
        Tree { entries: entries.iter().map(known).collect(), deletes, mounts, renames }
    }

    fn receiver(id: ReceiverId, verify: bool) -> Receiver {
        let (name, instance, late, rate) = (format!("h{id}"), None, None, None);
        Receiver { id, name, instance, complete: 0, late, rate, verify, exec: None }
    }

    #[test]
    fn a_deletion_needs_the_whole_list_and_a_part_its_own() {
        let tree = tree(&[
            (0, ".", false, None),
            (1, "a", false, Some((1, 1))),
            (2, "b", false, Some((1, 1))),
            (3, "c", true, None),
            (4, "#d", false, None),
        ]);
        let asked = |lacks: &[u32]| {
            tree.sessions(&[(receiver(1, false), lacks.into()), (receiver(2, false), [4].into())])
        };
        let [part] = &asked(&[1])[..] else { panic!("one session") };
        assert_eq!((part.entries.clone(), part.whole), (vec![1, 4], false));
        let expected = FilesFrom::of([&b""[..], b"a", b"b", b"#d"]);
        assert_eq!(tree.only(part), Some(expected));
        let [whole] = &asked(&[3])[..] else { panic!("one session") };
        assert_eq!((whole.entries.clone(), tree.only(whole)), (vec![3, 4], None));
        assert_eq!(tree.amount(), (4, 40));
    }

    #[test]
    fn who_is_to_read_what_it_has_gets_a_session_of_its_own_kind() {
        let tree = tree(&[(0, "a", false, None), (1, "b", false, None)]);
        let sessions = tree.sessions(&[
            (receiver(1, true), [].into()),
            (receiver(2, false), [1].into()),
            (receiver(3, true), [0].into()),
        ]);
        let verify =
            Planned { receivers: vec![1, 3], entries: vec![0, 1], whole: true, verify: true };
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[1], verify);
    }
}
