//! The file system below a root, as a tree's receiver writes into it.

use super::entry::{Entry, Kind, Meta, Time};
use super::ground::{Ground, Stands, Unfinished, Why};
use super::manifest::Owner;
use crate::destination::{Root, Shown, umask};
use crate::limits::Limits;
use crate::message::{Check, Offer, Sync};
use crate::place::beneath::{Beneath, plain_name};
use crate::place::dirs::{Dirs, Folder};
use crate::place::ids::Ids;
use crate::place::meta::{
    Allowed, Applied, Granularity, Has, Keep, NotCarried, Of, Rules, apply, apply_to_link, plan,
    same_time,
};
use crate::place::room::{self, Unset};
use crate::place::temporary::{self, Temporary};
use crate::place::{PlaceError, what};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, openat, statat, syncfs, unlinkat};
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Directories that are kept open for files that are still on their way.
const OPEN: usize = 64;
/// A file that was modified as lately is not taken for the same by its time: it may have been written to again
/// since, within what the clock of its file system tells apart.
const DOUBT: Duration = Duration::from_secs(2);

/// A directory of the tree, to be opened again.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    path: Arc<[u8]>,
    new: bool,
}

/// A file whose bytes come.
pub(crate) struct Slot {
    temporary: Temporary,
    name: Vec<u8>,
    way: Way,
    meta: Meta,
    len: u64,
}

/// Folders that are made durable one by one where each file is; with more of them the file system is as a whole.
const SYNCED: usize = 64;

/// Everything below a root.
pub(crate) struct Below<'a> {
    beneath: Arc<Beneath>,
    dirs: Option<Dirs>,
    ids: Ids,
    rules: Rules,
    check: Check,
    sync: Sync,
    size: Option<u64>,
    granularity: Option<Granularity>,
    open: VecDeque<(Way, Arc<Folder>)>,
    /// The name that a single file gets.
    named: Option<Vec<u8>>,
    /// Where all of it goes.
    shown: Shown,
    /// Folders that the offer names and that were made for it, from the root down.
    made: Vec<Vec<u8>>,
    /// Something is in place.
    placed: bool,
    /// Folders whose names are to be durable; `None`: too many.
    changed: Option<BTreeSet<Arc<[u8]>>>,
    /// Whether nobody wants it any more.
    is_over: &'a dyn Fn() -> bool,
    unset: BTreeSet<String>,
    notes: BTreeSet<&'static str>,
    told: BTreeSet<&'static str>,
}

