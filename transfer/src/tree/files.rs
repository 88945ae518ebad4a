//! Reads the files of a listed tree, block by block, as they stand in the session.

use super::entry::{Kind, Time};
use super::layout::{self, Planner, ROW, Spot};
use super::manifest::{PartError, PartReader, Record};
use super::scan::Opener;
use crate::blocks::{self, BLOCK, Value, hashing};
use core::ops::Range;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

/// Opens the files of a tree by their paths from the root of the transfer.
pub trait Open: Sync {
    /// Opens one for reading; never through a symbolic link.
    fn open(&self, path: &[u8]) -> io::Result<File>;
}

impl Open for Opener {
    fn open(&self, path: &[u8]) -> io::Result<File> {
        self.open_file(path).map_err(io::Error::other)
    }
}

/// A file of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entry: u64,
    pub(crate) path: Vec<u8>,
    pub(crate) len: u64,
    pub(crate) mtime: Time,
    /// `None`: everywhere.
    pub(crate) data: Option<Vec<Range<u64>>>,
}

/// The files of one part by where they stand.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// By the first block of each.
    own: BTreeMap<u64, Listed>,
    /// By pack: its files in order, each with its first byte from the block's beginning.
    packs: BTreeMap<u64, Vec<(u32, Listed)>>,
}

impl Shelf {
    /// Of the part of this number, whose data begin with this block.
    pub(crate) fn read(number: u64, bytes: &[u8], data: u64) -> Result<Self, PartError> {
        let (mut reader, mut planner) = (PartReader::new(number, bytes)?, Planner::new(data));
        let mut way = reader.header().way.clone();
        let mut shelf = Self::default();
        while let Some(record) = reader.next_record()? {
            match record {
                Record::Root(_) | Record::Whole | Record::Other(_) => {}
                Record::Leave => drop(way.pop()),
                Record::Entry(entry, told, _) => {
                    let spot = planner.place(&told.kind);
                    let path = || way.iter().chain([&told.name]).cloned().collect::<Vec<_>>();
                    match told.kind {
                        Kind::Dir => way.push(told.name),
                        Kind::File { len, data } => {
                            let (path, mtime) = (path().join(&b'/'), told.meta.mtime);
                            shelf.put(spot, Listed { entry, path, len, mtime, data });
                        }
                        Kind::Symlink { .. } | Kind::Special(_) | Kind::Link { .. } => {}
                    }
                }
            }
        }
        Ok(shelf)
    }

    fn put(&mut self, spot: Spot, file: Listed) {
        match spot {
            Spot::Empty => {}
            Spot::Own { block } => drop(self.own.insert(block, file)),
            Spot::Packed { block, at, .. } => self.packs.entry(block).or_default().push((at, file)),
        }
    }

    /// The file that a block is of, and which of its blocks that is.
    pub(crate) fn own(&self, block: u64) -> Option<(u64, &Listed)> {
        let (first, file) = self.own.range(..=block).next_back()?;
        let index = block - first;
        (index < blocks::count(file.len)).then_some((index, file))
    }

    /// The files of a pack.
    pub(crate) fn pack(&self, block: u64) -> Option<&[(u32, Listed)]> {
        self.packs.get(&block).map(Vec::as_slice)
    }
}

/// Why an entry cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// What the system said.
    #[error("cannot be read: {0}")]
    System(String),
    /// Its length or its modification time is another than when it was listed.
    #[error("changed while it was read")]
    Changed,
    /// It holds other bytes than when it was read before.
    #[error("changed while it was read: it has other bytes than before")]
    Rewritten,
    /// It holds more or fewer bytes than its length says, and nobody has changed it.
    #[error(
        "says that it has {len} bytes and holds {than}: its length is not what it holds; read it into a file \
             first, as with cat, and copy that"
    )]
    FalseLength {
        /// Bytes as it says.
        len: u64,
        /// `more` or `fewer`.
        than: &'static str,
    },
    /// It is no regular file any more.
    #[error("is no regular file any more")]
    NoFile,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::System(error.to_string())
    }
}

/// Reads what is there, once: a signal may come in between (read(2)), and means nothing here.
pub(super) fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    uninterrupted(|| file.read_at(out, at))
}

