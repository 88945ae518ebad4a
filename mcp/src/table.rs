//! What a copy looked like: a table for people, JSON lines for programs.

mod again;
mod cells;
mod entries;
pub(crate) mod events;
mod reasons;

use crate::fold;
use crate::hosts::list::as_listed;
use crate::itemized::{self, Changes, Estimate};
use crate::stats::Stats;
use events::Event;
use mcp_cli::say::plain;
use mcp_cli::{Common, Exit};
use serde::Serialize;
use std::io::{self, Write};
use tcpxm::stats::{MemberReport, Mode, Sent};
use transfer::message::Report;
use transfer::send::Delivered;
use transfer::shown::shown;

/// One host's result; in `--json` one line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HostRow {
    pub(crate) host: String,
    /// Where it has answered.
    pub(crate) address: Option<std::net::SocketAddr>,
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) mode: &'static str,
    /// Why that is not the group; `None` if it is.
    pub(crate) mode_reason: Option<String>,
    pub(crate) multicast_bytes: u64,
    pub(crate) unicast_bytes: u64,
    pub(crate) repaired_bytes: u64,
    /// For which share of its time the group waited for it, in percent; `None` if no two followed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waited_percent: Option<u8>,
    /// How often it was restarted in the middle, and began again with what it had.
    pub(crate) restarts: u32,
    /// How often it was tried (--retry).
    #[serde(skip_serializing_if = "is_one")]
    pub(crate) tries: u32,
    pub(crate) digest: Option<String>,
    /// Of a tree: its entries that are in place, and how many of them were before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unchanged: Option<u64>,
    /// Of a tree: its entries that are not in place, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failures: Option<Vec<FailedEntry>>,
    /// With `--delete`: entries that were deleted there, those that could not be, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undeleted_entries: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) undeleted: Vec<FailedEntry>,
    /// How many of them are not among `failures`.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) failures_left_out: u64,
    /// What it left out on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// With `-i` or `-n`: what is changed there, or would be.
    #[serde(flatten)]
    pub(crate) itemized: Option<Changes>,
    /// With `-v`: how it was served, change by change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Vec<Event>>,
    /// Why it failed was not told while the session ran, which ended well.
    #[serde(skip)]
    untold: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// An entry that is not in place at a host.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FailedEntry {
    entry: String,
    reason: String,
}

