//! The rules of `--exclude` and its like, in the order in which they were typed, as rsync's users know them.

use crate::args::Copy;
use crate::plan::PlanError;
use crate::standard_input::{StandardInput, Taken, Use, is_stdin};
use clap::parser::ValueSource;
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

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What was typed, in its order.
    typed: Vec<Rule>,
    /// Of variables and the configuration file. They stand behind those that are typed, and do not go for them: where
    /// they protect something, it is not to be deleted for one rule more.
    untyped: Vec<Rule>,
}

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
        let places = |id: &str| {
            let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
            let places = matches.indices_of(id).into_iter().flatten();
            places.map(|place| is_typed.then_some(place)).collect::<Vec<_>>()
        };
        let ids = ["exclude", "include", "filter", "exclude_from", "include_from"];
        let places: Vec<Option<usize>> = ids.into_iter().flat_map(places).collect();
        let Given { exclude, include, filter, exclude_from, include_from } =
            Given::from_arg_matches_mut(matches)?;
        let rules = exclude.into_iter().map(Rule::Exclude);
        let rules = rules.chain(include.into_iter().map(Rule::Include));
        let rules = rules.chain(filter.into_iter().map(Rule::Filter));
        let rules = rules.chain(exclude_from.into_iter().map(|file| Rule::From(file, false)));
        let rules = rules.chain(include_from.into_iter().map(|file| Rule::From(file, true)));
        let mut all: Vec<_> = places.into_iter().zip(rules).collect();
        all.retain(|(place, _)| place.is_some());
        all.sort_by_key(|(place, _)| *place);
        let typed = all.into_iter().map(|(_, rule)| rule).collect();
        Ok(Self { typed, untyped: Vec::new() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Rules {
    /// Their options, by long names.
    pub(crate) const OPTIONS: [&str; 5] =
        ["exclude", "include", "filter", "exclude-from", "include-from"];

    /// Adds what stands for these options in variables and in the configuration file.
    pub(crate) fn add_untyped(&mut self, values: Vec<(&str, OsString)>) {
        self.untyped.extend(values.into_iter().map(|(option, value)| match option {
            "exclude" => Rule::Exclude(value),
            "include" => Rule::Include(value),
            "filter" => Rule::Filter(value),
            option => Rule::From(value.into(), option == "include-from"),
        }));
    }

    fn all(&self) -> impl Iterator<Item = &Rule> {
        self.typed.iter().chain(&self.untyped)
    }

    /// The rules, with those of files. `from0`: lines of the files end with a zero byte.
    pub(crate) fn filter(&self, from0: bool, input: &StandardInput) -> Result<Filter, PlanError> {
        let mut filter = read_all(&self.typed, from0, input)?;
        // `!` among them forgets none that is typed.
        filter.append(read_all(&self.untyped, from0, input)?).map_err(of_filter)?;
        Ok(filter)
    }

    /// Patterns of `--exclude` that look as one of these hosts does: whoever typed it may have meant the host.
    pub(crate) fn like_hosts<'a>(&'a self, hosts: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.all().filter_map(|rule| match rule {
            Rule::Exclude(pattern) => {
                pattern.to_str().filter(|text| hosts.iter().any(|host| host == text))
            }
            _ => None,
        })
    }
}

/// `from0`: lines of files end with a zero byte.
fn read_all(rules: &[Rule], from0: bool, input: &StandardInput) -> Result<Filter, PlanError> {
    // Files of rules name others: which one is standard input is known only here.
    let read_rules = |file: &Path| {
        input.claim(file, Use::List).map_err(io::Error::other)?;
        read(file, MAX_RULES)
    };
    let mut filter = Filter::default();
    for rule in rules {
        let added = match rule {
            Rule::Exclude(pattern) => filter.exclude(pattern.as_bytes()),
            Rule::Include(pattern) => filter.include(pattern.as_bytes()),
            Rule::Filter(rule) => filter.rule(rule.as_bytes(), from0, &read_rules),
            Rule::From(file, takes) => filter.patterns_from(file, *takes, from0, &read_rules),
        };
        added.map_err(of_filter)?;
    }
    Ok(filter)
}

fn of_filter(error: FilterError) -> PlanError {
    let why = plain(&error.to_string());
    match error {
        FilterError::File { error, .. } => match error.get_ref().and_then(|e| e.downcast_ref()) {
            Some(taken @ (Taken::BySource | Taken::ByList)) => PlanError::Usage(taken.to_string()),
            None => PlanError::Here(why),
        },
        _ => PlanError::Usage(why),
    }
}

/// What of the source alone is copied. As a variable or in the configuration file it is for copies of one folder.
pub(crate) fn listed(copy: &Copy, sources: &[PathBuf]) -> Result<Option<FilesFrom>, PlanError> {
    let Some(file) = &copy.files_from else { return Ok(None) };
    if !copy.typed.has("files-from") && !matches!(sources, [source] if source.is_dir()) {
        return Ok(None);
    }
    let name = plain(&file.display().to_string());
    let text = read(file, MAX_LIST)
        .map_err(|error| PlanError::Here(format!("cannot read the list {name}: {error}")))?;
    let listed = FilesFrom::parse(&text, copy.from0, copy.kept.recursive);
    listed.map(Some).map_err(|error| PlanError::Usage(format!("{name}, {error}")))
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
            all.typed,
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
        let filter = rules(&["--include-from", file, "--exclude", "*"])
            .filter(false, &StandardInput::default())
            .unwrap();
        let out = |path: &[u8], folder| filter.of_source(path, folder).leaves_out();
        assert!(!out(b"x", false) && !out(b"z", true) && out(b"z", false) && out(b"# y", false));
        let why = rules(&["--filter", "merge /no/such"])
            .filter(false, &StandardInput::default())
            .unwrap_err();
        assert!(matches!(&why, PlanError::Here(why) if why.contains("/no/such")), "{why}");
        let why = rules(&["--filter", "x"]).filter(false, &StandardInput::default()).unwrap_err();
        assert!(matches!(&why, PlanError::Usage(why) if why.contains("'x'")), "{why}");
    }

    #[test]
    fn a_pattern_that_is_a_host_is_found() {
        let rules = rules(&["--exclude", "node07", "--exclude", "*.o", "--include", "node08"]);
        let hosts = ["node07", "node08"].map(str::to_owned);
        assert_eq!(rules.like_hosts(&hosts).collect::<Vec<_>>(), ["node07"]);
    }
}
