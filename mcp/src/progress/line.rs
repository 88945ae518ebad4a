//! What stands on the two lines of the bar: what has come of how much, and whom it comes to.

use super::Origin;
use super::standing::{Stage, Standing, Waits, ends, span};
use indicatif::BinaryBytes;
use mcp_cli::say::plain;
use std::time::Duration;
use tcpxm::stats::Mode;
use transfer::source::Progress as Come;

/// Columns of the bar itself, without its brackets.
const BAR: usize = 10;

/// A host's name has so many columns at most: with two of them a line still has room for the counts.
const NAME: usize = 20;

/// What stands for the middle of a name, or the end of a line.
const CUT: &str = "...";

/// All that the lines tell.
pub(super) struct Facts<'a> {
    pub(super) come: &'a Come,
    /// Bytes of files that everybody has who is still served or done.
    pub(super) position: u64,
    /// Bytes a second, and how long it will take; 0 while that is not known.
    pub(super) rate: u64,
    pub(super) left: Duration,
    pub(super) hosts: &'a [Standing],
    pub(super) names: &'a [String],
    pub(super) from: Origin,
}

/// A piece of a line; those with the greatest number go first where the line is too long.
type Piece = (u8, String);

impl Facts<'_> {
    /// The lines for a terminal of so many columns.
    pub(super) fn lines(&self, width: usize) -> (String, String) {
        let pieces = self.amounts();
        let whole = 1 + BAR + 2 + columns(&join(&pieces));
        let first = if whole <= width {
            format!("{} {}", self.bar(), join(&pieces))
        } else {
            fit(pieces, width)
        };
        (first, fit(self.counts(NAME), width))
    }

    /// All of it, on one line that is as long as it has to be.
    pub(super) fn whole(&self) -> String {
        format!("{}; {}", join(&self.amounts()), join(&self.counts(usize::MAX)))
    }

    fn bar(&self) -> String {
        let full = match self.come.len {
            0 => 0,
            len => (u128::from(self.position) * BAR as u128 / u128::from(len)) as usize,
        };
        let full = full.min(BAR);
        format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
    }

    /// `1.2 GiB of 3.4 GiB, 50168+ entries, 95.30 MiB/s, 12s left`, with a plus while more is listed.
    fn amounts(&self) -> Vec<Piece> {
        let (come, mut pieces) = (self.come, Vec::new());
        let lists = match self.from {
            _ if come.ended => None,
            Origin::Tree { hashes: true } => Some("hashing".to_owned()),
            Origin::Tree { hashes: false } => Some("listing".to_owned()),
            Origin::Stream(_) => None,
        };
        let (part, len) = (BinaryBytes(self.position), BinaryBytes(come.len));
        let more = if come.ended { "" } else { "+" };
        pieces.extend(lists.map(|what| (1, what)));
        if come.entries > 0 {
            pieces.push((0, format!("{part} of {len}{more}")));
        }
        if come.entries > 1 {
            pieces.push((4, format!("{}{more} entries", come.entries)));
        }
        // Less than a byte a second is what is left of an average.
        if self.rate > 0 && self.position < come.len {
            pieces.push((3, format!("{}/s", BinaryBytes(self.rate))));
            if come.ended && !self.left.is_zero() {
                pieces.push((2, format!("{} left", span(self.left))));
            }
        }
        pieces
    }

    /// `waits for node07, 1 of 4 done, 1 failed, 2 by multicast, slowest node07 12 %, fastest node03 98 %`.
    fn counts(&self, name: usize) -> Vec<Piece> {
        let count =
            |what: &dyn Fn(&Standing) -> bool| self.hosts.iter().filter(|h| what(h)).count();
        let at = |stage| count(&|host: &Standing| host.stage == stage);
        let multicast = count(&|host: &Standing| host.is_open() && host.mode == Mode::Multicast);
        let mut pieces = Vec::new();
        if let Some(waits) = Waits::find(self.hosts) {
            pieces.push((0, waits.words(self.names, name)));
        }
        pieces.push((1, format!("{} of {} done", at(Stage::Done), self.hosts.len())));
        if at(Stage::Failed) > 0 {
            pieces.push((2, format!("{} failed", at(Stage::Failed))));
        }
        if at(Stage::Lost) > 0 {
            pieces.push((2, format!("{} lost", at(Stage::Lost))));
        }
        if self.hosts.iter().any(Standing::is_open) {
            pieces.push((3, format!("{multicast} by multicast")));
        }
        if let Some((slowest, fastest)) = ends(self.hosts) {
            for (weight, what, index) in [(4, "slowest", slowest), (5, "fastest", fastest)] {
                let called = shorten(&plain(&self.names[index]), name);
                let percent = self.hosts[index].share * 100.0;
                pieces.push((weight, format!("{what} {called} {percent:.0} %")));
            }
        }
        pieces
    }
}

