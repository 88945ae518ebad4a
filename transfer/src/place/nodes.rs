//! What is made by one call and never opened: symbolic links, devices, pipes and sockets.
//!
//! As a file, each is made under a temporary name and takes its own once everything is set on it: what fails leaves what
//! stood there.

use super::beneath::plain_name;
use super::dirs::Folder;
use super::error::PlaceError;
use super::temporary::{MakeError, make_aside, may_replace_special};
use crate::tree::entry::Device;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Sets what is told of it on what was made, open by `O_PATH`, and what that has.
pub type Set<'s, T> = dyn Fn(BorrowedFd<'_>, &Stat) -> Result<T, PlaceError> + 's;

/// The call that makes it under a name, and whether what stands there is what it makes.
type Create<'c> = dyn Fn(&OsStr) -> Result<(), Errno> + 'c;
type IsIt<'c> = dyn Fn(&Stat) -> bool + 'c;

/// Makes a symbolic link that says `target`, whatever that is: nothing here ever follows it. It is given back open, with
/// what `set` came to.
pub fn symlink<T>(
    folder: &Folder,
    name: &[u8],
    target: &[u8],
    set: &Set<'_, T>,
) -> Result<(OwnedFd, T), PlaceError> {
    let name = plain_name(name)?;
    folder.may_replace(name, true)?;
    let create = |name: &OsStr| symlinkat(target, folder.fd(), name);
    let is_it = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    make((folder, name), false, (&create, "make the symbolic link"), (&is_it, set))
}

/// Makes a device, a pipe or a socket, which its owner alone may reach unless `set` sets something else. It is given back
/// open, with what that came to.
pub fn special<T>(
    folder: &Folder,
    name: &[u8],
    device: Device,
    set: &Set<'_, T>,
) -> Result<(OwnedFd, T), PlaceError> {
    let name = plain_name(name)?;
    may_replace_special(folder, name)?;
    let ((kind, number), mode) = (device.to_make(), Mode::RUSR | Mode::WUSR);
    let create = |name: &OsStr| mknodat(folder.fd(), name, kind, mode, number);
    let what = if device.is_device() { "make the device" } else { "make the pipe or socket" };
    let is_it = |stat: &Stat| Device::of(stat.st_mode, stat.st_rdev) == Some(device);
    make((folder, name), true, (&create, what), (&is_it, set))
}

fn make<T>(
    (folder, name): (&Folder, &OsStr),
    special: bool,
    (create, what): (&Create<'_>, &'static str),
    (is_it, set): (&IsIt<'_>, &Set<'_, T>),
) -> Result<(OwnedFd, T), PlaceError> {
    let path = folder.shown().join(name);
    let failed = |errno| PlaceError::system("look at", &path, errno);
    let replaced = || PlaceError::stands(&path, "it was replaced meanwhile");
    let prepare = |temporary: &OsStr| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(folder.fd(), temporary, flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&made).map_err(failed)?;
        // Whoever may write there can have put something else there by now, be it a further name of what is elsewhere,
        // which is not to be given away.
        if !is_it(&found) || found.st_nlink > 1 {
            return Err(replaced());
        }
        let done = set(made.as_fd(), &found)?;
        let there = statat(folder.fd(), temporary, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino) {
            return Err(replaced());
        }
        Ok((made, done))
    };
    make_aside((folder, name), special, create, prepare).map_err(|error| match error {
        MakeError::Made(errno) => PlaceError::system(what, &path, errno),
        MakeError::Named(error) => error,
    })
}

#[cfg(test)]
mod tests {
    use super::super::beneath::Beneath;
    use super::super::temporary::{Linked, Temporary, link};
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::sync::Arc;

    /// In a folder that was made for a tree another session of the same tree may have been quicker.
    #[test]
    fn in_a_new_folder_the_last_one_stays_and_no_file_takes_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"", true).unwrap());
        let stands = |name| fs::symlink_metadata(dir.path().join(name)).unwrap();
        let mut inodes = Vec::new();
        // Of each the open descriptor is kept, so that its number is not given again.
        let mut made = Vec::new();
        for device in [Device::Fifo, Device::Fifo, Device::Socket] {
            made.push(special(&folder, b"name", device, &|_, _| Ok(())).unwrap());
            made.push(special(&folder, b"further", device, &|_, _| Ok(())).unwrap());
            inodes.push(stands("name").ino());
            let to = (&beneath, &b"name"[..]);
            assert_eq!(link(to, &folder, b"further", true).unwrap(), Linked::Link, "{device:?}");
            assert_eq!(stands("further").ino(), stands("name").ino());
        }
        assert!(stands("name").file_type().is_socket());
        inodes.dedup();
        assert_eq!(inodes.len(), 3, "each took the name of the one before");
        symlink(&folder, b"name", b"target", &|_, _| Ok(())).unwrap_err();
        Temporary::create(&folder).unwrap().rename(OsStr::new("name")).unwrap_err();
        assert!(stands("name").file_type().is_socket());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
    }
}
