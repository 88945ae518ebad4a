//! What is to be set on an entry: decided without asking the system, then done in an order that loses nothing.
//!
//! A change of owner clears set-id bits and capabilities, even one to the same owner, so that it comes first and
//! only where something changes; then attributes, since those of users can be set only by who may write, and a list
//! moves the mode; the mode comes after them, and the times last, after every write and truncation.

use super::attrs::{self, Lists};
use super::error::PlaceError;
use super::room::Unset;
use crate::destination::Shown;
use crate::tree::attrs::{ACCESS, Attrs, acl_bytes, parse_acl};
use crate::tree::entry::{Meta, Time};
use crate::tree::scan::acl;
use crate::xattr;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, fstat,
    futimens, utimensat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The set-user-ID and set-group-ID bits (inode(7)).
pub(crate) const SET_UID: u32 = 0o4000;
pub(crate) const SET_GID: u32 = 0o2000;
/// The owner's permission to write.
const WRITE: u32 = 0o200;

/// What the sender asks to have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Keep {
    /// The permission bits.
    pub perms: bool,
    /// The time of the last modification, and that of the last reading if it is told.
    pub times: bool,
    /// The owner.
    pub owner: bool,
    /// The group.
    pub group: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// Access control lists, with the permission bits.
    pub acls: bool,
}

/// What the receiver allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// Giving files away, to an owner or a group.
    pub owner: bool,
    /// Set-user-ID and set-group-ID bits.
    pub setuid: bool,
}

/// What the entry is, as far as that changes what can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A regular file: a new one, even if it is to replace another.
    File,
    /// A regular file that stands there with the right bytes.
    Standing,
    /// A directory that was created for the entry.
    NewDir,
    /// A directory that stood there.
    OldDir,
    /// A symbolic link, which has no permissions of its own.
    Symlink,
}

/// What the inode has by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Has {
    /// The twelve permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// One thing to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Owner and group; `None` leaves one as it is.
    Chown(Option<u32>, Option<u32>),
    /// The twelve permission bits.
    Chmod(u32),
    /// Times of the last modification and of the last reading; `None` leaves the latter as it is.
    Times(Time, Option<Time>),
}

/// What was asked for and is left out, for the receiver does not allow it or has no way to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotCarried {
    /// The owner.
    Owner,
    /// The group.
    Group,
    /// A set-user-ID bit.
    SetUid,
    /// A set-group-ID bit.
    SetGid,
    /// A file's capabilities.
    Capability,
    /// An attribute that is root's.
    Trusted,
    /// What a folder that stood there has for what is created in it.
    DefaultList,
}

/// What is to be done, without a heap: a tree has a million files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    steps: [Option<Step>; 3],
    left: [Option<NotCarried>; 4],
    /// The permission bits that it has in the end.
    mode: u32,
    attrs: Option<Kept>,
}

/// Attributes that are kept: what is to be changed of them shows when its owner is right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    told: Attrs,
    lists: Lists,
    rules: Rules,
}

