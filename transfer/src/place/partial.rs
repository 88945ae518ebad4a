//! Files that are not whole yet and stay, to be gone on with by a later session.
//!
//! Beside the place of a file stand its partial file and what is known of that, under names that follow from its own:
//! `.mcp-` with 16 hexadecimal digits, the beginning of the BLAKE3 of its name, and `.partial` or `.state`. The state
//! begins with `mcpstat1` and the [`Key`]; a record for each block follows: its index (u64, little endian), its value,
//! and the first 8 bytes of the BLAKE3 of the key and both. What is behind the first record that is not whole does not
//! count. Nothing of it is believed: blocks are hashed again, and their values compared with the sender's.

use super::beneath::plain_name;
use super::dirs::Folder;
use super::error::PlaceError;
use super::temporary::{Temporary, lock};
use crate::blocks::{self, Value, hashing};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Begins a state, with its version.
const MAGIC: &[u8; 8] = b"mcpstat1";
/// Bytes of a record: index, value, check.
const RECORD: usize = 8 + blake3::OUT_LEN + CHECK;
/// Bytes of a record's check.
const CHECK: usize = 8;
const PREFIX: &str = ".mcp-";
const DIGITS: usize = 16;
const PARTIAL: &str = ".partial";
const STATE: &str = ".state";

/// What a partial file is a part of: destination, source, its length and time, and its sender, in one digest.
pub type Key = [u8; 32];

/// Whether a name is one that a partial file or its state has.
pub(crate) fn is_partial(name: &[u8]) -> bool {
    let inner = name.strip_prefix(PREFIX.as_bytes());
    let digits = inner.and_then(|rest| {
        rest.strip_suffix(PARTIAL.as_bytes()).or_else(|| rest.strip_suffix(STATE.as_bytes()))
    });
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

/// The names of a file's partial file and of its state.
pub(crate) fn names(name: &OsStr) -> [OsString; 2] {
    let digits = &hashing::of_name(name.as_encoded_bytes()).to_hex()[..DIGITS];
    [PARTIAL, STATE].map(|suffix| format!("{PREFIX}{digits}{suffix}").into())
}

/// The name of the partial file that a state is of; `None` for another name.
pub(crate) fn partial_of(name: &[u8]) -> Option<Vec<u8>> {
    let digits = name.strip_suffix(STATE.as_bytes()).filter(|_| is_partial(name))?;
    Some([digits, PARTIAL.as_bytes()].concat())
}

/// The name of a partial file's state.
pub(crate) fn state_of(name: &[u8]) -> Vec<u8> {
    let digits = name.strip_suffix(PARTIAL.as_bytes()).unwrap_or(name);
    [digits, STATE.as_bytes()].concat()
}

/// No inode (stat(2): numbers begin with 1).
const UNKNOWN: (u64, u64) = (0, 0);

/// Why there is no partial file to be written to.
#[derive(Debug)]
pub enum Busy {
    /// Somebody writes it: this inode.
    Held((u64, u64)),
    /// It cannot be made.
    Failed(PlaceError),
}

impl From<PlaceError> for Busy {
    fn from(error: PlaceError) -> Self {
        Self::Failed(error)
    }
}

/// A partial file that is open, and what it is said to hold.
#[derive(Debug)]
pub struct Partial {
    /// What is written to. It stays if it holds a block when it is dropped.
    pub temporary: Temporary,
    /// What is known of it.
    pub journal: Journal,
    /// Blocks that it holds, and their values.
    pub held: BTreeMap<u64, Value>,
}

/// Notes which blocks a partial file holds.
#[derive(Debug)]
pub struct Journal {
    state: File,
    folder: Arc<Folder>,
    name: OsString,
    key: Key,
    len: u64,
    at: u64,
    /// Blocks noted.
    blocks: u64,
    /// The file is whole, or of no use: its state goes.
    done: bool,
}

impl Partial {
    /// Opens the one of a file of `len` bytes, or makes it. One that is of something else is made anew: who reads it while
    /// it arrives has it open, and what was said of it stays so.
    pub fn open(folder: &Arc<Folder>, name: &OsStr, key: Key, len: u64) -> Result<Self, Busy> {
        let [partial, state] = names(plain_name(name.as_encoded_bytes())?);
        let failed = |errno: Errno| PlaceError::system("create a file in", folder.shown(), errno);
        let file = match ours(folder, &partial)? {
            Some(file) => file,
            None => made(folder, &partial)?,
        };
        let size = held(&file, folder)?;
        let known = match ours(folder, &state)? {
            Some(old) => read(&old, &key, len).map(|(held, at)| (old, held, at)),
            None => None,
        };
        let (file, (state_file, held, at)) = if let Some(known) = known {
            (file, known)
        } else {
            let file = if size > 0 { anew(folder, &partial)? } else { file };
            let _ = unlinkat(folder.fd(), &state, AtFlags::empty());
            let made = File::from(create(folder, &state).map_err(failed)?);
            let begin = [&MAGIC[..], &key].concat();
            made.write_all_at(&begin, 0)
                .map_err(|e| PlaceError::system("write in", folder.shown(), e))?;
            (file, (made, BTreeMap::new(), begin.len() as u64))
        };
        let blocks = held.len() as u64;
        let keep = held.keys().next_back().map(|last| blocks::range(*last, len).end);
        let temporary = Temporary::partial(file, folder, partial, keep)?;
        let folder = Arc::clone(folder);
        let journal =
            Journal { state: state_file, folder, name: state, key, len, at, blocks, done: false };
        Ok(Self { temporary, journal, held })
    }
}

fn made(folder: &Folder, partial: &OsStr) -> Result<File, Busy> {
    match create(folder, partial) {
        Ok(made) => Ok(File::from(made)),
        // Another session was quicker: which file that is, the next look says.
        Err(Errno::EXIST) => Err(Busy::Held(UNKNOWN)),
        Err(errno) => Err(PlaceError::system("create a file in", folder.shown(), errno).into()),
    }
}

/// Locks what has the name of a partial file. Its length.
fn held(file: &File, folder: &Folder) -> Result<i64, Busy> {
    let failed = |errno: Errno| PlaceError::system("create a file in", folder.shown(), errno);
    let stat = fstat(file).map_err(failed)?;
    // Without a name it was a sweep, or the session that had it, that was there between the two calls.
    if !lock(file).map_err(failed)? || fstat(file).map_err(failed)?.st_nlink == 0 {
        return Err(Busy::Held((stat.st_dev, stat.st_ino)));
    }
    Ok(stat.st_size)
}

/// Another file under the name of one that is locked.
fn anew(folder: &Folder, partial: &OsStr) -> Result<File, Busy> {
    let failed = |errno: Errno| PlaceError::system("remove a file in", folder.shown(), errno);
    unlinkat(folder.fd(), partial, AtFlags::empty()).map_err(failed)?;
    let file = made(folder, partial)?;
    held(&file, folder)?;
    Ok(file)
}

/// Removes what an earlier session has left of a file, unless somebody writes it.
pub fn remove(folder: &Folder, name: &OsStr) {
    let [partial, state] = names(name);
    if let Ok(Some(file)) = ours(folder, &partial)
        && matches!(lock(&file), Ok(true))
    {
        for name in [partial, state] {
            let _ = unlinkat(folder.fd(), &name, AtFlags::empty()); // a sweep has another go at it
        }
    }
}

impl Journal {
    /// A block is written: from here on the file stays.
    pub fn note(&mut self, temporary: &mut Temporary, index: u64, value: &Value) -> io::Result<()> {
        let record = record(&self.key, index, value);
        self.state.write_all_at(&record, self.at)?;
        self.at += record.len() as u64;
        self.blocks += 1;
        temporary.keep_to(blocks::range(index, self.len).end);
        Ok(())
    }

    /// The file has its name, or is to go.
    pub fn end(&mut self) {
        self.done = true;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.done || self.blocks == 0 {
            let _ = unlinkat(self.folder.fd(), &self.name, AtFlags::empty());
        }
    }
}

fn record(key: &Key, index: u64, value: &Value) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&index.to_le_bytes());
    record[8..8 + value.len()].copy_from_slice(value);
    let mut checked = [0; 2 * blake3::OUT_LEN + 8];
    checked[..key.len()].copy_from_slice(key);
    checked[key.len()..].copy_from_slice(&record[..8 + value.len()]);
    let check = hashing::of_name(&checked);
    record[8 + value.len()..].copy_from_slice(&check.as_bytes()[..CHECK]);
    record
}

