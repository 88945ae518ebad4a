//! Files that are read while they arrive: how many bytes of each, from its beginning, are verified.
//!
//! [`watch`] makes two ends. One is given to every session that is to be told of
//! ([`crate::limits::Limits::prefixes`]); the other is an iterator that waits for changes, and gives all files as they
//! stand.
//!
//! ```
//! use std::time::Duration;
//! use transfer::limits::Limits;
//! use transfer::prefix::watch;
//!
//! let (prefixes, changes) = watch(Duration::from_millis(100));
//! let limits = Limits { prefixes: Some(prefixes), ..Limits::default() };
//! let reader = std::thread::spawn(move || {
//!     for files in changes {
//!         for file in files {
//!             println!("{}: {} bytes can be read", file.path.display(), file.verified);
//!         }
//!     }
//! });
//! // … transfer::receive(&receiver, &root, &limits) …
//! drop(limits); // nothing is received any more
//! reader.join().unwrap();
//! ```
//!
//! Told are files with blocks of their own: those above 256 KiB, those with holes, and streams into a file. Smaller
//! ones come several in a block, and get their names as soon as that is verified; there is nothing to be read before.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Files that are told while they arrive, at most, of all sessions together; one that begins when there are so many is
/// not told at all. A session has no more than 512 on their way at a time.
pub const MAX_ARRIVING: usize = 4096;
/// Files that are told after their end, at most: those that ended last.
pub const MAX_ENDED: usize = 1000;

/// How a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not whole yet.
    Arriving,
    /// It is whole, verified, and has its name.
    Complete,
    /// It does not come any further. A later session may begin it again, or go on with it.
    Failed,
}

/// What of one file can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Where it stands once it is complete; absolute.
    pub path: Arc<Path>,
    /// Where it stands until then; absolute. Whoever has that open has the file itself, also once it has its name. It is
    /// also gone when the file has failed and nothing stays: only of one that is complete may `path` be read instead.
    pub partial: Arc<Path>,
    /// Which try it is: each time that a session begins the file, or goes on with it, the number is another, also from
    /// one process to the next. What was read of another try may be of another version of the file.
    pub attempt: u64,
    /// Its length in bytes; `None` of a stream that has not ended.
    pub len: Option<u64>,
    /// So many bytes from its beginning are what was sent, and stay so: each block was compared with what its sender
    /// says of it. Of one try it only grows.
    pub verified: u64,
    /// How it stands.
    pub state: State,
}

/// Makes both ends. The second gives no more than one list in this time.
pub fn watch(pace: Duration) -> (Arc<Prefixes>, Watch) {
    let board = Arc::new(Board::default());
    board.files().last = first();
    let watch = Watch { board: Arc::clone(&board), pace, due: Instant::now() };
    (Arc::new(Prefixes(board)), watch)
}

/// Where numbers begin: elsewhere than in any process before, whose last list may still be what a reader knows. Below 2⁵²,
/// so that all readers of JSON take what follows.
fn first() -> u64 {
    let mut random = [0; 8];
    let _ = getrandom::fill(&mut random); // a system without any has numbers that begin with 1
    u64::from_be_bytes(random) >> 12
}

/// All files that are received; for [`crate::limits::Limits`]. Once nobody has it any more, [`Watch`] ends.
#[derive(Debug)]
pub struct Prefixes(Arc<Board>);

/// Gives all files each time something has changed: first those that have ended, in the order in which they did, then
/// those that arrive, in the order in which they began. It ends when nothing can change any more.
#[derive(Debug)]
pub struct Watch {
    board: Arc<Board>,
    pace: Duration,
    due: Instant,
}

impl Iterator for Watch {
    type Item = Vec<Prefix>;

    fn next(&mut self) -> Option<Vec<Prefix>> {
        let is_closed = self.board.wait_until(self.due);
        if !self.board.changed.swap(false, Ordering::AcqRel) && is_closed {
            return None;
        }
        self.due = Instant::now() + self.pace;
        Some(self.board.files().list())
    }
}

