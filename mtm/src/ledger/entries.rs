//! The entries of the tree, and what a look at it finds changed.

use super::paths::{Given, Stored};
use super::{Ledger, LedgerError, editions, former};
use crate::renames::Former;
use crate::revision::Revision;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What an entry is; `transfer::tree::entry` says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with a content.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, or a device.
    Other,
}

impl Kind {
    const ALL: [(Self, &str); 4] = [
        (Self::File, "file"),
        (Self::Directory, "directory"),
        (Self::Link, "link"),
        (Self::Other, "other"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("other", |(_, name)| name)
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// An entry as a look at the tree finds it (stat(2)), without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Below the root.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its bytes; of a file.
    pub size: u64,
    /// When its content was changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// When it or what is told of it was changed, in nanoseconds since 1970: also extended attributes.
    pub ctime: i64,
    /// The twelve permission bits (inode(7)).
    pub mode: u32,
    /// Number of its owner.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Device and inode: under another name it is the same file.
    pub node: (u64, u64),
    /// Something is mounted as it, be it another file system or a folder of the same one; `None`: that was not told.
    pub mount: Option<bool>,
}

impl Found {
    /// Whether this is what another look has found there. Where it stands says nothing: a device that is mounted anew may
    /// have another number, and FAT makes numbers of inodes up as it reads them.
    fn is_as(&self, other: &Self) -> bool {
        let told = |found: &Self| (found.kind, found.mode, found.uid, found.gid);
        let times = |found: &Self| (found.size, found.mtime, found.ctime);
        told(self) == told(other) && times(self) == times(other)
    }
}

/// An entry of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this job. That of an entry that is forgotten is given to another one.
    pub number: u32,
    /// As it was last found.
    pub found: Found,
    /// The revision of the tree in which it last changed.
    pub version: u32,
    /// It is not in the tree any more; receivers may be yet to delete it.
    pub gone: bool,
}

/// What a look at the tree has found changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Entries that were not there.
    pub new: u64,
    /// Those that have changed.
    pub changed: u64,
    /// Those that are not there any more.
    pub gone: u64,
}

impl Change {
    /// Nothing has changed.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

const COLUMNS: &str =
    "id, path, kind, size, mtime, ctime, mode, uid, gid, dev, ino, version, gone, mount";

impl Ledger {
    /// Takes what a look at the whole tree has found. What has changed has the next revision as its version, which is of
    /// this `edition` (random; [`Revision::edition_of`](crate::revision::Revision::edition_of)); without a change there
    /// is none. Of a name that is found twice the first counts.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then nothing has changed.
    pub fn look(
        &mut self,
        tree: impl IntoIterator<Item = Found>,
        edition: u64,
    ) -> Result<Change, LedgerError> {
        let known = self.entries()?;
        self.look_from(known, tree, edition)
    }

    /// The same, where what [`Self::entries`] gives is at hand.
    ///
    /// # Errors
    ///
    /// As [`Self::look`].
    pub fn look_from(
        &mut self,
        known: Vec<Entry>,
        tree: impl IntoIterator<Item = Found>,
        edition: u64,
    ) -> Result<Change, LedgerError> {
        let tree: Vec<Found> = tree.into_iter().collect(); // a walk takes its time, and others wait for what follows
        let known = known.into_iter().map(|entry| (entry.found.path.clone().into(), entry));
        let mut known: HashMap<OsString, Entry> = known.collect();
        let mut seen = HashSet::with_capacity(tree.len());
        let next = self.revision.checked_add(1).ok_or(LedgerError::Full)?;
        let mut change = Change::default();
        let mut versions = self.versions.clone();
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut free, mut left) = (free_numbers(&self.versions), Vec::new());
        for found in &tree {
            if !seen.insert(found.path.as_os_str()) {
                continue;
            }
            let old = known.remove(found.path.as_os_str());
            let number = match &old {
                Some(entry) if entry.found.is_as(found) && !entry.gone => {
                    if (entry.found.node, entry.found.mount) != (found.node, found.mount) {
                        write(&work, entry.number, found, entry.version, false)?;
                    }
                    continue;
                }
                Some(entry) => entry.number,
                None => free.next().ok_or(LedgerError::Full)?,
            };
            let moved = |old: &&Entry| !old.gone && old.found.node != found.node;
            let moved = old.as_ref().filter(moved);
            left.extend(moved.map(|old| Former::new(old.found.clone(), next)));
            change.new += u64::from(old.as_ref().is_none_or(|entry| entry.gone));
            change.changed += u64::from(old.is_some_and(|entry| !entry.gone));
            write(&work, number, found, next, false)?;
            versions.insert(number, next);
        }
        for entry in known.into_values().filter(|entry| !entry.gone) {
            change.gone += 1;
            write(&work, entry.number, &entry.found, next, true)?;
            versions.insert(entry.number, next);
            left.push(Former::new(entry.found, next));
        }
        former::note(&work, left, &tree)?;
        if change.is_none() {
            work.commit()?; // devices, inodes and mounts, which are no change
            return Ok(change);
        }
        work.execute("UPDATE job SET revision = ?", [next])?;
        editions::note(&work, Revision::new(next, edition))?;
        work.commit()?;
        drop(free);
        (self.versions, self.revision) = (versions, next);
        Ok(change)
    }

