//! Receives a file or a tree from a session.

use crate::destination::{Root, Shown};
use crate::limits::{Limits, Rate, Turn};
use crate::link::Incoming;
use crate::message::{Decoder, FrameError, Report, ToReceiver, ToSender, TreeOffer, encode};
use crate::sink::{FileSink, Finished, SinkError, Unset};
use crate::tree;
use crate::tree::below::Below;
use crate::tree::sink::{TreeSink, TreeSinkError};
use blake3::Hash;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::api::Receiver;
use tcpxm::error::Reason;
use tcpxm::proto::event::ReadOutcome;
use tcpxm::stats::Arrived;
use thiserror::Error;

/// Bytes of data that one read can take: about 180 segments.
const BUFFER: usize = 256 << 10;

/// Messages that wait for the data's thread at most; more wait in the session, which then gives
/// the sender no more credit.
const WAITING: usize = 64;

/// A sender that has begun says what it must within this: its offer first, and the file's digest
/// once all data is here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session that waits for its turn at a rate looks this often whether it is over: less than what the daemon
/// gives sessions to clean up when it ends.
const LOOK: Duration = Duration::from_millis(50);

/// Why a file was not received. Its text is what the sender is told.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// This side could not store it, or it is not what was sent.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The sender's messages cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Its messages can be read but make no sense.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// The tree has no place here.
    #[error("{0}")]
    Refused(String),
    /// The tree cannot be received any further.
    #[error(transparent)]
    Tree(#[from] TreeSinkError),
    /// The file is longer than its sender may send.
    #[error("the file has {len} bytes, and with this key at most {limit} may be sent here")]
    TooLong {
        /// Its length in bytes.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// The session's length is not the one that was offered.
    #[error("the session ended after {was} bytes, offered were {offered}")]
    Length {
        /// Bytes of the session.
        was: u64,
        /// Bytes of the offer.
        offered: u64,
    },
    /// The session ended before the file had: the sender cancelled, or is gone.
    #[error("the session broke off: {0}")]
    Session(io::Error),
    /// The sender is there and does not say what it must.
    #[error("the sender did not say {0} within {PATIENCE:?}")]
    Quiet(&'static str),
    /// The thread for the private stream could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Why a file was not received, and which.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Failure {
    /// Its path below the root, as far as the sender has said; `None` if it had offered no file yet.
    pub file: Option<Shown>,
    /// Why.
    #[source]
    pub error: ReceiveError,
}

/// A file that was received and stands under its name.
#[derive(Debug)]
pub struct Received {
    /// Where it stands.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// Its BLAKE3.
    pub digest: Hash,
    /// What the system said if the file's name may not be durable yet; its bytes are.
    pub undurable: Option<io::Error>,
    /// What the file system refused that the bytes can do without.
    pub unset: Vec<Unset>,
    /// How its bytes came.
    pub arrived: Arrived,
    /// Whether the sender has heard the verdict; if not, why. The file is here all the same.
    pub confirmed: Result<(), Reason>,
}

/// Receives the session's file below `root` and gives the verdict: success only once the file
/// stands there under its name and its bytes are durable ([`Received::undurable`] says if its name
/// may not be). The file appears under its name whole or not at
/// all. Every failure is told to the sender in its own words.
pub fn receive_file(receiver: &Receiver, root: &Root) -> Result<Received, Failure> {
    match receive_over(receiver, (root, Limits::default()))? {
        Taken::File(file) => Ok(file),
        Taken::Tree(_) => Err(Failure { file: None, error: ReceiveError::Protocol(NO_FILE) }),
    }
}

/// What is said where a file was to come.
const NO_FILE: &str = "a tree came where a file was to come";

/// What was received.
#[derive(Debug)]
pub enum Taken {
    /// A file.
    File(Received),
    /// A tree.
    Tree(ReceivedTree),
}

/// A tree that was received; some of its entries may have failed.
#[derive(Debug)]
pub struct ReceivedTree {
    /// Where it went, relative to the root.
    pub shown: Shown,
    /// What became of its entries.
    pub report: Report,
    /// How its bytes came.
    pub arrived: Arrived,
    /// Whether the sender has heard the verdict; if not, why. The tree is here all the same.
    pub confirmed: Result<(), Reason>,
}

/// A file or a tree, whichever is offered, within limits: a longer file is refused, and no more is taken at a time
/// than the rate allows.
pub fn receive(receiver: &Receiver, root: &Root, limits: Limits) -> Result<Taken, Failure> {
    receive_over(receiver, (root, limits))
}

fn receive_over<R: Incoming>(receiver: &R, below: (&Root, Limits)) -> Result<Taken, Failure> {
    let mut file = None;
    let taken = hear(receiver.control())
        .map_err(ReceiveError::Thread)
        .and_then(|messages| take(receiver, &messages, below, &mut file));
    match taken {
        Ok(Took::Tree(shown, report)) => {
            let confirmed = receiver.close(Ok(()));
            let arrived = receiver.arrived();
            Ok(Taken::Tree(ReceivedTree { shown, report, arrived, confirmed }))
        }
        Ok(Took::File(len, finished)) => {
            let Finished { digest, path, undurable, unset } = finished;
            let confirmed = receiver.close(Ok(()));
            let arrived = receiver.arrived();
            Ok(Taken::File(Received { path, len, digest, undurable, unset, arrived, confirmed }))
        }
        Err(error) => {
            // The sender may be gone, and then has nothing to hear.
            let _ = receiver.close(Err(error.to_string()));
            Err(Failure { file, error })
        }
    }
}

pub(crate) type Heard = Result<ToReceiver, ReceiveError>;

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
    let text = "the sender closed its private stream before the file's digest";
    ReceiveError::Session(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}

/// What was taken, before the verdict.
enum Took {
    File(u64, Finished),
    Tree(Shown, Report),
}

/// Everything up to the verdict.
fn take<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, Limits),
    file: &mut Option<Shown>,
) -> Result<Took, ReceiveError> {
    match next(messages, "what it sends")? {
        ToReceiver::Offer { name, len, to } => {
            *file = Some(Shown::asked(&to, &name));
            take_file(receiver, messages, (root, limits), (name, len, to), file)
        }
        ToReceiver::Tree(offer) => {
            let shown = Shown::asked(&offer.to, b"");
            *file = Some(shown.clone());
            let report = take_tree(receiver, messages, (root, &limits), &offer)?;
            Ok(Took::Tree(shown, report))
        }
        _ => Err(ReceiveError::Protocol("the first message is not an offer")),
    }
}

