//! The rules of `--exclude` and its like, in the order in which they were typed, as rsync's users know them.

use crate::args::Copy;
use crate::plan::PlanError;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use mcp_cli::say::plain;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use transfer::filter::{Filter, FilterError};
use transfer::tree::scan::FilesFrom;

/// Bytes of a file of rules, at most.
const MAX_RULES: u64 = 16 << 20;
/// Bytes of a list of files, at most: some millions of them.
const MAX_LIST: u64 = 512 << 20;

/// The options, each with its values.
#[derive(Debug, Clone, Default, Args)]
struct Given {
    /// Leave out what matches, and what is in such folders; rsync's patterns: *.o at any depth, /tmp at the top, cache/
    /// folders alone.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Take what matches, whatever later rules say: of all rules the first that matches decides.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// Add a rule in rsync's grammar: '- PATTERN', '+ PATTERN', 'P PATTERN', 'merge FILE' and so on.
    #[arg(short, long, value_name = "RULE", allow_hyphen_values = true)]
    filter: Vec<OsString>,
    /// Leave out what matches a line of this file; - is standard input.
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,
    /// Take what matches a line of this file; - is standard input.
    #[arg(long, value_name = "FILE")]
    include_from: Vec<PathBuf>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Exclude(OsString),
    Include(OsString),
    Filter(OsString),
    /// Patterns of a file, to be taken or left out.
    From(PathBuf, bool),
}

/// What was typed, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

impl Args for Rules {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let places = |id: &str| matches.indices_of(id).into_iter().flatten().collect::<Vec<_>>();
        let ids = ["exclude", "include", "filter", "exclude_from", "include_from"];
        let places: Vec<usize> = ids.into_iter().flat_map(places).collect();
        let Given { exclude, include, filter, exclude_from, include_from } =
            Given::from_arg_matches_mut(matches)?;
        let rules = exclude.into_iter().map(Rule::Exclude);
        let rules = rules.chain(include.into_iter().map(Rule::Include));
        let rules = rules.chain(filter.into_iter().map(Rule::Filter));
        let rules = rules.chain(exclude_from.into_iter().map(|file| Rule::From(file, false)));
        let rules = rules.chain(include_from.into_iter().map(|file| Rule::From(file, true)));
        let mut all: Vec<_> = places.into_iter().zip(rules).collect();
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Rules {
    /// The rules, with those of files. `from0`: lines of the files end with a zero byte.
    pub(crate) fn filter(&self, from0: bool) -> Result<Filter, PlanError> {
        let mut filter = Filter::default();
        for rule in &self.0 {
            let added = match rule {
                Rule::Exclude(pattern) => filter.exclude(pattern.as_bytes()),
                Rule::Include(pattern) => filter.include(pattern.as_bytes()),
                Rule::Filter(rule) => filter.rule(rule.as_bytes(), &read_rules),
                Rule::From(file, takes) => filter.patterns_from(file, *takes, from0, &read_rules),
            };
            added.map_err(|error| {
                let why = plain(&error.to_string());
                match error {
                    FilterError::File { .. } => PlanError::Here(why),
                    _ => PlanError::Usage(why),
                }
            })?;
        }
        Ok(filter)
    }

    /// Whether standard input is read for them.
    pub(crate) fn read_stdin(&self) -> bool {
        let from_stdin = |rule: &Rule| matches!(rule, Rule::From(file, _) if is_stdin(file));
        self.0.iter().any(from_stdin)
    }

    /// Patterns of `--exclude` that look as one of these hosts does: whoever typed it may have meant the host.
    pub(crate) fn like_hosts<'a>(&'a self, hosts: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(|rule| match rule {
            Rule::Exclude(pattern) => {
                pattern.to_str().filter(|text| hosts.iter().any(|host| host == text))
            }
            _ => None,
        })
    }
}

/// What of the source alone is copied.
pub(crate) fn listed(copy: &Copy) -> Result<Option<FilesFrom>, PlanError> {
    let Some(file) = &copy.files_from else { return Ok(None) };
    let name = plain(&file.display().to_string());
    let text = read(file, MAX_LIST)
        .map_err(|error| PlanError::Here(format!("cannot read the list {name}: {error}")))?;
    let listed = FilesFrom::parse(&text, copy.from0, copy.kept.recursive);
    listed.map(Some).map_err(|error| PlanError::Usage(format!("{name}, {error}")))
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn read_rules(file: &Path) -> io::Result<Vec<u8>> {
    read(file, MAX_RULES)
}

fn read(file: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source: Box<dyn Read> = if is_stdin(file) {
        Box::new(io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file)?)
    };
    if source.take(max + 1).read_to_end(&mut text)? as u64 > max {
        return Err(io::Error::other(format!("it is longer than {} MiB", max >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        rules: Rules,
    }

    fn rules(words: &[&str]) -> Rules {
        Line::try_parse_from(std::iter::once(&"mcp").chain(words)).unwrap().rules
    }

    #[test]
    fn rules_stand_in_the_order_in_which_they_were_typed() {
        let all = rules(&[
            "--exclude",
            "a",
            "--include=b",
            "-f",
            "- c",
            "--exclude=d",
            "--include-from",
            "e",
            "--exclude-from=f",
            "--include",
            "g",
            "--filter=+ h",
        ]);
        assert_eq!(
            all.0,
            [
                Rule::Exclude("a".into()),
                Rule::Include("b".into()),
                Rule::Filter("- c".into()),
                Rule::Exclude("d".into()),
                Rule::From("e".into(), true),
                Rule::From("f".into(), false),
                Rule::Include("g".into()),
                Rule::Filter("+ h".into()),
            ]
        );
        assert_eq!(rules(&[]), Rules::default());
    }

    #[test]
    fn files_are_read_and_what_is_wrong_is_told_by_whose_fault_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules");
        std::fs::write(&file, "x\n# y\n\nz/\n").unwrap();
        let file = file.to_str().unwrap();
        let filter = rules(&["--include-from", file, "--exclude", "*"]).filter(false).unwrap();
        let out = |path: &[u8], folder| filter.of_source(path, folder).leaves_out();
        assert!(!out(b"x", false) && !out(b"z", true) && out(b"z", false) && out(b"# y", false));
        let why = rules(&["--filter", "merge /no/such"]).filter(false).unwrap_err();
        assert!(matches!(&why, PlanError::Here(why) if why.contains("/no/such")), "{why}");
        let why = rules(&["--filter", "x"]).filter(false).unwrap_err();
        assert!(matches!(&why, PlanError::Usage(why) if why.contains("'x'")), "{why}");
    }

    #[test]
    fn a_pattern_that_is_a_host_is_found() {
        let rules = rules(&["--exclude", "node07", "--exclude", "*.o", "--include", "node08"]);
        let hosts = ["node07", "node08"].map(str::to_owned);
        assert_eq!(rules.like_hosts(&hosts).collect::<Vec<_>>(), ["node07"]);
    }
}
