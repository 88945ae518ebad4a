//! The directories of a tree, open as far as entries come in depth-first order, and what is set on them in the end.
//!
//! What is told of a directory is set after everything in it has its name: creating and renaming in it move its time,
//! and permissions that the sender gave it may forbid both. A tree may have more directories than memory holds, so
//! they wait in a file without a name, each before the directory that it is in.

use super::beneath::{Beneath, ENTERED, FOLDER, plain_name, shown};
use super::error::{PlaceError, what};
use super::inherited;
use super::meta::{Applied, Has, Keep, NotCarried, Of, Rules, SET_GID, apply, plan};
use super::room::Unset;
use crate::destination::Shown;
use crate::holders::Turn;
use crate::tree::entry::{Entry, Meta, Time};
use crate::tree::records::Records;
use crate::tree::spool::unnamed;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chmod, fchmod, fcntl_getfl, fstat, fsync, mkdirat,
    openat, statat, syncfs, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

/// Folders on the way to an entry, at most: fewer than a sweep goes down into, and than descriptors that a process
/// may have.
pub const MAX_FOLDERS: usize = 128;

/// Owner's permissions that are needed for working in a directory (`S_IWUSR`, `S_IXUSR`).
const WORK: u32 = 0o300;
/// That which is needed for setting anything of it (`S_IRUSR`): what is only entered cannot be changed.
const READ: u32 = 0o400;

/// Takes the number of a directory's entry (`None`: the destination names it), whether it was made for the tree, and
/// what of it was left out or failed.
pub type Tell<'a> = dyn FnMut(Option<u64>, bool, Result<Done, PlaceError>) + 'a;

/// What came of setting what is told of a directory.
#[derive(Debug, Default)]
pub struct Done {
    /// What was left out on purpose.
    pub left: Vec<NotCarried>,
    /// What the file system does not do.
    pub unset: Option<Unset>,
}

/// An open directory of the tree.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    shown: Shown,
    new: bool,
    /// What is created in it gets an access control list, once that was asked.
    lists: OnceLock<bool>,
    /// Device and number.
    id: (u64, u64),
}

impl Folder {
    /// Opens one again, by its path from the root; `new`: it was created for this tree, or else nothing stood there
    /// under the names that are given in it.
    pub fn open(beneath: &Beneath, path: &[u8], new: bool) -> Result<Self, PlaceError> {
        let fd = beneath.open(path, FOLDER, Mode::empty());
        let fd = fd.or_else(|_| beneath.open(path, ENTERED, Mode::empty()))?;
        Self::of(fd, shown(path), new)
    }

    fn of(fd: OwnedFd, shown: Shown, new: bool) -> Result<Self, PlaceError> {
        let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", &shown, errno))?;
        let (id, lists) = ((stat.st_dev, stat.st_ino), OnceLock::new());
        Ok(Self { fd, shown, new, lists, id })
    }

    /// One that may only be entered.
    #[cfg(test)]
    pub(crate) fn entered(beneath: &Beneath, path: &[u8]) -> Result<Self, PlaceError> {
        let fd = beneath.open(path, ENTERED, Mode::empty())?;
        Self::of(fd, shown(path), false)
    }

    /// What entries are created relative to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its path from the root, for people.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Whether it may be read, and not only be entered: only then its file system can be made durable by it.
    pub fn is_read(&self) -> bool {
        fcntl_getfl(&self.fd).is_ok_and(|flags| !flags.contains(OFlags::PATH))
    }

    /// The file system that it is in.
    pub fn device(&self) -> u64 {
        self.id.0
    }

