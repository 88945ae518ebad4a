//! The entries that are not in place, under the table: a host's line has room for a few of them.

use super::HostRow;
use crate::fold;
use mcp_cli::say::plain;
use std::collections::HashMap;
use std::io::{self, Write};
use transfer::send::NAMED;

/// Entries of a host that are named, at most.
const MOST: usize = 10;

/// What a host lacks: how many entries, and the names and reasons that were kept.
type Lacks<'a> = (u64, Vec<(&'a str, &'a str)>);

/// Writes a line for each, once for all hosts that lack the same ones.
pub(super) fn write(out: &mut impl Write, rows: &[HostRow]) -> io::Result<()> {
    let mut groups: Vec<(&HostRow, Vec<String>)> = Vec::new();
    let mut known: HashMap<Lacks<'_>, usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.failed_entries > Some(NAMED as u64)) {
        let failures = row.failures.iter().flatten();
        let key = failures.map(|failed| (&*failed.entry, &*failed.reason)).collect();
        let count = row.failed_entries.unwrap_or_default();
        let at = *known.entry((count, key)).or_insert(groups.len());
        if at == groups.len() {
            groups.push((row, Vec::new()));
        }
        groups[at].1.push(plain(&row.host));
    }
    for (row, hosts) in groups {
        let count = row.failed_entries.unwrap_or_default();
        writeln!(out, "not in place at {}: {count} entries", fold::words(&hosts).join(","))?;
        let named = row.failures.iter().flatten().take(MOST);
        let mut shown = 0;
        for failed in named {
            writeln!(out, "  {}: {}", plain(&failed.entry), plain(&failed.reason))?;
            shown += 1;
        }
        let more = count.saturating_sub(shown);
        let kept = row.failures.as_ref().map_or(0, Vec::len) as u64 - shown;
        match kept {
            _ if more == 0 => {}
            kept if kept == more => writeln!(out, "  {more} more, which --json has")?,
            kept => writeln!(out, "  {more} more, of which --json has {kept}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::FailedEntry;
    use super::*;

    fn row(host: &str, failed: u64) -> HostRow {
        let entry = |n: u64| FailedEntry { entry: format!("e{n}"), reason: "no room".into() };
        HostRow {
            failed_entries: Some(failed),
            failures: Some((0..failed).map(entry).collect()),
            ..HostRow::without_session(host.to_owned(), String::new(), false)
        }
    }

    #[test]
    fn the_first_ten_are_named_once_for_all_that_lack_them() {
        let mut out = Vec::new();
        // The same entries are named, and more have failed.
        let many = HostRow { failed_entries: Some(20), ..row("n6", 12) };
        let rows = [row("n1", 12), row("n2", 12), row("n3", 3), row("n4", 4), row("n5", 0), many];
        write(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "not in place at n[1-2]: 12 entries");
        assert_eq!((lines[1], lines[10]), ("  e0: no room", "  e9: no room"));
        assert_eq!(lines[11], "  2 more, which --json has");
        assert_eq!(lines[12], "not in place at n4: 4 entries");
        assert_eq!(lines[17], "not in place at n6: 20 entries");
        assert_eq!(lines[28], "  10 more, of which --json has 2");
        assert_eq!(lines.len(), 29);
    }
}
