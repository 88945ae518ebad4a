//! The sender's process stands still, as after Ctrl-Z: its timers do not fire, what comes waits in its socket.

use crate::net::{Happening, Net};

/// The sender's node.
pub(crate) const SENDER: usize = 0;
/// A socket's buffer, in bytes, as Linux has it (socket(7), `rmem_default`).
const ROOM: usize = 212_992;

/// What waits meanwhile, if it stands still.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    kept: Option<Vec<Happening>>,
    bytes: usize,
}

impl Pause {
    pub(crate) fn begin(&mut self) {
        *self = Self { kept: Some(Vec::new()), bytes: 0 };
    }

    /// What has waited.
    pub(crate) fn end(&mut self) -> Vec<Happening> {
        self.kept.take().unwrap_or_default()
    }

    /// Whether this has to wait.
    pub(crate) fn holds(&self, happening: &Happening) -> bool {
        let node = match happening {
            Happening::Wake { node }
            | Happening::Arrival { node, .. }
            | Happening::JoinResult { node, .. }
            | Happening::Refused { node, .. } => *node,
            Happening::Strike(_) => return false,
        };
        self.kept.is_some() && node == SENDER
    }

    /// It waits, if there is room; a timer comes up by itself when the process goes on.
    pub(crate) fn keep(&mut self, net: &mut Net, happening: Happening) {
        let Some(kept) = &mut self.kept else { return };
        match happening {
            Happening::Wake { .. } => {}
            Happening::Arrival { slot, .. } if self.bytes + net.len(slot) > ROOM => {
                net.overflow(slot);
            }
            other => {
                if let Happening::Arrival { slot, .. } = other {
                    self.bytes += net.len(slot);
                }
                kept.push(other);
            }
        }
    }
}
