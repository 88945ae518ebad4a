//! The file of a job: what it sends to whom, and what each receiver has of it.
//!
//! A database of `SQLite` with a write-ahead log, written with `synchronous = FULL`: what a call has noted survives
//! the loss of power once it returns. One process has a job at a time, by a lock on a file beside it; others may read
//! meanwhile. The entries' status stands as [runs](Runs), which memory holds as well.

mod entries;
mod job;
mod lock;
mod paths;
mod receivers;
mod runs;
mod schema;
#[cfg(test)]
mod tests;

pub use entries::{Change, Entry, Found, Kind};
pub use job::{Job, JobState};
pub use receivers::{Outcome, Receiver, ReceiverId, Standing};
pub use runs::Status;

use lock::Lock;
use runs::Runs;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Who only reads the file holds it for a moment: so long is waited for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// A job's file cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The fault of the place: no room, no rights.
    #[error("{}: {error}", .path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process runs the job.
    #[error("{} is in use by process {holder}", .path.display())]
    InUse {
        /// The job's file.
        path: PathBuf,
        /// The other process.
        holder: String,
    },
    /// It was written by a newer program: these are not its tables.
    #[error("this job's file has version {0} of its tables, which a newer program wrote")]
    Newer(i32),
    /// It is a database, and no job.
    #[error("this is a database, but not that of a job")]
    Foreign,
    /// It does not say what its tables allow to be said. The fault of the file.
    #[error("this job's file is damaged: {0}")]
    Damaged(&'static str),
    /// More entries or revisions than there are numbers.
    #[error("a job has at most 4,294,967,295 entries and revisions of its tree")]
    Full,
    /// The database failed: the disk is full, or the file is damaged.
    #[error("the job's file: {0}")]
    Database(#[from] rusqlite::Error),
}

/// A job's file, open.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    /// The newest revision of the tree.
    revision: u32,
    /// Versions of the entries, by their numbers; none where there is none.
    versions: Vec<Option<u32>>,
    runs: BTreeMap<ReceiverId, Runs>,
    _lock: Lock,
}

impl Ledger {
    /// Makes the file of a new job, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// There is such a file, or the place does not allow it.
    pub fn create(path: &Path, job: &Job) -> Result<Self, LedgerError> {
        let lock = Lock::take(path)?;
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|error| LedgerError::Place { path: path.to_owned(), error })?;
        let ledger = Self::with(path, lock)?;
        job.write(&ledger.db)?;
        Ok(ledger)
    }

    /// Opens that of a job that there is, and brings its tables to the newest version.
    ///
    /// # Errors
    ///
    /// There is none, another process has it, or it is not a job's.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let placed = |error| LedgerError::Place { path: path.to_owned(), error };
        std::fs::metadata(path).map_err(placed)?; // before a lock is made beside it
        Self::with(path, Lock::take(path)?)
    }

    fn with(path: &Path, lock: Lock) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut db)?;
        let mut ledger =
            Self { db, revision: 0, versions: Vec::new(), runs: BTreeMap::new(), _lock: lock };
        ledger.load_entries()?;
        ledger.load_runs()?;
        Ok(ledger)
    }

    /// The newest revision of the tree: how often a look at it has found a change.
    pub fn revision(&self) -> u32 {
        self.revision
    }
}
