//! What the daemon has of mirror jobs: which installation it is, which jobs send to it and where, and their masters, to
//! whom it says hello ([`hello`]) and whose announcements it hears ([`announced`]). [`leases`] shows and drops what
//! jobs hold. [`mex`] runs commands for them.

mod announced;
mod attempts;
mod hello;
pub(crate) mod leases;
mod logs;
mod mex;
mod process;
mod run;
mod who;

use crate::args::Cli;
use crate::commands::Commands;
use crate::report::say;
use crate::trust;
use anyhow::{Context, Result};
use mcp_cli::say::plain;
use mcp_keys::Drawn;
use mcp_keys::places::{self, Environment};
use mtm::held::{Held, HeldError, Known, Of};
use mtm::installation::{Installation, Shown};
use mtm::revision::Revision;
use mtm::words::{self, JobId, OfReceiver, Said, ToReceiver};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tcpxm::trust::ListenTrust;
use transfer::destination::Root;
use transfer::jobs::{From, Jobs};
use transfer::message::OfJob;

/// What all sessions share of mirror jobs.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    installation: Option<Arc<Installation>>,
    known: Option<Arc<Mine>>,
}

/// A job, and what this host is called in it.
type Named = (JobId, String);

fn name_of(known: &Known) -> Named {
    (known.job, known.host.clone())
}

/// The jobs that this daemon knows.
#[derive(Debug)]
struct Mine {
    installation: Arc<Installation>,
    held: Mutex<Held>,
    /// Whom it trusts, and so who its masters are to it.
    trust: Mutex<ListenTrust>,
    /// What its masters have told of their announcements.
    announced: Mutex<announced::Known>,
    /// Jobs whose masters are to be answered, and when.
    soon: Mutex<BTreeMap<Named, Instant>>,
    /// Jobs whose sessions run, and how many of each: their masters know what there is to say.
    served: Mutex<BTreeMap<Named, usize>>,
    /// How often a job has begun or ended; the thread that says hello waits for it.
    news: (Mutex<u64>, Condvar),
    mex: mex::Mex,
}

/// The same for a session, of a sender to whom this is that installation.
#[derive(Debug)]
struct Session {
    mine: Arc<Mine>,
    own: who::Own,
}

impl Mirrors {
    /// Of this daemon; where something cannot be kept that is said. One that ends with its session (`lasts` is
    /// false) is no receiver of a mirror job.
    pub(crate) fn of(cli: &Cli, lasts: bool, trust: &ListenTrust) -> Self {
        let (mirrors, note) = if lasts { Self::kept(cli, trust) } else { Default::default() };
        trust::tell(note.as_slice(), cli.common.quiet);
        mirrors
    }

    fn kept(cli: &Cli, trust: &ListenTrust) -> (Self, Option<String>) {
        let environment = Environment::of_process();
        let state = environment.state_dir(cli.common.state_dir.as_deref());
        let kept = state.map_err(|error| error.to_string()).and_then(|state| {
            let kept = Drawn::read_or_create(&places::instance(&state));
            kept.map(|kept| (installation(&kept), state)).map_err(|error| error.to_string())
        });
        let (installation, state) = match kept {
            Ok(kept) => kept,
            Err(why) => {
                let note = format!("to mirror jobs this daemon is a new one at each start: {why}");
                let installation = Drawn::random().ok().as_ref().map(installation);
                return (Self { installation, known: None }, Some(note));
            }
        };
        let mex = mex::Mex::new(state.clone(), cli.commands.clone());
        let own = (trust, Arc::clone(&installation));
        let known = mex
            .map_err(anyhow::Error::from)
            .and_then(|mex| Mine::open(&places::mirrors(&state), own, mex).map_err(Into::into));
        let (known, note) = match known {
            Ok(known) => (Some(known), None),
            Err(error) => {
                let note = format!(
                    "mirror jobs have no places of their own here, and hear no hello: {error}"
                );
                (None, Some(note))
            }
        };
        (Self { installation: Some(installation), known }, note)
    }

    /// Who deals with the jobs of those that send below that folder.
    pub(crate) fn of_session(&self, root: &Root) -> Option<Arc<dyn Jobs>> {
        let own = who::Own::new(self.installation.as_ref()?, root.path());
        Some(match &self.known {
            Some(mine) => Arc::new(Session { mine: Arc::clone(mine), own }),
            None => Arc::new(who::Placeless(own)),
        })
    }

