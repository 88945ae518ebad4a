//! What a process does when it is interrupted, or asked how far it is.

use crate::exit::Exit;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

type Callback = Box<dyn Fn() + Send>;

/// Keeps a signal from ending the process where the call that it comes with fails anyway, with an
/// error that can be told: a file beyond the limit of size (SIGXFSZ, beside EFBIG; setrlimit(2)).
/// SIGPIPE is ignored by Rust's runtime already. Call it before the first thread is started:
/// threads inherit what is blocked. Programs that are started from here do not.
pub fn outlive_limits() -> io::Result<()> {
    block(&[Signal::SIGXFSZ])
}

/// The same for a daemon, which a terminal that it writes to from the background must not stop
/// either (SIGTTOU, SIGTTIN). Blocked, not handled: a call that is broken off by a handler is begun
/// again, for ever; to who blocks the signal the terminal gives the write, or an error (termios(3),
/// tcsetpgrp(3)).
pub fn outlive_limits_and_terminals() -> io::Result<()> {
    block(&[Signal::SIGXFSZ, Signal::SIGTTOU, Signal::SIGTTIN])
}

fn block(signals: &[Signal]) -> io::Result<()> {
    Ok(signals.iter().copied().collect::<SigSet>().thread_block()?)
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hangup {
    /// The user's terminal is gone: end.
    End,
    /// Read the configuration again.
    Reload,
}

/// Watches for SIGINT, SIGTERM and SIGHUP, which end the work in good order, and for SIGUSR1,
/// which asks for the status. A second one of the first three ends the process at once. To a daemon
/// SIGHUP says that its configuration has changed.
pub struct Watch {
    /// The signal that ended the work; 0 while none did.
    ended: AtomicI32,
    hangup: Hangup,
    held: Mutex<Held>,
    /// It is told when the work is to end.
    ends: Condvar,
}

#[derive(Default)]
struct Held {
    end: Vec<Callback>,
    at_once: Vec<Callback>,
    status: Vec<Callback>,
    /// The status was asked for before there was anybody to tell it.
    asked: bool,
    reload: Vec<Callback>,
    /// It was to be read again before there was anybody to do it.
    changed: bool,
}

impl Watch {
    /// Starts watching; once in a process. A signal that is ignored, as `nohup` has it for SIGHUP,
    /// stays ignored.
    pub fn start() -> io::Result<Arc<Self>> {
        Self::start_with(Hangup::End)
    }

    /// Starts watching for a daemon; once in a process.
    pub fn start_daemon() -> io::Result<Arc<Self>> {
        Self::start_with(Hangup::Reload)
    }

    fn start_with(hangup: Hangup) -> io::Result<Arc<Self>> {
        let ignored = ignored();
        let ours = [SIGINT, SIGTERM, SIGHUP, SIGUSR1];
        let watched = ours.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = Signals::new(watched)?;
        let watch = Arc::new(Self::new(hangup));
        let handler = watch.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                handler.handle(signal);
            }
        })?;
        Ok(watch)
    }

    fn new(hangup: Hangup) -> Self {
        Self { ended: AtomicI32::new(0), hangup, held: Mutex::default(), ends: Condvar::new() }
    }

    /// Whether the work is to end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) != 0
    }

    /// Whether it was SIGTERM that ended the work: asked for by a service manager, not broken off.
    pub fn is_terminated(&self) -> bool {
        self.ended.load(Ordering::SeqCst) == SIGTERM
    }

    /// Waits so long, or until the work is to end; says whether it is.
    pub fn wait(&self, limit: Duration) -> bool {
        drop(self.ends.wait_timeout_while(self.held(), limit, |_| !self.is_ended()));
        self.is_ended()
    }

    /// What ends the work; called at once if it is to end already. It must be quick.
    pub fn on_end(&self, callback: impl Fn() + Send + 'static) {
        let mut held = self.held();
        if self.is_ended() {
            callback();
        }
        held.end.push(Box::new(callback));
    }

    /// What must be done even when the good order is not waited for.
    pub fn on_second(&self, callback: impl Fn() + Send + 'static) {
        self.held().at_once.push(Box::new(callback));
    }

    /// What tells the status; called at once if it was asked for already.
    pub fn on_status(&self, callback: impl Fn() + Send + 'static) {
        let mut held = self.held();
        if std::mem::take(&mut held.asked) {
            callback();
        }
        held.status.push(Box::new(callback));
    }

    /// What reads a daemon's configuration again; called at once if that was asked for already, since it may have changed
    /// after it was read first. It must be quick.
    pub fn on_reload(&self, callback: impl Fn() + Send + 'static) {
        let mut held = self.held();
        if std::mem::take(&mut held.changed) {
            callback();
        }
        held.reload.push(Box::new(callback));
    }

    /// Tells the status now.
    pub fn status(&self) {
        let mut held = self.held();
        held.asked = held.status.is_empty();
        held.status.iter().for_each(|callback| callback());
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, signal: i32) {
        if signal == SIGUSR1 {
            self.status();
            return;
        }
        let mut held = self.held();
        if signal == SIGHUP && self.hangup == Hangup::Reload {
            held.changed = held.reload.is_empty();
            held.reload.iter().for_each(|callback| callback());
            return;
        }
        let first = self.ended.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_err() {
            // Somebody does not want to wait for the good order.
            held.at_once.iter().for_each(|callback| callback());
            std::process::exit(Exit::Interrupted.code().into());
        }
        held.end.iter().for_each(|callback| callback());
        self.ends.notify_all();
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// The signals that were ignored when the process began, one bit each (`SigIgn` in proc(5)).
fn ignored() -> u64 {
    let read = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    read().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Hangup, Watch};
    use signal_hook::consts::{SIGHUP, SIGTERM};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn a_status_asked_for_too_early_is_told_once_somebody_can() {
        let watch = Watch::new(Hangup::End);
        let told = Arc::new(AtomicU32::new(0));
        let count = told.clone();
        watch.status();
        watch.on_status(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(told.load(Ordering::SeqCst), 1);
        watch.status();
        watch.on_status(|| panic!("nothing is open any more"));
        assert_eq!(told.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn who_waits_is_told_at_once_that_the_work_is_to_end() {
        let watch = Watch::new(Hangup::End);
        assert!(!watch.wait(Duration::ZERO));
        let begin = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| watch.handle(SIGTERM));
            assert!(watch.wait(Duration::from_secs(600)));
        });
        assert!(begin.elapsed() < Duration::from_secs(300) && watch.wait(Duration::MAX));
    }

    #[test]
    fn a_hangup_that_comes_too_early_is_heard_once_somebody_can() {
        let (watch, reloads) = (Watch::new(Hangup::Reload), Arc::new(AtomicU32::new(0)));
        watch.handle(SIGHUP);
        for _ in 0..2 {
            let count = reloads.clone();
            watch.on_reload(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
        assert_eq!(reloads.load(Ordering::SeqCst), 1, "by the first, once");
        watch.handle(SIGHUP);
        assert_eq!((reloads.load(Ordering::SeqCst), watch.is_ended()), (3, false));
    }

    #[test]
    fn a_hangup_ends_a_command_and_reloads_a_daemon() {
        for (hangup, ends) in [(Hangup::End, true), (Hangup::Reload, false)] {
            let (watch, reloads) = (Watch::new(hangup), Arc::new(AtomicU32::new(0)));
            let count = reloads.clone();
            watch.on_reload(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            watch.handle(SIGHUP);
            assert_eq!(
                (watch.is_ended(), reloads.load(Ordering::SeqCst)),
                (ends, u32::from(!ends))
            );
        }
        let watch = Watch::new(Hangup::Reload);
        watch.handle(SIGTERM);
        assert!(watch.is_terminated());
    }
}
