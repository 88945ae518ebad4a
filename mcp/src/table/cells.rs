//! The lines of the table for people: hosts that fared alike share one, as `clush -b` has it.

use super::HostRow;
use crate::fold;
use crate::plain_words;
use mcp_cli::say::plain;
use std::collections::HashMap;

/// Lines that a screen shows beside the rest of the table (a terminal has 24). With more hosts than
/// that it matters more who failed than how many bytes went to each.
const SCREEN: usize = 20;

/// Characters of a folded name that the column is made wide enough for.
const WIDE: usize = 40;

/// Columns of the table.
pub(super) const COLUMNS: usize = 8;

/// A line of the table.
pub(super) struct Line {
    pub(super) cells: [String; COLUMNS],
    /// Its name is longer than the column is made for.
    pub(super) out_of_line: bool,
}

/// What those who share a line have in common: mode and verdict, the numbers, and the name around its number.
type Key<'a> = (&'a str, String, Option<[String; 5]>, (&'a str, &'a str));

/// A line for each host, or for those of which nothing that is shown differs but the number in their name. With many
/// hosts also for those of which only the numbers differ: then the least and the most of them are shown.
pub(super) fn lines(rows: &[HostRow]) -> Vec<Line> {
    let many = rows.len() > SCREEN;
    let mut groups: Vec<Vec<&HostRow>> = Vec::new();
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    for row in rows {
        let key = fold::stem(&row.host)
            .map(|stem| (mode(row), verdict(row, many), (!many).then(|| numbers(row)), stem));
        match key.map(|key| *known.entry(key).or_insert(groups.len())) {
            Some(at) if at < groups.len() => groups[at].push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups.iter().map(|rows| line(rows, many)).collect()
}

/// The line of hosts that share one; there is at least one.
fn line(rows: &[&HostRow], many: bool) -> Line {
    let names: Vec<_> = rows.iter().map(|row| plain(&row.host)).collect();
    let name = fold::words(&names).join(",");
    let out_of_line = rows.len() > 1 && name.chars().count() > WIDE;
    let bytes = |of: fn(&HostRow) -> u64| {
        between(rows.iter().map(|row| of(row)).min(), rows.iter().map(|row| of(row)).max())
    };
    let seconds = |pick: fn(f64, f64) -> f64| {
        rows.iter().map(|row| row.seconds).reduce(pick).map(|seconds| format!("{seconds:.3}"))
    };
    let cells = [
        name,
        rows.first().map(|row| mode(row)).unwrap_or_default().to_owned(),
        bytes(|row| row.multicast_bytes),
        bytes(|row| row.unicast_bytes),
        bytes(|row| row.repaired_bytes),
        between(seconds(f64::min), seconds(f64::max)),
        waited(rows.iter().map(|row| row.waited_percent)),
        rows.first().map(|row| verdict(row, many)).unwrap_or_default(),
    ];
    Line { cells, out_of_line }
}

fn between<T: PartialEq + ToString>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) if least != most => {
            format!("{}-{}", least.to_string(), most.to_string())
        }
        (least, _) => least.map(|one| one.to_string()).unwrap_or_default(),
    }
}

/// For which share of its time the group waited for them.
fn waited(all: impl Iterator<Item = Option<u8>> + Clone) -> String {
    let percent = all.flatten();
    match between(percent.clone().min(), percent.max()) {
        none if none.is_empty() => "-".to_owned(),
        share => format!("{share}%"),
    }
}

/// Of who has failed none: how it was to be served says nothing any more.
fn mode(row: &HostRow) -> &'static str {
    if row.reason.is_some() { "-" } else { plain_words::way(row.mode) }
}

/// What became of a host, with what was deleted there.
fn verdict(row: &HostRow, many: bool) -> String {
    let verdict = verdict_of_entries(row, many);
    match row.deleted.unwrap_or(0) {
        _ if row.reason.is_some() => verdict,
        0 => verdict,
        _ if many => format!("{verdict}, some deleted"),
        deleted => format!("{verdict}, {deleted} deleted"),
    }
}