    /// Whether it is still where it was found, by its path from the root. Who moves a folder takes what is open in it
    /// along, be it out of the root: so this is asked right before something is put there.
    pub fn check_in_place(&self, beneath: &Beneath, path: &[u8]) -> Result<(), PlaceError> {
        if path.is_empty() {
            return Ok(()); // the root, wherever that is
        }
        let there = beneath.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let failed = |errno| PlaceError::system("look at", &self.shown, errno);
        let there = fstat(&there).map_err(failed)?;
        if (there.st_dev, there.st_ino) == self.id {
            return Ok(());
        }
        Err(PlaceError::stands(&self.shown, "it was moved or replaced meanwhile"))
    }

    /// Makes its names durable. One that may only be entered cannot be asked for that alone (open(2), `O_PATH`): then
    /// all of the file system below the root is, if it is in that one.
    pub fn sync(&self, beneath: &Beneath) -> Result<(), Errno> {
        match fsync(&self.fd) {
            Err(Errno::BADF) if fstat(beneath.root())?.st_dev == self.id.0 => {
                syncfs(beneath.root())
            }
            done => done,
        }
    }

    /// Takes from a file that was created in it the access control list that it got here.
    pub fn disown(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let lists = *self.lists.get_or_init(|| inherited::is_passed_on(self));
        if lists { inherited::remove(file) } else { Ok(()) }
    }

    /// Whether it was created for this tree, so that nothing can stand in it, or under the names that are given in it,
    /// but what the tree brought.
    pub fn is_new(&self) -> bool {
        self.new
    }
}

#[derive(Debug)]
struct Level {
    folder: Arc<Folder>,
    record: Option<Record>,
    /// The path from the root to it.
    path: Arc<[u8]>,
}

/// What is to be put right of one directory.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    path: Vec<u8>,
    /// The number of its entry; `None`: the destination names it.
    number: Option<u64>,
    /// What is told of it; `None`: only its mode of before is put right.
    told: Option<Meta>,
    /// It was created for this tree.
    new: bool,
    /// Its permission bits before it was opened up, if it was.
    closed: Option<u32>,
    /// Which inode it was: another one that has its name by now is left alone.
    id: (u64, u64),
}

/// The way down to where entries are placed.
#[derive(Debug)]
pub struct Dirs {
    beneath: Arc<Beneath>,
    root: Arc<Folder>,
    stack: Vec<Level>,
    top: Arc<[u8]>,
    rules: Rules,
    log: Option<Records<Record>>,
    /// What is told of the root, if the tree's own root is that.
    root_told: Option<Meta>,
    /// Among the sessions of this process.
    turn: Option<Turn>,
}

impl Dirs {
    /// Begins at the root.
    pub fn new(beneath: Arc<Beneath>, rules: Rules) -> Result<Self, PlaceError> {
        let failed = |cause: io::Error| PlaceError::system("open", &Shown::default(), cause);
        let fd = beneath.root().try_clone_to_owned().map_err(failed)?;
        let root = Arc::new(Folder::of(fd, Shown::default(), false)?);
        let log = Some(Records::new(unnamed(beneath.root()).ok()));
        Ok(Self {
            beneath,
            root,
            stack: Vec::new(),
            top: Arc::default(),
            rules,
            log,
            root_told: None,
            turn: None,
        })
    }