    /// From now on these are trusted.
    pub(crate) fn set_trust(&self, trust: &ListenTrust) {
        if let Some(mine) = &self.known {
            *lock(&mine.trust) = trust.clone();
        }
    }

    /// Masters may have these commands run from now on. Whether they are others than before.
    pub(crate) fn set_commands(&self, commands: &Commands) -> bool {
        self.known.as_ref().is_some_and(|mine| mine.mex.set(commands))
    }

    /// Ends the commands that run, and waits until they have.
    pub(crate) fn end(&self) {
        if let Some(mine) = &self.known {
            mine.mex.end();
        }
    }

    /// Starts the threads that say hello, and that listen to announcements if they are to.
    pub(crate) fn start(&self, cli: &Cli) -> Result<()> {
        let Some(known) = &self.known else { return Ok(()) };
        hello::start(known).context("cannot start a thread")?;
        if let Some(group) = cli.announce {
            announced::start(known, group, cli.common.interface.clone())
                .with_context(|| format!("cannot listen to announcements to {group}"))?;
        }
        Ok(())
    }

    /// What was heard of announcements, in words, where they are listened to.
    pub(crate) fn status(&self) -> Option<String> {
        self.known.as_ref().and_then(|known| lock(&known.announced).status())
    }
}

impl Mine {
    fn open(
        path: &Path,
        (trust, installation): (&ListenTrust, Arc<Installation>),
        mex: mex::Mex,
    ) -> std::result::Result<Arc<Self>, HeldError> {
        let mut held = Held::open(path)?;
        mex.interrupt(&mut held)?;
        let (held, trust) = (Mutex::new(held), Mutex::new(trust.clone()));
        let (announced, soon, served) = (Mutex::default(), Mutex::default(), Mutex::default());
        let news = (Mutex::new(0), Condvar::new());
        Ok(Arc::new(Self { installation, held, trust, announced, soon, served, news, mex }))
    }

    /// The master of a job is to be answered then, by each of these names.
    fn answer(&self, names: Vec<Named>, at: Instant) {
        lock(&self.soon).extend(names.into_iter().map(|of| (of, at)));
        self.tell();
    }

    /// All jobs whose masters are told that this host is there. What others have told of their announcements is
    /// forgotten: a lease may have been dropped by another process, or taken over by another job.
    fn alive(&self) -> std::result::Result<Vec<Known>, HeldError> {
        // Before these are read: what is told meanwhile is of one that they do not have.
        let mut announced = lock(&self.announced);
        let known = lock(&self.held).alive(now())?;
        announced.keep(&known.iter().map(name_of).collect());
        Ok(known)
    }

    /// Somebody has said something of a job: its lease goes on if it was its master.
    fn heard(&self, of: Of<'_>, from: &From) -> std::result::Result<(), HeldError> {
        let master = from.who().map(|key| key.as_bytes().to_vec());
        let mut held = lock(&self.held);
        let known = held.known(of)?;
        let is_its = known.is_some_and(|known| known.master.is_some() && known.master == master);
        if is_its { held.heard(of, now()) } else { Ok(()) }
    }

    /// A session of a job is over.
    fn leave(&self, of: &Named) {
        let mut served = lock(&self.served);
        if let Some(sessions) = served.get_mut(of) {
            *sessions -= 1;
            if *sessions == 0 {
                served.remove(of);
            }
        }
    }

    /// A job has begun or ended.
    fn tell(&self) {
        *lock(&self.news.0) += 1;
        self.news.1.notify_all();
    }
}

impl Session {
    /// A job as it is known from a session of that master that is to write at this place.
    fn known(&self, from: &From, job: &OfJob, place: &Path) -> Known {
        let hello = job.hello.map(|(ip, port)| {
            // The scope of a link-local address goes with it.
            let mut addr = from.peer;
            addr.set_port(port);
            ip.map_or(addr, |ip| SocketAddr::new(ip, port))
        });
        Known {
            job: job.id,
            master: from.who().map(|key| key.as_bytes().to_vec()),
            name: words::cut(&job.name).to_owned(),
            host: words::cut(&job.host).to_owned(),
            place: place.to_owned(),
            hello,
            peer: Some(from.peer.ip().to_canonical()),
            instance: self.own.folder,
            complete: Some(Revision::new(job.revision, job.edition)),
            heard: now(),
        }
    }
}

