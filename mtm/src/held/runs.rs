//! Which commands were run here for which revisions of jobs: each once, whatever is killed meanwhile. A run is on the
//! disk before it starts.

use super::{Held, HeldError};
use crate::exec::{ExitStatusWord, MAX_TAIL};
use crate::revision::Revision;
use crate::words::JobId;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Runs that are kept, at most, beside those of jobs that are known: with their output they take less than 300 MB. What
/// is forgotten is what has ended first.
const MAX_RUNS: u32 = 65_536;
/// Runs of a place that are kept, at most, without the output of those before the last one: a master whose job file was
/// restored may ask for one of them again.
const MAX_RUNS_OF_A_PLACE: u32 = 256;

/// A job, and its place here.
pub type OfPlace<'a> = (JobId, &'a Path);

/// What became of the wish to run a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is recorded as running: it is to be started now.
    New,
    /// It runs, or another one for that place does.
    Running,
    /// It has ended so, with this as its last output.
    Ended(ExitStatusWord, Vec<u8>),
    /// For this revision this other command was run.
    Other(String),
    /// A command was run for a later revision; as far as is known: which one of its number is asked for is not.
    Later,
}

/// A run whose end nobody has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// Of which job.
    pub job: JobId,
    /// Where; empty if that is not known.
    pub place: PathBuf,
    /// Of its tree.
    pub revision: Revision,
    /// The command's name.
    pub command: String,
    /// The daemon that ran it, as it calls itself.
    pub daemon: Option<String>,
    /// The process, as that daemon calls it.
    pub process: Option<String>,
}

/// The row of a run. Which revision of its number it is may not be known.
const OF_RUN: &str = "job = ?1 AND place = ?2 AND revision = ?3 AND edition = ?4";

/// Rows of a place: those of which the place is not known count for every one.
const OF_PLACE: &str = "job = ?1 AND place IN (?2, x'')";