/// What stood there already was looked at, and by its length and time taken for the same: that is not verified. With
/// many hosts the numbers would keep them apart.
fn verdict_of_entries(row: &HostRow, many: bool) -> String {
    match (&row.reason, row.unchanged.unwrap_or(0), row.entries.unwrap_or(0)) {
        (Some(why), _, _) => format!("failed: {}", plain(why)),
        (None, 0, _) => "verified".to_owned(),
        (None, unchanged, entries) if unchanged == entries => "unchanged".to_owned(),
        (None, _, _) if many => "verified, some unchanged".to_owned(),
        (None, unchanged, _) => format!("verified, {unchanged} unchanged"),
    }
}

/// As they are shown.
fn numbers(row: &HostRow) -> [String; 5] {
    let bytes = [row.multicast_bytes, row.unicast_bytes, row.repaired_bytes];
    let [multicast, unicast, repaired] = bytes.map(|bytes| bytes.to_string());
    let waited = waited(std::iter::once(row.waited_percent));
    [multicast, unicast, repaired, format!("{:.3}", row.seconds), waited]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(host: &str, failed: Option<&str>, unicast_bytes: u64) -> HostRow {
        let why = failed.unwrap_or_default().to_owned();
        let row = HostRow::without_session(host.to_owned(), why, false);
        match failed {
            Some(_) => row,
            None => HostRow { reason: None, mode: "multicast", unicast_bytes, ..row },
        }
    }

    fn shown(rows: &[HostRow]) -> Vec<String> {
        let lines = lines(rows).into_iter();
        lines.map(|line| [0, 1, 3, 7].map(|column| line.cells[column].clone()).join(" ")).collect()
    }

    #[test]
    fn hosts_that_fared_alike_share_a_line() {
        let rows: Vec<_> = (1..=16)
            .map(|n| row(&format!("node{n:02}"), (n == 7).then_some("disk full"), 0))
            .collect();
        let expected = ["node[01-06,08-16] multicast 0 verified", "node07 - 0 failed: disk full"];
        assert_eq!(shown(&rows), expected);
    }

    #[test]
    fn of_few_hosts_every_number_is_shown_and_of_many_their_bounds() {
        let rows = |count: u64| -> Vec<_> {
            (0..count).map(|n| row(&format!("n{n}:p"), None, n)).collect()
        };
        assert_eq!(shown(&rows(SCREEN as u64)).len(), SCREEN);
        let many = rows(SCREEN as u64 + 1);
        assert_eq!(shown(&many), ["n[0-20]:p multicast 0-20 verified"]);
        let line = lines(&many).remove(0);
        assert_eq!(line.cells[5], "0.000");
        assert!(!line.out_of_line);
    }

    #[test]
    fn what_was_there_already_is_not_called_verified() {
        let of = |unchanged, many| {
            let row = row("n", None, 0);
            let row = HostRow { entries: Some(9), unchanged: Some(unchanged), ..row };
            verdict(&row, many)
        };
        assert_eq!(
            [0, 4, 9].map(|n| of(n, false)),
            ["verified", "verified, 4 unchanged", "unchanged"]
        );
        assert_eq!(
            [0, 4, 9].map(|n| of(n, true)),
            ["verified", "verified, some unchanged", "unchanged"]
        );
    }

    #[test]
    fn what_was_deleted_stands_behind_the_verdict() {
        let of = |deleted, failed, many| {
            let row = HostRow { deleted, entries: Some(9), ..row("n", failed, 0) };
            verdict(&row, many)
        };
        assert_eq!(of(None, None, false), "verified");
        assert_eq!(of(Some(0), None, false), "verified");
        assert_eq!(of(Some(3), None, false), "verified, 3 deleted");
        assert_eq!(of(Some(3), None, true), "verified, some deleted");
        assert_eq!(of(Some(3), Some("x"), false), "failed: x");
    }

    #[test]
    fn what_has_no_number_stands_alone() {
        let names = ["10.0.0.1", "10.0.0.2", "gate", "gate:x", "[fd77::1]", "[fd77::2]"];
        let rows = names.map(|name| row(name, None, 0));
        assert_eq!(shown(&rows), names.map(|name| format!("{name} multicast 0 verified")));
    }

    #[test]
    fn a_long_list_of_numbers_does_not_widen_the_column() {
        let rows: Vec<_> = (0..40).map(|n| row(&format!("n{}", n * 2), None, 0)).collect();
        let lines = lines(&rows);
        assert!(lines.len() == 1 && lines[0].out_of_line);
    }
}