/// What a state says, and where it ends; `None` if it is of something else.
fn read(state: &File, key: &Key, len: u64) -> Option<(BTreeMap<u64, Value>, u64)> {
    let mut begin = [0; MAGIC.len() + 32];
    state.read_exact_at(&mut begin, 0).ok()?;
    if &begin[..MAGIC.len()] != MAGIC || begin[MAGIC.len()..] != key[..] {
        return None;
    }
    let (mut held, mut at, mut bytes) = (BTreeMap::new(), begin.len() as u64, [0; RECORD]);
    while state.read_exact_at(&mut bytes, at).is_ok() {
        let index = u64::from_le_bytes(*bytes.first_chunk()?);
        let value: Value = bytes[8..40].try_into().ok()?;
        if index >= blocks::count(len) || record(key, index, &value) != bytes {
            break;
        }
        held.insert(index, value);
        at += RECORD as u64;
    }
    Some((held, at))
}

/// Opens a file of that name if it is one that this process's user made, and that nobody else can reach: no other
/// name, no permissions for others. Whatever else stands there goes, unless somebody writes it: not every file system
/// keeps owners and permissions.
fn ours(folder: &Folder, name: &OsStr) -> Result<Option<File>, Busy> {
    let failed = |errno: Errno| PlaceError::system("open a file in", folder.shown(), errno);
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(folder.fd(), name, flags, Mode::empty()) {
        Ok(file) => {
            let stat = fstat(&file).map_err(failed)?;
            let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
            let others = Mode::RWXG | Mode::RWXO;
            let alone = stat.st_nlink == 1 && !Mode::from_raw_mode(stat.st_mode).intersects(others);
            if regular && alone && stat.st_uid == rustix::process::geteuid().as_raw() {
                return Ok(Some(file.into()));
            }
            let file = File::from(file);
            if regular && stat.st_nlink == 1 && !lock(&file).map_err(failed)? {
                return Err(Busy::Held((stat.st_dev, stat.st_ino)));
            }
        }
        Err(Errno::NOENT) => return Ok(None),
        Err(_) => {}
    }
    match unlinkat(folder.fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(errno).into()),
    }
}

fn create(folder: &Folder, name: &OsStr) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder.fd(), name, flags, Mode::RUSR | Mode::WUSR)
}

#[cfg(test)]
mod tests;
