//! One rule as it is written: rsync(1), "FILTER RULES".

use super::pattern::Pattern;
use thiserror::Error;

/// Longest pattern in bytes: a path is no longer (`PATH_MAX` of Linux).
pub(super) const PATTERN_MAX: usize = 4096;

/// What a rule does to what its pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The pattern as it was written.
    pub(super) text: Box<[u8]>,
    pub(super) pattern: Pattern,
    /// What the pattern does not match is meant.
    pub(super) negated: bool,
    /// Of the entry: it is taken, or left out.
    pub(super) takes: bool,
    pub(super) sides: Sides,
    /// It keeps no folder from being deleted.
    pub(super) perishable: bool,
}

/// At which end a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    /// Whether something is sent.
    pub(super) sender: bool,
    /// Whether something may be deleted.
    pub(super) receiver: bool,
}

impl Sides {
    pub(super) const BOTH: Self = Self { sender: true, receiver: true };
    const SENDER: Self = Self { sender: true, receiver: false };
    pub(super) const RECEIVER: Self = Self { sender: false, receiver: true };
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Rule(Rule),
    /// All rules so far are forgotten.
    Clear,
    /// The rules of this file take its place.
    Merge(Merge),
}

/// Rules from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) file: Box<[u8]>,
    pub(super) how: How,
}

/// What lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Rules as those of `--filter`.
    Rules,
    /// Patterns as those of `--exclude` and `--include`, also with an old way to write a rule.
    Prefixed {
        /// Of what they match: it is taken, or left out.
        takes: bool,
    },
    /// Patterns and nothing else: of `merge` with `-` or `+`.
    Plain {
        /// Of what they match: it is taken, or left out.
        takes: bool,
    },
}

/// How the lines of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How {
    pub(super) lines: Lines,
    /// Blanks end a rule as well as line ends do, and there are no comments.
    pub(super) words: bool,
    pub(super) sides: Sides,
    pub(super) perishable: bool,
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RuleError {
    /// It begins with no rule's name.
    #[error(
        "a rule begins with '- ' to leave something out, '+ ' to take it, 'P ' to protect it from --delete, \
         '. FILE' to read rules from a file, or '!' to forget the rules before it"
    )]
    Unknown,
    /// There is no such modifier, or it says nothing here.
    #[error("'{0}' is no modifier of this rule")]
    Modifier(char),
    /// Nothing follows.
    #[error("the rule ends where its pattern should begin")]
    Ends,
    /// `!` stands alone.
    #[error("something stands behind a rule that has no pattern")]
    Trailing,
    /// Rules within the tree that is copied.
    #[error(
        "files of rules inside of the tree (.rsync-filter) are not read: name the rules with --filter, or \
         their file with --filter 'merge FILE'"
    )]
    PerFolder,
    /// A modifier of rsync's that is not known here.
    #[error("rsync's modifier '{modifier}' is not known here: {instead}")]
    Missing {
        /// Its letter.
        modifier: char,
        /// What to do.
        instead: &'static str,
    },
    /// Longer than a path can be.
    #[error("the pattern is longer than 4096 bytes")]
    Long,
}

/// What a line asks for. `None` if there is nothing.
pub(super) fn of(text: &[u8], how: How) -> Result<Option<Line>, RuleError> {
    match how.lines {
        _ if text.is_empty() => Ok(None),
        Lines::Rules => of_line(text, how),
        Lines::Prefixed { takes } => of_prefixed(text, takes, how),
        Lines::Plain { takes } => plain(text, takes, how),
    }
}

/// The rule of `--exclude` and `--include`: a pattern, or an old way to write a rule.
fn of_prefixed(text: &[u8], takes: bool, how: How) -> Result<Option<Line>, RuleError> {
    match text {
        b"!" => Ok(Some(Line::Clear)),
        [b'-', b' ', pattern @ ..] => plain(pattern, false, how),
        [b'+', b' ', pattern @ ..] => plain(pattern, true, how),
        pattern => plain(pattern, takes, how),
    }
}

fn plain(pattern: &[u8], takes: bool, how: How) -> Result<Option<Line>, RuleError> {
    rule(pattern, takes, how.sides, how.perishable, false).map(Some)
}

