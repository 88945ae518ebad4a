//! The entries that are not in place, under the table: a host's line has room for a few of them.

use super::HostRow;
use crate::fold;
use mcp_cli::say::plain;
use std::collections::HashMap;
use std::io::{self, Write};
use transfer::send::NAMED;

/// Entries of a host that are named, at most.
const MOST: usize = 10;

/// Writes a line for each, once for all hosts that lack the same ones.
pub(super) fn write(out: &mut impl Write, rows: &[HostRow]) -> io::Result<()> {
    let mut groups: Vec<(&HostRow, Vec<String>)> = Vec::new();
    let mut known: HashMap<Vec<(&str, &str)>, usize> = HashMap::new();
    for row in rows.iter().filter(|row| row.failed_entries > Some(NAMED as u64)) {
        let failures = row.failures.iter().flatten();
        let key = failures.map(|failed| (&*failed.entry, &*failed.reason)).collect();
        let at = *known.entry(key).or_insert(groups.len());
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
        if count > shown {
            writeln!(out, "  {} more, which --json has", count - shown)?;
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
        let rows = [row("n1", 12), row("n2", 12), row("n3", 3), row("n4", 4), row("n5", 0)];
        write(&mut out, &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "not in place at n[1-2]: 12 entries");
        assert_eq!((lines[1], lines[10]), ("  e0: no room", "  e9: no room"));
        assert_eq!(lines[11], "  2 more, which --json has");
        assert_eq!(lines[12], "not in place at n4: 4 entries");
        assert_eq!(lines.len(), 17);
    }
}
