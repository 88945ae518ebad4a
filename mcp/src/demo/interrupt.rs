//! Ctrl-C: the copy is given up in good order, so that everything cleans up behind itself.

use crate::exit::Exit;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tcpxm::api::{Closer, Sender};
use thiserror::Error;

/// The user wants it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Knows whether Ctrl-C was pressed, and what must be ended then.
#[derive(Debug, Default)]
pub(super) struct Watch {
    interrupted: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    sender: Weak<Sender>,
    listeners: Vec<Closer>,
    folders: Vec<PathBuf>,
}

impl Watch {
    /// Installs the handler, for SIGINT, SIGTERM and SIGHUP; once in a process.
    pub(super) fn start() -> Result<Arc<Self>> {
        let watch = Arc::new(Self::default());
        let handler = watch.clone();
        ctrlc::set_handler(move || handler.interrupt()).context("cannot watch for Ctrl-C")?;
        Ok(watch)
    }

    /// Fails once it was pressed.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.interrupted.load(Ordering::SeqCst) { Err(Interrupted) } else { Ok(()) }
    }

    /// Ends this session when it is pressed, or at once if it was.
    pub(super) fn guard(&self, sender: &Arc<Sender>) {
        self.hold(|held| held.sender = Arc::downgrade(sender));
    }

    /// Likewise a listener, whose receiver writes into `folder`.
    pub(super) fn guard_listener(&self, closer: Closer, folder: &Path) {
        self.hold(|held| {
            held.listeners.push(closer);
            held.folders.push(folder.to_owned());
        });
    }

    fn hold(&self, add: impl FnOnce(&mut Held)) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut held);
        if self.check().is_err() {
            end(&held);
        }
    }

    fn interrupt(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interrupted.swap(true, Ordering::SeqCst) {
            // Pressed again: somebody does not want to wait for the good order.
            for folder in &held.folders {
                let _ = std::fs::remove_dir_all(folder);
            }
            std::process::exit(Exit::Interrupted.code().into());
        }
        end(&held);
    }
}

fn end(held: &Held) {
    if let Some(sender) = held.sender.upgrade() {
        sender.abort("interrupted");
    }
    held.listeners.iter().for_each(Closer::close);
}
