//! What was complete here and is not any more: of a job that was over meanwhile, or whose master goes on from another
//! revision. Its master is told, and finds out whether that is one that its job's file has lost.

use super::{Held, HeldError, Known, Of, is_in_line};
use crate::revision::Revision;
use rusqlite::{Connection, OptionalExtension, params};

/// So many are kept, at most: of those that were heard last. They take less than 10 MB.
const MAX_PAST: u32 = 65_536;

impl Held {
    /// The revision that the last session for a job was to make complete here, and has not: something of it may be here.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn begun(
        &self,
        (job, host): Of<'_>,
        instance: [u8; 16],
    ) -> Result<Option<Revision>, HeldError> {
        let sql = "SELECT begun, begun_edition FROM jobs
                   WHERE job = ? AND host = ? AND instance = ? AND begun IS NOT NULL";
        Ok(self.db.query_row(sql, params![job, host, instance], revision).optional()?)
    }

    /// What a job's master is told that this installation has of it: the newest revision of which all is in place, or was.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn has(
        &self,
        (job, host): Of<'_>,
        instance: [u8; 16],
    ) -> Result<Option<Revision>, HeldError> {
        let known = self.known((job, host))?.filter(|known| known.instance == instance);
        if let Some(complete) = known.and_then(|known| known.complete) {
            return Ok(Some(complete));
        }
        let sql = "SELECT revision, edition FROM past WHERE job = ? AND host = ? AND instance = ?";
        Ok(self.db.query_row(sql, params![job, host, instance], revision).optional()?)
    }
}

/// Of its number and its edition.
fn revision(row: &rusqlite::Row<'_>) -> rusqlite::Result<Revision> {
    Ok(Revision::new(row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
}

/// Of which revision something may be here that is not complete.
pub(super) fn begun(db: &Connection, known: &Known) -> Result<Option<Revision>, HeldError> {
    let sql =
        "SELECT begun, begun_edition FROM jobs WHERE job = ? AND host = ? AND begun IS NOT NULL";
    Ok(db.query_row(sql, params![known.job, known.host], revision).optional()?)
}

/// Something of another revision may be in place from now on, however far its session comes. One that may have been lost
/// is told still: any but those that this one comes after.
pub(super) fn begin(db: &Connection, known: &Known, line: (u32, &[u64])) -> Result<(), HeldError> {
    let before = begun(db, known)?;
    if before.is_some() && !is_in_line(before, line) {
        return Ok(());
    }
    let Some(Revision { number, edition }) = known.complete else { return Ok(()) };
    let sql = "UPDATE jobs SET begun = ?1, begun_edition = ?2 WHERE job = ?3 AND host = ?4
               AND (complete IS NOT ?1 OR edition <> ?2)";
    db.execute(sql, params![number, edition.cast_signed(), known.job, known.host])?;
    Ok(())
}

/// What is complete there is not for long: if anything is.
pub(super) fn keep(db: &Connection, known: &Known) -> Result<(), HeldError> {
    let Some(Revision { number, edition }) = known.complete else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO past (job, host, instance, revision, edition, at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (edition, at) = (edition.cast_signed(), known.heard.cast_signed());
    db.execute(sql, params![known.job, known.host, known.instance, number, edition, at])?;
    let sql = "DELETE FROM past WHERE at < (SELECT at FROM past ORDER BY at DESC LIMIT 1 OFFSET ?)";
    db.execute(sql, [MAX_PAST - 1])?;
    Ok(())
}

/// All of a newer one is in place.
pub(super) fn forget(db: &Connection, known: &Known) -> Result<(), HeldError> {
    db.execute("DELETE FROM past WHERE job = ? AND host = ?", params![known.job, known.host])?;
    Ok(())
}
