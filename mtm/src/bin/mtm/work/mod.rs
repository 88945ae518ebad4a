//! A job as it runs: looks at the tree, serves who is due, and notes what came of it, until all hosts have all of it.

mod asked;
mod channel;
mod exec;
pub(crate) mod over;
mod said;
mod session;
mod tree;

use crate::announcer::Announcer;
use crate::args;
use crate::ear::{Ear, Hello};
use crate::given::Given;
use crate::hook::Hook;
use crate::round::{Planned, Tree};
use crate::told::Told;
use anyhow::Result;
use mcp::mirror::{Copying, Stop, Tried, host_of};
use mcp_cli::listen::Listen;
use mcp_cli::signals::Watch;
use mtm::installation::Installation;
use mtm::ledger::{Job, JobState, Ledger, Receiver, ReceiverId};
use mtm::plan::Lists;
use mtm::revision::is_far_behind;
use mtm::schedule::Schedule;
use std::collections::{BTreeMap, HashSet};
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
    /// Receivers have said which installation they are.
    Asked(asked::Asked),
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
    /// The host of each receiver, whatever its path.
    hosts: BTreeMap<ReceiverId, String>,
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
    asking: asked::Asking,
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
            hosts: BTreeMap::new(),
            next_session: 0,
            not_before: None,
            events,
            watch,
            hook,
            told,
            ear,
            announcer,
            exec: exec::Exec::of(exec),
            asking: asked::Asking::new(Instant::now()),
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
                    let now = Instant::now();
                    let served = self.serve(now)?;
                    if !(self.execute(now)? && served) {
                        self.ask_now_and_then(now)?;
                    } else if self.is_confirmed_by_all(now)? && self.end()? {
                        return Ok(Ended::Complete);
                    }
                }
            }
            self.wait()?;
        }
    }

    /// All hosts have all of it: runs the user's command, tells the receivers, and notes it. `false`: the job goes on, or
    /// this process is to end.
    fn end(&mut self) -> Result<bool> {
        // Once more, rather than never, if this is killed before it is noted.
        let goes_on = || {
            !self.watch.is_ended()
                && matches!(self.ledger.state(), Ok(JobState::Open | JobState::Waiting(_)))
        };
        if !self.hook.complete(goes_on) {
            return Ok(false);
        }
        if self.ledger.has_changed()? {
            self.refresh()?; // somebody has said something meanwhile
            return Ok(false);
        }
        self.say_over()?;
        if self.watch.is_ended() {
            return Ok(false);
        }
        Ok(self.ledger.change_state(&JobState::Complete)?)
    }

    /// Serves who is due; whether all of it is done.
    fn serve(&mut self, now: Instant) -> Result<bool> {
        if self.not_before.is_some_and(|at| now < at) {
            return Ok(false);
        }
        let due = self.due(now);
        self.announce(now)?;
        let idle = due.is_empty() && self.running.is_empty() && self.schedule.next().is_none();
        let is_confirmed = idle && self.is_confirmed();
        if is_confirmed && !self.is_look_due(now)? {
            return Ok(true);
        }
        let may_look = is_confirmed || (idle || !due.is_empty()) && self.may_look(now, idle);
        if may_look && !self.look()? {
            return Ok(false);
        }
        self.announce(now)?; // the tree that has just been found, before there is a session
        let mut due = self.due(now);
        while !due.is_empty() {
            for some in due.iter().flat_map(|class| class.chunks(MAX_MEMBERS)) {
                self.serve_class(some, now)?;
            }
            // One that lacks nothing makes room for another path of its host.
            let next = self.due(now);
            due = if next == due { Vec::new() } else { next };
        }
        Ok(false)
    }

    /// Who is to be served now. Of several paths of a host one at a time is, the others at once after it: a session has
    /// one place for a host.
    fn due(&self, now: Instant) -> Vec<Vec<ReceiverId>> {
        let mut taken: HashSet<Option<&String>> =
            self.in_sessions().map(|id| self.hosts.get(&id)).collect();
        let mut due = self.schedule.due(now);
        for class in &mut due {
            class.retain(|id| taken.insert(self.hosts.get(id)));
        }
        due.retain(|class| !class.is_empty());
        due
    }

    fn serve_class(&mut self, class: &[ReceiverId], now: Instant) -> Result<()> {
        let (mut asked, mut lists) = (Vec::new(), Lists::default());
        for receiver in self.ledger.receivers()? {
            if !class.contains(&receiver.id) {
                continue;
            }
            let newest = self.ledger.revision();
            let mut lacks = self.lacking(receiver.id);
            let unsure = lacks.is_empty() && self.copying.deletes() && receiver.complete < newest;
            if unsure || is_far_behind(receiver.complete, newest) {
                // It has all entries, and has not said that it has nothing else; or it could not tell from the
                // editions that are told where it stands: it is told of everything once more.
                lacks = self.tree.all();
            }
            if lacks.is_empty() && !receiver.verify {
                self.complete(&receiver, newest)?;
            } else {
                asked.push((receiver, lists.share(lacks)));
            }
        }
        for planned in self.tree.sessions(&asked) {
            self.begin(planned, &asked, now)?;
        }
        Ok(())
    }

    /// Who is in a session.
    fn in_sessions(&self) -> impl Iterator<Item = ReceiverId> {
        self.running.values().flat_map(|session| session.hosts.iter().map(|(id, _)| *id))
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
            Ok(Event::Asked(asked)) => self.asked(asked)?,
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
        let before = self.ear.roster();
        self.ledger.refresh()?;
        self.job = self.ledger.job()?;
        self.copying.mean(Given::of_json(&self.job.options)?.meant());
        let now = Instant::now();
        let receivers = self.ledger.receivers()?;
        self.hosts = receivers.iter().map(|one| (one.id, host_of(&one.name))).collect();
        self.renew(&before, &receivers)?;
        let left = |name: &String| !receivers.iter().any(|receiver| receiver.name == *name);
        let names = before.into_iter().map(|(name, _)| name);
        drop(self.say_over_to(names.filter(left).collect()));
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
                Ok(Event::Asked(asked)) => self.asked(asked)?,
                Ok(Event::End | Event::Hello(_) | Event::Opened(..)) => {}
                Err(_) if last => return Ok(()),
                Err(_) => break,
            }
        }
        Ok(())
    }
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