/// The rule of `--filter`.
fn of_line(text: &[u8], how: How) -> Result<Option<Line>, RuleError> {
    let (kind, rest) = kind(text).ok_or(RuleError::Unknown)?;
    let (marks, rest) = modifiers(kind, rest)?;
    if kind == b'!' {
        return if rest.is_empty() { Ok(Some(Line::Clear)) } else { Err(RuleError::Trailing) };
    }
    if rest.is_empty() {
        return Err(RuleError::Ends);
    }
    let sides = match kind {
        b'H' | b'S' => Sides::SENDER,
        b'P' | b'R' => Sides::RECEIVER,
        _ => marks.sides.unwrap_or(how.sides),
    };
    let perishable = marks.perishable || how.perishable;
    if kind == b'.' {
        let lines = marks.patterns.map_or(Lines::Rules, |takes| Lines::Plain { takes });
        let how = How { lines, words: marks.words, sides, perishable };
        return Ok(Some(Line::Merge(Merge { file: rest.into(), how })));
    }
    rule(rest, matches!(kind, b'+' | b'S' | b'R'), sides, perishable, marks.negated).map(Some)
}

fn rule(
    pattern: &[u8],
    takes: bool,
    sides: Sides,
    perishable: bool,
    negated: bool,
) -> Result<Line, RuleError> {
    match pattern.len() {
        0 => Err(RuleError::Ends),
        1..=PATTERN_MAX => {
            let (text, pattern) = (pattern.into(), Pattern::new(pattern));
            Ok(Line::Rule(Rule { text, pattern, negated, takes, sides, perishable }))
        }
        _ => Err(RuleError::Long),
    }
}

/// Names of rules, and the letter that means the same.
const KINDS: [(&[u8], u8); 10] = [
    (b"exclude", b'-'),
    (b"include", b'+'),
    (b"hide", b'H'),
    (b"show", b'S'),
    (b"protect", b'P'),
    (b"risk", b'R'),
    (b"merge", b'.'),
    (b"clear", b'!'),
    (b"dir-merge", b':'),
    (b"per-dir", b':'),
];

/// The letter of a rule, and what stands behind its name.
fn kind(text: &[u8]) -> Option<(u8, &[u8])> {
    for (name, letter) in KINDS {
        if let Some(rest) = text.strip_prefix(name)
            && matches!(rest, [] | [b' ' | b'_' | b',' | b'\t', ..])
        {
            return Some((letter, rest));
        }
    }
    let (letter, rest) = text.split_first()?;
    KINDS.iter().any(|(_, known)| known == letter).then_some((*letter, rest))
}

/// What stands between a rule's name and its pattern.
#[derive(Debug, Default)]
struct Marks {
    negated: bool,
    perishable: bool,
    sides: Option<Sides>,
    patterns: Option<bool>,
    words: bool,
}

/// The modifiers of a rule, and what stands behind the blank or underscore that ends them.
fn modifiers(kind: u8, text: &[u8]) -> Result<(Marks, &[u8]), RuleError> {
    let mut marks = Marks::default();
    let mut rest = text.strip_prefix(b",").unwrap_or(text);
    while let [mark, behind @ ..] = rest {
        rest = behind;
        match (mark, kind) {
            (b' ' | b'_', _) => break,
            (_, b':') => {}
            (b'!', b'-' | b'+' | b'H' | b'S' | b'P' | b'R') => marks.negated = true,
            (b'-', b'.') => marks.patterns = Some(false),
            (b'+', b'.') => marks.patterns = Some(true),
            (b'w', b'.') => marks.words = true,
            (b'p', _) if kind != b'!' => marks.perishable = true,
            (b's', b'-' | b'+' | b'.') => marks.side(Sides::SENDER),
            (b'r', b'-' | b'+' | b'.') => marks.side(Sides::RECEIVER),
            (b'/', _) => {
                return missing(
                    '/',
                    "a pattern that begins with / begins at the root of the transfer",
                );
            }
            (b'C', _) => return missing('C', "name the patterns with --exclude"),
            (b'x', _) => return missing('x', "attributes are all kept or none"),
            (b'e' | b'n', b'.') => {
                return missing(char::from(*mark), "leave the file out with --exclude");
            }
            (mark, _) => return Err(RuleError::Modifier(char::from(*mark))),
        }
    }
    if kind == b':' { Err(RuleError::PerFolder) } else { Ok((marks, rest)) }
}

fn missing<T>(modifier: char, instead: &'static str) -> Result<T, RuleError> {
    Err(RuleError::Missing { modifier, instead })
}

impl Marks {
    /// With both of them the rule counts at both ends.
    fn side(&mut self, more: Sides) {
        let sides = self.sides.get_or_insert(more);
        sides.sender |= more.sender;
        sides.receiver |= more.receiver;
    }
}
