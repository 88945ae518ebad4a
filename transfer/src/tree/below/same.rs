//! What stands there already: whether it is the source's, and what is set on it then.

use super::{Below, has_of, said};
use crate::blocks::Value;
use crate::destination::Shown;
use crate::message::Check;
use crate::place::dirs::Folder;
use crate::place::meta::{
    Applied, Granularity, Has, Plan, Rules, SET_GID, SET_UID, Step, apply, same_time,
};
use crate::place::temporary::Temporary;
use crate::tree::attrs::CAPABILITY;
use crate::tree::digest::of_file;
use crate::tree::entry::{Entry, Kind, Meta, Time};
use crate::tree::ground::{Stands, Why};
use crate::xattr;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

/// A file that was modified as lately, by the clock of either host, is not taken for the same by its time: it may have been
/// written to again since, within what the clock of its file system tells apart.
const DOUBT: Duration = Duration::from_secs(2);
/// How far ahead a sender's clock may be: a day, more than one that is in the wrong time zone.
const SKEW: Duration = Duration::from_secs(24 * 60 * 60);

impl Below<'_> {
    /// Times that the file system below can tell apart; found out by a file of its own.
    pub(super) fn granularity(&mut self, folder: &Arc<Folder>) -> Granularity {
        if let Some(known) = self.granularity {
            return known;
        }
        let tried = Temporary::create(folder).ok();
        let found = tried.and_then(|tried| Granularity::of(tried.file()).ok());
        *self.granularity.insert(found.unwrap_or(Granularity::FULL))
    }

    pub(super) fn is_same(
        &mut self,
        folder: &Arc<Folder>,
        entry: &Entry,
        digest: Option<&Value>,
        found: &rustix::fs::Stat,
    ) -> bool {
        let Kind::File { len, .. } = entry.kind else { return false };
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let mtime = modified(found);
        if self.check == Check::None || !is_file || found.st_size.cast_unsigned() != len {
            return false;
        }
        let (told, has) = (entry.meta.mtime, has_of(found));
        // What lends an identity must have been verified for it: nobody else's bytes are given it.
        if lends_anew(&entry.meta, has, self.rules)
            || is_capable_anew(folder, entry, has, self.rules)
        {
            return false;
        }
        if self.check == Check::Digest && len == 0 {
            return true; // no digest is told of nothing
        }
        if self.check == Check::Digest {
            return digest.is_some_and(|digest| match self.hashed.of(found) {
                Some(own) => own == *digest,
                None => has_digest(folder, entry, (digest, found), self.is_over),
            });
        }
        let clocks = [Some(Time::now()), self.begun_there];
        let is_late = clocks.into_iter().flatten().any(|now| is_late(told, now));
        !is_late && (mtime == told || same_time(told, mtime, self.granularity(folder)))
    }

    /// Whether a newer file stands there, which is to be left.
    pub(super) fn is_newer(&mut self, entry: &Entry, found: &rustix::fs::Stat) -> bool {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let newer = self.update && is_file && modified(found) > entry.meta.mtime;
        if newer {
            self.tell("files that are newer here are left as they are (-u)");
        }
        newer
    }

    /// Sets what is told beside the content of a file that stands already. One with other names is another where that
    /// changes something: these names may be anybody's, also out of the root.
    pub(super) fn set_beside(
        &mut self,
        (folder, way): (&Folder, &[u8]),
        entry: &Entry,
        found: &rustix::fs::Stat,
    ) -> Result<Stands, Why> {
        let name = OsStr::from_bytes(&entry.name);
        let plan = self.beside(entry, found);
        if plan.steps().next().is_none() && !plan.has_attrs() {
            self.left_out(plan.left());
            if entry.meta.several {
                self.note_verified(way, &entry.name, found);
            }
            return Ok(Stands::Same);
        }
        if moves_other_names(&plan, found) {
            return Ok(Stands::Other);
        }
        folder.check_in_place(&self.beneath, way).map_err(said)?;
        let path = folder.shown().join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(folder.fd(), name, flags, Mode::empty()) {
            // Who may not read it has nothing to set it by. A new file can take its place all the same.
            Err(Errno::ACCESS) => return Ok(Stands::Other),
            opened => opened.map_err(|e| format!("cannot set what is kept of {path}: {e}"))?,
        };
        let opened = fstat(&file).map_err(|e| format!("cannot look at {path}: {e}"))?;
        if (opened.st_dev, opened.st_ino) != (found.st_dev, found.st_ino) {
            return Err(format!("{path} was replaced meanwhile"));
        }
        let changes = plan.changes(file.as_fd(), &path).map_err(said)?;
        if !changes.is_empty() && opened.st_nlink > 1 {
            return Ok(Stands::Other);
        }
        let set = apply(file.as_fd(), &plan, &path, false);
        let Applied { dropped, left, .. } = set.map_err(said)?;
        self.left_out(plan.left().chain(dropped).chain(left));
        if entry.meta.several
            && let Ok(now) = fstat(&file)
        {
            self.note_verified(way, &entry.name, &now);
        }
        Ok(Stands::Same)
    }
}

