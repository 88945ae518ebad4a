//! Runs commands for masters whose trees are complete here (seed MTM, MEX): who may, which, and what became of them.

use super::attempts::{Attempts, Who};
use super::logs::{self, Of};
use super::{Mine, lock, now, run};
use crate::commands::{Commands, Entry};
use crate::credential;
use crate::report::say;
use mcp_cli::say::plain;
use mtm::exec::{Credential, ExitStatusWord};
use mtm::held::{Begun, HeldError, Interrupted, Known};
use mtm::words::{self, JobId, OfReceiver};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use transfer::jobs::From;

/// A command is waited for so long before it is answered that it runs still: an association of a master that hears
/// nothing for longer may be given up there (it waits for 30 s).
const WAIT: Duration = Duration::from_secs(20);
/// An end that cannot be noted, as where the disk is full, is noted again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// What is wanted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) job: JobId,
    pub(super) revision: u32,
    pub(super) command: String,
    pub(super) credential: Credential,
    pub(super) root: String,
    pub(super) description: String,
}

/// What commands need.
#[derive(Debug)]
pub(super) struct Mex {
    /// The folder of state.
    state: PathBuf,
    commands: Mutex<Commands>,
    attempts: Mutex<Attempts>,
    /// How many have ended; who waits for one waits for this.
    ended: (Mutex<u64>, Condvar),
}

impl Mex {
    pub(super) fn new(state: PathBuf, commands: Commands) -> Self {
        let (commands, attempts) = (Mutex::new(commands), Mutex::default());
        Self { state, commands, attempts, ended: (Mutex::new(0), Condvar::new()) }
    }

    /// The list is this one from now on. Whether it was another one.
    pub(super) fn set(&self, commands: &Commands) -> bool {
        let mut list = lock(&self.commands);
        let changed = *list != *commands;
        list.clone_from(commands);
        changed
    }

    /// All of a revision is in place.
    pub(super) fn complete(&self, known: &Known, revision: u32) {
        told(logs::complete(&self.state, (&known.name, &known.place, revision)));
    }

    /// Tells of those whose end nobody has seen.
    pub(super) fn interrupted(&self, of: &Interrupted, known: Option<&Known>) {
        let (job, place) = known.map(|known| (known.name.clone(), known.place.clone())).unzip();
        let Interrupted { revision, command, .. } = of.clone();
        let of = Of { job: job.unwrap_or_default(), revision, command };
        let status = ExitStatusWord::Unknown.to_string();
        told(logs::ran(&self.state, &of, &place.unwrap_or_default(), ("", ""), &status));
        say(format_args!(
            "the command {} of the job {} was interrupted: it is not run again for revision {revision}",
            plain(&of.command),
            plain(&of.job)
        ));
    }
}

/// Answers a master; `instance` is what this installation is to it.
pub(super) fn hear(mine: &Arc<Mine>, from: &From, instance: [u8; 16], asked: Asked) -> OfReceiver {
    let answered = answer(mine, from, instance, asked);
    answered.unwrap_or_else(|error| {
        say(format_args!("a command is not run for {}: {error}", from.peer));
        OfReceiver::Refused(error.to_string())
    })
}

