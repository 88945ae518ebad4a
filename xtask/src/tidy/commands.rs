//! Every cargo command in the documents' `sh` blocks names packages and targets that exist.

use super::repo::Repo;
use super::{Finding, manifests, markdown};
use std::collections::BTreeSet;

/// Cargo's own subcommands that the documents may use.
const KNOWN: [&str; 8] = ["bench", "build", "check", "clippy", "doc", "fmt", "run", "test"];

/// What there is to name, by the option that names it.
#[derive(Debug, Default)]
struct Targets {
    packages: BTreeSet<String>,
    bins: BTreeSet<String>,
    examples: BTreeSet<String>,
    benches: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// Looks at every document.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let targets = targets(repo);
    let mut found = Vec::new();
    for (path, text) in repo.documents() {
        for fenced in markdown::lines(text).1 {
            if fenced.language == "sh"
                && let Some(why) = fault(&targets, fenced.text)
            {
                found.push(Finding::new(path, fenced.line, why));
            }
        }
    }
    found
}

/// Collects what the members offer.
fn targets(repo: &Repo) -> Targets {
    let mut targets = Targets::default();
    for (folder, entries) in manifests::packages(repo) {
        let named = |section: &'static str| {
            let named = entries.iter().filter(move |e| e.section == section && e.key == "name");
            named.map(|e| e.text().to_owned())
        };
        targets.packages.extend(named("package"));
        if repo.exists(&format!("{folder}/src/main.rs")) {
            targets.bins.extend(named("package"));
        }
        for (into, section, place) in [
            (&mut targets.bins, "bin", "src/bin/"),
            (&mut targets.examples, "example", "examples/"),
            (&mut targets.benches, "bench", "benches/"),
            (&mut targets.tests, "test", "tests/"),
        ] {
            into.extend(named(section));
            let place = format!("{folder}/{place}");
            let files = repo.below(&place).filter_map(|path| {
                path.strip_suffix("/main.rs").or_else(|| path.strip_suffix(".rs"))
            });
            into.extend(files.filter(|name| !name.contains('/')).map(str::to_owned));
        }
    }
    targets
}

/// What is wrong with a line, if it is a cargo command.
fn fault(targets: &Targets, line: &str) -> Option<String> {
    let mut words = line.split('#').next()?.split_whitespace().skip_while(|w| w.contains('='));
    if words.next() != Some("cargo") {
        return None;
    }
    let subcommand = words.next().unwrap_or_default();
    let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
    if subcommand == "xtask" {
        let known = crate::SUBCOMMANDS.iter().any(|(name, _)| words == [*name]);
        return (!known).then(|| format!("`cargo xtask {}` does not exist", words.join(" ")));
    }
    if !KNOWN.contains(&subcommand) {
        return Some(format!("`cargo {subcommand}` needs more than Rust itself"));
    }
    let mut chosen = false;
    for pair in words.windows(2) {
        let (what, names) = match pair[0] {
            "-p" | "--package" => ("package", &targets.packages),
            "--bin" => ("binary", &targets.bins),
            "--example" => ("example", &targets.examples),
            "--bench" => ("bench", &targets.benches),
            "--test" => ("test", &targets.tests),
            _ => continue,
        };
        chosen = true;
        if !names.contains(pair[1]) {
            return Some(format!("there is no {what} `{}`", pair[1]));
        }
    }
    (subcommand == "run" && !chosen).then(|| "`cargo run` does not say what to run".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<String> {
        let readme = format!("```sh\n{line}\n```\n```text\ncargo run --bin gone\n```\n");
        let repo = Repo::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\n\"a\", #\n\"b\", #\n]\n"),
            ("a/Cargo.toml", "[package]\nname = \"one\"\n[[bench]]\nname = \"engine\"\n"),
            ("a/src/main.rs", ""),
            ("a/src/bin/two/main.rs", ""),
            ("a/examples/send.rs", ""),
            ("b/Cargo.toml", "[package]\nname = \"lib\"\n"),
            ("b/tests/whole.rs", ""),
            ("README.md", &readme),
        ]);
        check(&repo).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn what_exists_is_fine() {
        for line in [
            "cargo run --release --bin one -- demo --bin gone",
            "cargo run -p one --bin two # twice",
            "SEED=1 cargo test -p lib --test whole",
            "cargo test --workspace",
            "cargo run -p one --example send",
            "cargo bench -p one --bench engine",
            "cargo xtask tidy",
            "ls gone",
        ] {
            assert_eq!(found(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn what_does_not_is_named() {
        for (line, why) in [
            ("cargo run --bin gone", "there is no binary `gone`"),
            ("cargo run --bin lib", "there is no binary `lib`"),
            ("cargo test -p gone", "there is no package `gone`"),
            ("cargo run -p lib --example gone", "there is no example `gone`"),
            ("cargo bench --bench gone", "there is no bench `gone`"),
            ("cargo run", "`cargo run` does not say what to run"),
            ("cargo xtask gone", "`cargo xtask gone` does not exist"),
            ("cargo nextest run", "`cargo nextest` needs more than Rust itself"),
        ] {
            assert_eq!(found(line), [format!("README.md:2: {why}")], "{line}");
        }
    }
}
