//! Which folders sessions have put right that began after others which are not over yet. One whose sender was killed lives
//! on for some seconds, and then puts right what it has changed, as it was told: by then a later one may have told
//! something else of the same folder.

use super::{Holders, Inode};
use crate::tree::entry::Time;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};

/// Folders that are remembered at a time, at most: with more, what a session that is broken off was told counts.
const MOST: usize = 65_536;

/// Numbers of the sessions that are not over, and what later ones have said of folders.
#[derive(Default)]
pub(super) struct Turns {
    next: u64,
    live: BTreeSet<u64>,
    right: HashMap<Inode, (u64, Time)>,
}

/// The turn of a session, as long as it is not over.
pub(crate) struct Turn {
    holders: Arc<Holders>,
    number: u64,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Turn {
    /// That of a session which begins now.
    pub(crate) fn new(holders: &Arc<Holders>) -> Self {
        let mut turns = holders.turns();
        let number = turns.next;
        turns.next += 1;
        turns.live.insert(number);
        drop(turns);
        Self { holders: Arc::clone(holders), number }
    }

    /// It has put a folder right, which has this time from now on.
    pub(crate) fn put_right(&self, folder: Inode, modified: Time) {
        let mut turns = self.holders.turns();
        let is_first = turns.live.first() == Some(&self.number);
        let is_known = turns.right.get(&folder);
        let has_room = is_known.is_some() || turns.right.len() < MOST;
        if !is_first && has_room && is_known.is_none_or(|(by, _)| *by <= self.number) {
            turns.right.insert(folder, (self.number, modified));
        }
    }

    /// The time that a later session has given a folder, if one has.
    pub(crate) fn later(&self, folder: Inode) -> Option<Time> {
        let turns = self.holders.turns();
        turns.right.get(&folder).filter(|(by, _)| *by > self.number).map(|(_, time)| *time)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.holders.turns();
        turns.live.remove(&self.number);
        let first = turns.live.first().copied().unwrap_or(u64::MAX);
        turns.right.retain(|_, (by, _)| *by > first);
    }
}

impl Holders {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: Inode = (1, 2);

    fn at(secs: i64) -> Time {
        Time { secs, nanos: 0 }
    }

    #[test]
    fn what_a_later_session_has_put_right_is_known_to_those_before_it() {
        let holders = Arc::new(Holders::default());
        let [first, second, third] = [(); 3].map(|()| Turn::new(&holders));
        second.put_right(FOLDER, at(2));
        let known = [&first, &second, &third].map(|turn| turn.later(FOLDER));
        assert_eq!(known, [Some(at(2)), None, None]);
        third.put_right(FOLDER, at(3));
        second.put_right(FOLDER, at(4)); // it was overtaken
        assert_eq!((first.later(FOLDER), second.later(FOLDER)), (Some(at(3)), Some(at(3))));
        drop(second);
        assert_eq!(first.later(FOLDER), Some(at(3)));
        drop(first);
        assert!(holders.turns().right.is_empty(), "nobody asks any more");
        third.put_right(FOLDER, at(5));
        assert!(holders.turns().right.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let holders = Arc::new(Holders::default());
        let (_first, second) = (Turn::new(&holders), Turn::new(&holders));
        (0..=MOST as u64).for_each(|n| second.put_right((1, n), at(1)));
        assert_eq!(holders.turns().right.len(), MOST);
    }
}
