//! Names of one folder that fall together where the file system folds case: the second of two such entries would
//! silently take the place of the first.
//!
//! Which names fall together is decided by [`folded`] over names alone. Whether a folder folds is asked of the system:
//! by the folder's own flag (ext4, f2fs, tmpfs: `FS_CASEFOLD_FL`, which a new folder has from the one above), else once
//! for each file system by looking up a file of our own under its name in upper case. So no list of file systems is
//! needed, and one behind FUSE or a network is known as well. Where nothing folds, nothing is remembered.

use super::dirs::Folder;
use super::error::PlaceError;
use super::temporary::Temporary;
use rustix::fs::{AtFlags, fstat, ioctl_getflags, statat};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// The flag of a folder whose names fold (`FS_CASEFOLD_FL`, linux/fs.h).
const CASEFOLD: u32 = 0x4000_0000;
/// Names that are remembered at a time, at most, in all open folders: about 35 MB. A folder of a million fits.
const MAX_NAMES: usize = 1 << 20;
/// And their bytes.
const MAX_BYTES: usize = 32 << 20;

/// A name as a file system that folds case compares it: each character by the lower case of its upper case, which is
/// Unicode's full case folding but for some rare scripts, so that `ß`, `ẞ` and `SS`, the Kelvin sign and `k`, and all
/// three sigmas fall together. Bytes that are no UTF-8 stand for themselves.
///
/// Composed and decomposed letters stay two: FAT, exFAT and NTFS keep both, and refusing what they keep would lose a
/// file. ext4 takes them for one; of that pair only a folder that was made for the tree tells.
#[must_use]
pub fn folded(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let mut all = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        let upper = chunk.valid().chars().flat_map(char::to_uppercase);
        let mut bytes = [0; 4];
        for lower in upper.flat_map(char::to_lowercase) {
            // Lower case itself has two sigmas; which one is a matter of the place in a word.
            let lower = if lower == 'ς' { 'σ' } else { lower };
            all.extend_from_slice(lower.encode_utf8(&mut bytes).as_bytes());
        }
        all.extend_from_slice(chunk.invalid());
    }
    all
}

/// A folder on the way to where the tree is.
#[derive(Debug, Default)]
struct Level {
    /// Whether it folds; `None`: nobody has asked yet.
    folds: Option<bool>,
    /// Where names stand in the bytes, by the hash of what they fold to.
    names: HashMap<u64, u32>,
    /// Where its names began.
    begin: usize,
}

/// The names that a tree has brought into the folders that it is in, as far as they fold.
#[derive(Debug)]
pub struct Taken {
    levels: Vec<Level>,
    /// Each name behind its length; those of the deepest folder stand last.
    bytes: Vec<u8>,
    count: usize,
    /// File systems that were asked, by their numbers.
    asked: HashMap<u64, bool>,
    hasher: RandomState,
    ask: Ask,
}

/// Whether names fold in a folder; takes the file systems that were asked before.
pub(crate) type Ask = fn(&Arc<Folder>, &mut HashMap<u64, bool>) -> bool;

impl Default for Taken {
    fn default() -> Self {
        Self::asking(folds)
    }
}

impl Taken {
    /// Asks so whether names fold.
    pub(crate) fn asking(ask: Ask) -> Self {
        Self {
            levels: vec![Level::default()],
            bytes: Vec::new(),
            count: 0,
            asked: HashMap::new(),
            hasher: RandomState::new(),
            ask,
        }
    }

    /// The tree goes into a folder; one that is new folds as the one above does.
    pub fn enter(&mut self, new: bool) {
        let above = self.levels.last().and_then(|level| level.folds);
        let folds = above.filter(|_| new);
        self.levels.push(Level { folds, begin: self.bytes.len(), ..Level::default() });
    }

    /// It goes back to the one above.
    pub fn leave(&mut self) {
        if self.levels.len() > 1
            && let Some(level) = self.levels.pop()
        {
            self.count -= level.names.len();
            self.bytes.truncate(level.begin);
        }
    }

