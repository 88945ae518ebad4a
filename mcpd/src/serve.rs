//! The daemon: from its options to the loop that accepts sessions.

use crate::args::Cli;
use crate::report::{Lines, say};
use crate::session;
use anyhow::{Context, Result, bail};
use mcp_cli::Exit;
use mcp_cli::signals::Watch;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tcpxm::api::{ListenOptions, Listener, Receiver};
use tcpxm::net::interface::index_of;
use transfer::destination::Root;
use transfer::sweep::sweep;

/// Sessions at a time, at most; a further one is refused. Each may hold 34 MiB in the worst case
/// (blocks that wait for their last bytes, and the receive buffer).
const MAX_SESSIONS: usize = 128;

/// When it ends, the daemon gives its sessions so long to tell their senders and to remove what
/// they began.
const GRACE: Duration = Duration::from_secs(5);

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: Root,
    pub(crate) lines: Option<Lines>,
    pub(crate) quiet: bool,
    running: Mutex<Running>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    sessions: Vec<(u64, Arc<Receiver>)>,
}

/// Runs until it is told to end.
pub(crate) fn run(cli: &Cli) -> Result<Exit> {
    let root = Root::open(&cli.root)
        .with_context(|| format!("cannot receive into {}", cli.root.display()))?;
    let watch = Watch::start().context("cannot watch for signals")?;
    let listener = listen(cli)?;
    warn(cli, &root);
    let swept = sweep(&root, &|| watch.is_ended());
    if swept.removed > 0 {
        say(format_args!("removed {} unfinished files that an earlier run left", swept.removed));
    }
    if swept.failed > 0 {
        say(format_args!("{} files or folders could not be swept", swept.failed));
    }
    say(format_args!(
        "listening on {}, receiving into {}",
        listener.local_addr(),
        root.path().display()
    ));
    let quiet = cli.common.quiet;
    let output = if cli.common.json { Some(Lines::start().context("cannot print")?) } else { None };
    let (lines, written) = output.unzip();
    let (running, changed) = (Mutex::default(), Condvar::new());
    let shared = Arc::new(Shared { root, lines, quiet, running, changed });
    let closer = listener.closer();
    watch.on_end(move || closer.close());
    let state = Arc::downgrade(&shared);
    watch.on_status(move || {
        if let Some(state) = state.upgrade() {
            say(format_args!("{} sessions are running", state.lock().sessions.len()));
        }
    });
    accept(&listener, &shared);
    shared.end();
    drop(shared);
    if let Some(written) = written {
        written.wait();
    }
    match watch.is_ended() {
        true if watch.is_terminated() => Ok(Exit::Ok),
        true => Ok(Exit::Interrupted),
        false => bail!("the listener on {} failed, see above", listener.local_addr()),
    }
}

fn warn(cli: &Cli, root: &Root) {
    let without = cli.without_effect();
    if !without.is_empty() {
        say(format_args!("{} without effect: this is the receiving side", without.join(", ")));
    }
    if cli.common.secret_file.is_some() {
        say("the secret is not yet in force: nothing is encrypted or authenticated");
    }
    if !cli.common.insecure_plaintext {
        say(format_args!(
            "WARNING: nothing is encrypted or authenticated: whoever reaches this port can write \
             files into {}; --insecure-plaintext says that this is intended",
            root.path().display()
        ));
    }
}

fn listen(cli: &Cli) -> Result<Listener> {
    let common = &cli.common;
    let interface = match &common.interface {
        None => None,
        Some(name) => {
            Some(index_of(name).with_context(|| format!("there is no interface {name}"))?)
        }
    };
    let bind = |addr: SocketAddr| {
        let options = ListenOptions::new(addr);
        Listener::bind(ListenOptions { interface, only_group: common.group, ..options })
    };
    let everywhere = || {
        let v6 = bind((Ipv6Addr::UNSPECIFIED, common.port).into());
        match v6 {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            // A host without IPv6.
            Err(_) => bind((Ipv4Addr::UNSPECIFIED, common.port).into()),
            bound => bound,
        }
    };
    let addr = cli.listen.map(|listen| listen.addr(common.port));
    let bound = addr.map_or_else(everywhere, bind);
    bound.with_context(|| match addr {
        Some(addr) => format!("cannot listen on {addr}"),
        None => format!("cannot listen on port {}", common.port),
    })
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
    let Some(number) = shared.enter(&receiver) else {
        let why = format!("busy: {MAX_SESSIONS} sessions are running here, try again later");
        say(format_args!("session from {} refused: {why}", receiver.peer()));
        refuse(receiver, why);
        return;
    };
    let own = shared.clone();
    let session = receiver.clone();
    let work = move || {
        let _left = Left { shared: &own, number };
        session::run(&session, &own);
    };
    if let Err(error) = thread::Builder::new().name(format!("session-{number}")).spawn(work) {
        shared.leave(number);
        refuse(receiver, format!("cannot start a thread: {error}"));
    }
}

/// Tells a sender that it is not served; in the background, since it may take its time to hear it.
fn refuse(receiver: Arc<Receiver>, why: String) {
    // Without even this thread the sender hears of it by the receiver's end.
    let _ = thread::Builder::new().spawn(move || receiver.close(Err(why)));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, receiver: &Arc<Receiver>) -> Option<u64> {
        let mut running = self.lock();
        if running.sessions.len() >= MAX_SESSIONS {
            return None;
        }
        running.next += 1;
        let number = running.next;
        running.sessions.push((number, receiver.clone()));
        Some(number)
    }

    fn leave(&self, number: u64) {
        self.lock().sessions.retain(|(own, _)| *own != number);
        self.changed.notify_all();
    }

    /// Ends what still runs: the senders are told, and unfinished files go.
    fn end(&self) {
        let sessions = self.lock().sessions.clone();
        for (_, receiver) in sessions {
            // Each waits for its sender's acknowledgement: all at the same time.
            refuse(receiver, "the daemon is shutting down".to_owned());
        }
        let wait = |running: &mut Running| !running.sessions.is_empty();
        let left = self.changed.wait_timeout_while(self.lock(), GRACE, wait);
        let (running, _) = left.unwrap_or_else(PoisonError::into_inner);
        if !running.sessions.is_empty() {
            say(format_args!("{} sessions did not end in time", running.sessions.len()));
        }
    }
}

/// Leaves, also when the session's thread panics.
struct Left<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}
