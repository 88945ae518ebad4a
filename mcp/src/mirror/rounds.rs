//! Which hosts are served or told a word at once.

use crate::hosts;
use std::collections::HashMap;

/// The host that a text names, whatever its path: a session has one place for it.
pub fn host_of(text: &str) -> String {
    let target = hosts::parse(text).ok().and_then(|targets| targets.into_iter().next());
    target.map_or_else(|| text.to_owned(), |target| format!("{} {:?}", target.host, target.port))
}

/// Who is told at once: of several paths of one host each in a round of its own, for a session has one place for it.
pub(super) fn rounds(hosts: &[String]) -> Vec<Vec<usize>> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (at, text) in hosts.iter().enumerate() {
        let round = seen.entry(host_of(text)).or_default();
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(at);
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_of_a_host_is_told_of_in_a_round_of_its_own() {
        let hosts = ["h1:a", "h2", "h1:b", "h1:9:c", "h1:d"].map(str::to_owned);
        assert_eq!(rounds(&hosts), [vec![0, 1, 3], vec![2], vec![4]]);
        assert_eq!(rounds(&[]), Vec::<Vec<usize>>::new());
    }
}