/// A job has no place here, which is said here as well.
fn refused(known: &Known, from: &From, error: &HeldError) -> String {
    let (name, why) = (plain(&known.name), error.to_string());
    say(format_args!("the job {name} of {} is refused: {}", from.peer, plain(&why)));
    why
}

impl Jobs for Session {
    fn may_begin(&self, from: &From, job: &OfJob, place: &Path) -> std::result::Result<(), String> {
        let from = &who::master(from, words::decode(&job.shown).ok().as_ref(), &job.id)?;
        let known = self.known(from, job, place);
        let may = lock(&self.mine.held).may_begin(&known);
        may.map_err(|error| refused(&known, from, &error))
    }

    fn begin(&self, from: &From, job: &OfJob, place: &Path) -> std::result::Result<(), String> {
        let from = &who::master(from, words::decode(&job.shown).ok().as_ref(), &job.id)?;
        let known = self.known(from, job, place);
        let begun = lock(&self.mine.held).begin_after(&known, (job.line.0, &job.line.1));
        begun.map_err(|error| refused(&known, from, &error))?;
        *lock(&self.mine.served).entry(name_of(&known)).or_default() += 1;
        if let Ok(told) = words::decode(&job.told) {
            lock(&self.mine.announced).tell(name_of(&known), told);
        }
        self.mine.tell();
        Ok(())
    }

    fn shows(&self, from: &From, job: &OfJob) -> Vec<u8> {
        let who = who::master(from, words::decode(&job.shown).ok().as_ref(), &job.id);
        let has = self.has((job.id, words::cut(&job.host)), who.ok().as_ref()).unwrap_or_default();
        words::encode(&words::Met { shown: self.own.shown(from, &job.id), word: has })
    }

    fn end(&self, job: &OfJob, ok: bool) {
        self.mine.leave(&(job.id, words::cut(&job.host).to_owned()));
        let mut held = lock(&self.mine.held);
        let of = (job.id, words::cut(&job.host));
        let done = held.heard(of, now());
        let since = job.since.map(|since| (since, &job.line.1[..]));
        let revision = Revision::new(job.revision, job.edition);
        let done =
            done.and_then(|()| if ok { held.complete(of, since, revision) } else { Ok(false) });
        let new = done.and_then(|new| if new { held.known(of) } else { Ok(None) });
        drop(held);
        match new {
            Ok(None) => {}
            Ok(Some(known)) => self.mine.mex.complete(&known, job.revision),
            Err(error) => {
                // It is known again after the next session.
                let job = plain(&job.name);
                say(format_args!("cannot note what the job {job} has here: {error}"));
            }
        }
    }

    fn hear(&self, from: &From, word: &[u8]) -> Vec<u8> {
        let (job, answer) = match words::decode(word) {
            Ok(Said { shown, word }) => (ToReceiver::job(&word), self.answer(from, &shown, word)),
            Err(error) => (JobId::default(), OfReceiver::Refused(error.to_string())),
        };
        self.own.says(from, &job, answer)
    }
}

impl Session {
    /// What this installation has of a job, as its master is told, and nobody else.
    fn has(&self, of: Of<'_>, from: Option<&From>) -> Has {
        let held = lock(&self.mine.held);
        let known = held.known(of)?;
        let master = from.and_then(From::who).map(|key| key.as_bytes().to_vec());
        if known.as_ref().is_some_and(|own| own.master.is_some() && own.master != master) {
            return Err(HeldError::Foreign);
        }
        has_of(&held, of, self.own.folder)
    }

    fn answer(&self, from: &From, shown: &Shown, word: ToReceiver) -> OfReceiver {
        let from = match who::master(from, Some(shown), &word.job()) {
            Ok(from) => from,
            Err(why) => return OfReceiver::Refused(why),
        };
        let master = from.who().map(|key| key.as_bytes().to_vec());
        match word {
            ToReceiver::Ask { job, host } => {
                let of = (job, words::cut(&host));
                let _ = self.mine.heard(of, &from); // the lease is a little shorter
                let has = self.has(of, Some(&from));
                has.map_or_else(
                    |error| OfReceiver::Refused(error.to_string()),
                    |[revision, begun]| OfReceiver::Has { revision, begun },
                )
            }
            ToReceiver::Over { job, host } => {
                let host = words::cut(&host);
                let over = lock(&self.mine.held).over((job, host), master.as_deref());
                if over.is_ok() {
                    lock(&self.mine.announced).forget(&(job, host.to_owned()));
                }
                self.mine.tell();
                over.map_or_else(
                    |error| OfReceiver::Refused(error.to_string()),
                    |()| OfReceiver::Done,
                )
            }
            ToReceiver::Mex { job, revision, command, credential, root, description, host } => {
                let _ = self.mine.heard((job, words::cut(&host)), &from); // as above
                let asked =
                    mex::Asked { job, revision, command, credential, root, description, host };
                mex::hear(&self.mine, &from, self.own.folder, asked)
            }
        }
    }
}

