//! The sessions of a job that runs: how they begin, and what is noted when they are over.

use super::{Event, RATED, Running, Work, millis, now_unix, said};
use crate::round::Planned;
use anyhow::{Context, Result};
use mcp::mirror::{Member, Pinned, Stop, Tried, Try};
use mtm::backoff;
use mtm::installation::Role;
use mtm::ledger::{Outcome, Receiver, ReceiverId};
use mtm::outcome;
use mtm::words::{self, JobId, ToReceiver};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tcpxm::seal::Binding;
use transfer::message::{MAX_LINE, OfJob};

/// Editions of the last revisions that a session tells where it lists everything, beside the newest one's.
const LAST: u32 = 100;

/// What became of a receiver of a session.
enum Noted {
    /// It has everything.
    Complete,
    /// It lacks something still, and is served again at once.
    GoesOn,
    /// It is tried later, and why it does not have all of it.
    Late(String),
}

impl Work {
    /// Begins a session.
    pub(super) fn begin(
        &mut self,
        planned: Planned,
        asked: &[(Receiver, Arc<[u32]>)],
        now: Instant,
    ) -> Result<()> {
        let receivers = asked.iter().map(|(receiver, _)| receiver);
        let receivers: Vec<&Receiver> =
            receivers.filter(|receiver| planned.receivers.contains(&receiver.id)).collect();
        let revision = self.ledger.revision();
        let told = outcome::all(&planned.entries, &Outcome::Announced);
        for receiver in &receivers {
            if let Some(instance) = receiver.instance {
                self.ledger.note((receiver.id, instance), revision, &told)?;
            }
            self.schedule.begin(receiver.id);
        }
        let since = receivers.iter().map(|receiver| receiver.complete).min().unwrap_or(0);
        let hosts: Vec<_> = receivers.iter().map(|one| (one.id, one.name.clone())).collect();
        let (number, stop) = (self.next_session, Arc::new(Stop::default()));
        self.next_session += 1;
        let installation = Arc::clone(&self.installation);
        let mut told = self.told_with_session()?;
        let opens = self.events.0.clone();
        let what = Try {
            shows: Arc::new(move |job: &JobId, binding: &Binding| {
                words::encode(&installation.shows(Role::Master, job, binding))
            }),
            // Nobody listens once the job has ended.
            opened: Box::new(move |group| drop(opens.send(Event::Opened(number, group)))),
            hosts: receivers
                .iter()
                .map(|one| {
                    let told = told.remove(&one.id).unwrap_or_default();
                    Ok((one.name.clone(), self.of_job(one, &planned, told)?))
                })
                .collect::<Result<_>>()?,
            only: self.tree.only(&planned),
            moved: self.tree.moved(&planned, since),
            verify: planned.verify,
            ground: Pinned { root: self.job.root, mounts: self.tree.mounts().to_vec() },
        };
        let (copying, own, over) =
            (Arc::clone(&self.copying), Arc::clone(&stop), self.events.0.clone());
        let work = move || {
            let tried = copying.attempt(&what, &own);
            let _ = over.send(Event::Over(number, tried)); // nobody listens once the job has ended
        };
        thread::Builder::new()
            .name(format!("session-{number}"))
            .spawn(work)
            .context("cannot start a thread")?;
        let (tree, group) = (Arc::clone(&self.tree), None);
        let running = Running { planned, tree, hosts, revision, began: now, stop, group };
        self.running.insert(number, running);
        Ok(())
    }

    /// What a receiver is told of the job; `told`: of its announcements.
    fn of_job(&self, receiver: &Receiver, planned: &Planned, told: Vec<u8>) -> Result<OfJob> {
        let since = Some(receiver.complete).filter(|since| !planned.whole && *since > 0);
        let newest = self.ledger.newest()?;
        let first = since.unwrap_or_else(|| newest.number.saturating_sub(LAST).max(1));
        let line = (first, self.ledger.editions(first, MAX_LINE)?);
        Ok(OfJob {
            id: self.job.id,
            name: self.job.name.clone(),
            revision: newest.number,
            edition: newest.edition,
            since,
            line,
            below: self.copying.below().to_vec(),
            host: receiver.name.clone(),
            hello: Some(self.ear.told()),
            told,
            shown: Vec::new(), // made for the association
        })
    }