    /// All entries, those that are gone included, by their numbers.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        let mut all = self.db.prepare(&format!("SELECT {COLUMNS} FROM entries ORDER BY id"))?;
        let rows = all.query_map([], |row| {
            let unsigned = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let found = Found {
                path: row.get::<_, Stored>(1)?.0.into(),
                kind: Kind::of(row.get_ref(2)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)?,
                size: unsigned(3)?,
                mtime: row.get(4)?,
                ctime: row.get(5)?,
                mode: row.get(6)?,
                uid: row.get(7)?,
                gid: row.get(8)?,
                node: (unsigned(9)?, unsigned(10)?),
                mount: row.get(13)?,
            };
            Ok(Entry { number: row.get(0)?, found, version: row.get(11)?, gone: row.get(12)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets on which devices entries are, and where something is mounted: the next look learns that anew.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn forget_devices(&mut self) -> Result<(), LedgerError> {
        self.db.execute("UPDATE entries SET dev = 0, mount = NULL", [])?;
        Ok(())
    }

    /// The number of the entry of this name.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn number_of(&self, path: &Path) -> Result<Option<u32>, LedgerError> {
        let mut one = self.db.prepare_cached("SELECT id FROM entries WHERE path = ?")?;
        let mut rows = one.query([Given(path.as_os_str())])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    /// Forgets the entries that are gone, and that all receivers have deleted: their numbers are free again. Without
    /// receivers nobody is yet to delete them, and neither is anybody where nothing is deleted (`deletes` is false).
    ///
    /// # Errors
    ///
    /// The file cannot be written; then nothing is forgotten.
    pub fn forget_gone(&mut self, deletes: bool) -> Result<u64, LedgerError> {
        let gone: Vec<(u32, u32)> = {
            let mut all =
                self.db.prepare("SELECT id, version FROM entries WHERE gone = 1 ORDER BY id")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        let done = |(entry, version): &(u32, u32)| {
            !deletes || self.runs.values().all(|runs| runs.is_done(*entry, *version))
        };
        let over: Vec<u32> = gone.iter().filter(|one| done(one)).map(|one| one.0).collect();
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for entry in &over {
            work.prepare_cached("DELETE FROM entries WHERE id = ?")?.execute([entry])?;
        }
        work.commit()?;
        // What receivers' runs say of the number holds for no later entry of it: that has a later version.
        self.versions.retain(|entry, _| over.binary_search(entry).is_err());
        Ok(over.len() as u64)
    }

    pub(super) fn load_entries(&mut self) -> Result<(), LedgerError> {
        let row = self.db.query_row("SELECT revision FROM job", [], |row| row.get(0)).optional()?;
        self.revision = row.ok_or(LedgerError::Damaged("there is no job in it"))?;
        let mut all = self.db.prepare("SELECT id, version FROM entries ORDER BY id")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let version = row.get(1)?;
            self.check_revision(version)?;
            self.versions.insert(row.get(0)?, version);
        }
        Ok(())
    }

    /// Nothing that stands in the file is of a later revision than the newest.
    pub(super) fn check_revision(&self, revision: u32) -> Result<(), LedgerError> {
        let later = "something in it is of a revision that the tree never had";
        if revision > self.revision { Err(LedgerError::Damaged(later)) } else { Ok(()) }
    }

    /// Numbers and versions of all entries, in their order.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.versions.iter().map(|(number, version)| (*number, *version))
    }
}

/// Numbers that no entry has, from the lowest on, so that neighbours stay neighbours.
fn free_numbers(versions: &BTreeMap<u32, u32>) -> impl Iterator<Item = u32> + '_ {
    let mut taken = versions.keys().copied().peekable();
    (0..u32::MAX).filter(move |number| taken.next_if_eq(number).is_none())
}

fn write(
    work: &Transaction<'_>,
    number: u32,
    found: &Found,
    version: u32,
    gone: bool,
) -> Result<(), LedgerError> {
    let sql = format!(
        "INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET path = excluded.path, kind = excluded.kind, size = excluded.size,
         mtime = excluded.mtime, ctime = excluded.ctime, mode = excluded.mode, uid = excluded.uid,
         gid = excluded.gid, dev = excluded.dev, ino = excluded.ino, version = excluded.version, gone = excluded.gone,
         mount = excluded.mount"
    );
    let (dev, ino) = found.node;
    work.prepare_cached(&sql)?.execute(params![
        number,
        Given(found.path.as_os_str()),
        found.kind.name(),
        found.size.cast_signed(),
        found.mtime,
        found.ctime,
        found.mode,
        found.uid,
        found.gid,
        dev.cast_signed(),
        ino.cast_signed(),
        version,
        gone,
        found.mount,
    ])?;
    Ok(())
}
