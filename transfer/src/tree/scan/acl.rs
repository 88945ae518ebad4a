//! The owning group's permissions where a file has an access control list (acl(5)).
//!
//! The middle three of a file's permission bits are then the list's mask: the most that anyone beside owner
//! and others may have. Sent as they are they would give the owning group what the list gives to others.

use crate::xattr::{Of, read};
use rustix::fs::{
    CWD, Mode, OFlags, Statx, fgetxattr, fgetxattr_query, lgetxattr, lgetxattr_query, openat,
    readlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The attribute that holds the list (`linux/posix_acl_xattr.h`): a version, then entries of tag, permissions
/// and id, all of them little-endian.
const NAME: &CStr = c"system.posix_acl_access";
const VERSION: u32 = 2;
const ENTRY: usize = 8;
/// The tag of the owning group's entry (`ACL_GROUP_OBJ`).
const GROUP_OBJ: u16 = 0x04;

/// The bits of a mode that are the group's.
const GROUP: u32 = 0o070;

/// The permissions of the owning group by a list, 0 to 7; `None` where it is no such list.
pub(super) fn owning_group(acl: &[u8]) -> Option<u32> {
    let (version, entries) = acl.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<ENTRY>();
    if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
        return None;
    }
    let found = entries.iter().find(|entry| u16::from_le_bytes([entry[0], entry[1]]) == GROUP_OBJ);
    found.map(|entry| u32::from(entry[2] & 7))
}

/// The mode without what only others of the list have: of its group bits, the mask, those that the owning
/// group has as well. Nobody can tell what a list that cannot be understood gives the group: nothing then.
pub(crate) fn without_list(mode: u32, acl: &[u8]) -> u32 {
    mode & !GROUP | mode & (owning_group(acl).unwrap_or(0) << 3)
}

/// Whether these bits can give the owning group what only others of a list have: not if they give it no more
/// than everybody has. That spares nearly every file the question, which takes as long as all the rest of the
/// look at it. A list that denies its owning group what everybody else may is not noticed; nor are the users
/// that it denies the same, since lists are not carried.
fn may_give_too_much(mode: u32) -> bool {
    mode & GROUP & !(mode << 3) != 0
}

/// Whose list is asked for.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    Open(BorrowedFd<'a>),
    /// What stands under a name in an open folder; no link is followed.
    Below(BorrowedFd<'a>, &'a CStr),
}

/// Asks for lists, no more often than there may be one.
#[derive(Debug)]
pub(super) struct Lists {
    /// The file system that said last that it has none.
    without: Option<(u32, u32)>,
    /// The path by which an attribute is asked for without opening the file. Without /proc a file has to be
    /// opened.
    proc: Option<ProcPath>,
    /// Lists that were found, of which nothing but the owning group's permissions is told.
    found: Arc<AtomicU64>,
}

/// What stands behind `/proc/PID/fd/N/` is looked up in that open folder (proc(5)).
#[derive(Debug)]
pub(super) struct ProcPath {
    /// This process's folder: what the link `/proc/self` says, which takes a tenth of the question's time if
    /// it is followed each time.
    own: String,
    fd: RawFd,
    prefix: usize,
    bytes: Vec<u8>,
}

impl Lists {
    pub(super) fn new(proc: Option<ProcPath>) -> Self {
        Self { without: None, proc, found: Arc::default() }
    }

    /// How many lists were found so far.
    pub(super) fn found(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.found)
    }

    /// Whether what stands below a folder is asked without being opened.
    pub(super) fn is_by_path(&self) -> bool {
        self.proc.is_some()
    }

    /// Takes the question to what is meant, without opening it if that can be.
    pub(super) fn at<T>(
        &mut self,
        whose: Whose<'_>,
        ask: impl FnOnce(&Of<'_>) -> T,
    ) -> Result<T, Errno> {
        match (whose, &mut self.proc) {
            (Whose::Open(file), _) => Ok(ask(&Of::Open(file))),
            (Whose::Below(dir, name), Some(path)) => Ok(ask(&Of::Itself(path.of(dir, name)))),
            (Whose::Below(dir, name), None) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(dir, name, flags, Mode::empty())?;
                Ok(ask(&Of::Open(file.as_fd())))
            }
        }
    }

    /// The permission bits of a file or a folder, its group's without what only others of its list have.
    pub(super) fn mode(&mut self, stat: &Statx, whose: Whose<'_>) -> Result<u32, Errno> {
        let mode = u32::from(stat.stx_mode) & 0o7777;
        let fs = (stat.stx_dev_major, stat.stx_dev_minor);
        if !may_give_too_much(mode) || self.without == Some(fs) {
            return Ok(mode);
        }
        match self.list(whose) {
            Ok(acl) => {
                self.found.fetch_add(1, Ordering::Relaxed);
                Ok(without_list(mode, &acl))
            }
            Err(Errno::NODATA) => Ok(mode),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.without = Some(fs);
                Ok(mode)
            }
            Err(errno) => Err(errno),
        }
    }

    fn list(&mut self, whose: Whose<'_>) -> Result<Vec<u8>, Errno> {
        match (whose, &mut self.proc) {
            (Whose::Open(file), _) => of_open(file),
            (Whose::Below(dir, name), Some(path)) => {
                let path = path.of(dir, name);
                read(|| lgetxattr_query(path, NAME), |buf| lgetxattr(path, NAME, buf))
            }
            (Whose::Below(dir, name), None) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match openat(dir, name, flags, Mode::empty()) {
                    Ok(file) => of_open(file.as_fd()),
                    // Whoever reads it says so.
                    Err(Errno::ACCESS | Errno::PERM) => Err(Errno::NODATA),
                    Err(errno) => Err(errno),
                }
            }
        }
    }
}

