//! The receivers of a job, and what each of them has.

use super::runs::{Mark, Reason, Run, Runs, State, Status};
use super::{Ledger, LedgerError};
use crate::exec;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Bytes of a reason that are kept: a receiver's words may be long.
const MAX_REASON: usize = 300;

/// Number of a receiver in its job; none is given twice.
pub type ReceiverId = u32;

/// A receiver of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its number.
    pub id: ReceiverId,
    /// As it was given: a host, perhaps with a path.
    pub name: String,
    /// Which installation it is; another one has none of what the last one had. Unknown until it has answered.
    pub instance: Option<[u8; 16]>,
    /// The newest revision of the tree of which it has had everything.
    pub complete: u32,
    /// Since when it cannot be served, in milliseconds since 1970, and why.
    pub late: Option<(u64, String)>,
    /// Bytes a second that it took lately, if that is known.
    pub rate: Option<u64>,
    /// It is to read what it has.
    pub verify: bool,
    /// The newest revision for which it was asked to run a command until that had an outcome, and which.
    pub exec: Option<(u32, exec::Outcome)>,
}

/// What became of entries at a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was told of them.
    Announced,
    /// All their bytes have left.
    Sent,
    /// It has verified them, and has them on its disk.
    Done,
    /// It could not take them, and why.
    Failed(String),
    /// It does not have them, though it did.
    Lost,
}

/// How many entries of a receiver are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Nothing is known of this version.
    pub pending: u64,
    /// It was told of them.
    pub announced: u64,
    /// All their bytes have left.
    pub sent: u64,
    /// It has them.
    pub done: u64,
    /// It could not take them.
    pub failed: u64,
}