    /// An entry of the tree is to have this name in the folder that it is in: refused where one before it has a name
    /// that is the same there. `false`: there are too many to remember them all.
    pub fn claim(&mut self, folder: &Arc<Folder>, name: &OsStr) -> Result<bool, PlaceError> {
        let Some(level) = self.levels.last_mut() else { return Ok(true) };
        let folds = *level.folds.get_or_insert_with(|| (self.ask)(folder, &mut self.asked));
        if !folds {
            return Ok(true);
        }
        let key = folded(name.as_bytes());
        match level.names.entry(self.hasher.hash_one(&key)) {
            Entry::Occupied(first) => {
                let first = name_at(&self.bytes, *first.get());
                // Another one with the same hash is one in billions; the same name once more is none of ours.
                if first == name.as_bytes() || folded(first) != key {
                    return Ok(true);
                }
                let first = folder.shown().join(OsStr::from_bytes(first));
                Err(PlaceError::Together { first, second: folder.shown().join(name) })
            }
            Entry::Vacant(place) => {
                let (at, len) = (self.bytes.len(), name.len());
                let (Ok(at), Ok(short)) = (u32::try_from(at), u8::try_from(len)) else {
                    return Ok(false);
                };
                if self.count >= MAX_NAMES || self.bytes.len() + 1 + len > MAX_BYTES {
                    return Ok(false);
                }
                place.insert(at);
                self.bytes.push(short);
                self.bytes.extend_from_slice(name.as_bytes());
                self.count += 1;
                Ok(true)
            }
        }
    }
}

fn name_at(bytes: &[u8], at: u32) -> &[u8] {
    let rest = bytes.get(at as usize..).unwrap_or_default();
    rest.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))).unwrap_or_default()
}

/// Whether names fold in a folder.
fn folds(folder: &Arc<Folder>, asked: &mut HashMap<u64, bool>) -> bool {
    if ioctl_getflags(folder.fd()).is_ok_and(|flags| flags.bits() & CASEFOLD != 0) {
        return true;
    }
    let Ok(stat) = fstat(folder.fd()) else { return false };
    *asked.entry(stat.st_dev).or_insert_with(|| finds_upper_case(folder).unwrap_or(false))
}

/// Whether a new file is found under its name in upper case. `None`: none can be made, so that none will be replaced.
fn finds_upper_case(folder: &Arc<Folder>) -> Option<bool> {
    let made = Temporary::create(folder).ok()?;
    let upper = made.name().to_ascii_uppercase();
    let found = statat(folder.fd(), &upper, AtFlags::SYMLINK_NOFOLLOW);
    let own = made.inode().ok()?;
    Some(found.is_ok_and(|found| (found.st_dev, found.st_ino) == own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{self, File};

    #[test]
    fn names_fall_together_by_case_and_nothing_else() {
        let same: [(&[u8], &[u8]); 7] = [
            (b"X", b"x"),
            (b"README.txt", b"ReadMe.TXT"),
            ("Ärger".as_bytes(), "ÄRGER".as_bytes()),
            ("straße".as_bytes(), "STRASSE".as_bytes()),
            ("ς".as_bytes(), "Σ".as_bytes()),
            ("\u{212a}".as_bytes(), b"k"), // the Kelvin sign
            (b"\xffA", b"\xffa"),
        ];
        for (one, other) in same {
            assert_eq!(folded(one), folded(other), "{one:?} {other:?}");
        }
        let distinct: [(&[u8], &[u8]); 5] = [
            (b"a", b"b"),
            (b"a", b"a "),
            ("é".as_bytes(), b"e"),
            ("é".as_bytes(), "e\u{301}".as_bytes()),
            (b"\xff", b"\xfe"),
        ];
        for (one, other) in distinct {
            assert_ne!(folded(one), folded(other), "{one:?} {other:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,20}") {
            for name in [&name[..], text.as_bytes()] {
                let once = folded(name);
                prop_assert_eq!(folded(&once), once);
            }
        }
    }

    #[test]
    fn an_ordinary_file_system_folds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = super::super::beneath::Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"", false).unwrap());
        let mut taken = Taken::default();
        for name in ["x", "X", "x"] {
            assert!(taken.claim(&folder, OsStr::new(name)).unwrap());
        }
        assert_eq!((taken.count, taken.asked.len()), (0, 1));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "the file that it looked up is gone"
        );
    }

    #[test]
    fn what_is_remembered_has_an_end_and_goes_with_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = super::super::beneath::Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"", false).unwrap());
        let mut taken = Taken::asking(|_, _| true);
        taken.claim(&folder, OsStr::new("first")).unwrap();
        taken.enter(false);
        let all =
            (0..MAX_NAMES).filter(|n| taken.claim(&folder, OsStr::new(&format!("n{n}"))).unwrap());
        assert_eq!(all.count(), MAX_NAMES - 1);
        assert!(taken.claim(&folder, OsStr::new("N7")).is_err(), "what is remembered still counts");
        assert!(taken.bytes.capacity() + MAX_NAMES * 34 < 80 << 20);
        taken.leave();
        assert_eq!((taken.count, taken.bytes.len()), (1, 6));
        let error = taken.claim(&folder, OsStr::new("FIRST")).unwrap_err().to_string();
        assert!(error.starts_with("first and FIRST are one name on this file system"), "{error}");
    }
}
