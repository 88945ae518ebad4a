//! What of a tree is sent and what may be deleted: rsync's rules, the first that matches decides.
//!
//! The grammar is that of rsync(1), "FILTER RULES", but for rules in files within the tree (`dir-merge`), absolute
//! paths (`/`), CVS's patterns (`C`) and attributes (`x`). What it does was compared with rsync itself, by a table and
//! with random rules over random trees.

mod glob;
mod pattern;
mod rule;
mod steps;
mod told;

#[cfg(test)]
mod tests;

use crate::shown::shown;
use rule::{How, Line, Lines, Merge, Rule, Sides};
use std::io;
use std::path::{Path, PathBuf};
use steps::Steps;
use thiserror::Error;

pub use rule::RuleError;
pub use told::{Extra, TOLD_MAX, Told, ToldError, ToldRule};

/// Files that read files of rules, at most: a file that names itself ends there.
const MERGES_DEEP: usize = 16;
/// Rules, at most: every entry is compared with all of them until one matches.
const RULES_MAX: usize = 10_000;

/// Rules in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    rules: Vec<Rule>,
}

/// What the rules say of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No rule matches: it is taken.
    Nothing,
    /// A rule takes it.
    Taken,
    /// A rule leaves it out, and if it is a folder all that is below it.
    LeftOut {
        /// It keeps no folder from being deleted.
        perishable: bool,
    },
}

/// Rules that cannot be used.
#[derive(Debug, Error)]
pub enum FilterError {
    /// One of them is none.
    #[error("'{}': {error}", shown(rule))]
    Rule {
        /// As it was given.
        rule: Vec<u8>,
        /// What is wrong.
        error: RuleError,
    },
    /// One of a file is none.
    #[error("{} line {line}: '{}': {error}", file.display(), shown(rule))]
    Line {
        /// Of it.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// As it stands there.
        rule: Vec<u8>,
        /// What is wrong.
        error: RuleError,
    },
    /// A file of rules cannot be read.
    #[error("cannot read the rules in {}: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file of rules reads itself.
    #[error("{} is read from more than {MERGES_DEEP} files of rules, one in the other", file.display())]
    Deep {
        /// Which.
        file: PathBuf,
    },
    /// Too many of them.
    #[error("more than {RULES_MAX} rules")]
    Many,
}

/// Reads a file of rules.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// How files of rules are read.
#[derive(Clone, Copy)]
struct Files<'a> {
    /// Their lines end with a zero byte.
    from0: bool,
    read: ReadFile<'a>,
    /// So many are being read, one from the other.
    deep: usize,
}

impl Filter {
    /// No rule: everything is taken.
    pub const EMPTY: Self = Self { rules: Vec::new() };

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// As `--exclude` does: what the pattern matches is left out.
    pub fn exclude(&mut self, pattern: &[u8]) -> Result<(), FilterError> {
        self.pattern(pattern, false)
    }

    /// As `--include` does: what the pattern matches is taken, whatever later rules say.
    pub fn include(&mut self, pattern: &[u8]) -> Result<(), FilterError> {
        self.pattern(pattern, true)
    }

    fn pattern(&mut self, pattern: &[u8], takes: bool) -> Result<(), FilterError> {
        let failed = |error| FilterError::Rule { rule: pattern.to_vec(), error };
        let how = How { lines: Lines::Prefixed { takes }, ..RULES };
        let line = rule::of(pattern, how).map_err(failed)?;
        let read = &|_: &Path| Err(io::ErrorKind::Unsupported.into());
        self.take(line, Files { from0: false, read, deep: 0 })
    }

    /// As `--filter` does: any rule; `read` gives the files that it names. Lines of these end with a zero byte if
    /// `from0`.
    pub fn rule(
        &mut self,
        text: &[u8],
        from0: bool,
        read: ReadFile<'_>,
    ) -> Result<(), FilterError> {
        let failed = |error| FilterError::Rule { rule: text.to_vec(), error };
        let line = rule::of(text, RULES).map_err(failed)?;
        self.take(line, Files { from0, read, deep: 0 })
    }