fn answer(
    mine: &Arc<Mine>,
    from: &From,
    instance: [u8; 16],
    asked: Asked,
) -> Result<OfReceiver, HeldError> {
    let (known, before) = {
        let held = lock(&mine.held);
        (held.known(asked.job)?, held.run(asked.job, asked.revision)?)
    };
    let Some(known) = known else { return Ok(OfReceiver::Incomplete) };
    // One of before masters had keys with a secret is known again by the job's next session.
    if known.master.is_none() {
        return Ok(OfReceiver::Incomplete);
    }
    if known.master.as_deref() != from.who().as_ref().map(|key| &key.as_bytes()[..]) {
        return Err(HeldError::Foreign);
    }
    // Of a run that there was the end is told, whatever has come since.
    let whole = known.complete == Some(asked.revision) && known.instance == instance;
    if !whole && before.is_none() {
        return Ok(OfReceiver::Incomplete);
    }
    let entry = match admit(mine, from, &known, &asked) {
        Ok(entry) => entry,
        Err(refused) => return Ok(refused),
    };
    let (job, revision) = (asked.job, asked.revision);
    let begun = lock(&mine.held).begin_run(job, revision, &asked.command, now())?;
    match begun {
        Begun::New => start(mine, entry, known, asked)?,
        Begun::Running => {}
        Begun::Ended(status, tail) => return Ok(OfReceiver::Ran { status, tail }),
        Begun::Other(command) => {
            let why = format!("for revision {revision} this host has run the command {command}");
            return Ok(OfReceiver::Refused(why));
        }
        Begun::Later => {
            let why = format!("this host has run a command for a revision after {revision}");
            return Ok(OfReceiver::Refused(why));
        }
    }
    wait(mine, job, revision)
}

/// The command, if there is one of that name and the password is its own; else what is answered, which does not tell
/// the one from the other, nor does the time that it takes.
fn admit(mine: &Mine, from: &From, known: &Known, asked: &Asked) -> Result<Arc<Entry>, OfReceiver> {
    let entry = lock(&mine.mex.commands).find(&asked.command).cloned();
    if let Some(entry) = entry.as_ref().filter(|entry| entry.credential.is_none()) {
        return Ok(Arc::clone(entry));
    }
    let who = Who::of(from);
    // Held until it is known: of attempts that come together the first to fail makes the others wait.
    let mut attempts = lock(&mine.mex.attempts);
    if let Some(wait) = attempts.wait(&who, Instant::now()) {
        let why = format!(
            "there was a wrong password, or an unknown command: no other is looked at for {} s",
            wait.as_secs() + 1
        );
        return Err(OfReceiver::Refused(why));
    }
    let hash = entry.as_ref().and_then(|entry| entry.credential.as_ref());
    if hash.is_none() {
        let _ = credential::hash(&asked.credential); // takes as long as to look at one
    }
    let fits = hash.is_some_and(|hash| hash.fits(&asked.credential));
    if let Some(entry) = entry.filter(|_| fits) {
        attempts.succeeded(&who);
        return Ok(entry);
    }
    attempts.failed(who, Instant::now());
    say(format_args!(
        "the command {} for the job {} of {} is refused: there is none of that name, or the password is wrong",
        plain(words::cut(&asked.command)),
        plain(&known.name),
        from.peer
    ));
    Err(OfReceiver::Dnpwd)
}

/// Starts it; it is recorded already.
fn start(mine: &Arc<Mine>, entry: Arc<Entry>, known: Known, asked: Asked) -> Result<(), HeldError> {
    let own = Arc::clone(mine);
    let (job, revision) = (asked.job, asked.revision);
    let work = move || execute(&own, &entry, &known, &asked);
    let started = thread::Builder::new().name("command".to_owned()).spawn(work);
    if let Err(error) = started {
        let status = ExitStatusWord::NotStarted(format!("there is no thread for it: {error}"));
        lock(&mine.held).end_run(job, revision, (&status, b""), now())?;
    }
    Ok(())
}

/// Runs it, and notes and logs how it has ended.
fn execute(mine: &Mine, entry: &Entry, known: &Known, asked: &Asked) {
    let variables = [
        ("MTM_JOB", known.name.clone()),
        ("MTM_ROOT", words::cut(&asked.root).to_owned()),
        ("MTM_DESCRIPTION", words::cut(&asked.description).to_owned()),
        ("MTM_REVISION", asked.revision.to_string()),
    ];
    let began = SystemTime::now();
    let ran = run::run(entry, &variables);
    let noted = || {
        let end = (&ran.status, &ran.tail[..]);
        lock(&mine.held).end_run(asked.job, asked.revision, end, now())
    };
    while let Err(error) = noted() {
        say(format_args!("cannot note how a command has ended: {error}"));
        thread::sleep(AGAIN);
    }
    let of =
        Of { job: known.name.clone(), revision: asked.revision, command: asked.command.clone() };
    let (root, status) = (words::cut(&asked.root), ran.status.to_string());
    let tree = (root, words::cut(&asked.description));
    told(logs::ran(&mine.mex.state, &of, &known.place, tree, &status));
    told(logs::output(&mine.mex.state, &of, began, &ran));
    if !ran.status.is_success() {
        say(format_args!(
            "the command {} of the job {}: {}",
            plain(&of.command),
            plain(&of.job),
            plain(&status)
        ));
    }
    *lock(&mine.mex.ended.0) += 1;
    mine.mex.ended.1.notify_all();
}

