//! The directories of a tree, open as far as entries come in depth-first order, and what is set on them in the end.
//!
//! What is told of a directory is set after everything in it has its name: creating and renaming in it move its time,
//! and permissions that the sender gave it may forbid both. A tree may have more directories than memory holds, so
//! they wait in a file without a name, each before the directory that it is in.

use super::beneath::{Beneath, FOLDER, plain_name, shown};
use super::error::{PlaceError, what};
use super::meta::{Applied, Has, NotCarried, Of, Rules, SET_GID, apply, plan};
use super::room::Unset;
use crate::destination::Shown;
use crate::tree::entry::{Entry, Meta};
use crate::tree::records::Records;
use crate::tree::spool::unnamed;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Folders on the way to an entry, at most: fewer than a sweep goes down into, and than descriptors that a process
/// may have.
pub const MAX_FOLDERS: usize = 128;

/// Owner's permissions that are needed for working in a directory (`S_IWUSR`, `S_IXUSR`).
const WORK: u32 = 0o300;

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
}

impl Folder {
    /// Opens one again, by its path from the root; `new`: it was created for this tree.
    pub fn open(beneath: &Beneath, path: &[u8], new: bool) -> Result<Self, PlaceError> {
        let fd = beneath.open(path, FOLDER, Mode::empty())?;
        Ok(Self { fd, shown: shown(path), new })
    }

    /// What entries are created relative to.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its path from the root, for people.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Whether it is still where it was found, by its path from the root.
    pub fn check_in_place(&self, beneath: &Beneath, path: &[u8]) -> Result<(), PlaceError> {
        let there = beneath.open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let failed = |errno| PlaceError::system("look at", &self.shown, errno);
        let (there, ours) = (fstat(&there).map_err(failed)?, fstat(&self.fd).map_err(failed)?);
        if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) {
            return Ok(());
        }
        Err(PlaceError::stands(&self.shown, "it was moved or replaced meanwhile"))
    }

    /// Whether it was created for this tree, so that nothing can stand in it but what the tree brought.
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
    /// The number of its entry, and what is told of it; `None`: only its mode of before is put right.
    told: Option<(u64, Meta)>,
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
}

impl Dirs {
    /// Begins at the root, which itself is left as it is.
    pub fn new(beneath: Arc<Beneath>, rules: Rules) -> Result<Self, PlaceError> {
        let failed = |cause: io::Error| PlaceError::system("open", &Shown::default(), cause);
        let fd = beneath.root().try_clone_to_owned().map_err(failed)?;
        let file = unnamed(beneath.root())
            .map_err(|cause| PlaceError::system("create a file in", &Shown::default(), cause))?;
        let root = Arc::new(Folder { fd, shown: Shown::default(), new: false });
        let log = Some(Records::new(file));
        Ok(Self { beneath, root, stack: Vec::new(), top: Arc::default(), rules, log })
    }

    /// Where entries are placed by now.
    pub fn here(&self) -> &Arc<Folder> {
        self.stack.last().map_or(&self.root, |level| &level.folder)
    }

    /// The path of that from the root.
    pub fn path(&self) -> &Arc<[u8]> {
        self.stack.last().map_or(&self.top, |level| &level.path)
    }

    /// Folders on the way to it.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// Goes into a directory of the tree, and creates it where it is missing. Its ids are those of this host.
    pub fn enter(&mut self, number: u64, entry: &Entry) -> Result<(), PlaceError> {
        self.go(&entry.name, Mode::RWXU, Some((number, entry.meta)))
    }

    /// Goes into a directory that the destination names, and creates it where it is missing, with the permissions
    /// that directories have by default.
    pub fn enter_parent(&mut self, name: &[u8]) -> Result<(), PlaceError> {
        self.go(name, Mode::from_raw_mode(0o777), None)
    }

    fn go(&mut self, name: &[u8], mode: Mode, told: Option<(u64, Meta)>) -> Result<(), PlaceError> {
        let plain = plain_name(name)?;
        let shown = self.here().shown.join(plain);
        if self.stack.len() >= MAX_FOLDERS {
            return Err(PlaceError::Order { path: shown, why: "it is deeper than 128 folders" });
        }
        let at = self.here().clone();
        let new = match mkdirat(at.fd(), plain, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(PlaceError::system("create the folder", &shown, errno)),
        };
        let entered = self.open(&at, (plain, &shown), told.filter(|_| new));
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
        let record = needed.then(|| Record { path: path.to_vec(), told, new, closed, id });
        let folder = Arc::new(Folder { fd, shown, new });
        self.stack.push(Level { folder, record, path });
        Ok(())
    }

