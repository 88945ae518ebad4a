//! One receiving session.

use super::streams::ControlStream;
use super::{COPY, failed};
use crate::config::Delivery;
use crate::error::{DeclareError, Reason};
use crate::net::shared::{Handle, Key, Shared};
use crate::proto::endpoint::Endpoint;
use crate::proto::event::{ReadOutcome, ReceiverId};
use crate::proto::time::Instant;
use crate::seal::Binding;
use crate::stats::{Arrived, Foreign, Sent};
use crate::trust::PublicKey;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

/// The driver is told about room in the buffer each time so many bytes were read, at most; a
/// quarter of the buffer if that is less. Telling it for every read would cost more than reading.
const TELL: usize = 64 << 10;

/// One session of one sender. Dropping it before [`Receiver::close`] aborts the session for this
/// receiver; the sender's other receivers do not notice.
#[derive(Debug)]
pub struct Receiver {
    handle: Handle,
    id: ReceiverId,
    peer: SocketAddr,
    released: Arc<AtomicBool>,
    /// Bytes read of which the driver was not told.
    untold: AtomicUsize,
    tell: usize,
}

/// Whether a session lives, for others than its holder.
#[derive(Debug, Clone)]
pub struct Pulse {
    shared: Arc<Shared>,
    id: ReceiverId,
}

impl Pulse {
    /// For how long nothing has come from its sender, of whatever kind; `None` once it is over. A sender that has
    /// nothing to say is silent for some seconds at a time.
    pub fn silence(&self) -> Option<Duration> {
        self.shared.ask(|engine, now| engine.silence(now, self.id))
    }

    /// Asks its sender for a sign of life: if it is there, [`Self::silence`] ends within a round trip.
    pub fn ping(&self) {
        self.shared.act(|engine, now| engine.ping(now, self.id));
    }

    /// Ends the session: whoever holds it hears of that by [`Receiver::over`].
    pub fn end(&self, why: &str) {
        self.shared.act(|engine, now| engine.close(now, self.id, Err(why.to_owned())));
    }
}

impl Receiver {
    pub(super) fn new(
        handle: Handle,
        id: ReceiverId,
        peer: SocketAddr,
        recv_buffer: usize,
    ) -> Self {
        let released = Arc::new(AtomicBool::new(false));
        let tell = TELL.min(recv_buffer / 4);
        Self { handle, id, peer, released, untold: AtomicUsize::new(0), tell }
    }

    /// The sender's address and port.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What came to the session's group from elsewhere than its sender.
    pub fn foreign(&self) -> Foreign {
        self.handle.ask(|engine, _| engine.foreign(self.id))
    }

    /// The key that the sender has shown, if it has one.
    pub fn peer_key(&self) -> Option<PublicKey> {
        self.handle.ask(|engine, _| engine.peer_key(self.id))
    }

    /// What tells this association with the sender from all others, the same at both ends
    /// ([`MemberStream::binding`](super::MemberStream::binding)): who signs it shows the peer a key that the handshake
    /// knows nothing of, and what was signed is worth nothing elsewhere. `None` once it is forgotten.
    pub fn binding(&self) -> Option<Binding> {
        self.handle.ask(|engine, _| engine.binding(self.id))
    }

    /// Whether [`Receiver::read_at`] gives bytes in order.
    pub fn delivery(&self) -> Delivery {
        self.handle.ask(|engine, _| engine.delivery(self.id))
    }

