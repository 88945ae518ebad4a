//! SIGHUP: the configuration is read again while sessions run. What each session takes when it
//! begins holds for the next one, but for the rate of its key, which it follows; the rest needs a
//! restart, and the log says so. And when a key's time is over, its sessions end.

use crate::args::{self, Cli};
use crate::report::say;
use crate::serve::{Settings, Shared};
use crate::trust;
use mcp_cli::say::plain;
use std::io;
use std::mem::discriminant;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime};
use tcpxm::trust::ListenTrust;
use transfer::destination::Root;

/// The clock is looked at this often while a key is to expire: its sessions outlive it by no more
/// (docs/security.md says so), and an idle daemon wakes rarely.
const STEP: Duration = Duration::from_secs(60);

/// Starts the thread that does it; whoever sends asks for it. What hangs while it is opened, such
/// as a folder on a server that is gone, holds up nothing but the next reading. `at`: when it was
/// decided who may send. `sweeps`: asks for what was left below the roots to be removed.
pub(crate) fn start(
    (running, listening, at): (Cli, ListenTrust, SystemTime),
    shared: &Arc<Shared>,
    sweeps: mpsc::Sender<()>,
) -> io::Result<mpsc::Sender<()>> {
    let (ask, asked) = mpsc::channel();
    let shared: Weak<Shared> = Arc::downgrade(shared);
    let mut who = Who { listening, at };
    thread::Builder::new().name("configuration".to_owned()).spawn(move || {
        loop {
            let Some(next) = shared.upgrade().map(|shared| who.next_expiry(&shared)) else {
                return;
            };
            match wait(&asked, next) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let Some(shared) = shared.upgrade() else { return };
                    who.expire(&shared, SystemTime::now());
                    continue;
                }
            }
            let Some(shared) = shared.upgrade() else { return };
            match again(&running, &mut who, &shared) {
                Ok(lines) => {
                    lines.iter().for_each(say);
                    // Without its thread the daemon has ended already.
                    let _ = sweeps.send(());
                }
                Err(why) => say(format_args!("the configuration stays as it was: {why}")),
            }
        }
    })?;
    Ok(ask)
}

/// Waits until somebody asks, or until that time, in steps: where the clock is set meanwhile, or the host
/// sleeps, the time that passes here says nothing of that time.
fn wait(asked: &mpsc::Receiver<()>, until: Option<SystemTime>) -> Result<(), RecvTimeoutError> {
    match until {
        None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(until) => asked.recv_timeout(step(until, SystemTime::now())),
    }
}

fn step(until: SystemTime, now: SystemTime) -> Duration {
    until.duration_since(now).unwrap_or_default().min(STEP)
}

/// Who may send, as it was last decided, and when that was.
struct Who {
    listening: ListenTrust,
    at: SystemTime,
}

impl Who {
    /// When the next key expires.
    fn next_expiry(&self, shared: &Shared) -> Option<SystemTime> {
        shared.settings().permits?.next_expiry(self.at)
    }

    /// Ends the sessions of keys whose time is over by now.
    fn expire(&mut self, shared: &Shared, now: SystemTime) {
        let (Some(permits), ListenTrust::Keys(keys)) = (shared.settings().permits, &self.listening)
        else {
            return;
        };
        let expired = permits.expired(self.at, now);
        if expired.is_empty() {
            return; // not yet
        }
        let listening = ListenTrust::Keys(trust::admitted(&permits, keys.identity.clone(), now));
        for refusal in &expired {
            say(format_args!("{refusal}; its sessions end"));
        }
        if let Some(listener) = shared.listener.upgrade()
            && let Err(error) = listener.set_trust(listening.clone())
        {
            say(format_args!("cannot end sessions of keys that have expired: {error}"));
        }
        *self = Self { listening, at: now };
    }
}