    /// A word about the job, for the host of each name.
    pub(super) fn word(
        &self,
        word: impl Fn(&str) -> ToReceiver + Send + Sync + 'static,
    ) -> impl Fn(&str, &Binding) -> Vec<u8> + Send + Sync + 'static {
        said::word((&self.installation, self.job.id), word)
    }

    /// A session is over: notes what came of it.
    pub(super) fn over(&mut self, number: u64, tried: &Result<Tried, String>) -> Result<()> {
        let Some(session) = self.running.remove(&number) else { return Ok(()) };
        self.last_over = Some(Instant::now());
        let known: BTreeMap<ReceiverId, Receiver> =
            self.ledger.receivers()?.into_iter().map(|one| (one.id, one)).collect();
        let (mut late, mut is_news) = (Vec::new(), false);
        let no_place = || Noted::Late("it had no place in the session".to_owned());
        for (index, (id, name)) in session.hosts.iter().enumerate() {
            let noted = match tried {
                Err(why) => Noted::Late(why.clone()),
                Ok(tried) => match tried.of.get(index) {
                    Some(Ok(member)) => match tried.members.get(*member) {
                        Some(member) => {
                            self.note(&session, (*id, known.get(id)), (tried, member))?
                        }
                        None => no_place(),
                    },
                    Some(Err(why)) => Noted::Late(why.clone()),
                    None => no_place(),
                },
            };
            match noted {
                Noted::Late(why) if !session.stop.is_stopped() => {
                    late.push((*id, name.clone(), why));
                }
                Noted::Late(_) | Noted::GoesOn => {}
                Noted::Complete => is_news = true,
            }
        }
        if is_news {
            self.tell_complete()?;
        }
        self.forget_gone()?;
        let draw = backoff::draw();
        for (id, _, why) in &late {
            let now = Instant::now();
            let since = self.schedule.failed(*id, (session.began, now), draw);
            let since = now_unix().saturating_sub(millis(now.saturating_duration_since(since)));
            let late = known.get(id).and_then(|one| one.late.clone());
            // Not once more for each try of weeks; and since when it is late stays, whatever the reason is.
            if late.as_ref().is_none_or(|(_, known)| known != why) {
                let since = late.map_or(since, |(before, _)| before.min(since));
                self.ledger.set_late(*id, Some((since, why)))?;
            }
        }
        self.told.late(&late);
        self.listen()?; // keys of hosts that were met
        if session.stop.is_stopped() {
            let now = Instant::now();
            session.hosts.iter().for_each(|(id, _)| self.schedule.goes_on(*id, now));
        }
        Ok(())
    }

    /// Notes what a member said, who was known so when its session ended.
    fn note(
        &mut self,
        session: &Running,
        (id, known): (ReceiverId, Option<&Receiver>),
        (tried, member): (&Tried, &Member),
    ) -> Result<Noted> {
        let Some((instance, has)) = said::met(&self.job.id, &member.delivered.said) else {
            let why = "it does not show which installation it is: its mcpd is older than mirror jobs, or runs once";
            return Ok(Noted::Late(member.broken.clone().unwrap_or_else(|| why.to_owned())));
        };
        let anew = self.meet(id, (instance, has))?;
        let find = |path: &Path| Ok(self.ledger.number_of(path)?);
        let (outcomes, why) = session.tree.outcome(&session.planned, (tried, member), find)?;
        self.ledger.note((id, instance), session.revision, &outcomes)?;
        self.rate(id, member)?;
        if let Some(broken) = &member.broken {
            return Ok(Noted::Late(tried.failure.clone().unwrap_or_else(|| broken.clone())));
        }
        if let Some(why) = why.or_else(|| tried.doubt.clone()) {
            return Ok(Noted::Late(why));
        }
        if session.planned.verify {
            self.ledger.set_verify(Some(id), false)?;
        }
        // Where nothing is deleted, what has gone meanwhile is nothing that it lacks.
        let newest = self.ledger.revision();
        let is_old = self.copying.deletes() && session.revision < newest;
        if anew || is_old || !self.ledger.lacking(id).is_empty() {
            self.ledger.set_late(id, None)?;
            self.schedule.goes_on(id, Instant::now());
            return Ok(Noted::GoesOn);
        }
        // It may have been met by this session.
        if let Some(known) = known {
            self.has_all(&Receiver { instance: Some(instance), ..known.clone() }, newest)?;
        }
        Ok(Noted::Complete)
    }

    /// What a member has taken a second.
    fn rate(&mut self, id: ReceiverId, member: &Member) -> Result<()> {
        let report = &member.delivered.report;
        let (bytes, millis) = (report.arrived.total(), millis(report.duration).max(1));
        if bytes >= RATED {
            self.ledger.set_rate(id, bytes.saturating_mul(1000) / millis)?;
        }
        Ok(())
    }

    /// A receiver has everything of this revision, which is said.
    pub(super) fn complete(&mut self, receiver: &Receiver, revision: u32) -> Result<()> {
        self.has_all(receiver, revision)?;
        self.tell_complete()
    }

    fn has_all(&mut self, receiver: &Receiver, revision: u32) -> Result<()> {
        if let Some(instance) = receiver.instance.filter(|_| receiver.complete < revision) {
            self.ledger.note_complete((receiver.id, instance), revision)?;
        }
        self.ledger.set_late(receiver.id, None)?;
        self.schedule.has_all(receiver.id);
        self.told.served(receiver.id);
        self.hook.served(&receiver.name);
        Ok(())
    }

    /// Says how many have everything by now.
    fn tell_complete(&mut self) -> Result<()> {
        let all = self.ledger.receivers()?;
        let complete = all.iter().filter(|one| self.ledger.is_complete(one)).count();
        self.told.complete(complete, all.len(), self.ledger.revision());
        Ok(())
    }
}
