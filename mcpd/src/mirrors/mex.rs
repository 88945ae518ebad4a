//! Runs commands for masters whose trees are complete here (seed MTM, MEX): who may, which, and what became of them.

use super::attempts::{Attempts, Who};
use super::logs::{self, Of};
use super::{Mine, lock, now, process, run};
use crate::commands::{Commands, Entry};
use crate::credential;
use crate::report::say;
use mcp_cli::say::plain;
use mtm::exec::{Credential, ExitStatusWord};
use mtm::held::{Begun, Held, HeldError, Interrupted, Known, OfPlace};
use mtm::revision::Revision;
use mtm::words::{self, JobId, OfReceiver};
use std::ffi::OsString;
use std::io::{self, PipeWriter};
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
/// When the daemon ends, the end of a command is noted within this.
const NOTED: Duration = Duration::from_secs(1);

/// What is wanted.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) job: JobId,
    pub(super) revision: Revision,
    pub(super) command: String,
    pub(super) credential: Credential,
    pub(super) root: String,
    pub(super) description: String,
    /// What this host is called there.
    pub(super) host: String,
}

/// How many commands run, and how many have ended.
#[derive(Debug, Default)]
struct Count {
    running: u64,
    ended: u64,
    /// The daemon ends: none is started any more.
    is_over: bool,
}

/// What commands need.
#[derive(Debug)]
pub(super) struct Mex {
    /// The folder of state.
    state: PathBuf,
    commands: Mutex<Commands>,
    attempts: Mutex<Attempts>,
    /// Who waits for one waits for this.
    count: (Mutex<Count>, Condvar),
    stop: run::Stop,
    /// Is dropped to end those that run.
    goes_on: Mutex<Option<PipeWriter>>,
    /// What this daemon is known by to the next one.
    own: Option<String>,
}

impl Mex {
    pub(super) fn new(state: PathBuf, commands: Commands) -> io::Result<Self> {
        let (commands, attempts) = (Mutex::new(commands), Mutex::default());
        let (stop, goes_on) = run::Stop::new()?;
        let (count, goes_on) = ((Mutex::default(), Condvar::new()), Mutex::new(Some(goes_on)));
        Ok(Self { state, commands, attempts, count, stop, goes_on, own: process::own() })
    }

    /// Ends those that run, as after their time, and waits until that is noted.
    pub(super) fn end(&self) {
        lock(&self.count.0).is_over = true;
        drop(lock(&self.goes_on).take());
        let left =
            self.count.1.wait_timeout_while(lock(&self.count.0), run::GRACE + NOTED, |count| {
                count.running > 0
            });
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }

    /// One more runs, unless none is to any more.
    fn enter(&self) -> bool {
        let mut count = lock(&self.count.0);
        count.running += u64::from(!count.is_over);
        !count.is_over
    }

