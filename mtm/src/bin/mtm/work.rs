//! A job as it runs: looks at the tree, serves who is due, and notes what came of it, until all hosts have all of it.

use crate::ear::Ear;
use crate::hook::Hook;
use crate::look::{Look, SETTLES};
use crate::round::{Planned, Tree};
use crate::told::Told;
use anyhow::{Context, Result};
use mcp::mirror::{Copying, Member, Stop, Tried, Try};
use mcp_cli::listen::Listen;
use mcp_cli::signals::Watch;
use mtm::ledger::{Job, JobState, Ledger, Outcome, Receiver, ReceiverId};
use mtm::outcome;
use mtm::schedule::Schedule;
use mtm::words::{self, ToReceiver};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use transfer::message::OfJob;

/// It is looked so often what others want of the job; that costs no access to the disk.
const LISTEN: Duration = Duration::from_secs(1);
/// A tree that cannot be looked at is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// Looking at the tree takes one part in so many of the time, at most, while hosts are tried.
const LOOKS: u32 = 10;
/// Of a session of fewer bytes nothing is learned about a receiver's rate.
const RATED: u64 = 1 << 20;
/// Sessions that are to end have so long to tell their receivers.
const END: Duration = Duration::from_secs(5);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All hosts have all of it.
    Complete,
    /// Nothing of it is sent any more.
    Cancelled,
    /// This process was told to end.
    Interrupted,
}

/// Something happened.
enum Event {
    /// A session is over.
    Over(u64, Result<Tried, String>),
    /// A receiver is there.
    Hello(ReceiverId),
    /// The process is to end.
    End,
}

/// A session that runs.
struct Running {
    planned: Planned,
    hosts: Vec<(ReceiverId, String)>,
    revision: u32,
    began: Instant,
    stop: Arc<Stop>,
}

/// What the last look has come to.
#[derive(Debug, Clone, Copy)]
struct Looked {
    began: Instant,
    ended: Instant,
    /// It has found nothing new, and all of it.
    confirms: bool,
    unsettled: bool,
}

/// It.
pub(crate) struct Work {
    ledger: Ledger,
    job: Job,
    copying: Arc<Copying>,
    tree: Arc<Tree>,
    schedule: Schedule,
    looked: Option<Looked>,
    /// When the last session ended.
    last_over: Option<Instant>,
    running: BTreeMap<u64, Running>,
    next_session: u64,
    /// No look before.
    not_before: Option<Instant>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    watch: Arc<Watch>,
    hook: Hook,
    told: Told,
    ear: Ear,
}

impl Work {
    pub(crate) fn new(
        mut ledger: Ledger,
        copying: Copying,
        watch: &Arc<Watch>,
        (hook, told, listen): (Hook, Told, Option<Listen>),
    ) -> Result<Self> {
        let job = ledger.job()?;
        let events = mpsc::channel();
        let end = Mutex::new(events.0.clone());
        watch.on_end(move || {
            // Nobody listens once the job has ended.
            let _ = end.lock().unwrap_or_else(PoisonError::into_inner).send(Event::End);
        });
        let tree = Arc::new(Tree::of(&ledger)?);
        let kept = ledger.listen()?.and_then(|kept| kept.parse().ok());
        let says = Mutex::new(events.0.clone());
        let ear = Ear::start((listen, kept), copying.listen_trust(&[])?, job.id, move |id| {
            let _ = says.lock().unwrap_or_else(PoisonError::into_inner).send(Event::Hello(id));
        })?;
        ledger.set_listen(&ear.told().1.to_string())?;
        let (copying, watch) = (Arc::new(copying), Arc::clone(watch));
        let (schedule, running) = (Schedule::default(), BTreeMap::new());
        let mut work = Self {
            ledger,
            job,
            copying,
            tree,
            schedule,
            looked: None,
            last_over: None,
            running,
            next_session: 0,
            not_before: None,
            events,
            watch,
            hook,
            told,
            ear,
        };
        work.refresh()?;
        Ok(work)
    }

    /// Runs it until it has ended.
    pub(crate) fn run(mut self) -> Result<Ended> {
        loop {
            if self.watch.is_ended() {
                self.stop(true)?;
                return Ok(Ended::Interrupted);
            }
            match self.ledger.state()? {
                JobState::Cancelled => {
                    self.stop(true)?;
                    self.say_over()?;
                    return Ok(Ended::Cancelled);
                }
                JobState::Paused(_) => {
                    self.stop(false)?;
                    self.told.waits("the job is paused: mtm resume goes on with it");
                }
                JobState::Open | JobState::Waiting(_) | JobState::Complete => {
                    if self.serve(Instant::now())? {
                        self.ledger.set_state(&JobState::Complete)?;
                        self.say_over()?;
                        self.hook.complete();
                        return Ok(Ended::Complete);
                    }
                }
            }
            self.wait()?;
        }
    }

