//! What members are told of a stream, in its order: the values of its blocks, then its length and digest.

use crate::blocks::Value;
use crate::message::{MAX_VALUES, ToReceiver};
use crate::send::board::{Brings, Next};
use blake3::Hash;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values that are kept for the member that has taken the fewest: those of 1 GiB. The session holds back what a member
/// does not take of the stream itself long before.
pub(super) const KEPT: usize = 1024;

/// Values that some member is yet to be told, and the end.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Index of the block that the first of the values is of.
    first: u64,
    values: VecDeque<Value>,
    whole: Option<(u64, Hash)>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the next block.
    pub(super) fn value(&self, value: Value) {
        self.lock().values.push_back(value);
    }

    /// The stream has ended.
    pub(super) fn whole(&self, len: u64, digest: Hash) {
        self.lock().whole = Some((len, digest));
    }

    /// The digest of the stream, once it has ended.
    pub(super) fn digest(&self) -> Option<Hash> {
        self.lock().whole.map(|(_, digest)| digest)
    }

    /// Everybody has been told of the blocks before this one.
    pub(super) fn forget(&self, before: u64) {
        let mut state = self.lock();
        while state.first < before && state.values.pop_front().is_some() {
            state.first += 1;
        }
    }

    /// The first block that can still be told of.
    pub(super) fn first(&self) -> u64 {
        self.lock().first
    }

    /// Blocks that were told of, or are to be, so far.
    pub(super) fn end(&self) -> u64 {
        let state = self.lock();
        state.first + state.values.len() as u64
    }
}

impl Brings for Told {
    fn next(&self, from: u64) -> Next {
        let state = self.lock();
        let end = state.first + state.values.len() as u64;
        // What was forgotten is lost to whoever asks for it.
        let Some(at) = from.checked_sub(state.first) else { return Next::Never };
        if from < end {
            let values = state.values.iter().skip(at as usize).take(MAX_VALUES);
            let values: Vec<_> = (from..).zip(values.copied()).collect();
            let place = from + values.len() as u64;
            return Next::Say(ToReceiver::Values(values), place);
        }
        match state.whole {
            None => Next::Later,
            Some((len, digest)) if from == end => {
                Next::Say(ToReceiver::Whole { len, digest: *digest.as_bytes() }, end + 1)
            }
            Some(_) => Next::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_order_then_the_end() {
        let told = Told::default();
        assert_eq!(told.next(0), Next::Later);
        (0..3).for_each(|n| told.value([n; 32]));
        let values = ToReceiver::Values(vec![(0, [0; 32]), (1, [1; 32]), (2, [2; 32])]);
        assert_eq!(told.next(0), Next::Say(values, 3));
        assert_eq!(told.next(3), Next::Later);
        told.forget(2);
        assert_eq!((told.first(), told.end()), (2, 3));
        assert_eq!(told.next(2), Next::Say(ToReceiver::Values(vec![(2, [2; 32])]), 3));
        assert_eq!(told.next(1), Next::Never, "it is gone");
        told.forget(9);
        assert_eq!((told.first(), told.end()), (3, 3));
        let digest = blake3::hash(b"x");
        told.whole(5, digest);
        let whole = ToReceiver::Whole { len: 5, digest: *digest.as_bytes() };
        assert_eq!(told.next(3), Next::Say(whole, 4));
        assert_eq!(told.next(4), Next::Never);
        assert_eq!(told.digest(), Some(digest));
    }
}