    /// It is that session's: once it is broken off, later ones have said what counts.
    pub(crate) fn in_turn(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Where entries are placed by now.
    pub fn here(&self) -> &Arc<Folder> {
        self.stack.last().map_or(&self.root, |level| &level.folder)
    }

    /// Where they began.
    pub fn root(&self) -> &Folder {
        &self.root
    }

    /// The path of that from the root.
    pub fn path(&self) -> &Arc<[u8]> {
        self.stack.last().map_or(&self.top, |level| &level.path)
    }

    /// Whether that is still where it was found.
    pub fn check_here(&self) -> Result<(), PlaceError> {
        self.here().check_in_place(&self.beneath, self.path())
    }

    /// Folders on the way to it.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// Goes into a directory of the tree, and creates it where it is missing. Its ids are those of this host.
    pub fn enter(&mut self, number: u64, entry: &Entry) -> Result<(), PlaceError> {
        self.go(&entry.name, Mode::RWXU, Some((number, entry.meta.clone())))
    }

    /// Goes into a directory that the destination names, and creates it where it is missing, with the permissions
    /// that directories have by default.
    pub fn enter_parent(&mut self, name: &[u8]) -> Result<(), PlaceError> {
        self.go(name, Mode::from_raw_mode(0o777), None)
    }

    /// What is told of the folder that it is in, as the destination names it: the contents of a source go there.
    pub fn tell_here(&mut self, meta: Meta) -> Result<(), PlaceError> {
        let Some(level) = self.stack.last_mut() else {
            self.root_told = Some(meta);
            return Ok(());
        };
        let folder = &level.folder;
        let id = folder.id;
        let (path, new) = (level.path.to_vec(), folder.new);
        let none = Record { path, number: None, told: None, new, closed: None, id };
        let record = level.record.get_or_insert(none);
        if new && record.told.is_none() {
            close(folder, self.rules);
        }
        record.told = Some(meta);
        Ok(())
    }

    /// Puts right what a record says of a directory; of a session that was `broken` off only what no later one has.
    fn put_right(&self, record: &Record, broken: bool) -> Result<Done, PlaceError> {
        let later = self.turn.as_ref().filter(|_| broken).and_then(|turn| turn.later(record.id));
        let done = set(record, &self.beneath, self.rules, later)?;
        if let (Some(turn), Some(told), false) = (&self.turn, &record.told, broken) {
            turn.put_right(record.id, told.mtime);
        }
        Ok(done)
    }

    /// Of the root of all that is received the time alone is set: its owner and permissions say who may reach what
    /// everybody sends, and are not a single sender's.
    fn set_root(&self, told: &Meta, broken: bool) -> Result<Done, PlaceError> {
        let later = self.turn.as_ref().filter(|_| broken).and_then(|turn| turn.later(self.root.id));
        let told = &Meta { mtime: later.unwrap_or(told.mtime), ..told.clone() };
        let times = Keep { times: self.rules.keep.times, ..Keep::default() };
        let stat = fstat(&self.root.fd)
            .map_err(|errno| PlaceError::system("look at", &self.root.shown, errno))?;
        let has = Has { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
        let plan = plan(told, Of::OldDir, has, None, Rules { keep: times, ..self.rules });
        apply(self.root.fd(), &plan, &self.root.shown, true)?;
        if let (Some(turn), false) = (&self.turn, broken) {
            turn.put_right(self.root.id, told.mtime);
        }
        Ok(Done::default())
    }

    fn go(&mut self, name: &[u8], mode: Mode, told: Option<(u64, Meta)>) -> Result<(), PlaceError> {
        let plain = plain_name(name)?;
        let shown = self.here().shown.join(plain);
        if self.stack.len() >= MAX_FOLDERS {
            return Err(PlaceError::Order { path: shown, why: "it is deeper than 128 folders" });
        }
        self.check_here()?;
        let at = self.here().clone();
        let new = match mkdirat(at.fd(), plain, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(PlaceError::system("create the folder", &shown, errno)),
        };
        let entered =
            self.open(&at, (plain, &shown), told.as_ref().filter(|_| new).map(|(_, meta)| meta));
        let (fd, stat, closed) = entered.inspect_err(|_| {
            if new {
                let _ = unlinkat(at.fd(), plain, AtFlags::REMOVEDIR); // nobody knows of it
            }
        })?;
        let path: Arc<[u8]> = match &**self.path() {
            [] => name.into(),
            above => [above, name].join(&b'/').into(),
        };
        let id = (stat.st_dev, stat.st_ino);
        let needed = told.is_some() || closed.is_some();
        let (number, told) = told.unzip();
        let path_of = || path.to_vec();
        let record = needed.then(|| Record { path: path_of(), number, told, new, closed, id });
        let folder = Arc::new(Folder { fd, shown, new, lists: OnceLock::new(), id });
        self.stack.push(Level { folder, record, path });
        Ok(())
    }

    /// Opens a directory, and opens it up where its owner, an ordinary user, may not write: then its mode of before is
    /// given. `made`: what is told of one that was made just now.
    fn open(
        &self,
        at: &Folder,
        (name, shown): (&OsStr, &Shown),
        made: Option<&Meta>,
    ) -> Result<(OwnedFd, Stat, Option<u32>), PlaceError> {
        let open = || {
            let fd = match openat(at.fd(), name, FOLDER, Mode::empty()) {
                Err(Errno::ACCESS) => openat(at.fd(), name, ENTERED, Mode::empty()),
                opened => opened,
            };
            let fd = fd.map_err(|errno| not_entered(at, name, shown, errno))?;
            let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", shown, errno))?;
            Ok((fd, stat))
        };
        let (mut fd, mut stat) = open()?;
        if let Some(told) = made
            && !self.rules.keep.perms
            && stat.st_mode & SET_GID != 0
        {
            // A set-group-ID bit that is inherited must not be set by a service that may set none
            // (RestrictSUIDSGID in systemd.exec(5)): so it has to come with the mode that stays.
            let failed = |errno| PlaceError::system("create the folder", shown, errno);
            unlinkat(at.fd(), name, AtFlags::REMOVEDIR).map_err(failed)?;
            let stays = Mode::from_raw_mode(told.mode & 0o777 | 0o700);
            mkdirat(at.fd(), name, stays).map_err(failed)?;
            (fd, stat) = open()?;
        }
        let before = stat.st_mode & 0o7777;
        let us = rustix::process::geteuid().as_raw();
        let is_read = before & READ != 0;
        if (before & WORK == WORK && is_read) || us == 0 || us != stat.st_uid {
            return Ok((fd, stat, None));
        }
        let failed = |errno| PlaceError::system("write in", shown, errno);
        if is_read {
            fchmod(&fd, Mode::from_raw_mode(opened_up(before))).map_err(failed)?;
            return Ok((fd, stat, Some(before)));
        }
        // One that was not opened for reading takes no fchmod; its name may lead to another one by now (proc(5)).
        let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
        chmod(itself, Mode::from_raw_mode(opened_up(before))).map_err(failed)?;
        let (fd, now) = open()?;
        if (now.st_dev, now.st_ino) != (stat.st_dev, stat.st_ino) {
            return Err(PlaceError::stands(shown, "it was moved or replaced meanwhile"));
        }
        Ok((fd, stat, Some(before)))
    }

    /// Goes back up from a folder that is gone.
    pub fn back(&mut self) {
        self.stack.pop();
    }

    /// Goes back up; what is told of the directory waits for [`Self::finish`], for files may still come into it.
    pub fn leave(&mut self) -> Result<(), PlaceError> {
        let Some(level) = self.stack.pop() else {
            return Err(PlaceError::Order { path: Shown::default(), why: "nothing is above it" });
        };
        let (Some(record), Some(log)) = (level.record, self.log.as_mut()) else { return Ok(()) };
        log.push(record).map_err(|record| {
            // Nothing remembers it now, so that it is put right at once.
            let _ = self.put_right(&record, false);
            PlaceError::system("remember what is told of", level.folder.shown(), Errno::NOSPC)
        })
    }

    /// Sets what was told of all directories. `told` gets the number of each, and what was left out or failed.
    pub fn finish(mut self, told: &mut Tell<'_>) -> Result<(), PlaceError> {
        self.replay(told, false)
    }

    fn replay(&mut self, told: &mut Tell<'_>, broken: bool) -> Result<(), PlaceError> {
        let mut first = Ok(());
        while !self.stack.is_empty() {
            first = first.and(self.leave());
        }
        let Some(log) = self.log.take() else { return first };
        let replayed = log.replay(|record| {
            told(record.number, record.new, self.put_right(&record, broken));
        });
        if let Some(meta) = self.root_told.take() {
            told(None, false, self.set_root(&meta, broken));
        }
        first.and(
            replayed.map_err(|cause| {
                PlaceError::system("read what is told of", &Shown::default(), cause)
            }),
        )
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        // After an abort too: who comes next finds the directories as they should be, and who has come already as it
        // has left them. Nobody is left to tell.
        let _ = self.replay(&mut |_, _, _| {}, true);
    }
}

/// The step that failed where a list cannot be taken away.
pub const UNLIST: &str = "take the access control list from";

/// The mode of a directory that is worked in, which had this one before.
fn opened_up(before: u32) -> u32 {
    before | WORK | READ
}

/// Closes a directory that was made with the permissions of any until it gets its own, as one that an entry makes:
/// those may let nobody in, and what is in it is in place by then.
fn close(folder: &Folder, rules: Rules) {
    // As where an entry makes one: an inherited set-group-ID bit is not set by who may set none.
    let inherits = |stat: &Stat| stat.st_mode & SET_GID != 0 && !rules.keep.perms;
    if fstat(folder.fd()).is_ok_and(|stat| !inherits(&stat)) {
        // A file system that has no permissions does without.
        let _ = fchmod(folder.fd(), Mode::RWXU);
    }
}

/// Puts right what a record says of a directory; where a later session has done so, which gave it that time, no more than
/// this one has changed meanwhile.
fn set(
    record: &Record,
    beneath: &Beneath,
    rules: Rules,
    later: Option<Time>,
) -> Result<Done, PlaceError> {
    let path = shown(&record.path);
    // What may only be entered needs nothing to be set, or says so.
    let fd = beneath.open(&record.path, FOLDER, Mode::empty());
    let fd = fd.or_else(|_| beneath.open(&record.path, ENTERED, Mode::empty()))?;
    let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", &path, errno))?;
    if (stat.st_dev, stat.st_ino) != record.id {
        return Err(PlaceError::stands(&path, "it was moved or replaced meanwhile"));
    }
    let mut mode = stat.st_mode & 0o7777;
    // Whoever changed it meanwhile means it.
    if let Some(before) = record.closed.filter(|before| mode == opened_up(*before)) {
        fchmod(&fd, Mode::from_raw_mode(before))
            .map_err(|errno| PlaceError::system("set the permissions of", &path, errno))?;
        mode = before;
    }
    let Some(told) = &record.told else { return Ok(Done::default()) };
    let has = Has { mode, uid: stat.st_uid, gid: stat.st_gid };
    if let Some(mtime) = later {
        let times = Rules { keep: Keep { times: rules.keep.times, ..Keep::default() }, ..rules };
        let told = Meta { mtime, ..told.clone() };
        apply(fd.as_fd(), &plan(&told, Of::OldDir, has, None, times), &path, true)?;
        return Ok(Done::default());
    }
    let of = if record.new { Of::NewDir } else { Of::OldDir };
    if record.new && rules.keep.perms {
        inherited::remove(fd.as_fd()).map_err(|e| PlaceError::system(UNLIST, &path, e))?;
    }
    let plan = plan(told, of, has, None, rules);
    let Applied { dropped, unset, left } = apply(fd.as_fd(), &plan, &path, !rules.keep.perms)?;
    Ok(Done { left: plan.left().chain(dropped).chain(left).collect(), unset })
}

/// Says why a name could not be opened as a folder.
fn not_entered(at: &Folder, name: &OsStr, path: &Shown, errno: Errno) -> PlaceError {
    let kind = statat(at.fd(), name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| FileType::from_raw_mode(stat.st_mode));
    match (errno, kind) {
        (Errno::NOTDIR | Errno::LOOP, Ok(kind)) => PlaceError::stands(path, what(kind)),
        _ => PlaceError::system("open the folder", path, errno),
    }
}