    /// Opens a directory, and opens it up where its owner, an ordinary user, may not write: then its mode of before is
    /// given. `made`: what is told of one that was made just now.
    fn open(
        &self,
        at: &Folder,
        (name, shown): (&OsStr, &Shown),
        made: Option<(u64, Meta)>,
    ) -> Result<(OwnedFd, Stat, Option<u32>), PlaceError> {
        let open = || {
            let fd = openat(at.fd(), name, FOLDER, Mode::empty())
                .map_err(|errno| not_entered(at, name, shown, errno))?;
            let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", shown, errno))?;
            Ok((fd, stat))
        };
        let (mut fd, mut stat) = open()?;
        if let Some((_, told)) = made
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
        if before & WORK == WORK || us == 0 || us != stat.st_uid {
            return Ok((fd, stat, None));
        }
        fchmod(&fd, Mode::from_raw_mode(before | WORK))
            .map_err(|errno| PlaceError::system("write in", shown, errno))?;
        Ok((fd, stat, Some(before)))
    }

    /// Goes back up; what is told of the directory waits for [`Self::finish`], for files may still come into it.
    pub fn leave(&mut self) -> Result<(), PlaceError> {
        let Some(level) = self.stack.pop() else {
            return Err(PlaceError::Order { path: Shown::default(), why: "nothing is above it" });
        };
        let (Some(record), Some(log)) = (level.record, self.log.as_mut()) else { return Ok(()) };
        log.push(record).map_err(|record| {
            // Nothing remembers it now, so that it is put right at once.
            let _ = set(&record, &self.beneath, self.rules);
            PlaceError::system("remember what is told of", level.folder.shown(), Errno::NOSPC)
        })
    }

    /// Sets what was told of all directories. `told` gets the number of each, and what was left out or failed.
    pub fn finish(mut self, told: &mut Tell<'_>) -> Result<(), PlaceError> {
        self.replay(told)
    }

    fn replay(&mut self, told: &mut Tell<'_>) -> Result<(), PlaceError> {
        let mut first = Ok(());
        while !self.stack.is_empty() {
            first = first.and(self.leave());
        }
        let Some(log) = self.log.take() else { return first };
        let replayed = log.replay(|record| {
            let number = record.told.map(|(number, _)| number);
            told(number, record.new, set(&record, &self.beneath, self.rules));
        });
        first.and(
            replayed.map_err(|cause| {
                PlaceError::system("read what is told of", &Shown::default(), cause)
            }),
        )
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        // After an abort too: who comes next finds the directories as they should be. Nobody is left to tell.
        let _ = self.replay(&mut |_, _, _| {});
    }
}

/// Puts right what a record says of a directory.
fn set(record: &Record, beneath: &Beneath, rules: Rules) -> Result<Done, PlaceError> {
    let path = shown(&record.path);
    let fd = beneath.open(&record.path, FOLDER, Mode::empty())?;
    let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", &path, errno))?;
    if (stat.st_dev, stat.st_ino) != record.id {
        return Err(PlaceError::stands(&path, "it was moved or replaced meanwhile"));
    }
    let mut mode = stat.st_mode & 0o7777;
    // Whoever changed it meanwhile means it.
    if let Some(before) = record.closed.filter(|before| mode == before | WORK) {
        fchmod(&fd, Mode::from_raw_mode(before))
            .map_err(|errno| PlaceError::system("set the permissions of", &path, errno))?;
        mode = before;
    }
    let Some((_, told)) = record.told else { return Ok(Done::default()) };
    let has = Has { mode, uid: stat.st_uid, gid: stat.st_gid };
    let of = if record.new { Of::NewDir } else { Of::OldDir };
    let plan = plan(&told, of, has, None, rules);
    let Applied { dropped, unset } = apply(fd.as_fd(), &plan, &path, !rules.keep.perms)?;
    Ok(Done { left: plan.left().chain(dropped).collect(), unset })
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
