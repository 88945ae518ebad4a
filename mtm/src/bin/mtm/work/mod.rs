//! A job as it runs: looks at the tree, serves who is due, and notes what came of it, until all hosts have all of it.

mod channel;
mod exec;
mod said;
mod session;
mod tree;

use crate::announcer::Announcer;
use crate::args;
use crate::ear::{Ear, Hello};
use crate::hook::Hook;
use crate::round::{Planned, Tree};
use crate::told::Told;
use anyhow::Result;
use mcp::mirror::{Copying, Stop, Tried};
use mcp_cli::listen::Listen;
use mcp_cli::signals::Watch;
use mtm::installation::Installation;
use mtm::ledger::{Job, JobState, Ledger, Receiver, ReceiverId};
use mtm::plan::Lists;
use mtm::schedule::Schedule;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// It is looked so often what others want of the job; that costs no access to the disk.
const LISTEN: Duration = Duration::from_secs(1);
/// A tree that cannot be looked at is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);
/// Looking at the tree takes one part in so many of the time, at most, while hosts are tried.
const LOOKS: u32 = 10;
/// Receivers of one session, at most (the transport has room for 1024).
const MAX_MEMBERS: usize = 1000;
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
    /// A session is open, and tries this group, if it does.
    Opened(u64, Option<SocketAddr>),
    /// A session is over.
    Over(u64, Result<Tried, String>),
    /// A receiver is there.
    Hello(Hello),
    /// Receivers that were to run the command have answered.
    Answered(exec::Answered),
    /// The process is to end.
    End,
}

/// A session that runs.
struct Running {
    planned: Planned,
    /// As it was when it began.
    tree: Arc<Tree>,
    hosts: Vec<(ReceiverId, String)>,
    revision: u32,
    began: Instant,
    stop: Arc<Stop>,
    /// That it tries.
    group: Option<SocketAddr>,
}

/// What the last look has come to.
#[derive(Debug, Clone, Copy)]
struct Looked {
    began: Instant,
    ended: Instant,
    /// It has found nothing new, and all of it.
    confirms: bool,
    /// It is to be looked at again then.
    again: Option<Instant>,
}

/// What a job is given beside what is copied to whom.
pub(crate) struct Beside {
    /// Who this is to receivers.
    pub(crate) installation: Arc<Installation>,
    pub(crate) hook: Hook,
    /// Where receivers say hello.
    pub(crate) listen: Option<Listen>,
    /// The group that all receivers listen to.
    pub(crate) announce: Option<SocketAddr>,
    /// The command that receivers run.
    pub(crate) exec: args::Exec,
}

/// It.
pub(crate) struct Work {
    ledger: Ledger,
    job: Job,
    installation: Arc<Installation>,
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
    announcer: Option<Announcer>,
    exec: Option<exec::Exec>,
}

