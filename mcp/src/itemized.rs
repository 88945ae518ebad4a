//! `-i` and `-n`: what is changed, entry by entry, in rsync's letters; hosts that agree share a line.

use crate::fold;
use crate::table::HostRow;
use mcp_cli::say::plain;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use transfer::send::{Changed, Itemized};
use transfer::shown::shown;
use transfer::source::SourceError;

/// Changes that `--json` has of a host, at most; of more the number.
const KEPT: usize = 10_000;
/// Lines of a summary that say what would become of hosts, at most.
const CLASSES: usize = 6;

/// One change in `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// The eleven letters, or `*deleting`.
    change: String,
    entry: String,
}

/// What is changed at one host.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Changes {
    /// The first of them: hosts that agree share them.
    #[serde(rename = "changes", serialize_with = "shared")]
    lines: Vec<Arc<Line>>,
    #[serde(rename = "changes_left_out", skip_serializing_if = "is_none")]
    left_out: u64,
    /// Why the last of them are only counted, if this side could not keep them.
    #[serde(rename = "changes_lost", skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
    /// Entries that are changed, files of which bytes are sent, and these bytes.
    #[serde(skip)]
    entries: u64,
    #[serde(skip)]
    files: u64,
    #[serde(skip)]
    bytes: u64,
}

fn shared<S: Serializer>(lines: &[Arc<Line>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lines.iter().map(|line| &**line))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What files need to be sent, as far as it can be said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Estimate {
    files: u64,
    /// Bytes that two hosts or more lack, and those that one does.
    group: u64,
    unicast: u64,
}

/// All that is to be told of a copy.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) changes: Vec<Changes>,
    pub(crate) estimate: Estimate,
}

/// A host that has answered: all names that it was given, and what it says.
pub(crate) struct Host<'a> {
    pub(crate) names: Vec<String>,
    pub(crate) changed: &'a Changed,
    /// Entries that were deleted there, or would be, as it reports.
    pub(crate) deleted: u64,
}

/// What goes through the entries.
type Entries<'a> =
    &'a dyn Fn(&mut dyn FnMut(Itemized) -> io::Result<()>) -> Result<(), SourceError>;

