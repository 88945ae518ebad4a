//! What all members of a session are told, in the order in which it came to be known.

use crate::blocks::Value;
use crate::filter::ToldRule;
use crate::message::{MAX_PATHS, MAX_RULES, MAX_VALUES, ToReceiver};
use crate::tree::moved::Pair;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Values that are worth a message while more are to come, as long as nobody waits for them: a message for 16 MiB.
const BATCH: usize = 16;
/// Longest reason that receivers are told, in bytes: a path may have four times as many.
const MAX_WHY: usize = 1024;

/// One thing that is told.
#[derive(Debug, Clone)]
enum News {
    Part {
        block: u64,
        len: u32,
        digest: Value,
    },
    Value(u64, Value),
    End {
        entries: u64,
        blocks: u64,
    },
    /// What is told once and as it is.
    Word(Box<ToReceiver>),
}

/// All that members are told. A courier needs no queue: what its member is still to be told follows from how far
/// it has come.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<News>,
    /// Where the value of a block stands in the log.
    values: HashMap<u64, u32>,
    /// Everything before is to be told without waiting for more.
    flushed: usize,
    closed: bool,
}

/// What a courier has to bring next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This, and where what follows it begins.
    Say(ToReceiver, u64),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    Never,
}

/// What members are told, each as fast as it takes it.
pub(crate) trait Brings {
    /// What is to be said from a place on.
    fn next(&self, from: u64) -> Next;
}

impl Brings for Board {
    fn next(&self, from: u64) -> Next {
        self.next(from)
    }
}

