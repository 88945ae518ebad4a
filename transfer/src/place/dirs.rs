//! The directories of a tree, open as far as entries come in depth-first order, and what is set on them in the end.
//!
//! What is told of a directory is set after everything in it has its name: creating and renaming in it move its time,
//! and permissions that the sender gave it may forbid both. A tree may have more directories than memory holds, so
//! they wait in a file without a name, each before the directory that it is in.

use super::beneath::{Beneath, FOLDER, plain_name, shown};
use super::error::{PlaceError, what};
use super::meta::{Applied, Has, NotCarried, Of, Rules, apply, plan};
use super::temporary::temporary_name;
use crate::destination::Shown;
use crate::tree::entry::{Entry, Meta, Time};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Folders on the way to an entry, at most: fewer than a sweep goes down into, and than descriptors that a process
/// may have.
pub const MAX_FOLDERS: usize = 128;

/// Owner's permissions that are needed for working in a directory (`S_IWUSR`, `S_IXUSR`).
const WORK: u32 = 0o300;

/// Takes the number of a directory's entry (`None`: the destination names it), whether it was made for the tree, and
/// what of it was left out or failed.
pub type Tell<'a> = dyn FnMut(Option<u64>, bool, Result<Vec<NotCarried>, PlaceError>) + 'a;

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

/// What waits until a directory is complete.
#[derive(Debug)]
struct Record {
    path: Vec<u8>,
    /// The number of its entry, and what is told of it; `None`: only its mode of before is put right.
    told: Option<(u64, Meta)>,
    of: Of,
    /// Its permission bits before it was opened up.
    mode: u32,
    /// Which inode it was: another one that has its name by now is left alone.
    id: (u64, u64),
}

#[derive(Debug)]
struct Level {
    folder: Arc<Folder>,
    record: Option<Record>,
    /// Length of the path without it.
    above: usize,
}

/// The way down to where entries are placed.
#[derive(Debug)]
pub struct Dirs {
    beneath: Arc<Beneath>,
    root: Arc<Folder>,
    stack: Vec<Level>,
    path: Vec<u8>,
    rules: Rules,
    log: Option<BufWriter<File>>,
}

impl Dirs {
    /// Begins at the root, which itself is left as it is.
    pub fn new(beneath: Arc<Beneath>, rules: Rules) -> Result<Self, PlaceError> {
        let failed = |cause: io::Error| PlaceError::system("open", &Shown::default(), cause);
        let fd = beneath.root().try_clone_to_owned().map_err(failed)?;
        let log = unnamed(&beneath)
            .map_err(|cause| PlaceError::system("create a file in", &Shown::default(), cause))?;
        let root = Arc::new(Folder { fd, shown: Shown::default(), new: false });
        let log = Some(BufWriter::new(log));
        Ok(Self { beneath, root, stack: Vec::new(), path: Vec::new(), rules, log })
    }

    /// Where entries are placed by now.
    pub fn here(&self) -> &Arc<Folder> {
        self.stack.last().map_or(&self.root, |level| &level.folder)
    }

    /// The path of that from the root.
    pub fn path(&self) -> &[u8] {
        &self.path
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
        let fd = openat(at.fd(), plain, FOLDER, Mode::empty())
            .map_err(|errno| not_entered(&at, plain, &shown, errno))?;
        let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", &shown, errno))?;
        let record = self.record(name, told, new, &fd, &stat, &shown)?;
        let above = self.path.len();
        if above > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let folder = Arc::new(Folder { fd, shown, new });
        self.stack.push(Level { folder, record, above });
        Ok(())
    }

    /// What is to be put right in the end; opens the directory up where its owner, an ordinary user, may not write.
    fn record(
        &self,
        name: &[u8],
        told: Option<(u64, Meta)>,
        new: bool,
        fd: &OwnedFd,
        stat: &Stat,
        shown: &Shown,
    ) -> Result<Option<Record>, PlaceError> {
        let mode = stat.st_mode & 0o7777;
        let us = rustix::process::geteuid().as_raw();
        let closed = mode & WORK != WORK && us != 0 && us == stat.st_uid;
        if closed {
            fchmod(fd, Mode::from_raw_mode(mode | WORK))
                .map_err(|errno| PlaceError::system("write in", shown, errno))?;
        }
        let path = [self.path.as_slice(), name].into_iter().filter(|part| !part.is_empty());
        let path = path.collect::<Vec<_>>().join(&b'/');
        let of = if new { Of::NewDir } else { Of::OldDir };
        let needed = told.is_some() || closed;
        Ok(needed.then_some(Record { path, told, of, mode, id: (stat.st_dev, stat.st_ino) }))
    }