impl Plan {
    /// What is to be set, in this order.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        self.steps.into_iter().flatten()
    }

    /// Whether attributes are kept, so that they are looked at.
    pub fn has_attrs(&self) -> bool {
        self.attrs.is_some()
    }

    /// What is to be changed of the attributes of what is open, as its owner is by now.
    pub fn changes(&self, fd: BorrowedFd<'_>, path: &Shown) -> Result<attrs::Changes, PlaceError> {
        let Some(Kept { told, lists, rules }) = &self.attrs else {
            return Ok(attrs::Changes::default());
        };
        attrs::changes(&xattr::Of::descriptor(fd), told, *lists, *rules, path)
    }

    /// Changes the attributes of what is open. What is left out, and whether the permission bits are to be set again.
    fn change(
        &self,
        fd: BorrowedFd<'_>,
        path: &Shown,
        open_up: &dyn Fn() -> Result<(), Errno>,
    ) -> Result<(Vec<NotCarried>, bool), PlaceError> {
        let changes = self.changes(fd, path)?;
        if changes.is_empty() {
            return Ok((changes.left, false));
        }
        let moved = attrs::change(&xattr::Of::descriptor(fd), &changes, path, open_up)?;
        Ok((changes.left, moved))
    }

    /// The permission bits where the attributes could not all be set: those of the group are the mask of a list (acl(5)),
    /// and without that list they would give the owning group what it gives to others.
    fn mode_without_list(&self, fd: BorrowedFd<'_>) -> u32 {
        let kept = self.attrs.as_ref().filter(|Kept { rules, .. }| rules.keep.acls);
        let told = kept.and_then(|kept| kept.told.list()).filter(|told| !told.access.is_empty());
        let Some(told) = told else { return self.mode };
        let has = xattr::Of::descriptor(fd).get(ACCESS).ok().flatten();
        let is_set = has.and_then(|list| parse_acl(&list)).is_some_and(|has| has == told.access);
        if is_set { self.mode } else { acl::without_list(self.mode, &acl_bytes(&told.access)) }
    }

    /// What is left out.
    pub fn left(&self) -> impl Iterator<Item = NotCarried> {
        self.left.into_iter().flatten()
    }
}

/// What the decision depends on, beside the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// What the sender asks for.
    pub keep: Keep,
    /// What the receiver allows.
    pub allowed: Allowed,
    /// The process's file mode creation mask.
    pub umask: u32,
}

/// Decides what is to be set on an entry that is told as `told`, its ids being those of this host already. `has` is
/// what its inode has, `replaced` the mode of the file whose name it takes.
pub fn plan(told: &Meta, of: Of, has: Has, replaced: Option<u32>, rules: Rules) -> Plan {
    let Rules { keep, allowed, umask } = rules;
    let mut plan = Plan::default();
    let wanted = |keep: bool, told: u32, has: u32| (keep && told != has).then_some(told);
    let uid = wanted(keep.owner, told.uid, has.uid);
    let gid = wanted(keep.group, told.gid, has.gid);
    if allowed.owner {
        plan.steps[0] = (uid.is_some() || gid.is_some()).then_some(Step::Chown(uid, gid));
    } else {
        plan.left[0] = uid.map(|_| NotCarried::Owner);
        plan.left[1] = gid.map(|_| NotCarried::Group);
    }
    let chowned = plan.steps[0].is_some();
    let mode = if keep.perms {
        // A bit that lends an identity is right for the identity that the sender means, and for no other.
        let owned = told.uid == has.uid || (chowned && uid.is_some());
        let grouped = told.gid == has.gid || (chowned && gid.is_some());
        let mut mode = told.mode & 0o7777;
        if mode & SET_UID != 0 && !(allowed.setuid && owned) {
            mode &= !SET_UID;
            plan.left[2] = Some(NotCarried::SetUid);
        }
        if mode & SET_GID != 0 && !(allowed.setuid && grouped) {
            mode &= !SET_GID;
            plan.left[3] = Some(NotCarried::SetGid);
        }
        mode
    } else {
        match (of, replaced) {
            // What lent the identity of its owner must not lend that of another: nobody has looked at its bytes.
            (Of::Standing, _) => {
                let lost = |id: Option<u32>, bit| if chowned && id.is_some() { bit } else { 0 };
                has.mode & !lost(uid, SET_UID) & !lost(gid, SET_GID)
            }
            (Of::OldDir | Of::Symlink, _) => has.mode,
            // The parent's set-group-ID bit is inherited by a directory, and is the receiver's own.
            (Of::NewDir, _) => told.mode & 0o777 & !umask | has.mode & SET_GID,
            // The old file's bits that lend an identity were given to the old bytes, not to these.
            (Of::File, Some(old)) => old & 0o777,
            (Of::File, None) => told.mode & 0o777 & !umask,
        }
    };
    // Where the owner changes the system may clear bits that are there by now.
    if of != Of::Symlink && (mode != has.mode || (chowned && mode & (SET_UID | SET_GID) != 0)) {
        plan.steps[1] = Some(Step::Chmod(mode));
    }
    if of == Of::Symlink {
        plan.left[2..].fill(None);
    }
    plan.mode = mode;
    plan.attrs = attrs::are_kept(rules).then(|| {
        let lists = match of {
            Of::Symlink => Lists::None,
            Of::NewDir => Lists::Both,
            Of::OldDir => Lists::Standing,
            Of::File | Of::Standing => Lists::Access,
        };
        Kept { told: told.attrs.clone(), lists, rules }
    });
    plan.steps[2] = keep.times.then_some(Step::Times(told.mtime, told.atime));
    plan
}

