//! SIGHUP: the configuration is read again while sessions run. What each session takes when it
//! begins holds for the next one; the rest needs a restart, and the log says so.

use crate::args::{self, Cli};
use crate::report::say;
use crate::serve::{Settings, Shared};
use crate::trust;
use std::io;
use std::mem::discriminant;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread;
use tcpxm::trust::ListenTrust;
use transfer::destination::Root;

/// Starts the thread that does it; whoever sends asks for it. What hangs while it is opened, such
/// as a folder on a server that is gone, holds up nothing but the next reading.
pub(crate) fn start(
    (running, listening): (Cli, ListenTrust),
    shared: &Arc<Shared>,
) -> io::Result<mpsc::Sender<()>> {
    let (ask, asked) = mpsc::channel();
    let shared: Weak<Shared> = Arc::downgrade(shared);
    thread::Builder::new().name("configuration".to_owned()).spawn(move || {
        for () in asked {
            let Some(shared) = shared.upgrade() else { return };
            match again(&running, &listening, &shared) {
                Ok(lines) => lines.iter().for_each(say),
                Err(why) => say(format_args!("the configuration stays as it was: {why}")),
            }
        }
    })?;
    Ok(ask)
}

/// Reads it and puts it in force, all or nothing; gives what is to be said about it.
fn again(running: &Cli, listening: &ListenTrust, shared: &Shared) -> Result<Vec<String>, String> {
    // Who may send comes first and by itself: nothing else that is wrong lets anybody in any longer.
    trust_again(running, listening, shared)?;
    let new = args::read(std::env::args_os()).map_err(|error| in_one_line(&error.to_string()))?;
    let root = new.root();
    // Also if its name has not changed: the folder may be another one by now.
    let opened = Root::open(root);
    let opened = opened.map_err(|e| format!("cannot receive into {}: {e}", root.display()))?;
    let quiet = new.common.quiet;
    let permits = shared.settings().permits;
    let old = shared.set(Settings { root: opened, quiet, permits });
    let mut changed = vec![format!("root is {}", root.display())];
    if old.quiet != quiet {
        changed.push(format!("quiet is {quiet}"));
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
fn trust_again(running: &Cli, listening: &ListenTrust, shared: &Shared) -> Result<(), String> {
    let before = match listening {
        ListenTrust::Keys(keys) => Some(&keys.identity),
        _ => None,
    };
    let decided = trust::decide(running, before).map_err(|error| error.to_string())?;
    // A list that is gone lets nobody in.
    let gone = !decided.is_for_others() && matches!(listening, ListenTrust::Keys(_));
    let decided = if gone { trust::nobody(listening) } else { decided };
    if discriminant(&decided.listen) != discriminant(listening) {
        return Err("a secret, keys or neither are chosen at the start: restart it".to_owned());
    }
    shared.set(Settings { permits: decided.permits, ..shared.settings() });
    if let Some(listener) = shared.listener.upgrade() {
        listener.set_trust(decided.listen).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the command line's reader says, without its heading and its hint at the help.
fn in_one_line(error: &str) -> String {
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let said = error.lines().take_while(|line| !line.starts_with("Usage:"));
    let said = said.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more"));
    said.collect::<Vec<_>>().join(" ")
}
