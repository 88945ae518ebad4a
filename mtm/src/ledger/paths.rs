//! Paths in the job's file: text where they are, so that `sqlite3` prints them, else bytes.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Result, ToSql};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A path, or the name of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stored(pub(super) OsString);

/// Likewise, borrowed.
pub(super) struct Given<'a>(pub(super) &'a OsStr);

impl ToSql for Given<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let bytes = self.0.as_bytes();
        Ok(ToSqlOutput::Borrowed(match core::str::from_utf8(bytes) {
            Ok(_) => ValueRef::Text(bytes),
            Err(_) => ValueRef::Blob(bytes),
        }))
    }
}

impl FromSql for Stored {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Ok(Self(OsString::from_vec(bytes.to_vec())))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}
