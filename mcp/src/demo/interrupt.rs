//! Ctrl-C: the copy is given up in good order, so that everything cleans up behind itself.

use anyhow::{Context, Result};
use mcp_cli::signals;
use std::path::Path;
use std::sync::Arc;
use tcpxm::api::{Closer, Sender};
use thiserror::Error;

/// The user wants it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Knows whether Ctrl-C was pressed, and what must be ended then.
#[derive(Debug)]
pub(super) struct Watch(Arc<signals::Watch>);

impl Watch {
    /// Begins to watch; once in a process.
    pub(super) fn start() -> Result<Arc<Self>> {
        let watch = signals::Watch::start().context("cannot watch for Ctrl-C")?;
        Ok(Arc::new(Self(watch)))
    }

    /// Fails once it was pressed.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.0.is_ended() { Err(Interrupted) } else { Ok(()) }
    }

    /// Ends this session when it is pressed, or at once if it was.
    pub(super) fn guard(&self, sender: &Arc<Sender>) {
        let sender = Arc::downgrade(sender);
        self.0.on_end(move || {
            if let Some(sender) = sender.upgrade() {
                sender.abort("interrupted");
            }
        });
    }

    /// Likewise a listener, whose receiver writes into `folder`.
    pub(super) fn guard_listener(&self, closer: Closer, folder: &Path) {
        self.0.on_end(move || closer.close());
        let folder = folder.to_owned();
        // Pressed again: it is not waited for who would remove it.
        self.0.on_second(move || {
            let _ = std::fs::remove_dir_all(&folder);
        });
    }
}
