//! Receives what a session carries.

mod take;

use crate::destination::{Root, Shown};
use crate::holders::Holder;
use crate::limits::Limits;
use crate::link::Incoming;
use crate::message::{Decoder, FrameError, Offer, Report, ToReceiver, ToSender, encode};
use crate::sink::{Sink, SinkError};
use crate::tree::below::Below;
use crate::tree::sink::TreeSink;
use blake3::Hash;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tcpxm::api::Receiver;
use tcpxm::error::Reason;
use tcpxm::stats::Arrived;
use thiserror::Error;

/// Messages that wait for the data's thread at most; more wait in the session, which then gives
/// the sender no more credit.
const WAITING: usize = 64;

/// A sender that has begun makes its offer within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why nothing was received. Its text is what the sender is told.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// What is sent cannot be received any further.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The sender's messages cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Its messages can be read but make no sense.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// What is offered has no place here.
    #[error("{0}")]
    Refused(String),
    /// The session ended before all had come: the sender cancelled, or is gone.
    #[error("the session broke off: {0}")]
    Session(io::Error),
    /// The sender is there and does not say what it must.
    #[error("the sender did not say {0} within {PATIENCE:?}")]
    Quiet(&'static str),
    /// The thread for the private stream could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Why nothing was received, and what.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Failure {
    /// Where it was to go, relative to the root, as far as the sender has said; `None` if it had offered nothing yet.
    pub file: Option<Shown>,
    /// Why.
    #[source]
    pub error: ReceiveError,
}

/// What was received. Some of its entries may have failed.
#[derive(Debug)]
pub struct Received {
    /// Where it went, relative to the root: of a single file its path, of a tree the folder.
    pub shown: Shown,
    /// The same from here.
    pub path: PathBuf,
    /// What became of its entries.
    pub report: Report,
    /// Why the first of them failed, if any did.
    pub failure: Option<String>,
    /// Of a single file its BLAKE3, if it arrived.
    pub digest: Option<Hash>,
    /// What the file system refused that the bytes can do without.
    pub unset: Vec<String>,
    /// How its bytes came.
    pub arrived: Arrived,
    /// Whether the sender has heard the verdict; if not, why. All of it is here all the same.
    pub confirmed: Result<(), Reason>,
}

/// Receives what a session carries below `root`, within limits, and gives the verdict: each file gets its name once
/// its digest has matched, and the verdict follows when all is as durable as the sender asked for. Every failure is
/// told to the sender in its own words.
///
/// # Errors
/// Where nothing can be received, or no more of it: the sender's fault, the session's end, or this side's. An entry
/// that fails is no error of it all.
pub fn receive(receiver: &Receiver, root: &Root, limits: &Limits) -> Result<Received, Failure> {
    receive_over(receiver, (root, limits))
}

fn receive_over<R: Incoming>(receiver: &R, below: (&Root, &Limits)) -> Result<Received, Failure> {
    let mut file = None;
    let taken = hear(receiver.control())
        .map_err(ReceiveError::Thread)
        .and_then(|messages| take(receiver, &messages, below, &mut file));
    match taken {
        Ok(taken) => {
            let confirmed = receiver.close(Ok(()));
            let arrived = receiver.arrived();
            Ok(Received { arrived, confirmed, ..taken })
        }
        Err(error) => {
            // The sender may be gone, and then has nothing to hear.
            let _ = receiver.close(Err(error.to_string()));
            Err(Failure { file, error })
        }
    }
}

type Heard = Result<ToReceiver, ReceiveError>;

/// Reads the private stream in a thread of its own: data and messages arrive independently, and
/// each read waits. The thread ends with the stream, or when nobody listens to it any more.
fn hear<C: Read + Send + 'static>(mut control: C) -> io::Result<mpsc::Receiver<Heard>> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let work = move || {
        let (mut decoder, mut buf) = (Decoder::default(), vec![0; 16 << 10]);
        loop {
            match control.read(&mut buf) {
                Ok(0) => return,
                Ok(read) => decoder.push(&buf[..read]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let _ = sender.send(Err(ReceiveError::Session(e)));
                    return;
                }
            }
            while let Some(heard) = decoder.take().transpose() {
                let last = heard.is_err();
                if sender.send(heard.map_err(ReceiveError::Frame)).is_err() || last {
                    return;
                }
            }
        }
    };
    thread::Builder::new().name("transfer-control".to_owned()).spawn(work)?;
    Ok(receiver)
}

/// The private stream's end where a message was to come.
fn ended_early() -> ReceiveError {
    let text = "the sender closed its private stream before its offer";
    ReceiveError::Session(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}

/// Everything up to the verdict.
fn take<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, &Limits),
    file: &mut Option<Shown>,
) -> Result<Received, ReceiveError> {
    let ToReceiver::Offer(offer) = next(messages, "what it sends")? else {
        return Err(ReceiveError::Protocol("the first message is not an offer"));
    };
    *file = Some(Shown::asked(&offer.to, offer.one.as_deref().unwrap_or_default()));
    take_tree(receiver, messages, (root, limits), (&offer, file))
}

/// Everything up to all entries in place, but for those that failed.
fn take_tree<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, &Limits),
    (offer, file): (&Offer, &mut Option<Shown>),
) -> Result<Received, ReceiveError> {
    let mut control = receiver.control();
    let is_over = || receiver.over().is_some();
    let (sender, peer) = (receiver.sender(), receiver.peer().to_string());
    let holder = Holder { sender, peer, pulse: receiver.pulse() };
    let below = match Below::new(root, offer, limits, (holder, &is_over)) {
        Ok(below) => below,
        Err(why) => {
            let refused = answer(&mut control, &ToSender::Refuse(why.clone()));
            return Err(refused.err().unwrap_or(ReceiveError::Refused(why)));
        }
    };
    let shown = below.shown();
    *file = Some(shown.clone());
    answer(&mut control, &ToSender::Ready)?;
    let mut sink = TreeSink::new(below, offer.one.is_some());
    let report = take::take(receiver, messages, &mut sink, limits)?;
    let one = offer.one.is_some() && (report.arrived, report.failed) == (1, 0);
    Ok(Received {
        path: shown.below(root.path()),
        shown,
        report,
        failure: sink.first_failure(),
        digest: sink.digest().filter(|_| one),
        unset: sink.into_ground().unset(),
        arrived: Arrived::default(),
        confirmed: Ok(()),
    })
}

/// The next message, which must come soon.
fn next(messages: &mpsc::Receiver<Heard>, what: &'static str) -> Result<ToReceiver, ReceiveError> {
    match messages.recv_timeout(PATIENCE) {
        Ok(message) => message,
        Err(RecvTimeoutError::Timeout) => Err(ReceiveError::Quiet(what)),
        Err(RecvTimeoutError::Disconnected) => Err(ended_early()),
    }
}

fn answer<C: Write>(control: &mut C, answer: &ToSender) -> Result<(), ReceiveError> {
    let mut frame = Vec::new();
    encode(answer, &mut frame)?;
    control.write_all(&frame).and_then(|()| control.flush()).map_err(ReceiveError::Session)
}

#[cfg(test)]
mod tests;
