//! Files whose bytes are all there, in batches, several at a time: while the disk is waited for on account of one, others
//! are written.

use super::{Below, UNWANTED, Way, mode_of, said};
use crate::message::Sync;
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
use crate::place::dirs::{Folder, UNLIST};
use crate::place::meta::{Applied, NotCarried, Of, Rules, apply, plan};
use crate::place::room::{self, Unset};
use crate::place::temporary::Temporary;
use crate::tree::entry::{Entry, Meta};
use crate::tree::ground::Why;
use rustix::fs::{fstat, fsync};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// Files that are open at a time, at most, each with a descriptor; what was told of the session is looked at in between.
const BATCH: usize = 64;
/// Threads that wait for the disk: a journal that many wait for is written once for all of them.
const WAITING: usize = 8;
/// Threads that only write, at most; a session has others, for the network and for digests.
const WRITING: usize = 4;

/// A file that is to be put: all that this needs to know.
struct Job<'a> {
    folder: Arc<Folder>,
    name: &'a OsStr,
    meta: Meta,
    bytes: &'a [u8],
    /// The mode of a file that it replaces.
    replaced: Option<u32>,
}

/// A file that has everything but its name.
pub(super) struct Ready {
    temporary: Temporary,
    /// Further names of it may follow.
    several: bool,
    left: Vec<NotCarried>,
    unset: Option<Unset>,
}

impl Ready {
    /// Sets what is told of a file that has its bytes; `durable`: and waits for the disk.
    pub(super) fn make(
        temporary: Temporary,
        name: &OsStr,
        (meta, replaced): (&Meta, Option<u32>),
        (rules, durable): (Rules, bool),
    ) -> Result<Self, Why> {
        let folder = temporary.folder();
        let path = folder.shown().join(name);
        if rules.keep.perms {
            let done = folder.disown(temporary.file().as_fd());
            done.map_err(|e| said(PlaceError::system(UNLIST, &path, e)))?;
        }
        let plan = plan(meta, Of::File, temporary.has(), replaced, rules);
        let set = apply(temporary.file().as_fd(), &plan, &path, !rules.keep.perms);
        let Applied { dropped, unset, left } = set.map_err(said)?;
        if durable {
            fsync(temporary.file()).map_err(|e| format!("cannot make {path} durable: {e}"))?;
        }
        let left = plan.left().chain(dropped).chain(left).collect();
        Ok(Self { temporary, several: meta.several, left, unset })
    }
}

impl Job<'_> {
    fn run(&self, how: (Rules, bool)) -> Result<Ready, Why> {
        let temporary = Temporary::create(&self.folder).map_err(said)?;
        let written = temporary.file().write_all_at(self.bytes, 0);
        let len = self.bytes.len() as u64;
        written.map_err(|e| said(room::sorted(e, len, self.folder.shown())))?;
        Ready::make(temporary, self.name, (&self.meta, self.replaced), how)
    }
}

/// Where a file goes, what it is, and its bytes.
type Whole<'a> = (&'a Way, &'a Entry, &'a [u8]);

impl Below<'_> {
    /// Puts them in their order, a batch at a time. What became of each.
    pub(super) fn put_several(&mut self, files: &[Whole<'_>]) -> Vec<Result<(), Why>> {
        let (single, durable) = (self.named.clone(), self.sync == Sync::File);
        let mut put = Vec::with_capacity(files.len());
        for batch in files.chunks(BATCH) {
            let ways = || batch.iter().map(|(way, ..)| *way);
            let names = batch.iter().map(|(_, entry, _)| single.as_deref().unwrap_or(&entry.name));
            let names: Vec<&[u8]> = names.collect();
            let (here, mut jobs) = (self.in_place(ways()), Vec::with_capacity(batch.len()));
            for ((here, file), name) in here.into_iter().zip(batch).zip(&names) {
                jobs.push(here.and_then(|()| self.job(name, *file)));
            }
            let ready = run(&jobs, (self.rules, durable));
            // Whoever has given up while the disk was waited for was told that nothing has changed here.
            let is_over = durable && (self.is_over)();
            let here = self.in_place(ways());
            for ((((way, ..), name), ready), here) in batch.iter().zip(&names).zip(ready).zip(here)
            {
                let (name, ready) = (OsStr::from_bytes(name), here.and(ready));
                put.push(ready.and_then(|ready| self.give_name(ready, (name, way), is_over)));
            }
        }
        put
    }

    /// Whether the folders of files are still where they were found, each asked once for all that follow each other in
    /// it.
    fn in_place<'w>(&mut self, ways: impl Iterator<Item = &'w Way>) -> Vec<Result<(), Why>> {
        let mut last: Option<(&Way, Result<(), Why>)> = None;
        let check = |way| {
            let known = last.take().filter(|(known, _)| *known == way);
            let (_, found) = last.insert(known.unwrap_or_else(|| (way, self.check_in_place(way))));
            found.clone()
        };
        ways.map(check).collect()
    }

    /// Whether a folder is still where it was found.
    pub(super) fn check_in_place(&mut self, way: &Way) -> Result<(), Why> {
        let folder = self.folder(way)?;
        folder.check_in_place(&self.beneath, &way.path).map_err(said)
    }

    fn job<'f>(&mut self, name: &'f [u8], (way, entry, bytes): Whole<'f>) -> Result<Job<'f>, Why> {
        self.check_wanted()?;
        let (folder, name) = (self.folder(way)?, plain_name(name).map_err(said)?);
        let standing = folder.may_replace(name, true).map_err(said)?;
        let replaced = standing.and_then(|standing| mode_of(&standing));
        Ok(Job { folder, name, meta: entry.meta.clone(), bytes, replaced })
    }

    /// Gives a file its name, unless its session `is_over` or the folder is not where it was found: who waited for the
    /// disk may find it moved, be it out of the root.
    pub(super) fn give_name_in_place(
        &mut self,
        ready: Ready,
        (name, way): (&OsStr, &Way),
        is_over: bool,
    ) -> Result<(), Why> {
        ready.temporary.folder().check_in_place(&self.beneath, &way.path).map_err(said)?;
        self.give_name(ready, (name, way), is_over)
    }

    /// The same of one whose folder was just asked for.
    fn give_name(
        &mut self,
        mut ready: Ready,
        (name, way): (&OsStr, &Way),
        is_over: bool,
    ) -> Result<(), Why> {
        if is_over {
            return Err(UNWANTED.to_owned());
        }
        self.left_out(ready.left.into_iter());
        self.refused(ready.unset);
        ready.temporary.rename(name).map_err(said)?;
        self.placed = true;
        self.change(&way.path);
        if ready.several
            && let Ok(found) = fstat(ready.temporary.file())
        {
            self.note_verified(&way.path, name.as_bytes(), &found);
        }
        Ok(())
    }
}

