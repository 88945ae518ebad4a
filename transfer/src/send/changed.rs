//! What a member says of entries that are changed: numbers, of which the list has the names. Of many only the last are
//! in memory; the others are in a file that all members of a session share.

use crate::tree::change::Change;
use crate::tree::spool::Spool;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one: its number and its bits.
const ROW: usize = 10;
/// Rows that are in memory of one member, and read at a time; more go to the folder for temporary files.
const ROWS: usize = 4096;
/// Bytes that are put aside at a time.
const RUN: usize = ROWS * ROW;
/// Paths of what was deleted that are kept of one member, and their bytes.
const KEPT: usize = 100_000;
const BYTES: usize = 8 << 20;

/// Where changes of all members are put aside: in one file, as a process may have few open.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Option<Spool>>);

impl Shelf {
    /// One that has no room.
    #[cfg(test)]
    pub(super) fn full() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(Spool::full()))))
    }

    /// Puts some aside; where they stand.
    fn keep(&self, rows: &[u8]) -> Result<u64, String> {
        let folder = std::env::temp_dir();
        let failed = |error: io::Error| {
            format!(
                "cannot put the list of changes aside in {}: {error}; TMPDIR names another folder for it",
                folder.display()
            )
        };
        let mut spool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = match &mut *spool {
            Some(spool) => spool,
            none => none.insert(Spool::create(&folder).map_err(failed)?),
        };
        spool.append(rows).map_err(failed)
    }

    fn read(&self, at: u64) -> io::Result<Vec<u8>> {
        let spool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spool.as_ref().ok_or(io::ErrorKind::NotFound)?.read(at, RUN)
    }
}

/// All that one member says of it.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    tail: Vec<u8>,
    shelf: Arc<Shelf>,
    /// Where [`RUN`] bytes stand that were put aside, one after the other.
    runs: Vec<u64>,
    count: u64,
    last: Option<u64>,
    /// Why changes are only counted from some point on, and how many these are.
    lost: Option<String>,
    unkept: u64,
    gone: Vec<(Vec<u8>, bool)>,
    bytes: usize,
    /// Paths of what was deleted, with those that are not kept.
    told_gone: u64,
    /// Entries that were to be changed and failed then, in order.
    failed: Vec<u64>,
}

impl PartialEq for Changed {
    fn eq(&self, other: &Self) -> bool {
        (&self.tail, self.count, &self.gone) == (&other.tail, other.count, &other.gone)
    }
}

impl Eq for Changed {}

impl Changed {
    /// Nothing yet; much of it goes to that shelf.
    pub(super) fn on(shelf: &Arc<Shelf>) -> Self {
        Self { shelf: Arc::clone(shelf), ..Self::default() }
    }

    /// Entries that are changed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Why the last of them are not known by name, if they are not: the copy itself is what it is.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// How many of them these are.
    pub fn unkept(&self) -> u64 {
        self.unkept
    }

    /// Of so many entries that were `deleted`, as the member reports, those that [`Self::gone`] does not have.
    pub fn unkept_gone(&self, deleted: u64) -> u64 {
        deleted.max(self.told_gone).saturating_sub(self.gone.len() as u64)
    }

    /// Paths of what was deleted and whether they were folders, the first 100,000, up to 8 MiB.
    pub fn gone(&self) -> &[(Vec<u8>, bool)] {
        &self.gone
    }

    /// Takes what it says next, where so many entries are `listed`. Numbers only grow, so that there are no more of
    /// them.
    pub(super) fn take(&mut self, changes: Vec<(u64, Change)>, listed: u64) -> Result<(), String> {
        for (place, change) in changes {
            if place > listed {
                return Err("it told of changes of entries that are not listed".to_owned());
            }
            if self.last.is_some_and(|last| last >= place) {
                return Err("it told of changes in another order than that of the list".to_owned());
            }
            self.last = Some(place);
            self.count += 1;
            self.keep(place, change);
        }
        Ok(())
    }

    fn keep(&mut self, place: u64, change: Change) {
        if self.tail.len() >= RUN && self.lost.is_none() {
            match self.shelf.keep(&self.tail) {
                Ok(at) => {
                    self.runs.push(at);
                    self.tail.clear();
                }
                Err(why) => self.lost = Some(why),
            }
        }
        if self.lost.is_some() {
            self.unkept += 1;
            return;
        }
        self.tail.extend_from_slice(&place.to_le_bytes());
        self.tail.extend_from_slice(&change.bits().to_le_bytes());
    }

    pub(super) fn take_gone(&mut self, paths: Vec<(Vec<u8>, bool)>) {
        for (path, is_folder) in paths {
            self.bytes += path.len();
            self.told_gone += 1;
            if self.gone.len() < KEPT && self.bytes <= BYTES {
                self.gone.push((path, is_folder));
            }
        }
    }

    /// These entries are not in place in the end, whatever was told of them before.
    pub(super) fn without(&mut self, failed: impl Iterator<Item = u64>) {
        if self.count > 0 {
            self.failed = failed.collect();
            self.failed.sort_unstable();
        }
    }

    /// All of them in their order.
    pub fn records(&self) -> Records<'_> {
        Records { of: self, run: 0, rows: Vec::new(), next: 0 }
    }
}

/// Reads them.
#[derive(Debug)]
pub struct Records<'a> {
    of: &'a Changed,
    /// The one to be read next; behind the last comes what is in memory.
    run: usize,
    rows: Vec<u8>,
    next: usize,
}

