//! Sessions that carry no data, but a word to each receiver and its answer.
//!
//! What is in them is the affair of who says and hears them: [`crate::message`] frames them.

use crate::message::{Decoder, MAX_FRAME, ToReceiver, ToSender, encode};
use crate::send::in_own_words;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tcpxm::api::{MemberStream, Receiver, Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, SessionConfig};
use tcpxm::seal::Binding;
use tcpxm::stats::MemberReport;

/// Bytes of a word, at most: with what frames it it has room in a message.
pub const MAX_WORD: usize = MAX_FRAME - 64;
/// A receiver that was reached has so long to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a stream that carries nothing has for its bytes.
const RING: usize = 64 << 10;

/// Makes the word for the receiver at that place, to be said over the association of that binding.
pub type Words<'a> = dyn Fn(usize, &Binding) -> Vec<u8> + Sync + 'a;

/// What was answered to a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// It.
    pub word: Vec<u8>,
    /// Which association it came over.
    pub binding: Binding,
}

/// What came of a word.
#[derive(Debug)]
pub struct Said {
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
    /// How it went with the receiver.
    pub report: MemberReport,
}

/// Says a word to each of these receivers, which may have several addresses, and waits for their answers. Each is given
/// up by itself.
///
/// # Errors
///
/// There could be no session.
pub fn say(
    options: SenderOptions,
    peers: &[Vec<SocketAddr>],
    words: &Words<'_>,
) -> io::Result<Vec<Said>> {
    let sender_patience = options.session.connect_timeout + PATIENCE;
    let session = SessionConfig {
        group: None,
        delivery: Delivery::Ordered,
        content: Content::Stream { ring: RING },
        declares: false,
        ..options.session
    };
    let sender = Sender::connect_any(SenderOptions { session, ..options }, peers)?;
    sender.finish(); // there are no data
    let limit = sender_patience;
    let answers: Vec<_> = thread::scope(|scope| {
        // Who answers the transport and not the word holds nobody up for longer.
        let (done, waits) = mpsc::channel::<()>();
        let own = &sender;
        scope.spawn(move || {
            if waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                own.abort("it has not answered");
            }
        });
        let threads: Vec<_> = (0..sender.members())
            .map(|index| {
                let stream = sender.member(index);
                scope.spawn(move || ask(stream, &|binding| words(index, binding)))
            })
            .collect();
        let answers = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(unheard())))
            .collect();
        drop(done);
        answers
    });
    let reports = sender.wait();
    // What is still to be acknowledged holds up nobody who has the answers.
    linger(sender);
    let said = |(answer, report): (io::Result<Answer>, MemberReport)| {
        let why = |error: io::Error| match &report.outcome {
            Some(Err(reason)) => in_own_words(reason),
            _ => error.to_string(),
        };
        Said { answer: answer.map_err(why), report }
    };
    Ok(answers.into_iter().zip(reports).map(said).collect())
}

/// Lets a session end in a thread of its own: the last acknowledgements of all may still be asked for, for some seconds.
pub fn linger<S: Send + 'static>(sender: S) {
    // Without a thread it ends here.
    let _ = thread::Builder::new().name("linger".to_owned()).spawn(move || drop(sender));
}

fn unheard() -> io::Error {
    io::Error::other("it has not answered")
}

fn ask(mut stream: MemberStream, word: &dyn Fn(&Binding) -> Vec<u8>) -> io::Result<Answer> {
    let binding = stream.binding()?;
    let mut frame = Vec::new();
    encode(&ToReceiver::Word(word(&binding)), &mut frame).map_err(io::Error::other)?;
    stream.write_all(&frame)?;
    let (mut decoder, mut buf) = (Decoder::default(), [0; 4096]);
    loop {
        match decoder.take::<ToSender>().map_err(io::Error::other)? {
            Some(ToSender::Word(word)) => return Ok(Answer { word, binding }),
            Some(ToSender::Refuse(why)) => return Err(io::Error::other(why)),
            Some(_) => return Err(io::Error::other("it answers something else than it was asked")),
            None => {}
        }
        match stream.read(&mut buf)? {
            0 => return Err(unheard()),
            read => decoder.push(&buf[..read]),
        }
    }
}

/// Hears one word on a session that was accepted, and answers it; without an answer who says it is told that there is
/// none.
///
/// # Errors
///
/// The session ended before, or carries something else, or has no answer.
pub fn hear(receiver: &Receiver, answer: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> io::Result<()> {
    let heard = hear_word(receiver);
    let done = heard.and_then(|word| {
        let mut frame = Vec::new();
        let answer = answer(&word).ok_or_else(|| io::Error::other("that is not answered here"))?;
        encode(&ToSender::Word(answer), &mut frame).map_err(io::Error::other)?;
        receiver.control().write_all(&frame)
    });
    let verdict = done.as_ref().map_err(ToString::to_string).copied();
    let closed = receiver.close(verdict);
    done.and(closed.map_err(|reason| io::Error::other(reason.to_string())))
}

fn hear_word(receiver: &Receiver) -> io::Result<Vec<u8>> {
    let (pulse, mut control) = (receiver.pulse(), receiver.control());
    let (done, waits) = mpsc::channel::<()>();
    // Whoever says nothing holds nobody up.
    thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                pulse.end("nothing was said");
            }
        });
        let (mut decoder, mut buf) = (Decoder::default(), [0; 4096]);
        let heard = loop {
            match decoder.take::<ToReceiver>() {
                Ok(Some(ToReceiver::Word(word))) => break Ok(word),
                Ok(Some(_)) => break Err(io::Error::other("here nothing is received but words")),
                Ok(None) => {}
                Err(error) => break Err(io::Error::other(error)),
            }
            match control.read(&mut buf) {
                Ok(0) => break Err(unheard()),
                Ok(read) => decoder.push(&buf[..read]),
                Err(error) => break Err(error),
            }
        };
        drop(done);
        heard
    })
}