/// Waits for its end, not for long.
fn wait(mine: &Mine, job: JobId, revision: u32) -> Result<OfReceiver, HeldError> {
    let until = Instant::now() + WAIT;
    loop {
        let seen = *lock(&mine.mex.ended.0);
        if let Some(Begun::Ended(status, tail)) = lock(&mine.held).run(job, revision)? {
            return Ok(OfReceiver::Ran { status, tail });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(OfReceiver::Busy);
        }
        let ended = lock(&mine.mex.ended.0);
        let waited = mine.mex.ended.1.wait_timeout_while(ended, left, |ended| *ended == seen);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says it if a log could not be written: nothing else depends on it.
fn told(written: io::Result<()>) {
    if let Err(error) = written {
        say(format_args!("cannot write the log of mirror jobs: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtm::installation::Installation;
    use std::path::Path;
    use tcpxm::trust::{Identity, ListenTrust};

    fn known() -> Known {
        Known {
            job: [1; 16],
            master: Some(Identity::generate([1; 64]).public().as_bytes().to_vec()),
            name: "lectures".to_owned(),
            host: "h1".to_owned(),
            place: "/srv/a".into(),
            hello: None,
            instance: [9; 16],
            complete: None,
            heard: now(),
        }
    }

    fn asked(revision: u32) -> Asked {
        Asked {
            job: [1; 16],
            revision,
            command: "x".to_owned(),
            credential: Credential::default(),
            root: "a".to_owned(),
            description: String::new(),
        }
    }

    fn mine(dir: &Path) -> Arc<Mine> {
        let config = dir.join("mcpd.toml");
        std::fs::write(&config, "[command.x]\nargv = [\"/bin/true\"]").unwrap();
        let mex = Mex::new(dir.to_owned(), Commands::read(&config).unwrap());
        let own = (&ListenTrust::Loopback, Arc::new(Installation::new(&[1; 32])));
        let mine = Mine::open(&dir.join("mirrors"), own, mex).unwrap();
        lock(&mine.held).begin(&known()).unwrap();
        mine
    }

    #[test]
    fn the_masters_own_key_counts_and_the_tree_that_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let mine = mine(dir.path());
        let from = |n| From {
            key: Some(Identity::generate([n; 64]).public()),
            installation: None,
            binding: [0; 32],
            peer: ([127, 0, 0, 1], 1).into(),
        };
        let hear = |from: &From, instance, revision| {
            super::hear(&mine, from, [instance; 16], asked(revision))
        };
        assert_eq!(hear(&from(1), 9, 1), OfReceiver::Incomplete);
        lock(&mine.held).complete([1; 16], None, 1).unwrap();
        let OfReceiver::Refused(why) = hear(&from(2), 9, 1) else { panic!("it is another's") };
        assert_eq!(why, HeldError::Foreign.to_string());
        let nobody = From { key: None, ..from(1) };
        assert!(matches!(hear(&nobody, 9, 1), OfReceiver::Refused(_)));
        assert_eq!(hear(&from(1), 8, 1), OfReceiver::Incomplete, "it is received elsewhere now");
        let ran = OfReceiver::Ran { status: ExitStatusWord::Exited(0), tail: Vec::new() };
        assert_eq!(hear(&from(1), 9, 1), ran);
        assert_eq!(hear(&from(1), 9, 2), OfReceiver::Incomplete);
    }
}
