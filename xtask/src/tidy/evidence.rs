//! Every test that a document names beside its file (`file.rs`: `name`, `name`) is there.

use super::repo::Repo;
use super::{Finding, markdown};
use std::path::Path;

/// Looks at every document.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.documents() {
        for (line, text) in markdown::lines(text).0 {
            for (file, name) in named(text) {
                let there =
                    repo.text(file).is_some_and(|text| text.contains(&format!("fn {name}(")));
                if !there {
                    found.push(Finding::new(path, line, format!("`{file}` has no test `{name}`")));
                }
            }
        }
    }
    found
}

/// Files and what is named behind them, from the root of the workspace.
fn named(line: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = line.split('`').collect();
    let mut found = Vec::new();
    let mut file = None;
    for pair in parts.chunks_exact(2) {
        let (before, span) = (pair[0], pair[1]);
        match file {
            _ if Path::new(span).extension().is_some_and(|ext| ext == "rs") => file = Some(span),
            Some(file) if matches!(before, ": " | ", ") => found.push((file, span)),
            _ => file = None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let source = "#[test]\nfn one() {}\nfn of_a_property(\n    x: u8,\n) {}\n";
        let repo = Repo::of(&[("a/b.rs", source), ("docs/a.md", text)]);
        check(&repo).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn tests_that_are_there_are_fine() {
        for text in [
            "| `x` | `a/b.rs`: `one`, `of_a_property` |",
            "`a/b.rs` has `three`, `a/b.rs`, then `four`: `five`",
            "```\n`a/b.rs`: `six`\n```",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn others_are_named() {
        let text = "\n| `a/b.rs`: `one`, `two` | `a/c.rs`: `one` |";
        assert_eq!(
            found(text),
            ["docs/a.md:2: `a/b.rs` has no test `two`", "docs/a.md:2: `a/c.rs` has no test `one`"]
        );
    }
}
