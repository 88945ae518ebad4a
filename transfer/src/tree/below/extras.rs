//! Deletes what stands in folders that the list has whole and that it does not have: the list is read twice, at first to
//! count. In memory are the names of the folders on the way down to where it is.

use super::synced::note;
use super::{Below, said, survey};
use crate::holders::Writing;
use crate::place::beneath::Beneath;
use crate::place::dirs::Folder;
use crate::place::folding::Folds;
use crate::place::removal::{Removal, Stop, Tally};
use crate::tree::entry::Kind;
use crate::tree::extras::{Comparison, Deleted, Deletion, Disorder, List};
use crate::tree::ground::Why;
use crate::tree::manifest::{PartReader, Record};
use crate::tree::scan::names::{Hint, Names};
use rustix::fs::{AtFlags, statat};
use std::collections::{BTreeSet, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

const BY_LOOK: &str = "nothing is deleted in folders of a file system that folds names and tells a file by another \
                       number under each spelling";
const UNDECIDED: &str =
    "names are not deleted where the rules would have to be looked at for too long";
const AT_ROOT: &str =
    "nothing is deleted right below this host's root folder: name a folder behind the host";

pub(super) const JOINED: &str = "another session is writing below this folder by now";

/// Why a pass did not come to its end.
enum Ended {
    Stopped(Stop),
    /// The list, or what was put aside of it, cannot be read.
    List(Why),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Disorder> for Ended {
    fn from(_: Disorder) -> Self {
        Self::List("its names are not in order".to_owned())
    }
}

/// A folder on the way down.
#[derive(Default)]
struct Level {
    /// `None`: it is not compared.
    folder: Option<Arc<Folder>>,
    names: Names,
    comparison: Comparison,
    folding: Option<Folding>,
    /// If it is listed whole: the file system of the topmost folder on the way to it that is.
    device: Option<u64>,
    /// Something in it is gone.
    changed: bool,
    /// Bytes of the path without it.
    above: usize,
}

/// What is known of a folder whose names fold: the spelling that stands there need not be the one that is listed.
#[derive(Default)]
struct Folding {
    /// What stands under the names that are listed.
    listed: HashSet<(u64, u64)>,
    others: Vec<(CString, Hint)>,
}

/// Reads the list once.
struct Pass<'a, 'f> {
    beneath: &'a Beneath,
    /// The path of the folder that the tree goes into.
    base: &'a [u8],
    folds: &'f mut dyn FnMut(&Arc<Folder>) -> Folds,
    one_file_system: bool,
    /// Folders of the list may be missing.
    dry: bool,
    removal: Removal<'a>,
    /// Another session writes below the same folder by now.
    is_joined: &'a dyn Fn() -> bool,
    levels: Vec<Level>,
    /// From the root of the transfer.
    path: Vec<u8>,
    /// Paths from the root folder of those in which something is gone, as far as they are kept.
    changed: &'f mut Option<BTreeSet<Arc<[u8]>>>,
    notes: Vec<&'static str>,
}

impl Below<'_> {
    /// Counts, and then deletes.
    pub(super) fn delete_extras(&mut self, deletion: &Deletion<'_>) -> Deleted {
        let Deletion { rules, bound, .. } = deletion;
        let is_over = self.is_over;
        let counting = Removal::counting(rules, is_over);
        let (ended, counted, notes) =
            self.pass(deletion, counting.naming(self.dry && deletion.named));
        match ended {
            Err(Ended::Stopped(_)) => return Deleted::default(), // nobody hears of it
            Err(Ended::List(why)) => {
                return Deleted::nothing(format!("the list cannot be read again: {why}"), 1);
            }
            Ok(()) => {}
        }
        let most = bound.of(counted.standing);
        if counted.extras > most {
            return Deleted::nothing(too_many(counted.extras, most), counted.extras);
        }
        if self.dry {
            return Deleted::of(counted, notes);
        }
        let removal = Removal::of(most, rules, is_over).naming(deletion.named);
        let (ended, tally, notes) = self.pass(deletion, removal);
        let mut deleted = Deleted::of(tally, notes);
        let why = match ended {
            Ok(()) | Err(Ended::Stopped(Stop::Over)) => return deleted,
            // More have come meanwhile, or were in a folder that could not be read when they were counted.
            Err(Ended::Stopped(Stop::Bound)) => format!(
                "{} entries were deleted, and no more than {most} may be (--max-delete): more were found than were \
                 counted",
                deleted.count
            ),
            Err(Ended::List(why)) => format!("the list cannot be read again: {why}"),
        };
        deleted.failed.insert(0, (Vec::new(), why));
        deleted.failures += 1;
        deleted
    }

    fn pass(
        &mut self,
        deletion: &Deletion<'_>,
        removal: Removal<'_>,
    ) -> (Result<(), Ended>, Tally, Vec<&'static str>) {
        let (beneath, base) = (Arc::clone(&self.beneath), self.base.clone());
        let writing = self.writing.as_ref();
        let is_joined = || writing.is_some_and(Writing::is_joined);
        let (changed, taken, dry) = (&mut self.changed, &mut self.taken, self.dry);
        let mut pass = Pass {
            beneath: &beneath,
            base: &base,
            // Where nothing may be made it is not asked.
            folds: &mut |folder| if dry { survey::folds(folder) } else { taken.folds(folder) },
            dry,
            one_file_system: deletion.one_file_system,
            removal,
            is_joined: &is_joined,
            levels: vec![Level::default()],
            path: Vec::new(),
            changed,
            notes: Vec::new(),
        };
        let ended = pass.read(deletion.list);
        (ended, pass.removal.tally, pass.notes)
    }
}

impl Deleted {
    pub(super) fn of(tally: Tally, notes: Vec<&'static str>) -> Self {
        let undecided = tally.undecided.then(|| UNDECIDED.to_owned());
        Self {
            count: tally.extras,
            failed: tally.failed,
            failures: tally.failures,
            notes: notes.into_iter().map(str::to_owned).chain(undecided).collect(),
            gone: tally.gone.unwrap_or_default(),
        }
    }

    fn nothing(why: Why, failures: u64) -> Self {
        Self { failed: vec![(Vec::new(), why)], failures, ..Self::default() }
    }
}

fn too_many(extras: u64, most: u64) -> Why {
    format!(
        "nothing is deleted: {extras} entries are not at the source, and at most {most} may be deleted (--max-delete)"
    )
}

impl Pass<'_, '_> {
    fn read(&mut self, list: &List) -> Result<(), Ended> {
        let read = self.parts(list);
        // Also of a pass that was stopped.
        while !self.levels.is_empty() {
            self.close();
        }
        read
    }

    fn parts(&mut self, list: &List) -> Result<(), Ended> {
        for number in 0..list.len() {
            let bytes = list.part(number).map_err(|error| Ended::List(error.to_string()))?;
            let said = |error: crate::tree::manifest::PartError| Ended::List(error.to_string());
            let mut reader = PartReader::new(number, &bytes).map_err(said)?;
            while let Some(record) = reader.next_record().map_err(said)? {
                self.take(&record)?;
            }
        }
        if self.levels.len() == 1 {
            self.rest()?;
        }
        Ok(())
    }

    fn take(&mut self, record: &Record) -> Result<(), Ended> {
        match record {
            Record::Root(_) => {}
            Record::Whole => self.load()?,
            Record::Other(name) => self.listed(name)?,
            Record::Entry(_, entry, _) => {
                self.listed(&entry.name)?;
                if entry.kind == Kind::Dir {
                    let above = self.path.len();
                    if above > 0 {
                        self.path.push(b'/');
                    }
                    self.path.extend_from_slice(&entry.name);
                    self.levels.push(Level { above, ..Level::default() });
                }
            }
            Record::Leave => {
                self.rest()?;
                self.close();
            }
        }
        Ok(())
    }

    /// Leaves the folder that it is in.
    fn close(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        if level.changed {
            note(self.changed, &from_root(self.base, &self.path));
        }
        self.path.truncate(level.above);
    }

    /// The folder that it is in is listed whole: what stands there is looked at.
    fn load(&mut self) -> Result<(), Ended> {
        let Some((level, above)) = self.levels.split_last_mut() else { return Ok(()) };
        let is_root = above.is_empty();
        if level.comparison.is_begun() || level.folder.is_some() {
            return Err(Ended::List("a folder is said to be whole too late".to_owned()));
        }
        if is_root && self.base.is_empty() {
            self.notes.push(AT_ROOT);
            return Ok(());
        }
        let path = from_root(self.base, &self.path);
        let folder = match Folder::open(self.beneath, &path, false) {
            Ok(folder) => Arc::new(folder),
            Err(error) if self.dry && error.is_missing() => return Ok(()),
            Err(error) => {
                self.removal.tally.fail(&self.path, said(error));
                return Ok(());
            }
        };
        // Each source has a file system of its own.
        let topmost = above.iter().find_map(|level| level.device);
        let device = *level.device.insert(topmost.unwrap_or(folder.device()));
        if self.one_file_system && folder.device() != device {
            return Ok(());
        }
        level.folding = match (self.folds)(&folder) {
            Folds::Nothing => None,
            Folds::ByInode => Some(Folding::default()),
            Folds::ByLook => {
                self.notes.push(BY_LOOK);
                self.notes.dedup();
                return Ok(());
            }
        };
        match self.removal.list(folder.fd()) {
            Ok(names) => (level.names, level.folder) = (names, Some(folder)),
            Err(error) => {
                let why = format!("cannot list the folder: {error}");
                self.removal.tally.fail(&self.path, why);
            }
        }
        Ok(())
    }

    /// A name in the folder that it is in is listed.
    fn listed(&mut self, name: &[u8]) -> Result<(), Ended> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let (before, stands) = level.comparison.listed(&level.names, name)?;
        self.removal.tally.standing += u64::from(stands);
        if let (Some(folder), Some(folding)) = (&level.folder, &mut level.folding) {
            folding.listed.extend(inode(folder, OsStr::from_bytes(name)));
        }
        self.extras(before)
    }

    /// No name in the folder that it is in is listed any more.
    fn rest(&mut self) -> Result<(), Ended> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let rest = level.comparison.rest(&level.names);
        self.extras(rest)?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let (Some(folder), Some(folding)) = (level.folder.clone(), level.folding.take()) else {
            return Ok(());
        };
        for (name, hint) in folding.others {
            let own = inode(&folder, OsStr::from_bytes(name.to_bytes()));
            if own.is_some_and(|own| folding.listed.contains(&own)) {
                self.removal.tally.standing += 1; // another spelling of one that is listed
            } else {
                self.extra(&folder, &name, hint)?;
            }
        }
        Ok(())
    }

    /// These names stand in the folder that it is in, and are not listed.
    fn extras(&mut self, range: core::ops::Range<usize>) -> Result<(), Ended> {
        for index in range {
            let Some(level) = self.levels.last_mut() else { return Ok(()) };
            let Some(folder) = level.folder.clone() else { return Ok(()) };
            let (name, hint) = level.names.get(index);
            let name = name.to_owned();
            match &mut level.folding {
                Some(folding) => folding.others.push((name, hint)),
                None => self.extra(&folder, &name, hint)?,
            }
        }
        Ok(())
    }

    fn extra(&mut self, folder: &Arc<Folder>, name: &CStr, hint: Hint) -> Result<(), Ended> {
        let at = from_root(self.base, &self.path);
        let check = || {
            if (self.is_joined)() {
                return Err(JOINED.to_owned());
            }
            folder.check_in_place(self.beneath, &at).map_err(said)
        };
        let mut path = from_root(&self.path, name.to_bytes());
        let before = self.removal.tally.extras;
        let done = self.removal.extra(folder.fd(), (name, hint), &mut path, &check);
        if let Some(level) = self.levels.last_mut()
            && self.removal.removes()
        {
            level.changed |= self.removal.tally.extras > before;
        }
        Ok(done?)
    }
}

/// A path behind another.
pub(super) fn from_root(above: &[u8], below: &[u8]) -> Vec<u8> {
    match (above, below) {
        ([], path) | (path, []) => path.to_vec(),
        (above, below) => [above, below].join(&b'/'),
    }
}

fn inode(folder: &Folder, name: &OsStr) -> Option<(u64, u64)> {
    let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_dev, stat.st_ino))
}