impl HostRow {
    /// From the session's report, why it is not on the group, and what became of the copy: its digest, or why there is none.
    pub(crate) fn new(
        host: String,
        report: &MemberReport,
        mode_reason: Option<String>,
        result: Result<Option<String>, String>,
        events: Option<Vec<Event>>,
    ) -> Self {
        let arrived = report.arrived;
        let (digest, reason) = match result {
            Ok(digest) => (digest, None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            host,
            address: crate::seats::answered_from(report),
            status: if reason.is_none() { "ok" } else { "failed" },
            reason,
            bytes: arrived.total(),
            seconds: report.duration.as_secs_f64(),
            mode: report.mode.name(),
            mode_reason,
            multicast_bytes: arrived.multicast,
            unicast_bytes: arrived.unicast,
            repaired_bytes: arrived.repaired,
            waited_percent: report.waited_percent,
            restarts: report.restarts,
            tries: 1,
            digest,
            entries: None,
            unchanged: None,
            failed_entries: None,
            failures: None,
            failures_left_out: 0,
            deleted: None,
            undeleted_entries: None,
            undeleted: Vec::new(),
            notes: Vec::new(),
            itemized: None,
            untold: false,
            events,
        }
    }

    /// Of a host that no session was opened to.
    pub(crate) fn without_session(host: String, why: String, events: bool) -> Self {
        Self {
            host,
            address: None,
            status: "failed",
            reason: Some(why),
            bytes: 0,
            seconds: 0.0,
            mode: Mode::Gone.name(),
            mode_reason: Some("no session was opened to it".to_owned()),
            multicast_bytes: 0,
            unicast_bytes: 0,
            repaired_bytes: 0,
            waited_percent: None,
            restarts: 0,
            tries: 1,
            digest: None,
            entries: None,
            unchanged: None,
            failed_entries: None,
            failures: None,
            failures_left_out: 0,
            deleted: None,
            undeleted_entries: None,
            undeleted: Vec::new(),
            notes: Vec::new(),
            itemized: None,
            untold: false,
            events: events.then(Vec::new),
        }
    }

    /// Of a tree: what became of its entries.
    pub(crate) fn with_entries(self, report: Report, member: &Delivered) -> Self {
        let named = |failed: &transfer::send::FailedEntry| FailedEntry {
            entry: shown(&failed.path),
            reason: failed.why.to_string(),
        };
        let failures: Vec<_> = member.failures().map(named).collect();
        let count = member.failed_entries();
        Self {
            entries: Some(report.arrived + report.unchanged),
            unchanged: Some(report.unchanged),
            failed_entries: Some(count),
            failures_left_out: count.saturating_sub(failures.len() as u64),
            failures: Some(failures),
            notes: member.said.notes.clone(),
            undeleted: member.undeleted().iter().map(named).collect(),
            ..self
        }
    }

    /// With `--delete`: what became of what is not at the source.
    pub(crate) fn with_deleted(self, report: Option<Report>) -> Self {
        Self {
            deleted: report.map(|report| report.deleted),
            undeleted_entries: report.map(|report| report.undeleted),
            ..self
        }
    }

    /// Whether nobody has said why it failed, if it did.
    pub(crate) fn untold(self, untold: bool) -> Self {
        Self { untold, ..self }
    }

    /// Whether something of a tree is in place there.
    pub(crate) fn has_something(&self) -> bool {
        self.entries.is_some_and(|entries| entries > 0)
    }
}

/// All hosts together; in `--json` the last line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) status: &'static str,
    /// What the process says to the shell; the status is its word.
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// What was copied is one file.
    #[serde(skip)]
    pub(crate) one: bool,
    /// With `-n`: nothing was changed; what would need to be sent.
    #[serde(skip)]
    pub(crate) dry: Option<Estimate>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) dry_run: bool,
    /// What failed on this side, for all hosts.
    pub(crate) reason: Option<String>,
    pub(crate) hosts: usize,
    pub(crate) ok: usize,
    pub(crate) failed: usize,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) group_bytes_sent: u64,
    pub(crate) unicast_bytes_sent: u64,
    pub(crate) retry_hosts: String,
    /// UDP datagrams that were sent, and their bytes without UDP and IP headers.
    pub(crate) datagrams: u64,
    pub(crate) datagram_bytes: u64,
    /// What was left out on purpose.
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) omitted_symlinks: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) omitted_specials: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) omitted_by_rule: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub(crate) omitted_lists: u64,
    /// With `--stats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<Stats>,
}

impl Summary {
    /// Of `rows`; `bytes` is the length of the file, or of all files.
    pub(crate) fn new(rows: &[HostRow], bytes: u64, seconds: f64, sent: Sent) -> Self {
        let failed: Vec<_> = rows.iter().filter(|row| row.reason.is_some()).collect();
        let ok = rows.len() - failed.len();
        let retry = retry(failed.iter().map(|row| row.host.as_str()));
        let exit = Exit::of_entries(ok, rows.len(), rows.iter().any(HostRow::has_something));
        Self {
            status: exit.status(),
            exit,
            one: true,
            dry: None,
            dry_run: false,
            reason: None,
            hosts: rows.len(),
            ok,
            failed: failed.len(),
            bytes,
            seconds,
            group_bytes_sent: sent.group_bytes,
            unicast_bytes_sent: sent.unicast_bytes,
            retry_hosts: retry,
            datagrams: sent.datagrams,
            datagram_bytes: sent.datagram_bytes,
            omitted_symlinks: 0,
            omitted_specials: 0,
            omitted_by_rule: 0,
            omitted_lists: 0,
            stats: None,
        }
    }

    /// With what failed on this side, if anything did.
    pub(crate) fn because(self, failure: Option<String>) -> Self {
        let exit = if failure.is_some() { Exit::Failed } else { self.exit };
        Self { status: exit.status(), exit, reason: failure, ..self }
    }

    /// Of a copy that failed on this side before it had any results: none of these hosts has it.
    pub(crate) fn without_results(hosts: &[&str], why: &str) -> Self {
        let none = Self::new(&[], 0, 0.0, Sent::default()).because(Some(why.to_owned()));
        let retry_hosts = retry(hosts.iter().copied());
        Self { hosts: hosts.len(), failed: hosts.len(), retry_hosts, ..none }
    }
}

/// Hosts as an argument and a list have them, in few words.
fn retry<'a>(hosts: impl Iterator<Item = &'a str>) -> String {
    fold::words(&hosts.map(as_listed).collect::<Vec<_>>()).join(",")
}

/// Why hosts failed of which nobody has said it yet, a line each, as of those that failed on the way.
pub(crate) fn failures(rows: &[HostRow]) -> impl Iterator<Item = String> {
    let untold = rows.iter().filter(|row| row.untold);
    untold.filter_map(|row| Some(format!("{}: {}", plain(&row.host), plain(row.reason.as_ref()?))))
}

