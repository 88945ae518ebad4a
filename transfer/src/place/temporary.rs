//! Files under temporary names beside their places, and the step to their own names.
//!
//! A temporary file is locked (flock(2)) as long as it lives, which is how a sweep knows it from one whose process is
//! gone. A process id in the name would spare that call, and would be wrong: a receiver in another container, or on
//! another host of a network file system, has ids of its own, so that a living process's file would be removed. One
//! fstat follows, which tells that no sweep came between the two calls, and the owner and mode that [`super::meta`]
//! needs to know.

use super::beneath::{Beneath, plain_name, shown};
use super::dirs::Folder;
use super::error::{PlaceError, what};
use super::meta::Has;
use super::room;
use crate::destination::Shown;
use crate::tree::scan::holes;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, flock, fstat, linkat,
    openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Begin and end of a temporary file's name; between them stand the process and 64 bits.
const PREFIX: &str = ".mcp-";
const SUFFIX: &str = ".part";

/// Whether a name is one that a temporary file has.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    let inner = name
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()))
        .map(|rest| rest.split(|byte| *byte == b'-').collect::<Vec<_>>());
    matches!(inner.as_deref(), Some([pid, random])
        if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit)
            && random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}

/// Names tried: another one is only needed when a sweep took the file before it was locked, or somebody has its name.
const TRIES: usize = 8;

/// A new temporary name, as [`crate::sweep`] knows them: random bits drawn once in a process, and a counter.
pub(crate) fn temporary_name() -> Result<OsString, io::Error> {
    static FIRST: OnceLock<(u32, u64)> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, first) = if let Some(first) = FIRST.get() {
        *first
    } else {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        *FIRST.get_or_init(|| (std::process::id(), u64::from_be_bytes(random)))
    };
    let number = first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
    Ok(OsString::from(format!("{PREFIX}{process}-{number:016x}{SUFFIX}")))
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub kind: FileType,
    /// Its permission bits, owner and group.
    pub has: Has,
}

impl Folder {
    /// What stands under a name; nothing, without asking, in a folder that was created for this tree.
    pub fn standing(&self, name: &OsStr) -> Result<Option<Standing>, PlaceError> {
        if self.is_new() {
            return Ok(None);
        }
        Ok(self.look(name)?.map(|stat| {
            let has = Has { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
            Standing { kind: FileType::from_raw_mode(stat.st_mode), has }
        }))
    }

    /// The same, in any folder. What cannot be looked at is not nothing.
    pub fn look(&self, name: &OsStr) -> Result<Option<Stat>, PlaceError> {
        match statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(PlaceError::system("look at", &self.shown().join(name), errno)),
        }
    }

    /// Whether a file or link may take this name: it may take that of a file, of a symbolic link if links are kept
    /// (of the link itself, never of what it says), and of an empty folder, which `give_name` finds out.
    pub fn may_replace(&self, name: &OsStr, links: bool) -> Result<Option<Standing>, PlaceError> {
        let standing = self.standing(name)?;
        match standing.map(|standing| standing.kind) {
            None | Some(FileType::RegularFile | FileType::Directory) => Ok(standing),
            Some(FileType::Symlink) if links => Ok(standing),
            Some(kind) => Err(PlaceError::stands(&self.shown().join(name), what(kind))),
        }
    }
}

/// A file that is removed again unless it was given its name.
#[derive(Debug)]
pub struct Temporary {
    file: File,
    folder: Arc<Folder>,
    name: OsString,
    has: Has,
    named: bool,
    /// A partial file stays, up to there, if it is not given its name.
    stays: Option<u64>,
    /// Its name is one that others make files under as well.
    foreseen: bool,
}

impl Temporary {
    /// Creates it in a folder, readable by nobody else.
    pub fn create(folder: &Arc<Folder>) -> Result<Self, PlaceError> {
        let failed =
            |cause: io::Error| PlaceError::system("create a file in", folder.shown(), cause);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let name = temporary_name().map_err(failed)?;
            let file = match openat(folder.fd(), &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => File::from(file),
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(failed(errno.into())),
            };
            let mut made = Self {
                file,
                folder: folder.clone(),
                name,
                has: Has::default(),
                named: false,
                stays: None,
                foreseen: false,
            };
            if !lock(&made.file).map_err(|errno| failed(errno.into()))? {
                continue; // a sweep was quicker
            }
            let stat = fstat(&made.file).map_err(|errno| failed(errno.into()))?;
            if stat.st_nlink > 0 {
                made.has = Has { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
                return Ok(made);
            }
        }
        Err(failed(io::Error::other("no temporary file could be created and locked")))
    }

