//! What the system says of a folder whose names may fold.
//!
//! By the folder's own flag (ext4, f2fs, tmpfs: `FS_CASEFOLD_FL`, which a new folder has from the one above), else once
//! for each file system by looking up a file of our own under its name in upper case. So no list of file systems is
//! needed, and one behind FUSE or a network is known as well.

use crate::place::dirs::Folder;
use crate::place::temporary::{Temporary, is_temporary};
use rustix::fs::{AtFlags, Dir, FileType, Stat, fstat, ioctl_getflags, statat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// The flag of a folder whose names fold (`FS_CASEFOLD_FL`, linux/fs.h).
const CASEFOLD: u32 = 0x4000_0000;

/// What a folder does with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folds {
    /// It keeps names that differ.
    Nothing,
    /// It folds them; a file has one inode number by whatever spelling it is looked up.
    ByInode,
    /// It folds them; a file may have another number by another spelling, as behind FUSE (exfat-fuse has).
    ByLook,
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    inode: (u64, u64),
    /// All else that is told of it.
    look: (u32, u32, u32, u64, i64, [(i64, u64); 2]),
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        let times = [(stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec)];
        Self {
            inode: (stat.st_dev, stat.st_ino),
            look: (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink, stat.st_size, times),
        }
    }

    /// Whether two that were seen a moment ago are one.
    pub(super) fn is(&self, other: &Self, folds: Folds) -> bool {
        self.inode == other.inode || folds == Folds::ByLook && self.look == other.look
    }

    #[cfg(test)]
    pub(crate) fn at(path: &std::path::Path) -> Option<Self> {
        rustix::fs::lstat(path).ok().map(|stat| Self::of(&stat))
    }

    #[cfg(test)]
    pub(super) fn numbered(self, number: u64) -> Self {
        Self { inode: (self.inode.0, number), ..self }
    }

    fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.look.0) == FileType::Directory
    }
}

/// What is asked of the system; in tests of others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// What a folder does with names; takes the file systems that were asked before. `None`: nothing can be made there.
    pub(crate) folds: fn(&Arc<Folder>, &mut HashMap<u64, Folds>) -> Option<Folds>,
    /// What stands under a name.
    pub(crate) look: fn(&Folder, &OsStr) -> Result<Option<Seen>, Errno>,
}

impl Ask {
    /// The system itself.
    pub(crate) const SYSTEM: Self = Self { folds, look };

    /// What a folder does with names where nothing can be made: a folder that stands there is asked for by another
    /// spelling of its name. Nothing else can fall together there.
    pub(super) fn by_name(self, folder: &Folder, name: &OsStr) -> Folds {
        let swap = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
        let swapped: Vec<u8> = name.as_bytes().iter().map(swap).collect();
        let seen = |name| (self.look)(folder, name).ok().flatten().filter(Seen::is_folder);
        match (seen(name), seen(OsStr::from_bytes(&swapped))) {
            (Some(one), Some(other))
                if swapped != name.as_bytes() && one.is(&other, Folds::ByInode) =>
            {
                Folds::ByInode
            }
            _ => Folds::Nothing,
        }
    }
}

fn look(folder: &Folder, name: &OsStr) -> Result<Option<Seen>, Errno> {
    match statat(folder.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Seen::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What a folder does with names.
fn folds(folder: &Arc<Folder>, asked: &mut HashMap<u64, Folds>) -> Option<Folds> {
    let flags = ioctl_getflags(folder.fd());
    if flags.as_ref().is_ok_and(|flags| flags.bits() & CASEFOLD != 0) {
        return Some(Folds::ByInode);
    }
    if flags.is_err_and(|errno| errno == Errno::BADF) {
        // One that may only be entered does not tell its flags, and may do other than the folder beside it.
        return spelled_otherwise(folder);
    }
    let device = fstat(folder.fd()).ok()?.st_dev;
    if let Some(known) = asked.get(&device) {
        return Some(*known);
    }
    let found = spelled_otherwise(folder)?;
    asked.insert(device, found);
    Some(found)
}

/// How a new file is found under its name in upper case, which nobody else has. `None`: none can be made.
fn spelled_otherwise(folder: &Arc<Folder>) -> Option<Folds> {
    let made = Temporary::create(folder).ok()?;
    let upper = made.name().to_ascii_uppercase();
    let Ok(found) = statat(folder.fd(), &upper, AtFlags::SYMLINK_NOFOLLOW) else {
        return Some(Folds::Nothing);
    };
    let own = statat(folder.fd(), made.name(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_own = (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino);
    Some(if is_own { Folds::ByInode } else { Folds::ByLook })
}

/// Tells each name that stands in a folder, until `take` wants no more.
pub(super) fn list(folder: &Folder, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    for entry in Dir::read_from(folder.fd())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !is_temporary(name) && !take(name) {
            return Err(io::Error::other("it has more names than are remembered"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::beneath::Beneath;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_ordinary_file_system_folds_nothing_and_is_asked_once() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"", false).unwrap());
        let mut asked = HashMap::new();
        assert_eq!(folds(&folder, &mut asked), Some(Folds::Nothing));
        assert_eq!(asked.len(), 1);
        // What is known of the file system is taken, without another file.
        asked.insert(fstat(folder.fd()).unwrap().st_dev, Folds::ByLook);
        assert_eq!(folds(&folder, &mut asked), Some(Folds::ByLook));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "the file that it looked up is gone"
        );
    }

    #[test]
    fn a_folder_that_may_only_be_entered_is_asked_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::entered(&beneath, b"in").unwrap());
        let mut asked = HashMap::new();
        let device = fstat(folder.fd()).unwrap().st_dev;
        asked.insert(device, Folds::ByInode);
        assert_eq!(
            folds(&folder, &mut asked),
            Some(Folds::Nothing),
            "not what is known of another"
        );
    }

    #[test]
    fn where_nothing_can_be_made_nothing_is_concluded_for_others() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"gone", false).unwrap());
        fs::set_permissions(&gone, Permissions::from_mode(0o500)).unwrap();
        fs::remove_dir(&gone).unwrap(); // in a removed folder nobody makes anything
        let mut asked = HashMap::new();
        assert_eq!(folds(&folder, &mut asked), None);
        assert_eq!(asked.len(), 0);
    }
}