impl ProcPath {
    /// If /proc is there.
    pub(super) fn find() -> Option<Self> {
        let own = readlinkat(CWD, c"/proc/self", Vec::new()).ok()?.into_string().ok()?;
        Some(Self { own, fd: -1, prefix: 0, bytes: Vec::new() })
    }

    fn of(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> &CStr {
        if self.fd != dir.as_raw_fd() {
            self.fd = dir.as_raw_fd();
            self.bytes = format!("/proc/{}/fd/{}/", self.own, self.fd).into_bytes();
            self.prefix = self.bytes.len();
        }
        self.bytes.truncate(self.prefix);
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        // Neither the prefix nor the name has another zero byte.
        CStr::from_bytes_with_nul(&self.bytes).unwrap_or_default()
    }
}

fn of_open(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    read(|| fgetxattr_query(file, NAME), |buf| fgetxattr(file, NAME, buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of the entries' tags and permissions.
    fn list(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(1000_u32.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_owning_groups_entry_is_found() {
        // user::rw- user:1000:rwx group::r-- mask::rwx other::---
        let acl = list(&[(1, 6), (2, 7), (4, 4), (0x10, 7), (0x20, 0)]);
        assert_eq!(owning_group(&acl), Some(4));
        assert_eq!(without_list(0o670, &acl), 0o640);
        // Set-uid, set-gid and sticky stay.
        assert_eq!(without_list(0o7677, &acl), 0o7647);
    }

    #[test]
    fn the_mask_still_limits_the_group() {
        let acl = list(&[(1, 6), (2, 7), (4, 7), (0x10, 4), (0x20, 0)]);
        assert_eq!(without_list(0o640, &acl), 0o640);
    }

    #[test]
    fn a_list_is_asked_for_where_the_group_has_more_than_everybody() {
        for mode in [0o644, 0o755, 0o600, 0o4711, 0o1777, 0o707, 0o005] {
            assert!(!may_give_too_much(mode), "{mode:o}");
        }
        for mode in [0o640, 0o664, 0o750, 0o2775, 0o610, 0o754] {
            assert!(may_give_too_much(mode), "{mode:o}");
        }
    }

    #[test]
    fn a_file_system_without_lists_is_asked_once() {
        let proc = std::fs::File::open("/proc/self/stat").unwrap();
        let flags = rustix::fs::StatxFlags::BASIC_STATS;
        let by_fd = rustix::fs::AtFlags::EMPTY_PATH;
        let mut stat = rustix::fs::statx(&proc, c"", by_fd, flags).unwrap();
        stat.stx_mode = 0o640; // as if it were worth asking
        let mut lists = Lists::new(ProcPath::find());
        assert_eq!(lists.mode(&stat, Whose::Open(proc.as_fd())), Ok(0o640));
        assert_eq!(lists.without, Some((stat.stx_dev_major, stat.stx_dev_minor)));
        // Nobody is asked about this name, which is not there.
        assert_eq!(lists.mode(&stat, Whose::Below(CWD, c"/absent/name")), Ok(0o640));
    }

    #[test]
    fn of_what_is_no_list_the_group_gets_nothing() {
        let mut newer = list(&[(4, 7)]);
        newer[0] = 3;
        let odd = [list(&[(4, 7)]), vec![0]].concat();
        for acl in [&[][..], &[2, 0, 0], &newer, &odd, &list(&[(1, 7), (2, 7)])] {
            assert_eq!(owning_group(acl), None, "{acl:?}");
            assert_eq!(without_list(0o4775, acl), 0o4705);
        }
    }
}
