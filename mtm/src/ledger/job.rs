//! What a job is, and how far it is as a whole.

use super::paths::{Given, Stored};
use super::{Ledger, LedgerError};
use rusqlite::{Connection, params};
use std::path::PathBuf;

/// One tree that is to reach a list of receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Names it among all jobs of all masters; random.
    pub id: [u8; 16],
    /// As people call it.
    pub name: String,
    /// What it is for, in the user's words; may be empty.
    pub description: String,
    /// The root of the tree.
    pub source: PathBuf,
    /// The device and the inode of the root (stat(2)): another one in its place is not the tree, as where a file system
    /// is not mounted.
    pub root: (u64, u64),
    /// When it was given, in milliseconds since 1970.
    pub created: u64,
    /// The options it was given with, as JSON.
    pub options: String,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Somebody lacks something.
    Open,
    /// Nothing is sent until what it is to be sent from is there again; why.
    Waiting(String),
    /// Nothing is sent until it is resumed; why.
    Paused(String),
    /// Nothing is sent any more.
    Cancelled,
    /// All receivers have all of it.
    Complete,
}

impl JobState {
    /// As the job's file has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting(_) => "waiting",
            Self::Paused(_) => "paused",
            Self::Cancelled => "cancelled",
            Self::Complete => "complete",
        }
    }

    fn why(&self) -> Option<&String> {
        match self {
            Self::Waiting(why) | Self::Paused(why) => Some(why),
            Self::Open | Self::Cancelled | Self::Complete => None,
        }
    }

    fn of(name: &str, why: Option<String>) -> Option<Self> {
        match name {
            "open" => Some(Self::Open),
            "waiting" => Some(Self::Waiting(why.unwrap_or_default())),
            "paused" => Some(Self::Paused(why.unwrap_or_default())),
            "cancelled" => Some(Self::Cancelled),
            "complete" => Some(Self::Complete),
            _ => None,
        }
    }
}

/// How far the job of a database is.
pub(super) fn state(db: &Connection) -> Result<JobState, LedgerError> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    let (name, why) = db.query_row("SELECT state, why FROM job", [], row)?;
    JobState::of(&name, why).ok_or(LedgerError::Damaged("a state that no job has"))
}

impl Job {
    pub(super) fn write(&self, db: &Connection) -> Result<(), LedgerError> {
        let sql = "INSERT INTO job (one, id, name, description, source, dev, ino, created, options)
                   VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)";
        let (dev, ino) = self.root;
        db.execute(
            sql,
            params![
                self.id,
                self.name,
                self.description,
                Given(self.source.as_os_str()),
                dev.cast_signed(),
                ino.cast_signed(),
                self.created.cast_signed(),
                self.options,
            ],
        )?;
        Ok(())
    }
}

impl Ledger {
    /// What the job is.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn job(&self) -> Result<Job, LedgerError> {
        let sql = "SELECT id, name, description, source, dev, ino, created, options FROM job";
        let number = |row: &rusqlite::Row<'_>, column| row.get(column).map(i64::cast_unsigned);
        Ok(self.db.query_row(sql, [], |row| {
            Ok(Job {
                id: row.get(0)?,
                name: row.get(1)?,
                description: row.get(2)?,
                source: row.get::<_, Stored>(3)?.0.into(),
                root: (number(row, 4)?, number(row, 5)?),
                created: number(row, 6)?,
                options: row.get(7)?,
            })
        })?)
    }

    /// How far it is.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn state(&self) -> Result<JobState, LedgerError> {
        state(&self.db)
    }

    /// Where receivers say hello, if that was kept.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn listen(&self) -> Result<Option<String>, LedgerError> {
        Ok(self.db.query_row("SELECT listen FROM job", [], |row| row.get(0))?)
    }

    /// Receivers say hello there.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_listen(&mut self, listen: &str) -> Result<(), LedgerError> {
        self.db.execute("UPDATE job SET listen = ?", [listen])?;
        Ok(())
    }

    /// The root of the tree is this one from now on, by its device and inode.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_root(&mut self, (dev, ino): (u64, u64)) -> Result<(), LedgerError> {
        let sql = "UPDATE job SET dev = ?, ino = ?";
        self.db.execute(sql, params![dev.cast_signed(), ino.cast_signed()])?;
        Ok(())
    }

    /// The options are these from now on, as JSON.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_options(&mut self, options: &str) -> Result<(), LedgerError> {
        self.db.execute("UPDATE job SET options = ?", [options])?;
        Ok(())
    }

    /// What of an open job is not as it should be at this side, if anything; others are as they are.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_trouble(&mut self, why: Option<&str>) -> Result<(), LedgerError> {
        let sql = "UPDATE job SET why = ?1 WHERE state = 'open' AND why IS NOT ?1";
        self.db.execute(sql, [why])?;
        Ok(())
    }

    /// Why not all of an open job is as it should be at this side, if so.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn trouble(&self) -> Result<Option<String>, LedgerError> {
        let sql = "SELECT iif(state = 'open', why, NULL) FROM job";
        Ok(self.db.query_row(sql, [], |row| row.get(0))?)
    }

    /// It is so from now on, as whoever runs the job says: unless others have paused or cancelled it. Whether it is.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn change_state(&mut self, state: &JobState) -> Result<bool, LedgerError> {
        let why = state.why();
        let sql =
            "UPDATE job SET state = ?, why = ? WHERE state IN ('open', 'waiting', 'complete')";
        Ok(self.db.execute(sql, params![state.name(), why])? > 0)
    }

    /// It is so from now on.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_state(&mut self, state: &JobState) -> Result<(), LedgerError> {
        let why = state.why();
        self.db.execute("UPDATE job SET state = ?, why = ?", params![state.name(), why])?;
        Ok(())
    }
}