    /// Puts more rules behind these.
    pub fn append(&mut self, later: Self) -> Result<(), FilterError> {
        if self.rules.len() + later.rules.len() > RULES_MAX {
            return Err(FilterError::Many);
        }
        self.rules.extend(later.rules);
        Ok(())
    }

    /// As `--exclude-from` (`takes` is false) and `--include-from` do: a pattern a line of this file; lines end with a
    /// zero byte if `from0`.
    pub fn patterns_from(
        &mut self,
        file: &Path,
        takes: bool,
        from0: bool,
        read: ReadFile<'_>,
    ) -> Result<(), FilterError> {
        let how = How { lines: Lines::Prefixed { takes }, ..RULES };
        self.merge(file, how, Files { from0, read, deep: 0 })
    }

    fn take(&mut self, line: Option<Line>, files: Files<'_>) -> Result<(), FilterError> {
        match line {
            None => {}
            Some(Line::Clear) => self.rules.clear(),
            Some(Line::Rule(_)) if self.rules.len() == RULES_MAX => return Err(FilterError::Many),
            Some(Line::Rule(rule)) => self.rules.push(rule),
            Some(Line::Merge(Merge { file, how })) => {
                use std::os::unix::ffi::OsStrExt;
                let file = Path::new(std::ffi::OsStr::from_bytes(&file));
                self.merge(file, how, files)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, file: &Path, how: How, files: Files<'_>) -> Result<(), FilterError> {
        let Files { from0, read, deep } = files;
        if deep == MERGES_DEEP {
            return Err(FilterError::Deep { file: file.to_owned() });
        }
        let text =
            read(file).map_err(|error| FilterError::File { file: file.to_owned(), error })?;
        let ends = |byte: &u8| match byte {
            // isspace(3) of the locale C
            b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r' if how.words => true,
            _ if from0 => *byte == 0,
            byte => matches!(byte, b'\n' | b'\r'),
        };
        let mut number = 1;
        let mut rest = &text[..];
        while !rest.is_empty() {
            let end = rest.iter().position(ends).unwrap_or(rest.len());
            let text = &rest[..end];
            let comment = !how.words && matches!(text, [b'#' | b';', ..]);
            if !comment {
                let line = rule::of(text, how).map_err(|error| FilterError::Line {
                    file: file.to_owned(),
                    line: number,
                    rule: text.to_vec(),
                    error,
                })?;
                self.take(line, Files { deep: deep + 1, ..files })?;
            }
            number += usize::from(matches!(rest.get(end), Some(b'\n' | b'\0')));
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        Ok(())
    }

    /// What the rules say of an entry that could be sent. A folder above it that is left out takes it with it, which
    /// is not looked at here.
    ///
    /// `path` leads from the root of the transfer, without `/` at its ends.
    pub fn of_source(&self, path: &[u8], folder: bool) -> Verdict {
        self.of(path, folder, |sides| sides.sender)
    }

    /// What the rules say of an entry at a receiver that could be deleted: one that is left out is protected.
    pub fn of_target(&self, path: &[u8], folder: bool) -> Verdict {
        self.of(path, folder, |sides| sides.receiver)
    }

    fn of(&self, path: &[u8], folder: bool, counts: impl Fn(Sides) -> bool) -> Verdict {
        let rules = self.rules.iter().filter(|rule| counts(rule.sides));
        first(rules, path, folder, &Steps::endless())
    }
}

/// What the first of these rules says that matches; nothing that counts once the steps are used up.
fn first<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    path: &[u8],
    folder: bool,
    steps: &Steps,
) -> Verdict {
    let matches = |rule: &&Rule| {
        let matches = rule.pattern.matches(path, folder, steps);
        steps.are_used_up() || matches != rule.negated
    };
    match rules.into_iter().find(matches) {
        None => Verdict::Nothing,
        Some(rule) if rule.takes => Verdict::Taken,
        Some(rule) => Verdict::LeftOut { perishable: rule.perishable },
    }
}

impl Verdict {
    /// Whether it is left out.
    pub fn leaves_out(self) -> bool {
        matches!(self, Self::LeftOut { .. })
    }
}

/// Lines are rules, which count at both ends.
const RULES: How = How { lines: Lines::Rules, words: false, sides: Sides::BOTH, perishable: false };