/// Reads it and puts it in force, all or nothing; gives what is to be said about it.
fn again(running: &Cli, who: &mut Who, shared: &Shared) -> Result<Vec<String>, String> {
    // Who may send comes first and by itself: nothing else that is wrong lets anybody in any longer.
    trust_again(running, who, shared)?;
    let new = args::read(std::env::args_os()).map_err(|error| in_one_line(&error.to_string()))?;
    // Whether it is a folder at all is chosen at the start.
    let before = shared.settings().root;
    let root = new.root().filter(|_| before.is_some());
    // Also if its name has not changed: the folder may be another one by now.
    let open = |path: &Path| {
        Root::open_with(path, new.follow_root)
            .map_err(|e| format!("cannot receive into {}: {e}", path.display()))
    };
    let opened = root.map_or(Ok(before), |path| open(path).map(Some))?;
    if let (Some(root), Some(told)) = (&opened, &shared.prefixes) {
        told.check(root)?;
    }
    let quiet = new.common.quiet;
    let permits = shared.settings().permits;
    let allow = new.allowed();
    let follow = new.follow_root;
    let now = Settings { root: opened, follow, quiet, permits, allow: allow.clone() };
    let old = shared.set(now);
    let mut changed = vec![match root {
        Some(root) => format!("root is {}", root.display()),
        None => "it goes on writing to the same place".to_owned(),
    }];
    if old.follow != follow {
        changed.push(format!("follow-root is {follow}"));
    }
    if old.quiet != quiet {
        changed.push(format!("quiet is {quiet}"));
    }
    if old.allow != allow {
        let names: Vec<_> = allow.iter().map(|right| right.name()).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") };
        changed.push(format!("allow is {names}"));
    }
    if shared.mirrors.set_commands(&new.commands) {
        changed.push(format!("commands are {}", new.commands.names()));
    }
    let mut lines = Vec::new();
    if !quiet {
        lines.push(format!("the configuration was read again: {}", changed.join(", ")));
    }
    let fixed = running.fixed_that_differ(&new);
    if !fixed.is_empty() {
        lines.push(format!("a restart is needed for what has changed of {}", fixed.join(", ")));
    }
    Ok(lines)
}

/// Reads secrets or keys again. Which files hold them is chosen at the start.
fn trust_again(running: &Cli, who: &mut Who, shared: &Shared) -> Result<(), String> {
    let before = match &who.listening {
        ListenTrust::Keys(keys) => Some(&keys.identity),
        _ => None,
    };
    let decided = trust::decide(running, before).map_err(|error| error.to_string())?;
    // A list that is gone lets nobody in.
    let gone = !decided.is_for_others() && matches!(who.listening, ListenTrust::Keys(_));
    let decided = if gone {
        let list = shared.settings().permits;
        let path = list.as_ref().map(|list| plain(&list.path().display().to_string()));
        let path = path.as_deref().unwrap_or("the list of keys");
        say(format_args!(
            "{path} is gone: nobody may send until it is back, and the sessions of its keys end"
        ));
        trust::nobody(&who.listening, list.as_deref())
    } else {
        decided
    };
    if discriminant(&decided.listen) != discriminant(&who.listening) {
        return Err("a secret, keys or neither are chosen at the start: restart it".to_owned());
    }
    if let Some(permits) = &decided.permits {
        shared.set(Settings { permits: Some(Arc::clone(permits)), ..shared.settings() });
        shared.set_rates(permits);
    }
    if let Some(listener) = shared.listener.upgrade() {
        listener.set_trust(decided.listen.clone()).map_err(|error| error.to_string())?;
    }
    shared.mirrors.set_trust(&decided.listen);
    *who = Who { listening: decided.listen, at: decided.at };
    Ok(())
}

/// What the command line's reader says, without its heading and its hint at the help.
fn in_one_line(error: &str) -> String {
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let said = error.lines().take_while(|line| !line.starts_with("Usage:"));
    let said = said.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more"));
    said.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_again_and_again() {
        let now = SystemTime::now();
        assert_eq!(step(now + Duration::from_secs(7), now), Duration::from_secs(7));
        assert_eq!(step(now + Duration::from_secs(86_400), now), Duration::from_secs(60));
        assert_eq!(step(now - Duration::from_secs(7), now), Duration::ZERO);
    }
}
