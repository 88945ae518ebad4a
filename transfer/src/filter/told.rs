//! The rules that count at a receiver, as they are told to it: what they leave out is not deleted there.

use super::pattern::Pattern;
use super::rule::{PATTERN_MAX, Rule, Sides};
use super::steps::Steps;
use super::{Filter, RULES_MAX, Verdict};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of all patterns together that a receiver takes, at most: 10,000 of 400 bytes.
pub const TOLD_MAX: usize = 4 << 20;
/// Steps that all rules together may take over one name: some milliseconds. 10,000 patterns of wildcards over a path of
/// 100 bytes take a quarter of them.
const STEPS: u64 = 4 << 20;

/// A rule as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRule {
    /// As it was written.
    pub pattern: Vec<u8>,
    /// What the pattern does not match is meant.
    pub negated: bool,
    /// What is meant may be deleted; else it is protected.
    pub takes: bool,
    /// It keeps no folder from being deleted.
    pub perishable: bool,
}

/// Rules that nobody tells who means well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ToldError {
    /// More of them, or longer ones together.
    #[error("more rules than are taken, or longer ones")]
    Many,
    /// A pattern that no rule has.
    #[error("a rule whose pattern is empty or longer than a path")]
    Pattern,
}

/// Rules that were told.
#[derive(Debug, Default)]
pub struct Told {
    filter: Filter,
    bytes: usize,
}

/// What the rules say of something that the source does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// It may be deleted.
    Free,
    /// It is protected.
    Protected,
    /// Looking at all rules would take too long: it is protected.
    Undecided,
}

impl Filter {
    /// The rules that count at a receiver, in their order.
    pub fn told(&self) -> impl Iterator<Item = ToldRule> {
        self.rules.iter().filter(|rule| rule.sides.receiver).map(|rule| ToldRule {
            pattern: rule.text.to_vec(),
            negated: rule.negated,
            takes: rule.takes,
            perishable: rule.perishable,
        })
    }
}

impl Told {
    /// One more, behind the others.
    pub fn push(&mut self, told: ToldRule) -> Result<(), ToldError> {
        let ToldRule { pattern: text, negated, takes, perishable } = told;
        if text.is_empty() || text.len() > PATTERN_MAX {
            return Err(ToldError::Pattern);
        }
        self.bytes += text.len();
        if self.filter.rules.len() >= RULES_MAX || self.bytes > TOLD_MAX {
            return Err(ToldError::Many);
        }
        let (pattern, sides) = (Pattern::new(&text), Sides::RECEIVER);
        let rule = Rule { text: Box::default(), pattern, negated, takes, sides, perishable };
        self.filter.rules.push(rule);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.filter.rules.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.filter.rules.is_empty()
    }

    /// What they say of an entry at this path from the root of the transfer. `inside`: of a folder that is to be deleted
    /// itself, which rules that are perishable do not prevent.
    pub fn of(&self, path: &[u8], folder: bool, inside: bool) -> Extra {
        let steps = Steps::new(STEPS);
        let rules = self.filter.rules.iter().filter(|rule| !(inside && rule.perishable));
        let verdict = super::first(rules, path, folder, &steps);
        match verdict {
            _ if steps.are_used_up() => Extra::Undecided,
            Verdict::LeftOut { .. } => Extra::Protected,
            Verdict::Nothing | Verdict::Taken => Extra::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::time::{Duration, Instant};

    fn told(rules: &[&str]) -> Told {
        let (mut filter, mut told) = (Filter::default(), Told::default());
        for rule in rules {
            filter.rule(rule.as_bytes(), false, &|_| Err(io::ErrorKind::NotFound.into())).unwrap();
        }
        filter.told().for_each(|rule| told.push(rule).unwrap());
        told
    }

    #[test]
    fn what_is_told_protects_as_at_the_sender() {
        let told = told(&["H hidden", "P /keep/", "R *.c", "-p *.o", "-! *.t", "S x"]);
        assert_eq!(told.len(), 4);
        for (path, folder, inside, expected) in [
            (&b"keep"[..], true, false, Extra::Protected),
            (b"a/keep", true, false, Extra::Protected), // by the last rule
            (b"a/b.c", false, false, Extra::Free),
            (b"b.o", false, false, Extra::Protected),
            (b"b.o", false, true, Extra::Protected), // by the last rule
            (b"x.t", false, false, Extra::Free),
        ] {
            assert_eq!(told.of(path, folder, inside), expected, "{path:?}");
        }
    }

    #[test]
    fn what_is_perishable_keeps_no_folder() {
        let told = told(&["-p *.o"]);
        assert_eq!(told.of(b"a/b.o", false, false), Extra::Protected);
        assert_eq!(told.of(b"a/b.o", false, true), Extra::Free);
    }

    #[test]
    fn rules_are_bounded_in_number_and_length() {
        let rule = |len: usize| ToldRule {
            pattern: vec![b'x'; len],
            negated: false,
            takes: false,
            perishable: false,
        };
        let mut told = Told::default();
        assert_eq!(told.push(rule(0)), Err(ToldError::Pattern));
        assert_eq!(told.push(rule(PATTERN_MAX + 1)), Err(ToldError::Pattern));
        (0..TOLD_MAX / PATTERN_MAX).for_each(|_| told.push(rule(PATTERN_MAX)).unwrap());
        assert_eq!(told.push(rule(1)), Err(ToldError::Many));
        let mut told = Told::default();
        (0..RULES_MAX).for_each(|_| told.push(rule(1)).unwrap());
        assert_eq!(told.push(rule(1)), Err(ToldError::Many));
    }

    /// Patterns that are tried anew at every place for each star.
    #[test]
    fn nobodys_rules_take_long_over_a_name() {
        let mut told = Told::default();
        let pattern = [b"**".repeat(500), b"*a".repeat(1000), b"b".to_vec()].concat();
        for _ in 0..TOLD_MAX / pattern.len() {
            let pattern = pattern.clone();
            told.push(ToldRule { pattern, negated: false, takes: true, perishable: false })
                .unwrap();
        }
        let (path, begin) = ([b"a".repeat(200).as_slice(); 20].join(&b'/'), Instant::now());
        assert_eq!(told.of(&path, false, false), Extra::Undecided);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}
