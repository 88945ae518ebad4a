//! What a receiver knows of the jobs that send to it: their masters, to whom it says hello, and the places that they
//! write to, which no other job may have meanwhile.
//!
//! It stands in a database of `SQLite` in the daemon's folder of state, written as a job's file is.

mod age;
mod past;
mod places;
mod room;
mod runs;
mod schema;
#[cfg(test)]
mod tests;

pub use age::LEASE;
pub use places::real;
pub use runs::{Begun, Interrupted, OfPlace};

use crate::revision::Revision;
use crate::words::JobId;
use core::time::Duration;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Another connection, as of who drops a lease, has the file for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
/// Places of jobs that are known at a time, at most: whoever may send could name any number.
const MAX_PLACES: usize = 4096;
/// Of these one master may have so many: none takes the room of the others.
const MAX_PLACES_OF_A_MASTER: usize = 256;

/// A job, and what the receiver is called in it: a host may have several names there, each with a place of its own.
pub type Of<'a> = (JobId, &'a str);

/// What is known of jobs cannot be kept, or a job may not have its place.
#[derive(Debug, Error)]
pub enum HeldError {
    /// Another job has that place, or one that it is in, or one in it.
    #[error(
        "{} belongs to the job {job:?} of another master or tree, which wrote there last {} ago: it ends with that job, or \
         is dropped by mcpd leases --drop at this host", .place.display(), days(.ago)
    )]
    Taken {
        /// The other one's place.
        place: PathBuf,
        /// What it is called.
        job: String,
        /// Since its master was heard.
        ago: Duration,
    },
    /// The job has a place already that this one is in, or that is in it.
    #[error(
        "{} is in, or has in it, the place of {host:?} of the same job: each would delete what the other one has",
         .place.display()
    )]
    Nested {
        /// The place that is asked for.
        place: PathBuf,
        /// What the host is called there to which the other one belongs.
        host: String,
    },
    /// A job of that id is another master's.
    #[error("that job is another master's")]
    Foreign,
    /// There is no room for more.
    #[error("this host knows {MAX_PLACES} places of mirror jobs already")]
    Full,
    /// There is no room for more of this master.
    #[error("this host knows {MAX_PLACES_OF_A_MASTER} places of this master's mirror jobs already")]
    FullOfMaster,
    /// It was written by a newer program.
    #[error(
        "what is known of mirror jobs has version {0} of its tables, which a newer program wrote"
    )]
    Newer(i32),
    /// The file cannot be made.
    #[error("{}: {error}", .path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The database failed.
    #[error("what is known of mirror jobs: {0}")]
    Database(#[from] rusqlite::Error),
}

fn days(ago: &Duration) -> String {
    let seconds = ago.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A job as its receiver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub job: JobId,
    /// The master's key: the one that is listed here, or of its installation. `None` in a file of before that was told: it is
    /// known from the job's next session on.
    pub master: Option<Vec<u8>>,
    /// What the job is called.
    pub name: String,
    /// What this receiver is called in it.
    pub host: String,
    /// The place that it writes to.
    pub place: PathBuf,
    /// Where hello is said, if it is.
    pub hello: Option<SocketAddr>,
    /// Where its master sent from last.
    pub peer: Option<IpAddr>,
    /// Which installation this is to it.
    pub instance: [u8; 16],
    /// The newest revision of which all was in place.
    pub complete: Option<Revision>,
    /// When its master was heard last, in milliseconds since 1970.
    pub heard: u64,
}

/// All jobs that a receiver knows.
#[derive(Debug)]
pub struct Held {
    db: Connection,
}

