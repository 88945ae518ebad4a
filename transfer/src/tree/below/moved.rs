//! Files that stand here under other names: their bytes are copied, and none of that is believed before the sender has
//! said the same of it.

use super::extras::from_root;
use super::same::modified;
use super::{Below, Slot, Way};
use crate::place::meta::same_time;
use crate::place::room;
use crate::tree::entry::{Entry, Kind};
use crate::tree::ground::{Ground, Why};
use crate::tree::moved::{Moved, Pair};
use core::ops::Range;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, copy_file_range, fstat, openat, statat};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What was told of former names.
#[derive(Debug, Default)]
pub(super) struct Told {
    moved: Moved,
    /// Nothing but what is below this path from the root of the transfer counts: the rest is not the mirror job's.
    within: Vec<u8>,
}

impl Told {
    /// Of what goes to this place below the root of the transfer.
    pub(super) fn within(below: Option<&[u8]>) -> Self {
        Self { within: below.unwrap_or_default().to_vec(), ..Self::default() }
    }

    fn counts(&self, (from, _): &Pair) -> bool {
        let rest = from.strip_prefix(&self.within[..]);
        self.within.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl Below<'_> {
    /// Takes what was told. Whether there is room for it.
    pub(super) fn take_moved(&mut self, pairs: Vec<Pair>) -> bool {
        let counted: Vec<Pair> =
            pairs.into_iter().filter(|pair| self.former.counts(pair)).collect();
        counted.into_iter().all(|pair| self.former.moved.add(pair))
    }

    /// Opens what stands under a former name of a file, if it has the length and the time of that.
    pub(super) fn former(&mut self, dir: &Way, entry: &Entry) -> Option<File> {
        if self.former.moved.is_empty() || !matches!(entry.kind, Kind::File { .. }) {
            return None;
        }
        let path = self.path(dir, &entry.name);
        let before: Vec<_> = self.former.moved.before(&path).collect();
        before.into_iter().find_map(|from| self.open_former(dir, entry, &from))
    }

    fn open_former(&mut self, dir: &Way, entry: &Entry, from: &[u8]) -> Option<File> {
        let path = from_root(&self.base, from);
        let (parent, name) = self.beneath.parent(&path).ok()?;
        // Nothing is opened but files: a device or a pipe may do something then.
        let found = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if !self.may_be(dir, entry, &found) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&parent, name, flags, Mode::empty()).ok()?);
        let opened = fstat(&file).ok()?;
        ((opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino)).then_some(file)
    }

    /// Whether a file has the length and the time of an entry.
    fn may_be(&mut self, dir: &Way, entry: &Entry, found: &Stat) -> bool {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let Kind::File { len, .. } = entry.kind else { return false };
        if !is_file || found.st_size.cast_unsigned() != len {
            return false;
        }
        let (told, found) = (entry.meta.mtime, modified(found));
        told == found
            || self.folder(dir).is_ok_and(|folder| {
                let granularity = self.granularity(&folder);
                same_time(told, found, granularity)
            })
    }

    /// All bytes of what stands under a former name of a small file.
    pub(super) fn read_former(&mut self, dir: &Way, entry: &Entry) -> Option<Vec<u8>> {
        let Kind::File { len, .. } = entry.kind else { return None };
        let file = self.former(dir, entry)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some(bytes)
    }
}

impl Slot {
    /// Copies bytes from where the file stood before, each to its place.
    pub(super) fn bring(&self, range: Range<u64>) -> Result<(), Why> {
        let Some(former) = &self.former else { return Err("it stands nowhere else".to_owned()) };
        let copied = copy(former, self.temporary.file(), range);
        let folder = self.temporary.folder().shown();
        copied.map_err(|error| room::sorted(error, self.len, folder).to_string())
    }
}

/// Copies a range from one file to the same place of another: by the system, which shares the blocks where the file
/// system can do that, or where it does not do it at all by hand.
fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let (mut read, mut written) = (range.start, range.start);
    while read < range.end {
        let left = usize::try_from(range.end - read).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(_) => return copy_by_hand(from, to, read..range.end),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    from.read_exact_at(&mut bytes, range.start)?;
    to.write_all_at(&bytes, range.start)
}