/// What a value is beside the one that was told before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// There was none.
    New,
    /// It is the same.
    Same,
    /// It is another, and was not told.
    Other,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// A part of the list is there.
    pub fn part(&self, block: u64, len: u32, digest: Value) {
        self.change(|state| {
            state.log.push(News::Part { block, len, digest });
            state.flushed = state.log.len();
        });
    }

    /// The value of a block that was read.
    pub fn value(&self, block: u64, value: Value) -> Posted {
        let mut state = self.lock();
        if let Some(News::Value(_, told)) =
            state.values.get(&block).and_then(|at| state.log.get(*at as usize))
        {
            return if *told == value { Posted::Same } else { Posted::Other };
        }
        let at = state.log.len() as u32;
        state.log.push(News::Value(block, value));
        state.values.insert(block, at);
        drop(state);
        self.changed.notify_all();
        Posted::New
    }

    /// Whether the value of a block was told.
    pub fn has(&self, block: u64) -> bool {
        self.lock().values.contains_key(&block)
    }

    /// Rules that protect what receivers have, in as many messages as they need.
    pub fn rules(&self, rules: &[ToldRule]) {
        self.words(rules, (|rule| rule.pattern.len(), MAX_RULES), ToReceiver::Rules);
    }

    /// What stood under another name before, in as many messages as that needs.
    pub fn moved(&self, pairs: &[Pair]) {
        self.words(pairs, (|(from, to)| from.len() + to.len() + 2, MAX_PATHS), ToReceiver::Moved);
    }

    /// Several things in as many words as they need: each has so many bytes at most, unless it has only one thing.
    fn words<T: Clone>(
        &self,
        all: &[T],
        (len, most): (impl Fn(&T) -> usize, usize),
        word: impl Fn(Vec<T>) -> ToReceiver,
    ) {
        let mut rest = all;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |one: &&T| {
                bytes += len(one);
                bytes <= most
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            self.word(word(now.to_vec()));
            rest = later;
        }
    }

    /// Receivers may delete what the list does not have, by so many rules; or nothing, and why.
    pub fn extras(&self, spared: Option<String>, rules: u64) {
        self.word(spared.map_or(ToReceiver::Extras { rules }, |why| {
            let end = why.floor_char_boundary(MAX_WHY);
            ToReceiver::Spare(why[..end].to_owned())
        }));
    }

    fn word(&self, word: ToReceiver) {
        self.change(|state| {
            state.log.push(News::Word(Box::new(word)));
            state.flushed = state.log.len();
        });
    }

    /// The list has ended.
    pub fn end(&self, entries: u64, blocks: u64) {
        self.change(|state| {
            state.log.push(News::End { entries, blocks });
            state.flushed = state.log.len();
        });
    }

    /// Nothing is to be waited for just now: what there is is told.
    pub(crate) fn flush(&self) {
        self.change(|state| state.flushed = state.log.len());
    }

    /// What is to be said from a place on.
    pub(crate) fn next(&self, from: u64) -> Next {
        self.lock().next(from)
    }

    /// The same, but it waits rather than say [`Next::Later`].
    pub(super) fn wait_next(&self, from: u64) -> Next {
        let mut state = self.lock();
        loop {
            match state.next(from) {
                Next::Later => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }

    /// Nothing will be told any more.
    pub(super) fn close(&self) {
        self.change(|state| {
            state.flushed = state.log.len();
            state.closed = true;
        });
    }
}

impl State {
    fn next(&self, from: u64) -> Next {
        let from = from as usize;
        match self.log.get(from) {
            None if self.closed => Next::Never,
            None => Next::Later,
            Some(&News::Part { block, len, digest }) => {
                Next::Say(ToReceiver::Part { block, len, digest }, from as u64 + 1)
            }
            Some(&News::End { entries, blocks }) => {
                Next::Say(ToReceiver::End { entries, blocks }, from as u64 + 1)
            }
            Some(News::Word(word)) => Next::Say((**word).clone(), from as u64 + 1),
            Some(News::Value(..)) => self.values_from(from),
        }
    }

    fn values_from(&self, from: usize) -> Next {
        let value = |news: &News| match news {
            News::Value(block, value) => Some((*block, *value)),
            _ => None,
        };
        let run = self.log[from..].iter().take(MAX_VALUES).map_while(value);
        let values: Vec<(u64, Value)> = run.collect();
        let end = from + values.len();
        if from < self.flushed || values.len() >= BATCH {
            return Next::Say(ToReceiver::Values(values), end as u64);
        }
        Next::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::moved::MOST_OF_ONE;

    #[test]
    fn rules_are_told_in_messages_that_fit_a_frame() {
        for (count, len) in [(10_000, 1), (1000, 4096), (3, 5000)] {
            let rule =
                ToldRule { pattern: vec![255; len], negated: true, takes: true, perishable: true };
            let (board, rules) = (Board::default(), vec![rule; count]);
            board.rules(&rules);
            board.extras(Some("x".repeat(3000)), 0);
            let (mut place, mut told, mut spared) = (0, Vec::new(), None);
            while let Next::Say(word, next) = board.next(place) {
                crate::message::encode(&word, &mut Vec::new()).unwrap();
                place = next;
                match word {
                    ToReceiver::Rules(more) => told.extend(more),
                    ToReceiver::Spare(why) => spared = Some(why.len()),
                    other => panic!("{other:?}"),
                }
            }
            assert!(told == rules && spared == Some(MAX_WHY));
        }
    }

    #[test]
    fn former_names_are_told_in_messages_that_fit_a_frame() {
        for (count, len) in [(50_000, 0), (1000, 4096), (3, MOST_OF_ONE / 2)] {
            let (board, pairs) = (Board::default(), vec![(vec![1; len], vec![2; len]); count]);
            board.moved(&pairs);
            let (mut place, mut told) = (0, Vec::new());
            while let Next::Say(ToReceiver::Moved(more), next) = board.next(place) {
                crate::message::encode(&ToReceiver::Moved(more.clone()), &mut Vec::new()).unwrap();
                place = next;
                told.extend(more);
            }
            assert!(told == pairs);
        }
    }

    #[test]
    fn values_wait_for_others_until_they_are_flushed() {
        let board = Board::default();
        board.part(0, 5, [1; 32]);
        assert_eq!(board.value(2, [2; 32]), Posted::New);
        let part = ToReceiver::Part { block: 0, len: 5, digest: [1; 32] };
        assert_eq!(board.next(0), Next::Say(part, 1));
        assert_eq!(board.next(1), Next::Later);
        board.flush();
        assert_eq!(board.next(1), Next::Say(ToReceiver::Values(vec![(2, [2; 32])]), 2));
        (3..3 + BATCH as u64)
            .for_each(|block| assert_eq!(board.value(block, [0; 32]), Posted::New));
        let Next::Say(ToReceiver::Values(values), 18) = board.next(2) else { panic!() };
        assert_eq!(values.len(), BATCH);
        assert_eq!(
            (board.value(2, [2; 32]), board.value(2, [3; 32])),
            (Posted::Same, Posted::Other)
        );
        board.end(1, 19);
        assert_eq!(board.next(18), Next::Say(ToReceiver::End { entries: 1, blocks: 19 }, 19));
        assert_eq!(board.next(19), Next::Later);
        board.close();
        assert_eq!(board.next(19), Next::Never);
    }
}