impl Held {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be made or read.
    pub fn open(path: &Path) -> Result<Self, HeldError> {
        let placed = |error| HeldError::Place { path: path.to_owned(), error };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        drop(options.open(path).map_err(placed)?);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(PATIENCE)?;
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut db)?;
        Ok(Self { db })
    }

    /// A job is about to write. It has the place from now on. `known.complete` is the revision that is to be complete then,
    /// if that is known: one that is higher, or another one of that number, is of a tree that its master, which was
    /// restored, knows nothing of.
    ///
    /// # Errors
    ///
    /// Another job has it, or the job itself has one that it is in, or that is in it.
    pub fn begin(&mut self, known: &Known) -> Result<(), HeldError> {
        self.begin_after(known, (0, &[]))
    }

    /// The same after revisions from one on, whose editions are these, as far as they are known.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn begin_after(&mut self, known: &Known, line: (u32, &[u64])) -> Result<(), HeldError> {
        let work = self.take(known)?;
        past::begin(&work, known, line)?;
        Ok(work.commit()?)
    }

    /// Whether [`Self::begin`] would give a job its place. Nothing is kept of it.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn may_begin(&mut self, known: &Known) -> Result<(), HeldError> {
        Ok(self.take(known)?.rollback()?)
    }

    fn take(&mut self, known: &Known) -> Result<Transaction<'_>, HeldError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        age::date(&work, known.heard)?;
        let all = list(&work)?;
        let mut own = all.iter().filter(|other| other.job == known.job);
        let is_foreign = |own: &Known| own.master.is_some() && own.master != known.master;
        if own.clone().any(is_foreign) {
            return Err(HeldError::Foreign);
        }
        // Of its own job's another one is the same place under another name; by its own name it goes on elsewhere.
        let is_apart = |other: &&Known| {
            other.job != known.job || other.host != known.host && other.place != known.place
        };
        let shares = |other: &&Known| places::share(&other.place, &known.place);
        let mut left = all.clone();
        for other in all.iter().filter(is_apart).filter(shares) {
            if !age::is_over(other.heard, known.heard) {
                return Err(taken(known, other));
            }
            remove(&work, other)?;
            left.retain(|one| one != other);
        }
        // Another one that is not higher has something else, or it is of a tree that has been lost.
        let goes_on = |complete: Revision| {
            known.complete.is_none_or(|to| complete == to || complete.number < to.number)
        };
        let here = own.clone().find(|own| own.place == known.place);
        if let Some(here) = here.filter(|here| !here.complete.is_none_or(goes_on)) {
            past::keep(&work, here)?;
        }
        let is_known = own.any(|own| own.place == known.place || own.host == known.host);
        if !is_known && let Some(over) = room::to_forget(&left, known)? {
            remove(&work, over)?;
        }
        // By that name it goes on elsewhere.
        let sql = "DELETE FROM jobs WHERE job = ? AND host = ? AND place <> ?";
        work.execute(sql, params![known.job, known.host, known.place.as_os_str().as_bytes()])?;
        write(&work, known)?;
        Ok(work)
    }

    /// All of this revision of a job is in place; or of all that has changed `since` an earlier one, of which the editions
    /// are told, and of those after it: it is complete only upon one of these. Whether it was not known before.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn complete(
        &mut self,
        of: Of<'_>,
        since: Option<(u32, &[u64])>,
        revision: Revision,
    ) -> Result<bool, HeldError> {
        let Some(known) = self.known(of)? else { return Ok(false) };
        let begun = past::begun(&self.db, &known)?;
        let is_other = begun.is_some_and(|begun| begun != revision);
        if since.is_some_and(|since| is_other || !is_in_line(known.complete, since)) {
            return Ok(false);
        }
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "UPDATE jobs SET complete = ?1, edition = ?2, begun = NULL, begun_edition = NULL
                   WHERE job = ?3 AND place = ?4 AND (complete IS NULL OR complete < ?1)";
        let (place, edition) = (known.place.as_os_str().as_bytes(), revision.edition.cast_signed());
        let new = work.execute(sql, params![revision.number, edition, known.job, place])? > 0;
        if new {
            past::forget(&work, &known)?;
        }
        work.commit()?;
        Ok(new)
    }

    /// What is known of a job by that name of this host; if there is one place of it alone, that by any name.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn known(&self, (job, host): Of<'_>) -> Result<Option<Known>, HeldError> {
        let mut all = self.db.prepare_cached(&format!("{COLUMNS} WHERE job = ?"))?;
        let rows = all.query_map([job], read)?;
        let mut all: Vec<Known> = rows.collect::<Result<_, _>>()?;
        let own = all.iter().position(|known| known.host == host);
        let own = own.or((all.len() == 1).then_some(0));
        Ok(own.map(|own| all.swap_remove(own)))
    }

    /// The job is over for the host of that name: nothing is known of it any more. Only its own master may say so.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or it is another master's.
    pub fn over(&mut self, (job, host): Of<'_>, master: Option<&[u8]>) -> Result<(), HeldError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = format!("{COLUMNS} WHERE job = ? AND host = ?");
        let own = work.query_row(&sql, params![job, host], read).optional()?;
        match own {
            None => Ok(()),
            Some(own) if own.master.is_none() || own.master.as_deref() == master => {
                remove(&work, &own)?;
                Ok(work.commit()?)
            }
            Some(_) => Err(HeldError::Foreign),
        }
    }

    /// Its master was heard.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn heard(&mut self, of: Of<'_>, now: u64) -> Result<(), HeldError> {
        let Some(known) = self.known(of)? else { return Ok(()) };
        let sql = "UPDATE jobs SET heard = max(heard, ?) WHERE job = ? AND place = ?";
        let place = known.place.as_os_str().as_bytes();
        self.db.execute(sql, params![now.cast_signed(), known.job, place])?;
        Ok(())
    }

    /// All that are known by then, in milliseconds since 1970, by their places.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn all(&mut self, now: u64) -> Result<Vec<Known>, HeldError> {
        age::date(&self.db, now)?;
        list(&self.db)
    }

    /// Those of them whose masters have been heard within a year: to the others no hello is said any more. They keep their
    /// places until another job wants them or the room, since a clock may be wrong.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn alive(&mut self, now: u64) -> Result<Vec<Known>, HeldError> {
        let mut all = self.all(now)?;
        all.retain(|known| age::is_alive(known.heard, now));
        Ok(all)
    }

    /// No job has that place any more, nor one in it. How many had.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn drop_lease(&mut self, place: &Path) -> Result<usize, HeldError> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let below = list(&work)?.into_iter().filter(|known| known.place.starts_with(place));
        let mut dropped = 0;
        for known in below {
            dropped += remove(&work, &known)?;
        }
        work.commit()?;
        Ok(dropped)
    }
}