/// Writes a line for each change, and sums up what they come to. Names of hosts stand before it unless all agree.
pub(crate) fn tell(
    hosts: &[Host<'_>],
    entries: Entries<'_>,
    (out, keeps): (&mut dyn Write, bool),
) -> Result<Told, SourceError> {
    let mut told =
        Told { changes: vec![Changes::default(); hosts.len()], estimate: Estimate::default() };
    entries(&mut |entry| {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut lack = 0_u64;
        for (host, change) in &entry.changes {
            groups.entry(change.letters(entry.kind)).or_default().push(*host);
            lack += u64::from(change.is_sent());
            let of = &mut told.changes[*host];
            of.entries += 1;
            of.files += u64::from(change.is_sent());
            of.bytes += if change.is_sent() { entry.len } else { 0 };
        }
        told.estimate.count(lack, entry.len);
        let name = name(&entry);
        write_groups(out, hosts, (groups, &name), (keeps, &mut told.changes))
    })?;
    let aside = |error: io::Error| SourceError::Aside(error.to_string());
    gone(hosts, out, (keeps, &mut told.changes)).map_err(aside)?;
    for (of, host) in told.changes.iter_mut().zip(hosts) {
        of.lose(host.changed.lost(), host.changed.unkept());
    }
    let unkept = |host: &Host<'_>| host.changed.unkept();
    let unnamed = |host: &Host<'_>| host.changed.unkept_gone(host.deleted);
    for (what, more) in [("changed", &unkept as &dyn Fn(_) -> _), ("deleted", &unnamed)] {
        let more: Vec<_> = hosts.iter().map(more).collect();
        count_more(hosts, out, (keeps, &mut told.changes), (&more, what)).map_err(aside)?;
    }
    out.flush().map_err(aside)?;
    Ok(told)
}

/// Writes what is deleted, in the order of the names.
fn gone(
    hosts: &[Host<'_>],
    out: &mut dyn Write,
    (keeps, changes): (bool, &mut [Changes]),
) -> io::Result<()> {
    let mut all: BTreeMap<(&[u8], bool), Vec<usize>> = BTreeMap::new();
    for (index, host) in hosts.iter().enumerate() {
        for (path, is_folder) in host.changed.gone() {
            all.entry((path, *is_folder)).or_default().push(index);
        }
    }
    for ((path, is_folder), at) in all {
        let name = format!("{}{}", shown(path), if is_folder { "/" } else { "" });
        let groups = BTreeMap::from([("*deleting".to_owned(), at)]);
        write_groups(out, hosts, (groups, &name), (keeps, changes))?;
    }
    Ok(())
}

/// Changes of which no more than the number is known, of each host: `what` they are.
fn count_more(
    hosts: &[Host<'_>],
    out: &mut dyn Write,
    (keeps, changes): (bool, &mut [Changes]),
    (more, what): (&[u64], &str),
) -> io::Result<()> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (host, more) in more.iter().enumerate().filter(|(_, more)| **more > 0) {
        changes[host].left_out += more;
        groups.entry(*more).or_default().push(host);
    }
    for (more, at) in groups.into_iter().filter(|_| !keeps) {
        write_hosts(out, hosts, &at)?;
        writeln!(out, "{more} more {what}")?;
    }
    Ok(())
}

/// The hosts that a line is of, unless these are all.
fn write_hosts(out: &mut dyn Write, hosts: &[Host<'_>], at: &[usize]) -> io::Result<()> {
    if at.len() == hosts.len() {
        return Ok(());
    }
    let names = at.iter().flat_map(|host| &hosts[*host].names).map(|name| plain(name));
    write!(out, "{}: ", fold::words(&names.collect::<Vec<_>>()).join(","))
}

/// That this side could not keep all that hosts have said, if it could not: which, and why.
pub(crate) fn in_part(hosts: &[Host<'_>]) -> Option<String> {
    let lost =
        |host: &'_ Host<'_>| host.changed.lost().map(|why| (host.names.clone(), why.to_owned()));
    said_in_part(hosts.iter().filter_map(lost))
}

fn said_in_part(lost: impl Iterator<Item = (Vec<String>, String)>) -> Option<String> {
    let (names, why): (Vec<_>, Vec<_>) = lost.unzip();
    let names: Vec<_> = names.iter().flatten().map(|name| plain(name)).collect();
    let names = fold::words(&names).join(",");
    // As a rule it is the same for all.
    why.first().map(|why| format!("what is changed at {names} is told in part: {why}"))
}

/// A line for each of several ways in which an entry is changed.
fn write_groups(
    out: &mut dyn Write,
    hosts: &[Host<'_>],
    (groups, name): (BTreeMap<String, Vec<usize>>, &str),
    (keeps, changes): (bool, &mut [Changes]),
) -> io::Result<()> {
    for (letters, at) in groups {
        if keeps {
            let line = Arc::new(Line { change: letters, entry: name.to_owned() });
            for host in &at {
                let of = &mut changes[*host];
                if of.lines.len() < KEPT {
                    of.lines.push(Arc::clone(&line));
                } else {
                    of.left_out += 1;
                }
            }
            continue;
        }
        write_hosts(out, hosts, &at)?;
        // As rsync(1): letters are eleven, and a blank.
        writeln!(out, "{letters:<11} {}", plain(name))?;
    }
    Ok(())
}

/// The name of an entry as rsync(1) writes it: of a folder with a slash, of a link with where it leads.
fn name(entry: &Itemized) -> String {
    let path = shown(&entry.path);
    match (&entry.to, entry.kind) {
        (Some((to, true)), _) => format!("{path} -> {}", shown(to)),
        (Some((to, false)), _) => format!("{path} => {}", shown(to)),
        (None, 'd') if path.is_empty() => "./".to_owned(),
        (None, 'd') => format!("{path}/"),
        (None, _) => path,
    }
}

impl std::ops::Add for Estimate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            group: self.group + other.group,
            unicast: self.unicast + other.unicast,
        }
    }
}

impl Estimate {
    fn count(&mut self, lack: u64, len: u64) {
        self.files += u64::from(lack > 0);
        match lack {
            0 => {}
            1 => self.unicast += len,
            _ => self.group += len,
        }
    }
}

/// A dry run in ten lines at most: hosts that come to the same share one.
pub(crate) fn summary(
    out: &mut dyn Write,
    rows: &[HostRow],
    Estimate { files, group, unicast }: Estimate,
) -> io::Result<()> {
    let mut classes: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let words = match &row.itemized {
            Some(changes) => changes.words(row.deleted.unwrap_or_default()),
            None => "it could not be told".to_owned(),
        };
        match classes.iter_mut().find(|(known, _)| *known == words) {
            Some((_, names)) => names.push(plain(&row.host)),
            None => classes.push((words, vec![plain(&row.host)])),
        }
    }
    writeln!(
        out,
        "would be sent: {}, {group} bytes to the group and {unicast} by unicast",
        counted(files, "file", "files")
    )?;
    for (words, names) in classes.iter().take(CLASSES) {
        writeln!(out, "{}: {words}", fold::words(names).join(","))?;
    }
    if let Some(rest) = classes.get(CLASSES..).filter(|rest| !rest.is_empty()) {
        let names: usize = rest.iter().map(|(_, names)| names.len()).sum();
        writeln!(out, "{names} more hosts: other numbers, which --json has")?;
    }
    let well = rows.iter().filter(|row| row.reason.is_none()).count();
    writeln!(out, "a dry run, {well} of {} hosts: nothing was changed", rows.len())
}

/// Standard output, of which whoever closed it has seen enough.
pub(crate) struct Output(pub(crate) io::StdoutLock<'static>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        seen(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        seen(self.0.flush(), ())
    }
}