    /// Serves who is due; whether all of it is done.
    fn serve(&mut self, now: Instant) -> Result<bool> {
        if self.not_before.is_some_and(|at| now < at) {
            return Ok(false);
        }
        let due = self.schedule.due(now);
        let idle = due.is_empty() && self.running.is_empty() && self.schedule.next().is_none();
        if idle && self.is_confirmed() {
            return Ok(true);
        }
        if (idle || !due.is_empty()) && self.may_look(now, idle) && !self.look()? {
            return Ok(false);
        }
        for class in self.schedule.due(now) {
            self.serve_class(&class, now)?;
        }
        Ok(false)
    }

    /// Whether the newest look says that nothing has changed since everything was sent.
    fn is_confirmed(&self) -> bool {
        let after = |looked: &Looked| self.last_over.is_none_or(|over| looked.began >= over);
        self.looked.as_ref().is_some_and(|looked| looked.confirms && after(looked))
    }

    /// `last`: nobody lacks anything, as far as is known.
    fn may_look(&self, now: Instant, last: bool) -> bool {
        let Some(looked) = self.looked else { return true };
        let took = looked.ended.saturating_duration_since(looked.began);
        let pause = if last { Duration::ZERO } else { took * LOOKS };
        let settle = if looked.unsettled { SETTLES } else { Duration::ZERO };
        now >= looked.began + settle && now >= looked.ended + pause
    }