/// What came of it beside success.
#[derive(Debug, Default)]
pub struct Applied {
    /// A bit that the system dropped without a word.
    pub dropped: Option<NotCarried>,
    /// What the file system does not do.
    pub unset: Option<Unset>,
    /// Attributes that are left out.
    pub left: Vec<NotCarried>,
}

/// Does what was decided to an open file or directory. Where attributes cannot be set, permissions and times are set all the
/// same: what is in a directory is reached by them. A set-group-ID bit of a foreign group is dropped by the
/// system without a word (chmod(2)); that is given back as not carried. `lenient`: nobody asked for these permissions,
/// and the file is right without them where the file system has none.
pub fn apply(
    fd: BorrowedFd<'_>,
    plan: &Plan,
    path: &Shown,
    lenient: bool,
) -> Result<Applied, PlaceError> {
    let [chown, chmod, times] = plan.steps;
    if let Some(Step::Chown(uid, gid)) = chown {
        fchown(fd, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
            .map_err(|e| PlaceError::system("set the owner of", path, e))?;
    }
    let open_up = || fchmod(fd, Mode::from_raw_mode(opened_up(fstat(fd)?.st_mode)));
    let changed = plan.change(fd, path, &open_up);
    let chmod = match &changed {
        Ok((_, moved)) => chmod.or_else(|| moved.then_some(Step::Chmod(plan.mode))),
        Err(_) => Some(Step::Chmod(plan.mode_without_list(fd))),
    };
    let finished = finish(fd, [chmod, times], path, lenient);
    let (left, _) = changed?;
    let (dropped, unset) = finished?;
    Ok(Applied { dropped, unset, left })
}

/// What something has while its attributes are set: what it has, and its owner may write. What it is told to have comes
/// after its list, whose mask the group's bits are (acl(5)).
pub(super) fn opened_up(has: u32) -> u32 {
    has & 0o777 | WRITE
}

/// Sets permissions, then times. A bit that the system dropped, and what the file system does not do.
fn finish(
    fd: BorrowedFd<'_>,
    steps: [Option<Step>; 2],
    path: &Shown,
    lenient: bool,
) -> Result<(Option<NotCarried>, Option<Unset>), PlaceError> {
    let (mut dropped, mut unset) = (None, None);
    for step in steps.into_iter().flatten() {
        match step {
            Step::Chown(..) => {}
            Step::Chmod(mode) => {
                match fchmod(fd, Mode::from_raw_mode(mode)) {
                    // Until here nobody else had any, so what cannot be set is too little rather than too much.
                    Err(errno) if lenient => unset = Some(Unset::Mode(errno.into())),
                    set => {
                        set.map_err(|e| PlaceError::system("set the permissions of", path, e))?;
                    }
                }
                if mode & SET_GID != 0 {
                    let now = fstat(fd).map_err(|e| PlaceError::system("look at", path, e))?;
                    dropped = (now.st_mode & SET_GID == 0).then_some(NotCarried::SetGid);
                }
            }
            Step::Times(mtime, atime) => futimens(fd, &stamps(mtime, atime))
                .map_err(|e| PlaceError::system("set the times of", path, e))?,
        }
    }
    Ok((dropped, unset))
}

/// Does what was decided to what was opened by `O_PATH`: a symbolic link itself, never what it says; or a device, a pipe
/// or a socket. What is left out.
pub fn apply_to_link(
    link: BorrowedFd<'_>,
    plan: &Plan,
    path: &Shown,
) -> Result<Vec<NotCarried>, PlaceError> {
    let (name, itself) = (c"", AtFlags::EMPTY_PATH);
    let [chown, chmod, times] = plan.steps; // of a link none that sets a mode (`plan`)
    if let Some(Step::Chown(uid, gid)) = chown {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        chownat(link, name, uid, gid, itself)
            .map_err(|e| PlaceError::system("set the owner of", path, e))?;
    }
    let (left, moved) = plan.change(link, path, &|| Ok(()))?;
    if let Some(Step::Chmod(mode)) = chmod.or_else(|| moved.then_some(Step::Chmod(plan.mode))) {
        // No call takes such a descriptor, and what /proc has in its place is no path that is gone on with.
        let itself = format!("/proc/self/fd/{}", link.as_raw_fd());
        rustix::fs::chmod(itself, Mode::from_raw_mode(mode))
            .map_err(|e| PlaceError::system("set the permissions of", path, e))?;
    }
    if let Some(Step::Times(mtime, atime)) = times {
        utimensat(link, name, &stamps(mtime, atime), itself)
            .map_err(|e| PlaceError::system("set the times of", path, e))?;
    }
    Ok(left)
}

fn stamps(mtime: Time, atime: Option<Time>) -> Timestamps {
    let stamp = |time: Time| Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Timestamps { last_access: atime.map_or(omit, stamp), last_modification: stamp(mtime) }
}

/// Which times a file system keeps; it changes others without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granularity {
    /// Nanoseconds between two times that it can tell apart.
    pub step: i128,
    /// Its first second.
    pub first: i64,
    /// Its last second.
    pub last: i64,
}