fn seen<T>(written: io::Result<T>, all: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(all),
        written => written,
    }
}

impl Changes {
    /// With what a later try has changed.
    pub(crate) fn and(mut self, later: Self) -> Self {
        let room = KEPT - self.lines.len().min(KEPT);
        let over = later.lines.len().saturating_sub(room) as u64;
        self.lines.extend(later.lines.into_iter().take(room));
        Self {
            lines: self.lines,
            left_out: self.left_out + later.left_out + over,
            entries: self.entries + later.entries,
            files: self.files + later.files,
            bytes: self.bytes + later.bytes,
            lost: self.lost.or(later.lost),
        }
    }

    /// Of these entries.
    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        let line = |name: &&str| Line { change: "<f.st......".into(), entry: (*name).into() };
        Self {
            lines: names.iter().map(line).map(Arc::new).collect(),
            entries: names.len() as u64,
            ..Self::default()
        }
    }

    /// Of so many changes no more is known, for this reason.
    fn lose(&mut self, why: Option<&str>, count: u64) {
        self.lost = why.map(str::to_owned);
        self.entries += count;
    }

    fn words(&self, deleted: u64) -> String {
        if self.lost.is_some() {
            return "it is told in part".to_owned();
        }
        if self.entries + deleted == 0 {
            return "nothing would be changed".to_owned();
        }
        format!(
            "{} would be changed, {} of {} sent, {deleted} deleted",
            counted(self.entries, "entry", "entries"),
            counted(self.files, "file", "files"),
            counted(self.bytes, "byte", "bytes")
        )
    }
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;
    use transfer::tree::change::Change;

    /// Bits as `transfer::tree::change` has them: bytes are sent, nothing stood there, the length differs.
    const SENT: u16 = 1;
    const NEW: u16 = 1 << 3;
    const SIZE: u16 = 1 << 5;

    fn entry(path: &str, len: u64, changes: &[(usize, u16)]) -> Itemized {
        let changes = changes.iter().map(|(host, bits)| (*host, Change::from_bits(*bits)));
        let path = path.as_bytes().to_vec();
        Itemized { path, kind: 'f', to: None, len, changes: changes.collect() }
    }

    fn row((changes, number): (Changes, u64)) -> HostRow {
        let mut row = HostRow::without_session(format!("node{number:02}"), String::new(), false);
        (row.itemized, row.reason) = (Some(changes), None);
        row
    }

    fn told(keeps: bool, entries: &[Itemized]) -> (Told, String) {
        told_with(keeps, entries, 0)
    }

    /// The same, where the third host has deleted so much, of which it names nothing.
    fn told_with(keeps: bool, entries: &[Itemized], deleted: u64) -> (Told, String) {
        let (changed, mut out) = (Changed::default(), Vec::new());
        let host = |n| Host {
            names: vec![format!("node0{n}")],
            changed: &changed,
            deleted: if n == 3 { deleted } else { 0 },
        };
        let hosts: Vec<_> = (1..=3).map(host).collect();
        let all = |each: &mut dyn FnMut(Itemized) -> io::Result<()>| {
            entries.iter().cloned().try_for_each(each).unwrap();
            Ok(())
        };
        let told = tell(&hosts, &all, (&mut out, keeps)).unwrap();
        (told, String::from_utf8(out).unwrap())
    }

    fn entries() -> [Itemized; 3] {
        let (new, size) = (SENT | NEW, SENT | SIZE);
        [
            entry("all", 10, &[(0, new), (1, new), (2, new)]),
            entry("two ways\n", 20, &[(0, size), (1, size), (2, new)]),
            entry("one", 40, &[(1, size)]),
        ]
    }

    #[test]
    fn hosts_that_agree_share_a_line_and_are_named_where_others_do_not() {
        let (told, text) = told(false, &entries());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "<f+++++++++ all",
                "node03: <f+++++++++ two ways\\n",
                "node[01-02]: <f.s....... two ways\\n",
                "node02: <f.s....... one",
            ]
        );
        let estimate = Estimate { files: 3, group: 30, unicast: 40 };
        assert_eq!(told.estimate, estimate);
        let mut out = Vec::new();
        let mut rows: Vec<_> = told.changes.into_iter().zip(1..).map(row).collect();
        rows.push(HostRow::without_session("node04".to_owned(), "gone".to_owned(), false));
        summary(&mut out, &rows, told.estimate).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "would be sent: 3 files, 30 bytes to the group and 40 by unicast",
                "node[01,03]: 2 entries would be changed, 2 files of 30 bytes sent, 0 deleted",
                "node02: 3 entries would be changed, 3 files of 70 bytes sent, 0 deleted",
                "node04: it could not be told",
                "a dry run, 3 of 4 hosts: nothing was changed",
            ]
        );
    }

    #[test]
    fn what_could_not_be_kept_is_counted_and_hosts_with_all_of_it_are_named() {
        let changed = Changed::default();
        let host = |n| Host { names: vec![format!("node0{n}")], changed: &changed, deleted: 0 };
        let hosts: Vec<_> = (1..=3).map(host).collect();
        for keeps in [false, true] {
            let (mut all, mut out) = (vec![Changes::default(); 3], Vec::new());
            let counts = (&mut all[..], &[7, 0, 7][..]);
            count_more(&hosts, &mut out, (keeps, counts.0), (counts.1, "changed")).unwrap();
            let left_out: Vec<_> = all.iter().map(|of| of.left_out).collect();
            assert_eq!(left_out, [7, 0, 7]);
            let text = if keeps { "" } else { "node[01,03]: 7 more changed\n" };
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        let lost = |n| (vec![format!("node0{n}")], "no room".to_owned());
        let why = said_in_part([lost(1), lost(3)].into_iter());
        assert_eq!(why.as_deref(), Some("what is changed at node[01,03] is told in part: no room"));
        assert_eq!(said_in_part(std::iter::empty()), None);
        let mut of = Changes::default();
        of.lose(Some("no room"), 7);
        assert_eq!((of.words(0), of.entries), ("it is told in part".to_owned(), 7));
        let json = serde_json::to_value(&of).unwrap();
        assert_eq!(json["changes_lost"], "no room");
    }

    #[test]
    fn what_is_deleted_and_not_named_is_counted() {
        let (told, text) = told_with(false, &entries(), 50_000);
        assert_eq!(text.lines().last(), Some("node03: 50000 more deleted"));
        assert_eq!(told.changes[2].left_out, 50_000);
        let (told, text) = told_with(true, &entries(), 50_000);
        let left_out: Vec<_> = told.changes.iter().map(|of| of.left_out).collect();
        assert_eq!((&left_out[..], &text[..]), (&[0, 0, 50_000][..], ""));
    }

    #[test]
    fn a_summary_has_ten_lines_at_most_however_hosts_differ() {
        let of = |bytes| Changes { entries: 1, files: 1, bytes, ..Changes::default() };
        let rows: Vec<_> = (0..50).map(of).zip(0..).map(row).collect();
        let mut out = Vec::new();
        summary(&mut out, &rows, Estimate::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().count() <= 10, "{text}");
        assert!(text.contains("44 more hosts"), "{text}");
    }

    #[test]
    fn of_several_tries_as_many_are_kept_as_of_one() {
        let many = Changes::of(&vec!["a"; KEPT - 1]);
        let all = many.and(Changes::of(&["b", "c", "d"]));
        assert_eq!((all.lines.len(), all.left_out, all.entries), (KEPT, 2, KEPT as u64 + 2));
        assert_eq!(all.lines.last().map(|line| &*line.entry), Some("b"));
    }

    #[test]
    fn json_has_so_many_of_a_host_and_counts_the_others() {
        let many: Vec<_> =
            (0..KEPT as u64 + 5).map(|n| entry(&format!("e{n}"), 1, &[(0, SENT)])).collect();
        let (told, text) = told(true, &many);
        assert_eq!(text, "");
        let [first, second, _] = &told.changes[..] else { panic!("{told:?}") };
        assert_eq!((first.lines.len(), first.left_out), (KEPT, 5));
        let line = Line { change: "<f.........".to_owned(), entry: "e0".to_owned() };
        assert_eq!((first.lines.first(), second.lines.len()), (Some(&Arc::new(line)), 0));
    }

    #[test]
    fn hosts_that_agree_share_what_json_has_of_them() {
        let (told, _) = told(true, &entries());
        let [first, second, third] = &told.changes[..] else { panic!("{told:?}") };
        assert!(Arc::ptr_eq(&first.lines[0], &third.lines[0]));
        assert!(Arc::ptr_eq(&first.lines[1], &second.lines[1]));
        let own = serde_json::json!({"change": "<f+++++++++", "entry": "two ways\n"});
        assert_eq!(serde_json::to_value(third).unwrap()["changes"][1], own);
    }
}
