//! Prose in documents has lines that a terminal and a review show whole.

use super::repo::Repo;
use super::{Finding, markdown};

/// Characters of a line at most (`CONTRIBUTING.md`, Style).
const MOST: usize = 120;

/// Looks at every document. A row of a table is one line, however long; what is fenced is as it is typed or drawn.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.documents() {
        for (line, text) in markdown::lines(text).0 {
            let len = text.chars().count();
            if len > MOST && !text.starts_with('|') {
                let what = format!("{len} characters: break it at {MOST}");
                found.push(Finding::new(path, line, what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_prose_is_found_and_nothing_else() {
        let (most, more) = ("ä".repeat(MOST), "ä".repeat(MOST + 1));
        let text = format!("{most}\n{more}\n| {more} |\n```\n{more}\n```\n");
        let found = check(&Repo::of(&[("a.md", &text)]));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }
}
