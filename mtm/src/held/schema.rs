//! The tables, version by version.

use super::HeldError;
use rusqlite::{Connection, TransactionBehavior};

/// "mtmr" as a number, in the file's header (`PRAGMA application_id`): what the file is.
const APPLICATION: i32 = 0x6D74_6D72;

/// The steps from one version of the tables to the next; the first makes them.
const STEPS: &[&str] = &[FIRST, RUNS, PLACES, EDITIONS];

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

/// A job has several places here where it names this host by several paths, each with its own name in the job; a run is
/// of one of them, and says which process of which daemon it is. Of a run whose job was forgotten the place is not known.
const PLACES: &str = "
ALTER TABLE jobs RENAME TO old_jobs;
CREATE TABLE jobs (
    job BLOB NOT NULL CHECK (length(job) = 16),
    master BLOB,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    place BLOB NOT NULL,
    hello TEXT,
    instance BLOB NOT NULL CHECK (length(instance) = 16),
    complete INTEGER,
    heard INTEGER NOT NULL,
    peer TEXT,
    PRIMARY KEY (job, place),
    UNIQUE (job, host)
) STRICT;
INSERT INTO jobs SELECT job, master, name, host, place, hello, instance, complete, heard, NULL FROM old_jobs;
DROP TABLE old_jobs;
ALTER TABLE runs RENAME TO old_runs;
CREATE TABLE runs (
    job BLOB NOT NULL CHECK (length(job) = 16),
    place BLOB NOT NULL,
    revision INTEGER NOT NULL,
    command TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    exit TEXT CHECK ((exit IS NULL) = (state = 'running')),
    tail BLOB,
    at INTEGER NOT NULL,
    daemon TEXT,
    process TEXT,
    PRIMARY KEY (job, place, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO runs SELECT job, coalesce((SELECT place FROM jobs WHERE jobs.job = old_runs.job), x''), revision, command,
    state, exit, tail, at, NULL, NULL FROM old_runs;
DROP TABLE old_runs;
";

/// Which revision of its number each is, 0 if that is not known; of which one something may be here since its session
/// began; and which one was complete here and is not any more.
const EDITIONS: &str = "
ALTER TABLE jobs ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN begun INTEGER;
ALTER TABLE jobs ADD COLUMN begun_edition INTEGER;
CREATE TABLE past (
    job BLOB NOT NULL CHECK (length(job) = 16),
    host TEXT NOT NULL,
    instance BLOB NOT NULL CHECK (length(instance) = 16),
    revision INTEGER NOT NULL,
    edition INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, host)
) STRICT, WITHOUT ROWID;
CREATE INDEX past_at ON past (at);
ALTER TABLE runs RENAME TO old_runs;
CREATE TABLE runs (
    job BLOB NOT NULL CHECK (length(job) = 16),
    place BLOB NOT NULL,
    revision INTEGER NOT NULL,
    edition INTEGER NOT NULL,
    command TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'ended')),
    exit TEXT CHECK ((exit IS NULL) = (state = 'running')),
    tail BLOB,
    at INTEGER NOT NULL,
    daemon TEXT,
    process TEXT,
    PRIMARY KEY (job, place, revision, edition)
) STRICT, WITHOUT ROWID;
INSERT INTO runs SELECT job, place, revision, 0, command, state, exit, tail, at, daemon, process FROM old_runs;
DROP TABLE old_runs;
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

/// A file of version 2 with a job and the runs of two.
#[cfg(test)]
pub(super) fn make_version_2(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(FIRST)?;
    db.execute_batch(RUNS)?;
    db.execute_batch(
        "INSERT INTO jobs VALUES (x'01010101010101010101010101010101', x'01', 'job1', 'h1', CAST('/srv/a' AS BLOB),
             '10.0.0.1:9000', x'09090909090909090909090909090909', 4, 86400000);
         INSERT INTO runs VALUES (x'01010101010101010101010101010101', 4, 'c', 'ended', 'exited 0', x'78', 1);
         INSERT INTO runs VALUES (x'02020202020202020202020202020202', 4, 'c', 'ended', 'exited 0', x'78', 1);",
    )?;
    db.pragma_update(None, "application_id", APPLICATION)?;
    db.pragma_update(None, "user_version", 2)
}
