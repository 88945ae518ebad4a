//! Why hosts that have the file were not on the group: each reason once, whatever was counted at each host.

use super::HostRow;
use crate::fold;
use mcp_cli::say::plain;
use std::io::{self, Write};

/// Hosts named with one reason, at most, or ranges of them.
const NAMED: usize = 8;

/// A word of a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word<'r> {
    Text(&'r str),
    /// A count, or a rate with one decimal: the least and the most in tenths, each as it was written.
    Count([(u64, &'r str); 2]),
}

impl<'r> Word<'r> {
    fn of(word: &'r str) -> Self {
        let mut digits = word.replace(',', "");
        match digits.len().checked_sub(2) {
            Some(point) if digits.as_bytes()[point] == b'.' => drop(digits.remove(point)),
            _ => digits.push('0'),
        }
        let is_count = digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(tenths) if is_count => Self::Count([(tenths, word); 2]),
            _ => Self::Text(word),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Count(_), Self::Count(_)))
    }

    fn take(&mut self, other: &Self) {
        if let (Self::Count([least, most]), Self::Count([low, high])) = (self, other) {
            (*least, *most) = ((*least).min(*low), (*most).max(*high));
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(word) => (*word).to_owned(),
            Self::Count([(least, word), (most, _)]) if least == most => (*word).to_owned(),
            Self::Count([(_, least), (_, most)]) => format!("{least} to {most}"),
        }
    }
}

/// Writes them.
pub(super) fn write(out: &mut impl Write, rows: &[HostRow]) -> io::Result<()> {
    let mut all: Vec<(Vec<Word<'_>>, Vec<String>)> = Vec::new();
    for row in rows.iter().filter(|row| row.reason.is_none()) {
        let Some(why) = &row.mode_reason else { continue };
        let words: Vec<_> = why.split(' ').map(Word::of).collect();
        let is_like = |known: &[Word<'_>]| {
            known.len() == words.len() && known.iter().zip(&words).all(|(a, b)| a.is_like(b))
        };
        match all.iter_mut().find(|(known, _)| is_like(known)) {
            Some((known, hosts)) => {
                known.iter_mut().zip(&words).for_each(|(known, word)| known.take(word));
                hosts.push(plain(&row.host));
            }
            None => all.push((words, vec![plain(&row.host)])),
        }
    }
    for (words, hosts) in all {
        let hosts = fold::words(&hosts);
        write!(out, "not by the group: {}", hosts[..hosts.len().min(NAMED)].join(", "))?;
        if hosts.len() > NAMED {
            write!(out, " and {} more", hosts.len() - NAMED)?;
        }
        let why = words.iter().map(Word::text).collect::<Vec<_>>().join(" ");
        writeln!(out, ": {}", plain(&why))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of hosts with these names and reasons.
    fn written(all: &[(&str, &str)]) -> String {
        let row = |&(host, why): &(&str, &str)| {
            let mut row = super::super::tests::rows().remove(0);
            (row.host, row.mode_reason) = (host.to_owned(), Some(why.to_owned()));
            row
        };
        let mut rows: Vec<_> = all.iter().map(row).collect();
        rows.push(row(&("failed", "deaf")));
        rows.last_mut().unwrap().reason = Some("it failed, which is told already".to_owned());
        let mut out = Vec::new();
        write(&mut out, &rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_is_told_once() {
        let names: Vec<_> = ('b'..='k').map(|name| name.to_string()).collect();
        let mut all: Vec<_> = names.iter().map(|name| (name.as_str(), "deaf")).collect();
        all[0].1 = "it\u{7} left";
        let deaf = "not by the group: c, d, e, f, g, h, i, j and 1 more: deaf\n";
        assert_eq!(written(&all), format!("not by the group: b: it\\u{{7}} left\n{deaf}"));
        let ranges = written(&[("n2", "deaf"), ("n3", "deaf"), ("n4", "deaf")]);
        assert_eq!(ranges, "not by the group: n[2-4]: deaf\n");
    }

    #[test]
    fn counts_are_told_by_their_bounds() {
        let [one, two, three] =
            ["1,234", "56", "700"].map(|count| format!("it dropped {count} packets"));
        let told = written(&[("a", &one), ("b", &one)]);
        assert_eq!(told, "not by the group: a, b: it dropped 1,234 packets\n", "as it was written");
        let told = written(&[("a", &one), ("b", &two), ("c", &three)]);
        assert_eq!(told, "not by the group: a, b, c: it dropped 56 to 1,234 packets\n");
        let told = written(&[("a", "it took 9.6 Mbit/s"), ("b", "it took 10.1 Mbit/s")]);
        assert_eq!(told, "not by the group: a, b: it took 9.6 to 10.1 Mbit/s\n");
        // An address is no count.
        let told = written(&[("a", "from 10.0.0.1"), ("b", "from 10.0.0.2")]);
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}