    /// One less does.
    fn leave(&self) {
        let mut count = lock(&self.count.0);
        count.running -= 1;
        count.ended += 1;
        drop(count);
        self.count.1.notify_all();
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

    /// Ends what a daemon has left running that was killed, and notes that. What another one runs is its own.
    pub(super) fn interrupt(&self, held: &mut Held) -> Result<(), HeldError> {
        let mut left = held.running()?;
        left.retain(|run| !run.daemon.as_deref().is_some_and(process::lives));
        let processes: Vec<String> = left.iter().filter_map(|run| run.process.clone()).collect();
        // One command for a place runs at a time: the next is not begun before.
        process::end(&processes, run::GRACE);
        held.interrupt_runs(&left, now())?;
        let all = held.all(now())?;
        for run in &left {
            let known = |known: &&Known| known.job == run.job && known.place == run.place;
            self.interrupted(run, all.iter().find(known));
        }
        Ok(())
    }

    /// Tells of those whose end nobody has seen.
    fn interrupted(&self, of: &Interrupted, known: Option<&Known>) {
        let Interrupted { revision, command, place, .. } = of.clone();
        let job = known.map(|known| known.name.clone()).unwrap_or_default();
        let of = Of { job, revision: revision.number, command };
        let status = ExitStatusWord::Unknown.to_string();
        told(logs::ran(&self.state, &of, &place, ("", ""), &status));
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
    let known = lock(&mine.held).known((asked.job, words::cut(&asked.host)))?;
    let Some(known) = known else { return Ok(OfReceiver::Incomplete) };
    // One of before masters had keys with a secret is known again by the job's next session.
    if known.master.is_none() {
        return Ok(OfReceiver::Incomplete);
    }
    let before = lock(&mine.held).run((asked.job, &known.place), asked.revision)?;
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
    let (job, place, revision) = (asked.job, known.place.clone(), asked.revision);
    if !mine.mex.enter() {
        return Ok(OfReceiver::Refused("the daemon is shutting down".to_owned()));
    }
    let own = mine.mex.own.as_deref();
    let what = (revision, &asked.command[..]);
    let begun = lock(&mine.held).begin_run((job, &place), what, own, now());
    if !matches!(begun, Ok(Begun::New)) {
        mine.mex.leave();
    }
    match begun? {
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
    wait(mine, (job, &place), revision)
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

/// Starts it; it is recorded already, and counts as one that runs.
fn start(mine: &Arc<Mine>, entry: Arc<Entry>, known: Known, asked: Asked) -> Result<(), HeldError> {
    let own = Arc::clone(mine);
    let (job, place, revision) = (asked.job, known.place.clone(), asked.revision);
    let work = move || execute(&own, &entry, &known, &asked);
    let started = thread::Builder::new().name("command".to_owned()).spawn(work);
    if let Err(error) = started {
        let status = ExitStatusWord::NotStarted(format!("there is no thread for it: {error}"));
        mine.mex.leave();
        lock(&mine.held).end_run((job, &place), revision, (&status, b""), now())?;
    }
    Ok(())
}

/// Runs it, and notes and logs how it has ended.
fn execute(mine: &Mine, entry: &Entry, known: &Known, asked: &Asked) {
    let text = |text: &str| OsString::from(words::cut(text));
    let variables = [
        ("MTM_JOB", text(&known.name)),
        ("MTM_PLACE", known.place.clone().into()),
        ("MTM_ROOT", text(&asked.root)),
        ("MTM_DESCRIPTION", text(&asked.description)),
        ("MTM_REVISION", asked.revision.to_string().into()),
    ];
    let began = SystemTime::now();
    let of = (asked.job, known.place.as_path());
    let ran = run::run(entry, &variables, &mine.mex.stop, |pid| {
        let process = process::known(pid);
        let noted =
            process.map(|process| lock(&mine.held).note_process(of, asked.revision, &process));
        if let Some(Err(error)) = noted {
            say(format_args!("cannot note which process a command is: {error}"));
        }
    });
    let noted = || {
        let end = (&ran.status, &ran.tail[..]);
        lock(&mine.held).end_run(of, asked.revision, end, now())
    };
    while let Err(error) = noted() {
        say(format_args!("cannot note how a command has ended: {error}"));
        thread::sleep(AGAIN);
    }
    let (job, revision) = (known.name.clone(), asked.revision.number);
    let of = Of { job, revision, command: asked.command.clone() };
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
    mine.mex.leave();
}

/// Waits for its end, not for long.
fn wait(mine: &Mine, of: OfPlace<'_>, revision: Revision) -> Result<OfReceiver, HeldError> {
    let until = Instant::now() + WAIT;
    loop {
        let seen = lock(&mine.mex.count.0).ended;
        if let Some(Begun::Ended(status, tail)) = lock(&mine.held).run(of, revision)? {
            return Ok(OfReceiver::Ran { status, tail });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(OfReceiver::Busy);
        }
        let count = lock(&mine.mex.count.0);
        let waited = mine.mex.count.1.wait_timeout_while(count, left, |count| count.ended == seen);
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
            peer: None,
            instance: [9; 16],
            complete: None,
            heard: now(),
        }
    }

    fn asked(number: u32) -> Asked {
        Asked {
            job: [1; 16],
            revision: Revision::new(number, 5),
            command: "x".to_owned(),
            credential: Credential::default(),
            root: "a".to_owned(),
            description: String::new(),
            host: "h1".to_owned(),
        }
    }

    fn mine(dir: &Path) -> Arc<Mine> {
        let config = dir.join("mcpd.toml");
        std::fs::write(&config, "[command.x]\nargv = [\"/bin/true\"]").unwrap();
        let mex = Mex::new(dir.to_owned(), Commands::read(&config).unwrap()).unwrap();
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
        let revision = Revision::new(1, 5);
        lock(&mine.held).complete(([1; 16], "h1"), None, revision).unwrap();
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
