//! Wakes the driver's thread out of its poll, at most once per turn.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;

/// A waker that writes to its descriptor only if the driver has not been woken since it last
/// looked: many calls between two turns cost one system call.
#[derive(Debug)]
pub(crate) struct Wake {
    waker: mio::Waker,
    pending: AtomicBool,
}

impl Wake {
    /// Belongs to one poll.
    pub(crate) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        Ok(Self { waker: mio::Waker::new(registry, token)?, pending: AtomicBool::new(false) })
    }

    /// Asks for a turn. Whatever was changed before is seen in it.
    pub(crate) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // It fails only if the descriptor is gone, and then so is the driver.
            if let Err(e) = self.waker.wake() {
                tracing::error!("cannot wake the driver: {e}");
            }
        }
    }

    /// The driver says that it looks now: what changes later needs another wake.
    pub(crate) fn looked(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn woken(poll: &mut mio::Poll, timeout: Option<Duration>) -> bool {
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, timeout).unwrap();
        !events.is_empty()
    }

    #[test]
    fn many_wakes_are_one_and_the_next_turn_needs_another() {
        let mut poll = mio::Poll::new().unwrap();
        let wake = Wake::new(poll.registry(), mio::Token(0)).unwrap();
        wake.wake();
        wake.wake();
        assert!(woken(&mut poll, None));
        // Not yet looked: a further wake is part of the one that was seen.
        wake.wake();
        assert!(!woken(&mut poll, Some(Duration::ZERO)));
        wake.looked();
        wake.wake();
        assert!(woken(&mut poll, None));
    }

    #[test]
    fn it_wakes_a_thread_that_sleeps_in_its_poll() {
        let mut poll = mio::Poll::new().unwrap();
        let wake = std::sync::Arc::new(Wake::new(poll.registry(), mio::Token(0)).unwrap());
        let from = std::sync::Arc::clone(&wake);
        let thread = std::thread::spawn(move || from.wake());
        assert!(woken(&mut poll, None));
        thread.join().unwrap();
    }
}