/// Writes what was asked for: JSON lines, the table, or with `--quiet` nothing.
pub(crate) fn show(
    out: &mut impl Write,
    rows: &[HostRow],
    summary: &Summary,
    common: &Common,
) -> io::Result<()> {
    match (common.json, common.quiet) {
        (true, _) => json(out, rows, summary),
        (false, false) => match summary.dry {
            Some(estimate) => {
                itemized::summary(out, rows, estimate)?;
                entries::write(out, rows)?;
                summary.stats.map_or(Ok(()), |stats| stats.text(out))
            }
            None => text(out, rows, summary),
        },
        (false, true) => Ok(()), // what failed is told elsewhere
    }?;
    out.flush()
}

/// Writes the summary alone, of what has no results.
pub(crate) fn show_json(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    json(out, &[], summary)?;
    out.flush()
}

/// Writes JSON lines: the hosts, then the summary.
fn json(out: &mut impl Write, rows: &[HostRow], summary: &Summary) -> io::Result<()> {
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    writeln!(out, "{}", serde_json::to_string(summary)?)
}

/// Characters of the widest column: a name of DNS has 253, a path may follow.
const WIDEST: usize = 300;

/// Writes a table, numbers of bytes in full so that they can be added up; of many hosts their bounds.
fn text(out: &mut impl Write, rows: &[HostRow], summary: &Summary) -> io::Result<()> {
    let titles =
        ["host", "mode", "multicast", "unicast", "repaired", "seconds", "waited", "verdict"];
    let titles = cells::Line { cells: titles.map(str::to_owned), out_of_line: false };
    let lines: Vec<_> = std::iter::once(titles).chain(cells::lines(rows)).collect();
    // What is longer than any name stands out of line; nothing pads to what somebody made up.
    let width = |column: usize| {
        let in_line = lines.iter().filter(|line| column > 0 || !line.out_of_line);
        let longest = in_line.map(|line| line.cells[column].chars().count()).max().unwrap_or(0);
        longest.min(WIDEST)
    };
    let widths: [usize; cells::COLUMNS] = std::array::from_fn(width);
    for line in &lines {
        for (column, cell) in line.cells.iter().enumerate() {
            let width = widths[column];
            match column {
                0 | 1 => write!(out, "{cell:<width$}  ")?, // words stand left, numbers right
                2..=6 => write!(out, "{cell:>width$}  ")?,
                _ => writeln!(out, "{cell}")?,
            }
        }
    }
    entries::write(out, rows)?;
    reasons::write(out, rows)?;
    let whose = if summary.one { "file's" } else { "files'" };
    let Summary { bytes, group_bytes_sent: group, unicast_bytes_sent: unicast, .. } = *summary;
    let share = |part: u64| part as f64 * 100.0 / bytes.max(1) as f64;
    writeln!(
        out,
        "sent {group} bytes to the group and {unicast} by unicast, {:.1} % and {:.1} % of the \
         {whose} {bytes}, in {:.3} seconds: {} of {} hosts have it",
        share(group),
        share(unicast),
        summary.seconds,
        summary.ok,
        summary.hosts,
    )?;
    summary.stats.map_or(Ok(()), |stats| stats.text(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpxm::stats::Arrived;

    pub(super) fn report(host: u8, mode: Mode) -> MemberReport {
        MemberReport {
            key: None,
            addr: ([127, 0, 0, host], 4000).into(),
            outcome: None,
            mode,
            mode_reason: None,
            arrived: Arrived { multicast: 900, unicast: 100, repaired: 40, duplicate: 3 },
            acked: 1000,
            undeclared: 0,
            duration: Duration::from_millis(410),
            waited_percent: None,
            transitions: Vec::new(),
            restarts: 0,
            lost: None,
        }
    }

    pub(super) fn rows() -> Vec<HostRow> {
        vec![
            HostRow::new(
                "127.0.0.2".to_owned(),
                &MemberReport { waited_percent: Some(37), ..report(2, Mode::Multicast) },
                None,
                Ok(Some("ab".repeat(32))),
                None,
            ),
            HostRow::new(
                "127.0.0.10".to_owned(),
                &report(10, Mode::Gone),
                Some("it has never answered".to_owned()),
                Err("no room".to_owned()),
                None,
            ),
        ]
    }

    fn summary() -> Summary {
        let sent = Sent {
            group_bytes: 1020,
            unicast_bytes: 50,
            datagrams: 2,
            datagram_bytes: 1200,
            ..Sent::default()
        };
        Summary::new(&rows(), 1000, 0.5, sent)
    }

    #[test]
    fn the_table_lines_up_and_totals() {
        let mut out = Vec::new();
        text(&mut out, &rows(), &summary()).unwrap();
        let expected = "\
host        mode       multicast  unicast  repaired  seconds  waited  verdict
127.0.0.2   multicast        900      100        40    0.410     37%  verified
127.0.0.10  -                900      100        40    0.410       -  failed: no room
sent 1020 bytes to the group and 50 by unicast, 102.0 % and 5.0 % of the file's 1000, \
in 0.500 seconds: 1 of 2 hosts have it
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_status_and_the_exit_go_by_one_rule() {
        let mut rows = vec![rows().remove(1)];
        let of = |rows: &[HostRow]| {
            let summary = Summary::new(rows, 1000, 0.5, Sent::default());
            (summary.status, summary.exit)
        };
        assert_eq!(of(&rows), ("failed", Exit::Failed));
        rows[0].entries = Some(3);
        assert_eq!(of(&rows), ("partial", Exit::Partial), "something is in place");
    }

    #[test]
    fn what_nobody_has_told_is_told() {
        let [ok, failed] = [0, 1].map(|index| rows()[index].clone());
        let rows = [ok.untold(true), failed.clone(), failed.untold(true)];
        assert_eq!(failures(&rows).collect::<Vec<_>>(), ["127.0.0.10: no room"]);
    }

    #[test]
    fn a_tree_has_files() {
        let (mut out, summary) = (Vec::new(), Summary { one: false, ..summary() });
        text(&mut out, &rows(), &summary).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("102.0 % and 5.0 % of the files' 1000, in"), "{out}");
    }

    #[test]
    fn counts_stand_in_json_where_there_is_something() {
        let lines = |rows: &[HostRow], summary: &Summary| {
            let mut out = Vec::new();
            json(&mut out, rows, summary).unwrap();
            let out = String::from_utf8(out).unwrap();
            let parsed = out.lines().map(|line| serde_json::from_str(line).unwrap());
            parsed.collect::<Vec<serde_json::Value>>()
        };
        let none = lines(&rows(), &summary());
        let omitted = ["omitted_symlinks", "omitted_specials", "omitted_by_rule", "omitted_lists"];
        for name in omitted.into_iter().chain(["failures_left_out", "stats"]) {
            assert!(none.iter().all(|line| line.get(name).is_none()), "{name}");
        }
        let mut rows = rows();
        rows[1].failures_left_out = 7;
        let summary = Summary {
            omitted_symlinks: 2,
            omitted_specials: 1,
            omitted_by_rule: 3,
            omitted_lists: 4,
            ..summary()
        };
        let some = lines(&rows, &summary);
        assert_eq!(some[1]["failures_left_out"], 7);
        assert_eq!(
            omitted.map(|name| some[2][name].as_u64()),
            [Some(2), Some(1), Some(3), Some(4)]
        );
    }

    #[test]
    fn a_failure_of_this_side_is_every_hosts() {
        let texts = ["n1:x", "n2:x", "gate:a b"];
        let summary = Summary::without_results(&texts, "no source");
        assert_eq!((summary.status, summary.hosts, summary.failed), ("failed", 3, 3));
        assert_eq!(summary.retry_hosts, "n[1-2]:x,gate:a\\ b");
        assert_eq!(summary.reason.as_deref(), Some("no source"));
        let partial = self::summary().because(Some("no source".to_owned()));
        assert_eq!((partial.status, partial.ok), ("failed", 1));
    }

    #[test]
    fn json_has_the_published_names_and_one_object_a_line() {
        let mut out = Vec::new();
        json(&mut out, &rows(), &summary()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["mode"], "multicast");
        assert_eq!((&lines[0]["bytes"], &lines[0]["reason"]), (&1000.into(), &().into()));
        assert_eq!(lines[0].get("mode_reason"), Some(&().into()));
        assert_eq!(lines[1]["mode_reason"], "it has never answered");
        assert_eq!((&lines[1]["status"], &lines[1]["digest"]), (&"failed".into(), &().into()));
        assert_eq!((&lines[2]["status"], &lines[2]["ok"]), (&"partial".into(), &1.into()));
        assert_eq!(lines[2]["retry_hosts"], "127.0.0.10");
        assert_eq!(lines[2].get("reason"), Some(&().into()));
        assert_eq!(lines[2]["datagram_bytes"], 1200);
    }
}
