//! The one thread that drives an engine: it owns the sockets and keeps the deadlines.
//!
//! A turn: receive what has come (bounded), let due timers fire, do what the engine asks, send what
//! it gives (bounded), wake whoever waits, sleep until the next deadline, datagram or call. The
//! lock is taken once per batch of reads and once per batch of trains, and never held while a
//! system call runs.

pub(crate) mod departure;
mod joining;
mod known;

use super::clock::Clock;
use super::counters::Joined;
use super::group::{Family, Groups, Place};
use super::interface::lacks_family;
use super::netlink::Links;
use super::shared::{Handle, Inner, Key, Shared};
use super::socket::{Batch, Sending, Train, UdpSocket};
use super::sys::Timer;
use super::wake::Wake;
use crate::error::Unreachable;
use crate::proto::endpoint::Endpoint;
use crate::proto::event::Event;
use crate::proto::time::Instant;
use core::time::Duration;
use departure::Departure;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::task::Waker;

/// Batches of reads from one socket per turn, so that sending is not starved.
const READS_PER_TURN: usize = 4;

/// Errors taken from one socket's queue per turn; what is left comes with the next.
const ERRORS_PER_TURN: usize = 64;

/// Trains per lock, and per turn before the sockets are looked at again.
const TRAINS: usize = 4;

/// After the last handle is gone, the engine may still send for so long: what was written to a
/// peer must be able to survive the loss of a datagram or two.
const LINGER: Duration = Duration::from_secs(3);

/// While a socket's buffer is full no deadline nearer than this is kept: nothing could be sent.
const BLOCKED: Duration = Duration::from_millis(1);

const WAKE: Token = Token(0);
const TIMER: Token = Token(1);
/// Sockets of the driver, in their order, then groups.
const FIRST_SOCKET: usize = 2;

/// Which socket a token stands for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Main(usize),
    Group(Place),
    Links,
}

/// What the host's owner says about joining groups.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Joins {
    /// On the interface with this index; `None`: on the one that the SYN came in on.
    pub(crate) interface: Option<u32>,
    /// No other group than this.
    pub(crate) only: Option<SocketAddr>,
}

/// Everything the thread owns.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    poll: Poll,
    timer: Timer,
    /// What the timer is set to.
    armed: Option<Instant>,
    sockets: Vec<UdpSocket>,
    groups: Groups,
    /// What the system had counted at each join.
    joined: Joined,
    /// Once a group was joined.
    links: Option<Links>,
    tokens: BTreeMap<Token, Source>,
    next_token: usize,
    /// Sockets that may have something to read: epoll says so only once.
    readable: BTreeMap<Token, Source>,
    batch: Batch,
    trains: Vec<Train>,
    /// Trains `waiting.start..waiting.end` are not out yet.
    waiting: core::ops::Range<usize>,
    /// The socket whose buffer is full.
    blocked: Option<usize>,
    joins: Joins,
    /// Of a sender.
    departure: Option<Departure>,
    /// Interfaces that a group is joined on, and those by which the way back leaves, as was told.
    ways_back: BTreeSet<(u32, u32)>,
    /// Since when nobody holds a handle.
    alone: Option<Instant>,
    /// See [`Inner::end_by`].
    end_by: Option<Instant>,
    /// Tasks to wake at the end of the turn.
    wakers: Vec<Waker>,
}

impl Driver {
    /// Starts the thread; it ends after the last handle is dropped.
    pub(crate) fn spawn(
        endpoint: Endpoint,
        clock: Clock,
        sockets: Vec<UdpSocket>,
        joins: Joins,
        departure: Option<Departure>,
    ) -> io::Result<Handle> {
        let poll = Poll::new()?;
        let wake = Wake::new(poll.registry(), WAKE)?;
        let timer = Timer::new()?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let shared = Arc::new(Shared::new(endpoint, wake, clock));
        let handle = Handle::new(&shared);
        let mut driver = Self {
            shared: Arc::clone(&shared),
            poll,
            timer,
            armed: None,
            sockets,
            groups: Groups::default(),
            joined: Joined::default(),
            links: None,
            tokens: BTreeMap::new(),
            next_token: FIRST_SOCKET,
            readable: BTreeMap::new(),
            batch: Batch::new(),
            trains: (0..TRAINS).map(|_| Train::new()).collect(),
            waiting: 0..0,
            blocked: None,
            joins,
            departure,
            ways_back: BTreeSet::new(),
            alone: None,
            end_by: None,
            wakers: Vec::new(),
        };
        for index in 0..driver.sockets.len() {
            let fd = driver.sockets[index].fd();
            driver.register(fd, Source::Main(index))?;
        }
        let thread = std::thread::Builder::new().name("tcpxm".into()).spawn(move || {
            // Also when the engine panics: nobody may wait for ever.
            let _end = End(Arc::clone(&driver.shared));
            let mut driver = driver; // dropped before it is said: then the sockets are closed
            let (done, shared) = (driver.run(), Arc::clone(&driver.shared));
            drop(driver);
            if let Err(e) = done {
                tracing::error!("the driver failed: {e}");
                shared.end(format!("the driver failed: {e}"));
            }
        })?;
        shared.set_thread(thread);
        Ok(handle)
    }

