//! The tables, version by version.

use super::HeldError;
use rusqlite::{Connection, TransactionBehavior};

/// "mtmr" as a number, in the file's header (`PRAGMA application_id`): what the file is.
const APPLICATION: i32 = 0x6D74_6D72;

/// The steps from one version of the tables to the next; the first makes them.
const STEPS: &[&str] = &[FIRST, RUNS];

const FIRST: &str = "
CREATE TABLE jobs (
    job BLOB PRIMARY KEY CHECK (length(job) = 16),
    master BLOB,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    place BLOB NOT NULL,
    hello TEXT,
    instance BLOB NOT NULL CHECK (length(instance) = 16),
    complete INTEGER,
    heard INTEGER NOT NULL
) STRICT;
";

/// Of a job of which nothing is known any more they stay: what was run once is not run again if it comes back.
const RUNS: &str = "
CREATE TABLE runs (
    job BLOB NOT NULL CHECK (length(job) = 16),
    revision INTEGER NOT NULL,
    command TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    exit TEXT CHECK ((exit IS NULL) = (state = 'running')),
    tail BLOB,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, revision)
) STRICT, WITHOUT ROWID;
";

/// Brings the tables to the newest version. Of a file that has it nothing is written.
pub(super) fn migrate(db: &mut Connection) -> Result<(), HeldError> {
    if left(db)?.is_empty() {
        return Ok(());
    }
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in left(&change)? {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    Ok(change.commit()?)
}

/// The steps that are left to be done.
fn left(db: &Connection) -> Result<&'static [&'static str], HeldError> {
    let version: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = usize::try_from(version).unwrap_or(usize::MAX);
    STEPS.get(steps..).ok_or(HeldError::Newer(version))
}
