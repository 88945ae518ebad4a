//! The names of one folder, in order, in as little memory as they take.

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;

/// Bytes that the system is asked for at a time (getdents64(2)): some 2,000 short names.
const LISTING: usize = 64 << 10;
/// Bytes before each name: what it is, then the length of the name.
const HEAD: usize = 3;

/// What a listing says of a name: it may be something else by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Not every file system says it.
    Unknown,
    Folder,
    File,
    Symlink,
    /// A socket, a pipe or a device.
    Special,
}

/// Names with their hints: one after the other in one buffer, and where each begins. A name takes 8 bytes
/// beside its own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    at: Vec<u32>,
}

impl Names {
    /// Adds one; at 4 GiB there is no room for more.
    pub(crate) fn push(&mut self, name: &CStr, hint: Hint) -> io::Result<()> {
        let name = name.to_bytes_with_nul();
        let (Ok(at), Ok(len)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else {
            return Err(io::Error::other("it has more names than can be kept in memory"));
        };
        reserve(&mut self.bytes, HEAD + name.len());
        reserve(&mut self.at, 1);
        self.bytes.push(hint as u8);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(name);
        self.at.push(at);
        Ok(())
    }

    /// Adds the names of an open folder, but for itself and the one above, as far as they can be listed.
    pub(super) fn list(&mut self, dir: BorrowedFd<'_>, buf: &mut Vec<u8>) -> io::Result<()> {
        self.list_until(dir, buf, &|| false)
    }

    /// The same, given up with an error once it is over.
    pub(crate) fn list_until(
        &mut self,
        dir: BorrowedFd<'_>,
        buf: &mut Vec<u8>,
        over: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        buf.clear();
        buf.reserve(LISTING);
        let mut listing = RawDir::new(dir, buf.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            if over() {
                return Err(io::Error::other("nobody wants more"));
            }
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => self.push(entry.file_name(), Hint::of(entry.file_type()))?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Adds names of which nothing is known. One with a zero byte is none.
    pub(super) fn extend<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        for name in names {
            self.push(&CString::new(name)?, Hint::Unknown)?;
        }
        Ok(())
    }

    /// Puts them in order. One that is there twice stays so.
    pub(crate) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.at.sort_unstable_by_key(|at| name(bytes, *at));
        // A large one has grown in steps.
        self.bytes.shrink_to_fit();
        self.at.shrink_to_fit();
    }

    /// Leaves one of each: a name that is given anew while it is listed may be listed twice.
    pub(crate) fn dedup(&mut self) {
        let bytes = &self.bytes;
        self.at.dedup_by_key(|at| name(bytes, *at));
    }

    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }

    /// Where in the order of adding the next name will stand, for [`Self::position`].
    pub(super) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// Where in the order of adding the name of this index stands.
    pub(super) fn position(&self, index: usize) -> usize {
        self.at[index] as usize
    }

    /// The name of this index.
    pub(crate) fn get(&self, index: usize) -> (&CStr, Hint) {
        let at = self.at[index] as usize;
        let name = &self.bytes[range(&self.bytes, at)];
        // It came with its zero byte, and without another.
        let name = CStr::from_bytes_with_nul(name).unwrap_or_default();
        (name, Hint::from_byte(self.bytes[at]))
    }

    /// The index of a name, once they are in order.
    pub(super) fn find(&self, wanted: &[u8]) -> Option<usize> {
        let name = |at: &u32| name(&self.bytes, *at).strip_suffix(b"\0").unwrap_or_default();
        self.at.binary_search_by_key(&wanted, name).ok()
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.at.capacity() * size_of::<u32>()
    }
}

/// Makes room for some more, a quarter more at a time: doubling could leave half of it unused.
fn reserve<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 4).max(64));
    }
}

fn range(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let len = u16::from_ne_bytes([bytes[at + 1], bytes[at + 2]]);
    at + HEAD..at + HEAD + usize::from(len)
}

/// With its zero byte, which no name has within itself: a name stands before those that it begins.
fn name(bytes: &[u8], at: u32) -> &[u8] {
    &bytes[range(bytes, at as usize)]
}

impl Hint {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Folder,
            FileType::RegularFile => Self::File,
            FileType::Symlink => Self::Symlink,
            FileType::Unknown => Self::Unknown,
            _ => Self::Special,
        }
    }

    fn from_byte(byte: u8) -> Self {
        [Self::Folder, Self::File, Self::Symlink, Self::Special]
            .into_iter()
            .find(|hint| *hint as u8 == byte)
            .unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    fn names(list: &[Vec<u8>]) -> Names {
        let mut names = Names::default();
        for name in list {
            names.push(&CString::new(&name[..]).unwrap(), Hint::File).unwrap();
        }
        names
    }

    proptest! {
        #[test]
        fn names_come_in_the_order_of_their_bytes(
            mut list in prop::collection::vec(prop::collection::vec(1..=255_u8, 1..5), 0..40),
        ) {
            let mut names = names(&list);
            names.sort();
            names.dedup();
            list.sort();
            list.dedup();
            let found: Vec<_> = (0..names.len()).map(|i| names.get(i).0.to_bytes().to_vec()).collect();
            prop_assert_eq!(found, list);
        }
    }

    #[test]
    fn hints_are_kept() {
        let hints = [Hint::Unknown, Hint::Folder, Hint::File, Hint::Symlink, Hint::Special];
        let mut names = Names::default();
        for hint in hints {
            names.push(c"x", hint).unwrap();
        }
        assert_eq!((0..5).map(|i| names.get(i).1).collect::<Vec<_>>(), hints);
    }

    #[test]
    fn a_million_names_take_less_than_64_mib() {
        // What a name takes does not depend on how many there are.
        let (count, len) = (20_000_usize, 24);
        let mut list = Names::default();
        for i in 0..count {
            let name = CString::new(format!("{i:0len$}")).unwrap();
            list.push(&name, Hint::File).unwrap();
            let used = (i + 1) * (HEAD + len + 1 + size_of::<u32>());
            assert!(list.memory() <= used * 5 / 4 + 1024, "{} for {}", list.memory(), i + 1);
        }
        assert!(list.memory() * (1_000_000 / count) < 64 << 20, "{}", list.memory());
        list.sort();
        assert!(list.memory() <= count * (HEAD + len + 1 + size_of::<u32>()), "{}", list.memory());
    }

    #[test]
    fn a_listing_is_given_up_in_the_middle() {
        let (dir, mut buf) = (tempfile::tempdir().unwrap(), Vec::new());
        (0..50).for_each(|n| std::fs::write(dir.path().join(format!("{n}")), "").unwrap());
        let folder = std::fs::File::open(dir.path()).unwrap();
        let (mut names, asked) = (Names::default(), std::cell::Cell::new(0));
        let over = || asked.replace(asked.get() + 1) >= 10;
        assert!(names.list_until(folder.as_fd(), &mut buf, &over).is_err());
        assert!((8..=10).contains(&names.len()), "{}", names.len());
    }

    #[test]
    fn what_cannot_be_listed_is_no_empty_folder() {
        let (dir, mut buf) = (tempfile::tempdir().unwrap(), Vec::new());
        let mut list = |file: &std::fs::File| Names::default().list(file.as_fd(), &mut buf);
        let path = dir.path().join("folder");
        std::fs::create_dir(&path).unwrap();
        let folder = std::fs::File::open(&path).unwrap();
        list(&folder).unwrap();
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(list(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"a file").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(list(&file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