impl Ledger {
    /// One more receiver, or the one of this name that there is.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn add_receiver(&mut self, name: &str) -> Result<ReceiverId, LedgerError> {
        self.db.execute("INSERT OR IGNORE INTO receivers (name) VALUES (?)", [name])?;
        let sql = "SELECT id FROM receivers WHERE name = ?";
        let id = self.db.query_row(sql, [name], |row| row.get(0))?;
        self.runs.entry(id).or_default();
        Ok(id)
    }

    /// It is no receiver of this job any more.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn remove_receiver(&mut self, id: ReceiverId) -> Result<(), LedgerError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        work.execute("DELETE FROM receivers WHERE id = ?", [id])?;
        // Its keys of announcements are not to be used any more, whoever runs the job next.
        work.execute("DELETE FROM channel", [])?;
        work.commit()?;
        self.runs.remove(&id);
        Ok(())
    }

    /// All receivers, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn receivers(&self) -> Result<Vec<Receiver>, LedgerError> {
        let sql = "SELECT id, name, instance, complete, late_since, why, rate, verify, exec_revision, exec_status
                   FROM receivers ORDER BY id";
        let mut all = self.db.prepare(sql)?;
        let mut rows = all.query([])?;
        let mut receivers = Vec::new();
        while let Some(row) = rows.next()? {
            let since: Option<i64> = row.get(4)?;
            let why: Option<String> = row.get(5)?;
            receivers.push(Receiver {
                id: row.get(0)?,
                name: row.get(1)?,
                instance: row.get(2)?,
                complete: row.get(3)?,
                late: since.map(|since| (since.cast_unsigned(), why.unwrap_or_default())),
                rate: row.get::<_, Option<i64>>(6)?.map(i64::cast_unsigned),
                verify: row.get(7)?,
                exec: exec_of(row)?,
            });
        }
        Ok(receivers)
    }

    /// A receiver has answered, and says which installation it is: before that nothing is noted of it. Whether it is
    /// another one than before: then all entries are pending there again.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn meet(&mut self, id: ReceiverId, instance: [u8; 16]) -> Result<bool, LedgerError> {
        let sql = "SELECT instance FROM receivers WHERE id = ?";
        let before = self.db.query_row(sql, [id], |row| row.get(0)).optional()?;
        let Some(before): Option<Option<[u8; 16]>> = before else { return Ok(false) };
        if before == Some(instance) {
            return Ok(false);
        }
        let anew = before.is_some();
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if anew {
            all_pending(&work, id)?;
        }
        let sql = "UPDATE receivers SET instance = ?1, lost = NULL WHERE id = ?2";
        work.execute(sql, params![instance, id])?;
        work.commit()?;
        if anew {
            self.runs.insert(id, Runs::default());
        }
        Ok(anew)
    }

    /// It cannot be served since then, in milliseconds since 1970, and why; or it can.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_late(
        &mut self,
        id: ReceiverId,
        late: Option<(u64, &str)>,
    ) -> Result<(), LedgerError> {
        let (since, why) = late.map(|(since, why)| (since.cast_signed(), why)).unzip();
        let sql = "UPDATE receivers SET late_since = ?1, why = ?2
                   WHERE id = ?3 AND (late_since IS NOT ?1 OR why IS NOT ?2)";
        self.db.execute(sql, params![since, why, id])?;
        Ok(())
    }

    /// So many bytes a second it took lately.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_rate(&mut self, id: ReceiverId, rate: u64) -> Result<(), LedgerError> {
        let sql = "UPDATE receivers SET rate = ? WHERE id = ?";
        self.db.execute(sql, params![rate.cast_signed(), id])?;
        Ok(())
    }

    /// A receiver is to read what it has, or all are; or one has done so.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_verify(&mut self, id: Option<ReceiverId>, verify: bool) -> Result<(), LedgerError> {
        let sql = "UPDATE receivers SET verify = ? WHERE id = coalesce(?, id)";
        self.db.execute(sql, params![verify, id])?;
        Ok(())
    }

    /// A command has this outcome at this installation of a receiver for this revision. Whether it was noted: once for a
    /// revision, and not for one before the newest.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note_exec(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        revision: u32,
        outcome: &exec::Outcome,
    ) -> Result<bool, LedgerError> {
        let sql = "UPDATE receivers SET exec_revision = ?1, exec_status = ?2
                   WHERE id = ?3 AND instance = ?4 AND (exec_revision IS NULL OR exec_revision < ?1)";
        let changed = self.db.execute(sql, params![revision, outcome.to_string(), id, instance])?;
        Ok(changed > 0)
    }

    /// Receivers that have refused the command are asked again. How many.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn forget_dnpwd(&mut self) -> Result<usize, LedgerError> {
        let sql =
            "UPDATE receivers SET exec_revision = NULL, exec_status = NULL WHERE exec_status = ?";
        Ok(self.db.execute(sql, [exec::Outcome::Dnpwd.to_string()])?)
    }

    /// Why entries have failed at a receiver in the version that they have now, and how many for each reason; the most
    /// frequent first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn failures(&self, id: ReceiverId) -> Result<Vec<(String, u64)>, LedgerError> {
        let Some(runs) = self.runs.get(&id) else { return Ok(Vec::new()) };
        let mut counts: BTreeMap<Reason, u64> = BTreeMap::new();
        let states = runs.states(self.versions()).filter_map(|(_, state)| state);
        let failed = states.filter(|state| state.status == Status::Failed);
        for reason in failed.filter_map(|state| state.reason) {
            *counts.entry(reason).or_default() += 1;
        }
        let mut text = self.db.prepare_cached("SELECT text FROM reasons WHERE id = ?")?;
        let mut all = Vec::with_capacity(counts.len());
        for (reason, count) in counts {
            all.push((text.query_row([reason], |row| row.get(0))?, count));
        }
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(all)
    }

    /// Notes what became of entries at this installation of a receiver, in the versions of this revision of the tree: on
    /// the disk when this returns. Whether it was noted: not of another installation than the one that was met last, nor
    /// of who is no receiver any more. Each call writes to the disk: many entries at once cost as much as one.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the tree has no such revision; then nothing is noted.
    pub fn note(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        revision: u32,
        outcomes: &[(RangeInclusive<u32>, Outcome)],
    ) -> Result<bool, LedgerError> {
        self.change_runs((id, instance), revision, |work| {
            let mark = |outcome: &Outcome| -> rusqlite::Result<Mark> {
                Ok(match outcome {
                    Outcome::Announced => Mark::Announced,
                    Outcome::Sent => Mark::Sent,
                    Outcome::Done => Mark::Done,
                    Outcome::Failed(why) => Mark::Failed(reason(work, why)?),
                    Outcome::Lost => Mark::Pending,
                })
            };
            outcomes
                .iter()
                .map(|(entries, outcome)| Ok((entries.clone(), mark(outcome)?)))
                .collect()
        })
    }

    /// This installation of a receiver has everything in its version of this revision. Whether it was noted, as
    /// [`Self::note`] says it.
    ///
    /// # Errors
    ///
    /// As those of [`Self::note`].
    pub fn note_complete(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        revision: u32,
    ) -> Result<bool, LedgerError> {
        let last = self.versions.keys().next_back().copied();
        self.change_runs((id, instance), revision, |work| {
            let sql = "UPDATE receivers SET complete = max(complete, ?) WHERE id = ?";
            work.execute(sql, params![revision, id])?;
            Ok(last.map(|last| (0..=last, Mark::Done)).into_iter().collect())
        })
    }

    /// Numbers of the entries that a receiver lacks in the version that they have now.
    pub fn lacking(&self, id: ReceiverId) -> Vec<u32> {
        let Some(runs) = self.runs.get(&id) else { return Vec::new() };
        let done = |state: Option<State>| state.is_some_and(|state| state.status == Status::Done);
        let all = runs.states(self.versions());
        all.filter(|(_, state)| !done(*state)).map(|(entry, _)| entry).collect()
    }

    /// Whether a receiver has everything of the newest revision, and where that is asked for has deleted what else there
    /// was: by that a job ends. Who only lacks no entry may not have done so.
    pub fn is_complete(&self, receiver: &Receiver) -> bool {
        let has_said = receiver.complete >= self.revision && self.revision > 0;
        has_said && self.lacking(receiver.id).is_empty()
    }

    /// What is known of an entry at a receiver: its status, and how often this version has failed there.
    pub fn status(&self, id: ReceiverId, entry: u32) -> Option<(Status, u32)> {
        let version = *self.versions.get(&entry)?;
        let state = self.runs.get(&id)?.state(entry, version)?;
        Some((state.status, state.failures))
    }

    /// How many entries of a receiver are in which state.
    pub fn standing(&self, id: ReceiverId) -> Standing {
        let mut standing = Standing::default();
        let Some(runs) = self.runs.get(&id) else { return standing };
        for (_, state) in runs.states(self.versions()) {
            let count = match state.map(|state| state.status) {
                None => &mut standing.pending,
                Some(Status::Announced) => &mut standing.announced,
                Some(Status::Sent) => &mut standing.sent,
                Some(Status::Done) => &mut standing.done,
                Some(Status::Failed) => &mut standing.failed,
            };
            *count += 1;
        }
        standing
    }

    /// Marks entries of a receiver, all in one transaction with what makes the marks. Memory follows once that has
    /// succeeded.
    fn change_runs(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        revision: u32,
        marks: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Vec<(RangeInclusive<u32>, Mark)>>,
    ) -> Result<bool, LedgerError> {
        if revision > self.revision {
            return Err(LedgerError::Revision(revision));
        }
        let Self { db, runs, versions, .. } = self;
        let Some(runs) = runs.get_mut(&id) else { return Ok(false) };
        let work = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT instance FROM receivers WHERE id = ?";
        let met: Option<Option<[u8; 16]>> =
            work.query_row(sql, [id], |row| row.get(0)).optional()?;
        if met.flatten() != Some(instance) {
            return Ok(false);
        }
        let last = versions.keys().next_back().copied().unwrap_or(0);
        let mut next = runs.clone();
        for (entries, mark) in marks(&work)? {
            let entries = *entries.start()..=last.min(*entries.end());
            if !entries.is_empty() {
                let bounds = next.mark(entries, revision, mark, versions);
                save(&work, id, bounds, &next)?;
            }
        }
        work.commit()?;
        *runs = next;
        Ok(true)
    }

    pub(super) fn load_runs(&mut self) -> Result<(), LedgerError> {
        let mut runs = BTreeMap::new();
        let mut all = self.db.prepare("SELECT id FROM receivers")?;
        let ids = all.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
        runs.extend(ids.into_iter().map(|id: ReceiverId| (id, Runs::default())));
        let sql = "SELECT receiver, first, last, revision, status, failures, reason FROM runs";
        let mut all = self.db.prepare(sql)?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let status = Status::of(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?);
            let status = status.ok_or(LedgerError::Damaged("a status that no entry has"))?;
            let state = State { status, failures: row.get(5)?, reason: row.get(6)? };
            let run = Run { last: row.get(2)?, revision: row.get(3)?, state };
            self.check_revision(run.revision)?;
            if !runs.entry(row.get(0)?).or_default().load(row.get(1)?, run) {
                return Err(LedgerError::Damaged("two statuses of one entry"));
            }
        }
        drop(rows);
        drop(all);
        self.runs = runs;
        Ok(())
    }
}

