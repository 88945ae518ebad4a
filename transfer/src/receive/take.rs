//! Receives from a session into a sink: what comes goes there, and what that says goes back.

use super::{Heard, ReceiveError, answer};
use crate::limits::{Limits, Turn};
use crate::link::Incoming;
use crate::message::{MAX_CHANGES, MAX_PATHS, Report, ToReceiver, ToSender, encode};
use crate::sink::{Declared, Sink};
use core::ops::Range;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use tcpxm::proto::event::ReadOutcome;

/// Bytes that one read can take: about 180 segments.
const BUFFER: usize = 256 << 10;
/// Reads and messages that are taken before what they came to is declared.
const TURN: usize = 16;
/// Nothing is waited for longer without looking whether the session is over.
const LOOK: Duration = Duration::from_millis(250);

/// Wakes the thread that waits for the session.
pub(crate) struct Unpark(pub(crate) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Everything from the sender's first word about the list on. The offer has been answered. The sink has taken
/// nothing yet.
pub(super) fn take<R: Incoming, S: Sink>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    sink: &mut S,
    limits: &Limits,
) -> Result<Report, ReceiveError> {
    receiver.set_waker(Some(Waker::from(Arc::new(Unpark(thread::current())))));
    let taken = Taker { receiver, messages, sink, limits, turn: None, over: false }.run();
    receiver.set_waker(None);
    taken
}

struct Taker<'a, R: Incoming, S: Sink> {
    receiver: &'a R,
    messages: &'a mpsc::Receiver<Heard>,
    sink: &'a mut S,
    limits: &'a Limits,
    /// At a rate: when more may be read.
    turn: Option<Turn>,
    /// The stream has ended.
    over: bool,
}

impl<R: Incoming, S: Sink> Taker<'_, R, S> {
    fn run(mut self) -> Result<Report, ReceiveError> {
        let (mut control, mut buf) = (self.receiver.control(), vec![0; BUFFER]);
        while !(self.over && self.sink.is_complete()) {
            let mut idle = true;
            for _ in 0..TURN {
                if !(self.hear()? | self.read(&mut buf)? | self.sink.work()?) {
                    break;
                }
                idle = false;
            }
            self.say(&mut control)?;
            if idle {
                thread::park_timeout(self.rest());
            }
            if let Some(reason) = self.receiver.over() {
                return Err(ReceiveError::Session(io::Error::other(reason)));
            }
        }
        let report = self.sink.finish()?;
        if let Some(reason) = self.receiver.over() {
            return Err(ReceiveError::Session(io::Error::other(reason)));
        }
        self.say(&mut control)?;
        answer(&mut control, &ToSender::Report(report))?;
        Ok(report)
    }

    /// Takes a message, if there is one.
    fn hear(&mut self) -> Result<bool, ReceiveError> {
        let message = match self.messages.try_recv() {
            Ok(message) => message?,
            // Its end matters once something is waited for that it would have brought.
            Err(TryRecvError::Disconnected) if self.over && !self.sink.is_complete() => {
                return Err(ReceiveError::Protocol("the tree has ended without all of its list"));
            }
            Err(_) => return Ok(false),
        };
        match message {
            ToReceiver::Part { block, len, digest } => self.sink.part(block, len, digest)?,
            ToReceiver::Values(values) => {
                for (block, value) in values {
                    self.sink.value(block, value)?;
                }
            }
            ToReceiver::End { entries, blocks } => self.sink.end(entries, blocks)?,
            ToReceiver::Rules(rules) => self.sink.rules(rules)?,
            ToReceiver::Extras { rules } => self.sink.extras(Ok(rules))?,
            ToReceiver::Spare(why) => self.sink.extras(Err(why))?,
            ToReceiver::Moved(pairs) => self.sink.moved(pairs)?,
            ToReceiver::Whole { .. } => {
                return Err(ReceiveError::Protocol("the end of a stream, of a tree"));
            }
            ToReceiver::Offer(_) => return Err(ReceiveError::Protocol("a second offer")),
            ToReceiver::Word(_) => return Err(ReceiveError::Protocol("a word behind an offer")),
        }
        Ok(true)
    }

    /// Takes bytes, if there are any and it is time.
    fn read(&mut self, buf: &mut [u8]) -> Result<bool, ReceiveError> {
        let limit = self.limits.rate.as_ref().filter(|rate| rate.is_limited());
        if let (Some(rate), Some(turn)) = (limit, self.turn)
            && !rate.left(turn, Instant::now()).is_zero()
        {
            return Ok(false);
        }
        if self.over || self.sink.is_full() {
            return Ok(false);
        }
        let piece = limit.map_or(buf.len(), |rate| rate.piece(buf.len()));
        let read = self.receiver.try_read_at(&mut buf[..piece]);
        let outcome = match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            read => read.map_err(ReceiveError::Session)?,
        };
        match outcome {
            ReadOutcome::Data { offset, len } => {
                self.sink.put(offset, &buf[..len.min(piece)])?;
                self.turn = limit.map(|rate| rate.took(len, Instant::now()));
                Ok(true)
            }
            ReadOutcome::Empty => Ok(false),
            ReadOutcome::End { .. } => {
                self.over = true;
                Ok(true)
            }
        }
    }

    /// Says what the sink has to say.
    fn say(&mut self, control: &mut R::Control) -> Result<(), ReceiveError> {
        let Declared { have, lack, again } = self.sink.declared();
        let failed =
            |error: tcpxm::error::DeclareError| ReceiveError::Session(io::Error::other(error));
        if !self.over {
            if !have.is_empty() {
                self.receiver.have(&have).map_err(failed)?;
            }
            if !lack.is_empty() {
                self.receiver.lack(&lack).map_err(failed)?;
            }
        }
        // Also after the end: whatever came was taken for held.
        for range in again {
            self.receiver.again(range).map_err(failed)?;
            self.over = false;
        }
        let mut frames = Vec::new();
        for (entry, why) in self.sink.failures() {
            encode(&ToSender::Failed { entry, why }, &mut frames)?;
        }
        for Range { start, end } in self.sink.asks() {
            encode(&ToSender::Ask { first: start, count: end - start }, &mut frames)?;
        }
        for (path, why) in self.sink.undeleted() {
            encode(&ToSender::Undeleted { path, why }, &mut frames)?;
        }
        for changes in self.sink.changes().chunks(MAX_CHANGES) {
            encode(&ToSender::Changed(changes.to_vec()), &mut frames)?;
        }
        let mut gone = &self.sink.gone()[..];
        while !gone.is_empty() {
            let (now, later) = gone.split_at(some_paths(gone));
            encode(&ToSender::Gone(now.to_vec()), &mut frames)?;
            gone = later;
        }
        for note in self.sink.notes() {
            encode(&ToSender::Note(note), &mut frames)?;
        }
        if frames.is_empty() {
            return Ok(());
        }
        control.write_all(&frames).map_err(ReceiveError::Session)
    }

    /// How long there may be nothing to do.
    fn rest(&self) -> Duration {
        let rate = self.limits.rate.as_ref().filter(|rate| rate.is_limited());
        let left = rate.zip(self.turn).map(|(rate, turn)| rate.left(turn, Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(LOOK, |left| left.min(LOOK))
    }
}

/// How many of these paths fit a message.
fn some_paths(paths: &[(Vec<u8>, bool)]) -> usize {
    let mut bytes = 0;
    let fits = |(path, _): &&(Vec<u8>, bool)| {
        bytes += path.len() + 1;
        bytes <= MAX_PATHS
    };
    paths.iter().take_while(fits).count().max(1)
}