fn uninterrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Reads a range of a file that was listed, where it holds data; the rest of `out` stays.
fn read(open: &File, file: &Listed, range: &Range<u64>, out: &mut [u8]) -> Result<(), Unreadable> {
    check(open, file)?;
    let whole = [0..file.len];
    for run in file.data.as_deref().unwrap_or(&whole) {
        let (from, to) = (run.start.max(range.start), run.end.min(range.end));
        if from < to {
            let into = &mut out[(from - range.start) as usize..(to - range.start) as usize];
            if let Err(error) = open.read_exact_at(into, from) {
                check(open, file)?; // cut short meanwhile
                return Err(match error.kind() {
                    io::ErrorKind::UnexpectedEof => file.holds("fewer"),
                    _ => error.into(),
                });
            }
        }
    }
    // Files that the system makes up while they are read (proc(5), sysfs(5)) do not tell their length.
    if range.end == file.len && read_at(open, &mut [0], file.len)? > 0 {
        check(open, file)?; // it has grown meanwhile
        return Err(file.holds("more"));
    }
    check(open, file)
}

/// Whether a file's last byte is there, and none after it.
pub(super) fn check_holds(file: &File, len: u64) -> Result<(), Unreadable> {
    let at = |offset| read_at(file, &mut [0], offset);
    // Its length is looked at again: it may be written to just now.
    let same = || file.metadata().map(|meta| meta.len() == len);
    if let Some(last) = len.checked_sub(1)
        && at(last)? == 0
        && same()?
    {
        return Err(Unreadable::FalseLength { len, than: "fewer" });
    }
    if at(len)? > 0 && same()? {
        return Err(Unreadable::FalseLength { len, than: "more" });
    }
    Ok(())
}

impl Listed {
    fn holds(&self, than: &'static str) -> Unreadable {
        Unreadable::FalseLength { len: self.len, than }
    }
}

/// Whether it is still what was listed.
fn check(open: &File, file: &Listed) -> Result<(), Unreadable> {
    let meta = open.metadata()?;
    if !meta.is_file() {
        return Err(Unreadable::NoFile);
    }
    let mtime = Time { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0) };
    if (meta.len(), mtime) == (file.len, file.mtime) { Ok(()) } else { Err(Unreadable::Changed) }
}

/// A block that was read: its bytes and its value, and the entries that it could not have.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) value: Value,
    pub(crate) failed: Vec<(u64, Unreadable)>,
}

/// What is told of a file that could not be read, in place of its digest or value.
pub(crate) const UNREAD: Value = [0; blake3::OUT_LEN];

/// The digest of a file that was listed, given up with an error once it `is_over`.
pub(crate) fn digest(
    files: &dyn Open,
    file: &Listed,
    is_over: &dyn Fn() -> bool,
) -> Result<blake3::Hash, Unreadable> {
    let open = files.open(&file.path)?;
    check(&open, file)?;
    let hashed = super::digest::of_file(&open, file.len, is_over);
    check(&open, file)?;
    Ok(hashed?)
}

/// Reads a block of a file that has blocks of its own.
pub(crate) fn read_own(open: Result<Arc<File>, Unreadable>, file: &Listed, index: u64) -> Block {
    let mut bytes = vec![0; BLOCK as usize];
    let range = blocks::range(index, file.len);
    let len = (range.end - range.start) as usize;
    match open.and_then(|open| read(&open, file, &range, &mut bytes[..len])) {
        Ok(()) => {
            let value = blocks::value(index, &bytes[..len], file.len);
            Block { bytes: bytes.into(), value, failed: Vec::new() }
        }
        Err(why) => {
            bytes.fill(0);
            Block { bytes: bytes.into(), value: UNREAD, failed: vec![(file.entry, why)] }
        }
    }
}

