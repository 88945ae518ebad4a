//! What a job announces by: its keys, and which numbers of announcements have been reserved.

use super::{Ledger, LedgerError};
use crate::announce::Reserved;
use core::fmt;
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

/// It. Each job has keys of its own, which its receivers are told over associations.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    /// What the key that signs is made of ([`tcpxm::trust::Identity::generate`]).
    pub identity: Zeroizing<[u8; 64]>,
    /// The key of all who listen.
    pub channel: Zeroizing<[u8; 32]>,
    /// The key of what names entries.
    pub private: Zeroizing<[u8; 32]>,
    /// What has been reserved.
    pub reserved: Reserved,
}

/// Without the keys.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("reserved", &self.reserved).finish_non_exhaustive()
    }
}

impl Ledger {
    /// What the job announces by, if it does.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn channel(&self) -> Result<Option<Channel>, LedgerError> {
        let sql = "SELECT identity, channel, private, incarnation, below FROM channel";
        let row = |row: &rusqlite::Row<'_>| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Channel {
                identity: Zeroizing::new(row.get(0)?),
                channel: Zeroizing::new(row.get(1)?),
                private: Zeroizing::new(row.get(2)?),
                reserved: Reserved { incarnation: number(3)?, below: number(4)? },
            })
        };
        Ok(self.db.query_row(sql, [], row).optional()?)
    }

    /// The job announces by this from now on.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn set_channel(&mut self, channel: &Channel) -> Result<(), LedgerError> {
        let sql =
            "INSERT OR REPLACE INTO channel (one, identity, channel, private, incarnation, below)
                   VALUES (1, ?, ?, ?, ?, ?)";
        let Reserved { incarnation, below } = channel.reserved;
        self.db.execute(
            sql,
            params![
                *channel.identity,
                *channel.channel,
                *channel.private,
                incarnation.cast_signed(),
                below.cast_signed()
            ],
        )?;
        Ok(())
    }

    /// These numbers are reserved: on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the keys have been removed with a receiver ([`LedgerError::NoKeys`]): none of them
    /// may be used.
    pub fn reserve(
        &mut self,
        Reserved { incarnation, below }: Reserved,
    ) -> Result<(), LedgerError> {
        let sql = "UPDATE channel SET incarnation = ?, below = ?";
        let changed =
            self.db.execute(sql, params![incarnation.cast_signed(), below.cast_signed()])?;
        if changed == 0 {
            return Err(LedgerError::NoKeys);
        }
        Ok(())
    }
}
