//! `--ssh`: on each host a daemon for this copy alone, started by the user's own ssh(1).
//!
//! ```text
//! mcp ── ssh ──► standard input:  with --ssh-install the program
//!     ◄─ ssh ─── standard output: likewise one line that says that all of it is there
//!     ── ssh ──► standard input:  the secret, and nothing more until the end
//!     ◄─ ssh ─── standard output: one line that says where it listens
//!     ── UDP ──► the copy, sealed with the secret
//! ```
//!
//! Whom to trust is ssh's to say: the secret is drawn for each copy and host, and no file has it. When standard input
//! ends, however that comes about, the daemon ends. What one host was told opens no way to another: whoever holds a
//! secret may send.

mod files;
mod said;
mod watch;
mod words;

use crate::args;
use crate::hosts::Target;
use crate::resolve::{Found, resolve};
use crate::trust::drawn;
use files::Enough;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use said::Said;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::trust::{Secret, SenderSecrets, SenderTrust};
use watch::{Patience, Stopped, Watch};
use words::{Answer, INTERRUPTED};
use zeroize::Zeroizing;

/// The program that is run.
const SSH: &str = "ssh";
/// A server on which too many logins are begun turns away who comes (`MaxStartups` in `sshd_config(5)`: of 100 and more
/// all). After so long each it is tried again: in a second the server is done with a login.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Hosts that were turned away together come again at so many moments, from once to twice a pause.
const MOMENTS: u32 = 8;
/// What a shell's start prints before the daemon's line, at most.
const MAX_PRINTED: u64 = 64 << 10;
/// Daemons end within a second of the end of their input; then ssh is ended.
const END: Duration = Duration::from_secs(3);
/// Once ssh has ended, all that it has said is there, but for what is on the way within this process.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is looked whether the user has had enough.
const LOOK: Duration = Duration::from_millis(20);

/// The secret of one host, and the line that says it.
type Drawn = (Arc<Secret>, Zeroizing<String>);

/// What is said to each host.
#[derive(Debug, Clone)]
struct Letter {
    /// With `--ssh-install`: the program.
    program: Option<Arc<[u8]>>,
    /// Of each host, by its place.
    secrets: Arc<Vec<Drawn>>,
    options: Vec<String>,
    /// How long ssh may take to connect.
    patience: Duration,
}

/// A daemon that was started, or is being; it ends with this.
struct Daemon {
    child: Arc<Mutex<Child>>,
    /// What ssh says.
    said: Said,
}

/// Daemons of one copy; they end with this.
#[derive(Default)]
pub(crate) struct Daemons(Vec<Daemon>);

/// Where the hosts are to be sent to.
pub(crate) struct Started {
    pub(crate) found: Vec<Found>,
    /// With their paths from the root of their file systems on.
    pub(crate) targets: Vec<Target>,
    /// By the addresses that were found.
    pub(crate) trust: SenderTrust,
    pub(crate) daemons: Daemons,
}

/// What came of one host.
type Come = (usize, Result<Answer, String>, Option<Daemon>);

