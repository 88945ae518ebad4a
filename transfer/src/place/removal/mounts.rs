//! Whether something is mounted on a folder, where the kernel does not look for us (openat2(2)).

use crate::place::beneath::FOLDER;
use crate::place::temporary::temporary_name;
use rustix::fs::{Mode, Stat, fstat, openat, renameat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Opens a folder: none that is mounted, be it a part of the same file system.
pub(super) fn enter(folder: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Stat), Errno> {
    let fd = openat(folder, name, FOLDER, Mode::empty())?;
    let stat = fstat(&fd)?;
    if stat.st_dev != fstat(folder)?.st_dev {
        return Err(Errno::XDEV);
    }
    check_one_mount(folder, fd.as_fd())?;
    Ok((fd, stat))
}

/// Nothing is moved from one mount to another (rename(2)), which is found out before it is looked whether there is
/// anything to be moved: so that it is asked of a name that nothing has. The number of a mount would say the same, but
/// kernels that have no openat2 do not tell it a process that may not be dumped, as the daemon.
fn check_one_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let free = || temporary_name().map_err(|_| Errno::IO);
    match renameat(from, free()?, to, free()?) {
        // What cannot be written to is told when something is to be removed from it.
        Ok(()) | Err(Errno::NOENT | Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::Path;

    /// What is entered by either way, and what keeps from it.
    fn entered(dir: &Path, name: &CStr) -> [Option<Errno>; 2] {
        let folder = File::open(dir).unwrap();
        [super::super::enter, enter].map(|enter| enter(folder.as_fd(), name).err())
    }

    #[test]
    fn a_folder_that_is_mounted_from_the_same_file_system_is_not_entered() {
        let name = "place::removal::mounts::tests::\
                    a_folder_that_is_mounted_from_the_same_file_system_is_not_entered";
        let script =
            "mkdir source extra bound other; mount --bind source extra; mount -t tmpfs mcp other";
        let Some(dir) = crate::untried::mounted(name, script) else { return };
        let devices = ["source", "extra"].map(|name| {
            let stat = rustix::fs::stat(dir.join(name)).unwrap();
            (stat.st_dev, stat.st_ino)
        });
        assert_eq!(devices[0], devices[1], "it is one folder");
        assert_eq!(entered(&dir, c"extra"), [Some(Errno::XDEV); 2]);
        assert_eq!(entered(&dir, c"other"), [Some(Errno::XDEV); 2]);
        assert_eq!(entered(&dir, c"source"), [None; 2]);
    }

    #[test]
    fn to_find_it_out_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("in/inner")).unwrap();
        let before = fs::metadata(dir.path().join("in")).unwrap().modified().unwrap();
        assert_eq!(entered(dir.path(), c"in"), [None; 2]);
        assert_eq!(entered(dir.path(), c"gone"), [Some(Errno::NOENT); 2]);
        assert_eq!(fs::metadata(dir.path().join("in")).unwrap().modified().unwrap(), before);
    }
}
