//! Which sessions of this process write below which folder: who deletes what is not in its own list would delete what
//! another one brings.

use super::{GIVEN_BACK, Holder, Holders, Inode, LEFT, Presence};
use rustix::fs::{Mode, OFlags, fstat, openat};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

/// What a sender is told whose session was taken to be left.
const ENDED: &str = "a later copy of the same sender deletes what is not in its own list";

/// A session that writes.
struct Writer {
    holder: Arc<Holder>,
    /// The folder that it writes below, and all above that.
    way: Vec<Inode>,
    /// Another one has come to write below the same folder since this one asked, though it may be over already.
    joined: bool,
}

/// All of them, by numbers that grow.
#[derive(Default)]
pub(super) struct Writers {
    next: u64,
    all: BTreeMap<u64, Writer>,
}

impl Writers {
    fn join(&mut self, new: Writer) -> u64 {
        for other in self.all.values_mut() {
            other.joined |= overlap(&new.way, &other.way);
        }
        let number = self.next;
        self.next += 1;
        self.all.insert(number, new);
        number
    }

    /// Who writes below the folder of another one, or in a folder above it.
    fn beside(&self, own: u64) -> Vec<(u64, Arc<Holder>)> {
        let way = self.all.get(&own).map_or(&[][..], |own| &own.way);
        let others = self.all.iter().filter(|(number, _)| **number != own);
        let beside = others.filter(|(_, other)| overlap(way, &other.way));
        beside.map(|(number, other)| (*number, Arc::clone(&other.holder))).collect()
    }
}

/// Whether one of two folders is in the other, or they are the same: each with those above it.
fn overlap(one: &[Inode], other: &[Inode]) -> bool {
    let is_in = |folder: Option<&Inode>, way: &[Inode]| folder.is_some_and(|f| way.contains(f));
    is_in(one.first(), other) || is_in(other.first(), one)
}

/// A folder and those above it, as far as they may be looked at.
fn way_up(folder: BorrowedFd<'_>) -> Vec<Inode> {
    let mut way: Vec<Inode> = Vec::new();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(folder, ".", flags, Mode::empty());
    while let Ok(fd) = at {
        let Ok(stat) = fstat(&fd) else { break };
        let inode = (stat.st_dev, stat.st_ino);
        if way.last() == Some(&inode) {
            break; // what is above the topmost one is that one
        }
        way.push(inode);
        at = openat(&fd, "..", flags, Mode::empty());
    }
    way
}

/// A session writes as long as this stands.
pub(crate) struct Writing {
    holders: Arc<Holders>,
    number: u64,
    sender: [u8; 32],
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.holders.writers().all.remove(&self.number);
        self.holders.written.notify_all();
    }
}

impl Writing {
    /// This session writes below this folder from now on.
    pub(crate) fn below(
        holders: &Arc<Holders>,
        holder: &Arc<Holder>,
        folder: BorrowedFd<'_>,
    ) -> Self {
        let writer = Writer { holder: Arc::clone(holder), way: way_up(folder), joined: false };
        let number = holders.writers().join(writer);
        Self { holders: Arc::clone(holders), number, sender: holder.sender }
    }

    /// Whether another session writes below the same folder. One of the same sender that does not answer within
    /// [`LEFT`], though it was heard of a moment ago, is ended, so that it cannot go on, and does not count once it has
    /// stopped writing.
    pub(crate) fn is_shared(&self) -> bool {
        let mut writers = self.holders.writers();
        let others = writers.beside(self.number);
        if let Some(own) = writers.all.get_mut(&self.number) {
            own.joined = false;
        }
        drop(writers); // the wait is long
        others.iter().any(|(number, other)| !self.is_gone(*number, other))
    }

    /// Whether one has come since that was asked, and be it that it has gone again: what it brought stands there.
    pub(crate) fn is_joined(&self) -> bool {
        self.holders.writers().all.get(&self.number).is_some_and(|own| own.joined)
    }