    fn register(&mut self, fd: i32, source: Source) -> io::Result<()> {
        let token = Token(self.next_token);
        self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        self.next_token += 1;
        self.tokens.insert(token, source);
        Ok(())
    }

    /// Takes sockets that a handle has opened meanwhile.
    fn adopt(&mut self, opened: Vec<UdpSocket>) -> io::Result<()> {
        for socket in opened {
            let (index, fd) = (self.sockets.len(), socket.fd());
            self.sockets.push(socket);
            self.register(fd, Source::Main(index))?;
        }
        Ok(())
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        loop {
            self.receive();
            self.timers();
            self.serve();
            let full = self.transmit()?;
            // Sending may have made a need or an end; answering an action may give more to send.
            let more = self.serve() || full;
            self.wakers.drain(..).for_each(Waker::wake);
            let deadline = self.shared.lock().endpoint.poll_timeout();
            if self.may_end(more || self.blocked.is_some()) {
                return Ok(());
            }
            let at_once = !self.readable.is_empty() || (more && self.blocked.is_none());
            let timeout = if at_once { Some(Duration::ZERO) } else { self.arm(deadline)? };
            self.sleep(&mut events, timeout)?;
        }
    }

    /// Reads what has come into the engine.
    fn receive(&mut self) {
        let sources: Vec<(Token, Source)> = self.readable.iter().map(|(t, s)| (*t, *s)).collect();
        for (token, source) in sources {
            if matches!(source, Source::Links) {
                self.hear_of_links(token);
                continue;
            }
            self.errors(source);
            let socket = match source {
                Source::Main(index) => self.sockets.get(index),
                Source::Group(place) => self.groups.socket(&place),
                Source::Links => None,
            };
            let Some(socket) = socket else {
                self.readable.remove(&token);
                continue;
            };
            let shared = &self.shared;
            let turn = socket.read_turn(&mut self.batch, READS_PER_TURN, |batch, count| {
                let mut inner = shared.lock();
                let now = shared.clock.now();
                for (arrival, bytes) in batch.reads(count) {
                    inner.endpoint.handle_datagram(now, &arrival, bytes);
                }
            });
            if let Some(load) = socket.load_after(turn) {
                self.shared.ask(|engine, now| engine.handle_load(now, &load));
            }
            if turn.emptied {
                self.readable.remove(&token);
            }
        }
    }

    /// Tells the engine which receivers cannot be reached.
    fn errors(&self, source: Source) {
        let Source::Main(index) = source else { return };
        let Some(socket) = self.sockets.get(index) else { return };
        for _ in 0..ERRORS_PER_TURN {
            let Some((to, why)) = socket.take_error() else { return };
            tracing::debug!(%to, "cannot be reached: {why}");
            self.shared.ask(|engine, now| engine.handle_unreachable(now, to, why));
        }
    }

