//! What sending and receiving need of a session; a double stands in for it in tests.

use crate::blocks::hashing;
use crate::holders::Lives;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tcpxm::api::{self, ControlStream, MemberStream, Receiver, Sender};
use tcpxm::error::{DeclareError, EndError, Reason};
use tcpxm::proto::event::ReadOutcome;
use tcpxm::seal::Binding;
use tcpxm::stats::{Arrived, MemberReport, Sent};
use tcpxm::trust::PublicKey;

/// What a session asks for.
pub(crate) enum Call<S> {
    /// A byte range to supply.
    Need(Range<u64>),
    /// The member at this place begins again, with this private stream.
    Renewed(usize, S),
}

/// A sending session.
pub(crate) trait Outgoing {
    type Stream: PrivateStream + 'static;
    /// What it asks for next; waits for so long at most, an error if nothing was asked until then; `None` when nothing
    /// will be needed any more.
    fn next_call_within(&self, limit: Duration) -> io::Result<Option<Call<Self::Stream>>>;
    /// A source without a length exists up to there.
    fn grow(&self, to: u64) -> Result<(), EndError>;
    /// And not beyond.
    fn set_end(&self, len: u64) -> Result<(), EndError>;
    fn supply(&self, offset: u64, bytes: Arc<[u8]>);
    fn finish(&self);
    /// Whether every member has its outcome.
    fn is_settled(&self) -> bool;
    /// Waits until every member has its outcome.
    fn wait(&self) -> Vec<MemberReport>;
    fn sent(&self) -> Sent;
    fn abort(&self, why: &str);
    /// Ends the session for one member.
    fn drop_member(&self, index: usize, why: &str);
    fn members(&self) -> usize;
    fn member(&self, index: usize) -> Self::Stream;
}

/// A member's private stream: waits in `Write`, gives `WouldBlock` in `try_*`.
pub(crate) trait PrivateStream: Write + Clone + Send {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// What tells the association with the member from all others; `WouldBlock` as long as there is none.
    fn try_binding(&self) -> io::Result<Binding>;
}

/// A receiving session.
pub(crate) trait Incoming {
    type Control: Read + Write + Clone + Send + 'static;
    /// What is there now; `WouldBlock` or [`ReadOutcome::Empty`] if nothing is.
    fn try_read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome>;
    /// Wakes this whenever there is something to read, or the end.
    fn set_waker(&self, waker: Option<Waker>);
    fn control(&self) -> Self::Control;
    /// Who sends: the same for all who hold one secret.
    fn sender(&self) -> [u8; 32];
    /// The key that it has shown, if senders have keys.
    fn key(&self) -> Option<PublicKey>;
    /// What tells the association with it from all others.
    fn binding(&self) -> Binding;
    /// Where that is.
    fn peer(&self) -> SocketAddr;
    /// Whether it lives, for other threads.
    fn pulse(&self) -> Box<dyn Lives>;
    /// This range again, though it has come.
    fn again(&self, range: Range<u64>) -> Result<(), DeclareError>;
    /// Why it is over before its end, if it is.
    fn over(&self) -> Option<Reason>;
    fn arrived(&self) -> Arrived;
    /// These ranges are held here already.
    fn have(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError>;
    /// These are lacking.
    fn lack(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError>;
    fn close(&self, verdict: Result<(), String>) -> Result<(), Reason>;
}

impl Outgoing for Sender {
    type Stream = MemberStream;

    fn next_call_within(&self, limit: Duration) -> io::Result<Option<Call<MemberStream>>> {
        Ok(Self::next_call_within(self, limit)?.map(call))
    }

    fn grow(&self, to: u64) -> Result<(), EndError> {
        Self::grow(self, to)
    }

    fn set_end(&self, len: u64) -> Result<(), EndError> {
        Self::set_end(self, len)
    }

    fn supply(&self, offset: u64, bytes: Arc<[u8]>) {
        Self::supply(self, offset, bytes);
    }

    fn finish(&self) {
        Self::finish(self);
    }

    fn wait(&self) -> Vec<MemberReport> {
        Self::wait(self)
    }

    fn is_settled(&self) -> bool {
        self.reports().iter().all(|report| report.outcome.is_some())
    }

    fn sent(&self) -> Sent {
        Self::sent(self)
    }

    fn abort(&self, why: &str) {
        Self::abort(self, why);
    }

    fn drop_member(&self, index: usize, why: &str) {
        Self::drop_member(self, index, why);
    }

    fn members(&self) -> usize {
        Self::members(self)
    }

    fn member(&self, index: usize) -> MemberStream {
        Self::member(self, index)
    }
}

fn call(call: api::Call) -> Call<MemberStream> {
    match call {
        api::Call::Need(range) => Call::Need(range),
        api::Call::Renewed(member, stream) => Call::Renewed(member, stream),
    }
}

impl PrivateStream for MemberStream {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn try_binding(&self) -> io::Result<Binding> {
        Self::try_binding(self)
    }
}

impl Incoming for Receiver {
    type Control = ControlStream;

    fn try_read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        Self::try_read_at(self, buf)
    }

    fn set_waker(&self, waker: Option<Waker>) {
        Self::set_waker(self, waker);
    }

    fn control(&self) -> ControlStream {
        Self::control(self)
    }

    fn sender(&self) -> [u8; 32] {
        let key = self.peer_key().map(|key| key.to_string()).unwrap_or_default();
        *hashing::of_name(key.as_bytes()).as_bytes()
    }

    fn key(&self) -> Option<PublicKey> {
        self.peer_key()
    }

    fn binding(&self) -> Binding {
        // It has one as long as this lives; nobody shows anything for zeros.
        Self::binding(self).unwrap_or_default()
    }

    fn peer(&self) -> SocketAddr {
        Self::peer(self)
    }

    fn pulse(&self) -> Box<dyn Lives> {
        Box::new(Self::pulse(self))
    }

    fn again(&self, range: Range<u64>) -> Result<(), DeclareError> {
        Self::again(self, range)
    }

    fn over(&self) -> Option<Reason> {
        Self::over(self)
    }

    fn arrived(&self) -> Arrived {
        Self::arrived(self)
    }

    fn have(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        Self::have(self, ranges)
    }

    fn lack(&self, ranges: &[Range<u64>]) -> Result<(), DeclareError> {
        Self::lack(self, ranges)
    }

    fn close(&self, verdict: Result<(), String>) -> Result<(), Reason> {
        Self::close(self, verdict)
    }
}