fn join(pieces: &[Piece]) -> String {
    pieces.iter().map(|(_, piece)| piece.as_str()).collect::<Vec<_>>().join(", ")
}

/// As many of the pieces as fit, the most important ones; of the last one its beginning.
fn fit(mut pieces: Vec<Piece>, width: usize) -> String {
    while pieces.len() > 1 && columns(&join(&pieces)) > width {
        let Some(most) = pieces.iter().map(|(weight, _)| *weight).max() else { break };
        pieces.retain(|(weight, _)| *weight < most);
    }
    let line = join(&pieces);
    if columns(&line) <= width { line } else { head(&line, width) }
}

/// Columns on a terminal, at most: what is not ASCII may take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// The beginning of a text, in so many columns at most.
fn head(text: &str, width: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += if c.is_ascii() { 1 } else { 2 };
            used <= width
        })
        .collect()
}

/// A name in so many columns at most: its beginning and its end, where hosts differ and where they are.
pub(super) fn shorten(name: &str, max: usize) -> String {
    if columns(name) <= max {
        return name.to_owned();
    }
    let room = max.saturating_sub(CUT.len());
    let backwards: String = name.chars().rev().collect();
    let behind: String = head(&backwards, room / 2).chars().rev().collect();
    format!("{}{CUT}{behind}", head(name, room - room / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COME: Come = Come { entries: 50_168, len: 3 << 30, span: 3 << 30, ended: true, read: 0 };

    const TREE: Origin = Origin::Tree { hashes: false };

    fn host(stage: Stage, percent: u32, mode: Mode) -> Standing {
        Standing { stage, share: f64::from(percent) / 100.0, mode, still: Duration::ZERO }
    }

    fn hosts() -> Vec<Standing> {
        vec![
            host(Stage::Lacking, 12, Mode::Multicast),
            host(Stage::Lacking, 98, Mode::Multicast),
            host(Stage::Lacking, 40, Mode::Unicast),
            host(Stage::Failed, 1, Mode::Gone),
        ]
    }

    fn lines(hosts: &[Standing], names: &[String], come: Come, width: usize) -> (String, String) {
        let (rate, left) = (953 << 20, Duration::from_secs(3599));
        let position = come.len / 4;
        Facts { come: &come, position, rate, left, hosts, names, from: TREE }.lines(width)
    }

    fn names() -> Vec<String> {
        (1..=4).map(|n| format!("node{n:02}")).collect()
    }

    #[test]
    fn eighty_columns_have_all_of_it() {
        let (first, second) = lines(&hosts(), &names(), COME, 79);
        assert_eq!(
            first,
            "[##........] 768.00 MiB of 3.00 GiB, 50168 entries, 953.00 MiB/s, 59m 59s left"
        );
        let many =
            "0 of 4 done, 1 failed, 2 by multicast, slowest node01 12 %, fastest node02 98 %";
        assert_eq!(second, many);
    }

    #[test]
    fn what_matters_least_goes_first() {
        let mut hosts = hosts();
        hosts[0].still = Duration::from_secs(12);
        let at = |width| lines(&hosts, &names(), COME, width);
        for (width, first, second) in [
            (
                60,
                "768.00 MiB of 3.00 GiB, 953.00 MiB/s, 59m 59s left",
                "waits for node01, still for 12s, 0 of 4 done, 1 failed",
            ),
            (40, "768.00 MiB of 3.00 GiB, 59m 59s left", "waits for node01, still for 12s"),
            (22, "768.00 MiB of 3.00 GiB", "waits for node01, stil"),
            (5, "768.0", "waits"),
            (0, "", ""),
        ] {
            assert_eq!(at(width), (first.to_owned(), second.to_owned()), "{width}");
        }
    }

    #[test]
    fn long_phases_say_what_they_do() {
        let come = Come { entries: 812, ended: false, ..COME };
        let first = |come: Come, hashes| {
            let (rate, left, names) = (0, Duration::ZERO, names());
            let hosts = hosts();
            let from = Origin::Tree { hashes };
            Facts { come: &come, position: 0, rate, left, hosts: &hosts, names: &names, from }
                .lines(79)
                .0
        };
        assert_eq!(first(come, false), "[..........] listing, 0 B of 3.00 GiB+, 812+ entries");
        assert_eq!(first(come, true), "[..........] hashing, 0 B of 3.00 GiB+, 812+ entries");
        assert_eq!(first(Come::default(), false), "[..........] listing");
        let (names, from) = (names(), Origin::Stream("standard input"));
        let (rate, left, hosts) = (0, Duration::ZERO, vec![host(Stage::Fed, 100, Mode::Unicast)]);
        let come = Come { entries: 1, len: 3 << 30, ..come };
        let facts =
            Facts { come: &come, position: 0, rate, left, hosts: &hosts, names: &names, from };
        assert_eq!(facts.lines(79).0, "[..........] 0 B of 3.00 GiB+");
        let written = vec![
            host(Stage::Writing, 100, Mode::Multicast),
            host(Stage::Done, 100, Mode::Multicast),
        ];
        let (_, second) = lines(&written, &names, COME, 79);
        assert_eq!(second, "waits for node01 to write, 1 of 2 done, 1 by multicast");
    }

    #[test]
    fn a_name_keeps_both_its_ends() {
        assert_eq!(shorten("node07", 20), "node07");
        let long = format!("node07.{}.example", "a".repeat(239));
        assert_eq!((long.len(), shorten(&long, 20).as_str()), (254, "node07.aa....example"));
        assert_eq!(shorten("ääääää", 7), "ä...ä");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            width in 0_usize..130,
            name in "[a-zä\u{1b}世]{1,260}",
            shares in proptest::collection::vec((0_u32..=100, 0_u64..1_000_000, 0_usize..7), 0..12),
            (entries, len) in (0_u64..1 << 40, 0_u64..1 << 48),
            ended: bool,
        ) {
            let stages = [
                Stage::Unreached, Stage::Comparing, Stage::Lacking, Stage::Writing, Stage::Done, Stage::Failed,
                Stage::Fed,
            ];
            let hosts: Vec<Standing> = shares
                .iter()
                .map(|(percent, seconds, stage)| Standing {
                    still: Duration::from_secs(*seconds),
                    ..host(stages[*stage], *percent, Mode::Multicast)
                })
                .collect();
            let names: Vec<String> = (0..hosts.len()).map(|n| format!("{name}{n}")).collect();
            let come = Come { entries, len, span: len, ended, read: 0 };
            let (first, second) = lines(&hosts, &names, come, width);
            prop_assert!(columns(&first) <= width && columns(&second) <= width, "{first:?} {second:?}");
            prop_assert!(!first.contains(char::is_control) && !second.contains(char::is_control));
        }
    }
}
