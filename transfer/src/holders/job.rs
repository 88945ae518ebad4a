//! Sessions of mirror jobs. One whose sender was killed lives on for some seconds, and then removes what it has begun,
//! which gives folders other times: the next session of the job ends it first.

use super::{GIVEN_BACK, Holder, Holders, LEFT, Presence};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

/// What a sender is told whose session was taken to be left.
const ENDED: &str = "a later session of the same job has begun";

/// An id of a job.
type Id = [u8; 16];

/// All of them, by numbers that grow.
#[derive(Default)]
pub(super) struct Sessions {
    next: u64,
    all: BTreeMap<u64, (Id, Arc<Holder>)>,
}

/// A session is one of a job as long as this stands.
pub(crate) struct InJob {
    holders: Arc<Holders>,
    number: u64,
}

impl Drop for InJob {
    fn drop(&mut self) {
        self.holders.sessions().all.remove(&self.number);
        self.holders.left.notify_all();
    }
}

impl InJob {
    /// This session is one of that job from now on. Others of it by the same sender that do not answer within [`LEFT`]
    /// are ended, and have stopped writing when this returns, unless a disk is in their way.
    pub(crate) fn begin(holders: &Arc<Holders>, job: Id, holder: Holder) -> Self {
        let sender = holder.sender;
        let mut sessions = holders.sessions();
        let others = sessions.all.iter().filter(|(_, (of, by))| *of == job && by.sender == sender);
        let others: Vec<_> = others.map(|(number, (_, by))| (*number, Arc::clone(by))).collect();
        let number = sessions.next;
        sessions.next += 1;
        sessions.all.insert(number, (job, Arc::new(holder)));
        drop(sessions); // the wait is long
        let own = Self { holders: Arc::clone(holders), number };
        for (number, other) in &others {
            own.wait_gone(*number, other);
        }
        own
    }

    fn wait_gone(&self, number: u64, other: &Holder) {
        let begin = Instant::now();
        // What came before may be the last that was heard of it.
        match other.presence(|| begin.elapsed(), LEFT) {
            Presence::There => return,
            Presence::Over => {}
            Presence::Silent => other.pulse.end(ENDED),
        }
        let is_there = |sessions: &mut Sessions| sessions.all.contains_key(&number);
        let all = self.holders.sessions();
        drop(self.holders.left.wait_timeout_while(all, GIVEN_BACK, is_there));
    }
}

impl Holders {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lives;
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A sender that answers or does not, and is told when its session is ended.
    struct Sender {
        begun: Option<Instant>,
        end: mpsc::Sender<()>,
    }

    impl Lives for Sender {
        fn silence(&self) -> Option<Duration> {
            Some(self.begun.map_or(Duration::ZERO, |begun| begun.elapsed()))
        }

        fn ping(&self) {}

        fn end(&self, _: &str) {
            self.end.send(()).unwrap();
        }
    }

    fn session(
        holders: &Arc<Holders>,
        (job, sender): (u8, u8),
        answers: bool,
    ) -> (InJob, mpsc::Receiver<()>) {
        let (end, ended) = mpsc::channel();
        let begun = (!answers).then(Instant::now);
        let pulse = Box::new(Sender { begun, end });
        let holder = Holder { sender: [sender; 32], peer: String::new(), pulse };
        (InJob::begin(holders, [job; 16], holder), ended)
    }

    #[test]
    fn one_that_its_sender_has_left_is_ended_before_the_next_begins() {
        let holders = Arc::new(Holders::default());
        let (left, ended) = session(&holders, (1, 1), false);
        let (gone, is_gone) = mpsc::channel();
        let leaving = std::thread::spawn(move || {
            ended.recv().unwrap();
            drop(left);
            gone.send(()).unwrap();
        });
        let _next = session(&holders, (1, 1), true);
        assert!(is_gone.recv_timeout(LEFT).is_ok());
        leaving.join().unwrap();
    }

    #[test]
    fn others_are_left_alone() {
        let holders = Arc::new(Holders::default());
        // Another job's, another sender's, and one whose sender is there, as to another folder of this host.
        let others = [((2, 1), false), ((1, 2), false), ((1, 1), true)];
        let others = others.map(|(of, answers)| session(&holders, of, answers));
        let _own = session(&holders, (1, 1), true);
        assert!(others.iter().all(|(_, ended)| ended.try_recv().is_err()));
    }
}
