//! Digests of what stands there, found by several threads before the entries of a part are looked at one by one. A long
//! file has threads of its own when its turn comes.

use super::Below;
use crate::blocks::{BLOCK, Value};
use crate::holders::Inode;
use crate::message::Check;
use crate::place::beneath::Beneath;
use crate::threads;
use crate::tree::digest::of_file;
use crate::tree::entry::Kind;
use crate::tree::manifest::{PartReader, Record};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};
use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that are longer are hashed by several threads each.
const LONG: u64 = 8 * BLOCK;
/// Fewer files are not worth a thread.
const FEW: usize = 16;

/// What a file was like when it was hashed: its length and its times of modification and change.
pub(super) type State = (i64, [i64; 4]);

/// Digests of files as they were when they were hashed.
#[derive(Debug, Default)]
pub(super) struct Hashed(HashMap<Inode, (State, Value)>);

impl Hashed {
    /// The digest of what was found, unless it has changed since.
    pub(super) fn of(&self, found: &Stat) -> Option<Value> {
        let (then, value) = self.0.get(&(found.st_dev, found.st_ino))?;
        (*then == state(found)).then_some(*value)
    }
}

pub(super) fn state(stat: &Stat) -> State {
    // Whole seconds and nanoseconds have other types on other machines.
    let nanos = |nanos| i64::try_from(nanos).unwrap_or(0);
    let times =
        [stat.st_mtime, nanos(stat.st_mtime_nsec), stat.st_ctime, nanos(stat.st_ctime_nsec)];
    (stat.st_size, times)
}