/// Starts a daemon on each host, `--ssh-parallel` at a time.
pub(crate) fn start(
    targets: &[Target],
    options: &args::Copy,
    ended: &dyn Fn() -> bool,
) -> io::Result<Started> {
    let secrets = targets.iter().map(|_| drawn()).collect::<io::Result<Vec<_>>>()?;
    let secrets = Arc::new(secrets);
    let letter = Letter {
        program: if options.ssh_install { Some(program()?.into()) } else { None },
        secrets: Arc::clone(&secrets),
        options: options.ssh_option.clone(),
        patience: options.common.patience(),
    };
    let enough = Enough::of_process();
    let ported = |target: &Target| {
        let port = target.port.or(options.started_port());
        Target { port, ..target.clone() }
    };
    let queue: VecDeque<(usize, Target)> =
        targets.iter().map(ported).enumerate().take(enough.hosts()).collect();
    let queue = Arc::new(Mutex::new(queue));
    let watch = Arc::new(Watch::new(letter.patience()));
    let (tell, come) = mpsc::channel();
    for _ in 0..targets.len().min(options.ssh_parallel.get()) {
        let (queue, watch, tell, letter) =
            (Arc::clone(&queue), Arc::clone(&watch), tell.clone(), letter.clone());
        let work = move || {
            let next = || lock(&queue).pop_front();
            while let Some((index, target)) = next() {
                let (answer, daemon) = one((index, &target), &letter, &watch);
                if tell.send((index, answer, daemon)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("ssh".to_owned()).spawn(work)?;
    }
    drop(tell);
    let mut answers = gather(&come, targets.len(), ended, || {
        let over = ended();
        if over {
            lock(&queue).clear();
        }
        watch.look(over);
    });
    answers.of.iter_mut().skip(enough.hosts()).for_each(|of| *of = Err(enough.why_no_more()));
    addressed(targets, options, (answers, &secrets), ended)
}

/// Waits for all of them; `watch` is called now and then.
fn gather(
    come: &Receiver<Come>,
    count: usize,
    ended: &dyn Fn() -> bool,
    mut watch: impl FnMut(),
) -> Answers {
    let mut answers =
        Answers { of: vec![Err(INTERRUPTED.to_owned()); count], daemons: Daemons::default() };
    loop {
        match come.recv_timeout(LOOK) {
            Ok((index, answer, daemon)) => {
                // In a terminal ssh is interrupted as well.
                answers.of[index] =
                    answer.map_err(|why| if ended() { INTERRUPTED.to_owned() } else { why });
                answers.daemons.0.extend(daemon);
            }
            Err(RecvTimeoutError::Timeout) => watch(),
            Err(RecvTimeoutError::Disconnected) => return answers,
        }
    }
}

struct Answers {
    of: Vec<Result<Answer, String>>,
    daemons: Daemons,
}

/// Puts addresses and places to the answers: one that says no address, or one that holds on its own link or host alone,
/// is looked for by its name.
fn addressed(
    targets: &[Target],
    options: &args::Copy,
    (answers, secrets): (Answers, &[Drawn]),
    ended: &dyn Fn() -> bool,
) -> io::Result<Started> {
    let Answers { of, daemons } = answers;
    let common = &options.common;
    let unsaid =
        |answer: &Result<Answer, String>| matches!(answer, Ok(answer) if reached(answer).is_none());
    let by_name: Vec<Target> = targets
        .iter()
        .zip(&of)
        .filter(|(_, answer)| unsaid(answer))
        .map(|(t, _)| t.clone())
        .collect();
    let mut resolved = resolve(&by_name, common.port, common.patience(), ended).into_iter();
    let (mut found, mut placed) = (Vec::new(), targets.to_vec());
    for (answer, target) in of.into_iter().zip(&mut placed) {
        found.push(answer.and_then(|answer| {
            target.path = words::place(&target.path, &answer.directory);
            target.port = Some(answer.port);
            let mut addrs = match reached(&answer) {
                Some(ip) => vec![SocketAddr::new(ip, 0)],
                None => resolved
                    .next()
                    .unwrap_or_else(|| Err("it has no address".to_owned()))
                    .map_err(|why| unreached(&answer, why))?,
            };
            for addr in &mut addrs {
                addr.set_port(answer.port);
            }
            Ok(addrs)
        }));
    }
    let mut of = BTreeMap::new();
    for (addrs, (secret, _)) in found.iter().zip(secrets) {
        for addr in addrs.iter().flatten() {
            // Of two that say one address the first is believed, as for the copy itself.
            of.entry(*addr).or_insert_with(|| Arc::clone(secret));
        }
    }
    let trust = SenderTrust::Secrets(SenderSecrets { of, others: drawn()?.0 });
    Ok(Started { found, targets: placed, trust, daemons })
}

/// The address that a host was reached by, if it can mean the same here. At the end of a tunnel that is loopback.
fn reached(answer: &Answer) -> Option<IpAddr> {
    answer.address.filter(|ip| match ip.to_canonical() {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    })
}

/// Why there is no address where its name was to give one.
fn unreached(answer: &Answer, why: String) -> String {
    match answer.address {
        None => why,
        Some(ip) => format!("{ip}, by which ssh has reached it, means nothing here, and {why}"),
    }
}

/// Our own daemon: it stands beside this program.
fn program() -> io::Result<Vec<u8>> {
    let beside = std::env::current_exe()?.with_file_name("mcpd");
    let named = |error: io::Error| {
        let path = PathBuf::from(&beside);
        io::Error::new(
            error.kind(),
            format!("cannot read {} for --ssh-install: {error}", path.display()),
        )
    };
    fs::read(&beside).map_err(named)
}

impl Letter {
    /// How long a host may take from the first to its line.
    fn patience(&self) -> Patience {
        Patience::new(
            self.patience,
            self.program.as_ref().map_or(0, |program| program.len() as u64),
        )
    }

    fn command(&self, target: &Target) -> Command {
        let remote = match &self.program {
            None => words::installed(target.port),
            Some(program) => words::installing(target.port, program.len() as u64),
        };
        let user = target.user.as_deref();
        let mut command = Command::new(SSH);
        command.args(words::ssh(&target.host, user, &self.options, self.patience, remote));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// One host, which is logged in to until its server has time for that.
fn one(
    (index, target): (usize, &Target),
    letter: &Letter,
    watch: &Watch,
) -> (Result<Answer, String>, Option<Daemon>) {
    let mut pauses = PAUSES.iter();
    // Not a matter of chance, so that a run can be told from another.
    let moment = MOMENTS + index as u32 % MOMENTS;
    loop {
        match log_in((index, target), letter, watch) {
            Ok((answer, daemon)) => return (Ok(answer), Some(daemon)),
            Err(Trouble { may_pass: true, .. })
                if pauses.next().is_some_and(|pause| watch.pause(*pause * moment / MOMENTS)) => {}
            Err(trouble) => return (Err(trouble.why), None),
        }
    }
}

/// Why there is no daemon.
struct Trouble {
    why: String,
    /// The same may go well a moment later.
    may_pass: bool,
}

impl Trouble {
    fn lasting(why: String) -> Self {
        Self { why, may_pass: false }
    }
}

/// Starts ssh. One at a time: for a moment each holds both ends of its pipes.
fn spawn(mut command: Command) -> io::Result<Child> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE);
    command.spawn()
}

/// One login, from ssh's start to the line that says where its daemon listens.
fn log_in(
    (index, target): (usize, &Target),
    letter: &Letter,
    watch: &Watch,
) -> Result<(Answer, Daemon), Trouble> {
    let mut child = spawn(letter.command(target))
        .map_err(|error| Trouble::lasting(format!("ssh cannot be started: {error}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let child = Arc::new(Mutex::new(child));
    watch.begin(&child);
    let daemon = Daemon { child, said: stderr.map(Said::begin).unwrap_or_default() };
    let answer = stdin.zip(stdout).and_then(|(stdin, stdout)| {
        let (answer, stdin) = letter.exchange(stdin, stdout, index)?;
        lock(&daemon.child).stdin = Some(stdin); // stays open
        Some(answer)
    });
    let stopped = watch.end(&daemon.child, answer.is_some());
    match (answer, stopped) {
        (Some(answer), None) => match answer.fault() {
            None => Ok((answer, daemon)),
            Some(why) => {
                daemon.end(Instant::now());
                Err(Trouble::lasting(why))
            }
        },
        (_, stopped) => Err(daemon.trouble(stopped, letter.program.is_some())),
    }
}

impl Letter {
    /// Says what there is to say, and reads the answer; `None`: who does not read it, or ends, says why.
    fn exchange(
        &self,
        mut to: ChildStdin,
        from: ChildStdout,
        index: usize,
    ) -> Option<(Answer, ChildStdin)> {
        let mut printed = BufReader::new(from).take(MAX_PRINTED);
        if let Some(program) = &self.program {
            to.write_all(program).and_then(|()| to.flush()).ok()?;
            // Not before: what reads the program may read on.
            line(&mut printed, |line| {
                words::is_received(line, program.len() as u64).then_some(())
            })?;
        }
        self.tell_secret(&mut to, index).ok()?;
        let answer = line(&mut printed, words::answer)?;
        let mut rest = printed.into_inner();
        // Without the thread a daemon that prints more than a pipe holds would wait.
        let _ = thread::Builder::new().spawn(move || io::copy(&mut rest, &mut io::sink()));
        Some((answer, to))
    }

    fn tell_secret(&self, to: &mut impl Write, index: usize) -> io::Result<()> {
        writeln!(to, "{}", self.secrets[index].1.trim_end())?;
        to.flush()
    }
}

/// The first line that means something; a shell's start may print others.
fn line<T>(printed: &mut impl BufRead, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    loop {
        let mut line = Vec::new();
        match printed.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if let Some(meant) = read(&String::from_utf8_lossy(&line)) {
            return Some(meant);
        }
    }
}

impl Daemon {
    /// Why it did not start; ends it. `brought`: it was brought there.
    fn trouble(&self, stopped: Option<Stopped>, brought: bool) -> Trouble {
        let status = self.end(Instant::now());
        if let Some(stopped) = stopped {
            return Trouble::lasting(words::stopped(stopped));
        }
        let said = self.said.last(LAST_WORDS);
        let code = status.and_then(|status| status.code());
        Trouble {
            why: words::trouble(code, &said, brought),
            may_pass: words::may_pass(code, &said),
        }
    }

    /// Its input ends, and with that the daemon, which was told so at `begin` or is now.
    fn end(&self, begin: Instant) -> Option<ExitStatus> {
        let mut child = lock(&self.child);
        drop(child.stdin.take());
        ends_within(&mut child, END.saturating_sub(begin.elapsed())).or_else(|| {
            let _ = child.kill();
            child.wait().ok()
        })
    }
}

/// Waits so long for the end of a process: for its event (`pidfd_open(2)`), and where no file is left for that looks for it
/// now and then.
fn ends_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + limit;
    let mut process = None;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        // Nobody has waited for it yet, so that the number is its own.
        let open = || pidfd_open(Pid::from_child(child), PidfdFlags::empty());
        let polled = process.get_or_insert_with(open).as_ref().map_err(|error| *error);
        let polled = polled.and_then(|process| {
            let limit = left.try_into().unwrap_or_default();
            poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit))
        });
        if polled.is_err() {
            thread::sleep(LOOK.min(left));
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        let begin = Instant::now();
        for daemon in &self.0 {
            drop(lock(&daemon.child).stdin.take()); // all at once
        }
        for daemon in &self.0 {
            daemon.end(begin);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_waited_for_up_to_a_bound() {
        let run = |line: &str| Command::new("sh").args(["-c", line]).spawn().unwrap();
        let ended = ends_within(&mut run("exit 7"), Duration::from_secs(60)).unwrap();
        assert_eq!(ended.code(), Some(7));
        let mut stays = run("exec sleep 60");
        assert_eq!(ends_within(&mut stays, Duration::from_millis(10)), None);
        stays.kill().unwrap();
        assert!(!ends_within(&mut stays, Duration::from_secs(60)).unwrap().success());
    }

    #[test]
    fn an_address_is_believed_where_it_means_the_same_here() {
        for (address, is_believed) in [
            ("10.0.0.1", true),
            ("192.0.2.7", true),
            ("fd77::1", true),
            ("::ffff:10.0.0.1", true),
            ("127.0.0.1", false),
            ("127.3.2.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("169.254.0.1", false),
            ("fe80::1", false),
        ] {
            let ip = address.parse().unwrap();
            let answer = |address| Answer { address, port: 1, directory: "/".to_owned() };
            let expected = is_believed.then_some(ip);
            assert_eq!(reached(&answer(Some(ip))), expected, "{address}");
            assert_eq!(reached(&answer(None)), None);
        }
    }
}
