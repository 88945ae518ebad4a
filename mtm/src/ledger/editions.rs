//! Which revision of its number each is: a file that was restored from an older copy counts the numbers of those that it
//! has lost once more, and finds out from its receivers that it does.

use super::receivers::all_pending;
use super::{Ledger, LedgerError, ReceiverId};
use crate::revision::Revision;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

impl Ledger {
    /// The newest revision.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn newest(&self) -> Result<Revision, LedgerError> {
        let edition = self.edition(self.revision)?.unwrap_or(Revision::UNKNOWN);
        Ok(Revision::new(self.revision, edition))
    }

    /// The editions of the revisions from this one on, of so many at most: of one that has none it is unknown.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn editions(&self, since: u32, most: usize) -> Result<Vec<u64>, LedgerError> {
        let of = |number| Ok(self.edition(number)?.unwrap_or(Revision::UNKNOWN));
        (since..=self.revision).take(most).map(of).collect()
    }

    /// Whether the tree has had this revision, as far as this file knows. If it has not, and a receiver has had it, the
    /// file was restored from a copy that is older.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn knows(&self, revision: Revision) -> Result<bool, LedgerError> {
        if revision.number > self.revision {
            return Ok(false);
        }
        // One of before, or that all receivers have had: it is not kept.
        Ok(self.edition(revision.number)?.is_none_or(|edition| edition == revision.edition))
    }

    /// A receiver, this installation of it, has told of which revisions it has had everything, or something. If this file
    /// does not know one of them, nothing is known of what the receiver has: all entries are pending there again, once for
    /// each such edition. Which one that is.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn told(
        &mut self,
        (id, instance): (ReceiverId, [u8; 16]),
        has: [Option<Revision>; 2],
    ) -> Result<Option<Revision>, LedgerError> {
        let mut unknown = None;
        for revision in has.into_iter().flatten() {
            if !self.knows(revision)? {
                unknown = unknown.max(Some(revision));
            }
        }
        let Some(lost) = unknown else { return Ok(None) };
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql =
            "UPDATE receivers SET lost = ?1 WHERE id = ?2 AND instance = ?3 AND lost IS NOT ?1";
        if work.execute(sql, params![lost.edition.cast_signed(), id, instance])? == 0 {
            return Ok(None);
        }
        all_pending(&work, id)?;
        work.commit()?;
        self.runs.insert(id, super::Runs::default());
        Ok(Some(lost))
    }

    fn edition(&self, revision: u32) -> Result<Option<u64>, LedgerError> {
        let mut one = self.db.prepare_cached("SELECT edition FROM editions WHERE revision = ?")?;
        let edition = one.query_row([revision], |row| row.get::<_, i64>(0)).optional()?;
        Ok(edition.map(i64::cast_unsigned))
    }
}

/// A look has found this one. Those before the one that all receivers have had are not needed any more: a receiver has
/// what it was noted to have, or more.
pub(super) fn note(work: &Transaction<'_>, revision: Revision) -> Result<(), LedgerError> {
    let Revision { number, edition } = revision;
    let sql = "INSERT INTO editions (revision, edition) VALUES (?, ?)";
    work.execute(sql, params![number, edition.cast_signed()])?;
    let sql = "DELETE FROM editions WHERE revision < (SELECT min(complete) FROM receivers)";
    work.execute(sql, [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, met, new};
    use super::super::{Ledger, Status};
    use super::*;

    fn lost(number: u32, edition: u64) -> Revision {
        Revision::new(number, edition)
    }

    fn told(ledger: &mut Ledger, of: (ReceiverId, [u8; 16]), has: Revision) -> bool {
        let told = ledger.told(of, [Some(lost(1, 101)), Some(has)]).unwrap();
        assert_eq!(told, ledger.told(of, [Some(has), None]).unwrap().or(told), "it is done once");
        told.is_some()
    }

    #[test]
    fn a_file_that_was_restored_finds_out_from_its_receivers() {
        let (dir, path, mut ledger) = new();
        let (one, two) = (met(&mut ledger, "1"), met(&mut ledger, "2"));
        ledger.look([found("a", 1), found("b", 1)], 101).unwrap();
        ledger.note_complete(one, 1).unwrap();
        ledger.look([found("a", 2), found("b", 1)], 102).unwrap();
        assert!(ledger.look([found("a", 2), found("b", 1)], 103).unwrap().is_none());
        ledger.note_complete(two, 2).unwrap();
        assert_eq!(ledger.newest().unwrap(), lost(2, 102));
        assert_eq!(ledger.editions(1, 9).unwrap(), [101, 102]);
        assert_eq!(ledger.editions(1, 1).unwrap(), [101]);
        drop(ledger);
        let copy = dir.path().join("copy");
        std::fs::copy(&path, &copy).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.look([found("a", 3), found("b", 1)], 103).unwrap();
        ledger.look([found("a", 4), found("b", 1)], 104).unwrap();
        for known in [lost(1, 101), lost(2, 102), lost(4, 104)] {
            assert!(!told(&mut ledger, two, known));
        }
        drop(ledger);
        std::fs::rename(&copy, &path).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        assert!(told(&mut ledger, two, lost(4, 104)), "it is higher than any");
        assert_eq!((ledger.lacking(two.0), ledger.lacking(one.0)), (vec![0, 1], vec![0]));
        assert_eq!(ledger.receivers().unwrap()[1].complete, 0);
        ledger.look([found("a", 5), found("b", 1)], 203).unwrap();
        assert_eq!(ledger.newest().unwrap(), lost(3, 203));
        ledger.note(two, 3, &[(0..=0, super::super::Outcome::Done)]).unwrap();
        assert!(!told(&mut ledger, two, lost(4, 104)), "that is known by now");
        assert_eq!(ledger.status(two.0, 0).unwrap().0, Status::Done);
        // Another one of a number that is counted again.
        assert!(told(&mut ledger, one, lost(3, 103)));
        assert_eq!(ledger.lacking(one.0), [0, 1]);
        assert!(!told(&mut ledger, (two.0, [8; 16]), lost(3, 103)), "it is none of its own");
        drop(ledger);
        let mut ledger = Ledger::open(&path).unwrap();
        assert!(!told(&mut ledger, one, lost(3, 103)));
        assert_eq!(ledger.lacking(one.0), [0, 1]);
    }

    #[test]
    fn what_all_receivers_have_had_has_no_edition_any_more() {
        let (_dir, _path, mut ledger) = new();
        let host = met(&mut ledger, "1");
        for number in 1..5 {
            ledger.look([found("a", number)], 100 + number).unwrap();
        }
        assert_eq!(ledger.editions(1, 9).unwrap(), [101, 102, 103, 104]);
        ledger.note_complete(host, 3).unwrap();
        ledger.look([found("a", 5)], 105).unwrap();
        assert_eq!(ledger.editions(1, 9).unwrap(), [0, 0, 103, 104, 105]);
        assert!(ledger.knows(lost(2, 102)).unwrap() && !ledger.knows(lost(3, 102)).unwrap());
    }
}
