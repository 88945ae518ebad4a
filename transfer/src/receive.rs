//! Receives what a session carries.

mod for_job;
mod take;

pub(crate) use take::Unpark;

use crate::destination::{Root, Shown};
use crate::holders::Holder;
use crate::jobs;
use crate::limits::Limits;
use crate::link::Incoming;
use crate::message::{Decoder, FrameError, Offer, Report, ToReceiver, ToSender, encode};
use crate::pipe;
use crate::pipe::land::{self, InFile, InOutput, Land};
use crate::sink::{Sink, SinkError};
use crate::tree::below::survey::Survey;
use crate::tree::below::{Below, rules_of};
use crate::tree::change::By;
use crate::tree::ground::Ground;
use crate::tree::sink::TreeSink;
use blake3::Hash;
use for_job::ForJob;
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

/// A word came where nobody understands one.
const NO_WORDS: &str = "this daemon takes part in no mirror jobs";

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
    /// It cannot be put where it is to go, or is not what was sent.
    #[error("{0}")]
    Place(String),
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
    /// The offer had been accepted.
    pub begun: bool,
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
    /// It was a dry run: nothing was changed, and the report says what would have been.
    pub dry: bool,
    /// What became of its entries.
    pub report: Report,
    /// Why the first of them failed, or could not be deleted, if any did.
    pub failure: Option<String>,
    /// Why nothing was deleted that was to be, if so.
    pub spared: Option<String>,
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
    let limits = Limits { jobs: None, ..limits.clone() };
    copied(receive_over(receiver, (Place::Below(root), &limits)))
}

/// The same; `None`: a word of a mirror job came, and was answered by who deals with these ([`Limits::jobs`]).
///
/// # Errors
/// As [`receive`].
pub fn receive_or_hear(
    receiver: &Receiver,
    root: &Root,
    limits: &Limits,
) -> Result<Option<Received>, Failure> {
    receive_over(receiver, (Place::Below(root), limits))
}

/// What is no word.
fn copied(received: Result<Option<Received>, Failure>) -> Result<Received, Failure> {
    received.and_then(|received| {
        let error = ReceiveError::Protocol(NO_WORDS);
        received.ok_or(Failure { file: None, begun: false, error })
    })
}

/// The same into a program's standard output: verified blocks alone, in their order. It takes one stream, whose path is
/// [`crate::pipe::OUTPUT`].
///
/// # Errors
/// As [`receive`]; also where `output` takes no more. What was written stays written.
pub fn receive_to(
    receiver: &Receiver,
    output: &mut dyn Write,
    limits: &Limits,
) -> Result<Received, Failure> {
    let limits = Limits { jobs: None, ..limits.clone() };
    copied(receive_over(receiver, (Place::Output(output), &limits)))
}

