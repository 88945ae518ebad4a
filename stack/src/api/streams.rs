//! The private two-way stream of a sender and one receiver, at either end.

use super::{COPY, failed};
use crate::error::Reason;
use crate::net::shared::Handle;
use crate::proto::endpoint::Endpoint;
use crate::proto::event::{ControlRead, MemberId, ReceiverId};
use crate::proto::time::Instant;
use crate::seal::Binding;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Why a stream is over whose member has begun again.
const ANOTHER: &str = "it begins again, with another private stream";

/// Which end of which stream.
#[derive(Debug, Clone)]
enum End {
    /// Of a member, as it is after so many restarts of its host: each time its stream is another.
    Member(MemberId, u32),
    Receiver(ReceiverId, Arc<AtomicBool>),
}

impl End {
    fn check(&self, engine: &Endpoint) -> io::Result<()> {
        match self {
            Self::Member(id, _) if id.index >= engine.members(id.session) => {
                let n = engine.members(id.session);
                let text = format!("member {} of a session with {n}", id.index);
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            Self::Member(id, restarts) if engine.restarts(*id) != *restarts => {
                Err(failed(Reason::Forgotten(ANOTHER)))
            }
            // The engine has forgotten it together with the `Receiver`.
            Self::Receiver(_, released) if released.load(Ordering::Acquire) => {
                Err(failed(Reason::Cancelled("the receiver was dropped".to_owned())))
            }
            _ => Ok(()),
        }
    }

    /// `None` when there is nothing now.
    fn read(
        &self,
        engine: &mut Endpoint,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<io::Result<usize>> {
        if let Err(e) = self.check(engine) {
            return Some(Err(e));
        }
        let read = match self {
            Self::Member(id, _) => engine.member_read(now, *id, buf),
            Self::Receiver(id, _) => engine.control_read(now, *id, buf),
        };
        match read {
            Ok(ControlRead::Data(len)) => Some(Ok(len)),
            Ok(ControlRead::End) => Some(Ok(0)),
            Ok(ControlRead::Empty) => None,
            Err(reason) => Some(Err(failed(reason))),
        }
    }

    /// What tells the association from all others; `None` when there is none yet.
    fn binding(&self, engine: &Endpoint, now: Instant) -> Option<io::Result<Binding>> {
        if let Err(e) = self.check(engine) {
            return Some(Err(e));
        }
        let (binding, outcome) = match self {
            Self::Member(id, _) => {
                let outcome = engine.report(now, *id).and_then(|report| report.outcome);
                (engine.member_binding(*id), outcome)
            }
            Self::Receiver(id, _) => (engine.binding(*id), None),
        };
        match (binding, outcome) {
            (Some(binding), _) => Some(Ok(binding)),
            (None, Some(Err(reason))) => Some(Err(failed(reason))),
            (None, _) => None,
        }
    }

    /// `None` when there is no room now.
    fn write(
        &self,
        engine: &mut Endpoint,
        now: Instant,
        bytes: &[u8],
    ) -> Option<io::Result<usize>> {
        if let Err(e) = self.check(engine) {
            return Some(Err(e));
        }
        let bytes = &bytes[..bytes.len().min(COPY)];
        let written = match self {
            Self::Member(id, _) => engine.member_write(now, *id, bytes),
            Self::Receiver(id, _) => engine.control_write(now, *id, bytes),
        };
        match written {
            Ok(0) => None,
            Ok(len) => Some(Ok(len)),
            Err(reason) => Some(Err(failed(reason))),
        }
    }
}

/// What both ends do alike.
#[derive(Debug, Clone)]
struct Private {
    handle: Handle,
    end: End,
}

impl Private {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read =
            self.handle.wait(None, |inner, now| self.end.read(&mut inner.endpoint, now, buf));
        // What was read may be granted to the peer anew.
        self.handle.wake.wake();
        read?
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let read = self.handle.act(|engine, now| self.end.read(engine, now, buf));
        read.unwrap_or_else(|| Err(self.handle.nothing_yet()))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let write = |engine: &mut Endpoint, now| self.end.write(engine, now, bytes);
        let written = self.handle.wait(None, |inner, now| write(&mut inner.endpoint, now));
        self.handle.wake.wake();
        written?
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = self.handle.act(|engine, now| self.end.write(engine, now, bytes));
        written.unwrap_or_else(|| Err(self.handle.nothing_yet()))
    }
}

macro_rules! stream {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(Private);

        impl $name {
            /// Reads what is there, or gives `WouldBlock`; 0 when the peer has closed its side.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.try_read(buf)
            }

            /// Writes what there is room for, or gives `WouldBlock`.
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.0.try_write(bytes)
            }
        }

        impl Read for $name {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
        }

        impl Read for &$name {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }
        }

        impl Write for $name {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }

            /// Nothing is held back: what was written is on its way.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for &$name {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }

            /// Nothing is held back: what was written is on its way.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

stream! {
    /// The sender's end of the private stream with one member.
    ///
    /// Reads block until something is there and end when the member has closed; they fail with the
    /// [`Reason`] when it is gone. Writes block while the member grants no more. All clones are the
    /// same stream. When the member begins again ([`Call::Renewed`](super::Call::Renewed)) this stream
    /// fails, and it has another.
    MemberStream
}

stream! {
    /// The receiver's end of the private stream with the sender.
    ///
    /// Reads block until something is there and end when the sender has closed; they fail with the
    /// [`Reason`] when it is gone. Writes block while the sender grants no more. All clones are the
    /// same stream; it dies with the [`Receiver`](super::Receiver).
    ControlStream
}

impl MemberStream {
    /// That of a member whose host was restarted so often.
    pub(super) fn new(handle: Handle, member: MemberId, restarts: u32) -> Self {
        Self(Private { handle, end: End::Member(member, restarts) })
    }
}

impl MemberStream {
    /// What tells the association with this member from all others, the same at both ends
    /// ([`Receiver::binding`](super::Receiver::binding)). Waits until the member has answered; fails with the
    /// [`Reason`] if it does not. It is another one afterwards if the member, or its host, is restarted within a round
    /// trip after that.
    pub fn binding(&self) -> io::Result<Binding> {
        let Private { handle, end } = &self.0;
        handle.wait(None, |inner, now| end.binding(&inner.endpoint, now))?
    }

    /// The same now, or `WouldBlock`.
    pub fn try_binding(&self) -> io::Result<Binding> {
        let Private { handle, end } = &self.0;
        let binding = handle.ask(|engine, now| end.binding(engine, now));
        binding.unwrap_or_else(|| Err(handle.nothing_yet()))
    }
}

impl ControlStream {
    pub(super) fn new(handle: Handle, id: ReceiverId, released: Arc<AtomicBool>) -> Self {
        Self(Private { handle, end: End::Receiver(id, released) })
    }
}