/// Does all of them; what became of each, in their order.
fn run(jobs: &[Result<Job<'_>, Why>], how: (Rules, bool)) -> Vec<Result<Ready, Why>> {
    let work = |job: &Result<Job<'_>, Why>| match job {
        Ok(job) => job.run(how),
        Err(why) => Err(why.clone()),
    };
    let threads = threads(how.1).min(jobs.len());
    if threads <= 1 {
        return jobs.iter().map(work).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let turns = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let ready = work(job);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, ready));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Where there cannot be one more, the others do what it would have done.
            let _ = thread::Builder::new().name("files".to_owned()).spawn_scoped(scope, turns);
        }
        turns();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, ready)| ready).collect()
}

/// How many threads do so; `waits`: for the disk.
fn threads(waits: bool) -> usize {
    static WRITERS: OnceLock<usize> = OnceLock::new();
    if waits {
        return WAITING;
    }
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    *WRITERS.get_or_init(|| (cores() / 2).clamp(1, WRITING))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Root;
    use crate::limits::Limits;
    use crate::message::Offer;
    use crate::tree::below::tests::holder;
    use crate::tree::entry::Kind;
    use crate::tree::ground::Ground;
    use std::fs;
    use std::path::Path;

    /// Puts more files than a batch has, each of its number's bytes; what became of each.
    fn put(dir: &Path, sync: Sync, is_over: &dyn Fn() -> bool) -> Vec<Result<(), Why>> {
        let root = Root::open(dir).unwrap();
        let offer = Offer { to: "to/".into(), sync, ..Offer::default() };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), is_over)).unwrap();
        let way = below.here();
        let bytes: Vec<Vec<u8>> = (0..3 * BATCH).map(|n| vec![n as u8; n]).collect();
        let entry = |(n, bytes): (usize, &Vec<u8>)| {
            let kind = Kind::File { len: bytes.len() as u64, data: None };
            Entry { name: format!("{n}").into_bytes(), meta: Meta::default(), kind }
        };
        let entries: Vec<Entry> = bytes.iter().enumerate().map(entry).collect();
        let files: Vec<_> = entries.iter().zip(&bytes).map(|(e, b)| (&way, e, &b[..])).collect();
        below.files(&files)
    }

    #[test]
    fn each_has_its_own_outcome_however_many_are_put_at_a_time() {
        for sync in [Sync::File, Sync::Tree, Sync::None] {
            let dir = tempfile::tempdir().unwrap();
            // A folder that is not empty is in the way of one of them.
            fs::create_dir_all(dir.path().join("to/77/full")).unwrap();
            let put = put(dir.path(), sync, &|| false);
            assert_eq!(put.len(), 3 * BATCH);
            for (n, put) in put.iter().enumerate() {
                assert_eq!(put.is_ok(), n != 77, "{n}: {put:?}");
                let bytes = fs::read(dir.path().join(format!("to/{n}")));
                assert!(n == 77 || bytes.unwrap() == vec![n as u8; n]);
            }
            assert_eq!(fs::read_dir(dir.path().join("to")).unwrap().count(), 3 * BATCH);
        }
    }

    #[test]
    fn nothing_gets_its_name_once_the_session_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let put = put(dir.path(), Sync::File, &|| true);
        assert!(put.iter().all(Result::is_err));
        assert!(!dir.path().join("to").exists(), "nothing is left of it");
    }
}