    /// Lets due timers fire, and looks whether anybody is still there.
    fn timers(&mut self) {
        let mut inner = self.shared.lock();
        let now = self.shared.clock.now();
        if inner.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            inner.endpoint.handle_timeout(now);
        }
        if inner.handles == 0 {
            // Or whoever comes would hold up the end.
            let inner = &mut *inner;
            if let Some(why) = &inner.closed {
                inner.endpoint.close_listener(why);
            }
        }
        self.alone = if inner.handles > 0 { None } else { self.alone.or(Some(now)) };
        self.end_by = inner.end_by;
    }

    /// Actions and events; `true` if an action was answered.
    fn serve(&mut self) -> bool {
        let mut actions = Vec::new();
        {
            let shared = Arc::clone(&self.shared);
            let mut inner = shared.lock();
            while let Some(action) = inner.endpoint.poll_action() {
                actions.push(action);
            }
            self.events(&mut inner);
        }
        let any = !actions.is_empty();
        for action in actions {
            self.act(&action);
        }
        any
    }

    /// Notifies those whose objects have changed.
    fn events(&mut self, inner: &mut Inner) {
        let mut any = false;
        while let Some(event) = inner.endpoint.poll_event() {
            any = true;
            if event == Event::Incoming {
                inner.turn_away(self.shared.clock.now());
            }
            self.wakers.extend(inner.wakers.get(&Key::from(event)).cloned());
        }
        if any {
            self.shared.changed();
        }
    }

    /// Sends; `true` if the engine may have more.
    fn transmit(&mut self) -> io::Result<bool> {
        if self.waiting.is_empty() {
            let mut inner = self.shared.lock();
            let now = self.shared.clock.now();
            self.waiting = 0..0;
            for train in &mut self.trains {
                let Some(transmit) = inner.endpoint.poll_transmit(now, &mut train.buf) else {
                    break;
                };
                train.load(transmit);
                self.waiting.end += 1;
            }
            let opened = core::mem::take(&mut inner.opened);
            drop(inner);
            self.adopt(opened)?; // what was just polled may be for them
        }
        let full = self.waiting.end == TRAINS;
        let mut blocked = None;
        while let Some(train) = self.trains[..self.waiting.end].get_mut(self.waiting.start) {
            let to = train.transmit.to;
            let family = Family::of(to.ip());
            let socket = self.sockets.iter_mut().enumerate().find(|(_, s)| s.family() == family);
            match socket {
                None => self.unsendable(to),
                Some((index, socket)) => match socket.send(train) {
                    Sending::Unreachable(_) | Sending::NoSource if lacks_family(to.ip()) => {
                        self.unsendable(to);
                    }
                    // Without a source it may be that a new address may not be used yet.
                    Sending::Done | Sending::NoSource => {}
                    Sending::Blocked => {
                        blocked = Some(index);
                        break;
                    }
                    Sending::Oversize(len) => {
                        self.shared.ask(|engine, now| engine.handle_oversize(now, to, len));
                    }
                    Sending::Unreachable(why) => {
                        self.shared.ask(|engine, now| engine.handle_unreachable(now, to, why));
                    }
                },
            }
            self.waiting.start += 1;
        }
        self.wait_for_room(blocked)?;
        Ok(full || blocked.is_some())
    }

    /// Nothing of this family leaves this host, so nobody answers, however long one waits.
    fn unsendable(&self, to: SocketAddr) {
        let why = Unreachable::NoFamily { v6: to.is_ipv6() };
        self.shared.ask(|engine, now| match to {
            SocketAddr::V6(_) => engine.handle_unsendable(now, to, why),
            // Without IPv4 for good there is hardly a host; one that has just started may be yet to get an address.
            SocketAddr::V4(_) => engine.handle_unreachable(now, to, why),
        });
    }

    /// Asks for room to be reported only while it is missing: otherwise every datagram that leaves
    /// the socket's buffer would wake the thread.
    fn wait_for_room(&mut self, blocked: Option<usize>) -> io::Result<()> {
        if blocked == self.blocked {
            return Ok(());
        }
        let changes = [
            (self.blocked, Interest::READABLE),
            (blocked, Interest::READABLE | Interest::WRITABLE),
        ];
        for (index, interest) in changes {
            let Some(index) = index else { continue };
            let Some(socket) = self.sockets.get(index) else { continue };
            let its =
                |(_, source): &(&Token, &Source)| matches!(source, Source::Main(i) if *i == index);
            let Some((token, _)) = self.tokens.iter().find(its) else { continue };
            self.poll.registry().reregister(&mut SourceFd(&socket.fd()), *token, interest)?;
        }
        self.blocked = blocked;
        Ok(())
    }

    /// When it ends whatever is still to be sent.
    fn end(&self) -> Option<Instant> {
        let lingering = self.alone.map(|since| since + LINGER);
        lingering.into_iter().chain(self.end_by).min()
    }

    /// Whether all is out after the last handle is gone, or enough time was given to it.
    fn may_end(&self, more: bool) -> bool {
        if self.end().is_some_and(|end| end <= self.shared.clock.now()) {
            return true;
        }
        self.alone.is_some()
            && (!more && self.readable.is_empty() && !self.shared.lock().endpoint.lingers())
    }

    /// Waits for a datagram, a call, room to send, or the deadline.
    fn sleep(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        // Before anything is looked at: what changes from here on needs another wake.
        self.shared.wake.looked();
        for event in events.iter() {
            match event.token() {
                TIMER => self.armed = None,
                token if event.is_readable() || event.is_error() => {
                    if let Some(source) = self.tokens.get(&token) {
                        self.readable.insert(token, *source);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets the timer to the next deadline; gives what to poll with.
    fn arm(&mut self, deadline: Option<Instant>) -> io::Result<Option<Duration>> {
        let now = self.shared.clock.now();
        let mut next = match (deadline, self.end()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if self.blocked.is_some() {
            next = next.map(|next| next.max(now + BLOCKED));
        }
        if next.is_some_and(|next| next <= now) {
            return Ok(Some(Duration::ZERO));
        }
        if next != self.armed {
            self.timer.set(next.map(|next| next - now))?;
            self.armed = next;
        }
        Ok(None)
    }
}

/// Says that the thread has ended, when it ends.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end("the driver has ended".to_owned());
    }
}