    /// Waits for data, or the end; never gives [`ReadOutcome::Empty`]. `InvalidInput` for an empty
    /// buffer; the [`Reason`] when the session has failed.
    pub fn read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        let first = self.try_read_at(buf)?;
        if first != ReadOutcome::Empty {
            return Ok(first);
        }
        let outcome = self.handle.wait(None, |inner, now| {
            match self.read_engine(&mut inner.endpoint, now, buf) {
                Ok(ReadOutcome::Empty) => None,
                other => Some(other),
            }
        })??;
        self.tell(&outcome);
        Ok(outcome)
    }

    /// What is there now.
    pub fn try_read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        if buf.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an empty buffer to read into",
            ));
        }
        let outcome = self.handle.ask(|engine, now| self.read_engine(engine, now, buf))?;
        if outcome == ReadOutcome::Empty {
            match self.handle.nothing_yet() {
                e if e.kind() == io::ErrorKind::WouldBlock => {}
                ended => return Err(ended),
            }
        }
        self.tell(&outcome);
        Ok(outcome)
    }

    /// Whether the sender asks what is held here: then it sends nothing that was not declared to be
    /// lacking, by [`Receiver::lack`].
    pub fn declares(&self) -> bool {
        self.handle.ask(|engine, _| engine.declares(self.id))
    }

    /// These ranges of the stream, in bytes, are held here already: they are not sent again, nor read,
    /// and count for the verdict. At any time, in a session of unordered delivery.
    ///
    /// ```no_run
    /// # fn resumed(receiver: &tcpxm::api::Receiver) -> Result<(), tcpxm::error::DeclareError> {
    /// receiver.have(&[0..1 << 20])?; // the first MiB of an earlier copy
    /// receiver.lack(&[0..u64::MAX])?; // and nothing else
    /// # Ok(())
    /// # }
    /// ```
    pub fn have(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        self.handle.act(|engine, now| engine.have(now, self.id, ranges))
    }

    /// These ranges of the stream, in bytes, are lacking, as far as they are neither held nor have been
    /// received; an end of `u64::MAX` means all that follows. Of use where [`Receiver::declares`].
    pub fn lack(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        self.handle.act(|engine, now| engine.lack(now, self.id, ranges))
    }

    /// A range that is held, or has been received, is wrong: it is sent, and read, again. If the sender
    /// cannot read it again, this receiver fails.
    pub fn again(&self, range: Range<u64>) -> Result<(), DeclareError> {
        self.handle.act(|engine, now| engine.again(now, self.id, range))
    }

    fn read_engine(
        &self,
        engine: &mut Endpoint,
        now: Instant,
        buf: &mut [u8],
    ) -> io::Result<ReadOutcome> {
        let len = buf.len().min(COPY);
        engine.read(now, self.id, &mut buf[..len]).map_err(failed)
    }

    /// Lets the driver grant more to the sender when enough was read, or all of it.
    fn tell(&self, outcome: &ReadOutcome) {
        let untold = match outcome {
            ReadOutcome::Data { len, .. } => self.untold.fetch_add(*len, Ordering::Relaxed) + len,
            ReadOutcome::Empty | ReadOutcome::End { .. } => {
                if self.untold.load(Ordering::Relaxed) == 0 {
                    return;
                }
                self.tell
            }
        };
        if untold >= self.tell {
            self.untold.store(0, Ordering::Relaxed);
            self.handle.wake.wake();
        }
    }

    /// The private stream with the sender.
    pub fn control(&self) -> ControlStream {
        ControlStream::new(self.handle.clone(), self.id, Arc::clone(&self.released))
    }

    /// Why the session is over before its end, if it is: what has been received is not wanted any
    /// more. For looking at between long steps; reads say the same.
    pub fn over(&self) -> Option<Reason> {
        self.handle.ask(|engine, _| engine.over(self.id))
    }

    /// What another thread may know and do of it, also without holding it.
    pub fn pulse(&self) -> Pulse {
        Pulse { shared: self.handle.uncounted(), id: self.id }
    }

    /// How the bytes have arrived so far.
    pub fn arrived(&self) -> Arrived {
        self.handle.ask(|engine, _| engine.arrived(self.id))
    }

    /// What went back to the sender so far: datagrams, no stream bytes.
    pub fn sent(&self) -> Sent {
        self.handle.ask(|engine, _| engine.receiver_sent(self.id))
    }

    /// Gives the verdict (`Err` says why the bytes could not be used) and waits until the sender
    /// has acknowledged it, or cannot any more, which is the error. Before the end of the stream an
    /// `Err` aborts the session for this receiver.
    pub fn close(&self, verdict: Result<(), String>) -> Result<(), Reason> {
        self.handle.act(|engine, now| engine.close(now, self.id, verdict));
        let closed = self.handle.wait(None, |inner, _| inner.endpoint.closed(self.id));
        closed.unwrap_or_else(|e| Err(Reason::Cancelled(e.to_string())))
    }

    /// Wakes this task whenever there is data, something on the private stream, or the end; `None`
    /// removes it.
    pub fn set_waker(&self, waker: Option<Waker>) {
        self.handle.set_waker(Key::Receiver(self.id), waker);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.handle.set_waker(Key::Receiver(self.id), None);
        self.handle.act(|engine, now| {
            // Under the lock: a private stream checks it there before it asks the engine.
            self.released.store(true, Ordering::Release);
            engine.release(now, self.id);
        });
        // A private stream that waits must see that it is over.
        self.handle.changed();
    }
}

/// In-order sessions only; `InvalidInput` otherwise.
impl Read for Receiver {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.delivery() != Delivery::Ordered {
            let why = "an unordered session is read with its offsets, by read_at";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if buf.is_empty() {
            return Ok(0);
        }
        match self.read_at(buf)? {
            ReadOutcome::Data { len, .. } => Ok(len),
            ReadOutcome::Empty | ReadOutcome::End { .. } => Ok(0),
        }
    }
}

/// Writes to the private stream back to the sender.
impl Write for Receiver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control().write(bytes)
    }

    /// Nothing is held back: what was written is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
