//! Extended attributes as the system has them (xattr(7)): of what is open, or of what stands at a path.

use rustix::fs::{
    OFlags, XattrFlags, fcntl_getfl, fgetxattr, fgetxattr_query, flistxattr, flistxattr_query,
    fremovexattr, fsetxattr, getxattr, getxattr_query, lgetxattr, lgetxattr_query, listxattr,
    listxattr_query, llistxattr, llistxattr_query, removexattr, setxattr,
};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Tries to read what grows between asking for its length and reading it.
const TRIES: usize = 4;

/// Whose attributes they are.
#[derive(Debug, Clone)]
pub(crate) enum Of<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// What stands at a path; a symbolic link is meant itself.
    Itself(&'a CStr),
    /// What was opened by `O_PATH`, by which these calls take nothing (open(2)): a symbolic link itself too, since what
    /// /proc has there is no path that is gone on with.
    Bare(CString),
}

impl<'a> Of<'a> {
    /// Of what is open, in whichever way.
    pub(crate) fn descriptor(fd: BorrowedFd<'a>) -> Self {
        if fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH)) {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            return Self::Bare(CString::new(path).unwrap_or_default());
        }
        Self::Open(fd)
    }

    /// The names of all; none where the file system has none.
    pub(crate) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let len = || match self {
            Self::Open(fd) => flistxattr_query(fd),
            Self::Itself(path) => llistxattr_query(*path),
            Self::Bare(path) => listxattr_query(path),
        };
        let get = |buf: &mut [u8]| match self {
            Self::Open(fd) => flistxattr(fd, buf),
            Self::Itself(path) => llistxattr(*path, buf),
            Self::Bare(path) => listxattr(path, buf),
        };
        match read(len, get) {
            Ok(names) => {
                let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                Ok(names.map(<[u8]>::to_vec).collect())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
            Err(errno) => Err(errno),
        }
    }

    /// The value of one; `None`: there is none of that name.
    pub(crate) fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let len = || match self {
            Self::Open(fd) => fgetxattr_query(fd, name),
            Self::Itself(path) => lgetxattr_query(*path, name),
            Self::Bare(path) => getxattr_query(path, name),
        };
        let get = |buf: &mut [u8]| match self {
            Self::Open(fd) => fgetxattr(fd, name, buf),
            Self::Itself(path) => lgetxattr(*path, name, buf),
            Self::Bare(path) => getxattr(path, name, buf),
        };
        match read(len, get) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sets one.
    pub(crate) fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let flags = XattrFlags::empty();
        match self {
            Self::Open(fd) => fsetxattr(fd, name, value, flags),
            Self::Itself(path) => rustix::fs::lsetxattr(*path, name, value, flags),
            Self::Bare(path) => setxattr(path, name, value, flags),
        }
    }

    /// Removes one.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let removed = match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Itself(path) => rustix::fs::lremovexattr(*path, name),
            Self::Bare(path) => removexattr(path, name),
        };
        match removed {
            Err(Errno::NODATA) => Ok(()),
            removed => removed,
        }
    }
}

/// Asks for the length first: nearly no file has any, and the system takes as much memory as the buffer has before it
/// looks.
pub(crate) fn read(
    len: impl Fn() -> Result<usize, Errno>,
    get: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    for _ in 0..TRIES {
        let len = retry_on_intr(&len)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut buf = vec![0; len];
        match retry_on_intr(|| get(&mut buf)) {
            Ok(len) => {
                buf.truncate(len);
                return Ok(buf);
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

/// What an attribute is to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anybody's who may write to the file.
    User,
    /// The system administrator's.
    Trusted,
    /// What a program may that is started from the file.
    Capability,
    /// The system's own: access control lists, which are not told as attributes, labels and signatures, which are made
    /// for one host.
    System,
}

/// Sorts an attribute by its name.
pub(crate) fn class(name: &[u8]) -> Class {
    if name.starts_with(b"user.") {
        Class::User
    } else if name.starts_with(b"trusted.") {
        Class::Trusted
    } else if name == crate::tree::attrs::CAPABILITY {
        Class::Capability
    } else {
        Class::System
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, openat};
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn an_attribute_is_the_same_however_its_file_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = File::create(&path).unwrap();
        let bare = openat(CWD, &path, OFlags::PATH, Mode::empty()).unwrap();
        let name = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        let open = Of::descriptor(file.as_fd());
        assert!(matches!(open, Of::Open(_)));
        assert_eq!(open.get(b"user.a"), Ok(None));
        open.set(b"user.a", b"some value").unwrap();
        let all = [open, Of::descriptor(bare.as_fd()), Of::Itself(&name)];
        assert!(matches!(all[1], Of::Bare(_)));
        for of in all {
            assert!(of.names().unwrap().contains(&b"user.a".to_vec()), "{of:?}");
            assert_eq!(of.get(b"user.a").unwrap().unwrap(), b"some value", "{of:?}");
            of.remove(b"user.a").unwrap();
            of.remove(b"user.a").unwrap();
            assert_eq!(of.get(b"user.a"), Ok(None), "{of:?}");
            of.set(b"user.a", b"some value").unwrap();
        }
    }

    #[test]
    fn what_is_the_systems_is_told_apart() {
        assert_eq!(class(b"user.mime_type"), Class::User);
        assert_eq!(class(b"trusted.overlay.opaque"), Class::Trusted);
        assert_eq!(class(b"security.capability"), Class::Capability);
        for name in
            [&b"security.selinux"[..], b"security.ima", b"system.posix_acl_access", b"users"]
        {
            assert_eq!(class(name), Class::System);
        }
    }
}
