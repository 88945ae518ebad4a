//! The daemon: from its options to the loop that accepts sessions.

use crate::args::Cli;
use crate::mirrors::Mirrors;
use crate::once::{self, Once};
use crate::report::{Lines, Written, counted, say};
use crate::trust::{self, Decided, TrustError};
use crate::{prefix_file, reload, session, starter, strangers, sweeping};
use anyhow::{Context, Result, bail};
use mcp_cli::Exit;
use mcp_cli::rights::Right;
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use mcp_cli::standard;
use mcp_keys::{AuthorizedKeys, Permit};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpxm::api::{ListenOptions, Listener, Receiver};
use tcpxm::net::interface::index_of;
use tcpxm::trust::PublicKey;
use transfer::destination::Root;
use transfer::holders::Holders;
use transfer::limits::Rate;

/// Sessions at a time, at most; a further one is refused. Each may hold 34 MiB in the worst case
/// (blocks that wait for their last bytes, and the receive buffer).
const MAX_SESSIONS: usize = 128;
/// Of these one key may have so many, where the list has others: none can keep the others out.
const MAX_SESSIONS_OF_A_KEY: usize = MAX_SESSIONS / 2;

/// What senders are told at the end.
const SHUTTING_DOWN: &str = "the daemon is shutting down";

/// From the signal that ends the daemon on, the transport has so long to tell the senders, and
/// whoever comes, and to have their acknowledgements: several round trips of any path, and no
/// longer for those that are gone. Then the sessions end in any case.
const TELL: Duration = Duration::from_millis(700);
/// And the sessions have so long to remove what they began,
const CLEAN_UP: Duration = Duration::from_millis(850);
/// and readers of standard output so long to take what waits: all in all less than a second.
const FLUSH: Duration = Duration::from_millis(950);

/// What a session takes when it begins; SIGHUP may change it for the next.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where files go; `None`: what comes goes to standard output.
    pub(crate) root: Option<Root>,
    /// Also of each key's own root.
    pub(crate) follow: bool,
    pub(crate) quiet: bool,
    /// With keys: what each may do.
    pub(crate) permits: Option<Arc<AuthorizedKeys>>,
    /// What may be asked for by who has no entry there.
    pub(crate) allow: BTreeSet<Right>,
}

impl Settings {
    fn new(cli: &Cli, root: Option<Root>, decided: &Decided) -> Self {
        Self {
            root,
            follow: cli.follow_root,
            quiet: cli.common.quiet,
            permits: decided.permits.clone(),
            allow: cli.allowed(),
        }
    }
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) lines: Option<Lines>,
    settings: Mutex<Settings>,
    pub(crate) listener: Weak<Listener>,
    /// What was said that is to be said once.
    said: Mutex<HashSet<String>>,
    running: Mutex<Running>,
    changed: Condvar,
    /// Who writes which file.
    pub(crate) holders: Arc<Holders>,
    /// Who is told how far files can be read while they arrive.
    pub(crate) prefixes: Option<prefix_file::Told>,
    /// What the sessions of one key may take together, as long as any of them runs.
    rates: Mutex<BTreeMap<PublicKey, Weak<Rate>>>,
    /// With `--once`: what became of the session.
    once: Option<Once>,
    pub(crate) mirrors: Mirrors,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    sessions: Vec<(u64, Arc<Receiver>)>,
}

/// Why there is no place for a session beside those that run, each with its sender's key, if that is so.
fn no_place(
    running: impl ExactSizeIterator<Item = Option<PublicKey>>,
    own: Option<PublicKey>,
    others_may_send: bool,
) -> Option<String> {
    if running.len() >= MAX_SESSIONS {
        return Some(format!("busy: {MAX_SESSIONS} sessions are running here, try again later"));
    }
    let same = running.filter(|key| key.is_some() && *key == own).count();
    (others_may_send && same >= MAX_SESSIONS_OF_A_KEY).then(|| {
        format!(
            "busy: {MAX_SESSIONS_OF_A_KEY} sessions of this key are running here, try again later"
        )
    })
}

/// What a key's line in that list says; `None` if it has none there.
fn line_of<'a>(permits: &'a AuthorizedKeys, key: &PublicKey) -> Option<&'a Permit> {
    permits.keys().find(|(listed, _)| *listed == key).map(|(_, permit)| permit)
}

