//! Access control lists that new files and folders get from the folder that they are in (acl(5)).
//!
//! Such a list names users and groups that may more than the permission bits show. Where permissions are kept, they are
//! those that the sender tells: the list goes before they are set. A file is created with no permissions but its owner's,
//! so that until then the list lets nobody in.

use super::dirs::Folder;
use rustix::fs::{fgetxattr_query, fremovexattr};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// The attributes that hold a folder's list for what is created in it, and the list of a file itself
/// (`linux/posix_acl_xattr.h`).
const DEFAULT: &CStr = c"system.posix_acl_default";
const ACCESS: &CStr = c"system.posix_acl_access";

/// Whether what is created in a folder gets a list; where nobody can tell, it may.
pub(super) fn is_passed_on(folder: &Folder) -> bool {
    match fgetxattr_query(folder.fd(), DEFAULT) {
        Ok(len) => len > 0,
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => false,
        Err(_) => true,
    }
}

/// Takes the list away from an open file or folder.
pub(super) fn remove(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match fremovexattr(fd, ACCESS) {
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        removed => removed,
    }
}