impl<'a> Below<'a> {
    /// Finds the place that an offer names, and makes what of it is missing.
    pub(crate) fn new(
        root: &Root,
        offer: &Offer,
        limits: &Limits,
        is_over: &'a dyn Fn() -> bool,
    ) -> Result<Self, Why> {
        let again = root.again().map_err(|e| format!("cannot open the root folder: {e}"))?;
        let beneath = Arc::new(Beneath::new(again));
        let keep = offer.keep;
        let rules = Rules {
            keep: Keep {
                perms: keep.perms,
                times: keep.times,
                owner: keep.owner,
                group: keep.group,
            },
            allowed: Allowed { owner: limits.allow.owner, setuid: limits.allow.setuid },
            umask: umask(),
        };
        let dirs = Dirs::new(beneath.clone(), rules).map_err(said)?;
        let mut this = Self {
            beneath,
            dirs: Some(dirs),
            ids: Ids::new(keep.numeric_ids),
            rules,
            check: offer.check,
            sync: offer.sync,
            size: limits.size,
            granularity: None,
            open: VecDeque::new(),
            named: None,
            shown: Shown::default(),
            made: Vec::new(),
            placed: false,
            changed: Some(BTreeSet::new()),
            is_over,
            unset: BTreeSet::new(),
            notes: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        this.lead(offer)?;
        Ok(this)
    }

    /// Where all of it goes: of a single file its path.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// What the file system refused that the bytes can do without.
    pub(crate) fn unset(&self) -> Vec<String> {
        self.unset.iter().cloned().collect()
    }

    /// Goes to the folder that an offer names; of a single file also finds the name that it gets there.
    fn lead(&mut self, offer: &Offer) -> Result<(), Why> {
        let mut parts: Vec<&[u8]> = offer.to.split(|byte| *byte == b'/').collect();
        let own = offer.one.is_some() && !matches!(parts.last(), None | Some(&b"" | &b"."));
        let last = if own { parts.pop() } else { None };
        for part in parts.into_iter().filter(|part| !matches!(*part, b"" | b".")) {
            self.go(part)?;
        }
        let mut named = offer.one.clone();
        if let Some(last) = last {
            let name = plain_name(last).map_err(said)?;
            match kind(self.dirs()?.here(), name) {
                Some(FileType::Directory) => self.go(last)?,
                _ => named = Some(last.to_vec()),
            }
        }
        let here = Arc::clone(self.dirs()?.here());
        self.shown = here.shown().clone();
        if let Some(name) = &named {
            let name = plain_name(name).map_err(said)?;
            self.shown = self.shown.join(name);
            // What is typed as a file's own place is that of a file, or nothing's.
            if let Some(kind) = kind(&here, name).filter(|kind| *kind != FileType::RegularFile) {
                return Err(said(PlaceError::stands(&self.shown, what(kind))));
            }
        }
        self.named = named;
        Ok(())
    }

    /// Goes into a folder that the offer names.
    fn go(&mut self, name: &[u8]) -> Result<(), Why> {
        let dirs = self.dirs()?;
        dirs.enter_parent(name).map_err(said)?;
        if dirs.here().is_new() {
            let path = dirs.path().to_vec();
            let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            self.change(&path[..above]);
            self.made.push(path);
        }
        Ok(())
    }

    /// A name in a folder has changed.
    fn change(&mut self, folder: &[u8]) {
        if let Some(changed) = &mut self.changed
            && !changed.contains(folder)
        {
            changed.insert(folder.into());
            if changed.len() > SYNCED {
                self.changed = None;
            }
        }
    }

    fn dirs(&mut self) -> Result<&mut Dirs, Why> {
        self.dirs.as_mut().ok_or_else(|| "the tree has ended".to_owned())
    }

    /// The name that an entry gets.
    fn name<'e>(&'e self, entry: &'e Entry) -> &'e [u8] {
        self.named.as_deref().unwrap_or(&entry.name)
    }

    fn folder(&mut self, way: &Way) -> Result<Arc<Folder>, Why> {
        if let Some((_, folder)) = self.open.iter().find(|(known, _)| known.path == way.path) {
            return Ok(Arc::clone(folder));
        }
        let folder = Folder::open(&self.beneath, &way.path, way.new).map_err(said)?;
        let folder = Arc::new(folder);
        self.open.push_back((way.clone(), Arc::clone(&folder)));
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        Ok(folder)
    }

    fn note(&mut self, left: impl Iterator<Item = NotCarried>) {
        for left in left {
            let note = match left {
                NotCarried::Owner => {
                    "owners are not kept: this host allows no sender to set them (allow=owner)"
                }
                NotCarried::Group => {
                    "groups are not kept: this host allows no sender to set them (allow=owner)"
                }
                NotCarried::SetUid => {
                    "set-user-ID bits are not kept where the owner is not, or not allowed \
                                       (allow=setuid)"
                }
                NotCarried::SetGid => {
                    "set-group-ID bits are not kept where the group is not, or not allowed \
                                       (allow=setuid)"
                }
            };
            if self.told.insert(note) {
                self.notes.insert(note);
            }
        }
    }

    /// Sets what is told of a file that has its bytes, and gives it its name.
    fn settle(
        &mut self,
        temporary: Temporary,
        (name, way): (&[u8], &Way),
        meta: &Meta,
        replaced: Option<u32>,
    ) -> Result<(), Why> {
        let name = plain_name(name).map_err(said)?;
        let path = temporary.folder().shown().join(name);
        let plan = plan(meta, Of::File, temporary.has(), replaced, self.rules);
        let set = apply(temporary.file().as_fd(), &plan, &path, !self.rules.keep.perms);
        let Applied { dropped, unset } = set.map_err(said)?;
        self.note(plan.left().chain(dropped));
        self.refused(unset);
        if self.sync == Sync::File {
            fsync(temporary.file()).map_err(|e| format!("cannot make {path} durable: {e}"))?;
            // That may take its time: who has given up meanwhile was told that nothing has changed here.
            if (self.is_over)() {
                return Err("it is not wanted any more".to_owned());
            }
        }
        temporary.rename(name).map_err(said)?;
        self.placed = true;
        self.change(&way.path);
        Ok(())
    }

    /// Makes durable what is to be.
    fn sync(&mut self) -> Result<(), Why> {
        let undone = |error: rustix::io::Errno| format!("cannot make it durable: {error}");
        match (self.sync, &self.changed) {
            (Sync::None, _) => Ok(()),
            // The files are. What the system says of their names is told, and takes none of them away.
            (Sync::File, Some(changed)) => {
                let synced = changed.iter().try_for_each(|path| {
                    let folder = Folder::open(&self.beneath, path, false).map_err(said)?;
                    fsync(folder.fd()).map_err(|error| error.to_string())
                });
                let lost = |error| format!("a power failure may still take names: {error}");
                self.unset.extend(synced.err().map(lost));
                Ok(())
            }
            _ => syncfs(self.beneath.root()).map_err(undone),
        }
    }

    /// What the file system refused that the bytes can do without.
    fn refused(&mut self, unset: Option<Unset>) {
        if let Some(unset) = unset {
            self.unset.insert(unset.to_string());
        }
    }

    /// Times that the file system below can tell apart; found out by a file of its own.
    fn granularity(&mut self, folder: &Arc<Folder>) -> Granularity {
        if let Some(known) = self.granularity {
            return known;
        }
        let tried = Temporary::create(folder).ok();
        let found = tried.and_then(|tried| Granularity::of(tried.file()).ok());
        *self.granularity.insert(found.unwrap_or(Granularity::FULL))
    }

    fn is_same(&mut self, folder: &Arc<Folder>, entry: &Entry, found: &rustix::fs::Stat) -> bool {
        let Kind::File { len, .. } = entry.kind else { return false };
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        if self.check == Check::None || !is_file || found.st_size.cast_unsigned() != len {
            return false;
        }
        let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
        let mtime = Time { secs: found.st_mtime, nanos };
        let told = entry.meta.mtime;
        (mtime == told || same_time(told, mtime, self.granularity(folder))) && !is_late(told)
    }

    /// What is told beside the content of a file that stands already.
    fn set_beside(
        &mut self,
        folder: &Folder,
        entry: &Entry,
        found: &rustix::fs::Stat,
    ) -> Result<(), Why> {
        let name = OsStr::from_bytes(&entry.name);
        let has = Has { mode: found.st_mode & 0o7777, uid: found.st_uid, gid: found.st_gid };
        let rules = Rules { keep: Keep { times: false, ..self.rules.keep }, ..self.rules };
        let plan = plan(&entry.meta, Of::File, has, Some(has.mode), rules);
        if plan.steps().next().is_none() || !self.rules.keep.perms && !self.rules.keep.owner {
            self.note(plan.left());
            return Ok(());
        }
        let path = folder.shown().join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(folder.fd(), name, flags, Mode::empty())
            .map_err(|e| format!("cannot set what is kept of {path}: {e}"))?;
        let Applied { dropped, .. } = apply(file.as_fd(), &plan, &path, false).map_err(said)?;
        self.note(plan.left().chain(dropped));
        Ok(())
    }
}

/// What stands under a name of a folder.
fn kind(folder: &Folder, name: &OsStr) -> Option<FileType> {
    let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn said(error: PlaceError) -> Why {
    error.to_string()
}

/// Whether a file was modified so lately that its time says little.
fn is_late(mtime: Time) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let after = Duration::new(u64::try_from(mtime.secs).unwrap_or(0), mtime.nanos);
    after + DOUBT > now
}

impl Ground for Below<'_> {
    type Dir = Way;
    type Slot = Slot;