    /// One that was made before, under a name of its own, and stays up to there if it is not given its name.
    pub(super) fn partial(
        file: File,
        folder: &Arc<Folder>,
        name: OsString,
        stays: Option<u64>,
    ) -> Result<Self, PlaceError> {
        let stat = fstat(&file)
            .map_err(|errno| PlaceError::system("look at", &folder.shown().join(&name), errno))?;
        let has = Has { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
        let folder = Arc::clone(folder);
        Ok(Self { file, folder, name, has, named: false, stays, foreseen: true })
    }

    /// It stays up to there at least.
    pub(super) fn keep_to(&mut self, end: u64) {
        self.stays = Some(self.stays.map_or(end, |stays| stays.max(end)));
    }

    /// It does not stay.
    pub fn discard(&mut self) {
        self.stays = None;
    }

    /// Which inode it is.
    pub fn inode(&self) -> Result<(u64, u64), PlaceError> {
        let stat = fstat(&self.file)
            .map_err(|errno| PlaceError::system("look at", self.folder.shown(), errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// What it is called until then.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What it was created with.
    pub fn has(&self) -> Has {
        self.has
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Gives it its name in one step; what may be replaced is asked before ([`Folder::may_replace`]).
    pub fn rename(&mut self, name: &OsStr) -> Result<(), PlaceError> {
        if !self.has_its_name() {
            let path = self.folder.shown().join(name);
            let why = "what was written of it was removed or replaced meanwhile";
            return Err(PlaceError::stands(&path, why));
        }
        give_name(&self.folder, &self.name, name, false)?;
        self.named = true;
        Ok(())
    }
}

impl Temporary {
    /// Whether its name still leads to it: another file that was made under a name that can be foreseen is not whole.
    fn has_its_name(&self) -> bool {
        let there = || statat(self.folder.fd(), &self.name, AtFlags::SYMLINK_NOFOLLOW).ok();
        !self.foreseen
            || there().is_some_and(|there| self.inode().ok() == Some((there.st_dev, there.st_ino)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(end) = self.stays.filter(|_| !self.named) {
            // The room that was taken for the rest is given back.
            if self.file.metadata().is_ok_and(|meta| meta.len() > end) {
                let _ = self.file.set_len(end);
            }
        } else if !self.named && self.has_its_name() {
            // Nobody is left to tell: the folder may be gone as a whole.
            let _ = unlinkat(self.folder.fd(), &self.name, AtFlags::empty());
        }
    }
}

/// Locks a file; `false`: somebody else has. Not every file system has locks; then nobody can take it either.
pub(super) fn lock(file: &File) -> Result<bool, Errno> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK | Errno::INVAL) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What has come to stand where nothing stood.
const TAKEN: &str =
    "an entry of the tree stands there whose name this file system takes for the same";

/// Renames, unless something stands there: by the kernel in one step, or where the file system behind FUSE does not
/// know of that, after a look.
fn rename_to_nothing(folder: &Folder, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    let fd = folder.fd();
    match renameat_with(fd, from, fd, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => look_and_rename(folder, from, to),
        renamed => renamed,
    }
}

fn look_and_rename(folder: &Folder, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    match statat(folder.fd(), to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(folder.fd(), from, folder.fd(), to),
        Err(errno) => Err(errno),
    }
}

/// Renames, and makes way where an empty folder stands; `special`: it is a device, a pipe or a socket.
fn give_name(folder: &Folder, from: &OsStr, to: &OsStr, special: bool) -> Result<(), PlaceError> {
    let path = folder.shown().join(to);
    plain_name(to.as_encoded_bytes())?;
    // In a folder that was made for this tree stands what the tree brought, be it by another session: what stands there
    // may be an entry with a name that this file system takes for the same.
    let renamed = if folder.is_new() {
        match rename_to_nothing(folder, from, to) {
            Err(Errno::EXIST) => {
                may_take((folder, to), &path, special)?;
                renameat(folder.fd(), from, folder.fd(), to)
            }
            renamed => renamed,
        }
    } else {
        renameat(folder.fd(), from, folder.fd(), to)
    };
    match renamed {
        Ok(()) => return Ok(()),
        Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(PlaceError::system("give its name to", &path, errno)),
    }
    match unlinkat(folder.fd(), to, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => {}
        // Which of the two it is differs between file systems.
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            return Err(PlaceError::stands(&path, "it is a folder that is not empty"));
        }
        Err(Errno::BUSY) => {
            return Err(PlaceError::stands(&path, "a file system is mounted there"));
        }
        Err(errno) => return Err(PlaceError::system("make way for", &path, errno)),
    }
    renameat(folder.fd(), from, folder.fd(), to)
        .map_err(|e| PlaceError::system("give its name to", &path, e))
}

/// Whether what came to stand in a folder that was made for this tree may be replaced: what another session has brought
/// may, an entry of the tree with a name that is the same here may not. As elsewhere, one that is `special` takes the
/// name of another, and no file does.
fn may_take(
    (folder, name): (&Folder, &OsStr),
    path: &Shown,
    special: bool,
) -> Result<(), PlaceError> {
    let there = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = there.map(|there| FileType::from_raw_mode(there.st_mode));
    let is_its_own = is_its_own(folder, name)
        .map_err(|errno| PlaceError::system("look into", folder.shown(), errno))?;
    match kind {
        _ if !is_its_own => Err(PlaceError::stands(path, TAKEN)),
        Err(_) | Ok(FileType::RegularFile | FileType::Directory | FileType::Symlink) => Ok(()),
        Ok(kind) if special && is_special(kind) => Ok(()),
        Ok(kind) => Err(PlaceError::stands(path, what(kind))),
    }
}

/// Whether what stands under a name has that very name. The names of the folder are read only where that is in doubt:
/// with ASCII alone it is not unless case folds, which shows by the name with its case swapped.
pub(super) fn is_its_own(folder: &Folder, name: &OsStr) -> Result<bool, Errno> {
    let bytes = name.as_encoded_bytes();
    let swap = |byte: &u8| if byte.is_ascii_lowercase() { byte & !0x20 } else { byte | 0x20 };
    let swap = |byte: &u8| if byte.is_ascii_alphabetic() { swap(byte) } else { *byte };
    let swapped: Vec<u8> = bytes.iter().map(swap).collect();
    let inode = |name: &[u8]| {
        let stat = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    if bytes.is_ascii() && (swapped == bytes || inode(&swapped) != inode(bytes)) {
        return Ok(true);
    }
    for entry in Dir::read_from(folder.fd())? {
        if entry?.file_name().to_bytes() == bytes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a name by one call, or where something stands, under a temporary name that then takes its place.
fn make(
    (folder, name): (&Folder, &OsStr),
    special: bool,
    create: impl Fn(&OsStr) -> Result<(), Errno>,
) -> Result<(), MakeError> {
    match create(name) {
        Err(Errno::EXIST) => make_aside((folder, name), special, create, |_| Ok(())),
        made => made.map_err(MakeError::Made),
    }
}

/// Makes something by one call under a temporary name, does with it what is to be done before it may be seen, and gives
/// it its name. What fails leaves what stood there. `special`: it is a device, a pipe or a socket.
pub(super) fn make_aside<T>(
    (folder, name): (&Folder, &OsStr),
    special: bool,
    create: impl Fn(&OsStr) -> Result<(), Errno>,
    prepare: impl Fn(&OsStr) -> Result<T, PlaceError>,
) -> Result<T, MakeError> {
    let path = folder.shown().join(name);
    for _ in 0..TRIES {
        let temporary = temporary_name().map_err(|e| PlaceError::system("name", &path, e))?;
        match create(&temporary) {
            Err(Errno::EXIST) => continue,
            made => made.map_err(MakeError::Made)?,
        }
        let named = prepare(&temporary)
            .and_then(|done| give_name(folder, &temporary, name, special).map(|()| done));
        // Renaming to another name of the same file does nothing, and leaves both (rename(2)).
        let gone = unlinkat(folder.fd(), &temporary, AtFlags::empty()) == Err(Errno::NOENT);
        match named {
            // A sweep took it for a leftover.
            Err(error) if gone && error.is_missing() => {}
            named => return named.map_err(MakeError::Named),
        }
    }
    Err(MakeError::Named(PlaceError::system("name", &path, Errno::EXIST)))
}

/// Why a link was not made: by the call that makes it, or after it.
pub(super) enum MakeError {
    Made(Errno),
    Named(PlaceError),
}

impl From<PlaceError> for MakeError {
    fn from(error: PlaceError) -> Self {
        Self::Named(error)
    }
}

/// Whether a device, a pipe or a socket may take a name: as a file, and that of another of its kind.
pub fn may_replace_special(folder: &Folder, name: &OsStr) -> Result<Option<Standing>, PlaceError> {
    let standing = folder.standing(name)?;
    if standing.is_some_and(|standing| is_special(standing.kind)) {
        return Ok(standing);
    }
    folder.may_replace(name, true)
}

fn is_special(kind: FileType) -> bool {
    let specials =
        [FileType::Fifo, FileType::Socket, FileType::CharacterDevice, FileType::BlockDevice];
    specials.contains(&kind)
}

/// What became of another name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It was one before.
    Same,
    /// It is one.
    Link,
    /// It cannot be: the file has as many names as it may have.
    Full,
    /// It cannot be: the file is on another file system.
    Apart,
}

/// Makes another name of the file at `to`, a path from the root; `specials`: it may be a device, a pipe or a socket.
pub fn link(
    (beneath, to): (&Beneath, &[u8]),
    folder: &Arc<Folder>,
    name: &[u8],
    specials: bool,
) -> Result<Linked, PlaceError> {
    let name = plain_name(name)?;
    let path = folder.shown().join(name);
    let (parent, first) = beneath.parent(to)?;
    let stat = statat(&parent, first, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| PlaceError::system("look at", &shown(to), errno))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let special = specials && is_special(kind);
    if !special && !matches!(kind, FileType::RegularFile | FileType::Symlink) {
        return Err(PlaceError::stands(&shown(to), what(kind)));
    }
    let id = |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let there = statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
    if there.is_ok() && folder.is_new() {
        // As a file or a symbolic link: another session that brings the same tree may have been quicker.
        may_take((folder, name), &path, special)?;
    }
    if there.is_ok_and(|there| id(&there) == id(&stat)) {
        return Ok(Linked::Same);
    }
    if special {
        may_replace_special(folder, name)?;
    } else {
        folder.may_replace(name, true)?;
    }
    // Without AT_SYMLINK_FOLLOW: a symbolic link that stands there by now gets the name itself.
    let made = make((folder, name), special, |name| {
        linkat(&parent, first, folder.fd(), name, AtFlags::empty())
    });
    match made {
        Ok(()) => Ok(Linked::Link),
        Err(MakeError::Made(Errno::MLINK)) => Ok(Linked::Full),
        Err(MakeError::Made(Errno::XDEV)) => Ok(Linked::Apart),
        Err(MakeError::Made(errno)) => Err(PlaceError::system("make the link", &path, errno)),
        Err(MakeError::Named(error)) => Err(error),
    }
}

/// Bytes that are copied before it is asked again whether that is wanted: some hundredths of a second.
const PIECE: u64 = 16 << 20;

/// Copies the bytes of a file into one that has no name yet; holes stay holes. Nothing comes of it once it `is_over`.
pub fn copy(
    from: &File,
    folder: &Arc<Folder>,
    is_over: &dyn Fn() -> bool,
) -> Result<Option<Temporary>, PlaceError> {
    let made = Temporary::create(folder)?;
    let len = from.metadata().map_err(|e| PlaceError::system("copy in", folder.shown(), e))?.len();
    let whole = copy_bytes((from, len), made.file(), is_over);
    let whole = whole.map_err(|e| room::sorted(e, len, folder.shown()))?;
    Ok(whole.then_some(made))
}

/// The system copies where it can, also from one file system to another (`copy_file_range(2)` alone does not). Whether
/// all was copied.
fn copy_bytes(
    (mut from, len): (&File, u64),
    mut to: &File,
    is_over: &dyn Fn() -> bool,
) -> io::Result<bool> {
    let whole = [0..len];
    let data = holes::data(from.as_fd(), len);
    for run in data.as_deref().unwrap_or(&whole) {
        from.seek(io::SeekFrom::Start(run.start))?;
        to.seek(io::SeekFrom::Start(run.start))?;
        let mut left = run.end - run.start;
        while left > 0 {
            if is_over() {
                return Ok(false);
            }
            let copied = io::copy(&mut from.take(left.min(PIECE)), &mut to)?;
            if copied == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= copied;
        }
    }
    to.set_len(len)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_where_the_kernel_does_not_look_for_us() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["from", "other", "to"] {
            std::fs::write(at(name), name).unwrap();
        }
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Folder::open(&beneath, b"", true).unwrap();
        let rename = |from: &str, to: &str| look_and_rename(&folder, from.as_ref(), to.as_ref());
        assert_eq!(rename("from", "to"), Err(Errno::EXIST));
        assert_eq!(std::fs::read(at("to")).unwrap(), b"to");
        assert_eq!(rename("from", "free"), Ok(()));
        assert_eq!(std::fs::read(at("free")).unwrap(), b"from");
    }

    #[test]
    fn only_our_own_names_are_temporary() {
        for name in [".mcp-1-0123456789abcdef.part", ".mcp-4194304-ffffffffffffffff.part"] {
            assert!(is_temporary(name.as_bytes()), "{name}");
        }
        for name in [
            ".mcp-.part",
            ".mcp-1-0123.part",
            "mcp-1-0123456789abcdef.part",
            ".mcp-1-0123456789abcdeg.part",
            ".mcp-x-0123456789abcdef.part",
            ".mcp-1-0123456789abcdef.part2",
            ".mcp-1-2-0123456789abcdef.part",
        ] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
    }
}
