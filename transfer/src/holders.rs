//! Who writes which partial file in this process, so that a session can take one over from another that its sender has
//! left; who writes below which folder; which sessions are a mirror job's; and what later ones have put right.

mod job;
mod turns;
mod writers;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tcpxm::api::Pulse;

pub(crate) use job::InJob;
pub(crate) use turns::Turn;
pub(crate) use writers::Writing;

/// A session that was silent for so long, or has not answered within this, is taken to be left by its sender.
const LEFT: Duration = Duration::from_millis(500);
/// A session that was ended gives its files back within this.
const GIVEN_BACK: Duration = Duration::from_secs(2);
/// What a sender is told whose session was taken to be left.
const TAKEN_OVER: &str = "a later copy of the same sender has taken its files over";
/// How often the silence of a session is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How often it is looked whether a sender that was asked has answered: about a round trip.
const ANSWER: Duration = Duration::from_millis(2);

/// Whether a session lives, and how it is ended.
pub(crate) trait Lives: Send + Sync {
    /// For how long nothing has come; `None` if it is over.
    fn silence(&self) -> Option<Duration>;
    /// Asks its sender for a sign of life.
    fn ping(&self);
    /// Ends it.
    fn end(&self, why: &str);
}

impl Lives for Pulse {
    fn silence(&self) -> Option<Duration> {
        Self::silence(self)
    }

    fn ping(&self) {
        Self::ping(self);
    }

    fn end(&self, why: &str) {
        Self::end(self, why);
    }
}

/// A session that writes.
pub(crate) struct Holder {
    /// Its sender: the same for all who hold one secret.
    pub(crate) sender: [u8; 32],
    /// Where that is.
    pub(crate) peer: String,
    pub(crate) pulse: Box<dyn Lives>,
}

/// What is known of a session's sender.
enum Presence {
    /// The session is over.
    Over,
    There,
    /// It has not answered for as long as was waited: it is gone, or stopped, or its network stands still.
    Silent,
}

impl Holder {
    /// Whether its sender is there. Where it has been silent for [`LEFT`], or since this session had to wait for
    /// another, it is asked, which takes a round trip; who does not answer ends the session in the end.
    pub(crate) fn hears_of_its_sender(&self, since: Option<Instant>) -> bool {
        let bound = || since.map_or(LEFT, |since| since.elapsed().min(LEFT));
        matches!(self.presence(bound, Duration::MAX), Presence::There)
    }

    /// Asks a sender that was silent for `bound`, and waits so long for an answer.
    fn presence(&self, bound: impl Fn() -> Duration, patience: Duration) -> Presence {
        let (begin, mut is_asked) = (Instant::now(), false);
        loop {
            let bound = bound(); // looked at later it would have grown beyond a silence that is as long
            match self.pulse.silence() {
                None => return Presence::Over,
                Some(silent) if silent < bound => return Presence::There,
                Some(_) if begin.elapsed() >= patience => return Presence::Silent,
                Some(_) => {}
            }
            if !is_asked {
                self.pulse.ping();
                is_asked = true;
            }
            std::thread::sleep(ANSWER);
        }
    }
}

/// An inode: device and number.
pub(crate) type Inode = (u64, u64);

/// A folder that sessions were led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Led {
    /// So many are in it. It was made for one of them, and nothing has come of any that has left.
    Held { count: usize, made: bool },
    /// It is being removed.
    Going,
}

/// All files that are written by sessions of this process, and the folders that they were led to.
#[derive(Default)]
pub struct Holders {
    files: Mutex<HashMap<Inode, Arc<Holder>>>,
    folders: Mutex<HashMap<Inode, Led>>,
    writers: Mutex<writers::Writers>,
    sessions: Mutex<job::Sessions>,
    turns: Mutex<turns::Turns>,
    gone: Condvar,
    written: Condvar,
    left: Condvar,
    changed: Condvar,
}

impl std::fmt::Debug for Holders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holders").finish_non_exhaustive()
    }
}

