//! What a process does when it is interrupted, or asked how far it is.

use crate::exit::Exit;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Callback = Box<dyn Fn() + Send>;

/// Watches for SIGINT, SIGTERM and SIGHUP, which end the work in good order, and for SIGUSR1,
/// which asks for the status. A second one of the first three ends the process at once.
pub struct Watch {
    /// The signal that ended the work; 0 while none did.
    ended: AtomicI32,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    end: Vec<Callback>,
    at_once: Vec<Callback>,
    status: Vec<Callback>,
    /// The status was asked for before there was anybody to tell it.
    asked: bool,
}

impl Watch {
    /// Starts watching; once in a process. A signal that is ignored, as `nohup` has it for SIGHUP,
    /// stays ignored.
    pub fn start() -> io::Result<Arc<Self>> {
        let ignored = ignored();
        let ours = [SIGINT, SIGTERM, SIGHUP, SIGUSR1];
        let watched = ours.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = Signals::new(watched)?;
        let watch = Arc::new(Self { ended: AtomicI32::new(0), held: Mutex::default() });
        let handler = watch.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                handler.handle(signal);
            }
        })?;
        Ok(watch)
    }

    /// Whether the work is to end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst) != 0
    }

    /// Whether it was SIGTERM that ended the work: asked for by a service manager, not broken off.
    pub fn is_terminated(&self) -> bool {
        self.ended.load(Ordering::SeqCst) == SIGTERM
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
        let held = self.held();
        let first = self.ended.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_err() {
            // Somebody does not want to wait for the good order.
            held.at_once.iter().for_each(|callback| callback());
            std::process::exit(Exit::Interrupted.code().into());
        }
        held.end.iter().for_each(|callback| callback());
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
    use super::{Held, Watch};
    use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_status_asked_for_too_early_is_told_once_somebody_can() {
        let watch = Watch { ended: AtomicI32::new(0), held: Mutex::new(Held::default()) };
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
}