/// Nothing is known any more of what a receiver has.
pub(super) fn all_pending(work: &Transaction<'_>, id: ReceiverId) -> Result<(), LedgerError> {
    work.execute("DELETE FROM runs WHERE receiver = ?", [id])?;
    let sql =
        "UPDATE receivers SET complete = 0, exec_revision = NULL, exec_status = NULL WHERE id = ?";
    work.execute(sql, [id])?;
    Ok(())
}

/// What became of a command, in the columns 8 and 9.
fn exec_of(row: &rusqlite::Row<'_>) -> Result<Option<(u32, exec::Outcome)>, LedgerError> {
    let (Some(revision), Some(status)) =
        (row.get::<_, Option<u32>>(8)?, row.get::<_, Option<String>>(9)?)
    else {
        return Ok(None);
    };
    let outcome = status.parse();
    let outcome = outcome.map_err(|_| LedgerError::Damaged("an outcome that no command has"))?;
    Ok(Some((revision, outcome)))
}

/// Number of a reason: a few reasons explain most failures.
fn reason(work: &Transaction<'_>, why: &str) -> rusqlite::Result<u32> {
    let why = &why[..why.floor_char_boundary(MAX_REASON)];
    let sql = "INSERT OR IGNORE INTO reasons (text) VALUES (?)";
    work.prepare_cached(sql)?.execute([why])?;
    let sql = "SELECT id FROM reasons WHERE text = ?";
    work.prepare_cached(sql)?.query_row([why], |row| row.get(0))
}

/// Writes the runs that begin within these bounds.
fn save(
    work: &Transaction<'_>,
    id: ReceiverId,
    bounds: RangeInclusive<u32>,
    runs: &Runs,
) -> Result<(), LedgerError> {
    let sql = "DELETE FROM runs WHERE receiver = ? AND first BETWEEN ? AND ?";
    work.prepare_cached(sql)?.execute(params![id, bounds.start(), bounds.end()])?;
    let sql = "INSERT INTO runs (receiver, first, last, revision, status, failures, reason)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut one = work.prepare_cached(sql)?;
    for (first, run) in runs.within(bounds) {
        let State { status, failures, reason } = run.state;
        one.execute(params![id, first, run.last, run.revision, status.name(), failures, reason])?;
    }
    Ok(())
}