impl Granularity {
    /// Of a file system that keeps every time.
    pub const FULL: Self = Self { step: 1, first: i64::MIN, last: i64::MAX };

    /// Tried out on an open file whose times do not matter.
    pub fn of(file: impl AsFd) -> std::io::Result<Self> {
        let keep = |secs, nanos| {
            futimens(&file, &stamps(Time { secs, nanos }, None))?;
            let stat = fstat(&file)?;
            let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
            std::io::Result::Ok(Time { secs: stat.st_mtime, nanos })
        };
        let (first, last) = (keep(i64::MIN, 0)?.secs, keep(i64::MAX, 0)?.secs);
        // An odd second after 1980, for FAT counts in twos from there.
        let odd = Time { secs: 1_000_000_001, nanos: 999_999_999 };
        let step = odd.as_nanos() - keep(odd.secs, odd.nanos)?.as_nanos() + 1;
        Ok(Self::tried(step, first, last))
    }

    /// Where the least and the largest of all times came out so. What comes out the wrong way round has been cut off to
    /// fewer bits (ntfs-3g does so): such a file system has no time that stands for all beyond it.
    pub(super) fn tried(step: i128, first: i64, last: i64) -> Self {
        let (first, last) = if first < last { (first, last) } else { (i64::MIN, i64::MAX) };
        Self { step: step.max(1), first, last }
    }
}

/// Whether a file that was given the time `told` shows the time `found`.
pub fn same_time(told: Time, found: Time, granularity: Granularity) -> bool {
    let Granularity { step, first, last } = granularity;
    if told.secs >= last || told.secs <= first {
        let clamped = told.secs.clamp(first, last);
        let apart = (i128::from(clamped) - i128::from(found.secs)) * 1_000_000_000;
        if told.secs != clamped || apart != 0 {
            return apart.abs() < step;
        }
        return told == found || found.nanos == 0;
    }
    told.as_nanos().div_euclid(step) == found.as_nanos().div_euclid(step)
}