/// Runs until it is told to end.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let watch = Watch::start_daemon().context("cannot watch for signals")?;
    let quiet = cli.common.quiet;
    if cli.to_stdout && standard::is_closed(io::stdout()) {
        bail!("standard output is closed: --to-stdout writes what comes there");
    }
    if starter::is_there(&cli) && !starter::wait(&|| watch.is_ended()) {
        return Ok(signalled(cli.once, &watch));
    }
    let decided = match trust::decide(&cli, None) {
        Ok(decided) => decided,
        Err(error) => {
            say(plain(&error.to_string()));
            return Ok(match error {
                TrustError::Usage(_) => Exit::Usage,
                TrustError::Here(_) => Exit::Failed,
            });
        }
    };
    let starter = starter::is_there(&cli).then(|| starter::output(&cli));
    let root = cli.root().map(|path| open(path, &cli)).transpose()?;
    let listener = Arc::new(listen(&cli, &decided)?);
    // Not before: where the address is taken by another daemon, the file may be its own.
    let (prefixes, last_told) = told_of_prefixes(&cli, root.as_ref(), &decided)?.unzip();
    warn(&cli, &decided);
    let settings = Settings::new(&cli, root.clone(), &decided);
    sweeping::sweep_all(&settings, &|| watch.is_ended());
    if !quiet {
        say(format_args!("listening on {}, {}", listener.local_addr(), place(root.as_ref())));
    }
    let mirrors = Mirrors::of(&cli, lasts(&cli), &decided.listen);
    let (lines, written) = cli.common.json.then(|| lines(&cli)).transpose()?.unzip();
    let shared = Arc::new(Shared {
        lines,
        settings: Mutex::new(settings),
        listener: Arc::downgrade(&listener),
        said: Mutex::default(),
        running: Mutex::default(),
        changed: Condvar::new(),
        holders: Arc::default(),
        prefixes,
        rates: Mutex::default(),
        once: cli.once.then(Once::default),
        mirrors,
    });
    strangers::start(&listener, &shared).context("cannot start a thread")?;
    shared.mirrors.start(&cli)?;
    let decided = (cli, decided.listen, decided.at);
    let sweeps = sweeping::start(&shared).context("cannot start a thread")?;
    let reload = reload::start(decided, &shared, sweeps).context("cannot start a thread")?;
    watch.on_reload(move || {
        let _ = reload.send(()); // without its thread the daemon has ended already
    });
    answer(&watch, &listener, &shared);
    let starter = starter.map(|output| starter::meet(&listener, TELL, output)).transpose()?;
    accept(&listener, &shared);
    let (begin, closer, addr) = (Instant::now(), listener.closer(), listener.local_addr());
    closer.shut_down(SHUTTING_DOWN, TELL); // also if it was no signal that ended it
    shared.end(begin + CLEAN_UP);
    let (once, ended) = (shared.once.is_some(), shared.once.as_ref().and_then(Once::ended));
    drop((shared, listener));
    closer.wait_closed(); // a thread that ends at its leisure may have the last handle
    flush(written, last_told, begin + FLUSH);
    if ended.is_none() && starter.is_some_and(|starter| starter.is_gone()) {
        say(starter::GONE);
        return Ok(Exit::Failed);
    }
    exit((once, ended), &watch, addr)
}

/// Waits until what was said last is written.
fn flush(written: Option<Written>, last_told: Option<prefix_file::Written>, until: Instant) {
    if let Some(written) = written {
        written.wait(until);
    }
    if let Some(last_told) = last_told {
        last_told.wait(until);
    }
}

/// Who is told how far files can be read, with `--prefix-file`.
fn told_of_prefixes(
    cli: &Cli,
    root: Option<&Root>,
    decided: &Decided,
) -> Result<Option<(prefix_file::Told, prefix_file::Written)>> {
    let Some(path) = &cli.prefix_file else { return Ok(None) };
    let permits = decided.permits.iter().flat_map(|permits| permits.keys());
    let own = permits.filter_map(|(_, permit)| permit.root.as_deref());
    // One that cannot be opened, or is another by then, refuses its key's sessions.
    let own: Vec<Root> =
        own.filter_map(|path| Root::open_with(path, cli.follow_root).ok()).collect();
    let roots: Vec<&Root> = root.into_iter().chain(&own).collect();
    prefix_file::start(path, &roots).map(Some)
}

/// What the process ends with; with `--once` what became of the session counts, if it has ended.
fn exit((once, ended): (bool, Option<bool>), watch: &Watch, addr: SocketAddr) -> Result<Exit> {
    match ended {
        Some(_) => Ok(once::exit(ended, watch)),
        None if watch.is_ended() => Ok(signalled(once, watch)),
        None => bail!("the listener on {addr} failed, see above"),
    }
}

