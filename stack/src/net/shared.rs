//! What the driver's thread and the handles of the application share.

use super::clock::Clock;
use super::group::Family;
use super::interface::Route;
use super::socket::UdpSocket;
use super::wake::Wake;
use crate::config::Group;
use crate::proto::endpoint::Endpoint;
use crate::proto::event::{Event, ReceiverId, SessionId};
use crate::proto::time::Instant;
use core::time::Duration;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;

/// Whose waker it is: the object of an [`Event`], in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The listener.
    Incoming,
    /// A sender.
    Session(SessionId),
    /// A receiver.
    Receiver(ReceiverId),
    /// The listener, for those who may not send.
    Stranger,
}

impl From<Event> for Key {
    fn from(event: Event) -> Self {
        match event {
            Event::Incoming => Self::Incoming,
            Event::Session(id) | Event::Renewed(id) => Self::Session(id),
            Event::Receiver(id) => Self::Receiver(id),
            Event::Stranger => Self::Stranger,
        }
    }
}

/// What has become of where a sender's datagrams leave this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Departed {
    /// The group as it was announced last, if that was not at the beginning, and where it leaves.
    pub(crate) moved: Option<(Group, Route)>,
    /// Addresses that this host has lost, and by how many receivers it was known by each.
    pub(crate) lost: BTreeMap<IpAddr, usize>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    /// The engine.
    pub(crate) endpoint: Endpoint,
    /// Why nothing is accepted any more, once that is so: what senders are told.
    pub(crate) closed: Option<String>,
    /// The driver's thread ends then, whatever is still to be sent.
    pub(crate) end_by: Option<Instant>,
    /// Why the driver's thread has ended, once it has.
    pub(crate) ended: Option<String>,
    /// Of a sender: what has become of where its datagrams leave.
    pub(crate) departed: Departed,
    /// Of a sender: families that it has a socket for, one each.
    pub(crate) families: BTreeSet<Family>,
    /// Those of these sockets that the driver has not taken yet.
    pub(crate) opened: Vec<UdpSocket>,
    /// Tasks to wake, one per object.
    pub(crate) wakers: BTreeMap<Key, Waker>,
    /// Handles that are alive; the thread ends after the last.
    pub(crate) handles: usize,
}

impl Inner {
    /// Ends the sessions that nobody will accept, if that is so, and tells their senders why.
    pub(crate) fn turn_away(&mut self, now: Instant) {
        let Some(why) = &self.closed else { return };
        while let Some(receiver) = self.endpoint.accept() {
            self.endpoint.close(now, receiver, Err(why.clone()));
            self.endpoint.release(now, receiver);
        }
    }
}

/// The engine under its lock, and the ways to wait for it and to wake its driver.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Wakes the driver.
    pub(crate) wake: Wake,
    /// The time of the engine.
    pub(crate) clock: Clock,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn new(endpoint: Endpoint, wake: Wake, clock: Clock) -> Self {
        let wakers = BTreeMap::new();
        let (closed, end_by, ended) = (None, None, None);
        let inner = Inner {
            endpoint,
            closed,
            end_by,
            ended,
            departed: Departed::default(),
            families: BTreeSet::new(),
            opened: Vec::new(),
            wakers,
            handles: 0,
        };
        Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            wake,
            clock,
            thread: Mutex::new(None),
        }
    }

    /// The lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Wakes every handle that waits.
    pub(crate) fn changed(&self) {
        self.changed.notify_all();
    }

    /// Asks the engine something.
    pub(crate) fn ask<R>(&self, ask: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        ask(&mut self.lock().endpoint, self.clock.now())
    }

    /// Changes something in the engine, which may then have something to send.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        let result = self.ask(act);
        self.wake.wake();
        result
    }

    /// Tries until it gives something; an error when the driver has ended or `limit` has passed.
    /// Every change of an object is followed by a notification, so each is seen.
    pub(crate) fn wait<R>(
        &self,
        limit: Option<Duration>,
        mut attempt: impl FnMut(&mut Inner, Instant) -> Option<R>,
    ) -> io::Result<R> {
        let until = limit.map(|limit| self.clock.now() + limit);
        let mut inner = self.lock();
        loop {
            let now = self.clock.now();
            if let Some(result) = attempt(&mut inner, now) {
                return Ok(result);
            }
            if let Some(why) = &inner.ended {
                return Err(io::Error::other(why.clone()));
            }
            match until {
                None => self.changed.wait(&mut inner),
                Some(until) if until <= now => return Err(io::ErrorKind::TimedOut.into()),
                Some(until) => {
                    self.changed.wait_for(&mut inner, until - now);
                }
            }
        }
    }

    /// What a call that does not wait says when there is nothing: `WouldBlock`, or why there will
    /// never be anything again.
    pub(crate) fn nothing_yet(&self) -> io::Error {
        match &self.lock().ended {
            Some(why) => io::Error::other(why.clone()),
            None => io::ErrorKind::WouldBlock.into(),
        }
    }

    /// Sets or removes the task to wake when an object changes.
    pub(crate) fn set_waker(&self, key: Key, waker: Option<Waker>) {
        let mut inner = self.lock();
        let old = match waker {
            Some(waker) => inner.wakers.insert(key, waker),
            None => inner.wakers.remove(&key),
        };
        drop(inner);
        // A waker's drop is the application's code: never under the lock.
        drop(old);
    }

    /// Marks the end of the thread, whatever ended it, so that nobody waits for it any more.
    pub(crate) fn end(&self, why: String) {
        let wakers: Vec<Waker> = {
            let mut inner = self.lock();
            inner.ended.get_or_insert(why);
            inner.wakers.values().cloned().collect()
        };
        self.changed();
        for waker in wakers {
            // One that panics may be why the thread ends; the others must be woken all the same.
            let woken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
            if woken.is_err() {
                tracing::error!("a waker panicked");
            }
        }
    }

    /// The thread, to be joined by the last handle.
    pub(crate) fn set_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }
}

/// A counted reference: the driver's thread ends after the last is dropped.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    /// One more handle.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.lock().handles += 1;
        Self(Arc::clone(shared))
    }

    /// The same, without being counted.
    pub(crate) fn uncounted(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

impl core::ops::Deref for Handle {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Handle {
    /// The last one waits until the final datagrams are out, for as long as the driver lingers.
    fn drop(&mut self) {
        let last = {
            let mut inner = self.0.lock();
            inner.handles -= 1;
            inner.handles == 0
        };
        if !last {
            return;
        }
        self.0.wake.wake();
        let thread = self.0.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the driver's thread has panicked");
        }
    }
}