/// Where it goes.
enum Place<'a> {
    Below(&'a Root),
    Output(&'a mut dyn Write),
}

fn receive_over<R: Incoming>(
    receiver: &R,
    to: (Place<'_>, &Limits),
) -> Result<Option<Received>, Failure> {
    let mut told = Told::default();
    let taken = hear(receiver.control())
        .map_err(ReceiveError::Thread)
        .and_then(|messages| take(receiver, &messages, to, &mut told));
    match taken {
        Ok(taken) => {
            let confirmed = receiver.close(Ok(()));
            let arrived = receiver.arrived();
            Ok(taken.map(|taken| Received { arrived, confirmed, ..taken }))
        }
        Err(error) => {
            // The sender may be gone, and then has nothing to hear.
            let _ = receiver.close(Err(error.to_string()));
            let Told { file, begun } = told;
            Err(Failure { file, begun, error })
        }
    }
}

/// What is known of a session before its end.
#[derive(Debug, Default)]
struct Told {
    /// Where it is to go.
    file: Option<Shown>,
    /// The offer was accepted.
    begun: bool,
}

pub(crate) type Heard = Result<ToReceiver, ReceiveError>;

/// Reads the private stream in a thread of its own: data and messages arrive independently, and
/// each read waits. It wakes the thread that has called this, and ends with the stream, or when nobody listens to it any
/// more.
fn hear<C: Read + Send + 'static>(mut control: C) -> io::Result<mpsc::Receiver<Heard>> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let taker = thread::current();
    let work = move || {
        let (mut decoder, mut buf) = (Decoder::default(), vec![0; 16 << 10]);
        loop {
            match control.read(&mut buf) {
                Ok(0) => return,
                Ok(read) => decoder.push(&buf[..read]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let _ = sender.send(Err(ReceiveError::Session(e)));
                    taker.unpark();
                    return;
                }
            }
            while let Some(heard) = decoder.take().transpose() {
                let last = heard.is_err();
                let sent = sender.send(heard.map_err(ReceiveError::Frame));
                // The session has woken it before this was there, and it may have looked for it in vain.
                taker.unpark();
                if sent.is_err() || last {
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
    (place, limits): (Place<'_>, &Limits),
    told: &mut Told,
) -> Result<Option<Received>, ReceiveError> {
    let offer = match next(messages, "what it sends")? {
        ToReceiver::Offer(offer) => offer,
        ToReceiver::Word(word) => return hear_word(receiver, limits, &word).map(|()| None),
        _ => return Err(ReceiveError::Protocol("the first message is not an offer")),
    };
    take_offer(receiver, messages, (place, limits), (&offer, told)).map(Some)
}

/// Who sends, as far as the association tells.
fn from<R: Incoming>(receiver: &R) -> jobs::From {
    let (key, installation) = (receiver.key(), None);
    jobs::From { key, installation, binding: receiver.binding(), peer: receiver.peer() }
}

/// What shows the sender which installation this is, where it is for a mirror job.
fn shown<R: Incoming>(receiver: &R, limits: &Limits, offer: &Offer) -> Vec<u8> {
    let (Some(jobs), Some(job)) = (&limits.jobs, &offer.job) else { return Vec::new() };
    jobs.shows(&from(receiver), job)
}

/// Answers a word of a mirror job.
fn hear_word<R: Incoming>(receiver: &R, limits: &Limits, word: &[u8]) -> Result<(), ReceiveError> {
    let Some(jobs) = &limits.jobs else { return Err(ReceiveError::Protocol(NO_WORDS)) };
    let from = from(receiver);
    answer(&mut receiver.control(), &ToSender::Word(jobs.hear(&from, word)))
}

/// Takes what is offered.
fn take_offer<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (place, limits): (Place<'_>, &Limits),
    (offer, told): (&Offer, &mut Told),
) -> Result<Received, ReceiveError> {
    told.file = Some(Shown::asked(&offer.to, offer.one.as_deref().unwrap_or_default()));
    let refusal = match &place {
        Place::Output(_) => land::no_output(offer),
        Place::Below(_) => land::no_file(offer),
    };
    if let Some(why) = refusal.or_else(|| land::no_dry_run(offer)) {
        return refuse(&mut receiver.control(), why);
    }
    match place {
        Place::Below(root) if offer.stream => {
            take_to_file(receiver, messages, (root, limits), (offer, told))
        }
        Place::Below(root) => {
            let mut job = ForJob::new(receiver, (root, limits), offer);
            let taken = take_tree(receiver, messages, (root, limits), (offer, told), &mut job);
            job.end(&taken);
            taken
        }
        Place::Output(output) => {
            let shown = told.file.clone().unwrap_or_default();
            let mut land = InOutput(output);
            let taken = take_stream(receiver, messages, (&mut land, limits), told)?;
            Ok(Received { path: shown.below("".as_ref()), shown, ..taken })
        }
    }
}

/// Tells the sender why its offer has no place here.
fn refuse<C: Write, T>(control: &mut C, why: String) -> Result<T, ReceiveError> {
    answer(control, &ToSender::Refuse(why.clone()))?;
    Err(ReceiveError::Refused(why))
}

/// A stream into a file, up to its name.
fn take_to_file<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, &Limits),
    (offer, told): (&Offer, &mut Told),
) -> Result<Received, ReceiveError> {
    let is_over = || receiver.over().is_some();
    let (sender, peer) = (receiver.sender(), receiver.peer().to_string());
    let holder = Holder { sender, peer, pulse: receiver.pulse() };
    let offer = land::anew(offer);
    let below = Below::new(root, &offer, limits, (holder, &is_over)).and_then(|below| {
        told.file = Some(below.shown());
        InFile::begin(below, &offer)
    });
    let mut land = match below {
        Ok(land) => land,
        Err(why) => return refuse(&mut receiver.control(), why),
    };
    let shown = told.file.clone().unwrap_or_default();
    let taken = take_stream(receiver, messages, (&mut land, limits), told)?;
    Ok(Received { path: shown.below(root.path()), shown, unset: land.unset(), ..taken })
}

/// A stream, from the answer to the offer on.
fn take_stream<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (land, limits): (&mut dyn Land, &Limits),
    told: &mut Told,
) -> Result<Received, ReceiveError> {
    let mut control = receiver.control();
    answer(&mut control, &ToSender::Ready { shown: Vec::new() })?;
    told.begun = true;
    let (bytes, digest) = pipe::take::take(receiver, messages, land, limits)?;
    let report = Report { arrived: 1, bytes, ..Report::default() };
    answer(&mut control, &ToSender::Report(report))?;
    Ok(Received {
        shown: Shown::default(),
        path: PathBuf::new(),
        dry: false,
        report,
        failure: None,
        spared: None,
        digest: Some(digest),
        unset: Vec::new(),
        arrived: Arrived::default(),
        confirmed: Ok(()),
    })
}

/// Everything up to all entries in place, but for those that failed.
fn take_tree<R: Incoming>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    (root, limits): (&Root, &Limits),
    (offer, told): (&Offer, &mut Told),
    job: &mut ForJob<'_>,
) -> Result<Received, ReceiveError> {
    let mut control = receiver.control();
    let is_over = || receiver.over().is_some();
    let (sender, peer) = (receiver.sender(), receiver.peer().to_string());
    let holder = Holder { sender, peer, pulse: receiver.pulse() };
    let session = (holder, &is_over as &dyn Fn() -> bool);
    let rules = rules_of(offer, limits);
    let installation = self::shown(receiver, limits, offer);
    let by = By { rules, check: offer.check, update: offer.update };
    if offer.dry {
        let survey = led(Survey::new(root, offer, limits, session), &mut control)?;
        let shown = begin(survey.shown(), &mut control, (installation, told))?;
        let sink = TreeSink::new(survey, offer.one.is_some()).dry(by);
        return fill(receiver, messages, sink, (offer, limits), &|_| Vec::new())
            .map(|received| Received { path: shown.below(root.path()), shown, ..received });
    }
    let may = &mut |way: &[Vec<u8>]| job.may_begin(way);
    let below = led(Below::new_if(root, offer, limits, session, may), &mut control)?;
    led(job.begin(), &mut control)?;
    let shown = begin(below.shown(), &mut control, (installation, told))?;
    let sink = TreeSink::new(below, offer.one.is_some());
    let sink = sink.itemizing(offer.itemize.then_some(by));
    fill(receiver, messages, sink, (offer, limits), &Below::unset).map(|received| Received {
        path: shown.below(root.path()),
        shown,
        ..received
    })
}

/// What an offer leads to; where that is nowhere the sender is told.
fn led<T, C: Write>(led: Result<T, String>, control: &mut C) -> Result<T, ReceiveError> {
    led.map_err(|why| {
        let refused = answer(control, &ToSender::Refuse(why.clone()));
        refused.err().unwrap_or(ReceiveError::Refused(why))
    })
}

/// The offer is accepted.
fn begin<C: Write>(
    shown: Shown,
    control: &mut C,
    (installation, told): (Vec<u8>, &mut Told),
) -> Result<Shown, ReceiveError> {
    told.file = Some(shown.clone());
    answer(control, &ToSender::Ready { shown: installation })?;
    told.begun = true;
    Ok(shown)
}

/// Takes all of it into a sink. Where that is has to be said by who knows.
fn fill<R: Incoming, G: Ground>(
    receiver: &R,
    messages: &mpsc::Receiver<Heard>,
    sink: TreeSink<G>,
    (offer, limits): (&Offer, &Limits),
    unset: &dyn Fn(&G) -> Vec<String>,
) -> Result<Received, ReceiveError> {
    let delete = offer.delete.filter(|_| offer.one.is_none());
    let mut sink = sink.deleting(delete, limits.allow.delete);
    let report = take::take(receiver, messages, &mut sink, limits)?;
    let one = offer.one.is_some() && (report.arrived, report.failed) == (1, 0);
    Ok(Received {
        path: PathBuf::new(),
        shown: Shown::default(),
        dry: offer.dry,
        report,
        failure: sink.first_failure(),
        spared: sink.spared(),
        digest: sink.digest().filter(|_| one),
        unset: unset(&sink.into_ground()),
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