/// Why a job may not have a place that this one has something of.
fn taken(known: &Known, other: &Known) -> HeldError {
    if other.job == known.job {
        return HeldError::Nested { place: known.place.clone(), host: other.host.clone() };
    }
    let ago = Duration::from_millis(known.heard.saturating_sub(other.heard));
    HeldError::Taken { place: other.place.clone(), job: other.name.clone(), ago }
}

/// Whether a revision is one of those from an earlier one on, whose editions these are.
fn is_in_line(revision: Option<Revision>, (since, editions): (u32, &[u64])) -> bool {
    revision.is_some_and(|Revision { number, edition }| {
        (since..).zip(editions).any(|of_line| of_line == (number, &edition))
    })
}

fn remove(db: &Connection, known: &Known) -> Result<usize, HeldError> {
    past::keep(db, known)?;
    let sql = "DELETE FROM jobs WHERE job = ? AND place = ?";
    Ok(db.execute(sql, params![known.job, known.place.as_os_str().as_bytes()])?)
}

fn write(db: &Connection, known: &Known) -> Result<(), HeldError> {
    let sql = "INSERT INTO jobs (job, master, name, host, place, hello, instance, heard, peer)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10)
               ON CONFLICT (job, place) DO UPDATE SET master = coalesce(master, excluded.master), name = excluded.name,
               host = excluded.host,
               hello = excluded.hello, peer = excluded.peer,
               complete = iif(instance = excluded.instance AND
                   (?9 IS NULL OR complete < ?9 OR (complete = ?9 AND edition = ?11)), complete, NULL),
               instance = excluded.instance, heard = max(heard, excluded.heard)";
    let (revision, edition) =
        known.complete.map(|to| (to.number, to.edition.cast_signed())).unzip();
    db.execute(
        sql,
        params![
            known.job,
            known.master,
            known.name,
            known.host,
            known.place.as_os_str().as_bytes(),
            known.hello.map(|addr| addr.to_string()),
            known.instance,
            known.heard.cast_signed(),
            revision,
            known.peer.map(|peer| peer.to_string()),
            edition,
        ],
    )?;
    Ok(())
}

/// What [`read`] reads.
const COLUMNS: &str = "SELECT job, master, name, host, place, hello, instance, complete, heard, peer, edition FROM jobs";

fn list(db: &Connection) -> Result<Vec<Known>, HeldError> {
    let mut all = db.prepare(&format!("{COLUMNS} ORDER BY place"))?;
    let rows = all.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Known> {
    let place: Vec<u8> = row.get(4)?;
    let hello: Option<String> = row.get(5)?;
    let edition = row.get::<_, i64>(10)?.cast_unsigned();
    let complete: Option<u32> = row.get(7)?;
    Ok(Known {
        job: row.get(0)?,
        master: row.get(1)?,
        name: row.get(2)?,
        host: row.get(3)?,
        place: OsString::from_vec(place).into(),
        hello: hello.and_then(|addr| addr.parse().ok()),
        instance: row.get(6)?,
        complete: complete.map(|number| Revision::new(number, edition)),
        heard: row.get::<_, i64>(8)?.cast_unsigned(),
        peer: row.get::<_, Option<String>>(9)?.and_then(|peer| peer.parse().ok()),
    })
}
