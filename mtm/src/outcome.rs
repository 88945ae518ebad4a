//! From what a receiver said after a session to what is noted of its entries.

use crate::ledger::Outcome;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What is noted of the entries of a session, whose numbers ascend: those in `failed` failed, and why; the others have
/// this outcome, or nothing is known of them. They are done if it was said of all failures which they are. Neighbours with
/// the same outcome are one.
pub fn of_session(
    entries: &[u32],
    failed: &BTreeMap<u32, String>,
    others: Option<&Outcome>,
) -> Vec<(RangeInclusive<u32>, Outcome)> {
    let mut all: Vec<(RangeInclusive<u32>, Outcome)> = Vec::new();
    for entry in entries {
        let outcome = match (failed.get(entry), others) {
            (Some(why), _) => Outcome::Failed(why.clone()),
            (None, Some(outcome)) => outcome.clone(),
            (None, None) => continue,
        };
        match all.last_mut() {
            Some((range, last))
                if range.end().checked_add(1) == Some(*entry) && *last == outcome =>
            {
                *range = *range.start()..=*entry;
            }
            _ => all.push((*entry..=*entry, outcome)),
        }
    }
    all
}

/// Entries of a session as ranges, all with one outcome.
pub fn all(entries: &[u32], outcome: &Outcome) -> Vec<(RangeInclusive<u32>, Outcome)> {
    of_session(entries, &BTreeMap::new(), Some(outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_and_what_is_not_named_is_not_known() {
        let full = || "no room".to_owned();
        let failed = BTreeMap::from([(3, full()), (4, full()), (9, "no name".to_owned())]);
        let of = |others| of_session(&[1, 2, 3, 4, 5, 7, 9], &failed, others);
        assert_eq!(
            of(Some(&Outcome::Done)),
            [
                (1..=2, Outcome::Done),
                (3..=4, Outcome::Failed(full())),
                (5..=5, Outcome::Done),
                (7..=7, Outcome::Done),
                (9..=9, Outcome::Failed("no name".to_owned())),
            ]
        );
        assert_eq!(of(None).len(), 2);
        assert_eq!(of(Some(&Outcome::Sent))[0], (1..=2, Outcome::Sent));
        let told = all(&[1, 2, 4], &Outcome::Announced);
        assert_eq!(told, [(1..=2, Outcome::Announced), (4..=4, Outcome::Announced)]);
    }
}
