//! The couriers of a session's members, and who of them needs a thread.

use super::PATIENCE;
use super::board::Board;
use super::courier::{Courier, Step};
use crate::link::PrivateStream;
use crate::message::{FrameError, ToReceiver};
use std::sync::mpsc;
use std::thread::Scope;
use std::time::Instant;

/// The couriers of all members: those whose stream takes everything at once need no thread; one
/// that ever had to wait gets its own, so that it waits for itself alone.
pub(super) struct Couriers<'scope, 'env, W> {
    scope: &'scope Scope<'scope, 'env>,
    board: &'env Board,
    quick: Vec<Courier<W>>,
    waiting: usize,
    done: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

impl<'scope, 'env, W: PrivateStream + 'scope> Couriers<'scope, 'env, W> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, board: &'env Board) -> Self {
        Self { scope, board, quick: Vec::new(), waiting: 0, done: mpsc::channel() }
    }

    /// One more, for a member that begins, at first or again, with what it is told first. The courier that it
    /// had before ends with its stream.
    pub(super) fn begin(&mut self, stream: W, first: &ToReceiver) -> Result<(), FrameError> {
        self.quick.push(Courier::new(stream, first)?);
        Ok(())
    }

    /// Lets each go as far as it can without waiting.
    pub(super) fn advance(&mut self) {
        let mut index = 0;
        while let Some(courier) = self.quick.get_mut(index) {
            match courier.advance(self.board) {
                Step::Idle => index += 1,
                Step::Ended => drop(self.quick.swap_remove(index)),
                Step::Blocked => {
                    let (courier, board) = (self.quick.swap_remove(index), self.board);
                    let done = self.done.0.clone();
                    self.waiting += 1;
                    self.scope.spawn(move || {
                        courier.run(board);
                        let _ = done.send(()); // after `PATIENCE` nobody listens
                    });
                }
            }
        }
    }

    /// Sends what is left, and waits for those that have to wait, [`PATIENCE`] long.
    pub(super) fn finish(&mut self) {
        self.advance();
        let start = Instant::now();
        while self.waiting > 0 {
            let left = PATIENCE.saturating_sub(start.elapsed());
            if self.done.1.recv_timeout(left).is_err() {
                return;
            }
            self.waiting -= 1;
        }
    }
}