/// Whether what is set on what stands under a name changes other names of it as well, be it by its attributes, which are
/// looked at without opening it.
pub(super) fn changes_other_names(
    (folder, name): (&Folder, &[u8]),
    plan: &Plan,
    found: &rustix::fs::Stat,
) -> bool {
    if found.st_nlink < 2 || !plan.has_attrs() {
        return moves_other_names(plan, found);
    }
    let name = OsStr::from_bytes(name);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let changes = || {
        let open = openat(folder.fd(), name, flags, Mode::empty()).ok()?;
        plan.changes(open.as_fd(), &folder.shown().join(name)).ok()
    };
    // What cannot be read fails when it is to be set.
    moves_other_names(plan, found) || changes().is_some_and(|changes| !changes.is_empty())
}

/// The same of what is open.
pub(super) fn changes_names_of(
    (open, path): (BorrowedFd<'_>, &Shown),
    plan: &Plan,
    found: &rustix::fs::Stat,
) -> bool {
    let changes = || plan.changes(open, path).is_ok_and(|changes| !changes.is_empty());
    moves_other_names(plan, found) || (found.st_nlink > 1 && plan.has_attrs() && changes())
}

/// The same, but for attributes.
fn moves_other_names(plan: &Plan, found: &rustix::fs::Stat) -> bool {
    let changes = |step| match step {
        Step::Times(mtime, _) => mtime != modified(found),
        Step::Chown(..) | Step::Chmod(_) => true,
    };
    found.st_nlink > 1 && plan.steps().any(changes)
}

/// Whether a file that stands there has this digest: nothing else is known of its bytes. No, once it `is_over`.
fn has_digest(
    folder: &Folder,
    entry: &Entry,
    (digest, found): (&Value, &rustix::fs::Stat),
    is_over: &dyn Fn() -> bool,
) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = OsStr::from_bytes(&entry.name);
    let Ok(file) = openat(folder.fd(), name, flags, Mode::empty()) else { return false };
    let id = |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_it = fstat(&file).is_ok_and(|opened| id(&opened) == id(found));
    let len = found.st_size.cast_unsigned();
    is_it && of_file(&file.into(), len, is_over).is_ok_and(|own| own.as_bytes() == digest)
}

pub(super) fn modified(found: &rustix::fs::Stat) -> Time {
    let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
    Time { secs: found.st_mtime, nanos }
}

/// Whether a file was modified so lately, by a clock that shows `now`, that its time says little: one that lies further
/// ahead than clocks do was set, and is no moment of writing.
fn is_late(mtime: Time, now: Time) -> bool {
    let since = mtime.as_nanos() - now.as_nanos();
    let [doubt, skew] = [DOUBT, SKEW].map(|span| span.as_nanos().cast_signed());
    (-doubt..skew).contains(&since)
}

/// Whether capabilities are told, and would be set on what has not the same already, or loses them with its owner.
fn is_capable_anew(folder: &Folder, entry: &Entry, has: Has, rules: Rules) -> bool {
    let Rules { keep, allowed, .. } = rules;
    let told = entry.meta.attrs.list().and_then(|list| list.xattr(CAPABILITY));
    let set = keep.xattrs && allowed.setuid && geteuid().is_root();
    let Some(told) = told.filter(|_| set) else { return false };
    let moves = |keep: bool, told: u32, has: u32| keep && allowed.owner && told != has;
    if moves(keep.owner, entry.meta.uid, has.uid) || moves(keep.group, entry.meta.gid, has.gid) {
        return true;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = OsStr::from_bytes(&entry.name);
    let Ok(file) = openat(folder.fd(), name, flags, Mode::empty()) else { return true };
    let own = xattr::Of::descriptor(file.as_fd()).get(CAPABILITY);
    own.ok().flatten().is_none_or(|own| own != told)
}

/// Whether bits that lend an identity are told, and would be set on what does not lend the same one already.
fn lends_anew(told: &Meta, has: Has, rules: Rules) -> bool {
    let lends = rules.keep.perms && rules.allowed.setuid && told.mode & (SET_UID | SET_GID) != 0;
    let of_group = told.mode & SET_GID != 0 && has.gid != told.gid;
    lends && ((has.mode, has.uid) != (told.mode, told.uid) || of_group)
}
