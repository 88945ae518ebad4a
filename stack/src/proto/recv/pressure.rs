//! How much credit the socket's own buffer allows. A receiving host that is short of processor time
//! leaves datagrams waiting in its sockets, and UDP drops what finds no room there. So the credit
//! of its sessions shrinks to what the sockets can hold, until they have been nearly empty for a
//! while: a slow host is sent to slowly, and loses nothing.

use crate::proto::event::SocketLoad;
use crate::proto::time::Instant;
use core::time::Duration;

/// A socket is under pressure when it is full to this part: what is on its way fills the rest.
const FULL: usize = 2;
/// The credit never shrinks below this part of a socket's buffer.
const LEAST: usize = 16;
/// Without pressure for so long, it grows by a step.
const EASE_EVERY: Duration = Duration::from_millis(100);
/// A step is this part of the socket's buffer; beyond all of it, as much as there is.
const STEP: u64 = 8;
/// At so many times the socket's buffer it is not bounded any more.
const FREE: u64 = 8;

/// The pressure on the sockets of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// Bytes that all sessions together may have on their way; `None`: not bounded.
    allowance: Option<u64>,
    /// Of the socket that was under pressure last.
    capacity: u64,
    ease_at: Option<Instant>,
}

impl Pressure {
    /// What a socket holds after it was read from as much as a turn allows. Whether the allowance
    /// has changed.
    pub(crate) fn on_load(&mut self, now: Instant, load: &SocketLoad) -> bool {
        if !load.dropped && load.queued <= load.capacity / FULL {
            return false;
        }
        let room = load.capacity.saturating_sub(load.queued);
        let room = if load.dropped { room.min(load.capacity / 4) } else { room };
        let room = room.max(load.capacity / LEAST) as u64;
        let before = self.allowance;
        self.capacity = load.capacity as u64;
        self.allowance = Some(before.map_or(room, |before| before.min(room)));
        self.ease_at = Some(now + EASE_EVERY);
        self.allowance != before
    }

    /// Lets the allowance grow when it is time to; whether it has.
    pub(crate) fn on_timer(&mut self, now: Instant) -> bool {
        if self.ease_at.is_none_or(|at| now < at) {
            return false;
        }
        let (step, capacity) = (self.capacity / STEP, self.capacity);
        let grown = self.allowance.map(|a| a + if a < capacity { step } else { a });
        self.allowance = grown.filter(|a| *a < self.capacity * FREE);
        self.ease_at = self.allowance.map(|_| now + EASE_EVERY);
        true
    }

    /// When [`Self::on_timer`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ease_at
    }

    /// What each of so many sessions may have on its way, in bytes.
    pub(crate) fn share(&self, sessions: usize) -> Option<u64> {
        self.allowance.map(|all| all / sessions.max(1) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::{EASE_EVERY, Pressure};
    use crate::proto::event::SocketLoad;
    use crate::proto::time::Instant;

    const NOW: Instant = Instant::from_nanos(1);

    fn load(queued: usize, dropped: bool) -> SocketLoad {
        SocketLoad { queued, capacity: 1 << 20, dropped }
    }

    #[test]
    fn a_socket_that_is_half_full_bounds_the_credit_by_its_room() {
        let mut pressure = Pressure::default();
        assert!(!pressure.on_load(NOW, &load(1 << 19, false)));
        assert_eq!(pressure.share(1), None);
        assert!(pressure.on_load(NOW, &load(3 << 18, false)));
        assert_eq!(pressure.share(1), Some(1 << 18));
        assert_eq!(pressure.share(4), Some(1 << 16));
        assert!(!pressure.on_load(NOW, &load(5 << 17, false)), "it does not grow by that");
        assert!(pressure.on_load(NOW, &load(1 << 20, true)));
        assert_eq!(pressure.share(1), Some(1 << 16), "never nothing");
    }

    #[test]
    fn it_eases_step_by_step_and_ends() {
        let mut pressure = Pressure::default();
        pressure.on_load(NOW, &load(1 << 20, true));
        assert!(!pressure.on_timer(NOW));
        let (mut now, mut last) = (NOW, 0);
        while let Some(share) = pressure.share(1) {
            assert!(share > last);
            last = share;
            now = pressure.deadline().unwrap();
            assert!(pressure.on_timer(now));
        }
        assert_eq!(pressure.deadline(), None);
        assert!((now - NOW) < EASE_EVERY * 20, "{:?}", now - NOW);
    }
}
