//! Brings one member its offer and what is told after it, from a board that all share.

use super::board::{Board, Brings, Next};
use crate::link::PrivateStream;
use crate::message::{FrameError, ToReceiver, encode};
use std::io;

/// How a courier's turn ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All that can be said has been taken.
    Idle,
    /// The stream takes nothing now.
    Blocked,
    /// Everything has been said, or nobody is there any more.
    Ended,
}

/// One member's courier. It holds a single message at a time.
#[derive(Debug)]
pub(crate) struct Courier<W> {
    stream: W,
    message: Vec<u8>,
    taken: usize,
    /// What was not put into a message begins here.
    place: u64,
}

impl<W: PrivateStream> Courier<W> {
    /// Starts with this.
    pub(crate) fn new(stream: W, first: &ToReceiver) -> Result<Self, FrameError> {
        let mut message = Vec::new();
        encode(first, &mut message)?;
        Ok(Self { stream, message, taken: 0, place: 0 })
    }

    /// What it has to bring next begins here, but for the message that it holds.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// Goes on without waiting.
    pub(crate) fn advance(&mut self, board: &impl Brings) -> Step {
        loop {
            while self.taken < self.message.len() {
                match self.stream.try_write(&self.message[self.taken..]) {
                    Ok(0) => return Step::Ended,
                    Ok(taken) => self.taken += taken,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Step::Blocked,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // The member is gone; its report says why.
                    Err(_) => return Step::Ended,
                }
            }
            match board.next(self.place) {
                Next::Later => return Step::Idle,
                next => {
                    if !self.take(next) {
                        return Step::Ended;
                    }
                }
            }
        }
    }

    /// Goes on to the end, waiting whenever it must.
    pub(crate) fn run(mut self, board: &Board) {
        while self.stream.write_all(&self.message[self.taken..]).is_ok() {
            let next = board.wait_next(self.place);
            if !self.take(next) {
                return;
            }
        }
    }

    /// Makes `next` the message; `false` if there is none.
    fn take(&mut self, next: Next) -> bool {
        self.message.clear();
        self.taken = 0;
        let Next::Say(message, place) = next else { return false };
        self.place = place;
        encode(&message, &mut self.message).is_ok()
    }
}
