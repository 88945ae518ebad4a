//! Sends one file to all members of a session.

pub(crate) mod courier;
pub(crate) mod couriers;

use crate::blocks::{self, BLOCK};
use crate::link::{Call, Outgoing};
use crate::message::ToReceiver;
use crate::source::{Source, SourceError};
use blake3::Hash;
use core::ops::Range;
use courier::{Board, Listener};
use couriers::Couriers;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tcpxm::api::Sender;
use tcpxm::error::Reason;
use tcpxm::stats::{MemberReport, Sent};

/// How long, once nothing is needed of the file any more, members that do not take their digests
/// can hold up the end of the others; as long as a silent member can (`idle_timeout`'s default).
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How far sending has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file handed to the session for the first time.
    pub read: u64,
    /// Length of the file in bytes.
    pub len: u64,
}

/// What a member answered to the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing that was read.
    None,
    /// It takes the file.
    Ready,
    /// It does not, and says why.
    Refused(String),
}

/// What became of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The session's report; its outcome is the receiver's verdict.
    pub report: MemberReport,
    /// The answer to the offer.
    pub answer: Answer,
}

impl Delivered {
    /// Why it does not have the file; `None` if it does. A refusal in the receiver's own words
    /// says more than how the session then ended.
    pub fn failure(&self) -> Option<String> {
        match (&self.answer, &self.report.outcome) {
            (Answer::Refused(why), _) => Some(why.clone()),
            (_, Some(Ok(()))) => None,
            (_, Some(Err(reason))) => Some(in_own_words(reason)),
            (_, None) => Some("the session ended without its verdict".to_owned()),
        }
    }
}

/// Why a member failed, as it is said beside the member's name: what the receiver itself gave as
/// its reason needs no word about who said it.
pub fn in_own_words(reason: &Reason) -> String {
    match reason {
        Reason::Aborted(why) if !why.is_empty() => why.clone(),
        other => other.to_string(),
    }
}

/// What became of a file.
#[derive(Debug)]
pub struct Outcome {
    /// One for each member, in the order of the addresses that were connected to.
    pub members: Vec<Delivered>,
    /// What the session sent.
    pub sent: Sent,
    /// The file's BLAKE3, if all of it was read.
    pub digest: Option<Hash>,
    /// What was wrong with the source, if that ended the session.
    pub failure: Option<SourceError>,
}

/// Sends a file to all members and waits until each has an outcome. The session must have been
/// opened for a source of `source.len()` bytes. `progress` is called after each block.
///
/// Each block is read and hashed once; again only if the session asks for it again. A member whose host
/// is restarted in the middle begins again, and is told everything anew. Members that
/// are slow to take their digests do not hold up the others by more than [`PATIENCE`].
///
/// `to[i]` is where member `i` puts the file, below its root: empty, or beyond the slice, for the
/// root itself (see [`Root::place`](crate::destination::Root::place)).
pub fn send_file(
    sender: &Sender,
    source: &Source,
    to: &[Vec<u8>],
    progress: &dyn Fn(Progress),
) -> Outcome {
    send_over(sender, source, to, progress)
}

fn send_over<S: Outgoing>(
    session: &S,
    source: &Source,
    to: &[Vec<u8>],
    progress: &dyn Fn(Progress),
) -> Outcome {
    let board = Board::new(source.len());
    let members = session.members();
    let mut listeners: Vec<_> = (0..members).map(|i| Listener::new(session.member(i))).collect();
    // The end of a source is known: each member can be completed as soon as it has everything,
    // whatever holds up another.
    session.finish();
    let (failure, reports) = thread::scope(|scope| {
        let mut couriers = Couriers::new(scope, &board);
        for i in 0..members {
            offer(session, &mut couriers, (i, session.member(i)), (source, to));
        }
        let what = (source, to);
        let failure = pump(session, what, &board, &mut couriers, &mut listeners, progress).err();
        if let Some(failure) = &failure {
            session.abort(&failure.to_string());
        }
        board.close();
        couriers.finish();
        (failure, session.wait())
    });
    let members = reports.into_iter().zip(&mut listeners).map(|(report, listener)| {
        listener.listen();
        Delivered { report, answer: listener.answer.clone() }
    });
    Outcome { members: members.collect(), sent: session.sent(), digest: board.root(), failure }
}

/// Offers the file to a member that begins, at first or again.
fn offer<S: Outgoing>(
    session: &S,
    couriers: &mut Couriers<'_, '_, S::Stream, Board>,
    (index, stream): (usize, S::Stream),
    (source, to): (&Source, &[Vec<u8>]),
) {
    let to = to.get(index).cloned().unwrap_or_default();
    let offer = ToReceiver::Offer { name: source.name().to_vec(), len: source.len(), to };
    if let Err(error) = couriers.begin(stream, &offer) {
        session.drop_member(index, &error.to_string());
    }
}

/// Answers the session's calls until there are none any more.
fn pump<S: Outgoing>(
    session: &S,
    (source, to): (&Source, &[Vec<u8>]),
    board: &Board,
    couriers: &mut Couriers<'_, '_, S::Stream, Board>,
    listeners: &mut [Listener<S::Stream>],
    progress: &dyn Fn(Progress),
) -> Result<(), SourceError> {
    // The offer goes first; data may follow at once.
    couriers.advance();
    if board.is_complete() {
        source.check_end()?; // no block will be read
    }
    while let Some(call) = session.next_call() {
        match call {
            Call::Need(need) => {
                let bytes = read_need(source, board, &need)?;
                if board.is_complete() {
                    source.check_end()?;
                }
                session.supply(need.start, bytes);
            }
            Call::Renewed(index, stream) => {
                if let Some(listener) = listeners.get_mut(index) {
                    *listener = Listener::new(stream.clone());
                }
                offer(session, couriers, (index, stream), (source, to));
            }
        }
        couriers.advance();
        for listener in &mut *listeners {
            listener.listen();
        }
        let read = board.known().saturating_mul(BLOCK).min(source.len());
        progress(Progress { read, len: source.len() });
    }
    Ok(())
}

/// Reads what the session needs: a block as a rule, else what parts of blocks it is.
fn read_need(source: &Source, board: &Board, need: &Range<u64>) -> Result<Arc<[u8]>, SourceError> {
    let first = need.start / BLOCK;
    if *need == blocks::range(first, source.len()) {
        return read_block(source, board, first);
    }
    let mut bytes = Vec::with_capacity((need.end - need.start) as usize);
    for index in first..need.end.div_ceil(BLOCK) {
        let (block, at) = (read_block(source, board, index)?, index * BLOCK);
        let from = need.start.saturating_sub(at).min(block.len() as u64) as usize;
        let to = (need.end - at).min(block.len() as u64) as usize;
        bytes.extend_from_slice(&block[from..to]);
    }
    Ok(bytes.into())
}

/// Reads a block. The first time its digest goes to the board; later it must be the same, since
/// receivers may have a part of it from each reading.
fn read_block(source: &Source, board: &Board, index: u64) -> Result<Arc<[u8]>, SourceError> {
    let bytes = source.read_block(index)?;
    let value = blocks::value(index, &bytes, source.len());
    if board.post(index, value) {
        return Ok(bytes);
    }
    Err(SourceError::Rewritten { path: source.path().to_owned(), block: index })
}

#[cfg(test)]
mod tests;
