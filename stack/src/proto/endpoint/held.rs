//! How much an endpoint holds, by count: what is over must be gone, and nothing may collect.

use super::Endpoint;
use super::listen::Listener;

/// What an endpoint holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Sending sessions, with their members.
    pub sessions: usize,
    /// Receiving sessions.
    pub receivers: usize,
    /// Connection ids by which datagrams find them.
    pub ids: usize,
    /// Handshakes that are half open.
    pub half_open: usize,
    /// Of its receivers' own datagrams, those whose fate is still remembered.
    pub datagrams: usize,
}

impl Endpoint {
    /// What it holds now.
    pub fn held(&self) -> Held {
        Held {
            sessions: self.sessions.len(),
            receivers: self.receivers.len(),
            ids: self.owners.len() + self.owners_by_syn.len() + self.groups.len(),
            half_open: self.listener.as_ref().map_or(0, Listener::half_open),
            datagrams: self.receivers.values().map(|r| r.conn.tx().remembered()).sum(),
        }
    }
}
