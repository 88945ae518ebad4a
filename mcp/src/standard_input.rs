//! Standard input, which is read for one thing alone.

use std::cell::Cell;
use std::path::Path;
use thiserror::Error;

/// Stands for it where a file is named.
const NAME: &str = "-";

pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new(NAME)
}

/// What it may be read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// What is copied.
    Source,
    /// Whom it goes to, or what of it goes.
    List,
}

/// It is to be read for a second thing, and would be empty then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Taken {
    #[error("standard input cannot be both the source and a list of hosts or files, or rules")]
    BySource,
    #[error(
        "standard input is only one of the list of hosts, the list of files and one file of rules"
    )]
    ByList,
}

/// What it is read for, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct StandardInput(Cell<Option<Use>>);

impl StandardInput {
    /// Notes that this file is read, for those that are standard input.
    pub(crate) fn claim(&self, file: &Path, next: Use) -> Result<(), Taken> {
        if !is_stdin(file) {
            return Ok(());
        }
        match self.0.replace(Some(next)) {
            None => Ok(()),
            Some(first) if [first, next].contains(&Use::Source) => Err(Taken::BySource),
            Some(_) => Err(Taken::ByList),
        }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.0.get().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_second_is_refused() {
        let stdin = Path::new("-");
        for (first, second, taken) in [
            (Use::Source, Use::List, Taken::BySource),
            (Use::List, Use::Source, Taken::BySource),
            (Use::List, Use::List, Taken::ByList),
        ] {
            let input = StandardInput::default();
            assert_eq!(input.claim(Path::new("./-"), first), Ok(()));
            assert!(!input.is_used());
            assert_eq!(input.claim(stdin, first), Ok(()));
            assert!(input.is_used());
            assert_eq!(input.claim(stdin, second), Err(taken));
        }
    }
}
