//! The list of deviations for who reads it.

use super::{Group, case};
use std::collections::BTreeSet;

/// What stands for whom comes from rsync.
const DOCUMENT: &str = include_str!("../../../../docs/rsync.md");
/// A row of its table: the key, what rsync does, what is done here, why, the cases.
const CELLS: usize = 5;

/// Fails where the document has other deviations, or other cases of one, or another number of cases.
pub(super) fn compare(groups: &[&Group]) {
    let (mut tried, mut counts) = (BTreeSet::new(), Vec::new());
    for group in groups {
        let cases = case::cases(group.text);
        counts.push(format!("- {}: {}", group.name, cases.len()));
        for case in &cases {
            let key = case.deviation.as_ref().map(|deviation| deviation.key.clone());
            tried.extend(key.map(|key| (key, case.name.clone())));
        }
    }
    let told: BTreeSet<(String, String)> = rows().into_iter().flatten().collect();
    let of = |set: &BTreeSet<(String, String)>, other: &BTreeSet<(String, String)>| {
        let lines: Vec<_> =
            set.difference(other).map(|(key, name)| format!("{key}: {name}")).collect();
        lines.join("\n")
    };
    let (lacks, more) = (of(&tried, &told), of(&told, &tried));
    assert!(
        lacks.is_empty() && more.is_empty(),
        "docs/rsync.md lacks\n{lacks}\nhas too much\n{more}"
    );
    for count in counts {
        assert!(DOCUMENT.lines().any(|line| line == count), "docs/rsync.md lacks the line {count}");
    }
}

/// The pairs of deviation and case in each row. A row says in every cell something.
fn rows() -> Vec<Vec<(String, String)>> {
    let table = DOCUMENT.lines().skip_while(|line| !line.starts_with("| deviation"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == CELLS && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let key = cells[0].to_owned();
        cells[CELLS - 1].split(';').map(|name| (key.clone(), name.trim().to_owned())).collect()
    })
    .collect()
}
