//! What stands under another name than before, as long as a receiver may have it under the former one alone.

use super::entries::{Found, Kind};
use super::paths::{Given, Stored};
use super::{Ledger, LedgerError};
use crate::renames::{self, Former};
use rusqlite::{Connection, Transaction, params};
use std::ffi::OsStr;
use std::path::Path;

/// Former names that are kept, at most: those of what a folder holds leave first, since they follow from the folder's own,
/// then the oldest. Of what has left receivers are sent all bytes.
const MOST: usize = 200_000;

impl Ledger {
    /// Former names of what is in the tree, as far as a receiver may not have had everything since.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn former(&self) -> Result<Vec<Former>, LedgerError> {
        read(&self.db)
    }

    /// Forgets the former names of what all receivers have had since under a later one.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn forget_former(&mut self) -> Result<usize, LedgerError> {
        // Without a receiver nobody has anything.
        let sql = "DELETE FROM former WHERE version <=
                   coalesce((SELECT min(complete) FROM receivers), 4294967295)";
        Ok(self.db.execute(sql, [])?)
    }
}

/// Takes what has left its name, of which that is kept that stands elsewhere in the tree. What is not in it any more is
/// forgotten.
pub(super) fn note(
    work: &Transaction<'_>,
    left: Vec<Former>,
    tree: &[Found],
) -> Result<(), LedgerError> {
    note_at_most(work, left, tree, MOST)
}

fn note_at_most(
    work: &Transaction<'_>,
    left: Vec<Former>,
    tree: &[Found],
    most: usize,
) -> Result<(), LedgerError> {
    let (known, mut all) = (read(work)?, left);
    let new = all.len();
    all.extend(known);
    if all.is_empty() {
        return Ok(());
    }
    let stands = renames::standing(&all, tree);
    for (at, (one, stands)) in all.iter().zip(stands).enumerate() {
        let (dev, ino) = (one.node.0.cast_signed(), one.node.1.cast_signed());
        if at < new && stands {
            let sql = "INSERT OR REPLACE INTO former (path, dev, ino, kind, size, mtime, version)
                       VALUES (?, ?, ?, ?, ?, ?, ?)";
            work.prepare_cached(sql)?.execute(params![
                Given(one.path.as_os_str()),
                dev,
                ino,
                one.kind.name(),
                one.size.cast_signed(),
                one.mtime,
                one.left,
            ])?;
        } else if at >= new && !stands {
            forget(work, &one.path, (dev, ino))?;
        }
    }
    let count: i64 = work.query_row("SELECT count(*) FROM former", [], |row| row.get(0))?;
    let beyond = usize::try_from(count).unwrap_or(0).saturating_sub(most);
    if beyond > 0 {
        let all = read(work)?;
        let follows = renames::following(&all, tree);
        let mut all: Vec<(Former, bool)> = all.into_iter().zip(follows).collect();
        // What a folder holds is found by that folder's; of the others a folder's tells the most.
        all.sort_by_key(|(one, follows)| (!follows, one.left, one.kind == Kind::Directory));
        for (one, _) in &all[..beyond] {
            forget(work, &one.path, (one.node.0.cast_signed(), one.node.1.cast_signed()))?;
        }
    }
    Ok(())
}

fn forget(work: &Transaction<'_>, path: &Path, (dev, ino): (i64, i64)) -> Result<(), LedgerError> {
    let path: &OsStr = path.as_os_str();
    work.prepare_cached("DELETE FROM former WHERE path = ? AND dev = ? AND ino = ?")?
        .execute(params![Given(path), dev, ino])?;
    Ok(())
}

