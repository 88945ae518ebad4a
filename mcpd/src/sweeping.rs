//! What killed processes left below the roots goes: when the daemon starts, once a day, and when it reads its
//! configuration again. What a living process holds is locked, and stays (`transfer::sweep`).

use crate::report::{counted, say};
use crate::serve::{Settings, Shared};
use mcp_cli::say::plain;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use transfer::destination::Root;
use transfer::sweep::sweep;

/// Partial files have their bounds in days (docs/trees.md): it is looked after them as often.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts the thread that does it from now on; whoever sends asks for it.
pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<mpsc::Sender<()>> {
    let (ask, asked) = mpsc::channel();
    let shared: Weak<Shared> = Arc::downgrade(shared);
    thread::Builder::new().name("sweeping".to_owned()).spawn(move || {
        while asked.recv_timeout(EVERY) != Err(RecvTimeoutError::Disconnected) {
            let Some(settings) = shared.upgrade().map(|shared| shared.settings()) else { return };
            // The process ends without waiting for this.
            sweep_all(&settings, &|| shared.strong_count() == 0);
        }
    })?;
    Ok(ask)
}

/// Removes what earlier runs left, also in the folders of single keys. Breaks off when `stop` says so.
pub(crate) fn sweep_all(settings: &Settings, stop: &dyn Fn() -> bool) {
    if let Some(root) = &settings.root {
        sweep_one(root, settings.quiet, stop);
    }
    let permits = settings.permits.iter().flat_map(|permits| permits.keys());
    let own: BTreeSet<&PathBuf> = permits.filter_map(|(_, permit)| permit.root.as_ref()).collect();
    let opened = own.into_iter().filter_map(|path| Root::open_with(path, settings.follow).ok());
    for root in opened {
        sweep_one(&root, settings.quiet, stop);
    }
}

fn sweep_one(root: &Root, quiet: bool, stop: &dyn Fn() -> bool) {
    if root.is_whole() {
        return; // all of a host is too much to look through
    }
    let swept = sweep(root, stop);
    if swept.removed > 0 && !quiet {
        let files = counted(swept.removed, "unfinished file", "unfinished files");
        say(format_args!("removed {files} that nobody goes on with"));
    }
    if swept.failed > 0 {
        let these = counted(swept.failed, "file or folder", "files or folders");
        let path = plain(&root.path().display().to_string());
        say(format_args!(
            "{these} below {path} could not be searched for unfinished files, or removed: see to permissions"
        ));
    }
}