impl Records<'_> {
    /// The next one, which stays the next.
    pub fn peek(&mut self) -> io::Result<Option<(u64, Change)>> {
        if self.next >= self.rows.len() {
            let run = self.of.runs.get(self.run);
            self.rows = match run {
                Some(at) => self.of.shelf.read(*at)?,
                None if self.run == self.of.runs.len() => self.of.tail.clone(),
                None => return Ok(None),
            };
            (self.run, self.next) = (self.run + 1, 0);
        }
        let row = self.rows.get(self.next..self.next + ROW);
        Ok(row.and_then(|row| {
            let (place, bits) = row.split_first_chunk()?;
            let bits = u16::from_le_bytes(bits.try_into().ok()?);
            Some((u64::from_le_bytes(*place), Change::from_bits(bits)))
        }))
    }

    /// The one of this place, if it is the next and the entry did not fail.
    pub fn take(&mut self, place: u64) -> io::Result<Option<Change>> {
        match self.peek()? {
            Some((next, change)) if next == place => {
                self.next += ROW;
                // The root of the transfer has no number.
                let failed = place.checked_sub(1);
                let failed = failed.is_some_and(|n| self.of.failed.binary_search(&n).is_ok());
                Ok((!failed).then_some(change))
            }
            _ => Ok(None),
        }
    }
}

/// An entry that is changed at some members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Itemized {
    /// Its path from the root of the transfer; empty for that itself.
    pub path: Vec<u8>,
    /// `f`, `d` or `L`, as rsync(1) has it.
    pub kind: char,
    /// What a symbolic link says, or the first name of a further one; which of them it is.
    pub to: Option<(Vec<u8>, bool)>,
    /// Bytes of a file.
    pub len: u64,
    /// How it is changed, by the members' places.
    pub changes: Vec<(usize, Change)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn all_is_read_again_in_its_order_however_much_it_is() {
        for count in [0, 1, ROWS as u64 - 1, ROWS as u64, ROWS as u64 + 1, 3 * ROWS as u64 + 7] {
            let mut changed = Changed::default();
            let change = |n: u64| Change::from_bits(n as u16);
            for n in 0..count {
                changed.take(vec![(3 * n, change(n))], 3 * n).unwrap();
            }
            assert_eq!(changed.count(), count);
            assert!(changed.tail.len() <= RUN);
            let mut records = changed.records();
            for place in 0..3 * count {
                let found = records.take(place).unwrap();
                let told = place.is_multiple_of(3).then(|| change(place / 3));
                assert_eq!(found, told, "{place} of {count}");
            }
            assert_eq!(records.peek().unwrap(), None);
            assert_eq!(records.peek().unwrap(), None);
        }
    }

    /// Of a process of its own, which may have few files open.
    const FEW: &str = "MCP_TEST_FEW_FILES";

    #[test]
    fn many_members_need_no_more_open_files_than_one() {
        const COUNT: u64 = 2 * ROWS as u64 + 1;
        if std::env::var_os(FEW).is_none() {
            let name = "send::changed::tests::many_members_need_no_more_open_files_than_one";
            let limited = "ulimit -n 24 && exec \"$0\" \"$@\"";
            let mut child = Command::new("sh");
            child.args(["-c", limited]).arg(std::env::current_exe().unwrap());
            child.args(["--exact", name, "--test-threads=1"]).env(FEW, "");
            let output = child.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let shelf = Arc::default();
        let mut members: Vec<_> = (0..60).map(|_| Changed::on(&shelf)).collect();
        let change = |n, member| Change::from_bits((n + member as u64) as u16);
        for n in 0..COUNT {
            for (member, changed) in members.iter_mut().enumerate() {
                changed.take(vec![(n, change(n, member))], n).unwrap();
            }
        }
        for (member, changed) in members.iter().enumerate() {
            assert!(!changed.runs.is_empty(), "something of it was put aside");
            let mut records = changed.records();
            let is_there = |n| records.take(n).unwrap() == Some(change(n, member));
            assert!((0..COUNT).all(is_there), "member {member}");
        }
    }

    #[test]
    fn what_failed_in_the_end_is_left_out() {
        let mut changed = Changed::default();
        changed.take((0..4).map(|place| (place, Change::default())).collect(), 4).unwrap();
        changed.without([2, 0].into_iter());
        let mut records = changed.records();
        let told: Vec<_> = (0..4).map(|place| records.take(place).unwrap().is_some()).collect();
        assert_eq!(told, [true, false, true, false]);
    }

    #[test]
    fn what_was_deleted_and_is_not_named_is_counted() {
        let mut changed = Changed::default();
        let paths = |from: usize, to| (from..to).map(|n| (n.to_string().into_bytes(), false));
        changed.take_gone(paths(0, KEPT).collect());
        assert_eq!((changed.unkept_gone(0), changed.unkept_gone(KEPT as u64)), (0, 0));
        changed.take_gone(paths(KEPT, KEPT + 5).collect());
        assert_eq!((changed.gone().len(), changed.unkept_gone(0)), (KEPT, 5));
        // A member names no more than so many either, and reports how many there were.
        assert_eq!(changed.unkept_gone(KEPT as u64 + 50_000), 50_000);
        let mut changed = Changed::default();
        changed.take_gone(vec![(vec![b'x'; BYTES], true), (b"y".to_vec(), false)]);
        assert_eq!((changed.gone().len(), changed.unkept_gone(2)), (1, 1));
    }

    #[test]
    fn numbers_that_do_not_grow_are_refused() {
        let mut changed = Changed::default();
        let one = (5, Change::default());
        changed.take(vec![one], 5).unwrap();
        assert!(changed.take(vec![one], 5).is_err());
        assert!(changed.take(vec![(4, Change::default())], 5).is_err());
        assert!(changed.take(vec![(6, Change::default())], 5).is_err(), "it is not listed");
        assert_eq!(changed.count(), 1);
    }
}