impl Held {
    /// Records that a command begins for this revision of a job in this place, which is complete there, if none has yet;
    /// `now` in milliseconds since 1970. One command for a place runs at a time. That one was run for a later revision says
    /// nothing: the master may have lost that one since. `daemon` says which daemon runs it ([`Self::interrupt_runs`]).
    ///
    /// # Errors
    ///
    /// The file cannot be written: nothing is to be started.
    pub fn begin_run(
        &mut self,
        (job, place): OfPlace<'_>,
        (revision, command): (Revision, &str),
        daemon: Option<&str>,
        now: u64,
    ) -> Result<Begun, HeldError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some((before, begun)) = find(&work, (job, place), revision)? {
            return Ok(if before == command { begun } else { Begun::Other(before) });
        }
        let bytes = place.as_os_str().as_bytes();
        let sql = format!(
            "SELECT max(revision), coalesce(max(state = 'running'), 0) FROM runs WHERE {OF_PLACE}"
        );
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<u32>>(0)?, row.get(1)?));
        let (last, running): (_, bool) = work.query_row(&sql, params![job, bytes], row)?;
        let is_unknown = revision.edition == Revision::UNKNOWN;
        if is_unknown && last.is_some_and(|last| last > revision.number) {
            return Ok(Begun::Later);
        }
        if running {
            return Ok(Begun::Running);
        }
        let sql = "UPDATE runs SET tail = NULL WHERE job = ? AND place = ? AND tail IS NOT NULL";
        work.execute(sql, params![job, bytes])?;
        let sql = "DELETE FROM runs WHERE job = ?1 AND place = ?2 AND (revision, edition) NOT IN
                   (SELECT revision, edition FROM runs WHERE job = ?1 AND place = ?2
                    ORDER BY at DESC, revision DESC LIMIT ?3)";
        work.execute(sql, params![job, bytes, MAX_RUNS_OF_A_PLACE - 1])?;
        let sql = "DELETE FROM runs WHERE state = 'ended' AND job NOT IN (SELECT job FROM jobs)
                   AND at < (SELECT at FROM runs ORDER BY at DESC LIMIT 1 OFFSET ?)";
        work.execute(sql, [MAX_RUNS])?;
        let sql = "INSERT INTO runs (job, place, revision, edition, command, state, at, daemon)
                   VALUES (?, ?, ?, ?, ?, 'running', ?, ?)";
        let (number, edition) = (revision.number, revision.edition.cast_signed());
        let values = params![job, bytes, number, edition, command, now.cast_signed(), daemon];
        work.execute(sql, values)?;
        work.commit()?;
        Ok(Begun::New)
    }

    /// Which process a run that has begun is, in whatever words.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note_process(
        &mut self,
        (job, place): OfPlace<'_>,
        revision: Revision,
        process: &str,
    ) -> Result<(), HeldError> {
        let sql = format!("UPDATE runs SET process = ?5 WHERE {OF_RUN} AND state = 'running'");
        let (place, edition) = (place.as_os_str().as_bytes(), revision.edition.cast_signed());
        self.db.execute(&sql, params![job, place, revision.number, edition, process])?;
        Ok(())
    }

    /// A run has ended so, with this as its last output, of which [`MAX_TAIL`] bytes are kept. Whether it was running.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn end_run(
        &mut self,
        (job, place): OfPlace<'_>,
        revision: Revision,
        (status, tail): (&ExitStatusWord, &[u8]),
        now: u64,
    ) -> Result<bool, HeldError> {
        let sql = format!(
            "UPDATE runs SET state = 'ended', exit = ?5, tail = ?6, at = ?7
             WHERE {OF_RUN} AND state = 'running'"
        );
        let tail = &tail[tail.len().saturating_sub(MAX_TAIL)..];
        let (exit, place) = (status.to_string(), place.as_os_str().as_bytes());
        let (number, edition) = (revision.number, revision.edition.cast_signed());
        let values = params![job, place, number, edition, exit, tail, now.cast_signed()];
        Ok(self.db.execute(&sql, values)? > 0)
    }

    /// What is known of a run.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn run(&self, of: OfPlace<'_>, revision: Revision) -> Result<Option<Begun>, HeldError> {
        Ok(find(&self.db, of, revision)?.map(|(_, begun)| begun))
    }

    /// What is recorded as running.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn running(&self) -> Result<Vec<Interrupted>, HeldError> {
        let sql = "SELECT job, place, revision, command, daemon, process, edition FROM runs WHERE state = 'running'";
        let mut all = self.db.prepare(sql)?;
        let rows = all.query_map([], |row| {
            Ok(Interrupted {
                job: row.get(0)?,
                place: OsString::from_vec(row.get(1)?).into(),
                revision: Revision::new(row.get(2)?, row.get::<_, i64>(6)?.cast_unsigned()),
                command: row.get(3)?,
                daemon: row.get(4)?,
                process: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// None of these, which were recorded as running, does so any more, since their daemon has ended. How they ended is
    /// unknown.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn interrupt_runs(&mut self, all: &[Interrupted], now: u64) -> Result<(), HeldError> {
        for one in all {
            self.end_run(
                (one.job, &one.place),
                one.revision,
                (&ExitStatusWord::Unknown, b""),
                now,
            )?;
        }
        Ok(())
    }
}

/// A run's command, and what is known of it. Where it is not known which revision of its number either is, they are the
/// same: nothing is run twice after an upgrade.
fn find(
    db: &Connection,
    (job, place): OfPlace<'_>,
    revision: Revision,
) -> Result<Option<(String, Begun)>, HeldError> {
    let sql = format!(
        "SELECT command, exit, tail FROM runs
         WHERE {OF_PLACE} AND revision = ?3 AND (edition IN (0, ?4) OR ?4 = 0)
         ORDER BY edition = ?4 DESC, at DESC LIMIT 1"
    );
    let row = |row: &rusqlite::Row<'_>| {
        let (exit, tail): (Option<String>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        let ended = |exit: String| {
            // What was written by a newer program is an end, however it is called.
            let status = exit.parse().unwrap_or(ExitStatusWord::Unknown);
            Begun::Ended(status, tail.unwrap_or_default())
        };
        Ok((row.get(0)?, exit.map_or(Begun::Running, ended)))
    };
    let (place, edition) = (place.as_os_str().as_bytes(), revision.edition.cast_signed());
    let values = params![job, place, revision.number, edition];
    Ok(db.query_row(&sql, values, row).optional()?)
}
