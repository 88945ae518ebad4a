//! What stands there already: whether it is the source's, and what is set on it then.

use super::{Below, has_of, said};
use crate::blocks::Value;
use crate::message::Check;
use crate::place::dirs::Folder;
use crate::place::meta::{
    Applied, Granularity, Keep, Of, Plan, Rules, Step, apply, plan, same_time,
};
use crate::place::temporary::Temporary;
use crate::tree::digest::of_file;
use crate::tree::entry::{Entry, Kind, Meta, Time};
use crate::tree::ground::{Stands, Why};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was modified as lately is not taken for the same by its time: it may have been written to again
/// since, within what the clock of its file system tells apart.
const DOUBT: Duration = Duration::from_secs(2);
/// How far ahead a sender's clock may be: a day, more than one that is in the wrong time zone.
const SKEW: Duration = Duration::from_secs(24 * 60 * 60);

impl Below<'_> {
    /// Times that the file system below can tell apart; found out by a file of its own.
    fn granularity(&mut self, folder: &Arc<Folder>) -> Granularity {
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
        let lends = told_set_id(&entry.meta, self.rules);
        if lends && (has.mode, has.uid) != (entry.meta.mode, entry.meta.uid) {
            return false;
        }
        if self.check == Check::Digest {
            return digest.is_some_and(|digest| match self.hashed.of(found) {
                Some(own) => own == *digest,
                None => has_digest(folder, entry, (digest, found), self.is_over),
            });
        }
        (mtime == told || same_time(told, mtime, self.granularity(folder))) && !is_late(told)
    }

    /// Whether a newer file stands there, which is to be left.
    pub(super) fn is_newer(&mut self, entry: &Entry, found: &rustix::fs::Stat) -> bool {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let newer = self.check == Check::Update && is_file && modified(found) > entry.meta.mtime;
        if newer {
            self.tell("files that are newer here are left as they are (-u)");
        }
        newer
    }

    /// Sets what is told beside the content of a file that stands already. One with other names is another where that
    /// changes something: these names may be anybody's, also out of the root.
    pub(super) fn set_beside(
        &mut self,
        folder: &Folder,
        entry: &Entry,
        found: &rustix::fs::Stat,
    ) -> Result<Stands, Why> {
        let name = OsStr::from_bytes(&entry.name);
        // Of one that was compared by its digest the time may be another.
        let times = self.rules.keep.times && modified(found) != entry.meta.mtime;
        let keep = Keep { times: times && self.check == Check::Digest, ..self.rules.keep };
        let plan =
            plan(&entry.meta, Of::Standing, has_of(found), None, Rules { keep, ..self.rules });
        if plan.steps().next().is_none() {
            self.left_out(plan.left());
            return Ok(Stands::Same);
        }
        if changes_other_names(&plan, found) {
            return Ok(Stands::Other);
        }
        self.dirs()?.check_here().map_err(said)?;
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
        let Applied { dropped, .. } = apply(file.as_fd(), &plan, &path, false).map_err(said)?;
        self.left_out(plan.left().chain(dropped));
        Ok(Stands::Same)
    }
}

/// Whether what is set on what stands there changes other names of it as well.
pub(super) fn changes_other_names(plan: &Plan, found: &rustix::fs::Stat) -> bool {
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

fn modified(found: &rustix::fs::Stat) -> Time {
    let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
    Time { secs: found.st_mtime, nanos }
}

/// Whether a file was modified so lately that its time says little: one that lies further ahead than clocks do was
/// set, and is no moment of writing.
fn is_late(mtime: Time) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let after = Duration::new(u64::try_from(mtime.secs).unwrap_or(0), mtime.nanos);
    (now.saturating_sub(DOUBT)..now + SKEW).contains(&after)
}

/// Whether bits that lend an identity are told, and are to be set.
fn told_set_id(told: &Meta, rules: Rules) -> bool {
    rules.keep.perms && rules.allowed.setuid && told.mode & 0o6000 != 0
}