/// What the process ends with that a signal ends.
fn signalled(once: bool, watch: &Watch) -> Exit {
    match once {
        true => once::exit(None, watch),
        false if watch.is_terminated() => Exit::Ok,
        false => Exit::Interrupted,
    }
}

fn open(path: &Path, cli: &Cli) -> Result<Root> {
    Root::open_with(path, cli.follow_root)
        .with_context(|| format!("cannot receive into {}", path.display()))
}

/// Where what comes goes, in words.
fn place(root: Option<&Root>) -> String {
    root.map_or("writing to standard output".to_owned(), |root| {
        format!("receiving into {}", root.path().display())
    })
}

/// The lines of `--json`: on standard error where standard output is for data.
fn lines(cli: &Cli) -> Result<(Lines, Written)> {
    let started =
        if cli.to_stdout { Lines::start(io::stderr()) } else { Lines::start(io::stdout()) };
    started.context("cannot print")
}

/// What signals ask for: the end, and how it stands.
fn answer(watch: &Watch, listener: &Listener, shared: &Arc<Shared>) {
    let closer = listener.closer();
    watch.on_end(move || closer.shut_down(SHUTTING_DOWN, TELL));
    let state = Arc::downgrade(shared);
    watch.on_status(move || {
        if let Some(state) = state.upgrade() {
            let running = lock(&state.running).sessions.len() as u64;
            say(counted(running, "session is running", "sessions are running"));
            state.mirrors.status().iter().for_each(say);
        }
    });
}

fn warn(cli: &Cli, decided: &Decided) {
    let without = cli.without_effect();
    if !without.is_empty() {
        say(format_args!("{} without effect: this is the receiving side", without.join(", ")));
    }
    if let (Some(permits), true) = (&decided.permits, !cli.allow.is_empty()) {
        let list = plain(&permits.path().display().to_string());
        say(format_args!("--allow without effect: {list} says it for each key (allow=...)"));
    }
    // That nothing is encrypted is said in any case.
    let insist = cli.common.insecure_plaintext;
    trust::tell(&decided.notes, cli.common.quiet && !insist);
}

/// Whether it is started again after its end, and is the same to its senders then.
fn lasts(cli: &Cli) -> bool {
    !cli.once && !starter::is_there(cli)
}

fn listen(cli: &Cli, decided: &Decided) -> Result<Listener> {
    let common = &cli.common;
    let (ip, port) = match cli.listen {
        Some(listen) => (listen.ip(), listen.port(common.port)),
        None => (None, common.port),
    };
    let far = ip.is_none_or(|ip| !ip.is_loopback());
    if far && !decided.is_for_others() {
        bail!("{}", trust::NEITHER);
    }
    // Of one that ends with its session nobody asks about connections of before.
    let (cid_key, note) = if lasts(cli) { trust::cid_key(cli) } else { (None, None) };
    trust::tell(note.as_slice(), common.quiet);
    let interface = match &common.interface {
        None => None,
        Some(name) => {
            Some(index_of(name).with_context(|| format!("there is no interface {name}"))?)
        }
    };
    let bind = |addr: SocketAddr| {
        let mut options = ListenOptions::new(addr, decided.listen.clone());
        options.endpoint.cid_key.clone_from(&cid_key);
        Listener::bind(ListenOptions { interface, only_group: common.group, ..options })
    };
    let everywhere = || {
        let v6 = bind((Ipv6Addr::UNSPECIFIED, port).into());
        match v6 {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            // A host without IPv6.
            Err(_) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
            bound => bound,
        }
    };
    let addr = ip.map(|ip| SocketAddr::new(ip, port));
    let at = addr.map_or_else(|| format!("port {port}"), |addr| addr.to_string());
    addr.map_or_else(everywhere, bind).map_err(|error| {
        let what = cannot_listen(&at, error.kind());
        anyhow::Error::new(error).context(what)
    })
}

/// What was tried, and where it helps what to do.
fn cannot_listen(at: &str, why: io::ErrorKind) -> String {
    let remedy = match why {
        io::ErrorKind::AddrInUse => {
            ", as another program does (end that one, or choose another port by --listen)"
        }
        _ => "",
    };
    format!("cannot listen on {at}{remedy}")
}

/// Accepts sessions until the listener is closed.
fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok(receiver) => start(receiver, shared),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return, // closed
            Err(error) => {
                say(format_args!("cannot accept sessions any more: {error}"));
                return;
            }
        }
    }
}

