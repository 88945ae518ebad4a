//! The form of the list of scenarios that are known to fail. Whether it says the truth, the sweep
//! that reads it finds out.

use super::Finding;
use super::repo::Repo;

/// The list.
const LIST: &str = "sim/known-failing.txt";
/// A reason in fewer characters gives none.
const REASON: usize = 20;

/// Looks at every line of the list.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(text) = repo.text(LIST) else {
        return vec![Finding::new(LIST, 1, "it is missing; without entries it is a comment")];
    };
    let mut found = Vec::new();
    let mut last = "";
    for (line, n) in text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#')) {
        found.extend(fault(line).map(|why| Finding::new(LIST, n, why)));
        if line <= last {
            found.push(Finding::new(LIST, n, "lines stand in order, each once"));
        }
        last = line;
    }
    found
}

/// What is wrong with an entry.
fn fault(line: &str) -> Option<&'static str> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [scenario, seeds, reason] = fields[..] else {
        return Some("an entry is scenario, seeds and reason between tabs");
    };
    let name = scenario.strip_suffix('*').unwrap_or(scenario);
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if name.is_empty() || !name.chars().all(sound) {
        return Some("a scenario's name, with a `*` at its end or without");
    }
    let numbers: Option<Vec<u64>> = seeds.split(',').map(|seed| seed.parse().ok()).collect();
    let rising = numbers.is_some_and(|n| n.windows(2).all(|pair| pair[0] < pair[1]));
    if seeds != "*" && !rising {
        return Some("seeds are `*`, or rising numbers with commas");
    }
    (reason.trim().len() < REASON).then_some("it does not say why it fails")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&Repo::of(&[(LIST, text)])).len()
    }

    #[test]
    fn a_sound_list_is_fine_and_so_is_one_without_entries() {
        assert_eq!(found("# comment\n"), 0);
        let why = "it falls for a reason that is long enough";
        assert_eq!(found(&format!("# a\na-1.5-*\t*\t{why}\nb\t3,17\t{why}\n")), 0);
        assert_eq!(check(&Repo::of(&[])).len(), 1);
    }

    #[test]
    fn what_is_not_in_form_is_found() {
        let why = "it falls for a reason that is long enough";
        for line in [
            format!("a\t{why}"),
            format!("*\t*\t{why}"),
            format!("a*b\t*\t{why}"),
            format!("a b\t*\t{why}"),
            format!("a\t3,2\t{why}"),
            format!("a\tall\t{why}"),
            format!("a\t3,\t{why}"),
            "a\t*\tflaky".to_owned(),
            String::new(),
        ] {
            assert!(found(&format!("{line}\n")) > 0, "{line}");
        }
        assert_eq!(found(&format!("b\t*\t{why}\na\t*\t{why}\n")), 1, "out of order");
        assert_eq!(found(&format!("a\t*\t{why}\na\t*\t{why}\n")), 1, "twice");
    }
}
