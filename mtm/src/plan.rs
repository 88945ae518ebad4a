//! Which receivers get which entries in one session.
//!
//! All who have asked share one session: what two of them lack goes to the group once, what one alone lacks goes to it
//! by unicast. Only a receiver that is far slower than the fastest is left to a session of its own kind beside it, so
//! that the next round of the others does not wait for it.

use crate::ledger::ReceiverId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Receivers whose rate is lower than the fastest one's by more than this factor get a session of their own. Below it a
/// session for all ends sooner: the line of the sender carries everything twice else.
pub const SLOWER: f64 = 4.0;

/// What one receiver has asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Who it is.
    pub receiver: ReceiverId,
    /// Numbers of the entries that it lacks, ascending; shared by those that lack the same, as most do ([`Lists`]).
    pub lacks: Arc<[u32]>,
    /// Bytes a second that it took lately, if that is known.
    pub rate: Option<f64>,
}

/// Lists of entries, each once in memory however many receivers lack the same.
#[derive(Debug, Default)]
pub struct Lists(Vec<Arc<[u32]>>);

impl Lists {
    /// All of them.
    pub fn all(&self) -> &[Arc<[u32]>] {
        &self.0
    }

    /// The list that says the same.
    pub fn share(&mut self, list: Vec<u32>) -> Arc<[u32]> {
        // There are as many as hosts differ: few, or short.
        if let Some(known) = self.0.iter().find(|known| ***known == *list) {
            return Arc::clone(known);
        }
        let list: Arc<[u32]> = list.into();
        self.0.push(Arc::clone(&list));
        list
    }
}

/// One session of a round; those of a round may run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// To whom.
    pub receivers: Vec<ReceiverId>,
    /// Numbers of the entries that one of them lacks, ascending.
    pub entries: Vec<u32>,
    /// Bytes that go to its group: one size of each entry that two or more of them lack.
    pub shared: u64,
    /// Bytes that go to one of them alone.
    pub alone: u64,
}

/// The sessions of a round, the fastest first; `size` tells the bytes of an entry. Who lacks nothing is in none.
pub fn sessions(wanted: &[Wanted], size: impl Fn(u32) -> u64) -> Vec<Session> {
    let mut asked: Vec<&Wanted> = wanted.iter().filter(|one| !one.lacks.is_empty()).collect();
    // Of whom nothing is known is taken for fast: the session finds it out.
    let rate = |one: &Wanted| one.rate.filter(|rate| *rate > 0.0).unwrap_or(f64::INFINITY);
    asked.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
    let known = asked.iter().map(|one| rate(one)).find(|rate| rate.is_finite());
    let mut fastest = known.unwrap_or(f64::INFINITY);
    let mut classes: Vec<Vec<&Wanted>> = Vec::new();
    for one in asked {
        match classes.last_mut() {
            Some(class) if rate(one) * SLOWER >= fastest => class.push(one),
            Some(_) => {
                fastest = rate(one);
                classes.push(vec![one]);
            }
            None => classes.push(vec![one]),
        }
    }
    classes.iter().map(|class| session(class, &size)).collect()
}

/// Entries with all that are further names of theirs (`node` tells of an entry whose content has several names which one
/// that is): one name alone would be copied as a file of its own. Both ascend.
pub fn with_links<N: Ord>(
    entries: &[u32],
    all: impl Iterator<Item = u32>,
    node: impl Fn(u32) -> Option<N>,
) -> Vec<u32> {
    let nodes: BTreeSet<N> = entries.iter().filter_map(|entry| node(*entry)).collect();
    if nodes.is_empty() {
        return entries.to_vec();
    }
    let further = all.filter(|entry| node(*entry).is_some_and(|node| nodes.contains(&node)));
    let with: BTreeSet<u32> = entries.iter().copied().chain(further).collect();
    with.into_iter().collect()
}

fn session(class: &[&Wanted], size: &impl Fn(u32) -> u64) -> Session {
    // By number: those of a job's entries are given from 0 on, without gaps.
    let mut lacking: Vec<u32> = Vec::new();
    for (list, receivers) in counted(class) {
        let end = list.last().map_or(0, |last| *last as usize + 1);
        lacking.resize(lacking.len().max(end), 0);
        for entry in list {
            lacking[*entry as usize] += receivers;
        }
    }
    let lacking = || (0..).zip(&lacking).filter(|(_, receivers)| **receivers > 0);
    let sum = |shared: bool| {
        let own = lacking().filter(|(_, receivers)| (**receivers > 1) == shared);
        own.fold(0_u64, |sum, (entry, _)| sum.saturating_add(size(entry)))
    };
    let (shared, alone) = (sum(true), sum(false));
    let mut receivers: Vec<_> = class.iter().map(|one| one.receiver).collect();
    receivers.sort_unstable();
    Session { receivers, entries: lacking().map(|(entry, _)| entry).collect(), shared, alone }
}

