//! A job's file beside the process that runs the job: others read it, and say what is to be done.

use super::job::{self, JobState};
use super::lock::Lock;
use super::{Ledger, LedgerError, ReceiverId, connect, schema, settle};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::Path;

/// A number that changes whenever another connection has changed the file.
pub(super) fn version(db: &Connection) -> Result<i64, LedgerError> {
    Ok(db.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

impl Ledger {
    /// Opens a job's file whoever runs the job. What is read is of this moment. What others than who runs it may change is
    /// the state, the receivers, what is to be verified, and which refused commands are asked for again:
    /// [`Self::has_changed`] tells that process.
    ///
    /// # Errors
    ///
    /// There is none, or it is not a job's.
    pub fn beside(path: &Path) -> Result<Self, LedgerError> {
        let placed = |error| LedgerError::Place { path: path.to_owned(), error };
        path.metadata().map_err(placed)?;
        let mut db = connect(path)?;
        if schema::version(&db)? == 0 {
            return Err(LedgerError::Foreign);
        }
        // Whoever only reads writes nothing, also where there is no room.
        if !schema::is_newest(&db)? {
            settle(&db)?;
            schema::migrate(&mut db, |_| Ok(()))?;
        }
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        Self::with(db, None)
    }

    /// How far the job in that file is, whoever runs it; nothing else of it is read.
    ///
    /// # Errors
    ///
    /// There is none, or it is not a job's.
    pub fn state_of(path: &Path) -> Result<JobState, LedgerError> {
        let placed = |error| LedgerError::Place { path: path.to_owned(), error };
        path.metadata().map_err(placed)?;
        let db = connect(path)?;
        if schema::version(&db)? == 0 {
            return Err(LedgerError::Foreign);
        }
        job::state(&db)
    }

    /// Who runs the job, if anybody does: "process 123".
    pub fn holder(path: &Path) -> Option<String> {
        match Lock::take(&path.canonicalize().ok()?) {
            Err(LedgerError::InUse { holder, .. }) => Some(holder),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether others have changed the file since this was asked last. It costs no access to the disk.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn has_changed(&mut self) -> Result<bool, LedgerError> {
        let now = version(&self.db)?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }

    /// Takes over which receivers there are by now.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn refresh(&mut self) -> Result<(), LedgerError> {
        let ids: BTreeSet<ReceiverId> = self.receivers()?.into_iter().map(|one| one.id).collect();
        self.runs.retain(|id, _| ids.contains(id));
        for id in ids {
            self.runs.entry(id).or_default();
        }
        Ok(())
    }
}
