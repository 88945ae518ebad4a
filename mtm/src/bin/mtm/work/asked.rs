//! Receivers that have everything are asked now and then which installation they are, and once more before the job ends:
//! one that was reinstalled has nothing, and knows no master to whom it could say so.

use super::{Event, Work, said};
use anyhow::{Context, Result};
use mcp::mirror::Answer;
use mtm::ledger::{Receiver, ReceiverId};
use mtm::revision::Revision;
use mtm::words::{OfReceiver, ToReceiver};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// They are asked so often: as often as a host that is off is tried at last ([`mtm::backoff`]).
const EVERY: Duration = mtm::backoff::LONGEST_WAIT;

/// What receivers have answered.
pub(super) struct Asked {
    began: Instant,
    of: Vec<ReceiverId>,
    answers: Result<Vec<Answer>, String>,
}

/// When they are asked.
#[derive(Debug)]
pub(super) struct Asking {
    /// They are being asked.
    busy: bool,
    /// Not before, unless the job is about to end.
    next: Instant,
    /// Since when everything is done, as far as is known.
    settled: Option<Instant>,
    /// When those began to be asked of whom each was the one that it had been.
    same: Option<Instant>,
}

impl Asking {
    pub(super) fn new(now: Instant) -> Self {
        Self { busy: false, next: now + EVERY, settled: None, same: None }
    }

    /// Something is still to be done.
    pub(super) fn is_unsettled(&mut self) {
        self.settled = None;
    }

    /// Whether they are to be asked while others are served.
    fn is_due(&self, now: Instant) -> bool {
        !self.busy && now >= self.next
    }

    /// Everything is done, as far as is known. Whether those who have it have said since then that they are the same.
    fn is_confirmed(&mut self, now: Instant) -> bool {
        let since = *self.settled.get_or_insert(now);
        self.same.is_some_and(|began| began >= since)
    }
}

impl Work {
    /// Whether all receivers have said, since everything was done, that they are the ones who got it. Who does not answer
    /// has what it last said.
    pub(super) fn is_confirmed_by_all(&mut self, now: Instant) -> Result<bool> {
        if self.asking.is_confirmed(now) {
            return Ok(true);
        }
        if !self.asking.busy {
            self.ask(now)?;
        }
        Ok(false)
    }

    /// Asks those that have everything, if it is time.
    pub(super) fn ask_now_and_then(&mut self, now: Instant) -> Result<()> {
        self.asking.is_unsettled();
        if self.asking.is_due(now) { self.ask(now) } else { Ok(()) }
    }

    fn ask(&mut self, now: Instant) -> Result<()> {
        let busy: BTreeSet<ReceiverId> = self.in_sessions().collect();
        let met = self.ledger.receivers()?.into_iter();
        let met = met.filter(|one| one.instance.is_some() && !busy.contains(&one.id));
        // Who lacks something tells it with its session.
        let all: Vec<Receiver> = met.filter(|one| self.ledger.lacking(one.id).is_empty()).collect();
        self.asking.next = now + EVERY;
        if all.is_empty() {
            self.asking.same = Some(now);
            return Ok(());
        }
        let job = self.job.id;
        let word = self.word(move |host| ToReceiver::Ask { job, host: host.to_owned() });
        let of = all.iter().map(|receiver| receiver.id).collect();
        let hosts: Vec<String> = all.into_iter().map(|one| one.name).collect();
        let (copying, over) = (Arc::clone(&self.copying), self.events.0.clone());
        let ask = move || {
            let answers = copying.tell(&hosts, &word);
            let _ = over.send(Event::Asked(Asked { began: now, of, answers })); // as the others
        };
        thread::Builder::new()
            .name("ask".to_owned())
            .spawn(ask)
            .context("cannot start a thread")?;
        self.asking.busy = true;
        Ok(())
    }

    /// A receiver has said which installation it is, and what it has had. Whether nothing is known of what it has: it is
    /// another installation than before, or has had what this job's file, which was restored, knows nothing of.
    pub(super) fn meet(
        &mut self,
        id: ReceiverId,
        (instance, has): ([u8; 16], [Option<Revision>; 2]),
    ) -> Result<bool> {
        let anew = self.ledger.meet(id, instance)?;
        let lost = if anew { None } else { self.ledger.told((id, instance), has)? };
        if let Some(lost) = lost {
            self.told.restored(&self.name_of(id)?, lost);
        }
        Ok(anew || lost.is_some())
    }

    fn name_of(&self, id: ReceiverId) -> Result<String> {
        let one = self.ledger.receivers()?.into_iter().find(|receiver| receiver.id == id);
        Ok(one.map(|one| one.name).unwrap_or_default())
    }

    /// Notes which installations have answered: another one has nothing, and is served.
    pub(super) fn asked(&mut self, asked: Asked) -> Result<()> {
        let Asked { began, of, answers } = asked;
        self.asking.busy = false;
        self.asking.same = Some(began);
        for (id, answer) in of.into_iter().zip(answers.unwrap_or_default()) {
            if let Ok((instance, OfReceiver::Has { revision, begun })) =
                said::answer(&self.job.id, answer)
                && self.meet(id, (instance, [revision, begun]))?
            {
                self.asking.same = None;
                self.schedule.goes_on(id, Instant::now());
            }
        }
        self.listen() // which installations they are
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_before_everything_was_done_confirms_nothing() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut asking = Asking::new(now);
        assert!(!asking.is_confirmed(now + second));
        asking.same = Some(now);
        assert!(!asking.is_confirmed(now + second * 2));
        asking.same = Some(now + second);
        assert!(asking.is_confirmed(now + second * 2));
        asking.is_unsettled();
        assert!(!asking.is_confirmed(now + second * 3));
    }

    #[test]
    fn they_are_asked_now_and_then_while_others_are_served() {
        let now = Instant::now();
        let mut asking = Asking::new(now);
        assert!(!asking.is_due(now + EVERY.saturating_sub(Duration::from_secs(1))));
        assert!(asking.is_due(now + EVERY));
        asking.busy = true;
        assert!(!asking.is_due(now + EVERY * 2));
    }
}