fn start(receiver: Receiver, shared: &Arc<Shared>) {
    let receiver = Arc::new(receiver);
    // Before it is counted: whoever is does not change with them any more.
    let settings = shared.settings();
    let number = match shared.enter(&receiver) {
        Ok(number) => number,
        Err(why) => {
            say(format_args!("session from {} refused: {why}", receiver.peer()));
            refuse(receiver, why);
            return;
        }
    };
    let own = shared.clone();
    let session = receiver.clone();
    let work = move || {
        let mut left = Left { shared: &own, number, received: Some(false) };
        left.received = session::run(&session, &own, settings);
    };
    if let Err(error) = thread::Builder::new().name(format!("session-{number}")).spawn(work) {
        shared.leave(number);
        refuse(receiver, format!("cannot start a thread: {error}"));
    }
}

/// Tells a sender that it is not served; in the background, since it may take its time to hear it.
/// Without even this thread the sender hears of it by the receiver's end.
fn refuse(receiver: Arc<Receiver>, why: String) -> Option<JoinHandle<()>> {
    let told = thread::Builder::new().spawn(move || drop(receiver.close(Err(why))));
    told.ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Of a daemon that does not listen.
    #[cfg(test)]
    pub(crate) fn of(settings: Settings) -> Self {
        Self {
            lines: None,
            settings: Mutex::new(settings),
            listener: Weak::new(),
            said: Mutex::default(),
            running: Mutex::default(),
            changed: Condvar::new(),
            holders: Arc::default(),
            prefixes: None,
            rates: Mutex::default(),
            once: None,
            mirrors: Mirrors::default(),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Gives the ones before.
    pub(crate) fn set(&self, settings: Settings) -> Settings {
        std::mem::replace(&mut *lock(&self.settings), settings)
    }

    /// The folder that was received into is another one by now; `false`: somebody has said so before.
    pub(crate) fn change_root(&self, from: &Root, to: &Root) -> bool {
        let mut settings = lock(&self.settings);
        let is_own = |root: &Root| root.path() == from.path() && root.is_same(from);
        let is_first = settings.root.as_ref().is_some_and(is_own);
        if is_first {
            settings.root = Some(to.clone());
        }
        is_first
    }

    /// Whether nobody has asked this before.
    pub(crate) fn is_new(&self, what: &str) -> bool {
        lock(&self.said).insert(what.to_owned())
    }

    fn enter(&self, receiver: &Arc<Receiver>) -> Result<u64, String> {
        let others_may_send = self.settings().permits.is_some_and(|all| all.keys().count() > 1);
        let mut running = lock(&self.running);
        if let Some(once) = &self.once {
            if once.ended().is_some() {
                return Err(once::OVER.to_owned());
            }
            if !running.sessions.is_empty() {
                return Err(once::RUNNING.to_owned());
            }
        }
        let keys = running.sessions.iter().map(|(_, receiver)| receiver.peer_key());
        if let Some(why) = no_place(keys, receiver.peer_key(), others_may_send) {
            return Err(why);
        }
        running.next += 1;
        let number = running.next;
        running.sessions.push((number, receiver.clone()));
        Ok(number)
    }

    /// What the sessions of a key may take together: so much, if the list that is in force says nothing else.
    /// Each has one, for a limit may come while it runs.
    pub(crate) fn rate(&self, key: PublicKey, bits: Option<u64>) -> Arc<Rate> {
        let mut rates = lock(&self.rates);
        rates.retain(|_, rate| rate.strong_count() > 0);
        // A session that was held up may come with a list of before; then `set_rates` has been here already.
        let permits = self.settings().permits;
        let now = permits.as_deref().and_then(|permits| line_of(permits, &key));
        let bits = now.map_or(bits, |line| line.rate);
        if let Some(rate) = rates.get(&key).and_then(Weak::upgrade) {
            rate.set(bits);
            return rate;
        }
        let rate = Arc::new(Rate::new(bits));
        rates.insert(key, Arc::downgrade(&rate));
        rate
    }

    /// Another list is in force: the rates that it says, and where it says none, hold for the sessions that run
    /// as well. Those of a key that has no line any more are ended by the listener's trust.
    pub(crate) fn set_rates(&self, permits: &AuthorizedKeys) {
        for (key, rate) in lock(&self.rates).iter() {
            if let (Some(rate), Some(line)) = (rate.upgrade(), line_of(permits, key)) {
                rate.set(line.rate);
            }
        }
    }

    fn leave(&self, number: u64) {
        lock(&self.running).sessions.retain(|(own, _)| *own != number);
        self.changed.notify_all();
    }

    /// With `--once` the daemon ends with its session.
    fn end_once(&self) {
        if self.once.as_ref().is_some_and(|once| once.ended().is_some())
            && let Some(listener) = self.listener.upgrade()
        {
            listener.closer().shut_down(once::OVER, TELL);
        }
    }

    /// Ends what still runs: the senders are told, and unfinished files go.
    fn end(&self, until: Instant) {
        let sessions = lock(&self.running).sessions.clone();
        // Each waits for its sender's acknowledgement, or for the transport's end: all at the same
        // time.
        let refuse = |(_, receiver)| refuse(receiver, SHUTTING_DOWN.to_owned());
        let told: Vec<_> = sessions.into_iter().filter_map(refuse).collect();
        let wait = |running: &mut Running| !running.sessions.is_empty();
        let left = until.saturating_duration_since(Instant::now());
        let left = self.changed.wait_timeout_while(lock(&self.running), left, wait);
        let (running, _) = left.unwrap_or_else(PoisonError::into_inner);
        if !running.sessions.is_empty() {
            let left = running.sessions.len() as u64;
            say(counted(left, "session did not end in time", "sessions did not end in time"));
        }
        drop(running);
        self.mirrors.end();
        // They hold the listener's sockets as well.
        for thread in told {
            let _ = thread.join();
        }
    }
}

/// Leaves, also when the session's thread panics.
struct Left<'a> {
    shared: &'a Shared,
    number: u64,
    /// Whether it has received all that was sent; `None` if it never began.
    received: Option<bool>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        // Before the place is free, which another session would take.
        if let (Some(once), Some(ok)) = (&self.shared.once, self.received) {
            once.end(ok);
        }
        self.shared.leave(self.number);
        self.shared.end_once();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpxm::trust::Identity;

    #[test]
    fn a_session_that_comes_late_has_the_rate_of_now() {
        let key = Identity::generate([1; 64]).public();
        let list = |options: &str| {
            let text = format!("{options}{key}");
            Some(Arc::new(AuthorizedKeys::parse(Path::new("list"), text.as_bytes()).unwrap()))
        };
        let dir = tempfile::tempdir().unwrap();
        let root = Some(Root::open(dir.path()).unwrap());
        let permits = list("rate=1M ");
        let settings =
            Settings { root, follow: false, quiet: true, permits, allow: BTreeSet::new() };
        let shared = Shared::of(settings.clone());
        let first = shared.rate(key, Some(1_000_000));
        for (options, bits) in
            [("rate=2M ", Some(2_000_000)), ("", None), ("rate=3M ", Some(3_000_000))]
        {
            let permits = list(options);
            shared.set(Settings { permits: permits.clone(), ..settings.clone() });
            shared.set_rates(&permits.unwrap());
            assert_eq!(first.bits(), bits);
            // It has read the list before that, and is none with a rate of its own.
            let late = shared.rate(key, Some(1_000_000));
            assert!(Arc::ptr_eq(&first, &late));
            assert_eq!(first.bits(), bits);
        }
        // Where its key has no line any more it has what it had, until it ends.
        shared.set_rates(&list("").unwrap().emptied());
        assert_eq!(first.bits(), Some(3_000_000));
    }

    #[test]
    fn one_key_leaves_places_for_the_others() {
        let key = |n| Some(Identity::generate([n; 64]).public());
        let (one, other) = (key(1), key(2));
        let half = vec![one; MAX_SESSIONS_OF_A_KEY];
        let no_place = |running: &[_], own, others| no_place(running.iter().copied(), own, others);
        assert_eq!(no_place(&half[1..], one, true), None);
        assert!(no_place(&half, one, true).unwrap().contains("64 sessions of this key"));
        assert_eq!(no_place(&half, other, true), None);
        // The only one on the list, and a daemon without a list, have all places.
        assert_eq!(no_place(&half, one, false), None);
        assert_eq!(no_place(&vec![None; MAX_SESSIONS - 1], None, true), None);
        let all = [half, vec![other; MAX_SESSIONS_OF_A_KEY]].concat();
        for (own, others) in [(one, true), (key(3), true), (one, false), (None, false)] {
            assert!(no_place(&all, own, others).unwrap().contains("128 sessions are running"));
        }
    }
}
