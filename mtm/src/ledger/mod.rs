//! The file of a job: what it sends to whom, and what each receiver has of it.
//!
//! A database of `SQLite` with a write-ahead log, written with `synchronous = FULL`: what a call has noted survives
//! the loss of power once it returns. One process has a job at a time, by a lock on a file beside it; others may read
//! meanwhile. The entries' status stands as runs of neighbours, which memory holds as well.

mod channel;
mod editions;
mod entries;
mod former;
mod job;
mod lock;
mod paths;
mod receivers;
mod runs;
mod schema;
mod share;
#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use entries::{Change, Entry, Found, Kind};
pub use job::{Job, JobState};
pub use receivers::{Outcome, Receiver, ReceiverId, Standing};
pub use runs::Status;

use lock::Lock;
use runs::Runs;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Who brings the file up to date as it is closed, as readers do, holds it for a moment: so long is waited for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// For its owner alone.
const MODE: u32 = 0o600;

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
    #[error("{} is in use by {holder}", .path.display())]
    InUse {
        /// The job's file.
        path: PathBuf,
        /// The other process.
        holder: String,
    },
    /// It was written by a newer program: these are not its tables.
    #[error("this job's file has version {0} of its tables, which a newer program wrote")]
    Newer(i32),
    /// It is empty, or a database, and no job.
    #[error("this is no job's file, or one without a job in it yet")]
    Foreign,
    /// It does not say what its tables allow to be said. The fault of the file.
    #[error("this job's file is damaged: {0}")]
    Damaged(&'static str),
    /// It has no keys to announce by: with a receiver that leaves they are removed, whoever runs the job.
    #[error("this job's file has no keys to announce by")]
    NoKeys,
    /// The caller's fault.
    #[error("the tree has no revision {0}")]
    Revision(u32),
    /// It is on a file system without what a write-ahead log needs.
    #[error("no write-ahead log can be kept here: choose a local file system for the jobs")]
    NoLog,
    /// More entries or revisions than there are numbers.
    #[error("a job has at most 4,294,967,295 entries and revisions of its tree")]
    Full,
    /// The database failed: the disk is full, or the file is damaged.
    #[error("the job's file: {0}")]
    Database(rusqlite::Error),
}

// Not as a source: its words are those of the error already.
impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// A job's file, open.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    /// The newest revision of the tree.
    revision: u32,
    /// Versions of the entries, by their numbers.
    versions: BTreeMap<u32, u32>,
    runs: BTreeMap<ReceiverId, Runs>,
    /// Of who runs the job.
    _lock: Option<Lock>,
    /// What the file was at when others were last looked for who have changed it (`SQLite`, `PRAGMA data_version`).
    seen: i64,
}

impl Ledger {
    /// Makes the file of a new job, readable by its owner alone. What an earlier try has left there without a job in it is
    /// used.
    ///
    /// # Errors
    ///
    /// There is such a job, or the place does not allow it.
    pub fn create(path: &Path, job: &Job) -> Result<Self, LedgerError> {
        Self::create_for(path, job, &[])
    }

    /// The same with these receivers: there is no such job without them.
    ///
    /// # Errors
    ///
    /// As [`Self::create`].
    pub fn create_for(path: &Path, job: &Job, receivers: &[String]) -> Result<Self, LedgerError> {
        let path = &whole(path)?;
        let placed = |error| LedgerError::Place { path: path.clone(), error };
        let lock = Lock::take(path)?;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(MODE);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(path).map_err(placed)?;
        file.set_permissions(Permissions::from_mode(MODE)).map_err(placed)?; // of what was left there
        drop(file);
        let mut db = connect(path)?;
        if schema::version(&db)? > 0 {
            return Err(placed(io::ErrorKind::AlreadyExists.into()));
        }
        settle(&db)?;
        schema::migrate(&mut db, |db| {
            job.write(db)?;
            for name in receivers {
                db.execute("INSERT OR IGNORE INTO receivers (name) VALUES (?)", [name])?;
            }
            Ok(())
        })?;
        Self::with(db, Some(lock))
    }

    /// Opens that of a job that there is, and brings its tables to the newest version. What is no job's is left as it is.
    ///
    /// # Errors
    ///
    /// There is none, another process has it, or it is not a job's.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        // By whatever name it is opened, it has one lock.
        let path = &path
            .canonicalize()
            .map_err(|error| LedgerError::Place { path: path.to_owned(), error })?;
        let mut db = connect(path)?;
        if schema::version(&db)? == 0 {
            return Err(LedgerError::Foreign);
        }
        let lock = Lock::take(path)?;
        settle(&db)?;
        schema::migrate(&mut db, |_| Ok(()))?;
        let unused = "DELETE FROM reasons WHERE id NOT IN
                      (SELECT reason FROM runs WHERE reason IS NOT NULL)";
        db.execute(unused, [])?;
        Self::with(db, Some(lock))
    }

    fn with(db: Connection, lock: Option<Lock>) -> Result<Self, LedgerError> {
        let (versions, runs) = (BTreeMap::new(), BTreeMap::new());
        let mut ledger = Self { db, revision: 0, versions, runs, _lock: lock, seen: 0 };
        // All of one moment: whoever runs the job may find another revision between two reads.
        ledger.db.execute_batch("BEGIN")?;
        ledger.seen = share::version(&ledger.db)?;
        ledger.load_entries()?;
        ledger.load_runs()?;
        ledger.db.execute_batch("COMMIT")?;
        Ok(ledger)
    }

    /// The newest revision of the tree: how often a look at it has found a change.
    pub fn revision(&self) -> u32 {
        self.revision
    }
}

/// The path by which the file is locked, whatever folders and links it is named by.
fn whole(path: &Path) -> Result<PathBuf, LedgerError> {
    let placed = |error| LedgerError::Place { path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(placed)?;
    let name = path.file_name().ok_or_else(|| placed(io::ErrorKind::InvalidFilename.into()))?;
    Ok(folder.join(name))
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

/// How it is written from here on.
fn settle(db: &Connection) -> Result<(), LedgerError> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // Without shared memory, as on some network file systems, there is none (SQLite, "Write-Ahead Logging").
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(LedgerError::NoLog);
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}
