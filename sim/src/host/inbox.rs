//! A socket's buffer in front of a host that is slow to empty it.

use crate::pool::Slot;
use core::time::Duration;
use std::collections::VecDeque;
use tcpxm::proto::event::SocketLoad;
use tcpxm::proto::time::Instant;

/// What waits in the socket.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes_per_second: u64,
    capacity: usize,
    queued: usize,
    waiting: VecDeque<(Slot, usize)>,
    /// When the host takes the first.
    due: Instant,
    dropped: bool,
}

impl Inbox {
    pub(crate) fn new(bytes_per_second: u64, capacity: usize) -> Self {
        let (waiting, due) = (VecDeque::new(), Instant::ZERO);
        Self { bytes_per_second, capacity, queued: 0, waiting, due, dropped: false }
    }

    fn takes(&self, len: usize) -> Duration {
        Duration::from_nanos(len as u64 * 1_000_000_000 / self.bytes_per_second)
    }

    /// A datagram arrives; `false`: there is no room for it.
    pub(crate) fn put(&mut self, now: Instant, slot: Slot, len: usize) -> bool {
        if self.queued + len > self.capacity {
            self.dropped = true;
            return false;
        }
        if self.waiting.is_empty() {
            self.due = self.due.max(now + self.takes(len));
        }
        self.queued += len;
        self.waiting.push_back((slot, len));
        true
    }

    /// When the host takes the next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|_| self.due)
    }

    /// The next that the host has taken by now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Slot> {
        if self.due > now {
            return None;
        }
        let (slot, len) = self.waiting.pop_front()?;
        self.queued -= len;
        if let Some((_, next)) = self.waiting.front() {
            self.due = now + self.takes(*next);
        }
        Some(slot)
    }

    /// What a driver reports when it has not emptied the socket.
    pub(crate) fn load(&mut self) -> Option<SocketLoad> {
        let (queued, capacity) = (self.queued, self.capacity);
        let dropped = core::mem::take(&mut self.dropped);
        (queued > 0).then_some(SocketLoad { queued, capacity, dropped })
    }
}