/// What both ends share.
#[derive(Debug, Default)]
struct Board {
    files: Mutex<Files>,
    /// Something has changed since the last list. What changes first is who wakes; the others do not even take a lock.
    changed: AtomicBool,
    closed: Mutex<bool>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Files {
    /// The number of the last try.
    last: u64,
    arriving: BTreeMap<u64, Arc<Told>>,
    /// With their numbers, and whether they are complete.
    ended: VecDeque<(u64, Arc<Told>, bool)>,
}

/// A file that is told.
#[derive(Debug)]
struct Told {
    path: Arc<Path>,
    partial: Arc<Path>,
    len: Option<u64>,
    verified: AtomicU64,
}

impl Told {
    /// Whether both have one path: byte by byte, since many are compared and all come from one place.
    fn is_at(&self, other: &Self) -> bool {
        self.path.as_os_str() == other.path.as_os_str()
    }

    fn as_it_is(&self, attempt: u64, state: State) -> Prefix {
        let verified = self.verified.load(Ordering::Acquire);
        let ended = (state == State::Complete).then_some(verified);
        let (path, partial) = (Arc::clone(&self.path), Arc::clone(&self.partial));
        Prefix { path, partial, attempt, len: self.len.or(ended), verified, state }
    }
}

impl Files {
    fn begin(&mut self, told: Arc<Told>) -> Option<u64> {
        if self.arriving.len() >= MAX_ARRIVING {
            return None;
        }
        // A path is told once, but for sessions that write the same at a time and do not know of each other.
        self.ended.retain(|(_, before, _)| !before.is_at(&told));
        self.last += 1;
        self.arriving.insert(self.last, told);
        Some(self.last)
    }

    fn end(&mut self, number: u64, complete: bool) {
        let Some(told) = self.arriving.remove(&number) else { return };
        self.ended.retain(|(_, before, _)| !before.is_at(&told));
        if !complete && self.arriving.values().any(|other| other.is_at(&told)) {
            return; // a later session has taken it over
        }
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((number, told, complete));
    }

    fn list(&self) -> Vec<Prefix> {
        let ended = self.ended.iter().map(|(number, told, complete)| {
            told.as_it_is(*number, if *complete { State::Complete } else { State::Failed })
        });
        let arriving = self.arriving.iter();
        let arriving = arriving.map(|(number, told)| told.as_it_is(*number, State::Arriving));
        ended.chain(arriving).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    fn change(&self) {
        if !self.changed.swap(true, Ordering::AcqRel) {
            let _closed = lock(&self.closed); // whoever is about to wait has looked before, or waits by now
            self.wake.notify_all();
        }
    }

    /// Waits for a change, and at least until then; not once it is closed, which is what is given back.
    fn wait_until(&self, due: Instant) -> bool {
        let mut closed = lock(&self.closed);
        while !*closed {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let waited = self.wake.wait_timeout(closed, left);
                (closed, _) = waited.unwrap_or_else(PoisonError::into_inner);
            } else if self.changed.load(Ordering::Acquire) {
                break;
            } else {
                closed = self.wake.wait(closed).unwrap_or_else(PoisonError::into_inner);
            }
        }
        *closed
    }
}

impl Prefixes {
    /// A file begins; `None`: there are too many to tell of it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        path: &Path,
        partial: &Path,
        len: Option<u64>,
    ) -> Option<Arriving> {
        let (path, partial) = (path.into(), partial.into());
        let told = Arc::new(Told { path, partial, len, verified: AtomicU64::new(0) });
        let number = self.0.files().begin(Arc::clone(&told))?;
        self.0.change();
        Some(Arriving { prefixes: Arc::clone(self), number, told, complete: false })
    }
}

impl Drop for Prefixes {
    fn drop(&mut self) {
        *lock(&self.0.closed) = true;
        self.0.wake.notify_all();
    }
}

/// A file that arrives. Dropped, it has failed.
#[derive(Debug)]
pub(crate) struct Arriving {
    prefixes: Arc<Prefixes>,
    number: u64,
    told: Arc<Told>,
    complete: bool,
}

impl Arriving {
    /// So many bytes from its beginning can be read. Takes no lock but for the first change after a list.
    pub(crate) fn verified(&self, bytes: u64) {
        self.told.verified.fetch_max(bytes, Ordering::AcqRel);
        self.prefixes.0.change();
    }

    /// It has its name.
    pub(crate) fn complete(mut self) {
        self.complete = true;
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.prefixes.0.files().end(self.number, self.complete);
        self.prefixes.0.change();
    }
}

#[cfg(test)]
mod tests;