/// The revision of which an installation has, or has had, everything, and the one of which it may have something.
type Has = std::result::Result<[Option<Revision>; 2], HeldError>;

fn has_of(held: &Held, of: Of<'_>, instance: [u8; 16]) -> Has {
    Ok([held.has(of, instance)?, held.begun(of, instance)?])
}

fn installation(drawn: &Drawn) -> Arc<Installation> {
    Arc::new(Installation::new(drawn.as_bytes()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::exec::Credential;
    use mtm::installation::Role;
    use std::time::Duration;
    use tcpxm::trust::Identity;

    const JOB: JobId = [1; 16];
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn session(dir: &Path) -> Session {
        let installation = Arc::new(Installation::new(&[1; 32]));
        let own = who::Own::new(&installation, dir);
        let mex = mex::Mex::new(dir.to_owned(), Commands::default()).unwrap();
        let of = (&ListenTrust::Loopback, installation);
        Session { mine: Mine::open(&dir.join("mirrors"), of, mex).unwrap(), own }
    }

    fn from(n: u8) -> From {
        From {
            key: Some(Identity::generate([n; 64]).public()),
            installation: None,
            binding: [0; 32],
            peer: ([127, 0, 0, 1], 1).into(),
        }
    }

    /// A job of the first master, who was heard so many days ago.
    fn begin(mine: &Mine, days: u32) {
        let known = Known {
            job: JOB,
            master: from(1).who().map(|key| key.as_bytes().to_vec()),
            name: "lectures".to_owned(),
            host: "h1".to_owned(),
            place: "/srv/a".into(),
            hello: None,
            peer: None,
            instance: [9; 16],
            complete: None,
            heard: now() - u64::try_from((DAY * days).as_millis()).unwrap(),
        };
        lock(&mine.held).begin(&known).unwrap();
    }

    #[test]
    fn a_masters_words_keep_its_places_and_those_of_others_do_not() {
        let ask = || ToReceiver::Ask { job: JOB, host: "h1".to_owned() };
        let mex = || ToReceiver::Mex {
            job: JOB,
            revision: Revision::new(1, 5),
            command: "x".to_owned(),
            credential: Credential::default(),
            root: "a".to_owned(),
            description: String::new(),
            host: "h1".to_owned(),
        };
        for word in [ask, mex] as [fn() -> ToReceiver; 2] {
            let dir = tempfile::tempdir().unwrap();
            let session = session(dir.path());
            begin(&session.mine, 6);
            let ago = || now() - lock(&session.mine.held).all(now()).unwrap()[0].heard;
            let day = u64::try_from(DAY.as_millis()).unwrap();
            let shown = Installation::new(&[7; 32]).shows(Role::Master, &JOB, &[0; 32]);
            let refused = session.answer(&from(2), &shown, word());
            assert!(matches!(refused, OfReceiver::Refused(_)), "{refused:?}");
            assert!(ago() >= 6 * day, "{:?}", word());
            session.answer(&from(1), &shown, word());
            assert!(ago() < day, "{:?}", word());
        }
    }

    #[test]
    fn announcements_of_a_job_whose_lease_was_dropped_are_not_heard() {
        let dir = tempfile::tempdir().unwrap();
        let mine = session(dir.path()).mine;
        begin(&mine, 0);
        let master = *Identity::generate([5; 64]).public().as_bytes();
        let (channel, private) = ([2; 32], [3; 32]);
        let told =
            words::ChannelTold { master, channel, private, incarnation: 1, floor: 0, place: 0 };
        let of = (JOB, "h1".to_owned());
        lock(&mine.announced).tell(of.clone(), told);
        assert_eq!(mine.alive().unwrap().len(), 1);
        assert!(lock(&mine.announced).knows(&of));
        Held::open(&dir.path().join("mirrors")).unwrap().drop_lease(Path::new("/srv/a")).unwrap();
        assert_eq!(mine.alive().unwrap(), []);
        assert!(!lock(&mine.announced).knows(&of));
    }
}