/// The lists of a class, each with how many have it.
fn counted<'a>(class: &[&'a Wanted]) -> Vec<(&'a [u32], u32)> {
    let mut counted: Vec<(&Arc<[u32]>, u32)> = Vec::new();
    for one in class {
        match counted.iter_mut().find(|(list, _)| Arc::ptr_eq(list, &one.lacks)) {
            Some((_, receivers)) => *receivers += 1,
            None => counted.push((&one.lacks, 1)),
        }
    }
    counted.into_iter().map(|(list, receivers)| (&**list, receivers)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(receiver: ReceiverId, lacks: &[u32], rate: Option<f64>) -> Wanted {
        Wanted { receiver, lacks: lacks.into(), rate }
    }

    #[test]
    fn all_who_asked_share_a_session_and_what_two_lack_goes_once() {
        let asked = [
            wanted(1, &[1, 2], Some(1e6)),
            wanted(2, &[2, 3], None),
            wanted(3, &[2], Some(3e6)),
            wanted(4, &[], Some(1e6)),
        ];
        let plan = sessions(&asked, |entry| u64::from(entry) * 100);
        let one =
            Session { receivers: vec![1, 2, 3], entries: vec![1, 2, 3], shared: 200, alone: 400 };
        assert_eq!(plan, [one]);
        assert_eq!(sessions(&[], |_| 1), []);
    }

    #[test]
    fn who_has_several_names_is_sent_with_all_of_them() {
        let node = |entry: u32| entry.is_multiple_of(5).then_some(entry / 50);
        assert_eq!(with_links(&[1, 5, 7], 0..60, node)[..4], [0, 1, 5, 7]);
        assert_eq!(with_links(&[1, 55], 0..60, node), [1, 50, 55]);
        assert_eq!(with_links(&[1, 2], 0..60, node), [1, 2]);
    }

    #[test]
    fn who_is_far_slower_does_not_hold_the_others() {
        let asked = [
            wanted(1, &[1], Some(8000.0)),
            wanted(2, &[1], Some(1e6)),
            wanted(3, &[1], Some(2e6)),
            wanted(4, &[1], Some(9000.0)),
        ];
        let plan = sessions(&asked, |_| 10);
        assert_eq!(plan.iter().map(|s| s.receivers.clone()).collect::<Vec<_>>(), [[2, 3], [1, 4]]);
    }

    proptest! {
        #[test]
        fn everybody_gets_what_it_lacks_once_and_a_group_carries_no_entry_twice(
            lacks in prop::collection::vec(prop::collection::btree_set(0_u32..30, 0..20), 0..12),
            rates in prop::collection::vec(prop::option::of(1.0_f64..1e9), 12),
            sizes in prop::collection::vec(0_u64..1 << 40, 30),
        ) {
            let mut lists = Lists::default();
            let asked: Vec<_> = (0..).zip(lacks.iter()).zip(&rates)
                .map(|((n, lacks), rate)| {
                    let lacks = lists.share(lacks.iter().copied().collect());
                    Wanted { receiver: n, lacks, rate: *rate }
                })
                .collect();
            let size = |entry: u32| sizes[entry as usize];
            let plan = sessions(&asked, size);
            let mut served = BTreeSet::new();
            for session in &plan {
                let own = |entry: u32| {
                    session.receivers.iter().filter(|r| lacks[**r as usize].contains(&entry)).count()
                };
                let sum = |want: fn(usize) -> bool| -> u64 {
                    (0..30).filter(|entry| want(own(*entry))).map(size).sum()
                };
                prop_assert!(session.shared <= sum(|n| n > 1));
                prop_assert!(session.alone <= sum(|n| n == 1));
                prop_assert!(session.entries.iter().all(|entry| own(*entry) > 0));
                for receiver in &session.receivers {
                    prop_assert!(served.insert(*receiver), "it is in two sessions");
                    for entry in &lacks[*receiver as usize] {
                        prop_assert!(session.entries.contains(entry));
                    }
                }
            }
            let all = asked.iter().filter(|one| !one.lacks.is_empty()).map(|one| one.receiver);
            prop_assert_eq!(served, all.collect::<BTreeSet<_>>());
        }
    }
}
