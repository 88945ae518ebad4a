//! Takes a stream: a block is handed on once the sender's value for it is the same.

use super::land::Land;
use super::sum::Sum;
use crate::blocks::{BLOCK, Value};
use crate::limits::{Limits, Turn};
use crate::link::Incoming;
use crate::message::ToReceiver;
use crate::receive::{Heard, ReceiveError, Unpark};
use crate::tree::ground::Why;
use blake3::Hash;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::proto::event::ReadOutcome;

/// Nothing is waited for longer without looking whether the session is over.
const LOOK: Duration = Duration::from_millis(250);

/// Everything from the first byte on. The offer has been answered. Gives the stream's length and BLAKE3.
pub(crate) fn take<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    land: &mut dyn Land,
    limits: &Limits,
) -> Result<(u64, Hash), ReceiveError> {
    receiver.set_waker(Some(Waker::from(Arc::new(Unpark(thread::current())))));
    let told = Told { messages, values: VecDeque::new(), next: 0, whole: None };
    let taken = Taker { receiver, told, land, limits, turn: None, came: 0, over: false }.run();
    receiver.set_waker(None);
    taken
}

/// What the sender says.
struct Told<'a> {
    messages: &'a mpsc::Receiver<Heard>,
    /// Of the blocks that come next.
    values: VecDeque<Value>,
    /// The block of the next value that is told.
    next: u64,
    whole: Option<(u64, Value)>,
}

impl Told<'_> {
    /// Waits for something, if for no longer than [`LOOK`].
    fn hear(&mut self) -> Result<(), ReceiveError> {
        let message = match self.messages.recv_timeout(LOOK) {
            Ok(message) => message?,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the sender has ended its private stream without the digest";
                return Err(ReceiveError::Protocol(why));
            }
        };
        match message {
            _ if self.whole.is_some() => Err(ReceiveError::Protocol("a word behind the last one")),
            ToReceiver::Values(values) => {
                for (block, value) in values {
                    if block != self.next {
                        return Err(ReceiveError::Protocol("a value out of its turn"));
                    }
                    self.next += 1;
                    self.values.push_back(value);
                }
                Ok(())
            }
            ToReceiver::Whole { len, digest } => {
                self.whole = Some((len, digest));
                Ok(())
            }
            _ => Err(ReceiveError::Protocol("a list of entries, of a stream")),
        }
    }
}

struct Taker<'a, R> {
    receiver: &'a R,
    told: Told<'a>,
    land: &'a mut dyn Land,
    limits: &'a Limits,
    /// At a rate: when more may be read.
    turn: Option<Turn>,
    /// Bytes that came.
    came: u64,
    /// The stream has ended.
    over: bool,
}

impl<R: Incoming> Taker<'_, R> {
    fn run(mut self) -> Result<(u64, Hash), ReceiveError> {
        let (mut sum, mut block) = (Sum::new(), vec![0; BLOCK as usize]);
        loop {
            let filled = self.fill(&mut block)?;
            if filled == 0 {
                break;
            }
            let (index, at) = (sum.blocks(), sum.len());
            let value = sum.push(&block[..filled]);
            if self.value()? != value {
                return Err(ReceiveError::Place(format!(
                    "digest mismatch in block {index}, and a pipe cannot be read again"
                )));
            }
            let written = self.land.write(&block[..filled], at);
            self.landed(written)?;
        }
        let (len, root) = (sum.len(), sum.root());
        while self.told.whole.is_none() {
            self.told.hear()?;
            self.check_wanted()?;
        }
        if self.told.whole != Some((len, *root.as_bytes())) || !self.told.values.is_empty() {
            return Err(ReceiveError::Place("it has ended elsewhere than it was sent".to_owned()));
        }
        let ended = self.land.end();
        self.landed(ended)?;
        self.check_wanted()?;
        Ok((len, root))
    }

    /// The sender's value of the next block.
    fn value(&mut self) -> Result<Value, ReceiveError> {
        loop {
            if let Some(value) = self.told.values.pop_front() {
                return Ok(value);
            }
            if self.told.whole.is_some() {
                return Err(ReceiveError::Protocol("more bytes than were told of"));
            }
            self.told.hear()?;
            self.check_wanted()?;
        }
    }

    /// Takes the next block; it is shorter than others only if it is the last. How long it is.
    fn fill(&mut self, block: &mut [u8]) -> Result<usize, ReceiveError> {
        let mut filled = 0;
        while filled < block.len() && !self.over {
            let read = self.read(&mut block[filled..])?;
            if read == 0 && !self.over {
                thread::park_timeout(self.rest());
                self.check_wanted()?;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// Takes bytes, if there are any and it is time.
    fn read(&mut self, room: &mut [u8]) -> Result<usize, ReceiveError> {
        let limit = self.limits.rate.as_ref().filter(|rate| rate.is_limited());
        if let (Some(rate), Some(turn)) = (limit, self.turn)
            && !rate.left(turn, Instant::now()).is_zero()
        {
            return Ok(0);
        }
        let piece = limit.map_or(room.len(), |rate| rate.piece(room.len()));
        let outcome = match self.receiver.try_read_at(&mut room[..piece]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            read => read.map_err(ReceiveError::Session)?,
        };
        match outcome {
            ReadOutcome::Empty => Ok(0),
            ReadOutcome::End { len } if len == self.came => {
                self.over = true;
                Ok(0)
            }
            ReadOutcome::Data { offset, len } if offset == self.came && len <= piece => {
                self.came += len as u64;
                self.turn = limit.map(|rate| rate.took(len, Instant::now()));
                self.check_size()?;
                Ok(len)
            }
            _ => Err(ReceiveError::Protocol("bytes of a stream out of their order")),
        }
    }

    fn check_size(&self) -> Result<(), ReceiveError> {
        match self.limits.size {
            Some(most) if self.came > most => Err(ReceiveError::Place(format!(
                "it has more than {most} bytes, and with this key no more may be sent here"
            ))),
            _ => Ok(()),
        }
    }

    /// What did not get there once the session is over was not waited for any longer, and that is why.
    fn landed(&self, landed: Result<(), Why>) -> Result<(), ReceiveError> {
        let Err(why) = landed else { return Ok(()) };
        self.check_wanted()?;
        Err(ReceiveError::Place(why))
    }

    fn check_wanted(&self) -> Result<(), ReceiveError> {
        let over = self.receiver.over();
        over.map_or(Ok(()), |reason| Err(ReceiveError::Session(io::Error::other(reason))))
    }

    /// How long there may be nothing to do.
    fn rest(&self) -> Duration {
        let rate = self.limits.rate.as_ref().filter(|rate| rate.is_limited());
        let left = rate.zip(self.turn).map(|(rate, turn)| rate.left(turn, Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(LOOK, |left| left.min(LOOK))
    }
}