    /// Looks at the tree. `false`: it cannot be sent now, and the job waits.
    fn look(&mut self) -> Result<bool> {
        match self.look_at() {
            Ok(Ok(())) => {
                if let JobState::Waiting(_) | JobState::Complete = self.ledger.state()? {
                    self.ledger.set_state(&JobState::Open)?;
                }
                Ok(true)
            }
            Ok(Err(why)) => {
                self.told.waits(&why);
                self.ledger.set_state(&JobState::Waiting(why))?;
                self.not_before = Some(Instant::now() + AGAIN);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn look_at(&mut self) -> Result<Result<(), String>> {
        let source = self.copying.source().to_owned();
        let shown = mcp_cli::say::plain(&source.display().to_string());
        match source.metadata() {
            Err(error) => return Ok(Err(format!("{shown} cannot be sent: {error}"))),
            Ok(meta) if (meta.dev(), meta.ino()) != self.job.root => {
                return Ok(Err(format!(
                    "{shown} is another folder than the job was given, as where a file system is not mounted: mtm \
                     resume --new-source {} takes it for the job's",
                    self.job.name
                )));
            }
            Ok(_) => {}
        }
        let walk = match self.copying.walk() {
            Ok(walk) => walk,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut look = Look::at(walk);
        if let Some(why) = look.doubt.take() {
            return Ok(Err(why));
        }
        let known = self.ledger.entries()?;
        if let Some(folder) = look.unmounted(&known) {
            return Ok(Err(format!(
                "{} was a mounted file system and is none now: mtm resume --new-source {} takes it as it is",
                mcp_cli::say::plain(&folder.display().to_string()),
                self.job.name
            )));
        }
        look.keep(&known);
        let change = self.ledger.look(std::mem::take(&mut look.found))?;
        self.forget_gone()?;
        if !change.is_none() || self.looked.is_none() {
            self.tree = Arc::new(Tree::of(&self.ledger)?);
            self.told.tree(self.tree.amount(), self.ledger.revision());
        }
        if !change.is_none() {
            self.schedule.wake(Instant::now());
        }
        let unsettled = look.unsettled;
        let confirms = change.is_none() && !unsettled;
        self.looked =
            Some(Looked { began: look.began, ended: Instant::now(), confirms, unsettled });
        Ok(Ok(()))
    }

    fn forget_gone(&mut self) -> Result<()> {
        if self.ledger.forget_gone(self.copying.deletes())? > 0 {
            self.tree = Arc::new(Tree::of(&self.ledger)?);
        }
        Ok(())
    }

    fn serve_class(&mut self, class: &[ReceiverId], now: Instant) -> Result<()> {
        let mut asked = Vec::new();
        for receiver in self.ledger.receivers()? {
            if !class.contains(&receiver.id) {
                continue;
            }
            let lacks = self.ledger.lacking(receiver.id);
            if lacks.is_empty() && !receiver.verify {
                self.complete(&receiver, self.ledger.revision())?;
            } else {
                asked.push((receiver, lacks));
            }
        }
        for planned in self.tree.sessions(&asked) {
            self.begin(planned, &asked, now)?;
        }
        Ok(())
    }

    /// Begins a session.
    fn begin(
        &mut self,
        planned: Planned,
        asked: &[(Receiver, Vec<u32>)],
        now: Instant,
    ) -> Result<()> {
        let receivers = asked.iter().map(|(receiver, _)| receiver);
        let receivers: Vec<&Receiver> =
            receivers.filter(|receiver| planned.receivers.contains(&receiver.id)).collect();
        let revision = self.ledger.revision();
        for receiver in &receivers {
            if let Some(instance) = receiver.instance {
                let told = outcome::all(&planned.entries, &Outcome::Announced);
                self.ledger.note((receiver.id, instance), revision, &told)?;
            }
            self.schedule.begin(receiver.id);
        }
        let hosts: Vec<_> = receivers.iter().map(|one| (one.id, one.name.clone())).collect();
        let what = Try {
            hosts: receivers
                .iter()
                .map(|one| (one.name.clone(), self.of_job(one, &planned)))
                .collect(),
            only: self.tree.only(&planned),
            verify: planned.verify,
        };
        let (number, stop) = (self.next_session, Arc::new(Stop::default()));
        self.next_session += 1;
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
        self.running.insert(number, Running { planned, hosts, revision, began: now, stop });
        Ok(())
    }

    /// What a receiver is told of the job.
    fn of_job(&self, receiver: &Receiver, planned: &Planned) -> OfJob {
        let since = Some(receiver.complete).filter(|since| !planned.whole && *since > 0);
        OfJob {
            id: self.job.id,
            name: self.job.name.clone(),
            revision: self.ledger.revision(),
            since,
            below: self.copying.below().to_vec(),
            host: receiver.name.clone(),
            hello: Some(self.ear.told()),
        }
    }

    /// Tells the receivers that were met that the job has ended; who is not reached finds out by silence.
    fn say_over(&self) -> Result<()> {
        let over = words::encode(&ToReceiver::Over { job: self.job.id });
        let met = self.ledger.receivers()?.into_iter().filter(|one| one.instance.is_some());
        let hosts: Vec<(String, Vec<u8>)> = met.map(|one| (one.name, over.clone())).collect();
        let _ = self.copying.tell(&hosts, &Stop::default()); // see above
        Ok(())
    }

    /// Waits until something happens, or somebody is due.
    fn wait(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = [self.schedule.next(), self.not_before].into_iter().flatten().min();
        let settled =
            self.looked.filter(|looked| looked.unsettled).map(|looked| looked.began + SETTLES);
        let at = due.into_iter().chain(settled).filter(|at| *at > now).min();
        let limit = at.map_or(LISTEN, |at| at.saturating_duration_since(now).min(LISTEN));
        let limit = limit.max(Duration::from_millis(1));
        match self.events.1.recv_timeout(limit) {
            Ok(Event::Over(number, tried)) => self.over(number, tried)?,
            Ok(Event::Hello(id)) => self.schedule.hello(id, Instant::now()),
            Ok(Event::End) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {} // this end holds a sender
        }
        if self.not_before.is_some_and(|at| Instant::now() >= at) {
            self.not_before = None;
        }
        if self.ledger.has_changed()? {
            self.refresh()?;
        }
        self.tell_late()
    }

    /// Takes over what others have said of the job.
    fn refresh(&mut self) -> Result<()> {
        self.ledger.refresh()?;
        self.job = self.ledger.job()?;
        let now = Instant::now();
        let receivers = self.ledger.receivers()?;
        let away = |receiver: &Receiver| {
            let since = receiver.late.as_ref().map(|(since, _)| *since);
            (receiver.id, since.map_or(Duration::ZERO, since_unix))
        };
        self.schedule.set(&receivers.iter().map(away).collect::<Vec<_>>(), now);
        if receivers.iter().any(|receiver| receiver.verify) {
            self.schedule.wake(now);
        }
        self.not_before = None;
        self.listen()
    }

    /// Hears those that are receivers by now, as they are known by now.
    fn listen(&self) -> Result<()> {
        let hosts: BTreeMap<_, _> =
            self.ledger.receivers()?.into_iter().map(|one| (one.name, one.id)).collect();
        let names: Vec<String> = hosts.keys().cloned().collect();
        self.ear.set(hosts, self.copying.listen_trust(&names)?);
        Ok(())
    }

    /// Tells of hosts that have been late for long.
    fn tell_late(&mut self) -> Result<()> {
        for receiver in self.ledger.receivers()? {
            if let Some((since, why)) = &receiver.late {
                self.hook.late(&receiver.name, since_unix(*since), why);
            }
        }
        Ok(())
    }

    /// A session is over: notes what came of it.
    fn over(&mut self, number: u64, tried: Result<Tried, String>) -> Result<()> {
        let Some(session) = self.running.remove(&number) else { return Ok(()) };
        self.last_over = Some(Instant::now());
        let mut late = Vec::new();
        for (index, (id, name)) in session.hosts.iter().enumerate() {
            let why = match &tried {
                Err(why) => Some(why.clone()),
                Ok(tried) => match tried.of.get(index) {
                    Some(Ok(member)) => match tried.members.get(*member) {
                        Some(member) => {
                            self.note(&session, *id, member, tried.failure.as_deref())?
                        }
                        None => Some("it had no place in the session".to_owned()),
                    },
                    Some(Err(why)) => Some(why.clone()),
                    None => Some("it had no place in the session".to_owned()),
                },
            };
            if let Some(why) = why.filter(|_| !session.stop.is_stopped()) {
                late.push((*id, name.clone(), why));
            }
        }
        self.forget_gone()?;
        let draw = draw();
        for (id, _, why) in &late {
            let now = Instant::now();
            let since = self.schedule.failed(*id, (session.began, now), draw);
            let since = now_unix().saturating_sub(millis(now.saturating_duration_since(since)));
            self.ledger.set_late(*id, Some((since, why)))?;
        }
        self.told.late(&late);
        self.listen()?; // keys of hosts that were met
        if session.stop.is_stopped() {
            let now = Instant::now();
            session.hosts.iter().for_each(|(id, _)| self.schedule.goes_on(*id, now));
        }
        Ok(())
    }

    /// Notes what a member said. Why it does not have all of it, if that is to be tried later.
    fn note(
        &mut self,
        session: &Running,
        id: ReceiverId,
        member: &Member,
        failure: Option<&str>,
    ) -> Result<Option<String>> {
        let Some(instance) = member.delivered.said.instance else {
            let why = "it does not say which installation it is: its mcpd is older than mirror jobs, or runs once";
            return Ok(Some(member.broken.clone().unwrap_or_else(|| why.to_owned())));
        };
        let anew = self.ledger.meet(id, instance)?;
        let find = |path: &std::path::Path| Ok(self.ledger.number_of(path)?);
        let (outcomes, named) = self.tree.outcome(&session.planned, member, find)?;
        let failed = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        self.ledger.note((id, instance), session.revision, &outcomes)?;
        self.rate(id, member)?;
        if let Some(why) = &member.broken {
            return Ok(Some(failure.map_or_else(|| why.clone(), str::to_owned)));
        }
        if session.planned.verify && named {
            self.ledger.set_verify(Some(id), false)?;
        }
        if failed || !named {
            return Ok(Some(
                member.delivered.failure().unwrap_or_else(|| "some entries failed".to_owned()),
            ));
        }
        if anew || !self.ledger.lacking(id).is_empty() {
            self.ledger.set_late(id, None)?;
            self.schedule.goes_on(id, Instant::now());
            return Ok(None);
        }
        let receiver = self.ledger.receivers()?.into_iter().find(|receiver| receiver.id == id);
        if let Some(receiver) = receiver {
            self.complete(&receiver, session.revision)?;
        }
        Ok(None)
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

    /// A receiver has everything of this revision.
    fn complete(&mut self, receiver: &Receiver, revision: u32) -> Result<()> {
        if let Some(instance) = receiver.instance.filter(|_| receiver.complete < revision) {
            self.ledger.note_complete((receiver.id, instance), revision)?;
        }
        self.ledger.set_late(receiver.id, None)?;
        self.schedule.has_all(receiver.id);
        self.told.served(receiver.id);
        self.hook.served(&receiver.name);
        let all = self.ledger.receivers()?;
        let newest = self.ledger.revision();
        let complete = all.iter().filter(|one| one.complete >= newest).count();
        self.told.complete(complete, all.len(), newest);
        Ok(())
    }

    /// Ends the sessions that run, and waits until they have told their receivers; `last`: not for long.
    fn stop(&mut self, last: bool) -> Result<()> {
        self.running.values().for_each(|session| session.stop.now());
        let until = Instant::now() + END;
        while !self.running.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.1.recv_timeout(left) {
                Ok(Event::Over(number, tried)) => self.over(number, tried)?,
                Ok(Event::End | Event::Hello(_)) => {}
                Err(_) if last => return Ok(()),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// A random number from 0 to 1; without chance 0.
fn draw() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn now_unix() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// How long that is ago.
fn since_unix(at: u64) -> Duration {
    Duration::from_millis(now_unix().saturating_sub(at))
}