/// Reads a pack. `before` are the digests that were told when it was read before, if it was: they stay.
pub(crate) fn read_pack(
    files: &dyn Open,
    pack: &[(u32, Listed)],
    before: Option<&[Value]>,
) -> (Block, Vec<Value>) {
    let mut bytes = vec![0; BLOCK as usize];
    let (mut rows, mut failed) = (Vec::with_capacity(pack.len()), Vec::new());
    for (place, (at, file)) in pack.iter().enumerate() {
        let into = &mut bytes[*at as usize..*at as usize + file.len as usize];
        let told = before.map(|rows| rows[place]);
        let opened = files.open(&file.path).map_err(Unreadable::from);
        let digest = match opened.and_then(|open| read(&open, file, &(0..file.len), into)) {
            Ok(()) => *hashing::whole(into).as_bytes(),
            Err(why) => {
                failed.push((file.entry, why));
                UNREAD
            }
        };
        if told.is_some_and(|told| told != digest) {
            if digest != UNREAD && told != Some(UNREAD) {
                failed.push((file.entry, Unreadable::Rewritten));
            }
            into.fill(0);
        } else if digest == UNREAD {
            into.fill(0);
        }
        rows.push(told.unwrap_or(digest));
    }
    let table = layout::table(rows.len() as u32);
    for (row, digest) in rows.iter().enumerate() {
        let at = layout::row(row as u32);
        bytes[at.start as usize..at.end as usize].copy_from_slice(digest);
    }
    debug_assert_eq!(table.end - table.start, rows.len() as u64 * ROW);
    let value = *hashing::whole(&bytes[table.start as usize..]).as_bytes();
    (Block { bytes: bytes.into(), value, failed }, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::entry::{Entry, Meta};
    use crate::tree::manifest::{Owner, PartWriter};
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;

    struct Below(PathBuf);

    impl Open for Below {
        fn open(&self, path: &[u8]) -> io::Result<File> {
            File::open(self.0.join(std::ffi::OsStr::from_bytes(path)))
        }
    }

    fn listed(dir: &Below, writer: &mut PartWriter, path: &str) {
        let meta = fs::metadata(dir.0.join(path)).unwrap();
        let mtime =
            Time { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0) };
        let name = path.rsplit('/').next().unwrap().as_bytes().to_vec();
        let kind = Kind::File { len: meta.len(), data: None };
        let owner = || Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() };
        let meta = Meta { mtime, ..Meta::default() };
        writer.entry(&Entry { name, meta, kind }, None, owner);
    }

    #[test]
    fn a_read_that_a_signal_interrupts_is_done_again() {
        let mut calls = 0;
        let read = uninterrupted(|| {
            calls += 1;
            if calls < 3 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(calls) }
        });
        assert_eq!(read.unwrap(), 3);
        let failed = uninterrupted(|| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_read_has_its_digests_and_what_changed_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let files = Below(dir.path().to_owned());
        let large: Vec<u8> = (0..BLOCK + 9).map(|n| (n % 251) as u8).collect();
        fs::write(dir.path().join("a"), b"small").unwrap();
        fs::write(dir.path().join("b"), b"other").unwrap();
        fs::write(dir.path().join("large"), &large).unwrap();
        let mut writer = PartWriter::new();
        for path in ["a", "b", "large"] {
            listed(&files, &mut writer, path);
        }
        let (bytes, _) = writer.end(true);
        let shelf = Shelf::read(0, &bytes, 1).unwrap();
        let pack = shelf.pack(1).unwrap();
        let (block, rows) = read_pack(&files, pack, None);
        assert!(block.failed.is_empty() && block.bytes.starts_with(b"smallother"));
        assert_eq!(rows[0], *blake3::hash(b"small").as_bytes());
        let row = layout::row(1);
        assert_eq!(block.bytes[row.start as usize..row.end as usize], rows[1]);
        assert_eq!(block.value, *blake3::hash(&[rows[1], rows[0]].concat()).as_bytes());

        let (index, own) = shelf.own(3).unwrap();
        assert_eq!((index, shelf.own(4), shelf.own(1)), (1, None, None));
        let open = || files.open(&own.path).map(Arc::new).map_err(Unreadable::from);
        let second = read_own(open(), own, 1);
        assert_eq!(second.bytes[..9], large[BLOCK as usize..]);
        let mut tree = blocks::Tree::new(BLOCK + 9);
        tree.set(0, read_own(open(), own, 0).value);
        tree.set(1, second.value);
        assert_eq!(tree.root(), Some(blake3::hash(&large)));

        // Longer, gone, and the same length with another time: each fails by itself.
        fs::write(dir.path().join("a"), b"longer").unwrap();
        fs::remove_file(dir.path().join("large")).unwrap();
        let (again, same) = read_pack(&files, pack, Some(&rows));
        assert_eq!((again.failed.len(), again.failed[0].0, same == rows), (1, 0, true));
        assert_eq!(again.value, block.value);
        assert!(again.bytes.starts_with(b"\0\0\0\0\0other"));
        let gone = read_own(open(), own, 0);
        assert_eq!((gone.value, gone.failed[0].0), (UNREAD, 2));
        let (anew, rows) = read_pack(&files, pack, None);
        assert_eq!((rows[0], anew.failed[0].1.clone()), (UNREAD, Unreadable::Changed));
    }
}
