//! Brings one member its offer, its digests and the root, from a board that all share.

use super::Answer;
use crate::blocks::{Tree, Value};
use crate::link::PrivateStream;
use crate::message::{Decoder, FrameError, MAX_VALUES, ToReceiver, ToSender, encode};
use blake3::Hash;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Digests that are worth a message before the last one is known: a message for 16 MiB.
const BATCH: u64 = 16;

/// The digests as they become known. A courier needs no queue: what its member is still to be told
/// follows from how far it has come.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    /// Every block before this one is known.
    ready: u64,
    closed: bool,
}

/// What a courier has to bring next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This; where what follows it begins, and whether that is nothing.
    Say(ToReceiver, u64, bool),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    Never,
}

/// What all members are told, in an order: each is brought as much of it as there is, from its own place on.
pub(crate) trait Told: Sync {
    /// What is to be said from a place on.
    fn next(&self, from: u64) -> Next;
    /// The same, but it waits rather than say [`Next::Later`].
    fn wait_next(&self, from: u64) -> Next;
}

impl Board {
    /// For a file of `len` bytes.
    pub(super) fn new(len: u64) -> Self {
        let state = State { tree: Tree::new(len), ready: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts a block's digest; `false` if another one was posted for it before.
    pub(super) fn post(&self, index: u64, value: Value) -> bool {
        let mut state = self.lock();
        if let Some(before) = state.tree.get(index) {
            return before == value;
        }
        state.tree.set(index, value);
        state.ready = state.tree.first_unknown(state.ready);
        self.changed.notify_all();
        true
    }

    /// No digest will be posted any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn known(&self) -> u64 {
        self.lock().tree.known()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.lock().tree.is_complete()
    }

    pub(super) fn root(&self) -> Option<Hash> {
        self.lock().tree.root()
    }
}

impl Told for Board {
    fn next(&self, from: u64) -> Next {
        self.lock().next(from)
    }

    fn wait_next(&self, from: u64) -> Next {
        let mut state = self.lock();
        loop {
            match state.next(from) {
                Next::Later => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }
}

impl State {
    fn next(&self, from: u64) -> Next {
        let complete = self.tree.is_complete();
        if from < self.ready && (complete || self.ready - from >= BATCH) {
            let run = from..self.ready.min(from + MAX_VALUES as u64);
            let values = run.clone().filter_map(|index| self.tree.get(index)).collect();
            return Next::Say(ToReceiver::Digests { first_block: from, values }, run.end, false);
        }
        match self.tree.root() {
            Some(root) if from >= self.tree.count() => {
                Next::Say(ToReceiver::Root(*root.as_bytes()), from, true)
            }
            _ if self.closed => Next::Never,
            _ => Next::Later,
        }
    }
}

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
    /// The last thing was.
    ended: bool,
}

impl<W: PrivateStream> Courier<W> {
    /// Starts with this.
    pub(crate) fn new(stream: W, first: &ToReceiver) -> Result<Self, FrameError> {
        let mut message = Vec::new();
        encode(first, &mut message)?;
        Ok(Self { stream, message, taken: 0, place: 0, ended: false })
    }

    /// Goes on without waiting.
    pub(crate) fn advance(&mut self, board: &impl Told) -> Step {
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
            if self.ended {
                return Step::Ended;
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
    pub(crate) fn run(mut self, board: &impl Told) {
        while self.stream.write_all(&self.message[self.taken..]).is_ok() && !self.ended {
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
        let Next::Say(message, place, ended) = next else { return false };
        (self.place, self.ended) = (place, ended);
        encode(&message, &mut self.message).is_ok()
    }
}

/// Hears one member's answer to the offer.
#[derive(Debug)]
pub(super) struct Listener<W> {
    stream: W,
    decoder: Decoder,
    deaf: bool,
    pub(super) answer: Answer,
}

impl<W: PrivateStream> Listener<W> {
    pub(super) fn new(stream: W) -> Self {
        Self { stream, decoder: Decoder::default(), deaf: false, answer: Answer::None }
    }

    /// Reads what is there, until the one answer has come.
    pub(super) fn listen(&mut self) {
        let mut buf = [0; 2048];
        while !self.deaf {
            match self.stream.try_read(&mut buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Ok(read) if read > 0 => self.decoder.push(&buf[..read]),
                _ => self.deaf = true,
            }
            match self.decoder.take() {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    self.answer = match answer {
                        ToSender::Ready => Answer::Ready,
                        ToSender::Refuse(why) => Answer::Refused(why),
                        _ => Answer::Refused("it answered a file as if it were a tree".to_owned()),
                    };
                    self.deaf = true;
                }
                Err(e) => {
                    self.answer = Answer::Refused(e.to_string());
                    self.deaf = true;
                }
            }
        }
    }
}