    fn owner(&mut self, owner: &Owner) -> (u32, u32) {
        let name = |name: &[u8]| (!name.is_empty()).then(|| name.to_vec());
        let (user, group) = (name(&owner.user), name(&owner.group));
        (self.ids.owner(owner.uid, user.as_deref()), self.ids.group(owner.gid, group.as_deref()))
    }

    fn root(&mut self, _: &Meta) -> Result<(), Why> {
        self.placed = true;
        Ok(()) // the folder is the receiver's, or the user's who named it
    }

    fn enter(&mut self, number: u64, entry: &Entry) -> Result<Stands, Why> {
        let dirs = self.dirs()?;
        let above: Arc<[u8]> = dirs.path().into();
        dirs.enter(number, entry).map_err(said)?;
        let new = dirs.here().is_new();
        self.placed = true;
        if new {
            self.change(&above);
        }
        Ok(if new { Stands::Other } else { Stands::Same })
    }

    fn leave(&mut self) {
        if let Some(dirs) = &mut self.dirs {
            // What could not be remembered was set at once.
            let _ = dirs.leave();
        }
    }

    fn here(&self) -> Way {
        let here = self.dirs.as_ref();
        let path = here.map_or(&[][..], Dirs::path).into();
        Way { path, new: here.is_some_and(|dirs| dirs.here().is_new()) }
    }

