//! How long ago a master was heard, by a clock that may be wrong: many a host starts in 1970 and learns the time later.

use super::HeldError;
use core::time::Duration;
use rusqlite::{Connection, params};

/// A place is a job's until so long after its master's last word, if another job wants it then.
pub const LEASE: Duration = Duration::from_secs(7 * 24 * 3600);
/// To a master that was not heard for so long no hello is said: a host that was off for months says it still.
const ALIVE: Duration = Duration::from_secs(365 * 24 * 3600);
/// 2026-01-01, in milliseconds since 1970: before that there was no such file, so a clock that says so is not set.
const SET: u64 = 1_767_225_600_000;

/// Counts from now, by a clock that is set, what was heard by one that was not.
pub(super) fn date(db: &Connection, now: u64) -> Result<(), HeldError> {
    if now >= SET {
        let sql = "UPDATE jobs SET heard = ?1 WHERE heard < ?2";
        db.execute(sql, params![now.cast_signed(), SET.cast_signed()])?;
    }
    Ok(())
}

/// Whether a place is free again: not by a clock alone that was set forward and back, for it is asked only by who wants
/// the place.
pub(super) fn is_over(heard: u64, now: u64) -> bool {
    now.saturating_sub(heard) > millis(LEASE)
}

/// Whether hello is said.
pub(super) fn is_alive(heard: u64, now: u64) -> bool {
    now.saturating_sub(heard) <= millis(ALIVE)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