    /// Goes back up; what is told of the directory waits for [`Self::finish`], for files may still come into it.
    pub fn leave(&mut self) -> Result<(), PlaceError> {
        let Some(level) = self.stack.pop() else {
            return Err(PlaceError::Order { path: Shown::default(), why: "nothing is above it" });
        };
        self.path.truncate(level.above);
        let Some(record) = level.record else { return Ok(()) };
        let Some(log) = self.log.as_mut() else { return Ok(()) };
        record.write(log).map_err(|cause| {
            // Nothing remembers it now, so that it is put right at once.
            let _ = record.set(&self.beneath, self.rules);
            PlaceError::system("remember what is told of", level.folder.shown(), cause)
        })
    }

    /// Sets what was told of all directories. `told` gets the path of each, and what was left out or failed.
    pub fn finish(mut self, told: &mut Tell<'_>) -> Result<(), PlaceError> {
        self.replay(told)
    }

    fn replay(&mut self, told: &mut Tell<'_>) -> Result<(), PlaceError> {
        let mut first = Ok(());
        while !self.stack.is_empty() {
            first = first.and(self.leave());
        }
        let Some(log) = self.log.take() else { return first };
        let failed = |cause| PlaceError::system("read what is told of", &Shown::default(), cause);
        let mut log = log.into_inner().map_err(|error| failed(error.into_error()))?;
        log.rewind().map_err(failed)?;
        let mut log = BufReader::new(log);
        while let Some(record) = Record::read(&mut log).map_err(failed)? {
            let number = record.told.map(|(number, _)| number);
            told(number, record.of == Of::NewDir, record.set(&self.beneath, self.rules));
        }
        first
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        // After an abort too: who comes next finds the directories as they should be. Nobody is left to tell.
        let _ = self.replay(&mut |_, _, _| {});
    }
}

impl Record {
    fn set(&self, beneath: &Beneath, rules: Rules) -> Result<Vec<NotCarried>, PlaceError> {
        let path = shown(&self.path);
        let fd = beneath.open(&self.path, FOLDER, Mode::empty())?;
        let stat = fstat(&fd).map_err(|errno| PlaceError::system("look at", &path, errno))?;
        if (stat.st_dev, stat.st_ino) != self.id {
            return Err(PlaceError::stands(&path, "it was moved or replaced meanwhile"));
        }
        if stat.st_mode & 0o7777 != self.mode {
            fchmod(&fd, Mode::from_raw_mode(self.mode))
                .map_err(|errno| PlaceError::system("set the permissions of", &path, errno))?;
        }
        let Some((_, told)) = self.told else { return Ok(Vec::new()) };
        let has = Has { mode: self.mode, uid: stat.st_uid, gid: stat.st_gid };
        let plan = plan(&told, self.of, has, None, rules);
        let Applied { dropped, .. } = apply(fd.as_fd(), &plan, &path, !rules.keep.perms)?;
        Ok(plan.left().chain(dropped).collect())
    }

    fn write(&self, log: &mut impl Write) -> io::Result<()> {
        let (number, told) = self.told.unwrap_or_default();
        let flags = u64::from(self.told.is_some())
            | u64::from(told.atime.is_some()) << 1
            | u64::from(self.of == Of::NewDir) << 2;
        let atime = told.atime.unwrap_or_default();
        let words = [
            self.path.len() as u64,
            flags,
            self.mode.into(),
            self.id.0,
            self.id.1,
            told.mode.into(),
            told.mtime.secs.cast_unsigned(),
            told.mtime.nanos.into(),
            atime.secs.cast_unsigned(),
            atime.nanos.into(),
            told.uid.into(),
            told.gid.into(),
            number,
        ];
        for word in words {
            log.write_all(&word.to_le_bytes())?;
        }
        log.write_all(&self.path)
    }

    /// The next one; `None` at the end.
    fn read(log: &mut impl Read) -> io::Result<Option<Self>> {
        let mut words = [0_u64; 13];
        for (index, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            match log.read_exact(&mut bytes) {
                Err(error) if index == 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                read => read?,
            }
            *word = u64::from_le_bytes(bytes);
        }
        let [len, flags, mode, dev, ino, told, secs, nanos, asecs, ananos, uid, gid, number] =
            words;
        let mut path = vec![0; len as usize];
        log.read_exact(&mut path)?;
        let time = |secs: u64, nanos| Time { secs: secs.cast_signed(), nanos: nanos as u32 };
        let atime = (flags & 2 != 0).then(|| time(asecs, ananos));
        let (uid, gid, mtime) = (uid as u32, gid as u32, time(secs, nanos));
        let meta = Meta { mode: told as u32, mtime, atime, uid, gid };
        let told = (flags & 1 != 0).then_some((number, meta));
        let of = if flags & 4 != 0 { Of::NewDir } else { Of::OldDir };
        Ok(Some(Self { path, told, of, mode: mode as u32, id: (dev, ino) }))
    }
}

/// A file that has no name, below the root: it goes with the process.
fn unnamed(beneath: &Beneath) -> io::Result<File> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    if let Ok(file) = openat(beneath.root(), c".", flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    let name = temporary_name()?;
    let created = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = openat(beneath.root(), &name, created, mode)?;
    unlinkat(beneath.root(), &name, AtFlags::empty())?;
    Ok(file.into())
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