impl Holders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Inode, Arc<Holder>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<Inode, Led>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session is in a folder, which nobody here removes until it is left; `made`: it was made for the session.
    /// Waits where another is just removing it: whether it is still there is to be looked at after this.
    pub(crate) fn hold_folder(&self, folder: Inode, made: bool) {
        let is_going = |all: &mut HashMap<Inode, Led>| all.get(&folder) == Some(&Led::Going);
        let all = self.gone.wait_while(self.folders(), is_going);
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        let led = all.entry(folder).or_insert(Led::Held { count: 0, made: false });
        if let Led::Held { count, made: was } = led {
            *count += 1;
            *was |= made;
        }
    }

    /// It is in it no more; `used`: something of it is in place. Whether the folder is to be removed, since it was made
    /// for a session and nothing came of any: then [`Self::folder_gone`] follows.
    pub(crate) fn leave_folder(&self, folder: Inode, used: bool) -> bool {
        let mut all = self.folders();
        let Some(Led::Held { count, made }) = all.get_mut(&folder) else { return false };
        *count -= 1;
        *made &= !used;
        match (*count, *made) {
            (0, true) => all.insert(folder, Led::Going).is_some(),
            (0, false) => all.remove(&folder).is_none(),
            _ => false,
        }
    }

    /// What was to be removed is, if that could be.
    pub(crate) fn folder_gone(&self, folder: Inode) {
        self.folders().remove(&folder);
        self.gone.notify_all();
    }

    /// A session has a file.
    pub(crate) fn add(&self, file: Inode, holder: &Arc<Holder>) {
        self.lock().insert(file, Arc::clone(holder));
    }

    /// It has it no more.
    pub(crate) fn remove(&self, file: Inode) {
        self.lock().remove(&file);
        self.changed.notify_all();
    }

    /// Has a file given back that somebody else holds, if that is a session of this sender which was silent for
    /// [`LEFT`], or comes to be so while this waits as long; else says who has it. Of a file that no session of this
    /// process has it waits a moment.
    pub(crate) fn take_over(&self, file: Inode, sender: &[u8; 32]) -> Result<(), String> {
        let begin = Instant::now();
        let (mut files, mut ended) = (self.lock(), None);
        loop {
            let Some(holder) = files.get(&file).cloned() else {
                // It was given back just now, or is about to be said who has it; or that is another process.
                drop(self.changed.wait_timeout(files, LOOK));
                return Ok(());
            };
            let who = &holder.peer;
            if &holder.sender != sender {
                return Err(format!("another sender's session, from {who}, is writing it"));
            }
            let silent = holder.pulse.silence();
            if ended.is_none() && silent.is_none_or(|silent| silent >= LEFT) {
                holder.pulse.end(TAKEN_OVER);
                ended = Some(Instant::now());
            }
            let late = match ended {
                Some(at) => at.elapsed() > GIVEN_BACK,
                None => begin.elapsed() > LEFT + LOOK,
            };
            if late {
                return Err(format!("another session of this sender, from {who}, is writing it"));
            }
            let waited = self.changed.wait_timeout(files, LOOK);
            files = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Fake {
        begun: Option<Instant>,
        ended: Arc<AtomicBool>,
    }

    impl Lives for Fake {
        fn silence(&self) -> Option<Duration> {
            Some(self.begun.map_or(Duration::ZERO, |begun| begun.elapsed()))
        }

        fn ping(&self) {}

        fn end(&self, _: &str) {
            self.ended.store(true, Ordering::SeqCst);
        }
    }

    fn holder(sender: u8, begun: Option<Instant>) -> (Arc<Holder>, Arc<AtomicBool>) {
        let ended = Arc::new(AtomicBool::new(false));
        let pulse = Box::new(Fake { begun, ended: Arc::clone(&ended) });
        let peer = "10.0.0.1:5".to_owned();
        (Arc::new(Holder { sender: [sender; 32], peer, pulse }), ended)
    }

    #[test]
    fn a_session_that_its_sender_has_left_gives_its_files_back() {
        let holders = Arc::new(Holders::default());
        let (left, ended) = holder(1, Some(Instant::now()));
        holders.add((1, 2), &left);
        let theirs = Arc::clone(&holders);
        let owner = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            theirs.remove((1, 2));
        });
        assert_eq!(holders.take_over((1, 2), &[1; 32]), Ok(()));
        owner.join().unwrap();
    }

    /// One that its sender has left, with its first file still to begin: until it is over, or heard of again.
    #[test]
    fn a_silent_session_waits_for_its_sender() {
        struct Later {
            asked: AtomicBool,
            then: Option<Duration>,
        }
        impl Lives for Later {
            fn silence(&self) -> Option<Duration> {
                if self.asked.load(Ordering::SeqCst) { self.then } else { Some(LEFT) }
            }

            fn ping(&self) {
                assert!(!self.asked.swap(true, Ordering::SeqCst), "once is enough");
            }

            fn end(&self, _: &str) {}
        }
        for then in [None, Some(Duration::ZERO)] {
            let pulse = Box::new(Later { asked: false.into(), then });
            let holder = Holder { sender: [1; 32], peer: String::new(), pulse };
            assert_eq!(holder.hears_of_its_sender(None), then.is_some());
        }
    }

    #[test]
    fn of_another_sender_or_one_that_is_there_it_is_refused_by_name() {
        let holders = Holders::default();
        let (alive, ended) = holder(1, None);
        holders.add((1, 2), &alive);
        let other = holders.take_over((1, 2), &[2; 32]).unwrap_err();
        assert!(other.contains("another sender's session, from 10.0.0.1:5"), "{other}");
        let same = holders.take_over((1, 2), &[1; 32]).unwrap_err();
        assert!(same.contains("another session of this sender"), "{same}");
        assert!(!ended.load(Ordering::SeqCst));
        assert_eq!(holders.take_over((9, 9), &[1; 32]), Ok(()), "nobody here has it");
    }
}