    /// Whether another session writes no more, which one that its sender has left is made to.
    fn is_gone(&self, number: u64, other: &Holder) -> bool {
        let begin = Instant::now();
        // What came before may be the last that was heard of it.
        match other.presence(|| begin.elapsed(), LEFT) {
            Presence::Over => {}
            Presence::Silent if other.sender == self.sender => other.pulse.end(ENDED),
            Presence::There | Presence::Silent => return false,
        }
        let is_there = |writers: &mut Writers| writers.all.contains_key(&number);
        let all = self.holders.writers();
        let waited = self.holders.written.wait_timeout_while(all, GIVEN_BACK, is_there);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Holders {
    fn writers(&self) -> MutexGuard<'_, Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lives;
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A sender that fell silent then, and is told when its session is ended.
    struct Sender {
        state: State,
        end: mpsc::Sender<()>,
    }

    #[derive(Debug, Clone, Copy)]
    enum State {
        There,
        Silent(Instant),
        Over,
    }

    impl Lives for Sender {
        fn silence(&self) -> Option<Duration> {
            match self.state {
                State::There => Some(Duration::ZERO),
                State::Silent(since) => Some(since.elapsed()),
                State::Over => None,
            }
        }

        fn ping(&self) {}

        fn end(&self, _: &str) {
            self.end.send(()).unwrap();
        }
    }

    /// A session, and what hears of it that it is ended.
    fn session(
        holders: &Arc<Holders>,
        folder: &Path,
        sender: u8,
        state: State,
    ) -> (Writing, mpsc::Receiver<()>) {
        let (end, ended) = mpsc::channel();
        let pulse = Box::new(Sender { state, end });
        let holder = Arc::new(Holder { sender: [sender; 32], peer: String::new(), pulse });
        (Writing::below(holders, &holder, File::open(folder).unwrap().as_fd()), ended)
    }

    fn writing(holders: &Arc<Holders>, folder: &Path) -> Writing {
        session(holders, folder, 1, State::There).0
    }

    #[test]
    fn sessions_share_a_folder_if_one_is_in_the_other() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/b", "c"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for (one, other, shared) in [
            ("a", "a", true),
            ("a", "a/b", true),
            ("a/b", "a", true),
            ("", "c", true),
            ("a", "c", false),
            ("a/b", "c", false),
        ] {
            let holders = Arc::new(Holders::default());
            let one_writes = writing(&holders, &dir.path().join(one));
            assert!(!one_writes.is_shared(), "{one}");
            let other_writes = writing(&holders, &dir.path().join(other));
            let all = (one_writes.is_joined(), one_writes.is_shared(), other_writes.is_shared());
            assert_eq!(all, (shared, shared, shared), "{one} {other}");
            assert!(!one_writes.is_joined(), "it was seen");
            drop(other_writes);
            assert!(!one_writes.is_shared(), "{one} {other}");
            drop(writing(&holders, &dir.path().join(other)));
            assert_eq!(one_writes.is_joined(), shared, "{one} {other}, which has gone again");
        }
    }

    /// Who has left may come back, and would go on beside what is deleted: its session is ended first. It may have been
    /// heard of a moment ago.
    #[test]
    fn one_that_its_sender_has_left_is_ended_and_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        for since in [now, now.checked_sub(LEFT).unwrap()] {
            let holders = Arc::new(Holders::default());
            let (left, ended) = session(&holders, dir.path(), 1, State::Silent(since));
            let own = writing(&holders, dir.path());
            let leaving = std::thread::spawn(move || {
                ended.recv().unwrap();
                drop(left);
            });
            assert!(!own.is_shared());
            leaving.join().unwrap();
        }
    }

    /// As where another sender's network stands still for a moment.
    #[test]
    fn one_of_another_sender_counts_as_long_as_it_is_not_over() {
        let dir = tempfile::tempdir().unwrap();
        let holders = Arc::new(Holders::default());
        let (other, ended) = session(&holders, dir.path(), 2, State::Silent(Instant::now()));
        let own = writing(&holders, dir.path());
        assert!(own.is_shared());
        drop(other);
        assert!(!own.is_shared());
        assert!(ended.try_recv().is_err(), "it was not ended");
    }

    /// It is over for its sender, and something of it is still being put in place.
    #[test]
    fn one_that_is_over_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let holders = Arc::new(Holders::default());
        let (over, _ended) = session(&holders, dir.path(), 2, State::Over);
        let own = writing(&holders, dir.path());
        assert!(own.is_shared(), "it does not come to an end");
        let ending = std::thread::spawn(move || drop(over));
        assert!(!own.is_shared());
        ending.join().unwrap();
    }
}