fn read(db: &Connection) -> Result<Vec<Former>, LedgerError> {
    let sql = "SELECT path, kind, size, mtime, dev, ino, version FROM former";
    let mut all = db.prepare_cached(sql)?;
    let rows = all.query_map([], |row| {
        let unsigned = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(Former {
            path: row.get::<_, Stored>(0)?.0.into(),
            kind: Kind::of(row.get_ref(1)?.as_str()?).ok_or(rusqlite::Error::InvalidQuery)?,
            size: unsigned(2)?,
            mtime: row.get(3)?,
            node: (unsigned(4)?, unsigned(5)?),
            left: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{found, met, new};
    use super::*;

    fn names(ledger: &Ledger) -> Vec<(String, u64, u32)> {
        let name = |one: Former| (one.path.display().to_string(), one.node.1, one.left);
        let mut names: Vec<_> = ledger.former().unwrap().into_iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn former_names_are_kept_until_all_receivers_have_had_a_later_one() {
        let (_dir, path, mut ledger) = new();
        let (one, two) = (met(&mut ledger, "1"), met(&mut ledger, "2"));
        ledger.look([found("a", 1), found("b", 2), found("x", 3)], 7).unwrap();
        ledger.note_complete(one, 1).unwrap();
        ledger.look([found("b", 1), found("a", 2)], 7).unwrap(); // swapped, and one removed
        let swapped = [("a".to_owned(), 1, 2), ("b".to_owned(), 2, 2)];
        assert_eq!(names(&ledger), swapped);
        ledger.note_complete(one, 2).unwrap();
        assert_eq!(ledger.forget_former().unwrap(), 0, "one has nothing of it yet");
        ledger.look([found("c", 1), found("a", 2)], 7).unwrap();
        drop(ledger);
        let mut ledger = Ledger::open(&path).unwrap();
        let now = [("a".to_owned(), 1, 2), ("b".to_owned(), 1, 3), ("b".to_owned(), 2, 2)];
        assert_eq!(names(&ledger), now);
        ledger.note_complete(two, 2).unwrap();
        assert_eq!(ledger.forget_former().unwrap(), 2);
        assert_eq!(names(&ledger), now[1..2]);
        ledger.look([found("b", 1), found("a", 2)], 7).unwrap();
        assert_eq!(names(&ledger), [("c".to_owned(), 1, 4)], "it is called so again");
        ledger.remove_receiver(one.0).unwrap();
        ledger.remove_receiver(two.0).unwrap();
        assert_eq!(ledger.forget_former().unwrap(), 1);
    }

    #[test]
    fn of_a_folder_with_another_name_its_own_former_name_is_kept() {
        for most in [5, 1] {
            let (_dir, _path, mut ledger) = new();
            met(&mut ledger, "1");
            let tree = |name: &str| -> Vec<Found> {
                let folder = Found { kind: Kind::Directory, ..found(name, 9) };
                let files = (1..=5).map(|n| found(&format!("{name}/{n}"), n));
                std::iter::once(folder).chain(files).collect()
            };
            ledger.look(tree("a"), 7).unwrap();
            let work = ledger.db.transaction().unwrap();
            let left = tree("a").into_iter().map(|found| Former::new(found, 2)).collect();
            note_at_most(&work, left, &tree("b"), most).unwrap();
            work.commit().unwrap();
            let names = names(&ledger);
            assert_eq!((names.len(), &names[0]), (most, &("a".to_owned(), 9, 2)));
        }
    }

    #[test]
    fn there_are_so_many_former_names_at_most() {
        let (_dir, _path, mut ledger) = new();
        met(&mut ledger, "1");
        let tree = |prefix: &str| -> Vec<Found> {
            (1..5).map(|n| found(&format!("{prefix}{n}"), n)).collect()
        };
        ledger.look(tree("a"), 7).unwrap();
        ledger.look(tree("b"), 7).unwrap();
        let work = ledger.db.transaction().unwrap();
        let left = tree("b").into_iter().map(|found| Former::new(found, 3)).collect();
        note_at_most(&work, left, &tree("c"), 5).unwrap();
        work.commit().unwrap();
        let names = names(&ledger);
        assert_eq!(names.len(), 5);
        assert_eq!(names.iter().filter(|(_, _, left)| *left == 3).count(), 4);
    }
}