impl Work {
    pub(crate) fn new(
        mut ledger: Ledger,
        copying: Copying,
        watch: &Arc<Watch>,
        (told, beside): (Told, Beside),
    ) -> Result<Self> {
        let Beside { installation, hook, listen, announce, exec } = beside;
        let job = ledger.job()?;
        let events = mpsc::channel();
        let end = Mutex::new(events.0.clone());
        watch.on_end(move || {
            // Nobody listens once the job has ended.
            let _ = end.lock().unwrap_or_else(PoisonError::into_inner).send(Event::End);
        });
        let tree = Arc::new(Tree::of(&ledger, copying.deletes())?);
        let kept = ledger.listen()?.and_then(|kept| kept.parse().ok());
        let says = Mutex::new(events.0.clone());
        let announcer = match announce {
            Some(group) => Some(Announcer::new(&mut ledger, group, copying.common())?),
            None => None,
        };
        let floor = announcer.as_ref().map(Announcer::floor);
        let trust = copying.listen_trust(&[])?;
        let own = (Arc::clone(&installation), job.id);
        let ear = Ear::start((listen, kept), &trust, (own, floor), move |hello| {
            let says = says.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = says.send(Event::Hello(hello)); // nobody listens once the job has ended
        })?;
        ledger.set_listen(&ear.told().1.to_string())?;
        let (copying, watch) = (Arc::new(copying), Arc::clone(watch));
        let (schedule, running) = (Schedule::default(), BTreeMap::new());
        let mut work = Self {
            ledger,
            job,
            installation,
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
            announcer,
            exec: exec::Exec::of(exec),
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
                    let served = self.serve(Instant::now())?;
                    if self.execute(Instant::now())? && served && self.is_confirmed_by_all()? {
                        self.say_over()?;
                        self.hook.complete(); // once more, rather than never, if this is killed here
                        if self.ledger.has_changed()? {
                            self.refresh()?; // somebody has said something meanwhile
                            continue;
                        }
                        if self.ledger.change_state(&JobState::Complete)? {
                            return Ok(Ended::Complete);
                        }
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
        self.announce(now)?;
        let idle = due.is_empty() && self.running.is_empty() && self.schedule.next().is_none();
        if idle && self.is_confirmed() {
            return Ok(true);
        }
        if (idle || !due.is_empty()) && self.may_look(now, idle) && !self.look()? {
            return Ok(false);
        }
        self.announce(now)?; // the tree that has just been found, before there is a session
        for class in self.schedule.due(now) {
            for some in class.chunks(MAX_MEMBERS) {
                self.serve_class(some, now)?;
            }
        }
        Ok(false)
    }

    fn serve_class(&mut self, class: &[ReceiverId], now: Instant) -> Result<()> {
        let (mut asked, mut lists) = (Vec::new(), Lists::default());
        for receiver in self.ledger.receivers()? {
            if !class.contains(&receiver.id) {
                continue;
            }
            let lacks = self.lacking(receiver.id);
            if lacks.is_empty() && !receiver.verify {
                self.complete(&receiver, self.ledger.revision())?;
            } else {
                asked.push((receiver, lists.share(lacks)));
            }
        }
        for planned in self.tree.sessions(&asked) {
            self.begin(planned, &asked, now)?;
        }
        Ok(())
    }

    /// Waits until something happens, or somebody is due.
    fn wait(&mut self) -> Result<()> {
        let now = Instant::now();
        let said = self.announcer.as_ref().and_then(Announcer::next);
        let due = [self.schedule.next(), self.not_before, said, self.exec_due()];
        let due = due.into_iter().flatten().min();
        let again = self.looked.and_then(|looked| looked.again);
        let at = due.into_iter().chain(again).filter(|at| *at > now).min();
        let limit = at.map_or(LISTEN, |at| at.saturating_duration_since(now).min(LISTEN));
        let limit = limit.max(Duration::from_millis(1));
        match self.events.1.recv_timeout(limit) {
            Ok(Event::Opened(number, group)) => self.opened(number, group)?,
            Ok(Event::Over(number, tried)) => self.over(number, &tried)?,
            Ok(Event::Hello(hello)) => self.hello(&hello)?,
            Ok(Event::Answered(answered)) => self.answered(answered)?,
            // This end holds a sender: nobody else is needed.
            Ok(Event::End) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
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
        let before = self.ear.names();
        self.ledger.refresh()?;
        self.job = self.ledger.job()?;
        let now = Instant::now();
        let receivers = self.ledger.receivers()?;
        self.renew(&before, &receivers)?;
        let left = |name: &String| !receivers.iter().any(|receiver| receiver.name == *name);
        self.say_over_to(&before.into_iter().filter(left).collect::<Vec<_>>());
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

    /// Tells of hosts that have been late for long.
    fn tell_late(&mut self) -> Result<()> {
        for receiver in self.ledger.receivers()? {
            if let Some((since, why)) = &receiver.late {
                self.hook.late(&receiver.name, since_unix(*since), why);
            }
        }
        Ok(())
    }

    /// Ends the sessions that run, and waits until they have told their receivers; `last`: not for long.
    fn stop(&mut self, last: bool) -> Result<()> {
        self.running.values().for_each(|session| session.stop.now());
        let until = Instant::now() + END;
        while !self.running.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.1.recv_timeout(left) {
                Ok(Event::Over(number, tried)) => self.over(number, &tried)?,
                Ok(Event::Answered(answered)) => self.answered(answered)?,
                Ok(Event::End | Event::Hello(_) | Event::Opened(..)) => {}
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