impl Below<'_> {
    /// Hashes what stands where the files of a part are to be, if they are compared by their digests.
    pub(super) fn hash_ahead(&mut self, part: PartReader<'_>) {
        self.hashed = Hashed::default();
        if self.check != Check::Digest || self.named.is_some() {
            return;
        }
        let files = files(part, &self.base);
        if files.len() < FEW || (self.is_over)() {
            return;
        }
        let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let hashed = Mutex::new(HashMap::new());
        let (beneath, is_over) = (&self.beneath, self.is_over);
        let work = |look: &dyn Fn() -> bool| {
            let is_over = || over.load(Ordering::Relaxed) || look();
            while let Some((path, len)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                if is_over() {
                    over.store(true, Ordering::Relaxed);
                    return;
                }
                if let Some((stat, value)) = digest(beneath, path, *len, &is_over) {
                    let mut hashed = hashed.lock().unwrap_or_else(PoisonError::into_inner);
                    hashed.insert((stat.st_dev, stat.st_ino), (state(&stat), value));
                }
            }
        };
        // What a thread has not come to is hashed where it is looked at.
        let _ = threads::beside(threads::hashing() - 1, || work(&|| false), || work(is_over));
        self.hashed = Hashed(hashed.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The files of a part that have a digest and are not long: path from the root, and length.
fn files(mut part: PartReader<'_>, base: &[u8]) -> Vec<(Vec<u8>, u64)> {
    let mut way = part.header().way.clone();
    let mut files = Vec::new();
    // What is wrong with a part is told where it is read.
    while let Ok(Some(record)) = part.next_record() {
        match record {
            Record::Root(_) | Record::Whole | Record::Other(_) => {}
            Record::Leave => {
                way.pop();
            }
            Record::Entry(_, entry, digest) => match entry.kind {
                Kind::Dir => way.push(entry.name),
                Kind::File { len, .. } if digest.is_some() && (1..LONG).contains(&len) => {
                    let parts = (!base.is_empty()).then_some(base).into_iter();
                    let parts = parts.chain(way.iter().map(Vec::as_slice)).chain([&*entry.name]);
                    files.push((parts.collect::<Vec<_>>().join(&b'/'), len));
                }
                _ => {}
            },
        }
    }
    files
}

/// The digest of what stands at a path, if it is a file of this length, and stays as it is meanwhile.
fn digest(
    beneath: &Beneath,
    path: &[u8],
    len: u64,
    is_over: &dyn Fn() -> bool,
) -> Option<(Stat, Value)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(beneath.open(path, flags, Mode::empty()).ok()?);
    let stat = fstat(&file).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || stat.st_size.cast_unsigned() != len {
        return None;
    }
    let value = of_file(&file, len, is_over).ok()?;
    let after = fstat(&file).ok()?;
    (state(&stat) == state(&after)).then(|| (stat, *value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::holder;
    use super::super::*;
    use super::*;
    use crate::tree::manifest::PartWriter;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    const FILES: u64 = 50;

    fn told(number: u64) -> (Entry, Value) {
        let (bytes, name) = (format!("file {number:03}"), format!("{number:03}").into_bytes());
        let kind = Kind::File { len: bytes.len() as u64, data: None };
        let entry = Entry { name, meta: Meta { mode: 0o644, ..Meta::default() }, kind };
        (entry, *blake3::hash(bytes.as_bytes()).as_bytes())
    }

    fn folder() -> Entry {
        let meta = Meta { mode: 0o755, ..Meta::default() };
        Entry { name: b"folder".to_vec(), meta, kind: Kind::Dir }
    }

    fn part() -> Vec<u8> {
        let owner = || Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() };
        let mut writer = PartWriter::new();
        writer.entry(&folder(), None, owner);
        for number in 0..FILES {
            let (entry, digest) = told(number);
            writer.entry(&entry, Some(digest), owner);
        }
        writer.leave();
        writer.end(true).0
    }

    /// Every file is there, the last with other bytes.
    fn make(root: &Path) {
        fs::create_dir_all(root.join("to/folder")).unwrap();
        for number in 0..FILES {
            let bytes = format!("file {:03}", if number == FILES - 1 { 999 } else { number });
            fs::write(root.join(format!("to/folder/{number:03}")), bytes).unwrap();
        }
    }

    fn below<'a>(root: &Root, check: Check, is_over: &'a dyn Fn() -> bool) -> Below<'a> {
        let offer = Offer { to: b"to/".to_vec(), check, ..Offer::default() };
        Below::new(root, &offer, &Limits::default(), (holder(), is_over)).unwrap()
    }

    #[test]
    fn what_was_hashed_ahead_is_what_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        make(dir.path());
        let mut below = below(&root, Check::Digest, &|| false);
        let part = part();
        below.foresee(PartReader::new(0, &part).unwrap());
        assert_eq!(below.hashed.0.len() as u64, FILES);
        below.enter(0, &folder()).unwrap();
        // One that has changed since is hashed again.
        let changed = dir.path().join("to/folder/007");
        fs::write(&changed, "file 666").unwrap();
        for number in 0..FILES {
            let (entry, digest) = told(number);
            let same = number != 7 && number != FILES - 1;
            let expected = if same { Stands::Same } else { Stands::Other };
            assert_eq!(below.look(&entry, Some(&digest)), Ok(expected), "{number}");
        }
        // It is by these digests that they were compared.
        let id = fs::metadata(dir.path().join("to/folder/008")).unwrap();
        below.hashed.0.get_mut(&(id.dev(), id.ino())).unwrap().1 = [0; 32];
        let (entry, digest) = told(8);
        assert_eq!(below.look(&entry, Some(&digest)), Ok(Stands::Other));
    }

    #[test]
    fn nothing_is_hashed_that_nobody_asked_for_or_wants_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        make(dir.path());
        let part = part();
        let count = |check, is_over: &dyn Fn() -> bool| {
            let mut below = below(&root, check, is_over);
            below.foresee(PartReader::new(0, &part).unwrap());
            below.hashed.0.len() as u64
        };
        assert_eq!(count(Check::Quick, &|| false), 0);
        assert_eq!(count(Check::Digest, &|| true), 0);
    }
}
