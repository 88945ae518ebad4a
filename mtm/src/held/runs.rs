//! Which commands were run here for which revisions of jobs: each once, whatever is killed meanwhile. A run is on the
//! disk before it starts.

use super::{Held, HeldError};
use crate::exec::{ExitStatusWord, MAX_TAIL};
use crate::words::JobId;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// Runs that are kept, at most, beside those of jobs that are known: with their output they take less than 300 MB. What
/// is forgotten is what has ended first.
const MAX_RUNS: u32 = 65_536;

/// What became of the wish to run a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is recorded as running: it is to be started now.
    New,
    /// It runs, or another one of the job does.
    Running,
    /// It has ended so, with this as its last output.
    Ended(ExitStatusWord, Vec<u8>),
    /// For this revision this other command was run.
    Other(String),
    /// A command was run for a later revision.
    Later,
}

/// A run whose end nobody has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// Of which job.
    pub job: JobId,
    /// Of its tree.
    pub revision: u32,
    /// The command's name.
    pub command: String,
}

impl Held {
    /// Records that a command begins for this revision of a job, if none has yet; `now` in milliseconds since 1970. One
    /// command of a job runs at a time.
    ///
    /// # Errors
    ///
    /// The file cannot be written: nothing is to be started.
    pub fn begin_run(
        &mut self,
        job: JobId,
        revision: u32,
        command: &str,
        now: u64,
    ) -> Result<Begun, HeldError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some((before, begun)) = find(&work, job, revision)? {
            return Ok(if before == command { begun } else { Begun::Other(before) });
        }
        let sql =
            "SELECT max(revision), coalesce(max(state = 'running'), 0) FROM runs WHERE job = ?";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<u32>>(0)?, row.get(1)?));
        let (last, running): (_, bool) = work.query_row(sql, [job], row)?;
        if last.is_some_and(|last| last > revision) {
            return Ok(Begun::Later);
        }
        if running {
            return Ok(Begun::Running);
        }
        // The revision of the newest one says enough of those before.
        work.execute("DELETE FROM runs WHERE job = ?", [job])?;
        let sql = "DELETE FROM runs WHERE state = 'ended' AND job NOT IN (SELECT job FROM jobs)
                   AND at < (SELECT at FROM runs ORDER BY at DESC LIMIT 1 OFFSET ?)";
        work.execute(sql, [MAX_RUNS])?;
        let sql =
            "INSERT INTO runs (job, revision, command, state, at) VALUES (?, ?, ?, 'running', ?)";
        work.execute(sql, params![job, revision, command, now.cast_signed()])?;
        work.commit()?;
        Ok(Begun::New)
    }

    /// A run has ended so, with this as its last output, of which [`MAX_TAIL`] bytes are kept. Whether it was running.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn end_run(
        &mut self,
        job: JobId,
        revision: u32,
        (status, tail): (&ExitStatusWord, &[u8]),
        now: u64,
    ) -> Result<bool, HeldError> {
        let sql = "UPDATE runs SET state = 'ended', exit = ?, tail = ?, at = ?
                   WHERE job = ? AND revision = ? AND state = 'running'";
        let tail = &tail[tail.len().saturating_sub(MAX_TAIL)..];
        let exit = status.to_string();
        let values = params![exit, tail, now.cast_signed(), job, revision];
        Ok(self.db.execute(sql, values)? > 0)
    }

    /// What is known of a run.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn run(&self, job: JobId, revision: u32) -> Result<Option<Begun>, HeldError> {
        Ok(find(&self.db, job, revision)?.map(|(_, begun)| begun))
    }

    /// None of what is recorded as running does so any more: a new daemon has not started it. How it ended is unknown.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn interrupt_runs(&mut self, now: u64) -> Result<Vec<Interrupted>, HeldError> {
        let sql = "UPDATE runs SET state = 'ended', exit = ?, at = ? WHERE state = 'running'
                   RETURNING job, revision, command";
        let mut all = self.db.prepare(sql)?;
        let unknown = ExitStatusWord::Unknown.to_string();
        let rows = all.query_map(params![unknown, now.cast_signed()], |row| {
            Ok(Interrupted { job: row.get(0)?, revision: row.get(1)?, command: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A run's command, and what is known of it.
fn find(db: &Connection, job: JobId, revision: u32) -> Result<Option<(String, Begun)>, HeldError> {
    let sql = "SELECT command, exit, tail FROM runs WHERE job = ? AND revision = ?";
    let row = |row: &rusqlite::Row<'_>| {
        let (exit, tail): (Option<String>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        let ended = |exit: String| {
            // What was written by a newer program is an end, however it is called.
            let status = exit.parse().unwrap_or(ExitStatusWord::Unknown);
            Begun::Ended(status, tail.unwrap_or_default())
        };
        Ok((row.get(0)?, exit.map_or(Begun::Running, ended)))
    };
    Ok(db.query_row(sql, params![job, revision], row).optional()?)
}