    fn look(&mut self, entry: &Entry) -> Result<Stands, Why> {
        if let (Kind::File { len, .. }, Some(limit)) = (&entry.kind, self.size)
            && *len > limit
        {
            return Err(format!(
                "it has {len} bytes, and with this key at most {limit} may be sent here"
            ));
        }
        let folder = Arc::clone(self.dirs()?.here());
        if folder.is_new() {
            return Ok(Stands::Other);
        }
        let name = plain_name(self.name(entry)).map_err(said)?.to_owned();
        let entry = &Entry { name: name.as_bytes().to_vec(), ..entry.clone() };
        match statat(folder.fd(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if self.is_same(&folder, entry, &found) => {
                self.set_beside(&folder, entry, &found)?;
                Ok(Stands::Same)
            }
            _ => folder.may_replace(&name, true).map(|_| Stands::Other).map_err(said),
        }
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why> {
        let folder = Arc::clone(self.dirs()?.here());
        let name = plain_name(&entry.name).map_err(said)?;
        let there = rustix::fs::readlinkat(folder.fd(), name, Vec::new()).ok();
        let same = there.is_some_and(|there| there.as_bytes() == target);
        if !same {
            temporary::symlink(&folder, &entry.name, target).map_err(said)?;
        }
        self.placed = true;
        let has =
            statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| e.to_string())?;
        let has = Has { mode: has.st_mode & 0o7777, uid: has.st_uid, gid: has.st_gid };
        let plan = plan(&entry.meta, Of::Symlink, has, None, self.rules);
        apply_to_link(folder.fd(), name, &plan, &folder.shown().join(name)).map_err(said)?;
        self.note(plan.left());
        Ok(if same { Stands::Same } else { Stands::Other })
    }

    fn link(&mut self, dir: &Way, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        let folder = self.folder(dir)?;
        let base = self.dirs()?.path().to_vec();
        let to = if base.is_empty() { to.to_vec() } else { [&base, &b"/"[..], to].concat() };
        temporary::link(&self.beneath, &to, &folder, &entry.name).map_err(said)?;
        self.change(&dir.path);
        Ok(Stands::Other)
    }

    fn file(&mut self, dir: &Way, entry: &Entry, bytes: &[u8]) -> Result<(), Why> {
        let folder = self.folder(dir)?;
        let name = self.name(entry).to_vec();
        let standing = folder.may_replace(OsStr::from_bytes(&name), true).map_err(said)?;
        let temporary = Temporary::create(&folder).map_err(said)?;
        let written = temporary.file().write_all_at(bytes, 0);
        written.map_err(|e| said(room::sorted(e, bytes.len() as u64, folder.shown())))?;
        let replaced = standing.and_then(|s| mode_of(&s));
        self.settle(temporary, (&name, dir), &entry.meta, replaced)
    }

    fn begin(&mut self, dir: &Way, entry: &Entry) -> Result<Slot, Why> {
        let Kind::File { len, data } = &entry.kind else { return Err("it is no file".to_owned()) };
        let folder = self.folder(dir)?;
        let temporary = Temporary::create(&folder).map_err(said)?;
        let unset = room::reserve(temporary.file().as_fd(), *len, data.as_deref(), folder.shown());
        self.refused(unset.map_err(said)?);
        let (name, way) = (self.name(entry).to_vec(), dir.clone());
        Ok(Slot { temporary, name, way, meta: entry.meta, len: *len })
    }

    fn write(&mut self, slot: &mut Slot, bytes: &[u8], at: u64) -> Result<(), Why> {
        let written = slot.temporary.file().write_all_at(bytes, at);
        written.map_err(|e| said(room::sorted(e, slot.len, slot.temporary.folder().shown())))
    }

    fn keep(&mut self, slot: Slot) -> Result<(), Why> {
        let Slot { temporary, name, way, meta, .. } = slot;
        let folder = temporary.folder();
        // Who moves a folder out of the root meanwhile moves what is open in it as well.
        folder.check_in_place(&self.beneath, &way.path).map_err(said)?;
        let standing = folder.may_replace(OsStr::from_bytes(&name), true).map_err(said)?;
        self.settle(temporary, (&name, &way), &meta, standing.and_then(|s| mode_of(&s)))
    }

    fn finish(&mut self) -> Result<Vec<Unfinished>, Why> {
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        if let Some(dirs) = self.dirs.take() {
            let told = dirs.finish(&mut |number, new, done| match (done, number) {
                (Ok(more), _) => left.extend(more),
                (Err(error), Some(number)) => {
                    failed.push(Unfinished { number, new, why: said(error) });
                }
                // A folder that the offer named, opened up where its owner may not write.
                (Err(_), None) => {}
            });
            told.map_err(said)?;
        }
        self.note(left.into_iter());
        self.sync()?;
        Ok(failed)
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes).into_iter().map(str::to_owned).collect()
    }
}

/// The mode of a file that is replaced.
fn mode_of(standing: &temporary::Standing) -> Option<u32> {
    (standing.kind == FileType::RegularFile).then_some(standing.has.mode)
}

impl Drop for Below<'_> {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        // A copy of which nothing is in place leaves no empty folders; one that somebody else uses by now is not
        // empty, and stays.
        for path in self.made.iter().rev() {
            if let Ok((folder, name)) = self.beneath.parent(path) {
                let _ = unlinkat(&folder, name, AtFlags::REMOVEDIR);
            }
        }
    }
}

#[cfg(test)]
mod tests;