/// Everything up to all entries in place, but for those that failed.
fn take_tree<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, &Limits),
    offer: &TreeOffer,
) -> Result<Report, ReceiveError> {
    let mut control = receiver.control();
    let below = match Below::new(root, offer, limits) {
        Ok(below) => below,
        Err(why) => {
            let refused = answer(&mut control, &ToSender::Refuse(why.clone()));
            return Err(refused.err().unwrap_or(ReceiveError::Refused(why)));
        }
    };
    answer(&mut control, &ToSender::Ready)?;
    let mut sink = TreeSink::new(below, root.path().to_owned());
    tree::receive::take(receiver, messages, &mut sink, limits)
}

/// Everything up to the file under its name.
fn take_file<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, Limits),
    (name, len, to): (Vec<u8>, u64, Vec<u8>),
    file: &mut Option<Shown>,
) -> Result<Took, ReceiveError> {
    let mut control = receiver.control();
    if let Some(limit) = limits.size.filter(|limit| len > *limit) {
        let error = ReceiveError::TooLong { len, limit };
        let refused = answer(&mut control, &ToSender::Refuse(error.to_string()));
        return Err(refused.err().unwrap_or(error));
    }
    let place = root.place(&to, &name).inspect(|place| *file = Some(place.shown.clone()));
    let mut file = match place.and_then(|place| FileSink::create(place, len)) {
        Ok(sink) => {
            answer(&mut control, &ToSender::Ready)?;
            File { sink, root: None }
        }
        Err(error) => {
            let refused = answer(&mut control, &ToSender::Refuse(error.to_string()));
            return Err(refused.err().unwrap_or_else(|| error.into()));
        }
    };
    let mut buf = vec![0; BUFFER];
    loop {
        match messages.try_recv() {
            Ok(message) => {
                file.apply(message?)?;
                continue;
            }
            // The end of the private stream matters once the data has ended.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        // Other sessions may have begun or ended, and the rate have changed.
        let limit = || limits.rate.as_ref().filter(|rate| rate.is_limited());
        let piece = limit().map_or(BUFFER, |rate| rate.piece(BUFFER));
        match receiver.read_at(&mut buf[..piece]).map_err(ReceiveError::Session)? {
            ReadOutcome::Data { offset, len } => {
                file.sink.put(offset, &buf[..len.min(piece)])?;
                if let Some(rate) = limit() {
                    let turn = rate.took(len, Instant::now());
                    wait_for(turn, rate, receiver, |wait| file.hear(messages, wait))?;
                }
            }
            ReadOutcome::Empty => {}
            ReadOutcome::End { len: was } if was == len => break,
            ReadOutcome::End { len: was } => {
                return Err(ReceiveError::Length { was, offered: len });
            }
        }
    }
    let digest = loop {
        match file.root {
            Some(digest) => break digest,
            None => file.apply(next(messages, "the file's digest")?)?,
        }
    };
    // Syncing may take its time: who has given up meanwhile was told that nothing has changed here.
    let wanted = || receiver.over().map_or(Ok(()), |reason| Err(reason.to_string()));
    Ok(Took::File(len, file.sink.finish_if(digest, wanted)?))
}

/// Waits until a session may read on at its rate. `hear` waits for so long at most, and less where the sender
/// says something; and a session that is over is not waited for.
fn wait_for<R: Incoming>(
    turn: Turn,
    rate: &Rate,
    receiver: &R,
    mut hear: impl FnMut(Duration) -> Result<(), ReceiveError>,
) -> Result<(), ReceiveError> {
    loop {
        let left = rate.left(turn, Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if let Some(reason) = receiver.over() {
            return Err(ReceiveError::Session(io::Error::other(reason)));
        }
        hear(left.min(LOOK))?;
    }
}

/// The next message, which must come soon.
fn next(messages: &mpsc::Receiver<Heard>, what: &'static str) -> Result<ToReceiver, ReceiveError> {
    match messages.recv_timeout(PATIENCE) {
        Ok(message) => message,
        Err(RecvTimeoutError::Timeout) => Err(ReceiveError::Quiet(what)),
        Err(RecvTimeoutError::Disconnected) => Err(ended_early()),
    }
}

pub(crate) fn answer<C: Write>(control: &mut C, answer: &ToSender) -> Result<(), ReceiveError> {
    let mut frame = Vec::new();
    encode(answer, &mut frame)?;
    control.write_all(&frame).and_then(|()| control.flush()).map_err(ReceiveError::Session)
}

/// The file and what the sender has said about it.
struct File {
    sink: FileSink,
    root: Option<Hash>,
}

impl File {
    /// Waits so long for a message, and applies it.
    fn hear(
        &mut self,
        messages: &mpsc::Receiver<Heard>,
        wait: Duration,
    ) -> Result<(), ReceiveError> {
        match messages.recv_timeout(wait) {
            Ok(message) => self.apply(message?),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(wait); // its end matters once the data has ended
                Ok(())
            }
        }
    }

    fn apply(&mut self, message: ToReceiver) -> Result<(), ReceiveError> {
        if self.root.is_some() {
            return Err(ReceiveError::Protocol("a message follows the file's digest"));
        }
        match message {
            ToReceiver::Offer { .. } => Err(ReceiveError::Protocol("a second offer")),
            ToReceiver::Digests { first_block, values } => {
                for (i, value) in values.into_iter().enumerate() {
                    self.sink.expect(first_block.saturating_add(i as u64), value)?;
                }
                Ok(())
            }
            ToReceiver::Root(root) => {
                self.root = Some(Hash::from_bytes(root));
                Ok(())
            }
            _ => Err(ReceiveError::Protocol("a message of a tree, where a file was offered")),
        }
    }
}

#[cfg(test)]
mod tests;
