//! A host that was tried again (`--retry`): what came of all its tries.

use super::HostRow;

impl HostRow {
    /// Whether it has told what became of all entries.
    pub(crate) fn has_told(&self) -> bool {
        self.entries.is_some()
    }

    /// Its row after the tries before this one. How it ended, and on what way, is what the last try says; what was
    /// changed and deleted there is so by all of them. `dry`: nothing was, and each try has told all of it.
    pub(crate) fn after(self, earlier: Self, dry: bool) -> Self {
        let tries = earlier.tries + self.tries;
        let (deleted, itemized) = if dry {
            (self.deleted.or(earlier.deleted), self.itemized.or(earlier.itemized))
        } else {
            let sum = |(now, before)| now + before;
            let deleted = self.deleted.zip(earlier.deleted).map(sum);
            let itemized = match (earlier.itemized, self.itemized) {
                (Some(earlier), Some(now)) => Some(earlier.and(now)),
                (earlier, now) => now.or(earlier),
            };
            (deleted.or(self.deleted).or(earlier.deleted), itemized)
        };
        let row = Self { tries, deleted, itemized, ..self };
        if row.entries.is_some() {
            return row;
        }
        // It could not say what is in place; what was stays.
        Self {
            entries: earlier.entries,
            unchanged: earlier.unchanged,
            failed_entries: earlier.failed_entries,
            failures: earlier.failures,
            failures_left_out: earlier.failures_left_out,
            undeleted_entries: earlier.undeleted_entries,
            undeleted: earlier.undeleted,
            notes: earlier.notes,
            ..row
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itemized::Changes;

    fn row(deleted: Option<u64>, changes: Option<&[&str]>, entries: Option<u64>) -> HostRow {
        HostRow {
            deleted,
            entries,
            itemized: changes.map(Changes::of),
            ..HostRow::without_session("node".to_owned(), "why".to_owned(), false)
        }
    }

    #[test]
    fn what_all_tries_have_done_is_told() {
        let first = || row(Some(3), Some(&["a", "b"]), Some(7));
        let second = || row(Some(2), Some(&["c"]), Some(9));
        let unreached = || row(None, None, None);
        for (earlier, now, dry, expected) in [
            (first(), second(), false, (Some(5), Some(&["a", "b", "c"][..]), Some(9))),
            (first(), unreached(), false, (Some(3), Some(&["a", "b"]), Some(7))),
            (unreached(), second(), false, (Some(2), Some(&["c"]), Some(9))),
            (unreached(), unreached(), false, (None, None, None)),
            (first(), second(), true, (Some(2), Some(&["c"]), Some(9))),
            (first(), unreached(), true, (Some(3), Some(&["a", "b"]), Some(7))),
        ] {
            let after = now.after(earlier, dry);
            let (deleted, changes, entries) = expected;
            assert_eq!((after.deleted, after.entries, after.tries), (deleted, entries, 2));
            let lines = |changes: &Changes| serde_json::to_string(changes).unwrap();
            let expected = changes.map(|names| lines(&Changes::of(names)));
            assert_eq!(after.itemized.as_ref().map(lines), expected);
        }
    }
}
