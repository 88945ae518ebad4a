//! The loop between TAP devices and the switch.

use super::frame;
use super::hub::Hub;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Clock};
use tcpxm::proto::time::Instant;
use tun_tap::{Iface, Mode};

/// Frames read from one device before the others, and what is due, have their turn.
const BATCH: usize = 64;
/// A frame that leaves later than this was delayed without having been asked for.
const LATE: Duration = Duration::from_millis(1);
/// It is looked at least so often whether the end has come.
const LOOK: Duration = Duration::from_millis(100);

const TIMER: Token = Token(usize::MAX);

/// What the loop did that nobody asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unasked {
    /// Frames that a device did not take, or that were too long to be read.
    pub dropped: u64,
    /// Frames to a device whose interface was down: as to a host that is switched off.
    pub to_nobody: u64,
    /// Frames that were read, or left, more than a millisecond late.
    pub late: u64,
    /// The latest one's delay beyond its time, in microseconds.
    pub latest_us: u64,
}

/// TAP devices, and the time since they were created.
#[derive(Debug)]
pub struct Taps {
    devices: Vec<Iface>,
    poll: Poll,
    timer: OwnedFd,
    origin: Clock,
    /// What the loop did that nobody asked for.
    pub unasked: Unasked,
}

impl Taps {
    /// Their names, as the system took them.
    pub fn names(&self) -> Vec<&str> {
        self.devices.iter().map(Iface::name).collect()
    }

    /// Creates the devices, in the network namespace of this thread. They vanish with this object.
    pub fn create(names: &[String]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut devices = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let device = Iface::without_packet_info(name, Mode::Tap)?;
            device.set_non_blocking()?;
            poll.registry().register(
                &mut SourceFd(&device.as_raw_fd()),
                Token(n),
                Interest::READABLE,
            )?;
            devices.push(device);
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self { devices, poll, timer, origin: Clock::now(), unasked: Unasked::default() })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Carries frames until `end` is set or the time is up.
    pub fn run(&mut self, hub: &mut Hub, end: &AtomicBool, lasts: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        // When the loop should have come round at the latest.
        let mut expected = self.origin.elapsed();
        // Devices say once that they have something: they are read until they say no.
        let mut readable = vec![true; self.devices.len()];
        while !end.load(Ordering::Relaxed) && self.origin.elapsed() < lasts {
            let behind = self.origin.elapsed().saturating_sub(expected);
            self.read(hub, &mut readable, behind)?;
            self.write(hub);
            let busy = readable.contains(&true);
            let timeout = if busy { Duration::ZERO } else { LOOK };
            if !busy {
                self.arm(hub.due())?;
            }
            expected = self.origin.elapsed() + timeout;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if let Some(readable) = readable.get_mut(event.token().0) {
                    *readable = true;
                }
            }
        }
        Ok(())
    }

    /// `behind`: for so long this process stood still, and the frames waited.
    fn read(&mut self, hub: &mut Hub, readable: &mut [bool], behind: Duration) -> io::Result<()> {
        let late = behind > LATE;
        if late {
            self.unasked.latest_us = self.unasked.latest_us.max(behind.as_micros() as u64);
        }
        let mut buf = [0; frame::MAX + 1];
        for (port, readable) in readable.iter_mut().enumerate().filter(|(_, r)| **r) {
            for _ in 0..BATCH {
                match self.devices[port].recv(&mut buf) {
                    Ok(len) if len > frame::MAX => self.unasked.dropped += 1,
                    Ok(len) => {
                        self.unasked.late += u64::from(late);
                        hub.send(self.now(), port, &buf[..len]);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // A device that is down gives an error, and later frames again.
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) || is_down(&e) => {
                        *readable = false;
                        break;
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, hub: &mut Hub) {
        let (devices, origin) = (&self.devices, self.origin);
        let unasked = &mut self.unasked;
        let now = || Instant::ZERO + origin.elapsed();
        while hub.deliver(now(), |port, bytes, at| {
            let late = now().since(at);
            unasked.late += u64::from(late > LATE);
            unasked.latest_us = unasked.latest_us.max(late.as_micros() as u64);
            match devices[port].send(bytes) {
                Ok(_) => {}
                Err(error) if is_down(&error) => unasked.to_nobody += 1,
                Err(_) => unasked.dropped += 1,
            }
        }) {}
    }

    /// Sets the timer to a moment, or to none.
    fn arm(&self, due: Option<Instant>) -> io::Result<()> {
        let wait =
            due.map_or(Duration::ZERO, |due| due.since(self.now()).max(Duration::from_nanos(1)));
        let it_value = Timespec {
            tv_sec: wait.as_secs().cast_signed(),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }
}

/// EIO: the interface is down (Linux's tun driver).
fn is_down(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.raw_os_error() == Some(rustix::io::Errno::BADFD.raw_os_error())
}
